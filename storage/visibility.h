/* What of a conversation a user may see: by joining and leaving, several times over, by what the user has deleted for
 * himself, and by what has expired. Every request that shows messages asks here. Any thread, on one snapshot. */
#ifndef TL_VISIBILITY_H
#define TL_VISIBILITY_H

#include "conversations.h"
#include "store_limits.h"

struct tl_visibility {
	struct tl_engine *engine;
	const struct tl_snapshot *snapshot;
	uint64_t conversation_no;
	uint64_t user_no;
	struct tl_conversation_record conversation; /* points into `bytes` */
	char *bytes;
	bool present;                   /* a member of now; else a former one */
	struct tl_member_record member; /* if present */
	struct tl_former_record former; /* what was before the present membership */
	uint64_t first, last;           /* cseq: nothing outside is visible, but there may be holes inside */
	uint64_t conversation_head;     /* cseq of the last entry, whoever may see it; as far as can be told (tl_timeline_reach) */
	uint64_t conversation_floor;    /* cseq of the last entry that has expired */
};

/* Reads it, as of `now`, ms. TL_NOT_MEMBER where the user is and was no member, or there is no such conversation, or it is dissolved. */
TL_MUST_USE enum tl_err tl_visibility_open(struct tl_engine *engine, const struct tl_snapshot *snapshot,
                                           const struct tl_limits *limits, uint64_t now, struct tl_slice cid,
                                           struct tl_slice user, struct tl_visibility *visibility_out);

/* As tl_visibility_open, also where the conversation is dissolved: what lies in the inboxes stays. */
TL_MUST_USE enum tl_err tl_visibility_open_dissolved(struct tl_engine *engine, const struct tl_snapshot *snapshot,
                                                     const struct tl_limits *limits, uint64_t now, struct tl_slice cid,
                                                     struct tl_slice user, struct tl_visibility *visibility_out);

/* As tl_visibility_open by numbers, which exist (else TL_NOT_MEMBER). */
TL_MUST_USE enum tl_err tl_visibility_open_no(struct tl_engine *engine, const struct tl_snapshot *snapshot,
                                              const struct tl_limits *limits, uint64_t now, uint64_t conversation_no,
                                              uint64_t user_no, struct tl_visibility *visibility_out);
void tl_visibility_close(struct tl_visibility *visibility);

/* Whether the user may see the place of this entry. */
bool tl_visible(const struct tl_visibility *visibility, uint64_t cseq);

/* The first such place from `cseq` on; behind `last` if there is none. */
uint64_t tl_visible_from(const struct tl_visibility *visibility, uint64_t cseq);

/* Whether the user has deleted this very entry. Costs a read if the user has deleted any in this conversation. */
TL_MUST_USE enum tl_err tl_deleted(const struct tl_visibility *visibility, uint64_t cseq, bool *deleted_out);

/* Packs an entry whose place the user may see, `message` as kept, the way the user sees it: what is deleted has no body, and
 * an edit event has one only for those who may see the message that it is about and have not deleted it. `seq` 0: none.
 * TL_CORRUPT where the message is damaged. */
TL_MUST_USE enum tl_err tl_visibility_show(const struct tl_visibility *visibility, uint64_t seq, uint64_t cseq,
                                           struct tl_slice message, struct tl_pack *out);

/* Whether a user has deleted an entry, by a read. */
TL_MUST_USE enum tl_err tl_deleted_by(struct tl_engine *engine, const struct tl_snapshot *snapshot, uint64_t user_no,
                                      uint64_t conversation_no, uint64_t cseq, bool *deleted_out);

#endif
