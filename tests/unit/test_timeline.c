/* Timelines (storage/timeline.h) on a real engine: bounds (T1, T2), entries, cursors. */
#include "timeline.h"

#include "database_fixture.h"
#include "records.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct tl_partition line = {TL_PART_INBOX, 7, TL_FAMILY_USER};

struct fixture {
	struct temp_dir dir;
	struct tl_engine *engine;
	struct tl_batch *batch;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	if (!f || !temp_dir_make(&f->dir))
		return -1;
	f->engine = open_engine(&f->dir);
	f->batch = new_batch(f->engine);
	/* Neighbours, which must never show. */
	tl_timeline_append(f->batch, tl_partition(TL_PART_INBOX, 6), 99, tl_slice_str("below"), false);
	tl_timeline_append(f->batch, tl_partition(TL_PART_INBOX, 8), 1, tl_slice_str("above"), false);
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
}

static void put_range(struct fixture *f, uint64_t from, uint64_t to)
{
	for (uint64_t seq = from; seq <= to; seq++)
		tl_timeline_append(f->batch, line, seq, tl_slice(&seq, sizeof seq), false);
}

static void put_floor(struct fixture *f, uint64_t floor)
{
	struct tl_pack pack;
	tl_pack_init(&pack);
	tl_pack_uint(&pack, floor);
	tl_batch_put(f->batch, line, tl_slice("", 0), tl_pack_bytes(&pack));
	tl_pack_fini(&pack);
}

static void assert_head(struct fixture *f, uint64_t floor, uint64_t head)
{
	char *last = NULL;
	size_t len = 0;
	uint64_t found = UINT64_MAX;
	assert_int_equal(tl_timeline_head(f->engine, NULL, NULL, line, &found, &(bool){0}, &last, &len), TL_OK);
	assert_int_equal(found, head);
	assert_true(head > floor ? len == sizeof head && memcmp(last, &head, len) == 0 : !last);
	free(last);
}

static void assert_bounds(struct fixture *f, uint64_t floor, uint64_t head)
{
	assert_head(f, floor, head);
	struct tl_bounds bounds = {UINT64_MAX, UINT64_MAX};
	char *last = NULL;
	size_t len = 0;
	assert_int_equal(tl_timeline_bounds(f->engine, NULL, NULL, line, &bounds, &last, &len), TL_OK);
	assert_int_equal(bounds.floor, floor);
	assert_int_equal(bounds.head, head);
	if (head > floor) {
		assert_int_equal(len, sizeof head);
		assert_memory_equal(last, &head, sizeof head);
	} else {
		assert_null(last);
		assert_int_equal(len, 0);
	}
	free(last);
}

static void test_empty(void **state)
{
	char *entry;
	size_t len;
	assert_bounds(*state, 0, 0);
	commit(*state);
	assert_bounds(*state, 0, 0);
	assert_int_equal(tl_timeline_get(((struct fixture *)*state)->engine, NULL, line, 1, &entry, &len), TL_NOT_FOUND);
}

/* Over the steps at which an ordered integer becomes longer. */
static void test_append(void **state)
{
	struct fixture *f = *state;
	put_range(f, 1, 1);
	commit(f);
	assert_bounds(f, 0, 1);
	put_range(f, 2, 70000);
	commit(f);
	assert_bounds(f, 0, 70000);
}

static void test_get_and_replace(void **state)
{
	struct fixture *f = *state;
	char *entry;
	size_t len;
	put_range(f, 1, 3);
	tl_timeline_replace(f->batch, line, 2, tl_slice_str("edited"));
	tl_timeline_replace(f->batch, line, 1, tl_slice("", 0));
	commit(f);
	assert_int_equal(tl_timeline_get(f->engine, NULL, line, 2, &entry, &len), TL_OK);
	assert_true(tl_slice_equal(tl_slice(entry, len), tl_slice_str("edited")));
	free(entry);
	assert_int_equal(tl_timeline_get(f->engine, NULL, line, 1, &entry, &len), TL_OK);
	assert_int_equal(len, 0);
	free(entry);
	assert_bounds(f, 0, 3);
}

/* The mark only says where to begin. */
static void test_mark(void **state)
{
	static const uint64_t heads[] = {1, 2, 3, 63, 64, 65, 127, 128, 129, 200, 1000, 1023, 1024};
	struct fixture *f = *state;
	uint64_t head = 0;
	for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
		put_range(f, head + 1, heads[i]);
		commit(f);
		head = heads[i];
		assert_bounds(f, 0, head);
	}
	put_range(f, 64, 64); /* far below */
	commit(f);
	assert_bounds(f, 0, head);
	tl_batch_delete(f->batch, line, tl_slice("", 1));
	commit(f);
	assert_bounds(f, 0, head);
	put_floor(f, 900);
	commit(f);
	assert_bounds(f, 900, head);
	put_floor(f, 1020);
	commit(f);
	assert_bounds(f, 1020, head);
}

static uint64_t read_mark(struct fixture *f)
{
	char *value;
	size_t len;
	uint64_t mark = 0;
	enum tl_err err = tl_engine_get(f->engine, NULL, line, tl_slice("", 1), &value, &len);
	if (err == TL_NOT_FOUND)
		return 0;
	assert_int_equal(err, TL_OK);
	struct tl_reader reader = tl_reader(tl_slice(value, len));
	assert_true(tl_reader_uint(&reader, &mark));
	free(value);
	return mark;
}

/* Where the head is read before each append the mark stays close to it, from wherever it was (T4). */
static void test_mark_follows(void **state)
{
	struct fixture *f = *state;
	put_range(f, 1, 100);
	commit(f);
	assert_int_equal(read_mark(f), 64);
	for (uint64_t seq = 101; seq <= 300; seq++) {
		char *last;
		size_t len;
		uint64_t head;
		bool far;
		assert_int_equal(tl_timeline_head(f->engine, NULL, NULL, line, &head, &far, &last, &len), TL_OK);
		free(last);
		assert_int_equal(head, seq - 1);
		assert_int_equal(far, head >= read_mark(f) + 2);
		tl_timeline_append(f->batch, line, seq, tl_slice(&seq, sizeof seq), far);
		commit(f);
		assert_in_range(read_mark(f), seq - 2, seq);
		assert_bounds(f, 0, seq);
	}
	tl_timeline_put_floor(f->batch, line, 250);
	commit(f);
	assert_int_equal(read_mark(f), 0);
	assert_bounds(f, 250, 300);
}

/* It does not hide where the timeline ends. */
static void test_damaged_mark(void **state)
{
	struct fixture *f = *state;
	put_range(f, 1, 65);
	tl_batch_put(f->batch, line, tl_slice("", 1), tl_slice_str("\xcf\xff\xff\xff\xff\xff\xff\xff\xff"));
	commit(f);
	assert_bounds(f, 0, 65);
}

static void test_floor(void **state)
{
	struct fixture *f = *state;
	put_range(f, 11, 20);
	put_floor(f, 10);
	commit(f);
	assert_bounds(f, 10, 20);
}

/* Raising the floor takes the mark away, so that what is left below it of entries dropped leads nobody astray (T4). */
static void test_floor_and_mark(void **state)
{
	struct fixture *f = *state;
	struct tl_drop drop = {.limit = UINT64_MAX};
	put_range(f, 1, 103);
	tl_timeline_put_floor(f->batch, line, 103);
	commit(f);
	assert_int_equal(tl_engine_drop_range(f->engine, line, tl_slice("\1\x66", 2), tl_slice("\1\x67", 2), &drop), TL_OK);
	assert_int_equal(drop.keys, 1);
	for (uint64_t head = 103; head < 200; head++) {
		struct tl_bounds bounds;
		uint64_t found;
		char *last;
		size_t len;
		assert_int_equal(tl_timeline_head(f->engine, NULL, NULL, line, &found, &(bool){0}, &last, &len), TL_OK);
		assert_int_equal(found, head);
		assert_true(last && len == sizeof head && memcmp(last, &head, len) == 0);
		free(last);
		assert_int_equal(tl_timeline_bounds(f->engine, NULL, NULL, line, &bounds, NULL, NULL), TL_OK);
		assert_true(bounds.head == head && bounds.floor == 103);
		put_range(f, head + 1, head + 1);
		commit(f);
	}
}

/* A mark above the head, which nobody puts. */
static void test_high_mark(void **state)
{
	struct fixture *f = *state;
	put_range(f, 1, 70);
	tl_batch_put(f->batch, line, tl_slice("", 1), tl_slice_str("\xcd\x01\x00"));
	commit(f);
	assert_bounds(f, 0, 70);
}

/* With everything dropped the head is the floor (T2). */
static void test_everything_dropped(void **state)
{
	struct fixture *f = *state;
	put_floor(f, 300);
	commit(f);
	assert_bounds(f, 300, 300);
	put_range(f, 301, 301);
	commit(f);
	assert_bounds(f, 300, 301);
}

static void test_damaged_floor(void **state)
{
	struct fixture *f = *state;
	struct tl_bounds bounds;
	tl_batch_put(f->batch, line, tl_slice("", 0), tl_slice_str("\xc1"));
	commit(f);
	assert_int_equal(tl_timeline_bounds(f->engine, NULL, NULL, line, &bounds, NULL, NULL), TL_CORRUPT);
}

/* Only where a timeline ends below its floor are keys looked at. */
static void test_damaged_key(void **state)
{
	struct fixture *f = *state;
	struct tl_bounds bounds;
	put_floor(f, 1);
	tl_batch_put(f->batch, line, tl_slice("\x09oops", 5), tl_slice_str("x"));
	commit(f);
	assert_int_equal(tl_timeline_bounds(f->engine, NULL, NULL, line, &bounds, NULL, NULL), TL_CORRUPT);
}

static void test_snapshot_and_borrowed_iterator(void **state)
{
	struct fixture *f = *state;
	struct tl_snapshot *snapshot;
	struct tl_iter *iter;
	struct tl_bounds bounds;
	put_range(f, 1, 5);
	commit(f);
	assert_int_equal(tl_snapshot_new(f->engine, &snapshot), TL_OK);
	assert_int_equal(tl_iter_new(f->engine, snapshot, tl_partition(TL_PART_META, 0), true, &iter), TL_OK);
	put_range(f, 6, 9);
	commit(f);
	assert_int_equal(tl_timeline_bounds(f->engine, snapshot, iter, line, &bounds, NULL, NULL), TL_OK);
	assert_int_equal(bounds.head, 5);
	tl_iter_free(iter);
	assert_int_equal(tl_timeline_bounds(f->engine, snapshot, NULL, line, &bounds, NULL, NULL), TL_OK);
	assert_int_equal(bounds.head, 5);
	tl_snapshot_free(snapshot);
	assert_bounds(f, 0, 9);
}

static void test_cursor(void **state)
{
	struct fixture *f = *state;
	struct tl_cursor cursor;
	struct tl_iter *iter;
	put_floor(f, 250);
	put_range(f, 251, 260);
	commit(f);
	assert_int_equal(tl_iter_new(f->engine, NULL, tl_partition(TL_PART_META, 0), true, &iter), TL_OK);
	uint64_t seq = 251;
	for (bool there = tl_cursor_seek(&cursor, iter, line, seq); there; there = tl_cursor_next(&cursor), seq++) {
		assert_int_equal(cursor.seq, seq);
		assert_true(tl_slice_equal(cursor.entry, tl_slice(&seq, sizeof seq)));
	}
	assert_int_equal(seq, 261);
	assert_int_equal(tl_iter_error(iter), TL_OK);
	assert_true(tl_cursor_seek(&cursor, iter, line, 255));
	assert_int_equal(cursor.seq, 255);
	assert_false(tl_cursor_seek(&cursor, iter, line, 261));
	assert_false(tl_cursor_seek(&cursor, iter, line, UINT64_MAX));
	assert_true(tl_cursor_seek(&cursor, iter, tl_partition(TL_PART_INBOX, 8), 1));
	assert_true(tl_slice_equal(cursor.entry, tl_slice_str("above")));
	tl_iter_free(iter);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_empty),          TEST(test_append),      TEST(test_get_and_replace),
		TEST(test_mark),           TEST(test_mark_follows),      TEST(test_damaged_mark),
		TEST(test_floor),          TEST(test_damaged_key), TEST(test_everything_dropped),
		TEST(test_damaged_floor),  TEST(test_cursor),
		TEST(test_floor_and_mark), TEST(test_high_mark),        TEST(test_snapshot_and_borrowed_iterator),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
