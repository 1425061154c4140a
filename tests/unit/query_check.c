#include "query_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

struct tl_text *check_text;

int check_set_up(void **state)
{
	(void)state;
	return tl_text_new(&check_text) != TL_OK;
}

int check_tear_down(void **state)
{
	(void)state;
	tl_text_free(check_text);
	return 0;
}

struct tl_query *check_parse(struct tl_slice q)
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

void check_analyse(struct tl_slice body, const char *ctype)
{
	assert_int_equal(tl_text_analyse(check_text, body, tl_slice_str(ctype)), TL_OK);
}

/* ---- What holds for any match ---- */

void check_require(bool holds, const char *what, struct tl_slice q, struct tl_slice body)
{
	if (!holds)
		fail_msg("not so: %s, with \"%.*s\" in \"%.*s\"", what, (int)q.len, (const char *)q.ptr, (int)body.len,
		         (const char *)body.ptr);
}

static bool has_term(struct tl_query_term wanted)
{
	const struct tl_slice *terms;
	size_t count;
	assert_int_equal(tl_text_terms(check_text, &terms, &count), TL_OK);
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
	check_require(count > 0 || tl_query_is_empty(query), "the index is asked for something", q, body);
	for (size_t i = 0; i < count; i++)
		check_require(has_term(terms[i]), "the index has each term", q, body);
	check_require(tl_query_may_match(query, body), "what matches may match", q, body);
}

bool begins_code_point(struct tl_slice bytes, uint32_t at)
{
	return at == bytes.len || (at < bytes.len && (((const unsigned char *)bytes.ptr)[at] & 0xc0) != 0x80);
}

static void check_ranges(const struct tl_range *ranges, size_t count, struct tl_slice q, struct tl_slice body)
{
	check_require(count <= TL_HIGHLIGHTS_MAX, "not too many highlights", q, body);
	for (size_t i = 0; i < count; i++) {
		check_require(ranges[i].from < ranges[i].to && ranges[i].to <= body.len, "highlights within the body", q, body);
		check_require(i == 0 || ranges[i - 1].to < ranges[i].from, "highlights ascend and do not touch", q, body);
		check_require(begins_code_point(body, ranges[i].from) && begins_code_point(body, ranges[i].to),
		              "highlights are whole code points", q, body);
	}
}

/* Matches the body just analysed, and checks all that holds for any match. */
static struct found match(const struct tl_query *query, struct tl_slice q, struct tl_slice body)
{
	struct found found = {.count = 0};
	const struct tl_range *ranges;
	assert_int_equal(tl_query_match(query, check_text, &found.matches, &ranges, &found.count), TL_OK);
	check_ranges(ranges, found.count, q, body);
	check_require(found.matches ? found.count > 0 || tl_query_is_empty(query) : found.count == 0,
	              "highlights or no match", q, body);
	memcpy(found.ranges, ranges, found.count * sizeof *ranges);
	if (found.matches)
		check_index(query, q, body);
	return found;
}

struct found check_find(struct tl_slice q, struct tl_slice body, const char *ctype)
{
	struct tl_query *query = check_parse(q);
	check_analyse(body, ctype);
	struct found found = match(query, q, body);
	tl_query_free(query);
	return found;
}
