/* Iterators of the LevelDB engine: LevelDB's own, which walk the whole database, kept within one partition.
 *
 *     … │ other partition │ prefix·a  prefix·b  prefix·c │ other partition │ …
 *                             └── at_item only here ──┘
 *
 *   (I1) `at_item` is true only where LevelDB's iterator stands on a key with the partition's prefix.
 *   (I2) An unreadable block makes LevelDB's iterator skip it and go on. So its status is asked after every move
 *        (30 ns), and an item behind a gap is not shown, unless the iterator is to pass it. The error stays with LevelDB's
 *        iterator: retargeting makes a new one.
 *
 * An iterator belongs to one thread at a time; it may be handed over. Without a snapshot it is a use of the engine,
 * with one it is covered by it (L2).
 */
#include "engine_leveldb.h"

#include <assert.h>
#include <stdlib.h>

struct tl_iter {
	struct tl_engine *engine;
	const struct tl_snapshot *snapshot;
	bool own_use; /* made without a snapshot: leaves the engine when freed */
	bool fill_cache;
	bool at_item; /* (I1) */
	bool pass_damage; /* (I2) */
	enum tl_err error; /* of the last positioning */
	leveldb_iterator_t *db_iter;
	struct tl_partition partition;
	size_t prefix_len; /* bytes */
	unsigned char prefix[TL_DB_PREFIX_MAX];
};

static void open_iterator(struct tl_iter *iter)
{
	/* LevelDB copies the options. */
	leveldb_readoptions_t *options = tl_db_read_options_new(iter->engine, iter->snapshot, iter->fill_cache);
	iter->db_iter = leveldb_create_iterator(iter->engine->db, options);
	leveldb_readoptions_destroy(options);
}

enum tl_err tl_iter_new(struct tl_engine *engine, const struct tl_snapshot *snapshot, struct tl_partition partition,
                        bool fill_cache, struct tl_iter **iter_out)
{
	assert(!snapshot || snapshot->engine == engine);
	struct tl_iter *iter = malloc(sizeof *iter);
	if (!iter)
		return TL_NO_MEMORY;
	enum tl_err err = snapshot ? TL_OK : tl_engine_enter(engine);
	if (err) {
		free(iter);
		return err;
	}
	*iter = (struct tl_iter){.engine = engine, .snapshot = snapshot, .own_use = !snapshot, .fill_cache = fill_cache};
	open_iterator(iter);
	tl_iter_retarget(iter, partition);
	*iter_out = iter;
	return TL_OK;
}

void tl_iter_free(struct tl_iter *iter)
{
	if (!iter)
		return;
	leveldb_iter_destroy(iter->db_iter);
	if (iter->own_use)
		tl_engine_leave(iter->engine);
	free(iter);
}

void tl_iter_retarget(struct tl_iter *iter, struct tl_partition partition)
{
	iter->partition = partition;
	iter->prefix_len = tl_db_prefix(iter->prefix, partition);
	iter->at_item = iter->pass_damage = false;
	if (iter->error != TL_OK) {
		leveldb_iter_destroy(iter->db_iter);
		open_iterator(iter);
	}
	iter->error = TL_OK;
}

void tl_iter_pass_damage(struct tl_iter *iter)
{
	iter->pass_damage = true;
}

/* After each move: is there an item, and of this partition (I1, I2)? */
static bool settle(struct tl_iter *iter)
{
	char *message = NULL;
	leveldb_iter_get_error(iter->db_iter, &message);
	iter->error = tl_db_error_take(message, "read", NULL);
	iter->at_item = false;
	bool may_show = !iter->error || (iter->error == TL_CORRUPT && iter->pass_damage);
	if (may_show && leveldb_iter_valid(iter->db_iter)) {
		size_t len;
		const char *key = leveldb_iter_key(iter->db_iter, &len);
		iter->at_item = len >= iter->prefix_len && memcmp(key, iter->prefix, iter->prefix_len) == 0;
	}
	return iter->at_item;
}

/* Moves to the last key of the whole database below `key`, then settles. */
static bool seek_below(struct tl_iter *iter, const char *key, size_t len)
{
	leveldb_iter_seek(iter->db_iter, key, len);
	if (leveldb_iter_valid(iter->db_iter))
		leveldb_iter_prev(iter->db_iter);
	else /* nothing at or above `key`, or an error, which settle finds */
		leveldb_iter_seek_to_last(iter->db_iter);
	return settle(iter);
}

static bool no_memory(struct tl_iter *iter)
{
	iter->at_item = false;
	iter->error = TL_NO_MEMORY;
	return false;
}

bool tl_iter_seek(struct tl_iter *iter, struct tl_slice key)
{
	struct tl_db_key db_key;
	if (tl_db_key_init(&db_key, iter->partition, key) != TL_OK)
		return no_memory(iter);
	leveldb_iter_seek(iter->db_iter, db_key.bytes, db_key.len);
	tl_db_key_fini(&db_key);
	return settle(iter);
}

bool tl_iter_seek_last(struct tl_iter *iter)
{
	unsigned char end[TL_DB_PREFIX_MAX];
	size_t len = tl_db_prefix_end(end, iter->partition);
	return seek_below(iter, (const char *)end, len);
}

bool tl_iter_seek_before(struct tl_iter *iter, struct tl_slice key)
{
	struct tl_db_key db_key;
	if (tl_db_key_init(&db_key, iter->partition, key) != TL_OK)
		return no_memory(iter);
	bool found = seek_below(iter, db_key.bytes, db_key.len);
	tl_db_key_fini(&db_key);
	return found;
}

bool tl_iter_next(struct tl_iter *iter)
{
	assert(iter->at_item);
	leveldb_iter_next(iter->db_iter);
	return settle(iter);
}

bool tl_iter_prev(struct tl_iter *iter)
{
	assert(iter->at_item);
	leveldb_iter_prev(iter->db_iter);
	return settle(iter);
}

struct tl_slice tl_iter_key(const struct tl_iter *iter)
{
	assert(iter->at_item);
	size_t len;
	const char *key = leveldb_iter_key(iter->db_iter, &len);
	return tl_slice(key + iter->prefix_len, len - iter->prefix_len);
}

struct tl_slice tl_iter_value(const struct tl_iter *iter)
{
	assert(iter->at_item);
	size_t len;
	const char *value = leveldb_iter_value(iter->db_iter, &len);
	return tl_slice(value, len);
}

enum tl_err tl_iter_error(const struct tl_iter *iter)
{
	return iter->error;
}
