#include "message.h"

#include "msgpack_reader.h"

/* The head of every kept message: the head of a fixmap that is not empty, "ts", the head of a uint64. */
enum {
	TS_AT = 5, /* offset of the eight bytes of the time */
	TS_END = TS_AT + 8,
	TYPE_WITHIN = 512, /* where the type's pair ends at the latest: before it are numbers, an id and two names */
};

static uint32_t count_pairs(const struct tl_message *m)
{
	return 6U + m->has_time + m->has_order + (m->ctype.len > 0) + (m->props_count > 0);
}

void tl_message_pack(struct tl_pack *pack, const struct tl_message *m)
{
	tl_pack_map(pack, count_pairs(m));
	tl_pack_cstr(pack, "ts");
	tl_pack_uint64_fixed(pack, m->ts);
	tl_pack_cstr(pack, "id");
	tl_pack_str(pack, m->id);
	tl_pack_cstr(pack, "from");
	tl_pack_str(pack, m->from);
	tl_pack_cstr(pack, "device");
	tl_pack_str(pack, m->device);
	if (m->has_time) {
		tl_pack_cstr(pack, "time");
		tl_pack_uint(pack, m->time);
	}
	if (m->has_order) {
		tl_pack_cstr(pack, "order");
		tl_pack_uint(pack, m->order);
	}
	tl_pack_cstr(pack, "type");
	tl_pack_str(pack, m->type);
	if (m->ctype.len > 0) {
		tl_pack_cstr(pack, "ctype");
		tl_pack_str(pack, m->ctype);
	}
	if (m->props_count > 0) {
		tl_pack_cstr(pack, "props");
		tl_pack_map(pack, m->props_count);
		tl_pack_raw(pack, m->props);
	}
	if (m->event.len > 0) {
		tl_pack_cstr(pack, "event");
		tl_pack_raw(pack, m->event);
	} else {
		tl_pack_cstr(pack, "body");
		tl_pack_bin_head(pack, m->body_len);
	}
}

static bool has_ts(struct tl_slice message)
{
	const unsigned char *p = message.ptr;
	return message.len >= TS_END && p[0] > 0x80 && p[0] <= 0x8f && memcmp(p + 1, "\xa2ts\xcf", 4) == 0;
}

uint64_t tl_message_ts(struct tl_slice message)
{
	const unsigned char *p = message.ptr;
	uint64_t ts = 0;
	if (has_ts(message))
		for (int i = TS_AT; i < TS_END; i++)
			ts = ts << 8 | p[i];
	return ts;
}

bool tl_message_set_ts(char *message, size_t len, uint64_t ts)
{
	if (!has_ts(tl_slice(message, len)))
		return false;
	for (int i = 0; i < 8; i++)
		message[TS_AT + i] = (char)(unsigned char)(ts >> (8 * (7 - i)));
	return true;
}

bool tl_message_pairs(struct tl_slice message, struct tl_slice *pairs_out, uint32_t *count_out)
{
	struct tl_reader reader = tl_reader(message);
	if (!has_ts(message) || !tl_reader_map(&reader, count_out))
		return false;
	const unsigned char *begin = reader.next;
	for (uint32_t i = 0; i < 2 * *count_out; i++)
		if (!tl_reader_skip(&reader))
			return false;
	*pairs_out = tl_slice(begin, (size_t)(reader.next - begin));
	return true;
}

static void show_place(struct tl_pack *pack, uint32_t more_pairs, uint64_t seq, struct tl_slice cid, uint64_t cseq)
{
	tl_pack_map(pack, more_pairs + (seq > 0) + (cid.len > 0) + (cseq > 0));
	if (seq) {
		tl_pack_cstr(pack, "seq");
		tl_pack_uint(pack, seq);
	}
	if (cid.len > 0) {
		tl_pack_cstr(pack, "conv");
		tl_pack_str(pack, cid);
	}
	if (cseq > 0) {
		tl_pack_cstr(pack, "cseq");
		tl_pack_uint(pack, cseq);
	}
}

bool tl_message_show_more(struct tl_pack *pack, uint64_t seq, struct tl_slice cid, uint64_t cseq, struct tl_slice message,
                          struct tl_slice more, uint32_t more_count)
{
	struct tl_slice pairs;
	uint32_t count;
	if (!tl_message_pairs(message, &pairs, &count))
		return false;
	show_place(pack, count + more_count, seq, cid, cseq);
	tl_pack_raw(pack, pairs);
	if (more_count > 0)
		tl_pack_raw(pack, more);
	return true;
}

bool tl_message_show(struct tl_pack *pack, uint64_t seq, struct tl_slice cid, uint64_t cseq, struct tl_slice message)
{
	return tl_message_show_more(pack, seq, cid, cseq, message, tl_slice("", 0), 0);
}

void tl_message_show_gone(struct tl_pack *pack, uint64_t seq, struct tl_slice cid, uint64_t cseq, const char *gone)
{
	show_place(pack, 1, seq, cid, cseq);
	tl_pack_cstr(pack, "gone");
	tl_pack_cstr(pack, gone);
}

struct tl_slice tl_message_str(struct tl_slice message, const char *key)
{
	struct tl_reader value;
	struct tl_slice text;
	if (tl_msgpack_find(message, key, &value) && tl_reader_str(&value, &text))
		return text;
	return tl_slice("", 0);
}

bool tl_message_body(struct tl_slice message, struct tl_slice *body_out)
{
	struct tl_reader value;
	return tl_msgpack_find(message, "body", &value) && tl_reader_bin(&value, body_out);
}

/* Where the value of a key goes, NULL for one that is passed over. The lengths of those wanted differ from those of
 * most others, so this is quick. */
static struct tl_slice *text_of(struct tl_message_view *view, struct tl_slice key)
{
	if (key.len == 4 && memcmp(key.ptr, "from", 4) == 0)
		return &view->from;
	if (key.len == 4 && memcmp(key.ptr, "type", 4) == 0)
		return &view->type;
	if (key.len == 5 && memcmp(key.ptr, "ctype", 5) == 0)
		return &view->ctype;
	return NULL;
}

static bool view_pair(struct tl_reader *reader, struct tl_message_view *view)
{
	struct tl_slice key;
	if (!tl_reader_str(reader, &key))
		return false;
	struct tl_slice *text = text_of(view, key);
	if (text)
		return tl_reader_str(reader, text);
	if (key.len == 4 && memcmp(key.ptr, "body", 4) == 0) {
		view->has_body = true;
		return tl_reader_bin(reader, &view->body);
	}
	const unsigned char *begin = reader->next;
	if (!tl_reader_skip(reader))
		return false;
	if (key.len == 5 && memcmp(key.ptr, "event", 5) == 0)
		view->event = tl_slice(begin, (size_t)(reader->next - begin));
	return true;
}

bool tl_message_view(struct tl_slice message, struct tl_message_view *view_out)
{
	struct tl_reader reader = tl_reader(message);
	uint32_t count;
	*view_out = (struct tl_message_view){.ts = tl_message_ts(message)};
	if (!has_ts(message) || !tl_reader_map(&reader, &count))
		return false;
	for (uint32_t i = 0; i < count; i++)
		if (!view_pair(&reader, view_out))
			return false;
	return true;
}

bool tl_message_edits(const struct tl_message_view *view, uint64_t *cseq_out)
{
	struct tl_reader value;
	struct tl_slice kind;
	return view->event.len > 0 && tl_msgpack_find(view->event, "kind", &value) && tl_reader_str(&value, &kind) &&
	       tl_slice_equal(kind, tl_slice_str("edit")) && tl_msgpack_find(view->event, "cseq", &value) &&
	       tl_reader_uint(&value, cseq_out);
}

static bool is_one_of(struct tl_slice key, const char *const *names)
{
	for (; *names; names++)
		if (tl_slice_equal(key, tl_slice_str(*names)))
			return true;
	return false;
}

/* Copies the pairs of a map but for the keys named. False if it is damaged. */
static bool copy_pairs(struct tl_pack *pack, struct tl_slice map, const char *const *without, uint32_t *pairs)
{
	struct tl_reader reader = tl_reader(map);
	uint32_t count;
	if (!tl_reader_map(&reader, &count))
		return false;
	for (uint32_t i = 0; i < count; i++) {
		const unsigned char *begin = reader.next;
		struct tl_slice key;
		if (!tl_reader_str(&reader, &key) || !tl_reader_skip(&reader))
			return false;
		if (is_one_of(key, without))
			continue;
		tl_pack_raw(pack, tl_slice(begin, (size_t)(reader.next - begin)));
		++*pairs;
	}
	return true;
}

/* The head of a kept message is one byte long, whatever is in it: there are never more than fifteen pairs (M1). */
static bool rewrite(struct tl_pack *pack, struct tl_slice message, const char *const *without, uint32_t *pairs)
{
	tl_pack_map(pack, 0);
	return has_ts(message) && copy_pairs(pack, message, without, pairs) && !pack->failed;
}

static bool set_head(struct tl_pack *pack, size_t head_at, uint32_t pairs)
{
	if (pack->failed || pairs > 15)
		return false;
	pack->buffer.data[head_at] = (char)(unsigned char)(0x80 | pairs);
	return true;
}

static bool replace_body(struct tl_pack *pack, struct tl_slice message, struct tl_slice body, bool edited)
{
	static const char *const both[] = {"body", "edited", NULL}, *const only[] = {"body", NULL};
	size_t head_at = pack->buffer.size;
	uint32_t pairs = edited ? 2 : 1;
	if (!rewrite(pack, message, edited ? both : only, &pairs))
		return false;
	if (edited) {
		tl_pack_cstr(pack, "edited");
		tl_pack_bool(pack, true);
	}
	tl_pack_cstr(pack, "body");
	tl_pack_bin(pack, body);
	return set_head(pack, head_at, pairs);
}

bool tl_message_edit(struct tl_pack *pack, struct tl_slice message, struct tl_slice body)
{
	return replace_body(pack, message, body, true);
}

bool tl_message_cut(struct tl_pack *pack, struct tl_slice message, struct tl_slice body)
{
	return replace_body(pack, message, body, false);
}

bool tl_message_recall(struct tl_pack *pack, struct tl_slice message)
{
	static const char *const dropped[] = {"edited", "ctype", "props", "body", "gone", NULL};
	size_t head_at = pack->buffer.size;
	uint32_t pairs = 1;
	if (!rewrite(pack, message, dropped, &pairs))
		return false;
	tl_pack_cstr(pack, "gone");
	tl_pack_cstr(pack, "recalled");
	return set_head(pack, head_at, pairs);
}

/* Whether a message may be an event, at a fraction of what looking through its pairs costs: the type is packed in one way
 * only, and before everything that may be long. */
static bool may_be_event(struct tl_slice message)
{
	static const char type[] = "\xa4type\xa5" "event";
	return memmem(message.ptr, message.len < TYPE_WITHIN ? message.len : TYPE_WITHIN, type, sizeof type - 1) != NULL;
}

bool tl_message_edit_target(struct tl_slice message, uint64_t *cseq_out)
{
	struct tl_reader event, value;
	if (!may_be_event(message) || !tl_msgpack_find(message, "event", &event))
		return false;
	struct tl_slice map = tl_slice(event.next, (size_t)(event.end - event.next));
	return tl_msgpack_find(map, "body", &value) && tl_msgpack_find(map, "cseq", &value) &&
	       tl_reader_uint(&value, cseq_out);
}

bool tl_message_expire(struct tl_pack *pack, struct tl_slice message)
{
	if (!has_ts(message))
		return false;
	tl_pack_map(pack, 2);
	tl_pack_cstr(pack, "ts");
	tl_pack_uint64_fixed(pack, tl_message_ts(message));
	tl_pack_cstr(pack, "gone");
	tl_pack_cstr(pack, "expired");
	return !pack->failed;
}

bool tl_message_is_event(struct tl_slice message)
{
	struct tl_reader event;
	return tl_msgpack_find(message, "event", &event);
}

uint64_t tl_message_order(struct tl_slice message)
{
	struct tl_reader value;
	uint64_t order;
	return tl_msgpack_find(message, "order", &value) && tl_reader_uint(&value, &order) ? order : 0;
}

bool tl_message_strip_event(struct tl_pack *pack, struct tl_slice message)
{
	static const char *const event_key[] = {"event", NULL}, *const body_key[] = {"body", NULL};
	struct tl_reader event;
	size_t head_at = pack->buffer.size;
	uint32_t pairs = 1, event_pairs = 0;
	if (!tl_msgpack_find(message, "event", &event) || !rewrite(pack, message, event_key, &pairs))
		return false;
	tl_pack_cstr(pack, "event");
	struct tl_pack_open open = tl_pack_map_begin(pack);
	if (!copy_pairs(pack, tl_slice(event.next, (size_t)(event.end - event.next)), body_key, &event_pairs))
		return false;
	tl_pack_map_end(pack, open, event_pairs);
	return set_head(pack, head_at, pairs);
}
