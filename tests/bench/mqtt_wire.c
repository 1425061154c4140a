#include "mqtt_wire.h"

#include "bench_error.h"

#include <stdlib.h>
#include <string.h>

#define KEEPALIVE_S 3600u
#define SESSION_EXPIRY_S 3600u
#define CONNECT_CLEAN 0x02u
#define CONNECT_USERNAME 0x80u
#define PROPERTY_SESSION_EXPIRY 0x11u
#define PROPERTY_RECEIVE_MAX 0x21u

void tl_buffer_reserve(struct tl_buffer *buffer, size_t bytes)
{
	size_t used = tl_buffer_length(buffer);
	size_t capacity = buffer->capacity > 0 ? buffer->capacity : 4096;

	if (buffer->capacity - buffer->end >= bytes) {
		return;
	}
	if (buffer->start > 0) {
		memmove(buffer->data, buffer->data + buffer->start, used);
		buffer->start = 0;
		buffer->end = used;
	}
	while (capacity - used < bytes) {
		capacity *= 2;
	}
	if (capacity != buffer->capacity) {
		buffer->data = tl_must_realloc(buffer->data, capacity);
		buffer->capacity = capacity;
	}
}

void tl_buffer_put(struct tl_buffer *buffer, const void *bytes, size_t count)
{
	if (count == 0) {
		return;
	}
	tl_buffer_reserve(buffer, count);
	memcpy(buffer->data + buffer->end, bytes, count);
	buffer->end += count;
}

void tl_buffer_put_u8(struct tl_buffer *buffer, unsigned value)
{
	uint8_t byte = (uint8_t)value;

	tl_buffer_put(buffer, &byte, 1);
}

void tl_buffer_put_u16(struct tl_buffer *buffer, unsigned value)
{
	uint8_t bytes[2] = { (uint8_t)(value >> 8), (uint8_t)value };

	tl_buffer_put(buffer, bytes, sizeof(bytes));
}

void tl_buffer_put_u32(struct tl_buffer *buffer, uint32_t value)
{
	tl_buffer_put_u16(buffer, value >> 16);
	tl_buffer_put_u16(buffer, value & 0xffffu);
}

void tl_buffer_fini(struct tl_buffer *buffer)
{
	free(buffer->data);
	memset(buffer, 0, sizeof(*buffer));
}

static void put_header(struct tl_buffer *out, unsigned first_byte, size_t remaining)
{
	tl_buffer_put_u8(out, first_byte);
	do {
		tl_buffer_put_u8(out, (unsigned)(remaining & 0x7fu) | (remaining > 0x7fu ? 0x80u : 0u));
		remaining >>= 7;
	} while (remaining > 0);
}

static void put_string(struct tl_buffer *out, const char *text, size_t count)
{
	tl_buffer_put_u16(out, (unsigned)count);
	tl_buffer_put(out, text, count);
}

void tl_mqtt_put_connect(struct tl_buffer *out, const struct tl_mqtt_connect *connect)
{
	size_t id_bytes = strlen(connect->client_id);
	size_t name_bytes = connect->username ? strlen(connect->username) : 0;
	size_t property_bytes = connect->version == TL_MQTT_5 ? (connect->clean ? 1u : 6u) : 0u;
	unsigned flags = (connect->clean ? CONNECT_CLEAN : 0u) | (connect->username ? CONNECT_USERNAME : 0u);

	put_header(out, 0x10, 10 + property_bytes + 2 + id_bytes + (connect->username ? 2 + name_bytes : 0));
	put_string(out, "MQTT", 4);
	tl_buffer_put_u8(out, connect->version);
	tl_buffer_put_u8(out, flags);
	tl_buffer_put_u16(out, KEEPALIVE_S);
	if (property_bytes > 0) {
		tl_buffer_put_u8(out, (unsigned)property_bytes - 1);
	}
	if (property_bytes > 1) {
		tl_buffer_put_u8(out, PROPERTY_SESSION_EXPIRY);
		tl_buffer_put_u32(out, SESSION_EXPIRY_S);
	}
	put_string(out, connect->client_id, id_bytes);
	if (connect->username) {
		put_string(out, connect->username, name_bytes);
	}
}

void tl_mqtt_put_publish(struct tl_buffer *out, unsigned version, uint16_t packet_id, const char *topic,
	size_t topic_bytes, const void *payload, size_t payload_bytes)
{
	size_t remaining = 2 + topic_bytes + (packet_id > 0 ? 2u : 0u) + (version == TL_MQTT_5 ? 1u : 0u) + payload_bytes;

	put_header(out, packet_id > 0 ? 0x32 : 0x30, remaining);
	put_string(out, topic, topic_bytes);
	if (packet_id > 0) {
		tl_buffer_put_u16(out, packet_id);
	}
	if (version == TL_MQTT_5) {
		tl_buffer_put_u8(out, 0);
	}
	tl_buffer_put(out, payload, payload_bytes);
}

void tl_mqtt_put_subscribe(
	struct tl_buffer *out, unsigned version, uint16_t packet_id, const char *filter, unsigned qos)
{
	size_t filter_bytes = strlen(filter);

	put_header(out, 0x82, 2 + (version == TL_MQTT_5 ? 1u : 0u) + 2 + filter_bytes + 1);
	tl_buffer_put_u16(out, packet_id);
	if (version == TL_MQTT_5) {
		tl_buffer_put_u8(out, 0);
	}
	put_string(out, filter, filter_bytes);
	tl_buffer_put_u8(out, qos);
}

void tl_mqtt_put_puback(struct tl_buffer *out, uint16_t packet_id)
{
	uint8_t bytes[4] = { 0x40, 2, (uint8_t)(packet_id >> 8), (uint8_t)packet_id };

	tl_buffer_put(out, bytes, sizeof(bytes));
}

void tl_mqtt_put_disconnect(struct tl_buffer *out)
{
	put_header(out, 0xe0, 0);
}

/* A variable byte integer at *at: 1 and its value, 0 when cut short, -1 when longer than four bytes. */
static int read_varint(const uint8_t *bytes, size_t count, size_t *at, size_t *value_out)
{
	size_t value = 0;
	unsigned shift;

	for (shift = 0; shift < 28; shift += 7) {
		if (*at >= count) {
			return 0;
		}
		value |= (size_t)(bytes[*at] & 0x7fu) << shift;
		if (!(bytes[(*at)++] & 0x80u)) {
			*value_out = value;
			return 1;
		}
	}
	return -1;
}

int tl_mqtt_take_packet(struct tl_buffer *in, struct tl_mqtt_packet *packet_out)
{
	size_t count = tl_buffer_length(in);
	const uint8_t *bytes;
	size_t remaining = 0;
	size_t at = 1;
	int got;

	if (count < 2) {
		return 0;
	}
	bytes = in->data + in->start;
	got = read_varint(bytes, count, &at, &remaining);
	if (got <= 0) {
		return got;
	}
	if (count - at < remaining) {
		return 0;
	}
	packet_out->type = bytes[0] >> 4;
	packet_out->flags = bytes[0] & 0x0fu;
	packet_out->body = bytes + at;
	packet_out->body_bytes = remaining;
	in->start += at + remaining;
	return 1;
}

static unsigned read_u16(const uint8_t *bytes)
{
	return ((unsigned)bytes[0] << 8) | bytes[1];
}

/* Length of the value of a CONNACK property at `bytes`, 0 when unknown or cut short. */
static size_t property_length(unsigned property, const uint8_t *bytes, size_t count)
{
	static const uint8_t fixed[0x2b] = { [0x11] = 4, [0x13] = 2, [0x21] = 2, [0x22] = 2, [0x24] = 1, [0x25] = 1,
		[0x27] = 4, [0x28] = 1, [0x29] = 1, [0x2a] = 1 };
	size_t strings = property == 0x26 ? 2 : 1;
	size_t at = 0;

	if (property < sizeof(fixed) && fixed[property] > 0) {
		return fixed[property] <= count ? fixed[property] : 0;
	}
	for (; strings > 0; strings--) {
		if (count - at < 2 || count - at - 2 < read_u16(bytes + at)) {
			return 0;
		}
		at += 2 + read_u16(bytes + at);
	}
	return at;
}

bool tl_mqtt_read_connack(
	const struct tl_mqtt_packet *packet, unsigned version, unsigned *reason_out, uint16_t *receive_max_out)
{
	uint16_t receive_max = UINT16_MAX;
	size_t at = 2;
	size_t end = 2;

	if (packet->type != TL_MQTT_CONNACK || packet->body_bytes < 2) {
		return false;
	}
	if (version == TL_MQTT_5 && packet->body_bytes > 2) {
		if (read_varint(packet->body, packet->body_bytes, &at, &end) != 1 || packet->body_bytes - at < end) {
			return false;
		}
		end += at;
	}
	while (at < end) {
		unsigned property = packet->body[at++];
		size_t length = property_length(property, packet->body + at, end - at);

		if (length == 0) {
			return false;
		}
		if (property == PROPERTY_RECEIVE_MAX) {
			receive_max = (uint16_t)read_u16(packet->body + at);
		}
		at += length;
	}
	*reason_out = packet->body[1];
	*receive_max_out = receive_max;
	return true;
}

bool tl_mqtt_read_publish(const struct tl_mqtt_packet *packet, unsigned version, struct tl_mqtt_message *message_out)
{
	unsigned qos = (packet->flags >> 1) & 3u;
	size_t at = 2;
	size_t properties = 0;

	if (packet->type != TL_MQTT_PUBLISH || packet->body_bytes < 2) {
		return false;
	}
	at += read_u16(packet->body);
	if (packet->body_bytes < at + (qos > 0 ? 2 : 0)) {
		return false;
	}
	message_out->qos = qos;
	message_out->topic = (const char *)packet->body + 2;
	message_out->topic_bytes = at - 2;
	message_out->packet_id = qos > 0 ? (uint16_t)read_u16(packet->body + at) : 0;
	at += qos > 0 ? 2 : 0;
	if (version == TL_MQTT_5) {
		if (read_varint(packet->body, packet->body_bytes, &at, &properties) != 1 ||
			packet->body_bytes - at < properties) {
			return false;
		}
		at += properties;
	}
	message_out->payload = packet->body + at;
	message_out->payload_bytes = packet->body_bytes - at;
	return true;
}

bool tl_mqtt_read_ack(const struct tl_mqtt_packet *packet, uint16_t *packet_id_out, unsigned *reason_out)
{
	if (packet->body_bytes < 2) {
		return false;
	}
	*packet_id_out = (uint16_t)read_u16(packet->body);
	*reason_out = 0;
	if (packet->body_bytes > 2) {
		*reason_out = packet->type == TL_MQTT_PUBACK ? packet->body[2] : packet->body[packet->body_bytes - 1];
	}
	return true;
}
