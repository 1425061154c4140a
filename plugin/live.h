/* The live topics: each message of a conversation, as it was sent, for plain subscribers who are members.
 *
 *     broker thread: tl_live_subscribed ──► who may be listening to what
 *     writer thread: tl_live_committed ──► packets for conversations that somebody listens to
 *     broker thread: tl_live_flush, at a tick
 *
 * Whether a subscriber is a member is checked by the broker at each delivery (access.c). */
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

/* The session may listen to the conversation from now on, or to any (`cid` empty). *interest is the session's, NULL at
 * first. */
void tl_live_subscribed(struct tl_live *live, struct tl_live_interest **interest, struct tl_slice cid);

/* The session is gone. */
void tl_live_ended(struct tl_live *live, struct tl_live_interest *interest);

/* Publishes what is ready. True if anything was. */
bool tl_live_flush(struct tl_live *live);

/* --- writer thread --- */

void tl_live_committed(struct tl_live *live, const struct tl_commit *commit);

#endif
