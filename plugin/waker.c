#include "waker.h"

#include "thread.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id /* glibc has no name for it */
#define sigev_notify_thread_id _sigev_un._tid
#endif

enum {
	REPEAT_FIRST_US = 200,
	REPEAT_LONGEST_US = 1600,
	FALL_ASLEEP_US = 20, /* from the tick until the broker sleeps, about */
};

struct tl_waker {
	pthread_t broker;
	pthread_t thread;
	struct sigaction before;
	_Atomic bool due;   /* a tick is wanted and has not come */
	_Atomic bool awake; /* a tick will come before the broker sleeps */
	timer_t timer;      /* cuts sleeps short */
	bool has_timer;
	bool timing;        /* it runs; the broker thread's own */
	pthread_mutex_t lock;
	pthread_cond_t wanted;
	bool stop; /* guarded by lock */
	struct timespec alarm; /* guarded by lock: when to wake by oneself; 0: never */
};

static void do_nothing(int signal)
{
	(void)signal;
}

static void pause_us(long us)
{
	const struct timespec pause = {.tv_nsec = us * 1000};
	nanosleep(&pause, NULL);
}

static void ring(struct tl_waker *waker)
{
	waker->alarm = (struct timespec){0};
	if (!atomic_exchange(&waker->due, true))
		pthread_kill(waker->broker, SIGURG);
}

static bool wait_until_due(struct tl_waker *waker)
{
	pthread_mutex_lock(&waker->lock);
	while (!waker->stop && !atomic_load(&waker->due))
		if (waker->alarm.tv_sec == 0)
			pthread_cond_wait(&waker->wanted, &waker->lock);
		else if (pthread_cond_timedwait(&waker->wanted, &waker->lock, &waker->alarm) == ETIMEDOUT)
			ring(waker);
	bool stop = waker->stop;
	pthread_mutex_unlock(&waker->lock);
	return !stop;
}

/* A broker whose tick does not come is more likely busy than asleep: each pause is twice the one before. */
static void *repeat(void *arg)
{
	struct tl_waker *waker = arg;
	long us = REPEAT_FIRST_US;
	while (wait_until_due(waker)) {
		pause_us(us);
		bool late = atomic_load(&waker->due);
		if (late && !atomic_load(&waker->awake))
			pthread_kill(waker->broker, SIGURG);
		us = !late ? REPEAT_FIRST_US : us < REPEAT_LONGEST_US ? 2 * us : us;
	}
	return NULL;
}

static void waker_free(struct tl_waker *waker)
{
	if (waker->has_timer)
		timer_delete(waker->timer);
	sigaction(SIGURG, &waker->before, NULL);
	pthread_cond_destroy(&waker->wanted);
	pthread_mutex_destroy(&waker->lock);
	free(waker);
}

enum tl_err tl_waker_open(struct tl_waker **waker_out)
{
	struct tl_waker *waker = calloc(1, sizeof *waker);
	struct sigaction action;
	if (!waker)
		return TL_NO_MEMORY;
	waker->broker = pthread_self();
	pthread_mutex_init(&waker->lock, NULL);
	tl_thread_condition_init(&waker->wanted);
	memset(&action, 0, sizeof action);
	action.sa_handler = do_nothing;
	sigaction(SIGURG, &action, &waker->before);
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGURG};
	event.sigev_notify_thread_id = gettid();
	waker->has_timer = timer_create(CLOCK_MONOTONIC, &event, &waker->timer) == 0;
	if (tl_thread_start(&waker->thread, "timeline wake", repeat, waker) != TL_OK) {
		waker_free(waker);
		return TL_NO_MEMORY;
	}
	*waker_out = waker;
	return TL_OK;
}

void tl_waker_close(struct tl_waker *waker)
{
	if (!waker)
		return;
	pthread_mutex_lock(&waker->lock);
	waker->stop = true;
	pthread_cond_signal(&waker->wanted);
	pthread_mutex_unlock(&waker->lock);
	pthread_join(waker->thread, NULL);
	waker_free(waker);
}

void tl_waker_wake(struct tl_waker *waker)
{
	if (atomic_exchange(&waker->due, true) || atomic_load(&waker->awake))
		return;
	if (!pthread_equal(pthread_self(), waker->broker))
		pthread_kill(waker->broker, SIGURG);
	pthread_mutex_lock(&waker->lock);
	pthread_cond_signal(&waker->wanted);
	pthread_mutex_unlock(&waker->lock);
}

static bool is_before(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

void tl_waker_wake_in(struct tl_waker *waker, unsigned ms)
{
	const struct timespec at = tl_thread_deadline(ms);
	pthread_mutex_lock(&waker->lock);
	if (waker->alarm.tv_sec == 0 || is_before(&at, &waker->alarm)) {
		waker->alarm = at;
		pthread_cond_signal(&waker->wanted);
	}
	pthread_mutex_unlock(&waker->lock);
}

/* `first_us` 0: never. The repetition is for a signal that came before the sleep had begun; it is slow, because a broker whose next
 * tick does not come is more likely busy than asleep. */
static void set_timer(struct tl_waker *waker, long first_us)
{
	const struct itimerspec times = {.it_value.tv_nsec = first_us * 1000, .it_interval.tv_nsec = REPEAT_LONGEST_US * 1000};
	waker->timing = timer_settime(waker->timer, 0, &times, NULL) == 0 && first_us > 0;
}

void tl_waker_cut_sleep(struct tl_waker *waker)
{
	if (waker->has_timer)
		set_timer(waker, FALL_ASLEEP_US);
	else
		tl_waker_wake(waker);
}

void tl_waker_is_awake(struct tl_waker *waker)
{
	if (!atomic_load_explicit(&waker->awake, memory_order_relaxed))
		atomic_store(&waker->awake, true);
}

/* No wake is lost: here `awake` is taken back, then `due` looked at; in tl_waker_wake `due` is set, then `awake` looked at;
 * all sequentially consistent. Whoever still finds the broker awake has been found due here. */
bool tl_waker_ticked(struct tl_waker *waker)
{
	if (waker->timing)
		set_timer(waker, 0);
	if (atomic_load_explicit(&waker->awake, memory_order_relaxed))
		atomic_store(&waker->awake, false);
	return atomic_load(&waker->due) && atomic_exchange(&waker->due, false);
}
