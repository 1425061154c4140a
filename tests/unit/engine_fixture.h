/* What the tests of the engine share (test_engine*.c): an engine of each test's own, and short ways to fill it, to ask it, and to
 * get at its files. Whatever can fail and is not returned fails the test. */
#ifndef ENGINE_FIXTURE_H
#define ENGINE_FIXTURE_H

#include "engine_leveldb.h"
#include "temp_dir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/types.h>

#include <cmocka.h>

struct fixture {
	struct temp_dir dir;
	struct tl_engine *engine; /* in dir.db */
};

/* The partition of whatever needs only one. */
extern const struct tl_partition home;

/* A test with an engine in a new directory, which is removed at the end. */
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int set_up(void **state);
int tear_down(void **state);

/* --- opening --- */

/* Options for a small engine in `path`. */
struct tl_engine_options options_for(const char *path);

/* Opens the engine of a fixture where there is none, and closes it, leaving NULL. */
void open_engine(struct fixture *f);
void close_engine(struct fixture *f);

/* Opens it again without compression. Then damage is not noticed by itself: there is nothing that could fail. */
void open_uncompressed(struct fixture *f);

/* Opening `path` has to fail like this, with one line that says why. */
void expect_open_fails(const char *path, enum tl_err expected);

/* --- writing --- */

struct tl_batch *new_batch(struct tl_engine *engine);
enum tl_err commit_and_free(struct tl_engine *engine, struct tl_batch *batch);

enum tl_err put(struct tl_engine *engine, struct tl_partition partition, struct tl_slice key, struct tl_slice value);
void must_put(struct tl_engine *engine, struct tl_partition partition, const char *key, const char *value);

/* Puts `count` keys "00000", "00001" …, each with the value "value". */
void put_numbered(struct tl_engine *engine, struct tl_partition partition, int count);

/* Puts `count` keys, ordered ints from 0 on, each with 256 bytes that cannot be compressed. */
void put_random(struct tl_engine *engine, struct tl_partition partition, unsigned count);

/* Drops [from, to), at most `limit` keys: how many there were. */
uint64_t drop(struct tl_engine *engine, struct tl_partition partition, const char *from, const char *to, uint64_t limit);

/* Compacts all partitions of a family in parts of about `bytes`: how many parts there were. */
unsigned compact(struct tl_engine *engine, uint8_t family, uint64_t bytes);

/* --- reading; snapshot NULL: the present state --- */

static inline struct tl_slice str(const char *s)
{
	return tl_slice_str(s);
}

/* What getting a key returns. */
enum tl_err get_error(struct tl_engine *engine, const struct tl_snapshot *snapshot, struct tl_partition partition,
                      const char *key);

void must_hold(struct tl_engine *engine, const struct tl_snapshot *snapshot, struct tl_partition partition,
               struct tl_slice key, struct tl_slice expected);

/* The same in `home`. */
void must_hold_str(struct tl_engine *engine, const struct tl_snapshot *snapshot, const char *key, const char *expected);

struct tl_iter *new_iter(struct tl_engine *engine, const struct tl_snapshot *snapshot, struct tl_partition partition);

int count_items(struct tl_engine *engine, struct tl_partition partition);

/* --- files --- */

/* Does something to each of the database's files whose name ends in `suffix`; `dir` is the directory, open. */
void each_file(const struct fixture *f, const char *suffix, void (*visit)(int dir, const char *name, void *ctx),
               void *ctx);

/* Writes into a file; the same with zeros, 3000 at most. */
void overwrite(int fd, off_t at, const void *bytes, size_t len);
void blank(int fd, off_t at, size_t len);

#endif
