/* What LevelDB asks of the system, as this engine wants it. LevelDB can be given another environment only in C++: leveldb_env.cc
 * and leveldb_files.* are what there is in that language.
 *
 * Tables are read with pread(2). LevelDB by itself maps them into memory. Then every page that was read counts as the
 * process's, so the broker would look as large as its database; and where the disk cannot be read the kernel answers with SIGBUS,
 * which ends the broker, instead of an error. They are written in pieces of LevelDB's buffer instead of its blocks.
 *
 * Whatever is read of a table is checked. LevelDB believes the footer, the index, the filters and what it merges: then damage
 * there ends the broker, hides what is there, or is copied as sound. And where a log cannot be opened or read, LevelDB opens
 * the database without what is in it and deletes it; here such an opening fails. So does one, as an engine is opened, for which the
 * manifest names a log that is missing or a table that has lost its end; and of several logs each has to begin where the one before it
 * ended (leveldb_opening.h): in a copy that was made file by file, while the database was written to, they may not.
 *
 * Merging waits until it has to be. LevelDB merges a table with those of the next level when a level has grown too large, but
 * also when some hundreds of gets had to look into a second table after it, whatever its size (version_set.cc, "allowed_seeks").
 * That pays where each look costs a disk seek. Here filters answer from memory, and a few thousand gets a second would have
 * everything merged again and again (tests/bench/LOG.md). RocksDB has dropped it, too. And after a merge that met a table that
 * cannot be read, which makes LevelDB refuse all writing until it is opened again, it waits until there is no other way, for
 * the next merge would meet the same table.
 *
 * Where what is committed unsynced has to be as safe as the synced batch after it, a log is synced before the next one is begun.
 * LevelDB does not do that, and after a power loss could have the second without the first. It holds its lock then, for which
 * every read waits, so there is never much left to sync.
 *
 * Of what had not been synced a loss of power may leave what was written last, without what was written before. LevelDB then
 * shows the one batch of a log and not the other, and does not open at all where it was about to write to its manifest. Here
 * both end where they are torn: a batch is there only with all that was committed before it. And the directory is synced
 * when it gets a new table or, where logs are synced, a new log, and before anything is removed that only the manifest of before needed.
 *
 * Every function may be called from any thread.
 */
#ifndef TL_LEVELDB_ENV_H
#define TL_LEVELDB_ENV_H

#include <leveldb/c.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Whether a level of the database is too large; `reluctant`: so much so that writing would have to stop. Called by LevelDB's
 * background thread. */
typedef bool tl_leveldb_must_merge(leveldb_t *db, bool reluctant);

/* An environment for leveldb_options_set_env, for one database at a time; each open table keeps a descriptor. `sync_logs`: no log
 * is left unsynced for the next one. Free it with tl_leveldb_env_free when no database uses it any more. */
leveldb_env_t *tl_leveldb_env_new(tl_leveldb_must_merge *must_merge, bool sync_logs);
void tl_leveldb_env_free(leveldb_env_t *env); /* NULL is legal */

/* Whether LevelDB need not check what it reads. False with a LevelDB that cannot be given this environment: then none of the
 * above holds. */
bool tl_leveldb_env_checks_blocks(const leveldb_env_t *env);

/* Whether no log is left unsynced for the next one. */
bool tl_leveldb_env_syncs_logs(const leveldb_env_t *env);

/* A database is about to be opened; and is open now. What it wants to merge waits until then. */
void tl_leveldb_env_begin(leveldb_env_t *env);
void tl_leveldb_env_opened(leveldb_env_t *env, leveldb_t *db);

/* Between the two, background work does not wait. Around whatever waits for it: closing, compacting a range. */
void tl_leveldb_env_hurry(leveldb_env_t *env);
void tl_leveldb_env_calm(leveldb_env_t *env);

/* Whether the last merge met a table that cannot be read. */
bool tl_leveldb_env_cannot_merge(leveldb_env_t *env);

/* How often a table could not be read, or was found damaged, since the environment was made. */
uint64_t tl_leveldb_env_unreadable(leveldb_env_t *env);

#ifdef __cplusplus
}
#endif

#endif
