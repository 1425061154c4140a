#include "writer.h"

#include "clock.h"
#include "indexer.h"
#include "membership.h"
#include "requests.h"
#include "send.h"
#include "thread.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum {
	COMPANY_MS = 1000,      /* how long checkpoints may wait for company, and chores that failed until they are tried again */
	FOREVER_MS = 86400000,  /* nothing has to be done then */
	RETRY_FIRST_MS = 100,   /* pause after a failure, doubled each time */
	RETRY_FULL_MS = 1000,   /* the first one on a full disk: what is filling it shall have settled before the database,
	                         * which can be read as it is, is closed to be opened again */
	RETRY_LONGEST_MS = 5000,
	DAMAGED = 64,           /* damaged conversations of which it is known that they have been complained of */
	BATCHES_MAX = 64,       /* of one group */
};

/* A batch of the group at hand, whose commit has been tried. */
struct committed_batch {
	uint64_t end;              /* everything before this queue position is in it or a batch before it */
	uint64_t changes, records; /* counted requests, and records, up to here … */
	struct tl_told told;       /* … and what is to be told of them */
};

struct tl_writer {
	struct tl_database *database;
	struct tl_ingest_queue *queue;
	struct tl_checkpoints *checkpoints;
	struct tl_chores *chores;
	struct tl_membership_versions *versions;
	struct tl_writer_options options;

	/* the writer thread's own */
	struct tl_transaction txn;
	uint64_t committed;    /* the watermark: everything before it is in the database */
	uint64_t replay_until; /* records before it may be there in part */
	uint64_t damaged_at;   /* a record that cannot be applied, 0: none; it is answered and passed over */
	uint64_t start_end;    /* where the queue ended at the start: requests before it were never counted as pending */
	bool catching_up;      /* … but count as one while they are being applied */
	struct committed_batch group[BATCHES_MAX]; /* W5 */
	size_t group_count;
	uint64_t group_puts, group_bytes; /* of the batches committed */
	uint64_t changes, records_applied; /* counted requests, and records, in the group */
	uint64_t batch_records; /* in the batch at hand */
	bool cut_short;         /* the batch at hand ends only because the next record, or its last one, needs one to itself */
	bool alone;            /* the record at hand shares its batch with no other that changes something */
	bool counted;          /* the record at hand is one that counts as pending */
	bool chores_wait;      /* a record that needs a batch to itself comes first */
	bool gathering;        /* checkpoints wait for company … */
	uint64_t gathered_ms;   /* … until then, by tl_monotonic_ms */
	uint64_t damaged[DAMAGED]; /* hashes of their ids: the last one in each place */

	pthread_t thread;
	pthread_mutex_t lock;     /* for `stopping` */
	pthread_cond_t stopping;  /* stop was set */
	_Atomic bool stop;
	_Atomic bool trial; /* the next commit is made even if there is nothing in it */
	_Atomic bool failing;
	_Atomic uint64_t records, messages, inbox_entries, batches, failures;
};

static void say(struct tl_writer *writer, enum tl_log level, const char *text)
{
	writer->options.events.log(writer->options.events.ctx, level, text);
}

/* Whether there is a record at the position or after it: TL_OK, TL_END, or why that cannot be told. */
static enum tl_err find_record(struct tl_writer *writer, uint64_t position)
{
	struct tl_slice record;
	uint64_t after;
	return tl_ingest_queue_read(writer->queue, &position, &record, &after);
}

static void count(_Atomic uint64_t *counter, uint64_t more)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + more, memory_order_relaxed);
}

/* --- applying --- */

/* `request`: what the record asks for, or NULL. */
static enum tl_err tell_damaged(struct tl_transaction *txn, const struct tl_ingest_record *record,
                                const struct tl_request *request)
{
	const struct tl_outcome outcome = {
		.route = record->route,
		.user = record->user,
		.device = record->device,
		.op = request ? request->name : "send",
		.err = TL_STORAGE,
		.why = "",
	};
	return tl_transaction_tell(txn, &outcome);
}

/* TL_CONFLICT: the batch at hand has to be committed first, because the record reads what is in it. */
static enum tl_err apply(struct tl_writer *writer, uint64_t position, struct tl_slice bytes)
{
	struct tl_ingest_record record;
	writer->alone = writer->counted = false;
	if (!tl_ingest_record_unpack(bytes, &record))
		return position == writer->damaged_at ? TL_OK : TL_CORRUPT;
	const struct tl_request *request = record.kind == TL_INGEST_REQUEST ? tl_request_find(record.target) : NULL;
	writer->alone = request && !request->within_batch;
	if (writer->alone && tl_transaction_puts(&writer->txn) > 0)
		return TL_CONFLICT;
	writer->counted = request && request->lets_send && position >= writer->start_end;
	if (position == writer->damaged_at)
		return tell_damaged(&writer->txn, &record, request);
	tl_transaction_record(&writer->txn, position, position < writer->replay_until);
	return record.kind == TL_INGEST_SEND ? tl_send_apply(&writer->txn, &record)
	                                     : tl_request_apply(&writer->txn, &record);
}

static bool batch_is_full(const struct tl_writer *writer)
{
	const struct tl_transaction *txn = &writer->txn;
	return tl_transaction_puts(txn) >= writer->options.batch_keys ||
	       tl_transaction_bytes(txn) >= writer->options.batch_bytes ||
	       writer->batch_records >= writer->options.batch_keys; /* those that are refused put nothing */
}

/* Applies the record at *next and moves *next behind it. TL_END: there is none, or the batch has to end before it. */
static enum tl_err apply_next(struct tl_writer *writer, uint64_t *next)
{
	struct tl_slice record;
	uint64_t position = *next, after;
	enum tl_err err = tl_ingest_queue_read(writer->queue, &position, &record, &after);
	if (err != TL_OK)
		return err;
	/* A damaged record has a batch of its own, so that passing over it is committed whatever follows. */
	if (position == writer->damaged_at && writer->batch_records > 0)
		return TL_END;
	err = apply(writer, position, record);
	if (err == TL_CORRUPT)
		writer->damaged_at = position;
	if (err == TL_CONFLICT) {
		writer->chores_wait = writer->batch_records == 0;
		writer->cut_short = true;
		err = TL_END;
	}
	if (err != TL_OK)
		return err;
	*next = after;
	writer->batch_records++;
	writer->records_applied++;
	writer->changes += writer->counted;
	writer->cut_short = writer->alone && tl_transaction_puts(&writer->txn) > 0;
	return writer->cut_short || position == writer->damaged_at ? TL_END : TL_OK;
}

/* At most half a batch, so that messages do not wait behind chores. */
static enum tl_err apply_chores(struct tl_writer *writer)
{
	bool wait = writer->chores_wait;
	writer->chores_wait = false;
	if (wait)
		return TL_OK;
	tl_transaction_chores(&writer->txn, writer->committed);
	return tl_chores_apply(writer->chores, &writer->txn, writer->options.batch_keys / 2);
}

/* Applies what waits from *end on, up to a full batch, and moves *end to where that ends. */
static enum tl_err fill(struct tl_writer *writer, uint64_t *end)
{
	uint64_t next = *end;
	enum tl_err err = writer->group_count == 0 ? apply_chores(writer) : TL_OK;

	writer->batch_records = 0;
	writer->cut_short = false;
	while (err == TL_OK && !batch_is_full(writer))
		err = apply_next(writer, &next);
	if (err != TL_OK && err != TL_END)
		return err;
	*end = next;
	return TL_OK;
}

/* --- committing --- */

/* Says once of a conversation that nothing can be stored in it. */
static void note_damaged(struct tl_writer *writer)
{
	char text[400];
	struct tl_slice cid = writer->txn.damaged;
	uint64_t hash = cid.len > 0 ? XXH3_64bits(cid.ptr, cid.len) : 0, *place = &writer->damaged[hash % DAMAGED];
	if (cid.len == 0 || *place == hash)
		return;
	*place = hash;
	snprintf(text, sizeof text,
	         "damaged data: what is sent to conversation '%.*s' cannot be stored and is answered so", (int)cid.len,
	         (const char *)cid.ptr);
	say(writer, TL_LOG_ERROR, text);
}

static void note_batch(struct tl_writer *writer, uint64_t end)
{
	writer->group[writer->group_count++] = (struct committed_batch){.end = end,
	                                                                .changes = writer->changes,
	                                                                .records = writer->records_applied,
	                                                                .told = tl_transaction_so_far(&writer->txn)};
}

/* Commits the batch at hand and what is noted of devices, and with it, synced, the group; nothing at all is a success too. */
static enum tl_err commit_last(struct tl_writer *writer, uint64_t end, struct tl_why *why)
{
	struct tl_batch *batch = writer->txn.batch;
	tl_transaction_finish(&writer->txn);
	tl_checkpoints_collect(writer->checkpoints, batch, &writer->txn.due, writer->options.limits->device_ttl_ms);
	bool trial = atomic_exchange(&writer->trial, false);
	bool nothing = !trial && writer->group_count == 0 && end == writer->committed && tl_batch_count(batch) == 0;
	note_batch(writer, end);
	if (nothing)
		return TL_OK;
	tl_database_put_uint(batch, TL_META_WATERMARK, end);
	enum tl_err err = tl_engine_commit(writer->database->engine, batch, writer->options.sync, why);
	tl_checkpoints_settle(writer->checkpoints, err == TL_OK);
	if (err == TL_OK)
		count(&writer->batches, 1);
	return err;
}

/* Commits a batch that another one of the group follows. */
static enum tl_err commit_next(struct tl_writer *writer, uint64_t end, struct tl_why *why)
{
	struct tl_batch *batch = writer->txn.batch;
	tl_transaction_finish(&writer->txn);
	writer->group_puts += tl_transaction_puts(&writer->txn);
	writer->group_bytes += tl_transaction_bytes(&writer->txn);
	note_batch(writer, end);
	tl_database_put_uint(batch, TL_META_WATERMARK, end);
	enum tl_err err = tl_engine_commit(writer->database->engine, batch, false, why);
	if (err != TL_OK)
		return err;
	writer->chores_wait = false;
	note_damaged(writer);
	tl_transaction_next(&writer->txn);
	return TL_OK;
}

/* Whether so much is cached that it should be trimmed, which it cannot be within a group. */
static bool is_stuffed(const struct tl_writer *writer)
{
	const struct tl_transaction *txn = &writer->txn;
	const struct tl_writer_options *options = &writer->options;
	return HASH_CNT(by_no, txn->users.by_no) > options->cached_users + options->cached_users / 4 ||
	       HASH_CNT(by_cid, txn->conversations.by_cid) > options->cached_conversations + options->cached_conversations / 4 ||
	       txn->conversations.member_count > options->cached_members + options->cached_members / 4;
}

/* Whether another batch, from `end` on, shall be committed with the one at hand. */
static bool has_next(struct tl_writer *writer, uint64_t end)
{
	bool room = writer->group_count + 1 < BATCHES_MAX && !is_stuffed(writer) &&
	            writer->group_puts + tl_transaction_puts(&writer->txn) < writer->options.batch_keys &&
	            writer->group_bytes + tl_transaction_bytes(&writer->txn) < writer->options.batch_bytes;
	return writer->cut_short && room && find_record(writer, end) == TL_OK;
}

/* From before the first commit of several on, readers are shown what was before; but where nothing is synced, there is no flush to
 * wait for. False: it cannot be done. */
static bool hide_group(struct tl_writer *writer)
{
	return writer->group_count > 0 || !writer->options.sync || tl_engine_freeze(writer->database->engine) == TL_OK;
}

/* Forgets the batch at hand, which could not be made, behind others of its group. */
static void retract_batch(struct tl_writer *writer, uint64_t damaged_at)
{
	const struct committed_batch *last = &writer->group[writer->group_count - 1];
	tl_transaction_retract(&writer->txn, &last->told);
	writer->damaged_at = damaged_at;
	writer->changes = last->changes;
	writer->records_applied = last->records;
}

/* Applies and commits a group of batches, mostly one. Where something other than committing fails behind the first of them,
 * that one and those behind it count as done, and the rest is for the next group: *half_made. */
static enum tl_err store_group(struct tl_writer *writer, bool *half_made, struct tl_why *why)
{
	uint64_t end = writer->committed, damaged_at = writer->damaged_at;
	writer->group_count = 0;
	writer->group_puts = writer->group_bytes = writer->changes = writer->records_applied = 0;
	enum tl_err err = fill(writer, &end);
	while (err == TL_OK && has_next(writer, end) && hide_group(writer)) {
		if ((err = commit_next(writer, end, why)) != TL_OK)
			return err;
		err = fill(writer, &end);
	}
	*half_made = err != TL_OK && writer->group_count > 0;
	if (err != TL_OK && !*half_made)
		return err;
	if (*half_made)
		retract_batch(writer, damaged_at);
	return commit_last(writer, end, why);
}

/* --- after a commit --- */

static void announce_regrouped(struct tl_writer *writer, const struct tl_commit *commit)
{
	for (size_t i = 0; i < commit->regrouped_count; i++)
		tl_membership_changed(writer->versions, commit->regrouped[i]);
}

static void announce_changes(struct tl_writer *writer, const struct tl_commit *commit, uint64_t end, uint64_t done)
{
	announce_regrouped(writer, commit);
	if (writer->catching_up && (end >= writer->start_end || find_record(writer, end) == TL_END)) {
		writer->catching_up = false;
		done++;
	}
	if (done > 0)
		atomic_fetch_sub(&writer->versions->pending, done);
}

/* Tells what is in the batches of the group up to this one. */
static void publish(struct tl_writer *writer, const struct committed_batch *last)
{
	const struct tl_commit commit = tl_transaction_told_until(&writer->txn, &last->told);

	announce_changes(writer, &commit, last->end, last->changes);
	note_damaged(writer);
	count(&writer->records, last->records);
	if (commit.outcome_count + commit.append_count + commit.delivery_count + commit.backlog_count > 0)
		writer->options.events.committed(writer->options.events.ctx, &commit);
	count(&writer->messages, commit.delivery_count);
	count(&writer->inbox_entries, commit.append_count + commit.pulled_count);
	tl_due_tell(&writer->txn.due);
	if (writer->txn.index_marks > 0 || writer->txn.index_upkeep)
		tl_indexer_wake(writer->options.indexer, writer->txn.index_marks);
	tl_chores_committed(writer->chores);
	writer->committed = last->end;
	tl_ingest_queue_release(writer->queue, last->end);
}

static void trim(struct tl_writer *writer)
{
	tl_transaction_clear(&writer->txn);
	tl_users_trim(&writer->txn.users, writer->options.cached_users);
	tl_conversations_trim(&writer->txn.conversations, writer->options.cached_conversations,
	                      writer->options.cached_members);
}

/* --- failing --- */

static void pause_ms(struct tl_writer *writer, unsigned ms)
{
	const struct timespec until = tl_thread_deadline(ms);
	pthread_mutex_lock(&writer->lock);
	while (!atomic_load(&writer->stop) && pthread_cond_timedwait(&writer->stopping, &writer->lock, &until) != ETIMEDOUT)
		;
	pthread_mutex_unlock(&writer->lock);
}

static void note_success(struct tl_writer *writer)
{
	if (writer->failing)
		say(writer, TL_LOG_NOTICE, "storing works again");
	writer->failing = false;
}

static void forget_all(struct tl_writer *writer)
{
	tl_chores_failed(writer->chores);
	tl_transaction_forget(&writer->txn);
}

/* Opens the database again, pausing between attempts, until it works (*watermark_out) or the writer is stopped. Who waits
 * for a chore meanwhile is refused. */
static enum tl_err reopen(struct tl_writer *writer, enum tl_err failure, uint64_t *watermark_out)
{
	unsigned pause = failure == TL_NO_SPACE ? RETRY_FULL_MS : RETRY_FIRST_MS;
	enum tl_err err;
	do {
		pause_ms(writer, pause);
		if (pause < RETRY_LONGEST_MS)
			pause *= 2;
		err = tl_engine_reopen(writer->database->engine, NULL);
		if (err == TL_OK)
			err = tl_database_read_uint(writer->database, TL_META_WATERMARK, watermark_out);
		if (err != TL_OK)
			tl_chores_refuse(writer->chores);
	} while (err != TL_OK && !atomic_load(&writer->stop));
	return err;
}

/* The batch of the group that ends there; NULL: none. */
static const struct committed_batch *batch_until(const struct tl_writer *writer, uint64_t watermark)
{
	for (size_t i = writer->group_count; i-- > 0;)
		if (writer->group[i].end == watermark && watermark > writer->committed)
			return &writer->group[i];
	return NULL;
}

/* Gets storing to work again (W3). The batch that failed may have been committed after all, or some of the group before it;
 * the watermark tells, and then they are told like any other. */
static void recover(struct tl_writer *writer, enum tl_err err, const struct tl_why *why)
{
	char text[400];
	uint64_t watermark;

	count(&writer->failures, 1);
	if (!writer->failing) {
		snprintf(text, sizeof text, "storing failed (%s%s%s), trying again until it works; what was acked is kept",
		         tl_err_text(err), why->text[0] ? ": " : "", why->text);
		say(writer, TL_LOG_ERROR, text);
	} else {
		tl_chores_refuse(writer->chores);
	}
	writer->failing = true;
	writer->replay_until = tl_ingest_queue_end(writer->queue);
	tl_transaction_release(&writer->txn);
	const struct committed_batch *done =
		reopen(writer, err, &watermark) == TL_OK ? batch_until(writer, watermark) : NULL;
	if (done) {
		note_success(writer);
		publish(writer, done);
	}
	/* What others have seen of memberships in the meantime may not be so: they look again. */
	const struct tl_commit all = tl_transaction_told(&writer->txn);
	announce_regrouped(writer, &all);
	forget_all(writer);
}

static void pass_over_damaged(struct tl_writer *writer)
{
	char text[160];
	snprintf(text, sizeof text, "the queue record at %" PRIu64 " meets damaged data and is passed over",
	         writer->damaged_at);
	say(writer, TL_LOG_ERROR, text);
	writer->replay_until = tl_ingest_queue_end(writer->queue);
	forget_all(writer);
}

/* --- the thread --- */

static void step(struct tl_writer *writer)
{
	struct tl_why why = {""};
	uint64_t damaged = writer->damaged_at;
	bool half_made = false;
	enum tl_err err = store_group(writer, &half_made, &why);

	tl_engine_thaw(writer->database->engine);
	if (err == TL_CORRUPT && writer->damaged_at != damaged) {
		pass_over_damaged(writer);
		return;
	}
	if (err != TL_OK) {
		recover(writer, err, &why);
		return;
	}
	note_success(writer);
	publish(writer, &writer->group[writer->group_count - 1]);
	if (half_made)
		forget_all(writer);
	else
		trim(writer);
}

/* What devices have said since the last batch. Only a convenience, so a failure is nothing to tell. */
static void flush_checkpoints(struct tl_writer *writer)
{
	struct tl_why why;
	writer->group_count = 0;
	if (tl_checkpoints_pending(writer->checkpoints) && !writer->failing)
		(void)commit_last(writer, writer->committed, &why);
}

static unsigned ms_until(uint64_t until_ms)
{
	uint64_t now_ms = tl_monotonic_ms();
	return now_ms < until_ms ? (unsigned)(until_ms - now_ms) : 0;
}

/* How long the writer may sleep unless it is woken. */
static unsigned patience_ms(struct tl_writer *writer)
{
	if (!tl_checkpoints_pending(writer->checkpoints))
		return tl_chores_pending(writer->chores) ? COMPANY_MS : FOREVER_MS;
	if (!writer->gathering)
		writer->gathered_ms = tl_monotonic_ms() + COMPANY_MS;
	writer->gathering = true;
	return ms_until(writer->gathered_ms);
}

/* Sleeps until there is a reason not to; false if there is nothing to be done even so. */
static bool wait_for_work(struct tl_writer *writer)
{
	bool records = tl_ingest_queue_wait(writer->queue, writer->committed, patience_ms(writer));
	return records || tl_chores_pending(writer->chores) || (writer->gathering && ms_until(writer->gathered_ms) == 0) ||
	       atomic_load(&writer->trial);
}

static void *run(void *arg)
{
	struct tl_writer *writer = arg;
	while (!atomic_load(&writer->stop))
		if (wait_for_work(writer)) {
			writer->gathering = false;
			step(writer);
		}
	flush_checkpoints(writer);
	return NULL;
}

static enum tl_err init(struct tl_writer *writer)
{
	tl_thread_condition_init(&writer->stopping);
	pthread_mutex_init(&writer->lock, NULL);

	enum tl_err err = tl_database_read_uint(writer->database, TL_META_WATERMARK, &writer->committed);
	if (err != TL_OK)
		return err;
	writer->start_end = writer->replay_until = tl_ingest_queue_end(writer->queue);
	writer->catching_up = find_record(writer, writer->committed) != TL_END;
	if (writer->catching_up)
		atomic_fetch_add(&writer->versions->pending, 1);
	writer->txn.limits = writer->options.limits;
	writer->txn.due.board = writer->options.due;
	return tl_thread_start(&writer->thread, "timeline write", run, writer);
}

enum tl_err tl_writer_open(struct tl_database *database, struct tl_ingest_queue *queue,
                           struct tl_checkpoints *checkpoints, struct tl_chores *chores,
                           struct tl_membership_versions *versions, const struct tl_writer_options *options,
                           struct tl_writer **writer_out)
{
	struct tl_writer *writer = calloc(1, sizeof *writer);
	if (!writer)
		return TL_NO_MEMORY;
	writer->database = database;
	writer->queue = queue;
	writer->checkpoints = checkpoints;
	checkpoints->queue = queue;
	writer->chores = chores;
	writer->versions = versions;
	writer->options = *options;
	enum tl_err err = tl_transaction_init(&writer->txn, database);
	if (err != TL_OK) {
		free(writer);
		return err;
	}
	if ((err = init(writer)) != TL_OK) {
		tl_transaction_fini(&writer->txn);
		free(writer);
		return err;
	}
	*writer_out = writer;
	return TL_OK;
}

void tl_writer_close(struct tl_writer *writer)
{
	if (!writer)
		return;
	pthread_mutex_lock(&writer->lock);
	atomic_store(&writer->stop, true);
	pthread_cond_broadcast(&writer->stopping);
	pthread_mutex_unlock(&writer->lock);
	tl_ingest_queue_wake(writer->queue);
	pthread_join(writer->thread, NULL);
	tl_transaction_fini(&writer->txn);
	pthread_cond_destroy(&writer->stopping);
	pthread_mutex_destroy(&writer->lock);
	free(writer);
}

void tl_writer_try(struct tl_writer *writer)
{
	atomic_store(&writer->trial, true);
	tl_ingest_queue_wake(writer->queue);
}

struct tl_writer_stats tl_writer_stats(const struct tl_writer *writer)
{
	return (struct tl_writer_stats){
		.records = atomic_load_explicit(&writer->records, memory_order_relaxed),
		.messages = atomic_load_explicit(&writer->messages, memory_order_relaxed),
		.inbox_entries = atomic_load_explicit(&writer->inbox_entries, memory_order_relaxed),
		.batches = atomic_load_explicit(&writer->batches, memory_order_relaxed),
		.failures = atomic_load_explicit(&writer->failures, memory_order_relaxed),
		.failing = atomic_load_explicit(&writer->failing, memory_order_relaxed),
	};
}
