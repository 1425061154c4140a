/* Taking in what has yet to enter an inbox: damaged data, and what is skipped. On a real database, without the writer. */
#include "pull.h"

#include "backlog.h"
#include "database_fixture.h"
#include "fanout.h"
#include "msgpack_reader.h"
#include "ordered_int.h"
#include "requests.h"
#include "timeline.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct fixture {
	struct temp_dir dir;
	struct tl_database db;
	struct tl_checkpoints checkpoints;
	struct tl_limits limits;
	struct tl_transaction txn;
	struct tl_slice cid;
	uint64_t position;
};

static struct tl_conversation *conversation(struct fixture *f)
{
	struct tl_conversation *conversation;
	assert_int_equal(tl_transaction_conversation(&f->txn, f->cid, &conversation), TL_OK);
	return conversation;
}

static void commit(struct fixture *f)
{
	commit_transaction(&f->txn);
}

/* A group of alice and bob, on read. */
static void make_group(struct fixture *f)
{
	const struct tl_conversation_record record = {.cid = f->cid,
	                                              .owner = {"alice", 5},
	                                              .kind = TL_GROUP,
	                                              .fanout = TL_FANOUT_READ,
	                                              .on_read = true,
	                                              .member_count = 2};
	const struct tl_member members[] = {{.user_no = take_user(&f->txn, "alice")->no, .record = {.since = 1}},
	                                    {.user_no = take_user(&f->txn, "bob")->no, .record = {.since = 1}}};
	struct tl_conversation *made;
	assert_int_equal(tl_conversations_create(&f->txn.conversations, f->txn.batch, &record, members, 2, &made), TL_OK);
	assert_int_equal(tl_fanout_begin_all(&f->txn, made), TL_OK);
	commit(f);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	if (!f || !temp_dir_make(&f->dir))
		return -1;
	assert_int_equal(tl_checkpoints_init(&f->checkpoints), TL_OK);
	f->limits = (struct tl_limits){.server = "test", .write_fanout_max = 10};
	open_transaction(&f->dir, &f->limits, &f->db, &f->txn);
	f->cid = tl_slice_str("group");
	make_group(f);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	tl_transaction_fini(&f->txn);
	tl_checkpoints_fini(&f->checkpoints);
	tl_database_close(&f->db);
	temp_dir_remove(&f->dir);
	free(f);
	return 0;
}

static void append(struct fixture *f, uint64_t ts)
{
	const struct tl_message message = {.ts = ts, .id = {"x", 1}, .from = {"alice", 5}, .type = {"text", 4}};
	struct tl_pack pack;
	uint64_t cseq, stored;
	tl_pack_init(&pack);
	tl_message_pack(&pack, &message);
	const struct tl_append append = {
		.message = tl_arena_copy(&f->txn.arena, tl_pack_bytes(&pack)), .len = tl_pack_bytes(&pack).len};
	tl_pack_fini(&pack);
	tl_transaction_record(&f->txn, ++f->position, false);
	assert_int_equal(tl_transaction_append(&f->txn, conversation(f), &append, &cseq, &stored), TL_OK);
}

static void post(struct fixture *f, uint64_t ts)
{
	append(f, ts);
	commit(f);
}

static void ignore(struct tl_pull *pull)
{
	(void)pull;
}

/* Applies and commits it. */
static void do_pull(struct fixture *f, struct tl_pull *pull)
{
	tl_pull_init(pull);
	tl_transaction_chores(&f->txn, f->position + 1);
	assert_int_equal(pull->chore.apply(&pull->chore, &f->txn), TL_OK);
	commit(f);
	pull->chore.done(&pull->chore, true);
}

/* Takes in the first `upto` entries of an inbox that has no floor. */
static enum tl_err pull(struct fixture *f, const char *uid, uint64_t upto, uint64_t now)
{
	struct tl_pull pull = {.user = tl_slice_str(uid), .limit = upto, .now = now, .ready = ignore};
	do_pull(f, &pull);
	assert_int_equal(pull.taken, pull.err == TL_OK);
	return pull.err;
}

static struct tl_inbox read_inbox(struct fixture *f, const char *uid, uint64_t now)
{
	struct tl_inbox inbox;
	assert_int_equal(tl_inbox_of(f->db.engine, &f->limits, now, tl_slice_str(uid), NULL, &inbox), TL_OK);
	return inbox;
}

static void check_inbox(struct fixture *f, const char *uid, uint64_t head, uint64_t latest)
{
	struct tl_inbox inbox = read_inbox(f, uid, 0);
	assert_int_equal(inbox.head, head);
	assert_int_equal(inbox.latest, latest);
	tl_inbox_free(&inbox);
}

static void test_pages(void **state)
{
	struct fixture *f = *state;
	for (int i = 0; i < 5; i++)
		post(f, 100);
	check_inbox(f, "bob", 0, 5);
	assert_int_equal(pull(f, "bob", 2, 100), TL_OK);
	check_inbox(f, "bob", 2, 5);
	assert_int_equal(pull(f, "bob", 9, 100), TL_OK);
	check_inbox(f, "bob", 5, 5);
}

/* The inbox of a user in many groups is read in small pages: one after the other needs no pull of its own (L4). */
static void test_small_pages_of_many_groups(void **state)
{
	enum { GROUPS = 20, MESSAGES = 3, PAGE = 5 };
	struct fixture *f = *state;
	char cids[GROUPS][16];
	unsigned pulls = 0;
	for (int i = 0; i < GROUPS; i++) {
		snprintf(cids[i], sizeof cids[i], "g%d", i);
		f->cid = tl_slice_str(cids[i]);
		make_group(f);
	}
	for (int i = 0; i < GROUPS * MESSAGES; i++) {
		f->cid = tl_slice_str(cids[i % GROUPS]);
		post(f, 100);
	}
	for (uint64_t after = 0; after < GROUPS * MESSAGES; after += PAGE) {
		struct tl_inbox inbox = read_inbox(f, "bob", 100);
		struct tl_pull pull = {
			.user = tl_slice_str("bob"), .after = after, .limit = PAGE, .now = 100, .ready = ignore};
		bool missing = inbox.bounds.head < after + PAGE;
		tl_inbox_free(&inbox);
		pulls += missing;
		if (missing)
			do_pull(f, &pull);
	}
	check_inbox(f, "bob", GROUPS * MESSAGES, GROUPS * MESSAGES);
	assert_int_equal(pulls, MESSAGES);
	post(f, 100);
	assert_int_equal(pull(f, "bob", 0, 100), TL_OK); /* nothing is wanted */
	check_inbox(f, "bob", GROUPS * MESSAGES, GROUPS * MESSAGES + 1);
}

/* A device that begins with what comes next, at the end of a long backlog: no pull takes in much of it (L5), and the page is whole
 * in the end. */
static void test_from_far_away(void **state)
{
	enum { MESSAGES = 20000, AFTER = MESSAGES - 150, AT_ONCE = 8192 };
	struct fixture *f = *state;
	struct tl_inbox inbox = {0};
	uint64_t head = 0;
	for (int i = 0; i < MESSAGES; i++)
		append(f, 100);
	commit(f);
	for (unsigned pulls = 0; head < AFTER + 100; pulls++) {
		struct tl_pull pull = {.user = tl_slice_str("bob"), .after = AFTER, .limit = 100, .now = 100, .ready = ignore};
		assert_true(pulls < MESSAGES / 1000);
		do_pull(f, &pull);
		assert_int_equal(pull.err, TL_OK);
		inbox = read_inbox(f, "bob", 100);
		assert_true(inbox.bounds.head > head && inbox.bounds.head - head <= AT_ONCE);
		head = inbox.bounds.head;
		tl_inbox_free(&inbox);
	}
	assert_int_equal(inbox.latest, MESSAGES);
}

/* A conversation's own setting comes before the limit, but nobody can have a message written to any number of inboxes. */
static void test_ways(void **state)
{
	struct tl_conversation_record record = {.kind = TL_GROUP, .fanout = TL_FANOUT_AUTO, .member_count = 501};
	(void)state;
	assert_true(tl_fanout_on_read(&record, 500));
	assert_false(tl_fanout_on_read(&record, 501));
	record.fanout = TL_FANOUT_WRITE;
	record.member_count = TL_FANOUT_WRITE_MAX;
	assert_false(tl_fanout_on_read(&record, 0));
	assert_false(tl_fanout_on_read(&record, 500));
	record.member_count++;
	assert_true(tl_fanout_on_read(&record, 500));
	assert_false(tl_fanout_on_read(&record, TL_FANOUT_WRITE_MAX + 1));
	record.on_read = true;
	record.member_count = TL_FANOUT_WRITE_MAX - TL_FANOUT_WRITE_MAX / 4;
	assert_false(tl_fanout_on_read(&record, 500));
	record.member_count++;
	assert_true(tl_fanout_on_read(&record, 500));
	record = (struct tl_conversation_record){.kind = TL_GROUP, .fanout = TL_FANOUT_READ, .member_count = 2};
	assert_true(tl_fanout_on_read(&record, 500));
	record.kind = TL_DIRECT;
	assert_false(tl_fanout_on_read(&record, 0));
}

/* Whatever of the members cannot be read, nothing enters the inbox twice. */
static void test_damaged_member(void **state)
{
	struct fixture *f = *state;
	struct tl_conversation_record record = conversation(f)->record;
	unsigned char key[TL_ORDERED_INT_MAX];
	uint64_t alice = take_user(&f->txn, "alice")->no;
	for (int i = 0; i < 3; i++)
		post(f, 100);
	record.fanout = TL_FANOUT_WRITE;
	assert_int_equal(tl_conversation_change(conversation(f), f->txn.batch, &record), TL_OK);
	tl_batch_put(f->txn.batch, tl_partition(TL_PART_MEMBERS, conversation(f)->no),
	             tl_slice(key, tl_ordered_int_put(key, alice)), tl_slice("?", 1));
	commit(f);
	for (int i = 0; i < 3; i++) {
		tl_transaction_forget(&f->txn);
		(void)pull(f, "bob", 3, 100);
		tl_transaction_forget(&f->txn);
		check_inbox(f, "bob", 3, 3);
	}
}

/* A conversation whose name is lost keeps nobody from what is in the inbox, nor the writer from storing. */
static void test_lost_name(void **state)
{
	struct fixture *f = *state;
	struct tl_conversation_record record = conversation(f)->record;
	post(f, 100);
	record.fanout = TL_FANOUT_WRITE;
	record.on_read = false;
	assert_int_equal(tl_conversation_change(conversation(f), f->txn.batch, &record), TL_OK);
	tl_batch_delete(f->txn.batch, tl_partition(TL_PART_CONVERSATION_NAMES, 0), f->cid);
	commit(f);
	tl_transaction_forget(&f->txn);
	assert_int_equal(pull(f, "bob", 1, 100), TL_OK);
	check_inbox(f, "bob", 1, 1);
}

/* What an inbox moves on from is on record to be dropped, also the entry at its head that stays when all has expired. */
static void test_skip_drops_the_head(void **state)
{
	struct fixture *f = *state;
	struct tl_pair_key key;
	char *value;
	size_t len;
	uint64_t bob = take_user(&f->txn, "bob")->no;
	f->limits.inbox_ttl_ms = 1000;
	post(f, 100);
	assert_int_equal(pull(f, "bob", 1, 100), TL_OK);
	tl_transaction_raise_inbox_floor(&f->txn, take_user(&f->txn, "bob"), 1);
	commit(f);
	post(f, 200);
	post(f, 2000);
	assert_int_equal(pull(f, "bob", 3, 2000), TL_OK);
	assert_int_equal(tl_engine_get(f->db.engine, NULL, tl_partition(TL_PART_DUE, TL_DUE_DROP),
	                               tl_pair_key(&key, TL_PART_INBOX, bob), &value, &len),
	                 TL_OK);
	assert_int_equal(len, 1);
	assert_true(value[0] <= 1); /* from the entry at 1, or before */
	free(value);
}

/* --- a conversation faster than its readers --- */

/* What the writer does between a device's two readings, and how many came before it and after it. */
static void interpose(struct fixture *f, struct tl_pull *pull, const struct tl_answer *answer)
{
	*pull = (struct tl_pull){.user = tl_slice_str("bob"), .after = answer->pull_after, .limit = answer->pull_limit,
	                         .now = 100, .ready = ignore};
	for (int i = 0; i < 50; i++)
		post(f, 100);
	do_pull(f, pull);
	assert_int_equal(pull->err, TL_OK);
	assert_true(pull->taken);
	for (int i = 0; i < 50; i++)
		post(f, 100);
}

static uint64_t uint_of(const struct tl_answer *answer, const char *key)
{
	struct tl_pack map;
	struct tl_reader value;
	uint64_t number;
	tl_pack_init(&map);
	tl_pack_map(&map, answer->field_count);
	tl_pack_raw(&map, tl_pack_bytes(&answer->fields));
	assert_true(tl_msgpack_find(tl_pack_bytes(&map), key, &value));
	assert_true(tl_reader_uint(&value, &number));
	tl_pack_fini(&map);
	return number;
}

/* Reads, has what is missing taken in while others write, and reads again, which must be enough. */
static void read_twice(struct fixture *f, const char *op, struct tl_answer *answer)
{
	const struct tl_request *request = tl_request_find(tl_slice_str(op));
	const struct tl_reading reading = {
		.database = &f->db, .checkpoints = &f->checkpoints, .limits = &f->limits};
	struct tl_call call = {.user = tl_slice_str("bob"), .device = {"d", 1}, .raw = {"\x80", 1}, .now = 100};
	struct tl_pull pull;
	tl_answer_init(answer);
	for (int i = 0; i < 50; i++)
		post(f, 100);
	assert_int_equal(tl_request_read(request, &reading, call, answer), TL_AGAIN);
	interpose(f, &pull, answer);
	call.pulled_floor = &pull.floor;
	assert_int_equal(tl_request_read(request, &reading, call, answer), TL_OK);
}

/* One pull is enough (L3): the page is what there was room for then, and what is said of the rest is of now. */
static void test_sync_keeps_up(void **state)
{
	struct fixture *f = *state;
	struct tl_answer answer;
	f->limits.inbox_max = 10;
	read_twice(f, "sync", &answer);
	assert_int_equal(uint_of(&answer, "floor"), 90);
	assert_int_equal(uint_of(&answer, "next"), 100);
	assert_int_equal(uint_of(&answer, "latest"), 150);
	tl_answer_fini(&answer);
	read_twice(f, "sync", &answer); /* the next page */
	assert_int_equal(uint_of(&answer, "floor"), 240);
	assert_int_equal(uint_of(&answer, "next"), 250);
	tl_answer_fini(&answer);
}

static void test_hello_keeps_up(void **state)
{
	struct fixture *f = *state;
	struct tl_answer answer;
	f->limits.inbox_max = 10;
	read_twice(f, "hello", &answer);
	assert_int_equal(uint_of(&answer, "floor"), 90);
	assert_int_equal(uint_of(&answer, "latest"), 150);
	tl_answer_fini(&answer);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(test_pages), TEST(test_small_pages_of_many_groups),
	                                   TEST(test_from_far_away), TEST(test_ways),
	                                   TEST(test_damaged_member), TEST(test_lost_name), TEST(test_skip_drops_the_head),
	                                   TEST(test_sync_keeps_up), TEST(test_hello_keeps_up)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
