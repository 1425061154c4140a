#include "database_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct tl_engine *open_engine(const struct temp_dir *dir)
{
	const struct tl_engine_options options = temp_dir_engine(dir);
	struct tl_engine *engine;
	struct tl_why why;
	if (tl_engine_open_leveldb(&options, &engine, &why) != TL_OK)
		fail_msg("%s", why.text);
	return engine;
}

struct tl_database open_database(const struct temp_dir *dir)
{
	const struct tl_engine_options options = temp_dir_engine(dir);
	struct tl_database database;
	struct tl_why why;
	if (tl_database_open(&options, &database, &why) != TL_OK)
		fail_msg("%s", why.text);
	return database;
}

struct tl_batch *new_batch(struct tl_engine *engine)
{
	struct tl_batch *batch;
	assert_int_equal(tl_batch_new(engine, &batch), TL_OK);
	return batch;
}

void commit_batch(struct tl_engine *engine, struct tl_batch *batch)
{
	assert_int_equal(tl_engine_commit(engine, batch, false, NULL), TL_OK);
	tl_batch_clear(batch);
}

void open_transaction(const struct temp_dir *dir, const struct tl_limits *limits, struct tl_database *database_out,
                      struct tl_transaction *txn_out)
{
	*database_out = open_database(dir);
	assert_int_equal(tl_transaction_init(txn_out, database_out), TL_OK);
	txn_out->limits = limits;
}

void close_transaction(struct tl_database *database, struct tl_transaction *txn)
{
	tl_transaction_fini(txn);
	tl_database_close(database);
}

void commit_transaction(struct tl_transaction *txn)
{
	tl_transaction_finish(txn);
	assert_int_equal(tl_engine_commit(txn->database->engine, txn->batch, false, NULL), TL_OK);
	tl_due_tell(&txn->due);
	tl_transaction_clear(txn);
}

struct tl_user *take_user(struct tl_transaction *txn, const char *uid)
{
	struct tl_user *user;
	assert_int_equal(tl_transaction_user(txn, tl_slice_str(uid), &user), TL_OK);
	return user;
}

unsigned count_keys(struct tl_engine *engine, enum tl_partition_kind kind, uint64_t no)
{
	struct tl_iter *iter;
	unsigned count = 0;
	assert_int_equal(tl_iter_new(engine, NULL, tl_partition(kind, no), true, &iter), TL_OK);
	for (bool there = tl_iter_seek(iter, tl_slice("", 0)); there; there = tl_iter_next(iter))
		count += !tl_slice_equal(tl_iter_key(iter), tl_slice("", 1));
	tl_iter_free(iter);
	return count;
}
