/* The MQTT 5 properties of a PUBLISH. */
#include "plugin.h"

#include <mosquitto.h>
#include <mqtt_protocol.h>

/* User properties that the protocol gives a meaning to; all others are kept for the app. */
static const struct {
	const char *name;
	size_t offset;
} known[] = {
	{"id", offsetof(struct tl_properties, id)},       {"type", offsetof(struct tl_properties, type)},
	{"time", offsetof(struct tl_properties, time)},   {"order", offsetof(struct tl_properties, order)},
	{"accept", offsetof(struct tl_properties, accept)},
};

static bool keep(struct tl_plugin *plugin, const void *bytes, size_t len, struct tl_slice *out)
{
	out->ptr = tl_arena_copy(&plugin->arena, tl_slice(bytes, len));
	out->len = len;
	return out->ptr != NULL;
}

static bool keep_string(struct tl_plugin *plugin, char *string, struct tl_slice *out)
{
	bool ok = string && keep(plugin, string, strlen(string), out);
	tl_broker_free_string(plugin->generation, string);
	return ok;
}

static bool take_pair(struct tl_plugin *plugin, const mosquitto_property *property, struct tl_properties *properties)
{
	char *name = NULL, *value = NULL;
	bool ok = true;
	if (!mosquitto_property_read_string_pair(property, MQTT_PROP_USER_PROPERTY, &name, &value, false))
		return false;
	size_t i = 0;
	while (i < sizeof known / sizeof known[0] && strcmp(known[i].name, name) != 0)
		i++;
	if (i < sizeof known / sizeof known[0]) {
		ok = keep(plugin, value, strlen(value),
		          (struct tl_slice *)(void *)((char *)properties + known[i].offset));
	} else {
		tl_pack_cstr(&plugin->pack, name);
		tl_pack_cstr(&plugin->pack, value);
		properties->props_count++;
		properties->props_bytes += strlen(name) + strlen(value);
	}
	tl_broker_free_string(plugin->generation, name);
	tl_broker_free_string(plugin->generation, value);
	return ok;
}

static bool take(struct tl_plugin *plugin, const mosquitto_property *property, struct tl_properties *properties)
{
	char *string = NULL;
	void *data = NULL;
	uint16_t len = 0;
	bool ok;
	switch (mosquitto_property_identifier(property)) {
	case MQTT_PROP_USER_PROPERTY:
		return take_pair(plugin, property, properties);
	case MQTT_PROP_CONTENT_TYPE:
		mosquitto_property_read_string(property, MQTT_PROP_CONTENT_TYPE, &string, false);
		return keep_string(plugin, string, &properties->content_type);
	case MQTT_PROP_RESPONSE_TOPIC:
		mosquitto_property_read_string(property, MQTT_PROP_RESPONSE_TOPIC, &string, false);
		return keep_string(plugin, string, &properties->response_topic);
	case MQTT_PROP_CORRELATION_DATA:
		mosquitto_property_read_binary(property, MQTT_PROP_CORRELATION_DATA, &data, &len, false);
		ok = keep(plugin, data ? data : "", len, &properties->correlation);
		tl_broker_free_string(plugin->generation, data);
		return ok;
	default:
		return true;
	}
}

bool tl_properties_read(struct tl_plugin *plugin, const mosquitto_property *list, struct tl_properties *properties_out)
{
	*properties_out = (struct tl_properties){0};
	if (!list)
		return true;
	tl_pack_clear(&plugin->pack);
	for (const mosquitto_property *p = list; p; p = mosquitto_property_next(p))
		if (!take(plugin, p, properties_out))
			return false;
	properties_out->props = tl_pack_bytes(&plugin->pack);
	return !plugin->pack.failed;
}
