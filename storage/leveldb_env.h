/* The files of a LevelDB database, as this engine wants them read: with pread(2).
 *
 * LevelDB by itself maps its tables into memory. Then every page that was read counts as the process's, so the broker would look
 * as large as its database; and where the disk cannot be read the kernel answers with SIGBUS, which ends the broker, instead
 * of an error. And where a log cannot be opened or read, LevelDB opens the database without what is in it and deletes it; here such
 * an opening fails, and has changed nothing. And a table's index and filter, which LevelDB reads once and believes, are checked:
 * with a damaged index it would stop the broker or not find what is there, with a damaged filter not find it. LevelDB can be given another environment only in C++, so this file's source is the one in that language.
 *
 * Every function may be called from any thread.
 */
#ifndef TL_LEVELDB_ENV_H
#define TL_LEVELDB_ENV_H

#include <leveldb/c.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An environment for leveldb_options_set_env, in which each open table keeps a descriptor. Free it with tl_leveldb_env_free when
 * no database uses it any more. */
leveldb_env_t *tl_leveldb_env_new(void);

/* A database is about to be opened: what could not be read when that was tried before counts no more. */
void tl_leveldb_env_begin(leveldb_env_t *env);

void tl_leveldb_env_free(leveldb_env_t *env); /* NULL is legal */

#ifdef __cplusplus
}
#endif

#endif
