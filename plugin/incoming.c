/* What clients send under the root, before it is known whether it is a message or a request. */
#include "plugin.h"

#include <mosquitto.h>
#include <stdio.h>

/* An answer may go to topics that are the device's own and nowhere else. */
static bool is_own_topic(const struct tl_plugin *plugin, const struct tl_session *session, struct tl_slice topic)
{
	const char *text = topic.ptr; /* from the arena, terminated by its making */
	if (memchr(text, '+', topic.len) || memchr(text, '#', topic.len))
		return false;
	struct tl_topic parsed = tl_topic_parse(plugin->root, text);
	return parsed.kind == TL_TOPIC_RES && tl_slice_equal(parsed.name, session->device);
}

bool tl_incoming_route(struct tl_plugin *plugin, const struct tl_session *session,
                       const struct mosquitto_evt_message *event, const struct tl_properties *properties,
                       struct tl_route *route_out)
{
	*route_out = (struct tl_route){
		.topic = properties->response_topic,
		.correlation = properties->response_topic.ptr ? properties->correlation : tl_slice(NULL, 0),
		.codec = TL_CODEC_JSON,
		.qos = event->qos > 1 ? 1 : event->qos,
	};
	return !properties->response_topic.ptr || is_own_topic(plugin, session, properties->response_topic);
}

int tl_incoming(struct tl_plugin *plugin, struct tl_session *session, const struct tl_topic *topic,
                const struct mosquitto_evt_message *event)
{
	struct tl_properties properties;
	int rc;

	if (topic->kind != TL_TOPIC_CONV && topic->kind != TL_TOPIC_USER && topic->kind != TL_TOPIC_REQ)
		return MOSQ_ERR_ACL_DENIED;
	if (!tl_properties_read(plugin, event->properties, &properties))
		rc = MOSQ_ERR_NOMEM;
	else if (topic->kind == TL_TOPIC_REQ)
		rc = tl_incoming_request(plugin, session, topic, event, &properties);
	else
		rc = tl_incoming_message(plugin, session, topic, event, &properties);
	tl_arena_clear(&plugin->arena);
	return rc;
}
