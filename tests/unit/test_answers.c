/* What is answered leaves the count of what a session waits for, also where there is no memory to encode it. The session and the
 * broker are the test's. */
#include "plugin.h"

#include "wrapped.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

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

bool tl_broker_publish(const struct tl_packet_address *address, struct tl_slice payload)
{
	assert_string_equal(address->topic, "im/res/phone/x");
	assert_string_equal(address->client_id, "phone");
	assert_true(payload.len > 0);
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
	published = 0;
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_answered, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_memory_to_answer, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_nobody_is_there, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
