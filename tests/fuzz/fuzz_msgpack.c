/* Fuzzes the msgpack reader and the conversion to JSON with arbitrary bytes. Invariants:
 *   - a skip that fails leaves the reader in place, one that succeeds ends within the bytes;
 *   - what check accepts, skip passes over to exactly the end;
 *   - what becomes JSON is JSON to json-c, and converts back to msgpack that check accepts. */
#include "json.h"
#include "msgpack_reader.h"

#include <json-c/json.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DEPTH = 64 };

static void require(bool holds)
{
	if (!holds)
		abort();
}

static bool json_c_accepts(struct tl_slice text)
{
	struct json_tokener *tokener = json_tokener_new_ex(DEPTH + 1);
	require(tokener);
	/* A strict 0.18 refuses all text beyond ASCII where char has a sign. */
	int strict = json_c_version_num() == 18 << 8 ? 0 : JSON_TOKENER_STRICT;
	json_tokener_set_flags(tokener, strict | JSON_TOKENER_VALIDATE_UTF8);
	struct json_object *object = json_tokener_parse_ex(tokener, text.ptr, (int)text.len);
	if (json_tokener_get_error(tokener) == json_tokener_continue)
		object = json_tokener_parse_ex(tokener, "", 1);
	bool accepts = json_tokener_get_error(tokener) == json_tokener_success;
	json_object_put(object);
	json_tokener_free(tokener);
	return accepts;
}

static void check_to_json(struct tl_slice msgpack)
{
	msgpack_sbuffer text, back;
	msgpack_sbuffer_init(&text);
	msgpack_sbuffer_init(&back);
	if (tl_json_from_msgpack(msgpack, &text)) {
		require(text.size == 0);
	} else {
		struct tl_slice json = tl_slice(text.data, text.size);
		require(json_c_accepts(json));
		enum tl_err err = tl_json_to_msgpack(json, DEPTH, &back, NULL);
		/* a key with U+0000 is the one thing that goes out and does not come in again */
		require(!err || memmem(json.ptr, json.len, "\\u0000", 6));
		require(err || !tl_msgpack_check(tl_slice(back.data, back.size), DEPTH, NULL));
	}
	msgpack_sbuffer_destroy(&text);
	msgpack_sbuffer_destroy(&back);
}

static void check_skip(struct tl_slice bytes)
{
	struct tl_reader reader = tl_reader(bytes);
	bool skipped = tl_reader_skip(&reader);
	require(skipped ? reader.next > (const unsigned char *)bytes.ptr && reader.next <= reader.end
	                : reader.next == bytes.ptr);
	if (!tl_msgpack_check(bytes, DEPTH, NULL))
		require(skipped && reader.next == reader.end);
}

/* All items one after the other, as a decoder reads them, and a look for a key. */
static void check_next(struct tl_slice bytes)
{
	struct tl_reader reader = tl_reader(bytes);
	struct tl_item item;
	unsigned char sum = 0;
	while (tl_reader_next(&reader, &item)) {
		if (item.kind != TL_KIND_STR && item.kind != TL_KIND_BIN && item.kind != TL_KIND_EXT)
			continue;
		const unsigned char *content = item.bytes.ptr;
		for (size_t i = 0; i < item.bytes.len; i++)
			sum = (unsigned char)(sum + content[i]);
	}
	if (tl_msgpack_find(bytes, "body", &reader))
		tl_reader_skip(&reader);
	(void)sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tl_slice bytes = tl_slice(data, size);
	if (!size)
		return 0;
	check_skip(bytes);
	check_next(bytes);
	check_to_json(bytes);
	return 0;
}
