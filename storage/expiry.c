#include "expiry.h"

#include "message.h"
#include "params.h"
#include "store_reader.h"

#include <stdlib.h>

/* A timeline as of a view. */
struct timeline {
	/* When the entry `seq` came into being. TL_CORRUPT where it is missing. */
	enum tl_err (*ts_at)(const struct timeline *timeline, uint64_t seq, uint64_t *ts_out);
	uint64_t no;
	struct tl_iter *iter;               /* of an inbox */
	struct tl_engine *engine;           /* of a store timeline … */
	const struct tl_snapshot *snapshot; /* … and on which view */
};

bool tl_expired(uint64_t ts, uint64_t ttl_ms, uint64_t now)
{
	return ttl_ms > 0 && now >= ts && now - ts >= ttl_ms;
}

uint64_t tl_retention_ms(const struct tl_conversation_record *record, const struct tl_limits *limits)
{
	uint64_t retention_ms;
	if (record->retention.len == 0)
		return limits->retention_ms;
	return tl_duration_parse(record->retention, &retention_ms) ? retention_ms : 0;
}

static enum tl_err inbox_ts(const struct timeline *timeline, uint64_t seq, uint64_t *ts_out)
{
	return tl_inbox_entry_ts(timeline->iter, timeline->no, seq, ts_out);
}

/* One that cannot be read has not expired before the next that can be, if any of the next ones can. */
static enum tl_err store_ts(const struct timeline *timeline, uint64_t seq, uint64_t *ts_out)
{
	struct tl_store_record record;
	*ts_out = UINT64_MAX;
	for (unsigned i = 0; i < TL_DAMAGE_MAX; i++) {
		char *bytes = NULL;
		size_t len;
		enum tl_err err = tl_timeline_get(timeline->engine, timeline->snapshot, tl_partition(TL_PART_STORE, timeline->no),
		                                  seq + i, &bytes, &len);
		bool sound = err == TL_OK && tl_store_record_unpack(tl_slice(bytes, len), &record);
		if (sound)
			*ts_out = tl_message_ts(record.message);
		free(bytes);
		if (err == TL_NOT_FOUND)
			return i == 0 ? TL_CORRUPT : TL_OK;
		if (sound || (err != TL_OK && err != TL_CORRUPT))
			return err;
	}
	return TL_OK;
}

enum tl_err tl_inbox_entry_ts(struct tl_iter *iter, uint64_t user_no, uint64_t seq, uint64_t *ts_out)
{
	struct tl_inbox_cursor cursor;
	enum tl_err err = tl_inbox_seek(&cursor, iter, user_no, seq);
	if (err == TL_END || (err == TL_OK && cursor.seq != seq))
		return TL_CORRUPT;
	if (err == TL_OK)
		*ts_out = cursor.entry.ts;
	return err;
}

enum tl_err tl_store_entry_ts(struct tl_engine *engine, const struct tl_snapshot *snapshot, uint64_t conversation_no,
                              uint64_t seq, uint64_t *ts_out)
{
	struct tl_store_record record;
	char *bytes;
	size_t len;
	enum tl_err err =
		tl_timeline_get(engine, snapshot, tl_partition(TL_PART_STORE, conversation_no), seq, &bytes, &len);
	if (err != TL_OK)
		return err == TL_NOT_FOUND ? TL_CORRUPT : err;
	bool ok = tl_store_record_unpack(tl_slice(bytes, len), &record);
	if (ok)
		*ts_out = tl_message_ts(record.message);
	free(bytes);
	return ok ? TL_OK : TL_CORRUPT;
}

/* The last expired entry of (floor, head], or `floor`. Steps that double find an expired and an unexpired one, halving
 * what is between finds the place: the cost grows with the logarithm of what has expired, not of what is there. */
static enum tl_err last_expired(const struct timeline *timeline, uint64_t floor, uint64_t head, uint64_t ttl_ms,
                                uint64_t now, uint64_t *floor_out)
{
	uint64_t low = floor, high = head + 1; /* low is expired, or the floor; high is not, or there is none */
	uint64_t step = 1, ts;
	bool doubling = true;
	while (ttl_ms > 0 && high - low > 1) {
		uint64_t at = doubling && step < high - low ? low + step : low + (high - low) / 2;
		enum tl_err err = timeline->ts_at(timeline, at, &ts);
		if (err != TL_OK)
			return err;
		if (tl_expired(ts, ttl_ms, now)) {
			low = at;
			step *= 2;
		} else {
			high = at;
			doubling = false;
		}
	}
	*floor_out = low;
	return TL_OK;
}

enum tl_err tl_inbox_floor(struct tl_iter *iter, uint64_t user_no, const struct tl_bounds *bounds,
                           const struct tl_limits *limits, uint64_t now, uint64_t *floor_out)
{
	const struct timeline timeline = {.ts_at = inbox_ts, .no = user_no, .iter = iter};
	uint64_t floor = bounds->floor;
	if (limits->inbox_max > 0 && bounds->head > limits->inbox_max && bounds->head - limits->inbox_max > floor)
		floor = bounds->head - limits->inbox_max;
	return last_expired(&timeline, floor, bounds->head, limits->inbox_ttl_ms, now, floor_out);
}

enum tl_err tl_store_floor(struct tl_engine *engine, const struct tl_snapshot *snapshot, uint64_t conversation_no,
                           const struct tl_bounds *bounds, uint64_t retention_ms, uint64_t now, uint64_t *floor_out)
{
	const struct timeline timeline = {.ts_at = store_ts, .no = conversation_no, .engine = engine, .snapshot = snapshot};
	return last_expired(&timeline, bounds->floor, bounds->head, retention_ms, now, floor_out);
}

/* The running number of an entry, and whether it counts in it itself. */
static enum tl_err read_running(struct tl_engine *engine, const struct tl_snapshot *snapshot, uint64_t conversation_no,
                                uint64_t cseq, uint64_t *running_out, bool *counts_out)
{
	struct tl_store_record record;
	char *bytes;
	size_t len;
	enum tl_err err =
		tl_timeline_get(engine, snapshot, tl_partition(TL_PART_STORE, conversation_no), cseq, &bytes, &len);
	if (err != TL_OK)
		return err;
	bool ok = tl_store_record_unpack(tl_slice(bytes, len), &record);
	if (ok) {
		*running_out = record.running;
		*counts_out = !tl_message_is_event(record.message);
	}
	free(bytes);
	return ok ? TL_OK : TL_CORRUPT;
}

enum tl_err tl_store_running(struct tl_engine *engine, const struct tl_snapshot *snapshot, uint64_t conversation_no,
                             uint64_t cseq, uint64_t *running_out)
{
	bool counts;
	enum tl_err err = read_running(engine, snapshot, conversation_no, cseq, running_out, &counts);
	if (err != TL_NOT_FOUND || cseq == UINT64_MAX)
		return err;
	/* The floor's own entry has been dropped: the next one tells what was before it. */
	err = read_running(engine, snapshot, conversation_no, cseq + 1, running_out, &counts);
	if (err == TL_OK && counts)
		--*running_out;
	return err;
}

enum tl_err tl_store_unread(struct tl_engine *engine, const struct tl_snapshot *snapshot, uint64_t conversation_no,
                            uint64_t floor, uint64_t running, const struct tl_member_record *member,
                            uint64_t *unread_out)
{
	uint64_t from = member->seen_running, at_floor;
	if (member->seen < floor) {
		enum tl_err err = tl_store_running(engine, snapshot, conversation_no, floor, &at_floor);
		if (err == TL_NOT_FOUND)
			return TL_CORRUPT;
		if (err != TL_OK && err != TL_CORRUPT)
			return err;
		if (err == TL_OK && at_floor > from)
			from = at_floor;
	}
	*unread_out = running > from ? running - from : 0;
	return TL_OK;
}
