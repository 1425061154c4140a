/* The users that the writer has at hand: number, name, and where their inbox ends. A bounded cache over the database;
 * what is not in it is read when needed. Writer thread only. */
#ifndef TL_USERS_H
#define TL_USERS_H

#include "database.h"

#include <uthash.h>

/* Whether anybody has blocked a user, as far as it is known (blocks.h). */
enum tl_blocked { TL_BLOCKED_UNKNOWN, TL_BLOCKED_BY_NOBODY, TL_BLOCKED_BY_SOMEBODY };

struct tl_user {
	uint64_t no;
	uint64_t inbox_head; /* sequence number of the last inbox entry */
	uint64_t position;   /* queue position of that entry */
	uint64_t inbox_ts;   /* ms: its time */
	uint64_t pulled_in;  /* serial of the batch in which entries were last taken in (pull.h) */
	bool named_only;          /* what follows of the record has not been read; whom somebody asks for by name has it */
	uint64_t groups;          /* how many groups and channels the user is in */
	uint64_t groups_position; /* queue position of what changed that last */
	uint64_t ended;           /* … and of what dissolved the last one that was counted afterwards, 0: none */
	uint64_t inbox_floor;
	uint64_t marked;     /* when the inbox is looked at next, by the last marker; 0: not known */
	struct tl_inbox_run *run; /* what the batch at hand appends; NULL: nothing (transaction_inbox.c) */
	enum tl_blocked blocked;
	UT_hash_handle by_no;
	UT_hash_handle by_uid;
	bool used;   /* since the last trim */
	size_t uid_len;
	char uid[]; /* not terminated */
};

struct tl_users {
	struct tl_database *database; /* borrowed */
	struct tl_numbers numbers;
	struct tl_user *by_no;
	struct tl_user *by_uid;
	struct tl_recounted *recounted; /* what the batch at hand counts of others (users.c) */
	bool replaying; /* what is being applied may have been applied in part before: see transaction.h */
};

void tl_users_init(struct tl_users *users, struct tl_database *database);
void tl_users_fini(struct tl_users *users);

/* The batch at hand is in the database, or given up. */
void tl_users_next_batch(struct tl_users *users);

/* Forgets everything cached, for when a batch may not have been applied. */
void tl_users_clear(struct tl_users *users);

/* Forgets users that were not used of late until at most `max` are left. Not between taking a user and using it. */
void tl_users_trim(struct tl_users *users, uint64_t max);

/* The user of that name; one who does not exist is made, which goes into `batch`. `iter` is any iterator on the present
 * state. The user is valid until the next trim or clear. */
TL_MUST_USE enum tl_err tl_users_take(struct tl_users *users, struct tl_batch *batch, struct tl_iter *iter,
                                      struct tl_slice uid, struct tl_user **user_out);

/* As tl_users_take, but TL_NOT_FOUND for one who does not exist. */
TL_MUST_USE enum tl_err tl_users_find(struct tl_users *users, struct tl_batch *batch, struct tl_iter *iter,
                                      struct tl_slice uid, struct tl_user **user_out);

/* The user of that number, who must exist (TL_CORRUPT). */
TL_MUST_USE enum tl_err tl_users_find_no(struct tl_users *users, struct tl_iter *iter, uint64_t no,
                                         struct tl_user **user_out);

/* That user if at hand, else NULL. */
struct tl_user *tl_users_at_hand(struct tl_users *users, uint64_t no);

/* The user of that number and name, who must exist and is not at hand: without reading the record. */
TL_MUST_USE enum tl_err tl_users_load_named(struct tl_users *users, struct tl_iter *iter, uint64_t no,
                                            struct tl_slice uid, struct tl_user **user_out);

/* Has it looked up again who has blocked the user of that name. */
void tl_users_blocked_changed(struct tl_users *users, struct tl_slice uid);

/* Counts a group or channel that the user of that number, who must exist (TL_CORRUPT), is `in` from now on, or no longer,
 * by the queue record at `position`; what that record has counted already, before a failure, is not counted again. */
TL_MUST_USE enum tl_err tl_users_count_group(struct tl_users *users, struct tl_batch *batch, uint64_t no,
                                             uint64_t position, bool in);

/* Counts, some time after the queue record at `position` has dissolved it, a group or channel that the user of that number, who
 * must exist (TL_CORRUPT), was in; once only, in the order of these records (endings.h). */
TL_MUST_USE enum tl_err tl_users_count_ending(struct tl_users *users, struct tl_batch *batch, uint64_t no,
                                              uint64_t position);

/* --- for readers, any thread --- */

/* The number of a user, TL_NOT_FOUND if there never was one of that name. */
TL_MUST_USE enum tl_err tl_user_no(struct tl_engine *engine, const struct tl_snapshot *snapshot, struct tl_slice uid,
                                   uint64_t *no_out);

/* The name of a user who must exist (TL_CORRUPT); *bytes_out is malloc'ed, the caller's, and what *uid_out points into. */
TL_MUST_USE enum tl_err tl_user_uid(struct tl_engine *engine, const struct tl_snapshot *snapshot, uint64_t no,
                                    struct tl_slice *uid_out, char **bytes_out);

#endif
