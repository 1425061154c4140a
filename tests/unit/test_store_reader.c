/* Messages among events, found without reading the events: compared with looking at each entry, also where some cannot be read; and
 * how much is read for it. The engine's reads are wrapped by the linker (--wrap) and counted. TL_SEED in the environment repeats the
 * choices. */
#include "store_reader.h"

#include "database.h"
#include "database_fixture.h"
#include "message.h"
#include "rng.h"
#include "wrapped.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { ENTRIES = 400, NO = 7, MANY = 5000 };

enum entry { MESSAGE, EVENT, UNREADABLE_MESSAGE, UNREADABLE_EVENT };

struct fixture {
	struct temp_dir dir;
	struct tl_database db;
	struct tl_batch *batch;
	enum entry entries[MANY + 1]; /* by cseq */
	uint64_t head, running;
	struct rng rng;
};

static unsigned reads;

WRAPPED(tl_engine_get);
WRAPPED(tl_iter_seek);
WRAPPED(tl_iter_next);

enum tl_err __wrap_tl_engine_get(struct tl_engine *engine, const struct tl_snapshot *snapshot,
                                 struct tl_partition partition, struct tl_slice key, char **value_out, size_t *len_out)
{
	reads++;
	return __real_tl_engine_get(engine, snapshot, partition, key, value_out, len_out);
}

bool __wrap_tl_iter_seek(struct tl_iter *iter, struct tl_slice key)
{
	reads++;
	return __real_tl_iter_seek(iter, key);
}

bool __wrap_tl_iter_next(struct tl_iter *iter)
{
	reads++;
	return __real_tl_iter_next(iter);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	if (!f || !temp_dir_make(&f->dir))
		return -1;
	f->db = open_database(&f->dir);
	f->batch = new_batch(f->db.engine);
	f->rng.state = rng_seed();
	print_message("TL_SEED=%" PRIu64 "\n", f->rng.state);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	tl_batch_free(f->batch);
	tl_database_close(&f->db);
	temp_dir_remove(&f->dir);
	free(f);
	return 0;
}

static void append(struct fixture *f, enum entry entry)
{
	struct tl_pack message, value;
	tl_pack_init(&message);
	tl_pack_init(&value);
	tl_pack_map(&message, 2);
	tl_pack_cstr(&message, "ts");
	tl_pack_uint64_fixed(&message, f->head);
	tl_pack_cstr(&message, entry == EVENT ? "event" : "body");
	tl_pack_map(&message, 0);
	f->running += entry == MESSAGE || entry == UNREADABLE_MESSAGE;
	const struct tl_store_record record = {.position = 1, .running = f->running, .message = tl_pack_bytes(&message)};
	if (entry == MESSAGE || entry == EVENT)
		tl_store_record_pack(&value, &record);
	else
		tl_pack_nil(&value);
	f->entries[++f->head] = entry;
	tl_timeline_append(f->batch, tl_partition(TL_PART_STORE, NO), f->head, tl_pack_bytes(&value), false);
	tl_pack_fini(&message);
	tl_pack_fini(&value);
}

static void commit(struct fixture *f)
{
	commit_batch(f->db.engine, f->batch);
}

/* Runs of events between single messages and some in a row; some of either cannot be read. */
static void append_some(struct fixture *f, unsigned unreadable_percent)
{
	for (unsigned left = ENTRIES; left > 0;) {
		bool events = below(&f->rng, 2);
		for (unsigned run = 1 + below(&f->rng, events ? 40 : 3); run > 0 && left > 0; run--, left--) {
			bool unreadable = below(&f->rng, 100) < unreadable_percent;
			append(f, events ? (unreadable ? UNREADABLE_EVENT : EVENT) : unreadable ? UNREADABLE_MESSAGE : MESSAGE);
		}
	}
	commit(f);
}

static uint64_t expected(const struct fixture *f, uint64_t low, uint64_t high)
{
	while (low < high && f->entries[low] != MESSAGE)
		low++;
	return low;
}

static uint64_t find(struct tl_store_reader *reader, uint64_t low, uint64_t high)
{
	uint64_t found = 0;
	assert_int_equal(tl_store_reader_find_message(reader, NO, low, high, &found), TL_OK);
	return found;
}

static void check_all(struct fixture *f)
{
	struct tl_store_reader reader;
	tl_store_reader_init(&reader, f->db.engine, NULL);
	for (uint64_t low = 1; low <= f->head + 1; low++) {
		uint64_t high = low + below(&f->rng, (unsigned)(f->head + 2 - low));
		assert_int_equal(find(&reader, low, f->head + 1), expected(f, low, f->head + 1));
		assert_int_equal(find(&reader, low, high), expected(f, low, high));
	}
	tl_store_reader_fini(&reader);
}

static void test_found(void **state)
{
	struct fixture *f = *state;
	append_some(f, 0);
	check_all(f);
}

static void test_some_unreadable(void **state)
{
	struct fixture *f = *state;
	append_some(f, 5);
	append_some(f, 50);
	append_some(f, 95);
	check_all(f);
}

/* What is read goes with the logarithm of the events that lie before it. */
static void test_few_reads(void **state)
{
	struct fixture *f = *state;
	struct tl_store_reader reader;
	for (unsigned i = 1; i < MANY; i++)
		append(f, EVENT);
	append(f, MESSAGE);
	commit(f);
	tl_store_reader_init(&reader, f->db.engine, NULL);
	for (uint64_t low = 1; low <= MANY; low += 111) {
		reads = 0;
		assert_int_equal(find(&reader, low, MANY + 1), MANY);
		assert_in_range(reads, 1, 2 * 13 + 4);
		reads = 0;
		assert_int_equal(find(&reader, low, MANY), MANY); /* none */
		assert_in_range(reads, 0, 2 * 13 + 4);
	}
	tl_store_reader_fini(&reader);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(test_found), TEST(test_some_unreadable), TEST(test_few_reads)};
	return cmocka_run_group_tests_name("store_reader", tests, NULL, NULL);
}
