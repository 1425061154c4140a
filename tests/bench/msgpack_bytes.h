/*
 * As much MessagePack as the requests of a benchmark need: write small maps, and find a key in the top-level map of a
 * response without decoding the rest. Independent of the project's own codec, so that the two check each other.
 */
#ifndef TL_MSGPACK_BYTES_H
#define TL_MSGPACK_BYTES_H

#include "mqtt_wire.h"

enum tl_msgpack_kind {
	TL_MSGPACK_NIL,
	TL_MSGPACK_BOOL,  /* number: 0 or 1 */
	TL_MSGPACK_UINT,  /* number: the value */
	TL_MSGPACK_OTHER, /* negative and floating-point numbers, extensions */
	TL_MSGPACK_BYTES, /* str and bin; number: their length */
	TL_MSGPACK_ARRAY, /* number: items */
	TL_MSGPACK_MAP    /* number: pairs */
};

struct tl_msgpack_item {
	enum tl_msgpack_kind kind;
	uint64_t number;
	const uint8_t *start; /* its first byte */
	const uint8_t *bytes; /* what follows the head: the content of TL_MSGPACK_BYTES, the first child of a container */
};

void tl_msgpack_put_map(struct tl_buffer *out, size_t pairs);
void tl_msgpack_put_array(struct tl_buffer *out, size_t items);
void tl_msgpack_put_text(struct tl_buffer *out, const char *text);
void tl_msgpack_put_number(struct tl_buffer *out, uint64_t number);

/* Finds `key` in the map at `data`; false when `data` is no map, has no such key or is cut short. */
bool tl_msgpack_find(const uint8_t *data, size_t data_bytes, const char *key, struct tl_msgpack_item *item_out);

#endif
