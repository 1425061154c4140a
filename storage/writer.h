/* The writer: one thread that takes what waits in the ingest queue, applies it, and commits it in batches.
 *
 *     chores ─┐
 *     ingest queue ──► apply (send.c, request_*.c) ──► one batch + watermark ──► commit ──► told ──► queue released
 *                            ▲                                                     │
 *                            └───────── another batch, with the same flush ────────┘
 *
 *   (W1) The watermark is committed in the same batch as what it covers, so a replay begins exactly where the last
 *        batch ended.
 *   (W2) Nobody is told anything before the commit has returned, synced unless durability says otherwise.
 *   (W5) Requests that read what others change have a batch to themselves. So that they need no flush to themselves, too, the
 *        batches of a group are committed one after the other and the last one is synced, which covers them all (engine.h E2).
 *        Until then requests that read see what was before the group. Who may do what is judged by the present: that is looked
 *        at again after a commit, and after one that has failed.
 *   (W3) When reading or committing fails, everything cached is forgotten, the database is opened again, and the same
 *        records are applied anew, until it works. What was acked waits in the queue meanwhile.
 *   (W4) Damaged data stays damaged: a message or request that meets it is answered `storage` and done with. Where that
 *        may have left something half-done, what is cached is forgotten first.
 */
#ifndef TL_WRITER_H
#define TL_WRITER_H

#include "checkpoints.h"
#include "chores.h"
#include "commit.h"
#include "database.h"
#include "ingest_queue.h"

enum tl_log { TL_LOG_ERROR, TL_LOG_WARNING, TL_LOG_NOTICE };

/* How the layer above hears of things: of commits on the writer thread, of log lines on any. */
struct tl_store_events {
	void *ctx;
	void (*committed)(void *ctx, const struct tl_commit *commit);
	void (*log)(void *ctx, enum tl_log level, const char *text);
};

struct tl_indexer;

struct tl_writer_options {
	bool sync;                  /* commits are synced */
	const struct tl_limits *limits; /* borrowed */
	struct tl_due_board *due;       /* borrowed */
	uint64_t batch_keys;        /* a batch is committed when it has this many puts */
	uint64_t batch_bytes;       /* or about this many bytes */
	uint64_t cached_users;      /* upper bounds of what is cached between batches */
	uint64_t cached_conversations;
	uint64_t cached_members;
	struct tl_indexer *indexer; /* borrowed, woken after commits; NULL: none */
	struct tl_store_events events;
};

/* Figures, each written by the writer thread alone and read by any. */
struct tl_writer_stats {
	uint64_t records, messages, inbox_entries, batches, failures; /* batches that share a flush count as one */
	bool failing; /* the last attempt to store failed; it is being tried again */
};

struct tl_membership_versions;
struct tl_writer;

/* Starts the thread. All that is passed is borrowed until close. */
TL_MUST_USE enum tl_err tl_writer_open(struct tl_database *database, struct tl_ingest_queue *queue,
                                       struct tl_checkpoints *checkpoints, struct tl_chores *chores,
                                       struct tl_membership_versions *versions, const struct tl_writer_options *options,
                                       struct tl_writer **writer_out);

/* Lets the batch at hand finish, stops the thread; what still waits in the queue stays there. NULL is legal. */
void tl_writer_close(struct tl_writer *writer);

struct tl_writer_stats tl_writer_stats(const struct tl_writer *writer);

/* Has the writer commit, even if there is nothing to be committed. LevelDB tells of a merge that has failed, for want of room
 * say, only to whoever writes next, and what such a merge has written stays on the disk until the database is opened again
 * (W3). Any thread. */
void tl_writer_try(struct tl_writer *writer);

#endif
