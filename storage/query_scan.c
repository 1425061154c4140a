/* The cheap test on a raw body. Where every code point of it is folded to itself (but for ASCII capitals) or is
 * between words, what the query looks for has to be there byte for byte once the capitals are small; any other body,
 * and one with a backslash, behind which JSON may hide anything, is left to the exact match. */
#include "query_state.h"

#include <unistr.h>

enum {
	SCAN_MAX = 8192, /* bytes of a body that are looked at; longer ones are left to the exact match */
	BLOCK = 16,      /* bytes of ASCII copied at a time */
};

struct range {
	uint32_t first, last;
};

/* Ascending. Of the blocks of emoji without those that are folded to letters or belong to the emoji before them. */
static const struct range simple[] = {
	{0x2013, 0x2014},   {0x2018, 0x201f},   {0x2026, 0x2026},   {0x3000, 0x3011},   {0x3041, 0x3096},
	{0x30a1, 0x30fa},   {0x30fc, 0x30fc},   {0x4e00, 0x9fff},   {0xac00, 0xd7a3},   {0xff01, 0xff0f},
	{0xff1a, 0xff20},   {0x1f300, 0x1f3fa}, {0x1f400, 0x1f64f}, {0x1f680, 0x1f6ff}, {0x1f900, 0x1f9ff},
};

static bool is_simple(ucs4_t cp)
{
	for (size_t i = 0; i < sizeof simple / sizeof simple[0] && cp >= simple[i].first; i++)
		if (cp <= simple[i].last)
			return true;
	return false;
}

/* Most of Han by its bytes, U+5000–8FFF: without decoding them. */
static bool is_han(const uint8_t *bytes, size_t len)
{
	return len >= 3 && bytes[0] >= 0xe5 && bytes[0] <= 0xe8 && (bytes[1] & 0xc0) == 0x80 && (bytes[2] & 0xc0) == 0x80;
}

/* How many bytes of a simple code point begin here; 0: it is not simple, or not valid. */
static size_t simple_length(const uint8_t *bytes, size_t len)
{
	ucs4_t cp;
	if (is_han(bytes, len))
		return 3;
	int decoded = u8_mbtoucr(&cp, bytes, len);
	return decoded > 0 && is_simple(cp) ? (size_t)decoded : 0;
}

static char small(uint8_t c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
}

/* Copies BLOCK bytes, without branches; false: not all of them are ASCII without a backslash. */
static bool copy_block(const uint8_t *bytes, char *copy)
{
	uint8_t wrong = 0;
	for (size_t i = 0; i < BLOCK; i++) {
		wrong |= (uint8_t)((bytes[i] & 0x80) | (bytes[i] == '\\'));
		copy[i] = small(bytes[i]);
	}
	return wrong == 0;
}

/* Copies one code point and returns its length; 0: it is not simple. */
static size_t copy_one(const uint8_t *bytes, size_t len, char *copy)
{
	if (bytes[0] < 0x80) {
		copy[0] = small(bytes[0]);
		return bytes[0] != '\\';
	}
	size_t simple_len = simple_length(bytes, len);
	memcpy(copy, bytes, simple_len);
	return simple_len;
}

/* Copies a body with its ASCII capitals made small; false: it is not simple. */
static bool copy_simple(struct tl_slice body, char *copy)
{
	const uint8_t *bytes = body.ptr;
	for (size_t i = 0, len; i < body.len; i += len) {
		bool block = body.len - i >= BLOCK && bytes[i] < 0x80 && copy_block(bytes + i, copy + i);
		len = block ? BLOCK : copy_one(bytes + i, body.len - i, copy + i);
		if (len == 0)
			return false;
	}
	return true;
}

bool tl_query_may_match(const struct tl_query *query, struct tl_slice body)
{
	char copy[SCAN_MAX];
	if (body.len > SCAN_MAX || !copy_simple(body, copy))
		return true;
	for (size_t i = 0; i < query->needle_count; i++)
		if (!memmem(copy, body.len, query->needles[i].ptr, query->needles[i].len))
			return false;
	return true;
}
