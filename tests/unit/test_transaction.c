/* One batch in the making: appending, deduplication, what is told; on a real database, without the writer. */
#include "transaction.h"

#include "database_fixture.h"
#include "expiry.h"
#include "read_inbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct fixture {
	struct temp_dir dir;
	struct tl_database db;
	struct tl_limits limits;
	struct tl_transaction txn;
	struct tl_conversation *chat; /* of alice and bob; valid until the caches are cleared */
	uint64_t position;
};

static void find_or_make_chat(struct fixture *f)
{
	const struct tl_conversation_record record = {.cid = {"d:alice:bob", 11}, .kind = TL_DIRECT, .member_count = 2};
	if (tl_transaction_conversation(&f->txn, record.cid, &f->chat) == TL_OK)
		return;
	uint64_t alice = take_user(&f->txn, "alice")->no, bob = take_user(&f->txn, "bob")->no;
	const struct tl_member members[] = {{.user_no = bob, .record = {.since = 1}},
	                                    {.user_no = alice, .record = {.since = 1}}};
	assert_int_equal(
		tl_conversations_create(&f->txn.conversations, f->txn.batch, &record, members, 2, &f->chat), TL_OK);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	if (!f || !temp_dir_make(&f->dir))
		return -1;
	f->limits = (struct tl_limits){.dedup_window_ms = 1000};
	open_transaction(&f->dir, &f->limits, &f->db, &f->txn);
	find_or_make_chat(f);
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

/* As after a start: nothing is cached. */
static void forget(struct fixture *f)
{
	tl_transaction_forget(&f->txn);
	find_or_make_chat(f);
}

/* Appends at a position of its own; answers the cseq. */
static uint64_t append_at(struct fixture *f, uint64_t position, bool replaying, const char *id, uint64_t ts,
                          uint64_t *ts_out)
{
	struct tl_pack pack;
	struct tl_message message = {.ts = ts, .id = tl_slice_str(id), .from = {"alice", 5}, .type = {"text", 4}};
	uint64_t cseq = 0;
	tl_pack_init(&pack);
	tl_message_pack(&pack, &message);
	const struct tl_dedup_key dedup = tl_transaction_dedup_key(&f->txn, f->chat, message.from, message.id);
	const struct tl_append append = {
		.message = tl_arena_copy(&f->txn.arena, tl_pack_bytes(&pack)), .len = tl_pack_bytes(&pack).len,
		.dedup = message.id.len > 0 ? &dedup : NULL,
	};
	tl_pack_fini(&pack);
	tl_transaction_record(&f->txn, position, replaying);
	assert_int_equal(tl_transaction_append(&f->txn, f->chat, &append, &cseq, ts_out), TL_OK);
	return cseq;
}

static uint64_t append(struct fixture *f, const char *id, uint64_t ts)
{
	uint64_t stored;
	return append_at(f, ++f->position, false, id, ts, &stored);
}

static bool is_dup(struct fixture *f, const char *sender, const char *id, uint64_t ts, uint64_t *cseq_out)
{
	const struct tl_dedup_key key = tl_transaction_dedup_key(&f->txn, f->chat, tl_slice_str(sender), tl_slice_str(id));
	struct tl_dedup_record record;
	enum tl_err err = tl_transaction_find_dup(&f->txn, f->chat, &key, ts, &record);
	if (err != TL_OK)
		assert_int_equal(err, TL_NOT_FOUND);
	else
		*cseq_out = record.cseq;
	return err == TL_OK;
}

static void test_append(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(append(f, "a", 100), 1);
	assert_int_equal(append(f, "b", 101), 2);
	struct tl_commit told = tl_transaction_told(&f->txn);
	assert_int_equal(told.delivery_count, 2);
	assert_int_equal(told.append_count, 4);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(told.appends[i].seq, i / 2 + 1);
		assert_int_equal(told.appends[i].delivery, i / 2);
	}
	assert_int_equal(told.deliveries[1].cseq, 2);
	commit(f);
	assert_int_equal(tl_transaction_told(&f->txn).delivery_count, 0);
	assert_int_equal(append(f, "c", 102), 3);
	commit(f);
	forget(f);
	assert_int_equal(append(f, "d", 103), 4);
}

static void test_times_never_decrease(void **state)
{
	struct fixture *f = *state;
	uint64_t ts;
	append_at(f, 1, false, "a", 500, &ts);
	assert_int_equal(ts, 500);
	append_at(f, 2, false, "b", 400, &ts);
	assert_int_equal(ts, 500);
	assert_int_equal(tl_message_ts(tl_transaction_told(&f->txn).deliveries[1].message), 500);
	commit(f);
	forget(f);
	append_at(f, 3, false, "c", 450, &ts);
	assert_int_equal(ts, 500);
	append_at(f, 4, false, "d", 501, &ts);
	assert_int_equal(ts, 501);
}

static uint64_t inbox_ts(struct fixture *f, uint64_t user_no, uint64_t seq)
{
	struct tl_iter *iter;
	uint64_t ts;
	assert_int_equal(tl_iter_new(f->db.engine, NULL, tl_partition(TL_PART_META, 0), true, &iter), TL_OK);
	assert_int_equal(tl_inbox_entry_ts(iter, user_no, seq, &ts), TL_OK);
	tl_iter_free(iter);
	return ts;
}

/* An inbox whose last entry has a later time than the message gives the entry that time; the message keeps its own. */
static void test_inbox_times_never_decrease(void **state)
{
	struct fixture *f = *state;
	struct tl_user *alice;
	uint64_t ts;
	append_at(f, 1, false, "a", 500, &ts);
	assert_int_equal(tl_transaction_user(&f->txn, tl_slice_str("alice"), &alice), TL_OK);
	alice->inbox_ts = 900; /* by another conversation */
	append_at(f, 2, false, "b", 600, &ts);
	assert_int_equal(ts, 600);
	commit(f);
	const uint64_t alice_no = alice->no, expected[][2] = {{500, 900}, {500, 600}};
	for (uint64_t seq = 1; seq <= 2; seq++)
		for (uint64_t no = 1; no <= 2; no++) {
			assert_int_equal(inbox_ts(f, no, seq), expected[no != alice_no][seq - 1]);
		}
	forget(f);
	append_at(f, 3, false, "c", 700, &ts);
	commit(f);
	assert_int_equal(inbox_ts(f, alice_no, 3), 900);
}

static void test_dedup(void **state)
{
	struct fixture *f = *state;
	uint64_t cseq = 0;
	assert_false(is_dup(f, "alice", "a", 100, &cseq));
	append(f, "a", 100);
	assert_true(is_dup(f, "alice", "a", 100, &cseq) && cseq == 1); /* in the batch */
	commit(f);
	assert_true(is_dup(f, "alice", "a", 1099, &cseq) && cseq == 1); /* in the database */
	assert_true(is_dup(f, "alice", "a", 1, &cseq));
	assert_false(is_dup(f, "alice", "a", 1100, &cseq));
	assert_false(is_dup(f, "bob", "a", 100, &cseq));
	assert_false(is_dup(f, "alice", "b", 100, &cseq));
}

/* An id that is used again after the window, in one batch with the first use and many others: the later use counts. */
static void test_dedup_of_a_later_use(void **state)
{
	struct fixture *f = *state;
	uint64_t cseq = 0;
	append(f, "a", 100);
	uint64_t later = append(f, "a", 5000);
	for (int i = 0; i < 2000; i++) {
		char id[24];
		snprintf(id, sizeof id, "other%d", i);
		append(f, id, 5000);
		assert_true(is_dup(f, "alice", "a", 5001, &cseq));
		assert_int_equal(cseq, later);
	}
}

static uint64_t inbox_head(struct fixture *f, const char *uid)
{
	uint64_t no;
	assert_int_equal(tl_user_no(f->db.engine, NULL, tl_slice_str(uid), &no), TL_OK);
	return read_inbox_bounds(f->db.engine, no).head;
}

/* What is there in whole is applied once (X2). */
static void test_replay(void **state)
{
	struct fixture *f = *state;
	uint64_t ts;
	append_at(f, 10, false, "a", 100, &ts);
	append_at(f, 20, false, "b", 200, &ts);
	commit(f);
	forget(f);
	tl_transaction_record(&f->txn, 10, true);
	forget(f); /* caches are filled while replaying */
	assert_int_equal(append_at(f, 10, true, "a", 100, &ts), 1);
	assert_int_equal(append_at(f, 20, true, "b", 200, &ts), 2);
	assert_int_equal(tl_transaction_told(&f->txn).append_count, 0);
	assert_int_equal(append_at(f, 30, true, "c", 300, &ts), 3);
	commit(f);
	assert_int_equal(inbox_head(f, "alice"), 3);
	assert_int_equal(inbox_head(f, "bob"), 3);
}

/* A replayed message is told with the time that it is stored with. */
static void test_replayed_time(void **state)
{
	struct fixture *f = *state;
	uint64_t ts;
	append_at(f, 10, false, "a", 100, &ts);
	append_at(f, 20, false, "b", 200, &ts);
	commit(f);
	tl_transaction_record(&f->txn, 10, true);
	forget(f);
	append_at(f, 10, true, "a", 100, &ts);
	assert_int_equal(ts, 100);
}

static void test_outcomes_are_copied(void **state)
{
	struct fixture *f = *state;
	char text[] = "route";
	for (int i = 0; i < 200; i++) {
		const struct tl_outcome outcome = {.route = tl_slice(text, 5), .op = "send", .err = TL_NOT_MEMBER, .why = text};
		text[0] = (char)('A' + i % 26);
		assert_int_equal(tl_transaction_tell(&f->txn, &outcome), TL_OK);
	}
	text[0] = '?';
	struct tl_commit told = tl_transaction_told(&f->txn);
	assert_int_equal(told.outcome_count, 200);
	for (int i = 0; i < 200; i++) {
		assert_int_equal(*(const char *)told.outcomes[i].route.ptr, 'A' + i % 26);
		assert_int_equal(told.outcomes[i].why[0], 'A' + i % 26);
	}
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_append), TEST(test_times_never_decrease), TEST(test_inbox_times_never_decrease), TEST(test_dedup), TEST(test_dedup_of_a_later_use),
		TEST(test_replay), TEST(test_replayed_time),        TEST(test_outcomes_are_copied),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
