/* The two codecs of the wire and the packets made with them. Any thread. */
#ifndef TL_CODEC_H
#define TL_CODEC_H

#include "msgpack_writer.h"
#include "requests.h"

enum tl_codec { TL_CODEC_MSGPACK = 1, TL_CODEC_JSON = 2 };

/* The codec that a payload looks like: msgpack where it begins with a map, else JSON. */
enum tl_codec tl_codec_of(struct tl_slice payload);

/* Decodes a request's payload of at most `max_bytes` to a packed map that is safe to read; an empty one is an empty map.
 * TL_BAD_REQUEST or TL_TOO_LARGE, and `why` says what is wrong. */
TL_MUST_USE enum tl_err tl_codec_decode(enum tl_codec codec, struct tl_slice payload, size_t max_bytes,
                                        struct tl_pack *map_out, struct tl_why *why);

/* JSON has no binary: puts what a map that was JSON has under `body64` in the place of its `body`. TL_BAD_REQUEST where that is no
 * base64, TL_NO_MEMORY; then the map is as before. */
TL_MUST_USE enum tl_err tl_codec_take_body64(struct tl_pack *map, struct tl_why *why);

/* How many bytes a packed item takes in JSON. */
size_t tl_codec_weigh_json(struct tl_slice packed);

/* A response before it is encoded. */
struct tl_response {
	const char *op;         /* not NULL */
	struct tl_slice rid;    /* a packed item, given back as it was; empty: none */
	enum tl_err err;
	const char *why;        /* on failure, more than the code says; may be empty */
	struct tl_slice fields; /* packed pairs */
	uint32_t field_count;
};

/* Encodes responses one after the other in the same memory. */
struct tl_encoder {
	struct tl_pack packed;
	msgpack_sbuffer json;
};

void tl_encoder_init(struct tl_encoder *encoder);
void tl_encoder_fini(struct tl_encoder *encoder);

/* Encodes it; *payload_out is valid until the encoder is used again. Fields that are not what they were packed as, because the
 * disk has damaged them, have no JSON: then it is an error, `storage`. TL_NO_MEMORY. */
TL_MUST_USE enum tl_err tl_codec_encode(struct tl_encoder *encoder, enum tl_codec codec,
                                        const struct tl_response *response, struct tl_slice *payload_out);

#endif
