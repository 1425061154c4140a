/* The timeline: entries in the order of an ever growing sequence number, which the whole program is made of.
 *
 *     floor                                            head
 *       │  dropped for good ◄─┤ floor+1 … ├─► present    │   appended next: head+1
 *
 * A timeline is one partition of the engine: ordered_int(seq) → entry, and before all of them, under the empty key its
 * floor once something has been dropped, and under ordered_int(0) its mark: an entry not far from the head, from which on
 * all are there.
 *
 *   (T1) Sequence numbers start at 1; append uses head + 1, so there is no gap above the floor.
 *   (T2) head never decreases. The last entry stays on disk even where the floor has reached it: it says where the
 *        timeline ends, at once. Nobody is shown it any more.
 *   (T3) Reads never look below the floor, where deleted keys would make them slow.
 *   (T4) The mark is put with the 1st, 4th, 16th and every 64th entry, and with the next one after it has been found to be
 *        far from the head; it goes where the floor is raised. So where there is one, everything from it to the head is
 *        there, and finding that needs no look at the floor. Where it is missing or too old, finding the head takes a few
 *        more reads. A timeline that is read anew for each append, as most are when there are many, has it close by.
 *
 * A timeline has one writer at a time, who caches its bounds; any thread may read.
 */
#ifndef TL_TIMELINE_H
#define TL_TIMELINE_H

#include "engine.h"

/* Which no sequence number reaches, so that steps from there stay numbers. What stands beyond is damage, and no entry. */
static const uint64_t TL_SEQ_MAX = UINT64_MAX / 4;

struct tl_bounds {
	uint64_t floor; /* the last sequence number dropped, 0 if none was */
	uint64_t head;  /* the last one appended, 0 if none was */
};

/* Reads the bounds. If `last_out` is not NULL it receives a malloc'ed copy of the last entry (NULL with length 0
 * where there is none), the caller's to free. `iter` (any partition, moved by this) spares the making of one, where one is
 * needed; NULL to have it made on `snapshot`. Without a snapshot only where the floor cannot rise meanwhile. TL_CORRUPT:
 * the floor or what stands at the end cannot be read. */
TL_MUST_USE enum tl_err tl_timeline_bounds(struct tl_engine *engine, const struct tl_snapshot *snapshot,
                                           struct tl_iter *iter, struct tl_partition timeline,
                                           struct tl_bounds *bounds_out, char **last_out, size_t *last_len_out);

/* As tl_timeline_bounds, for showing what there is of a timeline whose end cannot be read: behind the last entry that can be, what
 * cannot counts as one. TL_CORRUPT: the floor cannot be read. Any thread. */
TL_MUST_USE enum tl_err tl_timeline_reach(struct tl_engine *engine, const struct tl_snapshot *snapshot,
                                          struct tl_partition timeline, struct tl_bounds *bounds_out);

/* Reads the head alone and its entry, as above: three gets in most timelines. *far_out: the mark is so far away that the next
 * entry should have it. */
TL_MUST_USE enum tl_err tl_timeline_head(struct tl_engine *engine, const struct tl_snapshot *snapshot,
                                         struct tl_iter *iter, struct tl_partition timeline, uint64_t *head_out,
                                         bool *far_out, char **last_out, size_t *last_len_out);

/* Reads the floor alone: one get. */
TL_MUST_USE enum tl_err tl_timeline_floor(struct tl_engine *engine, const struct tl_snapshot *snapshot,
                                          struct tl_partition timeline, uint64_t *floor_out);

/* Puts the floor into the batch, before what is appended in it. It may only rise. */
void tl_timeline_put_floor(struct tl_batch *batch, struct tl_partition timeline, uint64_t floor);

/* Appends an entry: `seq` is head + 1. `mark`: the mark is put with it in any case (T4). */
void tl_timeline_append(struct tl_batch *batch, struct tl_partition timeline, uint64_t seq, struct tl_slice entry,
                        bool mark);

/* Puts another entry in the place of a present one. */
void tl_timeline_replace(struct tl_batch *batch, struct tl_partition timeline, uint64_t seq, struct tl_slice entry);

/* One entry: TL_OK with a malloc'ed copy that is the caller's, or TL_NOT_FOUND. */
TL_MUST_USE enum tl_err tl_timeline_get(struct tl_engine *engine, const struct tl_snapshot *snapshot,
                                        struct tl_partition timeline, uint64_t seq, char **entry_out, size_t *len_out);

/* --- reading on from a place --- */

struct tl_cursor {
	struct tl_iter *iter; /* borrowed */
	uint64_t seq;         /* of the entry at hand */
	struct tl_slice entry; /* valid until the cursor moves */
};

/* Positions a cursor over `timeline` on `iter` at the first entry >= seq; false if there is none, or on error
 * (tl_iter_error). Do not pass a seq at or below the floor (T3). */
bool tl_cursor_seek(struct tl_cursor *cursor, struct tl_iter *iter, struct tl_partition timeline, uint64_t seq);
bool tl_cursor_next(struct tl_cursor *cursor);
bool tl_cursor_prev(struct tl_cursor *cursor); /* only where the cursor is at an entry */

#endif
