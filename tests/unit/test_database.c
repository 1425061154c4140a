/* The database as a whole: new, opened again, of a newer format; and its numbers, which never name two things. */
#include "database.h"

#include "temp_dir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct fixture {
	struct temp_dir dir;
	struct tl_engine_options options;
	struct tl_database db;
};

static void open_db(struct fixture *f)
{
	struct tl_why why;
	if (tl_database_open(&f->options, &f->db, &why) != TL_OK)
		fail_msg("%s", why.text);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	if (!f || !temp_dir_make(&f->dir))
		return -1;
	f->options = temp_dir_engine(&f->dir);
	open_db(f);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	tl_database_close(&f->db);
	temp_dir_remove(&f->dir);
	free(f);
	return 0;
}

static uint64_t read_uint(const struct fixture *f, const char *key)
{
	uint64_t value = UINT64_MAX;
	assert_int_equal(tl_database_read_uint(&f->db, key, &value), TL_OK);
	return value;
}

static void write_meta(struct fixture *f, const char *key, struct tl_slice value)
{
	struct tl_batch *batch;
	assert_int_equal(tl_batch_new(f->db.engine, &batch), TL_OK);
	tl_batch_put(batch, tl_partition(TL_PART_META, 0), tl_slice_str(key), value);
	assert_int_equal(tl_engine_commit(f->db.engine, batch, true, NULL), TL_OK);
	tl_batch_free(batch);
}

static void test_fresh(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(strlen(f->db.epoch), TL_EPOCH_BYTES);
	assert_int_equal(strspn(f->db.epoch, "0123456789abcdef"), TL_EPOCH_BYTES);
	assert_int_equal(read_uint(f, TL_META_FORMAT), TL_FORMAT_VERSION);
	assert_true(read_uint(f, TL_META_WATERMARK) > 0); /* 0 means none */
	assert_int_equal(read_uint(f, TL_META_SECRET), f->db.secret);
	assert_int_equal(read_uint(f, "no such key"), 0);
}

static void test_opened_again(void **state)
{
	struct fixture *f = *state;
	struct tl_database before = f->db;
	struct tl_batch *batch;
	assert_int_equal(tl_batch_new(f->db.engine, &batch), TL_OK);
	tl_database_put_uint(batch, TL_META_WATERMARK, 12345);
	assert_int_equal(tl_engine_commit(f->db.engine, batch, true, NULL), TL_OK);
	tl_batch_free(batch);
	tl_database_close(&f->db);
	assert_null(f->db.engine);
	open_db(f);
	assert_string_equal(f->db.epoch, before.epoch);
	assert_int_equal(f->db.secret, before.secret);
	assert_int_equal(read_uint(f, TL_META_WATERMARK), 12345);
}

static void test_lives_differ(void **state)
{
	struct fixture *f = *state;
	struct tl_database first = f->db;
	tl_database_close(&f->db);
	temp_dir_remove(&f->dir);
	assert_true(temp_dir_make(&f->dir));
	open_db(f);
	assert_string_not_equal(f->db.epoch, first.epoch);
	assert_int_not_equal(f->db.secret, first.secret);
}

static void assert_meta(struct tl_engine *engine, const char *key, struct tl_slice expected)
{
	char *value;
	size_t len;
	assert_int_equal(
		tl_engine_get(engine, NULL, tl_partition(TL_PART_META, 0), tl_slice_str(key), &value, &len), TL_OK);
	assert_true(tl_slice_equal(tl_slice(value, len), expected));
	free(value);
}

/* A database of another format is refused with the number in the reason, and untouched. */
static void refuse_format(struct fixture *f, const char *packed, const char *number)
{
	struct tl_database untouched = {.epoch = "untouched"};
	struct tl_why why = {""};
	struct tl_engine *engine;
	write_meta(f, TL_META_FORMAT, tl_slice_str(packed));
	write_meta(f, TL_META_EPOCH, tl_slice_str("\xa5later"));
	tl_database_close(&f->db);
	assert_int_equal(tl_database_open(&f->options, &untouched, &why), TL_VERSION);
	assert_non_null(strstr(why.text, number));
	assert_string_equal(untouched.epoch, "untouched");
	assert_int_equal(tl_engine_open_leveldb(&f->options, &engine, &why), TL_OK); /* not locked any more */
	assert_meta(engine, TL_META_FORMAT, tl_slice_str(packed));
	assert_meta(engine, TL_META_EPOCH, tl_slice_str("\xa5later"));
	tl_engine_close(engine);
}

static void test_newer_format(void **state)
{
	refuse_format(*state, "\x05", "format 5");
}

static void test_older_format(void **state)
{
	refuse_format(*state, "\x03", "format 3");
}

static void assert_refused(struct fixture *f, const char *key, struct tl_slice value)
{
	struct tl_why why = {""};
	write_meta(f, key, value);
	tl_database_close(&f->db);
	assert_int_equal(tl_database_open(&f->options, &f->db, &why), TL_CORRUPT);
	assert_true(why.text[0] != '\0');
	f->db.engine = NULL;
}

static void test_damaged_format(void **state)
{
	assert_refused(*state, TL_META_FORMAT, tl_slice_str("\xa1x"));
}

static void test_damaged_epoch(void **state)
{
	assert_refused(*state, TL_META_EPOCH, tl_slice_str("\xa3" "abc"));
}

static void test_locked(void **state)
{
	struct fixture *f = *state;
	struct tl_database other;
	struct tl_why why;
	assert_int_equal(tl_database_open(&f->options, &other, &why), TL_LOCKED);
}

static uint64_t take(struct fixture *f, struct tl_numbers *numbers)
{
	uint64_t no = 0;
	assert_int_equal(tl_numbers_take(numbers, &f->db, &no), TL_OK);
	return no;
}

static void test_numbers(void **state)
{
	struct fixture *f = *state;
	struct tl_numbers users = {.key = TL_META_NEXT_USER}, conversations = {.key = TL_META_NEXT_CONVERSATION};
	for (uint64_t no = 1; no <= 3000; no++) {
		assert_int_equal(take(f, &users), no);
		assert_true(read_uint(f, TL_META_NEXT_USER) > no); /* reserved before it is used */
	}
	assert_int_equal(take(f, &conversations), 1);
}

static void test_numbers_over_reopen(void **state)
{
	struct fixture *f = *state;
	uint64_t last = 0;
	for (int i = 0; i < 5; i++) {
		struct tl_numbers users = {.key = TL_META_NEXT_USER};
		for (int j = 0; j < 700; j++) {
			uint64_t no = take(f, &users);
			assert_true(no > last);
			last = no;
		}
		tl_database_close(&f->db);
		open_db(f);
	}
}

/* A failed reservation gives no number; after the writer's recovery none comes twice. */
static void test_numbers_over_failure(void **state)
{
	struct fixture *f = *state;
	struct tl_numbers users = {.key = TL_META_NEXT_USER};
	char current[300], aside[300];
	uint64_t no = 0, last = 0;
	for (int i = 0; i < 1024; i++)
		last = take(f, &users);
	snprintf(current, sizeof current, "%s/CURRENT", f->dir.db);
	snprintf(aside, sizeof aside, "%s/CURRENT", f->dir.path);
	assert_int_equal(rename(current, aside), 0);
	assert_int_not_equal(tl_engine_reopen(f->db.engine, NULL), TL_OK); /* out of order from now on */
	assert_int_not_equal(tl_numbers_take(&users, &f->db, &no), TL_OK);
	assert_int_equal(no, 0);
	assert_int_equal(rename(aside, current), 0);
	assert_int_equal(tl_engine_reopen(f->db.engine, NULL), TL_OK);
	for (int i = 0; i < 2000; i++) {
		no = take(f, &users);
		assert_true(no > last);
		last = no;
	}
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_fresh),   TEST(test_opened_again), TEST(test_lives_differ),        TEST(test_newer_format), TEST(test_older_format),
		TEST(test_locked),  TEST(test_numbers),      TEST(test_numbers_over_reopen), TEST(test_damaged_format),
		TEST(test_damaged_epoch), TEST(test_numbers_over_failure),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
