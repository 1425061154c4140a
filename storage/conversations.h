/* The conversations that the writer has at hand: their record, where their store timeline ends, and who is in them. A
 * bounded cache over the database; what is not in it is read when needed. Of a conversation with fan-out on write all
 * members are at hand, because each message goes to all of them; of one with fan-out on read, which may be huge, those
 * that were asked for. A direct chat's name tells who the two are and who of them has muted it or blocked the other, which is
 * all that sending needs; their records are read when somebody asks for them. Writer thread only, except where said. */
#ifndef TL_CONVERSATIONS_H
#define TL_CONVERSATIONS_H

#include "users.h"

struct tl_member {
	uint64_t user_no;
	struct tl_member_record record;
	bool changed; /* to be put into the batch before it is committed */
	bool gone;    /* being removed */
	bool bare;    /* in a direct chat: of the record only `mute` is known so far */
};

struct tl_conversation {
	uint64_t no;
	struct tl_conversation_name name;     /* as stored, … */
	bool name_unsettled;                  /* … but for what it did not say */
	struct tl_conversation_record record; /* points into `bytes` */
	char *bytes;                          /* the record as stored; of a direct chat that its name has told, the id alone */
	uint64_t head;     /* cseq of the last entry */
	bool far_from_mark; /* the head, when it was read (timeline.h T4) */
	uint64_t running;  /* running number of the last entry */
	uint64_t ts;       /* ms: time of the last entry */
	uint64_t position; /* queue position of the last entry */
	struct tl_last_sends sends; /* of a direct chat, as its last entry says */
	uint64_t marked;   /* when the store timeline is looked at next, by the last marker; 0: not known */
	bool whole;                /* all members are at hand: in `members`; else those looked up are in `looked_up` */
	struct tl_member *members; /* by ascending user number */
	size_t member_count;       /* at hand; how many there are stands in the record */
	struct tl_looked_up *looked_up;
	bool used; /* since the last trim */
	UT_hash_handle by_cid;
};

struct tl_conversations {
	struct tl_database *database; /* borrowed */
	struct tl_users *users;       /* borrowed */
	struct tl_numbers numbers;
	struct tl_conversation *by_cid;
	size_t member_count; /* of all conversations cached */
	bool replaying; /* what is being applied may have been applied in part before: see transaction.h */
};

void tl_conversations_init(struct tl_conversations *conversations, struct tl_database *database,
                           struct tl_users *users);
void tl_conversations_fini(struct tl_conversations *conversations);

/* Forgets everything cached, for when a batch may not have been applied. */
void tl_conversations_clear(struct tl_conversations *conversations);

/* Forgets conversations that were not used of late until at most `max` are left, and `max_members` members in all. */
void tl_conversations_trim(struct tl_conversations *conversations, uint64_t max, uint64_t max_members);

/* The conversation of that id, TL_NOT_FOUND if there is none. Valid until the next trim or clear. */
TL_MUST_USE enum tl_err tl_conversations_find(struct tl_conversations *conversations, struct tl_iter *iter,
                                              struct tl_slice cid, struct tl_conversation **conversation_out);

/* Puts members into the order of their numbers and drops those that are there more than once: how many are left. */
size_t tl_members_sort(struct tl_member *members, size_t count);

/* Makes a conversation that does not exist, with these members (copied; each once; those of a direct chat in the order of
 * their ids, others in any), and puts it into the batch. */
TL_MUST_USE enum tl_err tl_conversations_create(struct tl_conversations *conversations, struct tl_batch *batch,
                                                const struct tl_conversation_record *record,
                                                const struct tl_member *members, size_t member_count,
                                                struct tl_conversation **conversation_out);

/* The member of that number; *member_out is NULL where there is none. Valid until a member is added or removed. */
TL_MUST_USE enum tl_err tl_conversations_member(struct tl_conversations *conversations,
                                                struct tl_conversation *conversation, uint64_t user_no,
                                                struct tl_member **member_out);

/* As tl_conversations_member, but without looking into the database: NULL where the member is not at hand; of a direct chat's
 * member the record may not have been read (`bare`). */
struct tl_member *tl_conversation_member(const struct tl_conversation *conversation, uint64_t user_no);

/* Has all members at hand. What of them was changed before stays as it is at hand. */
TL_MUST_USE enum tl_err tl_conversations_load_members(struct tl_conversations *conversations, struct tl_iter *iter,
                                                      struct tl_conversation *conversation);

/* Lets go of the members. Only while the batch is empty, so that all that was changed is in the database. */
void tl_conversations_forget_members(struct tl_conversations *conversations, struct tl_conversation *conversation);

/* Calls `each` for every member, from the database where not all are at hand (then the batch must not hold changes of
 * members); ends early when it fails. The member is valid during the call only. */
TL_MUST_USE enum tl_err tl_conversations_each_member(struct tl_conversations *conversations, struct tl_iter *iter,
                                                     struct tl_conversation *conversation,
                                                     enum tl_err (*each)(void *ctx, const struct tl_member *member),
                                                     void *ctx);

/* Replaces the conversation's record; slices of `record` may point into the present one. */
TL_MUST_USE enum tl_err tl_conversation_change(struct tl_conversation *conversation, struct tl_batch *batch,
                                               const struct tl_conversation_record *record);

/* Puts a member's record into the batch. */
void tl_conversation_put_member(const struct tl_conversation *conversation, struct tl_batch *batch,
                                const struct tl_member *member);

/* Puts a direct chat's name into the batch where it does not say what is so: who the two are, who has muted it,
 * and who has blocked the other. */
void tl_conversation_settle_name(struct tl_conversation *conversation, struct tl_batch *batch);

/* Puts what a former member may still see into the batch. */
void tl_conversation_put_former(const struct tl_conversation *conversation, struct tl_batch *batch, uint64_t user_no,
                                const struct tl_former_record *former);

/* Adds users who are no members, each once, from cseq `since` on. What they had deleted in an earlier membership stays
 * deleted. The database is read, so the batch must not hold an earlier leaving. */
TL_MUST_USE enum tl_err tl_conversations_add(struct tl_conversations *conversations, struct tl_batch *batch,
                                             struct tl_conversation *conversation, struct tl_user *const *users, size_t count,
                                             uint64_t since);

/* Removes members, each once; `last` is the cseq of the last entry that they get. */
TL_MUST_USE enum tl_err tl_conversations_remove(struct tl_conversations *conversations, struct tl_batch *batch,
                                                struct tl_conversation *conversation, struct tl_user *const *users,
                                                size_t count, uint64_t last);

/* --- for readers, any thread --- */

/* What a conversation's name tells, TL_NOT_FOUND if there is none of that id. */
TL_MUST_USE enum tl_err tl_conversation_name(struct tl_engine *engine, const struct tl_snapshot *snapshot,
                                             struct tl_slice cid, struct tl_conversation_name *name_out);

/* The number of a conversation, likewise. */
TL_MUST_USE enum tl_err tl_conversation_no(struct tl_engine *engine, const struct tl_snapshot *snapshot,
                                           struct tl_slice cid, uint64_t *no_out);

/* A conversation's record, TL_NOT_FOUND if there is none: *bytes_out is malloc'ed, the caller's, and what record_out points into. */
TL_MUST_USE enum tl_err tl_conversation_read(struct tl_engine *engine, const struct tl_snapshot *snapshot, uint64_t no,
                                             struct tl_conversation_record *record_out, char **bytes_out);

/* What a former member may still see, TL_NOT_FOUND if there is no such one. */
TL_MUST_USE enum tl_err tl_former_read(struct tl_engine *engine, const struct tl_snapshot *snapshot, uint64_t no,
                                       uint64_t user_no, struct tl_former_record *record_out);

/* One member's record, TL_NOT_FOUND if the user is not a member. */
TL_MUST_USE enum tl_err tl_member_read(struct tl_engine *engine, const struct tl_snapshot *snapshot, uint64_t no,
                                       uint64_t user_no, struct tl_member_record *record_out);

#endif
