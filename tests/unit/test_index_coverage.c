/* What the database notes of the search index from one start to the next, as search is switched on and off. */
#include "index_coverage.h"

#include "database_fixture.h"
#include "index_directory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

struct fixture {
	struct temp_dir dir;
	struct tl_database db;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	if (!f || !temp_dir_make(&f->dir))
		return -1;
	f->db = open_database(&f->dir);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	tl_database_close(&f->db);
	temp_dir_remove(&f->dir);
	free(f);
	return 0;
}

static void commit(struct fixture *f, struct tl_batch *batch)
{
	assert_int_equal(tl_engine_commit(f->db.engine, batch, true, NULL), TL_OK);
	tl_batch_free(batch);
}

static void add_conversation(struct fixture *f)
{
	struct tl_batch *batch = new_batch(f->db.engine);
	tl_batch_put(batch, tl_partition(TL_PART_CONVERSATION_NAMES, 0), tl_slice_str("team"), tl_slice_str("x"));
	commit(f, batch);
}

/* As the indexer leaves it when it has indexed everything anew; `version`: of the index. */
static void finish_indexing(struct fixture *f, uint64_t version)
{
	struct tl_batch *batch = new_batch(f->db.engine);
	tl_batch_delete(batch, tl_partition(TL_PART_META, 0), tl_slice_str(TL_META_REINDEX));
	tl_database_put_uint(batch, TL_META_INDEX, version);
	commit(f, batch);
}

/* After a start with search on or off, the version of the index that covers everything, 0 for none, and whether everything is to
 * be indexed anew, from the first conversation on. */
static void expect(struct fixture *f, bool search, uint64_t version, bool anew)
{
	uint64_t noted = UINT64_MAX;
	char *from = NULL;
	size_t len = 0;
	assert_int_equal(tl_index_coverage_update(&f->db, search), TL_OK);
	assert_int_equal(tl_database_read_uint(&f->db, TL_META_INDEX, &noted), TL_OK);
	assert_int_equal(noted, version);
	enum tl_err err = tl_engine_get(f->db.engine, NULL, tl_partition(TL_PART_META, 0), tl_slice_str(TL_META_REINDEX),
	                                &from, &len);
	assert_int_equal(err, anew ? TL_OK : TL_NOT_FOUND);
	assert_int_equal(len, 0);
	free(from);
}

static void test_new_database_is_covered(void **state)
{
	struct fixture *f = *state;
	expect(f, true, TL_INDEX_VERSION, false);
	add_conversation(f); /* whose messages the indexer hears of */
	expect(f, true, TL_INDEX_VERSION, false);
}

static void test_off_and_on(void **state)
{
	struct fixture *f = *state;
	expect(f, true, TL_INDEX_VERSION, false);
	add_conversation(f);
	expect(f, false, 0, false);
	expect(f, false, 0, false);
	expect(f, true, 0, true);
	expect(f, true, 0, true); /* the indexer has not come to an end */
	finish_indexing(f, TL_INDEX_VERSION);
	expect(f, true, TL_INDEX_VERSION, false);
}

static void test_without_conversations_there_is_nothing_to_do(void **state)
{
	struct fixture *f = *state;
	expect(f, false, 0, false);
	expect(f, true, TL_INDEX_VERSION, false);
}

static void test_another_version(void **state)
{
	struct fixture *f = *state;
	add_conversation(f);
	finish_indexing(f, TL_INDEX_VERSION + 1);
	expect(f, true, 0, true);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_new_database_is_covered),
		TEST(test_off_and_on),
		TEST(test_without_conversations_there_is_nothing_to_do),
		TEST(test_another_version),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
