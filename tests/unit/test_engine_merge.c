/* Merging: when LevelDB merges tables by itself (storage/leveldb_env.h), and compacting, where it is told to (storage/engine.h).
 * Merging damaged tables is in test_engine_damage.c. */
#include "engine_fixture.h"

#include <stdlib.h>

static void add_number(int dir, const char *name, void *ctx)
{
	unsigned long *sum = ctx;
	(void)dir;
	*sum += strtoul(name, NULL, 10);
}

/* The tables, by the sum of their numbers, which are never used again. */
static unsigned long tables_of(const struct fixture *f)
{
	unsigned long sum = 0;
	each_file(f, ".ldb", add_number, &sum);
	return sum;
}

static void get_often(struct tl_engine *engine, uint64_t key_no, int times)
{
	unsigned char key[TL_ORDERED_INT_MAX];
	struct tl_slice slice = tl_slice(key, tl_ordered_int_put(key, key_no));
	for (int i = 0; i < times; i++) {
		char *value;
		size_t len;
		assert_int_equal(tl_engine_get(engine, NULL, home, slice, &value, &len), TL_OK);
		free(value);
	}
}

/* A get that looks into two tables is no reason to merge them. What LevelDB has put off for that delays nothing else: writing
 * many memtables, compacting, closing. */
static void test_reading_merges_nothing(void **state)
{
	enum { KEYS = 2000, GETS = 20000 }; /* LevelDB would merge after the first hundred */
	struct fixture *f = *state;
	struct tl_why why;
	put_random(f->engine, home, KEYS);
	compact(f->engine, home.kind, UINT64_MAX);
	put_random(f->engine, home, 1);
	unsigned char key[TL_ORDERED_INT_MAX];
	assert_int_equal(put(f->engine, home, tl_slice(key, tl_ordered_int_put(key, KEYS)), str("last")), TL_OK);
	assert_int_equal(tl_engine_reopen(f->engine, &why), TL_OK); /* makes a table that spans the other */
	get_often(f->engine, KEYS / 2, 1); /* opens both */

	unsigned long before = tables_of(f);
	get_often(f->engine, KEYS / 2, GETS);
	assert_int_equal(tables_of(f), before);

	for (uint64_t no = 100; no < 140; no++)
		put_random(f->engine, (struct tl_partition){home.kind, no, 0}, KEYS / 4);
	get_often(f->engine, KEYS / 2, GETS);
	compact(f->engine, home.kind, UINT64_MAX);
	get_often(f->engine, KEYS / 2, GETS);
	assert_int_equal(tl_engine_reopen(f->engine, &why), TL_OK);
	get_often(f->engine, KEYS / 2, 1);
}

static void test_size_and_compact(void **state)
{
	struct fixture *f = *state;
	const struct tl_partition last = {255, UINT64_MAX, 0};
	put_numbered(f->engine, home, 20000);
	put_numbered(f->engine, last, 20000);
	assert_int_equal(compact(f->engine, home.kind, UINT64_MAX), 1);
	assert_int_equal(compact(f->engine, last.kind, UINT64_MAX), 1);
	uint64_t whole = tl_engine_size(f->engine, home, str(""), str(""));
	uint64_t half = tl_engine_size(f->engine, home, str("10000"), str(""));
	assert_in_range(whole, 1000, 1000000);
	assert_in_range(half, whole / 4, whole * 3 / 4);
	assert_true(tl_engine_size(f->engine, last, str(""), str("")) > 1000);
	assert_int_equal(tl_engine_size(f->engine, (struct tl_partition){7, 44, 0}, str(""), str("")), 0);

	assert_int_equal(drop(f->engine, home, "", "", UINT64_MAX), 20000);
	compact(f->engine, home.kind, UINT64_MAX);
	assert_true(tl_engine_size(f->engine, home, str(""), str("")) < whole / 10);
	assert_int_equal(count_items(f->engine, last), 20000);
}

/* Many small partitions and a large one of a kind, compacted part by part: what was dropped is gone from the disk, what
 * was not is all there, and so is the next kind. */
static void test_compact_in_parts(void **state)
{
	struct fixture *f = *state;
	const struct tl_partition large = {10, 1000, 0}, next = {11, 1, 0};
	for (uint64_t no = 0; no < 500; no++)
		put_random(f->engine, (struct tl_partition){10, no * 7, 0}, 10);
	put_random(f->engine, large, 20000);
	put_random(f->engine, next, 5000);
	compact(f->engine, 10, UINT64_MAX);
	compact(f->engine, 11, UINT64_MAX);
	uint64_t whole = tl_engine_family_size(f->engine, 10), next_size = tl_engine_family_size(f->engine, 11);
	assert_in_range(whole, 6000000, 7500000);
	assert_in_range(next_size, 1200000, 1500000);

	unsigned parts = compact(f->engine, 10, 500000);
	assert_in_range(parts, whole / 600000, whole / 400000 + 1);
	for (uint64_t no = 0; no < 500; no += 2)
		assert_int_equal(drop(f->engine, (struct tl_partition){10, no * 7, 0}, "", "", UINT64_MAX), 10);
	assert_int_equal(drop(f->engine, large, "", "", 15000), 15000);
	assert_in_range(compact(f->engine, 10, 500000), 2, parts + 2);
	assert_in_range(tl_engine_family_size(f->engine, 10), whole / 5, whole / 3);
	assert_int_equal(count_items(f->engine, large), 5000);
	assert_int_equal(count_items(f->engine, (struct tl_partition){10, 7, 0}), 10);
	assert_int_equal(count_items(f->engine, (struct tl_partition){10, 14, 0}), 0);
	assert_int_equal(tl_engine_family_size(f->engine, 11), next_size);
	assert_int_equal(count_items(f->engine, next), 5000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_reading_merges_nothing),
		TEST(test_size_and_compact),
		TEST(test_compact_in_parts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
