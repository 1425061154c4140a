/* Chores in their order: after a batch that failed, and where the impatient ones are refused. */
#include "chores.h"

#include "database_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { CHORES = 6, LOG_MAX = 64 };

struct named_chore {
	struct tl_chore chore;
	char name;
	struct fixture *fixture;
};

struct fixture {
	struct temp_dir dir;
	struct tl_database db;
	struct tl_limits limits;
	struct tl_transaction txn;
	struct tl_chores chores;
	struct named_chore named[CHORES]; /* a, b, c … */
	char log[LOG_MAX];                /* the names of what was applied; of what is done, behind a + or -: whether it was committed */
	size_t len;
};

static void note(struct fixture *f, char c)
{
	assert_true(f->len + 1 < LOG_MAX);
	f->log[f->len++] = c;
	f->log[f->len] = '\0';
}

static enum tl_err apply(struct tl_chore *chore, struct tl_transaction *txn)
{
	struct named_chore *named = (struct named_chore *)(void *)chore;
	(void)txn;
	note(named->fixture, named->name);
	return TL_OK;
}

static void done(struct tl_chore *chore, bool committed)
{
	struct named_chore *named = (struct named_chore *)(void *)chore;
	note(named->fixture, committed ? '+' : '-');
	note(named->fixture, named->name);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	if (!f || !temp_dir_make(&f->dir))
		return -1;
	open_transaction(&f->dir, &f->limits, &f->db, &f->txn);
	assert_int_equal(tl_chores_init(&f->chores), TL_OK);
	for (int i = 0; i < CHORES; i++)
		f->named[i] = (struct named_chore){
			.chore = {.apply = apply, .done = done}, .name = (char)('a' + i), .fixture = f};
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	tl_chores_fini(&f->chores);
	close_transaction(&f->db, &f->txn);
	temp_dir_remove(&f->dir);
	free(f);
	return 0;
}

static void submit(struct fixture *f, const char *names)
{
	for (; *names; names++)
		tl_chores_submit(&f->chores, &f->named[*names - 'a'].chore);
}

static void apply_all(struct fixture *f)
{
	assert_int_equal(tl_chores_apply(&f->chores, &f->txn, 100), TL_OK);
}

static void expect(struct fixture *f, const char *log)
{
	assert_string_equal(f->log, log);
	f->len = 0;
	f->log[0] = '\0';
}

static void test_failed_ones_come_first(void **state)
{
	struct fixture *f = *state;
	submit(f, "abc");
	apply_all(f);
	assert_false(tl_chores_pending(&f->chores));
	submit(f, "de");
	tl_chores_failed(&f->chores);
	assert_true(tl_chores_pending(&f->chores));
	submit(f, "f");
	expect(f, "abc");
	apply_all(f);
	tl_chores_committed(&f->chores);
	expect(f, "abcdef+a+b+c+d+e+f");
	tl_chores_failed(&f->chores); /* of none */
	assert_false(tl_chores_pending(&f->chores));
}

static void test_failed_ones_alone(void **state)
{
	struct fixture *f = *state;
	submit(f, "ab");
	apply_all(f);
	tl_chores_failed(&f->chores);
	submit(f, "c");
	apply_all(f);
	tl_chores_committed(&f->chores);
	expect(f, "ababc+a+b+c");
}

static void test_impatient_ones_are_refused(void **state)
{
	struct fixture *f = *state;
	f->named[0].chore.impatient = f->named[2].chore.impatient = f->named[4].chore.impatient = true;
	submit(f, "abc");
	apply_all(f);
	submit(f, "def");
	tl_chores_refuse(&f->chores);
	expect(f, "abc-a-c-e");
	tl_chores_failed(&f->chores);
	apply_all(f);
	assert_false(tl_chores_pending(&f->chores));
	tl_chores_committed(&f->chores);
	expect(f, "bdf+b+d+f");
}

static void test_those_left_are_done(void **state)
{
	struct fixture *f = *state;
	submit(f, "ab");
	apply_all(f);
	submit(f, "c");
	tl_chores_fini(&f->chores);
	expect(f, "ab-a-b-c");
	assert_int_equal(tl_chores_init(&f->chores), TL_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_failed_ones_come_first, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_failed_ones_alone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_impatient_ones_are_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_those_left_are_done, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
