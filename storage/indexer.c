#include "indexer.h"

#include "clock.h"
#include "disk_space.h"
#include "index_work.h"
#include "thread.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	GATHER_MS = 100,        /* between being woken and working (J2) */
	RETRY_MS = 1000,        /* after a failure */
	REST_MAX_MS = 100,      /* between pieces */
	LOW_DISK_MS = 5000,     /* while the disk is nearly full */
	BEHIND_MARKS = 500,     /* with more left to do it rests a quarter as long, with ten times more not at all */
	REINDEX_MAX = 64,       /* conversations asked for that wait */
};

struct tl_indexer {
	struct tl_indexer_options options;
	struct tl_index_work work; /* the thread's own */
	struct tl_disk_space disk; /* likewise */
	bool low;                  /* likewise: the disk was nearly full */
	bool failing;              /* likewise: the last piece failed */
	bool told;                 /* likewise: that marks are damaged */

	pthread_t thread;
	pthread_mutex_t lock; /* for what follows */
	pthread_cond_t changed;
	bool stop, due, paused;
	uint64_t reindex[REINDEX_MAX];
	size_t reindex_count;

	_Atomic uint64_t marks; /* fresh ones in the database */
	_Atomic uint64_t failures, damaged;
};

/* --- sleeping --- */

/* With the lock held. */
static void wait_for(struct tl_indexer *indexer, uint64_t ms)
{
	const struct timespec until = tl_thread_deadline(ms);
	while (!indexer->stop && pthread_cond_timedwait(&indexer->changed, &indexer->lock, &until) != ETIMEDOUT)
		;
}

static void sleep_ms(struct tl_indexer *indexer, uint64_t ms)
{
	pthread_mutex_lock(&indexer->lock);
	wait_for(indexer, ms);
	pthread_mutex_unlock(&indexer->lock);
}

/* Until there may be something to do. False: it is to stop. */
static bool wait_until_due(struct tl_indexer *indexer)
{
	pthread_mutex_lock(&indexer->lock);
	while (!indexer->stop && (!indexer->due || indexer->paused))
		pthread_cond_wait(&indexer->changed, &indexer->lock);
	wait_for(indexer, GATHER_MS);
	indexer->due = false;
	bool stop = indexer->stop;
	pthread_mutex_unlock(&indexer->lock);
	return !stop;
}

static bool may_go_on(struct tl_indexer *indexer)
{
	pthread_mutex_lock(&indexer->lock);
	bool may = !indexer->stop && !indexer->paused;
	if (indexer->paused)
		indexer->due = true;
	pthread_mutex_unlock(&indexer->lock);
	return may;
}

/* --- working --- */

/* (J3) */
static bool disk_is_low(struct tl_indexer *indexer)
{
	bool low = tl_disk_space_low(&indexer->disk, tl_monotonic_ms(), TL_INDEX_BATCH_BYTES, 0);
	if (low != indexer->low)
		indexer->options.events.log(indexer->options.events.ctx, low ? TL_LOG_WARNING : TL_LOG_NOTICE,
		                            low ? "indexing for searches pauses: the disk is nearly full"
		                                : "indexing for searches goes on");
	indexer->low = low;
	return low;
}

static enum tl_err take_reindex(struct tl_indexer *indexer)
{
	enum tl_err err = TL_OK;
	pthread_mutex_lock(&indexer->lock);
	while (indexer->reindex_count > 0 && err == TL_OK) {
		uint64_t no = indexer->reindex[--indexer->reindex_count];
		pthread_mutex_unlock(&indexer->lock);
		err = tl_index_work_anew(&indexer->work, no);
		pthread_mutex_lock(&indexer->lock);
	}
	pthread_mutex_unlock(&indexer->lock);
	return err;
}

static void count_done(struct tl_indexer *indexer, uint64_t done)
{
	uint64_t marks = atomic_load(&indexer->marks);
	while (!atomic_compare_exchange_weak(&indexer->marks, &marks, marks > done ? marks - done : 0))
		;
}

/* Says it once. */
static void note_result(struct tl_indexer *indexer, enum tl_err err)
{
	char text[160];
	if (err != TL_OK && !indexer->failing) {
		snprintf(text, sizeof text, "indexing for searches failed (%s), trying again until it works", tl_err_text(err));
		indexer->options.events.log(indexer->options.events.ctx, TL_LOG_WARNING, text);
	}
	indexer->failing = err != TL_OK;
}

/* Says that once, too. */
static void note_unreadable(struct tl_indexer *indexer)
{
	if (indexer->told || atomic_load(&indexer->work.unreadable) == 0)
		return;
	indexer->told = true;
	indexer->options.events.log(indexer->options.events.ctx, TL_LOG_ERROR,
	                            "damaged data: what the indexer had to do is not all known; some messages may be searched without "
	                            "the index");
}

/* As long as the piece took, unless it is far behind. */
static void rest(struct tl_indexer *indexer, uint64_t us)
{
	uint64_t marks = atomic_load(&indexer->marks);
	if (marks > BEHIND_MARKS)
		us = marks > 10 * BEHIND_MARKS ? 0 : us / 4;
	if (us < 1000)
		usleep((useconds_t)us);
	else
		sleep_ms(indexer, us / 1000 < REST_MAX_MS ? us / 1000 : REST_MAX_MS);
}

/* One piece, and a rest. False: there is nothing more to do. */
static bool work(struct tl_indexer *indexer)
{
	uint64_t done = 0, begun_ns = tl_monotonic_ns();
	bool did = false;
	if (disk_is_low(indexer)) {
		sleep_ms(indexer, LOW_DISK_MS);
		return true;
	}
	enum tl_err err = take_reindex(indexer);
	if (err == TL_OK)
		err = tl_index_work_step(&indexer->work, &did, &done);
	count_done(indexer, done);
	note_unreadable(indexer);
	note_result(indexer, err);
	if (err != TL_OK) {
		atomic_fetch_add(&indexer->failures, 1);
		tl_index_work_reset(&indexer->work);
		sleep_ms(indexer, RETRY_MS);
		return true;
	}
	if (did)
		rest(indexer, (tl_monotonic_ns() - begun_ns) / 1000);
	return did;
}

/* What commits of unknown outcome made of the figure is put right, unless the writer has just raised it. */
static void recount(struct tl_indexer *indexer)
{
	uint64_t before = atomic_load(&indexer->marks), marks;
	if (tl_index_work_count(&indexer->work, &marks) == TL_OK)
		atomic_compare_exchange_strong(&indexer->marks, &before, marks);
}

static void work_off(struct tl_indexer *indexer)
{
	while (may_go_on(indexer) && work(indexer))
		;
}

static void *run(void *arg)
{
	struct tl_indexer *indexer = arg;
	tl_thread_give_way();
	recount(indexer);
	while (wait_until_due(indexer)) {
		work_off(indexer);
		if (atomic_load(&indexer->marks) > 0)
			recount(indexer);
		if (atomic_load(&indexer->marks) > 0) /* before where it was: a damaged mark may have led too far */
			work_off(indexer);
	}
	return NULL;
}

/* --- life --- */

static void init_lock(struct tl_indexer *indexer)
{
	tl_thread_condition_init(&indexer->changed);
	pthread_mutex_init(&indexer->lock, NULL);
}

enum tl_err tl_indexer_open(struct tl_database *database, const struct tl_indexer_options *options,
                            struct tl_indexer **indexer_out)
{
	struct tl_indexer *indexer = calloc(1, sizeof *indexer);
	if (!indexer)
		return TL_NO_MEMORY;
	enum tl_err err = tl_index_work_init(&indexer->work, database);
	if (err != TL_OK) {
		free(indexer);
		return err;
	}
	indexer->options = *options;
	indexer->due = true;
	tl_disk_space_init(&indexer->disk, options->dir, NULL);
	indexer->disk.reserve *= 2; /* before messages are refused */
	init_lock(indexer);
	if ((err = tl_thread_start(&indexer->thread, "timeline index", run, indexer)) != TL_OK) {
		tl_index_work_fini(&indexer->work);
		free(indexer);
		return err;
	}
	*indexer_out = indexer;
	return TL_OK;
}

void tl_indexer_close(struct tl_indexer *indexer)
{
	if (!indexer)
		return;
	pthread_mutex_lock(&indexer->lock);
	indexer->stop = true;
	pthread_cond_broadcast(&indexer->changed);
	pthread_mutex_unlock(&indexer->lock);
	pthread_join(indexer->thread, NULL);
	tl_index_work_fini(&indexer->work);
	pthread_cond_destroy(&indexer->changed);
	pthread_mutex_destroy(&indexer->lock);
	free(indexer);
}

void tl_indexer_wake(struct tl_indexer *indexer, uint64_t marks)
{
	if (!indexer)
		return;
	atomic_fetch_add(&indexer->marks, marks);
	pthread_mutex_lock(&indexer->lock);
	indexer->due = true;
	pthread_cond_signal(&indexer->changed);
	pthread_mutex_unlock(&indexer->lock);
}

void tl_indexer_reindex(struct tl_indexer *indexer, uint64_t conversation_no)
{
	if (!indexer)
		return;
	pthread_mutex_lock(&indexer->lock);
	if (indexer->reindex_count < REINDEX_MAX)
		indexer->reindex[indexer->reindex_count++] = conversation_no;
	indexer->due = true;
	pthread_cond_signal(&indexer->changed);
	pthread_mutex_unlock(&indexer->lock);
}

void tl_indexer_damaged(struct tl_indexer *indexer, uint64_t conversation_no)
{
	if (!indexer)
		return;
	if (atomic_fetch_add(&indexer->damaged, 1) == 0)
		indexer->options.events.log(indexer->options.events.ctx, TL_LOG_WARNING,
		                            "the search index is damaged, as a power failure may leave it; what is damaged is "
		                            "searched without it and indexed anew");
	tl_indexer_reindex(indexer, conversation_no);
}

void tl_indexer_pause(struct tl_indexer *indexer, bool pause)
{
	pthread_mutex_lock(&indexer->lock);
	indexer->paused = pause;
	pthread_cond_signal(&indexer->changed);
	pthread_mutex_unlock(&indexer->lock);
}

struct tl_indexer_stats tl_indexer_stats(const struct tl_indexer *indexer)
{
	if (!indexer)
		return (struct tl_indexer_stats){0};
	uint64_t marks = atomic_load(&indexer->marks);
	return (struct tl_indexer_stats){
		.lag_messages = marks * TL_INDEX_TAIL,
		.oldest_ts = marks > 0 ? atomic_load(&indexer->work.oldest_ts) : 0,
		.entries = atomic_load(&indexer->work.entries),
		.segments = atomic_load(&indexer->work.segments),
		.merges = atomic_load(&indexer->work.merges),
		.bytes = atomic_load(&indexer->work.bytes),
		.failures = atomic_load(&indexer->failures),
		.damaged = atomic_load(&indexer->damaged),
		.unreadable = atomic_load(&indexer->work.unreadable),
	};
}
