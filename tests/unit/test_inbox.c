/* Inboxes in runs (storage/inbox.h): what the transaction writes, and reading it from any place. */
#include "inbox.h"

#include "database_fixture.h"
#include "transaction.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { USER = 7 };

struct fixture {
	struct temp_dir dir;
	struct tl_database db;
	struct tl_limits limits;
	struct tl_transaction txn;
	struct tl_iter *iter;
	uint64_t position;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	if (!f || !temp_dir_make(&f->dir))
		return -1;
	open_transaction(&f->dir, &f->limits, &f->db, &f->txn);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	tl_iter_free(f->iter);
	close_transaction(&f->db, &f->txn);
	temp_dir_remove(&f->dir);
	free(f);
	return 0;
}

static void commit(struct fixture *f)
{
	commit_transaction(&f->txn);
}

/* References, whose cseq is their seq. */
static void append(struct fixture *f, const char *uid, unsigned count)
{
	struct tl_user *to = take_user(&f->txn, uid);
	for (unsigned i = 0; i < count; i++) {
		tl_transaction_record(&f->txn, ++f->position, false);
		tl_transaction_append_pulled(&f->txn, to, 1, to->inbox_head + 1, 1000 + f->position);
	}
}

static struct tl_iter *reader(struct fixture *f)
{
	tl_iter_free(f->iter);
	assert_int_equal(tl_iter_new(f->db.engine, NULL, tl_partition(TL_PART_META, 0), true, &f->iter), TL_OK);
	return f->iter;
}

static unsigned count_items(struct fixture *f, uint64_t no)
{
	struct tl_cursor cursor;
	unsigned count = 0;
	for (bool there = tl_cursor_seek(&cursor, reader(f), tl_partition(TL_PART_INBOX, no), 1); there;
	     there = tl_cursor_next(&cursor)) {
		assert_true(cursor.entry.len <= TL_INBOX_RUN_BYTES);
		count++;
	}
	return count;
}

/* From every place to the end. */
static void assert_entries(struct fixture *f, uint64_t no, uint64_t head)
{
	struct tl_inbox_cursor cursor;
	for (uint64_t from = 1; from <= head + 1; from++) {
		enum tl_err err = tl_inbox_seek(&cursor, reader(f), no, from);
		for (uint64_t seq = from; seq <= head; seq++) {
			assert_int_equal(err, TL_OK);
			assert_int_equal(cursor.seq, seq);
			assert_int_equal(cursor.entry.cseq, seq);
			err = tl_inbox_next(&cursor);
		}
		assert_int_equal(err, TL_END);
	}
}

/* What one batch appends shares items, whatever else it appends to others. */
static void test_runs(void **state)
{
	struct fixture *f = *state;
	const unsigned batches[] = {1, 3, 2, 400, 1, 1};
	unsigned head = 0;
	for (size_t i = 0; i < sizeof batches / sizeof batches[0]; i++) {
		append(f, "alice", batches[i]);
		append(f, "bob", 1);
		append(f, "alice", 1);
		commit(f);
		head += batches[i] + 1;
	}
	struct tl_user *alice = take_user(&f->txn, "alice"), *bob = take_user(&f->txn, "bob");
	assert_int_equal(alice->inbox_head, head);
	assert_in_range(count_items(f, alice->no), 6 + 2, 6 + 5); /* four hundred take more than one */
	assert_int_equal(count_items(f, bob->no), 6);
	assert_entries(f, alice->no, head);
	assert_entries(f, bob->no, 6);
}

/* After a start the inbox goes on behind its last entry. */
static void test_loading(void **state)
{
	struct fixture *f = *state;
	append(f, "alice", 100);
	commit(f);
	tl_users_clear(&f->txn.users);
	struct tl_user *alice = take_user(&f->txn, "alice");
	assert_int_equal(alice->inbox_head, 100);
	assert_int_equal(alice->position, 100);
	assert_int_equal(alice->inbox_ts, 1100);
}

static unsigned count_markers(struct fixture *f)
{
	return count_keys(f->db.engine, TL_PART_DUE, TL_DUE_INBOX);
}

static void lose_markers(struct fixture *f)
{
	struct tl_drop drop = {.limit = UINT64_MAX};
	assert_int_equal(tl_engine_drop_range(f->db.engine, tl_partition(TL_PART_DUE, TL_DUE_INBOX), tl_slice("", 0),
	                                      tl_slice("", 0), &drop),
	                 TL_OK);
	tl_users_clear(&f->txn.users);
}

/* The last entry has its marker, which is not put again for one that is due with it (due.h D1), whether the user was at hand
 * or not; but it is where it may have been lost. */
static void test_marker_is_put_once(void **state)
{
	struct fixture *f = *state;
	f->limits.inbox_ttl_ms = 320000;
	append(f, "alice", 1);
	commit(f);
	assert_int_equal(count_markers(f), 1);
	lose_markers(f);
	append(f, "alice", 1);
	commit(f);
	assert_int_equal(count_markers(f), 0);
	tl_users_clear(&f->txn.users);
	f->position += 10000; /* a time of the next grain */
	append(f, "alice", 1);
	commit(f);
	assert_int_equal(count_markers(f), 1);
	lose_markers(f);
	struct tl_user *alice = take_user(&f->txn, "alice");
	tl_transaction_record(&f->txn, ++f->position, true);
	tl_transaction_append_pulled(&f->txn, alice, 1, 4, 1000 + f->position);
	commit(f);
	assert_int_equal(count_markers(f), 1);
}

/* The floor stands behind the entries (N3). */
static void test_floor(void **state)
{
	struct fixture *f = *state;
	uint64_t floor;
	append(f, "alice", 5);
	commit(f);
	struct tl_user *alice = take_user(&f->txn, "alice");
	assert_int_equal(tl_inbox_stored_floor(f->db.engine, alice->no, &floor), TL_OK);
	assert_int_equal(floor, 0);
	for (uint64_t at = 2; at <= 9; at += 3) {
		struct tl_bounds bounds;
		struct tl_inbox_entry last;
		tl_inbox_put_floor(f->txn.batch, alice->no, at);
		commit(f);
		assert_int_equal(tl_inbox_bounds(reader(f), alice->no, &bounds, &last), TL_OK);
		assert_int_equal(bounds.floor, at);
		assert_int_equal(bounds.head, at > 5 ? at : 5);
		assert_int_equal(last.cseq, 5);
		assert_int_equal(tl_inbox_stored_floor(f->db.engine, alice->no, &floor), TL_OK);
		assert_int_equal(floor, at);
		assert_entries(f, alice->no, 5);
	}
	tl_batch_put(f->txn.batch, tl_partition(TL_PART_INBOX, alice->no), tl_slice_str("\xff"), tl_slice_str("\xc1"));
	commit(f);
	assert_int_equal(tl_inbox_bounds(reader(f), alice->no, &(struct tl_bounds){0}, NULL), TL_CORRUPT);
	assert_int_equal(tl_inbox_stored_floor(f->db.engine, alice->no, &floor), TL_CORRUPT);
}

/* What is put together counts before it is put. */
static void test_puts(void **state)
{
	struct fixture *f = *state;
	append(f, "alice", 1);
	commit(f);
	assert_int_equal(tl_transaction_puts(&f->txn), 0);
	append(f, "alice", 1);
	uint64_t puts = tl_transaction_puts(&f->txn), bytes = tl_transaction_bytes(&f->txn);
	assert_true(puts > 0);
	append(f, "alice", 1);
	assert_int_equal(tl_transaction_puts(&f->txn), puts);
	assert_true(tl_transaction_bytes(&f->txn) > bytes);
	tl_transaction_clear(&f->txn);
	tl_users_clear(&f->txn.users);
	assert_int_equal(take_user(&f->txn, "alice")->inbox_head, 1);
}

static void put_item(struct fixture *f, uint64_t seq, struct tl_slice item)
{
	tl_inbox_put(f->txn.batch, USER, seq, item);
}

/* Damaged items are errors, whatever they are. */
static void test_damage(void **state)
{
	struct fixture *f = *state;
	struct tl_inbox_cursor cursor;
	const struct tl_inbox_entry entry = {.conversation_no = 1, .cseq = 1, .ts = 1, .position = 1};
	struct tl_pack pack;
	tl_pack_init(&pack);
	for (int i = 0; i < 3; i++)
		tl_inbox_entry_pack(&pack, &entry);
	struct tl_slice item = tl_pack_bytes(&pack);
	put_item(f, 2, item); /* more entries than there is room for */
	commit(f);
	assert_int_equal(tl_inbox_seek(&cursor, reader(f), USER, 1), TL_CORRUPT);
	for (size_t len = 0; len < item.len; len++) {
		struct tl_bounds bounds;
		enum tl_err expected = len > 0 && len % (item.len / 3) == 0 ? TL_OK : TL_CORRUPT;
		put_item(f, 3, tl_slice(item.ptr, len));
		commit(f);
		assert_int_equal(tl_inbox_seek(&cursor, reader(f), USER, 3), expected);
		assert_int_equal(tl_inbox_bounds(reader(f), USER, &bounds, NULL), expected);
	}
	put_item(f, 3, tl_slice_str("\x01"));
	commit(f);
	assert_int_equal(tl_inbox_seek(&cursor, reader(f), USER, 3), TL_CORRUPT);
	tl_pack_fini(&pack);
}

/* A place that no item covers is passed over: the caller sees it by the number. */
static void test_gap(void **state)
{
	struct fixture *f = *state;
	struct tl_inbox_cursor cursor;
	append(f, "alice", 3);
	assert_int_equal(tl_transaction_skip(&f->txn, take_user(&f->txn, "alice"), 10), TL_OK);
	append(f, "alice", 2);
	commit(f);
	assert_int_equal(tl_inbox_seek(&cursor, reader(f), take_user(&f->txn, "alice")->no, 5), TL_OK);
	assert_int_equal(cursor.seq, 11);
	assert_int_equal(cursor.entry.cseq, 11);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_runs), TEST(test_loading), TEST(test_puts), TEST(test_damage), TEST(test_gap),
		TEST(test_marker_is_put_once), TEST(test_floor),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
