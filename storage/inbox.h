/* Inbox timelines as they lie on disk: in runs. What one batch appends to an inbox is one item of the partition, or a few,
 * however many entries it is:
 *
 *     seq 9     ──► [entry 9]
 *     seq 12    ──► [entry 10][entry 11][entry 12]
 *
 *   (N1) An item's key is the sequence number of its last entry. So seeking any number finds the item that has the entry,
 *        the last key is the inbox's head, and items that end at a floor or below it are dropped by their keys alone.
 *   (N2) A run has at most TL_INBOX_RUN_BYTES, unless it is one entry; so reading one entry stays cheap.
 *
 *   (N3) The floor stands behind all entries, under the key FF, so that one seek finds it and the head.
 *
 * A timeline otherwise (timeline.h T1 to T3), its end is found by seeking: the numbers between two keys have none.
 *
 * With a key for each entry, most of what storing a message costs would be the insertion of such keys. Any thread may
 * read; transaction_inbox.c writes. */
#ifndef TL_INBOX_H
#define TL_INBOX_H

#include "records.h"
#include "timeline.h"

enum { TL_INBOX_RUN_BYTES = 1024 };

/* A place in an inbox. */
struct tl_inbox_cursor {
	struct tl_cursor item;       /* the run at hand */
	struct tl_reader rest;       /* what is behind the entry in its run */
	uint64_t seq;                /* of the entry at hand */
	struct tl_inbox_entry entry; /* valid until the cursor moves */
};

/* Moves a cursor on `iter` to the first entry >= seq of a user's inbox. TL_END: there is none; TL_CORRUPT; or reading failed.
 * Do not pass a seq at or below the floor. */
TL_MUST_USE enum tl_err tl_inbox_seek(struct tl_inbox_cursor *cursor, struct tl_iter *iter, uint64_t user_no, uint64_t seq);

/* To the next entry; errors as above. */
TL_MUST_USE enum tl_err tl_inbox_next(struct tl_inbox_cursor *cursor);

/* Where a user's inbox begins and ends, read through `iter`, which is moved, and the last entry if `last_out` is not
 * NULL (zeroed where there is none; its message is not told). */
TL_MUST_USE enum tl_err tl_inbox_bounds(struct tl_iter *iter, uint64_t user_no, struct tl_bounds *bounds_out,
                                        struct tl_inbox_entry *last_out);

/* Reads the floor alone, as it is at present: one get. */
TL_MUST_USE enum tl_err tl_inbox_stored_floor(struct tl_engine *engine, uint64_t user_no, uint64_t *floor_out);

/* Puts packed entries, one behind the other, of which the last one is `seq`, into the batch. */
void tl_inbox_put(struct tl_batch *batch, uint64_t user_no, uint64_t seq, struct tl_slice entries);

/* Puts the floor into the batch. It may only rise. */
void tl_inbox_put_floor(struct tl_batch *batch, uint64_t user_no, uint64_t floor);

#endif
