/* A sweep, step by step on a real database: what is on disk afterwards, a crash after each step, a commit that fails or is
 * made twice, and what is appended meanwhile. The writer is the test itself. Cites (S1)–(S4) of storage/sweep.h. */
#include "sweep.h"

#include "database_fixture.h"
#include "expiry.h"
#include "index_queue.h"
#include "ordered_int.h"
#include "read_inbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { TTL = 10000, RETENTION = 5000 };
#define MESSAGES UINT64_C(30)

struct fixture {
	struct temp_dir dir;
	struct tl_database db;
	struct tl_limits limits;
	struct tl_transaction txn;
	struct tl_due_board board;
	struct tl_conversation *group; /* of alice and bob; valid until the caches are cleared */
	struct tl_sweep sweep;
	uint64_t position, alice, bob, conversation_no;
	bool in_runs; /* several messages in a batch, so in one item of an inbox; else each has its own */
};

static void find_or_make_group(struct fixture *f)
{
	const struct tl_conversation_record record = {.cid = {"team", 4}, .kind = TL_GROUP, .owner = {"alice", 5},
	                                              .order = TL_ORDER_CUSTOM, .member_count = 2};
	f->alice = take_user(&f->txn, "alice")->no;
	f->bob = take_user(&f->txn, "bob")->no;
	if (tl_transaction_conversation(&f->txn, record.cid, &f->group) != TL_OK) {
		const struct tl_member members[] = {{.user_no = f->alice, .record = {.since = 1}},
		                                    {.user_no = f->bob, .record = {.since = 1, .deleted_some = true}}};
		assert_int_equal(
			tl_conversations_create(&f->txn.conversations, f->txn.batch, &record, members, 2, &f->group), TL_OK);
	}
	f->conversation_no = f->group->no;
}

static void open_all(struct fixture *f)
{
	open_transaction(&f->dir, &f->limits, &f->db, &f->txn);
	tl_due_board_init(&f->board);
	f->txn.due.board = &f->board;
	f->sweep = (struct tl_sweep){.database = &f->db, .limits = &f->limits, .now = f->sweep.now};
	find_or_make_group(f);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	if (!f || !temp_dir_make(&f->dir))
		return -1;
	f->limits = (struct tl_limits){
		.inbox_ttl_ms = TTL, .retention_ms = RETENTION, .device_ttl_ms = TTL, .write_fanout_max = 10};
	open_all(f);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	close_transaction(&f->db, &f->txn);
	temp_dir_remove(&f->dir);
	free(f);
	return 0;
}

static void commit(struct fixture *f)
{
	commit_transaction(&f->txn);
}

static void crash(struct fixture *f)
{
	close_transaction(&f->db, &f->txn);
	open_all(f);
}

/* As after a commit that failed: nothing is cached. */
static void forget(struct fixture *f)
{
	tl_transaction_forget(&f->txn);
	find_or_make_group(f);
}

static void append(struct fixture *f, uint64_t ts)
{
	struct tl_message message = {.ts = ts, .id = {"m", 1}, .from = {"alice", 5}, .type = {"text", 4},
	                             .has_order = true};
	struct tl_pack pack;
	uint64_t cseq, stored;
	message.order = 100 + f->group->head * 7 % 11;
	tl_pack_init(&pack);
	tl_message_pack(&pack, &message);
	const struct tl_append appended = {.message = tl_arena_copy(&f->txn.arena, tl_pack_bytes(&pack)),
	                                   .len = tl_pack_bytes(&pack).len, .order = message.order};
	tl_pack_fini(&pack);
	tl_transaction_record(&f->txn, ++f->position, false);
	assert_int_equal(tl_transaction_append(&f->txn, f->group, &appended, &cseq, &stored), TL_OK);
	if (!f->in_runs)
		commit(f);
}

/* Messages at 1000, 2000 … */
static void fill(struct fixture *f)
{
	struct tl_pair_key key;
	for (uint64_t i = 1; i <= MESSAGES; i++)
		append(f, i * 1000);
	for (uint64_t cseq = 1; cseq <= MESSAGES; cseq += 2) /* bob has deleted every other one */
		tl_batch_put(f->txn.batch, tl_partition(TL_PART_DELETED, f->bob), tl_pair_key(&key, f->conversation_no, cseq),
		             tl_slice("", 0));
	commit(f);
}

/* --- steps --- */

static void gather(struct fixture *f)
{
	f->sweep.count = 0;
	for (unsigned kind = TL_DUE_INBOX; kind < TL_DUE_KINDS; kind++) {
		struct tl_iter *iter;
		struct tl_sweep_item item = {.kind = (enum tl_due_kind)kind};
		assert_int_equal(tl_iter_new(f->db.engine, NULL, tl_partition(TL_PART_DUE, kind), true, &iter), TL_OK);
		for (bool there = tl_iter_seek(iter, tl_slice("", 0)); there; there = tl_iter_next(iter)) {
			assert_true(tl_pair_key_parse(tl_iter_key(iter), &item.due, &item.no));
			if (item.due <= f->sweep.now && f->sweep.count < TL_SWEEP_ITEMS)
				f->sweep.items[f->sweep.count++] = item;
		}
		tl_iter_free(iter);
	}
}

static void step(struct fixture *f, int n)
{
	switch (n) {
	case 0:
		gather(f);
		assert_int_equal(tl_sweep_assess(&f->sweep), TL_OK);
		return;
	case 1:
		assert_int_equal(tl_sweep_raise(&f->sweep, &f->txn), TL_OK);
		commit(f);
		return;
	case 2:
		assert_int_equal(tl_sweep_drop(&f->sweep), TL_OK);
		return;
	default:
		assert_int_equal(tl_sweep_settle(&f->sweep, &f->txn), TL_OK);
		commit(f);
	}
}

enum { STEPS = 4 };

static void sweep_all(struct fixture *f, uint64_t now)
{
	f->sweep.now = now;
	for (int n = 0; n < STEPS; n++)
		step(f, n);
}

static void finish_earlier(struct fixture *f)
{
	assert_int_equal(tl_sweep_unfinished(&f->sweep), TL_OK);
	if (f->sweep.count == 0)
		return;
	step(f, 2);
	step(f, 3);
	assert_int_equal(tl_sweep_unfinished(&f->sweep), TL_OK);
	assert_int_equal(f->sweep.count, 0);
}

/* --- what is on disk --- */

/* The timeline holds its floor and the entries above it, or the head alone. */
static void assert_timeline(struct fixture *f, enum tl_partition_kind kind, uint64_t no, uint64_t floor, uint64_t head)
{
	struct tl_bounds bounds;
	if (kind == TL_PART_INBOX)
		bounds = read_inbox_bounds(f->db.engine, no);
	else
		assert_int_equal(tl_timeline_bounds(f->db.engine, NULL, NULL, tl_partition(kind, no), &bounds, NULL, NULL), TL_OK);
	assert_int_equal(bounds.floor, floor);
	assert_int_equal(bounds.head, head);
	assert_int_equal(count_keys(f->db.engine, kind, no), (floor > 0) + (floor < head ? head - floor : 1));
}

static void assert_all(struct fixture *f, uint64_t inbox_floor, uint64_t store_floor, uint64_t head)
{
	assert_timeline(f, TL_PART_INBOX, f->alice, inbox_floor, head);
	assert_timeline(f, TL_PART_INBOX, f->bob, inbox_floor, head);
	assert_timeline(f, TL_PART_STORE, f->conversation_no, store_floor, head);
	assert_int_equal(count_keys(f->db.engine, TL_PART_CUSTOM_ORDER, f->conversation_no), head - store_floor);
	assert_int_equal(count_keys(f->db.engine, TL_PART_DUE, TL_DUE_DROP), 0);
}

static void test_some(void **state)
{
	struct fixture *f = *state;
	fill(f);
	assert_int_equal(count_keys(f->db.engine, TL_PART_DUE, TL_DUE_INBOX), 2 * MESSAGES);
	sweep_all(f, 4500);
	assert_all(f, 0, 0, MESSAGES);
	sweep_all(f, 13500); /* 3000 and 8000 have expired */
	assert_all(f, 3, 8, MESSAGES);
	assert_int_equal(count_keys(f->db.engine, TL_PART_DELETED, f->bob), MESSAGES / 2 - 4);
	assert_int_equal(f->sweep.entries, 6);
	assert_int_equal(f->sweep.messages, 8);
	assert_true(f->sweep.bytes[TL_FAMILY_USER] > 0 && f->sweep.bytes[TL_FAMILY_CONVERSATION] > f->sweep.bytes[TL_FAMILY_USER]);
	assert_int_equal(count_keys(f->db.engine, TL_PART_DUE, TL_DUE_INBOX), 2 * (MESSAGES - 3));
	assert_int_equal(count_keys(f->db.engine, TL_PART_DUE, TL_DUE_STORE), MESSAGES - 8);
}

/* With everything expired the head stays, without content, until it is the head no more (S3). */
static void test_all(void **state)
{
	struct fixture *f = *state;
	struct tl_store_record record;
	char *bytes;
	size_t len;
	fill(f);
	sweep_all(f, 100000);
	assert_all(f, MESSAGES, MESSAGES, MESSAGES);
	assert_int_equal(count_keys(f->db.engine, TL_PART_DUE, TL_DUE_INBOX), 0);
	assert_int_equal(count_keys(f->db.engine, TL_PART_DUE, TL_DUE_STORE), 0);
	assert_int_equal(count_keys(f->db.engine, TL_PART_DELETED, f->bob), 0);
	assert_int_equal(tl_timeline_get(f->db.engine, NULL, tl_partition(TL_PART_STORE, f->conversation_no), MESSAGES,
	                                 &bytes, &len),
	                 TL_OK);
	assert_true(tl_store_record_unpack(tl_slice(bytes, len), &record));
	assert_int_equal(record.running, MESSAGES);
	assert_int_equal(tl_message_ts(record.message), MESSAGES * 1000);
	assert_int_equal(tl_message_str(record.message, "from").len, 0);
	assert_true(tl_slice_equal(tl_message_str(record.message, "gone"), tl_slice_str("expired")));
	free(bytes);

	crash(f); /* the sequences go on where they were */
	append(f, 101000);
	commit(f);
	assert_int_equal(f->group->head, MESSAGES + 1);
	assert_int_equal(f->group->running, MESSAGES + 1);
	sweep_all(f, 102000);
	assert_int_equal(count_keys(f->db.engine, TL_PART_STORE, f->conversation_no), 3); /* nothing to raise: the old head is there */
	append(f, 103000);
	commit(f);
	sweep_all(f, 107000);
	assert_timeline(f, TL_PART_STORE, f->conversation_no, MESSAGES + 1, MESSAGES + 2);
}

/* Of entries that stand together in items, those that have all expired are dropped (inbox.h N1). */
static void test_runs(void **state)
{
	struct fixture *f = *state;
	struct tl_bounds bounds;
	f->in_runs = true;
	for (uint64_t i = 1; i <= 100; i++) {
		append(f, i * 1000);
		if (i % 10 == 0)
			commit(f);
	}
	assert_int_equal(count_keys(f->db.engine, TL_PART_INBOX, f->alice), 10);
	for (uint64_t floor = 1; floor <= 100; floor += 3) {
		sweep_all(f, TTL + 500 + floor * 1000);
		bounds = read_inbox_bounds(f->db.engine, f->alice);
		assert_int_equal(bounds.floor, floor);
		assert_int_equal(bounds.head, 100);
		assert_int_equal(count_keys(f->db.engine, TL_PART_INBOX, f->alice), 1 + 10 - (floor < 100 ? floor / 10 : 9));
	}
}

/* A crash after each step, at every stage of expiry (S2). */
static void test_crash(void **state)
{
	struct fixture *f = *state;
	uint64_t now = 5000;
	fill(f);
	for (int after = 0; after < STEPS; after++)
		for (int again = 0; again < 2; again++) {
			now += 3000;
			f->sweep.now = now;
			for (int n = 0; n <= after; n++)
				step(f, n);
			crash(f);
			if (again) { /* a second crash, after what was left had been dropped and before that was noted */
				assert_int_equal(tl_sweep_unfinished(&f->sweep), TL_OK);
				assert_int_equal(tl_sweep_drop(&f->sweep), TL_OK);
				crash(f);
			}
			finish_earlier(f);
			sweep_all(f, now);
			assert_all(f, now > TTL ? (now - TTL) / 1000 : 0, (now - RETENTION) / 1000, MESSAGES);
		}
}

/* Floors come first (S1): what is on disk below them is nobody's. */
static void test_floor_comes_first(void **state)
{
	struct fixture *f = *state;
	fill(f);
	f->sweep.now = 15000;
	step(f, 0);
	assert_int_equal(tl_sweep_raise(&f->sweep, &f->txn), TL_OK);
	assert_int_equal(count_keys(f->db.engine, TL_PART_INBOX, f->alice), MESSAGES);
	forget(f); /* the commit failed: once more */
	assert_int_equal(tl_sweep_raise(&f->sweep, &f->txn), TL_OK);
	commit(f);
	assert_int_equal(count_keys(f->db.engine, TL_PART_INBOX, f->alice), MESSAGES + 1);
	assert_int_equal(read_inbox_bounds(f->db.engine, f->alice).floor, 5);
	forget(f); /* the commit's outcome was unknown: once more, too */
	assert_int_equal(tl_sweep_raise(&f->sweep, &f->txn), TL_OK);
	commit(f);
	step(f, 2);
	assert_int_equal(tl_sweep_settle(&f->sweep, &f->txn), TL_OK);
	forget(f);
	step(f, 3);
	step(f, 3);
	assert_all(f, 5, 10, MESSAGES);
}

/* A floor never sinks, whatever the clock does. */
static void test_clock_set_back(void **state)
{
	struct fixture *f = *state;
	fill(f);
	sweep_all(f, 20000);
	sweep_all(f, 16000);
	assert_all(f, 10, 15, MESSAGES);
}

/* What is appended while the sweep is under way is never without a marker, even if it was to have the very one that is
 * being deleted. */
static void test_appended_meanwhile(void **state)
{
	struct fixture *f = *state;
	for (int before = 1; before < STEPS; before++) {
		uint64_t base = (uint64_t)before * 100000;
		append(f, base + 500);
		commit(f);
		f->sweep.now = base + 50000;
		atomic_store(&f->board.looked_until, f->sweep.now);
		for (int n = 0; n < STEPS; n++) {
			if (n == before) {
				append(f, base + 600); /* long in the queue: it expires in the same bucket */
				commit(f);
			}
			step(f, n);
		}
		assert_int_equal(count_keys(f->db.engine, TL_PART_DUE, TL_DUE_INBOX), 2);
		assert_int_equal(count_keys(f->db.engine, TL_PART_DUE, TL_DUE_STORE), 1);
		sweep_all(f, base + 50000);
		assert_all(f, f->group->head, f->group->head, f->group->head);
		assert_int_equal(count_keys(f->db.engine, TL_PART_DUE, TL_DUE_INBOX), 0);
		assert_int_equal(count_keys(f->db.engine, TL_PART_DUE, TL_DUE_STORE), 0);
	}
	uint64_t marked_before = f->group->head;
	append(f, 300700); /* after the sweep */
	commit(f);
	assert_int_equal(f->group->head, marked_before + 1);
	assert_int_equal(count_keys(f->db.engine, TL_PART_DUE, TL_DUE_STORE), 1);
	assert_int_equal(count_keys(f->db.engine, TL_PART_DUE, TL_DUE_INBOX), 2);
}

/* A timeline has several markers whose time has come: the one that is put again may be any of them. */
static void test_appended_meanwhile_to_many(void **state)
{
	struct fixture *f = *state;
	append(f, 1000);
	append(f, 9500);
	f->sweep.now = 50000;
	step(f, 0);
	append(f, 9600); /* it expires in the same bucket as the one before */
	for (int n = 1; n < STEPS; n++)
		step(f, n);
	assert_int_equal(count_keys(f->db.engine, TL_PART_DUE, TL_DUE_INBOX), 2);
	assert_int_equal(count_keys(f->db.engine, TL_PART_DUE, TL_DUE_STORE), 1);
	sweep_all(f, 50000);
	assert_all(f, 3, 3, 3);
}

static void set_retention(struct fixture *f, const char *retention, uint64_t now)
{
	struct tl_conversation_record record = f->group->record;
	record.retention = tl_slice_str(retention);
	tl_transaction_record(&f->txn, ++f->position, false);
	f->txn.now = now;
	tl_transaction_retention_changed(&f->txn, f->group);
	assert_int_equal(tl_conversation_change(f->group, f->txn.batch, &record), TL_OK);
	commit(f);
}

/* How long messages live is changed again while a sweep looks at the conversation for the change before, within the same second. */
static void test_retention_changed_meanwhile(void **state)
{
	struct fixture *f = *state;
	for (int before = 1; before < STEPS; before++) {
		uint64_t base = (uint64_t)before * 100000;
		append(f, base);
		append(f, base + 1000);
		set_retention(f, "50s", base + 20000);
		f->sweep.now = base + 20200;
		for (int n = 0; n < STEPS; n++) {
			if (n == before)
				set_retention(f, "1s", base + 20500);
			step(f, n);
		}
		sweep_all(f, base + 20800);
		assert_timeline(f, TL_PART_STORE, f->conversation_no, f->group->head, f->group->head);
	}
}

static struct tl_slice read_index_mark(struct fixture *f, char **bytes_out)
{
	unsigned char key[TL_ORDERED_INT_MAX];
	size_t len;
	assert_int_equal(tl_engine_get(f->db.engine, NULL, tl_partition(TL_PART_INDEX_QUEUE, TL_INDEX_QUEUE_UPKEEP),
	                               tl_slice(key, tl_ordered_int_put(key, f->conversation_no)), bytes_out, &len),
	                 TL_OK);
	return tl_slice(*bytes_out, len);
}

/* A floor is raised, and nothing has been stored since the last time: the indexer, which is done with that, learns of it. */
static void test_index_learns_of_each_floor(void **state)
{
	struct fixture *f = *state;
	char *bytes;
	f->limits.search = true;
	fill(f);
	sweep_all(f, 12000);
	struct tl_slice mark = read_index_mark(f, &bytes);
	sweep_all(f, 13000);
	assert_timeline(f, TL_PART_STORE, f->conversation_no, 8, MESSAGES);
	tl_index_upkeep_delete(f->txn.batch, f->conversation_no, mark);
	assert_int_equal(tl_engine_commit(f->db.engine, f->txn.batch, false, NULL), TL_CONFLICT);
	free(bytes);
}

/* An inbox is cut when it has grown by an eighth beyond its maximum, whenever entries expire. */
static void test_inbox_max(void **state)
{
	struct fixture *f = *state;
	f->limits.inbox_ttl_ms = f->limits.retention_ms = 0;
	f->limits.inbox_max = 16;
	for (uint64_t i = 0; i < 18; i++)
		append(f, 1000 + i);
	commit(f);
	assert_int_equal(count_keys(f->db.engine, TL_PART_DUE, TL_DUE_INBOX), 0);
	append(f, 2000);
	commit(f);
	assert_int_equal(count_keys(f->db.engine, TL_PART_DUE, TL_DUE_INBOX), 2);
	sweep_all(f, 2000);
	assert_all(f, 3, 0, 19);
	for (uint64_t i = 0; i < 100; i++) {
		append(f, 3000 + i * 1000);
		commit(f);
		sweep_all(f, 3000 + i * 1000);
		assert_in_range(count_keys(f->db.engine, TL_PART_INBOX, f->alice), 16, 16 + 3 + 1); /* and the floor */
	}
}

/* Also after a clock that was ahead has been set back: the times of entries stay ahead, but nobody waits for them. */
static void test_inbox_max_and_clock_set_back(void **state)
{
	struct fixture *f = *state;
	f->limits.inbox_max = 16;
	append(f, 1000000);
	for (uint64_t i = 0; i < 100; i++) {
		append(f, 3000 + i * 1000);
		commit(f);
		sweep_all(f, 3000 + i * 1000);
		assert_in_range(count_keys(f->db.engine, TL_PART_INBOX, f->alice), 1, 16 + 3 + 1);
	}
}

/* An inbox that moves on, between any two steps or in the same batch, leaves nothing behind on disk; nor does a crash then. */
static void test_skipped_meanwhile(void **state)
{
	struct fixture *f = *state;
	uint64_t now = 5000;
	fill(f);
	for (int before = 1; before <= 2 * STEPS; before++) {
		struct tl_iter *iter;
		struct tl_user *alice;
		for (unsigned i = 0; i < 3; i++)
			append(f, now);
		append(f, now + 100);
		commit(f);
		f->sweep.now = now += TTL;
		for (int n = 0; n < STEPS; n++) {
			if (n == before % STEPS) {
				assert_int_equal(tl_transaction_iter(&f->txn, &iter), TL_OK);
				assert_int_equal(tl_users_find_no(&f->txn.users, iter, f->alice, &alice), TL_OK);
				assert_int_equal(tl_transaction_skip(&f->txn, alice, alice->inbox_head + 10), TL_OK);
				if (n % 2 == 0 || before > STEPS)
					commit(f);
			}
			if (before > STEPS && n == before % STEPS)
				break;
			step(f, n);
		}
		if (before > STEPS)
			crash(f);
		finish_earlier(f);
		assert_int_equal(count_keys(f->db.engine, TL_PART_INBOX, f->alice), 1); /* its floor */
	}
}

static void put_device(struct fixture *f, const char *device, uint64_t seen)
{
	const struct tl_device_record record = {.checkpoint = 1, .seen = seen};
	struct tl_pack pack;
	tl_pack_init(&pack);
	tl_device_record_pack(&pack, &record);
	tl_batch_put(f->txn.batch, tl_partition(TL_PART_DEVICES, f->alice), tl_slice_str(device), tl_pack_bytes(&pack));
	tl_due_put(&f->txn.due, f->txn.batch, TL_DUE_DEVICES, tl_due_device_time(seen, TTL), f->alice);
	tl_pack_fini(&pack);
}

static void test_devices(void **state)
{
	struct fixture *f = *state;
	put_device(f, "phone", 1000);
	put_device(f, "laptop", 5000);
	put_device(f, "tablet", 50000);
	commit(f);
	sweep_all(f, 12000);
	assert_int_equal(count_keys(f->db.engine, TL_PART_DEVICES, f->alice), 2);
	sweep_all(f, 59000);
	assert_int_equal(count_keys(f->db.engine, TL_PART_DEVICES, f->alice), 1);
	assert_int_equal(f->sweep.devices, 2);
	assert_int_equal(count_keys(f->db.engine, TL_PART_DUE, TL_DUE_DEVICES), 1); /* the tablet's */
	sweep_all(f, 61000);
	assert_int_equal(count_keys(f->db.engine, TL_PART_DEVICES, f->alice), 0);
	assert_int_equal(count_keys(f->db.engine, TL_PART_DUE, TL_DUE_DEVICES), 0);
}

/* Damaged data, and markers of what does not exist, stop nothing (S4). */
static void test_damage(void **state)
{
	struct fixture *f = *state;
	unsigned char key[TL_ORDERED_INT_MAX];
	fill(f);
	tl_batch_put(f->txn.batch, tl_partition(TL_PART_INBOX, f->alice),
	             tl_slice(key, tl_ordered_int_put(key, 1)), tl_slice("\xff", 1));
	tl_due_put(&f->txn.due, f->txn.batch, TL_DUE_INBOX, 1000, 4711);
	tl_due_put(&f->txn.due, f->txn.batch, TL_DUE_STORE, 1000, 4711);
	tl_due_put(&f->txn.due, f->txn.batch, TL_DUE_DEVICES, 1000, 4711);
	commit(f);
	sweep_all(f, 13000);
	assert_timeline(f, TL_PART_INBOX, f->bob, 3, MESSAGES);
	assert_timeline(f, TL_PART_STORE, f->conversation_no, 8, MESSAGES);
	assert_int_equal(count_keys(f->db.engine, TL_PART_INBOX, f->alice), MESSAGES);
	gather(f);
	assert_int_equal(f->sweep.count, 0);
}

/* An inbox that cannot be read any more while it is being dropped, though the writer has it at hand: the record of that goes, or upkeep
 * would find it again and again. */
static void test_damaged_while_dropped(void **state)
{
	struct fixture *f = *state;
	fill(f);
	f->sweep.now = 13000;
	step(f, 0);
	step(f, 1);
	assert_int_equal(count_keys(f->db.engine, TL_PART_DUE, TL_DUE_DROP), 3);
	tl_batch_put(f->txn.batch, tl_partition(TL_PART_INBOX, f->alice), tl_slice("\xff", 1), tl_slice("\xc1", 1));
	commit(f);
	finish_earlier(f);
	assert_timeline(f, TL_PART_INBOX, f->bob, 3, MESSAGES);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_some), TEST(test_runs), TEST(test_all),      TEST(test_crash),   TEST(test_floor_comes_first),
		TEST(test_clock_set_back), TEST(test_appended_meanwhile), TEST(test_appended_meanwhile_to_many),
		TEST(test_retention_changed_meanwhile), TEST(test_index_learns_of_each_floor), TEST(test_inbox_max),
		TEST(test_inbox_max_and_clock_set_back), TEST(test_skipped_meanwhile),
		TEST(test_devices),        TEST(test_damage), TEST(test_damaged_while_dropped),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
