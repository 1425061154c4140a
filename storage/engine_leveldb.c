/* The storage engine over LevelDB: opening and closing, who is using the database, get, snapshots and upkeep.
 * The key layout, the rules of use (L1)–(L4) and what else belongs to this engine are in engine_leveldb.h.
 *
 *     TL_DB_READY ──reopen──► TL_DB_DRAINING ──users 0──► TL_DB_SWAPPING ──opened, or failed (db NULL)──► TL_DB_READY
 *
 * Any thread may call anything here, except open and close (nobody else has the engine then) and reopen (the writer
 * thread). LevelDB's background thread has all signals blocked, whoever opened.
 *
 * LevelDB allocates with C++'s new: when memory runs out inside of it, the process ends.
 */
#include "engine_leveldb.h"

#include "directory_entries.h"
#include "leveldb_env.h"
#include "thread.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
	DRAIN_PATIENCE_MS = 50, /* (L3) */
	BLOCK_BYTES = 8192,     /* what is read at once; a table's index, which is in memory, has an entry for each */
};

/* --- errors --- */

static bool starts_with(const char *text, const char *start)
{
	return strncmp(text, start, strlen(start)) == 0;
}

/* LevelDB ends its messages with strerror's text; a path earlier in the message may contain anything. */
static bool ends_with_errno(const char *text, int errnum)
{
	const char *end = strerror(errnum);
	size_t len = strlen(text), end_len = strlen(end);
	return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

static enum tl_err classify(const char *message)
{
	if (starts_with(message, "Corruption:"))
		return TL_CORRUPT;
	if (ends_with_errno(message, ENOSPC) || ends_with_errno(message, EDQUOT))
		return TL_NO_SPACE;
	if (starts_with(message, "IO error: lock ") &&
	    (strstr(message, "already held") || ends_with_errno(message, EAGAIN) || ends_with_errno(message, EACCES)))
		return TL_LOCKED;
	return TL_IO;
}

enum tl_err tl_db_error_take(char *message, const char *what, struct tl_why *why)
{
	if (!message)
		return TL_OK;
	enum tl_err err = tl_fail(why, classify(message), "cannot %s: %s", what, message);
	leveldb_free(message);
	return err;
}

enum tl_err tl_db_errno_fail(const char *what, const char *path, struct tl_why *why)
{
	int errnum = errno;
	enum tl_err err = errnum == ENOSPC || errnum == EDQUOT ? TL_NO_SPACE : errnum == ENOMEM ? TL_NO_MEMORY : TL_IO;
	return tl_fail(why, err, "cannot %s %s: %s", what, path, strerror(errnum));
}

/* --- keys --- */

size_t tl_db_prefix(unsigned char *out, struct tl_partition partition)
{
	size_t len = 1;
	out[0] = tl_partition_family(partition);
	len += tl_ordered_int_put(out + len, partition.no);
	if (partition.family)
		out[len++] = partition.kind;
	return len;
}

size_t tl_db_prefix_end(unsigned char *out, struct tl_partition partition)
{
	size_t len = tl_db_prefix(out, partition);
	/* Ends at the second byte at the latest: it is the number's length, at most 8. */
	while (out[len - 1] == 0xff)
		len--;
	out[len - 1]++;
	return len;
}

enum tl_err tl_db_key_init(struct tl_db_key *db_key, struct tl_partition partition, struct tl_slice key)
{
	unsigned char prefix[TL_DB_PREFIX_MAX];
	size_t prefix_len = tl_db_prefix(prefix, partition);
	db_key->len = prefix_len + key.len;
	db_key->bytes = db_key->len <= sizeof db_key->stack ? db_key->stack : malloc(db_key->len);
	if (!db_key->bytes)
		return TL_NO_MEMORY;
	memcpy(db_key->bytes, prefix, prefix_len);
	if (key.len)
		memcpy(db_key->bytes + prefix_len, key.ptr, key.len);
	return TL_OK;
}

void tl_db_key_fini(struct tl_db_key *db_key)
{
	if (db_key->bytes != db_key->stack)
		free(db_key->bytes);
}

/* --- uses --- */

/* Called and returns with the mutex held; in between time passes, so look at `db` afterwards. */
static void wait_for_turn(struct tl_engine *engine)
{
	const struct timespec until = tl_thread_deadline(DRAIN_PATIENCE_MS);
	bool patient = true;
	while (engine->state == TL_DB_SWAPPING || (engine->state == TL_DB_DRAINING && patient)) {
		if (engine->state == TL_DB_SWAPPING)
			pthread_cond_wait(&engine->changed, &engine->mutex);
		else
			patient = pthread_cond_timedwait(&engine->changed, &engine->mutex, &until) != ETIMEDOUT;
	}
}

enum tl_err tl_engine_enter(struct tl_engine *engine)
{
	enum tl_err err = TL_OK;
	pthread_mutex_lock(&engine->mutex);
	if (engine->state != TL_DB_READY)
		wait_for_turn(engine);
	if (engine->db)
		engine->users++;
	else
		err = TL_IO;
	pthread_mutex_unlock(&engine->mutex);
	return err;
}

void tl_engine_leave(struct tl_engine *engine)
{
	pthread_mutex_lock(&engine->mutex);
	assert(engine->users > 0);
	engine->users--;
	if (engine->users == 0 && engine->state == TL_DB_DRAINING)
		pthread_cond_broadcast(&engine->changed);
	pthread_mutex_unlock(&engine->mutex);
}

/* --- opening and closing --- */

/* LevelDB makes its one background thread at the first background work it finds, wherever that may be. Let it find
 * some while the signals are blocked, so that the broker's signals always go to the broker's thread: "compacting"
 * the empty key, which nobody has, costs half a millisecond. */
static enum tl_err open_db(struct tl_engine *engine, bool start_thread, leveldb_t **db_out, struct tl_why *why)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	char *message = NULL;
	tl_leveldb_env_begin(engine->env);
	leveldb_t *db = leveldb_open(engine->options, engine->path, &message);
	if (db)
		tl_leveldb_env_opened(engine->env, db);
	if (db && start_thread)
		tl_db_compact(engine, db, tl_slice("", 0), tl_slice("", 0));
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!db)
		return tl_db_error_take(message, "open the database", why);
	*db_out = db;
	/* Should the directory ever vanish, a reopen must not answer with an empty database. */
	leveldb_options_set_create_if_missing(engine->options, 0);
	return TL_OK;
}

static void close_db(struct tl_engine *engine, leveldb_t *db)
{
	tl_leveldb_env_hurry(engine->env);
	leveldb_close(db);
	tl_leveldb_env_calm(engine->env);
}

/* Makes the directory for nobody but its owner, and holds it. LevelDB has a lock of its own, but loses it when the same
 * process tries to open twice (closing any descriptor of a file drops a process's POSIX locks on it). */
static enum tl_err lock_directory(struct tl_engine *engine, const char *path, struct tl_why *why)
{
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return tl_db_errno_fail("make the directory", path, why);
	/* Absolute, so that a later reopen finds it wherever the process has gone. */
	engine->path = realpath(path, NULL);
	if (!engine->path)
		return tl_db_errno_fail("find the directory", path, why);
	engine->lock_fd = open(engine->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (engine->lock_fd < 0)
		return tl_db_errno_fail("open the directory", engine->path, why);
	if (engine->durable && tl_directory_entries_sync(engine->lock_fd) != 0)
		return tl_db_errno_fail("sync the directory", engine->path, why);
	/* Where the file system cannot do this (NFS), LevelDB's lock must do. */
	if (flock(engine->lock_fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
		return tl_fail(why, TL_LOCKED, "%s is in use by another process", engine->path);
	return TL_OK;
}

/* Whether a file of a database holds what was put into it. */
static bool is_data(const char *name)
{
	const char *suffix = strrchr(name, '.');
	return suffix && (strcmp(suffix, ".log") == 0 || strcmp(suffix, ".ldb") == 0 || strcmp(suffix, ".sst") == 0);
}

/* LevelDB makes a database wherever it does not find a file CURRENT, and deletes the files of the one that was there. So it
 * is only allowed to where there is nothing that it could delete. A crash while it made one leaves neither. */
static enum tl_err look_around(struct tl_engine *engine, bool must_exist, struct tl_why *why)
{
	bool any = false, current = false;
	DIR *dir = opendir(engine->path);
	if (!dir)
		return tl_db_errno_fail("read the directory", engine->path, why);
	errno = 0;
	for (const struct dirent *entry; (entry = readdir(dir)); errno = 0) {
		any |= is_data(entry->d_name);
		current |= strcmp(entry->d_name, "CURRENT") == 0;
	}
	enum tl_err err = errno ? tl_db_errno_fail("read the directory", engine->path, why) : TL_OK;
	closedir(dir);
	if (err)
		return err;
	if (!current && any)
		return tl_fail(why, TL_CORRUPT, "the file CURRENT is missing in %s: without it the database cannot be read",
		               engine->path);
	if (!current && must_exist)
		return tl_fail(why, TL_CORRUPT, "there is no database in %s, although there has been one", engine->path);
	leveldb_options_set_create_if_missing(engine->options, !current);
	return TL_OK;
}

/* A file that holds the room for opening again. */
static bool room_path(const struct tl_engine *engine, char path[PATH_MAX])
{
	return snprintf(path, PATH_MAX, "%s/room", engine->path) < PATH_MAX;
}

static void release_room(const struct tl_engine *engine)
{
	char path[PATH_MAX];
	if (room_path(engine, path))
		unlink(path);
}

/* Open tables keep descriptors, which shall not be missing where the process needs them (a broker for its clients). */
static void allow_more_files(int files)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
		return;
	rlim_t wanted = limit.rlim_cur + (rlim_t)files;
	limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static void make_options(struct tl_engine *engine, const struct tl_engine_options *options)
{
	engine->env = tl_leveldb_env_new(tl_db_must_merge, options->durable);
	engine->durable = options->durable && tl_leveldb_env_syncs_logs(engine->env);
	engine->cache = leveldb_cache_create_lru((size_t)options->cache_bytes);
	if (options->bloom_bits > 0)
		engine->filter = tl_db_filter_new(options->bloom_bits);
	engine->options = leveldb_options_create();
	leveldb_options_set_env(engine->options, engine->env);
	leveldb_options_set_paranoid_checks(engine->options, 0);
	leveldb_options_set_cache(engine->options, engine->cache);
	leveldb_options_set_filter_policy(engine->options, engine->filter);
	engine->write_buffer_bytes = options->write_buffer_bytes;
	leveldb_options_set_write_buffer_size(engine->options, (size_t)options->write_buffer_bytes);
	leveldb_options_set_block_size(engine->options, BLOCK_BYTES);
	if (options->table_bytes > 0)
		leveldb_options_set_max_file_size(engine->options, (size_t)options->table_bytes);
	leveldb_options_set_max_open_files(engine->options, options->max_open_files);
	leveldb_options_set_compression(engine->options,
	                                options->compress ? leveldb_snappy_compression : leveldb_no_compression);
	engine->read_present = tl_db_read_options_new(engine, NULL, true);
	engine->write_synced = leveldb_writeoptions_create();
	leveldb_writeoptions_set_sync(engine->write_synced, 1);
	engine->write_unsynced = leveldb_writeoptions_create();
}

static struct tl_engine *engine_new(const struct tl_engine_options *options)
{
	struct tl_engine *engine = calloc(1, sizeof *engine);
	if (!engine)
		return NULL;
	engine->lock_fd = -1;
	make_options(engine, options);
	allow_more_files(options->max_open_files);
	tl_thread_condition_init(&engine->changed);
	pthread_mutex_init(&engine->mutex, NULL);
	pthread_mutex_init(&engine->commit_mutex, NULL);
	return engine;
}

enum tl_err tl_engine_open_leveldb(const struct tl_engine_options *options, struct tl_engine **engine_out,
                                   struct tl_why *why)
{
	struct tl_engine *engine = engine_new(options);
	if (!engine)
		return tl_fail(why, TL_NO_MEMORY, "out of memory");
	enum tl_err err = lock_directory(engine, options->path, why);
	if (err)
		goto done;
	if ((err = look_around(engine, options->must_exist, why)) != TL_OK)
		goto done;
	release_room(engine); /* a crash may have left it */
	err = open_db(engine, true, &engine->db, why);
done:
	if (err)
		tl_engine_close(engine);
	else
		*engine_out = engine;
	return err;
}

void tl_engine_close(struct tl_engine *engine)
{
	if (!engine)
		return;
	assert(engine->users == 0 && engine->state == TL_DB_READY);
	if (engine->db)
		close_db(engine, engine->db);
	leveldb_writeoptions_destroy(engine->write_unsynced);
	leveldb_writeoptions_destroy(engine->write_synced);
	leveldb_readoptions_destroy(engine->read_present);
	leveldb_options_destroy(engine->options);
	if (engine->filter)
		leveldb_filterpolicy_destroy(engine->filter);
	leveldb_cache_destroy(engine->cache);
	tl_leveldb_env_free(engine->env);
	if (engine->lock_fd >= 0)
		close(engine->lock_fd);
	pthread_mutex_destroy(&engine->commit_mutex);
	pthread_mutex_destroy(&engine->mutex);
	pthread_cond_destroy(&engine->changed);
	free(engine->path);
	free(engine);
}

/* Waits until the database is nobody's but ours, and takes it away. */
static leveldb_t *drain(struct tl_engine *engine)
{
	pthread_mutex_lock(&engine->mutex);
	assert(engine->state == TL_DB_READY);
	engine->state = TL_DB_DRAINING;
	while (engine->users > 0)
		pthread_cond_wait(&engine->changed, &engine->mutex);
	engine->state = TL_DB_SWAPPING;
	leveldb_t *db = engine->db;
	engine->db = NULL;
	pthread_mutex_unlock(&engine->mutex);
	return db;
}

enum {
	ROOM_BYTES = 128 * 1024, /* for the manifest and a new log, beside the tables */
	MARGIN_SHARE = 16,       /* of the disk: what must be free beyond that … */
	MARGIN_MIN = 1024 * 1024, /* … at least, and at most */
	MARGIN_MAX = 16 * 1024 * 1024,
};

/* How long the logs are: usually one, but two where the table of the first could not be written any more. */
static uint64_t log_bytes(const struct tl_engine *engine)
{
	uint64_t bytes = 0;
	struct stat st;
	DIR *dir = opendir(engine->path);
	for (const struct dirent *entry; dir && (entry = readdir(dir));) {
		const char *suffix = strrchr(entry->d_name, '.');
		if (suffix && strcmp(suffix, ".log") == 0 && fstatat(dirfd(dir), entry->d_name, &st, 0) == 0)
			bytes += (uint64_t)st.st_size;
	}
	if (dir)
		closedir(dir);
	return bytes;
}

/* Whether somebody else who writes could take the room in the moment between giving it up and opening. */
static bool is_nearly_full(const struct tl_engine *engine, uint64_t bytes)
{
	struct statvfs fs;
	if (statvfs(engine->path, &fs) != 0)
		return false;
	uint64_t margin = (uint64_t)fs.f_blocks * fs.f_frsize / MARGIN_SHARE;
	margin = margin < MARGIN_MIN ? MARGIN_MIN : margin > MARGIN_MAX ? MARGIN_MAX : margin;
	return (uint64_t)fs.f_bavail * fs.f_frsize < bytes + margin;
}

/* Opening writes what the logs hold to tables, which are a little longer. Whether there is room for that is tried out with
 * a file, and the file holds the room until it is needed: a database that is closed and cannot be opened cannot be read
 * either. */
static enum tl_err take_room(const struct tl_engine *engine, struct tl_why *why)
{
	char path[PATH_MAX];
	uint64_t tables = log_bytes(engine) / 4 * 5;
	uint64_t bytes = tables > engine->write_buffer_bytes ? tables : engine->write_buffer_bytes;
	if (!room_path(engine, path))
		return TL_OK;
	if (is_nearly_full(engine, bytes + ROOM_BYTES))
		return tl_fail(why, TL_NO_SPACE, "no room to open the database again");
	int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
	int failed = fd < 0 ? errno : posix_fallocate(fd, 0, (off_t)(bytes + ROOM_BYTES));
	if (fd >= 0)
		close(fd);
	if (failed != ENOSPC)
		return TL_OK;
	unlink(path);
	return tl_fail(why, TL_NO_SPACE, "no room to open the database again");
}

enum tl_err tl_engine_reopen(struct tl_engine *engine, struct tl_why *why)
{
	/* Only the writer thread, which is this one, makes `db` NULL. Then there is nothing to lose. */
	enum tl_err room = engine->db ? take_room(engine, why) : TL_OK;
	if (room != TL_OK)
		return room;
	leveldb_t *db = drain(engine);
	if (db)
		close_db(engine, db);
	db = NULL;
	release_room(engine);
	enum tl_err err = open_db(engine, false, &db, why);
	pthread_mutex_lock(&engine->mutex);
	engine->write_error = TL_OK;
	engine->db = db;
	engine->state = TL_DB_READY;
	pthread_cond_broadcast(&engine->changed);
	pthread_mutex_unlock(&engine->mutex);
	return err;
}

/* --- reads --- */

leveldb_readoptions_t *tl_db_read_options_new(const struct tl_engine *engine, const struct tl_snapshot *snapshot,
                                             bool fill_cache)
{
	leveldb_readoptions_t *options = leveldb_readoptions_create();
	leveldb_readoptions_set_verify_checksums(options, !tl_leveldb_env_checks_blocks(engine->env));
	leveldb_readoptions_set_fill_cache(options, fill_cache);
	leveldb_readoptions_set_snapshot(options, snapshot ? snapshot->view : NULL);
	return options;
}

/* The frozen view, with a use of the engine; NULL where there is none. */
static struct tl_snapshot *hold_frozen(struct tl_engine *engine)
{
	pthread_mutex_lock(&engine->mutex);
	struct tl_snapshot *frozen = engine->frozen;
	if (frozen) {
		frozen->holders++;
		engine->users++;
	}
	pthread_mutex_unlock(&engine->mutex);
	return frozen;
}

enum tl_err tl_snapshot_of_present(struct tl_engine *engine, struct tl_snapshot **snapshot_out)
{
	struct tl_snapshot *snapshot = malloc(sizeof *snapshot);
	if (!snapshot)
		return TL_NO_MEMORY;
	enum tl_err err = tl_engine_enter(engine);
	if (err) {
		free(snapshot);
		return err;
	}
	*snapshot = (struct tl_snapshot){.engine = engine, .view = leveldb_create_snapshot(engine->db), .holders = 1};
	snapshot->options = tl_db_read_options_new(engine, snapshot, true);
	*snapshot_out = snapshot;
	return TL_OK;
}

enum tl_err tl_snapshot_new(struct tl_engine *engine, struct tl_snapshot **snapshot_out)
{
	struct tl_snapshot *present, *frozen = hold_frozen(engine);
	if (frozen) {
		*snapshot_out = frozen;
		return TL_OK;
	}
	enum tl_err err = tl_snapshot_of_present(engine, &present);
	if (err)
		return err;
	/* It may have been frozen before this one was made. */
	if ((frozen = hold_frozen(engine)))
		tl_snapshot_free(present);
	*snapshot_out = frozen ? frozen : present;
	return TL_OK;
}

void tl_snapshot_free(struct tl_snapshot *snapshot)
{
	if (!snapshot)
		return;
	struct tl_engine *engine = snapshot->engine;
	pthread_mutex_lock(&engine->mutex);
	bool last = --snapshot->holders == 0;
	pthread_mutex_unlock(&engine->mutex);
	if (last) {
		leveldb_readoptions_destroy(snapshot->options);
		leveldb_release_snapshot(engine->db, snapshot->view);
		free(snapshot);
	}
	tl_engine_leave(engine);
}

enum tl_err tl_engine_freeze(struct tl_engine *engine)
{
	struct tl_snapshot *snapshot;
	if (!engine->durable)
		return TL_IO;
	enum tl_err err = tl_snapshot_of_present(engine, &snapshot);
	if (err)
		return err;
	pthread_mutex_lock(&engine->mutex);
	assert(!engine->frozen);
	engine->frozen = snapshot;
	pthread_mutex_unlock(&engine->mutex);
	return TL_OK;
}

void tl_engine_thaw(struct tl_engine *engine)
{
	pthread_mutex_lock(&engine->mutex);
	struct tl_snapshot *snapshot = engine->frozen;
	engine->frozen = NULL;
	pthread_mutex_unlock(&engine->mutex);
	tl_snapshot_free(snapshot);
}

enum tl_err tl_engine_get(struct tl_engine *engine, const struct tl_snapshot *snapshot, struct tl_partition partition,
                          struct tl_slice key, char **value_out, size_t *len_out)
{
	assert(!snapshot || snapshot->engine == engine);
	struct tl_db_key db_key;
	enum tl_err err = tl_db_key_init(&db_key, partition, key);
	if (err)
		return err;
	err = snapshot ? TL_OK : tl_engine_enter(engine);
	if (err)
		goto done;
	char *message = NULL;
	size_t len = 0;
	char *value = leveldb_get(engine->db, snapshot ? snapshot->options : engine->read_present, db_key.bytes, db_key.len,
	                          &len, &message);
	if (!snapshot)
		tl_engine_leave(engine);
	err = tl_db_error_take(message, "read", NULL);
	if (err)
		goto done;
	/* An empty value is malloc(0), which glibc and musl answer with a pointer. */
	if (!value) {
		err = TL_NOT_FOUND;
		goto done;
	}
	*value_out = value;
	*len_out = len;
done:
	tl_db_key_fini(&db_key);
	return err;
}
