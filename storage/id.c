#include "id.h"

#include <unistr.h>

/* C1 controls are two bytes in UTF-8, C2 80 to C2 9F; the others are one. */
static bool has_c1(const unsigned char *p, size_t len)
{
	for (size_t i = 0; i + 1 < len; i++)
		if (p[i] == 0xc2 && p[i + 1] < 0xa0)
			return true;
	return false;
}

/* Every id of every message comes through here, and most are plain ASCII. */
static bool is_clean(const unsigned char *p, size_t len)
{
	unsigned char any = 0;
	for (size_t i = 0; i < len; i++) {
		if (p[i] < 0x20 || p[i] == 0x7f || p[i] == '/' || p[i] == '+' || p[i] == '#')
			return false;
		any |= p[i];
	}
	return any < 0x80 || (!has_c1(p, len) && u8_check(p, len) == NULL);
}

bool tl_id_valid(struct tl_slice id, size_t max)
{
	return id.len >= 1 && id.len <= max && is_clean(id.ptr, id.len);
}

bool tl_uid_valid(struct tl_slice uid)
{
	return tl_id_valid(uid, TL_ID_MAX) && memchr(uid.ptr, ':', uid.len) == NULL;
}

bool tl_id_is_direct(struct tl_slice cid)
{
	return cid.len >= 2 && memcmp(cid.ptr, "d:", 2) == 0;
}

struct tl_slice tl_direct_id(struct tl_slice uid, struct tl_slice other, char *out)
{
	struct tl_slice first = tl_slice_compare(uid, other) <= 0 ? uid : other;
	struct tl_slice second = first.ptr == uid.ptr ? other : uid;
	char *p = out;

	*p++ = 'd';
	*p++ = ':';
	memcpy(p, first.ptr, first.len);
	p += first.len;
	*p++ = ':';
	memcpy(p, second.ptr, second.len);
	p += second.len;
	return tl_slice(out, (size_t)(p - out));
}

bool tl_direct_id_parse(struct tl_slice cid, struct tl_slice *first_out, struct tl_slice *second_out)
{
	if (!tl_id_is_direct(cid) || cid.len > TL_DIRECT_ID_MAX)
		return false;
	const char *begin = (const char *)cid.ptr + 2, *end = (const char *)cid.ptr + cid.len;
	const char *colon = memchr(begin, ':', (size_t)(end - begin));
	if (!colon)
		return false;
	struct tl_slice first = tl_slice(begin, (size_t)(colon - begin));
	struct tl_slice second = tl_slice(colon + 1, (size_t)(end - colon - 1));
	if (!tl_uid_valid(first) || !tl_uid_valid(second) || tl_slice_compare(first, second) > 0)
		return false;
	*first_out = first;
	*second_out = second;
	return true;
}

bool tl_direct_id_other(struct tl_slice cid, struct tl_slice uid, struct tl_slice *other_out)
{
	struct tl_slice first, second;
	if (!tl_direct_id_parse(cid, &first, &second))
		return false;
	if (tl_slice_equal(uid, first))
		*other_out = second;
	else if (tl_slice_equal(uid, second))
		*other_out = first;
	else
		return false;
	return true;
}
