#include "index_work.h"

#include "conversations.h"
#include "index_seal.h"
#include "msgpack_reader.h"
#include "timeline.h"

#include <stdlib.h>
#include <time.h>

enum {
	MARKS_MAX = 256,     /* fresh marks of one piece */
	DROP_KEYS = 1000,    /* of garbage, likewise */
	NAMES_MAX = 1000,    /* conversations marked in one piece */
	TURNS = 2,
};

enum tl_err tl_index_work_init(struct tl_index_work *work, struct tl_database *database)
{
	*work = (struct tl_index_work){.database = database, .marking = true};
	enum tl_err err = tl_batch_new(database->engine, &work->batch);
	if (err != TL_OK)
		return err;
	err = tl_index_builder_new(&work->builder);
	if (err != TL_OK)
		tl_batch_free(work->batch);
	return err;
}

void tl_index_work_fini(struct tl_index_work *work)
{
	tl_index_builder_free(work->builder);
	tl_batch_free(work->batch);
}

void tl_index_work_reset(struct tl_index_work *work)
{
	tl_batch_clear(work->batch);
	tl_index_builder_clear(work->builder);
	work->merge.active = false;
	work->fresh_position = work->upkeep_no = 0;
	work->marking = true;
}

static enum tl_err commit(struct tl_index_work *work)
{
	enum tl_err err = TL_OK;
	if (tl_batch_count(work->batch) > 0)
		err = tl_engine_commit(work->database->engine, work->batch, false, NULL);
	tl_batch_clear(work->batch);
	return err;
}

/* --- marks --- */

/* Those that cannot be read are passed over: the next mark of the conversation stands for them. */
static enum tl_err marks_new(const struct tl_index_work *work, const struct tl_snapshot *snapshot, uint64_t queue,
                             struct tl_iter **marks_out)
{
	enum tl_err err = tl_iter_new(work->database->engine, snapshot, tl_partition(TL_PART_INDEX_QUEUE, queue), false,
	                              marks_out);
	if (err == TL_OK)
		tl_iter_pass_damage(*marks_out);
	return err;
}

/* Of a list that is passed through in spite of damage. */
static enum tl_err list_error(const struct tl_iter *list)
{
	enum tl_err err = tl_iter_error(list);
	return err == TL_CORRUPT ? TL_OK : err;
}

/* Marks, and what they are about, all as of one moment. */
struct view {
	struct tl_snapshot *snapshot;
	struct tl_iter *marks;
	struct tl_iter *store; /* any partition */
};

/* To be closed even where it fails. */
static enum tl_err view_open(const struct tl_index_work *work, uint64_t queue, struct view *view)
{
	struct tl_engine *engine = work->database->engine;
	*view = (struct view){NULL, NULL, NULL};
	enum tl_err err = tl_snapshot_of_present(engine, &view->snapshot);
	if (err == TL_OK)
		err = marks_new(work, view->snapshot, queue, &view->marks);
	if (err == TL_OK)
		err = tl_iter_new(engine, view->snapshot, tl_partition(TL_PART_META, 0), false, &view->store);
	return err;
}

static void view_close(struct view *view)
{
	tl_iter_free(view->marks);
	tl_iter_free(view->store);
	tl_snapshot_free(view->snapshot);
}

/* Of the mark that the list is at (I4). */
static void drop_damaged(struct tl_index_work *work, const struct tl_iter *list, uint64_t queue)
{
	tl_index_damaged_delete(work->batch, queue, list);
	atomic_fetch_add_explicit(&work->unreadable, 1, memory_order_relaxed);
}

/* --- fresh marks --- */

/* Conversations sealed in the batch at hand, which the snapshot does not show. */
struct sealed {
	uint64_t no[MARKS_MAX];
	uint64_t to[MARKS_MAX]; /* cseq */
	size_t count;
};

/* Seals what the mark is about, unless the batch has it already. TL_CONFLICT: the batch has to be committed before. */
static enum tl_err follow(struct tl_index_work *work, const struct view *view, const struct tl_index_mark *mark,
                          struct sealed *sealed)
{
	for (size_t i = 0; i < sealed->count; i++)
		if (sealed->no[i] == mark->conversation_no)
			return sealed->to[i] >= mark->cseq ? TL_OK : TL_CONFLICT;
	uint64_t to = 0;
	enum tl_err err = tl_index_seal(work, view->snapshot, view->store, mark->conversation_no, mark->cseq, &to);
	if (err != TL_OK)
		return err;
	sealed->no[sealed->count] = mark->conversation_no;
	sealed->to[sealed->count++] = to;
	return to >= mark->cseq ? TL_OK : TL_CONFLICT;
}

/* As long as it is known which conversation it is about, upkeep does instead what there is to do. */
static void pass_over(struct tl_index_work *work, const struct tl_iter *marks, const struct tl_index_mark *mark)
{
	drop_damaged(work, marks, TL_INDEX_QUEUE_FRESH);
	if (mark->conversation_no > 0)
		tl_index_mark_upkeep(work->batch, mark->conversation_no, 0);
}

/* Follows marks until the batch is large enough. */
static enum tl_err follow_marks(struct tl_index_work *work, const struct view *view, uint64_t *done_out)
{
	struct tl_iter *marks = view->marks;
	struct sealed sealed = {.count = 0};
	struct tl_index_mark mark;
	struct tl_pair_key key;
	enum tl_err err = TL_OK;
	uint64_t done = 0;
	bool there = tl_iter_seek(marks, work->fresh_position > 0 ? tl_pair_key(&key, work->fresh_position, 0) : tl_slice("", 0));
	for (; there && done < MARKS_MAX && tl_batch_bytes(work->batch) < TL_INDEX_BATCH_BYTES / 2; there = tl_iter_next(marks)) {
		if (!tl_index_mark_read(marks, &mark)) {
			pass_over(work, marks, &mark);
			done++;
			continue;
		}
		if (done == 0)
			atomic_store_explicit(&work->oldest_ts, mark.ts, memory_order_relaxed);
		work->fresh_position = mark.position;
		if ((err = follow(work, view, &mark, &sealed)) != TL_OK)
			break;
		tl_index_mark_delete(work->batch, &mark);
		done++;
	}
	if (err == TL_OK)
		err = list_error(marks);
	if (done == 0 && !there)
		atomic_store_explicit(&work->oldest_ts, 0, memory_order_relaxed);
	*done_out = done;
	return err == TL_CONFLICT ? TL_OK : err;
}

static enum tl_err fresh_piece(struct tl_index_work *work, bool *did_out, uint64_t *done_out)
{
	struct view view;
	enum tl_err err = view_open(work, TL_INDEX_QUEUE_FRESH, &view);
	if (err == TL_OK)
		err = follow_marks(work, &view, done_out);
	view_close(&view);
	*did_out = *done_out > 0 || tl_batch_count(work->batch) > 0;
	return err == TL_OK ? commit(work) : err;
}

/* --- upkeep of one conversation --- */

struct upkeep {
	uint64_t no;
	const struct tl_snapshot *snapshot;
	struct tl_iter *store;
	struct tl_slice mark; /* its value */
	struct tl_directory directory;
	struct tl_bounds bounds; /* of the store timeline */
	bool wanted;             /* the conversation is to have an index at all */
};

/* A directory that cannot be read names nothing, so everything in the partition goes; ids must then begin where none has been. */
static enum tl_err drop_all(struct tl_index_work *work, const struct upkeep *upkeep)
{
	struct tl_directory empty = {.next_id = (uint64_t)time(NULL)};
	struct tl_drop drop = {.limit = DROP_KEYS};
	enum tl_err err = tl_engine_drop_range(work->database->engine, tl_partition(TL_PART_INDEX, upkeep->no),
	                                       tl_slice("", 1), tl_slice("", 0), &drop);
	if (err == TL_OK && drop.keys < DROP_KEYS)
		tl_directory_put(&empty, upkeep->no, work->batch);
	return err;
}

/* Chunks whose segment the directory has not named (D3). *dropped_out: there were some. */
static enum tl_err drop_left_over(struct tl_index_work *work, const struct upkeep *upkeep, bool *dropped_out)
{
	struct tl_drop drop = {.limit = DROP_KEYS};
	struct tl_index_key from;
	enum tl_err err = tl_index_has_from(upkeep->store, upkeep->no, upkeep->directory.next_id, dropped_out);
	if (err != TL_OK || !*dropped_out)
		return err;
	return tl_engine_drop_range(work->database->engine, tl_partition(TL_PART_INDEX, upkeep->no),
	                            tl_index_key_begin(&from, upkeep->directory.next_id), tl_slice("", 0), &drop);
}

static enum tl_err drop_garbage(struct tl_index_work *work, struct upkeep *upkeep)
{
	uint64_t id = upkeep->directory.garbage[0];
	struct tl_drop drop = {.limit = DROP_KEYS};
	struct tl_index_key from, to;
	enum tl_err err = tl_engine_drop_range(work->database->engine, tl_partition(TL_PART_INDEX, upkeep->no),
	                                       tl_index_key_begin(&from, id), tl_index_key_begin(&to, id + 1), &drop);
	if (err != TL_OK || drop.keys == DROP_KEYS)
		return err;
	tl_directory_remove_garbage(&upkeep->directory, id);
	tl_directory_put(&upkeep->directory, upkeep->no, work->batch);
	return TL_OK;
}

static enum tl_err merge(struct tl_index_work *work, struct upkeep *upkeep, uint32_t first, uint32_t count)
{
	if (!work->merge.active)
		tl_index_merge_begin(&work->merge, work->database->engine, work->batch, upkeep->no, &upkeep->directory, first,
		                     count, upkeep->bounds.floor);
	enum tl_err err = tl_index_merge_step(&work->merge);
	if (err == TL_CORRUPT) { /* an input is damaged (I2) */
		tl_batch_clear(work->batch);
		tl_index_mark_anew(work->batch, upkeep->no);
		return TL_OK;
	}
	if (err == TL_OK && !work->merge.active) {
		atomic_fetch_add_explicit(&work->merges, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&work->bytes, work->merge.output.writer.segment.bytes, memory_order_relaxed);
	}
	return err;
}

/* All segments become garbage. */
static void forget_segments(struct tl_directory *directory)
{
	directory->indexed_to = 0;
	tl_directory_expire(directory, UINT64_MAX);
}

static enum tl_err load(struct tl_index_work *work, struct upkeep *upkeep)
{
	struct tl_engine *engine = work->database->engine;
	struct tl_conversation_record record;
	char *bytes;
	enum tl_err err = tl_conversation_read(engine, upkeep->snapshot, upkeep->no, &record, &bytes);
	if (err == TL_NOT_FOUND || err == TL_CORRUPT)
		return TL_OK;
	if (err != TL_OK)
		return err;
	upkeep->wanted = !record.dissolved && !record.no_index;
	free(bytes);
	err = tl_timeline_bounds(engine, upkeep->snapshot, upkeep->store, tl_partition(TL_PART_STORE, upkeep->no),
	                         &upkeep->bounds, NULL, NULL);
	return err == TL_CORRUPT ? TL_OK : err; /* with its end unreadable, only its segments are looked after */
}

/* Changes the directory itself, if that is due. */
static bool put_straight(struct upkeep *upkeep)
{
	struct tl_directory *directory = &upkeep->directory;
	bool switched = directory->off == upkeep->wanted;
	directory->off = !upkeep->wanted;
	if (upkeep->wanted)
		return tl_directory_expire(directory, upkeep->bounds.floor) || switched;
	if (directory->indexed_to > 0)
		forget_segments(directory);
	return switched;
}

/* Where the number of a cseq in the tail made it due (tl_index_is_due): its fresh mark may have been followed already, before
 * the conversation was indexed anew. */
static bool is_due_to_seal(const struct upkeep *upkeep)
{
	return upkeep->wanted && upkeep->bounds.head / TL_INDEX_TAIL > upkeep->directory.indexed_to / TL_INDEX_TAIL &&
	       upkeep->directory.segment_count < TL_INDEX_SEGMENTS_MAX;
}

/* Does what comes first of what is to be done. */
static enum tl_err do_first(struct tl_index_work *work, struct upkeep *upkeep)
{
	struct tl_directory *directory = &upkeep->directory;
	uint32_t first = 0, count = 0;
	bool dropped;
	uint64_t to;
	enum tl_err err = tl_directory_read(work->database->engine, upkeep->snapshot, upkeep->no, directory);
	if (err == TL_CORRUPT)
		return drop_all(work, upkeep);
	if (err != TL_OK)
		return err;
	if (work->merge.active)
		return merge(work, upkeep, 0, 0);
	err = drop_left_over(work, upkeep, &dropped);
	if (err != TL_OK || dropped)
		return err;
	if (directory->garbage_count > 0)
		return drop_garbage(work, upkeep);
	if (put_straight(upkeep)) {
		tl_directory_put(directory, upkeep->no, work->batch);
		return TL_OK;
	}
	if (is_due_to_seal(upkeep)) {
		err = tl_index_seal(work, upkeep->snapshot, upkeep->store, upkeep->no, upkeep->bounds.head, &to);
		if (err != TL_OK || tl_batch_count(work->batch) > 0)
			return err;
	}
	if (tl_directory_due(directory, &first, &count))
		return merge(work, upkeep, first, count);
	tl_index_upkeep_delete(work->batch, upkeep->no, upkeep->mark);
	return TL_OK;
}

/* Follows the mark that the iterator is at. */
static enum tl_err follow_upkeep(struct tl_index_work *work, const struct view *view)
{
	struct upkeep *upkeep = calloc(1, sizeof *upkeep);
	if (!upkeep)
		return TL_NO_MEMORY;
	if (!tl_index_upkeep_read(view->marks, &upkeep->no)) {
		drop_damaged(work, view->marks, TL_INDEX_QUEUE_UPKEEP);
		free(upkeep);
		return TL_OK;
	}
	upkeep->snapshot = view->snapshot;
	upkeep->store = view->store;
	upkeep->mark = tl_iter_value(view->marks);
	enum tl_err err = load(work, upkeep);
	if (work->merge.active && work->merge.conversation_no != upkeep->no)
		work->merge.active = false;
	work->upkeep_no = upkeep->no;
	if (err == TL_OK)
		err = do_first(work, upkeep);
	free(upkeep);
	return err;
}

/* One conversation is looked after until its mark is gone, then the next one, around and around. */
static bool find_upkeep(const struct tl_index_work *work, struct tl_iter *marks)
{
	unsigned char key[TL_ORDERED_INT_MAX];
	return tl_iter_seek(marks, tl_slice(key, tl_ordered_int_put(key, work->upkeep_no))) ||
	       (list_error(marks) == TL_OK && tl_iter_seek(marks, tl_slice("", 0)));
}

static enum tl_err upkeep_piece(struct tl_index_work *work, bool *did_out)
{
	struct view view;
	enum tl_err err = view_open(work, TL_INDEX_QUEUE_UPKEEP, &view);
	if (err == TL_OK) {
		*did_out = find_upkeep(work, view.marks);
		err = *did_out ? follow_upkeep(work, &view) : list_error(view.marks);
	}
	view_close(&view);
	if (err == TL_OK)
		err = commit(work);
	return err == TL_CONFLICT ? TL_OK : err; /* the mark was put again: it is followed once more */
}

/* --- indexing anew --- */

/* The conversation's segments become garbage; the rest is upkeep. */
static enum tl_err begin_anew(struct tl_index_work *work, uint64_t no)
{
	struct tl_directory directory;
	enum tl_err err = tl_directory_read(work->database->engine, NULL, no, &directory);
	if (err != TL_OK && err != TL_CORRUPT)
		return err;
	if (err == TL_OK && !tl_directory_has_room(&directory, directory.segment_count))
		return TL_OK; /* when upkeep has dropped what garbage there is */
	if (err == TL_OK) {
		forget_segments(&directory);
		tl_directory_put(&directory, no, work->batch);
	}
	if (work->merge.conversation_no == no)
		work->merge.active = false;
	tl_index_mark_upkeep(work->batch, no, 0);
	tl_index_anew_delete(work->batch, no);
	return TL_OK;
}

static enum tl_err anew_piece(struct tl_index_work *work, bool *did_out)
{
	struct tl_iter *marks;
	uint64_t no;
	enum tl_err err = marks_new(work, NULL, TL_INDEX_QUEUE_ANEW, &marks);
	if (err != TL_OK)
		return err;
	*did_out = tl_iter_seek(marks, tl_slice("", 0));
	if (!*did_out)
		err = list_error(marks);
	else if (tl_index_upkeep_read(marks, &no))
		err = begin_anew(work, no);
	else
		drop_damaged(work, marks, TL_INDEX_QUEUE_ANEW);
	tl_iter_free(marks);
	*did_out = tl_batch_count(work->batch) > 0;
	return err == TL_OK ? commit(work) : err;
}

/* Marks conversations from the name that TL_META_REINDEX holds on, or finds the end and says that all is indexed. */
static enum tl_err mark_some(struct tl_index_work *work, struct tl_iter *names, struct tl_slice from)
{
	struct tl_slice meta_key = tl_slice_str(TL_META_REINDEX);
	struct tl_conversation_name name;
	bool there = tl_iter_seek(names, from);
	for (unsigned i = 0; there && i < NAMES_MAX; i++, there = tl_iter_next(names))
		if (tl_conversation_name_unpack(tl_iter_value(names), &name))
			tl_index_mark_anew(work->batch, name.no);

	if (there) {
		tl_batch_put(work->batch, tl_partition(TL_PART_META, 0), meta_key, tl_iter_key(names));
		return TL_OK;
	}
	tl_batch_delete(work->batch, tl_partition(TL_PART_META, 0), meta_key);
	tl_database_put_uint(work->batch, TL_META_INDEX, TL_INDEX_VERSION);
	return list_error(names);
}

static enum tl_err marking_piece(struct tl_index_work *work, bool *did_out)
{
	struct tl_engine *engine = work->database->engine;
	struct tl_iter *names;
	char *from;
	size_t len;
	enum tl_err err = tl_engine_get(engine, NULL, tl_partition(TL_PART_META, 0), tl_slice_str(TL_META_REINDEX), &from, &len);
	work->marking = err == TL_OK;
	if (err != TL_OK)
		return err == TL_NOT_FOUND ? TL_OK : err;
	err = tl_iter_new(engine, NULL, tl_partition(TL_PART_CONVERSATION_NAMES, 0), false, &names);
	if (err == TL_OK) {
		tl_iter_pass_damage(names); /* what is not marked is searched as far as it is indexed, and else without an index */
		err = mark_some(work, names, tl_slice(from, len));
		tl_iter_free(names);
	}
	free(from);
	*did_out = true;
	return err == TL_OK ? commit(work) : err;
}

enum tl_err tl_index_work_anew(struct tl_index_work *work, uint64_t conversation_no)
{
	if (conversation_no > 0)
		tl_index_mark_anew(work->batch, conversation_no);
	else
		tl_batch_put(work->batch, tl_partition(TL_PART_META, 0), tl_slice_str(TL_META_REINDEX), tl_slice("", 0));
	work->marking = true;
	return commit(work);
}

/* --- all of it --- */

enum tl_err tl_index_work_step(struct tl_index_work *work, bool *did_out, uint64_t *marks_done_out)
{
	enum tl_err err = TL_OK;
	*did_out = false;
	*marks_done_out = 0;
	if (work->marking)
		err = marking_piece(work, did_out);
	/* In turn, so that neither fresh messages nor a great merge waits for the other. One conversation is indexed anew after the
	 * other, so that few are without an index at a time. */
	for (unsigned i = 0; i < TURNS && err == TL_OK && !*did_out; i++) {
		if (work->turn++ % TURNS == 0) {
			err = fresh_piece(work, did_out, marks_done_out);
			continue;
		}
		err = upkeep_piece(work, did_out);
		if (err == TL_OK && !*did_out)
			err = anew_piece(work, did_out);
	}
	return err;
}

enum tl_err tl_index_work_count(struct tl_index_work *work, uint64_t *marks_out)
{
	struct tl_iter *marks;
	uint64_t count = 0;
	enum tl_err err = marks_new(work, NULL, TL_INDEX_QUEUE_FRESH, &marks);
	if (err != TL_OK)
		return err;
	work->fresh_position = 0;
	for (bool there = tl_iter_seek(marks, tl_slice("", 0)); there; there = tl_iter_next(marks))
		count++;
	err = list_error(marks);
	tl_iter_free(marks);
	if (err == TL_OK)
		*marks_out = count;
	return err;
}
