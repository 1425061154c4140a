/* What a parsed query is made of, for the query_*.c files. */
#ifndef TL_QUERY_STATE_H
#define TL_QUERY_STATE_H

#include "query.h"

enum { TL_QUERY_WORDS_MAX = TL_QUERY_TOKENS_MAX / 64 }; /* of a set of places in a query */

/* A word, emoji or character of the query. Its place is its number. */
struct tl_query_token {
	struct tl_slice term; /* in `bytes` */
	uint16_t element;     /* the element it belongs to */
	bool prefix;          /* of the word in the text */
	bool joined;          /* as in struct tl_token: the text has to have it so, too */
};

/* What has to stand together: a word, a phrase, a blank-free piece of the query. */
struct tl_query_element {
	uint32_t first, count; /* places */
};

/* A term, or prefix, that one or more places of the query ask for. */
struct tl_query_symbol {
	struct tl_slice term;
	uint64_t key; /* tl_term_key */
	bool prefix;
	uint64_t *places; /* bit n: the place n; `words` numbers */
};

enum { TL_QUERY_SLOTS = 2 * TL_QUERY_TOKENS_MAX }; /* a power of two, twice as many as there are symbols at most */

struct tl_query {
	char *bytes; /* the folded terms, with TL_FOLDED_SLACK behind them; those of joined tokens are one run of bytes */
	struct tl_query_token *tokens;
	size_t token_count;
	struct tl_query_element elements[TL_QUERY_TERMS_MAX];
	size_t element_count;

	struct tl_query_term index_terms[TL_QUERY_INDEX_TERMS_MAX];
	size_t index_term_count;

	struct tl_slice needles[TL_QUERY_TERMS_MAX]; /* each word and each run: the folded text has all of them */
	size_t needle_count;

	struct tl_query_symbol *symbols; /* those that are prefixes last */
	size_t symbol_count, exact_count;
	uint64_t *places;  /* of all symbols */
	size_t words;      /* of a set of places */
	uint64_t first[TL_QUERY_WORDS_MAX], last[TL_QUERY_WORDS_MAX]; /* places of elements */
	uint64_t joined[TL_QUERY_WORDS_MAX];                          /* places that are joined */
	uint16_t slots[TL_QUERY_SLOTS]; /* symbols that are no prefixes, plus one, by tl_query_slot; 0: none */
};

/* Where a search for a key in `slots` begins. */
static inline size_t tl_query_slot(uint64_t key)
{
	return (size_t)((key * UINT64_C(0x9e3779b97f4a7c15)) >> 32) % TL_QUERY_SLOTS;
}

/* Fills in from `symbols` on, once the elements stand. TL_NO_MEMORY. */
TL_MUST_USE enum tl_err tl_query_compile(struct tl_query *query);

#endif
