/* The live topics: each message of a conversation, as it was sent, for plain subscribers who are members.
 *
 *     broker thread: tl_live_subscribed ──► who may be listening to what
 *     writer thread: tl_live_committed ──► packets for conversations that somebody listens to
 *     broker thread: tl_live_flush, at a tick ──► tl_live_reaches, when the broker delivers, before the next tick
 *
 * Whether a subscriber is a member is checked by the broker at each delivery (access.c). Who has just joined may not get
 * what is being delivered from before, and the delivery does not say which message it is. So:
 *
 * (V1) What is published of a conversation at one tick stands in it without anything in between, events above all: all of it
 *      comes before a joining, or all of it after. The rest waits for the next tick. Where too much waits already, it is
 *      published all the same, and who joins in between gets nothing of it.
 * (V2) The broker delivers what is published at a tick to all who listen before it does anything else. So what is published
 *      at one tick goes to some thousand sessions, or is one message; and after so much, others have their turn for half
 *      as long as delivering took. Only what is more than may wait does not wait for that. */
#ifndef TL_LIVE_H
#define TL_LIVE_H

#include "commit.h"
#include "waker.h"

#include <stdbool.h>

struct tl_live;
struct tl_live_interest; /* what one session listens to */

/* Borrows what it is given until it is freed. */
TL_MUST_USE enum tl_err tl_live_new(const char *root, struct tl_waker *waker, struct tl_live **live_out);
void tl_live_free(struct tl_live *live);

/* --- broker thread --- */

/* The user's session may listen to the conversation from now on, or to any (`cid` empty). *interest is the session's, NULL at
 * first. */
void tl_live_subscribed(struct tl_live *live, struct tl_live_interest **interest, struct tl_slice user,
                        struct tl_slice cid);

/* The session is gone. */
void tl_live_ended(struct tl_live *live, struct tl_live_interest *interest);

/* Publishes what is ready, as far as (V1) and (V2) allow. True if anything was. To be called at a tick only: the broker has
 * delivered by then what was published at the one before. */
bool tl_live_flush(struct tl_live *live);

/* Whether what is being delivered of the conversation comes after a member's joining at `since`. */
bool tl_live_reaches(const struct tl_live *live, struct tl_slice cid, uint64_t since);

/* --- writer thread --- */

void tl_live_committed(struct tl_live *live, const struct tl_commit *commit);

#endif
