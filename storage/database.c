#include "database.h"

#include "msgpack_reader.h"
#include "random_number.h"
#include "uint_record.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	NUMBERS_BLOCK = 1024,
	FIRST_POSITION = 1, /* of the ingest queue, so that 0 can mean "none" */
};

static struct tl_partition meta(void)
{
	return tl_partition(TL_PART_META, 0);
}

enum tl_err tl_database_read_uint(const struct tl_database *database, const char *key, uint64_t *value_out)
{
	enum tl_err err = tl_uint_record_get(database->engine, NULL, meta(), tl_slice_str(key), value_out);
	if (err != TL_NOT_FOUND)
		return err;
	*value_out = 0;
	return TL_OK;
}

void tl_database_put_uint(struct tl_batch *batch, const char *key, uint64_t value)
{
	tl_uint_record_put(batch, meta(), tl_slice_str(key), value);
}

static enum tl_err make_random(uint64_t *random_out, struct tl_why *why)
{
	enum tl_err err = tl_random_number(random_out);
	return err == TL_OK ? TL_OK : tl_fail(why, err, "no random numbers from the kernel");
}

static enum tl_err make_epoch(struct tl_database *db, struct tl_batch *batch, struct tl_why *why)
{
	struct tl_pack pack;
	uint64_t random;
	enum tl_err err = make_random(&random, why);
	if (err != TL_OK)
		return err;
	snprintf(db->epoch, sizeof db->epoch, "%016" PRIx64, random);
	tl_pack_init(&pack);
	tl_pack_cstr(&pack, db->epoch);
	tl_batch_put_pack(batch, meta(), tl_slice_str(TL_META_EPOCH), &pack);
	tl_pack_fini(&pack);
	return TL_OK;
}

enum tl_err tl_database_commit_first(struct tl_database *database, struct tl_batch *batch, struct tl_why *why)
{
	struct tl_why last = {""};
	enum tl_err err = tl_engine_commit(database->engine, batch, true, &last);
	if (err == TL_IO && tl_engine_reopen(database->engine, NULL) == TL_OK)
		err = tl_engine_commit(database->engine, batch, true, &last);
	return err == TL_OK ? TL_OK : tl_fail(why, err, "%s", last.text);
}

enum tl_err tl_database_renew(struct tl_database *database, struct tl_batch *batch, struct tl_why *why)
{
	database->life++;
	tl_database_put_uint(batch, TL_META_LIFE, database->life);
	return make_epoch(database, batch, why);
}

static enum tl_err create(struct tl_database *db, struct tl_why *why)
{
	struct tl_batch *batch;
	enum tl_err err = make_random(&db->secret, why);
	if (err == TL_OK)
		err = tl_batch_new(db->engine, &batch);
	if (err != TL_OK)
		return err;
	err = make_epoch(db, batch, why);
	tl_database_put_uint(batch, TL_META_SECRET, db->secret);
	tl_database_put_uint(batch, TL_META_WATERMARK, FIRST_POSITION);
	tl_database_put_uint(batch, TL_META_FORMAT, TL_FORMAT_VERSION);
	if (err == TL_OK)
		err = tl_engine_commit(db->engine, batch, true, why);
	tl_batch_free(batch);
	return err;
}

static enum tl_err load_epoch(struct tl_database *db)
{
	char *value;
	size_t len;
	enum tl_err err = tl_engine_get(db->engine, NULL, meta(), tl_slice_str(TL_META_EPOCH), &value, &len);
	if (err != TL_OK)
		return err == TL_NOT_FOUND ? TL_CORRUPT : err;
	struct tl_reader reader = tl_reader(tl_slice(value, len));
	struct tl_slice epoch;
	bool ok = tl_reader_str(&reader, &epoch) && epoch.len == TL_EPOCH_BYTES;
	if (ok)
		memcpy(db->epoch, epoch.ptr, epoch.len);
	free(value);
	return ok ? TL_OK : TL_CORRUPT;
}

static enum tl_err load(struct tl_database *db, bool must_exist, struct tl_why *why)
{
	uint64_t format;
	enum tl_err err = tl_database_read_uint(db, TL_META_FORMAT, &format);
	if (err != TL_OK)
		return tl_fail(why, err, "the database cannot be read: %s", tl_err_text(err));
	if (format == 0 && must_exist)
		return tl_fail(why, TL_CORRUPT, "the database is empty, although messages have been stored");
	if (format == 0)
		return create(db, why);
	if (format > TL_FORMAT_VERSION)
		return tl_fail(why, TL_VERSION, "the database has format %" PRIu64 ", this program knows formats up to %d",
		               format, TL_FORMAT_VERSION);
	if (format < TL_FORMAT_VERSION)
		return tl_fail(why, TL_VERSION,
		               "the database has format %" PRIu64 " and this program needs %d: it must be made anew", format,
		               TL_FORMAT_VERSION);
	err = load_epoch(db);
	if (err == TL_OK)
		err = tl_database_read_uint(db, TL_META_SECRET, &db->secret);
	if (err == TL_OK)
		err = tl_database_read_uint(db, TL_META_LIFE, &db->life);
	if (err != TL_OK)
		return tl_fail(why, err, "the database's own records cannot be read: %s", tl_err_text(err));
	return TL_OK;
}

enum tl_err tl_database_open(const struct tl_engine_options *options, struct tl_database *database_out,
                             struct tl_why *why)
{
	struct tl_database db = {0};
	enum tl_err err = tl_engine_open_leveldb(options, &db.engine, why);
	if (err != TL_OK)
		return err;
	err = load(&db, options->must_exist, why);
	if (err != TL_OK) {
		tl_engine_close(db.engine);
		return err;
	}
	*database_out = db;
	return TL_OK;
}

void tl_database_close(struct tl_database *database)
{
	tl_engine_close(database->engine);
	database->engine = NULL;
}

static enum tl_err reserve(struct tl_numbers *numbers, struct tl_database *db)
{
	struct tl_batch *batch;
	uint64_t first;
	enum tl_err err = tl_database_read_uint(db, numbers->key, &first);
	if (err != TL_OK)
		return err;
	if (first > TL_NUMBERS_END)
		return TL_CORRUPT;
	if (first == 0)
		first = 1;
	if ((err = tl_batch_new(db->engine, &batch)) != TL_OK)
		return err;
	tl_database_put_uint(batch, numbers->key, first + NUMBERS_BLOCK);
	err = tl_engine_commit(db->engine, batch, true, NULL);
	tl_batch_free(batch);
	if (err != TL_OK)
		return err;
	numbers->next = first;
	numbers->reserved = first + NUMBERS_BLOCK;
	return TL_OK;
}

enum tl_err tl_numbers_take(struct tl_numbers *numbers, struct tl_database *database, uint64_t *number_out)
{
	if (numbers->next == numbers->reserved) {
		enum tl_err err = reserve(numbers, database);
		if (err != TL_OK)
			return err;
	}
	*number_out = numbers->next++;
	return TL_OK;
}

enum tl_err tl_numbers_name(struct tl_numbers *numbers, struct tl_database *database, enum tl_partition_kind names,
                            struct tl_slice name, uint64_t *number_out)
{
	struct tl_batch *batch;
	uint64_t number;
	enum tl_err err = tl_numbers_take(numbers, database, &number);
	if (err == TL_OK)
		err = tl_batch_new(database->engine, &batch);
	if (err != TL_OK)
		return err;
	tl_uint_record_put(batch, tl_partition(names, 0), name, number);
	err = tl_engine_commit(database->engine, batch, false, NULL);
	tl_batch_free(batch);
	if (err == TL_OK)
		*number_out = number;
	return err;
}
