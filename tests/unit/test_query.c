/* storage/query: examples in many languages with their highlights, limits, and random texts and queries. The latter are
 * checked against plain oracles (strstr for runs, equality for words, a nested loop for phrases) and against the promises:
 *
 *   (P1) what matches has every index term that the query asks for, and may match;
 *   (P2) any part of a run, any word, in capitals and without accents too, and any beginning of one with a * is found;
 *   (P3) highlights are whole code points that, analysed alone, are what was looked for.
 *
 * TL_SEED in the environment repeats a run. */
#include "query.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>
#include <unicase.h>
#include <uninorm.h>
#include <unistr.h>

#include <cmocka.h>

static const char json[] = "application/json", plain[] = "text/plain";

static struct tl_text *text;

static int set_up(void **state)
{
	(void)state;
	return tl_text_new(&text) != TL_OK;
}

static int tear_down(void **state)
{
	(void)state;
	tl_text_free(text);
	return 0;
}

static struct tl_query *parse(struct tl_slice q)
{
	struct tl_query *query;
	struct tl_why why = {""};
	/* A block of exactly its size: the address sanitizer watches its end. */
	char *copy = malloc(q.len ? q.len : 1);
	assert_non_null(copy);
	memcpy(copy, q.ptr, q.len);
	if (tl_query_parse(tl_slice(copy, q.len), &query, &why) != TL_OK)
		fail_msg("\"%.*s\" is refused: %s", (int)q.len, (const char *)q.ptr, why.text);
	free(copy);
	return query;
}

static void analyse(struct tl_slice body, const char *ctype)
{
	assert_int_equal(tl_text_analyse(text, body, tl_slice_str(ctype)), TL_OK);
}

/* ---- What holds for any match ---- */

static bool require(bool holds, const char *what, struct tl_slice q, struct tl_slice body)
{
	if (!holds)
		fail_msg("%s, with \"%.*s\" in \"%.*s\"", what, (int)q.len, (const char *)q.ptr, (int)body.len,
		         (const char *)body.ptr);
	return holds;
}

static bool has_term(struct tl_query_term wanted)
{
	const struct tl_slice *terms;
	size_t count;
	assert_int_equal(tl_text_terms(text, &terms, &count), TL_OK);
	for (size_t i = 0; i < count; i++)
		if (wanted.prefix ? terms[i].len >= wanted.term.len && !memcmp(terms[i].ptr, wanted.term.ptr, wanted.term.len)
		                  : tl_slice_equal(terms[i], wanted.term))
			return true;
	return false;
}

/* (P1) */
static void check_index(const struct tl_query *query, struct tl_slice q, struct tl_slice body)
{
	size_t count;
	const struct tl_query_term *terms = tl_query_terms(query, &count);
	require(count > 0 || tl_query_is_empty(query), "the index is asked for something", q, body);
	for (size_t i = 0; i < count; i++)
		require(has_term(terms[i]), "the index has each term", q, body);
	require(tl_query_may_match(query, body), "what matches may match", q, body);
}

static bool begins_code_point(struct tl_slice bytes, uint32_t at)
{
	return at == bytes.len || (at < bytes.len && (((const unsigned char *)bytes.ptr)[at] & 0xc0) != 0x80);
}

static void check_ranges(const struct tl_range *ranges, size_t count, struct tl_slice q, struct tl_slice body)
{
	require(count <= TL_HIGHLIGHTS_MAX, "not too many highlights", q, body);
	for (size_t i = 0; i < count; i++) {
		require(ranges[i].from < ranges[i].to && ranges[i].to <= body.len, "highlights within the body", q, body);
		require(i == 0 || ranges[i - 1].to < ranges[i].from, "highlights ascend and do not touch", q, body);
		require(begins_code_point(body, ranges[i].from) && begins_code_point(body, ranges[i].to), "whole code points", q,
		        body);
	}
}

struct found {
	bool matches;
	size_t count;
	struct tl_range ranges[TL_HIGHLIGHTS_MAX];
};

/* Matches the body just analysed, and checks all that holds for any match. */
static struct found match(const struct tl_query *query, struct tl_slice q, struct tl_slice body)
{
	struct found found = {.count = 0};
	const struct tl_range *ranges;
	assert_int_equal(tl_query_match(query, text, &found.matches, &ranges, &found.count), TL_OK);
	check_ranges(ranges, found.count, q, body);
	require(found.matches ? found.count > 0 || tl_query_is_empty(query) : found.count == 0, "highlights or no match", q,
	        body);
	memcpy(found.ranges, ranges, found.count * sizeof *ranges);
	if (found.matches)
		check_index(query, q, body);
	return found;
}

static struct found find(struct tl_slice q, struct tl_slice body, const char *ctype)
{
	struct tl_query *query = parse(q);
	analyse(body, ctype);
	struct found found = match(query, q, body);
	tl_query_free(query);
	return found;
}

/* ---- Examples ---- */

/* The body with its highlights in brackets; "-": it does not match. */
static const char *shown(const struct found *found, const char *body)
{
	static char line[2048];
	size_t len = 0, at = 0;
	if (!found->matches)
		return "-";
	for (size_t i = 0; i < found->count; at = found->ranges[i++].to)
		len += (size_t)snprintf(line + len, sizeof line - len, "%.*s[%.*s]", (int)(found->ranges[i].from - at), body + at,
		                        (int)(found->ranges[i].to - found->ranges[i].from), body + found->ranges[i].from);
	assert_true(len + strlen(body + at) < sizeof line);
	strcpy(line + len, body + at);
	return line;
}

struct example {
	const char *q, *body, *expected;
};

static void assert_examples(const struct example *examples, size_t count, const char *ctype)
{
	for (size_t i = 0; i < count; i++) {
		struct found found = find(tl_slice_str(examples[i].q), tl_slice_str(examples[i].body), ctype);
		const char *line = shown(&found, examples[i].body);
		if (strcmp(line, examples[i].expected) != 0)
			fail_msg("\"%s\" gives \"%s\" instead of \"%s\"", examples[i].q, line, examples[i].expected);
	}
}

#define ASSERT_EXAMPLES(ctype, ...)                                                                                    \
	do {                                                                                                               \
		static const struct example examples[] = {__VA_ARGS__};                                                        \
		assert_examples(examples, sizeof examples / sizeof examples[0], ctype);                                        \
	} while (0)

static void test_words(void **state)
{
	(void)state;
	ASSERT_EXAMPLES("", {"fox", "The quick brown Fox, foxes", "The quick brown [Fox], foxes"},
	                {"FOX quick", "The quick brown fox", "The [quick] brown [fox]"},
	                {"fox dog", "The quick brown fox", "-"}, {"fo", "fox", "-"}, {"foxes", "fox", "-"},
	                {"a", "a a.a b a", "[a] [a].[a] b [a]"}, {"a b", "b", "-"}, {"a a", "b a", "b [a]"});
}

static void test_phrases(void **state)
{
	(void)state;
	ASSERT_EXAMPLES("", {"\"quick brown\"", "The quick, BROWN fox; brown quick", "The [quick, BROWN] fox; brown quick"},
	                {"\"quick fox\"", "The quick brown fox", "-"}, {"\"brown quick\"", "quick brown", "-"},
	                {"\"a a b\"", "a a a b", "a [a a b]"}, {"\"a b a\"", "a b a b a c", "[a b a b a] c"},
	                {"“quick brown”", "the quick brown", "the [quick brown]"},
	                {"\"quick brown", "the quick brown", "the [quick brown]"},
	                {"\"quick\"brown", "brown quick", "[brown] [quick]"}, {"fox\"the quick\"", "fox the quick", "[fox] [the quick]"},
	                {"\"\" \"fox\" \"", "fox", "[fox]"}, {"\"a b\"\"c d\"", "c d a b", "[c d] [a b]"});
}

static void test_pieces(void **state)
{
	(void)state;
	ASSERT_EXAMPLES("", {"foo-bar", "a foo-bar, foo x bar", "a [foo-bar], foo x bar"}, {"foo-bar", "foo bar", "[foo bar]"},
	                {"foo-bar", "foo x bar", "-"}, {"foo_bar", "FOO_BAR", "[FOO_BAR]"}, {"3.14", "pi=3.14159 or 3.14!", "pi=3.14159 or [3.14]!"},
	                {"don't", "I don’t", "I [don’t]"}, {"me@example.com", "mail me@example.com", "mail [me@example.com]"},
	                {"example", "mail me@example.com", "mail me@[example].com"}, {"¿qué?", "que", "[que]"},
	                {"½", "1/2", "[1/2]"});
}

static void test_prefixes(void **state)
{
	(void)state;
	ASSERT_EXAMPLES("", {"qui*", "The quick quiet fox", "The [quick] [quiet] fox"}, {"quick*", "quick", "[quick]"},
	                {"quicker*", "quick", "-"}, {"ÜB*", "uber Über", "[uber] [Über]"},
	                {"\"the qui*\"", "the fox, the quick", "the fox, [the quick]"}, {"\"th* quick\"", "then quick", "[then quick]"},
	                {"3.1*", "3.14", "[3.14]"}, {"qu**", "quick", "[quick]"}, {"qu＊", "quick", "[quick]"},
	                /* punctuation, where it is not at a word's end */
	                {"*", "anything", "anything"}, {"*ick", "quick", "-"}, {"*quick", "quick", "[quick]"},
	                {"qu*ck", "quick", "-"}, {"qu*ck", "qu ck", "[qu ck]"}, {"qu *", "quick", "-"}, {"foo-*", "foot", "-"},
	                {"longerthaneight*", "Longerthaneightbytes", "[Longerthaneightbytes]"});
}

static void test_european(void **state)
{
	(void)state;
	ASSERT_EXAMPLES("", {"strasse", "Die Straße", "Die [Straße]"}, {"STRAẞE", "die strasse", "die [strasse]"},
	                {"munchen", "in München", "in [München]"}, {"garcon", "le GARÇON", "le [GARÇON]"},
	                {"coeur", "mon cœur", "mon [cœur]"}, {"homme", "l’homme", "l’[homme]"}, {"l'homme", "l’homme", "[l’homme]"},
	                {"e\xcc\x81te\xcc\x81", "l'été", "l'[été]"}, {"ete", "e\xcc\x81te\xcc\x81!", "[e\xcc\x81te\xcc\x81]!"},
	                {"isparta", "ISPARTA", "[ISPARTA]"}, {"ISPARTA", "ısparta", "[ısparta]"}, {"istanbul", "İSTANBUL", "[İSTANBUL]"},
	                {"ΟΔΟΣ", "η οδός μου", "η [οδός] μου"}, {"λογος", "ΛΌΓΟΣ", "[ΛΌΓΟΣ]"},
	                {"ЁЛКА", "елка, ёлка", "[елка], [ёлка]"}, {"мои", "мой", "-"}, {"МОЙ", "мой", "[мой]"});
}

static void test_chinese(void **state)
{
	(void)state;
	ASSERT_EXAMPLES("", {"北京", "我在北京，北京很大", "我在[北京]，[北京]很大"}, {"京很", "北京很大", "北[京很]大"},
	                {"京", "北京 京城", "北[京] [京]城"}, {"大", "北京很大", "北京很[大]"},
	                {"北大", "北京很大", "-"}, {"北京大", "北京很大", "-"}, {"北京", "北 京", "-"}, {"北京", "北，京", "-"},
	                {"北京", "北\n京", "-"}, {"北 京", "京都北", "[京]都[北]"}, {"\"北京 很大\"", "北京很大", "[北京很大]"},
	                {"\"很大 北京\"", "北京很大", "-"}, {"中国*", "在中国人", "在[中国]人"}, {"中中", "中中中", "[中中中]"},
	                {"iphone", "iPhone手机壳", "[iPhone]手机壳"}, {"手机", "iPhone手机壳", "iPhone[手机]壳"},
	                {"iphone手机", "iPhone手机壳", "[iPhone手机]壳"}, {"iphone手机", "iPhone 手机壳", "[iPhone 手机]壳"},
	                {"手", "iPhone手机壳", "iPhone[手]机壳"}, {"手机iph*", "手机iPhone", "[手机iPhone]"}, {"第3章", "第3章", "[第3章]"},
	                {"“北京”", "我在北京", "我在[北京]"}, {"大家准时参加明天上午十点在公司会议室召开的会议", "请大家准时参加明天上午十点在公司会议室召开的会议。",
	                                            "请[大家准时参加明天上午十点在公司会议室召开的会议]。"});
}

static void test_japanese_and_korean(void **state)
{
	(void)state;
	ASSERT_EXAMPLES("", {"カタカナ", "ｶﾀｶﾅとカタカナ", "[ｶﾀｶﾅ]と[カタカナ]"}, {"ガ", "ｶﾞ か\xe3\x82\x99 ガ", "[ｶﾞ] か\xe3\x82\x99 [ガ]"},
	                {"が", "か\xe3\x82\x99", "[か\xe3\x82\x99]"}, {"か", "が", "-"}, {"は", "ぱ", "-"}, {"会議", "明日の会議は", "明日の[会議]は"},
	                {"コンピュータ", "コンピューター", "[コンピュータ]ー"}, {"平成", "㍻三年", "[㍻]三年"},
	                {"서울", "서울에서 만나요", "[서울]에서 만나요"}, {"에서", "서울에서", "서울[에서]"}, {"울에", "서울에서", "서[울에]서"},
	                {"서에", "서울에서", "-"}, {"ㅋㅋ", "앜ㅋㅋㅋㅠ", "앜[ㅋㅋㅋ]ㅠ"}, {"ㅠㅠ", "ㅋㅠㅠ", "ㅋ[ㅠㅠ]"},
	                {"한국", "\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab\xe1\x84\x80\xe1\x85\xae\xe1\x86\xa8", "[\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab\xe1\x84\x80\xe1\x85\xae\xe1\x86\xa8]"},
	                {"하", "한", "-"});
}

static void test_other_scripts(void **state)
{
	(void)state;
	ASSERT_EXAMPLES("", {"ประชุม", "เราจะประชุมกัน", "เราจะ[ประชุม]กัน"}, {"ชุม", "ประชุม", "ประ[ชุม]"},
	                {"محمد", "قال مُحَمَّد", "قال [مُحَمَّد]"}, {"احمد", "أحمد", "[أحمد]"}, {"שלום", "שָׁלוֹם לך", "[שָׁלוֹם] לך"},
	                {"हिन्दी", "मेरी हिन्दी", "मेरी [हिन्दी]"}, {"हिन्द", "हिन्दी", "-"}, {"हिन्द*", "हिन्दी", "[हिन्दी]"});
}

static void test_emoji(void **state)
{
	(void)state;
	ASSERT_EXAMPLES("", {"👍", "ok 👍🏽 👎", "ok [👍🏽] 👎"}, {"👍🏽", "ok👍", "ok[👍]"}, {"👍👍", "👍 x 👍👍", "👍 x [👍👍]"},
	                {"👨‍👩‍👧", "us: 👨‍👩‍👧!", "us: [👨‍👩‍👧]!"}, {"👩", "👨‍👩‍👧", "-"}, {"❤", "I ❤️ it", "I [❤️] it"},
	                {"🇨🇳", "🇩🇪🇨🇳", "🇩🇪[🇨🇳]"}, {"🇪🇨", "🇩🇪🇨🇳", "-"}, {"hi👋", "HI 👋", "[HI 👋]"}, {"😀 ok", "ok", "-"});
}

static void test_json(void **state)
{
	(void)state;
	ASSERT_EXAMPLES("application/json", {"cafe", "{\"t\":\"le Caf\\u00e9!\"}", "{\"t\":\"le [Caf\\u00e9]!\"}"},
	                {"中国", "{\"t\":\"在\\u4e2d\\u56fd。\"}", "{\"t\":\"在[\\u4e2d\\u56fd]。\"}"},
	                {"中国", "[\"中\\n国\"]", "-"}, {"a b", "[\"a\\nb\"]", "[\"[a]\\n[b]\"]"}, {"\"a b\"", "[\"a\\nb\"]", "[\"[a\\nb]\"]"},
	                {"nb", "[\"a\\nb\"]", "-"}, {"😀", "[\"x\\ud83d\\ude00\"]", "[\"x[\\ud83d\\ude00]\"]"},
	                {"\"a b\"", "[\"a\",\"b\"]", "-"}, {"中国", "[\"中\",\"国\"]", "-"}, {"a b", "[\"a\",\"b\"]", "[\"[a]\",\"[b]\"]"},
	                {"t", "{\"t\":\"x\"}", "-"}, {"t", "{\"t\":\"x\"", "{\"[t]\":\"x\""});
	ASSERT_EXAMPLES("", {"t", "{\"t\":\"x\"}", "-"});
	ASSERT_EXAMPLES("text/plain", {"t", "{\"t\":\"x\"}", "{\"[t]\":\"x\"}"}, {"nb", "a\\nb", "a\\[nb]"});
}

/* ---- Limits, and what cannot be looked for ---- */

static void assert_refused(struct tl_slice q, const char *reason)
{
	struct tl_query *query = NULL;
	struct tl_why why = {""};
	assert_int_equal(tl_query_parse(q, &query, &why), TL_BAD_REQUEST);
	assert_null(query);
	assert_string_equal(why.text, reason);
	assert_int_equal(tl_query_parse(q, &query, NULL), TL_BAD_REQUEST);
}

/* `count` times `unit`, in static memory. */
static struct tl_slice repeated(const char *unit, size_t count)
{
	static char bytes[4096];
	size_t len = strlen(unit);
	assert_true(count * len <= sizeof bytes);
	for (size_t i = 0; i < count; i++)
		memcpy(bytes + i * len, unit, len);
	return tl_slice(bytes, count * len);
}

static void test_limits(void **state)
{
	(void)state;
	tl_query_free(parse(repeated("a", 1024)));
	assert_refused(repeated("a", 1025), "q is longer than 1024 bytes");
	tl_query_free(parse(repeated("a ", 32)));
	assert_refused(repeated("a ", 33), "q has more than 32 terms");
	tl_query_free(parse(repeated("a-", 32)));
	assert_refused(repeated("a-", 33), "q has more than 32 terms");
	tl_query_free(parse(repeated("中国 ", 32)));
	assert_refused(repeated("中国 ", 33), "q has more than 32 terms");
	assert_refused(repeated("👍", 33), "q has more than 32 terms");
	tl_query_free(parse(repeated("中", 341)));
	tl_query_free(parse(repeated("㍿", 128)));
	assert_refused(repeated("㍿", 129), "q has more than 512 characters to look for");
	assert_refused(tl_slice_str("a\xff"), "q is not valid UTF-8");
	assert_refused(tl_slice_str("\xe4\xb8"), "q is not valid UTF-8");
}

static void test_empty(void **state)
{
	static const char *const cases[] = {"", "   ", "\"", "\"\"", "* - !", "，。", "\xe2\x80\x8d", "\xcc\x81"};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		size_t count;
		struct tl_slice q = tl_slice_str(cases[i]);
		struct tl_query *query = parse(q);
		assert_true(tl_query_is_empty(query));
		tl_query_terms(query, &count);
		assert_int_equal(count, 0);
		assert_true(tl_query_may_match(query, tl_slice_str("any")));
		tl_query_free(query);
		struct found found = find(q, tl_slice_str("any"), "");
		assert_true(found.matches && found.count == 0);
	}
	struct tl_query *query = parse(tl_slice_str("a"));
	assert_false(tl_query_is_empty(query));
	tl_query_free(query);
	tl_query_free(NULL);
}

static void assert_index_terms(const char *q, const char *expected)
{
	char line[8192] = "";
	size_t count, len = 0;
	struct tl_query *query = parse(tl_slice_str(q));
	const struct tl_query_term *terms = tl_query_terms(query, &count);
	assert_true(count <= TL_QUERY_INDEX_TERMS_MAX);
	for (size_t i = 0; i < count; i++)
		len += (size_t)snprintf(line + len, sizeof line - len, "%s%.*s%s", i ? " " : "", (int)terms[i].term.len,
		                        (const char *)terms[i].term.ptr, terms[i].prefix ? "*" : "");
	assert_string_equal(line, expected);
	tl_query_free(query);
}

static void test_index_terms(void **state)
{
	(void)state;
	assert_index_terms("Foo foo fo* foo-bar", "foo fo* bar");
	assert_index_terms("中国人 手 iPhone手机", "中国 国人 手* iphone 手机");
	assert_index_terms("\"中 国\" 中*", "中* 国*");
	assert_index_terms("👍", "👍");
	assert_index_terms("x1234567890123456789012345678901234567890123456789012345678901234567*",
	                   "x123456789012345678901234567890123456789012345678901234567890123");
}

/* Words that only differ behind what the index has of them. */
static void test_long_words(void **state)
{
	char words[2][101] = {"", ""}, body[128];
	(void)state;
	memset(words[0], 'w', 100);
	memset(words[1], 'w', 100);
	words[1][99] = 'x';
	snprintf(body, sizeof body, "a %s", words[0]);
	assert_true(find(tl_slice_str(words[0]), tl_slice_str(body), "").matches);
	assert_false(find(tl_slice_str(words[1]), tl_slice_str(body), "").matches);
	strcpy(words[1] + 80, "*");
	assert_true(find(tl_slice_str(words[1]), tl_slice_str(body), "").matches);
}

static void test_many_highlights(void **state)
{
	struct tl_slice body = repeated("a b ", 100);
	(void)state;
	struct found found = find(tl_slice_str("a"), body, "");
	assert_int_equal(found.count, TL_HIGHLIGHTS_MAX);
	for (uint32_t i = 0; i < TL_HIGHLIGHTS_MAX; i++)
		assert_true(found.ranges[i].from == 4 * i && found.ranges[i].to == 4 * i + 1);
	/* The last word counts, though there is no room for it. */
	((char *)body.ptr)[body.len - 2] = 'c';
	found = find(tl_slice_str("a c"), body, "");
	assert_true(found.matches && found.count == TL_HIGHLIGHTS_MAX);
	assert_false(find(tl_slice_str("a d"), body, "").matches);
	found = find(tl_slice_str("中"), repeated("中", 1000), "");
	assert_int_equal(found.count, 1);
	assert_int_equal(found.ranges[0].to, 3000);
}

/* A query of as many places as there can be, on a text made of nothing but half matches. */
static void test_longest_run(void **state)
{
	const size_t characters = 100000;
	char q[1024], *body = malloc(3 * characters);
	(void)state;
	assert_non_null(body);
	for (size_t i = 0; i < characters; i++)
		memcpy(body + 3 * i, "中", 3);
	for (size_t i = 0; i < 341; i++)
		memcpy(q + 3 * i, i < 340 ? "中" : "国", 3);
	assert_false(find(tl_slice(q, 1023), tl_slice(body, 3 * characters), plain).matches);
	memcpy(body + 3 * characters - 3, "国", 3);
	struct found found = find(tl_slice(q, 1023), tl_slice(body, 3 * characters), plain);
	assert_true(found.matches && found.count == 1);
	assert_int_equal(found.ranges[0].from, 3 * (characters - 341));
	assert_int_equal(found.ranges[0].to, 3 * characters);
	free(body);
}

/* What the cheap test takes for folded to itself is so: every code point, alone and between letters. */
static void test_may_match_every_code_point(void **state)
{
	(void)state;
	for (ucs4_t cp = 1; cp < 0x110000; cp++) {
		uint8_t bytes[16] = "a";
		size_t count;
		if (cp >= 0xd800 && cp <= 0xdfff)
			continue;
		size_t len = 1 + (size_t)u8_uctomb(bytes + 1, cp, 6);
		bytes[len++] = 'b';
		struct tl_slice body = tl_slice(bytes, len);
		analyse(body, plain);
		const struct tl_token *tokens = tl_text_tokens(text, &count);
		for (size_t i = 0; i < count; i++) {
			struct tl_query *query = parse(tokens[i].term);
			if (!tl_query_may_match(query, body))
				fail_msg("U+%04X", (unsigned)cp);
			tl_query_free(query);
		}
	}
}

static void test_may_match(void **state)
{
	static const struct {
		const char *q, *body;
		bool may;
	} cases[] = {
		{"fox", "The quick FOX", true},      {"dog", "The quick fox", false},       {"ox", "fox", true},
		{"北京", "我在北京，好", true},          {"京北", "我在北京，好", false},         {"京", "Beijing 在 20", false},
		{"fox dog", "a fox", false},         {"uber", "über", true},                {"x", "caf\\u00e9", true},
		{"👍", "nice 👍!", true},             {"👎", "nice 👍!", false},              {"がが", "ががが", true},
		{"会議", "会いましょう。ギター", false}, {"서울", "서울에서", true},              {"부산", "서울에서", false},
		{"abcdefghijklmnopqrst", "ABCDEFGHIJKLMNOPQRST", true}, {"abcdefghijklmnopqrsz", "ABCDEFGHIJKLMNOPQRST", false},
	};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct tl_query *query = parse(tl_slice_str(cases[i].q));
		assert_int_equal(tl_query_may_match(query, tl_slice_str(cases[i].body)), cases[i].may);
		tl_query_free(query);
	}
}

/* ---- Random texts ---- */

static uint64_t seed, random_state;

static uint32_t rnd(uint32_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 33) % below;
}

static int seed_random(void **state)
{
	const char *given = getenv("TL_SEED");
	seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
	random_state = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
	printf("TL_SEED=%llu\n", (unsigned long long)seed);
	return set_up(state);
}

/* Few of each, so that they meet again; blanks and punctuation often. Marks stand on letters of their own script. */
static const char *const pieces[] = {
	" ",  " ",  " ",  " ", "\n", "-", "，", "。", ".", "_", "'", "&",
	"a",  "b",  "a",  "b", "A",  "B", "7", "é", "e\xcc\x81", "ß", "ﬁ", "Ｃ", "ł", "İ", "ı", "\xcc\x88", "\xc2\xad",
	"σ",  "ς",  "Ά",  "й", "и\xcc\x86", "ё", "ў", "中", "国", "中", "国", "人", "𠀀", "豈",
	"か", "が", "か\xe3\x82\x99", "ｶ", "ｶﾞ", "カ", "ー", "㍻", "㈱", "한", "국", "\xe1\x84\x92\xe1\x85\xa1", "ㅋ", "ㅠ",
	"ก",  "ก้", "กำ", "क", "कि", "क़", "م", "أ", "ُ", "٣", "👍", "👍🏽", "❤️", "👩‍🚀", "🇩🇪", "½", "™", "\xe2\x80\x8b",
};

enum { PIECES = sizeof pieces / sizeof pieces[0], RANDOM_MAX = 1024 };

static struct tl_slice random_text(char *out, uint32_t pieces_max)
{
	size_t len = 0;
	for (uint32_t n = rnd(pieces_max) + 1; n > 0; n--) {
		const char *piece = pieces[rnd(PIECES)];
		assert_true(len + strlen(piece) < RANDOM_MAX);
		memcpy(out + len, piece, strlen(piece));
		len += strlen(piece);
	}
	return tl_slice(out, len);
}

/* The tokens of some bytes, copied. */
struct tokens {
	struct tl_token at[RANDOM_MAX];
	size_t count;
	char terms[16 * RANDOM_MAX];
};

static void take_tokens(struct tokens *out, struct tl_slice bytes, const char *ctype)
{
	analyse(bytes, ctype);
	size_t len = 0;
	const struct tl_token *tokens = tl_text_tokens(text, &out->count);
	assert_true(out->count <= RANDOM_MAX);
	for (size_t i = 0; i < out->count; i++) {
		out->at[i] = tokens[i];
		assert_true(len + tokens[i].term.len <= sizeof out->terms);
		memcpy(out->terms + len, tokens[i].term.ptr, tokens[i].term.len);
		out->at[i].term.ptr = out->terms + len;
		len += tokens[i].term.len;
	}
}

static struct tl_slice bytes_of(struct tl_slice body, uint32_t from, uint32_t to)
{
	return tl_slice((const char *)body.ptr + from, to - from);
}

/* (P3) with a query of one element: each highlight alone is found by it, whole. */
static void check_highlights(const struct found *found, struct tl_slice q, struct tl_slice body)
{
	for (size_t i = 0; i < found->count; i++) {
		struct tl_slice highlight = bytes_of(body, found->ranges[i].from, found->ranges[i].to);
		struct found again = find(q, highlight, plain);
		require(again.matches && again.count == 1 && again.ranges[0].from == 0 && again.ranges[0].to == highlight.len,
		        "a highlight is what was looked for", q, highlight);
	}
}

/* A query that has to find something at the bytes [from, to). */
static void assert_found(struct tl_slice q, struct tl_slice body, uint32_t from, uint32_t to)
{
	struct found found = find(q, body, plain);
	require(found.matches, "found", q, body);
	bool covered = found.count == TL_HIGHLIGHTS_MAX;
	for (size_t i = 0; i < found.count; i++)
		covered |= found.ranges[i].from <= from && found.ranges[i].to >= to;
	require(covered, "highlighted where it was taken from", q, body);
	check_highlights(&found, q, body);
}

static struct tl_slice without_accents(struct tl_slice word, char *out)
{
	uint8_t decomposed[RANDOM_MAX];
	size_t len = sizeof decomposed, out_len = 0;
	assert_ptr_equal(u8_normalize(UNINORM_NFD, word.ptr, word.len, decomposed, &len), decomposed);
	for (size_t i = 0; i < len;) {
		ucs4_t cp;
		size_t cp_len = (size_t)u8_mbtouc(&cp, decomposed + i, len - i);
		bool breve = cp == 0x306; /* й and ў are letters of their own */
		if (cp < 0x300 || cp > 0x36f || breve) {
			memcpy(out + out_len, decomposed + i, cp_len);
			out_len += cp_len;
		}
		i += cp_len;
	}
	return tl_slice(out, out_len);
}

/* (P2) for a word. */
static void check_word(const struct tl_token *token, struct tl_slice body)
{
	char other[2 * RANDOM_MAX];
	struct tl_slice word = bytes_of(body, token->from, token->to);
	size_t len = sizeof other;
	assert_found(word, body, token->from, token->to);
	assert_ptr_equal(u8_toupper(word.ptr, word.len, NULL, NULL, (uint8_t *)other, &len), other);
	assert_found(tl_slice(other, len), body, token->from, token->to);
	assert_found(without_accents(word, other), body, token->from, token->to);
	/* A beginning of its term, at a code point. */
	len = rnd((uint32_t)token->term.len) + 1;
	while (!begins_code_point(token->term, (uint32_t)len))
		len++;
	memcpy(other, token->term.ptr, len);
	other[len] = '*';
	assert_found(tl_slice(other, len + 1), body, token->from, token->to);
}

/* (P2) for the part of a run that begins at a token. */
static void check_run(const struct tl_token *token, const struct tl_token *end, struct tl_slice body)
{
	const struct tl_token *last = token;
	while (last + 1 < end && last[1].joined && rnd(3))
		last++;
	/* Several tokens of the same bytes cannot be taken apart. */
	if (token->joined && token[-1].to > token->from)
		return;
	if (last + 1 < end && last[1].from < last->to)
		return;
	assert_found(bytes_of(body, token->from, last->to), body, token->from, last->to);
}

static void test_random_parts(void **state)
{
	static struct tokens tokens;
	(void)state;
	for (int round = 0; round < 3000; round++) {
		char bytes[RANDOM_MAX];
		struct tl_slice body = random_text(bytes, 40);
		take_tokens(&tokens, body, plain);
		for (size_t i = 0; i < tokens.count; i++) {
			if (tokens.at[i].run)
				check_run(&tokens.at[i], tokens.at + tokens.count, body);
			else
				check_word(&tokens.at[i], body);
		}
	}
}

/* ---- Random queries against a nested loop ---- */

struct element {
	struct tokens tokens;
	char bytes[RANDOM_MAX];
	size_t len;
	bool prefix; /* of the last token */
};

/* Elements as they are written: a part of the text or other text, in quotes or not. */
static void random_element(struct element *e, struct tl_slice body)
{
	char part[RANDOM_MAX];
	struct tl_slice made;
	do {
		if (rnd(3)) {
			uint32_t from = rnd((uint32_t)body.len), len = rnd(24) + 1;
			while (!begins_code_point(body, from))
				from--;
			while (from + len < body.len && !begins_code_point(body, from + len))
				len++;
			made = bytes_of(body, from, from + len < body.len ? from + len : (uint32_t)body.len);
		} else {
			made = random_text(part, 3);
		}
		take_tokens(&e->tokens, made, plain);
	} while (e->tokens.count == 0 || e->tokens.count > 8);
	bool quoted = memchr(made.ptr, ' ', made.len) || memchr(made.ptr, '\n', made.len) || rnd(2);
	const struct tl_token *last = &e->tokens.at[e->tokens.count - 1];
	e->prefix = !last->run && last->to == made.len && rnd(2);
	e->len = (size_t)snprintf(e->bytes, sizeof e->bytes, "%s%.*s%s%s", quoted ? "\"" : "", (int)made.len,
	                          (const char *)made.ptr, e->prefix ? "*" : "", quoted ? "\"" : "");
}

static bool token_matches(const struct element *e, size_t i, const struct tl_token *token)
{
	const struct tl_token *wanted = &e->tokens.at[i];
	if (wanted->joined && !token->joined)
		return false;
	if (e->prefix && i == e->tokens.count - 1)
		return token->term.len >= wanted->term.len && !memcmp(token->term.ptr, wanted->term.ptr, wanted->term.len);
	return tl_slice_equal(token->term, wanted->term);
}

static bool element_ends_at(const struct element *e, const struct tokens *in, size_t at)
{
	if (at + 1 < e->tokens.count)
		return false;
	for (size_t i = 0; i < e->tokens.count; i++) {
		const struct tl_token *token = &in->at[at + 1 - e->tokens.count + i];
		if (!token_matches(e, i, token) || (i > 0 && token->position != token[-1].position + 1))
			return false;
	}
	return true;
}

/* Marks every byte that an element is found at; whether it is. */
static bool mark(const struct element *e, const struct tokens *in, char *marks)
{
	bool any = false;
	for (size_t at = 0; at < in->count; at++) {
		if (!element_ends_at(e, in, at))
			continue;
		any = true;
		uint32_t from = in->at[at + 1 - e->tokens.count].from;
		memset(marks + from, 1, in->at[at].to - from);
	}
	return any;
}

static void check_marks(const struct found *found, const char *marks, struct tl_slice q, struct tl_slice body)
{
	for (uint32_t at = 0, i = 0; at < body.len; at++) {
		while (i < found->count && found->ranges[i].to <= at)
			i++;
		bool highlighted = i < found->count && found->ranges[i].from <= at;
		if (found->count < TL_HIGHLIGHTS_MAX)
			require(highlighted == (marks[at] != 0), "highlighted as the nested loop has it", q, body);
	}
}

static bool check_random_query(struct tl_slice body)
{
	static struct tokens in;
	static struct element elements[3];
	char q[RANDOM_MAX] = "", marks[RANDOM_MAX] = "";
	bool expected = true;
	size_t count = rnd(3) + 1, len = 0;
	for (size_t i = 0; i < count; i++) {
		random_element(&elements[i], body);
		memcpy(q + len, elements[i].bytes, elements[i].len);
		len += elements[i].len;
		q[len++] = ' ';
	}
	take_tokens(&in, body, plain);
	for (size_t i = 0; i < count; i++)
		expected &= mark(&elements[i], &in, marks);
	struct found found = find(tl_slice(q, len), body, plain);
	require(found.matches == expected, "as the nested loop has it", tl_slice(q, len), body);
	if (expected)
		check_marks(&found, marks, tl_slice(q, len), body);
	return expected;
}

static void test_random_queries(void **state)
{
	size_t found_count = 0;
	(void)state;
	for (int round = 0; round < 20000; round++) {
		char bytes[RANDOM_MAX];
		found_count += check_random_query(random_text(bytes, 50));
	}
	assert_in_range(found_count, 2000, 18000);
}

/* ---- Random JSON ---- */

static size_t put_string(char *out, struct tl_slice content)
{
	size_t len = 0;
	out[len++] = '"';
	for (size_t i = 0; i < content.len;) {
		uint16_t units[2];
		ucs4_t cp;
		size_t cp_len = (size_t)u8_mbtouc(&cp, (const uint8_t *)content.ptr + i, content.len - i);
		if (cp == '\n' || rnd(2)) {
			int count = u16_uctomb(units, cp, 2);
			for (int u = 0; u < count; u++)
				len += (size_t)sprintf(out + len, rnd(2) ? "\\u%04x" : "\\u%04X", units[u]);
		} else {
			memcpy(out + len, (const char *)content.ptr + i, cp_len);
			len += cp_len;
		}
		i += cp_len;
	}
	out[len++] = '"';
	return len;
}

/* The tokens of a string in JSON are those of its content alone, and their bytes those that are folded to them. */
static void test_random_json(void **state)
{
	static struct tokens content, whole;
	(void)state;
	for (int round = 0; round < 3000; round++) {
		char bytes[RANDOM_MAX], body[8 * RANDOM_MAX] = "{\"key\":[1,";
		struct tl_slice made = random_text(bytes, 30);
		size_t len = strlen(body);
		len += put_string(body + len, made);
		memcpy(body + len, "]}", 2);
		len += 2;
		take_tokens(&content, made, plain);
		take_tokens(&whole, tl_slice(body, len), round % 2 ? json : "");
		assert_int_equal(whole.count, content.count);
		for (size_t i = 0; i < whole.count; i++) {
			char alone[8 * RANDOM_MAX];
			assert_true(tl_slice_equal(whole.at[i].term, content.at[i].term));
			assert_int_equal(whole.at[i].joined, content.at[i].joined);
			struct tl_slice part = bytes_of(tl_slice(body, len), whole.at[i].from, whole.at[i].to);
			size_t alone_len = (size_t)snprintf(alone, sizeof alone, "\"%.*s\"", (int)part.len, (const char *)part.ptr);
			struct found found = find(whole.at[i].term, tl_slice(alone, alone_len), json);
			require(found.matches, "a token's bytes are folded to it", whole.at[i].term, part);
		}
	}
}

/* ---- Plain oracles ---- */

/* A run of Chinese, Japanese or Korean characters is found if it is there, byte for byte. */
static void test_runs_against_strstr(void **state)
{
	static const char *const units[] = {"中", "国", "人", "か", "ナ", "한", "국", "ー"};
	static const char *const between[] = {" ", "，", "a", "\n", "1"};
	size_t found_count = 0;
	(void)state;
	for (int round = 0; round < 20000; round++) {
		char body[256] = "", q[64] = "";
		for (uint32_t n = rnd(20) + 1; n > 0; n--)
			strcat(body, rnd(5) ? units[rnd(3 + (uint32_t)round % 6)] : between[rnd(5)]);
		for (uint32_t n = rnd(4) + 1; n > 0; n--)
			strcat(q, units[rnd(3 + (uint32_t)round % 6)]);
		bool expected = strstr(body, q) != NULL;
		require(find(tl_slice_str(q), tl_slice_str(body), plain).matches == expected, "as strstr has it", tl_slice_str(q),
		        tl_slice_str(body));
		found_count += expected;
	}
	assert_in_range(found_count, 2000, 18000);
}

/* A word is found if it is one of the words, whatever their case. */
static void test_words_against_strtok(void **state)
{
	size_t found_count = 0;
	(void)state;
	for (int round = 0; round < 20000; round++) {
		char body[128] = "", copy[128], q[8] = "";
		bool expected = false;
		for (uint32_t n = rnd(60); n > 0; n--)
			strncat(body, &"abAB1 -.,"[rnd(9)], 1);
		for (uint32_t n = rnd(3) + 1; n > 0; n--)
			strncat(q, &"ab1"[rnd(3)], 1);
		strcpy(copy, body);
		for (char *word = strtok(copy, " -.,"); word; word = strtok(NULL, " -.,"))
			expected |= !strcasecmp(word, q);
		require(find(tl_slice_str(q), tl_slice_str(body), plain).matches == expected, "as strtok has it", tl_slice_str(q),
		        tl_slice_str(body));
		found_count += expected;
	}
	assert_in_range(found_count, 2000, 18000);
}

/* A text is the same text, composed or decomposed. */
static void test_random_normalisation(void **state)
{
	static struct tokens composed, decomposed;
	(void)state;
	for (int round = 0; round < 10000; round++) {
		char bytes[RANDOM_MAX];
		uint8_t nfc[2 * RANDOM_MAX], nfd[2 * RANDOM_MAX];
		size_t nfc_len = sizeof nfc, nfd_len = sizeof nfd;
		struct tl_slice body = random_text(bytes, 30);
		assert_ptr_equal(u8_normalize(UNINORM_NFC, body.ptr, body.len, nfc, &nfc_len), nfc);
		assert_ptr_equal(u8_normalize(UNINORM_NFD, body.ptr, body.len, nfd, &nfd_len), nfd);
		take_tokens(&composed, tl_slice(nfc, nfc_len), plain);
		take_tokens(&decomposed, tl_slice(nfd, nfd_len), plain);
		require(composed.count == decomposed.count, "as many tokens", tl_slice(nfd, nfd_len), body);
		for (size_t i = 0; i < composed.count; i++) {
			require(tl_slice_equal(composed.at[i].term, decomposed.at[i].term), "the same terms", tl_slice(nfd, nfd_len), body);
			require(composed.at[i].joined == decomposed.at[i].joined, "joined alike", tl_slice(nfd, nfd_len), body);
		}
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define RANDOM_TEST(name) cmocka_unit_test_setup_teardown(name, seed_random, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_words),
		TEST(test_phrases),
		TEST(test_pieces),
		TEST(test_prefixes),
		TEST(test_european),
		TEST(test_chinese),
		TEST(test_japanese_and_korean),
		TEST(test_other_scripts),
		TEST(test_emoji),
		TEST(test_json),
		TEST(test_limits),
		TEST(test_empty),
		TEST(test_index_terms),
		TEST(test_long_words),
		TEST(test_many_highlights),
		TEST(test_longest_run),
		TEST(test_may_match),
		TEST(test_may_match_every_code_point),
		RANDOM_TEST(test_random_parts),
		RANDOM_TEST(test_random_queries),
		RANDOM_TEST(test_random_json),
		RANDOM_TEST(test_runs_against_strstr),
		RANDOM_TEST(test_words_against_strtok),
		RANDOM_TEST(test_random_normalisation),
	};
#undef RANDOM_TEST
#undef TEST
	return cmocka_run_group_tests(tests, NULL, NULL);
}
