/* storage/query: random texts and queries, checked against plain oracles (strstr for runs, equality for words, a
 * nested loop for phrases) and against the promises:
 *
 *   (P1) what matches has every index term that the query asks for, and may match (query_check);
 *   (P2) any part of a run, any word, in capitals and without accents too, and any beginning of one with a * is found;
 *   (P3) highlights are whole code points that, analysed alone, are what was looked for.
 *
 * TL_SEED in the environment repeats a run. */
#include "query_check.h"

#include "rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unicase.h>
#include <uninorm.h>
#include <unistr.h>

#include <cmocka.h>

static const char json[] = "application/json", plain[] = "text/plain";

/* ---- Random texts ---- */

static uint64_t seed;
static struct rng rng;

static int seed_random(void **state)
{
	rng.state = seed = rng_seed();
	printf("TL_SEED=%llu\n", (unsigned long long)seed);
	return check_set_up(state);
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
	for (uint32_t n = below(&rng, pieces_max) + 1; n > 0; n--) {
		const char *piece = pieces[below(&rng, PIECES)];
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
	check_analyse(bytes, ctype);
	size_t len = 0;
	const struct tl_token *tokens = tl_text_tokens(check_text, &out->count);
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
		struct found again = check_find(q, highlight, plain);
		check_require(again.matches && again.count == 1, "a highlight is what was looked for", q, highlight);
		check_require(again.ranges[0].from == 0 && again.ranges[0].to == highlight.len, "all of it", q, highlight);
	}
}

/* A query that has to find something at the bytes [from, to). */
static void assert_found(struct tl_slice q, struct tl_slice body, uint32_t from, uint32_t to)
{
	struct found found = check_find(q, body, plain);
	check_require(found.matches, "found", q, body);
	bool covered = found.count == TL_HIGHLIGHTS_MAX;
	for (size_t i = 0; i < found.count; i++)
		covered |= found.ranges[i].from <= from && found.ranges[i].to >= to;
	check_require(covered, "highlighted where it was taken from", q, body);
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
	len = below(&rng, (uint32_t)token->term.len) + 1;
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
	while (last + 1 < end && last[1].joined && below(&rng, 3))
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

/* Elements as they are written: a part of the text or other check_text, in quotes or not. */
static void random_element(struct element *e, struct tl_slice body)
{
	char part[RANDOM_MAX];
	struct tl_slice made;
	do {
		if (below(&rng, 3)) {
			uint32_t from = below(&rng, (uint32_t)body.len), len = below(&rng, 24) + 1;
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
	bool quoted = memchr(made.ptr, ' ', made.len) || memchr(made.ptr, '\n', made.len) || below(&rng, 2);
	const struct tl_token *last = &e->tokens.at[e->tokens.count - 1];
	e->prefix = !last->run && last->to == made.len && below(&rng, 2);
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
			check_require(highlighted == (marks[at] != 0), "highlighted as the nested loop has it", q, body);
	}
}

static bool check_random_query(struct tl_slice body)
{
	static struct tokens in;
	static struct element elements[3];
	char q[RANDOM_MAX] = "", marks[RANDOM_MAX] = "";
	bool expected = true;
	size_t count = below(&rng, 3) + 1, len = 0;
	for (size_t i = 0; i < count; i++) {
		random_element(&elements[i], body);
		memcpy(q + len, elements[i].bytes, elements[i].len);
		len += elements[i].len;
		q[len++] = ' ';
	}
	take_tokens(&in, body, plain);
	for (size_t i = 0; i < count; i++)
		expected &= mark(&elements[i], &in, marks);
	struct found found = check_find(tl_slice(q, len), body, plain);
	check_require(found.matches == expected, "as the nested loop has it", tl_slice(q, len), body);
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
		if (cp == '\n' || below(&rng, 2)) {
			int count = u16_uctomb(units, cp, 2);
			for (int u = 0; u < count; u++)
				len += (size_t)sprintf(out + len, below(&rng, 2) ? "\\u%04x" : "\\u%04X", units[u]);
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
			struct found found = check_find(whole.at[i].term, tl_slice(alone, alone_len), json);
			check_require(found.matches, "a token's bytes are folded to it", whole.at[i].term, part);
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
		for (uint32_t n = below(&rng, 20) + 1; n > 0; n--)
			strcat(body, below(&rng, 5) ? units[below(&rng, 3 + (uint32_t)round % 6)] : between[below(&rng, 5)]);
		for (uint32_t n = below(&rng, 4) + 1; n > 0; n--)
			strcat(q, units[below(&rng, 3 + (uint32_t)round % 6)]);
		bool expected = strstr(body, q) != NULL;
		struct found found = check_find(tl_slice_str(q), tl_slice_str(body), plain);
		check_require(found.matches == expected, "as strstr has it", tl_slice_str(q), tl_slice_str(body));
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
		for (uint32_t n = below(&rng, 60); n > 0; n--)
			strncat(body, &"abAB1 -.,"[below(&rng, 9)], 1);
		for (uint32_t n = below(&rng, 3) + 1; n > 0; n--)
			strncat(q, &"ab1"[below(&rng, 3)], 1);
		strcpy(copy, body);
		for (char *word = strtok(copy, " -.,"); word; word = strtok(NULL, " -.,"))
			expected |= !strcasecmp(word, q);
		struct found found = check_find(tl_slice_str(q), tl_slice_str(body), plain);
		check_require(found.matches == expected, "as strtok has it", tl_slice_str(q), tl_slice_str(body));
		found_count += expected;
	}
	assert_in_range(found_count, 2000, 18000);
}

/* A text is the same check_text, composed or decomposed. */
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
		struct tl_slice other = tl_slice(nfd, nfd_len);
		check_require(composed.count == decomposed.count, "as many tokens", other, body);
		for (size_t i = 0; i < composed.count; i++) {
			const struct tl_token *a = &composed.at[i], *b = &decomposed.at[i];
			check_require(tl_slice_equal(a->term, b->term), "the same terms", other, body);
			check_require(a->joined == b->joined, "joined alike", other, body);
		}
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, seed_random, check_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_random_parts),
		TEST(test_random_queries),
		TEST(test_random_json),
		TEST(test_runs_against_strstr),
		TEST(test_words_against_strtok),
		TEST(test_random_normalisation),
	};
#undef TEST
	return cmocka_run_group_tests(tests, NULL, NULL);
}
