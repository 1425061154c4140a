#include "crc32c.h"

#include <pthread.h>
#include <string.h>

/* The processor's own instructions, where it and the compiler have them: four times as fast. */
#if defined(__x86_64__)
#include <nmmintrin.h>
#define PROCESSOR "sse4.2"
#define EXTEND_BY_8(crc, eight) (uint32_t)_mm_crc32_u64((crc), (eight))
#define EXTEND_BY_1(crc, one) _mm_crc32_u8((crc), (one))
#define PROCESSOR_CAN __builtin_cpu_supports("sse4.2")
#elif defined(__AARCH64EL__) && defined(__linux__) && !defined(__clang__)
#include <arm_acle.h>
#include <sys/auxv.h>
#define PROCESSOR "+crc"
#define EXTEND_BY_8(crc, eight) __crc32cd((crc), (eight))
#define EXTEND_BY_1(crc, one) __crc32cb((crc), (one))
#define PROCESSOR_CAN (getauxval(AT_HWCAP) & HWCAP_CRC32)
#endif

enum { STRIDE = 8 };

static const uint32_t polynomial = 0x82f63b78; /* its lowest power first */
static uint32_t table[STRIDE][256]; /* of a byte that has `row` bytes behind it */
static pthread_once_t chosen = PTHREAD_ONCE_INIT;

/* Each of these takes the checksum on over more bytes. */
static uint32_t (*extend)(uint32_t crc, const unsigned char *next, size_t len);

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
static uint32_t extend_by_table(uint32_t crc, const unsigned char *next, size_t len)
{
	for (; len >= STRIDE; next += STRIDE, len -= STRIDE) {
		uint32_t low = crc ^ u32(next), high = u32(next + 4);
		crc = table[7][low & 0xff] ^ table[6][low >> 8 & 0xff] ^ table[5][low >> 16 & 0xff] ^ table[4][low >> 24] ^
		      table[3][high & 0xff] ^ table[2][high >> 8 & 0xff] ^ table[1][high >> 16 & 0xff] ^ table[0][high >> 24];
	}
	for (; len > 0; next++, len--)
		crc = crc >> 8 ^ table[0][(crc ^ *next) & 0xff];
	return crc;
}

#ifdef PROCESSOR
__attribute__((target(PROCESSOR))) static uint32_t extend_by_processor(uint32_t crc, const unsigned char *next, size_t len)
{
	for (; len >= STRIDE; next += STRIDE, len -= STRIDE) {
		uint64_t eight;
		memcpy(&eight, next, sizeof eight);
		crc = EXTEND_BY_8(crc, eight);
	}
	for (; len > 0; next++, len--)
		crc = EXTEND_BY_1(crc, *next);
	return crc;
}
#endif

static void choose(void)
{
#ifdef PROCESSOR
	if (PROCESSOR_CAN) {
		extend = extend_by_processor;
		return;
	}
#endif
	make_table();
	extend = extend_by_table;
}

uint32_t tl_crc32c(const void *data, size_t len)
{
	pthread_once(&chosen, choose);
	return ~extend(0xffffffff, data, len);
}
