/* Fuzzes the decoders of what lies in the database and in the queue with arbitrary bytes. The first byte chooses the decoder, the
 * rest is the record. Invariants:
 *   - what is decoded encodes to a record that decodes, and that to the same bytes (a fixed point);
 *   - a slice that was decoded lies within the record;
 *   - what a message is made into is one, and is well-formed where that was; postings are ascending. */
#include "index_chunk.h"
#include "index_directory.h"
#include "message.h"
#include "records.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DEPTH = 64 };

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void require_within(struct tl_slice part, struct tl_slice bytes)
{
	const unsigned char *begin = bytes.ptr, *at = part.ptr;
	require(part.len == 0 || (at >= begin && part.len <= bytes.len && (size_t)(at - begin) <= bytes.len - part.len));
}

/* Decodes a record and packs it anew; false if it is none. */
typedef bool (*recode_function)(struct tl_slice bytes, struct tl_pack *pack);

/* --- records whose slices, if any, are named --- */

#define RECODE(name, ...)                                                                                              \
	static bool recode_##name(struct tl_slice bytes, struct tl_pack *pack)                                             \
	{                                                                                                                  \
		struct tl_##name record;                                                                                       \
		if (!tl_##name##_unpack(bytes, &record))                                                                       \
			return false;                                                                                              \
		const struct tl_slice parts[] = {{NULL, 0}, __VA_ARGS__};                                                      \
		for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)                                                    \
			require_within(parts[i], bytes);                                                                           \
		tl_##name##_pack(pack, &record);                                                                               \
		return true;                                                                                                   \
	}

RECODE(run_record, record.boot)
RECODE(store_record, record.message)
RECODE(user_record, record.uid)
RECODE(conversation_name, {NULL, 0})
RECODE(conversation_record, record.cid, record.name, record.owner, record.retention)
RECODE(member_record, {NULL, 0})
RECODE(former_record, {NULL, 0})
RECODE(backlog_record, {NULL, 0})
RECODE(dedup_record, {NULL, 0})
RECODE(dedup_list, {NULL, 0})
RECODE(device_record, {NULL, 0})
RECODE(directory, {NULL, 0})

/* --- the others --- */

/* Entries one behind the other, up to what is none. */
static bool recode_inbox_entries(struct tl_slice bytes, struct tl_pack *pack)
{
	struct tl_reader reader = tl_reader(bytes);
	struct tl_inbox_entry entry;
	bool any = false;
	for (; tl_inbox_entry_read(&reader, &entry); any = true) {
		require_within(entry.message, bytes);
		tl_inbox_entry_pack(pack, &entry);
	}
	return any;
}

static bool recode_pair_key(struct tl_slice bytes, struct tl_pack *pack)
{
	struct tl_pair_key key;
	uint64_t first, second;
	if (!tl_pair_key_parse(bytes, &first, &second))
		return false;
	tl_pack_raw(pack, tl_pair_key(&key, first, second));
	return true;
}

static bool recode_ingest_record(struct tl_slice bytes, struct tl_pack *pack)
{
	struct tl_ingest_record record;
	if (!tl_ingest_record_unpack(bytes, &record))
		return false;
	const struct tl_slice parts[] = {record.route, record.user, record.device, record.target, record.id, record.payload};
	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
		require_within(parts[i], bytes);
	tl_ingest_record_pack_head(pack, &record);
	tl_pack_raw(pack, record.payload);
	return true;
}

/* Nothing to be encoded. */
static bool read_chunk(struct tl_slice bytes, struct tl_pack *pack)
{
	struct tl_chunk_reader reader;
	(void)pack;
	if (!tl_chunk_open(&reader, bytes))
		return false;
	while (tl_chunk_next(&reader)) {
		struct tl_offsets offsets = tl_offsets(reader.list);
		uint64_t next = 0;
		require(reader.term.len <= TL_INDEX_TERM_MAX);
		require_within(reader.list, bytes);
		for (; tl_offsets_next(&offsets); next = offsets.value + 1)
			require(offsets.value >= next);
	}
	return false;
}

/* Where `done` says that something was made of a message: of that the view is sound. */
static void check_made(struct tl_pack *made, bool done)
{
	struct tl_message_view view;
	require(!done || tl_message_view(tl_pack_bytes(made), &view));
	tl_pack_clear(made);
}

static bool change_message(struct tl_slice bytes, struct tl_pack *pack)
{
	struct tl_message_view view;
	struct tl_pack made;
	struct tl_slice body;
	if (!tl_message_view(bytes, &view))
		return false;
	const struct tl_slice parts[] = {view.from, view.type, view.ctype, view.body, view.event};
	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
		require_within(parts[i], bytes);
	require(tl_message_body(bytes, &body) == view.has_body);
	tl_pack_init(&made);
	check_made(&made, tl_message_edit(&made, bytes, tl_slice_str("body")));
	check_made(&made, tl_message_recall(&made, bytes));
	check_made(&made, tl_message_cut(&made, bytes, tl_slice_str("b")));
	check_made(&made, tl_message_strip_event(&made, bytes));
	check_made(&made, tl_message_expire(&made, bytes));
	if (tl_message_show(&made, 1, tl_slice_str("c"), 2, bytes))
		require(tl_msgpack_check(bytes, DEPTH, NULL) || !tl_msgpack_check(tl_pack_bytes(&made), DEPTH, NULL));
	tl_pack_fini(&made);
	(void)pack;
	return false;
}

static const recode_function recoders[] = {
	recode_run_record,    recode_store_record,  recode_user_record,  recode_conversation_name, recode_conversation_record,
	recode_member_record, recode_former_record, recode_backlog_record, recode_dedup_record,    recode_dedup_list,
	recode_device_record, recode_directory,     recode_inbox_entries, recode_pair_key,         recode_ingest_record,
	read_chunk,           change_message,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tl_pack once, again;
	if (!size)
		return 0;
	recode_function recode = recoders[data[0] % (sizeof recoders / sizeof recoders[0])];
	tl_pack_init(&once);
	tl_pack_init(&again);
	if (recode(tl_slice(data + 1, size - 1), &once)) {
		require(recode(tl_pack_bytes(&once), &again));
		require(tl_slice_equal(tl_pack_bytes(&once), tl_pack_bytes(&again)));
	}
	tl_pack_fini(&once);
	tl_pack_fini(&again);
	return 0;
}
