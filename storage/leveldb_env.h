/* What LevelDB asks of the system, as this engine wants it. LevelDB can be given another environment only in C++: leveldb_env.cc
 * and leveldb_files.* are what there is in that language.
 *
 * Tables are read with pread(2). LevelDB by itself maps them into memory. Then every page that was read counts as the
 * process's, so the broker would look as large as its database; and where the disk cannot be read the kernel answers with SIGBUS,
 * which ends the broker, instead of an error. They are written in pieces of LevelDB's buffer instead of its blocks.
 *
 * Whatever is read of a table is checked. LevelDB believes the index, the filters and what it merges: then damage there ends the
 * broker, hides what is there, or is copied as sound. And where a log cannot be opened or read, LevelDB opens the
 * database without what is in it and deletes it; here such an opening fails, and has changed nothing.
 *
 * Merging waits until it has to be. LevelDB merges a table with those of the next level when a level has grown too large, but also
 * when some hundreds of gets had to look into a second table after it, whatever its size (version_set.cc, "allowed_seeks"). That
 * pays where each look costs a disk seek. Here filters answer from memory, and a few thousand gets a second would have
 * everything merged again and again (tests/bench/LOG.md). RocksDB has dropped it, too.
 *
 * Every function may be called from any thread.
 */
#ifndef TL_LEVELDB_ENV_H
#define TL_LEVELDB_ENV_H

#include <leveldb/c.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Whether a level of the database is too large. Called by LevelDB's background thread. */
typedef bool tl_leveldb_must_merge(leveldb_t *db);

/* An environment for leveldb_options_set_env, for one database at a time; each open table keeps a descriptor. Free it with
 * tl_leveldb_env_free when no database uses it any more. In the beginning it hurries. */
leveldb_env_t *tl_leveldb_env_new(tl_leveldb_must_merge *must_merge);
void tl_leveldb_env_free(leveldb_env_t *env); /* NULL is legal */

/* Whether LevelDB need not check what it reads. False with a LevelDB that cannot be given this environment: then none of the
 * above holds. */
bool tl_leveldb_env_checks_blocks(const leveldb_env_t *env);

/* A database is about to be opened: what could not be read when that was tried before counts no more. */
void tl_leveldb_env_begin(leveldb_env_t *env);

/* Background work waits for a full memtable or for must_merge, once each hurry has been followed by calm, which names the database
 * that is open. Whoever waits for such work (closing, compacting a range) has to hurry. */
void tl_leveldb_env_calm(leveldb_env_t *env, leveldb_t *db);
void tl_leveldb_env_hurry(leveldb_env_t *env);

#ifdef __cplusplus
}
#endif

#endif
