/* Device checkpoints: the last `after` that each device sent, a convenience for devices that do not keep it themselves.
 *
 *     readers ── note ──► pending ── collect (writer, with its next batch) ──► engine
 *
 * Noted in memory and written along with the next batch, at the latest after a second or when the store is closed;
 * kill -9 may lose that second, which costs a device a repeated page. Any thread unless said otherwise. */
#ifndef TL_CHECKPOINTS_H
#define TL_CHECKPOINTS_H

#include "due.h"
#include "ingest_queue.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct tl_checkpoint; /* one device's */

struct tl_checkpoints {
	pthread_mutex_t lock;           /* guards the rest */
	struct tl_checkpoint *pending;  /* noted since the last collect */
	struct tl_checkpoint *in_batch; /* collected, not known to be committed */
	uint64_t life;                  /* of the database; what was noted in another one is forgotten. Set before anybody notes or asks */
	struct tl_ingest_queue *queue;  /* borrowed: its consumer, the writer, is woken by the first that is noted; NULL: nobody
	                                 * is. Set before anybody notes */
};

TL_MUST_USE enum tl_err tl_checkpoints_init(struct tl_checkpoints *checkpoints);
void tl_checkpoints_fini(struct tl_checkpoints *checkpoints);

/* Notes that a device has everything up to `after`; `now` is in ms. Forgets it silently where memory is short. Wakes the
 * writer if nothing was pending. */
void tl_checkpoints_note(struct tl_checkpoints *checkpoints, uint64_t user_no, struct tl_slice device, uint64_t after,
                         uint64_t now);

/* The device's checkpoint: TL_OK, or TL_NOT_FOUND where there is none, it is of another life, or the device has not been seen for
 * `ttl_ms` (0: any time). `now` is in ms. */
TL_MUST_USE enum tl_err tl_checkpoints_find(struct tl_checkpoints *checkpoints, struct tl_engine *engine,
                                            uint64_t user_no, struct tl_slice device, uint64_t ttl_ms, uint64_t now,
                                            uint64_t *after_out);

/* Calls `each` for every device of the user of which something is noted that is perhaps not in the database yet, in any
 * order, under the lock. */
void tl_checkpoints_each(struct tl_checkpoints *checkpoints, uint64_t user_no,
                         void (*each)(void *ctx, struct tl_slice device, const struct tl_device_record *record),
                         void *ctx);

/* Puts what is pending into a batch, with the markers of devices that are forgotten after `ttl_ms`; then `settle` with
 * whether it was committed. Writer thread. */
void tl_checkpoints_collect(struct tl_checkpoints *checkpoints, struct tl_batch *batch, struct tl_due *due,
                            uint64_t ttl_ms);
void tl_checkpoints_settle(struct tl_checkpoints *checkpoints, bool committed);

/* Whether anything is waiting to be collected. */
bool tl_checkpoints_pending(struct tl_checkpoints *checkpoints);

#endif
