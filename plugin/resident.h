/* How much memory the broker takes: all of its process that is resident or swapped out, a bound from above. It is looked up when
 * somebody asks, at most ten times a second, and what may have come since is added. Broker thread. */
#ifndef TL_RESIDENT_H
#define TL_RESIDENT_H

#include <stddef.h>
#include <stdint.h>

/* All zeros at first. */
struct tl_resident {
	uint64_t looked_ms; /* when it was looked up … */
	uint64_t bytes;     /* … and what it was, with what may have come since */
};

/* So many bytes are about to be kept. */
void tl_resident_add(struct tl_resident *resident, size_t bytes);

/* Bytes, at most; UINT64_MAX: it cannot be told. `now_ms`: the time, in ms. */
uint64_t tl_resident_bytes(struct tl_resident *resident, uint64_t now_ms);

#endif
