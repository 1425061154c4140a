/* Markers: which timeline has to be looked at when, because something in it expires then.
 *
 *     writer: append ── an entry that is due in another bucket than the one before ──► marker (due, number)
 *     upkeep: ◄── markers whose time has come, in their order ──────────────────────────── deleted when done
 *
 *   (D1) Whatever expires one day has a marker at its time or, rounded up to a bucket, a little later. One marker serves
 *        all entries of a timeline that are due in one bucket, so there are few of them and they cost little.
 *   (D2) Markers are put and deleted by the writer thread alone. A marker too many does no harm.
 *   (D3) Upkeep reads on from where it was. It is told when a marker is put before that place (the board), after the
 *        commit, so that it never has to look twice at what it has deleted.
 */
#ifndef TL_DUE_H
#define TL_DUE_H

#include "engine.h"
#include "records.h"

#include <stdatomic.h>

enum tl_due_kind {
	TL_DUE_DROP = 0, /* no marker: what is to be dropped, so that a crash does not leave it half-dropped */
	TL_DUE_INBOX = 1,
	TL_DUE_STORE = 2,
	TL_DUE_DEVICES = 3,
	TL_DUE_KINDS,
	TL_DUE_IDS = TL_DUE_KINDS, /* no marker either: a bucket of message ids whose window has passed */
	TL_DUE_ENDINGS, /* nor here: conversations with memberships that have yet to end (endings.h) */
};

/* What the writer and upkeep tell each other. */
struct tl_due_board {
	_Atomic uint64_t looked_until;           /* ms: upkeep looks, or has looked, at markers up to this time */
	_Atomic uint64_t earliest[TL_DUE_KINDS]; /* ms: of the markers put since upkeep last asked; UINT64_MAX: none */
	_Atomic uint64_t asleep_until;           /* ms: upkeep is to be woken for markers before that; 0: it is awake */
	void (*wake)(void *ctx);                 /* wakes upkeep, from the writer's thread; NULL: nobody sleeps */
	void *ctx;
};

void tl_due_board_init(struct tl_due_board *board);

/* The markers of one batch in the making. Writer thread. */
struct tl_due {
	struct tl_due_board *board; /* borrowed; NULL: nobody looks */
	uint64_t earliest[TL_DUE_KINDS];
};

/* When something that came into being at `ts` and lives for `ttl_ms` is to be looked at: 0 for never, else a multiple of
 * the grain. The grain is a 32nd of the ttl, at least a second and at most a day; that of devices an eighth. */
uint64_t tl_due_time(uint64_t ts, uint64_t ttl_ms);
uint64_t tl_due_device_time(uint64_t seen, uint64_t ttl_ms);

/* A time that has come, for what is to be looked at soon. `now`: by the clock, because the time of an entry may be ahead of it. */
uint64_t tl_due_now(uint64_t now);

/* Forgets the batch's markers. */
void tl_due_clear(struct tl_due *due);

/* Puts a marker into the batch; none where `time` is 0. */
void tl_due_put(struct tl_due *due, struct tl_batch *batch, enum tl_due_kind kind, uint64_t time, uint64_t no);

/* The same unless *marked says that it is there already; sets *marked. */
void tl_due_mark(struct tl_due *due, struct tl_batch *batch, enum tl_due_kind kind, uint64_t time, uint64_t no,
                 uint64_t *marked);

/* Puts on record that what a timeline has from `from` up to its floor is to be dropped. Upkeep finds it after a start;
 * `tell`: as soon as it is committed. */
void tl_due_drop(struct tl_due *due, struct tl_batch *batch, struct tl_partition timeline, uint64_t from, bool tell);

/* Has upkeep look at what is on record as soon as the batch is committed. */
void tl_due_hurry(struct tl_due *due);

/* Lowers *from to what is on record already, if that is lower: no other record may take its place. Errors as
 * tl_engine_get's but for TL_NOT_FOUND. */
TL_MUST_USE enum tl_err tl_due_lower(struct tl_engine *engine, struct tl_partition timeline, uint64_t *from);

void tl_due_delete(struct tl_batch *batch, enum tl_due_kind kind, uint64_t time, uint64_t no);

/* Tells upkeep of the batch's markers, once they are committed, and wakes it where one is earlier than what it sleeps until. */
void tl_due_tell(const struct tl_due *due);

/* --- upkeep's thread --- */

/* The earliest marker told since the last call, UINT64_MAX if none was. */
uint64_t tl_due_told(struct tl_due_board *board, enum tl_due_kind kind);

/* Says that upkeep goes to sleep until then; false if an earlier marker has been told already. No wake is lost: here
 * `asleep_until` is set, then `earliest` looked at; tl_due_tell sets `earliest`, then looks at `asleep_until`. */
TL_MUST_USE bool tl_due_sleep(struct tl_due_board *board, uint64_t until);
void tl_due_awake(struct tl_due_board *board);

#endif
