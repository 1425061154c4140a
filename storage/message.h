/* The message object of PROTOCOL section 4, as it is made from a publish, kept in the store timeline, and shown.
 *
 *     kept:   {ts, id, from, device, time?, order?, type, ctype?, props?, event? | body}        one msgpack map
 *     shown:  {seq?, conv, cseq, …the pairs as kept…}
 *
 * What is kept is already what is shown, so showing a message copies its pairs and encodes nothing again.
 *
 *   (M1) ts is the first pair and always encoded in 9 bytes, so that the writer can raise it in place.
 *   (M2) body is the last pair, so that a payload need not be copied to be appended to the queue.
 */
#ifndef TL_MESSAGE_H
#define TL_MESSAGE_H

#include "error.h"
#include "msgpack_writer.h"
#include "slice.h"

#include <stdbool.h>
#include <stdint.h>

enum {
	TL_TYPE_MAX = 32,          /* bytes of a message type */
	TL_PROPS_MAX = 16,         /* other user properties of a message */
	TL_PROPS_BYTES_MAX = 1024, /* of their names and values together */
	TL_CTYPE_MAX = 128,        /* bytes of a content type */
};

struct tl_message {
	uint64_t ts;            /* ms since the epoch, of acceptance */
	struct tl_slice id;     /* the client's, or one made by the server */
	struct tl_slice from;   /* uid */
	struct tl_slice device; /* client id; empty where the server speaks */
	bool has_time, has_order;
	uint64_t time, order;
	struct tl_slice type;  /* never empty */
	struct tl_slice ctype; /* empty: none */
	struct tl_slice props; /* TL_PROPS_MAX pairs at most of packed strings, key value key value … */
	uint32_t props_count;  /* pairs in `props` */
	struct tl_slice event; /* an encoded map: then there is no body */
	size_t body_len;       /* bytes */
};

/* Packs the message except for the bytes of its body, of which only the head is written (M2): `body_len` bytes have to
 * follow. With an event nothing has to. */
void tl_message_pack(struct tl_pack *pack, const struct tl_message *message);

/* The server's time in a kept message, 0 if it is damaged. */
uint64_t tl_message_ts(struct tl_slice message);

/* Replaces the server's time in a kept message (M1). False if it is damaged. */
bool tl_message_set_ts(char *message, size_t len, uint64_t ts);

/* The pairs of a kept message without the map's head, to be copied into a larger map. False if it is damaged. */
bool tl_message_pairs(struct tl_slice message, struct tl_slice *pairs_out, uint32_t *count_out);

/* Packs the message as shown; `seq` 0, `cid` empty, `cseq` 0: without these. False (and nothing sensible is written) if it is damaged. */
bool tl_message_show(struct tl_pack *pack, uint64_t seq, struct tl_slice cid, uint64_t cseq, struct tl_slice message);

/* The same with `count` packed pairs more. */
bool tl_message_show_more(struct tl_pack *pack, uint64_t seq, struct tl_slice cid, uint64_t cseq, struct tl_slice message,
                          struct tl_slice more, uint32_t more_count);

/* Packs a kept message anew with another body, or without one but with `gone`, for an edit or a recall. What says
 * something about the old body (ctype, props) stays with an edit and goes with a recall. False if it is damaged. */
bool tl_message_edit(struct tl_pack *pack, struct tl_slice message, struct tl_slice body);
bool tl_message_recall(struct tl_pack *pack, struct tl_slice message);

/* Packs a kept message anew with a shorter body, for a preview. False if it is damaged. */
bool tl_message_cut(struct tl_pack *pack, struct tl_slice message, struct tl_slice body);

/* Whether a kept message is an edit event that carries the new body, and of which entry. */
bool tl_message_edit_target(struct tl_slice message, uint64_t *cseq_out);

/* Packs a kept event anew without the `body` in its event. False if it is damaged or no event. */
bool tl_message_strip_event(struct tl_pack *pack, struct tl_slice message);

/* Packs what is left of a kept message that has expired: its time, and `gone`. False if it is damaged. */
bool tl_message_expire(struct tl_pack *pack, struct tl_slice message);

/* Why one of those that pack anew has answered false. */
static inline enum tl_err tl_message_wrong(const struct tl_pack *pack)
{
	return pack->failed ? TL_NO_MEMORY : TL_CORRUPT;
}

/* Whether a kept message is an event, which is not counted as a message. */
bool tl_message_is_event(struct tl_slice message);

/* The custom order key of a kept message, 0 if it has none. */
uint64_t tl_message_order(struct tl_slice message);

/* A string of a kept message, empty if there is none of that key. */
struct tl_slice tl_message_str(struct tl_slice message, const char *key);

/* The body of a kept message; false if it has none (an event, or a recalled one). */
bool tl_message_body(struct tl_slice message, struct tl_slice *body_out);

/* What a search looks at in a kept message, found in one pass. What is absent is empty. */
struct tl_message_view {
	uint64_t ts;
	struct tl_slice from, type, ctype;
	bool has_body;
	struct tl_slice body;
	struct tl_slice event; /* the packed map of an event */
};

/* False if the message is damaged. */
bool tl_message_view(struct tl_slice message, struct tl_message_view *view_out);

/* The message that an edit event is about; false if it is no edit event. */
bool tl_message_edits(const struct tl_message_view *view, uint64_t *cseq_out);

/* Packs the place of a message that is no longer there, with `gone` saying why. */
void tl_message_show_gone(struct tl_pack *pack, uint64_t seq, struct tl_slice cid, uint64_t cseq, const char *gone);

#endif
