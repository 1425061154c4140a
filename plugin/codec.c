#include "codec.h"

#include "json.h"
#include "msgpack_reader.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <stdlib.h>

enum tl_codec tl_codec_of(struct tl_slice payload)
{
	unsigned char first = payload.len ? *(const unsigned char *)payload.ptr : 0;
	bool map = (first & 0xf0) == 0x80 || first == 0xde || first == 0xdf;
	return map ? TL_CODEC_MSGPACK : TL_CODEC_JSON;
}

/* Whether it is standard base64 with its padding and nothing else; *padding_out: how many '=' end it. OpenSSL would pass
 * over white space around it. */
static bool is_base64(struct tl_slice text, size_t *padding_out)
{
	const unsigned char *p = text.ptr;
	size_t padding = 0;
	while (padding < 2 && padding < text.len && p[text.len - 1 - padding] == '=')
		padding++;
	for (size_t i = 0; i < text.len - padding; i++)
		if (!isalnum(p[i]) && p[i] != '+' && p[i] != '/')
			return false;
	*padding_out = padding;
	return text.len % 4 == 0;
}

/* Decodes base64 to malloc'ed bytes. False where it is none, or memory is short. */
static bool decode_base64(struct tl_slice text, unsigned char **bytes_out, size_t *len_out)
{
	size_t padding;
	if (!is_base64(text, &padding))
		return false;
	unsigned char *bytes = malloc(text.len / 4 * 3 + 1);
	int len = bytes && text.len > 0 ? EVP_DecodeBlock(bytes, text.ptr, (int)text.len) : 0;
	if (!bytes || len < (int)padding) {
		free(bytes);
		return false;
	}
	*bytes_out = bytes;
	*len_out = (size_t)len - padding;
	return true;
}

static bool is_map(struct tl_slice msgpack)
{
	struct tl_reader reader = tl_reader(msgpack);
	uint32_t pairs;
	return tl_reader_map(&reader, &pairs);
}

/* Copies the pairs of a map but for the bodies: how many. */
static uint32_t copy_without_bodies(struct tl_slice map, struct tl_pack *out)
{
	struct tl_reader reader = tl_reader(map);
	struct tl_slice key;
	uint32_t count, kept = 0;
	if (!tl_reader_map(&reader, &count))
		return 0;
	for (uint32_t i = 0; i < count; i++) {
		const unsigned char *begin = reader.next;
		if (!tl_reader_str(&reader, &key) || !tl_reader_skip(&reader))
			break; /* not from a map that JSON has become */
		if (tl_slice_equal(key, tl_slice_str("body")) || tl_slice_equal(key, tl_slice_str("body64")))
			continue;
		tl_pack_raw(out, tl_slice(begin, (size_t)(reader.next - begin)));
		kept++;
	}
	return kept;
}

enum tl_err tl_codec_take_body64(struct tl_pack *map, struct tl_why *why)
{
	struct tl_slice packed = tl_pack_bytes(map), text;
	struct tl_reader value;
	struct tl_pack with_body;
	unsigned char *bytes;
	size_t len;
	if (!tl_msgpack_find(packed, "body64", &value))
		return TL_OK;
	if (!tl_reader_str(&value, &text) || !decode_base64(text, &bytes, &len))
		return tl_fail(why, TL_BAD_REQUEST, "'body64' must be base64");
	tl_pack_init(&with_body);
	struct tl_pack_open open = tl_pack_map_begin(&with_body);
	tl_pack_cstr(&with_body, "body");
	tl_pack_bin(&with_body, tl_slice(bytes, len));
	tl_pack_map_end(&with_body, open, 1 + copy_without_bodies(packed, &with_body));
	free(bytes);
	if (with_body.failed) {
		tl_pack_fini(&with_body);
		return TL_NO_MEMORY;
	}
	tl_pack_fini(map);
	*map = with_body;
	map->packer.data = &map->buffer;
	return TL_OK;
}

enum tl_err tl_codec_decode(enum tl_codec codec, struct tl_slice payload, size_t max_bytes, struct tl_pack *map_out,
                            struct tl_why *why)
{
	enum tl_err err;
	if (payload.len == 0) {
		tl_pack_map(map_out, 0);
		return TL_OK;
	}
	if (payload.len > max_bytes)
		return tl_fail(why, TL_TOO_LARGE, "such a request has at most %zu bytes", max_bytes);
	if (codec == TL_CODEC_MSGPACK) {
		err = tl_msgpack_check(payload, TL_REQUEST_MAX_DEPTH, why);
		tl_pack_raw(map_out, payload);
	} else {
		err = tl_json_to_msgpack(payload, TL_REQUEST_MAX_DEPTH, &map_out->buffer, why);
	}
	if (err == TL_OK && map_out->failed)
		err = TL_NO_MEMORY;
	if (err == TL_OK && !is_map(tl_pack_bytes(map_out)))
		err = tl_fail(why, TL_BAD_REQUEST, "a request is a map");
	return err;
}

static void pack_error(struct tl_pack *pack, enum tl_err err, const char *why)
{
	tl_pack_cstr(pack, "error");
	tl_pack_map(pack, 2);
	tl_pack_cstr(pack, "code");
	tl_pack_cstr(pack, tl_err_wire(err));
	tl_pack_cstr(pack, "message");
	/* What goes wrong inside is in the log, not on the wire. */
	tl_pack_cstr(pack, !tl_err_is_refusal(err) ? tl_err_text(TL_STORAGE) : why[0] ? why : tl_err_text(err));
}

static void pack_response(struct tl_pack *pack, const struct tl_response *response)
{
	bool ok = response->err == TL_OK;
	tl_pack_map(pack, response->field_count + 2 + (response->rid.len > 0) + !ok);
	tl_pack_cstr(pack, "op");
	tl_pack_cstr(pack, response->op);
	tl_pack_cstr(pack, "ok");
	tl_pack_bool(pack, ok);
	if (response->rid.len > 0) {
		tl_pack_cstr(pack, "rid");
		tl_pack_raw(pack, response->rid);
	}
	tl_pack_raw(pack, response->fields);
	if (!ok)
		pack_error(pack, response->err, response->why);
}

void tl_encoder_init(struct tl_encoder *encoder)
{
	tl_pack_init(&encoder->packed);
	msgpack_sbuffer_init(&encoder->json);
}

void tl_encoder_fini(struct tl_encoder *encoder)
{
	tl_pack_fini(&encoder->packed);
	msgpack_sbuffer_destroy(&encoder->json);
}

static enum tl_err encode(struct tl_encoder *encoder, enum tl_codec codec, const struct tl_response *response,
                          struct tl_slice *payload_out)
{
	tl_pack_clear(&encoder->packed);
	pack_response(&encoder->packed, response);
	if (encoder->packed.failed)
		return TL_NO_MEMORY;
	struct tl_slice packed = tl_pack_bytes(&encoder->packed);
	if (codec == TL_CODEC_MSGPACK) {
		*payload_out = packed;
		return TL_OK;
	}
	msgpack_sbuffer_clear(&encoder->json);
	enum tl_err err = tl_json_from_msgpack(packed, &encoder->json);
	if (err == TL_OK)
		*payload_out = tl_slice(encoder->json.data, encoder->json.size);
	return err;
}

enum tl_err tl_codec_encode(struct tl_encoder *encoder, enum tl_codec codec, const struct tl_response *response,
                            struct tl_slice *payload_out)
{
	enum tl_err err = encode(encoder, codec, response, payload_out);
	if (err != TL_BAD_REQUEST)
		return err;
	const struct tl_response damaged = {.op = response->op, .rid = response->rid, .err = TL_CORRUPT, .why = ""};
	return encode(encoder, codec, &damaged, payload_out);
}

size_t tl_codec_weigh_json(struct tl_slice packed)
{
	msgpack_sbuffer json;
	msgpack_sbuffer_init(&json);
	size_t size = tl_json_from_msgpack(packed, &json) == TL_OK ? json.size : packed.len;
	msgpack_sbuffer_destroy(&json);
	return size;
}
