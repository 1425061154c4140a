/* Writing msgpack: msgpack-c's packer with a growing buffer, errors that stick until somebody asks, and maps whose
 * number of pairs is not known in advance. (Reading is msgpack_reader.h.) A writer belongs to one thread. */
#ifndef TL_MSGPACK_WRITER_H
#define TL_MSGPACK_WRITER_H

#include "slice.h"

#include <msgpack.h>
#include <stdbool.h>
#include <stdint.h>

struct tl_pack {
	msgpack_sbuffer buffer; /* what has been written */
	msgpack_packer packer;
	bool failed; /* memory ran out at some point: the bytes are of no use */
};

void tl_pack_init(struct tl_pack *pack);
void tl_pack_fini(struct tl_pack *pack);

/* Empties the buffer, keeps its memory unless it has grown beyond 1 MiB, and forgets a failure. */
void tl_pack_clear(struct tl_pack *pack);

/* What has been written, valid until the next write. */
struct tl_slice tl_pack_bytes(const struct tl_pack *pack);

void tl_pack_nil(struct tl_pack *pack);
void tl_pack_bool(struct tl_pack *pack, bool value);
void tl_pack_uint(struct tl_pack *pack, uint64_t value);
void tl_pack_uint64_fixed(struct tl_pack *pack, uint64_t value); /* always 9 bytes, so that it can be patched */
void tl_pack_str(struct tl_pack *pack, struct tl_slice value);
void tl_pack_bin(struct tl_pack *pack, struct tl_slice value);
void tl_pack_bin_head(struct tl_pack *pack, size_t len); /* `len` bytes are to follow by tl_pack_raw or elsewhere */
void tl_pack_array(struct tl_pack *pack, uint32_t count);
void tl_pack_map(struct tl_pack *pack, uint32_t pairs);
void tl_pack_raw(struct tl_pack *pack, struct tl_slice msgpack); /* items that are encoded already */

/* Inline, so that the length of a constant is one. */
static inline void tl_pack_cstr(struct tl_pack *pack, const char *value)
{
	tl_pack_str(pack, tl_slice_str(value));
}

/* --- a map or array that grows: begin, write its pairs or items while counting them, end --- */

struct tl_pack_open {
	size_t head_at; /* offset of the head in the buffer */
};

struct tl_pack_open tl_pack_map_begin(struct tl_pack *pack);
void tl_pack_map_end(struct tl_pack *pack, struct tl_pack_open open, uint32_t pairs);
struct tl_pack_open tl_pack_array_begin(struct tl_pack *pack);
void tl_pack_array_end(struct tl_pack *pack, struct tl_pack_open open, uint32_t items);

#endif
