#include "following.h"

#include <stdlib.h>
#include <utlist.h>

static struct tl_followed *find_or_make(struct tl_following *following, uint64_t conversation_no)
{
	struct tl_followed *followed;
	HASH_FIND(hh, following->by_no, &conversation_no, sizeof conversation_no, followed);
	if (followed)
		return followed;
	followed = calloc(1, sizeof *followed);
	if (!followed)
		return NULL;
	followed->conversation_no = conversation_no;
	HASH_ADD(hh, following->by_no, conversation_no, sizeof followed->conversation_no, followed);
	return followed;
}

static void free_unused(struct tl_following *following, struct tl_followed *followed)
{
	if (followed->follows || followed->touched)
		return;
	HASH_DEL(following->by_no, followed);
	free(followed);
}

static struct tl_follow *find_or_add(struct tl_following *following, struct tl_follow **follows, void *follower,
                                     const struct tl_backlog_change *change)
{
	struct tl_follow_key key;
	struct tl_follow *follow;
	memset(&key, 0, sizeof key); /* it is hashed byte by byte */
	key.follower = follower;
	key.conversation_no = change->conversation_no;
	key.since = change->since;
	HASH_FIND(hh, following->by_key, &key, sizeof key, follow);
	if (follow)
		return follow;
	follow = calloc(1, sizeof *follow);
	struct tl_followed *followed = follow ? find_or_make(following, change->conversation_no) : NULL;
	if (!followed) {
		free(follow);
		return NULL;
	}
	follow->key = key;
	follow->followed = followed;
	HASH_ADD(hh, following->by_key, key, sizeof follow->key, follow);
	DL_APPEND(followed->follows, follow);
	DL_PREPEND2(*follows, follow, prev_of_follower, next_of_follower);
	return follow;
}

bool tl_following_set(struct tl_following *following, struct tl_follow **follows, void *follower,
                      const struct tl_backlog_change *change, uint64_t head)
{
	struct tl_follow *follow = find_or_add(following, follows, follower, change);
	if (!follow)
		return false;
	if (change->record.pulled > follow->record.pulled)
		follow->record.pulled = change->record.pulled;
	if (change->record.until > follow->record.until)
		follow->record.until = change->record.until;
	if (change->sound != TL_SOUND_AS_BEFORE)
		follow->quiet = change->sound == TL_SOUND_QUIET;
	/* What has been taken in exists. */
	if (change->record.pulled > head)
		head = change->record.pulled;
	if (head > follow->followed->head)
		follow->followed->head = head;
	return true;
}

static void drop(struct tl_following *following, struct tl_follow **follows, struct tl_follow *follow)
{
	struct tl_followed *followed = follow->followed;
	if (followed->walk == follow)
		followed->walk = follow->next;
	DL_DELETE(followed->follows, follow);
	DL_DELETE2(*follows, follow, prev_of_follower, next_of_follower);
	HASH_DEL(following->by_key, follow);
	free(follow);
	free_unused(following, followed);
}

static bool has_ended(const struct tl_follow *follow)
{
	return follow->record.until > 0 && follow->record.pulled >= follow->record.until;
}

void tl_following_drop_ended(struct tl_following *following, struct tl_follow **follows)
{
	struct tl_follow *follow, *next;
	for (follow = *follows; follow; follow = next) {
		next = follow->next_of_follower;
		if (has_ended(follow))
			drop(following, follows, follow);
	}
}

void tl_following_drop_all(struct tl_following *following, struct tl_follow **follows)
{
	while (*follows)
		drop(following, follows, *follows);
}

static uint64_t pending_of(const struct tl_follow *follow)
{
	uint64_t until = follow->record.until, last = follow->followed->head;
	if (until > 0 && until < last)
		last = until;
	return last > follow->record.pulled ? last - follow->record.pulled : 0;
}

uint64_t tl_following_pending(const struct tl_follow *follows)
{
	uint64_t pending = 0;
	for (const struct tl_follow *follow = follows; follow; follow = follow->next_of_follower)
		pending += pending_of(follow);
	return pending;
}

bool tl_following_is_loud(const struct tl_follow *follows)
{
	for (const struct tl_follow *follow = follows; follow; follow = follow->next_of_follower)
		if (!follow->quiet && pending_of(follow) > 0)
			return true;
	return false;
}

struct tl_followed *tl_following_raise(struct tl_following *following, uint64_t conversation_no, uint64_t cseq)
{
	struct tl_followed *followed;
	HASH_FIND(hh, following->by_no, &conversation_no, sizeof conversation_no, followed);
	if (followed && cseq > followed->head)
		followed->head = cseq;
	return followed;
}

void *tl_following_walk(struct tl_followed *followed)
{
	while (followed->walk) {
		struct tl_follow *follow = followed->walk;
		followed->walk = follow->next;
		bool concerned = follow->record.until == 0 || follow->record.until >= followed->head;
		if (concerned && !follow->quiet)
			return follow->key.follower;
	}
	return NULL;
}

void tl_following_release(struct tl_following *following, struct tl_followed *followed)
{
	followed->touched = false;
	free_unused(following, followed);
}
