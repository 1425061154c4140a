/*
 * The bytes of MQTT 3.1.1 and 5, as far as a load generator needs them: CONNECT, PUBLISH at QoS 0 and 1, SUBSCRIBE,
 * PUBACK and DISCONNECT to write; CONNACK, PUBLISH and the acks to read. No sockets here.
 *
 *	tl_buffer   |  taken  |  bytes to use  |  free  |
 *	            0       start             end    capacity
 */
#ifndef TL_MQTT_WIRE_H
#define TL_MQTT_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TL_MQTT_311 4u
#define TL_MQTT_5 5u

#define TL_MQTT_CONNACK 2u
#define TL_MQTT_PUBLISH 3u
#define TL_MQTT_PUBACK 4u
#define TL_MQTT_SUBACK 9u
#define TL_MQTT_DISCONNECT 14u

/* A growing buffer, written at `end` and used up from `start`. Zeroed it is empty; tl_buffer_fini() frees it. */
struct tl_buffer {
	uint8_t *data;
	size_t start;
	size_t end;
	size_t capacity;
};

/* What CONNECT says. All strings are borrowed; `username` may be NULL. */
struct tl_mqtt_connect {
	unsigned version; /* TL_MQTT_311 or TL_MQTT_5 */
	const char *client_id;
	const char *username;
	bool clean; /* false: the broker keeps the session (in MQTT 5 for one hour) */
};

/* A packet inside a buffer: valid until the buffer is written to again. */
struct tl_mqtt_packet {
	unsigned type;
	unsigned flags;
	const uint8_t *body;
	size_t body_bytes;
};

/* A PUBLISH that was received; points into its packet. */
struct tl_mqtt_message {
	unsigned qos;
	uint16_t packet_id; /* 0 at QoS 0 */
	const char *topic;
	size_t topic_bytes;
	const uint8_t *payload;
	size_t payload_bytes;
};

/* Makes room for `bytes` more at the end, moving what is left to the front or growing. */
void tl_buffer_reserve(struct tl_buffer *buffer, size_t bytes);
void tl_buffer_put(struct tl_buffer *buffer, const void *bytes, size_t count);
void tl_buffer_put_u8(struct tl_buffer *buffer, unsigned value);
void tl_buffer_put_u16(struct tl_buffer *buffer, unsigned value);
void tl_buffer_put_u32(struct tl_buffer *buffer, uint32_t value);
void tl_buffer_fini(struct tl_buffer *buffer);

static inline size_t tl_buffer_length(const struct tl_buffer *buffer)
{
	return buffer->end - buffer->start;
}

/* Each appends one packet to `out`. `packet_id` 0 makes a PUBLISH of QoS 0, any other one of QoS 1. */
void tl_mqtt_put_connect(struct tl_buffer *out, const struct tl_mqtt_connect *connect);
void tl_mqtt_put_publish(struct tl_buffer *out, unsigned version, uint16_t packet_id, const char *topic,
	size_t topic_bytes, const void *payload, size_t payload_bytes);
void tl_mqtt_put_subscribe(
	struct tl_buffer *out, unsigned version, uint16_t packet_id, const char *filter, unsigned qos);
void tl_mqtt_put_puback(struct tl_buffer *out, uint16_t packet_id);
void tl_mqtt_put_disconnect(struct tl_buffer *out);

/* Takes the next whole packet from `in`: 1 and *packet_out, 0 when more bytes are needed, -1 when it is not MQTT. */
int tl_mqtt_take_packet(struct tl_buffer *in, struct tl_mqtt_packet *packet_out);

/* Each reads a packet of its type; false when its bytes make no sense. */
bool tl_mqtt_read_connack(
	const struct tl_mqtt_packet *packet, unsigned version, unsigned *reason_out, uint16_t *receive_max_out);
bool tl_mqtt_read_publish(const struct tl_mqtt_packet *packet, unsigned version, struct tl_mqtt_message *message_out);
/* PUBACK or SUBACK: the packet id and its (last) reason code, 0 where there is none. */
bool tl_mqtt_read_ack(const struct tl_mqtt_packet *packet, uint16_t *packet_id_out, unsigned *reason_out);

#endif
