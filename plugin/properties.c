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

/* Keeps a string that the broker's reader returned, and frees it. 2.1 returns NULL for an empty one, as for none at
 * all; the property is known to be there, so it is empty. */
static bool keep_string(struct tl_plugin *plugin, char *string, struct tl_slice *out)
{
	out->len = string ? strlen(string) : 0;
	out->ptr = tl_arena_copy(&plugin->arena, tl_slice(string, out->len));
	plugin->property.free(string);
	return out->ptr != NULL;
}

static bool keep_binary(struct tl_plugin *plugin, void *data, size_t len, struct tl_slice *out)
{
	out->ptr = tl_arena_copy(&plugin->arena, tl_slice(data, len));
	out->len = len;
	plugin->property.free(data);
	return out->ptr != NULL;
}

/* Of a name that comes twice, the last value counts. More than may be kept are only counted, to be refused. */
static void take_prop(struct tl_properties *properties, struct tl_slice name, struct tl_slice value)
{
	uint32_t at = 0;
	properties->pair_count++;
	properties->pair_bytes += name.len + value.len;
	while (at < properties->props_count && !tl_slice_equal(properties->props[at].name, name))
		at++;
	if (at == TL_PROPS_MAX)
		return;
	properties->props[at] = (struct tl_property){name, value};
	if (at == properties->props_count)
		properties->props_count++;
}

static bool take_pair(struct tl_plugin *plugin, const mosquitto_property *property, struct tl_properties *properties)
{
	char *name_string = NULL, *value_string = NULL;
	struct tl_slice name, value;
	if (!plugin->property.read_string_pair(property, MQTT_PROP_USER_PROPERTY, &name_string, &value_string, false))
		return false;
	bool ok = keep_string(plugin, name_string, &name);
	ok = keep_string(plugin, value_string, &value) && ok;
	if (!ok)
		return false;
	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		if (tl_slice_equal(tl_slice_str(known[i].name), name)) {
			*(struct tl_slice *)(void *)((char *)properties + known[i].offset) = value;
			return true;
		}
	take_prop(properties, name, value);
	return true;
}

static bool take(struct tl_plugin *plugin, const mosquitto_property *property, struct tl_properties *properties)
{
	char *string = NULL;
	void *data = NULL;
	uint16_t len = 0;
	switch (plugin->property.identifier(property)) {
	case MQTT_PROP_USER_PROPERTY:
		return take_pair(plugin, property, properties);
	case MQTT_PROP_CONTENT_TYPE:
		plugin->property.read_string(property, MQTT_PROP_CONTENT_TYPE, &string, false);
		return keep_string(plugin, string, &properties->content_type);
	case MQTT_PROP_RESPONSE_TOPIC:
		plugin->property.read_string(property, MQTT_PROP_RESPONSE_TOPIC, &string, false);
		return keep_string(plugin, string, &properties->response_topic);
	case MQTT_PROP_CORRELATION_DATA:
		plugin->property.read_binary(property, MQTT_PROP_CORRELATION_DATA, &data, &len, false);
		return keep_binary(plugin, data, len, &properties->correlation);
	default:
		return true;
	}
}

bool tl_properties_read(struct tl_plugin *plugin, const mosquitto_property *list, struct tl_properties *properties_out)
{
	*properties_out = (struct tl_properties){0};
	for (const mosquitto_property *p = list; p; p = plugin->property.next(p))
		if (!take(plugin, p, properties_out))
			return false;
	return true;
}
