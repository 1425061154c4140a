/* Taking answers apart. Whatever is not there or of another type fails the test. */
#ifndef MODEL_ANSWER_H
#define MODEL_ANSWER_H

#include "msgpack_reader.h"
#include "msgpack_writer.h"

/* The pairs of an answer as a map, in `pack`. */
struct tl_slice as_map(struct tl_pack *pack, struct tl_slice pairs, uint32_t count);

bool has(struct tl_slice map, const char *key);
uint32_t pair_count(struct tl_slice map);
uint64_t get_uint(struct tl_slice map, const char *key);
bool get_bool(struct tl_slice map, const char *key);
struct tl_slice get_str(struct tl_slice map, const char *key);
struct tl_slice get_bin(struct tl_slice map, const char *key);
struct tl_slice get_map(struct tl_slice map, const char *key);
bool equals(struct tl_slice value, const char *text);

/* Where the next page begins; empty: with the first one. */
struct cursor {
	char text[128];
	size_t len;
};

static inline struct tl_slice cursor_text(const struct cursor *cursor)
{
	return tl_slice(cursor->text, cursor->len);
}

/* Takes the cursor of a page, if there is another one behind it. */
bool take_cursor(struct tl_slice map, struct cursor *cursor);

/* An array's elements, one after the other: begin, then next until it is false. */
struct list {
	struct tl_reader reader;
	uint32_t left;
};

struct list get_list(struct tl_slice map, const char *key);
bool list_next(struct list *list, struct tl_slice *element_out);

/* A string or number that is an element. */
struct tl_slice as_str(struct tl_slice element);
uint64_t as_uint(struct tl_slice element);

#endif
