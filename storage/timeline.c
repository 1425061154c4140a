#include "timeline.h"

#include "msgpack_reader.h"
#include "msgpack_writer.h"
#include "ordered_int.h"

#include <stdlib.h>

static const struct tl_slice floor_key = {"", 0};

struct key {
	unsigned char bytes[TL_ORDERED_INT_MAX];
	struct tl_slice slice;
};

/* The slice points into the key itself: use it where it was made. */
#define KEY(name, seq)                                                                                                 \
	struct key name;                                                                                                   \
	name.slice = tl_slice(name.bytes, tl_ordered_int_put(name.bytes, (seq)))

static bool seq_of(struct tl_slice key, uint64_t *seq_out)
{
	return tl_ordered_int_read(key.ptr, key.len, seq_out);
}

enum tl_err tl_timeline_floor(struct tl_engine *engine, const struct tl_snapshot *snapshot,
                              struct tl_partition timeline, uint64_t *floor_out)
{
	char *value;
	size_t len;
	enum tl_err err = tl_engine_get(engine, snapshot, timeline, floor_key, &value, &len);
	if (err == TL_NOT_FOUND) {
		*floor_out = 0;
		return TL_OK;
	}
	if (err != TL_OK)
		return err;
	struct tl_reader reader = tl_reader(tl_slice(value, len));
	bool ok = tl_reader_uint(&reader, floor_out);
	free(value);
	return ok ? TL_OK : TL_CORRUPT;
}

static enum tl_err copy_out(struct tl_slice from, char **copy_out, size_t *len_out)
{
	char *copy = malloc(from.len + 1);
	if (!copy)
		return TL_NO_MEMORY;
	memcpy(copy, from.ptr, from.len);
	*copy_out = copy;
	*len_out = from.len;
	return TL_OK;
}

/* The last entry, if the partition holds any: the empty key alone means that everything was dropped. */
static enum tl_err read_head(struct tl_iter *iter, uint64_t *head_out, char **last_out, size_t *last_len_out)
{
	if (!tl_iter_seek_last(iter) || tl_iter_key(iter).len == 0)
		return tl_iter_error(iter);
	uint64_t seq;
	if (!seq_of(tl_iter_key(iter), &seq))
		return TL_CORRUPT;
	if (last_out) {
		enum tl_err err = copy_out(tl_iter_value(iter), last_out, last_len_out);
		if (err != TL_OK)
			return err;
	}
	*head_out = seq;
	return TL_OK;
}

enum tl_err tl_timeline_bounds(struct tl_engine *engine, const struct tl_snapshot *snapshot, struct tl_iter *iter,
                               struct tl_partition timeline, struct tl_bounds *bounds_out, char **last_out,
                               size_t *last_len_out)
{
	struct tl_iter *made = NULL;
	struct tl_bounds bounds = {0, 0};
	char *last = NULL;
	size_t last_len = 0;
	enum tl_err err;

	if (iter)
		tl_iter_retarget(iter, timeline);
	else if ((err = tl_iter_new(engine, snapshot, timeline, true, &made)) != TL_OK)
		return err;
	err = read_head(iter ? iter : made, &bounds.head, last_out ? &last : NULL, &last_len);
	if (err == TL_OK)
		err = tl_timeline_floor(engine, snapshot, timeline, &bounds.floor);
	tl_iter_free(made);
	if (err != TL_OK) {
		free(last);
		return err;
	}
	if (bounds.head < bounds.floor)
		bounds.head = bounds.floor;
	*bounds_out = bounds;
	if (last_out) {
		*last_out = last;
		*last_len_out = last_len;
	}
	return TL_OK;
}

void tl_timeline_put_floor(struct tl_batch *batch, struct tl_partition timeline, uint64_t floor)
{
	struct tl_pack pack;
	tl_pack_init(&pack);
	tl_pack_uint(&pack, floor);
	if (pack.failed)
		tl_batch_fail(batch);
	tl_batch_put(batch, timeline, floor_key, tl_pack_bytes(&pack));
	tl_pack_fini(&pack);
}

void tl_timeline_put(struct tl_batch *batch, struct tl_partition timeline, uint64_t seq, struct tl_slice entry)
{
	KEY(key, seq);
	tl_batch_put(batch, timeline, key.slice, entry);
}

enum tl_err tl_timeline_get(struct tl_engine *engine, const struct tl_snapshot *snapshot, struct tl_partition timeline,
                            uint64_t seq, char **entry_out, size_t *len_out)
{
	KEY(key, seq);
	return tl_engine_get(engine, snapshot, timeline, key.slice, entry_out, len_out);
}

static bool load(struct tl_cursor *cursor, bool there)
{
	if (!there || !seq_of(tl_iter_key(cursor->iter), &cursor->seq))
		return false;
	cursor->entry = tl_iter_value(cursor->iter);
	return true;
}

bool tl_cursor_seek(struct tl_cursor *cursor, struct tl_iter *iter, struct tl_partition timeline, uint64_t seq)
{
	KEY(key, seq);
	cursor->iter = iter;
	tl_iter_retarget(iter, timeline);
	return load(cursor, tl_iter_seek(iter, key.slice));
}

bool tl_cursor_next(struct tl_cursor *cursor)
{
	return load(cursor, tl_iter_next(cursor->iter));
}
