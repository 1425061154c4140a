/* Live messages: how much is published at one tick, and what then; and what is not made ready because nobody listens. What is
 * published is written down in place of the broker, and the clock is the test's. */
#include "live.h"

#include "broker.h"
#include "message.h"
#include "wrapped.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

enum { CROWD = 5000, MANY = 3000, CONVERSATIONS = 100000, ROUNDS = 100 };

struct fixture {
	struct tl_live *live;
	struct tl_interest *interests[CROWD];
	size_t interest_count;
	uint64_t cseq; /* of the last message */
};

static const struct tl_slice big = {"big", 3}, small = {"small", 5}, listener = {"logger", 6}, any = {"", 0};

static unsigned published; /* packets, since it was set to 0 */
static uint64_t last_cseq; /* of the last one of the big conversation; they come in order */
static bool failing;       /* the broker has no memory */
static _Atomic bool wanted; /* another tick is */
static unsigned alarm_ms;  /* in so many; 0: none */
static uint64_t clock_ms = 1000000;

WRAPPED(clock_gettime);

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
	(void)clock;
	*now = (struct timespec){.tv_sec = (time_t)(clock_ms / 1000), .tv_nsec = (long)(clock_ms % 1000 * 1000000)};
	return 0;
}

bool tl_broker_publish(const struct tl_packet_address *address, struct tl_slice payload)
{
	(void)payload;
	if (failing)
		return false;
	published++;
	if (strcmp(address->topic, "im/live/big") != 0)
		return true;
	uint64_t cseq = strtoull(address->properties[0].value.ptr, NULL, 10);
	assert_true(cseq > last_cseq);
	last_cseq = cseq;
	return true;
}

void tl_waker_wake(struct tl_waker *waker)
{
	(void)waker;
	wanted = true;
}

void tl_waker_wake_in(struct tl_waker *waker, unsigned ms)
{
	(void)waker;
	alarm_ms = ms;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	if (!f || tl_live_new("im", NULL, &f->live) != TL_OK)
		return -1;
	last_cseq = 0;
	wanted = false;
	failing = false;
	alarm_ms = 0;
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	for (size_t i = 0; i < f->interest_count; i++)
		tl_live_ended(f->live, f->interests[i]);
	tl_live_free(f->live);
	free(f);
	return 0;
}

static void subscribe(struct fixture *f, struct tl_slice cid, size_t sessions)
{
	while (sessions-- > 0)
		tl_live_may_listen(f->live, &f->interests[f->interest_count++], listener, cid);
}

/* Messages are committed, one after the other. */
static void commit(struct fixture *f, struct tl_slice cid, unsigned count, size_t body_len)
{
	char *body = calloc(1, body_len);
	assert_non_null(body);
	const struct tl_message message = {.ts = 1,
	                                   .from = tl_slice("a", 1),
	                                   .device = tl_slice("d", 1),
	                                   .id = tl_slice("i", 1),
	                                   .type = tl_slice("text", 4),
	                                   .body_len = body_len};
	struct tl_pack pack;
	tl_pack_init(&pack);
	tl_message_pack(&pack, &message);
	tl_pack_raw(&pack, tl_slice(body, body_len));
	assert_false(pack.failed);
	for (unsigned i = 0; i < count; i++) {
		const struct tl_delivery delivery = {.cid = cid, .cseq = ++f->cseq, .message = tl_pack_bytes(&pack)};
		const struct tl_commit one = {.deliveries = &delivery, .delivery_count = 1};
		tl_live_committed(f->live, &one);
	}
	tl_pack_fini(&pack);
	free(body);
}

/* A tick: how many packets were published. */
static unsigned flush(struct fixture *f)
{
	published = 0;
	wanted = false;
	alarm_ms = 0;
	bool was_any = tl_live_flush(f->live);
	assert_int_equal(was_any, published > 0);
	return published;
}

/* A crowd gets one message at a tick, and others have their turn for half as long as delivering it took. */
static void test_a_crowd(void **state)
{
	struct fixture *f = *state;
	subscribe(f, big, CROWD);
	commit(f, big, 5, 10);
	for (unsigned i = 1; i <= 5; i++) {
		assert_int_equal(flush(f), 1);
		assert_int_equal(last_cseq, i);
		assert_true(wanted);
		clock_ms += 200;
		assert_int_equal(flush(f), 0);
		assert_int_equal(alarm_ms, i < 5 ? 100 : 0);
		clock_ms += 60;
		commit(f, small, 1, 10); /* nobody listens */
		assert_int_equal(flush(f), 0);
		assert_int_equal(alarm_ms, i < 5 ? 40 : 0);
		clock_ms += 40;
	}
	assert_int_equal(flush(f), 0);
	assert_false(wanted);
}

/* Also where they come one by one. */
static void test_one_by_one(void **state)
{
	struct fixture *f = *state;
	subscribe(f, big, CROWD);
	commit(f, big, 1, 10);
	assert_int_equal(flush(f), 1);
	commit(f, big, 1, 10);
	clock_ms += 200;
	assert_int_equal(flush(f), 0);
	assert_int_equal(alarm_ms, 100);
	clock_ms += 100;
	assert_int_equal(flush(f), 1);
}

/* However long it took, it comes to an end. */
static void test_a_long_delivery(void **state)
{
	struct fixture *f = *state;
	subscribe(f, big, CROWD);
	commit(f, big, 2, 10);
	assert_int_equal(flush(f), 1);
	clock_ms += 3600000;
	assert_int_equal(flush(f), 0);
	assert_in_range(alarm_ms, 1, 1000);
	clock_ms += alarm_ms;
	assert_int_equal(flush(f), 1);
}

/* Few listeners get all that there is at once. */
static void test_few(void **state)
{
	struct fixture *f = *state;
	subscribe(f, big, 2);
	commit(f, big, 400, 10);
	assert_int_equal(flush(f), 400);
	assert_false(wanted);
	commit(f, big, 1, 10);
	assert_int_equal(flush(f), 1);
}

/* Sessions that listen to everything count. */
static void test_listeners_to_all(void **state)
{
	struct fixture *f = *state;
	subscribe(f, any, CROWD);
	commit(f, small, 2, 10);
	assert_int_equal(flush(f), 1);
	assert_true(wanted);
	clock_ms += 2;
	assert_int_equal(flush(f), 0);
	clock_ms += 1;
	assert_int_equal(flush(f), 1);
}

/* … but for direct chats that are others'. */
static void test_direct_chats(void **state)
{
	struct fixture *f = *state;
	const struct tl_slice others = {"d:alice:bob", 11}, own[] = {{"d:alice:logger", 14}, {"d:logger:zoe", 12}};
	subscribe(f, any, 2);
	commit(f, others, 3, 10);
	assert_false(wanted);
	assert_int_equal(flush(f), 0);
	for (size_t i = 0; i < 2; i++) {
		commit(f, own[i], 1, 10);
		assert_int_equal(flush(f), 1);
	}
	subscribe(f, others, 1);
	commit(f, others, 2, 10);
	assert_int_equal(flush(f), 2);
	for (; f->interest_count > 0; f->interest_count--)
		tl_live_ended(f->live, f->interests[f->interest_count - 1]);
	commit(f, own[0], 1, 10);
	assert_int_equal(flush(f), 0);
}

/* What waits is bounded, in number and in bytes, and what is too much does not wait for others. */
static void test_what_waits_is_bounded(void **state)
{
	struct fixture *f = *state;
	subscribe(f, big, CROWD);
	commit(f, big, MANY, 10);
	assert_int_equal(flush(f), MANY - 1000);
	clock_ms += 100;
	commit(f, big, 10, 10);
	assert_int_equal(flush(f), 10);
	clock_ms += 100;
	assert_int_equal(flush(f), 0);
	assert_int_equal(alarm_ms, 50);
	commit(f, big, 33, 1024 * 1024);
	assert_in_range(flush(f), 1000 + 17, 1000 + 18); /* 16 MiB are left, and the heads of messages */
}

/* A tick after the broker has been through its loop. */
static unsigned flush_after_loop(struct fixture *f)
{
	tl_live_went_on(f->live);
	return flush(f);
}

/* A session has resumed, and nobody listens to the conversation: nobody is asked about what is published. */
static void find_unheard(struct fixture *f, struct tl_slice cid)
{
	commit(f, cid, 1, 10);
	assert_int_equal(flush(f), 1);
	assert_int_equal(flush_after_loop(f), 0);
	commit(f, cid, 3, 10);
	assert_false(wanted);
	assert_int_equal(flush_after_loop(f), 0);
}

static void test_nobody_listens(void **state)
{
	struct fixture *f = *state;
	subscribe(f, any, 1);
	find_unheard(f, small);
	commit(f, big, 1, 10);
	assert_int_equal(flush(f), 1);
	for (unsigned i = 0; i < 10; i++) { /* to this one somebody listens */
		tl_live_asked(f->live, big);
		commit(f, big, 2, 10);
		commit(f, small, 1, 10);
		assert_int_equal(flush_after_loop(f), 2);
	}
	assert_int_equal(flush_after_loop(f), 0); /* but is gone */
	commit(f, big, 2, 10);
	assert_int_equal(flush_after_loop(f), 0);
}

/* Also those who have subscribed may have unsubscribed. */
static void test_nobody_listens_any_more(void **state)
{
	struct fixture *f = *state;
	subscribe(f, small, 3);
	find_unheard(f, small);
}

static void test_subscribing(void **state)
{
	struct fixture *f = *state;
	subscribe(f, any, 1);
	find_unheard(f, small);
	find_unheard(f, big);
	tl_live_subscribed(f->live, small);
	commit(f, small, 1, 10);
	commit(f, big, 1, 10);
	assert_int_equal(flush_after_loop(f), 1);
	find_unheard(f, small);
	tl_live_subscribed(f->live, any);
	commit(f, small, 1, 10);
	commit(f, big, 1, 10);
	assert_int_equal(flush_after_loop(f), 2);
}

/* Who subscribes after the delivery and before the next tick has not been asked. */
static void test_subscribing_meanwhile(void **state)
{
	struct fixture *f = *state;
	const struct tl_slice filters[] = {small, any};
	subscribe(f, any, 1);
	for (size_t i = 0; i < 2; i++) {
		commit(f, small, 1, 10);
		assert_int_equal(flush_after_loop(f), 1);
		tl_live_subscribed(f->live, filters[i]);
		assert_int_equal(flush_after_loop(f), 0);
		commit(f, small, 1, 10);
		assert_int_equal(flush_after_loop(f), 1);
		assert_int_equal(flush_after_loop(f), 0); /* but now */
		commit(f, small, 1, 10);
		assert_int_equal(flush_after_loop(f), 0);
		tl_live_subscribed(f->live, small);
	}
}

/* (V3): what does not tell that nobody listens. */
static void test_inconclusive(void **state)
{
	struct fixture *f = *state;
	subscribe(f, any, 1);
	for (unsigned i = 0; i < 3; i++) { /* two ticks side by side */
		commit(f, small, 1, 10);
		assert_int_equal(flush(f), 1);
		assert_int_equal(flush(f), 0);
	}
	for (unsigned i = 0; i < 3; i++) {
		tl_live_disconnected(f->live);
		commit(f, small, 1, 10);
		assert_int_equal(flush_after_loop(f), 1);
		assert_int_equal(flush_after_loop(f), 0);
	}
	for (unsigned i = 0; i < 3; i++) {
		failing = true;
		commit(f, small, 1, 10);
		tl_live_went_on(f->live);
		tl_live_flush(f->live);
		failing = false;
		assert_int_equal(flush_after_loop(f), 0);
	}
	commit(f, small, 1, 10);
	assert_int_equal(flush_after_loop(f), 1);
}

/* Nothing of what waits is left for somebody who subscribes later. */
static void test_what_waits_and_nobody_hears(void **state)
{
	struct fixture *f = *state;
	subscribe(f, any, CROWD);
	commit(f, big, 5, 10);
	assert_int_equal(flush(f), 1);
	commit(f, big, 5, 10);
	assert_int_equal(flush_after_loop(f), 0);
	tl_live_subscribed(f->live, big);
	clock_ms += 1000;
	assert_int_equal(flush_after_loop(f), 0);
	assert_false(wanted);
	commit(f, big, 1, 10);
	assert_int_equal(flush_after_loop(f), 1);
	assert_int_equal(last_cseq, 11);
}

/* (A2) */
static void test_once_an_hour(void **state)
{
	struct fixture *f = *state;
	subscribe(f, any, 1);
	assert_int_equal(flush(f), 0);
	find_unheard(f, small);
	clock_ms += 3600000 - 1;
	assert_int_equal(flush(f), 0);
	commit(f, small, 1, 10);
	assert_int_equal(flush(f), 0);
	clock_ms += 1;
	assert_int_equal(flush(f), 0);
	commit(f, small, 1, 10);
	assert_int_equal(flush(f), 1);
}

static struct tl_slice name_conversation(char name[static 24], unsigned number)
{
	return tl_slice(name, (size_t)snprintf(name, 24, "%u", number));
}

/* More of them than are remembered: it costs some messages, and nobody any. */
static void test_many_conversations(void **state)
{
	struct fixture *f = *state;
	char name[24];
	subscribe(f, any, 1);
	for (unsigned i = 0; i < CONVERSATIONS; i++) {
		commit(f, name_conversation(name, i), 1, 10);
		if (i % 500 == 499)
			assert_int_equal(flush_after_loop(f), 500);
	}
	assert_int_equal(flush_after_loop(f), 0);
	for (unsigned i = 0; i < CONVERSATIONS; i += 100) {
		tl_live_subscribed(f->live, name_conversation(name, i));
		commit(f, name_conversation(name, i), 1, 10);
		assert_int_equal(flush(f), 1);
	}
	for (unsigned i = 1; i < CONVERSATIONS; i += 100)
		commit(f, name_conversation(name, i), 1, 10);
	assert_in_range(flush(f), 1, CONVERSATIONS / 100 - 100); /* a quarter and more are remembered */
}

struct writer {
	struct fixture *f;
	_Atomic uint64_t begun; /* cseq of the message that is being committed */
	_Atomic bool stop;
};

static void *write_on(void *arg)
{
	struct writer *writer = arg;
	while (!atomic_load(&writer->stop)) {
		atomic_store(&writer->begun, writer->f->cseq + 1);
		commit(writer->f, big, 1, 10);
	}
	return NULL;
}

/* Ticks until something with at least this cseq is published. */
static void expect_published(struct fixture *f, uint64_t cseq)
{
	while (last_cseq < cseq) {
		uint64_t before = last_cseq;
		flush_after_loop(f);
		assert_true(before == 0 || last_cseq == before || last_cseq - before == published);
		tl_live_asked(f->live, big);
	}
}

/* While the writer is at work on its thread: what is committed after a subscription is published, all of it. */
static void test_subscribing_while_writing(void **state)
{
	struct fixture *f = *state;
	struct writer writer = {.f = f};
	pthread_t thread;
	subscribe(f, any, 1);
	assert_int_equal(pthread_create(&thread, NULL, write_on, &writer), 0);
	for (unsigned i = 0; i < ROUNDS; i++) {
		while (flush_after_loop(f) > 0) /* nobody is asked */
			;
		last_cseq = 0;
		tl_live_subscribed(f->live, i % 2 > 0 ? big : any);
		uint64_t after = atomic_load(&writer.begun);
		while (last_cseq == 0) {
			flush_after_loop(f);
			tl_live_asked(f->live, big);
		}
		assert_true(last_cseq - published + 1 <= after + 1);
		expect_published(f, after + 20);
	}
	atomic_store(&writer.stop, true);
	pthread_join(thread, NULL);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_crowd), TEST(test_one_by_one), TEST(test_a_long_delivery), TEST(test_few),
		TEST(test_listeners_to_all), TEST(test_direct_chats), TEST(test_what_waits_is_bounded),
		TEST(test_nobody_listens), TEST(test_nobody_listens_any_more), TEST(test_subscribing),
		TEST(test_subscribing_meanwhile), TEST(test_inconclusive), TEST(test_what_waits_and_nobody_hears),
		TEST(test_once_an_hour), TEST(test_many_conversations), TEST(test_subscribing_while_writing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
