/* What the files about conversations have in common and nobody else needs: conversations.c has the cache,
 * conversation_members.c who is in one, conversation_read.c what readers ask. */
#ifndef TL_CONVERSATION_PARTS_H
#define TL_CONVERSATION_PARTS_H

#include "conversations.h"
#include "ordered_int.h"

/* The key of a conversation's or user's own record. */
static const struct tl_slice tl_own_record = {"", 0};

/* A member's key in TL_PART_MEMBERS and TL_PART_FORMER; a conversation's in the lists of a user's. */
struct tl_member_key {
	unsigned char bytes[TL_ORDERED_INT_MAX];
};

static inline struct tl_slice tl_member_key(struct tl_member_key *key, uint64_t no)
{
	return tl_slice(key->bytes, tl_ordered_int_put(key->bytes, no));
}

/* Reads all members; what of them was changed at hand stays as it is. */
TL_MUST_USE enum tl_err tl_conversation_load_members(struct tl_iter *iter, struct tl_conversation *conversation);

/* Forgets those at hand. */
void tl_conversation_free_members(struct tl_conversation *conversation);

/* Puts the record of a member who is new. */
void tl_conversation_put_new_member(const struct tl_conversation *conversation, struct tl_batch *batch,
                                    const struct tl_member *member);

#endif
