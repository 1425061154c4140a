#include "agenda.h"

#include <stdio.h>

enum { USERS, CONVERSATIONS };

/* A walk over all of them. */
static const struct walk {
	const char *key;     /* of the number to go on with */
	const char *end_key; /* of the number to end before */
	enum tl_due_kind kinds[2];
	int kind_count;
} walks[TL_AGENDA_WALKS] = {
	[USERS] = {TL_META_WALK_USERS, TL_META_NEXT_USER, {TL_DUE_INBOX, TL_DUE_DEVICES}, 2},
	[CONVERSATIONS] = {TL_META_WALK_CONVERSATIONS, TL_META_NEXT_CONVERSATION, {TL_DUE_STORE}, 1},
};

enum { SOURCES = TL_DUE_KINDS /* the walks stand in for TL_DUE_DROP */ };

void tl_agenda_init(struct tl_agenda *agenda, struct tl_database *database, struct tl_due_board *board,
                    const struct tl_limits *limits, const struct tl_store_events *events)
{
	*agenda = (struct tl_agenda){
		.database = database, .board = board, .limits = limits, .events = *events, .walk = -1};
}

/* --- what is to be looked at --- */

static void add(struct tl_sweep *sweep, enum tl_due_kind kind, uint64_t no, uint64_t due)
{
	sweep->items[sweep->count++] = (struct tl_sweep_item){.kind = kind, .no = no, .due = due};
}

/* Markers whose time has come, from where the last look ended. Where none has, the database is left alone. */
static enum tl_err gather_markers(struct tl_agenda *agenda, struct tl_sweep *sweep, enum tl_due_kind kind)
{
	struct tl_agenda_place *place = &agenda->places[kind];
	uint64_t time, no, due = UINT64_MAX;
	struct tl_pair_key key;
	struct tl_iter *iter;
	if (place->due > sweep->now)
		return TL_OK;
	enum tl_err err =
		tl_iter_new(agenda->database->engine, NULL, tl_partition(TL_PART_DUE, kind), false, &iter);
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
static enum tl_err read_end(const struct tl_agenda *agenda, const struct walk *walk, uint64_t *end_out)
{
	enum tl_err err = tl_database_read_uint(agenda->database, walk->end_key, end_out);
	if (err == TL_CORRUPT || (err == TL_OK && *end_out > TL_NUMBERS_END))
		*end_out = 0;
	return err == TL_CORRUPT ? TL_OK : err;
}

static enum tl_err gather_walk(struct tl_agenda *agenda, struct tl_sweep *sweep)
{
	uint64_t end;
	for (agenda->walk = 0; agenda->walk < TL_AGENDA_WALKS && agenda->walk_next[agenda->walk] == 0; agenda->walk++)
		;
	if (agenda->walk == TL_AGENDA_WALKS) {
		agenda->walk = -1;
		return TL_OK;
	}
	const struct walk *walk = &walks[agenda->walk];
	enum tl_err err = read_end(agenda, walk, &end);
	if (err != TL_OK)
		return err;
	uint64_t no = agenda->walk_next[agenda->walk];
	for (; no < end && sweep->count + (size_t)walk->kind_count <= TL_SWEEP_ITEMS; no++)
		for (int i = 0; i < walk->kind_count; i++)
			add(sweep, walk->kinds[i], no, 0);
	sweep->walk_key = walk->key;
	sweep->walk_next = no < end ? no : 0;
	return TL_OK;
}

/* Buckets of message ids whose window has passed. */
static enum tl_err gather_buckets(struct tl_agenda *agenda, struct tl_sweep *sweep)
{
	struct tl_dedup_list list;
	uint64_t window_ms = agenda->limits->dedup_window_ms;
	enum tl_err err = tl_dedup_read_list(agenda->database, &list);
	agenda->bucket_due = UINT64_MAX;
	for (size_t i = 0; err == TL_OK && i < list.count && sweep->count < TL_SWEEP_ITEMS; i++) {
		uint64_t last = list.buckets[i].last;
		if (tl_dedup_is_over(&list.buckets[i], window_ms, sweep->now))
			add(sweep, TL_DUE_IDS, list.buckets[i].no, 0);
		else if (last > 0 && window_ms < UINT64_MAX - last && last + window_ms < agenda->bucket_due)
			agenda->bucket_due = last + window_ms;
	}
	return err == TL_CORRUPT ? TL_OK : err;
}

/* What was put before the place that has been reached, or before the first marker behind it, is looked at too. */
static void go_back(struct tl_agenda *agenda)
{
	for (int kind = TL_DUE_DROP + 1; kind < TL_DUE_KINDS; kind++) {
		struct tl_agenda_place *place = &agenda->places[kind];
		uint64_t told = tl_due_told(agenda->board, (enum tl_due_kind)kind);
		if (told < place->due)
			place->due = told;
		if (told <= place->time) {
			place->time = told;
			place->no = 0;
		}
	}
}

enum tl_err tl_agenda_gather(struct tl_agenda *agenda, uint64_t now, struct tl_sweep *sweep)
{
	enum tl_err err = TL_OK;
	sweep->count = 0;
	sweep->walk_key = NULL;
	sweep->now = now;
	if (sweep->now > atomic_load(&agenda->board->looked_until))
		atomic_store(&agenda->board->looked_until, sweep->now);
	go_back(agenda);
	for (unsigned i = 0; i < SOURCES && err == TL_OK; i++) {
		unsigned source = (agenda->turn + i) % SOURCES;
		err = source == TL_DUE_DROP ? gather_walk(agenda, sweep) : gather_markers(agenda, sweep, (enum tl_due_kind)source);
	}
	agenda->turn++;
	return err == TL_OK ? gather_buckets(agenda, sweep) : err;
}

void tl_agenda_swept(struct tl_agenda *agenda, const struct tl_sweep *sweep)
{
	if (sweep->walk_key)
		agenda->walk_next[agenda->walk] = sweep->walk_next;
}

void tl_agenda_begin_again(struct tl_agenda *agenda)
{
	for (int kind = 0; kind < TL_DUE_KINDS; kind++)
		agenda->places[kind] = (struct tl_agenda_place){0, 0, 0};
}

uint64_t tl_agenda_next_due(const struct tl_agenda *agenda)
{
	uint64_t due = agenda->bucket_due;
	for (int kind = TL_DUE_DROP + 1; kind < TL_DUE_KINDS; kind++)
		if (agenda->places[kind].due < due)
			due = agenda->places[kind].due;
	return due;
}

/* --- the options as of the last start --- */

/* A number of upkeep's own. One that is damaged is `instead`. */
static enum tl_err read_own(const struct tl_agenda *agenda, const char *key, uint64_t instead, uint64_t *value_out)
{
	char text[160];
	enum tl_err err = tl_database_read_uint(agenda->database, key, value_out);
	if (err != TL_CORRUPT)
		return err;
	snprintf(text, sizeof text, "damaged data: what is kept as '%s' is made anew", key);
	agenda->events.log(agenda->events.ctx, TL_LOG_ERROR, text);
	*value_out = instead;
	return TL_OK;
}

static enum tl_err note_option(struct tl_agenda *agenda, struct tl_batch *batch, const char *key, uint64_t value,
                               int walk)
{
	uint64_t before, end;
	enum tl_err err = read_own(agenda, key, ~value, &before);
	if (err == TL_OK)
		err = read_end(agenda, &walks[walk], &end);
	if (err != TL_OK || before == value)
		return err;
	tl_database_put_uint(batch, key, value);
	if (end > 0) { /* else the database is new */
		agenda->walk_next[walk] = 1;
		tl_database_put_uint(batch, walks[walk].key, 1);
	}
	return TL_OK;
}

/* Where ids are deduplicated no more, no other one ends the bucket of the last ones. Before the writer's thread, whose matter it is. */
static enum tl_err end_ids(struct tl_agenda *agenda, uint64_t now, struct tl_batch *batch)
{
	struct tl_dedup ids;
	if (agenda->limits->dedup_window_ms > 0)
		return TL_OK;
	tl_dedup_init(&ids, agenda->database);
	enum tl_err err = tl_dedup_prepare(&ids, batch, now, 0);
	return err == TL_CORRUPT ? TL_OK : err;
}

static void note_lost_ids(struct tl_agenda *agenda)
{
	struct tl_dedup_list list;
	if (tl_dedup_read_list(agenda->database, &list) == TL_CORRUPT)
		agenda->events.log(agenda->events.ctx, TL_LOG_ERROR,
		                   "damaged data: which message ids have been used of late is forgotten; what is sent again is stored again");
}

enum tl_err tl_agenda_note_options(struct tl_agenda *agenda, uint64_t now)
{
	const struct tl_limits *limits = agenda->limits;
	const struct {
		const char *key;
		uint64_t value;
		int walk;
	} options[] = {
		{TL_META_INBOX_TTL, limits->inbox_ttl_ms, USERS},
		{TL_META_INBOX_MAX, limits->inbox_max, USERS},
		{TL_META_DEVICE_TTL, limits->device_ttl_ms, USERS},
		{TL_META_RETENTION, limits->retention_ms, CONVERSATIONS},
	};
	struct tl_batch *batch = NULL;
	enum tl_err err = tl_batch_new(agenda->database->engine, &batch);
	note_lost_ids(agenda);
	for (int walk = 0; walk < TL_AGENDA_WALKS && err == TL_OK; walk++)
		err = read_own(agenda, walks[walk].key, 1, &agenda->walk_next[walk]);
	for (size_t i = 0; i < sizeof options / sizeof options[0] && err == TL_OK; i++)
		err = note_option(agenda, batch, options[i].key, options[i].value, options[i].walk);
	if (err == TL_OK)
		err = end_ids(agenda, now, batch);
	if (err == TL_OK && tl_batch_count(batch) > 0)
		err = tl_database_commit_first(agenda->database, batch, NULL);
	tl_batch_free(batch);
	return err;
}
