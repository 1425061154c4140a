/* Reading msgpack item by item, in place: no allocation, no recursion, never past the end whatever the bytes are.
 * (Writing is msgpack-c's msgpack_packer.) Everything msgpack that the program reads goes through here: from clients,
 * from the queue, from the database. A reader belongs to one thread. */
#ifndef TL_MSGPACK_READER_H
#define TL_MSGPACK_READER_H

#include "error.h"
#include "slice.h"

#include <stdbool.h>
#include <stdint.h>

enum tl_kind {
	TL_KIND_NIL,
	TL_KIND_BOOL,
	TL_KIND_UINT,  /* any integer >= 0, however it was encoded */
	TL_KIND_INT,   /* an integer < 0 */
	TL_KIND_FLOAT,
	TL_KIND_STR,
	TL_KIND_BIN,
	TL_KIND_ARRAY, /* `count` items follow */
	TL_KIND_MAP,   /* `count` pairs follow: key, value, key, value … */
	TL_KIND_EXT,
};

struct tl_item {
	enum tl_kind kind;
	union {
		bool boolean;
		uint64_t uint;
		int64_t sint;
		double real;
		struct tl_slice bytes; /* STR, BIN, EXT (without the type byte): borrowed from what is read */
		uint32_t count;        /* ARRAY: items; MAP: pairs */
	};
};

struct tl_reader {
	const unsigned char *next; /* where the next item begins */
	const unsigned char *end;
};

static inline struct tl_reader tl_reader(struct tl_slice bytes)
{
	const unsigned char *p = bytes.ptr ? bytes.ptr : (const unsigned char *)"";
	return (struct tl_reader){p, p + bytes.len};
}

/* Takes the next item: of an array or map only its head. False where the bytes end or are no msgpack; the reader
 * then stays where it is. A count larger than the bytes left could hold is refused here, so that counts are safe to
 * loop over. */
bool tl_reader_next(struct tl_reader *reader, struct tl_item *item_out);

/* Passes over one whole item with everything in it. False as above. */
bool tl_reader_skip(struct tl_reader *reader);

/* Takes the next item if it is of the kind wanted, else false and the reader stays. */
bool tl_reader_uint(struct tl_reader *reader, uint64_t *value_out);
bool tl_reader_bool(struct tl_reader *reader, bool *value_out);
bool tl_reader_str(struct tl_reader *reader, struct tl_slice *value_out);
bool tl_reader_bin(struct tl_reader *reader, struct tl_slice *value_out);
bool tl_reader_array(struct tl_reader *reader, uint32_t *count_out);
bool tl_reader_map(struct tl_reader *reader, uint32_t *pairs_out);

/* Whether the bytes are exactly one well-formed item: nothing after it, nested no deeper than `max_depth` (a scalar
 * is depth 0, [1] depth 1), no reserved byte, every string valid UTF-8. TL_BAD_REQUEST, and `why` says what is wrong
 * and at which byte. */
TL_MUST_USE enum tl_err tl_msgpack_check(struct tl_slice bytes, unsigned max_depth, struct tl_why *why);

/* Finds the value of a string key in a map and positions `value_out` at it; the first one where a key repeats.
 * `map` is the bytes of a well-formed map. */
bool tl_msgpack_find(struct tl_slice map, const char *key, struct tl_reader *value_out);

#endif
