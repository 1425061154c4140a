/* Private to engine_leveldb*.c: the structs behind engine.h and what the files share.
 *
 *     engine_leveldb.c        open, close, reopen; who is using the database; get, snapshots
 *     engine_leveldb_iter.c   iterators
 *     engine_leveldb_batch.c  batches, guards, commit, flush, dropping ranges
 *     engine_leveldb_space.c  sizes, compacting, when LevelDB has to merge
 *     engine_leveldb_filter.c which blocks need not be read
 *     leveldb_env.cc, leveldb_files.cc  how LevelDB reads and writes its files, and when it works in the background
 *
 * A key in the database:
 *
 *     ┌────────┬─────────────────────┬──────┬───────────────┐
 *     │ family │ partition number    │ kind │ caller's key  │   of no family: kind, number, caller's key
 *     │ 1      │ 1–9 (ordered_int.h) │ 1    │ any bytes     │
 *     └────────┴─────────────────────┴──────┴───────────────┘
 *      └───────────── prefix ──────────────┘  self-delimiting: no prefix is the beginning of another
 *
 * Uses. Whatever touches `db` happens within a use of the engine, so that reopen can wait for all uses to end:
 *   (L1) `db` changes only in TL_DB_SWAPPING, while `users` is 0. Within a use it may be read without the mutex.
 *   (L2) A snapshot is a use from new to free; so is an iterator without one. Reads through a snapshot are covered
 *        by it and never wait. Everything else is a use for as long as the call lasts.
 *   (L3) While reopen drains the uses, newcomers wait, but not for ever: the use it waits for may be the newcomer's
 *        own (an iterator at hand while getting another key). After DRAIN_PATIENCE_MS it is let in.
 *   (L4) `commit_mutex` is taken within a use, never the other way round; nothing waits for a use while holding it.
 *   (L5) After a failed write nothing is written until reopen. LevelDB itself refuses only where a sync failed; after a
 *        failed append it would go on behind the torn record, and recovery would lose what follows it.
 */
#ifndef TL_ENGINE_LEVELDB_H
#define TL_ENGINE_LEVELDB_H

#include "engine.h"
#include "ordered_int.h"

#include <leveldb/c.h>
#include <pthread.h>

enum {
	TL_DB_PREFIX_MAX = 2 + TL_ORDERED_INT_MAX, /* bytes */
	TL_DB_KEY_STACK = 512,                     /* bytes of a key that needs no malloc; ours have well under 100 */
};

enum tl_db_state {
	TL_DB_READY,
	TL_DB_DRAINING, /* reopen waits for `users` to become 0 */
	TL_DB_SWAPPING, /* reopen is closing and opening; everybody waits */
};

struct tl_engine {
	char *path;  /* absolute */
	uint64_t write_buffer_bytes;
	int lock_fd; /* the directory, held with flock */
	leveldb_options_t *options;
	leveldb_env_t *env;
	bool durable; /* (E2) */
	leveldb_cache_t *cache;
	leveldb_filterpolicy_t *filter; /* NULL: none */
	leveldb_readoptions_t *read_present; /* no snapshot, filling the cache */
	leveldb_writeoptions_t *write_synced;
	leveldb_writeoptions_t *write_unsynced;

	pthread_mutex_t commit_mutex; /* makes a guard's check and the write one step */
	enum tl_err write_error; /* (L5); guarded by commit_mutex, cleared by reopen while there are no uses */

	pthread_mutex_t mutex; /* guards what follows */
	pthread_cond_t changed; /* `state` changed, or `users` became 0; on CLOCK_MONOTONIC */
	enum tl_db_state state;
	uint32_t users;
	leveldb_t *db; /* see (L1); NULL while out of order */
	struct tl_snapshot *frozen; /* what new snapshots are; NULL: they are of the present */
};

struct tl_snapshot {
	struct tl_engine *engine;
	const leveldb_snapshot_t *view;
	leveldb_readoptions_t *options; /* reads of the view, filling the cache */
	uint32_t holders;               /* each of them a use; guarded by the engine's mutex */
};

/* A key as the database sees it, on the stack where it fits. */
struct tl_db_key {
	char *bytes; /* `stack`, or malloc'ed */
	size_t len;
	char stack[TL_DB_KEY_STACK];
};

/* Begins a use (L2); TL_IO while the engine is out of order, and then there is nothing to leave. */
TL_MUST_USE enum tl_err tl_engine_enter(struct tl_engine *engine);
void tl_engine_leave(struct tl_engine *engine);

/* Writes the partition's prefix to `out` (room for TL_DB_PREFIX_MAX bytes) and returns its bytes. */
size_t tl_db_prefix(unsigned char *out, struct tl_partition partition);

/* The smallest byte string above every key of the partition, likewise. */
size_t tl_db_prefix_end(unsigned char *out, struct tl_partition partition);

/* Puts prefix and key together; TL_NO_MEMORY, and then there is nothing to fini. */
TL_MUST_USE enum tl_err tl_db_key_init(struct tl_db_key *db_key, struct tl_partition partition, struct tl_slice key);
void tl_db_key_fini(struct tl_db_key *db_key);

/* Read options of a view (`snapshot` NULL: the present) for the caller to destroy. */
leveldb_readoptions_t *tl_db_read_options_new(const struct tl_engine *engine, const struct tl_snapshot *snapshot,
                                             bool fill_cache);

/* A filter of so many bits for each entry, for leveldb_options_set_filter_policy; the caller's to destroy. NULL: out of memory. */
leveldb_filterpolicy_t *tl_db_filter_new(int bits);

/* A tl_leveldb_must_merge. */
bool tl_db_must_merge(leveldb_t *db, bool reluctant);

/* Has LevelDB compact what lies between the two keys of the database; synchronous. */
void tl_db_compact(struct tl_engine *engine, leveldb_t *db, struct tl_slice low, struct tl_slice high);

/* What LevelDB's message means: TL_OK if it is NULL; otherwise frees it, and `why` (may be NULL) says
 * "cannot `what`: `message`". */
TL_MUST_USE enum tl_err tl_db_error_take(char *message, const char *what, struct tl_why *why);

/* The same for a system call that failed, by errno; never TL_OK. */
TL_MUST_USE enum tl_err tl_db_errno_fail(const char *what, const char *path, struct tl_why *why);

#endif
