/* The part of Mosquitto's API that this plugin uses and that differs between its generations, behind one face. */
#ifndef TL_BROKER_H
#define TL_BROKER_H

#include "error.h"
#include "slice.h"

#include <mosquitto.h>
#include <mosquitto_broker.h>
#include <mosquitto_plugin.h>
#include <stdbool.h>

enum tl_generation { TL_MOSQUITTO_2_0, TL_MOSQUITTO_2_1 };

/* Events that 2.0's headers lack. What comes with CLIENT_OFFLINE is laid out as with DISCONNECT, with MESSAGE_OUT as with
 * MESSAGE. */
enum { TL_EVT_CONNECT = 11, TL_EVT_MESSAGE_OUT = 27, TL_EVT_CLIENT_OFFLINE = 28 };

struct tl_evt_connect {
	void *future;
	struct mosquitto *client;
	void *future2[4];
};

/* Which generation this process is: found by what it exports. */
enum tl_generation tl_broker_generation(void);

/* What an ACL callback answers where others shall decide. What all plugins defer is refused. 2.1 also knows the answer of a
 * plugin that is to count as not loaded (MOSQ_ERR_PLUGIN_IGNORE), with which nothing is refused that would not be without it:
 * this is the answer there if no other plugin is loaded. Beside another one it is not, because of those that do not decide 2.1
 * heeds only the one asked last: it would grant what the other one, such as dynamic security, has deferred to have it refused.
 * Mosquitto's own acl_file always decides.
 *
 * Takes a look at every object in the process, some 20 µs in all; so ask once, but not before an access is checked. By then
 * the broker has loaded all of its plugins, and reloading the configuration loads none. If memory is short, takes it that there
 * is another plugin. Any thread. */
int tl_broker_defer(enum tl_generation generation);

/* Whether the plugin was loaded for one listener only (per_listener_settings), as far as the generation tells. */
bool tl_broker_is_per_listener(enum tl_generation generation, const mosquitto_plugin_id_t *identifier);

/* What reads the properties of MQTT 5: Mosquitto's functions, mosquitto_property_next and so on. */
struct tl_property_reader {
	__typeof__(&mosquitto_property_next) next;
	__typeof__(&mosquitto_property_identifier) identifier;
	__typeof__(&mosquitto_property_read_binary) read_binary;
	__typeof__(&mosquitto_property_read_string) read_string;
	__typeof__(&mosquitto_property_read_string_pair) read_string_pair;
	void (*free)(void *value); /* what they return; the two generations take it from different allocators */
};

/* Finds these functions. 2.0.11 and 2.1 export them; later ones of 2.0 (2.0.18 to 2.0.22 at least) have them for themselves. Then they
 * are libmosquitto's, which are the same in every 2.0. TL_BAD_REQUEST: there is none. */
TL_MUST_USE enum tl_err tl_broker_property_reader(enum tl_generation generation, struct tl_property_reader *reader_out,
                                                  struct tl_why *why);

/* A user property of MQTT 5. */
struct tl_user_property {
	const char *name;
	struct tl_slice value;
};

/* Whom and how to publish to. */
struct tl_packet_address {
	const char *client_id; /* NULL: whoever subscribed */
	const char *topic;
	int qos;
	struct tl_slice correlation;  /* MQTT 5 Correlation Data; ptr NULL: none */
	struct tl_slice content_type; /* empty: none */
	const struct tl_user_property *properties;
	size_t property_count;
	bool retain;
};

/* Publishes. The payload is copied, and may be empty. False if memory is short. Broker thread. */
bool tl_broker_publish(const struct tl_packet_address *address, struct tl_slice payload);

#endif
