#include "timeline_request.h"

#include "bench_error.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void tl_request_send(struct tl_connection *connection, const char *root, const char *op, const struct tl_buffer *map)
{
	char topic[TL_NAME_BYTES];
	int topic_bytes = snprintf(topic, sizeof(topic), "%s/req/%s", root, op);

	if (topic_bytes >= (int)sizeof(topic)) {
		tl_die("--root is too long");
	}
	connection->last_packet_id = (uint16_t)(connection->last_packet_id % UINT16_MAX + 1);
	tl_mqtt_put_publish(&connection->out, connection->version, connection->last_packet_id, topic, (size_t)topic_bytes,
		map->data + map->start, tl_buffer_length(map));
}

bool tl_request_is_response(const struct tl_mqtt_message *message, const char *op)
{
	size_t op_bytes = strlen(op);

	return message->topic_bytes > op_bytes && memmem(message->topic, message->topic_bytes, "/res/", 5) &&
		message->topic[message->topic_bytes - op_bytes - 1] == '/' &&
		memcmp(message->topic + message->topic_bytes - op_bytes, op, op_bytes) == 0;
}

void tl_request_check(const struct tl_connection *connection, const char *op, const struct tl_mqtt_message *response)
{
	struct tl_msgpack_item ok;
	struct tl_msgpack_item error;
	struct tl_msgpack_item text = { .kind = TL_MSGPACK_NIL };
	size_t left;

	if (!tl_msgpack_find(response->payload, response->payload_bytes, "ok", &ok)) {
		tl_die("%s: the response to %s is not the MessagePack map it should be: %.*s", connection->client_id, op,
			(int)(response->payload_bytes < 200 ? response->payload_bytes : 200), (const char *)response->payload);
	}
	if (ok.number == 1) {
		return;
	}
	if (tl_msgpack_find(response->payload, response->payload_bytes, "error", &error)) {
		left = (size_t)(response->payload + response->payload_bytes - error.start);
		if (!tl_msgpack_find(error.start, left, "message", &text)) {
			tl_msgpack_find(error.start, left, "code", &text);
		}
	}
	tl_die("%s: the server refused %s: %.*s", connection->client_id, op,
		text.kind == TL_MSGPACK_BYTES ? (int)text.number : 0, (const char *)text.bytes);
}

void tl_request_wait(struct tl_connection *connection, const char *op, uint64_t deadline_ns,
	struct tl_mqtt_message *response_out)
{
	struct tl_mqtt_packet packet;
	uint16_t packet_id;
	unsigned reason;

	for (;;) {
		if (!tl_connection_wait(connection, deadline_ns, &packet)) {
			tl_die("%s: no response to %s in time: is the plugin loaded?", connection->client_id, op);
		}
		if (packet.type == TL_MQTT_PUBACK && tl_mqtt_read_ack(&packet, &packet_id, &reason) && reason >= 0x80) {
			tl_die("%s: the broker refused the request %s (reason 0x%02x)", connection->client_id, op, reason);
		}
		if (packet.type != TL_MQTT_PUBLISH) {
			continue;
		}
		tl_connection_accept(connection, &packet, response_out);
		if (tl_request_is_response(response_out, op)) {
			break;
		}
	}
	tl_request_check(connection, op, response_out);
}

void tl_request_put_sync(struct tl_buffer *map, uint64_t after, uint64_t limit)
{
	map->start = map->end = 0;
	tl_msgpack_put_map(map, 2);
	tl_msgpack_put_text(map, "after");
	tl_msgpack_put_number(map, after);
	tl_msgpack_put_text(map, "limit");
	tl_msgpack_put_number(map, limit);
}

struct tl_page tl_request_page(const struct tl_mqtt_message *response, uint64_t after)
{
	struct tl_msgpack_item messages;
	struct tl_page page = {
		.next = tl_request_number(response, "next"),
		.more = tl_request_number(response, "more") != 0,
	};

	if (!tl_msgpack_find(response->payload, response->payload_bytes, "messages", &messages) ||
		messages.kind != TL_MSGPACK_ARRAY) {
		tl_die("the response to sync has no messages");
	}
	if (page.more && page.next <= after) {
		tl_die("sync after %" PRIu64 " says there is more and goes on from %" PRIu64, after, page.next);
	}
	page.messages = messages.number;
	return page;
}

uint64_t tl_request_number(const struct tl_mqtt_message *response, const char *key)
{
	struct tl_msgpack_item item;

	if (!tl_msgpack_find(response->payload, response->payload_bytes, key, &item) ||
		(item.kind != TL_MSGPACK_UINT && item.kind != TL_MSGPACK_BOOL)) {
		tl_die("the response has no number '%s'", key);
	}
	return item.number;
}
