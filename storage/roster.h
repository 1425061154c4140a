/* Who can still come into a group or channel: how large it may be, how many of them one user may be in, and whom others
 * may add. Writer thread.
 *
 *   (G1) One is in at most max_conversations groups and channels; direct chats do not count.
 *   (G2) Others can add a user up to three quarters of that. So nobody can fill up what a user can make or join himself.
 *   (G3) Nobody is added by someone whom he has blocked.
 *   (G4) Each check costs one read for each user; one that would end in a refusal costs more. */
#ifndef TL_ROSTER_H
#define TL_ROSTER_H

#include "named_users.h"
#include "requests.h"

/* TL_TOO_LARGE where a conversation cannot have so many members. */
TL_MUST_USE enum tl_err tl_roster_check_size(const struct tl_transaction *txn, uint64_t members, struct tl_why *why);

/* Whether a user can make or join one more: TL_TOO_LARGE (G1). `user` NULL: one whom nobody has heard of yet. */
TL_MUST_USE enum tl_err tl_roster_check_self(struct tl_transaction *txn, const struct tl_user *user,
                                             struct tl_why *why);

/* Whether the caller can put somebody else into one more: TL_NOT_AUTHORISED (G3), TL_TOO_LARGE (G2); `why` names the
 * user. */
TL_MUST_USE enum tl_err tl_roster_check_named(struct tl_transaction *txn, const struct tl_call *call,
                                              const struct tl_named_user *named, struct tl_why *why);

/* Counts for each member of a new conversation that there is one more. */
TL_MUST_USE enum tl_err tl_roster_count_all(struct tl_transaction *txn, struct tl_conversation *conversation);

/* Counts for a few that there is one more, or one less. */
TL_MUST_USE enum tl_err tl_roster_count(struct tl_transaction *txn, struct tl_user *const *users, size_t count, bool in);

#endif
