/* The files of a LevelDB database, as this engine wants them read: with pread(2).
 *
 * LevelDB by itself maps its tables into memory. Then every page that was read counts as the process's, so the broker would look
 * as large as its database; and where the disk cannot be read the kernel answers with SIGBUS, which ends the broker, instead
 * of an error. LevelDB can be given another environment only in C++, so this file's source is the one in that language.
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
void tl_leveldb_env_free(leveldb_env_t *env); /* NULL is legal */

#ifdef __cplusplus
}
#endif

#endif
