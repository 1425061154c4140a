/* Who wants to do something in a conversation, and what that one may do. Writer thread. */
#ifndef TL_ACTOR_H
#define TL_ACTOR_H

#include "requests.h"

/* What a member may do grows with the rank. */
enum tl_rank { TL_RANK_NONE, TL_RANK_MUTED, TL_RANK_MEMBER, TL_RANK_ADMIN, TL_RANK_OWNER };

struct tl_actor {
	struct tl_conversation *conversation;
	struct tl_user *user;     /* NULL: nobody has heard of the caller yet, who is then no member */
	struct tl_member *member; /* NULL: none; valid until members are added or removed */
	enum tl_rank rank;
};

/* Finds the conversation and the caller's place in it. TL_NOT_MEMBER where there is none or it is dissolved; not being
 * a member is no error here but TL_RANK_NONE. */
TL_MUST_USE enum tl_err tl_actor_find(struct tl_transaction *txn, const struct tl_call *call, struct tl_slice cid,
                                      struct tl_actor *actor_out);

/* As tl_actor_find for one who needs at least `rank` in a group or channel: TL_NOT_MEMBER, TL_NOT_AUTHORISED. */
TL_MUST_USE enum tl_err tl_actor_require(struct tl_transaction *txn, const struct tl_call *call, struct tl_slice cid,
                                         enum tl_rank rank, struct tl_actor *actor_out, struct tl_why *why);

/* Ends a conversation after its last event: nobody is in it any more, what is in the inboxes stays. */
TL_MUST_USE enum tl_err tl_conversation_dissolve(struct tl_transaction *txn, struct tl_conversation *conversation);

#endif
