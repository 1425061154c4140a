#include "read_ahead.h"

#include "id.h"
#include "inbox.h"
#include "timeline.h"
#include "worker_pool.h"

#include <stdatomic.h>
#include <stdlib.h>

enum {
	FAR_BYTES = 32 * 1024, /* of the queue: so far it looks … */
	NEAR_BYTES = FAR_BYTES / 2, /* … as soon as there are fewer left */
	JOBS_MAX = 256,
	RARELY = 8, /* it looks if one in so many messages was to a conversation that was not at hand */
};

struct tl_read_ahead {
	struct tl_ingest_queue *queue;
	const struct tl_transaction *txn;
	struct tl_engine *engine;
	struct tl_worker_pool *pool;
	uint64_t looked; /* position in the queue */
	uint64_t loaded; /* conversations that the writer had read when the last batch was applied */
	bool useful;
	_Atomic uint64_t next;
};

/* What one message needs. */
struct reading {
	struct tl_job job;
	struct tl_read_ahead *ahead;
	uint64_t position;
	bool inboxes[2]; /* of a direct chat's users, in the order of their ids */
	size_t cid_len;
	char cid[];
};

/* --- on the threads --- */

static void read_head(struct tl_engine *engine, struct tl_iter *iter, struct tl_partition timeline)
{
	uint64_t head;
	char *last;
	size_t last_len;
	if (tl_timeline_head(engine, NULL, iter, timeline, &head, &last, &last_len) == TL_OK)
		free(last);
}

static void read(struct tl_engine *engine, const struct reading *reading)
{
	struct tl_conversation_name name;
	struct tl_bounds bounds;
	struct tl_iter *iter;
	if (tl_conversation_name(engine, NULL, tl_slice(reading->cid, reading->cid_len), &name) != TL_OK)
		return;
	const struct tl_partition timeline = tl_partition(TL_PART_STORE, name.no);
	if (tl_iter_new(engine, NULL, timeline, true, &iter) != TL_OK)
		return;
	read_head(engine, iter, timeline);
	for (size_t i = 0; i < 2; i++)
		if (reading->inboxes[i] && name.users[i] > 0 && tl_inbox_bounds(iter, name.users[i], &bounds, NULL) != TL_OK)
			break; /* the writer will see it */
	tl_iter_free(iter);
}

static void discard(struct tl_job *job)
{
	free(job);
}

static void run(struct tl_job *job)
{
	const struct reading *reading = (const struct reading *)job;
	if (reading->position > atomic_load_explicit(&reading->ahead->next, memory_order_relaxed))
		read(reading->ahead->engine, reading);
	free(job);
}

/* --- on the writer's --- */

static void submit(struct tl_read_ahead *ahead, uint64_t position, struct tl_slice cid, const bool inboxes[2])
{
	struct reading *reading = malloc(sizeof *reading + cid.len);
	if (!reading)
		return;
	*reading = (struct reading){.job = {.run = run, .discard = discard},
	                            .ahead = ahead,
	                            .position = position,
	                            .inboxes = {inboxes[0], inboxes[1]},
	                            .cid_len = cid.len};
	memcpy(reading->cid, cid.ptr, cid.len);
	if (tl_worker_pool_submit(ahead->pool, &reading->job) != TL_OK)
		free(reading);
}

static void look_at(struct tl_read_ahead *ahead, uint64_t position, struct tl_slice bytes)
{
	char direct[TL_DIRECT_ID_MAX];
	struct tl_ingest_record record;
	struct tl_slice users[2];
	bool inboxes[2] = {false, false};
	if (!tl_ingest_record_unpack(bytes, &record) || record.kind != TL_INGEST_SEND)
		return;
	struct tl_slice cid = record.to_user ? tl_direct_id(record.user, record.target, direct) : record.target;
	if (tl_conversations_have(&ahead->txn->conversations, cid))
		return;
	if (tl_direct_id_parse(cid, &users[0], &users[1]))
		for (size_t i = 0; i < 2; i++)
			inboxes[i] = !tl_users_have(&ahead->txn->users, users[i]);
	submit(ahead, position, cid, inboxes);
}

void tl_read_ahead_look(struct tl_read_ahead *ahead, uint64_t next)
{
	uint64_t position, after;
	struct tl_slice bytes;
	if (!ahead->useful)
		return;
	atomic_store_explicit(&ahead->next, next, memory_order_relaxed);
	if (ahead->looked > next + NEAR_BYTES)
		return;
	if (ahead->looked < next)
		ahead->looked = next;
	while (ahead->looked < next + FAR_BYTES) {
		position = ahead->looked;
		if (tl_ingest_queue_read(ahead->queue, &position, &bytes, &after) != TL_OK)
			return;
		if (position > next)
			look_at(ahead, position, bytes);
		ahead->looked = after;
	}
}

void tl_read_ahead_learn(struct tl_read_ahead *ahead, uint64_t records)
{
	uint64_t loaded = ahead->txn->conversations.loaded;
	ahead->useful = (loaded - ahead->loaded) * RARELY > records;
	ahead->loaded = loaded;
}

enum tl_err tl_read_ahead_open(struct tl_ingest_queue *queue, struct tl_transaction *txn, unsigned threads,
                               struct tl_read_ahead **ahead_out)
{
	struct tl_read_ahead *ahead = calloc(1, sizeof *ahead);
	if (!ahead)
		return TL_NO_MEMORY;
	ahead->queue = queue;
	ahead->txn = txn;
	ahead->engine = txn->database->engine;
	enum tl_err err = tl_worker_pool_open("timeline ahead", threads, JOBS_MAX, &ahead->pool);
	if (err != TL_OK) {
		free(ahead);
		return err;
	}
	*ahead_out = ahead;
	return TL_OK;
}

void tl_read_ahead_close(struct tl_read_ahead *ahead)
{
	if (!ahead)
		return;
	tl_worker_pool_close(ahead->pool);
	free(ahead);
}
