#include "store.h"

#include "back_pressure.h"
#include "clock.h"
#include "disk_space.h"
#include "index_coverage.h"
#include "queue_segment.h"
#include "timeline.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	SEGMENT_BYTES = 4 * 1024 * 1024, /* small, so that space comes back soon */
	BATCH_KEYS = 4000,
	BATCH_BYTES = 4 * 1024 * 1024,
	STANDINGS = 65536,               /* cached answers of tl_store_standing */
	WRITE_BUFFER_MIN = 256 * 1024,
	TABLE_MIN = 2 * 1024 * 1024,
	TABLE_MAX = 8 * 1024 * 1024,
	BLOOM_BITS = 10,
	TRY_AGAIN_MS = 1000,             /* how often the writer has to try whether it can write, while messages are refused */
	REST_MS = 5000,                  /* of upkeep, between looks where nothing is due … */
	REST_OTHER_CLOCK_MS = 5,         /* … with a clock that was handed in, which may be set */
	DAMAGED = 64,                    /* damaged conversations of which it is known that they have been complained of */
	MEMBERS_PER_CONVERSATION = 8,    /* cached members for each cached conversation, on average */
};

struct tl_store {
	struct tl_store_options options;
	struct tl_database database;
	struct tl_lifetime lifetime;
	struct tl_ingest_queue *queue;
	struct tl_checkpoints checkpoints;
	struct tl_chores chores;
	struct tl_due_board due;
	struct tl_membership_versions versions;
	struct tl_membership *membership; /* front thread's */
	struct tl_indexer *indexer; /* NULL: nothing is indexed */
	struct tl_writer *writer;
	struct tl_upkeep *upkeep;
	struct tl_disk_space disk;   /* front thread's */
	struct tl_back_pressure pressure; /* front thread's */
	_Atomic uint64_t damaged[DAMAGED]; /* numbers of conversations that were said to be damaged: the last one in each place */
	bool refusing;               /* front thread's: the last submission was refused */
	uint64_t tried_ms;           /* front thread's: when the writer was last told to try, because the disk is nearly full */
	struct tl_pack pack;         /* front thread's scratch */
};

/* --- opening --- */

static enum tl_err check_directory(const char *dir, struct tl_why *why)
{
	struct stat st;
	if (stat(dir, &st) != 0)
		return tl_fail(why, TL_IO, "the data directory %s: %s", dir, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return tl_fail(why, TL_IO, "the data directory %s: is not a directory", dir);
	if (access(dir, R_OK | W_OK | X_OK) != 0)
		return tl_fail(why, TL_IO, "the data directory %s: %s", dir, strerror(errno));
	return TL_OK;
}

/* What is asked for, but on a small disk no more than a sixteenth of what is free: the database writes it twice before
 * it can drop the first copy. */
static uint64_t write_buffer(const struct tl_store *store, uint64_t free_bytes)
{
	uint64_t most = free_bytes / 16 > WRITE_BUFFER_MIN ? free_bytes / 16 : WRITE_BUFFER_MIN;
	return store->options.write_buffer_bytes < most ? store->options.write_buffer_bytes : most;
}

/* Large ones, so that few have to be open at once; but merging one writes it and some ten others anew before any of them
 * can be deleted. */
static uint64_t table_size(uint64_t free_bytes)
{
	uint64_t most = free_bytes / 64;
	return most < TABLE_MIN ? TABLE_MIN : most > TABLE_MAX ? TABLE_MAX : most;
}

/* Whether something that was accepted has been stored: the queue begins with position 1, and lets go of what is stored. */
static enum tl_err has_stored(const char *queue, bool *stored_out, struct tl_why *why)
{
	uint64_t *firsts = NULL;
	size_t count = 0;
	int fd = open(queue, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno != ENOENT)
		return tl_fail(why, TL_IO, "cannot open the directory %s: %s", queue, strerror(errno));
	enum tl_err err = fd < 0 ? TL_OK : tl_queue_segment_list(fd, &firsts, &count, why);
	if (fd >= 0)
		close(fd);
	if (err == TL_OK)
		*stored_out = count > 0 && firsts[0] > 1;
	free(firsts);
	return err;
}

static enum tl_err open_database(struct tl_store *store, struct tl_why *why)
{
	char path[PATH_MAX];
	bool stored = false;
	uint64_t free_bytes = UINT64_MAX;
	if (snprintf(path, sizeof path, "%s/queue", store->options.dir) >= (int)sizeof path)
		return tl_fail(why, TL_IO, "the data directory's name is too long");
	enum tl_err err = has_stored(path, &stored, why);
	if (err != TL_OK)
		return err;
	tl_disk_space_init(&store->disk, store->options.dir, &free_bytes);
	if (snprintf(path, sizeof path, "%s/db", store->options.dir) >= (int)sizeof path)
		return tl_fail(why, TL_IO, "the data directory's name is too long");
	const struct tl_engine_options options = {
		.path = path,
		.cache_bytes = store->options.block_cache_bytes,
		.write_buffer_bytes = write_buffer(store, free_bytes),
		.table_bytes = table_size(free_bytes),
		.max_open_files = (int)store->options.open_tables,
		.bloom_bits = BLOOM_BITS,
		.compress = true,
		.durable = store->options.durability != TL_DURABILITY_OS,
		.must_exist = stored,
	};
	err = tl_database_open(&options, &store->database, why);
	if (err == TL_LOCKED)
		tl_fail(why, err, "the data directory %s is in use already: by another process, or the plugin is loaded twice",
		        store->options.dir);
	return err;
}

static enum tl_err begin_run(struct tl_store *store, struct tl_why *why)
{
	const struct tl_lifetime_options options = {
		.dir = store->options.dir,
		.durability = store->options.durability,
		.boot_id = store->options.boot_id,
		.events = store->options.events,
	};
	enum tl_err err = tl_lifetime_begin(&store->database, &options, &store->lifetime, why);
	store->checkpoints.life = store->database.life;
	return err;
}

static void warn_of_loss(struct tl_store *store, uint64_t lost_bytes)
{
	char text[160];
	if (lost_bytes == 0)
		return;
	snprintf(text, sizeof text,
	         "the ingest queue or the database's log is damaged: %" PRIu64 " bytes of accepted messages cannot be read",
	         lost_bytes);
	store->options.events.log(store->options.events.ctx, TL_LOG_ERROR, text);
}

static enum tl_err open_queue(struct tl_store *store, struct tl_why *why)
{
	char path[PATH_MAX];
	uint64_t watermark, lost_bytes = 0;
	enum tl_err err = tl_database_read_uint(&store->database, TL_META_WATERMARK, &watermark);
	if (err != TL_OK)
		return tl_fail(why, err, "the database cannot be read: %s", tl_err_text(err));
	if (snprintf(path, sizeof path, "%s/queue", store->options.dir) >= (int)sizeof path)
		return tl_fail(why, TL_IO, "the data directory's name is too long");
	const struct tl_ingest_queue_options options = {
		.dir = path,
		.max_bytes = store->options.queue_max_bytes,
		.segment_bytes = store->options.queue_segment_bytes ? store->options.queue_segment_bytes : SEGMENT_BYTES,
		.sync = store->options.durability == TL_DURABILITY_STRICT,
	};
	err = tl_ingest_queue_open(&options, watermark, &store->queue, &lost_bytes, why);
	warn_of_loss(store, lost_bytes);
	return err;
}

static enum tl_err open_indexer(struct tl_store *store, struct tl_why *why)
{
	const struct tl_indexer_options options = {.dir = store->options.dir, .events = store->options.events};
	enum tl_err err = tl_index_coverage_update(&store->database, store->options.limits.search);
	if (err == TL_OK && store->options.limits.search)
		err = tl_indexer_open(&store->database, &options, &store->indexer);
	return err == TL_OK ? TL_OK : tl_fail(why, err, "the indexer cannot start: %s", tl_err_text(err));
}

static enum tl_err open_writer(struct tl_store *store, struct tl_why *why)
{
	const struct tl_writer_options options = {
		.sync = store->options.durability != TL_DURABILITY_OS,
		.limits = &store->options.limits,
		.due = &store->due,
		.batch_keys = BATCH_KEYS,
		.batch_bytes = BATCH_BYTES,
		.cached_users = store->options.cached_users,
		.cached_conversations = store->options.cached_conversations,
		.cached_members = store->options.cached_conversations * MEMBERS_PER_CONVERSATION,
		.indexer = store->indexer,
		.events = store->options.events,
	};
	enum tl_err err = tl_writer_open(&store->database, store->queue, &store->checkpoints, &store->chores,
	                                 &store->versions, &options, &store->writer);
	return err == TL_OK ? TL_OK : tl_fail(why, err, "the writer cannot start: %s", tl_err_text(err));
}

static enum tl_err make_upkeep(struct tl_store *store, struct tl_why *why)
{
	const struct tl_upkeep_options options = {
		.dir = store->options.dir,
		.limits = &store->options.limits,
		.now = store->options.now ? store->options.now : tl_now_ms,
		.rest_max_ms = store->options.now ? REST_OTHER_CLOCK_MS : REST_MS,
		.events = store->options.events,
	};
	enum tl_err err = tl_upkeep_new(&store->database, &store->chores, store->queue, &store->due, &options,
	                                &store->upkeep);
	return err == TL_OK ? TL_OK : tl_fail(why, err, "the options cannot be noted: %s", tl_err_text(err));
}

static enum tl_err open_parts(struct tl_store *store, struct tl_why *why)
{
	tl_due_board_init(&store->due);
	enum tl_err err = tl_checkpoints_init(&store->checkpoints);
	if (err == TL_OK)
		err = tl_chores_init(&store->chores);
	if (err != TL_OK)
		return err;
	if ((err = check_directory(store->options.dir, why)) != TL_OK || (err = open_database(store, why)) != TL_OK ||
	    (err = begin_run(store, why)) != TL_OK || (err = open_queue(store, why)) != TL_OK ||
	    (err = make_upkeep(store, why)) != TL_OK)
		return err;
	err = tl_membership_new(&store->versions, &store->database, STANDINGS, &store->membership);
	if (err == TL_OK)
		err = open_indexer(store, why);
	if (err == TL_OK)
		err = open_writer(store, why);
	return err == TL_OK ? tl_upkeep_start(store->upkeep) : err;
}

enum tl_err tl_store_open(const struct tl_store_options *options, struct tl_store **store_out, struct tl_why *why)
{
	struct tl_store *store = calloc(1, sizeof *store);
	if (!store)
		return tl_fail(why, TL_NO_MEMORY, "out of memory");
	store->options = *options;
	tl_pack_init(&store->pack);
	why->text[0] = '\0';
	enum tl_err err = open_parts(store, why);
	if (err != TL_OK) {
		if (why->text[0] == '\0')
			tl_fail(why, err, "%s", tl_err_text(err));
		tl_store_close(store);
		return err;
	}
	*store_out = store;
	return TL_OK;
}

void tl_store_close(struct tl_store *store)
{
	if (!store)
		return;
	tl_upkeep_stop(store->upkeep);
	tl_writer_close(store->writer);
	tl_indexer_close(store->indexer);
	tl_chores_fini(&store->chores);
	tl_upkeep_free(store->upkeep);
	tl_membership_free(store->membership);
	if (tl_ingest_queue_flush(store->queue) == TL_OK)
		tl_lifetime_end(&store->lifetime, &store->database);
	tl_ingest_queue_close(store->queue);
	tl_database_close(&store->database);
	tl_checkpoints_fini(&store->checkpoints);
	tl_pack_fini(&store->pack);
	free(store);
}

/* --- submitting --- */

/* Not where the writer cannot store at all: then waiting would only slow down everybody else. */
static void slow_down(struct tl_store *store)
{
	uint64_t backlog = tl_ingest_queue_backlog_bytes(store->queue);
	if (tl_back_pressure_wanted(&store->pressure, backlog, store->options.queue_max_bytes) &&
	    !tl_writer_stats(store->writer).failing)
		usleep(TL_BACK_PRESSURE_US);
}

void tl_store_next_turn(struct tl_store *store)
{
	tl_back_pressure_next_turn(&store->pressure);
}

/* Says once when messages begin to be refused, and once when they are taken again. */
static void note_refusal(struct tl_store *store, enum tl_err err)
{
	char text[160];
	bool refusing = err != TL_OK;
	if (refusing == store->refusing)
		return;
	store->refusing = refusing;
	if (refusing)
		snprintf(text, sizeof text, "messages are refused without an ack: %s", tl_err_text(err));
	else
		snprintf(text, sizeof text, "messages are accepted again");
	store->options.events.log(store->options.events.ctx, refusing ? TL_LOG_ERROR : TL_LOG_NOTICE, text);
}

/* The room may be taken by what the database would let go of if it were opened again: so the writer has to find out whether it
 * can still be written, although there is nothing to be stored. */
static enum tl_err refuse_for_room(struct tl_store *store, uint64_t now)
{
	if (now - store->tried_ms >= TRY_AGAIN_MS) {
		store->tried_ms = now;
		tl_writer_try(store->writer);
	}
	return TL_NO_SPACE;
}

static enum tl_err append_parts(struct tl_store *store, const struct tl_slice *parts, size_t count, uint64_t now)
{
	uint64_t position;
	if (tl_disk_space_low(&store->disk, now, parts[0].len + parts[1].len,
	                      tl_ingest_queue_backlog_bytes(store->queue)))
		return refuse_for_room(store, now);
	slow_down(store);
	return tl_ingest_queue_append(store->queue, parts, count, &position);
}

/* Queues what is packed and the payload after it; `now` is in ms. */
static enum tl_err append(struct tl_store *store, struct tl_slice payload, uint64_t now)
{
	const struct tl_slice parts[] = {tl_pack_bytes(&store->pack), payload};
	if (store->pack.failed)
		return TL_NO_MEMORY;
	enum tl_err err = append_parts(store, parts, payload.len > 0 ? 2 : 1, now);
	note_refusal(store, err);
	return err;
}

enum tl_err tl_store_send(struct tl_store *store, const struct tl_submission *from, bool to_user,
                          struct tl_slice target, struct tl_slice client_id, struct tl_message *message,
                          struct tl_slice body)
{
	char made[32];
	const struct tl_ingest_record record = {
		.kind = TL_INGEST_SEND,
		.to_user = to_user,
		.route = from->route,
		.user = from->user,
		.device = from->device,
		.target = target,
		.id = client_id,
	};
	/* The place in the queue is unique for the life of the data directory. */
	message->id = client_id.len ? client_id
	                            : tl_slice(made, (size_t)snprintf(made, sizeof made, "s-%" PRIx64,
	                                                              tl_ingest_queue_end(store->queue)));
	message->body_len = body.len;
	tl_pack_clear(&store->pack);
	tl_ingest_record_pack_head(&store->pack, &record);
	tl_message_pack(&store->pack, message);
	return append(store, body, message->ts);
}

enum tl_err tl_store_change(struct tl_store *store, const struct tl_submission *from, const struct tl_request *request,
                            struct tl_slice args, uint64_t now)
{
	const struct tl_ingest_record record = {
		.kind = TL_INGEST_REQUEST,
		.route = from->route,
		.user = from->user,
		.device = from->device,
		.target = tl_slice_str(request->name),
		.ts = now,
	};
	tl_pack_clear(&store->pack);
	tl_ingest_record_pack_head(&store->pack, &record);
	atomic_fetch_add(&store->versions.pending, request->lets_send);
	enum tl_err err = append(store, args, now);
	if (err != TL_OK)
		atomic_fetch_sub(&store->versions.pending, request->lets_send);
	return err;
}

enum tl_err tl_store_standing(struct tl_store *store, struct tl_slice cid, struct tl_slice user,
                              struct tl_standing *standing_out)
{
	return tl_membership_find(store->membership, cid, user, standing_out);
}

/* --- asking --- */

static void submit_pull(struct tl_store *store, struct tl_pull *pull)
{
	tl_pull_init(pull);
	tl_chores_submit(&store->chores, &pull->chore);
	tl_ingest_queue_wake(store->queue);
}

/* A pull that a thread waits for. */
struct waiting {
	struct tl_pull pull;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool ready; /* guarded by the lock */
};

static void stop_waiting(struct tl_pull *pull)
{
	struct waiting *waiting = (struct waiting *)(void *)pull;
	pthread_mutex_lock(&waiting->lock);
	waiting->ready = true;
	pthread_cond_signal(&waiting->changed);
	pthread_mutex_unlock(&waiting->lock);
}

/* Sets *pull to what is still missing for a request that has been read. */
static void ask_for(struct tl_pull *pull, const struct tl_call *call, const struct tl_answer *answer)
{
	pull->user = call->user;
	pull->after = answer->pull_after;
	pull->limit = answer->pull_limit;
	pull->now = call->now;
}

/* Has the inbox filled up for a call, which learns from where; `floor_out` is what it will point to. */
static enum tl_err fill_up(struct tl_store *store, struct tl_call *call, const struct tl_answer *answer,
                           uint64_t *floor_out)
{
	struct waiting waiting = {.pull = {.ready = stop_waiting}};
	ask_for(&waiting.pull, call, answer);
	pthread_mutex_init(&waiting.lock, NULL);
	pthread_cond_init(&waiting.changed, NULL);
	submit_pull(store, &waiting.pull);
	pthread_mutex_lock(&waiting.lock);
	while (!waiting.ready)
		pthread_cond_wait(&waiting.changed, &waiting.lock);
	pthread_mutex_unlock(&waiting.lock);
	pthread_cond_destroy(&waiting.changed);
	pthread_mutex_destroy(&waiting.lock);
	*floor_out = waiting.pull.floor;
	call->pulled_floor = waiting.pull.taken ? floor_out : NULL;
	return waiting.pull.err;
}

/* Says once, and not for each page, which conversation is damaged. */
static void note_damage(struct tl_store *store, uint64_t conversation_no)
{
	struct tl_conversation_record record = {.cid = tl_slice("", 0)};
	char text[400], *bytes = NULL;
	if (conversation_no == 0 ||
	    atomic_exchange(&store->damaged[conversation_no % DAMAGED], conversation_no) == conversation_no)
		return;
	if (tl_conversation_read(store->database.engine, NULL, conversation_no, &record, &bytes) != TL_OK)
		record.cid = tl_slice("", 0);
	snprintf(text, sizeof text,
	         "damaged data: not everything of conversation %" PRIu64 " ('%.*s') can be read; what cannot is left out",
	         conversation_no, (int)record.cid.len, record.cid.len > 0 ? (const char *)record.cid.ptr : "");
	free(bytes);
	store->options.events.log(store->options.events.ctx, TL_LOG_ERROR, text);
}

static struct tl_reading reading(struct tl_store *store)
{
	return (struct tl_reading){
		.database = &store->database,
		.checkpoints = &store->checkpoints,
		.limits = &store->options.limits,
		.indexer = store->indexer,
	};
}

enum tl_err tl_store_read(struct tl_store *store, const struct tl_request *request, struct tl_call call,
                          struct tl_answer *answer)
{
	const struct tl_reading from = reading(store);
	uint64_t floor;
	enum tl_err err = tl_request_read(request, &from, call, answer);
	while (err == TL_AGAIN)
		if ((err = fill_up(store, &call, answer, &floor)) == TL_OK)
			err = tl_request_read(request, &from, call, answer);
	note_damage(store, answer->damaged);
	return err;
}

enum tl_err tl_store_try_read(struct tl_store *store, const struct tl_request *request, struct tl_call call,
                              struct tl_answer *answer, struct tl_pull *pull)
{
	const struct tl_reading from = reading(store);
	enum tl_err err = pull->err;
	if (pull->taken)
		call.pulled_floor = &pull->floor;
	if (err == TL_OK)
		err = tl_request_read(request, &from, call, answer);
	note_damage(store, answer->damaged);
	if (err != TL_AGAIN)
		return err;
	ask_for(pull, &call, answer);
	submit_pull(store, pull);
	return TL_AGAIN;
}

enum tl_err tl_store_inbox(struct tl_store *store, struct tl_slice user, uint64_t now, struct tl_inbox *inbox_out)
{
	return tl_inbox_with_quiet(store->database.engine, &store->options.limits, now, user, inbox_out);
}

const char *tl_store_epoch(const struct tl_store *store)
{
	return store->database.epoch;
}

enum tl_err tl_store_reindex(struct tl_store *store, struct tl_slice cid)
{
	uint64_t no = 0;
	enum tl_err err = TL_OK;
	if (!store->indexer)
		return TL_UNKNOWN_OP;
	if (cid.len > 0)
		err = tl_conversation_no(store->database.engine, NULL, cid, &no);
	if (err == TL_OK)
		tl_indexer_reindex(store->indexer, no);
	return err;
}

struct tl_indexer *tl_store_indexer(struct tl_store *store)
{
	return store->indexer;
}

struct tl_store_stats tl_store_stats(const struct tl_store *store)
{
	const struct tl_indexer_stats index = tl_indexer_stats(store->indexer);
	return (struct tl_store_stats){
		.writer = tl_writer_stats(store->writer),
		.upkeep = tl_upkeep_stats(store->upkeep),
		.queue_bytes = tl_ingest_queue_backlog_bytes(store->queue),
		.unreadable = tl_engine_unreadable(store->database.engine) + index.unreadable,
		.index = index,
	};
}
