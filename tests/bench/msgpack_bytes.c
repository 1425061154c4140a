#include "msgpack_bytes.h"

#include <string.h>

struct reader {
	const uint8_t *at;
	const uint8_t *end;
};

/* What a head byte means: 0xc0 to 0xdf. `length_bytes` is the size of the number after it, `skip` fixed content. */
struct head {
	uint8_t kind;
	uint8_t length_bytes;
	uint8_t skip;
};

static const struct head heads[32] = {
	[0x00] = { TL_MSGPACK_NIL, 0, 0 },
	[0x01] = { TL_MSGPACK_OTHER, 0, 0 },
	[0x02] = { TL_MSGPACK_BOOL, 0, 0 },
	[0x03] = { TL_MSGPACK_BOOL, 0, 0 },
	[0x04] = { TL_MSGPACK_BYTES, 1, 0 },
	[0x05] = { TL_MSGPACK_BYTES, 2, 0 },
	[0x06] = { TL_MSGPACK_BYTES, 4, 0 },
	[0x07] = { TL_MSGPACK_BYTES, 1, 1 },
	[0x08] = { TL_MSGPACK_BYTES, 2, 1 },
	[0x09] = { TL_MSGPACK_BYTES, 4, 1 },
	[0x0a] = { TL_MSGPACK_OTHER, 0, 4 },
	[0x0b] = { TL_MSGPACK_OTHER, 0, 8 },
	[0x0c] = { TL_MSGPACK_UINT, 1, 0 },
	[0x0d] = { TL_MSGPACK_UINT, 2, 0 },
	[0x0e] = { TL_MSGPACK_UINT, 4, 0 },
	[0x0f] = { TL_MSGPACK_UINT, 8, 0 },
	[0x10] = { TL_MSGPACK_OTHER, 0, 1 },
	[0x11] = { TL_MSGPACK_OTHER, 0, 2 },
	[0x12] = { TL_MSGPACK_OTHER, 0, 4 },
	[0x13] = { TL_MSGPACK_OTHER, 0, 8 },
	[0x14] = { TL_MSGPACK_OTHER, 0, 2 },
	[0x15] = { TL_MSGPACK_OTHER, 0, 3 },
	[0x16] = { TL_MSGPACK_OTHER, 0, 5 },
	[0x17] = { TL_MSGPACK_OTHER, 0, 9 },
	[0x18] = { TL_MSGPACK_OTHER, 0, 17 },
	[0x19] = { TL_MSGPACK_BYTES, 1, 0 },
	[0x1a] = { TL_MSGPACK_BYTES, 2, 0 },
	[0x1b] = { TL_MSGPACK_BYTES, 4, 0 },
	[0x1c] = { TL_MSGPACK_ARRAY, 2, 0 },
	[0x1d] = { TL_MSGPACK_ARRAY, 4, 0 },
	[0x1e] = { TL_MSGPACK_MAP, 2, 0 },
	[0x1f] = { TL_MSGPACK_MAP, 4, 0 },
};

void tl_msgpack_put_map(struct tl_buffer *out, size_t pairs)
{
	tl_buffer_put_u8(out, 0xde);
	tl_buffer_put_u16(out, (unsigned)pairs);
}

void tl_msgpack_put_array(struct tl_buffer *out, size_t items)
{
	tl_buffer_put_u8(out, 0xdd);
	tl_buffer_put_u32(out, (uint32_t)items);
}

void tl_msgpack_put_text(struct tl_buffer *out, const char *text)
{
	size_t count = strlen(text);

	tl_buffer_put_u8(out, 0xda);
	tl_buffer_put_u16(out, (unsigned)count);
	tl_buffer_put(out, text, count);
}

void tl_msgpack_put_number(struct tl_buffer *out, uint64_t number)
{
	tl_buffer_put_u8(out, 0xcf);
	tl_buffer_put_u32(out, (uint32_t)(number >> 32));
	tl_buffer_put_u32(out, (uint32_t)number);
}

static bool read_head(struct reader *reader, struct tl_msgpack_item *item_out)
{
	uint8_t byte = *reader->at++;
	const struct head *head;
	uint64_t number = 0;
	size_t i;

	item_out->start = reader->at - 1;
	item_out->kind = TL_MSGPACK_UINT;
	item_out->number = byte;
	if (byte < 0x80) {
		/* a small number */
	} else if (byte < 0xa0) {
		item_out->kind = byte < 0x90 ? TL_MSGPACK_MAP : TL_MSGPACK_ARRAY;
		item_out->number = byte & 0x0fu;
	} else if (byte < 0xc0) {
		item_out->kind = TL_MSGPACK_BYTES;
		item_out->number = byte & 0x1fu;
	} else if (byte >= 0xe0) {
		item_out->kind = TL_MSGPACK_OTHER;
	} else {
		head = &heads[byte & 0x1fu];
		if ((size_t)(reader->end - reader->at) < (size_t)head->length_bytes + head->skip) {
			return false;
		}
		for (i = 0; i < head->length_bytes; i++) {
			number = (number << 8) | *reader->at++;
		}
		reader->at += head->skip;
		item_out->kind = (enum tl_msgpack_kind)head->kind;
		item_out->number = head->kind == TL_MSGPACK_BOOL ? byte & 1u : number;
	}
	item_out->bytes = reader->at;
	return true;
}

/* Passes over one item with all it contains. */
static bool skip_item(struct reader *reader, struct tl_msgpack_item *item_out)
{
	struct tl_msgpack_item item;
	uint64_t left;

	for (left = 1; left > 0; left--) {
		if (reader->at >= reader->end || !read_head(reader, &item)) {
			return false;
		}
		if (item_out) {
			*item_out = item;
			item_out = NULL;
		}
		if (item.kind == TL_MSGPACK_ARRAY) {
			left += item.number;
		} else if (item.kind == TL_MSGPACK_MAP) {
			left += 2 * item.number;
		} else if (item.kind == TL_MSGPACK_BYTES) {
			if ((uint64_t)(reader->end - reader->at) < item.number) {
				return false;
			}
			reader->at += item.number;
		}
	}
	return true;
}

bool tl_msgpack_find(const uint8_t *data, size_t data_bytes, const char *key, struct tl_msgpack_item *item_out)
{
	struct reader reader = { data, data + data_bytes };
	struct tl_msgpack_item map;
	struct tl_msgpack_item name;
	uint64_t pairs;

	if (data_bytes == 0 || !read_head(&reader, &map) || map.kind != TL_MSGPACK_MAP) {
		return false;
	}
	for (pairs = map.number; pairs > 0; pairs--) {
		if (!skip_item(&reader, &name) || !skip_item(&reader, item_out)) {
			return false;
		}
		if (name.kind == TL_MSGPACK_BYTES && name.number == strlen(key) &&
			memcmp(name.bytes, key, strlen(key)) == 0) {
			return true;
		}
	}
	return false;
}
