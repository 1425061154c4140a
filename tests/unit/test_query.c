/* storage/query: examples in many languages with their highlights, limits, what the index is asked, the cheap test. */
#include "query_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistr.h>

#include <cmocka.h>

/* ---- Examples ---- */

/* The body with its highlights in brackets; "-": it does not match. */
static const char *shown(const struct found *found, const char *body)
{
	static char line[2048];
	size_t len = 0, at = 0;
	if (!found->matches)
		return "-";
	for (size_t i = 0; i < found->count; at = found->ranges[i++].to)
		len += (size_t)snprintf(line + len, sizeof line - len, "%.*s[%.*s]", (int)(found->ranges[i].from - at),
		                        body + at, (int)(found->ranges[i].to - found->ranges[i].from),
		                        body + found->ranges[i].from);
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
		struct found found = check_find(tl_slice_str(examples[i].q), tl_slice_str(examples[i].body), ctype);
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
	ASSERT_EXAMPLES("",
		{"fox", "The quick brown Fox, foxes", "The quick brown [Fox], foxes"},
		{"FOX quick", "The quick brown fox", "The [quick] brown [fox]"}, {"fox dog", "The quick brown fox", "-"},
		{"fo", "fox", "-"}, {"foxes", "fox", "-"}, {"a", "a a.a b a", "[a] [a].[a] b [a]"}, {"a b", "b", "-"},
		{"a a", "b a", "b [a]"});
}

static void test_phrases(void **state)
{
	(void)state;
	ASSERT_EXAMPLES("",
		{"\"quick brown\"", "The quick, BROWN fox; brown quick", "The [quick, BROWN] fox; brown quick"},
		{"\"quick fox\"", "The quick brown fox", "-"}, {"\"brown quick\"", "quick brown", "-"},
		{"\"a a b\"", "a a a b", "a [a a b]"}, {"\"a b a\"", "a b a b a c", "[a b a b a] c"},
		{"“quick brown”", "the quick brown", "the [quick brown]"},
		{"\"quick brown", "the quick brown", "the [quick brown]"},
		{"\"quick\"brown", "brown quick", "[brown] [quick]"},
		{"fox\"the quick\"", "fox the quick", "[fox] [the quick]"}, {"\"\" \"fox\" \"", "fox", "[fox]"},
		{"\"a b\"\"c d\"", "c d a b", "[c d] [a b]"});
}

static void test_pieces(void **state)
{
	(void)state;
	ASSERT_EXAMPLES("",
		{"foo-bar", "a foo-bar, foo x bar", "a [foo-bar], foo x bar"}, {"foo-bar", "foo bar", "[foo bar]"},
		{"foo-bar", "foo x bar", "-"}, {"foo_bar", "FOO_BAR", "[FOO_BAR]"},
		{"3.14", "pi=3.14159 or 3.14!", "pi=3.14159 or [3.14]!"}, {"don't", "I don’t", "I [don’t]"},
		{"me@example.com", "mail me@example.com", "mail [me@example.com]"},
		{"example", "mail me@example.com", "mail me@[example].com"}, {"¿qué?", "que", "[que]"},
		{"½", "1/2", "[1/2]"});
}

static void test_prefixes(void **state)
{
	(void)state;
	ASSERT_EXAMPLES("",
		{"qui*", "The quick quiet fox", "The [quick] [quiet] fox"}, {"quick*", "quick", "[quick]"},
		{"quicker*", "quick", "-"}, {"ÜB*", "uber Über", "[uber] [Über]"},
		{"\"the qui*\"", "the fox, the quick", "the fox, [the quick]"},
		{"\"th* quick\"", "then quick", "[then quick]"}, {"3.1*", "3.14", "[3.14]"}, {"qu**", "quick", "[quick]"},
		{"qu＊", "quick", "[quick]"}, {"longerthaneight*", "Longerthaneightbytes", "[Longerthaneightbytes]"},
		/* punctuation, where it is not at a word's end */
		{"*", "anything", "anything"}, {"*ick", "quick", "-"}, {"*quick", "quick", "[quick]"},
		{"qu*ck", "quick", "-"}, {"qu*ck", "qu ck", "[qu ck]"}, {"qu *", "quick", "-"}, {"foo-*", "foot", "-"});
}

static void test_european(void **state)
{
	(void)state;
	ASSERT_EXAMPLES("",
		{"strasse", "Die Straße", "Die [Straße]"}, {"STRAẞE", "die strasse", "die [strasse]"},
		{"munchen", "in München", "in [München]"}, {"garcon", "le GARÇON", "le [GARÇON]"},
		{"coeur", "mon cœur", "mon [cœur]"}, {"homme", "l’homme", "l’[homme]"}, {"l'homme", "l’homme", "[l’homme]"},
		{"e\xcc\x81te\xcc\x81", "l'été", "l'[été]"}, {"ete", "e\xcc\x81te\xcc\x81!", "[e\xcc\x81te\xcc\x81]!"},
		{"isparta", "ISPARTA", "[ISPARTA]"}, {"ISPARTA", "ısparta", "[ısparta]"},
		{"istanbul", "İSTANBUL", "[İSTANBUL]"}, {"ΟΔΟΣ", "η οδός μου", "η [οδός] μου"}, {"λογος", "ΛΌΓΟΣ", "[ΛΌΓΟΣ]"},
		{"ЁЛКА", "елка, ёлка", "[елка], [ёлка]"}, {"мои", "мой", "-"}, {"МОЙ", "мой", "[мой]"});
}

static void test_chinese(void **state)
{
	(void)state;
	ASSERT_EXAMPLES("",
		{"北京", "我在北京，北京很大", "我在[北京]，[北京]很大"}, {"京很", "北京很大", "北[京很]大"}, {"京", "北京 京城", "北[京] [京]城"},
		{"大", "北京很大", "北京很[大]"}, {"北大", "北京很大", "-"}, {"北京大", "北京很大", "-"}, {"北京", "北 京", "-"}, {"北京", "北，京", "-"},
		{"北京", "北\n京", "-"}, {"北 京", "京都北", "[京]都[北]"}, {"\"北京 很大\"", "北京很大", "[北京很大]"}, {"\"很大 北京\"", "北京很大", "-"},
		{"中国*", "在中国人", "在[中国]人"}, {"中中", "中中中", "[中中中]"}, {"iphone", "iPhone手机壳", "[iPhone]手机壳"},
		{"手机", "iPhone手机壳", "iPhone[手机]壳"}, {"iphone手机", "iPhone手机壳", "[iPhone手机]壳"},
		{"iphone手机", "iPhone 手机壳", "[iPhone 手机]壳"}, {"手", "iPhone手机壳", "iPhone[手]机壳"},
		{"手机iph*", "手机iPhone", "[手机iPhone]"}, {"第3章", "第3章", "[第3章]"}, {"“北京”", "我在北京", "我在[北京]"},
		{"大家准时参加明天上午十点在公司会议室召开的会议", "请大家准时参加明天上午十点在公司会议室召开的会议。", "请[大家准时参加明天上午十点在公司会议室召开的会议]。"});
}

#define KOREA_IN_JAMO "\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab\xe1\x84\x80\xe1\x85\xae\xe1\x86\xa8"

static void test_japanese_and_korean(void **state)
{
	(void)state;
	ASSERT_EXAMPLES("",
		{"カタカナ", "ｶﾀｶﾅとカタカナ", "[ｶﾀｶﾅ]と[カタカナ]"}, {"ガ", "ｶﾞ か\xe3\x82\x99 ガ", "[ｶﾞ] か\xe3\x82\x99 [ガ]"},
		{"が", "か\xe3\x82\x99", "[か\xe3\x82\x99]"}, {"か", "が", "-"}, {"は", "ぱ", "-"}, {"会議", "明日の会議は", "明日の[会議]は"},
		{"コンピュータ", "コンピューター", "[コンピュータ]ー"}, {"平成", "㍻三年", "[㍻]三年"}, {"서울", "서울에서 만나요", "[서울]에서 만나요"},
		{"에서", "서울에서", "서울[에서]"}, {"울에", "서울에서", "서[울에]서"}, {"서에", "서울에서", "-"}, {"ㅋㅋ", "앜ㅋㅋㅋㅠ", "앜[ㅋㅋㅋ]ㅠ"},
		{"ㅠㅠ", "ㅋㅠㅠ", "ㅋ[ㅠㅠ]"},
		{"한국", KOREA_IN_JAMO, "[" KOREA_IN_JAMO "]"},
		{"하", "한", "-"});
}

static void test_other_scripts(void **state)
{
	(void)state;
	ASSERT_EXAMPLES("",
		{"ประชุม", "เราจะประชุมกัน", "เราจะ[ประชุม]กัน"}, {"ชุม", "ประชุม", "ประ[ชุม]"},
		{"محمد", "قال مُحَمَّد", "قال [مُحَمَّد]"}, {"احمد", "أحمد", "[أحمد]"},
		{"שלום", "שָׁלוֹם לך", "[שָׁלוֹם] לך"}, {"हिन्दी", "मेरी हिन्दी", "मेरी [हिन्दी]"}, {"हिन्द", "हिन्दी", "-"},
		{"हिन्द*", "हिन्दी", "[हिन्दी]"});
}

static void test_emoji(void **state)
{
	(void)state;
	ASSERT_EXAMPLES("",
		{"👍", "ok 👍🏽 👎", "ok [👍🏽] 👎"}, {"👍🏽", "ok👍", "ok[👍]"}, {"👍👍", "👍 x 👍👍", "👍 x [👍👍]"},
		{"👨‍👩‍👧", "us: 👨‍👩‍👧!", "us: [👨‍👩‍👧]!"}, {"👩", "👨‍👩‍👧", "-"}, {"❤", "I ❤️ it", "I [❤️] it"},
		{"🇨🇳", "🇩🇪🇨🇳", "🇩🇪[🇨🇳]"}, {"🇪🇨", "🇩🇪🇨🇳", "-"}, {"hi👋", "HI 👋", "[HI 👋]"}, {"😀 ok", "ok", "-"});
}

static void test_json(void **state)
{
	(void)state;
	ASSERT_EXAMPLES("application/json",
		{"cafe", "{\"t\":\"le Caf\\u00e9!\"}", "{\"t\":\"le [Caf\\u00e9]!\"}"},
		{"中国", "{\"t\":\"在\\u4e2d\\u56fd。\"}", "{\"t\":\"在[\\u4e2d\\u56fd]。\"}"}, {"中国", "[\"中\\n国\"]", "-"},
		{"a b", "[\"a\\nb\"]", "[\"[a]\\n[b]\"]"}, {"\"a b\"", "[\"a\\nb\"]", "[\"[a\\nb]\"]"},
		{"nb", "[\"a\\nb\"]", "-"}, {"😀", "[\"x\\ud83d\\ude00\"]", "[\"x[\\ud83d\\ude00]\"]"},
		{"\"a b\"", "[\"a\",\"b\"]", "-"}, {"中国", "[\"中\",\"国\"]", "-"},
		{"a b", "[\"a\",\"b\"]", "[\"[a]\",\"[b]\"]"}, {"t", "{\"t\":\"x\"}", "-"},
		{"t", "{\"t\":\"x\"", "{\"[t]\":\"x\""});
	ASSERT_EXAMPLES("",
		{"t", "{\"t\":\"x\"}", "-"});
	ASSERT_EXAMPLES("text/plain",
		{"t", "{\"t\":\"x\"}", "{\"[t]\":\"x\"}"}, {"nb", "a\\nb", "a\\[nb]"});
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
	tl_query_free(check_parse(repeated("a", 1024)));
	assert_refused(repeated("a", 1025), "q is longer than 1024 bytes");
	tl_query_free(check_parse(repeated("a ", 32)));
	assert_refused(repeated("a ", 33), "q has more than 32 terms");
	tl_query_free(check_parse(repeated("a-", 32)));
	assert_refused(repeated("a-", 33), "q has more than 32 terms");
	tl_query_free(check_parse(repeated("中国 ", 32)));
	assert_refused(repeated("中国 ", 33), "q has more than 32 terms");
	assert_refused(repeated("👍", 33), "q has more than 32 terms");
	tl_query_free(check_parse(repeated("中", 341)));
	tl_query_free(check_parse(repeated("㍿", 128)));
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
		struct tl_query *query = check_parse(q);
		assert_true(tl_query_is_empty(query));
		tl_query_terms(query, &count);
		assert_int_equal(count, 0);
		assert_true(tl_query_may_match(query, tl_slice_str("any")));
		tl_query_free(query);
		struct found found = check_find(q, tl_slice_str("any"), "");
		assert_true(found.matches && found.count == 0);
	}
	struct tl_query *query = check_parse(tl_slice_str("a"));
	assert_false(tl_query_is_empty(query));
	tl_query_free(query);
	tl_query_free(NULL);
}

static void assert_index_terms(const char *q, const char *expected)
{
	char line[8192] = "";
	size_t count, len = 0;
	struct tl_query *query = check_parse(tl_slice_str(q));
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
	assert_index_terms("abcdefghijklmnopqrstu甲乙丙丁戊己庚辛壬癸子丑寅卯辰巳午未申酉戌", /* 21 characters: 16 pairs, from all of it */
	                   "abcdefghijklmnopqrstu 甲乙 乙丙 丙丁 丁戊 己庚 庚辛 辛壬 壬癸 子丑 丑寅 寅卯 卯辰 巳午 午未 未申 申酉");
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
	assert_true(check_find(tl_slice_str(words[0]), tl_slice_str(body), "").matches);
	assert_false(check_find(tl_slice_str(words[1]), tl_slice_str(body), "").matches);
	strcpy(words[1] + 80, "*");
	assert_true(check_find(tl_slice_str(words[1]), tl_slice_str(body), "").matches);
}

static void test_many_highlights(void **state)
{
	struct tl_slice body = repeated("a b ", 100);
	(void)state;
	struct found found = check_find(tl_slice_str("a"), body, "");
	assert_int_equal(found.count, TL_HIGHLIGHTS_MAX);
	for (uint32_t i = 0; i < TL_HIGHLIGHTS_MAX; i++)
		assert_true(found.ranges[i].from == 4 * i && found.ranges[i].to == 4 * i + 1);
	/* The last word counts, though there is no room for it. */
	((char *)body.ptr)[body.len - 2] = 'c';
	found = check_find(tl_slice_str("a c"), body, "");
	assert_true(found.matches && found.count == TL_HIGHLIGHTS_MAX);
	assert_false(check_find(tl_slice_str("a d"), body, "").matches);
	found = check_find(tl_slice_str("中"), repeated("中", 1000), "");
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
	assert_false(check_find(tl_slice(q, 1023), tl_slice(body, 3 * characters), "text/plain").matches);
	memcpy(body + 3 * characters - 3, "国", 3);
	struct found found = check_find(tl_slice(q, 1023), tl_slice(body, 3 * characters), "text/plain");
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
		check_analyse(body, "text/plain");
		const struct tl_token *tokens = tl_text_tokens(check_text, &count);
		for (size_t i = 0; i < count; i++) {
			struct tl_query *query = check_parse(tokens[i].term);
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
		struct tl_query *query = check_parse(tl_slice_str(cases[i].q));
		assert_int_equal(tl_query_may_match(query, tl_slice_str(cases[i].body)), cases[i].may);
		tl_query_free(query);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, check_set_up, check_tear_down)
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
	};
#undef TEST
	return cmocka_run_group_tests(tests, NULL, NULL);
}
