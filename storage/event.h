/* Events: the entries by which members learn what has been done, and devices what their user did elsewhere.
 *
 *     tl_event_begin(&event, call, "role");
 *     tl_event_str(&event, "role", …);
 *     err = tl_event_append(&event, txn, conversation);      or tl_event_append_private(…)
 */
#ifndef TL_EVENT_H
#define TL_EVENT_H

#include "requests.h"

struct tl_event {
	const struct tl_call *call;
	struct tl_pack pack; /* the event's map */
	struct tl_pack_open open;
	uint32_t pairs;
};

/* Begins an event of this kind by the caller. It is ended by one of the appends, or by tl_event_drop. */
void tl_event_begin(struct tl_event *event, const struct tl_call *call, const char *kind);
void tl_event_drop(struct tl_event *event);

void tl_event_str(struct tl_event *event, const char *key, struct tl_slice value);
void tl_event_bin(struct tl_event *event, const char *key, struct tl_slice value);
void tl_event_uint(struct tl_event *event, const char *key, uint64_t value);
void tl_event_bool(struct tl_event *event, const char *key, bool value);
void tl_event_user(struct tl_event *event, struct tl_slice uid); /* `users`, of this one */
void tl_event_array(struct tl_event *event, const char *key, uint32_t count, struct tl_slice packed_items);

/* Appends it to the conversation and to every member's inbox. */
TL_MUST_USE enum tl_err tl_event_append(struct tl_event *event, struct tl_transaction *txn,
                                        struct tl_conversation *conversation);

/* Appends it to the caller's own inbox only; `conversation` may be NULL. */
TL_MUST_USE enum tl_err tl_event_append_private(struct tl_event *event, struct tl_transaction *txn,
                                                struct tl_user *user, const struct tl_conversation *conversation);

#endif
