/* storage/msgpack_reader: every encoding at its boundaries, every truncation, and counts that lie. Every input is copied
 * to a heap block of exactly its size, so that the address sanitizer sees a read beyond it. */
#include "msgpack_reader.h"

#include <math.h>
#include <msgpack.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define BYTES(literal) tl_slice(literal, sizeof(literal) - 1)

static void *exact_copy(struct tl_slice bytes)
{
	void *copy = malloc(bytes.len ? bytes.len : 1);
	assert_non_null(copy);
	if (bytes.len)
		memcpy(copy, bytes.ptr, bytes.len);
	return copy;
}

/* Whether next, skip and check agree that these bytes are no item, and leave the reader alone. */
static void assert_refused(struct tl_slice bytes)
{
	void *copy = exact_copy(bytes);
	struct tl_reader reader = tl_reader(tl_slice(copy, bytes.len));
	struct tl_why why = {""};
	assert_false(tl_reader_skip(&reader));
	assert_ptr_equal(reader.next, copy);
	assert_int_equal(tl_msgpack_check(tl_slice(copy, bytes.len), 64, &why), TL_BAD_REQUEST);
	assert_true(strncmp(why.text, "msgpack: ", 9) == 0);
	free(copy);
}

/* Every proper prefix of a well-formed item is refused, also by next() where the item is a scalar. */
static void assert_truncations_refused(struct tl_slice bytes)
{
	for (size_t len = 0; len < bytes.len; len++)
		assert_refused(tl_slice(bytes.ptr, len));
}

/* Reads the one item of `bytes`; its content is in `*copy_out`, to be freed. */
static struct tl_item read_one(struct tl_slice bytes, void **copy_out)
{
	struct tl_item item;
	*copy_out = exact_copy(bytes);
	struct tl_slice copied = tl_slice(*copy_out, bytes.len);
	struct tl_reader reader = tl_reader(copied);
	assert_true(tl_reader_next(&reader, &item));
	assert_ptr_equal(reader.next, reader.end);
	assert_int_equal(tl_msgpack_check(copied, 0, NULL), TL_OK);
	return item;
}

static void test_integers(void **state)
{
	(void)state;
	static const struct {
		const char *bytes;
		size_t len;
		enum tl_kind kind;
		int64_t value; /* the bits of a UINT */
	} cases[] = {
#define CASE(literal, kind, value) {literal, sizeof(literal) - 1, kind, value}
		CASE("\x00", TL_KIND_UINT, 0),
		CASE("\x7f", TL_KIND_UINT, 127),
		CASE("\xff", TL_KIND_INT, -1),
		CASE("\xe0", TL_KIND_INT, -32),
		CASE("\xcc\x00", TL_KIND_UINT, 0),
		CASE("\xcc\xff", TL_KIND_UINT, 255),
		CASE("\xcd\x00\x00", TL_KIND_UINT, 0),
		CASE("\xcd\xff\xff", TL_KIND_UINT, 65535),
		CASE("\xce\x00\x01\x00\x00", TL_KIND_UINT, 65536),
		CASE("\xce\xff\xff\xff\xff", TL_KIND_UINT, UINT32_MAX),
		CASE("\xcf\x00\x00\x00\x01\x00\x00\x00\x00", TL_KIND_UINT, INT64_C(1) << 32),
		CASE("\xcf\xff\xff\xff\xff\xff\xff\xff\xff", TL_KIND_UINT, -1),
		CASE("\xd0\x7f", TL_KIND_UINT, 127),
		CASE("\xd0\x80", TL_KIND_INT, -128),
		CASE("\xd0\xff", TL_KIND_INT, -1),
		CASE("\xd1\x7f\xff", TL_KIND_UINT, 32767),
		CASE("\xd1\x80\x00", TL_KIND_INT, -32768),
		CASE("\xd1\xff\xff", TL_KIND_INT, -1),
		CASE("\xd2\x7f\xff\xff\xff", TL_KIND_UINT, INT32_MAX),
		CASE("\xd2\x80\x00\x00\x00", TL_KIND_INT, INT32_MIN),
		CASE("\xd3\x7f\xff\xff\xff\xff\xff\xff\xff", TL_KIND_UINT, INT64_MAX),
		CASE("\xd3\x80\x00\x00\x00\x00\x00\x00\x00", TL_KIND_INT, INT64_MIN),
		CASE("\xd3\xff\xff\xff\xff\xff\xff\xff\xfe", TL_KIND_INT, -2),
#undef CASE
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		void *copy;
		struct tl_slice bytes = tl_slice(cases[i].bytes, cases[i].len);
		struct tl_item item = read_one(bytes, &copy);
		assert_int_equal(item.kind, cases[i].kind);
		assert_true(item.kind == TL_KIND_INT ? item.sint == cases[i].value : item.uint == (uint64_t)cases[i].value);
		assert_truncations_refused(bytes);
		free(copy);
	}
}

static void test_nil_bool_float(void **state)
{
	(void)state;
	void *copy;
	assert_int_equal(read_one(BYTES("\xc0"), &copy).kind, TL_KIND_NIL);
	free(copy);
	for (unsigned char byte = 0xc2; byte <= 0xc3; byte++) {
		struct tl_item item = read_one(tl_slice(&byte, 1), &copy);
		assert_int_equal(item.kind, TL_KIND_BOOL);
		assert_int_equal(item.boolean, byte == 0xc3);
		free(copy);
	}
	struct tl_slice single = BYTES("\xca\x3f\xc0\x00\x00"), wide = BYTES("\xcb\xbf\xf8\x00\x00\x00\x00\x00\x00");
	struct tl_slice infinite = BYTES("\xca\x7f\x80\x00\x00");
	assert_true(read_one(single, &copy).real == 1.5);
	free(copy);
	assert_true(read_one(wide, &copy).real == -1.5);
	free(copy);
	assert_true(isinf(read_one(infinite, &copy).real));
	free(copy);
	assert_truncations_refused(single);
	assert_truncations_refused(wide);
	assert_refused(BYTES("\xc1"));
	assert_refused(BYTES("\x91\xc1"));
}

/* Lengths at which msgpack changes the encoding, and their neighbours. */
static const uint32_t sizes[] = {0, 1, 15, 16, 31, 32, 33, 255, 256, 257, 65535, 65536, 65537};
enum { SIZES = sizeof sizes / sizeof sizes[0] };

static void assert_bytes_item(struct tl_slice bytes, enum tl_kind kind, size_t len)
{
	void *copy;
	struct tl_item item = read_one(bytes, &copy);
	assert_int_equal(item.kind, kind);
	assert_int_equal(item.bytes.len, len);
	assert_ptr_equal(item.bytes.ptr, (char *)copy + bytes.len - len);
	free(copy);
	if (bytes.len < 600)
		assert_truncations_refused(bytes);
	else
		assert_refused(tl_slice(bytes.ptr, bytes.len - 1));
}

static void test_str_bin_ext_sizes(void **state)
{
	(void)state;
	static char content[65537];
	memset(content, 'x', sizeof content);
	for (size_t i = 0; i < SIZES; i++) {
		msgpack_sbuffer out;
		msgpack_packer packer;
		msgpack_sbuffer_init(&out);
		msgpack_packer_init(&packer, &out, msgpack_sbuffer_write);
		msgpack_pack_str_with_body(&packer, content, sizes[i]);
		assert_bytes_item(tl_slice(out.data, out.size), TL_KIND_STR, sizes[i]);
		out.size = 0;
		msgpack_pack_bin_with_body(&packer, content, sizes[i]);
		assert_bytes_item(tl_slice(out.data, out.size), TL_KIND_BIN, sizes[i]);
		out.size = 0;
		msgpack_pack_ext_with_body(&packer, content, sizes[i], 5);
		assert_bytes_item(tl_slice(out.data, out.size), TL_KIND_EXT, sizes[i]);
		msgpack_sbuffer_destroy(&out);
	}
}

static void test_wide_lengths_of_short_content(void **state)
{
	(void)state;
	assert_bytes_item(BYTES("\xd9\x01x"), TL_KIND_STR, 1);
	assert_bytes_item(BYTES("\xda\x00\x01x"), TL_KIND_STR, 1);
	assert_bytes_item(BYTES("\xdb\x00\x00\x00\x01x"), TL_KIND_STR, 1);
	assert_bytes_item(BYTES("\xc5\x00\x01x"), TL_KIND_BIN, 1);
	assert_bytes_item(BYTES("\xc6\x00\x00\x00\x00"), TL_KIND_BIN, 0);
	assert_bytes_item(BYTES("\xc7\x00\x05"), TL_KIND_EXT, 0);
	assert_bytes_item(BYTES("\xc8\x00\x01\x05x"), TL_KIND_EXT, 1);
	assert_bytes_item(BYTES("\xc9\x00\x00\x00\x01\x05x"), TL_KIND_EXT, 1);
	for (unsigned i = 0; i < 5; i++) {
		unsigned char fixed[18] = {(unsigned char)(0xd4 + i), 5};
		assert_bytes_item(tl_slice(fixed, 2 + ((size_t)1 << i)), TL_KIND_EXT, (size_t)1 << i);
	}
}

static void test_array_and_map_sizes(void **state)
{
	(void)state;
	for (size_t i = 0; i < SIZES; i++) {
		for (unsigned is_map = 0; is_map < 2; is_map++) {
			msgpack_sbuffer out;
			msgpack_packer packer;
			msgpack_sbuffer_init(&out);
			msgpack_packer_init(&packer, &out, msgpack_sbuffer_write);
			if (is_map)
				msgpack_pack_map(&packer, sizes[i]);
			else
				msgpack_pack_array(&packer, sizes[i]);
			for (uint32_t n = sizes[i] << is_map; n; n--)
				msgpack_pack_nil(&packer);
			struct tl_slice bytes = tl_slice(out.data, out.size);
			struct tl_reader reader = tl_reader(bytes);
			uint32_t count;
			assert_true(is_map ? tl_reader_map(&reader, &count) : tl_reader_array(&reader, &count));
			assert_int_equal(count, sizes[i]);
			reader = tl_reader(bytes);
			assert_true(tl_reader_skip(&reader));
			assert_ptr_equal(reader.next, reader.end);
			assert_int_equal(tl_msgpack_check(bytes, 1, NULL), TL_OK);
			assert_int_equal(tl_msgpack_check(bytes, 0, NULL), TL_BAD_REQUEST);
			if (out.size < 600)
				assert_truncations_refused(bytes);
			msgpack_sbuffer_destroy(&out);
		}
	}
}

static void test_hostile_counts(void **state)
{
	(void)state;
	static const struct tl_slice cases[] = {
		{"\xdd\xff\xff\xff\xff", 5},
		{"\xdf\xff\xff\xff\xff", 5},
		{"\xdf\x80\x00\x00\x00\xc0\xc0", 7},
		{"\xdc\xff\xff", 3},
		{"\xde\xff\xff", 3},
		{"\x91", 1},
		{"\x81\xc0", 2},
		{"\x92\xc0", 2},
		{"\xdb\xff\xff\xff\xff", 5},
		{"\xc6\xff\xff\xff\xff", 5},
		{"\xc9\xff\xff\xff\xff\x05", 6},
		{"\xc9\x00\x00\x00\x00", 5},
		{"\xd8\x05", 2},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct tl_item item;
		void *copy = exact_copy(cases[i]);
		struct tl_reader reader = tl_reader(tl_slice(copy, cases[i].len));
		assert_false(tl_reader_next(&reader, &item));
		assert_ptr_equal(reader.next, copy);
		free(copy);
		assert_refused(cases[i]);
	}
}

/* Each of a million arrays claims all the bytes after it: the sum of the claims must neither overflow nor cost. */
static void test_nested_claims(void **state)
{
	(void)state;
	enum { HEADS = 1000000, LEN = HEADS * 5 };
	unsigned char *bytes = malloc(LEN);
	assert_non_null(bytes);
	for (size_t i = 0; i < HEADS; i++) {
		uint32_t rest = (uint32_t)(LEN - (i + 1) * 5);
		unsigned char head[5] = {0xdd, (unsigned char)(rest >> 24), (unsigned char)(rest >> 16),
		                         (unsigned char)(rest >> 8), (unsigned char)rest};
		memcpy(bytes + i * 5, head, sizeof head);
	}
	struct tl_reader reader = tl_reader(tl_slice(bytes, LEN));
	assert_false(tl_reader_skip(&reader));
	assert_int_equal(tl_msgpack_check(tl_slice(bytes, LEN), 64, NULL), TL_BAD_REQUEST);
	free(bytes);
}

static void test_depth(void **state)
{
	(void)state;
	unsigned char bytes[100];
	struct tl_why why;
	for (unsigned depth = 0; depth < 70; depth++) {
		memset(bytes, 0x91, depth); /* [[[…nil…]]] */
		bytes[depth] = 0xc0;
		struct tl_slice slice = tl_slice(bytes, depth + 1);
		for (unsigned max = 0; max < 70; max++) {
			bool ok = depth <= max && depth <= 64;
			assert_int_equal(tl_msgpack_check(slice, max, &why), ok ? TL_OK : TL_BAD_REQUEST);
		}
		struct tl_reader reader = tl_reader(slice);
		assert_true(tl_reader_skip(&reader));
	}
	assert_string_equal(why.text, "msgpack: nested too deeply (at byte 64)");
	assert_int_equal(tl_msgpack_check(BYTES("\x91\x90"), 1, NULL), TL_BAD_REQUEST);
	assert_int_equal(tl_msgpack_check(BYTES("\x92\x90\x81\xc0\x90"), 2, NULL), TL_BAD_REQUEST);
	assert_int_equal(tl_msgpack_check(BYTES("\x92\x91\x90\x91\x90"), 3, NULL), TL_OK);
}

static void test_skip_has_no_depth(void **state)
{
	(void)state;
	enum { DEPTH = 1000000 };
	unsigned char *bytes = malloc(DEPTH + 1);
	assert_non_null(bytes);
	memset(bytes, 0x91, DEPTH);
	bytes[DEPTH] = 0xc0;
	struct tl_reader reader = tl_reader(tl_slice(bytes, DEPTH + 1));
	assert_true(tl_reader_skip(&reader));
	assert_ptr_equal(reader.next, reader.end);
	assert_int_equal(tl_msgpack_check(tl_slice(bytes, DEPTH + 1), UINT32_MAX, NULL), TL_BAD_REQUEST);
	free(bytes);
}

static void test_check_says_where(void **state)
{
	(void)state;
	static const struct {
		struct tl_slice bytes;
		const char *why;
	} cases[] = {
		{{NULL, 0}, "msgpack: empty"},
		{{"\xc0\xc0", 2}, "msgpack: more data after the end of the item (at byte 1)"},
		{{"\x92\xc0\xc1", 3}, "msgpack: the byte c1 is reserved (at byte 2)"},
		{{"\x92\xc0\xa2\x41", 4}, "msgpack: the data ends within an item (at byte 2)"},
		{{"\x91\x92\xc0", 3}, "msgpack: an array or map announces more items than there are (at byte 1)"},
		{{"\x92\xa1\x41\x92\xc0", 5}, "msgpack: an array or map announces more items than there are (at byte 3)"},
		{{"\x92\x91\xc0", 3}, "msgpack: the data ends within an item (at byte 3)"},
		{{"\xa2\x41\xff", 3}, "msgpack: a string is not valid UTF-8 (at byte 2)"},
		{{"\x81\xa2\xc0\x80\xc0", 5}, "msgpack: a string is not valid UTF-8 (at byte 2)"},
		{{"\xa3\xed\xa0\x80", 4}, "msgpack: a string is not valid UTF-8 (at byte 1)"},
		{{"\xa4\xf4\x90\x80\x80", 5}, "msgpack: a string is not valid UTF-8 (at byte 1)"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct tl_why why = {""};
		assert_int_equal(tl_msgpack_check(cases[i].bytes, 64, &why), TL_BAD_REQUEST);
		assert_string_equal(why.text, cases[i].why);
		assert_int_equal(tl_msgpack_check(cases[i].bytes, 64, NULL), TL_BAD_REQUEST);
	}
	assert_int_equal(tl_msgpack_check(BYTES("\xac\xe4\xbd\xa0\xe5\xa5\xbd\xf0\x9f\x98\x80\x00z"), 0, NULL), TL_OK);
	assert_int_equal(tl_msgpack_check(BYTES("\xc4\x02\xff\xfe"), 0, NULL), TL_OK);
}

static void test_typed_readers_leave_other_kinds(void **state)
{
	(void)state;
	struct tl_reader reader = tl_reader(BYTES("\x05\xc3\xa1s\xc4\x01\xff\x92\xc0\xc0\x81\x01\x02"));
	uint64_t number = 99;
	bool flag = false;
	struct tl_slice bytes = {0};
	uint32_t count = 99;
	assert_false(tl_reader_bool(&reader, &flag));
	assert_false(tl_reader_map(&reader, &count));
	assert_true(tl_reader_uint(&reader, &number));
	assert_false(tl_reader_uint(&reader, &number));
	assert_true(tl_reader_bool(&reader, &flag));
	assert_false(tl_reader_bin(&reader, &bytes));
	assert_true(tl_reader_str(&reader, &bytes));
	assert_true(tl_slice_equal(bytes, tl_slice_str("s")));
	assert_false(tl_reader_str(&reader, &bytes));
	assert_true(tl_reader_bin(&reader, &bytes));
	assert_false(tl_reader_map(&reader, &count));
	assert_int_equal(count, 99);
	assert_true(tl_reader_array(&reader, &count));
	assert_true(tl_reader_skip(&reader) && tl_reader_skip(&reader));
	assert_false(tl_reader_array(&reader, &count));
	assert_true(tl_reader_map(&reader, &count));
	assert_int_equal(number, 5);
	assert_true(flag);
	assert_int_equal(count, 1);
	assert_true(tl_reader_skip(&reader) && tl_reader_skip(&reader));
	assert_false(tl_reader_uint(&reader, &number) || tl_reader_skip(&reader));
}

static void test_negative_is_no_uint(void **state)
{
	(void)state;
	struct tl_reader reader = tl_reader(BYTES("\xff"));
	uint64_t number = 0;
	assert_false(tl_reader_uint(&reader, &number));
	reader = tl_reader(BYTES("\xd3\x00\x00\x00\x00\x00\x00\x00\x07"));
	assert_true(tl_reader_uint(&reader, &number));
	assert_int_equal(number, 7);
}

static void test_find(void **state)
{
	(void)state;
	/* {[1]: 1, "ab": {"a": 9}, "a": 2, "a": 3, "": 4} */
	struct tl_slice map = BYTES("\x85\x91\x01\x01\xa2" "ab\x81\xa1" "a\x09\xa1" "a\x02\xa1" "a\x03\xa0\x04");
	struct tl_reader reader;
	uint64_t number = 0;
	assert_true(tl_msgpack_find(map, "a", &reader) && tl_reader_uint(&reader, &number));
	assert_int_equal(number, 2);
	assert_true(tl_msgpack_find(map, "", &reader) && tl_reader_uint(&reader, &number));
	assert_int_equal(number, 4);
	assert_true(tl_msgpack_find(map, "ab", &reader));
	uint32_t pairs;
	assert_true(tl_reader_map(&reader, &pairs));
	assert_false(tl_msgpack_find(map, "b", &reader));
	assert_false(tl_msgpack_find(BYTES("\x80"), "a", &reader));
	assert_false(tl_msgpack_find(BYTES("\x91\x01"), "a", &reader));
	for (size_t len = 1; len < map.len; len++)
		assert_false(tl_msgpack_find(tl_slice(map.ptr, len), "b", &reader));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_integers),
		cmocka_unit_test(test_nil_bool_float),
		cmocka_unit_test(test_str_bin_ext_sizes),
		cmocka_unit_test(test_wide_lengths_of_short_content),
		cmocka_unit_test(test_array_and_map_sizes),
		cmocka_unit_test(test_hostile_counts),
		cmocka_unit_test(test_nested_claims),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_skip_has_no_depth),
		cmocka_unit_test(test_check_says_where),
		cmocka_unit_test(test_typed_readers_leave_other_kinds),
		cmocka_unit_test(test_negative_is_no_uint),
		cmocka_unit_test(test_find),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
