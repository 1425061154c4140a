/* Writing msgpack: what is written is read back by our reader. */
#include "msgpack_writer.h"

#include "msgpack_reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void assert_written(const struct tl_pack *pack, const char *bytes, size_t len)
{
	assert_false(pack->failed);
	assert_true(tl_slice_equal(tl_pack_bytes(pack), tl_slice(bytes, len)));
}

static void test_scalars(void **state)
{
	struct tl_pack pack;
	(void)state;
	tl_pack_init(&pack);
	tl_pack_nil(&pack);
	tl_pack_bool(&pack, true);
	tl_pack_bool(&pack, false);
	tl_pack_uint(&pack, 127);
	tl_pack_uint(&pack, 128);
	tl_pack_cstr(&pack, "hé");
	tl_pack_bin(&pack, tl_slice("\0", 1));
	tl_pack_str(&pack, tl_slice(NULL, 0));
	assert_written(&pack, "\xc0\xc3\xc2\x7f\xcc\x80\xa3h\xc3\xa9\xc4\x01\x00\xa0", 14);
	tl_pack_fini(&pack);
}

static void test_numbers(void **state)
{
	static const uint64_t values[] = {0, 127, 128, 255, 256, 65535, 65536, UINT32_MAX, 1ULL << 32, UINT64_MAX};
	struct tl_pack pack;
	uint64_t value;
	(void)state;
	tl_pack_init(&pack);
	for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
		tl_pack_clear(&pack);
		tl_pack_uint(&pack, values[i]);
		size_t shortest = tl_pack_bytes(&pack).len;
		tl_pack_uint64_fixed(&pack, values[i]);
		assert_int_equal(tl_pack_bytes(&pack).len, shortest + 9);
		struct tl_reader reader = tl_reader(tl_pack_bytes(&pack));
		assert_true(tl_reader_uint(&reader, &value) && value == values[i]);
		assert_true(tl_reader_uint(&reader, &value) && value == values[i]);
	}
	tl_pack_fini(&pack);
}

static void test_lengths(void **state)
{
	static const size_t lengths[] = {0, 31, 32, 255, 256, 65535, 65536, 200000};
	static char text[200000];
	struct tl_pack pack;
	struct tl_slice value;
	(void)state;
	memset(text, 'x', sizeof text);
	tl_pack_init(&pack);
	for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
		tl_pack_clear(&pack);
		tl_pack_str(&pack, tl_slice(text, lengths[i]));
		tl_pack_bin_head(&pack, lengths[i]);
		tl_pack_raw(&pack, tl_slice(text, lengths[i]));
		struct tl_reader reader = tl_reader(tl_pack_bytes(&pack));
		assert_true(tl_reader_str(&reader, &value) && value.len == lengths[i]);
		assert_true(tl_reader_bin(&reader, &value) && value.len == lengths[i]);
		assert_ptr_equal(reader.next, reader.end);
	}
	tl_pack_fini(&pack);
}

/* Heads that are filled in afterwards, one in the other, over growths of the buffer. */
static void test_growing(void **state)
{
	struct tl_pack pack;
	struct tl_reader reader;
	struct tl_why why;
	uint32_t count;
	(void)state;
	tl_pack_init(&pack);
	struct tl_pack_open map = tl_pack_map_begin(&pack);
	tl_pack_cstr(&pack, "items");
	struct tl_pack_open items = tl_pack_array_begin(&pack);
	for (uint32_t i = 0; i < 70000; i++)
		tl_pack_uint(&pack, i);
	tl_pack_array_end(&pack, items, 70000);
	tl_pack_cstr(&pack, "none");
	tl_pack_array_end(&pack, tl_pack_array_begin(&pack), 0);
	tl_pack_map_end(&pack, map, 2);
	assert_int_equal(tl_msgpack_check(tl_pack_bytes(&pack), 2, &why), TL_OK);
	assert_true(tl_msgpack_find(tl_pack_bytes(&pack), "items", &reader));
	assert_true(tl_reader_array(&reader, &count) && count == 70000);
	assert_true(tl_msgpack_find(tl_pack_bytes(&pack), "none", &reader));
	assert_true(tl_reader_array(&reader, &count) && count == 0);
	tl_pack_fini(&pack);
}

static void test_clear(void **state)
{
	struct tl_pack pack;
	(void)state;
	tl_pack_init(&pack);
	tl_pack_clear(&pack);
	assert_int_equal(tl_pack_bytes(&pack).len, 0);
	tl_pack_uint(&pack, 1);
	pack.failed = true;
	tl_pack_clear(&pack);
	tl_pack_uint(&pack, 2);
	assert_written(&pack, "\x02", 1);
	char *large = calloc(1, 2 << 20);
	assert_non_null(large);
	tl_pack_bin(&pack, tl_slice(large, 2 << 20));
	free(large);
	tl_pack_clear(&pack);
	assert_true(pack.buffer.alloc <= 1 << 20);
	tl_pack_uint(&pack, 3);
	assert_written(&pack, "\x03", 1);
	tl_pack_fini(&pack);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scalars), cmocka_unit_test(test_numbers), cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_growing), cmocka_unit_test(test_clear),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
