/* What of a conversation a user may see: by joining and leaving, several times over, and by what the user has deleted for
 * himself. Every request that shows messages asks here. Any thread, on one snapshot. */
#ifndef TL_VISIBILITY_H
#define TL_VISIBILITY_H

#include "conversations.h"

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
	uint64_t conversation_head;     /* cseq of the last entry, whoever may see it */
};

/* Reads it. TL_NOT_MEMBER where the user is and was no member, or there is no such conversation, or it is dissolved. */
TL_MUST_USE enum tl_err tl_visibility_open(struct tl_engine *engine, const struct tl_snapshot *snapshot,
                                           struct tl_slice cid, struct tl_slice user,
                                           struct tl_visibility *visibility_out);

/* The same by numbers, which exist (else TL_NOT_MEMBER). */
TL_MUST_USE enum tl_err tl_visibility_open_no(struct tl_engine *engine, const struct tl_snapshot *snapshot,
                                              uint64_t conversation_no, uint64_t user_no,
                                              struct tl_visibility *visibility_out);
void tl_visibility_close(struct tl_visibility *visibility);

/* Whether the user may see the place of this entry. */
bool tl_visible(const struct tl_visibility *visibility, uint64_t cseq);

/* Whether the user has deleted this very entry. Costs a read if the user has deleted any in this conversation. */
TL_MUST_USE enum tl_err tl_deleted(const struct tl_visibility *visibility, uint64_t cseq, bool *deleted_out);

/* Whether a user has deleted an entry, by a read. */
TL_MUST_USE enum tl_err tl_deleted_by(struct tl_engine *engine, const struct tl_snapshot *snapshot, uint64_t user_no,
                                      uint64_t conversation_no, uint64_t cseq, bool *deleted_out);

#endif
