/* Upkeep's agenda: which timelines are to be looked at next.
 *
 *     markers whose time has come (due.h), from where the last look ended ──┐
 *     a walk over all users, another over all conversations ────────────────┼──► a sweep's items
 *     buckets of message ids whose window has passed (dedup.h) ─────────────┘
 *
 * There is a walk where an option that says how long things live differs from that of the last start. Where it is, is kept in the
 * database: the sweep that is settled puts it there.
 *
 * Upkeep's thread; before that is started, the one that opens the store. */
#ifndef TL_AGENDA_H
#define TL_AGENDA_H

#include "sweep.h"
#include "writer.h"

enum { TL_AGENDA_WALKS = 2 };

/* Where to go on reading markers, and when there is one to be read. */
struct tl_agenda_place {
	uint64_t time, no;
	uint64_t due; /* ms: of the first one from there on, as of the last look or as told since; UINT64_MAX: there is none */
};

struct tl_agenda {
	struct tl_database *database; /* borrowed; so are the next two */
	struct tl_due_board *board;
	const struct tl_limits *limits;
	struct tl_store_events events;
	struct tl_agenda_place places[TL_DUE_KINDS];
	uint64_t walk_next[TL_AGENDA_WALKS]; /* number to go on with, 0: done */
	uint64_t bucket_due;                 /* ms: when the first bucket of message ids is over, as of the last look */
	int walk;                            /* the one in the sweep at hand, or -1 */
	unsigned turn;                       /* which source comes first */
};

void tl_agenda_init(struct tl_agenda *agenda, struct tl_database *database, struct tl_due_board *board,
                    const struct tl_limits *limits, const struct tl_store_events *events);

/* Compares the options with those of the last start and notes them, and where walks have to begin, or go on. `now`: ms. Errors as
 * tl_engine_commit. */
TL_MUST_USE enum tl_err tl_agenda_note_options(struct tl_agenda *agenda, uint64_t now);

/* Fills the sweep with what is to be looked at as of `now`, ms; each source comes first in turn, so that none waits for ever. An
 * error means that the database cannot be read. */
TL_MUST_USE enum tl_err tl_agenda_gather(struct tl_agenda *agenda, uint64_t now, struct tl_sweep *sweep);

/* That sweep is settled. */
void tl_agenda_swept(struct tl_agenda *agenda, const struct tl_sweep *sweep);

/* Has markers read from the first one on, because a sweep may not have been settled. */
void tl_agenda_begin_again(struct tl_agenda *agenda);

/* When something is due next, ms, as far as is known. */
uint64_t tl_agenda_next_due(const struct tl_agenda *agenda);

#endif
