/* Fuzzes text analysis, query parsing and matching with arbitrary bytes. The first byte chooses the content type, the
 * second says how many of the bytes after it are the query; the rest is the body. Invariants:
 *   - tokens and highlights lie within the body, ascending; joined tokens' terms lie one after the other;
 *   - index terms are ascending and distinct, none too long;
 *   - a query that matches has all its index terms there, and may match; one that is refused says why. */
#include "query.h"
#include "text.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void check_tokens(const struct tl_text *text, struct tl_slice body)
{
	size_t count;
	const struct tl_token *tokens = tl_text_tokens(text, &count);
	for (size_t i = 0; i < count; i++) {
		const struct tl_token *token = &tokens[i];
		require(token->term.len > 0 && token->from < token->to && token->to <= body.len);
		require(i > 0 || !token->joined);
		if (i == 0)
			continue;
		require(token[-1].from <= token->from && token[-1].to <= token->to && token[-1].position < token->position);
		require(!token->joined || (token->run && token[-1].run && token->position == token[-1].position + 1 &&
		                           (const char *)token[-1].term.ptr + token[-1].term.len == token->term.ptr));
	}
}

static const struct tl_slice *check_terms(struct tl_text *text, size_t *count_out)
{
	const struct tl_slice *terms;
	require(!tl_text_terms(text, &terms, count_out));
	for (size_t i = 0; i < *count_out; i++) {
		require(terms[i].len > 0 && terms[i].len <= TL_TERM_MAX);
		require(i == 0 || tl_slice_compare(terms[i - 1], terms[i]) < 0);
	}
	return terms;
}

static bool has_term(const struct tl_slice *terms, size_t count, const struct tl_query_term *wanted)
{
	for (size_t i = 0; i < count; i++) {
		bool longer = terms[i].len >= wanted->term.len && wanted->prefix;
		if (tl_slice_equal(tl_slice(terms[i].ptr, longer ? wanted->term.len : terms[i].len), wanted->term))
			return true;
	}
	return false;
}

static void check_match(const struct tl_query *query, struct tl_text *text, struct tl_slice body)
{
	const struct tl_range *ranges;
	size_t count, terms_count, wanted_count;
	bool matches;
	require(!tl_query_match(query, text, &matches, &ranges, &count));
	require(count <= TL_HIGHLIGHTS_MAX && (matches ? count > 0 || tl_query_is_empty(query) : count == 0));
	for (size_t i = 0; i < count; i++)
		require(ranges[i].from < ranges[i].to && ranges[i].to <= body.len && (!i || ranges[i - 1].to < ranges[i].from));
	const struct tl_slice *terms = check_terms(text, &terms_count);
	const struct tl_query_term *wanted = tl_query_terms(query, &wanted_count);
	require(wanted_count <= TL_QUERY_INDEX_TERMS_MAX && (wanted_count == 0) == tl_query_is_empty(query));
	bool may = tl_query_may_match(query, body);
	for (size_t i = 0; i < wanted_count && matches; i++)
		require(has_term(terms, terms_count, &wanted[i]));
	require(may || !matches);
}

static void check(struct tl_slice q, struct tl_slice body, const char *ctype)
{
	static struct tl_text *text; /* one for all inputs: what is left of one must not show in the next */
	struct tl_query *query;
	struct tl_why why = {""};
	require(text || !tl_text_new(&text));
	require(!tl_text_analyse(text, body, tl_slice_str(ctype)));
	check_tokens(text, body);
	enum tl_err err = tl_query_parse(q, &query, &why);
	if (err) {
		require(err == TL_BAD_REQUEST && why.text[0]);
		return;
	}
	check_match(query, text, body);
	tl_query_free(query);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const ctypes[] = {"", "text/plain", "application/json"};
	if (size < 2)
		return 0;
	size_t q_len = data[1] < size - 2 ? data[1] : size - 2;
	/* The query is looked for in the body, and in itself. */
	struct tl_slice q = tl_slice(data + 2, q_len), body = tl_slice(data + 2 + q_len, size - 2 - q_len);
	check(q, body, ctypes[data[0] % 3]);
	check(q, q, ctypes[data[0] % 3]);
	return 0;
}
