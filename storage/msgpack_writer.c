/* What a buffer begins with. msgpack-c's 8 KiB are more than malloc has at hand: each time it would look through all that is
 * free, and tidy it up first. */
#define MSGPACK_SBUFFER_INIT_SIZE 512

#include "msgpack_writer.h"

enum {
	KEEP_BYTES = 1 << 20, /* a buffer larger than this is given back when cleared */
	HEAD_BYTES = 5,       /* map32 and array32: valid for any count, so that it can be filled in afterwards */
	FIXSTR_MAX = 31,      /* bytes of a string whose head is one byte */
	FIXED_COUNT_MAX = 15, /* items or pairs of an array or map, likewise */
};

void tl_pack_init(struct tl_pack *pack)
{
	msgpack_sbuffer_init(&pack->buffer);
	msgpack_packer_init(&pack->packer, &pack->buffer, msgpack_sbuffer_write);
	pack->failed = false;
}

void tl_pack_fini(struct tl_pack *pack)
{
	msgpack_sbuffer_destroy(&pack->buffer);
}

void tl_pack_clear(struct tl_pack *pack)
{
	if (pack->buffer.alloc > KEEP_BYTES) {
		msgpack_sbuffer_destroy(&pack->buffer);
		msgpack_sbuffer_init(&pack->buffer);
	}
	msgpack_sbuffer_clear(&pack->buffer);
	pack->failed = false;
}

struct tl_slice tl_pack_bytes(const struct tl_pack *pack)
{
	return tl_slice(pack->buffer.data, pack->buffer.size);
}

static inline void note(struct tl_pack *pack, int result)
{
	if (result != 0)
		pack->failed = true;
}

/* Puts down an item of one byte, as most are, where there is room for it. */
static inline bool put_byte(struct tl_pack *pack, unsigned byte)
{
	msgpack_sbuffer *buffer = &pack->buffer;
	if (buffer->size == buffer->alloc)
		return false;
	buffer->data[buffer->size++] = (char)(unsigned char)byte;
	return true;
}

void tl_pack_nil(struct tl_pack *pack)
{
	note(pack, msgpack_pack_nil(&pack->packer));
}

void tl_pack_bool(struct tl_pack *pack, bool value)
{
	if (!put_byte(pack, value ? 0xc3 : 0xc2))
		note(pack, value ? msgpack_pack_true(&pack->packer) : msgpack_pack_false(&pack->packer));
}

void tl_pack_uint(struct tl_pack *pack, uint64_t value)
{
	if (value >= 0x80 || !put_byte(pack, (unsigned)value))
		note(pack, msgpack_pack_uint64(&pack->packer, value));
}

void tl_pack_uint64_fixed(struct tl_pack *pack, uint64_t value)
{
	note(pack, msgpack_pack_fix_uint64(&pack->packer, value));
}

/* Nearly all strings in messages and answers are short: those are put down here, head and all. */
void tl_pack_str(struct tl_pack *pack, struct tl_slice value)
{
	msgpack_sbuffer *buffer = &pack->buffer;
	if (value.len > 0 && value.len <= FIXSTR_MAX && buffer->alloc - buffer->size > value.len) {
		buffer->data[buffer->size] = (char)(unsigned char)(0xa0 | value.len);
		memcpy(buffer->data + buffer->size + 1, value.ptr, value.len);
		buffer->size += value.len + 1;
		return;
	}
	note(pack, msgpack_pack_str(&pack->packer, value.len));
	tl_pack_raw(pack, value);
}

void tl_pack_bin(struct tl_pack *pack, struct tl_slice value)
{
	tl_pack_bin_head(pack, value.len);
	tl_pack_raw(pack, value);
}

void tl_pack_bin_head(struct tl_pack *pack, size_t len)
{
	note(pack, msgpack_pack_bin(&pack->packer, len));
}

void tl_pack_array(struct tl_pack *pack, uint32_t count)
{
	if (count > FIXED_COUNT_MAX || !put_byte(pack, 0x90 | count))
		note(pack, msgpack_pack_array(&pack->packer, count));
}

void tl_pack_map(struct tl_pack *pack, uint32_t pairs)
{
	if (pairs > FIXED_COUNT_MAX || !put_byte(pack, 0x80 | pairs))
		note(pack, msgpack_pack_map(&pack->packer, pairs));
}

void tl_pack_raw(struct tl_pack *pack, struct tl_slice msgpack)
{
	if (msgpack.len > 0)
		note(pack, msgpack_sbuffer_write(&pack->buffer, msgpack.ptr, msgpack.len));
}

static struct tl_pack_open begin(struct tl_pack *pack, unsigned char type)
{
	struct tl_pack_open open = {pack->buffer.size};
	const unsigned char head[HEAD_BYTES] = {type, 0, 0, 0, 0};
	tl_pack_raw(pack, tl_slice(head, sizeof head));
	return open;
}

static void end(struct tl_pack *pack, struct tl_pack_open open, uint32_t count)
{
	if (pack->failed)
		return;
	unsigned char *head = (unsigned char *)pack->buffer.data + open.head_at;
	for (int i = 0; i < 4; i++)
		head[1 + i] = (unsigned char)(count >> (8 * (3 - i)));
}

struct tl_pack_open tl_pack_map_begin(struct tl_pack *pack)
{
	return begin(pack, 0xdf);
}

void tl_pack_map_end(struct tl_pack *pack, struct tl_pack_open open, uint32_t pairs)
{
	end(pack, open, pairs);
}

struct tl_pack_open tl_pack_array_begin(struct tl_pack *pack)
{
	return begin(pack, 0xdd);
}

void tl_pack_array_end(struct tl_pack *pack, struct tl_pack_open open, uint32_t items)
{
	end(pack, open, items);
}
