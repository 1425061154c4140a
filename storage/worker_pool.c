#include "worker_pool.h"

#include "thread.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

struct tl_worker_pool {
	pthread_mutex_t lock; /* guards the rest but `threads` */
	pthread_cond_t work;
	struct tl_job *first, **last;
	size_t waiting, max_jobs;
	bool stop;
	unsigned thread_count;
	pthread_t threads[];
};

static struct tl_job *take(struct tl_worker_pool *pool)
{
	struct tl_job *job = NULL;
	pthread_mutex_lock(&pool->lock);
	while (!pool->first && !pool->stop)
		pthread_cond_wait(&pool->work, &pool->lock);
	if (!pool->stop) {
		job = pool->first;
		pool->first = job->next;
		if (!pool->first)
			pool->last = &pool->first;
		pool->waiting--;
	}
	pthread_mutex_unlock(&pool->lock);
	return job;
}

static void *work(void *arg)
{
	struct tl_worker_pool *pool = arg;
	tl_thread_give_way();
	for (struct tl_job *job = take(pool); job; job = take(pool))
		job->run(job);
	return NULL;
}

enum tl_err tl_worker_pool_open(unsigned threads, size_t max_jobs, struct tl_worker_pool **pool_out)
{
	struct tl_worker_pool *pool = calloc(1, sizeof *pool + threads * sizeof pool->threads[0]);
	if (!pool)
		return TL_NO_MEMORY;
	pool->last = &pool->first;
	pool->max_jobs = max_jobs;
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->work, NULL);
	while (pool->thread_count < threads &&
	       tl_thread_start(&pool->threads[pool->thread_count], "timeline read", work, pool) == TL_OK)
		pool->thread_count++;
	if (pool->thread_count == 0) {
		tl_worker_pool_close(pool);
		return TL_NO_MEMORY;
	}
	*pool_out = pool;
	return TL_OK;
}

void tl_worker_pool_stop(struct tl_worker_pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	pool->stop = true;
	pthread_cond_broadcast(&pool->work);
	pthread_mutex_unlock(&pool->lock);
	for (unsigned i = 0; i < pool->thread_count; i++)
		pthread_join(pool->threads[i], NULL);
	pool->thread_count = 0;
	while (pool->first) {
		struct tl_job *job = pool->first;
		pool->first = job->next;
		job->discard(job);
	}
}

void tl_worker_pool_close(struct tl_worker_pool *pool)
{
	if (!pool)
		return;
	tl_worker_pool_stop(pool);
	pthread_cond_destroy(&pool->work);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}

static void add(struct tl_worker_pool *pool, struct tl_job *job)
{
	job->next = NULL;
	*pool->last = job;
	pool->last = &job->next;
	pool->waiting++;
	pthread_cond_signal(&pool->work);
}

enum tl_err tl_worker_pool_submit(struct tl_worker_pool *pool, struct tl_job *job)
{
	pthread_mutex_lock(&pool->lock);
	bool takes = !pool->stop && pool->waiting < pool->max_jobs;
	if (takes)
		add(pool, job);
	pthread_mutex_unlock(&pool->lock);
	return takes ? TL_OK : TL_FULL;
}

void tl_worker_pool_resubmit(struct tl_worker_pool *pool, struct tl_job *job)
{
	pthread_mutex_lock(&pool->lock);
	bool takes = !pool->stop;
	if (takes)
		add(pool, job);
	pthread_mutex_unlock(&pool->lock);
	if (!takes)
		job->discard(job);
}
