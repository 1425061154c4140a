#include "mqtt_connection.h"

#include "bench_clock.h"
#include "bench_error.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES 65536u
#define CONNECT_TIMEOUT_NS (10 * TL_NS_PER_S)

static int open_socket(const struct tl_target *target)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)target->port) };
	int yes = 1;
	int opened;

	if (inet_pton(AF_INET, target->host, &address.sin_addr) != 1) {
		tl_die("--host %s is not an IPv4 address", target->host);
	}
	opened = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (opened < 0) {
		tl_die("cannot open a socket: %s", strerror(errno));
	}
	if (connect(opened, (const struct sockaddr *)&address, sizeof(address)) != 0 && errno != EINPROGRESS) {
		tl_die("cannot connect to %s:%u: %s", target->host, (unsigned)target->port, strerror(errno));
	}
	setsockopt(opened, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	return opened;
}

void tl_connection_begin(struct tl_connection *connection, const struct tl_target *target, const char *client_id,
	const char *username, bool clean)
{
	struct tl_mqtt_connect connect = { .client_id = client_id, .username = username, .clean = clean };

	memset(connection, 0, sizeof(*connection));
	connection->version = connect.version = target->protocol == 5 ? TL_MQTT_5 : TL_MQTT_311;
	snprintf(connection->client_id, sizeof(connection->client_id), "%s", client_id);
	connection->socket = open_socket(target);
	tl_mqtt_put_connect(&connection->out, &connect);
	tl_connection_flush(connection);
}

void tl_connection_connected(struct tl_connection *connection, const struct tl_mqtt_packet *packet)
{
	unsigned reason;

	if (!tl_mqtt_read_connack(packet, connection->version, &reason, &connection->receive_max)) {
		tl_die("%s: the answer to CONNECT is no CONNACK", connection->client_id);
	}
	if (reason != 0) {
		tl_die("%s: the broker refused the connection (code %u)", connection->client_id, reason);
	}
}

void tl_connection_open(struct tl_connection *connection, const struct tl_target *target, const char *client_id,
	const char *username, bool clean)
{
	struct tl_mqtt_packet packet;

	tl_connection_begin(connection, target, client_id, username, clean);
	if (!tl_connection_wait(connection, tl_now_ns() + CONNECT_TIMEOUT_NS, &packet)) {
		tl_die("%s: no answer to CONNECT", client_id);
	}
	tl_connection_connected(connection, &packet);
}

void tl_connection_close(struct tl_connection *connection)
{
	tl_mqtt_put_disconnect(&connection->out);
	(void)send(connection->socket, connection->out.data + connection->out.start, tl_buffer_length(&connection->out),
		MSG_NOSIGNAL | MSG_DONTWAIT);
	close(connection->socket);
	tl_buffer_fini(&connection->in);
	tl_buffer_fini(&connection->out);
}

bool tl_connection_flush(struct tl_connection *connection)
{
	struct tl_buffer *out = &connection->out;

	while (tl_buffer_length(out) > 0) {
		ssize_t sent =
			send(connection->socket, out->data + out->start, tl_buffer_length(out), MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent < 0 && errno == EINTR) {
			continue;
		}
		if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			return false;
		}
		if (sent < 0) {
			tl_die("%s: the broker closed the connection (%s)", connection->client_id, strerror(errno));
		}
		out->start += (size_t)sent;
	}
	out->start = out->end = 0;
	return true;
}

bool tl_connection_fill(struct tl_connection *connection)
{
	struct tl_buffer *in = &connection->in;
	ssize_t got;

	tl_buffer_reserve(in, READ_BYTES);
	do {
		got = recv(connection->socket, in->data + in->end, in->capacity - in->end, MSG_DONTWAIT);
	} while (got < 0 && errno == EINTR);
	if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
		return false;
	}
	if (got <= 0) {
		tl_die("%s: the broker closed the connection%s%s", connection->client_id, got < 0 ? ": " : "",
			got < 0 ? strerror(errno) : "");
	}
	in->end += (size_t)got;
	return in->end == in->capacity;
}

bool tl_connection_next(struct tl_connection *connection, struct tl_mqtt_packet *packet_out)
{
	int got = tl_mqtt_take_packet(&connection->in, packet_out);

	if (got < 0) {
		tl_die("%s: the broker sent something that is not MQTT", connection->client_id);
	}
	if (got > 0 && packet_out->type == TL_MQTT_DISCONNECT) {
		tl_die("%s: the broker said DISCONNECT (reason 0x%02x)", connection->client_id,
			packet_out->body_bytes > 0 ? packet_out->body[0] : 0u);
	}
	return got > 0;
}

bool tl_connection_wait(struct tl_connection *connection, uint64_t deadline_ns, struct tl_mqtt_packet *packet_out)
{
	while (!tl_connection_next(connection, packet_out)) {
		struct pollfd poll_for = { .fd = connection->socket, .events = POLLIN };
		uint64_t now = tl_now_ns();

		if (!tl_connection_flush(connection)) {
			poll_for.events |= POLLOUT;
		}
		if (now >= deadline_ns) {
			return false;
		}
		if (poll(&poll_for, 1, (int)((deadline_ns - now) / TL_NS_PER_MS) + 1) > 0 &&
			(poll_for.revents & ~POLLOUT)) {
			tl_connection_fill(connection);
		}
	}
	return true;
}

void tl_connection_accept(
	struct tl_connection *connection, const struct tl_mqtt_packet *packet, struct tl_mqtt_message *message_out)
{
	if (!tl_mqtt_read_publish(packet, connection->version, message_out) || message_out->qos > 1) {
		tl_die("%s: the broker sent a PUBLISH that makes no sense", connection->client_id);
	}
	if (message_out->qos == 1) {
		tl_mqtt_put_puback(&connection->out, message_out->packet_id);
	}
}

void tl_connection_subscribe_wait(struct tl_connection *connection, const char *filter, unsigned qos)
{
	uint64_t deadline_ns = tl_now_ns() + CONNECT_TIMEOUT_NS;
	struct tl_mqtt_packet packet;
	struct tl_mqtt_message message;
	uint16_t packet_id;
	unsigned reason;

	tl_mqtt_put_subscribe(&connection->out, connection->version, ++connection->last_packet_id, filter, qos);
	do {
		if (!tl_connection_wait(connection, deadline_ns, &packet)) {
			tl_die("%s: no answer to SUBSCRIBE %s", connection->client_id, filter);
		}
		if (packet.type == TL_MQTT_PUBLISH) {
			tl_connection_accept(connection, &packet, &message);
		}
	} while (packet.type != TL_MQTT_SUBACK);
	if (!tl_mqtt_read_ack(&packet, &packet_id, &reason) || reason >= 0x80) {
		tl_die("%s: the broker refused to subscribe to %s", connection->client_id, filter);
	}
	tl_connection_flush(connection);
}

void tl_connection_allow(uint64_t count)
{
	const rlim_t spare = 32;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
		return;
	}
	if (limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
		getrlimit(RLIMIT_NOFILE, &limit);
	}
	if (limit.rlim_cur < count + spare) {
		tl_die("%llu connections need a higher limit of open files (ulimit -n is %llu)", (unsigned long long)count,
			(unsigned long long)limit.rlim_cur);
	}
}
