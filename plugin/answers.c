/* What goes back to devices: responses, receipts, notifications. Encoded on the threads that have the answers,
 * published on the broker's. */
#include "plugin.h"

#include <stdlib.h>

/* Where memory is short for the payload there is a packet without one, because the session counts on it (outbox.h). */
static struct tl_packet *encode(struct tl_encoder *encoder, struct tl_packet_block **block, const struct tl_route *route,
                                struct tl_slice user, struct tl_slice device, const struct tl_response *response)
{
	struct tl_slice payload;
	if (tl_codec_encode(encoder, route->codec, response, &payload) != TL_OK)
		payload = tl_slice(NULL, 0);
	struct tl_packet *packet = tl_packet_new(block, user, device, route->topic, route->correlation, payload);
	if (packet)
		packet->qos = route->qos;
	return packet;
}

void tl_answer_send(struct tl_plugin *plugin, const struct tl_route *route, struct tl_slice user,
                    struct tl_slice device, const struct tl_response *response, const struct tl_asked *asked)
{
	struct tl_encoder encoder;
	tl_encoder_init(&encoder);
	struct tl_packet *packet = encode(&encoder, NULL, route, user, device, response);
	tl_encoder_fini(&encoder);
	if (!packet)
		return;
	if (asked) {
		packet->answers_request = true;
		packet->asked = *asked;
	}
	tl_outbox_put_take(&plugin->outbox, packet);
}

static struct tl_packet *outcome_packet(struct tl_encoder *encoder, struct tl_packet_block **block,
                                        const struct tl_outcome *outcome)
{
	struct tl_route route;
	if (outcome->route.len == 0 || !tl_route_unpack(outcome->route, &route))
		return NULL;
	const struct tl_response response = {
		.op = outcome->op,
		.rid = route.rid,
		.err = outcome->err,
		.why = outcome->why,
		.fields = outcome->fields,
		.field_count = outcome->field_count,
	};
	struct tl_packet *packet = encode(encoder, block, &route, outcome->user, outcome->device, &response);
	if (packet)
		packet->answers_change = strcmp(outcome->op, "send") != 0;
	return packet;
}

void tl_answer_committed(void *ctx, const struct tl_commit *commit)
{
	struct tl_plugin *plugin = ctx;
	struct tl_packet *first = NULL, **last = &first;
	struct tl_packet_block *block = NULL;
	struct tl_encoder encoder;

	tl_encoder_init(&encoder);
	for (size_t i = 0; i < commit->outcome_count; i++) {
		struct tl_packet *packet = outcome_packet(&encoder, &block, &commit->outcomes[i]);
		if (!packet)
			continue;
		*last = packet;
		last = &packet->next;
	}
	tl_encoder_fini(&encoder);
	tl_outbox_put_list_take(&plugin->outbox, first);
	tl_live_committed(plugin->live, commit);
	tl_notify_committed(plugin->notify, commit);
}

/* Only to the connection that holds the client id now, and only if it is the same user's. */
static bool publish(struct tl_plugin *plugin, const struct tl_packet *packet)
{
	struct tl_session *session = tl_sessions_find_device(&plugin->sessions, packet->user, packet->device);
	if (!session)
		return false;
	if (packet->answers_request && session->requests > 0)
		session->requests--;
	if (packet->answers_change && session->changes > 0)
		session->changes--;
	if (!packet->payload.ptr)
		return false;
	tl_unread_sent(&session->unread, packet->qos, packet->payload.len, &packet->asked);
	tl_resident_add(&plugin->resident, packet->payload.len);
	const struct tl_packet_address address = {
		.client_id = packet->device.ptr,
		.topic = packet->topic.ptr,
		.qos = packet->qos,
		.correlation = packet->correlation,
	};
	return tl_broker_publish(&address, packet->payload);
}

bool tl_answer_publish(struct tl_plugin *plugin)
{
	bool any = false;
	tl_packets_free(plugin->published);
	plugin->published = tl_outbox_take_all(&plugin->outbox);
	for (struct tl_packet *packet = plugin->published; packet; packet = packet->next)
		any |= publish(plugin, packet);
	if (!plugin->sleeps_after_tick) {
		tl_packets_free(plugin->published);
		plugin->published = NULL;
	}
	any |= tl_live_flush(plugin->live);
	any |= tl_notify_flush(plugin->notify);
	return any;
}
