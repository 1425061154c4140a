/* Memory for the life of one batch. */
#include "arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void *alloc_filled(struct tl_arena *arena, size_t len, int value)
{
	void *p = tl_arena_alloc(arena, len);
	assert_non_null(p);
	assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
	memset(p, value, len);
	return p;
}

static void assert_filled(const unsigned char *p, size_t len, int value)
{
	for (size_t i = 0; i < len; i++)
		assert_int_equal(p[i], value);
}

static void test_allocations_stay(void **state)
{
	struct tl_arena arena = {0};
	unsigned char *all[200];
	(void)state;
	for (int i = 0; i < 200; i++)
		all[i] = alloc_filled(&arena, (size_t)(i * i), i);
	for (int i = 0; i < 200; i++)
		assert_filled(all[i], (size_t)(i * i), i);
	tl_arena_fini(&arena);
}

static void test_large_and_small(void **state)
{
	struct tl_arena arena = {0};
	const size_t large = 3 << 20;
	(void)state;
	unsigned char *first = alloc_filled(&arena, 1, 1), *second = alloc_filled(&arena, large, 2);
	unsigned char *third = alloc_filled(&arena, 1, 3);
	assert_filled(first, 1, 1);
	assert_filled(second, large, 2);
	assert_filled(third, 1, 3);
	tl_arena_fini(&arena);
}

/* Blocks are used again, whatever was in use before. */
static void test_clear(void **state)
{
	struct tl_arena arena = {0};
	(void)state;
	tl_arena_clear(&arena);
	void *first = alloc_filled(&arena, 10, 1);
	for (int i = 0; i < 3; i++) {
		alloc_filled(&arena, 1 << 20, 2);
		alloc_filled(&arena, 1000, 3);
	}
	tl_arena_clear(&arena);
	void *kept = alloc_filled(&arena, 10, 4);
	tl_arena_clear(&arena);
	assert_ptr_equal(alloc_filled(&arena, 10, 5), kept);
	(void)first;
	tl_arena_fini(&arena);
	tl_arena_fini(&arena); /* empty by now */
}

static void test_copy(void **state)
{
	struct tl_arena arena = {0};
	char text[] = "text";
	(void)state;
	char *copy = tl_arena_copy(&arena, tl_slice(text, 4));
	text[0] = 'n';
	assert_memory_equal(copy, "text", 4);
	assert_non_null(tl_arena_copy(&arena, tl_slice("", 0)));
	assert_non_null(tl_arena_copy(&arena, (struct tl_slice){NULL, 0}));
	tl_arena_fini(&arena);
}

static void test_too_much(void **state)
{
	struct tl_arena arena = {0};
	(void)state;
	alloc_filled(&arena, 1, 1);
	assert_null(tl_arena_alloc(&arena, SIZE_MAX));
	assert_null(tl_arena_alloc(&arena, SIZE_MAX - 7));
	tl_arena_fini(&arena);
}

/* A size that no longer fits once the block's own head is added. */
static void test_too_much_with_head(void **state)
{
	struct tl_arena arena = {0};
	(void)state;
	assert_null(tl_arena_alloc(&arena, SIZE_MAX - 15));
	tl_arena_fini(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_allocations_stay), cmocka_unit_test(test_large_and_small),
		cmocka_unit_test(test_clear),            cmocka_unit_test(test_copy),
		cmocka_unit_test(test_too_much),         cmocka_unit_test(test_too_much_with_head),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
