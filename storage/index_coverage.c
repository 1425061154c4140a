#include "index_coverage.h"

#include "index_directory.h"

/* Whether there is no conversation yet; there is one where the first of them cannot be read. */
static enum tl_err is_new(struct tl_engine *engine, bool *new_out)
{
	struct tl_iter *names;
	enum tl_err err = tl_iter_new(engine, NULL, tl_partition(TL_PART_CONVERSATION_NAMES, 0), true, &names);
	if (err != TL_OK)
		return err;
	bool there = tl_iter_seek(names, tl_slice("", 0));
	err = tl_iter_error(names);
	tl_iter_free(names);
	*new_out = !there && err == TL_OK;
	return err == TL_CORRUPT ? TL_OK : err;
}

/* Puts that the index covers everything, or nothing, or that everything is to be indexed anew. */
static void put_index(struct tl_batch *batch, bool search, bool covers_all)
{
	const struct tl_partition meta = tl_partition(TL_PART_META, 0);
	if (search && covers_all)
		tl_database_put_uint(batch, TL_META_INDEX, TL_INDEX_VERSION);
	else
		tl_batch_delete(batch, meta, tl_slice_str(TL_META_INDEX));
	if (search && !covers_all)
		tl_batch_put(batch, meta, tl_slice_str(TL_META_REINDEX), tl_slice("", 0));
}

enum tl_err tl_index_coverage_update(struct tl_database *database, bool search)
{
	struct tl_engine *engine = database->engine;
	bool is_empty;
	struct tl_batch *batch;
	uint64_t version;
	enum tl_err err = tl_database_read_uint(database, TL_META_INDEX, &version);
	if (err == TL_CORRUPT) { /* what it covers is not known: nothing */
		version = UINT64_MAX;
		err = TL_OK;
	}
	if (err != TL_OK || version == (search ? TL_INDEX_VERSION : 0))
		return err;
	if ((err = is_new(engine, &is_empty)) != TL_OK || (err = tl_batch_new(engine, &batch)) != TL_OK)
		return err;
	put_index(batch, search, is_empty);
	err = tl_database_commit_first(database, batch, NULL);
	tl_batch_free(batch);
	return err;
}
