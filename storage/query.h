/* What a user looks for: the `q` of a search, parsed once and then compared with messages.
 *
 *     word word        both          "word word"   next to one another, in this order
 *     wor*             a word that begins so        foo-bar   what one blank-free piece is cut into stands together
 *
 * A query is immutable once parsed: any number of threads may use it at a time. */
#ifndef TL_QUERY_H
#define TL_QUERY_H

#include "error.h"
#include "slice.h"
#include "text.h"

#include <stdbool.h>
#include <stdint.h>

enum {
	TL_QUERY_BYTES_MAX = 1024,     /* of q */
	TL_QUERY_TERMS_MAX = 32,       /* words, emoji, and runs of characters written without spaces, in q */
	TL_QUERY_TOKENS_MAX = 512,     /* words, emoji, and characters written without spaces, in q as it is folded */
	TL_QUERY_INDEX_TERMS_MAX = 64, /* what the index is asked at most */
	TL_HIGHLIGHTS_MAX = 64,        /* ranges told of one body */
};

struct tl_query;

/* Parses q; the query is the caller's to free. TL_BAD_REQUEST, and `why` (may be NULL) says it: q is longer than
 * TL_QUERY_BYTES_MAX, is not valid UTF-8, or has more than TL_QUERY_TERMS_MAX terms or TL_QUERY_TOKENS_MAX tokens.
 * TL_NO_MEMORY. Any thread. */
TL_MUST_USE enum tl_err tl_query_parse(struct tl_slice q, struct tl_query **query_out, struct tl_why *why);

/* NULL is allowed. */
void tl_query_free(struct tl_query *query);

/* Whether q had nothing to look for (only blanks or punctuation). Such a query matches every body, without
 * highlights. */
bool tl_query_is_empty(const struct tl_query *query);

struct tl_query_term {
	struct tl_slice term; /* at most TL_TERM_MAX bytes */
	bool prefix;
};

/* What the index is asked: every body that matches has, for each of these, an index term (tl_text_terms) equal to it
 * or, where `prefix`, beginning with it. Distinct, at most TL_QUERY_INDEX_TERMS_MAX; none if the query is empty. The
 * query's. */
const struct tl_query_term *tl_query_terms(const struct tl_query *query, size_t *count_out);

struct tl_range {
	uint32_t from, to; /* the bytes [from, to) of the body */
};

/* Whether the body analysed last by `text` matches, exactly (phrases, runs of characters, long words), and where:
 * ascending ranges that neither overlap nor touch, the first TL_HIGHLIGHTS_MAX of them; none if it does not match.
 * They are in `text`, valid until its next tl_text_analyse or tl_query_match. The time is linear in the number of
 * tokens. TL_NO_MEMORY. On `text`'s thread. */
TL_MUST_USE enum tl_err tl_query_match(const struct tl_query *query, struct tl_text *text, bool *matches_out,
                                       const struct tl_range **ranges_out, size_t *count_out);

/* A cheap test on the raw body, whatever its content type, that may say yes wrongly but never no wrongly: for
 * scanning messages that are in no index yet. Allocates nothing. */
bool tl_query_may_match(const struct tl_query *query, struct tl_slice body);

#endif
