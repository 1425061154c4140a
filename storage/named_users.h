/* The users that a request names, each once, in its order. They are looked up first and made only when all of them have been
 * checked, so that a request that is refused leaves nothing behind. Writer thread. */
#ifndef TL_NAMED_USERS_H
#define TL_NAMED_USERS_H

#include "transaction.h"

struct tl_named_user {
	struct tl_slice uid;  /* the request's */
	struct tl_user *user; /* NULL: nobody has heard of this one yet */
	UT_hash_handle hh;
};

struct tl_named_users {
	struct tl_transaction *txn;
	struct tl_named_user *list; /* in the arena */
	size_t count;
	struct tl_named_user *by_uid;
};

/* For at most `room` users. To be ended with fini, also after a failure. */
TL_MUST_USE enum tl_err tl_named_users_init(struct tl_named_users *named, struct tl_transaction *txn, size_t room);
void tl_named_users_fini(struct tl_named_users *named);

/* Looks up a user and appends him, unless he is there already: *user_out is NULL then. `uid` stays valid until fini. */
TL_MUST_USE enum tl_err tl_named_users_add(struct tl_named_users *named, struct tl_slice uid,
                                           struct tl_named_user **user_out);

/* Takes back the last one that was appended. */
void tl_named_users_drop_last(struct tl_named_users *named);

/* Makes those that nobody has heard of; then every one has a user. */
TL_MUST_USE enum tl_err tl_named_users_make(struct tl_named_users *named);

#endif
