#include "pacing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const uint64_t START = 1000000000000, SECOND = 1000000000;

static unsigned take_all(struct tl_pacing *pacing, uint64_t now_ns)
{
	unsigned count = 0;
	while (tl_pacing_take(pacing, now_ns))
		count++;
	return count;
}

static void test_some_at_once(void **state)
{
	struct tl_pacing pacing = {0};
	(void)state;
	assert_int_equal(take_all(&pacing, START), TL_PACING_MAX);
	assert_int_equal(take_all(&pacing, START), 0);
}

static void test_some_leave_with_time(void **state)
{
	struct tl_pacing pacing = {0};
	(void)state;
	take_all(&pacing, START);
	assert_int_equal(take_all(&pacing, START + SECOND / 10), TL_PACING_PER_S / 10);
	assert_int_equal(take_all(&pacing, START + 10 * SECOND), TL_PACING_MAX);
}

static void test_one_leaves_with_each_that_comes(void **state)
{
	struct tl_pacing pacing = {0};
	(void)state;
	take_all(&pacing, START);
	for (int i = 0; i < 10; i++)
		tl_pacing_heard(&pacing);
	assert_int_equal(take_all(&pacing, START), 10);
}

/* What comes before there is anything to leave makes no more room. */
static void test_nothing_is_saved_up(void **state)
{
	struct tl_pacing pacing = {0};
	(void)state;
	for (int i = 0; i < 10; i++)
		tl_pacing_heard(&pacing);
	assert_int_equal(take_all(&pacing, START), TL_PACING_MAX);
	for (int i = 0; i < 2 * TL_PACING_MAX; i++)
		tl_pacing_heard(&pacing);
	assert_int_equal(take_all(&pacing, START), TL_PACING_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_some_at_once),
		cmocka_unit_test(test_some_leave_with_time),
		cmocka_unit_test(test_one_leaves_with_each_that_comes),
		cmocka_unit_test(test_nothing_is_saved_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
