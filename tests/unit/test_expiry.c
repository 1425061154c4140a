/* What has expired as of a moment: floors of inboxes and store timelines, running numbers and unread at a floor. The moment
 * is handed in; every place where a floor can lie is compared with a plain count. */
#include "expiry.h"

#include "database_fixture.h"
#include "message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { USER = 7, CONVERSATION = 300, ENTRIES = 40 };

struct fixture {
	struct temp_dir dir;
	struct tl_engine *engine;
	struct tl_batch *batch;
	uint64_t times[ENTRIES + 1]; /* [seq] */
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	if (!f || !temp_dir_make(&f->dir))
		return -1;
	f->engine = open_engine(&f->dir);
	f->batch = new_batch(f->engine);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	tl_batch_free(f->batch);
	tl_engine_close(f->engine);
	temp_dir_remove(&f->dir);
	free(f);
	return 0;
}

static void commit(struct fixture *f)
{
	commit_batch(f->engine, f->batch);
}

static void put_inbox(struct fixture *f, uint64_t seq, uint64_t ts)
{
	const struct tl_inbox_entry entry = {.conversation_no = 1, .cseq = seq, .ts = ts, .position = seq};
	struct tl_pack pack;
	f->times[seq] = ts;
	tl_pack_init(&pack);
	tl_inbox_entry_pack(&pack, &entry);
	tl_inbox_put(f->batch, USER, seq, tl_pack_bytes(&pack));
	tl_pack_fini(&pack);
}

static void put_store(struct fixture *f, uint64_t cseq, uint64_t ts, uint64_t running, bool event)
{
	const struct tl_message message = {.ts = ts, .id = {"m", 1}, .from = {"alice", 5}, .type = {"text", 4},
	                                   .event = {event ? "\x80" : "", event}};
	struct tl_pack packed, pack;
	f->times[cseq] = ts;
	tl_pack_init(&packed);
	tl_message_pack(&packed, &message);
	const struct tl_store_record record = {.position = cseq, .running = running, .message = tl_pack_bytes(&packed)};
	tl_pack_init(&pack);
	tl_store_record_pack(&pack, &record);
	tl_timeline_append(f->batch, tl_partition(TL_PART_STORE, CONVERSATION), cseq, tl_pack_bytes(&pack), false);
	tl_pack_fini(&packed);
	tl_pack_fini(&pack);
}

static enum tl_err try_inbox_floor(struct fixture *f, const struct tl_bounds *bounds, const struct tl_limits *limits,
                                   uint64_t now, uint64_t *floor_out)
{
	struct tl_iter *iter;
	assert_int_equal(tl_iter_new(f->engine, NULL, tl_partition(TL_PART_META, 0), true, &iter), TL_OK);
	enum tl_err err = tl_inbox_floor(iter, USER, bounds, limits, now, floor_out);
	tl_iter_free(iter);
	return err;
}

static uint64_t inbox_floor(struct fixture *f, struct tl_bounds bounds, struct tl_limits limits, uint64_t now)
{
	uint64_t floor = UINT64_MAX;
	assert_int_equal(try_inbox_floor(f, &bounds, &limits, now, &floor), TL_OK);
	return floor;
}

static uint64_t store_floor(struct fixture *f, struct tl_bounds bounds, uint64_t retention_ms, uint64_t now)
{
	uint64_t floor = UINT64_MAX;
	assert_int_equal(tl_store_floor(f->engine, NULL, CONVERSATION, &bounds, retention_ms, now, &floor), TL_OK);
	return floor;
}

/* The same by looking at every entry. */
static uint64_t plain_floor(const struct fixture *f, struct tl_bounds bounds, struct tl_limits limits, uint64_t now)
{
	uint64_t floor = bounds.floor;
	for (uint64_t seq = bounds.floor + 1; seq <= bounds.head; seq++)
		if ((limits.inbox_ttl_ms && f->times[seq] + limits.inbox_ttl_ms <= now) ||
		    (limits.inbox_max && bounds.head - seq >= limits.inbox_max))
			floor = seq;
	return floor;
}

static void test_expired(void **state)
{
	(void)state;
	assert_false(tl_expired(100, 0, UINT64_MAX));
	assert_false(tl_expired(100, 10, 109));
	assert_true(tl_expired(100, 10, 110));
	assert_false(tl_expired(100, 10, 50)); /* a clock that was set back */
	assert_false(tl_expired(100, UINT64_MAX, 200));
	assert_true(tl_expired(0, UINT64_MAX, UINT64_MAX));
}

static void test_retention(void **state)
{
	(void)state;
	const struct tl_limits none = {0}, some = {.retention_ms = 5000};
	struct tl_conversation_record record = {.retention = {"", 0}};
	assert_int_equal(tl_retention_ms(&record, &none), 0);
	assert_int_equal(tl_retention_ms(&record, &some), 5000);
	record.retention = tl_slice_str("2s");
	assert_int_equal(tl_retention_ms(&record, &some), 2000);
	record.retention = tl_slice_str("damaged");
	assert_int_equal(tl_retention_ms(&record, &some), 0); /* nothing is dropped on the word of damaged data */
}

/* Every head, floor, moment and maximum, with entries of equal times among them. */
static void test_inbox_floor(void **state)
{
	struct fixture *f = *state;
	for (uint64_t seq = 1; seq <= ENTRIES; seq++)
		put_inbox(f, seq, 1000 + seq / 3 * 10);
	commit(f);
	for (uint64_t head = 0; head <= ENTRIES; head += 5)
		for (uint64_t floor = 0; floor <= head; floor += 3)
			for (uint64_t now = 990; now < 1400; now += 5)
				for (uint64_t max = 0; max <= 50; max += 7) {
					struct tl_bounds bounds = {floor, head};
					struct tl_limits limits = {.inbox_ttl_ms = 100, .inbox_max = max};
					assert_int_equal(inbox_floor(f, bounds, limits, now), plain_floor(f, bounds, limits, now));
					limits.inbox_ttl_ms = 0;
					assert_int_equal(inbox_floor(f, bounds, limits, now), plain_floor(f, bounds, limits, now));
				}
}

static void test_store_floor(void **state)
{
	struct fixture *f = *state;
	for (uint64_t cseq = 1; cseq <= ENTRIES; cseq++)
		put_store(f, cseq, 1000 + cseq / 4 * 10, cseq, false);
	commit(f);
	for (uint64_t head = 0; head <= ENTRIES; head++)
		for (uint64_t now = 990; now < 1300; now += 5) {
			struct tl_bounds bounds = {head / 3, head};
			struct tl_limits limits = {.inbox_ttl_ms = 100};
			assert_int_equal(store_floor(f, bounds, 100, now), plain_floor(f, bounds, limits, now));
			assert_int_equal(store_floor(f, bounds, 0, now), bounds.floor);
		}
}

/* Far more entries than are read: a floor is found among a million that are not even there. */
static void test_few_reads(void **state)
{
	struct fixture *f = *state;
	struct tl_limits limits = {.inbox_ttl_ms = 100};
	for (uint64_t seq = 501; seq <= 504; seq++) {
		const struct tl_inbox_entry entry = {.conversation_no = 1, .cseq = seq, .ts = seq < 503 ? 1000 : 2000};
		struct tl_pack pack;
		tl_pack_init(&pack);
		tl_inbox_entry_pack(&pack, &entry);
		tl_inbox_put(f->batch, USER, seq, tl_pack_bytes(&pack));
		tl_pack_fini(&pack);
	}
	commit(f);
	struct tl_bounds bounds = {500, 1000000};
	assert_int_equal(inbox_floor(f, bounds, limits, 1099), 500);
	assert_int_equal(inbox_floor(f, bounds, limits, 1100), 502);
	uint64_t floor;
	assert_int_equal(try_inbox_floor(f, &bounds, &limits, 2100, &floor), TL_CORRUPT);
}

/* An event, two messages, an event, a message … */
static void fill_conversation(struct fixture *f)
{
	uint64_t running = 0;
	for (uint64_t cseq = 1; cseq <= 9; cseq++) {
		bool event = cseq % 3 == 1;
		running += !event;
		put_store(f, cseq, 1000 + cseq, running, event);
	}
	commit(f);
}

static uint64_t plain_running(uint64_t cseq)
{
	return cseq - (cseq + 2) / 3;
}

static void test_running(void **state)
{
	struct fixture *f = *state;
	struct tl_drop drop = {.limit = UINT64_MAX};
	uint64_t running;
	fill_conversation(f);
	for (uint64_t cseq = 0; cseq <= 9; cseq++) {
		assert_int_equal(tl_store_running(f->engine, NULL, CONVERSATION, cseq, &running), TL_OK);
		assert_int_equal(running, plain_running(cseq));
	}
	assert_int_equal(tl_store_running(f->engine, NULL, CONVERSATION, 10, &running), TL_NOT_FOUND);
	/* What is before what has been dropped, one entry after the other. */
	for (uint64_t floor = 1; floor < 9; floor++) {
		unsigned char key[2] = {1, (unsigned char)(floor + 1)};
		assert_int_equal(tl_engine_drop_range(f->engine, tl_partition(TL_PART_STORE, CONVERSATION), tl_slice("\1", 1),
		                                      tl_slice(key, 2), &drop),
		                 TL_OK);
		assert_int_equal(tl_store_running(f->engine, NULL, CONVERSATION, floor, &running), TL_OK);
		assert_int_equal(running, plain_running(floor));
	}
}

static void test_unread(void **state)
{
	struct fixture *f = *state;
	fill_conversation(f);
	for (uint64_t seen = 0; seen <= 9; seen++)
		for (uint64_t floor = 0; floor <= 9; floor++) {
			const struct tl_member_record member = {.seen = seen, .seen_running = plain_running(seen)};
			uint64_t unread, from = seen > floor ? seen : floor;
			assert_int_equal(tl_store_unread(f->engine, NULL, CONVERSATION, floor, 6, &member, &unread), TL_OK);
			assert_int_equal(unread, 6 - plain_running(from));
		}
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_expired), cmocka_unit_test(test_retention), TEST(test_inbox_floor),
		TEST(test_store_floor),         TEST(test_few_reads),             TEST(test_running),
		TEST(test_unread),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
