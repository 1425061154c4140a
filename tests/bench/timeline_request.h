/*
 * Requests of the timeline protocol in MessagePack: sent to {root}/req/{op}, answered on {root}/res/{device}/{op}.
 */
#ifndef TL_TIMELINE_REQUEST_H
#define TL_TIMELINE_REQUEST_H

#include "mqtt_connection.h"
#include "msgpack_bytes.h"

/* Puts a request at QoS 1 into the connection's buffer. `map` is its MessagePack, borrowed. */
void tl_request_send(struct tl_connection *connection, const char *root, const char *op, const struct tl_buffer *map);

/*
 * Waits for the response to `op`, acking and passing over everything else that arrives. The response points into the
 * connection's buffer and is valid until the next read. No response in time, or ok:false, ends the program with the
 * server's reason.
 */
void tl_request_wait(struct tl_connection *connection, const char *op, uint64_t deadline_ns,
	struct tl_mqtt_message *response_out);

/* The parts of waiting, for those who wait for many devices at once: whether the topic is {root}/res/{device}/{op} (neither
 * a device nor an op contains a slash), and that the response says ok. */
bool tl_request_is_response(const struct tl_mqtt_message *message, const char *op);
void tl_request_check(const struct tl_connection *connection, const char *op, const struct tl_mqtt_message *response);

/* Replaces what is in `map` by the arguments of a sync. */
void tl_request_put_sync(struct tl_buffer *map, uint64_t after, uint64_t limit);

/* A page of an inbox. */
struct tl_page {
	uint64_t messages;
	uint64_t next;
	bool more;
};

/* What a response to the sync after `after` holds; one that makes no sense ends the program. */
struct tl_page tl_request_page(const struct tl_mqtt_message *response, uint64_t after);

/* A number or bool of the response; its absence ends the program. */
uint64_t tl_request_number(const struct tl_mqtt_message *response, const char *key);

#endif
