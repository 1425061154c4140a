/* A request that reads and is read again, because a page was missing: what is told then. What is below it, and the answer, is
 * the test's. */
#include "plugin.h"

#include "wrapped.h"

#include <mosquitto.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static sem_t answered;
static unsigned decoded, read; /* how often */
static unsigned fails_at;      /* the time that decoding fails; 0: never */
static enum tl_err told;
static char rid[64]; /* packed */
static size_t rid_len;

WRAPPED(tl_codec_decode);

enum tl_err __wrap_tl_codec_decode(enum tl_codec codec, struct tl_slice payload, size_t max_bytes, struct tl_pack *map_out,
                                   struct tl_why *why)
{
	return ++decoded == fails_at ? TL_NO_MEMORY : __real_tl_codec_decode(codec, payload, max_bytes, map_out, why);
}

/* --- what is around it --- */

enum tl_err tl_store_try_read(struct tl_store *store, const struct tl_request *request, struct tl_call call,
                              struct tl_answer *answer, struct tl_pull *pull)
{
	(void)store;
	(void)request;
	(void)call;
	(void)answer;
	if (++read > 1)
		return TL_OK;
	pull->ready(pull);
	return TL_AGAIN;
}

void tl_answer_send(struct tl_plugin *plugin, const struct tl_route *route, struct tl_slice user, struct tl_slice device,
                    const struct tl_response *response, const struct tl_asked *asked)
{
	(void)plugin;
	(void)route;
	(void)user;
	(void)device;
	(void)asked;
	told = response->err;
	rid_len = response->rid.len;
	if (rid_len > 0)
		memcpy(rid, response->rid.ptr, rid_len < sizeof rid ? rid_len : sizeof rid);
	sem_post(&answered);
}

bool tl_incoming_route(struct tl_plugin *plugin, const struct tl_session *session,
                       const struct mosquitto_evt_message *event, const struct tl_properties *properties,
                       struct tl_route *route_out)
{
	(void)plugin;
	(void)session;
	(void)event;
	(void)properties;
	*route_out = (struct tl_route){.topic = {"im/res/d/x", 10}};
	return true;
}

enum tl_err tl_plugin_allows(struct tl_plugin *plugin, struct tl_session *session, enum tl_rate_kind kind,
                             struct tl_why *why)
{
	(void)plugin;
	(void)session;
	(void)kind;
	(void)why;
	return TL_OK;
}

uint64_t tl_now_ms(void)
{
	return 1;
}

enum tl_err tl_store_inbox(struct tl_store *store, struct tl_slice user, uint64_t now, struct tl_inbox *inbox_out)
{
	(void)store;
	(void)user;
	(void)now;
	(void)inbox_out;
	return TL_STORAGE;
}

enum tl_err tl_store_change(struct tl_store *store, const struct tl_submission *from, const struct tl_request *request,
                            struct tl_slice args, uint64_t now)
{
	(void)store;
	(void)from;
	(void)request;
	(void)args;
	(void)now;
	return TL_STORAGE;
}

void tl_notify_topic(const struct tl_notify *notify, enum tl_codec codec, struct tl_slice user, char *out, size_t size)
{
	(void)notify;
	(void)codec;
	(void)user;
	(void)size;
	out[0] = '\0';
}

void tl_notify_lightweight(const struct tl_notify *notify, enum tl_codec codec, uint64_t seq, struct tl_pack *pack)
{
	(void)notify;
	(void)codec;
	(void)seq;
	(void)pack;
}

/* --- the test --- */

static struct tl_plugin plugin;

static void ask(const char *payload)
{
	const struct mosquitto_evt_message event = {.payload = (void *)(uintptr_t)payload, .payloadlen = (uint32_t)strlen(payload)};
	const struct tl_topic topic = {.kind = TL_TOPIC_REQ, .name = {"sync", 4}, .tail = {"", 0}};
	const struct tl_properties properties = {.props_count = 0};
	struct tl_session *session = calloc(1, sizeof *session);
	assert_non_null(session);
	session->user = session->device = tl_slice_str("d");
	session->presence = tl_presence_new();
	assert_non_null(session->presence);
	assert_int_equal(tl_incoming_request(&plugin, session, &topic, &event, &properties), MOSQ_ERR_SUCCESS);
	assert_int_equal(sem_wait(&answered), 0);
	tl_presence_release(session->presence);
	free(session);
}

static int set_up(void **state)
{
	(void)state;
	decoded = read = fails_at = 0;
	plugin = (struct tl_plugin){.options.requests_per_device = 1};
	return sem_init(&answered, 0, 0) || tl_outbox_init(&plugin.outbox, NULL) != TL_OK ||
	       tl_worker_pool_open(1, 10, &plugin.readers) != TL_OK;
}

static int tear_down(void **state)
{
	(void)state;
	tl_worker_pool_close(plugin.readers);
	tl_outbox_fini(&plugin.outbox);
	tl_arena_fini(&plugin.arena);
	return sem_destroy(&answered);
}

static void test_read_again(void **state)
{
	(void)state;
	ask("{\"after\":0,\"rid\":\"abc\"}");
	assert_int_equal(told, TL_OK);
	assert_int_equal(read, 2);
	assert_int_equal(rid_len, 4);
	assert_memory_equal(rid, "\xa3" "abc", 4);
}

/* Nothing of what was decoded the first time is there any more. */
static void test_memory_is_short_then(void **state)
{
	(void)state;
	fails_at = 2;
	ask("{\"after\":0,\"rid\":\"abc\"}");
	assert_int_equal(told, TL_NO_MEMORY);
	assert_int_equal(read, 1);
	assert_int_equal(rid_len, 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(test_read_again), TEST(test_memory_is_short_then)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
