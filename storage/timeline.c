#include "timeline.h"

#include "ordered_int.h"
#include "uint_record.h"

#include <stdlib.h>

/* Entries. Up to the 64th, each mark's place is MARK_GROWTH times the one before. A head that is MARK_FAR behind the mark takes
 * one get more than it might. */
enum { MARK_EVERY = 64, MARK_GROWTH = 4, MARK_FAR = 2 };

static const struct tl_slice floor_key = {"", 0};
static const struct tl_slice mark_key = {"\0", 1}; /* as if of an entry 0 */

struct key {
	unsigned char bytes[TL_ORDERED_INT_MAX];
	struct tl_slice slice;
};

/* The slice points into the key itself: use it where it was made. */
#define KEY(name, seq)                                                                                                 \
	struct key name;                                                                                                   \
	name.slice = tl_slice(name.bytes, tl_ordered_int_put(name.bytes, (seq)))

static bool seq_of(struct tl_slice key, uint64_t *seq_out)
{
	return tl_ordered_int_read(key.ptr, key.len, seq_out) && *seq_out <= TL_SEQ_MAX;
}

/* 0 where there is no such key. */
static enum tl_err read_seq(struct tl_engine *engine, const struct tl_snapshot *snapshot, struct tl_partition timeline,
                            struct tl_slice key, uint64_t *seq_out)
{
	uint64_t seq = 0;
	enum tl_err err = tl_uint_record_get(engine, snapshot, timeline, key, &seq);
	if (err != TL_OK && err != TL_NOT_FOUND)
		return err;
	if (seq > TL_SEQ_MAX)
		return TL_CORRUPT;
	*seq_out = seq;
	return TL_OK;
}

enum tl_err tl_timeline_floor(struct tl_engine *engine, const struct tl_snapshot *snapshot,
                              struct tl_partition timeline, uint64_t *floor_out)
{
	return read_seq(engine, snapshot, timeline, floor_key, floor_out);
}

/* --- where a timeline ends --- */

/* The entries tried so far. */
struct probing {
	struct tl_engine *engine;
	const struct tl_snapshot *snapshot;
	struct tl_iter *iter; /* any partition; NULL: none yet */
	struct tl_partition timeline;
	uint64_t found; /* the greatest that there is … */
	char *entry;    /* … and its value; NULL: only a lower bound */
	size_t len;
};

static void take_entry(struct probing *probing, uint64_t seq, char *entry, size_t len)
{
	free(probing->entry);
	probing->found = seq;
	probing->entry = entry;
	probing->len = len;
}

/* Whether there is an entry `seq`, greater than all that were found. */
static enum tl_err probe(struct probing *probing, uint64_t seq, bool *there_out)
{
	char *entry;
	size_t len;
	enum tl_err err = tl_timeline_get(probing->engine, probing->snapshot, probing->timeline, seq, &entry, &len);
	*there_out = err == TL_OK;
	if (err == TL_OK)
		take_entry(probing, seq, entry, len);
	return err == TL_NOT_FOUND ? TL_OK : err;
}

/* How many entries behind `seq` the next mark is put. */
static uint64_t to_next_mark(uint64_t seq)
{
	uint64_t place = 1;
	if (seq >= MARK_EVERY)
		return MARK_EVERY - seq % MARK_EVERY;
	while (place <= seq)
		place *= MARK_GROWTH;
	return place - seq;
}

/* Halves what is between the entry found and one that is not there. */
static enum tl_err halve(struct probing *probing, uint64_t missing)
{
	enum tl_err err = TL_OK;
	while (err == TL_OK && missing - probing->found > 1) {
		uint64_t seq = probing->found + (missing - probing->found) / 2;
		bool there;
		err = probe(probing, seq, &there);
		if (!there)
			missing = seq;
	}
	return err;
}

/* Everything from `found` to the head is there (T1): steps that double find an entry that is not. */
static enum tl_err step_on(struct probing *probing)
{
	bool there = true;
	uint64_t step = 1, seq = 0;
	enum tl_err err = TL_OK;
	for (; err == TL_OK && there; step *= 2) {
		seq = probing->found + step;
		err = probe(probing, seq, &there);
	}
	return err == TL_OK ? halve(probing, seq) : err;
}

/* From `found` on, which may well be the last; most likely there is no entry where the next mark would be. */
static enum tl_err probe_on(struct probing *probing)
{
	uint64_t next = probing->found + to_next_mark(probing->found);
	bool there;
	enum tl_err err = probe(probing, probing->found + 1, &there);
	if (err != TL_OK || !there)
		return err;
	err = halve(probing, next);
	return err == TL_OK && probing->found + 1 >= next ? step_on(probing) : err;
}

/* The last key that can be read; 0 where that is the floor's or the mark's, which mean that everything was dropped.
 * *hidden_out: something on the way to it, or behind it, cannot be read. */
static enum tl_err seek_last_key(struct tl_iter *iter, struct tl_partition timeline, uint64_t *seq_out, bool *hidden_out)
{
	tl_iter_retarget(iter, timeline);
	tl_iter_pass_damage(iter);
	bool there = tl_iter_seek_last(iter);
	enum tl_err err = tl_iter_error(iter);
	*seq_out = 0;
	*hidden_out = err == TL_CORRUPT;
	if (err != TL_OK && err != TL_CORRUPT)
		return err;
	return there && tl_iter_key(iter).len > 0 && !seq_of(tl_iter_key(iter), seq_out) ? TL_CORRUPT : TL_OK;
}

/* The last entry, if no other comes next: then it is the last one (T1), whatever else cannot be read. */
static enum tl_err take_last(struct probing *probing, uint64_t seq, bool hidden)
{
	uint64_t last = seq > probing->found ? seq : probing->found;
	bool there = true, more = false;
	enum tl_err err = seq > 0 ? probe(probing, seq, &there) : TL_OK;
	if (err == TL_OK && hidden)
		err = probe(probing, last + 1, &more);
	return err == TL_OK && (!there || more) ? TL_CORRUPT : err;
}

/* The last entry wherever it is: below the floor, where it says when the timeline was last appended to, or behind something
 * damaged. */
static enum tl_err seek_last(struct probing *probing)
{
	struct tl_iter *made = NULL;
	uint64_t seq;
	bool hidden;
	enum tl_err err = TL_OK;
	if (!probing->iter)
		err = tl_iter_new(probing->engine, probing->snapshot, probing->timeline, true, &made);
	if (err == TL_OK)
		err = seek_last_key(made ? made : probing->iter, probing->timeline, &seq, &hidden);
	if (err == TL_OK)
		err = take_last(probing, seq, hidden);
	tl_iter_free(made);
	return err;
}

/* Has the entry `found` at hand, if nothing behind it was there; if it is not either, whatever is the last. */
static enum tl_err take_found(struct probing *probing)
{
	bool there = false;
	if (probing->entry || probing->found == 0)
		return TL_OK;
	enum tl_err err = probe(probing, probing->found, &there);
	return err == TL_OK && !there ? seek_last(probing) : err;
}

/* Without seeking, which reads a block of every level of the database: a get reads one, which the next ones find in the cache.
 * From `from` on, at which there may be an entry. */
static enum tl_err find_last(struct probing *probing, uint64_t from)
{
	probing->found = from;
	enum tl_err err = probe_on(probing);
	if (err == TL_OK)
		err = take_found(probing);
	return err == TL_CORRUPT ? seek_last(probing) : err; /* of something on the way, which need not hide the end */
}

static void give_last(struct probing *probing, char **last_out, size_t *last_len_out)
{
	if (!last_out) {
		free(probing->entry);
		return;
	}
	*last_out = probing->entry;
	*last_len_out = probing->len;
}

/* With the floor known. A mark serves only above it, as it should be (T4). */
static enum tl_err find_bounds(struct probing *probing, uint64_t mark, struct tl_bounds *bounds_out)
{
	uint64_t floor;
	enum tl_err err = tl_timeline_floor(probing->engine, probing->snapshot, probing->timeline, &floor);
	if (err != TL_OK)
		return err;
	err = find_last(probing, mark > floor ? mark : floor);
	if (err == TL_OK)
		*bounds_out = (struct tl_bounds){.floor = floor, .head = probing->found > floor ? probing->found : floor};
	return err;
}

/* A mark that cannot be read is as good as none. */
static enum tl_err read_mark(const struct probing *probing, uint64_t *mark_out)
{
	enum tl_err err = read_seq(probing->engine, probing->snapshot, probing->timeline, mark_key, mark_out);
	if (err == TL_CORRUPT)
		*mark_out = 0;
	return err == TL_CORRUPT ? TL_OK : err;
}

enum tl_err tl_timeline_bounds(struct tl_engine *engine, const struct tl_snapshot *snapshot, struct tl_iter *iter,
                               struct tl_partition timeline, struct tl_bounds *bounds_out, char **last_out,
                               size_t *last_len_out)
{
	struct probing probing = {.engine = engine, .snapshot = snapshot, .iter = iter, .timeline = timeline};
	uint64_t mark;
	enum tl_err err = read_mark(&probing, &mark);
	if (err == TL_OK)
		err = find_bounds(&probing, mark, bounds_out);
	if (err != TL_OK)
		free(probing.entry);
	else
		give_last(&probing, last_out, last_len_out);
	return err;
}

enum tl_err tl_timeline_head(struct tl_engine *engine, const struct tl_snapshot *snapshot, struct tl_iter *iter,
                             struct tl_partition timeline, uint64_t *head_out, bool *far_out, char **last_out,
                             size_t *last_len_out)
{
	struct probing probing = {.engine = engine, .snapshot = snapshot, .iter = iter, .timeline = timeline};
	struct tl_bounds bounds = {0};
	uint64_t mark;
	enum tl_err err = read_mark(&probing, &mark);
	if (err == TL_OK && mark > 0) {
		err = find_last(&probing, mark);
		bounds.head = probing.found;
	}
	if (err == TL_OK && !probing.entry)
		err = find_bounds(&probing, 0, &bounds);
	if (err != TL_OK) {
		free(probing.entry);
		return err;
	}
	*head_out = bounds.head;
	*far_out = bounds.head >= mark + MARK_FAR;
	give_last(&probing, last_out, last_len_out);
	return TL_OK;
}

/* From the last key that can be read, or the floor. Where more cannot be read, how much more is not known: it counts as one. */
static enum tl_err probe_damaged(struct tl_engine *engine, const struct tl_snapshot *snapshot,
                                 struct tl_partition timeline, uint64_t *head)
{
	char *entry = NULL;
	size_t len;
	enum tl_err err = tl_timeline_get(engine, snapshot, timeline, *head + 1, &entry, &len);
	free(entry);
	*head += err == TL_CORRUPT;
	return err == TL_NOT_FOUND || err == TL_CORRUPT ? TL_OK : err;
}

enum tl_err tl_timeline_reach(struct tl_engine *engine, const struct tl_snapshot *snapshot,
                              struct tl_partition timeline, struct tl_bounds *bounds_out)
{
	struct tl_bounds bounds;
	struct tl_iter *iter;
	bool hidden;
	enum tl_err err = tl_timeline_bounds(engine, snapshot, NULL, timeline, bounds_out, NULL, NULL);
	if (err != TL_CORRUPT)
		return err;
	err = tl_timeline_floor(engine, snapshot, timeline, &bounds.floor);
	if (err == TL_OK)
		err = tl_iter_new(engine, snapshot, timeline, true, &iter);
	if (err != TL_OK)
		return err;
	err = seek_last_key(iter, timeline, &bounds.head, &hidden);
	tl_iter_free(iter);
	if (bounds.head < bounds.floor)
		bounds.head = bounds.floor;
	if (err == TL_OK)
		err = probe_damaged(engine, snapshot, timeline, &bounds.head);
	if (err == TL_OK)
		*bounds_out = bounds;
	return err;
}

void tl_timeline_put_floor(struct tl_batch *batch, struct tl_partition timeline, uint64_t floor)
{
	tl_uint_record_put(batch, timeline, floor_key, floor);
	tl_batch_delete(batch, timeline, mark_key);
}

void tl_timeline_replace(struct tl_batch *batch, struct tl_partition timeline, uint64_t seq, struct tl_slice entry)
{
	KEY(key, seq);
	tl_batch_put(batch, timeline, key.slice, entry);
}

void tl_timeline_append(struct tl_batch *batch, struct tl_partition timeline, uint64_t seq, struct tl_slice entry,
                        bool mark)
{
	tl_timeline_replace(batch, timeline, seq, entry);
	if (mark || to_next_mark(seq - 1) == 1)
		tl_uint_record_put(batch, timeline, mark_key, seq);
}

enum tl_err tl_timeline_get(struct tl_engine *engine, const struct tl_snapshot *snapshot, struct tl_partition timeline,
                            uint64_t seq, char **entry_out, size_t *len_out)
{
	KEY(key, seq);
	if (seq == 0) /* where the mark is */
		return TL_NOT_FOUND;
	return tl_engine_get(engine, snapshot, timeline, key.slice, entry_out, len_out);
}

static bool load(struct tl_cursor *cursor, bool there)
{
	if (!there || !seq_of(tl_iter_key(cursor->iter), &cursor->seq))
		return false;
	cursor->entry = tl_iter_value(cursor->iter);
	return true;
}

bool tl_cursor_seek(struct tl_cursor *cursor, struct tl_iter *iter, struct tl_partition timeline, uint64_t seq)
{
	KEY(key, seq);
	cursor->iter = iter;
	tl_iter_retarget(iter, timeline);
	return load(cursor, tl_iter_seek(iter, key.slice));
}

bool tl_cursor_next(struct tl_cursor *cursor)
{
	return load(cursor, tl_iter_next(cursor->iter));
}

bool tl_cursor_prev(struct tl_cursor *cursor)
{
	return load(cursor, tl_iter_prev(cursor->iter));
}
