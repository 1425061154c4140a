#include "event.h"

#include <inttypes.h>
#include <stdio.h>

void tl_event_begin(struct tl_event *event, const struct tl_call *call, const char *kind)
{
	*event = (struct tl_event){.call = call};
	tl_pack_init(&event->pack);
	event->open = tl_pack_map_begin(&event->pack);
	tl_event_str(event, "kind", tl_slice_str(kind));
	tl_event_str(event, "by", call->user);
}

void tl_event_drop(struct tl_event *event)
{
	tl_pack_fini(&event->pack);
}

void tl_event_str(struct tl_event *event, const char *key, struct tl_slice value)
{
	tl_pack_cstr(&event->pack, key);
	tl_pack_str(&event->pack, value);
	event->pairs++;
}

void tl_event_bin(struct tl_event *event, const char *key, struct tl_slice value)
{
	tl_pack_cstr(&event->pack, key);
	tl_pack_bin(&event->pack, value);
	event->pairs++;
}

void tl_event_uint(struct tl_event *event, const char *key, uint64_t value)
{
	tl_pack_cstr(&event->pack, key);
	tl_pack_uint(&event->pack, value);
	event->pairs++;
}

void tl_event_bool(struct tl_event *event, const char *key, bool value)
{
	tl_pack_cstr(&event->pack, key);
	tl_pack_bool(&event->pack, value);
	event->pairs++;
}

void tl_event_user(struct tl_event *event, struct tl_slice uid)
{
	tl_pack_cstr(&event->pack, "users");
	tl_pack_array(&event->pack, 1);
	tl_pack_str(&event->pack, uid);
	event->pairs++;
}

void tl_event_array(struct tl_event *event, const char *key, uint32_t count, struct tl_slice packed_items)
{
	tl_pack_cstr(&event->pack, key);
	tl_pack_array(&event->pack, count);
	tl_pack_raw(&event->pack, packed_items);
	event->pairs++;
}

/* The event as a kept message, in the arena; the event itself is done with. NULL if memory is short. */
static char *finish(struct tl_event *event, struct tl_transaction *txn, size_t *len_out)
{
	char id[32], *kept = NULL;
	struct tl_pack pack;

	tl_pack_map_end(&event->pack, event->open, event->pairs);
	const struct tl_message message = {
		.ts = event->call->now,
		.id = tl_slice(id, (size_t)snprintf(id, sizeof id, "s-%" PRIx64, txn->position)),
		.from = event->call->user,
		.device = event->call->device,
		.type = tl_slice_str("event"),
		.event = tl_pack_bytes(&event->pack),
	};
	tl_pack_init(&pack);
	tl_message_pack(&pack, &message);
	if (!event->pack.failed && !pack.failed) {
		kept = tl_arena_copy(&txn->arena, tl_pack_bytes(&pack));
		*len_out = tl_pack_bytes(&pack).len;
	}
	tl_pack_fini(&pack);
	tl_pack_fini(&event->pack);
	return kept;
}

enum tl_err tl_event_append(struct tl_event *event, struct tl_transaction *txn, struct tl_conversation *conversation)
{
	struct tl_append append = {.event = true};
	uint64_t cseq, ts;
	append.message = finish(event, txn, &append.len);
	return append.message ? tl_transaction_append(txn, conversation, &append, &cseq, &ts) : TL_NO_MEMORY;
}

enum tl_err tl_event_append_private(struct tl_event *event, struct tl_transaction *txn, struct tl_user *user,
                                    const struct tl_conversation *conversation)
{
	size_t len;
	char *message = finish(event, txn, &len);
	return message ? tl_transaction_append_private(txn, user, conversation, message, len) : TL_NO_MEMORY;
}
