/* Upkeep: a thread that lets what has expired go, in small steps between pauses, so that messages hardly notice.
 *
 *     markers (due.h) ─┐
 *     a walk over all ─┴─► sweep (sweep.h): assess ─► chore: raise ─► drop ─► chore: settle ─► pause ─► …
 *                          and now and then a part of the disk's space is reclaimed (reclaim.h)
 *     dissolved conversations (endings.h) ──────────────────────► chore: end some memberships ──────────► pause ─► …
 *
 * The walk takes in users and conversations one after the other when an option that says how long things live differs from
 * that of the last start. Where it is, is kept in the database.
 *
 *   (U1) What clients see does not depend on how far upkeep is: see expiry.h and endings.h.
 *   (U2) It works for about as long as it pauses, and what it asks of the writer is a chore of a few hundred puts at most,
 *        one at a time.
 */
#ifndef TL_UPKEEP_H
#define TL_UPKEEP_H

#include "chores.h"
#include "due.h"
#include "ingest_queue.h"
#include "writer.h"

struct tl_upkeep_options {
	const char *dir;                /* of the data, borrowed */
	const struct tl_limits *limits; /* borrowed */
	uint64_t (*now)(void);          /* ms since the epoch */
	unsigned rest_max_ms;           /* between looks where nothing is due: what the clock jumps is noticed so much later */
	struct tl_store_events events;
};

/* Figures, read by any thread. */
struct tl_upkeep_stats {
	uint64_t entries;   /* inbox entries that have been dropped, of this run; so are the next two */
	uint64_t messages;
	uint64_t devices;
	uint64_t reclaimed; /* parts of the database that have been compacted */
	uint64_t looks;     /* how often it has found nothing more to do */
	uint64_t behind_ms; /* how long the oldest marker whose time has come has been waiting */
};

struct tl_upkeep;

/* Notes the options. Everything passed is borrowed until free. Errors as tl_engine_commit. */
TL_MUST_USE enum tl_err tl_upkeep_new(struct tl_database *database, struct tl_chores *chores,
                                      struct tl_ingest_queue *queue, struct tl_due_board *board,
                                      const struct tl_upkeep_options *options, struct tl_upkeep **upkeep_out);

/* Starts the thread. */
TL_MUST_USE enum tl_err tl_upkeep_start(struct tl_upkeep *upkeep);

/* Stops the thread, if there is one, at its next step. A chore of its may still be waiting. NULL is legal. */
void tl_upkeep_stop(struct tl_upkeep *upkeep);

/* Once it is stopped and the chores are done with. NULL is legal. */
void tl_upkeep_free(struct tl_upkeep *upkeep);

struct tl_upkeep_stats tl_upkeep_stats(const struct tl_upkeep *upkeep);

#endif
