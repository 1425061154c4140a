/* The conversations with fan-out on read that users online take part in: whom a message concerns although it enters
 * nobody's inbox, and how much each of them has yet to take in.
 *
 *     conversation ── head ──┬── follow: pulled, until ── user online
 *                            ├── follow …
 *
 * Cost: in proportion to those who are online, not to the members; of one change, the same however many conversations a
 * user follows.
 *
 *   (O1) Everything here only grows (heads, positions, ends), so that what was read from the database and what commits
 *        tell can arrive in any order.
 *
 * The caller holds a lock. */
#ifndef TL_FOLLOWING_H
#define TL_FOLLOWING_H

#include "commit.h"

#include <uthash.h>

struct tl_follow_key {
	void *follower;
	uint64_t conversation_no, since;
};

/* A user's part in one conversation. */
struct tl_follow {
	struct tl_follow_key key;
	struct tl_followed *followed;
	struct tl_backlog_record record;
	bool quiet;
	struct tl_follow *prev_of_follower, *next_of_follower;
	struct tl_follow *prev, *next; /* of the conversation */
	UT_hash_handle hh;
};

/* One conversation. */
struct tl_followed {
	uint64_t conversation_no;
	uint64_t head; /* cseq, as far as is known */
	struct tl_follow *follows;
	struct tl_follow *walk;           /* where tl_following_walk goes on */
	struct tl_followed *next_touched; /* the caller's: has new messages */
	bool touched;
	UT_hash_handle hh;
};

struct tl_following {
	struct tl_followed *by_no;
	struct tl_follow *by_key;
};

/* Takes in how a user stands; `follows` is the user's list. `head` 0: not known. False if memory is short. */
bool tl_following_set(struct tl_following *following, struct tl_follow **follows, void *follower,
                      const struct tl_backlog_change *change, uint64_t head);

/* Forgets those of a user's parts that have come to their end. */
void tl_following_drop_ended(struct tl_following *following, struct tl_follow **follows);

/* Forgets all of them. */
void tl_following_drop_all(struct tl_following *following, struct tl_follow **follows);

/* How much a user has yet to take in. */
uint64_t tl_following_pending(const struct tl_follow *follows);

/* Whether any of it is in a conversation that the user has not muted. */
bool tl_following_is_loud(const struct tl_follow *follows);

/* The conversation of that number with `cseq` as its new head, NULL if nobody follows it. */
struct tl_followed *tl_following_raise(struct tl_following *following, uint64_t conversation_no, uint64_t cseq);

/* The next of those whom new messages of the conversation concern, NULL at the end. The caller sets followed->walk to
 * followed->follows first, and may let go of the lock in between, but be the only one who walks. */
void *tl_following_walk(struct tl_followed *followed);

/* The caller has done with a conversation that it had marked as touched. */
void tl_following_release(struct tl_following *following, struct tl_followed *followed);

#endif
