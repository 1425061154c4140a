/* The plugin's options, plugin_opt_* in mosquitto.conf: one table row each. Their meaning for operators is described in
 * config/options.md. */
#ifndef TL_OPTIONS_H
#define TL_OPTIONS_H

#include "broker.h"
#include "store.h"

enum tl_anonymous { TL_ANONYMOUS_DENY, TL_ANONYMOUS_CLIENT_ID };
enum tl_other_topics { TL_OTHER_DEFER, TL_OTHER_ALLOW };

enum { TL_ROOT_MAX = 128, TL_DATA_DIR_MAX = 3000, TL_ADMINS_MAX = 4096 }; /* bytes */

struct tl_options {
	char root[TL_ROOT_MAX + 1];
	char data_dir[TL_DATA_DIR_MAX + 1];
	char admins[TL_ADMINS_MAX + 1]; /* usernames separated by commas; empty: none */
	uint64_t durability;   /* enum tl_durability */
	uint64_t search;       /* 0: nothing is indexed and searched */
	uint64_t anonymous;    /* enum tl_anonymous */
	uint64_t other_topics; /* enum tl_other_topics */
	uint64_t max_body;          /* bytes */
	uint64_t notify_inline_max; /* bytes */
	uint64_t dedup_window;      /* ms */
	uint64_t recall_window;     /* ms */
	uint64_t edit_window;       /* ms */
	uint64_t write_fanout_max;  /* members */
	uint64_t inbox_ttl;         /* ms */
	uint64_t inbox_max;         /* entries */
	uint64_t retention;         /* ms */
	uint64_t device_ttl;        /* ms */
	uint64_t max_members;
	uint64_t max_conversations;
	uint64_t queue_max;         /* bytes */
	uint64_t block_cache;       /* bytes */
	uint64_t write_buffer;      /* bytes */
	uint64_t open_tables;
	uint64_t cached_users;
	uint64_t cached_conversations;
	uint64_t readers;           /* threads */
	uint64_t requests_per_device; /* being worked on at once */
	uint64_t message_rate;      /* of a user, a second; 0: no limit */
	uint64_t message_burst;
	uint64_t request_rate;      /* of a user, a second; 0: no limit */
	uint64_t request_burst;
};

/* Fills the options in from the configuration and the defaults. Nothing of `given`, which the broker may free when it
 * reloads its configuration, is kept. An unknown option, a bad value or a missing one: TL_BAD_REQUEST, and `why` names the option and says what is wrong. */
TL_MUST_USE enum tl_err tl_options_parse(const struct mosquitto_opt *given, int count, struct tl_options *options_out,
                                         struct tl_why *why);

#endif
