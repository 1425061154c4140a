#include "arena.h"

#include <stdalign.h>
#include <stdlib.h>

enum { BLOCK_BYTES = 256 * 1024 };

struct tl_arena_block {
	struct tl_arena_block *next;
	size_t size, used; /* bytes of `data` */
	alignas(max_align_t) unsigned char data[];
};

void tl_arena_fini(struct tl_arena *arena)
{
	while (arena->blocks) {
		struct tl_arena_block *block = arena->blocks;
		arena->blocks = block->next;
		free(block);
	}
}

void tl_arena_clear(struct tl_arena *arena)
{
	struct tl_arena_block *keep = NULL;
	while (arena->blocks) {
		struct tl_arena_block *block = arena->blocks;
		arena->blocks = block->next;
		if (!keep && block->size == BLOCK_BYTES)
			keep = block;
		else
			free(block);
	}
	if (keep) {
		keep->next = NULL;
		keep->used = 0;
	}
	arena->blocks = keep;
}

static struct tl_arena_block *add_block(struct tl_arena *arena, size_t len)
{
	size_t size = len > BLOCK_BYTES ? len : BLOCK_BYTES;
	if (size > SIZE_MAX - sizeof(struct tl_arena_block))
		return NULL;
	struct tl_arena_block *block = malloc(sizeof *block + size);
	if (!block)
		return NULL;
	*block = (struct tl_arena_block){.next = arena->blocks, .size = size};
	arena->blocks = block;
	return block;
}

void *tl_arena_alloc(struct tl_arena *arena, size_t len)
{
	size_t rounded = (len + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
	struct tl_arena_block *block = arena->blocks;
	if (rounded < len)
		return NULL;
	if (!block || block->size - block->used < rounded)
		block = add_block(arena, rounded);
	if (!block)
		return NULL;
	void *result = block->data + block->used;
	block->used += rounded;
	return result;
}

void *tl_arena_copy(struct tl_arena *arena, struct tl_slice bytes)
{
	char *copy = tl_arena_alloc(arena, bytes.len + 1);
	if (!copy)
		return NULL;
	if (bytes.len > 0)
		memcpy(copy, bytes.ptr, bytes.len);
	copy[bytes.len] = '\0';
	return copy;
}
