/*
 * One MQTT connection on a socket with a buffer either way. The event loop is the caller's; the calls named `_wait`
 * block until something arrives, the others never do.
 *
 * Failures end the program (see bench_error.h): a broker that drops a connection ends the run, and the line on stderr
 * names the client.
 */
#ifndef TL_MQTT_CONNECTION_H
#define TL_MQTT_CONNECTION_H

#include "mqtt_wire.h"

#define TL_NAME_BYTES 160

/* Where the broker is and how to speak to it. */
struct tl_target {
	const char *host;  /* an IPv4 address */
	uint64_t port;
	uint64_t protocol; /* 3 for MQTT 3.1.1, 5 for MQTT 5 */
};

struct tl_connection {
	int socket;
	unsigned version;            /* TL_MQTT_311 or TL_MQTT_5 */
	uint16_t receive_max;        /* unacked PUBLISHes the broker takes; 65535 when it did not say */
	uint16_t last_packet_id;     /* of a SUBSCRIBE or request, counted by those who send them */
	char client_id[TL_NAME_BYTES];
	struct tl_buffer in;
	struct tl_buffer out;
};

/* Connects and waits for the broker's yes. `username` may be NULL. tl_connection_close() ends it. */
void tl_connection_open(struct tl_connection *connection, const struct tl_target *target, const char *client_id,
	const char *username, bool clean);

/* The same in two steps, for those who wait for many at once: says CONNECT … */
void tl_connection_begin(struct tl_connection *connection, const struct tl_target *target, const char *client_id,
	const char *username, bool clean);

/* … and takes the first packet that arrives, the broker's answer. */
void tl_connection_connected(struct tl_connection *connection, const struct tl_mqtt_packet *packet);

/* Says DISCONNECT, closes the socket and frees the buffers. */
void tl_connection_close(struct tl_connection *connection);

/* Writes what the socket takes now; true when nothing is left in `out`. */
bool tl_connection_flush(struct tl_connection *connection);

/* Reads what is there now, at most about 64 KiB; true when there may be more. */
bool tl_connection_fill(struct tl_connection *connection);

/* Takes the next packet already read. False when there is none; the packet is valid until the next fill. */
bool tl_connection_next(struct tl_connection *connection, struct tl_mqtt_packet *packet_out);

/* Writes `out` and waits for the next packet; false when none came before `deadline_ns` (tl_now_ns()). */
bool tl_connection_wait(struct tl_connection *connection, uint64_t deadline_ns, struct tl_mqtt_packet *packet_out);

/* Reads a PUBLISH and, at QoS 1, puts its PUBACK into `out`. */
void tl_connection_accept(
	struct tl_connection *connection, const struct tl_mqtt_packet *packet, struct tl_mqtt_message *message_out);

/* Subscribes and waits until the broker granted it. */
void tl_connection_subscribe_wait(struct tl_connection *connection, const char *filter, unsigned qos);

/* Raises the limit of open files as far as allowed, and ends the program when `count` connections do not fit. */
void tl_connection_allow(uint64_t count);

#endif
