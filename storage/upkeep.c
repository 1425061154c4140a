#include "upkeep.h"

#include "agenda.h"
#include "clock.h"
#include "endings.h"
#include "reclaim.h"
#include "sweep.h"
#include "thread.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	REST_SHORTEST_MS = 250, /* between looks where there is nothing to do, doubled each time, unless something is due before */
	PAUSE_SHORTEST_MS = 1, /* after a step; a pause is as long as what was done before it */
	PAUSE_LONGEST_MS = 500,
	RETRY_MS = 500,        /* after a failure */
};

struct tl_upkeep {
	struct tl_chore chore; /* first: found again from it */
	struct tl_database *database;
	struct tl_chores *chores;
	struct tl_ingest_queue *queue;
	struct tl_due_board *board;
	struct tl_upkeep_options options;

	/* upkeep's thread */
	struct tl_sweep sweep;   /* the writer's while a chore waits */
	struct tl_ending ending; /* likewise */
	bool endings;            /* there may be some on record */
	struct tl_agenda agenda;
	struct tl_reclaim reclaim;
	bool failing;
	uint64_t since_ns; /* when the step at hand began */

	pthread_t thread;
	bool started;
	pthread_mutex_t lock;   /* guards the rest */
	pthread_cond_t changed; /* on CLOCK_MONOTONIC */
	bool stop;
	bool told;      /* of something that is due before the rest is over */
	bool waiting;   /* the chore is not done yet */
	bool committed; /* the last one's changes are in the database */

	_Atomic uint64_t entries, messages, devices, reclaimed, looks, behind_ms;
};

/* --- waiting --- */

/* False if upkeep is to stop. */
static bool pause_ms(struct tl_upkeep *upkeep, uint64_t ms)
{
	const struct timespec until = tl_thread_deadline(ms);
	pthread_mutex_lock(&upkeep->lock);
	while (!upkeep->stop && pthread_cond_timedwait(&upkeep->changed, &upkeep->lock, &until) != ETIMEDOUT)
		;
	bool stop = upkeep->stop;
	pthread_mutex_unlock(&upkeep->lock);
	return !stop;
}

/* Has the rest that upkeep is taking, or the next one, end. Writer thread. */
static void wake(void *ctx)
{
	struct tl_upkeep *upkeep = ctx;
	pthread_mutex_lock(&upkeep->lock);
	upkeep->told = true;
	pthread_cond_broadcast(&upkeep->changed);
	pthread_mutex_unlock(&upkeep->lock);
}

static uint64_t shortest_rest_ms(const struct tl_upkeep *upkeep)
{
	return upkeep->options.rest_max_ms < REST_SHORTEST_MS ? upkeep->options.rest_max_ms : REST_SHORTEST_MS;
}

/* Rests where there is nothing to do: until something is due, or the writer tells of something that is earlier, but no longer
 * than `ms`. False if upkeep is to stop. */
static bool rest(struct tl_upkeep *upkeep, uint64_t ms)
{
	uint64_t now = upkeep->options.now(), due = tl_agenda_next_due(&upkeep->agenda), shortest_ms = shortest_rest_ms(upkeep);
	if (due < now + ms)
		ms = due > now + shortest_ms ? due - now : shortest_ms;
	const struct timespec until = tl_thread_deadline(ms);
	bool sleeps = tl_due_sleep(upkeep->board, now + ms);
	pthread_mutex_lock(&upkeep->lock);
	while (sleeps && !upkeep->stop && !upkeep->told)
		sleeps = pthread_cond_timedwait(&upkeep->changed, &upkeep->lock, &until) != ETIMEDOUT;
	upkeep->told = false;
	bool stop = upkeep->stop;
	pthread_mutex_unlock(&upkeep->lock);
	tl_due_awake(upkeep->board);
	return !stop;
}

/* A pause after each step, as long as the step was (U2). */
static bool go_on(void *ctx)
{
	struct tl_upkeep *upkeep = ctx;
	uint64_t ms = (tl_monotonic_ns() - upkeep->since_ns) / 1000000;
	bool more = pause_ms(upkeep, ms < PAUSE_SHORTEST_MS ? PAUSE_SHORTEST_MS
	                                                    : ms > PAUSE_LONGEST_MS ? PAUSE_LONGEST_MS : ms);
	upkeep->since_ns = tl_monotonic_ns();
	return more;
}

/* --- chores --- */

static enum tl_err apply_raise(struct tl_chore *chore, struct tl_transaction *txn)
{
	return tl_sweep_raise(&((struct tl_upkeep *)chore)->sweep, txn);
}

static enum tl_err apply_settle(struct tl_chore *chore, struct tl_transaction *txn)
{
	return tl_sweep_settle(&((struct tl_upkeep *)chore)->sweep, txn);
}

static enum tl_err apply_ending(struct tl_chore *chore, struct tl_transaction *txn)
{
	return tl_endings_apply(txn, &((struct tl_upkeep *)chore)->ending);
}

static void chore_done(struct tl_chore *chore, bool committed)
{
	struct tl_upkeep *upkeep = (struct tl_upkeep *)chore;
	pthread_mutex_lock(&upkeep->lock);
	upkeep->waiting = false;
	upkeep->committed = committed;
	pthread_cond_broadcast(&upkeep->changed);
	pthread_mutex_unlock(&upkeep->lock);
}

/* Has the writer do it. TL_CLOSED: upkeep is to stop, and the sweep may be the writer's for ever. */
static enum tl_err have_done(struct tl_upkeep *upkeep, enum tl_err (*apply)(struct tl_chore *, struct tl_transaction *))
{
	upkeep->chore = (struct tl_chore){.apply = apply, .done = chore_done};
	upkeep->waiting = true;
	tl_chores_submit(upkeep->chores, &upkeep->chore);
	tl_ingest_queue_wake(upkeep->queue);
	pthread_mutex_lock(&upkeep->lock);
	while (upkeep->waiting && !upkeep->stop)
		pthread_cond_wait(&upkeep->changed, &upkeep->lock);
	bool done = !upkeep->waiting && upkeep->committed;
	pthread_mutex_unlock(&upkeep->lock);
	upkeep->since_ns = tl_monotonic_ns(); /* waiting is no work */
	return done ? TL_OK : TL_CLOSED;
}

/* --- sweeping --- */

static void note_behind(struct tl_upkeep *upkeep)
{
	const struct tl_sweep *sweep = &upkeep->sweep;
	uint64_t behind_ms = 0;
	for (size_t i = 0; i < sweep->count; i++)
		if (sweep->items[i].due > 0 && sweep->now - sweep->items[i].due > behind_ms)
			behind_ms = sweep->now - sweep->items[i].due;
	atomic_store_explicit(&upkeep->behind_ms, behind_ms, memory_order_relaxed);
}

/* After a sweep, or where there was nothing to sweep. */
static void note_figures(struct tl_upkeep *upkeep)
{
	const struct tl_sweep *sweep = &upkeep->sweep;
	atomic_store_explicit(&upkeep->entries, sweep->entries, memory_order_relaxed);
	atomic_store_explicit(&upkeep->messages, sweep->messages, memory_order_relaxed);
	atomic_store_explicit(&upkeep->devices, sweep->devices, memory_order_relaxed);
	if (sweep->count == 0)
		atomic_store_explicit(&upkeep->behind_ms, 0, memory_order_relaxed);
	if (sweep->count == 0 && !upkeep->endings)
		atomic_fetch_add_explicit(&upkeep->looks, 1, memory_order_relaxed);
}

static enum tl_err drop_and_settle(struct tl_upkeep *upkeep)
{
	enum tl_err err = tl_sweep_drop(&upkeep->sweep);
	return err == TL_OK ? have_done(upkeep, apply_settle) : err;
}

/* What was being dropped when the program ended, and what the writer wants dropped. */
static enum tl_err finish_earlier(struct tl_upkeep *upkeep)
{
	enum tl_err err;
	do {
		upkeep->sweep.now = upkeep->options.now();
		upkeep->sweep.walk_key = NULL;
		err = tl_sweep_unfinished(&upkeep->sweep);
		if (err == TL_OK && upkeep->sweep.count > 0)
			err = drop_and_settle(upkeep);
	} while (err == TL_OK && upkeep->sweep.count > 0);
	return err;
}

/* One sweep; *more_out: there may be more to do at once. */
static enum tl_err sweep(struct tl_upkeep *upkeep, bool *more_out)
{
	struct tl_sweep *s = &upkeep->sweep;
	enum tl_err err = tl_agenda_gather(&upkeep->agenda, upkeep->options.now(), s);
	*more_out = s->count > 0 || s->walk_key != NULL;
	if (err != TL_OK || (s->count == 0 && !s->walk_key))
		return err;
	note_behind(upkeep);
	err = tl_sweep_assess(s);
	if (err == TL_OK && tl_sweep_raises(s))
		err = have_done(upkeep, apply_raise);
	if (err == TL_OK)
		err = drop_and_settle(upkeep);
	if (err == TL_OK)
		tl_agenda_swept(&upkeep->agenda, s);
	return err;
}

/* Between sweeps: ends some memberships in conversations that have been dissolved. */
static enum tl_err end_memberships(struct tl_upkeep *upkeep)
{
	if (!upkeep->endings)
		return TL_OK;
	enum tl_err err = tl_endings_next(upkeep->database, upkeep->options.limits, &upkeep->ending);
	upkeep->endings = err != TL_NOT_FOUND;
	if (err == TL_OK)
		err = have_done(upkeep, apply_ending);
	return err == TL_NOT_FOUND ? TL_OK : err;
}

/* Between sweeps. Whether there is more to reclaim. */
static bool reclaim(struct tl_upkeep *upkeep)
{
	bool more = tl_reclaim_step(&upkeep->reclaim, upkeep->sweep.bytes);
	if (more)
		atomic_fetch_add_explicit(&upkeep->reclaimed, 1, memory_order_relaxed);
	return more;
}

/* --- the thread --- */

static void note_outcome(struct tl_upkeep *upkeep, enum tl_err err)
{
	char text[160];
	bool failing = err != TL_OK && err != TL_CLOSED;
	if (failing && !upkeep->failing) {
		snprintf(text, sizeof text, "what has expired cannot be dropped (%s), trying again until it works",
		         tl_err_text(err));
		upkeep->options.events.log(upkeep->options.events.ctx, TL_LOG_WARNING, text);
	}
	if (err == TL_OK || failing)
		upkeep->failing = failing;
}

/* Begins again after a failure: with what is half-dropped, and with the first marker. */
static void begin_again(struct tl_upkeep *upkeep, bool *finished)
{
	tl_agenda_begin_again(&upkeep->agenda);
	*finished = false;
	upkeep->endings = true;
}

/* Something has been put on record: what is to be dropped, or memberships that have yet to end. */
static void look_for_told(struct tl_upkeep *upkeep, bool *finished)
{
	if (tl_due_told(upkeep->board, TL_DUE_DROP) == UINT64_MAX)
		return;
	*finished = false;
	upkeep->endings = true;
}

static void *run(void *arg)
{
	struct tl_upkeep *upkeep = arg;
	bool finished = false, more = true, on = true;
	uint64_t rest_ms = shortest_rest_ms(upkeep);
	upkeep->since_ns = tl_monotonic_ns();
	while (on) {
		look_for_told(upkeep, &finished);
		enum tl_err err = finished ? sweep(upkeep, &more) : finish_earlier(upkeep);
		if (err == TL_OK)
			err = end_memberships(upkeep);
		note_outcome(upkeep, err);
		if (err == TL_CLOSED)
			break;
		if (err != TL_OK) {
			begin_again(upkeep, &finished);
			on = pause_ms(upkeep, RETRY_MS);
			continue;
		}
		finished = true;
		note_figures(upkeep);
		more |= upkeep->endings;
		more |= reclaim(upkeep);
		on = more ? go_on(upkeep) : rest(upkeep, rest_ms);
		rest_ms = more ? shortest_rest_ms(upkeep) : 2 * rest_ms;
		if (rest_ms > upkeep->options.rest_max_ms)
			rest_ms = upkeep->options.rest_max_ms;
	}
	return NULL;
}

/* --- life --- */

static void init_lock(struct tl_upkeep *upkeep)
{
	tl_thread_condition_init(&upkeep->changed);
	pthread_mutex_init(&upkeep->lock, NULL);
}

enum tl_err tl_upkeep_new(struct tl_database *database, struct tl_chores *chores, struct tl_ingest_queue *queue,
                          struct tl_due_board *board, const struct tl_upkeep_options *options,
                          struct tl_upkeep **upkeep_out)
{
	struct tl_upkeep *upkeep = calloc(1, sizeof *upkeep);
	if (!upkeep)
		return TL_NO_MEMORY;
	upkeep->database = database;
	upkeep->chores = chores;
	upkeep->queue = queue;
	upkeep->board = board;
	upkeep->options = *options;
	upkeep->endings = true;
	upkeep->sweep.database = database;
	upkeep->sweep.limits = options->limits;
	tl_reclaim_init(&upkeep->reclaim, database->engine, options->dir);
	upkeep->sweep.go_on = go_on;
	upkeep->sweep.ctx = upkeep;
	board->wake = wake;
	board->ctx = upkeep;
	init_lock(upkeep);
	tl_agenda_init(&upkeep->agenda, database, board, options->limits, &options->events);
	enum tl_err err = tl_agenda_note_options(&upkeep->agenda, options->now());
	if (err != TL_OK) {
		tl_upkeep_free(upkeep);
		return err;
	}
	*upkeep_out = upkeep;
	return TL_OK;
}

enum tl_err tl_upkeep_start(struct tl_upkeep *upkeep)
{
	enum tl_err err = tl_thread_start(&upkeep->thread, "timeline upkeep", run, upkeep);
	upkeep->started = err == TL_OK;
	return err;
}

void tl_upkeep_stop(struct tl_upkeep *upkeep)
{
	if (!upkeep || !upkeep->started)
		return;
	pthread_mutex_lock(&upkeep->lock);
	upkeep->stop = true;
	pthread_cond_broadcast(&upkeep->changed);
	pthread_mutex_unlock(&upkeep->lock);
	pthread_join(upkeep->thread, NULL);
	upkeep->started = false;
}

void tl_upkeep_free(struct tl_upkeep *upkeep)
{
	if (!upkeep)
		return;
	pthread_cond_destroy(&upkeep->changed);
	pthread_mutex_destroy(&upkeep->lock);
	free(upkeep);
}

struct tl_upkeep_stats tl_upkeep_stats(const struct tl_upkeep *upkeep)
{
	return (struct tl_upkeep_stats){
		.entries = atomic_load_explicit(&upkeep->entries, memory_order_relaxed),
		.messages = atomic_load_explicit(&upkeep->messages, memory_order_relaxed),
		.devices = atomic_load_explicit(&upkeep->devices, memory_order_relaxed),
		.reclaimed = atomic_load_explicit(&upkeep->reclaimed, memory_order_relaxed),
		.looks = atomic_load_explicit(&upkeep->looks, memory_order_relaxed),
		.behind_ms = atomic_load_explicit(&upkeep->behind_ms, memory_order_relaxed),
	};
}
