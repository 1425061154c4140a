#include "arena.h"

#include <stdalign.h>
#include <stdlib.h>

enum {
	BLOCK_BYTES = 256 * 1024,
	SPARE_MAX = 4, /* blocks, as many as a batch usually takes: to give so much back and ask for it anew costs page faults */
};

struct tl_arena_block {
	struct tl_arena_block *next;
	size_t size, used; /* bytes of `data` */
	alignas(max_align_t) unsigned char data[];
};

static void free_blocks(struct tl_arena_block *block)
{
	while (block) {
		struct tl_arena_block *next = block->next;
		free(block);
		block = next;
	}
}

void tl_arena_fini(struct tl_arena *arena)
{
	free_blocks(arena->blocks);
	free_blocks(arena->spare);
	*arena = (struct tl_arena){0};
}

void tl_arena_clear(struct tl_arena *arena)
{
	while (arena->blocks) {
		struct tl_arena_block *block = arena->blocks;
		arena->blocks = block->next;
		if (block->size != BLOCK_BYTES || arena->spare_count == SPARE_MAX) {
			free(block);
			continue;
		}
		block->next = arena->spare;
		arena->spare = block;
		arena->spare_count++;
	}
}

static struct tl_arena_block *take_spare(struct tl_arena *arena)
{
	struct tl_arena_block *block = arena->spare;
	arena->spare = block->next;
	arena->spare_count--;
	return block;
}

static struct tl_arena_block *add_block(struct tl_arena *arena, size_t len)
{
	size_t size = len > BLOCK_BYTES ? len : BLOCK_BYTES;
	if (size > SIZE_MAX - sizeof(struct tl_arena_block))
		return NULL;
	bool again = size == BLOCK_BYTES && arena->spare;
	struct tl_arena_block *block = again ? take_spare(arena) : malloc(sizeof *block + size);
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

struct tl_slice tl_arena_join(struct tl_arena *arena, const struct tl_slice *parts, size_t count)
{
	size_t len = 0;
	for (size_t i = 0; i < count; i++)
		len += parts[i].len;
	char *joined = tl_arena_alloc(arena, len + 1), *to = joined;
	if (!joined)
		return tl_slice(NULL, 0);
	for (size_t i = 0; i < count; i++) {
		if (parts[i].len > 0)
			memcpy(to, parts[i].ptr, parts[i].len);
		to += parts[i].len;
	}
	*to = '\0';
	return tl_slice(joined, len);
}

void *tl_arena_copy(struct tl_arena *arena, struct tl_slice bytes)
{
	return (void *)(uintptr_t)tl_arena_join(arena, &bytes, 1).ptr;
}
