/* The waker against a broker in miniature: sleep, events now and then, tick; and workers that hand over and wake. A wake
 * that is lost shows as a sleep that lasts. */
#include "waker.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { ITEMS = 20000, ASLEEP_MS = 20000 };

struct shared {
	struct tl_waker *waker;
	_Atomic unsigned handed_over, taken;
};

/* Hands over one item after the other, the next when the last was taken. */
static void *work(void *argument)
{
	struct shared *shared = argument;
	for (unsigned item = 1; item <= ITEMS; item++) {
		atomic_store(&shared->handed_over, item);
		tl_waker_wake(shared->waker);
		while (atomic_load(&shared->taken) < item)
			sched_yield();
	}
	return NULL;
}

static void tick(struct shared *shared)
{
	if (tl_waker_ticked(shared->waker))
		atomic_store(&shared->taken, atomic_load(&shared->handed_over));
}

static void test_no_wake_is_lost(void **state)
{
	struct shared shared = {0};
	pthread_t worker;
	unsigned seed = 1;
	(void)state;
	assert_int_equal(tl_waker_open(&shared.waker), TL_OK);
	pthread_create(&worker, NULL, work, &shared);
	while (atomic_load(&shared.taken) < ITEMS) {
		seed = seed * 1664525 + 1013904223;
		bool events = seed >> 30 == 0;
		/* With events the broker does not sleep. */
		int slept = poll(NULL, 0, events ? 0 : ASLEEP_MS);
		assert_true(events || slept < 0); /* woken by a signal */
		if (events)
			tl_waker_is_awake(shared.waker);
		for (volatile unsigned pause = seed >> 20 & 1023; events && pause > 0;)
			pause--;
		tick(&shared);
	}
	pthread_join(worker, NULL);
	tl_waker_close(shared.waker);
}

/* A wake from the broker's own thread, for the tick after the present one. */
static void test_own_thread(void **state)
{
	struct tl_waker *waker;
	(void)state;
	assert_int_equal(tl_waker_open(&waker), TL_OK);
	assert_false(tl_waker_ticked(waker));
	for (unsigned i = 0; i < 100; i++) {
		tl_waker_wake(waker);
		assert_int_equal(poll(NULL, 0, ASLEEP_MS), -1);
		assert_true(tl_waker_ticked(waker));
		assert_false(tl_waker_ticked(waker));
	}
	tl_waker_close(waker);
}

/* The sleep behind a tick ends without another tick being due; the one behind the next tick is a whole one. */
static void test_a_sleep_cut_short(void **state)
{
	enum { WHOLE_MS = 3 };
	struct tl_waker *waker;
	(void)state;
	assert_int_equal(tl_waker_open(&waker), TL_OK);
	for (unsigned i = 0; i < 100; i++) {
		tl_waker_cut_sleep(waker);
		assert_int_equal(poll(NULL, 0, ASLEEP_MS), -1);
		assert_false(tl_waker_ticked(waker));
		assert_int_equal(poll(NULL, 0, WHOLE_MS), 0);
	}
	tl_waker_close(waker);
}

/* Of two times the sooner one counts, whichever is named first; one that has passed does not come again. */
static void test_the_sooner_of_two_times(void **state)
{
	enum { SOON_MS = 1 };
	struct tl_waker *waker;
	(void)state;
	assert_int_equal(tl_waker_open(&waker), TL_OK);
	for (unsigned i = 0; i < 10; i++) {
		tl_waker_wake_in(waker, i % 2 ? SOON_MS : 2 * ASLEEP_MS);
		tl_waker_wake_in(waker, i % 2 ? 2 * ASLEEP_MS : SOON_MS);
		assert_int_equal(poll(NULL, 0, ASLEEP_MS), -1);
		assert_true(tl_waker_ticked(waker));
	}
	tl_waker_close(waker);
}

static void nothing(int signal_number)
{
	(void)signal_number;
}

static void test_the_handler_before_comes_back(void **state)
{
	struct sigaction mine = {.sa_handler = nothing}, after;
	struct tl_waker *waker;
	(void)state;
	sigaction(SIGURG, &mine, NULL);
	assert_int_equal(tl_waker_open(&waker), TL_OK);
	tl_waker_close(waker);
	sigaction(SIGURG, NULL, &after);
	assert_true(after.sa_handler == nothing);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_wake_is_lost),
		cmocka_unit_test(test_own_thread),
		cmocka_unit_test(test_a_sleep_cut_short),
		cmocka_unit_test(test_the_sooner_of_two_times),
		cmocka_unit_test(test_the_handler_before_comes_back),
	};
	return cmocka_run_group_tests_name("waker", tests, NULL, NULL);
}
