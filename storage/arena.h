/* Memory for the life of one batch: allocations that never move and are all given back at once. One thread. */
#ifndef TL_ARENA_H
#define TL_ARENA_H

#include "slice.h"

struct tl_arena_block;

struct tl_arena {
	struct tl_arena_block *blocks; /* the one in use first */
	struct tl_arena_block *spare;  /* to be used again … */
	size_t spare_count;            /* … so many */
};

/* A zeroed struct is an empty arena. */
void tl_arena_fini(struct tl_arena *arena);

/* Gives everything back but a few blocks, at most 1 MiB, which are used again. */
void tl_arena_clear(struct tl_arena *arena);

/* `len` bytes aligned for any type, uninitialised, valid until clear or fini; NULL if there is no memory. */
void *tl_arena_alloc(struct tl_arena *arena, size_t len);

/* A copy of `bytes` with a NUL after it; NULL if there is no memory. */
void *tl_arena_copy(struct tl_arena *arena, struct tl_slice bytes);

/* `count` parts one after the other with a NUL after them, which the slice does not count; its ptr is NULL if there is no
 * memory. */
struct tl_slice tl_arena_join(struct tl_arena *arena, const struct tl_slice *parts, size_t count);

#endif
