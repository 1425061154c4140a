#include "answer.h"

#include "check.h"

struct tl_slice as_map(struct tl_pack *pack, struct tl_slice pairs, uint32_t count)
{
	tl_pack_clear(pack);
	tl_pack_map(pack, count);
	tl_pack_raw(pack, pairs);
	CHECK(!pack->failed);
	CHECK(tl_msgpack_check(tl_pack_bytes(pack), 16, NULL) == TL_OK);
	return tl_pack_bytes(pack);
}

bool has(struct tl_slice map, const char *key)
{
	struct tl_reader reader;
	return tl_msgpack_find(map, key, &reader);
}

uint32_t pair_count(struct tl_slice map)
{
	struct tl_reader reader = tl_reader(map);
	uint32_t count;
	CHECK(tl_reader_map(&reader, &count));
	return count;
}

uint64_t get_uint(struct tl_slice map, const char *key)
{
	struct tl_reader reader;
	uint64_t value;
	CHECK(tl_msgpack_find(map, key, &reader) && tl_reader_uint(&reader, &value));
	return value;
}

bool get_bool(struct tl_slice map, const char *key)
{
	struct tl_reader reader;
	bool value;
	CHECK(tl_msgpack_find(map, key, &reader) && tl_reader_bool(&reader, &value));
	return value;
}

struct tl_slice get_str(struct tl_slice map, const char *key)
{
	struct tl_reader reader;
	struct tl_slice value;
	CHECK(tl_msgpack_find(map, key, &reader) && tl_reader_str(&reader, &value));
	return value;
}

bool take_cursor(struct tl_slice map, struct cursor *cursor)
{
	if (!has(map, "cursor"))
		return false;
	struct tl_slice text = get_str(map, "cursor");
	CHECK(text.len < sizeof cursor->text);
	memcpy(cursor->text, text.ptr, cursor->len = text.len);
	return true;
}

struct tl_slice get_bin(struct tl_slice map, const char *key)
{
	struct tl_reader reader;
	struct tl_slice value;
	CHECK(tl_msgpack_find(map, key, &reader) && tl_reader_bin(&reader, &value));
	return value;
}

struct tl_slice get_map(struct tl_slice map, const char *key)
{
	struct tl_reader reader;
	CHECK(tl_msgpack_find(map, key, &reader));
	struct tl_slice value = tl_slice(reader.next, (size_t)(reader.end - reader.next));
	pair_count(value);
	return value;
}

bool equals(struct tl_slice value, const char *text)
{
	return tl_slice_equal(value, tl_slice_str(text));
}

struct list get_list(struct tl_slice map, const char *key)
{
	struct list list;
	CHECK(tl_msgpack_find(map, key, &list.reader) && tl_reader_array(&list.reader, &list.left));
	return list;
}

bool list_next(struct list *list, struct tl_slice *element_out)
{
	const unsigned char *begin = list->reader.next;
	if (list->left == 0)
		return false;
	list->left--;
	CHECK(tl_reader_skip(&list->reader));
	*element_out = tl_slice(begin, (size_t)(list->reader.next - begin));
	return true;
}

struct tl_slice as_str(struct tl_slice element)
{
	struct tl_reader reader = tl_reader(element);
	struct tl_slice value;
	CHECK(tl_reader_str(&reader, &value));
	return value;
}

uint64_t as_uint(struct tl_slice element)
{
	struct tl_reader reader = tl_reader(element);
	uint64_t value;
	CHECK(tl_reader_uint(&reader, &value));
	return value;
}
