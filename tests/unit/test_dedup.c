/* Message ids in buckets: found within the window and not after it, whatever the window was before and the clock does;
 * buckets are few, closed in time, and dropped by number. Cites (B1)–(B5) of storage/dedup.h. */
#include "dedup.h"

#include "database_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define MINUTE UINT64_C(60000)
#define DAY UINT64_C(86400000)
#define START UINT64_C(1700000000000)

struct fixture {
	struct temp_dir dir;
	struct tl_database db;
	struct tl_dedup dedup;
	struct tl_batch *batch;
	uint64_t window_ms;
};

static void open_db(struct fixture *f)
{
	f->db = open_database(&f->dir);
	f->batch = new_batch(f->db.engine);
	tl_dedup_init(&f->dedup, &f->db);
}

static void close_db(struct fixture *f)
{
	tl_batch_free(f->batch);
	tl_database_close(&f->db);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	if (!f || !temp_dir_make(&f->dir))
		return -1;
	open_db(f);
	f->window_ms = DAY;
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	close_db(f);
	temp_dir_remove(&f->dir);
	free(f);
	return 0;
}

static void restart(struct fixture *f, uint64_t window_ms)
{
	close_db(f);
	open_db(f);
	f->window_ms = window_ms;
}

static struct tl_dedup_key key_of(uint64_t id)
{
	struct tl_dedup_key key = {.conversation_no = id % 300};
	memcpy(key.hash, &id, sizeof id);
	return key;
}

static void commit(struct fixture *f)
{
	commit_batch(f->db.engine, f->batch);
}

static void put(struct fixture *f, uint64_t id, uint64_t ts)
{
	const struct tl_dedup_key key = key_of(id);
	const struct tl_dedup_record record = {.cseq = id, .ts = ts};
	assert_int_equal(tl_dedup_prepare(&f->dedup, f->batch, ts, f->window_ms), TL_OK);
	tl_dedup_put(&f->dedup, f->batch, &key, &record);
	commit(f);
}

static bool is_known(struct fixture *f, uint64_t id, uint64_t ts)
{
	const struct tl_dedup_key key = key_of(id);
	struct tl_dedup_record record;
	enum tl_err err = tl_dedup_find(&f->dedup, &key, ts, f->window_ms, UINT64_MAX, &record);
	if (err == TL_OK)
		assert_int_equal(record.cseq, id);
	else
		assert_int_equal(err, TL_NOT_FOUND);
	return err == TL_OK;
}

static size_t count_buckets(struct fixture *f)
{
	struct tl_dedup_list list;
	assert_int_equal(tl_dedup_read_list(&f->db, &list), TL_OK);
	return list.count;
}

/* What upkeep does: drops the buckets that are over. */
static void drop_over(struct fixture *f, uint64_t now)
{
	struct tl_dedup_list list;
	assert_int_equal(tl_dedup_read_list(&f->db, &list), TL_OK);
	for (size_t i = 0; i < list.count; i++) {
		struct tl_drop drop = {.limit = UINT64_MAX};
		if (!tl_dedup_is_over(&list.buckets[i], f->window_ms, now))
			continue;
		assert_int_equal(tl_dedup_forget(&f->dedup, f->batch, list.buckets[i].no), TL_OK);
		commit(f);
		assert_int_equal(tl_engine_drop_range(f->db.engine, tl_partition(TL_PART_DEDUP, list.buckets[i].no),
		                                      tl_slice("", 0), tl_slice("", 0), &drop),
		                 TL_OK);
	}
}

/* An id an hour for a month: known for a day each, in two buckets at a time (B1). */
static void test_window(void **state)
{
	struct fixture *f = *state;
	const uint64_t hour = DAY / 24;
	for (uint64_t id = 0; id < 30 * 24; id++) {
		uint64_t now = START + id * hour;
		assert_false(is_known(f, id, now));
		put(f, id, now);
		if (id % 7 == 0)
			drop_over(f, now);
		if (id % 50 == 0)
			restart(f, DAY);
		for (uint64_t age = 0; age <= 50 && age <= id; age += 5)
			assert_int_equal(is_known(f, id - age, now), age < 24);
		assert_in_range(count_buckets(f), 1, 3);
	}
}

static void test_edges(void **state)
{
	struct fixture *f = *state;
	put(f, 1, START);
	put(f, 2, START + DAY - 1);
	assert_int_equal(count_buckets(f), 1);
	put(f, 3, START + DAY);
	assert_int_equal(count_buckets(f), 2);
	assert_true(is_known(f, 1, START + DAY - 1));
	assert_false(is_known(f, 1, START + DAY));
	assert_true(is_known(f, 2, START + 2 * DAY - 2));
	drop_over(f, START + 2 * DAY - 2);
	assert_true(is_known(f, 2, START + 2 * DAY - 2));
	drop_over(f, START + 2 * DAY);
	assert_int_equal(count_buckets(f), 1);
	assert_true(is_known(f, 3, START + 2 * DAY - 1));
	drop_over(f, START + 100 * DAY); /* the newest stays, of whatever age (B2) */
	assert_int_equal(count_buckets(f), 1);
	put(f, 4, START + 100 * DAY);
	assert_int_equal(count_buckets(f), 2);
	assert_true(is_known(f, 4, START + 100 * DAY));
	assert_false(is_known(f, 3, START + 100 * DAY));
}

/* The same id used again after the window: the later use counts. */
static void test_used_again(void **state)
{
	struct fixture *f = *state;
	const struct tl_dedup_key key = key_of(7);
	struct tl_dedup_record record;
	put(f, 7, START);
	put(f, 7, START + DAY + 5);
	assert_int_equal(tl_dedup_find(&f->dedup, &key, START + DAY + 10, f->window_ms, UINT64_MAX, &record), TL_OK);
	assert_int_equal(record.ts, START + DAY + 5);
}

/* Another window after a restart: what it still covers is still known, and there are never many buckets. */
static void test_other_windows(void **state)
{
	struct fixture *f = *state;
	static const uint64_t windows[] = {MINUTE, 10 * DAY, 1000, 0, DAY, 5 * MINUTE, 3650 * DAY, MINUTE};
	uint64_t now = START, id = 0;
	for (size_t i = 0; i < sizeof windows / sizeof windows[0]; i++) {
		restart(f, windows[i]);
		for (unsigned n = 0; n < 50; n++, now += 7 * 1000) {
			put(f, ++id, now);
			drop_over(f, now);
			if (f->window_ms > 7000)
				assert_true(is_known(f, id, now + 1));
			if (f->window_ms > 7000 && n > 0)
				assert_true(is_known(f, id - 1, now));
			assert_in_range(count_buckets(f), 1, 8);
		}
	}
}

/* A clock that jumps ahead by years and back does not stop old buckets from being closed. */
static void test_clock_jumps(void **state)
{
	struct fixture *f = *state;
	put(f, 1, START);
	put(f, 2, START + 3650 * DAY);
	put(f, 3, START + 1000);
	assert_true(is_known(f, 3, START + 2000));
	assert_true(is_known(f, 1, START + 2000));
	for (uint64_t id = 4; id < 40; id++) {
		put(f, id, START + id * DAY / 4);
		drop_over(f, START + id * DAY / 4);
		assert_true(is_known(f, id, START + id * DAY / 4));
		assert_in_range(count_buckets(f), 1, 5);
	}
}

/* Far too many: the newest goes on. */
static void test_no_room(void **state)
{
	struct fixture *f = *state;
	for (uint64_t id = 0; id < 3 * TL_DEDUP_BUCKETS_MAX; id++)
		put(f, id, START + id * DAY);
	assert_int_equal(count_buckets(f), TL_DEDUP_BUCKETS_MAX);
	assert_true(is_known(f, 3 * TL_DEDUP_BUCKETS_MAX - 1, START + 3 * TL_DEDUP_BUCKETS_MAX * DAY - DAY));
	drop_over(f, START + 1000 * DAY);
	put(f, 4711, START + 1000 * DAY);
	assert_int_equal(count_buckets(f), 2);
}

/* An id of before the bucket lowers its beginning, also for after a restart; what is younger than all that a conversation
 * has is not looked at (B5). */
static void test_latest(void **state)
{
	struct fixture *f = *state;
	const struct tl_dedup_key key = key_of(1);
	struct tl_dedup_record record;
	put(f, 2, START);
	put(f, 1, START - 50);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(tl_dedup_find(&f->dedup, &key, START, DAY, START - 50, &record), TL_OK);
		assert_int_equal(record.ts, START - 50);
		assert_int_equal(tl_dedup_find(&f->dedup, &key, START, DAY, START - 51, &record), TL_NOT_FOUND);
		assert_int_equal(tl_dedup_find(&f->dedup, &key, START - 50 + DAY, DAY, START - 50, &record), TL_NOT_FOUND);
		restart(f, DAY);
	}
	put(f, 3, START + DAY);
	assert_int_equal(count_buckets(f), 2);
	assert_int_equal(tl_dedup_find(&f->dedup, &key, START + 100, DAY, START - 50, &record), TL_OK);
}

/* A message's time may be later than when its bucket is looked for. That the bucket has such an id is not known any more after a
 * restart (B3). */
static void test_later_than_known(void **state)
{
	struct fixture *f = *state;
	const struct tl_dedup_key key = key_of(1);
	const struct tl_dedup_record record = {.cseq = 1, .ts = START + 70000};
	f->window_ms = 3000;
	put(f, 2, START);
	assert_int_equal(tl_dedup_prepare(&f->dedup, f->batch, START + 50000, f->window_ms), TL_OK);
	tl_dedup_put(&f->dedup, f->batch, &key, &record);
	commit(f);
	restart(f, 3000);
	put(f, 3, START + 61000);
	drop_over(f, START + 72000);
	assert_true(is_known(f, 1, START + 72000));
	drop_over(f, START + 61000 + MINUTE + 3000);
	assert_int_equal(count_buckets(f), 1);
}

/* Numbers go on, even after everything was forgotten because a commit failed (B2). */
static void test_numbers(void **state)
{
	struct fixture *f = *state;
	uint64_t last = 0;
	for (uint64_t id = 0; id < 20; id++) {
		struct tl_dedup_list list;
		put(f, id, START + id * 2 * DAY);
		drop_over(f, START + id * 2 * DAY);
		assert_int_equal(tl_dedup_read_list(&f->db, &list), TL_OK);
		assert_true(list.buckets[list.count - 1].no > last);
		last = list.buckets[list.count - 1].no;
		tl_dedup_clear(&f->dedup);
	}
}

static void test_damaged(void **state)
{
	struct fixture *f = *state;
	static const char *const values[] = {"", "\x91", "\x91\x92\x01\x01", "\xdc\x00\x11", "\x91\x93\x01\x01\xa1"};
	for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
		struct tl_dedup_list list;
		tl_batch_put(f->batch, tl_partition(TL_PART_META, 0), tl_slice_str(TL_META_DEDUP), tl_slice_str(values[i]));
		commit(f);
		assert_int_equal(tl_dedup_read_list(&f->db, &list), TL_CORRUPT);
	}
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_window),      TEST(test_edges),   TEST(test_used_again), TEST(test_other_windows),
		TEST(test_clock_jumps), TEST(test_no_room), TEST(test_numbers),    TEST(test_damaged),
		TEST(test_latest),      TEST(test_later_than_known),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
