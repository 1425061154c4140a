/* storage/text: what becomes a token in which script, and where in the body it came from; every code point there is;
 * and bodies made to hurt. A body is copied to a heap block of exactly its size, so that the address sanitizer sees a
 * read beyond it; every analysis of every test is checked against what text.h promises of any (check_tokens,
 * check_terms). */
#include "failing_allocation.h"
#include "text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unicase.h>
#include <uninorm.h>
#include <unistr.h>

#include <cmocka.h>

static size_t allocations, fail_at; /* the fail_at-th fails; 0: none */
static size_t held_max;             /* bytes of the largest one */

bool allocation_fails(size_t size)
{
	held_max = size > held_max ? size : held_max;
	return ++allocations == fail_at;
}

static const char json[] = "application/json", plain[] = "text/plain";

static struct tl_text *text;
static char *body; /* of the last analysis */

static int set_up(void **state)
{
	(void)state;
	return tl_text_new(&text) != TL_OK;
}

static int tear_down(void **state)
{
	(void)state;
	tl_text_free(text);
	free(body);
	body = NULL;
	return 0;
}

/* ---- What holds for any body ---- */

static bool begins_code_point(struct tl_slice bytes, uint32_t at)
{
	return at == bytes.len || (at < bytes.len && (((const unsigned char *)bytes.ptr)[at] & 0xc0) != 0x80);
}

static void require(bool holds, const char *what, struct tl_slice bytes)
{
	if (!holds)
		fail_msg("%s does not hold of: %.*s", what, (int)bytes.len, (const char *)bytes.ptr);
}

static void check_tokens(struct tl_slice bytes)
{
	size_t count;
	const struct tl_token *tokens = tl_text_tokens(text, &count), *last = NULL;
	for (const struct tl_token *token = tokens; token < tokens + count; last = token++) {
		require(token->from < token->to && token->to <= bytes.len, "a range within the body", bytes);
		require(begins_code_point(bytes, token->from), "a code point begins a range", bytes);
		require(begins_code_point(bytes, token->to), "a code point ends a range", bytes);
		require(token->term.len > 0 && !u8_check(token->term.ptr, token->term.len), "a term of UTF-8", bytes);
		require(!last || (last->from <= token->from && last->to <= token->to), "ascending ranges", bytes);
		require(!last || last->position < token->position, "ascending positions", bytes);
		if (!token->joined)
			continue;
		require(last && last->run && token->run, "only runs are joined", bytes);
		require(token->position == last->position + 1 && token->from <= last->to, "joined are neighbours", bytes);
		require((const char *)last->term.ptr + last->term.len == token->term.ptr, "joined terms are neighbours", bytes);
	}
}

/* A token's term as the index has it. */
static struct tl_slice index_term(const struct tl_token *token, const struct tl_token *end)
{
	struct tl_slice term = token->term;
	if (token + 1 < end && token[1].joined)
		term.len += token[1].term.len;
	term.len = term.len < TL_TERM_MAX ? term.len : TL_TERM_MAX;
	return term;
}

static int compare_slices(const void *a, const void *b)
{
	return tl_slice_compare(*(const struct tl_slice *)a, *(const struct tl_slice *)b);
}

/* The terms are those of the tokens, found again by a way that has nothing in common with the program's. */
static void check_terms(struct tl_slice bytes)
{
	size_t count, terms_count, distinct = 0;
	const struct tl_slice *terms;
	const struct tl_token *tokens = tl_text_tokens(text, &count);
	assert_int_equal(tl_text_terms(text, &terms, &terms_count), TL_OK);
	struct tl_slice *expected = test_malloc((count + 1) * sizeof *expected);
	for (size_t i = 0; i < count; i++)
		expected[i] = index_term(&tokens[i], tokens + count);
	qsort(expected, count, sizeof *expected, compare_slices);
	for (size_t i = 0; i < count; i++)
		if (i == 0 || !tl_slice_equal(expected[i], expected[i - 1]))
			require(distinct < terms_count && tl_slice_equal(terms[distinct++], expected[i]), "each term once", bytes);
	require(distinct == terms_count, "no term but the tokens'", bytes);
	test_free(expected);
}

static void analyse(struct tl_slice bytes, const char *ctype)
{
	free(body);
	body = malloc(bytes.len ? bytes.len : 1);
	assert_non_null(body);
	memcpy(body, bytes.ptr, bytes.len);
	assert_int_equal(tl_text_analyse(text, tl_slice(body, bytes.len), tl_slice_str(ctype)), TL_OK);
	check_tokens(tl_slice(body, bytes.len));
	check_terms(tl_slice(body, bytes.len));
}

/* ---- Examples ---- */

/* The tokens as one line: a blank before each, before one that is joined none, " | " where the positions jump. */
static const char *shown(void)
{
	static char line[4096];
	size_t count, len = 0;
	const struct tl_token *tokens = tl_text_tokens(text, &count);
	line[0] = '\0';
	for (size_t i = 0; i < count; i++) {
		bool jump = i > 0 && tokens[i].position != tokens[i - 1].position + 1;
		const char *before = i == 0 || tokens[i].joined ? "" : jump ? " | " : " ";
		len += (size_t)snprintf(line + len, sizeof line - len, "%s%.*s", before, (int)tokens[i].term.len,
		                        (const char *)tokens[i].term.ptr);
		assert_true(len < sizeof line);
	}
	return line;
}

static void assert_shown(const char *bytes, const char *ctype, const char *expected)
{
	analyse(tl_slice_str(bytes), ctype);
	assert_string_equal(shown(), expected);
}

static void test_latin(void **state)
{
	(void)state;
	assert_shown("The Quick  brown-fox!", "", "the quick brown fox");
	assert_shown("foo@example.com http://a.b/c?d=e#f", "", "foo example com http a b c d e f");
	assert_shown("don't donʼt don’t foo_bar 3.14 1,000 a1b2", "", "don t don t don t foo bar 3 14 1 000 a1b2");
	assert_shown("Die Straße über die BRÜCKE, GROẞ", "", "die strasse uber die brucke gross");
	assert_shown("Cœur Éléphant naïve ÇA  e\xcc\x81te\xcc\x81", "", "coeur elephant naive ca ete");
	assert_shown("ISPARTA ısparta İzmir izmir ığdır IĞDIR", "", "isparta isparta izmir izmir igdir igdir");
	assert_shown("Æsop Łódź Đà Nẵng smørrebrød þing", "", "aesop lodz da nang smorrebrod thing");
	assert_shown("ＡＢＣ１２ ﬁn oﬃce Ⅷ x² ① ™ Foo™", "", "abc12 fin office viii x2 1 ™ foo ™");
	assert_shown("½ 2½ 25℃ \xc2\xb4 …", "", "1 2 2 1 2 25 c");
	/* soft hyphen, zero-width space, BOM */
	assert_shown("co\xc2\xado\xe2\x80\x8bp \xe2\x80\x8b\xef\xbb\xbf", "", "coop");
	assert_shown("  \t\r\n .,;:!?", "", "");
	assert_shown("", "", "");
}

static void test_greek_and_cyrillic(void **state)
{
	(void)state;
	assert_shown("ΣΊΣΥΦΟΣ Σίσυφος ᾳ ΑΙ ά", "", "σισυφοσ σισυφοσ αι αι α");
	assert_shown("Ёлка ёлка ЙОД и\xcc\x86од сто\xcc\x81ит", "", "елка елка йод йод стоит");
	assert_shown("Їжак ґанок Ўзбек у\xcc\x86збек", "", "іжак ґанок ўзбек ўзбек");
}

static void test_semitic_and_indic(void **state)
{
	(void)state;
	assert_shown("مُحَمَّد أحمد احمد آب إلى الى ٱلله", "", "محمد احمد احمد اب الي الي الله");
	assert_shown("ا\xd9\x94حمد و\xd9\x94 ؤ ئ كـتاب ﷺ", "", "احمد ؤ ؤ ئ كتاب صلي الله عليه وسلم");
	assert_shown("کتاب كتاب می\xe2\x80\x8cخواهم ٣٫١٤", "", "كتاب كتاب ميخواهم 3 14");
	assert_shown("שָׁלוֹם שלום", "", "שלום שלום");
	assert_shown("हिन्दी में क़ क\xe0\xa4\xbc १२", "", "हिन्दी में क़ क\xe0\xa4\xbc 12");
	assert_shown("কো ক\xe0\xa7\x87\xe0\xa6\xbe தமிழ்", "", "কো কো தமிழ்");
}

static void test_chinese_and_japanese(void **state)
{
	(void)state;
	assert_shown("我在北京，天气好。", "", "我在北京 天气好");
	assert_shown("iPhone手机壳 第3章", "", "iphone 手机壳 第 3 章");
	assert_shown("葛\xf3\xa0\x84\x80飾 𠀀𠮷 豈 ⼀", "", "葛飾 𠀀𠮷 豈 一"); /* variation, extension B, compatibility, radical */
	assert_shown("々〆ヵ月 〇", "", "々〆ヵ月 〇");
	assert_shown("ﾊﾝｶｸ ｶﾞｷﾞ か\xe3\x82\x99 か゛ あ\xe3\x82\x99", "", "ハンカク ガギ が が あ\xe3\x82\x99");
	assert_shown("コンピューター・ゲーム ㍻ ㈱トヨタ", "", "コンピューター ゲーム 平成 株 トヨタ");
	assert_shown("ㄅㄆㄇ", "", "ㄅㄆㄇ");
}

static void test_korean(void **state)
{
	(void)state;
	assert_shown("한국어 서울에서", "", "한국어 서울에서");
	assert_shown("\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab\xe1\x84\x80\xe1\x85\xae\xe1\x86\xa8", "", "한국"); /* jamo */
	assert_shown("앜ㅋㅋㅠㅠ ㅎㅏ ﾡﾤ", "", "앜ㅋㅋㅠㅠ ㅎㅏ ㄱㄴ");
}

static void test_south_east_asia(void **state)
{
	size_t count;
	(void)state;
	assert_shown("น้ำตก กา", "", "น้\xe0\xb9\x8d\xe0\xb8\xb2ตก กา");
	tl_text_tokens(text, &count);
	assert_int_equal(count, 8); /* น ้ ํ า ต ก ก า */
	assert_shown("ก\xe0\xb9\x88\xe0\xb9\x89", "", "ก\xe0\xb9\x88\xe0\xb9\x89"); /* two tone marks */
	assert_shown("ລາວ ខ្មែរ ៣", "", "ລາວ ខ្មែរ 3");
	/* marks in order */
	assert_shown("မြန်မာ \xe1\x80\x94\xe1\x80\xba\xe1\x80\xb7", "",
	             "မြန်မာ \xe1\x80\x94\xe1\x80\xb7\xe1\x80\xba");
}

static void test_emoji(void **state)
{
	(void)state;
	assert_shown("😀😃 hello👋world", "", "😀 😃 hello 👋 world");
	assert_shown("👍🏽 👍 ❤\xef\xb8\x8f ❤", "", "👍 👍 ❤ ❤");
	assert_shown("👨‍👩‍👧 ❤️‍🔥 👩🏽‍🚀 🤷‍♀️", "", "👨‍👩‍👧 ❤‍🔥 👩‍🚀 🤷‍♀");
	assert_shown("🇩🇪🇨🇳🇫", "", "🇩🇪 🇨🇳 🇫");
	assert_shown("🏴󠁧󠁢󠁥󠁮󠁧󠁿 1️⃣", "", "🏴󠁧󠁢󠁥󠁮󠁧󠁿 1");
}

/* ---- Where tokens come from ---- */

/* Each token's bytes of the body in brackets. */
static void assert_ranges(const char *bytes, const char *ctype, const char *expected)
{
	char line[1024] = "";
	size_t count, len = 0;
	analyse(tl_slice_str(bytes), ctype);
	const struct tl_token *tokens = tl_text_tokens(text, &count);
	for (size_t i = 0; i < count; i++)
		len += (size_t)snprintf(line + len, sizeof line - len, "[%.*s]", (int)(tokens[i].to - tokens[i].from),
		                        bytes + tokens[i].from);
	assert_string_equal(line, expected);
}

static void test_ranges(void **state)
{
	(void)state;
	assert_ranges("Die Straße, ok!", "", "[Die][Straße][ok]");
	assert_ranges("e\xcc\x81te\xcc\x81\xcc\x82 x", "", "[e\xcc\x81te\xcc\x81\xcc\x82][x]");
	assert_ranges("手机壳 ｶﾞ ㍻", "", "[手][机][壳][ｶﾞ][㍻][㍻]");
	assert_ranges("👍🏽👨‍👩‍👧❤️ a", "", "[👍🏽][👨‍👩‍👧][❤️][a]");
	assert_ranges("{\"k\":\"a caf\\u00e9 \\u4e2d\\u56fd\\n\\ud83d\\ude00\"}", json,
	              "[a][caf\\u00e9][\\u4e2d][\\u56fd][\\ud83d\\ude00]");
	assert_ranges("[\"ca\\/fe\\u0301\\\"x\\\\y\"]", "", "[ca][fe\\u0301][x][y]");
}

static void test_json_text(void **state)
{
	(void)state;
	assert_shown("{\"key\":\"A b\",\"n\":12,\"c\":[\"d\",true,{\"e\":\"f\"}]}", json, "a b | d | f");
	assert_shown(" [\"x\\ty\", \"\", \"-\", \"z\"] ", "", "x y | z");
	assert_shown("\"only a string\"", json, "only a string");
	assert_shown("\"only a string\"", "", "only a string");
	assert_shown("{\"k\":\"v\"}", "Application/JSON; charset=utf-8", "v");
	assert_shown("{\"k\":\"v\"}", "application/vnd.api+json", "v");
	assert_shown("{\"k\":\"v\"}", plain, "k v");
	assert_shown("{\"k\":\"v\"}", "application/jsonx", "k v");
	assert_shown("{\"k\":\"v\"}", " application/json \t; charset=utf-8", "v");
	assert_shown("{\"k\":\"v\"}", " ; application/json", "k v");
	assert_shown("[\"\\ud83d x \\ude00y \\ud83d\\u0041\"]", "", "x y a");
	assert_shown("[\"a\\u0000b\"]", "", "a b");
	assert_shown("[-0.5e+10,1E9,0,null,false,\"a\"]", "", "a");
	assert_shown("{}", "", "");
	assert_shown("{\"\":{\"\":[[],[\"q\"]]}}", "", "q");
}

/* What is no JSON is plain text as it stands. */
static void test_json_malformed(void **state)
{
	static const char *const cases[] = {
		"[1,2 x",      "{\"k\":\"v\"} x", "{\"k\" \"v\"}",  "{k:\"v\"}",  "[\"v\",]",
		"{\"k\":\"v\",}", "[\"v\\x\"]",      "[\"v\\u12g4\"]", "[\"v",      "[\"v\\",
		"[\"v\n\"]",    "[01,\"v\"]",      "[1.,\"v\"]",     "[.5,\"v\"]", "[1e,\"v\"]",
		"[\"v\"}",      "{\"v\":1]",       "[\"v\"]]",       "[nul,\"v\"]", "[+1,\"v\"]",
		"[\"\\ud800\\u00\",\"v\"]",
	};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char expected[256];
		analyse(tl_slice_str(cases[i]), plain);
		assert_true((size_t)snprintf(expected, sizeof expected, "%s", shown()) < sizeof expected);
		assert_shown(cases[i], json, expected);
		assert_shown(cases[i], "", expected);
		assert_null(strstr(expected, " | "));
	}
}

static void test_json_depth(void **state)
{
	char bytes[200];
	(void)state;
	for (int depth = 63; depth <= 66; depth++) {
		memset(bytes, '[', sizeof bytes);
		int at = depth + snprintf(bytes + depth, 8, "\"a\",1");
		memset(bytes + at, ']', (size_t)depth);
		bytes[at + depth] = '\0';
		assert_shown(bytes, "", depth <= 64 ? "a" : "a 1");
	}
}

/* ---- Bodies that have no tokens; terms ---- */

static void test_not_utf8(void **state)
{
	static const char *const cases[] = {"abc \xff",     "\xc0\x80",         "a\xe4\xb8",
	                                    "\xed\xa0\x80", "\xf4\x90\x80\x80", "[\"a\xff\"]"};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		assert_shown(cases[i], i % 2 ? json : "", "");
}

static void assert_terms(const char *bytes, const char *expected)
{
	char line[1024] = "";
	size_t count, len = 0;
	const struct tl_slice *terms;
	analyse(tl_slice_str(bytes), "");
	assert_int_equal(tl_text_terms(text, &terms, &count), TL_OK);
	for (size_t i = 0; i < count; i++)
		len += (size_t)snprintf(line + len, sizeof line - len, "%s%.*s", i ? " " : "", (int)terms[i].len,
		                        (const char *)terms[i].ptr);
	assert_string_equal(line, expected);
}

static void test_terms(void **state)
{
	(void)state;
	assert_terms("b a B abcdefgh abcdefghi abcdefg a", "a abcdefg abcdefgh abcdefghi b");
	assert_terms("我在北京 北京 京", "京 北京 在北 我在");
	assert_terms("a手b机壳", "a b 壳 手 机壳");
	assert_terms("👍👍 ok", "ok 👍");
	assert_terms("", "");
	assert_terms("x1234567890123456789012345678901234567890123456789012345678901234567 "
	             "x1234567890123456789012345678901234567890123456789012345678901230000",
	             "x123456789012345678901234567890123456789012345678901234567890123");
}

/* ---- Every code point ---- */

/* The tokens' terms one after the other. */
static struct tl_slice folded(char *out, size_t size)
{
	size_t count, len = 0;
	const struct tl_token *tokens = tl_text_tokens(text, &count);
	for (size_t i = 0; i < count; i++) {
		assert_true(len + tokens[i].term.len + 1 < size);
		memcpy(out + len, tokens[i].term.ptr, tokens[i].term.len);
		len += tokens[i].term.len;
		out[len++] = tokens[i].joined ? '+' : ' ';
	}
	return tl_slice(out, len);
}

static void quick(struct tl_slice bytes)
{
	assert_int_equal(tl_text_analyse(text, bytes, tl_slice_str(plain)), TL_OK);
	check_tokens(bytes);
}

/* Whether both bodies are the same to a search. */
static void assert_same(struct tl_slice a, struct tl_slice b, ucs4_t cp)
{
	char buffers[2][1024];
	quick(a);
	struct tl_slice x = folded(buffers[0], sizeof buffers[0]);
	quick(b);
	struct tl_slice y = folded(buffers[1], sizeof buffers[1]);
	if (!tl_slice_equal(x, y))
		fail_msg("U+%04X: \"%.*s\" and \"%.*s\" are not the same", (unsigned)cp, (int)x.len, (const char *)x.ptr,
		         (int)y.len, (const char *)y.ptr);
}

static struct tl_slice converted(struct tl_slice bytes, bool upper, uninorm_t form, uint8_t *out, size_t size)
{
	size_t len = size;
	uint8_t *made = upper ? u8_toupper(bytes.ptr, bytes.len, NULL, NULL, out, &len)
	                      : u8_normalize(form, bytes.ptr, bytes.len, out, &len);
	assert_ptr_equal(made, out);
	return tl_slice(out, len);
}

/* Each term of what was just analysed is folded to itself alone. */
static void assert_idempotent(ucs4_t cp)
{
	size_t count, again;
	struct tl_slice terms[64];
	char bytes[1024];
	const struct tl_token *tokens = tl_text_tokens(text, &count);
	assert_true(count <= 64);
	for (size_t i = 0, len = 0; i < count; len += tokens[i++].term.len) {
		assert_true(len + tokens[i].term.len <= sizeof bytes);
		memcpy(bytes + len, tokens[i].term.ptr, tokens[i].term.len);
		terms[i] = tl_slice(bytes + len, tokens[i].term.len);
	}
	for (size_t i = 0; i < count; i++) {
		quick(terms[i]);
		tokens = tl_text_tokens(text, &again);
		if (again != 1 || !tl_slice_equal(tokens[0].term, terms[i]))
			fail_msg("U+%04X: %.*s is folded again", (unsigned)cp, (int)terms[i].len, (const char *)terms[i].ptr);
	}
}

/* Alone, and between letters; normalised either way; as a capital. */
static void test_every_code_point(void **state)
{
	(void)state;
	for (ucs4_t cp = 1; cp < 0x110000; cp++) {
		uint8_t bytes[16], other[256];
		if (cp >= 0xd800 && cp <= 0xdfff)
			continue;
		struct tl_slice alone = tl_slice(bytes + 1, (size_t)u8_uctomb(bytes + 1, cp, 6));
		struct tl_slice inside = tl_slice(bytes, alone.len + 2);
		bytes[0] = 'a';
		bytes[alone.len + 1] = 'b';
		quick(inside);
		assert_idempotent(cp);
		quick(alone);
		assert_idempotent(cp);
		assert_same(alone, converted(alone, false, UNINORM_NFC, other, sizeof other), cp);
		assert_same(alone, converted(alone, false, UNINORM_NFD, other, sizeof other), cp);
		assert_same(alone, converted(alone, true, NULL, other, sizeof other), cp);
	}
}

/* ---- Bodies made to hurt ---- */

static struct tl_slice repeated(const char *unit, size_t bytes)
{
	size_t len = strlen(unit), at = 0;
	char *all = malloc(bytes + len);
	assert_non_null(all);
	for (; at < bytes; at += len)
		memcpy(all + at, unit, len);
	return tl_slice(all, at);
}

static size_t analyse_repeated(const char *unit, size_t bytes)
{
	size_t count;
	struct tl_slice all = repeated(unit, bytes);
	analyse(all, "");
	free((void *)all.ptr);
	tl_text_tokens(text, &count);
	return count;
}

static void test_large(void **state)
{
	const size_t large = 16 << 20;
	(void)state;
	assert_int_equal(analyse_repeated("a ", large), large / 2);
	assert_int_equal(analyse_repeated("中", large), large / 3 + 1);
	assert_int_equal(analyse_repeated("a", 1 << 20), 1);
	assert_int_equal(analyse_repeated("é", 1 << 20), 1);
	assert_int_equal(analyse_repeated("[\"a\",", 1 << 20), (1 << 20) / 5 + 1);
	assert_int_equal(analyse_repeated("👨‍", 1 << 20), 1);
	assert_int_equal(analyse_repeated("\xef\xb7\xba", 1 << 20), 4 * ((1 << 20) / 3 + 1)); /* 18 code points of one */
}

/* Marks in the wrong order, marks that go together with nothing, marks that are dropped. */
static void test_many_marks(void **state)
{
	static const char *const units[] = {
		"\xcc\x81",     "\xcc\x86",  "\xe0\xa5\x8d\xe0\xa4\xbc", "\xe3\x82\x99", "\xe1\x80\xba\xe1\x80\xb7",
		"\xe1\x85\xa1", "\xd9\x94", "\xef\xb8\x8f",               "\xe2\x80\x8d",
	};
	static const char *const letters[] = {"e", "क", "か", "န", "가", "ا", "👍"};
	(void)state;
	for (size_t u = 0; u < sizeof units / sizeof units[0]; u++) {
		for (size_t l = 0; l < sizeof letters / sizeof letters[0]; l++) {
			char *bytes = malloc(8 + 100000 * strlen(units[u]));
			struct tl_slice marks = repeated(units[u], 100000 * strlen(units[u]));
			size_t len = strlen(letters[l]);
			memcpy(bytes, letters[l], len);
			memcpy(bytes + len, marks.ptr, marks.len);
			analyse(tl_slice(bytes, len + marks.len), plain);
			free((void *)marks.ptr);
			free(bytes);
		}
	}
}

/* ---- Memory ---- */

static void analyse_mixture(void)
{
	static const char *const bodies[] = {"The quick brown fox", "我在北京，天气好", "Ёлка й", "[\"a\\u00e9\"]", "한국 👍🏽 ㍻"};
	const struct tl_slice *terms;
	size_t count;
	for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
		assert_int_equal(tl_text_analyse(text, tl_slice_str(bodies[i]), tl_slice_str("")), TL_OK);
		assert_int_equal(tl_text_terms(text, &terms, &count), TL_OK);
	}
}

static void test_steady_state(void **state)
{
	(void)state;
	analyse_mixture();
	allocations = 0;
	analyse_mixture();
	assert_int_equal(allocations, 0);
}

static void test_memory_is_bounded_and_given_back(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		held_max = 0;
		analyse_repeated("a ", 8 << 20);
		assert_true(held_max > 64 << 20); /* taken anew each time */
		assert_true(held_max < (size_t)40 * (8 << 20));
		analyse_repeated("a ", 100);
	}
}

/* Whichever allocation fails: no tokens or no terms, and all is well the next time. */
static void test_no_memory(void **state)
{
	const struct tl_slice *terms;
	size_t count, failures = 0;
	(void)state;
	struct tl_slice bytes = repeated("Ёлка 中国 ㍻ é 한국 \xef\xb7\xba ", 20000);
	for (size_t n = 1; failures + 1 >= n; n++) {
		tl_text_free(text);
		text = NULL;
		allocations = 0;
		fail_at = n;
		enum tl_err err = tl_text_new(&text);
		if (err == TL_OK)
			err = tl_text_analyse(text, bytes, tl_slice_str(""));
		if (err == TL_OK)
			err = tl_text_terms(text, &terms, &count);
		else if (text)
			assert_true((tl_text_tokens(text, &count), count == 0));
		fail_at = 0;
		failures += err == TL_NO_MEMORY;
		assert_true(err == TL_OK || err == TL_NO_MEMORY);
		if (text)
			analyse_mixture();
	}
	assert_true(failures > 10);
	free((void *)bytes.ptr);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_latin),
		TEST(test_greek_and_cyrillic),
		TEST(test_semitic_and_indic),
		TEST(test_chinese_and_japanese),
		TEST(test_korean),
		TEST(test_south_east_asia),
		TEST(test_emoji),
		TEST(test_ranges),
		TEST(test_json_text),
		TEST(test_json_malformed),
		TEST(test_json_depth),
		TEST(test_not_utf8),
		TEST(test_terms),
		TEST(test_every_code_point),
		TEST(test_large),
		TEST(test_many_marks),
		TEST(test_steady_state),
		TEST(test_memory_is_bounded_and_given_back),
		TEST(test_no_memory),
	};
#undef TEST
	return cmocka_run_group_tests(tests, NULL, NULL);
}
