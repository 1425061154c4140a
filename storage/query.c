/* Parsing. q is analysed as a whole, as a text is, and what stands between its tokens says what belongs together:
 *
 *     foo-bar "der  Hund" 手机 wor*      foo bar │ der Hund │ 手 机 │ wor…        4 elements, 6 tokens
 *                                                                            5 terms: foo bar der Hund 手机 wor…
 *
 *   - Blanks end an element, except between quotes; quotes do, always. A quote that is not closed runs to the end.
 *   - One or more `*` right behind a word, with a blank, a quote or nothing after them, make it a prefix. Behind a
 *     run of characters they change nothing: any part of a run is found. Elsewhere they are punctuation.
 *   - Typographic quotes and full-width signs are quotes and stars, too: keyboards put them in unasked.
 *
 *   (Q1) Every element has at least one token; its tokens are neighbours.
 *   (Q2) Every index term is one that the text of each match has: words cut as in an index, neighbours of a run in
 *        pairs.
 */
#include "query_state.h"
#include "text_state.h"

#include <stdlib.h>
#include <unictype.h>
#include <unistr.h>

enum { PAIRS_MAX = 16 }; /* of a run that the index is asked for */

struct parser {
	struct tl_slice q;
	struct tl_text *text; /* has analysed q */
	struct tl_query *query;
	struct tl_why *why;
	size_t terms;
	bool quoted;
};

/* ---- What stands between tokens ---- */

struct gap {
	bool blank, quote; /* there is one in it */
	bool star;         /* makes a prefix of the word before it */
	bool quoted;       /* what comes after it is between quotes */
};

static bool is_quote(ucs4_t cp)
{
	return cp == '"' || (cp >= 0x201c && cp <= 0x201f) || cp == 0xff02;
}

static bool is_star(ucs4_t cp)
{
	return cp == '*' || cp == 0xff0a;
}

/* Reads q's bytes [from, to), which are valid UTF-8. */
static struct gap read_gap(const struct parser *p, uint32_t from, uint32_t to)
{
	struct gap gap = {.quoted = p->quoted};
	bool only_stars = true, stars = false;
	const uint8_t *bytes = p->q.ptr;
	for (uint32_t at = from; at < to;) {
		ucs4_t cp;
		at += (uint32_t)u8_mbtouc(&cp, bytes + at, to - at);
		bool quote = is_quote(cp), blank = uc_is_property_white_space(cp);
		if (only_stars && stars && (quote || blank))
			gap.star = true;
		stars |= is_star(cp);
		only_stars &= is_star(cp);
		gap.quote |= quote;
		gap.blank |= blank;
		gap.quoted ^= quote;
	}
	gap.star |= only_stars && stars && to == p->q.len;
	return gap;
}

/* ---- Elements ---- */

static enum tl_err count_term(struct parser *p)
{
	if (++p->terms > TL_QUERY_TERMS_MAX)
		return tl_fail(p->why, TL_BAD_REQUEST, "q has more than %d terms", TL_QUERY_TERMS_MAX);
	return TL_OK;
}

/* Adds a token to the last element, or to a new one. Its term stays where `bytes` has a copy of it. */
static enum tl_err add_token(struct parser *p, const struct tl_token *token, bool new_element)
{
	struct tl_query *query = p->query;
	size_t at = (size_t)((const char *)token->term.ptr - p->text->tokens.folded);
	enum tl_err err = token->joined ? TL_OK : count_term(p);
	if (err != TL_OK)
		return err;
	if (new_element)
		query->elements[query->element_count++] = (struct tl_query_element){.first = (uint32_t)query->token_count};
	query->elements[query->element_count - 1].count++;
	query->tokens[query->token_count++] = (struct tl_query_token){
		.term = tl_slice(query->bytes + at, token->term.len),
		.element = (uint16_t)(query->element_count - 1),
		.joined = token->joined,
	};
	return TL_OK;
}

static enum tl_err add_tokens(struct parser *p, const struct tl_token *tokens, size_t count)
{
	p->quoted = read_gap(p, 0, tokens[0].from).quoted;
	bool new_element = true;
	for (size_t i = 0; i < count; i++) {
		enum tl_err err = add_token(p, &tokens[i], new_element);
		if (err != TL_OK)
			return err;
		uint32_t next = i + 1 < count ? tokens[i + 1].from : (uint32_t)p->q.len;
		struct gap gap = read_gap(p, tokens[i].to, next);
		p->query->tokens[i].prefix = gap.star && !tokens[i].run;
		new_element = gap.quote || (gap.blank && !p->quoted);
		p->quoted = gap.quoted;
	}
	return TL_OK;
}

/* ---- What the index is asked ---- */

static void add_index_term(struct tl_query *query, struct tl_slice term, bool prefix)
{
	if (term.len > TL_TERM_MAX) {
		term.len = TL_TERM_MAX;
		prefix = false;
	}
	for (size_t i = 0; i < query->index_term_count; i++)
		if (query->index_terms[i].prefix == prefix && tl_slice_equal(query->index_terms[i].term, term))
			return;
	query->index_terms[query->index_term_count++] = (struct tl_query_term){term, prefix};
}

/* The tokens [at, at + count) are one run. Of a long one not all pairs are needed to find few candidates. */
static void add_run(struct tl_query *query, size_t at, size_t count, size_t pairs_max)
{
	const struct tl_query_token *tokens = query->tokens + at;
	size_t pairs = count - 1 < pairs_max ? count - 1 : pairs_max, len = 0;
	if (pairs == 0)
		add_index_term(query, tokens[0].term, true);
	for (size_t i = 0; i < pairs; i++) {
		const struct tl_query_token *token = &tokens[i * (count - 1) / pairs];
		add_index_term(query, tl_slice(token[0].term.ptr, token[0].term.len + token[1].term.len), false);
	}
	for (size_t i = 0; i < count; i++)
		len += tokens[i].term.len;
	query->needles[query->needle_count++] = tl_slice(tokens[0].term.ptr, len);
}

static void make_terms(struct tl_query *query, size_t terms, const struct tl_token *tokens)
{
	size_t pairs_max = terms ? TL_QUERY_INDEX_TERMS_MAX / terms : 0;
	pairs_max = pairs_max < PAIRS_MAX ? pairs_max : PAIRS_MAX;
	for (size_t i = 0, count; i < query->token_count; i += count) {
		const struct tl_query_token *token = &query->tokens[i];
		count = 1;
		while (i + count < query->token_count && query->tokens[i + count].joined)
			count++;
		if (tokens[i].run) {
			add_run(query, i, count, pairs_max);
		} else {
			add_index_term(query, token->term, token->prefix);
			query->needles[query->needle_count++] = token->term;
		}
	}
}

/* ---- Parsing ---- */

static enum tl_err copy_terms(struct parser *p, size_t count)
{
	const struct tl_tokens *from = &p->text->tokens;
	struct tl_query *query = p->query;
	query->bytes = calloc(1, from->folded_len + TL_FOLDED_SLACK);
	query->tokens = calloc(count + 1, sizeof *query->tokens);
	if (!query->bytes || !query->tokens)
		return TL_NO_MEMORY;
	if (from->folded_len)
		memcpy(query->bytes, from->folded, from->folded_len);
	return TL_OK;
}

static enum tl_err parse(struct parser *p)
{
	size_t count;
	enum tl_err err = tl_text_analyse(p->text, p->q, tl_slice_str("text/plain"));
	if (err != TL_OK)
		return err;
	const struct tl_token *tokens = tl_text_tokens(p->text, &count);
	if (count > TL_QUERY_TOKENS_MAX)
		return tl_fail(p->why, TL_BAD_REQUEST, "q has more than %d characters to look for", TL_QUERY_TOKENS_MAX);
	err = copy_terms(p, count);
	if (err != TL_OK || count == 0)
		return err;
	err = add_tokens(p, tokens, count);
	if (err != TL_OK)
		return err;
	make_terms(p->query, p->terms, tokens);
	return tl_query_compile(p->query);
}

enum tl_err tl_query_parse(struct tl_slice q, struct tl_query **query_out, struct tl_why *why)
{
	struct parser p = {.q = q, .why = why};
	if (q.len > TL_QUERY_BYTES_MAX)
		return tl_fail(why, TL_BAD_REQUEST, "q is longer than %d bytes", TL_QUERY_BYTES_MAX);
	if (q.len > 0 && u8_check(q.ptr, q.len))
		return tl_fail(why, TL_BAD_REQUEST, "q is not valid UTF-8");
	enum tl_err err = tl_text_new(&p.text);
	if (err != TL_OK)
		return err;
	p.query = calloc(1, sizeof *p.query);
	err = p.query ? parse(&p) : TL_NO_MEMORY;
	tl_text_free(p.text);
	if (err == TL_OK)
		*query_out = p.query;
	else
		tl_query_free(p.query);
	return err;
}

void tl_query_free(struct tl_query *query)
{
	if (!query)
		return;
	free(query->bytes);
	free(query->tokens);
	free(query->symbols);
	free(query->places);
	free(query);
}

bool tl_query_is_empty(const struct tl_query *query)
{
	return query->token_count == 0;
}

const struct tl_query_term *tl_query_terms(const struct tl_query *query, size_t *count_out)
{
	*count_out = query->index_term_count;
	return query->index_terms;
}
