/* Writes of the LevelDB engine: batches with their guards, commit, flushing, and dropping ranges.
 *
 * A batch is LevelDB's write batch (puts and deletes in its log format) and a list of guards, which are checked under
 * `commit_mutex`:
 *
 *     commit ── enter ── lock ── an earlier write failed? ── every guard holds? ── leveldb_write ── unlock ── leave
 *
 *   (B1) Every write to the database holds `commit_mutex`, guarded or not. LevelDB lets one writer in at a time anyway.
 *   (B2) A batch that could not hold everything it was given (out of memory) is never written.
 *
 * A batch belongs to one thread at a time; batches of several threads may be committed at once.
 */
#include "engine_leveldb.h"

#include "directory_entries.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	DROP_KEYS = 1000,         /* deletes in one batch: a few milliseconds of LevelDB's time */
	BATCH_HEADER_BYTES = 12,  /* LevelDB: sequence number and count */
	BATCH_CHANGE_BYTES = 3,   /* LevelDB: tag and two lengths, of small items */
};

struct guard {
	struct guard *next;
	struct tl_partition partition;
	bool absent;       /* expects no such key */
	size_t key_len;    /* bytes */
	size_t expected_len; /* bytes */
	char bytes[];      /* the key, then the expected value */
};

struct tl_batch {
	struct tl_engine *engine;
	leveldb_writebatch_t *changes;
	struct guard *guards;
	uint32_t count; /* of puts and deletes */
	size_t bytes;
	bool no_memory; /* (B2) */
};

enum tl_err tl_batch_new(struct tl_engine *engine, struct tl_batch **batch_out)
{
	struct tl_batch *batch = calloc(1, sizeof *batch);
	if (!batch)
		return TL_NO_MEMORY;
	batch->engine = engine;
	batch->changes = leveldb_writebatch_create();
	batch->bytes = BATCH_HEADER_BYTES;
	*batch_out = batch;
	return TL_OK;
}

void tl_batch_fail(struct tl_batch *batch)
{
	batch->no_memory = true;
}

void tl_batch_clear(struct tl_batch *batch)
{
	leveldb_writebatch_clear(batch->changes);
	while (batch->guards) {
		struct guard *guard = batch->guards;
		batch->guards = guard->next;
		free(guard);
	}
	batch->count = 0;
	batch->bytes = BATCH_HEADER_BYTES;
	batch->no_memory = false;
}

void tl_batch_free(struct tl_batch *batch)
{
	if (!batch)
		return;
	tl_batch_clear(batch);
	leveldb_writebatch_destroy(batch->changes);
	free(batch);
}

static void count_change(struct tl_batch *batch, size_t bytes)
{
	batch->count++;
	batch->bytes += BATCH_CHANGE_BYTES + bytes;
}

void tl_batch_put(struct tl_batch *batch, struct tl_partition partition, struct tl_slice key, struct tl_slice value)
{
	struct tl_db_key db_key;
	if (tl_db_key_init(&db_key, partition, key) != TL_OK) {
		batch->no_memory = true;
		return;
	}
	leveldb_writebatch_put(batch->changes, db_key.bytes, db_key.len, value.len ? value.ptr : "", value.len);
	count_change(batch, db_key.len + value.len);
	tl_db_key_fini(&db_key);
}

void tl_batch_delete(struct tl_batch *batch, struct tl_partition partition, struct tl_slice key)
{
	struct tl_db_key db_key;
	if (tl_db_key_init(&db_key, partition, key) != TL_OK) {
		batch->no_memory = true;
		return;
	}
	leveldb_writebatch_delete(batch->changes, db_key.bytes, db_key.len);
	count_change(batch, db_key.len);
	tl_db_key_fini(&db_key);
}

void tl_batch_guard(struct tl_batch *batch, struct tl_partition partition, struct tl_slice key,
                    const struct tl_slice *expected)
{
	size_t expected_len = expected ? expected->len : 0;
	struct guard *guard = malloc(sizeof *guard + key.len + expected_len);
	if (!guard) {
		batch->no_memory = true;
		return;
	}
	*guard = (struct guard){.next = batch->guards, .partition = partition, .absent = !expected,
	                        .key_len = key.len, .expected_len = expected_len};
	if (key.len)
		memcpy(guard->bytes, key.ptr, key.len);
	if (expected_len)
		memcpy(guard->bytes + key.len, expected->ptr, expected_len);
	batch->guards = guard;
}

uint32_t tl_batch_count(const struct tl_batch *batch)
{
	return batch->count;
}

size_t tl_batch_bytes(const struct tl_batch *batch)
{
	return batch->bytes;
}

/* --- commit --- */

/* Within a use. TL_OK: the guard holds; TL_CONFLICT; or the read failed. */
static enum tl_err check_guard(struct tl_engine *engine, const struct guard *guard)
{
	struct tl_db_key db_key;
	enum tl_err err = tl_db_key_init(&db_key, guard->partition, tl_slice(guard->bytes, guard->key_len));
	if (err)
		return err;
	char *message = NULL;
	size_t len = 0;
	char *value = leveldb_get(engine->db, engine->read_present, db_key.bytes, db_key.len, &len, &message);
	tl_db_key_fini(&db_key);
	err = tl_db_error_take(message, "read", NULL);
	if (err)
		return err;
	struct tl_slice expected = tl_slice(guard->bytes + guard->key_len, guard->expected_len);
	bool holds = value ? !guard->absent && tl_slice_equal(expected, tl_slice(value, len)) : guard->absent;
	free(value);
	return holds ? TL_OK : TL_CONFLICT;
}

static enum tl_err check_guards(struct tl_engine *engine, const struct guard *guard, struct tl_why *why)
{
	for (; guard; guard = guard->next) {
		enum tl_err err = check_guard(engine, guard);
		if (err)
			return tl_fail(why, err, "%s", tl_err_text(err));
	}
	return TL_OK;
}

/* With commit_mutex held. */
static enum tl_err write_locked(struct tl_engine *engine, const struct tl_batch *batch, bool sync, struct tl_why *why)
{
	if (engine->write_error)
		return tl_fail(why, engine->write_error, "an earlier write failed, the database must be reopened first");
	enum tl_err err = check_guards(engine, batch->guards, why);
	if (err)
		return err;
	char *message = NULL;
	leveldb_write(engine->db, sync ? engine->write_synced : engine->write_unsynced, batch->changes, &message);
	enum tl_err written = tl_db_error_take(message, "write to the database", why);
	/* Damage that a merge has met makes LevelDB refuse what has nothing to do with it. */
	return engine->write_error = written == TL_CORRUPT ? TL_IO : written;
}

/* Within a use: checks and writes in one step (B1). */
static enum tl_err write_batch(struct tl_engine *engine, const struct tl_batch *batch, bool sync, struct tl_why *why)
{
	if (batch->no_memory)
		return tl_fail(why, TL_NO_MEMORY, "out of memory");
	pthread_mutex_lock(&engine->commit_mutex);
	enum tl_err err = write_locked(engine, batch, sync, why);
	pthread_mutex_unlock(&engine->commit_mutex);
	return err;
}

enum tl_err tl_engine_commit(struct tl_engine *engine, struct tl_batch *batch, bool sync, struct tl_why *why)
{
	assert(batch->engine == engine);
	enum tl_err err = tl_engine_enter(engine);
	if (err)
		return tl_fail(why, err, "the database is closed after a failure");
	err = write_batch(engine, batch, sync, why);
	tl_engine_leave(engine);
	return err;
}

/* --- flushing --- */

/* LevelDB syncs tables and manifests itself. A log that is gone meanwhile has become a table. */
static int sync_log(DIR *dir, const char *name)
{
	int fd = openat(dirfd(dir), name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -1;
	int result = fsync(fd), error = errno;
	close(fd);
	errno = error;
	return result;
}

static int sync_logs(DIR *dir)
{
	errno = 0;
	for (const struct dirent *entry; (entry = readdir(dir)); errno = 0) {
		const char *suffix = strrchr(entry->d_name, '.');
		if (suffix && strcmp(suffix, ".log") == 0 && sync_log(dir, entry->d_name) != 0)
			return -1;
	}
	return errno ? -1 : 0;
}

enum tl_err tl_engine_flush(struct tl_engine *engine, struct tl_why *why)
{
	DIR *dir = opendir(engine->path);
	bool ok = dir && sync_logs(dir) == 0 && tl_directory_entries_sync(engine->lock_fd) == 0;
	enum tl_err err = ok ? TL_OK : tl_db_errno_fail("flush the directory", engine->path, why);
	if (dir)
		closedir(dir);
	return err;
}

/* --- dropping ranges --- */

/* A drop under way: each step deletes from `next` on, and moves it. */
struct dropping {
	struct tl_engine *engine;
	struct tl_partition partition;
	struct tl_slice next; /* the caller's `from` at first, then `next_copy` */
	struct tl_slice to;
	char *next_copy;
	struct tl_batch *batch; /* of the step at hand */
	uint64_t bytes;         /* that it drops */
	bool finished;          /* the range is empty */
};

static enum tl_err remember_next(struct dropping *drop, struct tl_slice key)
{
	char *copy = malloc(key.len ? key.len : 1);
	if (!copy)
		return TL_NO_MEMORY;
	if (key.len)
		memcpy(copy, key.ptr, key.len);
	free(drop->next_copy);
	drop->next_copy = copy;
	drop->next = tl_slice(copy, key.len);
	return TL_OK;
}

/* Deletes up to `limit` keys in one batch. The iterator lives for one step only: an old one would keep LevelDB from
 * freeing what it deletes, and reopen waiting. It goes on where the step before ended, because everything ahead of
 * that is tombstones to wade through. */
static enum tl_err drop_step(struct dropping *drop, uint64_t limit)
{
	struct tl_iter *iter;
	enum tl_err err = tl_iter_new(drop->engine, NULL, drop->partition, false, &iter);
	if (err)
		return err;
	tl_batch_clear(drop->batch);
	drop->bytes = 0;
	tl_iter_pass_damage(iter);
	bool more = tl_iter_seek(iter, drop->next);
	for (; more && !drop->batch->no_memory && drop->batch->count < limit; more = tl_iter_next(iter)) {
		if (drop->to.len && tl_slice_compare(tl_iter_key(iter), drop->to) >= 0)
			break;
		tl_batch_delete(drop->batch, drop->partition, tl_iter_key(iter));
		drop->bytes += tl_iter_key(iter).len + tl_iter_value(iter).len;
	}
	err = drop->batch->no_memory ? TL_NO_MEMORY : tl_iter_error(iter);
	if (err == TL_CORRUPT)
		err = TL_OK;
	drop->finished = !more || drop->batch->count < limit;
	if (!err && !drop->finished)
		err = remember_next(drop, tl_iter_key(iter));
	/* The iterator is a use, and covers the write. */
	if (!err && drop->batch->count > 0)
		err = write_batch(drop->engine, drop->batch, false, NULL);
	tl_iter_free(iter);
	return err;
}

static enum tl_err drop_all(struct dropping *dropping, struct tl_drop *drop)
{
	uint64_t deleted = 0;
	while (!dropping->finished && deleted < drop->limit) {
		uint64_t left = drop->limit - deleted;
		enum tl_err err = drop_step(dropping, left < DROP_KEYS ? left : DROP_KEYS);
		if (err)
			return err;
		uint64_t count = dropping->batch->count;
		deleted += count;
		drop->keys += count;
		drop->bytes += dropping->bytes + count * TL_DB_PREFIX_MAX;
		if (!dropping->finished && drop->go_on && !drop->go_on(drop->ctx))
			return TL_CLOSED;
	}
	return TL_OK;
}

enum tl_err tl_engine_drop_range(struct tl_engine *engine, struct tl_partition partition, struct tl_slice from,
                                 struct tl_slice to, struct tl_drop *drop)
{
	struct dropping dropping = {.engine = engine, .partition = partition, .next = from, .to = to};
	enum tl_err err = tl_batch_new(engine, &dropping.batch);
	if (err)
		return err;
	err = drop_all(&dropping, drop);
	tl_batch_free(dropping.batch);
	free(dropping.next_copy);
	return err;
}
