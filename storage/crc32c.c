#include "crc32c.h"

#include <pthread.h>

enum { STRIDE = 8 };

static const uint32_t polynomial = 0x82f63b78; /* its lowest power first */
static uint32_t table[STRIDE][256]; /* of a byte that has `row` bytes behind it */
static pthread_once_t made = PTHREAD_ONCE_INIT;

static void make_table(void)
{
	for (uint32_t byte = 0; byte < 256; byte++) {
		uint32_t crc = byte;
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? polynomial : 0);
		table[0][byte] = crc;
	}
	for (uint32_t byte = 0; byte < 256; byte++)
		for (int row = 1; row < STRIDE; row++)
			table[row][byte] = table[row - 1][byte] >> 8 ^ table[0][table[row - 1][byte] & 0xff];
}

static uint32_t u32(const unsigned char *bytes)
{
	return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

/* Eight bytes at a time ("slicing by 8": Kounavis and Berry, 2005). */
uint32_t tl_crc32c(const void *data, size_t len)
{
	const unsigned char *next = data;
	uint32_t crc = 0xffffffff;
	pthread_once(&made, make_table);
	for (; len >= STRIDE; next += STRIDE, len -= STRIDE) {
		uint32_t low = crc ^ u32(next), high = u32(next + 4);
		crc = table[7][low & 0xff] ^ table[6][low >> 8 & 0xff] ^ table[5][low >> 16 & 0xff] ^ table[4][low >> 24] ^
		      table[3][high & 0xff] ^ table[2][high >> 8 & 0xff] ^ table[1][high >> 16 & 0xff] ^ table[0][high >> 24];
	}
	for (; len > 0; next++, len--)
		crc = crc >> 8 ^ table[0][(crc ^ *next) & 0xff];
	return ~crc;
}
