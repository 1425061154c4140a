/* Threads that work off a bounded queue of jobs, in the order of submission. */
#ifndef TL_WORKER_POOL_H
#define TL_WORKER_POOL_H

#include "error.h"

#include <stddef.h>

struct tl_worker_pool;

/* A job: embedded in whatever it works on, which it owns. Exactly one of the two is called for each job submitted. */
struct tl_job {
	void (*run)(struct tl_job *job);     /* on a worker thread */
	void (*discard)(struct tl_job *job); /* when the pool closes before its turn; on the closing thread */
	struct tl_job *next;                 /* the pool's */
};

/* Starts `threads` threads (at least 1), which block all signals. */
TL_MUST_USE enum tl_err tl_worker_pool_open(unsigned threads, size_t max_jobs, struct tl_worker_pool **pool_out);

/* Finishes the jobs that have begun, discards the others, stops the threads. NULL is legal. */
void tl_worker_pool_close(struct tl_worker_pool *pool);

/* Takes the job, or TL_FULL where `max_jobs` are waiting: then it stays the caller's. Any thread. */
TL_MUST_USE enum tl_err tl_worker_pool_submit(struct tl_worker_pool *pool, struct tl_job *job);

#endif
