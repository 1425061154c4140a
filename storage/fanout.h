/* Fan-out: how the messages of a conversation get into its members' inboxes.
 *
 *     on write   message ──► store timeline
 *                       └──► a reference into every member's inbox
 *     on read    message ──► store timeline ─ ─ ─ when the member syncs ─ ─ ─► references (pull.h)
 *                            └ head - pulled: the member's backlog ┘
 *
 *   (F1) The conversation's setting decides; `auto` means on write for up to write_fanout_max members, `write` for up to
 *        TL_FANOUT_WRITE_MAX if these are more: anybody can make a conversation, and each of its messages takes the writer's
 *        time for each member. Back from on read it goes only when they are a quarter fewer, so that comings and goings around
 *        the limit change nothing.
 *   (F2) Whoever is a member while a conversation is on read has a backlog: a record that says up to which cseq
 *        everything is in the inbox. It ends with the membership.
 *   (F3) A member with a backlog gets nothing written to the inbox directly, not even once the conversation is on write
 *        again, or after leaving and joining again, until all of it has been taken in. So the entries of one conversation stand in the order of cseq, and
 *        changing the way costs no more than one record for each member, and nothing on the way back.
 *
 * Writer thread only. */
#ifndef TL_FANOUT_H
#define TL_FANOUT_H

#include "transaction.h"

enum { TL_FANOUT_WRITE_MAX = 5000 }; /* members */

/* Whether such a conversation is to be on read (F1). */
bool tl_fanout_on_read(const struct tl_conversation_record *record, uint64_t write_fanout_max);

/* Changes the way of a conversation if its setting, its members or the limit ask for it. Members may move. */
TL_MUST_USE enum tl_err tl_fanout_settle(struct tl_transaction *txn, struct tl_conversation *conversation);

/* Begins the backlog of every member who has none, from the next entry on; those who still have one go on with it. */
TL_MUST_USE enum tl_err tl_fanout_begin_all(struct tl_transaction *txn, struct tl_conversation *conversation);

/* Begins the backlog of each of these new members, from the next entry on, if the conversation is on read or they have
 * one from an earlier membership. */
TL_MUST_USE enum tl_err tl_fanout_joined(struct tl_transaction *txn, struct tl_conversation *conversation,
                                         struct tl_user *const *users, size_t count);

/* Ends the backlog of each of these members with the conversation's present head, before they are removed. */
TL_MUST_USE enum tl_err tl_fanout_leaving(struct tl_transaction *txn, struct tl_conversation *conversation,
                                          struct tl_user *const *users, size_t count);

#endif
