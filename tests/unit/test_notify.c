/* Notifications: who is told what, and when. What is published is written down in place of the broker. */
#include "notify.h"

#include "broker.h"
#include "message.h"
#include "wrapped.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

enum {
	INLINE_MAX = 256 * 1024,
	TURN_MS = 200, /* how long a user is left alone by conversations with fan-out on read */
};

struct fixture {
	struct tl_notify *notify;
};

static char published[256]; /* the last payload */
static unsigned published_count;
static bool wanted; /* another tick is */
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
	(void)address;
	snprintf(published, sizeof published, "%.*s", (int)payload.len, (const char *)payload.ptr);
	published_count++;
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
	(void)ms;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	const struct tl_notify_options options = {.root = "im", .inline_max = INLINE_MAX};
	if (!f || tl_notify_new(&options, &f->notify) != TL_OK)
		return -1;
	tl_notify_set_epoch(f->notify, "e");
	published[0] = '\0';
	published_count = 0;
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	tl_notify_free(f->notify);
	free(f);
	return 0;
}

static const struct tl_slice bob = {"bob", 3};

static void watch(struct fixture *f)
{
	bool first;
	assert_true(tl_notify_watch(f->notify, bob, &first));
	assert_true(first);
	tl_notify_want(f->notify, bob, TL_CODEC_JSON);
}

/* Bob's inbox is empty, and he has one backlog of a conversation with that head. */
static void load(struct fixture *f, uint64_t head, bool last)
{
	struct tl_backlog backlog = {.conversation_no = 7, .since = 1, .head = head, .last = head};
	const struct tl_inbox inbox = {.latest = head, .backlogs = &backlog, .count = 1};
	tl_notify_loaded(f->notify, bob, &inbox, last);
}

/* A message is committed to that conversation. */
static void commit(struct fixture *f, uint64_t cseq)
{
	const struct tl_delivery delivery = {.cid = {"c", 1}, .conversation_no = 7, .cseq = cseq};
	const struct tl_commit commit = {.deliveries = &delivery, .delivery_count = 1};
	tl_notify_committed(f->notify, &commit);
}

static void expect_told(struct fixture *f, const char *payload)
{
	published[0] = '\0';
	tl_notify_flush(f->notify);
	assert_string_equal(published, payload);
}

static void test_backlog(void **state)
{
	struct fixture *f = *state;
	watch(f);
	load(f, 0, false);
	load(f, 0, true);
	expect_told(f, "");
	commit(f, 1);
	expect_told(f, "{\"seq\":1,\"epoch\":\"e\"}");
	expect_told(f, "");
}

/* A message that comes while the inbox is being read, whenever that is, is told afterwards. */
static void test_backlog_while_loading(void **state)
{
	struct fixture *f = *state;
	watch(f);
	load(f, 0, false);
	commit(f, 1);
	expect_told(f, "");
	load(f, 1, true);
	expect_told(f, "{\"seq\":1,\"epoch\":\"e\"}");
}

static void test_backlog_before_anything_is_known(void **state)
{
	struct fixture *f = *state;
	watch(f);
	commit(f, 1);
	load(f, 1, false);
	load(f, 1, true);
	expect_told(f, "{\"seq\":1,\"epoch\":\"e\"}");
}

/* A large message is committed to the inboxes of so many users who are watched. */
static void commit_large(struct fixture *f, unsigned users, size_t body_len)
{
	char uids[100][16], *body = calloc(1, body_len);
	struct tl_inbox_append appends[100];
	const struct tl_inbox empty = {0};
	struct tl_pack pack;
	bool first;
	assert_non_null(body);
	tl_pack_init(&pack);
	const struct tl_message message = {.ts = 1,
	                                   .from = tl_slice("a", 1),
	                                   .device = tl_slice("d", 1),
	                                   .id = tl_slice("i", 1),
	                                   .type = tl_slice("text", 4),
	                                   .body_len = body_len};
	tl_message_pack(&pack, &message);
	tl_pack_raw(&pack, tl_slice(body, body_len));
	for (unsigned i = 0; i < users; i++) {
		snprintf(uids[i], sizeof uids[i], "u%u", i);
		appends[i] = (struct tl_inbox_append){.uid = tl_slice_str(uids[i]), .seq = 1};
		assert_true(tl_notify_watch(f->notify, appends[i].uid, &first));
		tl_notify_want(f->notify, appends[i].uid, TL_CODEC_MSGPACK);
		tl_notify_loaded(f->notify, appends[i].uid, &empty, true);
	}
	const struct tl_delivery delivery = {.cid = {"c", 1}, .conversation_no = 7, .cseq = 1, .message = tl_pack_bytes(&pack)};
	const struct tl_commit commit = {
		.deliveries = &delivery, .delivery_count = 1, .appends = appends, .append_count = users};
	tl_notify_committed(f->notify, &commit);
	tl_pack_fini(&pack);
	free(body);
}

/* What one tick publishes is bounded in bytes, too; everybody is told in the end. */
static void test_large_ones_in_turn(void **state)
{
	enum { USERS = 100, BODY = 200 * 1024 };
	struct fixture *f = *state;
	commit_large(f, USERS, BODY);
	unsigned told = 0, ticks = 0;
	do {
		published_count = 0;
		wanted = false;
		assert_true(tl_notify_flush(f->notify));
		assert_in_range(published_count, 1, 4 * 1024 / 200 + 1);
		told += published_count;
		ticks++;
	} while (wanted);
	assert_int_equal(told, USERS);
	assert_true(ticks > 1);
	assert_false(tl_notify_flush(f->notify));
}

/* A user in very many big groups: what the notifications know of each is found at once, whatever their number. */
static void test_many_backlogs(void **state)
{
	enum { BACKLOGS = 100000 };
	struct fixture *f = *state;
	struct tl_backlog *backlogs = calloc(BACKLOGS, sizeof *backlogs);
	struct tl_backlog_change *changes = calloc(BACKLOGS, sizeof *changes);
	const struct tl_inbox inbox = {.latest = BACKLOGS, .backlogs = backlogs, .count = BACKLOGS};
	assert_true(backlogs && changes);
	for (uint64_t i = 0; i < BACKLOGS; i++) {
		backlogs[i] = (struct tl_backlog){.conversation_no = i + 1, .since = 1, .head = 1, .last = 1};
		changes[i] = (struct tl_backlog_change){
			.uid = bob, .conversation_no = i + 1, .since = 1, .inbox_head = i + 1, .record = {.pulled = 1}};
	}
	watch(f);
	tl_notify_loaded(f->notify, bob, &inbox, false);
	tl_notify_loaded(f->notify, bob, &inbox, true);
	expect_told(f, "{\"seq\":100000,\"epoch\":\"e\"}");
	const struct tl_commit some = {.backlogs = changes, .backlog_count = BACKLOGS / 2};
	tl_notify_committed(f->notify, &some);
	commit(f, 2);
	clock_ms += TURN_MS - 1;
	expect_told(f, "");
	clock_ms++;
	expect_told(f, "{\"seq\":100001,\"epoch\":\"e\"}");
	const struct tl_commit rest = {.backlogs = changes + BACKLOGS / 2, .backlog_count = BACKLOGS / 2};
	tl_notify_committed(f->notify, &rest);
	tl_notify_unwatch(f->notify, bob);
	free(backlogs);
	free(changes);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_backlog), TEST(test_backlog_while_loading), TEST(test_backlog_before_anything_is_known),
		TEST(test_large_ones_in_turn), TEST(test_many_backlogs)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
