/* Memberships of conversations that have been dissolved, step by step on a real database: how much a batch holds, what counts
 * meanwhile, a crash or a failed commit between any two steps, what is done twice, and damage. The writer and upkeep are the test
 * itself. Cites (O1)–(O3) of storage/endings.h. */
#include "endings.h"

#include "actor.h"
#include "conversation_parts.h"
#include "database_fixture.h"
#include "event.h"
#include "fanout.h"
#include "msgpack_reader.h"
#include "roster.h"
#include "wrapped.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

WRAPPED(tl_engine_get);

static unsigned gets_until_failure; /* 0: none fails */

enum tl_err __wrap_tl_engine_get(struct tl_engine *engine, const struct tl_snapshot *snapshot,
                                 struct tl_partition partition, struct tl_slice key, char **value_out, size_t *len_out)
{
	if (gets_until_failure > 0 && --gets_until_failure == 0)
		return TL_IO;
	return __real_tl_engine_get(engine, snapshot, partition, key, value_out, len_out);
}

enum { STEP = 3, USERS = 10, MAX_CONVERSATIONS = 4, AT = 1000 };

struct fixture {
	struct temp_dir dir;
	struct tl_database db;
	struct tl_limits limits;
	struct tl_transaction txn;
	struct tl_due_board board;
	struct tl_ending ending;
	uint64_t position;
	uint64_t expected[USERS]; /* groups that each user is in */
};

static void open_all(struct fixture *f)
{
	open_transaction(&f->dir, &f->limits, &f->db, &f->txn);
	tl_due_board_init(&f->board);
	f->txn.due.board = &f->board;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	if (!f || !temp_dir_make(&f->dir))
		return -1;
	f->limits = (struct tl_limits){.max_members = 100,
	                               .max_conversations = MAX_CONVERSATIONS,
	                               .write_fanout_max = 5,
	                               .ending_step = STEP};
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

static void crash(struct fixture *f)
{
	close_transaction(&f->db, &f->txn);
	open_all(f);
}

/* How many changes the batch held. */
static uint64_t commit(struct fixture *f)
{
	tl_transaction_finish(&f->txn);
	uint64_t puts = tl_transaction_puts(&f->txn);
	assert_int_equal(tl_engine_commit(f->db.engine, f->txn.batch, false, NULL), TL_OK);
	tl_due_tell(&f->txn.due);
	tl_transaction_clear(&f->txn);
	return puts;
}

static struct tl_user *take(struct fixture *f, unsigned user)
{
	char uid[8];
	snprintf(uid, sizeof uid, "u%u", user);
	return take_user(&f->txn, uid);
}

static struct tl_conversation *find(struct fixture *f, const char *cid)
{
	struct tl_conversation *conversation;
	assert_int_equal(tl_transaction_conversation(&f->txn, tl_slice_str(cid), &conversation), TL_OK);
	return conversation;
}

static void next_record(struct fixture *f)
{
	f->position += 10;
	tl_transaction_record(&f->txn, f->position, false);
}

static void append_event(struct fixture *f, struct tl_conversation *conversation, const char *kind)
{
	const struct tl_call call = {.user = {"u0", 2}, .device = {"d", 1}, .now = AT};
	struct tl_event event;
	tl_event_begin(&event, &call, kind);
	assert_int_equal(tl_event_append(&event, &f->txn, conversation), TL_OK);
}

/* A group of users [from, end), the first of all of whom owns it. */
static void make_group(struct fixture *f, const char *cid, unsigned from, unsigned end)
{
	struct tl_conversation_record record = {.cid = tl_slice_str(cid), .kind = TL_GROUP, .owner = {"u0", 2},
	                                        .member_count = end - from};
	struct tl_conversation *conversation;
	struct tl_member members[USERS];
	record.on_read = tl_fanout_on_read(&record, f->limits.write_fanout_max);
	next_record(f);
	for (unsigned i = from; i < end; i++) {
		members[i - from] = (struct tl_member){.user_no = take(f, i)->no, .record = {.since = 1}};
		f->expected[i]++;
	}
	assert_int_equal(tl_conversations_create(&f->txn.conversations, f->txn.batch, &record, members, end - from,
	                                         &conversation),
	                 TL_OK);
	if (record.on_read)
		assert_int_equal(tl_fanout_begin_all(&f->txn, conversation), TL_OK);
	assert_int_equal(tl_roster_count_all(&f->txn, conversation), TL_OK);
	append_event(f, conversation, "create");
	commit(f);
}

/* How many changes that takes. */
static uint64_t dissolve(struct fixture *f, const char *cid, unsigned from, unsigned end)
{
	next_record(f);
	struct tl_conversation *conversation = find(f, cid);
	append_event(f, conversation, "dissolve");
	assert_int_equal(tl_conversation_dissolve(&f->txn, conversation), TL_OK);
	for (unsigned i = from; i < end; i++)
		f->expected[i]--;
	return commit(f);
}

/* --- what upkeep does --- */

static bool next(struct fixture *f)
{
	enum tl_err err = tl_endings_next(&f->db, &f->limits, &f->ending);
	assert_true(err == TL_OK || err == TL_NOT_FOUND);
	return err == TL_OK;
}

static void apply(struct fixture *f)
{
	tl_transaction_chores(&f->txn, f->position + 1);
	assert_int_equal(tl_endings_apply(&f->txn, &f->ending), TL_OK);
}

static bool step(struct fixture *f)
{
	if (!next(f))
		return false;
	apply(f);
	assert_in_range(commit(f), 1, 2 * STEP + 1);
	return true;
}

static unsigned finish(struct fixture *f)
{
	unsigned steps = 0;
	while (step(f))
		steps++;
	return steps;
}

/* --- what is in the database --- */

static bool is_on_record(struct fixture *f)
{
	return count_keys(f->db.engine, TL_PART_DUE, TL_DUE_ENDINGS) > 0;
}

/* What counts of each user, whatever is on record (O1). */
static void check_counts(struct fixture *f)
{
	for (unsigned i = 0; i < USERS; i++) {
		const struct tl_user *user = take(f, i);
		uint64_t dissolved;
		assert_int_equal(tl_endings_of(&f->txn, user, &dissolved), TL_OK);
		assert_int_equal(user->groups - dissolved, f->expected[i]);
	}
}

/* Nothing is left to be done. */
static void check_done(struct fixture *f)
{
	assert_false(is_on_record(f));
	for (unsigned i = 0; i < USERS; i++) {
		const struct tl_user *user = take(f, i);
		assert_int_equal(user->groups, f->expected[i]);
		assert_int_equal(count_keys(f->db.engine, TL_PART_USER_CONVERSATIONS, user->no), f->expected[i]);
	}
}

/* --- tests --- */

/* As many as end in one batch leave nothing on record. */
static void test_small(void **state)
{
	struct fixture *f = *state;
	make_group(f, "team", 0, STEP);
	dissolve(f, "team", 0, STEP);
	assert_int_equal(tl_due_told(&f->board, TL_DUE_DROP), UINT64_MAX);
	check_done(f);
	assert_int_equal(finish(f), 0);
}

/* What a request puts does not go with the members, on write or on read; their own records stay. */
static void test_large(void **state)
{
	struct fixture *f = *state;
	make_group(f, "few", 0, STEP + 1);
	make_group(f, "many", 0, USERS);
	uint64_t few = dissolve(f, "few", 0, STEP + 1);
	assert_int_equal(tl_due_told(&f->board, TL_DUE_DROP), 0);
	assert_int_equal(finish(f), 1);
	uint64_t many = dissolve(f, "many", 0, USERS);
	assert_true(many <= few); /* without the entries in inboxes */
	assert_int_equal(finish(f), 3);
	check_done(f);
	assert_int_equal(count_keys(f->db.engine, TL_PART_MEMBERS, find(f, "many")->no), USERS);
}

static void check_limit(struct fixture *f, enum tl_err expected)
{
	struct tl_why why;
	next_record(f);
	for (unsigned i = 0; i < USERS; i++)
		assert_int_equal(tl_roster_check_self(&f->txn, take(f, i), &why), expected);
	check_counts(f);
}

/* Who has been in as many as one can be comes into another one at once when one of them is dissolved, but not into two (O1). */
static void test_limit(void **state)
{
	struct fixture *f = *state;
	char cid[MAX_CONVERSATIONS * 2][8];
	for (size_t i = 0; i < MAX_CONVERSATIONS; i++) {
		snprintf(cid[i], sizeof cid[i], "team%zu", i);
		check_limit(f, TL_OK);
		make_group(f, cid[i], 0, USERS);
	}
	for (size_t i = 0; i < MAX_CONVERSATIONS; i++) {
		char *other = cid[MAX_CONVERSATIONS + i];
		snprintf(other, sizeof cid[i], "other%zu", i);
		check_limit(f, TL_TOO_LARGE);
		dissolve(f, cid[i], 0, USERS);
		check_limit(f, TL_OK);
		make_group(f, other, 0, USERS);
		check_limit(f, TL_TOO_LARGE);
		for (size_t steps = 0; steps < i; steps++)
			step(f);
		check_limit(f, TL_TOO_LARGE);
	}
	finish(f);
	check_done(f);
	check_limit(f, TL_TOO_LARGE);
}

/* The conversations that a page of `convs` lists to the last user; *more_out: it has a cursor. */
static uint32_t list(struct fixture *f, uint64_t limit, bool *more_out)
{
	const struct tl_reading reading = {.database = &f->db, .limits = &f->limits};
	struct tl_answer answer;
	struct tl_reader reader;
	struct tl_pack args, map;
	uint32_t count;
	tl_pack_init(&args);
	tl_pack_map(&args, 1);
	tl_pack_cstr(&args, "limit");
	tl_pack_uint(&args, limit);
	tl_answer_init(&answer);
	const struct tl_call call = {.user = {"u9", 2}, .device = {"d", 1}, .raw = tl_pack_bytes(&args), .now = AT};
	assert_int_equal(tl_request_read(tl_request_find(tl_slice_str("convs")), &reading, call, &answer), TL_OK);
	tl_pack_init(&map);
	tl_pack_map(&map, answer.field_count);
	tl_pack_raw(&map, tl_pack_bytes(&answer.fields));
	assert_true(tl_msgpack_find(tl_pack_bytes(&map), "convs", &reader));
	assert_true(tl_reader_array(&reader, &count));
	*more_out = tl_msgpack_find(tl_pack_bytes(&map), "cursor", &reader);
	tl_pack_fini(&map);
	tl_pack_fini(&args);
	tl_answer_fini(&answer);
	return count;
}

/* Lists leave out what is dissolved, and there is a cursor only where more follows (O1). */
static void test_lists(void **state)
{
	struct fixture *f = *state;
	bool more;
	make_group(f, "one", 0, USERS);
	make_group(f, "gone", 0, USERS);
	make_group(f, "two", 0, USERS);
	make_group(f, "gone too", 0, USERS);
	dissolve(f, "gone", 0, USERS);
	dissolve(f, "gone too", 0, USERS);
	do {
		assert_int_equal(list(f, 1, &more), 1);
		assert_true(more);
		assert_int_equal(list(f, 2, &more), 2);
		assert_false(more);
		assert_int_equal(list(f, 3, &more), 2);
		assert_false(more);
	} while (step(f));
}

/* Each step fails, is made twice, and is followed by a crash or not. */
static void test_once(void **state)
{
	struct fixture *f = *state;
	make_group(f, "kept", 0, USERS);
	make_group(f, "team", 0, USERS);
	dissolve(f, "team", 0, USERS);
	for (unsigned steps = 0; next(f); steps++) {
		assert_true(steps < 3);
		apply(f);
		tl_transaction_forget(&f->txn); /* nothing was applied */
		check_counts(f);
		apply(f);
		commit(f);
		if (steps % 2)
			tl_transaction_forget(&f->txn); /* all was, and nobody knew */
		apply(f);
		commit(f);
		check_counts(f);
		if (steps == 1)
			crash(f);
		check_counts(f);
	}
	check_done(f);
}

/* (O2) */
static void test_in_order(void **state)
{
	struct fixture *f = *state;
	make_group(f, "late", 0, USERS);
	make_group(f, "early", 0, USERS - 1);
	make_group(f, "latest", 0, USERS);
	dissolve(f, "early", 0, USERS - 1);
	dissolve(f, "late", 0, USERS);
	assert_true(step(f));
	assert_int_equal(f->ending.conversation_no, find(f, "early")->no);
	dissolve(f, "latest", 0, USERS);
	check_counts(f);
	crash(f);
	assert_true(step(f));
	assert_int_equal(f->ending.conversation_no, find(f, "early")->no);
	assert_true(step(f));
	assert_int_equal(f->ending.conversation_no, find(f, "late")->no);
	check_counts(f);
	assert_int_equal(finish(f), 5);
	check_done(f);
}

/* What is counted of other queue records meanwhile, or of them once more, does not matter. */
static void test_others_counted_meanwhile(void **state)
{
	struct fixture *f = *state;
	make_group(f, "team", 0, USERS);
	dissolve(f, "team", 0, USERS);
	make_group(f, "other", 0, USERS);
	step(f);
	uint64_t no = take(f, STEP)->no;
	assert_int_equal(tl_users_count_group(&f->txn.users, f->txn.batch, no, f->position, true), TL_OK);
	commit(f);
	make_group(f, "third", 0, USERS);
	check_counts(f);
	finish(f);
	check_done(f);
}

/* Who is not at hand when a step counts, and is asked for by name or by number in the same batch. */
static void test_asked_for_meanwhile(void **state)
{
	struct fixture *f = *state;
	struct tl_user *user;
	struct tl_iter *iter;
	uint64_t no[USERS];
	make_group(f, "kept", 0, USERS);
	make_group(f, "team", 0, USERS);
	for (unsigned i = 0; i < USERS; i++)
		no[i] = take(f, i)->no;
	dissolve(f, "team", 0, USERS);
	do {
		tl_transaction_forget(&f->txn);
		if (!next(f))
			break;
		apply(f);
		assert_int_equal(tl_transaction_iter(&f->txn, &iter), TL_OK);
		for (unsigned i = 0; i < USERS; i += 2)
			assert_int_equal(tl_users_find_no(&f->txn.users, iter, no[i], &user), TL_OK);
		for (unsigned i = 0; i < USERS; i++)
			take(f, i);
		commit(f);
		check_counts(f);
	} while (true);
	check_done(f);
}

/* An engine has applied the conversation and not what is kept of the members (X2). */
static void test_half_done(void **state)
{
	struct fixture *f = *state;
	const struct tl_arg args[] = {{.given = true, .bytes = tl_slice_str("team")}};
	const struct tl_call call = {.user = {"u0", 2}, .device = {"d", 1}, .now = AT, .args = args};
	struct tl_answer answer;
	struct tl_pair_key key;
	struct tl_member_key number;
	make_group(f, "team", 0, USERS);
	dissolve(f, "team", 0, USERS);
	uint64_t no = find(f, "team")->no;
	tl_batch_delete(f->txn.batch, tl_partition(TL_PART_DUE, TL_DUE_ENDINGS), tl_pair_key(&key, f->position, no));
	tl_batch_put(f->txn.batch, tl_partition(TL_PART_USER_CONVERSATIONS, take(f, 1)->no), tl_member_key(&number, no),
	             tl_slice("", 0));
	commit(f);
	tl_answer_init(&answer);
	for (int i = 0; i < 2; i++) {
		tl_transaction_record(&f->txn, f->position, true);
		assert_int_equal(tl_dissolve(&f->txn, &call, &answer), TL_OK);
		commit(f);
		assert_int_equal(finish(f), 3);
		check_done(f);
	}
	next_record(f); /* sent again later */
	assert_int_equal(tl_dissolve(&f->txn, &call, &answer), TL_OK);
	commit(f);
	check_done(f);
	tl_answer_fini(&answer);
}

/* A request that is sent again, each read of which fails once, says so: nobody is told that he is no member because of that. */
static void test_repeated_and_a_read_fails(void **state)
{
	struct fixture *f = *state;
	const struct tl_arg args[] = {{.given = true, .bytes = tl_slice_str("team")}};
	const struct tl_call call = {.user = {"u0", 2}, .device = {"d", 1}, .now = AT, .args = args};
	struct tl_answer answer;
	unsigned reads = 0;
	enum tl_err err;
	make_group(f, "team", 0, USERS);
	dissolve(f, "team", 0, USERS);
	tl_answer_init(&answer);
	do {
		tl_transaction_forget(&f->txn);
		next_record(f);
		gets_until_failure = ++reads;
		err = tl_dissolve(&f->txn, &call, &answer);
		assert_int_equal(err, gets_until_failure == 0 ? TL_IO : TL_OK);
	} while (err != TL_OK);
	assert_true(reads > 2);
	gets_until_failure = 0;
	tl_answer_fini(&answer);
}

/* (O3): a user's record, and what is on record. */
static void test_damage(void **state)
{
	struct fixture *f = *state;
	make_group(f, "team", 0, USERS);
	const uint64_t no = take(f, USERS - 1)->no;
	struct tl_pair_key key;
	tl_batch_put(f->txn.batch, tl_partition(TL_PART_DUE, TL_DUE_ENDINGS), tl_pair_key(&key, 1, 2), tl_slice("\xc1", 1));
	tl_batch_put(f->txn.batch, tl_partition(TL_PART_USER, no), tl_slice("", 0), tl_slice("?", 1));
	tl_batch_put(f->txn.batch, tl_partition(TL_PART_USER, take(f, 1)->no), tl_slice("", 0), tl_slice("?", 1));
	commit(f);
	tl_transaction_forget(&f->txn);
	dissolve(f, "team", 0, USERS);
	assert_int_equal(finish(f), 3);
	assert_int_equal(take(f, 2)->groups, 0);
	for (unsigned i = 0; i < USERS; i++)
		assert_int_equal(count_keys(f->db.engine, TL_PART_USER_CONVERSATIONS, i + 1), 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_small), TEST(test_large),    TEST(test_limit),                    TEST(test_lists),
		TEST(test_once),  TEST(test_in_order), TEST(test_others_counted_meanwhile), TEST(test_half_done),
		TEST(test_damage), TEST(test_asked_for_meanwhile), TEST(test_repeated_and_a_read_fails),
	};
	return cmocka_run_group_tests_name("endings", tests, NULL, NULL);
}
