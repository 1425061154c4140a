/* Matching: the shift-and automaton of Baeza-Yates and Gonnet over tokens instead of letters. A set of places in the
 * query, one bit each, says how far its elements have got with the token just read:
 *
 *     set ◄── (set << 1, where the token follows the one before it │ first places) & places that ask for this token
 *
 * All elements go at once, repeated words and half matches need no going back: a token costs a look-up and a few
 * operations on the set, whatever the query is.
 */
#include "query_state.h"
#include "text_state.h"

#include <stdlib.h>

/* ---- Compiling ---- */

static void set_bit(uint64_t *set, size_t bit)
{
	set[bit / 64] |= UINT64_C(1) << (bit % 64);
}

/* The symbol of a token that is no prefix, or the empty slot where it would be. */
static uint16_t *find_slot(struct tl_query *query, struct tl_slice term, uint64_t key)
{
	for (size_t i = tl_query_slot(key);; i = (i + 1) % TL_QUERY_SLOTS) {
		uint16_t *slot = &query->slots[i];
		if (!*slot || tl_slice_equal(query->symbols[*slot - 1].term, term))
			return slot;
	}
}

static struct tl_query_symbol *add_symbol(struct tl_query *query, const struct tl_query_token *token, uint64_t key)
{
	struct tl_query_symbol *symbol = &query->symbols[query->symbol_count];
	*symbol = (struct tl_query_symbol){
		.term = token->term,
		.key = key,
		.prefix = token->prefix,
		.places = query->places + query->symbol_count * query->words,
	};
	query->symbol_count++;
	return symbol;
}

/* Every place that is no prefix is put to its symbol; every one that is has a symbol of its own, behind the others. */
static void add_symbols(struct tl_query *query, bool prefixes)
{
	for (size_t i = 0; i < query->token_count; i++) {
		const struct tl_query_token *token = &query->tokens[i];
		uint64_t key = tl_term_key(token->term.ptr, token->term.len);
		if (token->prefix != prefixes)
			continue;
		uint16_t *slot = prefixes ? NULL : find_slot(query, token->term, key);
		struct tl_query_symbol *symbol = slot && *slot ? &query->symbols[*slot - 1] : add_symbol(query, token, key);
		if (slot)
			*slot = (uint16_t)(symbol - query->symbols + 1);
		set_bit(symbol->places, i);
	}
}

enum tl_err tl_query_compile(struct tl_query *query)
{
	query->words = (query->token_count + 63) / 64;
	query->symbols = calloc(query->token_count, sizeof *query->symbols);
	query->places = calloc(query->token_count * query->words, sizeof *query->places);
	if (!query->symbols || !query->places)
		return TL_NO_MEMORY;
	add_symbols(query, false);
	query->exact_count = query->symbol_count;
	add_symbols(query, true);
	for (size_t i = 0; i < query->element_count; i++) {
		set_bit(query->first, query->elements[i].first);
		set_bit(query->last, query->elements[i].first + query->elements[i].count - 1);
	}
	for (size_t i = 0; i < query->token_count; i++)
		if (query->tokens[i].joined)
			set_bit(query->joined, i);
	return TL_OK;
}

/* ---- Highlights ---- */

struct highlights {
	struct tl_range *ranges;
	size_t count;
	bool full; /* there was one too many */
};

/* Adds a range that ends no earlier than any before it. */
static void add_range(struct highlights *h, uint32_t from, uint32_t to)
{
	while (h->count > 0 && h->ranges[h->count - 1].to >= from) {
		h->count--;
		if (h->ranges[h->count].from < from)
			from = h->ranges[h->count].from;
	}
	if (h->count == TL_HIGHLIGHTS_MAX)
		h->full = true;
	else
		h->ranges[h->count++] = (struct tl_range){from, to};
}

/* ---- Matching ---- */

struct match {
	const struct tl_query *query;
	const struct tl_token *tokens;
	uint64_t set[TL_QUERY_WORDS_MAX];
	uint32_t found; /* bit n: the element n */
	struct highlights highlights;
};

_Static_assert(TL_QUERY_TERMS_MAX <= 32, "a bit of `found` for each element");

static bool begins_with(struct tl_slice term, uint64_t key, const struct tl_query_symbol *symbol)
{
	size_t len = symbol->term.len;
	if (len < 8)
		return (key & ~(UINT64_MAX >> (8 * len))) == symbol->key;
	return key == symbol->key && term.len >= len && !memcmp(term.ptr, symbol->term.ptr, len);
}

static void add_places(const struct tl_query *query, const struct tl_query_symbol *symbol, uint64_t *places)
{
	for (size_t w = 0; w < query->words; w++)
		places[w] |= symbol->places[w];
}

/* The places that ask for a term; false: none does. */
static bool find_places(const struct tl_query *query, struct tl_slice term, uint64_t *places)
{
	uint64_t key = tl_term_key(term.ptr, term.len);
	bool any = false;
	memset(places, 0, query->words * sizeof *places);
	for (size_t i = tl_query_slot(key); query->slots[i]; i = (i + 1) % TL_QUERY_SLOTS) {
		const struct tl_query_symbol *symbol = &query->symbols[query->slots[i] - 1];
		if (symbol->key != key || !tl_slice_equal(symbol->term, term))
			continue;
		add_places(query, symbol, places);
		any = true;
		break;
	}
	for (size_t i = query->exact_count; i < query->symbol_count; i++) {
		if (!begins_with(term, key, &query->symbols[i]))
			continue;
		add_places(query, &query->symbols[i], places);
		any = true;
	}
	return any;
}

/* The element whose last place is `place` ends with the token `at`. */
static void end_element(struct match *m, size_t at, size_t place)
{
	uint16_t number = m->query->tokens[place].element;
	const struct tl_token *first = &m->tokens[at - (m->query->elements[number].count - 1)];
	m->found |= UINT32_C(1) << number;
	add_range(&m->highlights, first->from, m->tokens[at].to);
}

static void end_elements(struct match *m, size_t at)
{
	for (size_t w = 0; w < m->query->words; w++)
		for (uint64_t ends = m->set[w] & m->query->last[w]; ends; ends &= ends - 1)
			end_element(m, at, w * 64 + (size_t)__builtin_ctzll(ends));
}

/* Goes on from the token before `at` to it. */
static void step(struct match *m, size_t at, const uint64_t *places)
{
	const struct tl_query *query = m->query;
	const struct tl_token *token = &m->tokens[at];
	bool follows = at > 0 && token->position == token[-1].position + 1;
	uint64_t carry = 0;
	for (size_t w = 0; w < query->words; w++) {
		uint64_t shifted = follows ? m->set[w] << 1 | carry : 0;
		carry = m->set[w] >> 63;
		if (!token->joined)
			shifted &= ~query->joined[w];
		m->set[w] = (shifted | query->first[w]) & places[w];
	}
}

/* Reads the tokens until all is known. */
static void run(struct match *m, size_t count)
{
	uint64_t places[TL_QUERY_WORDS_MAX];
	uint32_t all = UINT32_MAX >> (32 - m->query->element_count);
	for (size_t i = 0; i < count && !(m->highlights.full && m->found == all); i++) {
		if (find_places(m->query, m->tokens[i].term, places)) {
			step(m, i, places);
			end_elements(m, i);
		} else {
			memset(m->set, 0, m->query->words * sizeof m->set[0]);
		}
	}
	if (m->found != all)
		m->highlights.count = 0;
}

enum tl_err tl_query_match(const struct tl_query *query, struct tl_text *text, bool *matches_out,
                           const struct tl_range **ranges_out, size_t *count_out)
{
	size_t count;
	struct match m = {.query = query, .highlights = {.ranges = text->highlights}};
	m.tokens = tl_text_tokens(text, &count);
	if (query->element_count > 0)
		run(&m, count);
	*matches_out = query->element_count == 0 || m.highlights.count > 0;
	*ranges_out = text->highlights;
	*count_out = m.highlights.count;
	return TL_OK;
}
