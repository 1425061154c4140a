/* CRC-32C (storage/crc32c.h), by the processor and by the table, which the former hides where there is one. */
#include "crc32c.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { BYTES = 600 };

static uint32_t by_bit(const unsigned char *next, size_t len)
{
	uint32_t crc = 0xffffffff;
	for (; len > 0; next++, len--) {
		crc ^= *next;
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? polynomial : 0);
	}
	return ~crc;
}

/* RFC 3720, B.4. */
static void test_known(void **state)
{
	(void)state;
	unsigned char bytes[32] = {0};
	assert_int_equal(tl_crc32c(bytes, sizeof bytes), 0x8a9136aa);
	memset(bytes, 0xff, sizeof bytes);
	assert_int_equal(tl_crc32c(bytes, sizeof bytes), 0x62a8ab43);
	assert_int_equal(tl_crc32c("123456789", 9), 0xe3069283);
	assert_int_equal(tl_crc32c("", 0), 0);
}

/* Of every length, from every place. */
static void test_any_length(void **state)
{
	(void)state;
	unsigned char bytes[BYTES];
	srandom(1);
	for (size_t i = 0; i < BYTES; i++)
		bytes[i] = (unsigned char)random();
	make_table();
	for (size_t from = 0; from < 8; from++)
		for (size_t len = 0; len <= BYTES - 8; len++) {
			uint32_t expected = by_bit(bytes + from, len);
			assert_int_equal(tl_crc32c(bytes + from, len), expected);
			assert_int_equal(~extend_by_table(0xffffffff, bytes + from, len), expected);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_known), cmocka_unit_test(test_any_length)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
