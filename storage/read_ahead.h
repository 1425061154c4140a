/* Reading ahead of the writer. A message to a chat or a user that the writer does not have at hand needs some blocks of the
 * database, each of which may be a wait for the disk. While the writer applies a message, threads of their own do the reads
 * that those behind it in the queue will need, so that it finds the blocks in the cache. All they leave behind is what is in
 * that cache: the writer reads everything itself, and nothing depends on how far they have come.
 *
 *     queue   [being applied][ looked at: what is not at hand has been given to the threads ][ … ]
 *              next                                                                    looked
 *
 * Where nearly everything is at hand it does not look. Writer thread only.
 */
#ifndef TL_READ_AHEAD_H
#define TL_READ_AHEAD_H

#include "ingest_queue.h"
#include "transaction.h"

struct tl_read_ahead;

/* Looks at the queue for the writer whose transaction this is; both stay the caller's and outlive it. */
TL_MUST_USE enum tl_err tl_read_ahead_open(struct tl_ingest_queue *queue, struct tl_transaction *txn, unsigned threads,
                                           struct tl_read_ahead **ahead_out);

/* NULL is legal. */
void tl_read_ahead_close(struct tl_read_ahead *ahead);

/* The record at `next` is about to be applied. */
void tl_read_ahead_look(struct tl_read_ahead *ahead, uint64_t next);

/* A batch of that many records has been applied. */
void tl_read_ahead_learn(struct tl_read_ahead *ahead, uint64_t records);

#endif
