#include "search.h"

#include "index_builder.h"
#include "ordered_int.h"

#include <stdlib.h>

enum {
	COST_MAX = 60000,      /* entries read one after the other, before a search stops; half a microsecond each … */
	READ_COST = 6,         /* … and what a candidate or a chunk costs in these terms */
	PREFIX_CHUNKS_MAX = 4000,
	TAIL_UNSEEN_MAX = 256, /* a longer tail is not read before it is known that the user may see anything of it */
	OPEN_MAX = 1024,       /* conversations that are held open at a time */
};

/* One of the conversations. */
struct target {
	struct tl_search_place place; /* nothing above it is left */
	uint64_t head;                /* cseq of the last entry */
	uint64_t below;               /* cseq: what is at or above it has been looked at */
	bool looked;                  /* at the entry at `place` itself too */
	bool matches;                 /* the entry at `place` does; whether it is a hit, its visibility tells */
	bool seen;                    /* `visibility` is there */
	struct tl_candidates *candidates; /* NULL: not open */
	struct tl_visibility *visibility;
};

struct tl_search {
	struct tl_search_options options;
	struct tl_search_plan plan;
	struct tl_text *text;
	struct target **heap; /* greatest place first */
	size_t count, room;
	size_t open_count;
	uint64_t verified;
	char *bytes; /* the entry read last */
	const struct tl_range *ranges;
	size_t range_count;
};

/* --- places --- */

static int compare(const struct tl_search_place *a, const struct tl_search_place *b)
{
	if (a->ts != b->ts)
		return a->ts < b->ts ? -1 : 1;
	if (a->conversation_no != b->conversation_no)
		return a->conversation_no < b->conversation_no ? -1 : 1;
	return (a->cseq > b->cseq) - (a->cseq < b->cseq);
}

static void sift_down(struct tl_search *search, size_t at)
{
	for (;;) {
		size_t greatest = at;
		for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < search->count; child++)
			if (compare(&search->heap[child]->place, &search->heap[greatest]->place) > 0)
				greatest = child;
		if (greatest == at)
			return;
		struct target *moved = search->heap[at];
		search->heap[at] = search->heap[greatest];
		search->heap[greatest] = moved;
		at = greatest;
	}
}

static void sift_up(struct tl_search *search, size_t at)
{
	for (; at > 0; at = (at - 1) / 2) {
		size_t parent = (at - 1) / 2;
		if (compare(&search->heap[at]->place, &search->heap[parent]->place) <= 0)
			return;
		struct target *moved = search->heap[at];
		search->heap[at] = search->heap[parent];
		search->heap[parent] = moved;
	}
}

/* --- conversations --- */

static void close_candidates(struct tl_search *search, struct target *target)
{
	if (!target->candidates)
		return;
	tl_candidates_close(target->candidates);
	target->candidates = NULL;
	search->open_count--;
}

static void target_free(struct tl_search *search, struct target *target)
{
	close_candidates(search, target);
	if (target->seen)
		tl_visibility_close(target->visibility);
	free(target->visibility);
	free(target);
}

static void drop_first(struct tl_search *search)
{
	struct target *first = search->heap[0];
	search->heap[0] = search->heap[--search->count];
	sift_down(search, 0);
	target_free(search, first);
}

enum tl_err tl_search_new(const struct tl_search_options *options, struct tl_search **search_out)
{
	const struct tl_partition any = tl_partition(TL_PART_META, 0);
	struct tl_search *search = calloc(1, sizeof *search);
	if (!search)
		return TL_NO_MEMORY;
	search->options = *options;
	search->plan = (struct tl_search_plan){
		.engine = options->engine,
		.snapshot = options->snapshot,
		.query = options->query,
		.from = options->from,
		.type = options->type,
		.allowance = {.prefix_chunks = PREFIX_CHUNKS_MAX},
	};
	tl_search_plan_wishes(&search->plan);
	enum tl_err err = tl_text_new(&search->text);
	if (err == TL_OK)
		err = tl_iter_new(options->engine, options->snapshot, any, true, &search->plan.index);
	tl_store_reader_init(&search->plan.store, options->engine, options->snapshot);
	if (err != TL_OK) {
		tl_search_free(search);
		return err;
	}
	*search_out = search;
	return TL_OK;
}

void tl_search_free(struct tl_search *search)
{
	if (!search)
		return;
	for (size_t i = 0; i < search->count; i++)
		target_free(search, search->heap[i]);
	free(search->heap);
	free(search->bytes);
	tl_iter_free(search->plan.index);
	tl_store_reader_fini(&search->plan.store);
	tl_text_free(search->text);
	free(search);
}

uint64_t tl_search_damaged(const struct tl_search *search)
{
	return search->plan.damaged;
}

uint64_t tl_search_unreadable(const struct tl_search *search)
{
	return search->plan.unreadable;
}

/* The highest place that anything of the conversation can have: its last entry's, the start's, or that of `until`. */
static void limit_place(const struct tl_search_options *options, struct tl_search_place *place)
{
	if (place->ts > options->until) {
		place->ts = options->until;
		place->cseq = UINT64_MAX;
	}
	if (!options->has_start || compare(place, &options->start) < 0)
		return;
	if (place->conversation_no == options->start.conversation_no)
		*place = (struct tl_search_place){options->start.ts, place->conversation_no, options->start.cseq - 1};
	else if (place->conversation_no < options->start.conversation_no)
		*place = (struct tl_search_place){options->start.ts, place->conversation_no, UINT64_MAX};
	else
		*place = (struct tl_search_place){options->start.ts - 1, place->conversation_no, UINT64_MAX};
}

static enum tl_err add_target(struct tl_search *search, const struct tl_search_place *last)
{
	struct target *target = calloc(1, sizeof *target);
	if (search->count == search->room) {
		size_t room = search->room ? search->room * 2 : 64;
		struct target **grown = target ? realloc(search->heap, room * sizeof(struct target *)) : NULL;
		if (!grown) {
			free(target);
			return TL_NO_MEMORY;
		}
		search->heap = grown;
		search->room = room;
	}
	if (!target)
		return TL_NO_MEMORY;
	target->place = *last;
	target->head = last->cseq;
	target->below = last->cseq + 1;
	limit_place(&search->options, &target->place);
	if (target->place.conversation_no == search->options.start.conversation_no && search->options.has_start &&
	    search->options.start.cseq < target->below)
		target->below = search->options.start.cseq;
	search->heap[search->count++] = target;
	sift_up(search, search->count - 1);
	return TL_OK;
}

/* Adds a conversation by its last entry, if it has one; one without any near its end that can be read is left out. */
static enum tl_err add_by_head(struct tl_search *search, uint64_t no)
{
	const struct tl_search_options *options = &search->options;
	struct tl_search_place last = {.conversation_no = no};
	enum tl_err err = tl_store_last(options->engine, options->snapshot, search->plan.index, no, &last.cseq, &last.ts);
	if (err == TL_CORRUPT)
		search->plan.unreadable = no;
	if (err != TL_OK)
		return err == TL_NOT_FOUND || err == TL_CORRUPT ? TL_OK : err;
	return last.ts >= options->since ? add_target(search, &last) : TL_OK;
}

/* Adds the conversations that a partition lists, up to `most`, those with the highest numbers. */
static enum tl_err add_listed(struct tl_search *search, enum tl_partition_kind kind, uint64_t most)
{
	struct tl_iter *list;
	uint64_t no;
	enum tl_err err = tl_iter_new(search->options.engine, search->options.snapshot,
	                              tl_partition(kind, search->options.user_no), true, &list);
	if (err != TL_OK)
		return err;
	tl_iter_pass_damage(list);
	bool there = tl_iter_seek_last(list);
	for (uint64_t i = 0; there && i < most && err == TL_OK; i++, there = tl_iter_prev(list)) {
		struct tl_slice key = tl_iter_key(list);
		if (tl_ordered_int_read(key.ptr, key.len, &no))
			err = add_by_head(search, no);
	}
	if (err == TL_OK)
		err = tl_iter_error(list);
	tl_iter_free(list);
	return err == TL_CORRUPT ? TL_OK : err;
}

enum tl_err tl_search_add_all(struct tl_search *search)
{
	enum tl_err err = add_listed(search, TL_PART_USER_CONVERSATIONS, UINT64_MAX);
	return err == TL_OK ? add_listed(search, TL_PART_LEFT_CONVERSATIONS, TL_SEARCH_LEFT_MAX) : err;
}

static enum tl_err open_visibility(const struct tl_search *search, uint64_t conversation_no,
                                   struct tl_visibility *visibility_out)
{
	const struct tl_search_options *options = &search->options;
	return tl_visibility_open_no(options->engine, options->snapshot, options->limits, options->now, conversation_no,
	                             options->user_no, visibility_out);
}

/* TL_NOT_MEMBER: nothing of it is for this user, or for any search. */
static enum tl_err see(struct tl_search *search, struct target *target)
{
	if (target->seen)
		return TL_OK;
	if (!target->visibility && !(target->visibility = malloc(sizeof *target->visibility)))
		return TL_NO_MEMORY;
	enum tl_err err = open_visibility(search, target->place.conversation_no, target->visibility);
	if (err != TL_OK)
		return err;
	target->seen = true;
	if (target->visibility->conversation.no_index)
		return TL_NOT_MEMBER;
	if (target->candidates)
		tl_candidates_limit(target->candidates, target->visibility->first);
	if (target->below > target->visibility->last + 1)
		target->below = target->visibility->last + 1;
	return TL_OK;
}

enum tl_err tl_search_add(struct tl_search *search, uint64_t conversation_no)
{
	struct tl_visibility visibility;
	enum tl_err err = open_visibility(search, conversation_no, &visibility);
	if (err != TL_OK)
		return err;
	tl_visibility_close(&visibility);
	return add_by_head(search, conversation_no);
}

/* --- looking into one --- */

static enum tl_err open_candidates(struct tl_search *search, struct target *target)
{
	enum tl_err err = tl_candidates_open(&search->plan, target->place.conversation_no, target->head,
	                                     &target->candidates);
	if (err != TL_OK)
		return err;
	search->open_count++;
	if (target->seen)
		tl_candidates_limit(target->candidates, target->visibility->first);
	if (tl_candidates_tail(target->candidates) > TAIL_UNSEEN_MAX)
		err = see(search, target);
	return err;
}

/* Whether a message is what is looked for; its ranges are in search->ranges. */
static enum tl_err match(struct tl_search *search, const struct tl_message_view *message, bool *matches_out)
{
	const struct tl_search_plan *plan = &search->plan;
	search->range_count = 0;
	*matches_out = tl_search_fields_match(plan, message) && message->ts >= search->options.since &&
	               message->ts <= search->options.until;
	if (!*matches_out || !plan->query)
		return TL_OK;
	enum tl_err err = tl_text_analyse(search->text, tl_index_text(message->body), message->ctype);
	return err == TL_OK ? tl_query_match(plan->query, search->text, matches_out, &search->ranges, &search->range_count)
	                    : err;
}

/* Reads an entry, into search->bytes. TL_NOT_FOUND: it is not there. */
static enum tl_err read_entry(struct tl_search *search, const struct tl_search_place *place, struct tl_slice *kept_out,
                              struct tl_message_view *message_out)
{
	struct tl_store_record record;
	size_t len;
	free(search->bytes);
	search->bytes = NULL;
	search->verified++;
	enum tl_err err = tl_timeline_get(search->options.engine, search->options.snapshot,
	                                  tl_partition(TL_PART_STORE, place->conversation_no), place->cseq, &search->bytes,
	                                  &len);
	if (err != TL_OK)
		return err;
	if (!tl_store_record_unpack(tl_slice(search->bytes, len), &record) || !tl_message_view(record.message, message_out))
		return TL_CORRUPT;
	*kept_out = record.message;
	return TL_OK;
}

/* Whether the place of an entry just read is out of the range: then target->below leaps over the others there. */
static enum tl_err leap(struct tl_search *search, struct target *target, bool *leapt_out)
{
	struct tl_search_place limit = target->place;
	limit_place(&search->options, &limit);
	*leapt_out = compare(&target->place, &limit) > 0;
	if (!*leapt_out)
		return TL_OK;
	target->place = limit;
	target->looked = false;
	if (limit.ts == UINT64_MAX)
		return TL_OK;
	return tl_store_reader_find_time(&search->plan.store, limit.conversation_no, 1, target->below, limit.ts + 1,
	                                 &target->below);
}

static enum tl_err look_at_candidate(struct tl_search *search, struct target *target)
{
	struct tl_message_view message;
	struct tl_slice kept;
	bool leapt;
	enum tl_err err = read_entry(search, &target->place, &kept, &message);
	if (err != TL_OK)
		return err == TL_NOT_FOUND || err == TL_CORRUPT ? TL_OK : err; /* expired, or cannot be shown */
	target->place.ts = message.ts;
	if (message.ts < search->options.since)
		return TL_END;
	err = leap(search, target, &leapt);
	return err == TL_OK && !leapt ? match(search, &message, &target->matches) : err;
}

/* Goes one candidate further, or some way without one. TL_END: the conversation has no more. */
static enum tl_err step(struct tl_search *search, struct target *target)
{
	struct tl_place place;
	enum tl_err err = target->candidates ? TL_OK : open_candidates(search, target);
	if (err == TL_OK)
		err = tl_candidates_next(target->candidates, target->below, &place);
	if (err != TL_OK)
		return err;
	if (target->seen && place.cseq < target->visibility->first)
		return TL_END;
	target->below = target->place.cseq = place.cseq;
	target->looked = true;
	if (place.candidate)
		return look_at_candidate(search, target);
	if (place.ts < target->place.ts)
		target->place.ts = place.ts;
	return place.ts < search->options.since ? TL_END : TL_OK;
}

/* --- all of them --- */

static bool has_cost_enough(const struct tl_search *search)
{
	return search->plan.entries + READ_COST * (search->verified + search->plan.allowance.chunks) > COST_MAX;
}

/* Whether the user can see the entry at the target's place, and has not deleted it. Only what would be given out next is
 * asked about: most conversations are never looked at that closely. */
static enum tl_err check_visible(struct tl_search *search, struct target *target, bool *visible_out)
{
	bool deleted;
	enum tl_err err = see(search, target);
	*visible_out = err == TL_OK && tl_visible(target->visibility, target->place.cseq);
	if (!*visible_out)
		return err;
	err = tl_deleted(target->visibility, target->place.cseq, &deleted);
	*visible_out = err == TL_OK && !deleted;
	return err == TL_CORRUPT ? TL_OK : err; /* what may have been deleted is not shown */
}

/* The match at the head of the heap, if it is a hit. It is read once more, because only one entry is held at a time. */
static enum tl_err give(struct tl_search *search, struct target *target, bool *given_out, struct tl_search_hit *hit_out)
{
	struct tl_message_view message;
	bool matches;
	target->matches = false;
	enum tl_err err = check_visible(search, target, given_out);
	if (err != TL_OK || !*given_out)
		return err;
	hit_out->place = target->place;
	hit_out->visibility = target->visibility;
	err = read_entry(search, &target->place, &hit_out->message, &message);
	if (err == TL_OK)
		err = match(search, &message, &matches);
	hit_out->ranges = search->ranges;
	hit_out->range_count = search->range_count;
	return err;
}

/* Gets on with the first of the heap: gives a hit or goes a step. */
static enum tl_err get_on(struct tl_search *search, struct target *first, bool *given_out,
                          struct tl_search_hit *hit_out)
{
	*given_out = false;
	if (first->matches)
		return give(search, first, given_out, hit_out);
	enum tl_err err = step(search, first);
	if (err == TL_OK && search->open_count > OPEN_MAX)
		close_candidates(search, first);
	if (err == TL_OK)
		sift_down(search, 0);
	return err;
}

enum tl_err tl_search_next(struct tl_search *search, struct tl_search_hit *hit_out, struct tl_search_place *place_out)
{
	while (search->count > 0) {
		struct target *first = search->heap[0];
		bool given;
		if (!first->matches && first->looked && has_cost_enough(search)) {
			*place_out = first->place;
			return TL_RATE_LIMITED;
		}
		enum tl_err err = get_on(search, first, &given, hit_out);
		if (err == TL_CORRUPT)
			search->plan.unreadable = first->place.conversation_no;
		if (err == TL_END || err == TL_NOT_MEMBER || err == TL_CORRUPT)
			drop_first(search);
		else if (err != TL_OK || given)
			return err;
	}
	return TL_END;
}
