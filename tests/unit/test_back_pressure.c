/* Back-pressure: when the front thread waits for the writer, and that this leaves a turn to all others. */
#include "back_pressure.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { MAX = 1000000, SEND_US = 10, SENDERS = 5000 };

static bool send(struct tl_back_pressure *pressure, uint64_t backlog, uint64_t *now_us)
{
	*now_us += SEND_US;
	bool waits = tl_back_pressure_wanted(pressure, backlog, MAX, *now_us);
	if (!waits)
		return false;
	*now_us += TL_BACK_PRESSURE_US;
	tl_back_pressure_waited(pressure, *now_us);
	return true;
}

static void test_room(void **state)
{
	struct tl_back_pressure pressure = {0};
	uint64_t now_us = 5;
	(void)state;
	for (unsigned i = 0; i < SENDERS; i++)
		assert_false(send(&pressure, MAX / 4 * 3, &now_us));
}

/* A single sender who waits for each ack is held up each time. */
static void test_one_sender(void **state)
{
	struct tl_back_pressure pressure = {0};
	uint64_t now_us = 5;
	(void)state;
	for (unsigned i = 0; i < 10; i++) {
		assert_true(send(&pressure, MAX / 4 * 3 + 1, &now_us));
		now_us += TL_BACK_PRESSURE_US;
	}
}

/* Of so many who send at once, how many are held up. */
static unsigned crowd(uint64_t backlog)
{
	struct tl_back_pressure pressure = {0};
	uint64_t now_us = 5;
	unsigned waits = 0;
	for (unsigned i = 0; i < SENDERS; i++)
		waits += send(&pressure, backlog, &now_us);
	return waits;
}

/* However many send, others have their turns; shorter ones the fuller the queue is. */
static void test_a_crowd(void **state)
{
	const unsigned turns = SENDERS * SEND_US / TL_BACK_PRESSURE_US; /* as long as a wait */
	(void)state;
	assert_in_range(crowd(MAX / 4 * 3 + 1), turns - 1, turns + 1);
	assert_in_range(crowd(MAX / 8 * 7), 2 * turns - turns / 10, 2 * turns + 1);
	assert_in_range(crowd(MAX), 4 * turns - turns / 10, 4 * turns + 1);
	assert_in_range(crowd(2 * MAX), 4 * turns - turns / 10, 4 * turns + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_room), cmocka_unit_test(test_one_sender),
	                                   cmocka_unit_test(test_a_crowd)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
