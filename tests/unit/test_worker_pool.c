/* Worker threads: every job is run or discarded exactly once, in order, within the bound, with signals blocked. */
#include "worker_pool.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { JOBS = 1000, PATIENCE_MS = 30000 };

static struct {
	_Atomic unsigned run, discarded, begun, order_broken, signals_open;
	_Atomic bool hold; /* jobs wait while it is set */
} seen;

struct numbered {
	struct tl_job job;
	unsigned number;
	_Atomic unsigned done;
};

static struct numbered jobs[JOBS];

static void run(struct tl_job *job)
{
	struct numbered *numbered = (struct numbered *)job;
	sigset_t blocked;
	unsigned before = atomic_fetch_add(&seen.begun, 1);
	if (before != numbered->number)
		atomic_fetch_add(&seen.order_broken, 1);
	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	if (!sigismember(&blocked, SIGTERM) || !sigismember(&blocked, SIGURG))
		atomic_fetch_add(&seen.signals_open, 1);
	while (atomic_load(&seen.hold))
		usleep(100);
	atomic_fetch_add(&numbered->done, 1);
	atomic_fetch_add(&seen.run, 1);
}

static void discard(struct tl_job *job)
{
	atomic_fetch_add(&((struct numbered *)job)->done, 1);
	atomic_fetch_add(&seen.discarded, 1);
}

static int set_up(void **state)
{
	(void)state;
	seen.run = seen.discarded = seen.begun = seen.order_broken = seen.signals_open = 0;
	seen.hold = false;
	for (unsigned i = 0; i < JOBS; i++) {
		jobs[i].job = (struct tl_job){.run = run, .discard = discard};
		jobs[i].number = i;
		jobs[i].done = 0;
	}
	return 0;
}

static struct tl_worker_pool *open_pool(unsigned threads, size_t max_jobs)
{
	struct tl_worker_pool *pool;
	assert_int_equal(tl_worker_pool_open(threads, max_jobs, &pool), TL_OK);
	return pool;
}

static void wait_for(_Atomic unsigned *counter, unsigned count)
{
	for (unsigned ms = 0; *counter < count && ms < PATIENCE_MS; ms++)
		usleep(1000);
	assert_int_equal(*counter, count);
}

static void assert_each_once(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(jobs[i].done, 1);
}

static void test_order(void **state)
{
	struct tl_worker_pool *pool = open_pool(1, JOBS);
	(void)state;
	for (unsigned i = 0; i < JOBS; i++)
		assert_int_equal(tl_worker_pool_submit(pool, &jobs[i].job), TL_OK);
	wait_for(&seen.run, JOBS);
	tl_worker_pool_close(pool);
	assert_each_once(JOBS);
	assert_int_equal(seen.order_broken, 0);
	assert_int_equal(seen.signals_open, 0);
}

static void test_several_threads(void **state)
{
	struct tl_worker_pool *pool = open_pool(4, JOBS);
	(void)state;
	seen.hold = true;
	for (unsigned i = 0; i < JOBS; i++)
		assert_int_equal(tl_worker_pool_submit(pool, &jobs[i].job), TL_OK);
	wait_for(&seen.begun, 4); /* all at once */
	seen.hold = false;
	wait_for(&seen.run, JOBS);
	tl_worker_pool_close(pool);
	assert_each_once(JOBS);
}

static void test_full(void **state)
{
	struct tl_worker_pool *pool = open_pool(1, 2);
	(void)state;
	seen.hold = true;
	assert_int_equal(tl_worker_pool_submit(pool, &jobs[0].job), TL_OK);
	wait_for(&seen.begun, 1);
	assert_int_equal(tl_worker_pool_submit(pool, &jobs[1].job), TL_OK);
	assert_int_equal(tl_worker_pool_submit(pool, &jobs[2].job), TL_OK);
	assert_int_equal(tl_worker_pool_submit(pool, &jobs[3].job), TL_FULL);
	seen.hold = false;
	wait_for(&seen.run, 3);
	assert_int_equal(tl_worker_pool_submit(pool, &jobs[3].job), TL_OK);
	wait_for(&seen.run, 4);
	tl_worker_pool_close(pool);
	assert_each_once(4);
}

/* What has begun is finished, the rest is discarded. */
static void test_close(void **state)
{
	struct tl_worker_pool *pool = open_pool(2, JOBS);
	(void)state;
	for (unsigned i = 0; i < JOBS; i++)
		assert_int_equal(tl_worker_pool_submit(pool, &jobs[i].job), TL_OK);
	tl_worker_pool_close(pool);
	assert_int_equal(seen.run + seen.discarded, JOBS);
	assert_int_equal(seen.begun, seen.run);
	assert_each_once(JOBS);
	tl_worker_pool_close(NULL);
}

static void test_close_idle(void **state)
{
	(void)state;
	tl_worker_pool_close(open_pool(3, 1));
	assert_int_equal(seen.run + seen.discarded, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_order, set_up), cmocka_unit_test_setup(test_several_threads, set_up),
		cmocka_unit_test_setup(test_full, set_up),  cmocka_unit_test_setup(test_close, set_up),
		cmocka_unit_test_setup(test_close_idle, set_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
