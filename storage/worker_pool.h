/* Threads that work off a bounded queue of jobs, in the order of submission. */
#ifndef TL_WORKER_POOL_H
#define TL_WORKER_POOL_H

#include "error.h"

#include <stddef.h>

struct tl_worker_pool;

/* A job: embedded in whatever it works on, which it owns. Exactly one of the two is called each time it is submitted. */
struct tl_job {
	void (*run)(struct tl_job *job);     /* on a worker thread */
	void (*discard)(struct tl_job *job); /* when the pool stops before its turn */
	struct tl_job *next;                 /* the pool's */
};

/* Starts `threads` threads (at least 1), which block all signals. */
TL_MUST_USE enum tl_err tl_worker_pool_open(unsigned threads, size_t max_jobs, struct tl_worker_pool **pool_out);

/* Finishes the jobs that have begun, discards the others, stops the threads. From now on nothing is taken, and what is
 * submitted again is discarded at once. */
void tl_worker_pool_stop(struct tl_worker_pool *pool);

/* Stops, if that has not been done, and frees. No other call may be in progress. NULL is legal. */
void tl_worker_pool_close(struct tl_worker_pool *pool);

/* Takes a job that has been run and has to be run again; however many are waiting. Any thread. */
void tl_worker_pool_resubmit(struct tl_worker_pool *pool, struct tl_job *job);

/* Takes the job, or TL_FULL where `max_jobs` are waiting: then it stays the caller's. Any thread. */
TL_MUST_USE enum tl_err tl_worker_pool_submit(struct tl_worker_pool *pool, struct tl_job *job);

#endif
