/*
 * Command line options from a table: every option is `--name value`, `--name=value` or, for flags, `--name`, and lands
 * in a field of the command's options struct. Help and defaults come from the same table.
 */
#ifndef TL_LOAD_OPTIONS_H
#define TL_LOAD_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

enum tl_option_kind { TL_OPTION_NUMBER, TL_OPTION_TEXT, TL_OPTION_FLAG };

struct tl_option {
	const char *name;
	enum tl_option_kind kind;
	size_t offset; /* of a uint64_t, const char * or bool in the options struct */
	uint64_t min;  /* numbers only */
	uint64_t max;
	const char *help;
};

/* The options that every command has; `type` is a struct whose field `target` is a struct tl_target. */
#define TL_TARGET_OPTIONS(type)                                                                                    \
	{ "host", TL_OPTION_TEXT, offsetof(type, target.host), 0, 0, "IPv4 address of the broker" },                   \
	{ "port", TL_OPTION_NUMBER, offsetof(type, target.port), 1, 65535, "port of the broker" },                     \
	{ "protocol", TL_OPTION_NUMBER, offsetof(type, target.protocol), 3, 5, "3 for MQTT 3.1.1, 5 for MQTT 5" }

#define TL_TARGET_DEFAULTS { .host = "127.0.0.1", .port = 1883, .protocol = 3 }

/* A command: its name, one line about it, its options and what runs it. */
struct tl_command {
	const char *name;
	const char *summary;
	const struct tl_option *options;
	size_t option_count;
	const void *defaults; /* an options struct */
	size_t options_bytes; /* its size */
	int (*run)(const void *options);
};

/* Prints the command's options with their defaults. */
void tl_options_help(const struct tl_command *command);

/* Fills `values` (options_bytes of them) from the defaults and the arguments; a bad argument ends the program. */
void tl_options_parse(const struct tl_command *command, int count, char **arguments, void *values);

#endif
