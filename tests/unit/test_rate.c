/* What a user may send and ask (R1 to R3), on a clock of the test's own. */
#include "rate.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define SECOND UINT64_C(1000000000)

static struct tl_rates *rates_of(uint64_t messages, uint64_t burst, uint64_t requests)
{
	const struct tl_rate limits[TL_RATE_KINDS] = {
		[TL_RATE_MESSAGES] = {messages, burst},
		[TL_RATE_REQUESTS] = {requests, burst},
	};
	struct tl_rates *rates;
	assert_int_equal(tl_rates_new(limits, &rates), TL_OK);
	return rates;
}

/* How many of `tries` messages are granted at a time. */
static int granted(struct tl_rates *rates, struct tl_allowance *allowance, int tries, uint64_t now)
{
	int count = 0;
	for (int i = 0; i < tries; i++)
		count += tl_rates_take(rates, allowance, TL_RATE_MESSAGES, now);
	return count;
}

static void test_burst_then_rate(void **state)
{
	struct tl_rates *rates = rates_of(10, 5, 0);
	struct tl_allowance *alice = tl_rates_enter(rates, tl_slice_str("alice"));
	uint64_t now = 7 * SECOND;
	(void)state;
	assert_int_equal(granted(rates, alice, 100, now), 5);
	assert_int_equal(granted(rates, alice, 100, now + SECOND / 10 - 1), 0);
	assert_int_equal(granted(rates, alice, 100, now + SECOND / 10), 1);
	assert_int_equal(granted(rates, alice, 100, now + SECOND / 2), 4);
	assert_int_equal(granted(rates, alice, 100, now + 100 * SECOND), 5); /* never more than a burst */
	tl_rates_leave(rates, alice, now);
	tl_rates_free(rates);
}

/* (R3) */
static void test_sending_too_fast_gets_the_rate(void **state)
{
	struct tl_rates *rates = rates_of(100, 1, 0);
	struct tl_allowance *alice = tl_rates_enter(rates, tl_slice_str("alice"));
	int count = 0;
	(void)state;
	for (uint64_t ms = 0; ms < 10000; ms++)
		count += granted(rates, alice, 3, SECOND + ms * 1000000);
	assert_int_equal(count, 1000);
	tl_rates_leave(rates, alice, SECOND);
	tl_rates_free(rates);
}

static void test_of_a_user_and_not_of_a_connection(void **state)
{
	struct tl_rates *rates = rates_of(1, 4, 0);
	struct tl_allowance *phone = tl_rates_enter(rates, tl_slice_str("alice"));
	struct tl_allowance *laptop = tl_rates_enter(rates, tl_slice_str("alice"));
	struct tl_allowance *bob = tl_rates_enter(rates, tl_slice_str("bob"));
	(void)state;
	assert_ptr_equal(phone, laptop);
	assert_int_equal(granted(rates, phone, 3, SECOND) + granted(rates, laptop, 3, SECOND), 4);
	assert_int_equal(granted(rates, bob, 9, SECOND), 4);
	tl_rates_leave(rates, phone, SECOND);
	assert_int_equal(granted(rates, laptop, 1, SECOND), 0);
	tl_rates_leave(rates, laptop, SECOND);
	tl_rates_leave(rates, bob, SECOND);
	tl_rates_free(rates);
}

/* (R2) */
static void test_connecting_again_gains_nothing(void **state)
{
	struct tl_rates *rates = rates_of(1, 4, 0);
	int count = 0;
	(void)state;
	for (int i = 0; i < 10; i++) {
		struct tl_allowance *alice = tl_rates_enter(rates, tl_slice_str("alice"));
		count += granted(rates, alice, 4, SECOND);
		tl_rates_leave(rates, alice, SECOND);
	}
	assert_int_equal(count, 4);
	struct tl_allowance *later = tl_rates_enter(rates, tl_slice_str("alice"));
	assert_int_equal(granted(rates, later, 4, 3 * SECOND), 2);
	tl_rates_leave(rates, later, 3 * SECOND);
	tl_rates_free(rates);
}

/* (R2): of more users than are kept, the earliest are forgotten and have a whole burst again. */
static void test_a_bounded_number_is_kept(void **state)
{
	struct tl_rates *rates = rates_of(1, 2, 0);
	int count = 0;
	char uid[32];
	(void)state;
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < 150000; i++) {
			snprintf(uid, sizeof uid, "user%d", i);
			struct tl_allowance *user = tl_rates_enter(rates, tl_slice_str(uid));
			count += granted(rates, user, 2, SECOND);
			tl_rates_leave(rates, user, SECOND);
		}
	assert_int_equal(count, 2 * 2 * 150000);
	/* Those who came last are still known. */
	struct tl_allowance *last = tl_rates_enter(rates, tl_slice_str("user149999"));
	assert_int_equal(granted(rates, last, 2, SECOND), 0);
	tl_rates_leave(rates, last, SECOND);
	tl_rates_free(rates);
}

static void test_kinds_do_not_share(void **state)
{
	struct tl_rates *rates = rates_of(1, 2, 1);
	struct tl_allowance *alice = tl_rates_enter(rates, tl_slice_str("alice"));
	(void)state;
	assert_int_equal(granted(rates, alice, 9, SECOND), 2);
	assert_true(tl_rates_take(rates, alice, TL_RATE_REQUESTS, SECOND));
	assert_true(tl_rates_take(rates, alice, TL_RATE_REQUESTS, SECOND));
	assert_false(tl_rates_take(rates, alice, TL_RATE_REQUESTS, SECOND));
	tl_rates_leave(rates, alice, SECOND);
	tl_rates_free(rates);
}

static void test_no_limit(void **state)
{
	struct tl_rates *rates = rates_of(0, 1, 0);
	(void)state;
	assert_null(tl_rates_enter(rates, tl_slice_str("alice")));
	assert_int_equal(granted(rates, NULL, 1000, SECOND), 1000);
	tl_rates_leave(rates, NULL, SECOND);
	tl_rates_free(rates);
	rates = rates_of(0, 1, 1);
	struct tl_allowance *alice = tl_rates_enter(rates, tl_slice_str("alice"));
	assert_int_equal(granted(rates, alice, 1000, SECOND), 1000);
	tl_rates_leave(rates, alice, SECOND);
	tl_rates_free(rates);
	tl_rates_free(NULL);
}

static void test_the_greatest_rate_and_burst(void **state)
{
	struct tl_rates *rates = rates_of(1000000, 10000000, 1);
	struct tl_allowance *alice = tl_rates_enter(rates, tl_slice_str("alice"));
	(void)state;
	assert_int_equal(granted(rates, alice, 10000001, SECOND), 10000000);
	assert_int_equal(granted(rates, alice, 2, SECOND + 1000), 1);
	tl_rates_leave(rates, alice, SECOND);
	tl_rates_free(rates);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_burst_then_rate),
		cmocka_unit_test(test_sending_too_fast_gets_the_rate),
		cmocka_unit_test(test_of_a_user_and_not_of_a_connection),
		cmocka_unit_test(test_connecting_again_gains_nothing),
		cmocka_unit_test(test_a_bounded_number_is_kept),
		cmocka_unit_test(test_kinds_do_not_share),
		cmocka_unit_test(test_no_limit),
		cmocka_unit_test(test_the_greatest_rate_and_burst),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
