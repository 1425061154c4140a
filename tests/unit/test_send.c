/* A message from the queue: who may send, direct chats that come into being, repeats, what the receipt says; and what is
 * read for it where nothing of its chat is at hand. */
#include "send.h"

#include "blocks.h"
#include "database_fixture.h"
#include "msgpack_reader.h"
#include "records.h"
#include "wrapped.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static unsigned gets, iterators; /* since somebody set them to 0 */

WRAPPED(tl_engine_get);
WRAPPED(tl_iter_retarget);

enum tl_err __wrap_tl_engine_get(struct tl_engine *engine, const struct tl_snapshot *snapshot,
                                 struct tl_partition partition, struct tl_slice key, char **value_out, size_t *len_out)
{
	gets++;
	return __real_tl_engine_get(engine, snapshot, partition, key, value_out, len_out);
}

void __wrap_tl_iter_retarget(struct tl_iter *iter, struct tl_partition partition)
{
	iterators++;
	__real_tl_iter_retarget(iter, partition);
}

struct fixture {
	struct temp_dir dir;
	struct tl_database db;
	struct tl_limits limits;
	struct tl_transaction txn;
	uint64_t position;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	if (!f || !temp_dir_make(&f->dir))
		return -1;
	f->limits = (struct tl_limits){.dedup_window_ms = 1000, .write_fanout_max = 500, .max_members = 100, .max_conversations = 100};
	open_transaction(&f->dir, &f->limits, &f->db, &f->txn);
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

/* A group of olga's (the owner), mia and max (muted). */
static void make_group(struct fixture *f, const char *cid, enum tl_post post, enum tl_order order)
{
	static const char *const uids[] = {"olga", "mia", "max"};
	const struct tl_conversation_record record = {
		.cid = tl_slice_str(cid), .owner = tl_slice_str("olga"), .kind = TL_GROUP, .member_count = 3,
		.post = (uint8_t)post, .order = (uint8_t)order,
	};
	struct tl_member members[3] = {{.user_no = 0}};
	struct tl_conversation *conversation;
	for (size_t i = 0; i < 3; i++) {
		uint64_t no = take_user(&f->txn, uids[i])->no;
		members[i] = (struct tl_member){.user_no = no, .record = {.role = TL_ROLE_MEMBER, .since = 1}};
	}
	members[2].record.role = TL_ROLE_MUTED;
	assert_int_equal(
		tl_conversations_create(&f->txn.conversations, f->txn.batch, &record, members, 3, &conversation), TL_OK);
	commit(f);
}

struct receipt {
	enum tl_err err;
	uint64_t cseq, ts;
	bool dup;
	char conv[64], id[64];
};

static void copy_text(struct tl_slice map, const char *key, char out[64])
{
	struct tl_reader reader;
	struct tl_slice text;
	assert_true(tl_msgpack_find(map, key, &reader) && tl_reader_str(&reader, &text) && text.len < 64);
	memcpy(out, text.ptr, text.len);
	out[text.len] = '\0';
}

/* What the last outcome says. */
static struct receipt last_receipt(const struct fixture *f)
{
	struct tl_commit told = tl_transaction_told(&f->txn);
	assert_true(told.outcome_count > 0);
	const struct tl_outcome *outcome = &told.outcomes[told.outcome_count - 1];
	struct receipt receipt = {.err = outcome->err};
	struct tl_reader reader;
	struct tl_pack pack;
	assert_string_equal(outcome->op, "send");
	assert_true(tl_slice_equal(outcome->route, tl_slice_str("route")));
	tl_pack_init(&pack);
	tl_pack_map(&pack, outcome->field_count);
	tl_pack_raw(&pack, outcome->fields);
	struct tl_slice map = tl_pack_bytes(&pack);
	copy_text(map, "conv", receipt.conv);
	copy_text(map, "id", receipt.id);
	if (receipt.err == TL_OK) {
		assert_true(tl_msgpack_find(map, "cseq", &reader) && tl_reader_uint(&reader, &receipt.cseq));
		assert_true(tl_msgpack_find(map, "ts", &reader) && tl_reader_uint(&reader, &receipt.ts));
		assert_true(tl_msgpack_find(map, "dup", &reader) && tl_reader_bool(&reader, &receipt.dup));
	}
	tl_pack_fini(&pack);
	return receipt;
}

struct sent {
	const char *from, *to;
	bool to_user;
	const char *id; /* NULL: none */
	uint64_t ts, order;
};

static struct receipt send_it(struct fixture *f, struct sent sent)
{
	struct tl_slice id = tl_slice_str(sent.id ? sent.id : "");
	const struct tl_message message = {
		.ts = sent.ts, .id = sent.id ? id : tl_slice_str("s-1"), .from = tl_slice_str(sent.from), .device = {"d", 1},
		.type = {"text", 4}, .has_order = sent.order > 0, .order = sent.order,
	};
	struct tl_pack pack;
	tl_pack_init(&pack);
	tl_message_pack(&pack, &message);
	const struct tl_ingest_record record = {
		.kind = TL_INGEST_SEND, .to_user = sent.to_user, .route = {"route", 5}, .user = message.from,
		.device = message.device, .target = tl_slice_str(sent.to), .id = id, .payload = tl_pack_bytes(&pack),
	};
	tl_transaction_record(&f->txn, ++f->position, false);
	assert_int_equal(tl_send_apply(&f->txn, &record), TL_OK);
	tl_pack_fini(&pack);
	return last_receipt(f);
}

static void test_direct(void **state)
{
	struct fixture *f = *state;
	struct receipt receipt = send_it(f, (struct sent){"bob", "alice", true, "m1", 100, 0});
	assert_int_equal(receipt.err, TL_OK);
	assert_int_equal(receipt.cseq, 1);
	assert_int_equal(receipt.ts, 100);
	assert_false(receipt.dup);
	assert_string_equal(receipt.conv, "d:alice:bob");
	assert_string_equal(receipt.id, "m1");
	assert_int_equal(tl_transaction_told(&f->txn).append_count, 2);
	commit(f);
	assert_int_equal(send_it(f, (struct sent){"alice", "d:alice:bob", false, NULL, 101, 0}).cseq, 2);
	assert_string_equal(last_receipt(f).id, "s-1");
}

static void test_with_oneself(void **state)
{
	struct fixture *f = *state;
	struct receipt receipt = send_it(f, (struct sent){"bob", "bob", true, "m1", 100, 0});
	assert_int_equal(receipt.err, TL_OK);
	assert_string_equal(receipt.conv, "d:bob:bob");
	assert_int_equal(tl_transaction_told(&f->txn).append_count, 1);
}

static void test_strangers(void **state)
{
	struct fixture *f = *state;
	uint64_t no;
	make_group(f, "team", TL_POST_MEMBERS, TL_ORDER_SERVER);
	assert_int_equal(send_it(f, (struct sent){"eve", "d:alice:bob", false, "m1", 1, 0}).err, TL_NOT_MEMBER);
	assert_int_equal(send_it(f, (struct sent){"alice", "d:bob:alice", false, "m1", 1, 0}).err, TL_NOT_MEMBER);
	assert_int_equal(send_it(f, (struct sent){"eve", "team", false, "m1", 1, 0}).err, TL_NOT_MEMBER);
	assert_int_equal(send_it(f, (struct sent){"eve", "none", false, "m1", 1, 0}).err, TL_NOT_MEMBER);
	assert_int_equal(tl_transaction_told(&f->txn).delivery_count, 0);
	commit(f);
	assert_int_equal(tl_conversation_no(f->db.engine, NULL, tl_slice_str("d:alice:bob"), &no), TL_NOT_FOUND);
}

static void test_group(void **state)
{
	struct fixture *f = *state;
	make_group(f, "team", TL_POST_MEMBERS, TL_ORDER_SERVER);
	make_group(f, "news", TL_POST_ADMINS, TL_ORDER_SERVER);
	assert_int_equal(send_it(f, (struct sent){"mia", "team", false, "m1", 1, 0}).err, TL_OK);
	assert_int_equal(send_it(f, (struct sent){"max", "team", false, "m1", 1, 0}).err, TL_NOT_AUTHORISED);
	assert_int_equal(send_it(f, (struct sent){"mia", "news", false, "m1", 1, 0}).err, TL_NOT_AUTHORISED);
	assert_int_equal(send_it(f, (struct sent){"olga", "news", false, "m1", 1, 0}).err, TL_OK);
	assert_int_equal(tl_transaction_told(&f->txn).append_count, 6);
}

/* A refused message does not use up its id. */
static void test_custom_order(void **state)
{
	struct fixture *f = *state;
	make_group(f, "sorted", TL_POST_MEMBERS, TL_ORDER_CUSTOM);
	assert_int_equal(send_it(f, (struct sent){"mia", "sorted", false, "m1", 1, 0}).err, TL_BAD_REQUEST);
	struct receipt receipt = send_it(f, (struct sent){"mia", "sorted", false, "m1", 1, 7});
	assert_int_equal(receipt.err, TL_OK);
	assert_false(receipt.dup);
}

static void test_repeats(void **state)
{
	struct fixture *f = *state;
	const struct sent sent = {"alice", "bob", true, "m1", 100, 0};
	send_it(f, sent);
	for (int i = 0; i < 2; i++) {
		struct receipt receipt = send_it(f, sent);
		assert_true(receipt.err == TL_OK && receipt.dup && receipt.cseq == 1 && receipt.ts == 100);
		commit(f); /* the first time within the batch, the second from the database */
	}
	assert_false(send_it(f, (struct sent){"bob", "alice", true, "m1", 100, 0}).dup);
	assert_false(send_it(f, (struct sent){"alice", "carol", true, "m1", 100, 0}).dup);
	assert_false(send_it(f, (struct sent){"alice", "bob", true, NULL, 100, 0}).dup);
	assert_false(send_it(f, (struct sent){"alice", "bob", true, NULL, 100, 0}).dup);
	assert_true(send_it(f, (struct sent){"alice", "bob", true, "m1", 1099, 0}).dup);
	assert_false(send_it(f, (struct sent){"alice", "bob", true, "m1", 1100, 0}).dup); /* the window is over */
}

/* Not even within the same millisecond. */
static void test_no_window(void **state)
{
	struct fixture *f = *state;
	const struct sent sent = {"alice", "bob", true, "m1", 100, 0};
	f->limits.dedup_window_ms = 0;
	for (uint64_t i = 1; i <= 3; i++) {
		struct receipt receipt = send_it(f, sent);
		assert_true(receipt.err == TL_OK && !receipt.dup && receipt.cseq == i);
		if (i == 2)
			commit(f);
	}
}

/* --- nothing at hand --- */

/* What is known of the chat of alice and bob, as its name has it. */
static struct tl_conversation_name name_of_chat(struct fixture *f)
{
	struct tl_conversation_name name;
	assert_int_equal(tl_conversation_name(f->db.engine, NULL, tl_slice_str("d:alice:bob"), &name), TL_OK);
	return name;
}

static struct tl_conversation *chat(struct fixture *f)
{
	struct tl_conversation *conversation;
	assert_int_equal(tl_transaction_conversation(&f->txn, tl_slice_str("d:alice:bob"), &conversation), TL_OK);
	return conversation;
}

static struct tl_member *member(struct fixture *f, const char *uid)
{
	struct tl_user *user;
	struct tl_member *member;
	user = take_user(&f->txn, uid);
	assert_int_equal(tl_conversations_member(&f->txn.conversations, chat(f), user->no, &member), TL_OK);
	return member;
}

static void set_mute(struct fixture *f, const char *uid, bool mute)
{
	struct tl_member *changed = member(f, uid);
	changed->record.mute = mute;
	assert_int_equal(tl_transaction_member_changed(&f->txn, chat(f), changed), TL_OK);
}

static bool is_quiet_for(const struct fixture *f, const char *uid)
{
	struct tl_commit told = tl_transaction_told(&f->txn);
	for (size_t i = 0; i < told.append_count; i++)
		if (tl_slice_equal(told.appends[i].uid, tl_slice_str(uid)))
			return told.appends[i].quiet;
	fail_msg("nothing for %s", uid);
	return false;
}

/* The chat's name, where its timeline ends, the receiver's inbox. Nothing of an id that cannot be there: the chat is
 * older than the ids. */
static void test_few_reads(void **state)
{
	struct fixture *f = *state;
	send_it(f, (struct sent){"bob", "alice", true, NULL, 100, 0});
	send_it(f, (struct sent){"alice", "bob", true, NULL, 101, 0});
	send_it(f, (struct sent){"alice", "carol", true, "m1", 200, 0});
	commit(f);
	tl_transaction_forget(&f->txn);
	(void)take_user(&f->txn, "alice");
	gets = iterators = 0;
	struct receipt receipt = send_it(f, (struct sent){"alice", "bob", true, "m1", 201, 0});
	assert_true(receipt.err == TL_OK && !receipt.dup && receipt.cseq == 3);
	assert_in_range(gets, 1, 1 + 3 + 1 + 1); /* the list of the ids' buckets, too */
	assert_in_range(iterators, 1, 2);
	assert_int_equal(tl_transaction_told(&f->txn).append_count, 2);
	assert_int_equal(tl_transaction_told(&f->txn).appends[0].seq, 3);
}

/* Within the same bucket a repetition is found, whenever it comes. */
static void test_repeats_from_disk(void **state)
{
	struct fixture *f = *state;
	static const uint64_t times[] = {100, 99, 500, 1099};
	send_it(f, (struct sent){"alice", "carol", true, "m0", 150, 0}); /* the bucket is younger */
	send_it(f, (struct sent){"alice", "bob", true, "m1", 100, 0});
	commit(f);
	for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
		tl_transaction_forget(&f->txn);
		assert_true(send_it(f, (struct sent){"alice", "bob", true, "m1", times[i], 0}).dup);
	}
	assert_false(send_it(f, (struct sent){"alice", "bob", true, "m1", 1100, 0}).dup);
}

/* A member's record is read when it is asked for, and knows what was sent before. */
static void test_member_is_read_late(void **state)
{
	struct fixture *f = *state;
	send_it(f, (struct sent){"bob", "alice", true, NULL, 100, 0});
	member(f, "alice")->record.pin = true;
	assert_int_equal(tl_transaction_member_changed(&f->txn, chat(f), member(f, "alice")), TL_OK);
	commit(f);
	tl_transaction_forget(&f->txn);
	send_it(f, (struct sent){"alice", "bob", true, NULL, 101, 0});
	assert_true(chat(f)->members[0].bare && chat(f)->members[1].bare);
	assert_true(member(f, "alice")->record.pin);
	assert_int_equal(member(f, "alice")->record.since, 1);
	assert_int_equal(member(f, "alice")->record.seen, 2);
	assert_int_equal(member(f, "bob")->record.seen, 1);
	assert_false(member(f, "bob")->record.pin);
	assert_true(chat(f)->record.kind == TL_DIRECT && chat(f)->record.member_count == 2);
}

static void test_muted(void **state)
{
	struct fixture *f = *state;
	send_it(f, (struct sent){"bob", "alice", true, NULL, 100, 0});
	commit(f);
	for (int mute = 1; mute >= 0; mute--) {
		tl_transaction_forget(&f->txn);
		set_mute(f, "bob", mute);
		commit(f);
		assert_true(name_of_chat(f).muted[1] == mute && !name_of_chat(f).muted[0]);
		tl_transaction_forget(&f->txn);
		send_it(f, (struct sent){"alice", "bob", true, NULL, 101, 0});
		assert_int_equal(is_quiet_for(f, "bob"), mute);
		assert_false(is_quiet_for(f, "alice"));
	}
}

/* Only where it has changed: other changes of a member leave the name alone. */
static void test_name_is_put_once(void **state)
{
	struct fixture *f = *state;
	send_it(f, (struct sent){"bob", "alice", true, NULL, 100, 0});
	commit(f);
	set_mute(f, "bob", true);
	tl_transaction_finish(&f->txn);
	uint32_t puts = tl_batch_count(f->txn.batch);
	commit(f);
	member(f, "bob")->record.read = 1;
	assert_int_equal(tl_transaction_member_changed(&f->txn, chat(f), member(f, "bob")), TL_OK);
	tl_transaction_finish(&f->txn);
	assert_int_equal(tl_batch_count(f->txn.batch), puts - 1);
}

/* A name without the rest, as a crash may leave it, is completed where a record is applied once more. */
static void test_half_a_name(void **state)
{
	struct fixture *f = *state;
	struct tl_pack pack;
	send_it(f, (struct sent){"bob", "alice", true, NULL, 100, 0});
	set_mute(f, "alice", true);
	commit(f);
	const struct tl_conversation_name whole = name_of_chat(f), bare = {.no = whole.no};
	assert_true(whole.users[0] > 0 && whole.users[1] > 0 && whole.users[0] != whole.users[1] && whole.muted[0]);
	tl_pack_init(&pack);
	tl_conversation_name_pack(&pack, &bare);
	tl_batch_put(f->txn.batch, tl_partition(TL_PART_CONVERSATION_NAMES, 0), tl_slice_str("d:alice:bob"),
	             tl_pack_bytes(&pack));
	tl_pack_fini(&pack);
	commit(f);
	tl_transaction_forget(&f->txn);
	assert_int_equal(send_it(f, (struct sent){"alice", "bob", true, NULL, 101, 0}).cseq, 2);
	assert_true(is_quiet_for(f, "alice") && !is_quiet_for(f, "bob"));
	commit(f);
	tl_transaction_forget(&f->txn);
	tl_transaction_record(&f->txn, ++f->position, true);
	chat(f);
	commit(f);
	assert_memory_equal(name_of_chat(f).users, whole.users, sizeof whole.users);
	assert_true(name_of_chat(f).muted[0] && !name_of_chat(f).muted[1]);
}

/* Whom nobody has blocked is kept with the sender, until that changes. */
static void test_blocked(void **state)
{
	struct fixture *f = *state;
	struct tl_user *bob;
	send_it(f, (struct sent){"alice", "bob", true, NULL, 100, 0});
	commit(f);
	for (int blocks = 1; blocks >= 0; blocks--) {
		bob = take_user(&f->txn, "bob");
		tl_blocks_put(f->txn.batch, bob, tl_slice_str("alice"), blocks);
		tl_users_blocked_changed(&f->txn.users, tl_slice_str("alice"));
		commit(f);
		for (int again = 0; again < 2; again++) {
			assert_int_equal(send_it(f, (struct sent){"alice", "bob", true, "m1", 101, 0}).err,
			                 blocks ? TL_NOT_AUTHORISED : TL_OK);
			assert_int_equal(send_it(f, (struct sent){"alice", "carol", true, "m1", 101, 0}).err, TL_OK);
			assert_int_equal(send_it(f, (struct sent){"bob", "alice", true, "m1", 101, 0}).err, TL_OK);
			commit(f);
			tl_transaction_forget(&f->txn);
		}
	}
}

/* Somebody who has been loaded by number and name is known in full when asked for by name. */
static void test_named_user(void **state)
{
	struct fixture *f = *state;
	struct tl_user *bob;
	send_it(f, (struct sent){"bob", "alice", true, NULL, 100, 0});
	bob = take_user(&f->txn, "bob");
	assert_int_equal(tl_users_count_group(&f->txn.users, f->txn.batch, bob->no, f->position, true), TL_OK);
	commit(f);
	tl_transaction_forget(&f->txn);
	send_it(f, (struct sent){"alice", "bob", true, NULL, 101, 0});
	assert_int_equal(tl_users_count_group(&f->txn.users, f->txn.batch, name_of_chat(f).users[1], ++f->position, true), TL_OK);
	bob = take_user(&f->txn, "bob");
	assert_int_equal(bob->groups, 2);
	commit(f);
	tl_transaction_forget(&f->txn);
	send_it(f, (struct sent){"alice", "bob", true, NULL, 102, 0});
	bob = take_user(&f->txn, "bob");
	assert_int_equal(bob->groups, 2);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_direct), TEST(test_with_oneself),  TEST(test_strangers),
		TEST(test_group),  TEST(test_custom_order), TEST(test_repeats), TEST(test_no_window),
		TEST(test_few_reads), TEST(test_repeats_from_disk), TEST(test_member_is_read_late), TEST(test_muted),
		TEST(test_name_is_put_once), TEST(test_half_a_name), TEST(test_blocked), TEST(test_named_user),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
