/* A sweep: a handful of timelines whose time has come, looked at together.
 *
 *     upkeep's thread                                    writer's thread (a chore each)
 *     ───────────────                                    ──────────────────────────────
 *     assess: how far has each expired?      ──────►     raise: floors, and what is to be dropped
 *     drop what is below the floors          ──────►     settle: markers of what is done go, those of what comes next are put
 *
 *   (S1) Nothing is dropped before its floor is committed.
 *   (S2) A crash between any two steps only means that the sweep is done again: the markers are still there, and what was
 *        being dropped is on record until all of it is.
 *   (S3) The entry at a timeline's head stays (timeline.h, T2); a message there loses its content.
 *   (S4) Damaged data is passed over: it stops neither the writer nor the rest of the sweep.
 */
#ifndef TL_SWEEP_H
#define TL_SWEEP_H

#include "transaction.h"

enum { TL_SWEEP_ITEMS = 256 };

/* A timeline, one user's devices, or a bucket of message ids. */
struct tl_sweep_item {
	enum tl_due_kind kind;
	uint64_t no;    /* of the user, the conversation or the bucket */
	uint64_t due;   /* its marker's time; 0: it has none */
	uint64_t from;  /* the floor as it was: dropping begins there, because a head that stayed may lie at it */
	uint64_t floor; /* the floor as it is to be; at most the head */
	uint64_t head;  /* as of the assessment */
	uint64_t next;  /* when the marker after this one is due; 0: not known */
	uint64_t retention_ms; /* of the conversation, as of the assessment */
	bool custom;    /* the conversation has order keys */
	bool repeated;  /* another marker of a timeline that is in the sweep already */
	bool on_record; /* the database says that it is being dropped */
	bool damaged;   /* it cannot be read, or is not there, and is left as it is (S4) */
};

struct tl_sweep {
	/* given */
	const struct tl_database *database;
	const struct tl_limits *limits;
	uint64_t now; /* ms */
	struct tl_sweep_item items[TL_SWEEP_ITEMS];
	size_t count;
	const char *walk_key; /* TL_META_WALK_…, to be put when the sweep is settled; NULL: none */
	uint64_t walk_next;

	/* dropping */
	bool (*go_on)(void *ctx); /* asked every now and then, may wait; false: stop */
	void *ctx;
	uint64_t bytes[256];      /* added up, by family (engine.h) */
	uint64_t entries, messages, devices; /* added up: inbox entries and messages that have expired, devices forgotten */
};

/* What an item is about: a timeline, or a bucket. */
struct tl_partition tl_sweep_partition(const struct tl_sweep_item *item);

/* Whether there is anything of it to drop, once that is on record. */
bool tl_sweep_is_dropped(const struct tl_sweep_item *item);

/* Sees how far each item has expired. An error means that the database cannot be read. Upkeep's thread. */
TL_MUST_USE enum tl_err tl_sweep_assess(struct tl_sweep *sweep);

/* Fills the sweep with what was being dropped when the program ended. Upkeep's thread. */
TL_MUST_USE enum tl_err tl_sweep_unfinished(struct tl_sweep *sweep);

/* Whether any floor is to be raised, or anything else to be settled before it is dropped. */
bool tl_sweep_raises(const struct tl_sweep *sweep);

/* Puts the floors into the transaction. Writer's thread. */
TL_MUST_USE enum tl_err tl_sweep_raise(struct tl_sweep *sweep, struct tl_transaction *txn);

/* Drops what is below the floors (sweep_drop.c). TL_CLOSED: go_on said no. Upkeep's thread. */
TL_MUST_USE enum tl_err tl_sweep_drop(struct tl_sweep *sweep);

/* Puts what is to be done next into the transaction and deletes what is done. Writer's thread. */
TL_MUST_USE enum tl_err tl_sweep_settle(const struct tl_sweep *sweep, struct tl_transaction *txn);

#endif
