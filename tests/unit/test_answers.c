/* What is answered leaves the count of what a session waits for, also where there is no memory to encode it; and many answers to one
 * device take turns. The session, the broker and the clock are the test's. */
#include "plugin.h"

#include "wrapped.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

struct fixture {
	struct tl_plugin plugin;
	struct tl_session *session;
};

static const struct tl_route route = {.topic = {"im/res/phone/x", 14}, .codec = TL_CODEC_JSON};
static const struct tl_slice ann = {"ann", 3}, phone = {"phone", 5};

static struct tl_session *holder;
static bool short_of_memory;
static unsigned published;
static unsigned last_number; /* of those published that have one */
static unsigned wake_ms;     /* in so many the tick is wanted; 0: it is not */
static time_t clock_s = 1000;

WRAPPED(clock_gettime);

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
	(void)clock;
	*now = (struct timespec){.tv_sec = clock_s};
	return 0;
}

WRAPPED(tl_codec_encode);

enum tl_err __wrap_tl_codec_encode(struct tl_encoder *encoder, enum tl_codec codec, const struct tl_response *response,
                                   struct tl_slice *payload_out)
{
	return short_of_memory ? TL_NO_MEMORY : __real_tl_codec_encode(encoder, codec, response, payload_out);
}

/* --- what is around it --- */

void tl_waker_wake(struct tl_waker *waker)
{
	(void)waker;
}

void tl_waker_wake_in(struct tl_waker *waker, unsigned ms)
{
	(void)waker;
	wake_ms = ms;
}

bool tl_broker_publish(const struct tl_packet_address *address, struct tl_slice payload)
{
	unsigned number;
	assert_string_equal(address->topic, "im/res/phone/x");
	assert_string_equal(address->client_id, "phone");
	assert_true(payload.len > 0);
	if (sscanf(payload.ptr, "{\"number\":%u}", &number) == 1) {
		assert_int_equal(number, last_number + 1);
		last_number = number;
	}
	published++;
	return true;
}

struct tl_session *tl_sessions_find_device(struct tl_sessions *sessions, struct tl_slice user, struct tl_slice device)
{
	(void)sessions;
	assert_true(tl_slice_equal(user, ann) && tl_slice_equal(device, phone));
	return holder;
}

void tl_live_committed(struct tl_live *live, const struct tl_commit *commit)
{
	(void)live;
	(void)commit;
}

bool tl_live_flush(struct tl_live *live)
{
	(void)live;
	return false;
}

void tl_notify_committed(struct tl_notify *notify, const struct tl_commit *commit)
{
	(void)notify;
	(void)commit;
}

bool tl_notify_flush(struct tl_notify *notify)
{
	(void)notify;
	return false;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	if (!f || !(f->session = calloc(1, sizeof *f->session)) || tl_outbox_init(&f->plugin.outbox, NULL) != TL_OK)
		return -1;
	holder = f->session;
	short_of_memory = false;
	published = last_number = wake_ms = 0;
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	tl_outbox_fini(&f->plugin.outbox);
	free(f->session);
	free(f);
	return 0;
}

/* --- what they wait for --- */

static void answer_read(struct fixture *f)
{
	const struct tl_response response = {.op = "info", .err = TL_NOT_MEMBER, .why = ""};
	const struct tl_asked asked = {0};
	f->session->requests++;
	tl_answer_send(&f->plugin, &route, ann, phone, &response, &asked);
	tl_answer_publish(&f->plugin);
}

static void answer_change(struct fixture *f)
{
	struct tl_pack packed;
	tl_pack_init(&packed);
	tl_route_pack(&packed, &route);
	const struct tl_outcome outcome = {
		.route = tl_pack_bytes(&packed), .user = ann, .device = phone, .op = "join", .why = ""};
	const struct tl_commit commit = {.outcomes = &outcome, .outcome_count = 1};
	f->session->changes++;
	tl_answer_committed(&f->plugin, &commit);
	tl_answer_publish(&f->plugin);
	tl_pack_fini(&packed);
}

static void test_answered(void **state)
{
	struct fixture *f = *state;
	answer_read(f);
	answer_change(f);
	assert_int_equal(published, 2);
	assert_int_equal(f->session->requests, 0);
	assert_int_equal(f->session->changes, 0);
}

static void test_no_memory_to_answer(void **state)
{
	struct fixture *f = *state;
	short_of_memory = true;
	answer_read(f);
	answer_change(f);
	assert_int_equal(published, 0);
	assert_int_equal(f->session->requests, 0);
	assert_int_equal(f->session->changes, 0);
}

static void test_nobody_is_there(void **state)
{
	struct fixture *f = *state;
	holder = NULL;
	answer_read(f);
	answer_change(f);
	assert_int_equal(published, 0);
}

/* --- turns --- */

enum { MANY = 2000 };

/* Packets with the numbers from `first` to `last`, encoded. */
static void put(struct fixture *f, unsigned first, unsigned last, int qos)
{
	for (unsigned number = first; number <= last; number++) {
		char payload[32];
		int len = snprintf(payload, sizeof payload, "{\"number\":%u}", number);
		struct tl_packet *packet =
			tl_packet_new(NULL, ann, phone, route.topic, tl_slice(NULL, 0), tl_slice(payload, (size_t)len));
		assert_non_null(packet);
		packet->qos = qos;
		tl_outbox_put_take(&f->plugin.outbox, packet);
	}
}

static void test_many_take_turns(void **state)
{
	struct fixture *f = *state;
	put(f, 1, MANY, 1);
	tl_answer_publish(&f->plugin);
	assert_int_equal(published, TL_PACING_MAX);
	assert_int_equal(wake_ms, TL_PACING_REST_MS);
	put(f, MANY + 1, MANY + 1, 1);
	tl_answer_publish(&f->plugin);
	assert_int_equal(published, TL_PACING_MAX);
	for (int second = 0; second < 2; second++) {
		clock_s++;
		wake_ms = 0;
		tl_answer_publish(&f->plugin);
	}
	assert_int_equal(published, MANY + 1);
	assert_int_equal(wake_ms, 0);
	assert_int_equal(f->plugin.held, 0);
}

/* The broker sends them at once or not at all. */
static void test_qos_0_does_not_wait(void **state)
{
	struct fixture *f = *state;
	put(f, 1, MANY, 0);
	tl_answer_publish(&f->plugin);
	assert_int_equal(published, MANY);
}

static void test_what_waits_has_a_limit(void **state)
{
	struct fixture *f = *state;
	f->plugin.held = 50000;
	put(f, 1, MANY, 1);
	tl_answer_publish(&f->plugin);
	assert_int_equal(published, MANY);
	f->plugin.held = 0;
}

static void test_who_comes_back_gets_the_rest(void **state)
{
	struct fixture *f = *state;
	put(f, 1, MANY, 1);
	tl_answer_publish(&f->plugin);
	tl_answer_session_ends(&f->plugin, f->session);
	assert_null(f->plugin.holding);
	assert_int_equal(f->plugin.held, 0);
	*f->session = (struct tl_session){0};
	tl_answer_publish(&f->plugin);
	assert_int_equal(published, 2 * TL_PACING_MAX);
	tl_answer_session_ends(&f->plugin, f->session);
	holder = NULL;
	tl_answer_publish(&f->plugin);
	assert_int_equal(published, 2 * TL_PACING_MAX);
	assert_null(f->plugin.holding);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_answered, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_memory_to_answer, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_nobody_is_there, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_many_take_turns, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_qos_0_does_not_wait, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_what_waits_has_a_limit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_who_comes_back_gets_the_rest, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
