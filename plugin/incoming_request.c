/* A request: decoded and queued if it changes something, else handed to a reader as it is. */
#include "plugin.h"

#include "id.h"
#include "msgpack_reader.h"

#include <inttypes.h>
#include <mosquitto.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	RID_MAX = 128,      /* bytes of a packed rid */
	CHANGES_MAX = 1000, /* of one device, waiting to be made: each takes a commit of its own */
	REFUSED_MAX = 4096, /* bytes of a payload that is looked into for its rid although it is refused */
};

/* A request that reads, on its way through a reader thread. */
struct reading {
	struct tl_job job;
	struct tl_pull pull;
	struct tl_plugin *plugin;
	struct tl_presence *presence; /* the connection's; held */
	const struct tl_request *request; /* NULL: the current seq is to be told, in the route's codec */
	struct tl_route route;
	uint64_t proof;                   /* for the answer's cursor; 0: none … */
	char proof_text[TL_PROOF_DIGITS + 1]; /* … or empty */
	struct tl_slice user, device, payload;
	char data[];
};

/* Where the answer goes: the Response Topic, else the device's topic for the op and tag. */
static bool complete_route(struct tl_plugin *plugin, const struct tl_session *session, const struct tl_topic *topic,
                           struct tl_route *route)
{
	if (route->topic.ptr)
		return true;
	const struct tl_slice levels[] = {plugin->root, tl_slice_str("/res/"), session->device, tl_slice_str("/"),
	                                  topic->name, tl_slice_str(topic->tail.len ? "/" : ""), topic->tail};
	route->topic = tl_arena_join(&plugin->arena, levels, sizeof levels / sizeof levels[0]);
	return route->topic.ptr != NULL;
}

/* The request's rid, a packed string or number to be given back as it came. */
static enum tl_err take_rid(struct tl_slice map, struct tl_slice *rid_out, struct tl_why *why)
{
	struct tl_reader reader;
	struct tl_item item;
	if (!tl_msgpack_find(map, "rid", &reader))
		return TL_OK;
	const unsigned char *begin = reader.next;
	if (!tl_reader_next(&reader, &item) ||
	    (item.kind != TL_KIND_STR && item.kind != TL_KIND_UINT && item.kind != TL_KIND_INT) ||
	    reader.next - begin > RID_MAX)
		return tl_fail(why, TL_BAD_REQUEST, "'rid' must be a whole number or a string of at most 120 bytes");
	*rid_out = tl_slice(begin, (size_t)(reader.next - begin));
	return TL_OK;
}

/* Answers a request that gets no further. Its rid is given back if it is known or can be made out at little cost. */
static void refuse(struct tl_plugin *plugin, const struct tl_session *session, struct tl_route *route, const char *op,
                   struct tl_slice payload, enum tl_err err, const char *why)
{
	struct tl_pack map;
	tl_pack_init(&map);
	if (route->rid.len == 0 && (tl_codec_decode(route->codec, payload, REFUSED_MAX, &map, NULL) != TL_OK ||
	                            take_rid(tl_pack_bytes(&map), &route->rid, NULL) != TL_OK))
		route->rid = tl_slice("", 0);
	const struct tl_response response = {.op = op, .rid = route->rid, .err = err, .why = why};
	tl_answer_send(plugin, route, session->user, session->device, &response, NULL);
	tl_pack_fini(&map);
}

/* --- requests that read: on a reader thread --- */

/* `map`: NULL if the request could not be decoded. */
static struct tl_asked asked_by(const struct reading *reading, const struct tl_pack *map, const struct tl_answer *answer)
{
	struct tl_asked asked = {.given = reading->proof, .next = answer->next, .is_page = answer->next > 0};
	struct tl_slice cursor;
	struct tl_reader value;
	if (!map)
		return asked;
	if (tl_msgpack_find(tl_pack_bytes(map), "cursor", &value) && tl_reader_str(&value, &cursor))
		asked.shown = tl_proof_find(cursor);
	if (asked.is_page && tl_msgpack_find(tl_pack_bytes(map), "after", &value) && !tl_reader_uint(&value, &asked.after))
		asked.after = 0;
	return asked;
}

/* False where the reading has been put off: then somebody else has it. */
static bool answer_reading(struct reading *reading)
{
	struct tl_plugin *plugin = reading->plugin;
	struct tl_answer answer;
	struct tl_pack map;
	struct tl_route route = reading->route; /* its rid is to lie in this time's `map` */
	bool unheard = tl_presence_has_ended(reading->presence);

	tl_answer_init(&answer);
	tl_pack_init(&map);
	enum tl_err err = tl_codec_decode(route.codec, reading->payload, TL_REQUEST_MAX_BYTES, &map, &answer.why);
	bool decoded = err == TL_OK;
	if (err == TL_OK)
		err = take_rid(tl_pack_bytes(&map), &route.rid, &answer.why);
	if (err == TL_OK) {
		const struct tl_call call = {.user = reading->user,
		                             .device = reading->device,
		                             .raw = tl_pack_bytes(&map),
		                             .weigh = route.codec == TL_CODEC_JSON ? tl_codec_weigh_json : NULL,
		                             .unheard = unheard,
		                             .proof = tl_slice_str(reading->proof_text),
		                             .now = tl_now_ms()};
		err = tl_store_try_read(plugin->store, reading->request, call, &answer, &reading->pull);
	}
	if (err == TL_AGAIN || unheard)
		goto done;
	const struct tl_response response = {
		.op = reading->request->name,
		.rid = route.rid,
		.err = err,
		.why = answer.why.text,
		.fields = tl_pack_bytes(&answer.fields),
		.field_count = answer.field_count,
	};
	const struct tl_asked asked = asked_by(reading, decoded ? &map : NULL, &answer);
	tl_answer_send(plugin, &route, reading->user, reading->device, &response, &asked);
done:
	tl_pack_fini(&map);
	tl_answer_fini(&answer);
	return err != TL_AGAIN;
}

/* The writer's thread: the page that was missing is there. */
static void read_again(struct tl_pull *pull)
{
	struct reading *reading = (struct reading *)(void *)((char *)pull - offsetof(struct reading, pull));
	tl_worker_pool_resubmit(reading->plugin->readers, &reading->job);
}

/* Exactly one packet leaves here whatever happens, because the session counts on it. */
static void answer_latest(struct reading *reading)
{
	struct tl_notify *notify = reading->plugin->notify;
	char topic[512];
	struct tl_pack payload;
	struct tl_inbox inbox;
	tl_pack_init(&payload);
	tl_notify_topic(notify, reading->route.codec, reading->user, topic, sizeof topic);
	if (tl_store_inbox(reading->plugin->store, reading->user, tl_now_ms(), &inbox) == TL_OK) {
		tl_notify_lightweight(notify, reading->route.codec, inbox.latest, &payload);
		tl_inbox_free(&inbox);
	}
	struct tl_packet *packet = tl_packet_new(NULL, reading->user, reading->device, tl_slice_str(topic), tl_slice(NULL, 0),
	                                         payload.failed ? tl_slice(NULL, 0) : tl_pack_bytes(&payload));
	tl_pack_fini(&payload);
	if (!packet)
		return;
	packet->answers_request = true;
	tl_outbox_put_take(&reading->plugin->outbox, packet);
}

static void reading_free(struct reading *reading)
{
	tl_presence_release(reading->presence);
	free(reading);
}

/* What a connection left behind when it ended costs next to nothing: else those who reconnect without end, because answers take
 * long, would keep all others from theirs. */
static bool is_in_vain(const struct reading *reading)
{
	return tl_presence_has_ended(reading->presence) && !(reading->request && reading->request->notes);
}

static void run(struct tl_job *job)
{
	struct reading *reading = (struct reading *)(void *)job;
	if (!is_in_vain(reading)) {
		tl_outbox_wait(&reading->plugin->outbox);
		if (!reading->request)
			answer_latest(reading);
		else if (!answer_reading(reading))
			return;
	}
	reading_free(reading);
}

static void discard(struct tl_job *job)
{
	reading_free((struct reading *)(void *)job);
}

static struct tl_slice place(char **to, struct tl_slice bytes)
{
	struct tl_slice placed = tl_slice(*to, bytes.len);
	if (bytes.ptr && bytes.len > 0)
		memcpy(*to, bytes.ptr, bytes.len);
	*to += bytes.len;
	return bytes.ptr ? placed : tl_slice(NULL, 0);
}

/* A job with copies of everything that the callback's end takes away. */
static struct reading *reading_new(struct tl_plugin *plugin, const struct tl_session *session,
                                   const struct tl_route *route, struct tl_slice payload)
{
	struct reading *reading = calloc(1, sizeof *reading + session->user.len + session->device.len + payload.len +
	                                        route->topic.len + route->correlation.len);
	if (!reading)
		return NULL;
	char *to = reading->data;
	reading->job = (struct tl_job){.run = run, .discard = discard};
	reading->pull.ready = read_again;
	reading->plugin = plugin;
	reading->presence = tl_presence_hold(session->presence);
	reading->route = *route;
	reading->route.rid = tl_slice("", 0); /* each decoding finds it in its own map */
	reading->route.topic = place(&to, route->topic);
	reading->route.correlation = place(&to, route->correlation);
	reading->user = place(&to, session->user);
	reading->device = place(&to, session->device);
	reading->payload = place(&to, payload);
	return reading;
}

/* Whether an answer may have a cursor. */
static bool has_pages(const struct tl_request *request)
{
	for (const struct tl_param *param = request->params; param->key; param++)
		if (param->type == TL_PARAM_CURSOR)
			return true;
	return false;
}

static void carry_proof(struct reading *reading, struct tl_session *session)
{
	if (has_pages(reading->request))
		reading->proof = tl_unread_proof(&session->unread, reading->route.qos);
	if (reading->proof != 0)
		tl_proof_print(reading->proof, reading->proof_text);
}

static enum tl_err too_many(struct tl_why *why)
{
	return tl_fail(why, TL_RATE_LIMITED, "too many requests at once: wait for answers");
}

static enum tl_err submit(struct tl_plugin *plugin, struct tl_session *session, struct reading *reading,
                          struct tl_why *why)
{
	if (!reading)
		return TL_NO_MEMORY;
	if (tl_worker_pool_submit(plugin->readers, &reading->job) != TL_OK) {
		reading_free(reading);
		return tl_fail(why, TL_RATE_LIMITED, "the server is busy: try again later");
	}
	session->requests++;
	return TL_OK;
}

static enum tl_err read(struct tl_plugin *plugin, struct tl_session *session, const struct tl_request *request,
                        const struct tl_route *route, struct tl_slice payload, struct tl_why *why)
{
	if (payload.len > TL_REQUEST_MAX_BYTES)
		return tl_fail(why, TL_TOO_LARGE, "a request has at most %d bytes", TL_REQUEST_MAX_BYTES);
	if (session->requests >= plugin->options.requests_per_device)
		return too_many(why);
	if (tl_unread_is_too_much(&session->unread, &plugin->resident, tl_now_ms()))
		return tl_fail(why, TL_RATE_LIMITED, "too many answers are unread: read them, and go on from where they end");
	struct reading *reading = reading_new(plugin, session, route, payload);
	if (reading) {
		reading->request = request;
		carry_proof(reading, session);
	}
	return submit(plugin, session, reading, why);
}

void tl_tell_latest(struct tl_plugin *plugin, struct tl_session *session, enum tl_codec codec)
{
	const struct tl_route route = {.codec = codec};
	if (session->requests >= plugin->options.requests_per_device)
		return;
	enum tl_err err = submit(plugin, session, reading_new(plugin, session, &route, tl_slice("", 0)), NULL);
	(void)err; /* the next notification tells it */
}

/* --- requests that change something, or may do so: only their arguments tell --- */

/* In JSON a body may take up to twice its length: base64, or a text with escapes. */
static size_t max_bytes(const struct tl_plugin *plugin, const struct tl_request *request, enum tl_codec codec)
{
	size_t bodies = !request->carries_body ? 0 : codec == TL_CODEC_JSON ? 2 : 1;
	return TL_REQUEST_MAX_BYTES + bodies * (size_t)plugin->options.max_body;
}

/* A large request is large because of its body and nothing else. */
static enum tl_err check_body(const struct tl_plugin *plugin, struct tl_slice map, struct tl_why *why)
{
	struct tl_reader value;
	struct tl_slice body = tl_slice("", 0);
	if (tl_msgpack_find(map, "body", &value) && !tl_reader_str(&value, &body) && !tl_reader_bin(&value, &body))
		body = tl_slice("", 0);
	if (body.len > plugin->options.max_body)
		return tl_fail(why, TL_TOO_LARGE, "a message has at most %" PRIu64 " bytes", plugin->options.max_body);
	if (map.len - body.len > TL_REQUEST_MAX_BYTES)
		return tl_fail(why, TL_TOO_LARGE, "a request has at most %d bytes beside its body", TL_REQUEST_MAX_BYTES);
	return TL_OK;
}

/* Decodes it to plugin->pack. The rid is known then even if the body is refused. */
static enum tl_err decode(struct tl_plugin *plugin, const struct tl_request *request, struct tl_route *route,
                          struct tl_slice payload, struct tl_why *why)
{
	struct tl_pack *map = &plugin->pack;
	enum tl_err body = TL_OK;
	tl_pack_clear(map);
	enum tl_err err = tl_codec_decode(route->codec, payload, max_bytes(plugin, request, route->codec), map, why);
	if (err == TL_OK && request->carries_body && route->codec == TL_CODEC_JSON)
		body = tl_codec_take_body64(map, why);
	if (err == TL_OK)
		err = take_rid(tl_pack_bytes(map), &route->rid, why);
	if (err == TL_OK)
		err = body;
	if (err == TL_OK && payload.len > TL_REQUEST_MAX_BYTES)
		err = check_body(plugin, tl_pack_bytes(map), why);
	return err;
}

static enum tl_err change(struct tl_plugin *plugin, struct tl_session *session, const struct tl_request *request,
                          struct tl_route *route, struct tl_slice payload, struct tl_why *why)
{
	if (session->changes >= CHANGES_MAX)
		return too_many(why);
	enum tl_err err = decode(plugin, request, route, payload, why);
	if (err == TL_OK && tl_request_reads(request, tl_pack_bytes(&plugin->pack)))
		return read(plugin, session, request, route, payload, why);
	if (err == TL_OK)
		err = tl_request_check(request, tl_pack_bytes(&plugin->pack), why);
	if (err != TL_OK)
		return err;
	tl_pack_clear(&plugin->route_pack);
	tl_route_pack(&plugin->route_pack, route);
	if (plugin->route_pack.failed)
		return TL_NO_MEMORY;
	const struct tl_submission from = {
		.route = tl_pack_bytes(&plugin->route_pack), .user = session->user, .device = session->device};
	err = tl_store_change(plugin->store, &from, request, tl_pack_bytes(&plugin->pack), tl_now_ms());
	if (err == TL_OK)
		session->changes++;
	return err;
}

/* `request`: NULL if there is none of that name. */
static enum tl_err take(struct tl_plugin *plugin, struct tl_session *session, const struct tl_request *request,
                        struct tl_route *route, struct tl_slice payload, struct tl_why *why)
{
	enum tl_err err = tl_plugin_allows(plugin, session, TL_RATE_REQUESTS, why);
	if (err != TL_OK)
		return err;
	if (!request)
		return TL_UNKNOWN_OP;
	return request->change ? change(plugin, session, request, route, payload, why)
	                       : read(plugin, session, request, route, payload, why);
}

int tl_incoming_request(struct tl_plugin *plugin, struct tl_session *session, const struct tl_topic *topic,
                        const struct mosquitto_evt_message *event, const struct tl_properties *properties)
{
	struct tl_slice payload = tl_slice(event->payload, event->payloadlen);
	struct tl_why why = {""};
	struct tl_route route;

	if (!tl_incoming_route(plugin, session, event, properties, &route))
		return MOSQ_ERR_ACL_DENIED;
	if (!complete_route(plugin, session, topic, &route))
		return MOSQ_ERR_NOMEM;
	route.codec = tl_codec_of(payload);
	const struct tl_request *request = tl_request_find(topic->name);
	const char *op = tl_arena_copy(&plugin->arena, topic->name);
	if (!op)
		return MOSQ_ERR_NOMEM;
	enum tl_err err = take(plugin, session, request, &route, payload, &why);
	if (err == TL_OK)
		return MOSQ_ERR_SUCCESS;
	if (!tl_err_is_refusal(err) && request && request->change)
		return MOSQ_ERR_NOMEM; /* no ack: the connection is closed, and the client sends again */
	refuse(plugin, session, &route, op, payload, err, why.text);
	return MOSQ_ERR_SUCCESS;
}
