/* Who may send where, for the thread that answers at once: read from the database, cached until told of a change. What it
 * reads is counted: gets and iterators go through the linker (--wrap). */
#include "membership.h"

#include "blocks.h"
#include "conversations.h"
#include "database_fixture.h"
#include "id.h"
#include "wrapped.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static unsigned reads; /* of the engine, so far */

WRAPPED(tl_engine_get);
WRAPPED(tl_iter_new);

enum tl_err __wrap_tl_engine_get(struct tl_engine *engine, const struct tl_snapshot *snapshot,
                                 struct tl_partition partition, struct tl_slice key, char **value_out,
                                 size_t *len_out)
{
	reads++;
	return __real_tl_engine_get(engine, snapshot, partition, key, value_out, len_out);
}

enum tl_err __wrap_tl_iter_new(struct tl_engine *engine, const struct tl_snapshot *snapshot,
                               struct tl_partition partition, bool fill_cache, struct tl_iter **iter_out)
{
	reads++;
	return __real_tl_iter_new(engine, snapshot, partition, fill_cache, iter_out);
}

struct fixture {
	struct temp_dir dir;
	struct tl_database db;
	struct tl_users users;
	struct tl_conversations conversations;
	struct tl_batch *batch;
	struct tl_iter *iter;
	struct tl_membership_versions versions;
	struct tl_membership *membership;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	if (!f || !temp_dir_make(&f->dir))
		return -1;
	f->db = open_database(&f->dir);
	tl_users_init(&f->users, &f->db);
	tl_conversations_init(&f->conversations, &f->db, &f->users);
	f->batch = new_batch(f->db.engine);
	assert_int_equal(tl_iter_new(f->db.engine, NULL, tl_partition(TL_PART_META, 0), true, &f->iter), TL_OK);
	assert_int_equal(tl_membership_new(&f->versions, &f->db, 3, &f->membership), TL_OK);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	tl_membership_free(f->membership);
	tl_iter_free(f->iter);
	tl_batch_free(f->batch);
	tl_conversations_fini(&f->conversations);
	tl_users_fini(&f->users);
	tl_database_close(&f->db);
	temp_dir_remove(&f->dir);
	free(f);
	return 0;
}

static struct tl_member member(struct fixture *f, const char *uid, enum tl_role role)
{
	struct tl_user *user;
	assert_int_equal(tl_users_take(&f->users, f->batch, f->iter, tl_slice_str(uid), &user), TL_OK);
	return (struct tl_member){.user_no = user->no, .record = {.role = (uint8_t)role, .since = 1}};
}

/* A conversation of olga's (the owner), mia, adam (an admin) and max (muted). */
static void create(struct fixture *f, const char *cid, enum tl_post post, enum tl_order order)
{
	const struct tl_member members[] = {member(f, "olga", TL_ROLE_MEMBER), member(f, "mia", TL_ROLE_MEMBER),
	                                    member(f, "adam", TL_ROLE_ADMIN), member(f, "max", TL_ROLE_MUTED)};
	const struct tl_conversation_record record = {
		.cid = tl_slice_str(cid), .owner = tl_slice_str("olga"), .kind = TL_GROUP, .member_count = 4,
		.post = (uint8_t)post, .order = (uint8_t)order,
	};
	struct tl_conversation *conversation;
	assert_int_equal(tl_conversations_create(&f->conversations, f->batch, &record, members, 4, &conversation), TL_OK);
	commit_batch(f->db.engine, f->batch);
}

static struct tl_standing standing(struct fixture *f, const char *cid, const char *user)
{
	struct tl_standing found;
	assert_int_equal(tl_membership_find(f->membership, tl_slice_str(cid), tl_slice_str(user), &found), TL_OK);
	return found;
}

static enum tl_err may_send(struct fixture *f, const char *cid, const char *user)
{
	return standing(f, cid, user).may_send;
}

static void test_group(void **state)
{
	struct fixture *f = *state;
	create(f, "team", TL_POST_MEMBERS, TL_ORDER_SERVER);
	assert_int_equal(may_send(f, "team", "olga"), TL_OK);
	assert_int_equal(may_send(f, "team", "mia"), TL_OK);
	assert_int_equal(may_send(f, "team", "max"), TL_NOT_AUTHORISED);
	assert_true(standing(f, "team", "max").member);
	assert_int_equal(may_send(f, "team", "stranger"), TL_NOT_MEMBER);
	assert_false(standing(f, "team", "stranger").member);
	assert_int_equal(may_send(f, "none", "olga"), TL_NOT_MEMBER);
	assert_false(standing(f, "team", "mia").needs_order);
}

static void test_channel(void **state)
{
	struct fixture *f = *state;
	create(f, "news", TL_POST_ADMINS, TL_ORDER_CUSTOM);
	assert_int_equal(may_send(f, "news", "olga"), TL_OK);
	assert_int_equal(may_send(f, "news", "adam"), TL_OK);
	assert_int_equal(may_send(f, "news", "mia"), TL_NOT_AUTHORISED);
	assert_true(standing(f, "news", "adam").needs_order);
}

/* Who is in a direct chat its id says; a refusal of others is final, whatever is waiting. */
static void test_direct(void **state)
{
	struct fixture *f = *state;
	atomic_store(&f->versions.pending, 1);
	assert_int_equal(may_send(f, "d:alice:bob", "alice"), TL_OK);
	assert_int_equal(may_send(f, "d:alice:bob", "bob"), TL_OK);
	assert_int_equal(may_send(f, "d:alice:bob", "eve"), TL_NOT_MEMBER);
	assert_int_equal(may_send(f, "d:bob:alice", "alice"), TL_NOT_MEMBER);
	assert_true(standing(f, "d:alice:bob", "eve").final);
	assert_int_equal(may_send(f, "a/b", "alice"), TL_NOT_MEMBER);
}

/* --- who has blocked whom --- */

/* As the request does, but the broker's thread is not told. */
static void block(struct fixture *f, const char *user, const char *other, bool on)
{
	struct tl_user *blocker;
	assert_int_equal(tl_users_take(&f->users, f->batch, f->iter, tl_slice_str(user), &blocker), TL_OK);
	tl_blocks_put(f->batch, blocker, tl_slice_str(other), on);
	commit_batch(f->db.engine, f->batch);
}

static void tell(struct fixture *f, const char *cid, const char *other)
{
	tl_membership_changed(&f->versions, tl_slice_str(cid));
	tl_membership_changed(&f->versions, tl_slice_str(other));
}

/* However many chats there are: one look for each sender, of whom three fit. */
static void test_unblocked_senders_read_once(void **state)
{
	static const char *const senders[] = {"alice", "bob", "carol"};
	struct fixture *f = *state;
	char cid[32];
	reads = 0;
	for (int chat = 0; chat < 100; chat++)
		for (size_t i = 0; i < sizeof senders / sizeof senders[0]; i++) {
			snprintf(cid, sizeof cid, "d:%s:peer%d", senders[i], chat);
			assert_int_equal(may_send(f, cid, senders[i]), TL_OK);
		}
	assert_int_equal(may_send(f, "d:alice:alice", "alice"), TL_OK);
	assert_int_equal(reads, 3);
	assert_int_equal(may_send(f, "d:alice:bob", "eve"), TL_NOT_MEMBER); /* as the id says */
	assert_int_equal(reads, 3);
}

static void test_blocked(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(may_send(f, "d:alice:bob", "alice"), TL_OK);
	block(f, "bob", "alice", true);
	assert_int_equal(may_send(f, "d:alice:bob", "alice"), TL_OK); /* the writer has not said so yet */
	tell(f, "d:alice:bob", "alice");
	assert_int_equal(may_send(f, "d:alice:bob", "alice"), TL_NOT_AUTHORISED);
	assert_true(standing(f, "d:alice:bob", "alice").member);
	assert_int_equal(may_send(f, "d:alice:carol", "alice"), TL_OK);
	assert_int_equal(may_send(f, "d:alice:bob", "bob"), TL_OK);
	assert_int_equal(may_send(f, "d:alice:bob", "eve"), TL_NOT_MEMBER);
	block(f, "bob", "alice", false);
	tell(f, "d:alice:bob", "alice");
	assert_int_equal(may_send(f, "d:alice:bob", "alice"), TL_OK);
}

/* Of two blocks one is taken back: who is blocked at all does not change, and yet this chat does. */
static void test_blocked_by_one_less(void **state)
{
	struct fixture *f = *state;
	block(f, "bob", "alice", true);
	block(f, "carol", "alice", true);
	assert_int_equal(may_send(f, "d:alice:bob", "alice"), TL_NOT_AUTHORISED);
	assert_int_equal(may_send(f, "d:alice:carol", "alice"), TL_NOT_AUTHORISED);
	block(f, "carol", "alice", false);
	tell(f, "d:alice:carol", "alice");
	assert_int_equal(may_send(f, "d:alice:bob", "alice"), TL_NOT_AUTHORISED);
	assert_int_equal(may_send(f, "d:alice:carol", "alice"), TL_OK);
}

/* A name that another one begins with is another name. */
static void test_blocked_namesakes(void **state)
{
	struct fixture *f = *state;
	char cid[TL_DIRECT_ID_MAX + 1], longest[TL_ID_MAX + 1];
	memset(longest, 'z', TL_ID_MAX);
	longest[TL_ID_MAX] = '\0';
	block(f, "bob", "alice", true);
	block(f, longest, longest, true); /* not that it could */
	reads = 0;
	assert_int_equal(may_send(f, "d:alic:bob", "alic"), TL_OK);
	assert_int_equal(may_send(f, "d:alicea:bob", "alicea"), TL_OK);
	assert_int_equal(may_send(f, "d:bob:zoe", "zoe"), TL_OK);
	assert_int_equal(reads, 3); /* nobody blocks them, and that is all there is to ask */
	snprintf(cid, sizeof cid, "d:%s:%s", longest, longest);
	assert_int_equal(may_send(f, cid, longest), TL_NOT_AUTHORISED);
	snprintf(cid, sizeof cid, "d:bob:%s", longest);
	assert_int_equal(may_send(f, cid, longest), TL_OK);
}

/* Where somebody blocks the sender each chat is read once. */
static void test_blocked_senders_read_once_a_chat(void **state)
{
	struct fixture *f = *state;
	block(f, "bob", "alice", true);
	reads = 0;
	for (int i = 0; i < 10; i++) {
		assert_int_equal(may_send(f, "d:alice:bob", "alice"), TL_NOT_AUTHORISED);
		assert_int_equal(may_send(f, "d:alice:carol", "alice"), TL_OK);
	}
	assert_int_equal(reads, 3);
}

static void test_cached_until_changed(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(may_send(f, "team", "mia"), TL_NOT_MEMBER);
	create(f, "team", TL_POST_MEMBERS, TL_ORDER_SERVER);
	assert_int_equal(may_send(f, "team", "mia"), TL_NOT_MEMBER); /* the writer has not said so yet */
	tl_membership_changed(&f->versions, tl_slice_str("team"));
	assert_int_equal(may_send(f, "team", "mia"), TL_OK);
}

static void test_final(void **state)
{
	struct fixture *f = *state;
	assert_true(standing(f, "team", "mia").final);
	atomic_store(&f->versions.pending, 1);
	assert_false(standing(f, "team", "mia").final);
	assert_false(standing(f, "other", "mia").final);
	atomic_store(&f->versions.pending, 0);
	assert_true(standing(f, "team", "mia").final);
}

/* There is room for three answers here; what is forgotten is read anew. */
static void test_bounded(void **state)
{
	static const char *const users[] = {"olga", "mia", "adam", "max", "stranger", "passer-by"};
	static const enum tl_err expected[] = {TL_OK, TL_OK, TL_OK, TL_NOT_AUTHORISED, TL_NOT_MEMBER, TL_NOT_MEMBER};
	struct fixture *f = *state;
	create(f, "team", TL_POST_MEMBERS, TL_ORDER_SERVER);
	for (int round = 0; round < 3; round++)
		for (size_t i = 0; i < sizeof users / sizeof users[0]; i++)
			assert_int_equal(may_send(f, "team", users[i]), expected[i]);
}

/* The writer is to tell. */
static void test_damaged(void **state)
{
	struct fixture *f = *state;
	struct tl_standing found;
	tl_batch_put(f->batch, tl_partition(TL_PART_CONVERSATION_NAMES, 0), tl_slice_str("team"), tl_slice_str("\xc1"));
	assert_int_equal(tl_engine_commit(f->db.engine, f->batch, false, NULL), TL_OK);
	found = standing(f, "team", "mia");
	assert_false(found.member);
	assert_int_equal(found.may_send, TL_NOT_MEMBER);
	assert_false(found.final);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_group),
		TEST(test_channel),
		TEST(test_direct),
		TEST(test_unblocked_senders_read_once),
		TEST(test_blocked),
		TEST(test_blocked_by_one_less),
		TEST(test_blocked_namesakes),
		TEST(test_blocked_senders_read_once_a_chat),
		TEST(test_cached_until_changed),
		TEST(test_final),
		TEST(test_bounded),
		TEST(test_damaged),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
