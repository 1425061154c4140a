/* The live topics: each message of a conversation, as it was sent, for plain subscribers who are members.
 *
 *     broker thread: tl_live_may_listen, tl_live_subscribed ──► who may be listening to what (audience.h)
 *     writer thread: tl_live_committed ──► packets for conversations that somebody may be listening to
 *     broker thread: tl_live_flush, at a tick ──► the broker delivers, before the next tick: tl_live_asked, tl_live_reaches
 *
 * Whether a subscriber is a member is checked by the broker at each delivery (access.c). Who has just joined may not get
 * what is being delivered from before, and the delivery does not say which message it is. So:
 *
 * (V1) What is published of a conversation at one tick stands in it without anything in between, events above all: all of it
 *      comes before a joining, or all of it after. The rest waits for the next tick. Where too much waits already, it is
 *      published all the same, and who joins in between gets nothing of it.
 * (V2) The broker delivers what is published at a tick to all who listen before it does anything else. So what is published
 *      at one tick goes to some thousand sessions, or is one message; and after so much, others have their turn for half
 *      as long as delivering took. Only what is more than may wait does not wait for that.
 * (V3) A conversation of which something was published at one tick, and nobody was asked about it before the next one, is
 *      unheard, and nothing of it is made ready until somebody subscribes. That nobody was asked tells this only
 *      - if the broker has had a message to take or to send since it was published: then it has gone on with its loop, and has
 *        delivered by the next tick (2.1 has one for each listener that uses the plugin, one right after the other);
 *      - if nobody has subscribed since: who did so after the delivery was not asked, and listens;
 *      - if no connection had ended since the tick before: of those who share a subscription ($share), 2.0 picks one for each
 *        message, and asks nothing if that one has just gone. */
#ifndef TL_LIVE_H
#define TL_LIVE_H

#include "commit.h"
#include "waker.h"

#include <stdbool.h>

struct tl_live;
struct tl_interest; /* what one session may be listening to; see audience.h */

/* Borrows what it is given until it is freed. TL_NO_MEMORY; TL_IO: the system has no random numbers. */
TL_MUST_USE enum tl_err tl_live_new(const char *root, struct tl_waker *waker, struct tl_live **live_out);
void tl_live_free(struct tl_live *live);

/* --- broker thread --- */

/* The user's session may be listening to the conversation from now on, or to any (`cid` empty). *interest is the session's, NULL
 * at first. */
void tl_live_may_listen(struct tl_live *live, struct tl_interest **interest, struct tl_slice user, struct tl_slice cid);

/* The session is gone. */
void tl_live_ended(struct tl_live *live, struct tl_interest *interest);

/* Somebody subscribes to the conversation, or to what may be any (`cid` empty); before anything is delivered by that. */
void tl_live_subscribed(struct tl_live *live, struct tl_slice cid);

/* The broker asks whether somebody may have what it is delivering of the conversation. */
void tl_live_asked(struct tl_live *live, struct tl_slice cid);

/* The broker calls because a message comes in or goes out. */
void tl_live_went_on(struct tl_live *live);

/* A connection has ended. For 2.0 only. */
void tl_live_disconnected(struct tl_live *live);

/* Publishes what is ready, as far as (V1) and (V2) allow. True if anything was. To be called at a tick only: the broker has
 * delivered by then what was published at the one before. */
bool tl_live_flush(struct tl_live *live);

/* Whether what is being delivered of the conversation comes after a member's joining at `since`. */
bool tl_live_reaches(const struct tl_live *live, struct tl_slice cid, uint64_t since);

/* --- writer thread --- */

void tl_live_committed(struct tl_live *live, const struct tl_commit *commit);

#endif
