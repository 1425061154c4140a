/* Telling users who are online that their inbox has grown.
 *
 *     writer thread: tl_notify_committed ──► what is due per user, merged ──► broker thread: tl_notify_flush, at a tick
 *
 *   (N1) Only committed entries are announced.
 *   (N2) What a user is told in one tick is one notification per codec, whatever the number of messages: inline if they
 *        fit into notify_inline_max and join on to each other, else lightweight.
 *   (N3) Users without a device online cost one hash lookup.
 */
#ifndef TL_NOTIFY_H
#define TL_NOTIFY_H

#include "codec.h"
#include "commit.h"
#include "waker.h"

struct tl_notify;

struct tl_notify_options {
	const char *root;
	uint64_t inline_max; /* bytes of packed messages */
	struct tl_waker *waker; /* borrowed */
};

/* Borrows the strings until it is freed. The epoch is to be set before anybody is watched. */
TL_MUST_USE enum tl_err tl_notify_new(const struct tl_notify_options *options, struct tl_notify **notify_out);
void tl_notify_free(struct tl_notify *notify);
void tl_notify_set_epoch(struct tl_notify *notify, const char *epoch);

/* --- broker thread --- */

/* One more device of the user is to be notified; false if memory is short. */
bool tl_notify_watch(struct tl_notify *notify, struct tl_slice user);

/* One device less. */
void tl_notify_unwatch(struct tl_notify *notify, struct tl_slice user);

/* Some device of the user may have subscribed to notifications in these codecs (bits of enum tl_codec). */
void tl_notify_want(struct tl_notify *notify, struct tl_slice user, unsigned codecs);

/* Publishes what is due. True if anything was. */
bool tl_notify_flush(struct tl_notify *notify);

/* --- any thread --- */

/* Takes in what was committed. */
void tl_notify_committed(struct tl_notify *notify, const struct tl_commit *commit);

/* Writes the payload of a lightweight notification. */
void tl_notify_lightweight(const struct tl_notify *notify, enum tl_codec codec, uint64_t seq, struct tl_pack *pack);

/* Writes the topic of a user's notifications; `size` must suffice for root, "/notify/", user and "/json". */
void tl_notify_topic(const struct tl_notify *notify, enum tl_codec codec, struct tl_slice user, char *out, size_t size);

#endif
