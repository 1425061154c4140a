/* Unsigned integers as LEB128: seven bits a byte, the lowest first, the top bit says that another byte follows. Where keys
 * must sort, ordered_int.h; where a time or a queue position is kept with each message, this: six bytes instead of
 * msgpack's nine. */
#ifndef TL_VARINT_H
#define TL_VARINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TL_VARINT_MAX = 10 }; /* bytes of the longest encoding */

/* Writes `value` to `out` (room for TL_VARINT_MAX bytes) and returns the bytes written. */
static inline size_t tl_varint_put(unsigned char *out, uint64_t value)
{
	size_t len = 0;
	for (; value >= 0x80; value >>= 7)
		out[len++] = (unsigned char)(value | 0x80);
	out[len++] = (unsigned char)value;
	return len;
}

/* Takes one from *next on and moves *next behind it; false where the bytes end or are no 64-bit number. */
static inline bool tl_varint_get(const unsigned char **next, const unsigned char *end, uint64_t *value_out)
{
	const unsigned char *p = *next;
	uint64_t value = 0;
	if (p < end && *p < 0x80) {
		*value_out = *p;
		*next = p + 1;
		return true;
	}
	for (unsigned shift = 0; p < end && shift < 64; shift += 7, p++) {
		value |= (uint64_t)(*p & 0x7f) << shift;
		if (*p < 0x80) {
			*value_out = value;
			*next = p + 1;
			return true;
		}
	}
	return false;
}

#endif
