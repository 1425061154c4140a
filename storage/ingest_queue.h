/* The ingest queue: what was accepted and is not yet committed, on disk, in the order of acceptance.
 *
 *     broker thread ── append ──► [segment 0][segment 1]…[segment n] ── read ──► writer thread ── release ──► unlink
 *
 * A position is a byte offset in the queue's whole life; it only ever grows, over restarts too, and names a record.
 * The on-disk format is drawn in storage/FORMAT.md.
 *
 *   (Q1) A record whose append returned TL_OK is read exactly as it was given, once, after kill -9 as before it;
 *        with `sync` also after power loss.
 *   (Q2) A record whose append failed is never read in this process's life, and the queue goes on working as soon
 *        as the cause is gone.
 *   (Q3) Opening cuts the last segment at its first damaged record. Damage in an earlier segment skips to the next
 *        one, and is reported.
 *   (Q4) Positions never go backwards, even where files are missing: what is appended after open(committed) stands
 *        at a position >= committed.
 */
#ifndef TL_INGEST_QUEUE_H
#define TL_INGEST_QUEUE_H

#include "error.h"
#include "slice.h"

#include <stdbool.h>
#include <stdint.h>

struct tl_ingest_queue;

struct tl_ingest_queue_options {
	const char *dir;        /* directory of the segments, made if missing (its parent must exist) */
	uint64_t max_bytes;     /* append answers TL_FULL when this much is waiting */
	uint64_t segment_bytes; /* a new segment is begun when the present one has reached this */
	bool sync;              /* append returns only when the record is on stable storage (fdatasync; directory too) */
};

/* Opens or makes a queue whose records before `committed` are no longer wanted. `why` says what failed (TL_IO,
 * TL_NO_SPACE, TL_CORRUPT, TL_VERSION: a segment of an unknown version). *lost_bytes_out: bytes skipped by (Q3) in
 * segments before the last, 0 normally. */
TL_MUST_USE enum tl_err tl_ingest_queue_open(const struct tl_ingest_queue_options *options, uint64_t committed,
                                             struct tl_ingest_queue **queue_out, uint64_t *lost_bytes_out,
                                             struct tl_why *why);

/* What has been appended and not released is on the disk when this has returned TL_OK, also without `sync`. Nobody may be
 * appending or consuming. NULL is legal. TL_NO_SPACE, TL_IO. */
TL_MUST_USE enum tl_err tl_ingest_queue_flush(struct tl_ingest_queue *queue);

/* Closes the files, keeps everything. NULL is legal. */
void tl_ingest_queue_close(struct tl_ingest_queue *queue);

/* Appends one record made of `count` parts (at most 16), at most 1 GiB in all: a short one by a copy (queue_window.h), a
 * long one, or any with `sync`, by one write. Appending thread only.
 * TL_FULL, TL_NO_SPACE, TL_IO, TL_TOO_LARGE: nothing was appended (Q2). */
TL_MUST_USE enum tl_err tl_ingest_queue_append(struct tl_ingest_queue *queue, const struct tl_slice *parts,
                                               size_t count, uint64_t *position_out);

/* Where the next record will stand: the position after the last one. Any thread. */
uint64_t tl_ingest_queue_end(const struct tl_ingest_queue *queue);

/* Bytes appended and not yet released. Any thread. */
uint64_t tl_ingest_queue_backlog_bytes(const struct tl_ingest_queue *queue);

/* Reads the record at *position, or the first one after it (a position from open's `committed`, or from the last
 * read's `next`). On TL_OK: *record_out (valid until the next read), its own position in *position and where to go
 * on in *next_out. TL_END: nothing more yet. TL_IO, TL_NO_MEMORY: try again later. Consuming thread only. */
TL_MUST_USE enum tl_err tl_ingest_queue_read(struct tl_ingest_queue *queue, uint64_t *position,
                                             struct tl_slice *record_out, uint64_t *next_out);

/* Everything before `position` is committed elsewhere: segments that lie wholly before it are unlinked. Consuming
 * thread only. */
void tl_ingest_queue_release(struct tl_ingest_queue *queue, uint64_t position);

/* Waits until there is something at or after `position`, or `timeout_ms` has passed, or tl_ingest_queue_wake was
 * called. True if there is something. Consuming thread only. An append costs no system call for this while the
 * consumer is not waiting. */
bool tl_ingest_queue_wait(struct tl_ingest_queue *queue, uint64_t position, unsigned timeout_ms);

/* Ends a wait early, or the next one if nobody is waiting. Any thread. */
void tl_ingest_queue_wake(struct tl_ingest_queue *queue);

#endif
