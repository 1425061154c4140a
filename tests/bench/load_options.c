#include "load_options.h"

#include "bench_error.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_default(const struct tl_option *option, const void *defaults)
{
	const char *field = (const char *)defaults + option->offset;
	const char *text;
	uint64_t number;

	if (option->kind == TL_OPTION_NUMBER) {
		memcpy(&number, field, sizeof(number));
		printf(" [%" PRIu64 "]", number);
	} else if (option->kind == TL_OPTION_TEXT) {
		memcpy(&text, field, sizeof(text));
		if (text) {
			printf(" [%s]", text);
		}
	}
}

void tl_options_help(const struct tl_command *command)
{
	static const char *const value_names[] = { "N", "TEXT", "" };
	size_t i;

	printf("%s: %s\n\n", command->name, command->summary);
	for (i = 0; i < command->option_count; i++) {
		const struct tl_option *option = &command->options[i];

		printf("  --%-15s %-5s %s", option->name, value_names[option->kind], option->help);
		print_default(option, command->defaults);
		putchar('\n');
	}
}

static const struct tl_option *find_option(const struct tl_command *command, const char *name, size_t name_bytes)
{
	size_t i;

	for (i = 0; i < command->option_count; i++) {
		if (strlen(command->options[i].name) == name_bytes &&
			memcmp(command->options[i].name, name, name_bytes) == 0) {
			return &command->options[i];
		}
	}
	tl_die("%s: unknown option --%.*s (see %s --help)", command->name, (int)name_bytes, name, command->name);
}

static uint64_t parse_number(const struct tl_option *option, const char *text)
{
	char *end = NULL;
	uint64_t number;

	errno = 0;
	number = strtoull(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || *text == '-' || number < option->min || number > option->max) {
		tl_die("--%s must be a number from %" PRIu64 " to %" PRIu64 ", not '%s'", option->name, option->min,
			option->max, text);
	}
	return number;
}

static void store(const struct tl_option *option, const char *text, void *values)
{
	char *field = (char *)values + option->offset;
	uint64_t number;
	bool yes = true;

	switch (option->kind) {
	case TL_OPTION_NUMBER:
		number = parse_number(option, text);
		memcpy(field, &number, sizeof(number));
		break;
	case TL_OPTION_TEXT:
		memcpy(field, &text, sizeof(text));
		break;
	case TL_OPTION_FLAG:
		memcpy(field, &yes, sizeof(yes));
		break;
	}
}

void tl_options_parse(const struct tl_command *command, int count, char **arguments, void *values)
{
	int i;

	memcpy(values, command->defaults, command->options_bytes);
	for (i = 0; i < count; i++) {
		const char *name = arguments[i] + 2;
		size_t name_bytes = strcspn(arguments[i] + (strlen(arguments[i]) >= 2 ? 2 : 0), "=");
		const struct tl_option *option;
		const char *text = NULL;

		if (strncmp(arguments[i], "--", 2) != 0) {
			tl_die("%s: '%s' is not an option (see %s --help)", command->name, arguments[i], command->name);
		}
		option = find_option(command, name, name_bytes);
		if (option->kind == TL_OPTION_FLAG && name[name_bytes] == '=') {
			tl_die("--%s takes no value", option->name);
		}
		if (name[name_bytes] == '=') {
			text = name + name_bytes + 1;
		} else if (option->kind != TL_OPTION_FLAG) {
			if (++i >= count) {
				tl_die("--%s needs a value", option->name);
			}
			text = arguments[i];
		}
		store(option, text, values);
	}
}
