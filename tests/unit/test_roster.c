/* Who can still come into a group or channel (G1 to G3), and that what is counted is counted once. */
#include "roster.h"

#include "blocks.h"
#include "database_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

struct fixture {
	struct temp_dir dir;
	struct tl_database db;
	struct tl_limits limits;
	struct tl_transaction txn;
	struct tl_why why;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	if (!f || !temp_dir_make(&f->dir))
		return -1;
	f->limits = (struct tl_limits){.max_members = 3, .max_conversations = 8};
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

/* Commits, and forgets what the caches hold. */
static void commit(struct fixture *f)
{
	assert_int_equal(tl_engine_commit(f->db.engine, f->txn.batch, false, NULL), TL_OK);
	tl_transaction_clear(&f->txn);
	tl_users_clear(&f->txn.users);
}

static void count(struct fixture *f, uint64_t no, uint64_t position, bool in)
{
	assert_int_equal(tl_users_count_group(&f->txn.users, f->txn.batch, no, position, in), TL_OK);
}

static enum tl_err check_self(struct fixture *f, struct tl_user *user)
{
	return tl_roster_check_self(&f->txn, user, &f->why);
}

static enum tl_err check_named(struct fixture *f, struct tl_user *user)
{
	const struct tl_call call = {.user = tl_slice_str("alice")};
	const struct tl_named_user named = {.uid = tl_slice(user->uid, user->uid_len), .user = user};
	return tl_roster_check_named(&f->txn, &call, &named, &f->why);
}

static void test_size(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(tl_roster_check_size(&f->txn, 3, &f->why), TL_OK);
	assert_int_equal(tl_roster_check_size(&f->txn, 4, &f->why), TL_TOO_LARGE);
}

/* (G1), (G2) */
static void test_limits(void **state)
{
	struct fixture *f = *state;
	struct tl_user *bob = take_user(&f->txn, "bob");
	for (uint64_t i = 1; i <= 8; i++) {
		assert_int_equal(check_self(f, bob), TL_OK);
		assert_int_equal(check_named(f, bob), i <= 6 ? TL_OK : TL_TOO_LARGE);
		count(f, bob->no, i * 10, true);
		assert_int_equal(bob->groups, i);
		f->txn.position = i * 10 + 5;
	}
	assert_int_equal(check_self(f, bob), TL_TOO_LARGE);
	assert_int_equal(check_self(f, take_user(&f->txn, "carol")), TL_OK);
}

/* (G3) */
static void test_blocked(void **state)
{
	struct fixture *f = *state;
	struct tl_user *bob = take_user(&f->txn, "bob");
	tl_blocks_put(f->txn.batch, bob, tl_slice_str("alice"), true);
	commit(f);
	assert_int_equal(check_named(f, take_user(&f->txn, "bob")), TL_NOT_AUTHORISED);
	assert_non_null(strstr(f->why.text, "'bob'"));
	assert_int_equal(check_named(f, take_user(&f->txn, "carol")), TL_OK);
	assert_int_equal(check_self(f, take_user(&f->txn, "bob")), TL_OK);
}

static void test_kept_in_the_database(void **state)
{
	struct fixture *f = *state;
	uint64_t no = take_user(&f->txn, "bob")->no;
	count(f, no, 1, true);
	count(f, no, 2, true);
	commit(f);
	assert_int_equal(take_user(&f->txn, "bob")->groups, 2);
	commit(f);
	count(f, no, 3, false); /* of one who is not at hand */
	commit(f);
	struct tl_user *bob;
	struct tl_iter *iter;
	assert_int_equal(tl_transaction_iter(&f->txn, &iter), TL_OK);
	assert_int_equal(tl_users_find_no(&f->txn.users, iter, no, &bob), TL_OK);
	assert_int_equal(bob->groups, 1);
	assert_int_equal(bob->groups_position, 3);
}

/* A record that is applied again after a failure finds its own count there. */
static void test_counted_once(void **state)
{
	struct fixture *f = *state;
	uint64_t no = take_user(&f->txn, "bob")->no;
	for (int i = 0; i < 3; i++) {
		count(f, no, 7, true);
		commit(f);
		assert_int_equal(take_user(&f->txn, "bob")->groups, 1);
		count(f, no, 6, false); /* what came before it had been applied as well */
		assert_int_equal(take_user(&f->txn, "bob")->groups, 1);
	}
	count(f, no, 8, false);
	count(f, no, 9, false);
	assert_int_equal(take_user(&f->txn, "bob")->groups, 0);
}

/* … and does not stand in its own way. */
static void test_own_count_is_no_obstacle(void **state)
{
	struct fixture *f = *state;
	struct tl_user *bob = take_user(&f->txn, "bob");
	for (uint64_t i = 1; i <= 8; i++)
		count(f, bob->no, i, true);
	f->txn.position = 8;
	assert_int_equal(check_self(f, bob), TL_OK);
	f->txn.position = 9;
	assert_int_equal(check_self(f, bob), TL_TOO_LARGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_size, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_limits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_blocked, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_kept_in_the_database, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_counted_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_own_count_is_no_obstacle, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
