#include "index_postings.h"

#include <stdlib.h>

enum { WORD_BITS = 64 };

void tl_postings_init(struct tl_postings *postings, const struct tl_index_wish *wish)
{
	*postings = (struct tl_postings){.wish = wish};
}

void tl_postings_fini(struct tl_postings *postings)
{
	free(postings->list);
	free(postings->window);
	postings->list = NULL;
	postings->window = NULL;
}

/* --- a term --- */

static enum tl_err keep_list(struct tl_postings *postings, struct tl_slice list)
{
	free(postings->list);
	if (!(postings->list = malloc(list.len + 1)))
		return TL_NO_MEMORY;
	memcpy(postings->list, list.ptr, list.len);
	postings->offsets = tl_offsets(tl_slice(postings->list, list.len));
	postings->at_offset = tl_offsets_next(&postings->offsets);
	return TL_OK;
}

/* Loads what the chunk with the first posting from `from` on has of the term. */
static enum tl_err load_list(struct tl_postings *postings, struct tl_iter *iter, const struct tl_segment *segment,
                             uint64_t from)
{
	struct tl_slice term = tl_index_term_slice(&postings->wish->term);
	struct tl_segment_scan scan;
	int order = -1;
	postings->at_offset = false;
	enum tl_err err = tl_segment_seek(&scan, iter, segment, term, from);
	if (err != TL_OK)
		return err;
	while (order < 0 && tl_chunk_next(&scan.chunk))
		order = tl_slice_compare(tl_index_term_slice(&scan.chunk.term), term);
	if (scan.chunk.damaged)
		return TL_CORRUPT;
	bool goes_on = !scan.last && tl_slice_equal(tl_index_term_slice(&scan.high), term);
	postings->complete = !goes_on;
	postings->next = goes_on ? scan.high_offset + 1 : UINT64_MAX;
	return order == 0 ? keep_list(postings, scan.chunk.list) : goes_on ? TL_CORRUPT : TL_OK;
}

static enum tl_err seek_term(struct tl_postings *postings, struct tl_iter *iter, const struct tl_segment *segment,
                             struct tl_index_allowance *allowance, uint64_t from, uint64_t *offset_out)
{
	for (;;) {
		while (postings->at_offset && postings->offsets.value < from)
			postings->at_offset = tl_offsets_next(&postings->offsets);
		if (postings->at_offset) {
			*offset_out = postings->offsets.value;
			return TL_OK;
		}
		if (postings->complete)
			return TL_END;
		allowance->chunks++;
		enum tl_err err = load_list(postings, iter, segment, from > postings->next ? from : postings->next);
		if (err != TL_OK)
			return err;
	}
}

/* --- a prefix --- */

static bool begins_with(struct tl_slice term, struct tl_slice prefix)
{
	return term.len >= prefix.len && memcmp(term.ptr, prefix.ptr, prefix.len) == 0;
}

/* Marks the offsets of a list that are within the window, and notes the first one beyond it. */
static void gather(struct tl_postings *postings, struct tl_slice list)
{
	struct tl_offsets offsets = tl_offsets(list);
	while (tl_offsets_next(&offsets)) {
		if (offsets.value < postings->window_from)
			continue;
		uint64_t bit = offsets.value - postings->window_from;
		if (bit >= TL_POSTINGS_WINDOW) {
			if (offsets.value < postings->next)
				postings->next = offsets.value;
			return;
		}
		postings->window[bit / WORD_BITS] |= UINT64_C(1) << bit % WORD_BITS;
	}
}

/* Goes on where the chunk at hand ends, leaving out what of its last term lies before or beyond the window. */
static enum tl_err next_chunk(const struct tl_postings *postings, struct tl_segment_scan *scan, struct tl_iter *iter)
{
	struct tl_segment segment = scan->segment;
	struct tl_index_term term = scan->high;
	if (scan->last)
		return TL_END;
	if (scan->high_offset < postings->window_from)
		return tl_segment_seek(scan, iter, &segment, tl_index_term_slice(&term), postings->window_from);
	if (scan->high_offset - postings->window_from < TL_POSTINGS_WINDOW || term.len == TL_INDEX_TERM_MAX)
		return tl_segment_next_chunk(scan);
	term.bytes[term.len++] = 0x01; /* above every posting of the term, not above any longer one */
	return tl_segment_seek(scan, iter, &segment, tl_index_term_slice(&term), 0);
}

/* Gathers the chunk at hand. *end_out: terms have passed those that begin with the prefix. */
static enum tl_err gather_chunk(struct tl_postings *postings, struct tl_segment_scan *scan, bool *end_out)
{
	struct tl_slice prefix = tl_index_term_slice(&postings->wish->term);
	while (!*end_out && tl_chunk_next(&scan->chunk)) {
		struct tl_slice term = tl_index_term_slice(&scan->chunk.term);
		if (begins_with(term, prefix))
			gather(postings, scan->chunk.list);
		else
			*end_out = tl_slice_compare(term, prefix) > 0;
	}
	return scan->chunk.damaged ? TL_CORRUPT : TL_OK;
}

/* Gathers the window from `from` on. */
static enum tl_err load_window(struct tl_postings *postings, struct tl_iter *iter, const struct tl_segment *segment,
                               struct tl_index_allowance *allowance, uint64_t from)
{
	struct tl_segment_scan scan;
	unsigned chunks = 0;
	bool end = false;
	memset(postings->window, 0, TL_POSTINGS_WINDOW / 8);
	postings->window_from = from;
	postings->next = UINT64_MAX;
	enum tl_err err = tl_segment_seek(&scan, iter, segment, tl_index_term_slice(&postings->wish->term), 0);
	while (err == TL_OK && !end) {
		allowance->chunks++;
		postings->unknown = allowance->prefix_chunks == 0 || chunks++ == TL_POSTINGS_PREFIX_CHUNKS;
		if (postings->unknown)
			return TL_OK;
		allowance->prefix_chunks--;
		err = gather_chunk(postings, &scan, &end);
		if (err == TL_OK && !end)
			err = next_chunk(postings, &scan, iter);
	}
	postings->complete = postings->next == UINT64_MAX;
	return err == TL_END ? TL_OK : err;
}

/* The first offset from `from` on whose bit is set; false if there is none in the window. */
static bool find_in_window(const struct tl_postings *postings, uint64_t from, uint64_t *offset_out)
{
	uint64_t bit = from > postings->window_from ? from - postings->window_from : 0;
	for (; bit < TL_POSTINGS_WINDOW; bit = (bit / WORD_BITS + 1) * WORD_BITS) {
		uint64_t word = postings->window[bit / WORD_BITS] >> bit % WORD_BITS;
		if (word) {
			*offset_out = postings->window_from + bit + (unsigned)__builtin_ctzll(word);
			return true;
		}
	}
	return false;
}

static enum tl_err seek_prefix(struct tl_postings *postings, struct tl_iter *iter, const struct tl_segment *segment,
                               struct tl_index_allowance *allowance, uint64_t from, uint64_t *offset_out)
{
	bool loaded = postings->window != NULL;
	if (!loaded && !(postings->window = malloc(TL_POSTINGS_WINDOW / 8)))
		return TL_NO_MEMORY;
	while (!loaded || !find_in_window(postings, from, offset_out)) {
		if (loaded && postings->complete)
			return TL_END;
		uint64_t at = loaded && postings->next > from ? postings->next : from;
		enum tl_err err = load_window(postings, iter, segment, allowance, at);
		if (err != TL_OK)
			return err;
		if (postings->unknown) {
			*offset_out = from;
			return TL_OK;
		}
		loaded = true;
	}
	return TL_OK;
}

enum tl_err tl_postings_seek(struct tl_postings *postings, struct tl_iter *iter, const struct tl_segment *segment,
                             struct tl_index_allowance *allowance, uint64_t from, uint64_t *offset_out)
{
	if (postings->unknown) {
		*offset_out = from;
		return TL_OK;
	}
	return postings->wish->prefix ? seek_prefix(postings, iter, segment, allowance, from, offset_out)
	                              : seek_term(postings, iter, segment, allowance, from, offset_out);
}
