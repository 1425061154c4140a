/*
 * tl_mqtt_load: loads a broker over MQTT and prints what came of it. It speaks MQTT on plain sockets and runs on one
 * thread with epoll, so that the broker is what is measured and not a client library.
 *
 *	mqtt_load.c          this file: picks the command
 *	load_options.c       the command line
 *	load_publish.c ...   the commands (load_commands.h)
 *	message_pattern.c    topics with %placeholders, text for payloads
 *	timeline_request.c   requests of the timeline protocol, with msgpack_bytes.c
 *	mqtt_connection.c    a socket and its buffers, over mqtt_wire.c, the bytes of MQTT
 *	histogram.c          latencies
 */
#include "load_commands.h"

#include "bench_error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct tl_command *const commands[] = {
	&tl_publish_command,
	&tl_latency_command,
	&tl_subscribe_command,
	&tl_drain_command,
	&tl_hold_command,
	&tl_storm_command,
	&tl_visit_command,
	&tl_ask_command,
	&tl_wait_command,
	&tl_create_command,
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static void print_help(FILE *to)
{
	size_t i;

	fprintf(to, "usage: tl_mqtt_load COMMAND [--option value ...]\n       tl_mqtt_load COMMAND --help\n\n");
	for (i = 0; i < COMMAND_COUNT; i++) {
		fprintf(to, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
	}
	fprintf(to,
		"\nPatterns of topics and names: %%n number of the connection, %%u of the receiving user, %%c of the\n"
		"conversation, %%m message id (different in every run), %%%% a percent sign.\n");
}

static const struct tl_command *find_command(const char *name)
{
	size_t i;

	for (i = 0; i < COMMAND_COUNT; i++) {
		if (strcmp(commands[i]->name, name) == 0) {
			return commands[i];
		}
	}
	return NULL;
}

int main(int count, char **arguments)
{
	const struct tl_command *command;
	void *values;
	int status;

	if (count < 2) {
		print_help(stderr);
		return EXIT_FAILURE;
	}
	if (strcmp(arguments[1], "--help") == 0 || strcmp(arguments[1], "help") == 0) {
		print_help(stdout);
		return EXIT_SUCCESS;
	}
	command = find_command(arguments[1]);
	if (!command) {
		tl_die("unknown command '%s' (see --help)", arguments[1]);
	}
	if (count > 2 && strcmp(arguments[2], "--help") == 0) {
		tl_options_help(command);
		return EXIT_SUCCESS;
	}
	values = tl_must_alloc(1, command->options_bytes);
	tl_options_parse(command, count - 2, arguments + 2, values);
	status = command->run(values);
	free(values);
	return status;
}
