/* Work for the writer thread that does not come through the ingest queue, because nothing is lost if a crash forgets it:
 * taking in what a user has yet to take in, raising floors.
 *
 *     any thread: submit ──► pending ── at the beginning of a batch: apply ──► in the batch ── committed: done
 *                               ▲                                                  │ failed
 *                               └──────────────────────────────────────────────────┘
 *                               └── nothing can be stored: the impatient ones done, not committed
 *
 *   (C1) A chore is applied before the records of its batch, so what it reads from the database is the present state;
 *        what other chores of the same batch have put is to be found in the writer's caches only.
 *   (C2) Applying it again after a failed commit, or after one whose outcome is unknown, does no harm.
 */
#ifndef TL_CHORES_H
#define TL_CHORES_H

#include "transaction.h"

#include <pthread.h>

/* Embedded in whatever it works on, which it owns. `done` is called exactly once for each chore submitted. */
struct tl_chore {
	/* Puts its changes into the transaction. An error means that the database cannot be read: tried again later. Writer
	 * thread. */
	enum tl_err (*apply)(struct tl_chore *chore, struct tl_transaction *txn);
	/* `committed`: its changes are in the database; else the store is being closed, or it was refused. Writer or closing
	 * thread. */
	void (*done)(struct tl_chore *chore, bool committed);
	bool impatient;        /* somebody waits, who is rather refused than left waiting while nothing can be stored */
	struct tl_chore *next; /* the list's */
};

struct tl_chore_list {
	struct tl_chore *first, **last;
};

struct tl_chores {
	pthread_mutex_t lock;
	struct tl_chore_list pending;  /* guarded by the lock */
	_Atomic size_t count;          /* pending */
	struct tl_chore_list in_batch; /* writer thread's */
};

TL_MUST_USE enum tl_err tl_chores_init(struct tl_chores *chores);

/* Those that are left are done without having been committed. No other call may be in progress. */
void tl_chores_fini(struct tl_chores *chores);

/* Takes the chore; it is for the caller to wake the writer. Any thread. */
void tl_chores_submit(struct tl_chores *chores, struct tl_chore *chore);

/* Whether any wait. Any thread. */
bool tl_chores_pending(struct tl_chores *chores);

/* --- writer thread --- */

/* Applies those that wait, in the order of submission, until the batch has `max_keys` puts. */
TL_MUST_USE enum tl_err tl_chores_apply(struct tl_chores *chores, struct tl_transaction *txn, uint64_t max_keys);

/* Those in the batch are done. */
void tl_chores_committed(struct tl_chores *chores);

/* Those in the batch wait again, before all others. */
void tl_chores_failed(struct tl_chores *chores);

/* The impatient ones, in the batch or not, are done without having been committed; what of them is in the batch may be
 * in the database all the same. */
void tl_chores_refuse(struct tl_chores *chores);

#endif
