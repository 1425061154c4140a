/* Back-pressure: when the front thread waits for the writer, and that this leaves a turn to all others. */
#include "back_pressure.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { MAX = 1000000, SENDERS = 5000 };

/* So many send at once: how many of them are held up. */
static unsigned turn(struct tl_back_pressure *pressure, uint64_t backlog)
{
	unsigned waits = 0;
	for (unsigned i = 0; i < SENDERS; i++)
		waits += tl_back_pressure_wanted(pressure, backlog, MAX);
	tl_back_pressure_next_turn(pressure);
	return waits;
}

static void test_room(void **state)
{
	struct tl_back_pressure pressure = {0};
	(void)state;
	assert_int_equal(turn(&pressure, 0), 0);
	assert_int_equal(turn(&pressure, MAX / 4 * 3), 0);
}

static void test_a_few_senders(void **state)
{
	struct tl_back_pressure pressure = {0};
	(void)state;
	for (unsigned i = 0; i < 10; i++) {
		for (unsigned sender = 0; sender < TL_BACK_PRESSURE_WAITS; sender++)
			assert_true(tl_back_pressure_wanted(&pressure, MAX / 4 * 3 + 1, MAX));
		tl_back_pressure_next_turn(&pressure);
	}
}

/* However many send, a turn comes to its end. */
static void test_a_crowd(void **state)
{
	struct tl_back_pressure pressure = {0};
	(void)state;
	assert_int_equal(turn(&pressure, MAX / 4 * 3 + 1), TL_BACK_PRESSURE_WAITS);
	assert_int_equal(turn(&pressure, MAX), TL_BACK_PRESSURE_WAITS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_room), cmocka_unit_test(test_a_few_senders),
	                                   cmocka_unit_test(test_a_crowd)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
