/* What of many backlogs an inbox has no room for: the noisiest conversations give way, half of what they have at a time (B1). Compared
 * with looking at all of them for each step. TL_SEED in the environment repeats the choices. */
#include "backlog.h"

#include "database_fixture.h"
#include "rng.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { USER = 1, CONVERSATIONS = 30, HEAD_MAX = 60, ROUNDS = 300 };

struct fixture {
	struct temp_dir dir;
	struct tl_database db;
	struct tl_batch *batch;
	struct rng rng;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	if (!f || !temp_dir_make(&f->dir))
		return -1;
	f->db = open_database(&f->dir);
	f->batch = new_batch(f->db.engine);
	f->rng.state = rng_seed();
	print_message("TL_SEED=%" PRIu64 "\n", f->rng.state);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	tl_batch_free(f->batch);
	tl_database_close(&f->db);
	temp_dir_remove(&f->dir);
	free(f);
	return 0;
}

static void commit(struct fixture *f)
{
	commit_batch(f->db.engine, f->batch);
}

static void make_stores(struct fixture *f)
{
	for (uint64_t no = 1; no <= CONVERSATIONS; no++)
		for (uint64_t cseq = 1, head = below(&f->rng, HEAD_MAX); cseq <= head; cseq++)
			tl_timeline_append(f->batch, tl_partition(TL_PART_STORE, no), cseq, tl_slice("x", 1), false);
	commit(f);
}

static void put_backlog(struct fixture *f, uint64_t no, uint64_t since, const struct tl_backlog_record *record)
{
	struct tl_pair_key key;
	struct tl_pack pack;
	tl_pack_init(&pack);
	tl_backlog_record_pack(&pack, record);
	tl_batch_put(f->batch, tl_partition(TL_PART_BACKLOG, USER), tl_pair_key(&key, no, since), tl_pack_bytes(&pack));
	tl_pack_fini(&pack);
}

static void drop_backlogs(struct fixture *f)
{
	struct tl_drop drop = {.limit = UINT64_MAX};
	assert_int_equal(tl_engine_drop_range(f->db.engine, tl_partition(TL_PART_BACKLOG, USER), tl_slice("", 0),
	                                      tl_slice("", 0), &drop),
	                 TL_OK);
}

/* Up to three memberships of each, the last of which may go on; some have nothing left. */
static void make_backlogs(struct fixture *f)
{
	drop_backlogs(f);
	for (uint64_t no = 1; no <= CONVERSATIONS; no++) {
		uint64_t since = 1 + below(&f->rng, 10);
		for (unsigned left = below(&f->rng, 4); left > 0; left--) {
			uint64_t until = since + below(&f->rng, HEAD_MAX / 3);
			bool goes_on = left == 1 && below(&f->rng, 2);
			const struct tl_backlog_record record = {.pulled = since - 1 + below(&f->rng, (unsigned)(until - since) + 2),
			                                         .until = goes_on ? 0 : until};
			put_backlog(f, no, since, &record);
			since = until + 1 + below(&f->rng, 5);
		}
	}
	commit(f);
}

static void read_inbox(struct fixture *f, uint64_t inbox_max, struct tl_inbox *inbox)
{
	const struct tl_limits limits = {.inbox_max = inbox_max};
	struct tl_iter *iter;
	assert_int_equal(tl_iter_new(f->db.engine, NULL, tl_partition(TL_PART_META, 0), true, &iter), TL_OK);
	assert_int_equal(tl_inbox_read(f->db.engine, NULL, iter, USER, &limits, 1000, NULL, inbox), TL_OK);
	tl_iter_free(iter);
}

/* --- the plain way --- */

static bool is_first_left(const struct tl_inbox *inbox, size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (inbox->backlogs[j].conversation_no == inbox->backlogs[i].conversation_no &&
		    tl_backlog_pending(&inbox->backlogs[j]) > 0)
			return false;
	return tl_backlog_pending(&inbox->backlogs[i]) > 0;
}

static void skip_longest(struct tl_inbox *inbox, uint64_t *excess)
{
	struct tl_backlog *longest = NULL;
	for (size_t i = 0; i < inbox->count; i++)
		if (is_first_left(inbox, i) &&
		    (!longest || tl_backlog_pending(&inbox->backlogs[i]) > tl_backlog_pending(longest)))
			longest = &inbox->backlogs[i];
	assert_non_null(longest);
	uint64_t count = (tl_backlog_pending(longest) + 1) / 2;
	count = count < *excess ? count : *excess;
	longest->record.pulled += count;
	*excess -= count;
}

static void check_skipped(struct tl_inbox *expected, const struct tl_inbox *inbox, uint64_t inbox_max)
{
	uint64_t excess = expected->latest > inbox_max ? expected->latest - inbox_max : 0;
	assert_int_equal(inbox->latest, expected->latest);
	assert_int_equal(inbox->floor, excess);
	assert_int_equal(inbox->head, excess);
	assert_int_equal(inbox->count, expected->count);
	while (excess > 0)
		skip_longest(expected, &excess);
	for (size_t i = 0; i < inbox->count; i++)
		assert_int_equal(inbox->backlogs[i].record.pulled, expected->backlogs[i].record.pulled);
}

/* Nothing is in the inbox itself, so what is skipped is all below its floor. */
static void test_excess(void **state)
{
	struct fixture *f = *state;
	make_stores(f);
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct tl_inbox expected, inbox;
		make_backlogs(f);
		read_inbox(f, 0, &expected);
		uint64_t inbox_max = 1 + below(&f->rng, (unsigned)expected.latest + 2);
		read_inbox(f, inbox_max, &inbox);
		check_skipped(&expected, &inbox, inbox_max);
		tl_inbox_free(&expected);
		tl_inbox_free(&inbox);
	}
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(test_excess)};
	return cmocka_run_group_tests_name("backlog", tests, NULL, NULL);
}
