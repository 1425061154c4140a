/* Unsigned integers as bytes that sort like the numbers: one length byte (0–8), then that many bytes, big-endian,
 * without leading zeros. Self-delimiting, so such an integer can be followed by more key. Small numbers take two
 * bytes instead of eight, which matters because a key stands in the log, the memtable and the tables. */
#ifndef TL_ORDERED_INT_H
#define TL_ORDERED_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TL_ORDERED_INT_MAX = 9 }; /* bytes of the longest encoding */

/* Writes `value` to `out` (room for TL_ORDERED_INT_MAX bytes) and returns the bytes written, 1–9. */
static inline size_t tl_ordered_int_put(unsigned char *out, uint64_t value)
{
	unsigned n = value ? (unsigned)(64 - __builtin_clzll(value) + 7) / 8 : 0;
	out[0] = (unsigned char)n;
	for (unsigned i = 0; i < n; i++)
		out[1 + i] = (unsigned char)(value >> (8 * (n - 1 - i)));
	return 1 + n;
}

/* Reads from `in` (`len` bytes): the bytes consumed, or 0 where there is no valid encoding. */
static inline size_t tl_ordered_int_get(const unsigned char *in, size_t len, uint64_t *value_out)
{
	if (len == 0 || in[0] > 8 || (size_t)in[0] + 1 > len || (in[0] > 0 && in[1] == 0))
		return 0;
	uint64_t value = 0;
	for (unsigned i = 1; i <= in[0]; i++)
		value = value << 8 | in[i];
	*value_out = value;
	return (size_t)in[0] + 1;
}

/* Reads `in` if it is one encoding and nothing else. */
static inline bool tl_ordered_int_read(const void *in, size_t len, uint64_t *value_out)
{
	size_t used = tl_ordered_int_get(in, len, value_out);
	return used > 0 && used == len;
}

#endif
