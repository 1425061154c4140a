#include "dedup.h"

#include "expiry.h"
#include "msgpack_reader.h"
#include "ordered_int.h"

#include <stdlib.h>

enum {
	BUCKET_SHORTEST_MS = 60000,
	INHERITED_MS = 60000, /* by which ids of before may be later than those seen: a message's time is no earlier than that of
	                       * the one before it, so where clocks do not agree it may be ahead of its bucket */
};

struct db_key {
	unsigned char bytes[TL_ORDERED_INT_MAX + TL_DEDUP_KEY_BYTES];
};

static struct tl_slice db_key(struct db_key *out, const struct tl_dedup_key *key)
{
	size_t len = tl_ordered_int_put(out->bytes, key->conversation_no);
	memcpy(out->bytes + len, key->hash, TL_DEDUP_KEY_BYTES);
	return tl_slice(out->bytes, len + TL_DEDUP_KEY_BYTES);
}

void tl_dedup_init(struct tl_dedup *dedup, struct tl_database *database)
{
	*dedup = (struct tl_dedup){.database = database};
}

void tl_dedup_clear(struct tl_dedup *dedup)
{
	tl_dedup_init(dedup, dedup->database);
}

/* --- the list --- */

static void put_list(struct tl_batch *batch, const struct tl_dedup_list *list)
{
	struct tl_pack pack;
	tl_pack_init(&pack);
	tl_dedup_list_pack(&pack, list);
	tl_batch_put_pack(batch, tl_partition(TL_PART_META, 0), tl_slice_str(TL_META_DEDUP), &pack);
	tl_pack_fini(&pack);
}

static bool decode_list(struct tl_slice bytes, struct tl_dedup_list *list_out)
{
	if (!tl_dedup_list_unpack(bytes, list_out))
		return false;
	for (size_t i = 0; i < list_out->count; i++)
		if (list_out->buckets[i].no > TL_NUMBERS_END)
			return false;
	return true;
}

/* *lost_out: it can be read and is damaged; then it is empty. */
static enum tl_err read_list(const struct tl_database *database, struct tl_dedup_list *list_out, bool *lost_out)
{
	char *value;
	size_t len;
	enum tl_err err = tl_engine_get(database->engine, NULL, tl_partition(TL_PART_META, 0),
	                                tl_slice_str(TL_META_DEDUP), &value, &len);
	*lost_out = false;
	if (err == TL_NOT_FOUND) {
		list_out->count = 0;
		return TL_OK;
	}
	if (err != TL_OK)
		return err;
	*lost_out = !decode_list(tl_slice(value, len), list_out);
	if (*lost_out)
		list_out->count = 0;
	free(value);
	return TL_OK;
}

enum tl_err tl_dedup_read_list(const struct tl_database *database, struct tl_dedup_list *list_out)
{
	bool lost;
	enum tl_err err = read_list(database, list_out, &lost);
	return err == TL_OK && lost ? TL_CORRUPT : err;
}

static enum tl_err load(struct tl_dedup *dedup)
{
	if (dedup->loaded)
		return TL_OK;
	enum tl_err err = read_list(dedup->database, &dedup->list, &dedup->lost);
	dedup->loaded = err == TL_OK;
	dedup->inherited = dedup->loaded && dedup->list.count > 0;
	return err;
}

static struct tl_dedup_bucket *newest(struct tl_dedup *dedup)
{
	return dedup->list.count > 0 ? &dedup->list.buckets[dedup->list.count - 1] : NULL;
}

bool tl_dedup_is_over(const struct tl_dedup_bucket *bucket, uint64_t window_ms, uint64_t now)
{
	/* A window of 0 would be none that passes. */
	return bucket->last > 0 && tl_expired(bucket->last, window_ms > 0 ? window_ms : 1, now);
}

/* Whether the newest bucket is full, or was begun at a time that a clock set back has made the future. */
static bool is_full(const struct tl_dedup_bucket *bucket, uint64_t ts, uint64_t window_ms)
{
	uint64_t length_ms = window_ms < BUCKET_SHORTEST_MS ? BUCKET_SHORTEST_MS : window_ms;
	return tl_expired(bucket->from, length_ms, ts) || tl_expired(ts, length_ms, bucket->from);
}

enum tl_err tl_dedup_prepare(struct tl_dedup *dedup, struct tl_batch *batch, uint64_t ts, uint64_t window_ms)
{
	enum tl_err err = load(dedup);
	if (err != TL_OK)
		return err;
	struct tl_dedup_bucket *last = newest(dedup);
	if (last && (!is_full(last, ts, window_ms) || dedup->list.count == TL_DEDUP_BUCKETS_MAX))
		return TL_OK;
	if (last)
		last->last = (dedup->latest > ts ? dedup->latest : ts) + (dedup->inherited ? INHERITED_MS : 0);
	dedup->inherited = false;
	uint64_t no = last ? last->no + 1 : dedup->lost ? ts : 1;
	dedup->list.buckets[dedup->list.count] = (struct tl_dedup_bucket){.no = no, .from = ts};
	dedup->list.count++;
	dedup->latest = ts;
	put_list(batch, &dedup->list);
	return TL_OK;
}

enum tl_err tl_dedup_forget(struct tl_dedup *dedup, struct tl_batch *batch, uint64_t no)
{
	size_t kept = 0;
	enum tl_err err = load(dedup);
	if (err != TL_OK || dedup->list.count == 0)
		return err;
	struct tl_dedup_list *list = &dedup->list;
	for (size_t i = 0; i < list->count; i++)
		if (list->buckets[i].no != no || i == list->count - 1) /* the newest one stays (B2) */
			list->buckets[kept++] = list->buckets[i];
	list->count = kept;
	put_list(batch, list);
	return TL_OK;
}

/* --- ids --- */

static enum tl_err find_in(struct tl_dedup *dedup, uint64_t bucket_no, struct tl_slice key,
                           struct tl_dedup_record *record_out)
{
	char *value;
	size_t len;
	enum tl_err err = tl_engine_get(dedup->database->engine, NULL, tl_partition(TL_PART_DEDUP, bucket_no), key, &value,
	                                &len);
	if (err != TL_OK)
		return err;
	bool ok = tl_dedup_record_unpack(tl_slice(value, len), record_out);
	free(value);
	return ok ? TL_OK : TL_CORRUPT;
}

/* The latest use comes first. */
enum tl_err tl_dedup_find(struct tl_dedup *dedup, const struct tl_dedup_key *key, uint64_t ts, uint64_t window_ms,
                          uint64_t latest, struct tl_dedup_record *record_out)
{
	struct db_key bytes;
	struct tl_slice at = db_key(&bytes, key);
	enum tl_err err = load(dedup);
	if (err != TL_OK)
		return err;
	if (tl_expired(latest, window_ms, ts))
		return TL_NOT_FOUND;
	for (size_t i = dedup->list.count; i-- > 0;) {
		const struct tl_dedup_bucket *bucket = &dedup->list.buckets[i];
		if (latest < bucket->from || tl_dedup_is_over(bucket, window_ms, ts))
			continue;
		if ((err = find_in(dedup, bucket->no, at, record_out)) != TL_NOT_FOUND)
			return err == TL_OK && tl_expired(record_out->ts, window_ms, ts) ? TL_NOT_FOUND : err;
	}
	return TL_NOT_FOUND;
}

void tl_dedup_put(struct tl_dedup *dedup, struct tl_batch *batch, const struct tl_dedup_key *key,
                  const struct tl_dedup_record *record)
{
	struct tl_dedup_bucket *bucket = newest(dedup);
	struct db_key bytes;
	struct tl_pack pack;
	tl_pack_init(&pack);
	tl_dedup_record_pack(&pack, record);
	tl_batch_put_pack(batch, tl_partition(TL_PART_DEDUP, bucket->no), db_key(&bytes, key), &pack);
	tl_pack_fini(&pack);
	if (record->ts < bucket->from) { /* B5 */
		bucket->from = record->ts;
		put_list(batch, &dedup->list);
	}
	if (record->ts > dedup->latest)
		dedup->latest = record->ts;
}
