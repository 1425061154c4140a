/* The indexer: one thread that does the work of index_work.h whenever there is some, and keeps out of everybody's way.
 *
 *     writer ── commit with fresh marks ── tl_indexer_wake ──► [a moment] ──► all that is due, piece by piece ──► asleep
 *
 *   (J1) Nobody waits for it: what is not indexed yet is searched where it is stored.
 *   (J2) It runs at a lower priority, lets marks gather for a moment, and rests between pieces, less so the more it is behind.
 *   (J3) It stops writing when the disk is nearly full, before messages are refused for that. When reading or writing fails
 *        it waits and tries again; putting the engine right is the writer's business.
 */
#ifndef TL_INDEXER_H
#define TL_INDEXER_H

#include "writer.h"

struct tl_indexer;

struct tl_indexer_options {
	const char *dir; /* on the disk to be watched; borrowed */
	struct tl_store_events events;
};

/* Starts the thread. All that is passed is borrowed until close. */
TL_MUST_USE enum tl_err tl_indexer_open(struct tl_database *database, const struct tl_indexer_options *options,
                                        struct tl_indexer **indexer_out);

/* Lets the piece at hand finish and stops the thread; what is left to do stands in the database. NULL is legal. */
void tl_indexer_close(struct tl_indexer *indexer);

/* --- any thread; a NULL indexer is legal and does nothing --- */

/* Says that this many fresh marks, or marks of another kind, have been committed. */
void tl_indexer_wake(struct tl_indexer *indexer, uint64_t marks);

/* Has a conversation, or all of them (no 0), indexed anew. Of many at a time some may be forgotten, if they are still
 * found damaged they are asked for again. */
void tl_indexer_reindex(struct tl_indexer *indexer, uint64_t conversation_no);

/* The same for one whose index a search has found damaged. */
void tl_indexer_damaged(struct tl_indexer *indexer, uint64_t conversation_no);

/* Stops working, for tests, and goes on. */
void tl_indexer_pause(struct tl_indexer *indexer, bool pause);

struct tl_indexer_stats {
	uint64_t lag_messages; /* about how many messages should be indexed already and are not */
	uint64_t oldest_ts;    /* ms since the epoch: of the oldest of them, 0 if there is none */
	uint64_t entries;      /* indexed since the start */
	uint64_t segments, merges, bytes; /* made since the start, and how large they were */
	uint64_t failures;
	uint64_t damaged; /* conversations that a search found damaged */
	uint64_t unreadable; /* entries of the list of what is to be done that were damaged */
};

struct tl_indexer_stats tl_indexer_stats(const struct tl_indexer *indexer);

#endif
