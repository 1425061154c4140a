/* Telling users who are online that their inbox has grown.
 *
 *     writer thread: tl_notify_committed ──► what is due per user, merged ──► broker thread: tl_notify_flush, at a tick
 *
 *   (N1) Only committed entries are announced.
 *   (N2) What a user is told in one tick is one notification per codec, whatever the number of messages: inline if they
 *        join on to each other and all of it fits into notify_inline_max, else lightweight. An edit is never inline, because not
 *        everyone who gets it may see its body.
 *   (N3) Users without a device online cost one hash lookup, those of a conversation with fan-out on read nothing.
 *   (N4) What has yet to enter an inbox counts: the seq announced is the one that the inbox will reach.
 *   (N5) Conversations with fan-out on read come in turn: after all others, and to one user at most a few times a second.
 *   (N6) A tick publishes to so many users, and so many bytes, that others' turn comes soon; the rest is for the next ticks.
 */
#ifndef TL_NOTIFY_H
#define TL_NOTIFY_H

#include "backlog.h"
#include "codec.h"
#include "commit.h"
#include "waker.h"

struct tl_notify;

struct tl_notify_options {
	const char *root;
	uint64_t inline_max; /* bytes of a notification that has messages */
	struct tl_waker *waker; /* borrowed */
};

/* Borrows the strings until it is freed. The epoch is to be set before anybody is watched. */
TL_MUST_USE enum tl_err tl_notify_new(const struct tl_notify_options *options, struct tl_notify **notify_out);
void tl_notify_free(struct tl_notify *notify);
void tl_notify_set_epoch(struct tl_notify *notify, const char *epoch);

/* --- broker thread --- */

/* One more device of the user is to be notified; false if memory is short. *first_out: it is the first one, so the user's
 * inbox has to be read and tl_notify_loaded called; until then nothing is announced. */
bool tl_notify_watch(struct tl_notify *notify, struct tl_slice user, bool *first_out);

/* One device less. */
void tl_notify_unwatch(struct tl_notify *notify, struct tl_slice user);

/* Some device of the user may have subscribed to notifications in these codecs (bits of enum tl_codec). */
void tl_notify_want(struct tl_notify *notify, struct tl_slice user, unsigned codecs);

/* Publishes what is due. True if anything was. */
bool tl_notify_flush(struct tl_notify *notify);

/* --- any thread --- */

/* Takes in a user's inbox as the database has it (NULL: it could not be read). Whatever has yet to enter it has to be read
 * twice, the second time when this has returned, so that no commit in between is missed; `last`: this is all. */
void tl_notify_loaded(struct tl_notify *notify, struct tl_slice user, const struct tl_inbox *inbox, bool last);

/* Takes in what was committed. */
void tl_notify_committed(struct tl_notify *notify, const struct tl_commit *commit);

/* Writes the payload of a lightweight notification. */
void tl_notify_lightweight(const struct tl_notify *notify, enum tl_codec codec, uint64_t seq, struct tl_pack *pack);

/* Writes the topic of a user's notifications; `size` must suffice for root, "/notify/", user and "/json". */
void tl_notify_topic(const struct tl_notify *notify, enum tl_codec codec, struct tl_slice user, char *out, size_t size);

#endif
