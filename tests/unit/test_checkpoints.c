/* Device checkpoints: noted in memory, found at once, written with the next batch, kept over failure and close. */
#include "checkpoints.h"

#include "database_fixture.h"
#include "msgpack_reader.h"
#include "records.h"
#include "store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
	struct temp_dir dir;
	struct tl_engine *engine;
	struct tl_batch *batch;
	struct tl_checkpoints checkpoints;
	struct tl_due due; /* nobody looks */
	uint64_t ttl_ms, now;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	if (!f || !temp_dir_make(&f->dir))
		return -1;
	f->engine = open_engine(&f->dir);
	f->batch = new_batch(f->engine);
	assert_int_equal(tl_checkpoints_init(&f->checkpoints), TL_OK);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	tl_checkpoints_fini(&f->checkpoints);
	tl_batch_free(f->batch);
	tl_engine_close(f->engine);
	temp_dir_remove(&f->dir);
	free(f);
	return 0;
}

static void note(struct fixture *f, uint64_t user_no, const char *device, uint64_t after)
{
	tl_checkpoints_note(&f->checkpoints, user_no, tl_slice_str(device), after, 1000);
}

static void assert_at(struct fixture *f, uint64_t user_no, const char *device, uint64_t expected)
{
	uint64_t after = UINT64_MAX;
	assert_int_equal(tl_checkpoints_find(&f->checkpoints, f->engine, user_no, tl_slice_str(device), f->ttl_ms,
	                                     f->now, &after), TL_OK);
	assert_int_equal(after, expected);
}

static void assert_none(struct fixture *f, uint64_t user_no, const char *device)
{
	uint64_t after;
	assert_int_equal(tl_checkpoints_find(&f->checkpoints, f->engine, user_no, tl_slice_str(device), f->ttl_ms,
	                                     f->now, &after),
	                 TL_NOT_FOUND);
}

static void collect(struct fixture *f, bool committed)
{
	tl_batch_clear(f->batch);
	tl_checkpoints_collect(&f->checkpoints, f->batch, &f->due, f->ttl_ms);
	if (committed)
		assert_int_equal(tl_engine_commit(f->engine, f->batch, false, NULL), TL_OK);
	tl_checkpoints_settle(&f->checkpoints, committed);
}

/* Forgets what is in memory. */
static void start_anew(struct fixture *f)
{
	tl_checkpoints_fini(&f->checkpoints);
	assert_int_equal(tl_checkpoints_init(&f->checkpoints), TL_OK);
}

static void test_noted(void **state)
{
	struct fixture *f = *state;
	assert_none(f, 1, "phone");
	assert_false(tl_checkpoints_pending(&f->checkpoints));
	note(f, 1, "phone", 5);
	note(f, 1, "laptop", 6);
	note(f, 2, "phone", 7);
	note(f, 1, "phone", 4); /* back is allowed, too: it is what the device said last */
	assert_true(tl_checkpoints_pending(&f->checkpoints));
	assert_at(f, 1, "phone", 4);
	assert_at(f, 1, "laptop", 6);
	assert_at(f, 2, "phone", 7);
	assert_none(f, 2, "laptop");
	assert_none(f, 1, "phon");
}

static void test_written(void **state)
{
	struct fixture *f = *state;
	note(f, 1, "phone", 5);
	note(f, 300, "phone", 0);
	collect(f, true);
	assert_int_equal(tl_batch_count(f->batch), 2);
	assert_false(tl_checkpoints_pending(&f->checkpoints));
	start_anew(f);
	assert_at(f, 1, "phone", 5);
	assert_at(f, 300, "phone", 0);
	collect(f, true);
	assert_int_equal(tl_batch_count(f->batch), 0);
}

static void test_found_while_in_batch(void **state)
{
	struct fixture *f = *state;
	note(f, 1, "phone", 5);
	tl_checkpoints_collect(&f->checkpoints, f->batch, &f->due, f->ttl_ms);
	assert_at(f, 1, "phone", 5);
	note(f, 1, "phone", 6);
	assert_at(f, 1, "phone", 6);
	assert_int_equal(tl_engine_commit(f->engine, f->batch, false, NULL), TL_OK);
	tl_checkpoints_settle(&f->checkpoints, true);
	assert_at(f, 1, "phone", 6);
	assert_true(tl_checkpoints_pending(&f->checkpoints));
}

/* A device that was not seen for as long as devices are remembered is as if it had never been; a marker says when. */
static void test_forgotten(void **state)
{
	struct fixture *f = *state;
	f->ttl_ms = 8000;
	note(f, 1, "phone", 5); /* seen at 1000 */
	collect(f, true);
	assert_int_equal(tl_batch_count(f->batch), 2); /* the marker */
	f->now = 8999;
	assert_at(f, 1, "phone", 5);
	f->now = 9000;
	assert_none(f, 1, "phone");
	f->ttl_ms = 0;
	assert_at(f, 1, "phone", 5);
}

/* What a device said in another life of the database means nothing in this one. */
static void test_of_another_life(void **state)
{
	struct fixture *f = *state;
	note(f, 1, "phone", 5);
	collect(f, true);
	f->checkpoints.life = 1;
	assert_none(f, 1, "phone");
	note(f, 1, "phone", 2);
	collect(f, true);
	assert_at(f, 1, "phone", 2);
	f->checkpoints.life = 2;
	assert_none(f, 1, "phone");
}

/* What a failed batch held goes along again, unless there is something newer. */
static void test_failed_batch(void **state)
{
	struct fixture *f = *state;
	note(f, 1, "phone", 5);
	note(f, 1, "laptop", 8);
	collect(f, false);
	assert_true(tl_checkpoints_pending(&f->checkpoints));
	note(f, 1, "phone", 6);
	collect(f, true);
	assert_int_equal(tl_batch_count(f->batch), 2);
	start_anew(f);
	assert_at(f, 1, "phone", 6);
	assert_at(f, 1, "laptop", 8);
}

static void test_damaged(void **state)
{
	struct fixture *f = *state;
	uint64_t after;
	tl_batch_put(f->batch, tl_partition(TL_PART_DEVICES, 1), tl_slice_str("phone"), tl_slice_str("\x91"));
	assert_int_equal(tl_engine_commit(f->engine, f->batch, false, NULL), TL_OK);
	assert_int_equal(tl_checkpoints_find(&f->checkpoints, f->engine, 1, tl_slice_str("phone"), 0, 0, &after), TL_CORRUPT);
}

/* --- through the store --- */

static void on_committed(void *ctx, const struct tl_commit *commit)
{
	(void)ctx, (void)commit;
}

static void on_log(void *ctx, enum tl_log level, const char *text)
{
	(void)ctx, (void)level, (void)text;
}

static struct tl_store *open_store(const char *dir)
{
	const struct tl_store_options options = {
		.dir = dir, .durability = TL_DURABILITY_OS, .queue_max_bytes = 1 << 20, .block_cache_bytes = 1 << 20,
		.write_buffer_bytes = 1 << 20, .cached_users = 10, .cached_conversations = 10,
		.limits = {.server = "test"}, .events = {NULL, on_committed, on_log},
	};
	struct tl_store *store;
	struct tl_why why;
	assert_int_equal(tl_store_open(&options, &store, &why), TL_OK);
	return store;
}

static uint64_t sync_next(struct tl_store *store, struct tl_slice args)
{
	struct tl_answer answer;
	struct tl_pack map;
	struct tl_reader reader;
	uint64_t next = UINT64_MAX;
	const struct tl_call call = {.user = {"alice", 5}, .device = {"phone", 5}, .raw = args, .now = 1};
	tl_answer_init(&answer);
	assert_int_equal(tl_store_read(store, tl_request_find(tl_slice_str("sync")), call, &answer), TL_OK);
	tl_pack_init(&map);
	tl_pack_map(&map, answer.field_count);
	tl_pack_raw(&map, tl_pack_bytes(&answer.fields));
	assert_true(tl_msgpack_find(tl_pack_bytes(&map), "next", &reader) && tl_reader_uint(&reader, &next));
	tl_answer_fini(&answer);
	tl_pack_fini(&map);
	return next;
}

static void send_three(struct tl_store *store)
{
	const struct tl_submission from = {{"", 0}, {"alice", 5}, {"phone", 5}};
	for (int i = 0; i < 3; i++) {
		struct tl_message message = {.ts = 1, .from = from.user, .device = from.device, .type = {"text", 4}};
		assert_int_equal(tl_store_send(store, &from, true, tl_slice_str("bob"), tl_slice("", 0), &message,
		                               tl_slice("", 0)),
		                 TL_OK);
	}
	while (tl_store_stats(store).queue_bytes > 0)
		usleep(1000);
}

/* kill -9 may lose the last second; a shutdown does not. */
static void test_close_keeps_them(void **state)
{
	struct temp_dir dir;
	(void)state;
	assert_true(temp_dir_make(&dir));
	struct tl_store *store = open_store(dir.path);
	send_three(store);
	assert_int_equal(sync_next(store, tl_slice_str("\x81\xa5" "after\x03")), 3);
	tl_store_close(store);
	store = open_store(dir.path);
	/* One message at most from the checkpoint on: from 3 there is none, from the floor it would be the first. */
	uint64_t next = sync_next(store, tl_slice_str("\x81\xa5limit\x01"));
	tl_store_close(store);
	temp_dir_remove(&dir);
	assert_int_equal(next, 3);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_noted),        TEST(test_written), TEST(test_found_while_in_batch),
		TEST(test_forgotten), TEST(test_of_another_life), TEST(test_failed_batch), TEST(test_damaged), cmocka_unit_test(test_close_keeps_them),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
