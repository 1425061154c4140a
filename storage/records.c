#include "records.h"

#include "msgpack_reader.h"
#include "ordered_int.h"
#include "varint.h"

#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

const char *const tl_conversation_kinds[] = {"direct", "group", "channel", NULL};
const char *const tl_histories[] = {"all", "joined", NULL};
const char *const tl_joins[] = {"invite", "open", NULL};
const char *const tl_posts[] = {"members", "admins", NULL};
const char *const tl_orders[] = {"server", "custom", NULL};
const char *const tl_fanouts[] = {"auto", "write", "read", NULL};
const char *const tl_roles[] = {"member", "admin", "muted", NULL};

int tl_choice(const char *const *names, struct tl_slice name)
{
	for (int i = 0; names[i]; i++)
		if (tl_slice_equal(tl_slice_str(names[i]), name))
			return i;
	return -1;
}

/* Records are arrays; one that is longer than this program knows comes from a later minor version and is read as far
 * as it is understood. */
static bool open_array(struct tl_reader *reader, uint32_t at_least)
{
	uint32_t count;
	return tl_reader_array(reader, &count) && count >= at_least;
}

void tl_run_record_pack(struct tl_pack *pack, const struct tl_run_record *record)
{
	tl_pack_array(pack, 3);
	tl_pack_uint(pack, record->durability);
	tl_pack_str(pack, record->boot);
	tl_pack_bool(pack, record->closed);
}

bool tl_run_record_unpack(struct tl_slice bytes, struct tl_run_record *record_out)
{
	struct tl_reader reader = tl_reader(bytes);
	return open_array(&reader, 3) && tl_reader_uint(&reader, &record_out->durability) &&
	       tl_reader_str(&reader, &record_out->boot) && tl_reader_bool(&reader, &record_out->closed);
}

void tl_last_sends_note(struct tl_last_sends *sends, uint64_t user_no, uint64_t cseq, uint64_t running)
{
	if (sends->user_no != user_no) {
		sends->other_cseq = sends->cseq;
		sends->other_running = sends->running;
	}
	sends->user_no = user_no;
	sends->cseq = cseq;
	sends->running = running;
}

void tl_last_sends_apply(const struct tl_last_sends *sends, uint64_t user_no, struct tl_member_record *member)
{
	bool last = sends->user_no == user_no;
	uint64_t cseq = last ? sends->cseq : sends->other_cseq;
	if (sends->user_no == 0 || cseq <= member->seen)
		return;
	member->seen = cseq;
	member->seen_running = last ? sends->running : sends->other_running;
}

static void pack_sends(struct tl_pack *pack, const struct tl_last_sends *sends)
{
	tl_pack_uint(pack, sends->user_no);
	tl_pack_uint(pack, sends->cseq);
	tl_pack_uint(pack, sends->running);
	tl_pack_uint(pack, sends->other_cseq);
	tl_pack_uint(pack, sends->other_running);
}

static bool read_sends(struct tl_reader *reader, struct tl_last_sends *sends)
{
	return tl_reader_uint(reader, &sends->user_no) && tl_reader_uint(reader, &sends->cseq) &&
	       tl_reader_uint(reader, &sends->running) && tl_reader_uint(reader, &sends->other_cseq) &&
	       tl_reader_uint(reader, &sends->other_running);
}

void tl_store_record_pack(struct tl_pack *pack, const struct tl_store_record *record)
{
	bool direct = record->sends.user_no > 0;
	tl_pack_array(pack, direct ? 9 : 4);
	tl_pack_uint(pack, record->position);
	tl_pack_uint(pack, record->running);
	tl_pack_uint(pack, record->edit);
	if (direct)
		pack_sends(pack, &record->sends);
	tl_pack_raw(pack, record->message);
}

bool tl_store_record_unpack(struct tl_slice bytes, struct tl_store_record *record_out)
{
	struct tl_reader reader = tl_reader(bytes);
	uint32_t count;
	if (!tl_reader_array(&reader, &count) || count < 4 || !tl_reader_uint(&reader, &record_out->position) ||
	    !tl_reader_uint(&reader, &record_out->running) || !tl_reader_uint(&reader, &record_out->edit))
		return false;
	record_out->sends = (struct tl_last_sends){0};
	if (count >= 9 && !read_sends(&reader, &record_out->sends))
		return false;
	record_out->message = tl_slice(reader.next, (size_t)(reader.end - reader.next));
	return record_out->message.len > 0;
}

static void pack_varint(struct tl_pack *pack, uint64_t value)
{
	unsigned char bytes[TL_VARINT_MAX];
	tl_pack_raw(pack, tl_slice(bytes, tl_varint_put(bytes, value)));
}

static bool read_varint(struct tl_reader *reader, uint64_t *value_out)
{
	return tl_varint_get(&reader->next, reader->end, value_out);
}

void tl_inbox_entry_pack(struct tl_pack *pack, const struct tl_inbox_entry *entry)
{
	unsigned char bytes[4 * TL_VARINT_MAX];
	size_t len = tl_varint_put(bytes, entry->conversation_no);
	len += tl_varint_put(bytes + len, entry->cseq);
	len += tl_varint_put(bytes + len, entry->ts);
	len += tl_varint_put(bytes + len, entry->position);
	tl_pack_raw(pack, tl_slice(bytes, len));
	if (entry->cseq > 0)
		return;
	pack_varint(pack, entry->message.len);
	tl_pack_raw(pack, entry->message);
}

bool tl_inbox_entry_read(struct tl_reader *reader, struct tl_inbox_entry *entry_out)
{
	struct tl_reader ahead = *reader;
	struct tl_inbox_entry entry = {0};
	uint64_t len = 0;
	if (!read_varint(&ahead, &entry.conversation_no) || !read_varint(&ahead, &entry.cseq) ||
	    !read_varint(&ahead, &entry.ts) || !read_varint(&ahead, &entry.position) ||
	    (entry.cseq == 0 && (!read_varint(&ahead, &len) || len > (size_t)(ahead.end - ahead.next))))
		return false;
	if (entry.cseq == 0)
		entry.message = tl_slice(ahead.next, (size_t)len);
	ahead.next += len;
	*reader = ahead;
	*entry_out = entry;
	return true;
}

void tl_user_record_pack(struct tl_pack *pack, const struct tl_user_record *record)
{
	tl_pack_array(pack, record->ended > 0 ? 4 : 3);
	tl_pack_str(pack, record->uid);
	tl_pack_uint(pack, record->groups);
	tl_pack_uint(pack, record->position);
	if (record->ended > 0)
		tl_pack_uint(pack, record->ended);
}

bool tl_user_record_unpack(struct tl_slice bytes, struct tl_user_record *record_out)
{
	struct tl_reader reader = tl_reader(bytes);
	uint32_t count;
	record_out->ended = 0;
	return tl_reader_array(&reader, &count) && count >= 3 && tl_reader_str(&reader, &record_out->uid) &&
	       tl_reader_uint(&reader, &record_out->groups) && tl_reader_uint(&reader, &record_out->position) &&
	       (count == 3 || tl_reader_uint(&reader, &record_out->ended));
}

void tl_conversation_name_pack(struct tl_pack *pack, const struct tl_conversation_name *name)
{
	if (name->users[0] == 0) {
		tl_pack_uint(pack, name->no);
		return;
	}
	tl_pack_array(pack, 5);
	tl_pack_uint(pack, name->no);
	for (size_t i = 0; i < 2; i++) {
		tl_pack_uint(pack, name->users[i]);
		tl_pack_uint(pack, name->muted[i]);
	}
}

static bool read_named_user(struct tl_reader *reader, struct tl_conversation_name *name, size_t i)
{
	uint64_t muted;
	if (!tl_reader_uint(reader, &name->users[i]) || !tl_reader_uint(reader, &muted))
		return false;
	name->muted[i] = muted != 0;
	return true;
}

bool tl_conversation_name_unpack(struct tl_slice bytes, struct tl_conversation_name *name_out)
{
	struct tl_reader reader = tl_reader(bytes), alone = reader;
	struct tl_conversation_name name = {0};
	if (tl_reader_uint(&alone, &name.no)) {
		*name_out = name;
		return true;
	}
	if (!open_array(&reader, 5) || !tl_reader_uint(&reader, &name.no) || !read_named_user(&reader, &name, 0) ||
	    !read_named_user(&reader, &name, 1))
		return false;
	*name_out = name;
	return true;
}

void tl_conversation_record_pack(struct tl_pack *pack, const struct tl_conversation_record *record)
{
	tl_pack_array(pack, 15);
	tl_pack_str(pack, record->cid);
	tl_pack_uint(pack, record->kind);
	tl_pack_str(pack, record->name);
	tl_pack_str(pack, record->owner);
	tl_pack_uint(pack, record->history);
	tl_pack_uint(pack, record->join);
	tl_pack_uint(pack, record->post);
	tl_pack_uint(pack, record->order);
	tl_pack_uint(pack, record->fanout);
	tl_pack_str(pack, record->retention);
	tl_pack_uint(pack, record->created_by);
	tl_pack_uint(pack, record->member_count);
	tl_pack_bool(pack, record->dissolved);
	tl_pack_bool(pack, record->on_read);
	tl_pack_bool(pack, record->no_index);
}

/* A choice with fewer than `limit` alternatives. */
static bool read_choice(struct tl_reader *reader, uint64_t limit, uint8_t *value_out)
{
	uint64_t value;
	if (!tl_reader_uint(reader, &value) || value >= limit)
		return false;
	*value_out = (uint8_t)value;
	return true;
}

bool tl_conversation_record_unpack(struct tl_slice bytes, struct tl_conversation_record *record_out)
{
	struct tl_reader reader = tl_reader(bytes);
	return open_array(&reader, 15) && tl_reader_str(&reader, &record_out->cid) &&
	       read_choice(&reader, TL_CHANNEL + 1, &record_out->kind) && tl_reader_str(&reader, &record_out->name) &&
	       tl_reader_str(&reader, &record_out->owner) &&
	       read_choice(&reader, TL_HISTORY_JOINED + 1, &record_out->history) &&
	       read_choice(&reader, TL_JOIN_OPEN + 1, &record_out->join) &&
	       read_choice(&reader, TL_POST_ADMINS + 1, &record_out->post) &&
	       read_choice(&reader, TL_ORDER_CUSTOM + 1, &record_out->order) &&
	       read_choice(&reader, TL_FANOUT_READ + 1, &record_out->fanout) &&
	       tl_reader_str(&reader, &record_out->retention) && tl_reader_uint(&reader, &record_out->created_by) &&
	       tl_reader_uint(&reader, &record_out->member_count) &&
	       tl_reader_bool(&reader, &record_out->dissolved) && tl_reader_bool(&reader, &record_out->on_read) &&
	       tl_reader_bool(&reader, &record_out->no_index);
}

void tl_member_record_pack(struct tl_pack *pack, const struct tl_member_record *record)
{
	tl_pack_array(pack, 10);
	tl_pack_uint(pack, record->role);
	tl_pack_uint(pack, record->since);
	tl_pack_uint(pack, record->read);
	tl_pack_uint(pack, record->seen);
	tl_pack_uint(pack, record->seen_running);
	tl_pack_uint(pack, record->cleared);
	tl_pack_bool(pack, record->deleted_some);
	tl_pack_bool(pack, record->mute);
	tl_pack_bool(pack, record->pin);
	tl_pack_uint(pack, record->backlog);
}

bool tl_member_record_unpack(struct tl_slice bytes, struct tl_member_record *record_out)
{
	struct tl_reader reader = tl_reader(bytes);
	return open_array(&reader, 10) && read_choice(&reader, TL_ROLE_MUTED + 1, &record_out->role) &&
	       tl_reader_uint(&reader, &record_out->since) && tl_reader_uint(&reader, &record_out->read) &&
	       tl_reader_uint(&reader, &record_out->seen) && tl_reader_uint(&reader, &record_out->seen_running) &&
	       tl_reader_uint(&reader, &record_out->cleared) && tl_reader_bool(&reader, &record_out->deleted_some) &&
	       tl_reader_bool(&reader, &record_out->mute) && tl_reader_bool(&reader, &record_out->pin) &&
	       tl_reader_uint(&reader, &record_out->backlog);
}

static void pack_period(struct tl_pack *pack, uint64_t from, uint64_t to)
{
	tl_pack_uint(pack, from);
	tl_pack_uint(pack, to);
}

/* That the user was muted is a first period that ends before anything begins. To programs that do not know of it, it is one in
 * which nothing was seen. */
void tl_former_record_pack(struct tl_pack *pack, const struct tl_former_record *record)
{
	bool muted = record->muted && record->count > 0;
	tl_pack_array(pack, 2 + 2 * (record->count + muted));
	tl_pack_uint(pack, record->cleared);
	tl_pack_bool(pack, record->deleted_some);
	if (muted)
		pack_period(pack, record->periods[0].from, 0);
	for (uint32_t i = 0; i < record->count; i++)
		pack_period(pack, record->periods[i].from, record->periods[i].to);
}

static bool read_period(struct tl_reader *reader, struct tl_period *period_out)
{
	return tl_reader_uint(reader, &period_out->from) && tl_reader_uint(reader, &period_out->to);
}

bool tl_former_record_unpack(struct tl_slice bytes, struct tl_former_record *record_out)
{
	struct tl_reader reader = tl_reader(bytes);
	struct tl_period period;
	uint32_t count;
	if (!tl_reader_array(&reader, &count) || count < 2 || count % 2 != 0 ||
	    !tl_reader_uint(&reader, &record_out->cleared) || !tl_reader_bool(&reader, &record_out->deleted_some))
		return false;
	record_out->muted = false;
	record_out->count = 0;
	for (uint32_t i = 0; i < (count - 2) / 2; i++) {
		if (!read_period(&reader, &period) || record_out->count == TL_PERIODS_MAX)
			return false;
		if (i == 0 && period.to == 0)
			record_out->muted = true;
		else
			record_out->periods[record_out->count++] = period;
	}
	return true;
}

struct tl_slice tl_pair_key(struct tl_pair_key *key, uint64_t first, uint64_t second)
{
	key->len = tl_ordered_int_put(key->bytes, first);
	key->len += tl_ordered_int_put(key->bytes + key->len, second);
	return tl_slice(key->bytes, key->len);
}

bool tl_pair_key_parse(struct tl_slice bytes, uint64_t *first_out, uint64_t *second_out)
{
	size_t len = tl_ordered_int_get(bytes.ptr, bytes.len, first_out);
	return len > 0 &&
	       tl_ordered_int_read((const unsigned char *)bytes.ptr + len, bytes.len - len, second_out);
}

/* No user id holds a NUL. */
struct tl_slice tl_blocked_by_key(struct tl_blocked_by_key *key, struct tl_slice blocked, struct tl_slice blocker)
{
	memcpy(key->bytes, blocked.ptr, blocked.len);
	key->bytes[blocked.len] = '\0';
	memcpy(key->bytes + blocked.len + 1, blocker.ptr, blocker.len);
	return tl_slice(key->bytes, blocked.len + 1 + blocker.len);
}

void tl_dedup_hash(uint64_t secret, struct tl_slice sender, struct tl_slice id, unsigned char key_out[TL_DEDUP_KEY_BYTES])
{
	/* Neither part can hold a NUL, so one between them keeps pairs apart. */
	XXH3_state_t state;
	XXH3_INITSTATE(&state);
	XXH3_128bits_reset_withSeed(&state, secret);
	XXH3_128bits_update(&state, sender.ptr, sender.len);
	XXH3_128bits_update(&state, "", 1);
	XXH3_128bits_update(&state, id.ptr, id.len);
	XXH128_canonical_t canonical;
	XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(&state));
	_Static_assert(TL_DEDUP_KEY_BYTES <= sizeof canonical.digest, "the hash is longer");
	memcpy(key_out, canonical.digest, TL_DEDUP_KEY_BYTES);
}

static void pack_pair(struct tl_pack *pack, uint64_t first, uint64_t second)
{
	tl_pack_array(pack, 2);
	tl_pack_uint(pack, first);
	tl_pack_uint(pack, second);
}

static bool unpack_pair(struct tl_slice bytes, uint64_t *first_out, uint64_t *second_out)
{
	struct tl_reader reader = tl_reader(bytes);
	return open_array(&reader, 2) && tl_reader_uint(&reader, first_out) && tl_reader_uint(&reader, second_out);
}

void tl_dedup_record_pack(struct tl_pack *pack, const struct tl_dedup_record *record)
{
	unsigned char bytes[2 * TL_VARINT_MAX];
	size_t len = tl_varint_put(bytes, record->cseq);
	len += tl_varint_put(bytes + len, record->ts);
	tl_pack_raw(pack, tl_slice(bytes, len));
}

bool tl_dedup_record_unpack(struct tl_slice bytes, struct tl_dedup_record *record_out)
{
	struct tl_reader reader = tl_reader(bytes);
	return read_varint(&reader, &record_out->cseq) && read_varint(&reader, &record_out->ts);
}

void tl_backlog_record_pack(struct tl_pack *pack, const struct tl_backlog_record *record)
{
	pack_pair(pack, record->pulled, record->until);
}

bool tl_backlog_record_unpack(struct tl_slice bytes, struct tl_backlog_record *record_out)
{
	return unpack_pair(bytes, &record_out->pulled, &record_out->until);
}

void tl_dedup_list_pack(struct tl_pack *pack, const struct tl_dedup_list *list)
{
	tl_pack_array(pack, (uint32_t)list->count);
	for (size_t i = 0; i < list->count; i++) {
		tl_pack_array(pack, 3);
		tl_pack_uint(pack, list->buckets[i].no);
		tl_pack_uint(pack, list->buckets[i].from);
		tl_pack_uint(pack, list->buckets[i].last);
	}
}

bool tl_dedup_list_unpack(struct tl_slice bytes, struct tl_dedup_list *list_out)
{
	struct tl_reader reader = tl_reader(bytes);
	uint32_t count, fields;
	if (!tl_reader_array(&reader, &count) || count > TL_DEDUP_BUCKETS_MAX)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		struct tl_dedup_bucket *bucket = &list_out->buckets[i];
		if (!tl_reader_array(&reader, &fields) || fields != 3 || !tl_reader_uint(&reader, &bucket->no) ||
		    !tl_reader_uint(&reader, &bucket->from) || !tl_reader_uint(&reader, &bucket->last))
			return false;
	}
	list_out->count = count;
	return true;
}

void tl_device_record_pack(struct tl_pack *pack, const struct tl_device_record *record)
{
	tl_pack_array(pack, 3);
	tl_pack_uint(pack, record->checkpoint);
	tl_pack_uint(pack, record->seen);
	tl_pack_uint(pack, record->life);
}

bool tl_device_record_unpack(struct tl_slice bytes, struct tl_device_record *record_out)
{
	struct tl_reader reader = tl_reader(bytes);
	uint32_t count;
	record_out->life = 0;
	return tl_reader_array(&reader, &count) && count >= 2 && tl_reader_uint(&reader, &record_out->checkpoint) &&
	       tl_reader_uint(&reader, &record_out->seen) && (count == 2 || tl_reader_uint(&reader, &record_out->life));
}

void tl_ingest_record_pack_head(struct tl_pack *pack, const struct tl_ingest_record *record)
{
	tl_pack_array(pack, 9);
	tl_pack_uint(pack, record->kind);
	tl_pack_bool(pack, record->to_user);
	tl_pack_bin(pack, record->route);
	tl_pack_str(pack, record->user);
	tl_pack_str(pack, record->device);
	tl_pack_str(pack, record->target);
	tl_pack_str(pack, record->id);
	tl_pack_uint(pack, record->ts);
}

bool tl_ingest_record_unpack(struct tl_slice bytes, struct tl_ingest_record *record_out)
{
	struct tl_reader reader = tl_reader(bytes);
	struct tl_ingest_record record;
	uint64_t kind;
	if (!open_array(&reader, 9) || !tl_reader_uint(&reader, &kind) || kind > TL_INGEST_REQUEST ||
	    !tl_reader_bool(&reader, &record.to_user) || !tl_reader_bin(&reader, &record.route) ||
	    !tl_reader_str(&reader, &record.user) || !tl_reader_str(&reader, &record.device) ||
	    !tl_reader_str(&reader, &record.target) || !tl_reader_str(&reader, &record.id) ||
	    !tl_reader_uint(&reader, &record.ts))
		return false;
	record.kind = (enum tl_ingest_kind)kind;
	record.payload = tl_slice(reader.next, (size_t)(reader.end - reader.next));
	if (record.payload.len == 0)
		return false;
	*record_out = record;
	return true;
}
