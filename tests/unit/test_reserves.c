/* What malloc is to keep, on a clock of the test's own and in a broker of any size; and whether malloc does so. */
#include "reserves.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <cmocka.h>

enum { SMALL = 1000, LARGE = 100 * 1024, MIB = 1024 * 1024, START_MS = 5000, QUIET_MS = 10000 };

/* A message of so many bytes in a broker that takes so many MiB: whether large pieces are kept then. */
static bool comes(struct tl_reserves *reserves, size_t bytes, uint64_t resident_mib, uint64_t now_ms)
{
	struct tl_resident resident = {.looked_ms = now_ms, .bytes = resident_mib * MIB};
	if (tl_reserves_is_large(bytes))
		tl_reserves_large_message(reserves, &resident, now_ms);
	return reserves->raised;
}

static bool ticks(struct tl_reserves *reserves, uint64_t resident_mib, uint64_t now_ms)
{
	struct tl_resident resident = {.looked_ms = now_ms, .bytes = resident_mib * MIB};
	tl_reserves_tick(reserves, &resident, now_ms);
	return reserves->raised;
}

static void test_large_pieces_are_kept_while_large_messages_come(void **state)
{
	struct tl_reserves reserves = {0};
	(void)state;

	assert_false(comes(&reserves, SMALL, 20, START_MS));
	assert_true(comes(&reserves, LARGE, 20, START_MS));
	assert_true(comes(&reserves, SMALL, 20, START_MS + 1));
	assert_true(ticks(&reserves, 20, START_MS + QUIET_MS - 1));
	assert_true(comes(&reserves, LARGE, 20, START_MS + QUIET_MS - 1));
	assert_true(ticks(&reserves, 20, START_MS + QUIET_MS));
	assert_false(ticks(&reserves, 20, START_MS + 2 * QUIET_MS));
	assert_true(comes(&reserves, LARGE, 20, START_MS + 3 * QUIET_MS));
}

static void test_a_clock_that_is_set_back_ends_it(void **state)
{
	struct tl_reserves reserves = {0};
	(void)state;

	assert_true(comes(&reserves, LARGE, 20, START_MS));
	assert_false(ticks(&reserves, 20, START_MS - 1));
	assert_true(comes(&reserves, LARGE, 20, START_MS - 1));
}

static void test_not_in_a_broker_that_has_grown(void **state)
{
	struct tl_reserves reserves = {0};
	(void)state;

	assert_true(comes(&reserves, LARGE, 200, START_MS));
	assert_true(ticks(&reserves, 263, START_MS + 1));
	assert_false(ticks(&reserves, 264, START_MS + 2));
	assert_false(comes(&reserves, LARGE, 264, START_MS + 3));
	assert_true(comes(&reserves, LARGE, 263, START_MS + 4)); /* what had made it large has gone */
	assert_false(comes(&reserves, LARGE, 300, START_MS + QUIET_MS));
	assert_true(comes(&reserves, LARGE, 300, START_MS + 3 * QUIET_MS)); /* that is its size now */
}

static void test_not_where_the_size_is_unknown(void **state)
{
	struct tl_reserves reserves = {0};
	struct tl_resident resident = {.looked_ms = START_MS, .bytes = UINT64_MAX};
	(void)state;

	tl_reserves_large_message(&reserves, &resident, START_MS);
	assert_false(reserves.raised);
}

/* How many pages the system gives while a piece is used and freed again and again. */
static long pages_given(size_t bytes)
{
	enum { TIMES = 50 };
	struct rusage before, after;
	getrusage(RUSAGE_SELF, &before);
	for (int i = 0; i < TIMES; i++) {
		volatile char *piece = malloc(bytes);
		assert_non_null(piece);
		for (size_t at = 0; at < bytes; at += 1024)
			piece[at] = 1;
		free((void *)piece);
	}
	getrusage(RUSAGE_SELF, &after);
	return (after.ru_minflt - before.ru_minflt) / TIMES;
}

/* Whether malloc does what it is told: other C libraries and sanitizers have one that does not. */
static bool malloc_obeys(size_t bytes)
{
	bool kept = false;
	tl_reserves_init();
#ifdef M_MMAP_THRESHOLD
	if (pages_given(bytes) == 0 || mallopt(M_MMAP_THRESHOLD, 2 * MIB) == 0)
		return false;
	(void)pages_given(bytes);
	kept = pages_given(bytes) == 0;
#endif
	tl_reserves_init();
	return kept;
}

/* Each time with pieces too large for what has been kept before. */
static void test_malloc_does_so(void **state)
{
	struct tl_reserves reserves = {0};
	(void)state;

	if (!malloc_obeys(MIB / 4))
		skip();
	assert_true(comes(&reserves, LARGE, 20, START_MS));
	(void)pages_given(MIB / 2 + MIB / 4);
	assert_int_equal(pages_given(MIB / 2 + MIB / 4), 0);
	assert_false(ticks(&reserves, 20, START_MS + QUIET_MS));
	assert_true(pages_given(MIB + MIB / 2) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_large_pieces_are_kept_while_large_messages_come),
		cmocka_unit_test(test_a_clock_that_is_set_back_ends_it),
		cmocka_unit_test(test_not_in_a_broker_that_has_grown),
		cmocka_unit_test(test_not_where_the_size_is_unknown),
		cmocka_unit_test(test_malloc_does_so),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
