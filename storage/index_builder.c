#include "index_builder.h"

#include "arena.h"
#include "text.h"

#include <stdlib.h>

enum {
	ROOM_KEPT = 32 * 1024, /* postings that memory is kept for */
	RUNS_MAX = 64,         /* each of more levels than the next */
};

struct posting {
	uint64_t head; /* the term's first eight bytes, so that most comparisons need no more */
	const char *term; /* in the arena */
	uint32_t len;
	uint64_t cseq;
};

struct tl_index_builder {
	struct tl_text *text;
	struct tl_arena arena;
	struct posting *postings;
	struct posting *merged; /* as much room, for sorting */
	size_t count, room;
};

enum tl_err tl_index_builder_new(struct tl_index_builder **builder_out)
{
	struct tl_index_builder *builder = calloc(1, sizeof *builder);
	if (!builder)
		return TL_NO_MEMORY;
	enum tl_err err = tl_text_new(&builder->text);
	if (err != TL_OK) {
		free(builder);
		return err;
	}
	*builder_out = builder;
	return TL_OK;
}

static void free_postings(struct tl_index_builder *builder)
{
	free(builder->postings);
	free(builder->merged);
	builder->postings = builder->merged = NULL;
	builder->room = 0;
}

void tl_index_builder_free(struct tl_index_builder *builder)
{
	if (!builder)
		return;
	tl_text_free(builder->text);
	tl_arena_fini(&builder->arena);
	free_postings(builder);
	free(builder);
}

void tl_index_builder_clear(struct tl_index_builder *builder)
{
	tl_arena_clear(&builder->arena);
	builder->count = 0;
	if (builder->room > ROOM_KEPT)
		free_postings(builder);
}

struct tl_slice tl_index_text(struct tl_slice body)
{
	const unsigned char *p = body.ptr;
	size_t len = TL_INDEX_TEXT_MAX;
	if (body.len <= len)
		return body;
	while (len > TL_INDEX_TEXT_MAX - 4 && (p[len] & 0xc0) == 0x80)
		len--;
	return tl_slice(p, len);
}

static uint64_t head_of(const unsigned char *term, size_t len)
{
	uint64_t head = 0;
	for (size_t i = 0; i < 8; i++)
		head = head << 8 | (i < len ? term[i] : 0);
	return head;
}

static enum tl_err grow(struct tl_index_builder *builder)
{
	size_t room = builder->room ? builder->room * 2 : 1024;
	struct posting *merged = realloc(builder->merged, room * sizeof *merged);
	if (!merged)
		return TL_NO_MEMORY;
	builder->merged = merged;
	struct posting *postings = realloc(builder->postings, room * sizeof *postings);
	if (!postings)
		return TL_NO_MEMORY;
	builder->postings = postings;
	builder->room = room;
	return TL_OK;
}

static enum tl_err append(struct tl_index_builder *builder, const char *term, size_t len, uint64_t cseq)
{
	if (builder->count == builder->room && grow(builder) != TL_OK)
		return TL_NO_MEMORY;
	builder->postings[builder->count++] = (struct posting){
		.head = head_of((const unsigned char *)term, len), .term = term, .len = (uint32_t)len, .cseq = cseq};
	return TL_OK;
}

/* A term of a field: one byte that says which, and the value. */
static enum tl_err add_field(struct tl_index_builder *builder, unsigned char field, struct tl_slice value, uint64_t cseq)
{
	if (!tl_index_is_word(value) || value.len >= TL_INDEX_TERM_MAX)
		return TL_OK;
	char *term = tl_arena_alloc(&builder->arena, value.len + 1);
	if (!term)
		return TL_NO_MEMORY;
	term[0] = (char)field;
	memcpy(term + 1, value.ptr, value.len);
	return append(builder, term, value.len + 1, cseq);
}

static enum tl_err add_words(struct tl_index_builder *builder, const struct tl_message_view *message, uint64_t cseq)
{
	const struct tl_slice *terms;
	size_t count;
	enum tl_err err = tl_text_analyse(builder->text, tl_index_text(message->body), message->ctype);
	if (err == TL_OK)
		err = tl_text_terms(builder->text, &terms, &count);
	for (size_t i = 0; err == TL_OK && i < count; i++) {
		if (!tl_index_is_word(terms[i]))
			continue;
		const char *term = tl_arena_copy(&builder->arena, terms[i]);
		err = term ? append(builder, term, terms[i].len, cseq) : TL_NO_MEMORY;
	}
	return err;
}

enum tl_err tl_index_builder_add(struct tl_index_builder *builder, uint64_t cseq, const struct tl_message_view *message)
{
	enum tl_err err = add_field(builder, TL_INDEX_FROM, message->from, cseq);
	if (err == TL_OK)
		err = add_field(builder, TL_INDEX_TYPE, message->type, cseq);
	if (err == TL_OK && message->has_body)
		err = add_words(builder, message, cseq);
	return err;
}

enum tl_err tl_index_builder_add_edited(struct tl_index_builder *builder, uint64_t cseq,
                                        const struct tl_message_view *message)
{
	static const char edited = TL_INDEX_EDITED;
	enum tl_err err = append(builder, &edited, 1, cseq);
	return err == TL_OK ? tl_index_builder_add(builder, cseq, message) : err;
}

/* --- sorting: a merge sort of what is in order already, which a message's terms are --- */

struct run {
	size_t count;
	unsigned level; /* merges that it came from */
};

struct sort {
	struct posting *end;    /* of the last run */
	struct posting *merged; /* room for as many */
	struct run runs[RUNS_MAX];
	size_t run_count;
};

/* By term, the newest message first. */
static inline int compare(const struct posting *x, const struct posting *y)
{
	if (x->head != y->head)
		return x->head < y->head ? -1 : 1;
	int order = x->len <= 8 && y->len <= 8 ? (x->len > y->len) - (x->len < y->len)
	                                       : tl_slice_compare(tl_slice(x->term, x->len), tl_slice(y->term, y->len));
	return order ? order : (x->cseq < y->cseq) - (x->cseq > y->cseq);
}

/* Merges the last two runs. */
static void merge(struct sort *sort)
{
	struct run *b = &sort->runs[sort->run_count - 1], *a = b - 1;
	struct posting *right = sort->end - b->count, *out = right - a->count;
	struct posting *left = sort->merged, *left_end = left + a->count;
	memcpy(left, out, a->count * sizeof *left);
	while (left < left_end && right < sort->end)
		*out++ = compare(left, right) <= 0 ? *left++ : *right++;
	memcpy(out, left, (size_t)(left_end - left) * sizeof *left); /* what is left of the right one is in its place */
	a->count += b->count;
	a->level++;
	sort->run_count--;
}

/* How many of those up to `end` are in order. */
static size_t run_length(const struct posting *first, const struct posting *end)
{
	const struct posting *next = first + 1;
	while (next < end && compare(next - 1, next) <= 0)
		next++;
	return (size_t)(next - first);
}

static void sort_postings(struct posting *postings, size_t count, struct posting *merged)
{
	const struct posting *end = postings + count;
	struct sort sort = {.end = postings, .merged = merged};
	while (sort.end < end) {
		size_t run = run_length(sort.end, end);
		sort.end += run;
		sort.runs[sort.run_count++] = (struct run){.count = run};
		while (sort.run_count > 1 && sort.runs[sort.run_count - 1].level == sort.runs[sort.run_count - 2].level)
			merge(&sort);
	}
	while (sort.run_count > 1)
		merge(&sort);
}

void tl_index_builder_sort(struct tl_index_builder *builder, size_t *count_out)
{
	if (builder->count > 1)
		sort_postings(builder->postings, builder->count, builder->merged);
	*count_out = builder->count;
}

void tl_index_builder_posting(const struct tl_index_builder *builder, size_t index, struct tl_slice *term_out,
                              uint64_t *cseq_out)
{
	const struct posting *posting = &builder->postings[index];
	*term_out = tl_slice(posting->term, posting->len);
	*cseq_out = posting->cseq;
}
