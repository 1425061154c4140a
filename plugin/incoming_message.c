/* A message for a conversation or a user: its metadata, whether the sender may send it, and into the queue. */
#include "plugin.h"

#include "id.h"
#include "send.h"

#include <inttypes.h>
#include <mosquitto.h>
#include <stdio.h>
#include <stdlib.h>

/* A PUBLISH on its way to becoming a message. */
struct incoming {
	struct tl_plugin *plugin;
	struct tl_session *session;
	const struct tl_topic *topic;
	const struct mosquitto_evt_message *event;
	const struct tl_properties *properties;
	struct tl_slice id; /* the client's, empty if there is none */
	struct tl_message message;
	struct tl_route route;
	struct tl_why why;
};

static enum tl_err bad(struct incoming *in, const char *what)
{
	return tl_fail(&in->why, TL_BAD_REQUEST, "%s", what);
}

static enum tl_err take_id(struct incoming *in)
{
	struct tl_slice in_topic = in->topic->tail, property = in->properties->id;
	in->id = in_topic;
	if (property.ptr && in_topic.len > 0 && !tl_slice_equal(property, in_topic))
		return bad(in, "the message id in the topic differs from the user property 'id'");
	in->id = property.ptr ? property : in_topic;
	if ((property.ptr || in_topic.len > 0) && !tl_id_valid(in->id, TL_MESSAGE_ID_MAX))
		return bad(in, "a message id has 1 to 64 bytes without / + # and control characters");
	return TL_OK;
}

static bool is_token(struct tl_slice text)
{
	const unsigned char *p = text.ptr;
	for (size_t i = 0; i < text.len; i++)
		if (p[i] <= ' ' || p[i] >= 0x7f)
			return false;
	return text.len >= 1 && text.len <= TL_TYPE_MAX;
}

static enum tl_err take_type(struct incoming *in)
{
	in->message.type = in->properties->type.ptr ? in->properties->type : tl_slice_str("text");
	if (!is_token(in->message.type))
		return bad(in, "a 'type' has 1 to 32 visible ASCII characters");
	if (tl_slice_equal(in->message.type, tl_slice_str("event")))
		return bad(in, "the type 'event' is the server's");
	return TL_OK;
}

static enum tl_err take_numbers(struct incoming *in)
{
	const struct tl_properties *properties = in->properties;
	struct tl_message *message = &in->message;
	message->has_time = properties->time.ptr != NULL;
	message->has_order = properties->order.ptr != NULL;
	if (message->has_time && !tl_number_parse(properties->time, &message->time))
		return bad(in, "'time' must be a whole number below 2^64");
	if (message->has_order && (!tl_number_parse(properties->order, &message->order) || message->order == 0))
		return bad(in, "'order' must be a whole number above 0 and below 2^64");
	return TL_OK;
}

static enum tl_err take_props(struct incoming *in)
{
	const struct tl_properties *properties = in->properties;
	struct tl_pack *pack = &in->plugin->pack;
	tl_pack_clear(pack);
	for (uint32_t i = 0; i < properties->props_count; i++) {
		const struct tl_property *property = &properties->props[i];
		tl_pack_str(pack, property->name);
		tl_pack_str(pack, property->value);
	}
	if (properties->pair_count > TL_PROPS_MAX || properties->pair_bytes > TL_PROPS_BYTES_MAX)
		return bad(in, "a message has at most 16 user properties of 1024 bytes in all");
	if (properties->content_type.len > TL_CTYPE_MAX)
		return bad(in, "a content type has at most 128 bytes");
	in->message.props = tl_pack_bytes(pack);
	in->message.props_count = properties->props_count;
	in->message.ctype = properties->content_type.ptr ? properties->content_type : tl_slice("", 0);
	return TL_OK;
}

static enum tl_err take_metadata(struct incoming *in)
{
	enum tl_err err = take_id(in);
	if (err == TL_OK)
		err = take_type(in);
	if (err == TL_OK)
		err = take_numbers(in);
	if (err == TL_OK)
		err = take_props(in);
	if (err == TL_OK && in->event->payloadlen > in->plugin->options.max_body)
		err = tl_fail(&in->why, TL_TOO_LARGE, "a message has at most %" PRIu64 " bytes",
		              in->plugin->options.max_body);
	return err;
}

/* Even an id that is refused names the receipt's topic, if a topic can hold it. */
static bool may_stand_in_topic(struct tl_slice id)
{
	return id.len <= 1024 && !memchr(id.ptr, '+', id.len) && !memchr(id.ptr, '#', id.len) &&
	       !memchr(id.ptr, '/', id.len);
}

/* Receipts go to the Response Topic, else to a topic of the device's that ends with the message's id. */
static enum tl_err take_route(struct incoming *in)
{
	struct tl_plugin *plugin = in->plugin;
	if (tl_slice_equal(in->properties->accept, tl_slice_str("application/msgpack")))
		in->route.codec = TL_CODEC_MSGPACK;
	in->route.qos = 1;
	if (in->route.topic.ptr || in->id.len == 0 || !may_stand_in_topic(in->id))
		return TL_OK;
	const struct tl_slice levels[] = {plugin->root, tl_slice_str("/res/"), in->session->device, tl_slice_str("/sent/"),
	                                  in->id};
	in->route.topic = tl_arena_join(&plugin->arena, levels, sizeof levels / sizeof levels[0]);
	return in->route.topic.ptr ? TL_OK : TL_NO_MEMORY;
}

/* Refuses at once what is certain to be refused, so that MQTT 5 senders learn it from the PUBACK. The writer decides
 * once more, in order with everything else. */
static enum tl_err check_target(struct incoming *in)
{
	struct tl_standing standing;
	char direct[TL_DIRECT_ID_MAX];
	struct tl_slice cid = in->topic->name;
	if (in->topic->kind == TL_TOPIC_USER) {
		if (!tl_uid_valid(cid))
			return bad(in, "the topic has no valid user id");
		cid = tl_direct_id(in->session->user, cid, direct);
	}
	enum tl_err err = tl_store_standing(in->plugin->store, cid, in->session->user, &standing);
	if (err != TL_OK)
		return err;
	if (standing.final && standing.may_send != TL_OK)
		return standing.may_send;
	if (standing.final && standing.needs_order && !in->message.has_order)
		return bad(in, TL_SEND_NO_ORDER);
	return TL_OK;
}

static enum tl_err queue(struct incoming *in)
{
	struct tl_plugin *plugin = in->plugin;
	tl_pack_clear(&plugin->route_pack);
	if (in->route.topic.ptr)
		tl_route_pack(&plugin->route_pack, &in->route);
	if (plugin->route_pack.failed)
		return TL_NO_MEMORY;
	const struct tl_submission from = {
		.route = tl_pack_bytes(&plugin->route_pack), .user = in->session->user, .device = in->session->device};
	in->message.ts = tl_now_ms();
	in->message.from = in->session->user;
	in->message.device = in->session->device;
	return tl_store_send(plugin->store, &from, in->topic->kind == TL_TOPIC_USER, in->topic->name, in->id, &in->message,
	                     tl_slice(in->event->payload, in->event->payloadlen));
}

static void tell_refusal(struct incoming *in, enum tl_err err)
{
	char direct[TL_DIRECT_ID_MAX];
	struct tl_slice cid = in->topic->name;
	struct tl_pack fields;

	if (!in->route.topic.ptr)
		return;
	if (in->topic->kind == TL_TOPIC_USER && tl_uid_valid(cid))
		cid = tl_direct_id(in->session->user, cid, direct);
	tl_pack_init(&fields);
	tl_pack_cstr(&fields, "conv");
	tl_pack_str(&fields, cid);
	if (in->id.len > 0) {
		tl_pack_cstr(&fields, "id");
		tl_pack_str(&fields, in->id);
	}
	const struct tl_response response = {
		.op = "send",
		.err = err,
		.why = in->why.text,
		.fields = tl_pack_bytes(&fields),
		.field_count = in->id.len > 0 ? 2 : 1,
	};
	tl_answer_send(in->plugin, &in->route, in->session->user, in->session->device, &response, NULL);
	tl_pack_fini(&fields);
}

int tl_incoming_message(struct tl_plugin *plugin, struct tl_session *session, const struct tl_topic *topic,
                        const struct mosquitto_evt_message *event, const struct tl_properties *properties)
{
	struct incoming in = {
		.plugin = plugin, .session = session, .topic = topic, .event = event, .properties = properties};
	if (!tl_incoming_route(plugin, session, event, properties, &in.route))
		return MOSQ_ERR_ACL_DENIED;
	enum tl_err allowed = tl_plugin_allows(plugin, session, TL_RATE_MESSAGES, &in.why); /* a malformed one counts too */
	enum tl_err err = take_metadata(&in), routed = take_route(&in);
	if (err == TL_OK)
		err = routed;
	if (err == TL_OK)
		err = allowed;
	if (err == TL_OK)
		err = check_target(&in);
	if (err == TL_OK)
		err = queue(&in);
	if (err == TL_OK)
		return MOSQ_ERR_SUCCESS;
	if (!tl_err_is_refusal(err))
		return MOSQ_ERR_NOMEM; /* no ack: the connection is closed, and the client sends again */
	tell_refusal(&in, err);
	return MOSQ_ERR_ACL_DENIED;
}
