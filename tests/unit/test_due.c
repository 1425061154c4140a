/* Markers: when something is due, one marker for all that is due in one bucket, and what upkeep is told. */
#include "due.h"

#include "database_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define DAY UINT64_C(86400000)

struct fixture {
	struct temp_dir dir;
	struct tl_engine *engine;
	struct tl_batch *batch;
	struct tl_due_board board;
	struct tl_due due;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	if (!f || !temp_dir_make(&f->dir))
		return -1;
	f->engine = open_engine(&f->dir);
	f->batch = new_batch(f->engine);
	tl_due_board_init(&f->board);
	f->due.board = &f->board;
	tl_due_clear(&f->due);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	tl_batch_free(f->batch);
	tl_engine_close(f->engine);
	temp_dir_remove(&f->dir);
	free(f);
	return 0;
}

static void commit(struct fixture *f)
{
	commit_batch(f->engine, f->batch);
	tl_due_tell(&f->due);
	tl_due_clear(&f->due);
}

static void assert_rounded(uint64_t time, uint64_t ts, uint64_t ttl_ms, uint64_t grain_ms)
{
	assert_int_equal(time % grain_ms, 0);
	assert_in_range(time, ts + ttl_ms, ts + ttl_ms + grain_ms - 1);
}

static void test_time(void **state)
{
	(void)state;
	const struct {
		uint64_t ttl_ms, grain_ms, device_grain_ms;
	} rows[] = {{1, 1000, 1000},           {2000, 1000, 1000},     {32000, 1000, 4000}, {64000, 2000, 8000},
	            {DAY, DAY / 32, DAY / 8}, {32 * DAY, DAY, 4 * DAY}, {3650 * DAY, DAY, 3650 * DAY / 8}};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		for (uint64_t ts = 1700000000000; ts < 1700000005000; ts += 333) {
			assert_rounded(tl_due_time(ts, rows[i].ttl_ms), ts, rows[i].ttl_ms, rows[i].grain_ms);
			assert_rounded(tl_due_device_time(ts, rows[i].ttl_ms), ts, rows[i].ttl_ms, rows[i].device_grain_ms);
		}
	assert_int_equal(tl_due_time(1000, 0), 0);
	assert_int_equal(tl_due_time(1000, 1000), 2000);
	assert_int_equal(tl_due_time(1001, 1000), 3000);
	assert_int_equal(tl_due_time(1000, UINT64_MAX), 0); /* beyond all time is never */
	assert_int_equal(tl_due_time(UINT64_MAX - 10, 5), 0);
	for (uint64_t ts = 0; ts < 3000; ts += 100)
		assert_in_range(tl_due_now(ts), 1, ts > 0 ? ts : 1);
}

/* One marker a bucket, until upkeep has been there. */
static void test_mark(void **state)
{
	struct fixture *f = *state;
	uint64_t marked = 0;
	for (uint64_t ts = 1000; ts < 3000; ts += 100)
		tl_due_mark(&f->due, f->batch, TL_DUE_INBOX, tl_due_time(ts, 5000), 7, &marked);
	assert_int_equal(tl_batch_count(f->batch), 3); /* 6000, 7000, 8000 */
	assert_int_equal(marked, 8000);
	commit(f);
	assert_int_equal(count_keys(f->engine, TL_PART_DUE, TL_DUE_INBOX), 3);
	assert_int_equal(count_keys(f->engine, TL_PART_DUE, TL_DUE_STORE), 0);
	tl_due_mark(&f->due, f->batch, TL_DUE_INBOX, 8000, 7, &marked);
	assert_int_equal(tl_batch_count(f->batch), 0);
	atomic_store(&f->board.looked_until, 8000);
	tl_due_mark(&f->due, f->batch, TL_DUE_INBOX, 8000, 7, &marked);
	assert_int_equal(tl_batch_count(f->batch), 1);
	tl_due_delete(f->batch, TL_DUE_INBOX, 6000, 7);
	tl_due_put(&f->due, f->batch, TL_DUE_INBOX, 0, 7); /* never */
	commit(f);
	assert_int_equal(count_keys(f->engine, TL_PART_DUE, TL_DUE_INBOX), 2);
}

static void test_told(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(tl_due_told(&f->board, TL_DUE_INBOX), UINT64_MAX);
	tl_due_put(&f->due, f->batch, TL_DUE_INBOX, 5000, 1);
	tl_due_put(&f->due, f->batch, TL_DUE_INBOX, 3000, 2);
	tl_due_put(&f->due, f->batch, TL_DUE_STORE, 4000, 2);
	assert_int_equal(tl_due_told(&f->board, TL_DUE_INBOX), UINT64_MAX); /* not before it is committed */
	commit(f);
	tl_due_put(&f->due, f->batch, TL_DUE_INBOX, 3500, 3);
	commit(f);
	assert_int_equal(tl_due_told(&f->board, TL_DUE_INBOX), 3000);
	assert_int_equal(tl_due_told(&f->board, TL_DUE_INBOX), UINT64_MAX);
	assert_int_equal(tl_due_told(&f->board, TL_DUE_STORE), 4000);
	tl_due_put(&f->due, f->batch, TL_DUE_INBOX, 1000, 1);
	tl_due_clear(&f->due); /* a batch that failed */
	commit(f);
	assert_int_equal(tl_due_told(&f->board, TL_DUE_INBOX), UINT64_MAX);
}

static void note_wake(void *ctx)
{
	(*(unsigned *)ctx)++;
}

/* Whoever sleeps is woken for what is earlier alone, and does not fall asleep over what was told before. */
static void test_sleep(void **state)
{
	struct fixture *f = *state;
	unsigned wakes = 0;
	f->board.wake = note_wake;
	f->board.ctx = &wakes;
	tl_due_put(&f->due, f->batch, TL_DUE_INBOX, 1000, 1);
	commit(f);
	assert_int_equal(wakes, 0); /* nobody sleeps */
	assert_false(tl_due_sleep(&f->board, 5000));
	assert_int_equal(tl_due_told(&f->board, TL_DUE_INBOX), 1000);
	assert_true(tl_due_sleep(&f->board, 5000));
	tl_due_put(&f->due, f->batch, TL_DUE_STORE, 5000, 1);
	commit(f);
	assert_int_equal(wakes, 0);
	tl_due_put(&f->due, f->batch, TL_DUE_DEVICES, 4999, 1);
	commit(f);
	assert_int_equal(wakes, 1);
	tl_due_awake(&f->board);
	commit(f);
	assert_int_equal(wakes, 1);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_time), TEST(test_mark), TEST(test_told),
	                                   TEST(test_sleep)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
