#include "upkeep.h"

#include "endings.h"
#include "reclaim.h"
#include "sweep.h"
#include "thread.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
	REST_SHORTEST_MS = 250, /* between looks where there is nothing to do, doubled each time, unless something is due before */
	PAUSE_SHORTEST_MS = 1, /* after a step; a pause is as long as what was done before it */
	PAUSE_LONGEST_MS = 500,
	RETRY_MS = 500,        /* after a failure */
};

/* Where to go on reading markers, and when there is one to be read. */
struct place {
	uint64_t time, no;
	uint64_t due; /* ms: of the first one from there on, as of the last look or as told since; UINT64_MAX: there is none */
};

/* A walk over all users, or all conversations. */
static const struct walk {
	const char *key;     /* of the number to go on with */
	const char *end_key; /* of the number to end before */
	enum tl_due_kind kinds[2];
	int kind_count;
} walks[] = {
	{TL_META_WALK_USERS, TL_META_NEXT_USER, {TL_DUE_INBOX, TL_DUE_DEVICES}, 2},
	{TL_META_WALK_CONVERSATIONS, TL_META_NEXT_CONVERSATION, {TL_DUE_STORE}, 1},
};

enum { WALKS = sizeof walks / sizeof walks[0], SOURCES = TL_DUE_KINDS /* the walks stand in for TL_DUE_DROP */ };

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
	struct place places[TL_DUE_KINDS];
	uint64_t walk_next[WALKS]; /* 0: done */
	uint64_t bucket_due;       /* ms: when the first bucket of message ids is over, as of the last look */
	struct tl_reclaim reclaim;
	int walk;                  /* the one in the sweep at hand, or -1 */
	unsigned turn;             /* which source comes first */
	bool failing;
	struct timespec since; /* when the step at hand began */

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

static uint64_t elapsed_ms(const struct timespec *since)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)((now.tv_sec - since->tv_sec) * 1000 + (now.tv_nsec - since->tv_nsec) / 1000000);
}

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

/* When something is due next, as far as is known. */
static uint64_t next_due(const struct tl_upkeep *upkeep)
{
	uint64_t due = upkeep->bucket_due;
	for (int kind = TL_DUE_DROP + 1; kind < TL_DUE_KINDS; kind++)
		if (upkeep->places[kind].due < due)
			due = upkeep->places[kind].due;
	return due;
}

/* Rests where there is nothing to do: until something is due, or the writer tells of something that is earlier, but no longer
 * than `ms`. False if upkeep is to stop. */
static bool rest(struct tl_upkeep *upkeep, uint64_t ms)
{
	uint64_t now = upkeep->options.now(), due = next_due(upkeep);
	if (due < now + ms)
		ms = due > now + REST_SHORTEST_MS ? due - now : REST_SHORTEST_MS;
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
	uint64_t ms = elapsed_ms(&upkeep->since);
	bool more = pause_ms(upkeep, ms < PAUSE_SHORTEST_MS ? PAUSE_SHORTEST_MS
	                                                    : ms > PAUSE_LONGEST_MS ? PAUSE_LONGEST_MS : ms);
	clock_gettime(CLOCK_MONOTONIC, &upkeep->since);
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
	clock_gettime(CLOCK_MONOTONIC, &upkeep->since); /* waiting is no work */
	return done ? TL_OK : TL_CLOSED;
}

/* --- what is to be looked at --- */

static void add(struct tl_sweep *sweep, enum tl_due_kind kind, uint64_t no, uint64_t due)
{
	sweep->items[sweep->count++] = (struct tl_sweep_item){.kind = kind, .no = no, .due = due};
}

/* Markers whose time has come, from where the last look ended. Where none has, the database is left alone. */
static enum tl_err gather_markers(struct tl_upkeep *upkeep, enum tl_due_kind kind)
{
	struct place *place = &upkeep->places[kind];
	struct tl_sweep *sweep = &upkeep->sweep;
	uint64_t time, no, due = UINT64_MAX;
	struct tl_pair_key key;
	struct tl_iter *iter;
	if (place->due > sweep->now)
		return TL_OK;
	enum tl_err err =
		tl_iter_new(upkeep->database->engine, NULL, tl_partition(TL_PART_DUE, kind), false, &iter);
	if (err != TL_OK)
		return err;
	bool there = tl_iter_seek(iter, tl_pair_key(&key, place->time, place->no));
	for (; there; there = tl_iter_next(iter)) {
		if (!tl_pair_key_parse(tl_iter_key(iter), &time, &no))
			continue;
		if (time > sweep->now || sweep->count == TL_SWEEP_ITEMS) {
			due = time;
			break;
		}
		add(sweep, kind, no, time);
		place->time = time;
		place->no = no + 1;
	}
	if ((err = tl_iter_error(iter)) == TL_OK)
		place->due = due;
	tl_iter_free(iter);
	return err;
}

/* The number to end a walk before. 0 where it is damaged: then nobody is given a number any more, and there is no walk. */
static enum tl_err read_end(const struct tl_upkeep *upkeep, const struct walk *walk, uint64_t *end_out)
{
	enum tl_err err = tl_database_read_uint(upkeep->database, walk->end_key, end_out);
	if (err == TL_CORRUPT || (err == TL_OK && *end_out > TL_NUMBERS_END))
		*end_out = 0;
	return err == TL_CORRUPT ? TL_OK : err;
}

static enum tl_err gather_walk(struct tl_upkeep *upkeep)
{
	struct tl_sweep *sweep = &upkeep->sweep;
	uint64_t end;
	for (upkeep->walk = 0; upkeep->walk < WALKS && upkeep->walk_next[upkeep->walk] == 0; upkeep->walk++)
		;
	if (upkeep->walk == WALKS) {
		upkeep->walk = -1;
		return TL_OK;
	}
	const struct walk *walk = &walks[upkeep->walk];
	enum tl_err err = read_end(upkeep, walk, &end);
	if (err != TL_OK)
		return err;
	uint64_t no = upkeep->walk_next[upkeep->walk];
	for (; no < end && sweep->count + (size_t)walk->kind_count <= TL_SWEEP_ITEMS; no++)
		for (int i = 0; i < walk->kind_count; i++)
			add(sweep, walk->kinds[i], no, 0);
	sweep->walk_key = walk->key;
	sweep->walk_next = no < end ? no : 0;
	return TL_OK;
}

/* Buckets of message ids whose window has passed. */
static enum tl_err gather_buckets(struct tl_upkeep *upkeep)
{
	struct tl_sweep *sweep = &upkeep->sweep;
	struct tl_dedup_list list;
	uint64_t window_ms = upkeep->options.limits->dedup_window_ms;
	enum tl_err err = tl_dedup_read_list(upkeep->database, &list);
	upkeep->bucket_due = UINT64_MAX;
	for (size_t i = 0; err == TL_OK && i < list.count && sweep->count < TL_SWEEP_ITEMS; i++) {
		uint64_t last = list.buckets[i].last;
		if (tl_dedup_is_over(&list.buckets[i], window_ms, sweep->now))
			add(sweep, TL_DUE_IDS, list.buckets[i].no, 0);
		else if (last > 0 && window_ms < UINT64_MAX - last && last + window_ms < upkeep->bucket_due)
			upkeep->bucket_due = last + window_ms;
	}
	return err == TL_CORRUPT ? TL_OK : err;
}

/* What was put before the place that has been reached, or before the first marker behind it, is looked at too. */
static void go_back(struct tl_upkeep *upkeep)
{
	for (int kind = TL_DUE_DROP + 1; kind < TL_DUE_KINDS; kind++) {
		struct place *place = &upkeep->places[kind];
		uint64_t told = tl_due_told(upkeep->board, (enum tl_due_kind)kind);
		if (told < place->due)
			place->due = told;
		if (told <= place->time) {
			place->time = told;
			place->no = 0;
		}
	}
}

/* Each source comes first in turn, so that none waits for ever. */
static enum tl_err gather(struct tl_upkeep *upkeep)
{
	struct tl_sweep *sweep = &upkeep->sweep;
	enum tl_err err = TL_OK;
	sweep->count = 0;
	sweep->walk_key = NULL;
	sweep->now = upkeep->options.now();
	if (sweep->now > atomic_load(&upkeep->board->looked_until))
		atomic_store(&upkeep->board->looked_until, sweep->now);
	go_back(upkeep);
	for (unsigned i = 0; i < SOURCES && err == TL_OK; i++) {
		unsigned source = (upkeep->turn + i) % SOURCES;
		err = source == TL_DUE_DROP ? gather_walk(upkeep) : gather_markers(upkeep, (enum tl_due_kind)source);
	}
	upkeep->turn++;
	return err == TL_OK ? gather_buckets(upkeep) : err;
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
	enum tl_err err = gather(upkeep);
	*more_out = s->count > 0 || s->walk_key != NULL;
	if (err != TL_OK || (s->count == 0 && !s->walk_key))
		return err;
	note_behind(upkeep);
	err = tl_sweep_assess(s);
	if (err == TL_OK && tl_sweep_raises(s))
		err = have_done(upkeep, apply_raise);
	if (err == TL_OK)
		err = drop_and_settle(upkeep);
	if (err == TL_OK && s->walk_key)
		upkeep->walk_next[upkeep->walk] = s->walk_next;
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
	for (int kind = 0; kind < TL_DUE_KINDS; kind++)
		upkeep->places[kind] = (struct place){0, 0, 0};
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
	uint64_t rest_ms = REST_SHORTEST_MS;
	clock_gettime(CLOCK_MONOTONIC, &upkeep->since);
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
		rest_ms = more ? REST_SHORTEST_MS : 2 * rest_ms;
		if (rest_ms > upkeep->options.rest_max_ms)
			rest_ms = upkeep->options.rest_max_ms;
	}
	return NULL;
}

/* --- the options as of the last start --- */

/* A number of upkeep's own. One that is damaged is `instead`. */
static enum tl_err read_own(const struct tl_upkeep *upkeep, const char *key, uint64_t instead, uint64_t *value_out)
{
	char text[160];
	enum tl_err err = tl_database_read_uint(upkeep->database, key, value_out);
	if (err != TL_CORRUPT)
		return err;
	snprintf(text, sizeof text, "damaged data: what is kept as '%s' is made anew", key);
	upkeep->options.events.log(upkeep->options.events.ctx, TL_LOG_ERROR, text);
	*value_out = instead;
	return TL_OK;
}

static enum tl_err note_option(struct tl_upkeep *upkeep, struct tl_batch *batch, const char *key, uint64_t value,
                               int walk)
{
	uint64_t before, end;
	enum tl_err err = read_own(upkeep, key, ~value, &before);
	if (err == TL_OK)
		err = read_end(upkeep, &walks[walk], &end);
	if (err != TL_OK || before == value)
		return err;
	tl_database_put_uint(batch, key, value);
	if (end > 0) { /* else the database is new */
		upkeep->walk_next[walk] = 1;
		tl_database_put_uint(batch, walks[walk].key, 1);
	}
	return TL_OK;
}

/* Where ids are deduplicated no more, no other one ends the bucket of the last ones. Before the writer's thread, whose matter it is. */
static enum tl_err end_ids(struct tl_upkeep *upkeep, struct tl_batch *batch)
{
	struct tl_dedup ids;
	if (upkeep->options.limits->dedup_window_ms > 0)
		return TL_OK;
	tl_dedup_init(&ids, upkeep->database);
	enum tl_err err = tl_dedup_prepare(&ids, batch, upkeep->options.now(), 0);
	return err == TL_CORRUPT ? TL_OK : err;
}

static void note_lost_ids(struct tl_upkeep *upkeep)
{
	struct tl_dedup_list list;
	if (tl_dedup_read_list(upkeep->database, &list) == TL_CORRUPT)
		upkeep->options.events.log(upkeep->options.events.ctx, TL_LOG_ERROR,
		                           "damaged data: which message ids have been used of late is forgotten; what is sent again is "
		                           "stored again");
}

static enum tl_err note_options(struct tl_upkeep *upkeep)
{
	const struct tl_limits *limits = upkeep->options.limits;
	struct tl_batch *batch = NULL;
	enum tl_err err = tl_batch_new(upkeep->database->engine, &batch);
	note_lost_ids(upkeep);
	for (int walk = 0; walk < WALKS && err == TL_OK; walk++)
		err = read_own(upkeep, walks[walk].key, 1, &upkeep->walk_next[walk]);
	if (err == TL_OK)
		err = note_option(upkeep, batch, TL_META_INBOX_TTL, limits->inbox_ttl_ms, 0);
	if (err == TL_OK)
		err = note_option(upkeep, batch, TL_META_INBOX_MAX, limits->inbox_max, 0);
	if (err == TL_OK)
		err = note_option(upkeep, batch, TL_META_DEVICE_TTL, limits->device_ttl_ms, 0);
	if (err == TL_OK)
		err = note_option(upkeep, batch, TL_META_RETENTION, limits->retention_ms, 1);
	if (err == TL_OK)
		err = end_ids(upkeep, batch);
	if (err == TL_OK && tl_batch_count(batch) > 0)
		err = tl_engine_commit(upkeep->database->engine, batch, true, NULL);
	tl_batch_free(batch);
	return err;
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
	upkeep->walk = -1;
	upkeep->endings = true;
	upkeep->sweep.database = database;
	upkeep->sweep.limits = options->limits;
	tl_reclaim_init(&upkeep->reclaim, database->engine, options->dir);
	upkeep->sweep.go_on = go_on;
	upkeep->sweep.ctx = upkeep;
	board->wake = wake;
	board->ctx = upkeep;
	init_lock(upkeep);
	enum tl_err err = note_options(upkeep);
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
