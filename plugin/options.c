#include "options.h"

#include "params.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>

enum type { TEXT, CHOICE, NUMBER, SIZE, TIME };

struct option {
	const char *name;
	enum type type;
	size_t offset;
	const char *standard; /* the default; NULL: must be given */
	uint64_t min, max;    /* TEXT: bytes; NUMBER; SIZE in bytes; TIME in ms */
	const char *const *choices;
};

static const char *const durabilities[] = {"strict", "group", "os", NULL};
static const char *const anonymouses[] = {"deny", "client_id", NULL};
static const char *const others[] = {"defer", "allow", NULL};
static const char *const switches[] = {"off", "on", NULL};

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)
#define CACHE_MAX (SIZE_MAX > UINT32_MAX ? 1024 * GIB : GIB) /* of what a process can address */
#define DAY (UINT64_C(86400) * 1000)
#define AT(field) offsetof(struct tl_options, field)

static const struct option table[] = {
	{"root", TEXT, AT(root), "im", 1, TL_ROOT_MAX, NULL},
	{"data_dir", TEXT, AT(data_dir), NULL, 1, TL_DATA_DIR_MAX, NULL},
	{"admins", TEXT, AT(admins), "", 0, TL_ADMINS_MAX, NULL},
	{"durability", CHOICE, AT(durability), "group", 0, 0, durabilities},
	{"anonymous", CHOICE, AT(anonymous), "deny", 0, 0, anonymouses},
	{"other_topics", CHOICE, AT(other_topics), "defer", 0, 0, others},
	{"search", CHOICE, AT(search), "on", 0, 0, switches},
	{"max_body", SIZE, AT(max_body), "1m", 1, 128 * MIB, NULL},
	{"notify_inline_max", SIZE, AT(notify_inline_max), "4k", 0, 256 * KIB, NULL},
	{"dedup_window", TIME, AT(dedup_window), "7d", 0, 3650 * DAY, NULL},
	{"recall_window", TIME, AT(recall_window), "2m", 0, 3650 * DAY, NULL},
	{"edit_window", TIME, AT(edit_window), "15m", 0, 3650 * DAY, NULL},
	{"write_fanout_max", NUMBER, AT(write_fanout_max), "500", 0, 1000000, NULL},
	{"inbox_ttl", TIME, AT(inbox_ttl), "30d", 0, 3650 * DAY, NULL},
	{"inbox_max", NUMBER, AT(inbox_max), "100000", 0, 1000000000, NULL},
	{"retention", TIME, AT(retention), "0", 0, 36500 * DAY, NULL},
	{"device_ttl", TIME, AT(device_ttl), "90d", 0, 3650 * DAY, NULL},
	{"max_members", NUMBER, AT(max_members), "100000", 2, 10000000, NULL},
	{"max_conversations", NUMBER, AT(max_conversations), "5000", 1, 10000000, NULL},
	{"queue_max", SIZE, AT(queue_max), "256m", MIB, 1024 * GIB, NULL},
	{"block_cache", SIZE, AT(block_cache), "16m", MIB, CACHE_MAX, NULL},
	{"write_buffer", SIZE, AT(write_buffer), "16m", 64 * KIB, GIB, NULL},
	{"open_tables", NUMBER, AT(open_tables), "300", 100, 50000, NULL},
	{"cached_users", NUMBER, AT(cached_users), "50000", 100, 100000000, NULL},
	{"cached_conversations", NUMBER, AT(cached_conversations), "25000", 100, 100000000, NULL},
	{"readers", NUMBER, AT(readers), "2", 1, 64, NULL},
	{"requests_per_device", NUMBER, AT(requests_per_device), "32", 1, 10000, NULL},
	{"message_rate", NUMBER, AT(message_rate), "0", 0, 1000000, NULL},
	{"message_burst", NUMBER, AT(message_burst), "1000", 1, 10000000, NULL},
	{"request_rate", NUMBER, AT(request_rate), "0", 0, 1000000, NULL},
	{"request_burst", NUMBER, AT(request_burst), "500", 1, 10000000, NULL},
};

enum { OPTION_COUNT = sizeof table / sizeof table[0] };

static void *field(struct tl_options *options, const struct option *option)
{
	return (char *)options + option->offset;
}

static enum tl_err bad(struct tl_why *why, const struct option *option, const char *value, const char *what)
{
	return tl_fail(why, TL_BAD_REQUEST, "plugin_opt_%s %.80s: %s", option->name, value, what);
}

static enum tl_err set_choice(struct tl_options *options, const struct option *option, const char *value,
                              struct tl_why *why)
{
	char what[100] = "must be one of";
	for (uint64_t i = 0; option->choices[i]; i++) {
		if (strcmp(option->choices[i], value) == 0) {
			*(uint64_t *)field(options, option) = i;
			return TL_OK;
		}
		strncat(what, i ? ", " : " ", sizeof what - strlen(what) - 1);
		strncat(what, option->choices[i], sizeof what - strlen(what) - 1);
	}
	return bad(why, option, value, what);
}

static bool parse_number(enum type type, const char *value, uint64_t *number_out)
{
	struct tl_slice text = tl_slice_str(value);
	char *end;
	switch (type) {
	case SIZE:
		return tl_size_parse(text, number_out);
	case TIME:
		return tl_duration_parse(text, number_out);
	default:
		*number_out = strtoull(value, &end, 10);
		return value[0] >= '0' && value[0] <= '9' && *end == '\0';
	}
}

static enum tl_err set_number(struct tl_options *options, const struct option *option, const char *value,
                              struct tl_why *why)
{
	static const char *const forms[] = {
		[NUMBER] = "must be a whole number",
		[SIZE] = "must be a size such as 512, 64k, 16m or 1g",
		[TIME] = "must be a duration such as 500ms, 30s, 5m, 12h or 7d",
	};
	uint64_t number;
	char what[100];
	if (!parse_number(option->type, value, &number))
		return bad(why, option, value, forms[option->type]);
	if (number < option->min || number > option->max) {
		snprintf(what, sizeof what, "must be within %" PRIu64 " and %" PRIu64 "%s", option->min, option->max,
		         option->type == SIZE ? " bytes" : option->type == TIME ? " ms" : "");
		return bad(why, option, value, what);
	}
	*(uint64_t *)field(options, option) = number;
	return TL_OK;
}

static enum tl_err set(struct tl_options *options, const struct option *option, const char *value, struct tl_why *why)
{
	if (option->type == CHOICE)
		return set_choice(options, option, value, why);
	if (option->type != TEXT)
		return set_number(options, option, value, why);
	if (strlen(value) < option->min || strlen(value) > option->max)
		return bad(why, option, value, "is empty or too long");
	strcpy(field(options, option), value); /* the table's maximum is the field's room */
	return TL_OK;
}

/* A topic without wildcards, empty levels and '$', which the broker keeps for itself. */
static enum tl_err check_root(const struct tl_options *options, struct tl_why *why)
{
	const char *root = options->root;
	if (strpbrk(root, "+#") || root[0] == '$' || root[0] == '/' || root[strlen(root) - 1] == '/' || strstr(root, "//"))
		return tl_fail(why, TL_BAD_REQUEST,
		               "plugin_opt_root %s: must be a topic without wildcards and empty levels, not beginning with $",
		               root);
	return TL_OK;
}

enum tl_err tl_options_parse(const struct mosquitto_opt *given, int count, struct tl_options *options_out,
                             struct tl_why *why)
{
	bool seen[OPTION_COUNT] = {false};
	for (int i = 0; i < count; i++) {
		size_t row = 0;
		while (row < OPTION_COUNT && strcmp(table[row].name, given[i].key) != 0)
			row++;
		if (row == OPTION_COUNT)
			return tl_fail(why, TL_BAD_REQUEST, "plugin_opt_%.80s: there is no such option", given[i].key);
		enum tl_err err = set(options_out, &table[row], given[i].value ? given[i].value : "", why);
		if (err != TL_OK)
			return err;
		seen[row] = true;
	}
	for (size_t row = 0; row < OPTION_COUNT; row++) {
		if (seen[row])
			continue;
		if (!table[row].standard)
			return tl_fail(why, TL_BAD_REQUEST, "plugin_opt_%s: must be given", table[row].name);
		enum tl_err err = set(options_out, &table[row], table[row].standard, why);
		if (err != TL_OK)
			return err;
	}
	return check_root(options_out, why);
}
