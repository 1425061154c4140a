/* Who may be listening to which live topic, and which conversations nobody listens to.
 *
 * A plugin hears of each subscription when it is made, and of none that a resumed session has from earlier: such a session may
 * be listening to anything. But the broker asks about each subscription that matches a message, also about those of sessions that
 * are offline, before it looks at anything else (subs__send). So what was published, and nobody was asked about, no
 * subscription matches, and none will before another one is made: resuming a session makes none. Such a conversation is
 * *unheard*.
 *
 *     sessions: named topics, or any      ──► who is listening, at most
 *     unheard:  +------+------+- … -+     ──► less these
 *               | hash |      |     |         64-bit hashes of conversations, each at its place or not at all
 *               +------+------+- … -+
 *
 * (A1) Of what is not unheard any more, nothing is: a filter that names a conversation takes it out, any other changes the
 *      hashes' seed, so that nothing is found. A conversation can be found by mistake with a chance of 2^-64.
 * (A2) Everything is forgotten once an hour: what nobody could see here, a subscription that another plugin has made past the
 *      broker's questions, or a message that the broker had no memory to deliver, does harm no longer.
 *
 * Not locked: its owner's lock guards it. */
#ifndef TL_AUDIENCE_H
#define TL_AUDIENCE_H

#include "error.h"
#include "slice.h"

#include <stdbool.h>
#include <stdint.h>

struct tl_audience;
struct tl_interest; /* what one session may be listening to */

/* TL_NO_MEMORY; TL_IO: the system has no random numbers. */
TL_MUST_USE enum tl_err tl_audience_new(struct tl_audience **audience_out);

/* Every session's interest has been removed by then. NULL is legal. */
void tl_audience_free(struct tl_audience *audience);

/* The user's session may be listening to the conversation, or to any (`cid` empty). *interest is the session's, NULL at
 * first. */
void tl_audience_add(struct tl_audience *audience, struct tl_interest **interest, struct tl_slice user, struct tl_slice cid);

/* The session is gone; frees its interest. NULL is legal. */
void tl_audience_remove(struct tl_audience *audience, struct tl_interest *interest);

/* Sessions that may be listening to the conversation. */
size_t tl_audience_count(const struct tl_audience *audience, struct tl_slice cid);

/* Whether any session may be listening to anything. */
bool tl_audience_is_there(const struct tl_audience *audience);

/* Whether anybody who is connected may be listening to the conversation. */
bool tl_audience_listens(const struct tl_audience *audience, struct tl_slice cid);

/* No subscription matches the conversation's topic now: it is unheard. */
void tl_audience_note_unheard(struct tl_audience *audience, struct tl_slice cid);

bool tl_audience_is_unheard(const struct tl_audience *audience, struct tl_slice cid);

/* A subscription to the conversation is made, or one that may match any (`cid` empty). */
void tl_audience_subscribed(struct tl_audience *audience, struct tl_slice cid);

/* To be called now and then, with the time in ms (A2). */
void tl_audience_tick(struct tl_audience *audience, uint64_t now_ms);

#endif
