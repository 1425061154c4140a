/* Several batches and one flush (storage/engine.h E2, tl_engine_freeze): what is seen before it, and that nothing committed
 * unsynced is left behind where LevelDB begins a new log. */
#include "engine.h"

#include "temp_dir.h"

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

enum { WRITE_BUFFER = 65536, VALUE_BYTES = 1000, PER_LOG = WRITE_BUFFER / VALUE_BYTES };

static const struct tl_partition part = {.kind = 's', .no = 1};

/* In place of the C library's, for LevelDB as well: flushes of logs are counted and may fail. */
static _Atomic unsigned log_syncs; /* LevelDB has a thread of its own */
static _Atomic bool fail_log_sync;

__attribute__((visibility("default"))) int fdatasync(int fd)
{
	char link[64], path[PATH_MAX];
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t len = readlink(link, path, sizeof path - 1);
	bool is_log = len > 4 && memcmp(path + len - 4, ".log", 4) == 0;
	if (is_log)
		log_syncs++;
	if (is_log && fail_log_sync) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_fdatasync, fd);
}

struct fixture {
	struct temp_dir dir;
	struct tl_engine *engine;
	struct tl_batch *batch;
};

static void open_engine(struct fixture *f, bool durable)
{
	struct tl_why why;
	struct tl_engine_options options = temp_dir_engine(&f->dir);
	options.write_buffer_bytes = WRITE_BUFFER;
	options.durable = durable;
	assert_int_equal(tl_engine_open_leveldb(&options, &f->engine, &why), TL_OK);
	assert_int_equal(tl_batch_new(f->engine, &f->batch), TL_OK);
	log_syncs = 0;
	fail_log_sync = false;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	if (!f || !temp_dir_make(&f->dir))
		return -1;
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	fail_log_sync = false;
	tl_batch_free(f->batch);
	tl_engine_close(f->engine);
	temp_dir_remove(&f->dir);
	free(f);
	return 0;
}

static struct tl_slice key_of(unsigned n)
{
	static char key[16];
	return tl_slice(key, (size_t)snprintf(key, sizeof key, "%08u", n));
}

static enum tl_err put(struct fixture *f, unsigned n, bool sync)
{
	char value[VALUE_BYTES];
	for (size_t i = 0; i < sizeof value; i++)
		value[i] = (char)random(); /* what no compression makes smaller */
	tl_batch_clear(f->batch);
	tl_batch_put(f->batch, part, key_of(n), tl_slice(value, sizeof value));
	return tl_engine_commit(f->engine, f->batch, sync, NULL);
}

static bool has(struct fixture *f, const struct tl_snapshot *snapshot, unsigned n)
{
	char *value;
	size_t len;
	enum tl_err err = tl_engine_get(f->engine, snapshot, part, key_of(n), &value, &len);
	if (err == TL_OK)
		free(value);
	else
		assert_int_equal(err, TL_NOT_FOUND);
	return err == TL_OK;
}

static bool is_seen(struct fixture *f, unsigned n)
{
	struct tl_snapshot *snapshot;
	assert_int_equal(tl_snapshot_new(f->engine, &snapshot), TL_OK);
	bool seen = has(f, snapshot, n);
	tl_snapshot_free(snapshot);
	return seen;
}

/* What is committed in between is there for those who ask for the present, and for nobody else. */
static void test_freeze(void **state)
{
	struct fixture *f = *state;
	struct tl_snapshot *held;
	open_engine(f, true);
	assert_int_equal(put(f, 1, true), TL_OK);
	assert_int_equal(tl_engine_freeze(f->engine), TL_OK);
	assert_int_equal(put(f, 2, false), TL_OK);
	assert_true(is_seen(f, 1));
	assert_false(is_seen(f, 2));
	assert_true(has(f, NULL, 2));
	assert_int_equal(tl_snapshot_new(f->engine, &held), TL_OK);
	assert_int_equal(put(f, 3, true), TL_OK);
	tl_engine_thaw(f->engine);
	assert_true(is_seen(f, 2));
	assert_true(is_seen(f, 3));
	assert_true(has(f, held, 1));
	assert_false(has(f, held, 2)); /* who has it at hand keeps it */
	tl_snapshot_free(held);
	tl_engine_thaw(f->engine); /* once too often */
	assert_int_equal(tl_engine_reopen(f->engine, NULL), TL_OK); /* no use is left */
	assert_int_equal(tl_engine_freeze(f->engine), TL_OK);
	tl_engine_thaw(f->engine);
}

/* As many logs as that begin while these are put, unsynced: how often a log was flushed. */
static unsigned syncs_of(struct fixture *f, bool durable, unsigned logs)
{
	open_engine(f, durable);
	for (unsigned n = 0; n < logs * PER_LOG; n++)
		assert_int_equal(put(f, n, false), TL_OK);
	return log_syncs;
}

static void test_logs_are_synced(void **state)
{
	assert_in_range(syncs_of(*state, true, 10), 9, 20); /* LevelDB counts more than the values */
}

static void test_logs_are_not_synced_for_nothing(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(syncs_of(f, false, 10), 0);
	tl_batch_free(f->batch);
	tl_engine_close(f->engine);
	open_engine(f, true);
	for (unsigned n = 0; n < 5 * PER_LOG; n++)
		assert_int_equal(put(f, n, true), TL_OK);
	assert_int_equal(log_syncs, 5 * PER_LOG); /* each is synced when the next one begins */
}

/* Where a log cannot be flushed nothing is written to the next one. */
static void test_sync_fails(void **state)
{
	struct fixture *f = *state;
	enum tl_err err = TL_OK;
	unsigned n = 0;
	open_engine(f, true);
	fail_log_sync = true;
	for (; err == TL_OK && n < 3 * PER_LOG; n++)
		err = put(f, n, false);
	assert_int_equal(err, TL_IO);
	assert_true(n <= PER_LOG + 1);
	fail_log_sync = false;
	assert_int_equal(tl_engine_reopen(f->engine, NULL), TL_OK);
	for (unsigned i = 0; i + 1 < n; i++)
		assert_true(has(f, NULL, i));
	assert_false(has(f, NULL, n - 1));
	assert_int_equal(put(f, n, true), TL_OK);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_freeze),
		TEST(test_logs_are_synced),
		TEST(test_logs_are_not_synced_for_nothing),
		TEST(test_sync_fails),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
