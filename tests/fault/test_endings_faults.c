/* Groups that are dissolved in a store, many steps each, while commits fail, the store is closed in the middle and others are made
 * and dissolved: (O1) and (O2) of storage/endings.h. tl_engine_commit is wrapped by the linker (--wrap):
 *
 *     tl_engine_commit ──► as it is | fails, nothing applied | fails, all applied
 *
 * Afterwards the database is looked at: every user is in the groups that are left and is counted in as many. */
#include "database_fixture.h"
#include "endings.h"
#include "message.h"
#include "msgpack_writer.h"
#include "store.h"
#include "wrapped.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { USERS = 9, STEP = 2, COUNTDOWNS = 8, PATIENCE_MS = 60000, AT = 1700000 };

enum fault { FAULT_NONE, FAULT_COMMIT_NOTHING, FAULT_COMMIT_ALL, FAULTS };

static struct {
	_Atomic int kind;      /* enum fault */
	_Atomic int countdown; /* of the commits; the one at 0 fails */
} faults;

WRAPPED(tl_engine_commit);

static bool is_due(enum fault kind)
{
	return atomic_load(&faults.kind) == (int)kind && atomic_fetch_sub(&faults.countdown, 1) == 0;
}

enum tl_err __wrap_tl_engine_commit(struct tl_engine *engine, struct tl_batch *batch, bool sync, struct tl_why *why)
{
	if (is_due(FAULT_COMMIT_NOTHING))
		return tl_fail(why, TL_IO, "injected");
	enum tl_err err = __real_tl_engine_commit(engine, batch, sync, why);
	return is_due(FAULT_COMMIT_ALL) ? tl_fail(why, TL_IO, "injected") : err;
}

static void arm(enum fault kind, int countdown)
{
	atomic_store(&faults.kind, FAULT_NONE);
	atomic_store(&faults.countdown, countdown);
	atomic_store(&faults.kind, kind);
}

/* --- the store --- */

struct fixture {
	struct temp_dir dir;
	struct tl_store *store;
	uint64_t max_conversations;
	unsigned kept; /* groups that are there */
	unsigned made;
	_Atomic unsigned outcomes, refused;
	unsigned submitted;
};

static void on_committed(void *ctx, const struct tl_commit *commit)
{
	struct fixture *f = ctx;
	for (size_t i = 0; i < commit->outcome_count; i++)
		if (commit->outcomes[i].err != TL_OK)
			atomic_fetch_add(&f->refused, 1);
	atomic_fetch_add(&f->outcomes, (unsigned)commit->outcome_count);
}

static void on_log(void *ctx, enum tl_log level, const char *text)
{
	(void)ctx, (void)level;
	if (getenv("TL_VERBOSE"))
		fprintf(stderr, "%s\n", text);
}

static void open_store(struct fixture *f)
{
	const struct tl_store_options options = {
		.dir = f->dir.path,
		.durability = TL_DURABILITY_OS,
		.queue_max_bytes = 1 << 26,
		.block_cache_bytes = 1 << 20,
		.write_buffer_bytes = 1 << 20,
		.cached_users = 3, /* so that some are at hand and some not */
		.cached_conversations = 100,
		.limits = {.server = "test",
		           .max_members = 100,
		           .max_conversations = f->max_conversations,
		           .write_fanout_max = 5,
		           .ending_step = STEP},
		.events = {f, on_committed, on_log},
	};
	struct tl_why why;
	if (tl_store_open(&options, &f->store, &why) != TL_OK)
		fail_msg("%s", why.text);
}

static void close_store(struct fixture *f)
{
	tl_store_close(f->store);
	f->store = NULL;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	if (!f || !temp_dir_make(&f->dir))
		return -1;
	f->max_conversations = 2;
	arm(FAULT_NONE, 0);
	open_store(f);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	arm(FAULT_NONE, 0);
	close_store(f);
	temp_dir_remove(&f->dir);
	free(f);
	return 0;
}

static void submit(struct fixture *f, const char *op, unsigned group, bool with_members)
{
	const struct tl_submission from = {{"", 0}, {"user0", 5}, {"phone", 5}};
	struct tl_pack args;
	char name[16];
	tl_pack_init(&args);
	tl_pack_map(&args, with_members ? 2 : 1);
	tl_pack_cstr(&args, "conv");
	snprintf(name, sizeof name, "team%u", group);
	tl_pack_cstr(&args, name);
	if (with_members) {
		tl_pack_cstr(&args, "members");
		tl_pack_array(&args, USERS - 1);
	}
	for (unsigned i = 1; i < USERS && with_members; i++) {
		snprintf(name, sizeof name, "user%u", i);
		tl_pack_cstr(&args, name);
	}
	assert_int_equal(
		tl_store_change(f->store, &from, tl_request_find(tl_slice_str(op)), tl_pack_bytes(&args), AT), TL_OK);
	tl_pack_fini(&args);
	f->submitted++;
}

/* The number of the new group. */
static unsigned create(struct fixture *f)
{
	submit(f, "create", ++f->made, true);
	f->kept++;
	return f->made;
}

static void dissolve(struct fixture *f, unsigned group)
{
	submit(f, "dissolve", group, false);
	f->kept--;
}

static void wait_until_answered(struct fixture *f)
{
	for (unsigned ms = 0; ms < PATIENCE_MS && atomic_load(&f->outcomes) < f->submitted; ms++)
		usleep(1000);
	assert_int_equal(atomic_load(&f->outcomes), f->submitted);
	assert_int_equal(atomic_load(&f->refused), 0);
}

/* Until upkeep has found twice that there is nothing more to do. */
static void wait_until_done(struct fixture *f)
{
	uint64_t looks = tl_store_stats(f->store).upkeep.looks + 2;
	for (unsigned ms = 0; ms < PATIENCE_MS && tl_store_stats(f->store).upkeep.looks < looks; ms++)
		usleep(1000);
	assert_true(tl_store_stats(f->store).upkeep.looks >= looks);
}

/* --- what is in the database --- */

static uint64_t groups_of(struct tl_engine *engine, uint64_t no)
{
	struct tl_user_record record;
	char *value;
	size_t len;
	assert_int_equal(tl_engine_get(engine, NULL, tl_partition(TL_PART_USER, no), tl_slice("", 0), &value, &len), TL_OK);
	assert_true(tl_user_record_unpack(tl_slice(value, len), &record));
	free(value);
	return record.groups;
}

static void check_disk(struct fixture *f)
{
	char name[16];
	uint64_t no;
	close_store(f);
	struct tl_database db = open_database(&f->dir);
	for (unsigned i = 0; i < USERS; i++) {
		snprintf(name, sizeof name, "user%u", i);
		assert_int_equal(tl_user_no(db.engine, NULL, tl_slice_str(name), &no), TL_OK);
		assert_int_equal(groups_of(db.engine, no), f->kept);
		assert_int_equal(count_keys(db.engine, TL_PART_USER_CONVERSATIONS, no), f->kept);
	}
	assert_int_equal(count_keys(db.engine, TL_PART_DUE, TL_DUE_ENDINGS), 0);
	tl_database_close(&db);
	open_store(f);
}

/* --- tests --- */

/* The commits of the request, and of the steps behind it, fail one after the other; meanwhile another group is made, for which
 * there is room only if those that are dissolved do not count. */
static void test_faults(void **state)
{
	struct fixture *f = *state;
	(void)create(f);
	for (int kind = FAULT_COMMIT_NOTHING; kind < FAULTS; kind++)
		for (int countdown = 0; countdown < COUNTDOWNS; countdown++) {
			unsigned group = create(f);
			wait_until_answered(f);
			arm((enum fault)kind, countdown);
			dissolve(f, group);
			dissolve(f, create(f));
			wait_until_answered(f);
			wait_until_done(f);
			arm(FAULT_NONE, 0);
			check_disk(f);
		}
}

/* What is left when the store is closed is done when it is opened again, in the same order. */
static void test_closed_meanwhile(void **state)
{
	struct fixture *f = *state;
	(void)create(f);
	for (unsigned round = 0; round < 10; round++) {
		for (unsigned i = 0; i < 3; i++)
			dissolve(f, create(f));
		wait_until_answered(f);
		usleep(round * 1000); /* wherever it is by then */
		close_store(f);
		open_store(f);
	}
	wait_until_done(f);
	check_disk(f);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(test_faults), TEST(test_closed_meanwhile)};
	return cmocka_run_group_tests_name("endings, with faults", tests, NULL, NULL);
}
