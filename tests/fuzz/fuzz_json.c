/* Fuzzes the conversion from JSON with arbitrary text. The first byte chooses the depth allowed. Invariants:
 *   - a refusal says why and leaves the output alone;
 *   - what is accepted becomes msgpack that check accepts at the same depth;
 *   - that converts back to JSON, and the JSON to the same msgpack (a fixed point). */
#include "json.h"
#include "msgpack_reader.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void check_back(struct tl_slice msgpack, unsigned depth)
{
	msgpack_sbuffer text, again;
	msgpack_sbuffer_init(&text);
	msgpack_sbuffer_init(&again);
	require(!tl_msgpack_check(msgpack, depth, NULL));
	require(!tl_json_from_msgpack(msgpack, &text));
	require(!tl_json_to_msgpack(tl_slice(text.data, text.size), depth, &again, NULL));
	require(tl_slice_equal(msgpack, tl_slice(again.data, again.size)));
	msgpack_sbuffer_destroy(&text);
	msgpack_sbuffer_destroy(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	unsigned depth = data[0] % 70;
	struct tl_why why = {""};
	msgpack_sbuffer out;
	msgpack_sbuffer_init(&out);
	enum tl_err err = tl_json_to_msgpack(tl_slice(data + 1, size - 1), depth, &out, &why);
	if (err)
		require(err == TL_BAD_REQUEST && why.text[0] && out.size == 0);
	else
		check_back(tl_slice(out.data, out.size), depth);
	msgpack_sbuffer_destroy(&out);
	return 0;
}
