/* Administration: `$CONTROL/timeline/v1`, JSON in the manner of Mosquitto's dynamic security plugin.
 *
 *     {"commands":[{"command":"stats","correlationData":"x"}]}
 *         ──► $CONTROL/timeline/v1/response, to the one who asked:
 *     {"responses":[{"command":"stats","data":{…},"correlationData":"x"}]}     or "error":"…" in place of the data
 *
 * The usernames in plugin_opt_admins may; a client id that stands for a user may not. Broker thread. */
#include "plugin.h"

#include "json.h"
#include "msgpack_reader.h"

#include <mosquitto.h>
#include <stdlib.h>

#define CONTROL_TOPIC "$CONTROL/timeline/v1"
#define RESPONSE_TOPIC CONTROL_TOPIC "/response"

enum {
	DEPTH_MAX = 4,      /* of a request's JSON */
	COMMANDS_MAX = 100, /* in one request */
};

/* --- who may --- */

static bool is_admin(const struct tl_plugin *plugin, const struct mosquitto *client)
{
	const char *user = client ? mosquitto_client_username(client) : NULL, *at = plugin->options.admins;
	size_t len = user ? strlen(user) : 0;
	while (len > 0 && *at) {
		at += strspn(at, ", ");
		size_t name = strcspn(at, ",");
		while (name > 0 && at[name - 1] == ' ')
			name--;
		if (name == len && memcmp(at, user, len) == 0)
			return true;
		at += strcspn(at, ",");
	}
	return false;
}

bool tl_control_access(const struct tl_plugin *plugin, const struct mosquitto *client, int access, const char *topic,
                       int *answer_out)
{
	if (topic[0] != CONTROL_TOPIC[0])
		return false; /* nearly all, at each delivery */
	bool control = strcmp(topic, CONTROL_TOPIC) == 0, response = strcmp(topic, RESPONSE_TOPIC) == 0;
	if (!control && !response)
		return false;
	bool granted = is_admin(plugin, client) && (access == MOSQ_ACL_UNSUBSCRIBE || control == (access == MOSQ_ACL_WRITE));
	*answer_out = granted ? MOSQ_ERR_SUCCESS : MOSQ_ERR_ACL_DENIED;
	return true;
}

/* --- commands --- */

static void pack_figure(struct tl_pack *out, const char *name, uint64_t value)
{
	tl_pack_cstr(out, name);
	tl_pack_uint(out, value);
}

/* What a command answers: packed pairs into `out`, or why it cannot. NULL: done. */
typedef const char *(*command_function)(struct tl_plugin *plugin, struct tl_slice args, struct tl_pack *out);

static const char *stats(struct tl_plugin *plugin, struct tl_slice args, struct tl_pack *out)
{
	struct tl_figure figures[TL_FIGURES_MAX];
	size_t count = tl_figures(plugin, figures);
	(void)args;
	tl_pack_cstr(out, "data");
	tl_pack_map(out, (uint32_t)count);
	for (size_t i = 0; i < count; i++)
		pack_figure(out, figures[i].name, figures[i].value);
	return NULL;
}

static const char *reindex(struct tl_plugin *plugin, struct tl_slice args, struct tl_pack *out)
{
	struct tl_reader value;
	struct tl_slice conv = tl_slice("", 0);
	if (tl_msgpack_find(args, "conv", &value) && (!tl_reader_str(&value, &conv) || conv.len == 0))
		return "'conv' must be the id of a conversation";
	enum tl_err err = tl_store_reindex(plugin->store, conv);
	if (err == TL_UNKNOWN_OP)
		return "search is off";
	if (err != TL_OK)
		return err == TL_NOT_FOUND ? "there is no such conversation" : tl_err_text(err);
	tl_pack_cstr(out, "data");
	tl_pack_map(out, 0);
	return NULL;
}

static const struct {
	const char *name;
	command_function function;
} commands[] = {{"stats", stats}, {"reindex", reindex}};

static const char *do_command(struct tl_plugin *plugin, struct tl_slice name, struct tl_slice args, struct tl_pack *out)
{
	for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
		if (tl_slice_equal(name, tl_slice_str(commands[i].name)))
			return commands[i].function(plugin, args, out);
	return "there is no such command";
}

/* The response to one command, as a map. */
static void answer_command(struct tl_plugin *plugin, struct tl_slice args, struct tl_pack *responses)
{
	struct tl_slice name = tl_message_str(args, "command"), correlation = tl_message_str(args, "correlationData");
	struct tl_pack pairs;
	tl_pack_init(&pairs);
	const char *error = name.len > 0 ? do_command(plugin, name, args, &pairs) : "'command' is missing";
	tl_pack_map(responses, 2 + (correlation.len > 0));
	tl_pack_cstr(responses, "command");
	tl_pack_str(responses, name);
	if (error) {
		tl_pack_cstr(responses, "error");
		tl_pack_cstr(responses, error);
	} else {
		tl_pack_raw(responses, tl_pack_bytes(&pairs));
		responses->failed |= pairs.failed;
	}
	if (correlation.len > 0) {
		tl_pack_cstr(responses, "correlationData");
		tl_pack_str(responses, correlation);
	}
	tl_pack_fini(&pairs);
}

static bool is_map(struct tl_reader reader)
{
	uint32_t pairs;
	return tl_reader_map(&reader, &pairs);
}

/* Every command of a request; false where it is none. */
static bool answer_commands(struct tl_plugin *plugin, struct tl_slice request, struct tl_pack *out)
{
	struct tl_reader list;
	uint32_t count;
	if (!is_map(tl_reader(request)) || !tl_msgpack_find(request, "commands", &list) || !tl_reader_array(&list, &count) ||
	    count > COMMANDS_MAX)
		return false;
	tl_pack_map(out, 1);
	tl_pack_cstr(out, "responses");
	tl_pack_array(out, count);
	for (uint32_t i = 0; i < count; i++) {
		struct tl_slice args = tl_slice(list.next, (size_t)(list.end - list.next));
		static const unsigned char empty_map = 0x80;
		answer_command(plugin, is_map(list) ? args : tl_slice(&empty_map, 1), out);
		if (!tl_reader_skip(&list))
			return false;
	}
	return true;
}

static void answer_bad_request(struct tl_pack *out)
{
	tl_pack_map(out, 1);
	tl_pack_cstr(out, "responses");
	tl_pack_array(out, 1);
	tl_pack_map(out, 2);
	tl_pack_cstr(out, "command");
	tl_pack_cstr(out, "");
	tl_pack_cstr(out, "error");
	tl_pack_cstr(out, "a request is a JSON object of up to 64 KiB with an array 'commands' of up to 100 objects");
}

/* --- the callback --- */

/* By way of the outbox, which knows who holds the client id when it is published: another user may take it over before. An
 * administrator whose names are no valid ids has no session to be known by. */
static void hand_over(struct tl_plugin *plugin, const struct mosquitto *client, struct tl_slice payload)
{
	const struct tl_packet_address address = {.client_id = mosquitto_client_id(client), .topic = RESPONSE_TOPIC};
	const struct tl_session *session = tl_plugin_session(plugin, client);
	if (!session) {
		tl_broker_publish(&address, payload);
		return;
	}
	struct tl_packet *packet = tl_packet_new(NULL, session->user, session->device, tl_slice_str(RESPONSE_TOPIC),
	                                         tl_slice(NULL, 0), payload);
	if (packet)
		tl_outbox_put_take(&plugin->outbox, packet);
}

static void respond(struct tl_plugin *plugin, const struct mosquitto *client, struct tl_pack *out)
{
	msgpack_sbuffer json;
	msgpack_sbuffer_init(&json);
	if (!out->failed && tl_json_from_msgpack(tl_pack_bytes(out), &json) == TL_OK)
		hand_over(plugin, client, tl_slice(json.data, json.size));
	msgpack_sbuffer_destroy(&json);
}

static int on_control(int event, void *event_data, void *userdata)
{
	const struct mosquitto_evt_control *control = event_data;
	struct tl_plugin *plugin = userdata;
	struct tl_pack request, out;
	(void)event;

	if (!is_admin(plugin, control->client))
		return MOSQ_ERR_SUCCESS; /* what comes from a bridge: nobody is told */
	tl_pack_init(&request);
	tl_pack_init(&out);
	struct tl_slice payload = tl_slice(control->payload, control->payloadlen);
	bool ok = payload.len <= TL_REQUEST_MAX_BYTES &&
	          tl_json_to_msgpack(payload, DEPTH_MAX, &request.buffer, NULL) == TL_OK;
	if (!ok || !answer_commands(plugin, tl_pack_bytes(&request), &out)) {
		tl_pack_clear(&out);
		answer_bad_request(&out);
	}
	respond(plugin, control->client, &out);
	tl_pack_fini(&request);
	tl_pack_fini(&out);
	return MOSQ_ERR_SUCCESS;
}

bool tl_control_register(struct tl_plugin *plugin)
{
	/* Nobody to serve: then the topic stays another plugin's, or nobody's. */
	return plugin->options.admins[0] == '\0' ||
	       mosquitto_callback_register(plugin->identifier, MOSQ_EVT_CONTROL, on_control, CONTROL_TOPIC, plugin) ==
	           MOSQ_ERR_SUCCESS;
}

void tl_control_unregister(struct tl_plugin *plugin)
{
	if (plugin->options.admins[0] != '\0')
		mosquitto_callback_unregister(plugin->identifier, MOSQ_EVT_CONTROL, on_control, CONTROL_TOPIC);
}
