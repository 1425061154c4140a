/* A run of bytes that somebody else owns: the one way in which storage/ passes bytes around. */
#ifndef TL_SLICE_H
#define TL_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct tl_slice {
	const void *ptr; /* borrowed; may be NULL when len is 0 */
	size_t len;      /* bytes */
};

static inline struct tl_slice tl_slice(const void *ptr, size_t len)
{
	return (struct tl_slice){ptr, len};
}

/* The bytes of a C string without its terminator. */
static inline struct tl_slice tl_slice_str(const char *s)
{
	return (struct tl_slice){s, strlen(s)};
}

static inline bool tl_slice_equal(struct tl_slice a, struct tl_slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* Byte order, a shorter prefix first: <0, 0, >0. */
static inline int tl_slice_compare(struct tl_slice a, struct tl_slice b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int order = n ? memcmp(a.ptr, b.ptr, n) : 0;
	return order ? order : (a.len > b.len) - (a.len < b.len);
}

#endif
