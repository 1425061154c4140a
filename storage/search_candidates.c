#include "search_candidates.h"

#include "timeline.h"

#include <stdlib.h>

enum {
	BLOCK = 128,       /* entries of the tail that are read at a time */
	DAMAGED_COST = 50, /* entries that are read while one turns out to be unreadable */
};

/* A segment and the join of its postings. */
struct open_segment {
	const struct tl_segment *segment;
	bool there;    /* `cseq` is a candidate */
	uint64_t cseq;
	struct tl_postings *postings; /* one for each wish */
	struct tl_postings edited;    /* messages that were indexed again, for when no wish can be told */
};

static const struct tl_index_wish edited_wish = {.term = {.len = 1, .bytes = {TL_INDEX_EDITED}}};

struct tl_candidates {
	struct tl_search_plan *plan;
	uint64_t no;
	uint64_t head;
	uint64_t first;     /* cseq: nothing below is of interest */
	uint64_t tail_from; /* the tail is above this cseq */
	uint64_t read_from; /* cseq: entries of the tail above it have been read */
	uint64_t block[BLOCK]; /* candidates of the tail, ascending */
	size_t block_count;
	uint64_t block_ts;  /* ms: of the lowest entry read for it, or for one before; UINT64_MAX: none could be read */
	uint64_t *edited;   /* messages below the tail that edits in it are about; once sorted, ascending */
	size_t edited_count, edited_room;
	bool sorted;
	uint32_t opened;    /* segments opened, the newest first */
	struct open_segment *open;
	struct tl_directory directory;
};

/* --- what is looked for --- */

static void wish(struct tl_search_plan *plan, unsigned char field, struct tl_slice term, bool prefix)
{
	if (term.len + 1 > TL_INDEX_TERM_MAX)
		return;
	struct tl_index_wish *added = &plan->wishes[plan->wish_count++];
	added->prefix = prefix;
	added->term.len = 0;
	if (field)
		added->term.bytes[added->term.len++] = field;
	memcpy(added->term.bytes + added->term.len, term.ptr, term.len);
	added->term.len += (uint32_t)term.len;
}

/* Rare ones first: terms before prefixes, long before short, what users typed before fields. */
static int by_rarity(const void *a, const void *b)
{
	const struct tl_index_wish *x = a, *y = b;
	bool x_field = x->term.bytes[0] < 0x20, y_field = y->term.bytes[0] < 0x20;
	if (x->prefix != y->prefix)
		return x->prefix ? 1 : -1;
	if (x_field != y_field)
		return x_field ? 1 : -1;
	return (x->term.len < y->term.len) - (x->term.len > y->term.len);
}

void tl_search_plan_wishes(struct tl_search_plan *plan)
{
	size_t count = 0;
	const struct tl_query_term *terms = plan->query ? tl_query_terms(plan->query, &count) : NULL;
	plan->wish_count = 0;
	for (size_t i = 0; i < count && i < TL_QUERY_INDEX_TERMS_MAX; i++)
		if (tl_index_is_word(terms[i].term))
			wish(plan, 0, terms[i].term, terms[i].prefix);
	if (plan->from.len > 0)
		wish(plan, TL_INDEX_FROM, plan->from, false);
	if (plan->type.len > 0)
		wish(plan, TL_INDEX_TYPE, plan->type, false);
	if (plan->wish_count > 1)
		qsort(plan->wishes, plan->wish_count, sizeof plan->wishes[0], by_rarity);
}

bool tl_search_fields_match(const struct tl_search_plan *plan, const struct tl_message_view *message)
{
	bool event = message->event.len > 0;
	if (plan->from.len > 0 && !tl_slice_equal(plan->from, message->from))
		return false;
	if (plan->type.len > 0 && !tl_slice_equal(plan->type, message->type))
		return false;
	return event ? plan->type.len > 0 && !plan->query : message->has_body;
}

/* --- opening --- */

/* (K3) */
static void use_no_index(struct tl_candidates *candidates)
{
	candidates->tail_from = candidates->first - 1;
	candidates->directory.segment_count = 0;
}

enum tl_err tl_candidates_open(struct tl_search_plan *plan, uint64_t conversation_no, uint64_t head,
                               struct tl_candidates **candidates_out)
{
	struct tl_candidates *candidates = calloc(1, sizeof *candidates);
	if (!candidates)
		return TL_NO_MEMORY;
	candidates->plan = plan;
	candidates->no = conversation_no;
	candidates->head = candidates->read_from = head;
	candidates->first = 1;
	candidates->block_ts = UINT64_MAX;
	enum tl_err err = TL_OK;
	if (plan->wish_count > 0)
		err = tl_directory_read(plan->engine, plan->snapshot, conversation_no, &candidates->directory);
	if (err == TL_CORRUPT)
		plan->damaged = conversation_no;
	else if (err != TL_OK) {
		free(candidates);
		return err;
	}
	candidates->tail_from = candidates->directory.indexed_to;
	if (plan->wish_count == 0 || err == TL_CORRUPT)
		use_no_index(candidates);
	*candidates_out = candidates;
	return TL_OK;
}

static void close_segments(struct tl_candidates *candidates)
{
	for (uint32_t i = 0; i < candidates->opened; i++) {
		for (uint32_t j = 0; candidates->open[i].postings && j < candidates->plan->wish_count; j++)
			tl_postings_fini(&candidates->open[i].postings[j]);
		free(candidates->open[i].postings);
		tl_postings_fini(&candidates->open[i].edited);
	}
	free(candidates->open);
	candidates->open = NULL;
	candidates->opened = 0;
}

void tl_candidates_close(struct tl_candidates *candidates)
{
	if (!candidates)
		return;
	close_segments(candidates);
	free(candidates->edited);
	free(candidates);
}

void tl_candidates_limit(struct tl_candidates *candidates, uint64_t first)
{
	candidates->first = first;
	if (candidates->tail_from < first) {
		candidates->tail_from = first - 1;
		candidates->directory.segment_count = 0;
	}
}

uint64_t tl_candidates_tail(const struct tl_candidates *candidates)
{
	return candidates->head > candidates->tail_from ? candidates->head - candidates->tail_from : 0;
}

/* --- the tail --- */

static enum tl_err note_edited(struct tl_candidates *candidates, const struct tl_message_view *event)
{
	uint64_t cseq;
	if (!tl_message_edits(event, &cseq) || cseq == 0 || cseq > candidates->tail_from)
		return TL_OK;
	if (candidates->edited_count == candidates->edited_room) {
		size_t room = candidates->edited_room ? candidates->edited_room * 2 : 16;
		uint64_t *grown = realloc(candidates->edited, room * sizeof *grown);
		if (!grown)
			return TL_NO_MEMORY;
		candidates->edited = grown;
		candidates->edited_room = room;
	}
	candidates->edited[candidates->edited_count++] = cseq;
	return TL_OK;
}

/* Whether an entry of the tail may match; what edits are about is noted on the way. */
static enum tl_err look_at(struct tl_candidates *candidates, struct tl_slice kept, bool *may_match_out)
{
	const struct tl_search_plan *plan = candidates->plan;
	struct tl_message_view message;
	*may_match_out = false;
	if (!tl_message_view(kept, &message))
		return TL_OK; /* a damaged entry is shown by nobody */
	*may_match_out = tl_search_fields_match(plan, &message) &&
	                 (!plan->query || tl_query_may_match(plan->query, message.body));
	return message.event.len > 0 ? note_edited(candidates, &message) : TL_OK;
}

/* Reads one entry into the block, if it may match. */
static enum tl_err read_entry(struct tl_candidates *candidates, uint64_t cseq, bool *first)
{
	struct tl_search_plan *plan = candidates->plan;
	struct tl_store_record record;
	bool may_match;
	enum tl_err err = tl_store_reader_find(&plan->store, candidates->no, cseq, &record);
	if (err == TL_NOT_FOUND)
		return TL_OK; /* it has been dropped */
	plan->entries += err == TL_CORRUPT ? DAMAGED_COST : 1;
	if (err == TL_CORRUPT) {
		plan->unreadable = candidates->no;
		return TL_OK;
	}
	if (err == TL_OK && *first)
		candidates->block_ts = tl_message_ts(record.message);
	*first = false;
	if (err == TL_OK)
		err = look_at(candidates, record.message, &may_match);
	if (err == TL_OK && may_match)
		candidates->block[candidates->block_count++] = cseq;
	return err;
}

/* Reads the entries (from, to] into the block: those that may match. */
static enum tl_err read_entries(struct tl_candidates *candidates, uint64_t from, uint64_t to)
{
	enum tl_err err = TL_OK;
	bool first = true;
	for (uint64_t cseq = from + 1; cseq <= to && err == TL_OK; cseq++)
		err = read_entry(candidates, cseq, &first);
	return err;
}

/* Reads entries (from, to] of the tail for nothing but the edits among them. */
static enum tl_err read_edits(struct tl_candidates *candidates, uint64_t from, uint64_t to)
{
	enum tl_err err = TL_OK;
	for (uint64_t at = from; at < to && err == TL_OK; at += BLOCK) {
		err = read_entries(candidates, at, to - at < BLOCK ? to : at + BLOCK);
		candidates->block_count = 0;
	}
	return err;
}

/* Reads the next block downwards, below cseq `below`. */
static enum tl_err read_block(struct tl_candidates *candidates, uint64_t below)
{
	enum tl_err err = TL_OK;
	if (below <= candidates->read_from && candidates->directory.segment_count > 0)
		err = read_edits(candidates, below - 1, candidates->read_from);
	uint64_t to = candidates->read_from < below ? candidates->read_from : below - 1;
	candidates->read_from = to > candidates->tail_from + BLOCK ? to - BLOCK : candidates->tail_from;
	return err == TL_OK ? read_entries(candidates, candidates->read_from, to) : err;
}

static enum tl_err next_in_tail(struct tl_candidates *candidates, uint64_t below, struct tl_place *place_out)
{
	bool read = false;
	for (;;) {
		while (candidates->block_count > 0) {
			uint64_t cseq = candidates->block[--candidates->block_count];
			if (cseq >= below)
				continue;
			*place_out = (struct tl_place){.candidate = true, .cseq = cseq};
			return TL_OK;
		}
		if (candidates->read_from <= candidates->tail_from || below <= candidates->tail_from + 1)
			return TL_END;
		if (read) {
			*place_out = (struct tl_place){.cseq = candidates->read_from + 1, .ts = candidates->block_ts};
			return TL_OK;
		}
		enum tl_err err = read_block(candidates, below);
		if (err != TL_OK)
			return err;
		read = true;
	}
}

/* --- segments --- */

/* Then every entry of the segment is a candidate. */
static bool all_unknown(const struct tl_search_plan *plan, const struct open_segment *open)
{
	for (uint32_t i = 0; i < plan->wish_count; i++)
		if (!open->postings[i].unknown)
			return false;
	return true;
}

/* The first offset from `offset` on that every wish has; TL_END. */
static enum tl_err join(struct tl_candidates *candidates, struct open_segment *open, uint64_t offset,
                        uint64_t *offset_out)
{
	struct tl_search_plan *plan = candidates->plan;
	uint32_t agreed = 0;
	for (uint32_t i = 0; agreed < plan->wish_count; i = (i + 1) % plan->wish_count) {
		uint64_t at;
		enum tl_err err =
			tl_postings_seek(&open->postings[i], plan->index, open->segment, &plan->allowance, offset, &at);
		if (err != TL_OK)
			return err;
		agreed = at == offset ? agreed + 1 : 1;
		offset = at;
	}
	*offset_out = offset;
	if (!all_unknown(plan, open) || offset <= open->segment->to - open->segment->from)
		return TL_OK;
	return tl_postings_seek(&open->edited, plan->index, open->segment, &plan->allowance, offset, offset_out);
}

static enum tl_err advance(struct tl_candidates *candidates, struct open_segment *open, uint64_t below)
{
	uint64_t offset = below <= open->segment->to ? open->segment->to - below + 1 : 0;
	enum tl_err err = join(candidates, open, offset, &offset);
	open->there = err == TL_OK;
	if (err == TL_OK && offset >= open->segment->to)
		return TL_CORRUPT;
	open->cseq = open->segment->to - offset;
	return err == TL_END ? TL_OK : err;
}

static enum tl_err open_next(struct tl_candidates *candidates, uint64_t below)
{
	const struct tl_directory *directory = &candidates->directory;
	uint32_t wishes = candidates->plan->wish_count;
	if (!candidates->open && !(candidates->open = calloc(directory->segment_count, sizeof *candidates->open)))
		return TL_NO_MEMORY;
	struct open_segment *open = &candidates->open[candidates->opened++];
	open->segment = &directory->segments[directory->segment_count - candidates->opened];
	if (!(open->postings = malloc(wishes * sizeof *open->postings)))
		return TL_NO_MEMORY;
	tl_postings_init(&open->edited, &edited_wish);
	for (uint32_t i = 0; i < wishes; i++)
		tl_postings_init(&open->postings[i], &candidates->plan->wishes[i]);
	return advance(candidates, open, below);
}

/* Has every open segment stand below, and finds the greatest candidate of them, 0 if there is none. */
static enum tl_err greatest_open(struct tl_candidates *candidates, uint64_t below, uint64_t *cseq_out)
{
	*cseq_out = 0;
	for (uint32_t i = 0; i < candidates->opened; i++) {
		struct open_segment *open = &candidates->open[i];
		enum tl_err err = open->there && open->cseq >= below ? advance(candidates, open, below) : TL_OK;
		if (err != TL_OK)
			return err;
		if (open->there && open->cseq > *cseq_out)
			*cseq_out = open->cseq;
	}
	return TL_OK;
}

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

/* Below the tail, the messages that edits in the tail are about are candidates too: what of the tail has not been read, is
 * read for them now. */
static enum tl_err gather_edited(struct tl_candidates *candidates)
{
	enum tl_err err = read_edits(candidates, candidates->tail_from, candidates->read_from);
	if (candidates->edited_count > 1)
		qsort(candidates->edited, candidates->edited_count, sizeof candidates->edited[0], ascending);
	candidates->sorted = err == TL_OK;
	candidates->read_from = candidates->tail_from;
	return err;
}

static uint64_t greatest_edited(struct tl_candidates *candidates, uint64_t below)
{
	while (candidates->edited_count > 0 && candidates->edited[candidates->edited_count - 1] >= below)
		candidates->edited_count--;
	return candidates->edited_count > 0 ? candidates->edited[candidates->edited_count - 1] : 0;
}

/* (K2) */
static enum tl_err next_in_segments(struct tl_candidates *candidates, uint64_t below, struct tl_place *place_out)
{
	const struct tl_directory *directory = &candidates->directory;
	uint64_t edited, best;
	tl_iter_retarget(candidates->plan->index, tl_partition(TL_PART_INDEX, candidates->no));
	tl_iter_pass_damage(candidates->plan->index); /* what is missing is noticed (index_segment.h) */
	enum tl_err err = candidates->sorted ? TL_OK : gather_edited(candidates);
	if (err == TL_OK)
		err = greatest_open(candidates, below, &best);
	if (err != TL_OK)
		return err;
	edited = greatest_edited(candidates, below);
	if (edited > best)
		best = edited;
	while (candidates->opened < directory->segment_count &&
	       directory->segments[directory->segment_count - 1 - candidates->opened].to >= best) {
		if ((err = open_next(candidates, below)) != TL_OK)
			return err;
		const struct open_segment *open = &candidates->open[candidates->opened - 1];
		if (open->there && open->cseq > best)
			best = open->cseq;
	}
	*place_out = (struct tl_place){.candidate = true, .cseq = best};
	return best > 0 ? TL_OK : TL_END;
}

/* A damaged segment: the rest is read entry by entry. */
static enum tl_err go_on_without_index(struct tl_candidates *candidates, uint64_t below, struct tl_place *place_out)
{
	candidates->plan->damaged = candidates->no;
	close_segments(candidates);
	use_no_index(candidates);
	candidates->block_count = 0;
	candidates->read_from = candidates->read_from < below - 1 ? below - 1 : candidates->read_from;
	return next_in_tail(candidates, below, place_out);
}

enum tl_err tl_candidates_next(struct tl_candidates *candidates, uint64_t below, struct tl_place *place_out)
{
	if (below == 0)
		return TL_END;
	enum tl_err err = next_in_tail(candidates, below, place_out);
	if (err == TL_END && candidates->directory.segment_count > 0) {
		uint64_t indexed_end = candidates->tail_from + 1;
		err = next_in_segments(candidates, below < indexed_end ? below : indexed_end, place_out);
		if (err == TL_CORRUPT)
			err = go_on_without_index(candidates, below < indexed_end ? below : indexed_end, place_out);
	}
	return err;
}
