/* Who may send to a conversation, for the thread that has to answer at once (the broker's). A bounded cache of answers
 * over the committed state, each valid until the writer changes what it says.
 *
 *     writer thread: commit ── bump version of the name's stripe ── pending--
 *     broker thread: pending? ── lookup: cached answer with the stripe's present version, else read the database
 *
 *     group, channel    (cid, user)   the member's record                           stripe of the cid
 *     direct chats      (user)        whether anybody has blocked the user          stripe of the uid
 *     … and if so       (cid, user)   whether the other one has                     stripe of the cid
 *
 * Who is in a direct chat its id says. So for a user whom nobody blocks there is one answer for all direct chats, and the
 * first of them alone reads.
 *
 * While changes that let somebody send are waiting in the queue a negative answer is not final: they may be about to make it
 * positive. */
#ifndef TL_MEMBERSHIP_H
#define TL_MEMBERSHIP_H

#include "database.h"

#include <stdatomic.h>

enum { TL_MEMBERSHIP_STRIPES = 4096 };

struct tl_membership_versions {
	_Atomic uint32_t stripes[TL_MEMBERSHIP_STRIPES];
	_Atomic uint64_t pending; /* changes submitted and not yet committed that may let somebody send */
};

/* Says that who is in the conversation of that id, or what they may do, has changed; or who blocks the user of that id. Writer
 * thread, after the commit. */
void tl_membership_changed(struct tl_membership_versions *versions, struct tl_slice name);

struct tl_membership; /* the cache; one thread */

TL_MUST_USE enum tl_err tl_membership_new(struct tl_membership_versions *versions,
                                          const struct tl_database *database, size_t max_entries,
                                          struct tl_membership **membership_out);
void tl_membership_free(struct tl_membership *membership);

struct tl_standing {
	bool member;
	uint64_t since;          /* cseq of joining; 0 in a direct chat */
	enum tl_err may_send;    /* TL_OK, TL_NOT_MEMBER or TL_NOT_AUTHORISED */
	bool needs_order;        /* messages must carry an order key */
	bool final;              /* nothing is waiting that could change a refusal, and nothing is damaged that led to it */
};

/* How `user` stands towards the conversation. TL_OK, or a failure to read. Where what says so is damaged, it is no member's,
 * and not final: the writer meets the same, and tells the sender. */
TL_MUST_USE enum tl_err tl_membership_find(struct tl_membership *membership, struct tl_slice cid, struct tl_slice user,
                                           struct tl_standing *standing_out);

#endif
