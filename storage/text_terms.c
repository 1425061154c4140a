/* A merge sort that drops what is there already at each step, so that a long text of few words is as quick as it is
 * dull. Most comparisons look at the first eight bytes of the terms only, taken once.
 *
 *     entries   │ sorted run │ sorted run │ block ► sorted │ not made yet …
 *                └──── merged when they are as large as one another ────┘
 */
#include "text_terms.h"

#include <stdlib.h>

enum {
	BLOCK = 12,    /* entries sorted by insertion */
	RUNS_MAX = 64, /* each at least twice the next */
};

struct tl_term_entry {
	uint64_t key; /* tl_term_key */
	uint32_t at;  /* in `folded` */
	uint32_t len; /* bytes */
};

struct run {
	size_t count;   /* entries */
	unsigned level; /* merges that it came from */
};

struct sort {
	const char *folded;
	struct tl_term_entry *end;    /* of the last run */
	struct tl_term_entry *merged; /* room for as many */
	struct run runs[RUNS_MAX];
	size_t run_count;
};

void tl_terms_fini(struct tl_terms *terms)
{
	free(terms->entries);
	free(terms->merged);
	free(terms->slices);
	memset(terms, 0, sizeof *terms);
}

void tl_terms_clear(struct tl_terms *terms, size_t keep)
{
	if (terms->cap * 2 * sizeof *terms->entries + terms->slice_cap * sizeof *terms->slices > keep)
		tl_terms_fini(terms);
}

/* ---- Sorting ---- */

static inline int compare(const char *folded, const struct tl_term_entry *a, const struct tl_term_entry *b)
{
	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	if (a->len <= sizeof a->key && b->len <= sizeof b->key)
		return (a->len > b->len) - (a->len < b->len);
	return tl_slice_compare(tl_slice(folded + a->at, a->len), tl_slice(folded + b->at, b->len));
}

/* Puts an entry among the `count` sorted ones that end at s->end; the new count. */
static inline size_t insert(struct sort *s, size_t count, struct tl_term_entry entry)
{
	struct tl_term_entry *first = s->end - count, *place = s->end;
	int order = 1;
	while (place > first && (order = compare(s->folded, &entry, place - 1)) < 0)
		place--;
	if (place > first && order == 0)
		return count;
	memmove(place + 1, place, (size_t)(s->end - place) * sizeof *place);
	*place = entry;
	s->end++;
	return count + 1;
}

/* Merges the last two runs. */
static void merge(struct sort *s)
{
	struct run *b = &s->runs[s->run_count - 1], *a = b - 1;
	struct tl_term_entry *right = s->end - b->count, *out = right - a->count, *left = s->merged;
	struct tl_term_entry *first = out, *left_end = left + a->count;
	memcpy(left, out, a->count * sizeof *left);
	while (left < left_end && right < s->end) {
		int order = compare(s->folded, left, right);
		*out++ = order <= 0 ? *left++ : *right++;
		right += order == 0;
	}
	size_t rest = (size_t)(left_end - left);
	if (rest) {
		memcpy(out, left, rest * sizeof *left);
	} else {
		rest = (size_t)(s->end - right);
		memmove(out, right, rest * sizeof *right);
	}
	s->end = out + rest;
	a->count = (size_t)(s->end - first);
	a->level++;
	s->run_count--;
}

static void end_block(struct sort *s, size_t count)
{
	s->runs[s->run_count++] = (struct run){.count = count};
	while (s->run_count > 1 && s->runs[s->run_count - 1].level == s->runs[s->run_count - 2].level)
		merge(s);
}

/* ---- Terms ---- */

static struct tl_term_entry entry_of(const char *folded, const char *term, size_t len)
{
	len = len < TL_TERM_MAX ? len : TL_TERM_MAX;
	return (struct tl_term_entry){
		.key = tl_term_key(term, len),
		.at = (uint32_t)(term - folded),
		.len = (uint32_t)len,
	};
}

/* A token's term: of a run's character together with the next one's, which lies behind it. */
static struct tl_term_entry term_of(const struct tl_tokens *t, size_t i)
{
	size_t len = t->tokens[i].term.len;
	if (i + 1 < t->count && t->tokens[i + 1].joined)
		len += t->tokens[i + 1].term.len;
	return entry_of(t->folded, t->tokens[i].term.ptr, len);
}

static enum tl_err reserve(struct tl_terms *terms, size_t count)
{
	if (count <= terms->cap)
		return TL_OK;
	tl_terms_fini(terms);
	size_t cap = count + count / 4 + 64;
	terms->entries = malloc(cap * sizeof *terms->entries);
	terms->merged = malloc(cap * sizeof *terms->merged);
	if (!terms->entries || !terms->merged) {
		tl_terms_fini(terms);
		return TL_NO_MEMORY;
	}
	terms->cap = cap;
	return TL_OK;
}

static enum tl_err reserve_slices(struct tl_terms *terms, size_t count)
{
	if (count <= terms->slice_cap)
		return TL_OK;
	size_t cap = count + count / 4 + 64;
	struct tl_slice *slices = realloc(terms->slices, cap * sizeof *slices);
	if (!slices)
		return TL_NO_MEMORY;
	terms->slices = slices;
	terms->slice_cap = cap;
	return TL_OK;
}

/* Sorts the terms into `entries`; how many they are. */
static size_t sort_terms(struct tl_terms *terms, const struct tl_tokens *tokens)
{
	struct sort s = {.folded = tokens->folded, .end = terms->entries, .merged = terms->merged};
	for (size_t i = 0; i < tokens->count;) {
		size_t count = 0, block_end = i + BLOCK < tokens->count ? i + BLOCK : tokens->count;
		for (; i < block_end; i++)
			count = insert(&s, count, term_of(tokens, i));
		end_block(&s, count);
	}
	while (s.run_count > 1)
		merge(&s);
	return (size_t)(s.end - terms->entries);
}

enum tl_err tl_terms_make(struct tl_terms *terms, const struct tl_tokens *tokens, const struct tl_slice **terms_out,
                          size_t *count_out)
{
	enum tl_err err = reserve(terms, tokens->count);
	if (err != TL_OK)
		return err;
	size_t count = sort_terms(terms, tokens);
	err = reserve_slices(terms, count);
	if (err != TL_OK)
		return err;
	for (size_t i = 0; i < count; i++)
		terms->slices[i] = tl_slice(tokens->folded + terms->entries[i].at, terms->entries[i].len);
	*terms_out = terms->slices;
	*count_out = count;
	return TL_OK;
}
