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

/* A number or bool of the response; its absence ends the program. */
uint64_t tl_request_number(const struct tl_mqtt_message *response, const char *key);

#endif
