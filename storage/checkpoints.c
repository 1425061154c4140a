#include "checkpoints.h"

#include "expiry.h"

#include <stdlib.h>
#include <uthash.h>

struct tl_checkpoint {
	struct tl_device_record record;
	UT_hash_handle hh;
	size_t key_len;
	unsigned char key[]; /* user number, then the device's id */
};

enum tl_err tl_checkpoints_init(struct tl_checkpoints *checkpoints)
{
	*checkpoints = (struct tl_checkpoints){0};
	return pthread_mutex_init(&checkpoints->lock, NULL) == 0 ? TL_OK : TL_NO_MEMORY;
}

static void clear(struct tl_checkpoint **map)
{
	struct tl_checkpoint *checkpoint, *next;
	HASH_ITER(hh, *map, checkpoint, next)
	{
		HASH_DEL(*map, checkpoint);
		free(checkpoint);
	}
}

void tl_checkpoints_fini(struct tl_checkpoints *checkpoints)
{
	clear(&checkpoints->pending);
	clear(&checkpoints->in_batch);
	pthread_mutex_destroy(&checkpoints->lock);
}

static struct tl_checkpoint *checkpoint_new(uint64_t user_no, struct tl_slice device)
{
	struct tl_checkpoint *checkpoint = calloc(1, sizeof *checkpoint + sizeof user_no + device.len);
	if (!checkpoint)
		return NULL;
	checkpoint->key_len = sizeof user_no + device.len;
	memcpy(checkpoint->key, &user_no, sizeof user_no);
	memcpy(checkpoint->key + sizeof user_no, device.ptr, device.len);
	return checkpoint;
}

static void insert(struct tl_checkpoint **map, struct tl_checkpoint *checkpoint)
{
	struct tl_checkpoint *old;
	HASH_REPLACE(hh, *map, key, checkpoint->key_len, checkpoint, old);
	free(old);
}

void tl_checkpoints_note(struct tl_checkpoints *checkpoints, uint64_t user_no, struct tl_slice device, uint64_t after,
                         uint64_t now)
{
	struct tl_checkpoint *checkpoint = checkpoint_new(user_no, device);
	if (!checkpoint)
		return;
	checkpoint->record = (struct tl_device_record){.checkpoint = after, .seen = now, .life = checkpoints->life};
	pthread_mutex_lock(&checkpoints->lock);
	bool first = !checkpoints->pending;
	insert(&checkpoints->pending, checkpoint);
	pthread_mutex_unlock(&checkpoints->lock);
	if (first && checkpoints->queue)
		tl_ingest_queue_wake(checkpoints->queue);
}

static bool find_in_memory(struct tl_checkpoints *checkpoints, const struct tl_checkpoint *wanted, uint64_t *after_out)
{
	struct tl_checkpoint *found;
	pthread_mutex_lock(&checkpoints->lock);
	HASH_FIND(hh, checkpoints->pending, wanted->key, wanted->key_len, found);
	if (!found)
		HASH_FIND(hh, checkpoints->in_batch, wanted->key, wanted->key_len, found);
	if (found)
		*after_out = found->record.checkpoint;
	pthread_mutex_unlock(&checkpoints->lock);
	return found != NULL;
}

enum tl_err tl_checkpoints_find(struct tl_checkpoints *checkpoints, struct tl_engine *engine, uint64_t user_no,
                                struct tl_slice device, uint64_t ttl_ms, uint64_t now, uint64_t *after_out)
{
	struct tl_device_record record;
	char *value;
	size_t len;
	struct tl_checkpoint *wanted = checkpoint_new(user_no, device);
	if (!wanted)
		return TL_NO_MEMORY;
	bool found = find_in_memory(checkpoints, wanted, after_out);
	free(wanted);
	if (found)
		return TL_OK;
	enum tl_err err = tl_engine_get(engine, NULL, tl_partition(TL_PART_DEVICES, user_no), device, &value, &len);
	if (err != TL_OK)
		return err;
	bool ok = tl_device_record_unpack(tl_slice(value, len), &record);
	free(value);
	if (!ok)
		return TL_CORRUPT;
	if (record.life != checkpoints->life || tl_expired(record.seen, ttl_ms, now))
		return TL_NOT_FOUND;
	*after_out = record.checkpoint;
	return TL_OK;
}

static bool is_of(const struct tl_checkpoint *checkpoint, uint64_t user_no)
{
	return memcmp(checkpoint->key, &user_no, sizeof user_no) == 0;
}

static struct tl_slice device_of(const struct tl_checkpoint *checkpoint)
{
	return tl_slice(checkpoint->key + sizeof(uint64_t), checkpoint->key_len - sizeof(uint64_t));
}

void tl_checkpoints_each(struct tl_checkpoints *checkpoints, uint64_t user_no,
                         void (*each)(void *ctx, struct tl_slice device, const struct tl_device_record *record),
                         void *ctx)
{
	struct tl_checkpoint *checkpoint, *next, *newer;
	pthread_mutex_lock(&checkpoints->lock);
	HASH_ITER(hh, checkpoints->pending, checkpoint, next)
	if (is_of(checkpoint, user_no))
		each(ctx, device_of(checkpoint), &checkpoint->record);
	HASH_ITER(hh, checkpoints->in_batch, checkpoint, next)
	{
		HASH_FIND(hh, checkpoints->pending, checkpoint->key, checkpoint->key_len, newer);
		if (!newer && is_of(checkpoint, user_no))
			each(ctx, device_of(checkpoint), &checkpoint->record);
	}
	pthread_mutex_unlock(&checkpoints->lock);
}

static uint64_t user_of(const struct tl_checkpoint *checkpoint)
{
	uint64_t user_no;
	memcpy(&user_no, checkpoint->key, sizeof user_no);
	return user_no;
}

static void put(struct tl_batch *batch, struct tl_pack *pack, const struct tl_checkpoint *checkpoint)
{
	tl_pack_clear(pack);
	tl_device_record_pack(pack, &checkpoint->record);
	tl_batch_put_pack(batch, tl_partition(TL_PART_DEVICES, user_of(checkpoint)), device_of(checkpoint), pack);
}

void tl_checkpoints_collect(struct tl_checkpoints *checkpoints, struct tl_batch *batch, struct tl_due *due,
                            uint64_t ttl_ms)
{
	struct tl_checkpoint *checkpoint, *next;
	struct tl_pack pack;

	tl_pack_init(&pack);
	pthread_mutex_lock(&checkpoints->lock);
	/* What a failed batch left behind goes along again, unless there is something newer. */
	HASH_ITER(hh, checkpoints->pending, checkpoint, next)
	{
		HASH_DEL(checkpoints->pending, checkpoint);
		insert(&checkpoints->in_batch, checkpoint);
	}
	HASH_ITER(hh, checkpoints->in_batch, checkpoint, next)
	{
		put(batch, &pack, checkpoint);
		tl_due_put(due, batch, TL_DUE_DEVICES, tl_due_device_time(checkpoint->record.seen, ttl_ms),
		           user_of(checkpoint));
	}
	pthread_mutex_unlock(&checkpoints->lock);
	tl_pack_fini(&pack);
}

void tl_checkpoints_settle(struct tl_checkpoints *checkpoints, bool committed)
{
	if (!committed)
		return;
	pthread_mutex_lock(&checkpoints->lock);
	clear(&checkpoints->in_batch);
	pthread_mutex_unlock(&checkpoints->lock);
}

bool tl_checkpoints_pending(struct tl_checkpoints *checkpoints)
{
	pthread_mutex_lock(&checkpoints->lock);
	bool pending = checkpoints->pending != NULL || checkpoints->in_batch != NULL;
	pthread_mutex_unlock(&checkpoints->lock);
	return pending;
}
