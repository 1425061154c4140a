/* What a notification says (PROTOCOL section 6): the messages that are inline, packed once for all who are told of them, and
 * the payload around them. */
#ifndef TL_NOTIFICATION_H
#define TL_NOTIFICATION_H

#include "codec.h"
#include "commit.h"

/* A message as shown but for its seq, which differs from user to user: shared by all who are told of it. */
struct tl_fragment {
	unsigned references; /* guarded by the lock */
	uint32_t pairs;      /* of the packed form */
	struct tl_slice msgpack; /* pairs without the map's head */
	struct tl_slice json;    /* an object; empty until somebody wants it */
	msgpack_sbuffer packed, text;
};

struct tl_due_message {
	struct tl_fragment *fragment;
	uint64_t seq;
};

/* A fragment of a delivery, with one reference; NULL if memory is short. */
struct tl_fragment *tl_fragment_new(const struct tl_delivery *delivery);

/* Lets go of one reference. NULL is legal. */
void tl_fragment_release(struct tl_fragment *fragment);

/* Makes the JSON form, if it is not there; false if it cannot be made. */
bool tl_fragment_make_json(struct tl_fragment *fragment);

/* Writes the payload of a notification that says `seq`, with these messages inline, which end at it; `count` 0: lightweight. */
void tl_notification_write(enum tl_codec codec, const char *epoch, const struct tl_due_message *due, size_t count,
                           uint64_t seq, struct tl_pack *pack);

#endif
