#include "backlog.h"

#include "conversations.h"
#include "expiry.h"

#include <stdlib.h>

static enum tl_err add(struct tl_inbox *inbox, size_t *room, struct tl_slice key, struct tl_slice value)
{
	struct tl_backlog backlog = {0};
	if (!tl_pair_key_parse(key, &backlog.conversation_no, &backlog.since) ||
	    !tl_backlog_record_unpack(value, &backlog.record))
		return TL_CORRUPT;
	backlog.stored_pulled = backlog.record.pulled;
	if (inbox->count == *room) {
		size_t more = *room ? *room * 2 : 4;
		struct tl_backlog *grown = realloc(inbox->backlogs, more * sizeof *grown);
		if (!grown)
			return TL_NO_MEMORY;
		inbox->backlogs = grown;
		*room = more;
	}
	inbox->backlogs[inbox->count++] = backlog;
	return TL_OK;
}

static enum tl_err read_backlogs(struct tl_iter *iter, uint64_t user_no, struct tl_inbox *inbox)
{
	enum tl_err err = TL_OK;
	size_t room = 0;
	tl_iter_retarget(iter, tl_partition(TL_PART_BACKLOG, user_no));
	for (bool there = tl_iter_seek(iter, tl_slice("", 0)); there && err == TL_OK; there = tl_iter_next(iter))
		err = add(inbox, &room, tl_iter_key(iter), tl_iter_value(iter));
	return err == TL_OK ? tl_iter_error(iter) : err;
}

static enum tl_err find_end(struct tl_engine *engine, const struct tl_snapshot *snapshot, struct tl_iter *iter,
                            struct tl_inbox *inbox, struct tl_backlog *backlog)
{
	struct tl_bounds store;
	enum tl_err err = tl_timeline_bounds(engine, snapshot, iter, tl_partition(TL_PART_STORE, backlog->conversation_no),
	                                     &store, NULL, NULL);
	if (err == TL_CORRUPT) { /* B4 */
		inbox->damaged = backlog->conversation_no;
		backlog->head = backlog->last = backlog->record.pulled;
		return TL_OK;
	}
	if (err != TL_OK)
		return err;
	uint64_t until = backlog->record.until;
	backlog->floor = store.floor;
	backlog->head = store.head;
	backlog->last = until > 0 && until < store.head ? until : store.head;
	return TL_OK;
}

static void skip(struct tl_inbox *inbox, struct tl_backlog *backlog, uint64_t count)
{
	backlog->record.pulled += count;
	inbox->head += count;
	inbox->floor = inbox->head;
}

/* B1: nothing that is shown stands before it. */
static enum tl_err skip_expired(struct tl_engine *engine, const struct tl_snapshot *snapshot,
                                const struct tl_limits *limits, uint64_t now, struct tl_inbox *inbox)
{
	for (size_t i = 0; i < inbox->count; i++) {
		struct tl_backlog *backlog = &inbox->backlogs[i];
		uint64_t pulled = backlog->record.pulled, expired;
		const struct tl_bounds pending = {pulled > backlog->floor ? pulled : backlog->floor, backlog->last};
		if (tl_backlog_pending(backlog) == 0)
			continue;
		expired = pending.floor;
		if (pending.floor < pending.head) {
			enum tl_err err = tl_store_floor(engine, snapshot, backlog->conversation_no, &pending,
			                                 limits->inbox_ttl_ms, now, &expired);
			if (err == TL_CORRUPT)
				expired = pending.floor; /* what cannot be read stays until it is taken in */
			else if (err != TL_OK)
				return err;
		}
		skip(inbox, backlog, (expired < backlog->last ? expired : backlog->last) - pulled);
	}
	return TL_OK;
}

/* --- giving way --- */

/* Backlogs that can give way, as a heap, the longest first. Of several of one conversation, which come in their order, only
 * the first that has anything left. */
struct heap {
	struct tl_backlog **longest;
	size_t count;
	const struct tl_backlog *end; /* of all backlogs */
};

/* Of equals the first one. */
static bool is_longer(const struct tl_backlog *a, const struct tl_backlog *b)
{
	uint64_t x = tl_backlog_pending(a), y = tl_backlog_pending(b);
	return x > y || (x == y && a < b);
}

static void sift_down(struct heap *heap, size_t at)
{
	for (;;) {
		size_t first = at;
		for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < heap->count; child++)
			if (is_longer(heap->longest[child], heap->longest[first]))
				first = child;
		if (first == at)
			return;
		struct tl_backlog *moved = heap->longest[at];
		heap->longest[at] = heap->longest[first];
		heap->longest[first] = moved;
		at = first;
	}
}

/* The first one from `at` on, of its conversation, that has anything left; NULL: none has. */
static struct tl_backlog *first_left(const struct heap *heap, struct tl_backlog *at)
{
	const uint64_t no = at->conversation_no;
	while (at < heap->end && at->conversation_no == no && tl_backlog_pending(at) == 0)
		at++;
	return at < heap->end && at->conversation_no == no ? at : NULL;
}

static enum tl_err heap_init(struct heap *heap, struct tl_inbox *inbox)
{
	struct tl_backlog *all = inbox->backlogs;
	*heap = (struct heap){.longest = malloc((inbox->count + 1) * sizeof(struct tl_backlog *)), .end = all + inbox->count};
	if (!heap->longest)
		return TL_NO_MEMORY;
	for (size_t i = 0; i < inbox->count; i++) {
		bool is_first = i == 0 || all[i].conversation_no != all[i - 1].conversation_no;
		struct tl_backlog *left = is_first ? first_left(heap, &all[i]) : NULL;
		if (left)
			heap->longest[heap->count++] = left;
	}
	for (size_t i = heap->count / 2; i-- > 0;)
		sift_down(heap, i);
	return TL_OK;
}

/* The longest one has become shorter. */
static void settle_longest(struct heap *heap)
{
	struct tl_backlog *left = first_left(heap, heap->longest[0]);
	heap->longest[0] = left ? left : heap->longest[--heap->count];
	sift_down(heap, 0);
}

/* B1: the noisiest conversation gives way first, but half of what it has at a time, so that a second one comes in too. */
static enum tl_err skip_excess(struct tl_inbox *inbox, uint64_t excess)
{
	struct heap heap;
	enum tl_err err = heap_init(&heap, inbox);
	if (err != TL_OK)
		return err;
	while (excess > 0 && heap.count > 0) {
		uint64_t count = (tl_backlog_pending(heap.longest[0]) + 1) / 2;
		count = count < excess ? count : excess;
		skip(inbox, heap.longest[0], count);
		excess -= count;
		settle_longest(&heap);
	}
	free(heap.longest);
	return TL_OK;
}

/* --- where the inbox begins --- */

/* What has been filled up keeps its beginning, unless something else has moved it on. */
static enum tl_err keep_floor(struct tl_engine *engine, const struct tl_snapshot *snapshot, struct tl_iter *iter,
                              uint64_t user_no, const struct tl_limits *limits, uint64_t now, uint64_t pulled_floor,
                              struct tl_inbox *inbox)
{
	struct tl_limits unlimited = *limits;
	unlimited.inbox_max = 0;
	enum tl_err err = tl_inbox_floor(iter, user_no, &inbox->bounds, &unlimited, now, &inbox->floor);
	if (err == TL_OK && inbox->floor == inbox->bounds.head)
		err = skip_expired(engine, snapshot, limits, now, inbox);
	if (err == TL_OK && pulled_floor > inbox->floor)
		inbox->floor = pulled_floor;
	return err;
}

static enum tl_err set_floor(struct tl_engine *engine, const struct tl_snapshot *snapshot, struct tl_iter *iter,
                             uint64_t user_no, const struct tl_limits *limits, uint64_t now, struct tl_inbox *inbox)
{
	enum tl_err err = tl_inbox_floor(iter, user_no, &inbox->bounds, limits, now, &inbox->floor);
	if (err == TL_OK && inbox->floor == inbox->bounds.head)
		err = skip_expired(engine, snapshot, limits, now, inbox);
	if (err != TL_OK || limits->inbox_max == 0 || inbox->latest <= limits->inbox_max)
		return err;
	uint64_t floor = inbox->latest - limits->inbox_max;
	if (floor > inbox->head)
		err = skip_excess(inbox, floor - inbox->head);
	if (floor > inbox->floor)
		inbox->floor = floor;
	return err;
}

enum tl_err tl_inbox_read(struct tl_engine *engine, const struct tl_snapshot *snapshot, struct tl_iter *iter,
                          uint64_t user_no, const struct tl_limits *limits, uint64_t now,
                          const uint64_t *pulled_floor, struct tl_inbox *inbox_out)
{
	struct tl_inbox inbox = {0};
	enum tl_err err = tl_inbox_bounds(iter, user_no, &inbox.bounds, NULL);
	if (err == TL_OK)
		err = read_backlogs(iter, user_no, &inbox);
	inbox.head = inbox.latest = inbox.bounds.head;
	for (size_t i = 0; i < inbox.count && err == TL_OK; i++) {
		err = find_end(engine, snapshot, iter, &inbox, &inbox.backlogs[i]);
		inbox.latest += tl_backlog_pending(&inbox.backlogs[i]);
	}
	if (err == TL_OK)
		err = pulled_floor ? keep_floor(engine, snapshot, iter, user_no, limits, now, *pulled_floor, &inbox)
		                   : set_floor(engine, snapshot, iter, user_no, limits, now, &inbox);
	if (err != TL_OK) {
		free(inbox.backlogs);
		return err;
	}
	*inbox_out = inbox;
	return TL_OK;
}

static enum tl_err read_quiet(struct tl_engine *engine, const struct tl_snapshot *snapshot, uint64_t user_no,
                              struct tl_inbox *inbox)
{
	enum tl_err err = TL_OK;
	for (size_t i = 0; i < inbox->count && err == TL_OK; i++) {
		struct tl_member_record member = {0};
		err = tl_member_read(engine, snapshot, inbox->backlogs[i].conversation_no, user_no, &member);
		inbox->backlogs[i].quiet = member.mute;
		err = err == TL_NOT_FOUND ? TL_OK : err;
	}
	return err;
}

static enum tl_err read_consistently(struct tl_engine *engine, uint64_t user_no, const struct tl_limits *limits,
                                     uint64_t now, const uint64_t *pulled_floor, bool with_quiet,
                                     struct tl_inbox *inbox_out)
{
	struct tl_snapshot *snapshot;
	struct tl_iter *iter;
	enum tl_err err = tl_snapshot_new(engine, &snapshot);
	if (err != TL_OK)
		return err;
	err = tl_iter_new(engine, snapshot, tl_partition(TL_PART_META, 0), true, &iter);
	if (err == TL_OK) {
		err = tl_inbox_read(engine, snapshot, iter, user_no, limits, now, pulled_floor, inbox_out);
		if (err == TL_OK && with_quiet && (err = read_quiet(engine, snapshot, user_no, inbox_out)) != TL_OK)
			tl_inbox_free(inbox_out);
		tl_iter_free(iter);
	}
	tl_snapshot_free(snapshot);
	return err;
}

static enum tl_err read_named(struct tl_engine *engine, const struct tl_limits *limits, uint64_t now,
                              struct tl_slice user, const uint64_t *pulled_floor, bool with_quiet,
                              struct tl_inbox *inbox_out)
{
	uint64_t no;
	enum tl_err err = tl_user_no(engine, NULL, user, &no);
	if (err == TL_NOT_FOUND) {
		*inbox_out = (struct tl_inbox){0};
		return TL_OK;
	}
	return err == TL_OK ? read_consistently(engine, no, limits, now, pulled_floor, with_quiet, inbox_out) : err;
}

enum tl_err tl_inbox_of(struct tl_engine *engine, const struct tl_limits *limits, uint64_t now, struct tl_slice user,
                        const uint64_t *pulled_floor, struct tl_inbox *inbox_out)
{
	return read_named(engine, limits, now, user, pulled_floor, false, inbox_out);
}

enum tl_err tl_inbox_with_quiet(struct tl_engine *engine, const struct tl_limits *limits, uint64_t now,
                                struct tl_slice user, struct tl_inbox *inbox_out)
{
	return read_named(engine, limits, now, user, NULL, true, inbox_out);
}

void tl_inbox_free(struct tl_inbox *inbox)
{
	free(inbox->backlogs);
	inbox->backlogs = NULL;
}
