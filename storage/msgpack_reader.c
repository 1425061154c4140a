/* Reading msgpack in place: see the header.
 *
 *   first byte          then
 *   00-7f               (the number itself)           e0-ff  (-32 … -1)
 *   80-8f 90-9f a0-bf   count or length in the byte:  map, array, str
 *   c0-df               per `forms` below: up to 8 bytes of big-endian number, which is the value, a count or a
 *                       length; ext has a type byte before its content
 *
 * (R1) Nothing is read at or after reader->end: every width and length is compared with the bytes left first.
 * (R2) A head that announces more items than bytes are left is refused, so work is linear in the bytes given.
 * (R3) A call that fails leaves the reader where it was.
 */
#include "msgpack_reader.h"

#include <string.h>
#include <unistr.h>

enum { DEPTH_MAX = 64 };

enum shape { RESERVED, NIL, BOOL, UNSIGNED, SIGNED, FLOAT, BYTES, FIXED_EXT, COUNT };

struct form {
	unsigned char shape; /* enum shape */
	unsigned char kind;  /* enum tl_kind */
	unsigned char width; /* bytes of number after the first byte */
};

static const struct form forms[32] = {
	[0x00] = {NIL, TL_KIND_NIL, 0},
	[0x01] = {RESERVED, TL_KIND_NIL, 0},
	[0x02] = {BOOL, TL_KIND_BOOL, 0},
	[0x03] = {BOOL, TL_KIND_BOOL, 0},
	[0x04] = {BYTES, TL_KIND_BIN, 1},
	[0x05] = {BYTES, TL_KIND_BIN, 2},
	[0x06] = {BYTES, TL_KIND_BIN, 4},
	[0x07] = {BYTES, TL_KIND_EXT, 1},
	[0x08] = {BYTES, TL_KIND_EXT, 2},
	[0x09] = {BYTES, TL_KIND_EXT, 4},
	[0x0a] = {FLOAT, TL_KIND_FLOAT, 4},
	[0x0b] = {FLOAT, TL_KIND_FLOAT, 8},
	[0x0c] = {UNSIGNED, TL_KIND_UINT, 1},
	[0x0d] = {UNSIGNED, TL_KIND_UINT, 2},
	[0x0e] = {UNSIGNED, TL_KIND_UINT, 4},
	[0x0f] = {UNSIGNED, TL_KIND_UINT, 8},
	[0x10] = {SIGNED, TL_KIND_INT, 1},
	[0x11] = {SIGNED, TL_KIND_INT, 2},
	[0x12] = {SIGNED, TL_KIND_INT, 4},
	[0x13] = {SIGNED, TL_KIND_INT, 8},
	[0x14] = {FIXED_EXT, TL_KIND_EXT, 0},
	[0x15] = {FIXED_EXT, TL_KIND_EXT, 0},
	[0x16] = {FIXED_EXT, TL_KIND_EXT, 0},
	[0x17] = {FIXED_EXT, TL_KIND_EXT, 0},
	[0x18] = {FIXED_EXT, TL_KIND_EXT, 0},
	[0x19] = {BYTES, TL_KIND_STR, 1},
	[0x1a] = {BYTES, TL_KIND_STR, 2},
	[0x1b] = {BYTES, TL_KIND_STR, 4},
	[0x1c] = {COUNT, TL_KIND_ARRAY, 2},
	[0x1d] = {COUNT, TL_KIND_ARRAY, 4},
	[0x1e] = {COUNT, TL_KIND_MAP, 2},
	[0x1f] = {COUNT, TL_KIND_MAP, 4},
};

static const char cut_short[] = "the data ends within an item";
static const char too_many[] = "an array or map announces more items than there are";

static size_t left(const unsigned char *at, const struct tl_reader *reader)
{
	return (size_t)(reader->end - at);
}

static uint64_t big_endian(const unsigned char *at, unsigned width)
{
	uint64_t value = 0;
	for (unsigned i = 0; i < width; i++)
		value = value << 8 | at[i];
	return value;
}

static double to_real(uint64_t bits, unsigned width)
{
	if (width == 4) {
		uint32_t narrow = (uint32_t)bits;
		float single;
		memcpy(&single, &narrow, sizeof single);
		return (double)single;
	}
	double real;
	memcpy(&real, &bits, sizeof real);
	return real;
}

/* The three that end an item; each returns NULL, or what is wrong. `at` is the first byte after the head's number. */

static const char *end_integer(struct tl_reader *reader, struct tl_item *item, const unsigned char *at, uint64_t bits,
                               unsigned width, bool is_signed)
{
	unsigned unused = 64 - width * 8;
	if (is_signed && bits >> (width * 8 - 1) & 1) {
		uint64_t extended = unused ? bits | ~UINT64_C(0) << (width * 8) : bits;
		*item = (struct tl_item){.kind = TL_KIND_INT, .sint = (int64_t)extended};
	} else {
		*item = (struct tl_item){.kind = TL_KIND_UINT, .uint = bits};
	}
	reader->next = at;
	return NULL;
}

static const char *end_bytes(struct tl_reader *reader, struct tl_item *item, const unsigned char *at, enum tl_kind kind,
                             size_t len)
{
	size_t type = kind == TL_KIND_EXT;
	if (left(at, reader) < type || left(at, reader) - type < len)
		return cut_short;
	*item = (struct tl_item){.kind = kind, .bytes = {at + type, len}};
	reader->next = at + type + len;
	return NULL;
}

static const char *end_count(struct tl_reader *reader, struct tl_item *item, const unsigned char *at, enum tl_kind kind,
                             uint32_t count)
{
	size_t most = left(at, reader) / (kind == TL_KIND_MAP ? 2 : 1);
	if (count > most)
		return too_many;
	*item = (struct tl_item){.kind = kind, .count = count};
	reader->next = at;
	return NULL;
}

static const char *take_c0_to_df(struct tl_reader *reader, struct tl_item *item)
{
	unsigned first = *reader->next;
	const unsigned char *at = reader->next + 1;
	struct form form = forms[first - 0xc0];
	enum tl_kind kind = (enum tl_kind)form.kind;
	if (left(at, reader) < form.width)
		return cut_short;
	uint64_t number = big_endian(at, form.width);
	at += form.width;
	switch ((enum shape)form.shape) {
	case UNSIGNED:
	case SIGNED:
		return end_integer(reader, item, at, number, form.width, form.shape == SIGNED);
	case BYTES:
		return end_bytes(reader, item, at, kind, (size_t)number);
	case FIXED_EXT:
		return end_bytes(reader, item, at, kind, (size_t)1 << (first - 0xd4));
	case COUNT:
		return end_count(reader, item, at, kind, (uint32_t)number);
	case NIL:
		*item = (struct tl_item){.kind = kind};
		break;
	case BOOL:
		*item = (struct tl_item){.kind = kind, .boolean = first == 0xc3};
		break;
	case FLOAT:
		*item = (struct tl_item){.kind = kind, .real = to_real(number, form.width)};
		break;
	case RESERVED:
		return "the byte c1 is reserved";
	}
	reader->next = at;
	return NULL;
}

/* Takes the next item; NULL, or what is wrong. */
static const char *take(struct tl_reader *reader, struct tl_item *item)
{
	if (reader->next == reader->end)
		return cut_short;
	unsigned first = *reader->next;
	const unsigned char *at = reader->next + 1;
	if (first < 0x80)
		return end_integer(reader, item, at, first, 1, false);
	if (first >= 0xe0)
		return end_integer(reader, item, at, first, 1, true);
	if (first >= 0xc0)
		return take_c0_to_df(reader, item);
	if (first >= 0xa0)
		return end_bytes(reader, item, at, TL_KIND_STR, first & 0x1f);
	return end_count(reader, item, at, first >= 0x90 ? TL_KIND_ARRAY : TL_KIND_MAP, first & 0x0f);
}

/* How many items follow a head and belong to it. */
static uint64_t children(const struct tl_item *item)
{
	switch (item->kind) {
	case TL_KIND_ARRAY:
		return item->count;
	case TL_KIND_MAP:
		return (uint64_t)item->count * 2;
	default:
		return 0;
	}
}

bool tl_reader_next(struct tl_reader *reader, struct tl_item *item_out)
{
	return !take(reader, item_out);
}

bool tl_reader_skip(struct tl_reader *reader)
{
	struct tl_reader ahead = *reader;
	uint64_t pending = 1;
	while (pending) {
		struct tl_item item;
		if (take(&ahead, &item))
			return false;
		pending += children(&item);
		pending--;
		/* every item takes a byte at least: stops at the first lie, and keeps the sum far from overflow */
		if (pending > left(ahead.next, &ahead))
			return false;
	}
	*reader = ahead;
	return true;
}

static bool take_kind(struct tl_reader *reader, enum tl_kind kind, struct tl_item *item)
{
	struct tl_reader ahead = *reader;
	if (take(&ahead, item) || item->kind != kind)
		return false;
	*reader = ahead;
	return true;
}

/* The first byte of what is left; one that begins nothing where nothing is. */
static inline unsigned first_byte(const struct tl_reader *reader)
{
	return reader->next < reader->end ? *reader->next : 0xc1;
}

bool tl_reader_uint(struct tl_reader *reader, uint64_t *value_out)
{
	struct tl_item item;
	unsigned first = first_byte(reader);
	if (first < 0x80) {
		*value_out = first;
		reader->next++;
		return true;
	}
	if (!take_kind(reader, TL_KIND_UINT, &item))
		return false;
	*value_out = item.uint;
	return true;
}

bool tl_reader_bool(struct tl_reader *reader, bool *value_out)
{
	struct tl_item item;
	if (!take_kind(reader, TL_KIND_BOOL, &item))
		return false;
	*value_out = item.boolean;
	return true;
}

/* Nearly all strings have their length in the first byte. */
bool tl_reader_str(struct tl_reader *reader, struct tl_slice *value_out)
{
	struct tl_item item;
	size_t len = first_byte(reader) ^ 0xa0u;
	if (len <= 0x1f && len < left(reader->next, reader)) {
		*value_out = tl_slice(reader->next + 1, len);
		reader->next += 1 + len;
		return true;
	}
	if (!take_kind(reader, TL_KIND_STR, &item))
		return false;
	*value_out = item.bytes;
	return true;
}

bool tl_reader_bin(struct tl_reader *reader, struct tl_slice *value_out)
{
	struct tl_item item;
	if (!take_kind(reader, TL_KIND_BIN, &item))
		return false;
	*value_out = item.bytes;
	return true;
}

bool tl_reader_array(struct tl_reader *reader, uint32_t *count_out)
{
	struct tl_item item;
	if (!take_kind(reader, TL_KIND_ARRAY, &item))
		return false;
	*count_out = item.count;
	return true;
}

bool tl_reader_map(struct tl_reader *reader, uint32_t *pairs_out)
{
	struct tl_item item;
	if (!take_kind(reader, TL_KIND_MAP, &item))
		return false;
	*pairs_out = item.count;
	return true;
}

/* Takes one item and checks what it alone can get wrong; NULL, or what is wrong, with *at the byte of it. */
static const char *check_item(struct tl_reader *reader, struct tl_item *item, const unsigned char **at)
{
	*at = reader->next;
	const char *wrong = take(reader, item);
	if (wrong || item->kind != TL_KIND_STR)
		return wrong;
	const unsigned char *bad = u8_check(item->bytes.ptr, item->bytes.len);
	if (!bad)
		return NULL;
	*at = bad;
	return "a string is not valid UTF-8";
}

/* Walks all items with a count of those outstanding per level. */
static const char *check_tree(struct tl_reader *reader, unsigned max_depth, const unsigned char **at)
{
	uint64_t outstanding[DEPTH_MAX + 1] = {1};
	unsigned depth = 0;
	for (;;) {
		while (!outstanding[depth])
			if (!depth--)
				return NULL;
		struct tl_item item;
		const char *wrong = check_item(reader, &item, at);
		if (wrong)
			return wrong;
		outstanding[depth]--;
		if (item.kind != TL_KIND_ARRAY && item.kind != TL_KIND_MAP)
			continue;
		if (depth == max_depth)
			return "nested too deeply";
		outstanding[++depth] = children(&item);
	}
}

enum tl_err tl_msgpack_check(struct tl_slice bytes, unsigned max_depth, struct tl_why *why)
{
	if (!bytes.len)
		return tl_fail(why, TL_BAD_REQUEST, "msgpack: empty");
	struct tl_reader reader = tl_reader(bytes);
	const unsigned char *begin = reader.next, *at = NULL;
	const char *wrong = check_tree(&reader, max_depth < DEPTH_MAX ? max_depth : DEPTH_MAX, &at);
	if (!wrong && reader.next != reader.end) {
		wrong = "more data after the end of the item";
		at = reader.next;
	}
	if (wrong)
		return tl_fail(why, TL_BAD_REQUEST, "msgpack: %s (at byte %zu)", wrong, (size_t)(at - begin));
	return TL_OK;
}

bool tl_msgpack_find(struct tl_slice map, const char *key, struct tl_reader *value_out)
{
	struct tl_reader reader = tl_reader(map);
	size_t len = strlen(key);
	uint32_t pairs;
	if (!tl_reader_map(&reader, &pairs))
		return false;
	for (; pairs; pairs--) {
		struct tl_slice name;
		bool is_str = tl_reader_str(&reader, &name);
		if (!is_str && !tl_reader_skip(&reader))
			return false;
		if (is_str && name.len == len && !memcmp(name.ptr, key, len)) {
			*value_out = reader;
			return true;
		}
		if (!tl_reader_skip(&reader))
			return false;
	}
	return false;
}
