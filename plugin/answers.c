/* What goes back to devices: responses, receipts, notifications. Encoded on the threads that have the answers,
 * published on the broker's. */
#include "plugin.h"

#include "clock.h"

#include <stdlib.h>
#include <utlist.h>

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

/* --- at a tick --- */

enum { HELD_MAX = 50000 }; /* packets: some 20 MB of receipts. What is more takes its chance with the broker's own limits */

static bool publish(struct tl_plugin *plugin, struct tl_session *session, const struct tl_packet *packet)
{
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

/* What has been dealt with is freed later: the broker may not have routed it yet. */
static void keep(struct tl_plugin *plugin, struct tl_packet *packet)
{
	packet->next = plugin->published;
	plugin->published = packet;
}

/* Whether a packet has to wait for its turn (pacing.h), behind those that do. */
static bool has_to_wait(const struct tl_plugin *plugin, struct tl_session *session, const struct tl_packet *packet,
                        uint64_t now_ns)
{
	if (packet->qos == 0 || !packet->payload.ptr)
		return false;
	bool has_turn = !session->held && tl_pacing_take(&session->pacing, now_ns);
	return !has_turn && plugin->held < HELD_MAX;
}

static void hold(struct tl_plugin *plugin, struct tl_session *session, struct tl_packet *packet)
{
	packet->next = NULL;
	if (session->held) {
		session->held_last->next = packet;
	} else {
		session->held = packet;
		DL_APPEND2(plugin->holding, session, holding_prev, holding_next);
	}
	session->held_last = packet;
	plugin->held++;
}

/* Those whose turn has come. */
static bool release(struct tl_plugin *plugin, struct tl_session *session, uint64_t now_ns)
{
	bool any = false;
	while (session->held && tl_pacing_take(&session->pacing, now_ns)) {
		struct tl_packet *packet = session->held;
		session->held = packet->next;
		plugin->held--;
		any |= publish(plugin, session, packet);
		keep(plugin, packet);
	}
	if (!session->held)
		DL_DELETE2(plugin->holding, session, holding_prev, holding_next);
	return any;
}

/* Only to the connection that holds the client id now, and only if it is the same user's. */
static bool deliver(struct tl_plugin *plugin, struct tl_packet *packet, uint64_t now_ns)
{
	struct tl_session *session = tl_sessions_find_device(&plugin->sessions, packet->user, packet->device);
	if (session && has_to_wait(plugin, session, packet, now_ns)) {
		hold(plugin, session, packet);
		return false;
	}
	bool published = session && publish(plugin, session, packet);
	keep(plugin, packet);
	return published;
}

static bool deliver_all(struct tl_plugin *plugin)
{
	const uint64_t now_ns = tl_monotonic_ns();
	struct tl_session *session, *next_session;
	bool any = false;
	DL_FOREACH_SAFE2(plugin->holding, session, next_session, holding_next)
		any |= release(plugin, session, now_ns);
	struct tl_packet *next;
	for (struct tl_packet *packet = tl_outbox_take_all(&plugin->outbox); packet; packet = next) {
		next = packet->next;
		any |= deliver(plugin, packet, now_ns);
	}
	if (plugin->holding)
		tl_waker_wake_in(plugin->waker, TL_PACING_REST_MS);
	return any;
}

static void free_published(struct tl_plugin *plugin)
{
	tl_packets_free(plugin->published);
	plugin->published = NULL;
}

bool tl_answer_publish(struct tl_plugin *plugin)
{
	free_published(plugin);
	bool any = deliver_all(plugin);
	if (!plugin->sleeps_after_tick)
		free_published(plugin);
	any |= tl_live_flush(plugin->live);
	any |= tl_notify_flush(plugin->notify);
	return any;
}

void tl_answer_session_ends(struct tl_plugin *plugin, struct tl_session *session)
{
	if (!session->held)
		return;
	for (const struct tl_packet *packet = session->held; packet; packet = packet->next)
		plugin->held--;
	DL_DELETE2(plugin->holding, session, holding_prev, holding_next);
	tl_outbox_put_list_take(&plugin->outbox, session->held);
	session->held = NULL;
}
