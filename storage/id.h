/* Names of users, devices, conversations and messages: what is a valid one, and the ids of direct chats. */
#ifndef TL_ID_H
#define TL_ID_H

#include "slice.h"

#include <stdbool.h>

enum {
	TL_ID_MAX = 128,                      /* bytes of a user, device or conversation id */
	TL_MESSAGE_ID_MAX = 64,               /* bytes of a client's message id */
	TL_DIRECT_ID_MAX = 2 + 2 * TL_ID_MAX + 1, /* bytes of "d:" uid ":" uid */
};

/* 1 to `max` bytes of valid UTF-8 without '/', '+', '#' and control characters (U+0000–U+001F, U+007F–U+009F). */
bool tl_id_valid(struct tl_slice id, size_t max);

/* A valid id of at most TL_ID_MAX bytes without ':'. */
bool tl_uid_valid(struct tl_slice uid);

/* Whether a conversation id is in the direct chats' name space, which clients cannot create ids in. */
bool tl_id_is_direct(struct tl_slice cid);

/* Writes the id of the direct chat of two users, in either order and possibly the same, to `out` (room for
 * TL_DIRECT_ID_MAX bytes, no terminator) and returns it. */
struct tl_slice tl_direct_id(struct tl_slice uid, struct tl_slice other, char *out);

/* Whether `cid` is exactly the id of a direct chat that `uid` is part of; *other_out is then the other user (a part of
 * `cid`; `uid` itself in a chat with oneself). */
bool tl_direct_id_other(struct tl_slice cid, struct tl_slice uid, struct tl_slice *other_out);

/* Whether `cid` is exactly the id of a direct chat; the two users in byte order, parts of `cid`. */
bool tl_direct_id_parse(struct tl_slice cid, struct tl_slice *first_out, struct tl_slice *second_out);

#endif
