#include "broker.h"

#include <dlfcn.h>
#include <mqtt_protocol.h>
#include <mosquitto.h>
#include <stdlib.h>

enum tl_generation tl_broker_generation(void)
{
	return dlsym(RTLD_DEFAULT, "mosquitto_plugin_set_info") ? TL_MOSQUITTO_2_1 : TL_MOSQUITTO_2_0;
}

bool tl_broker_is_per_listener(enum tl_generation generation, const mosquitto_plugin_id_t *identifier)
{
	/* In every 2.0.x the identifier is a struct whose only member is the listener, NULL for all of them. */
	return generation == TL_MOSQUITTO_2_0 && *(const void *const *)(const void *)identifier != NULL;
}

void tl_broker_free_string(enum tl_generation generation, void *string)
{
	if (generation == TL_MOSQUITTO_2_1)
		mosquitto_free(string);
	else
		free(string);
}

/* The broker's own allocator, so that its count of memory stays right when it frees the payload. */
static void *join(struct tl_slice first, struct tl_slice second)
{
	char *payload = mosquitto_malloc(first.len + second.len + 1);
	if (!payload)
		return NULL;
	if (first.len > 0)
		memcpy(payload, first.ptr, first.len);
	if (second.len > 0)
		memcpy(payload + first.len, second.ptr, second.len);
	payload[first.len + second.len] = '\0';
	return payload;
}

/* A terminated copy of a short text. */
static const char *terminate(struct tl_slice text, char *out, size_t size)
{
	size_t len = text.len < size ? text.len : size - 1;
	if (len > 0)
		memcpy(out, text.ptr, len);
	out[len] = '\0';
	return out;
}

static bool add_properties(const struct tl_packet_address *address, mosquitto_property **properties)
{
	char text[256];
	if (address->correlation.ptr &&
	    mosquitto_property_add_binary(properties, MQTT_PROP_CORRELATION_DATA, address->correlation.ptr,
	                                  (uint16_t)address->correlation.len) != MOSQ_ERR_SUCCESS)
		return false;
	if (address->content_type.len > 0 &&
	    mosquitto_property_add_string(properties, MQTT_PROP_CONTENT_TYPE,
	                                  terminate(address->content_type, text, sizeof text)) != MOSQ_ERR_SUCCESS)
		return false;
	for (size_t i = 0; i < address->property_count; i++)
		if (mosquitto_property_add_string_pair(properties, MQTT_PROP_USER_PROPERTY, address->properties[i].name,
		                                       terminate(address->properties[i].value, text, sizeof text)) !=
		    MOSQ_ERR_SUCCESS)
			return false;
	return true;
}

bool tl_broker_publish(const struct tl_packet_address *address, struct tl_slice first, struct tl_slice second)
{
	mosquitto_property *properties = NULL;
	void *payload = join(first, second);
	if (!payload)
		return false;
	if (add_properties(address, &properties) &&
	    mosquitto_broker_publish(address->client_id, address->topic, (int)(first.len + second.len), payload,
	                             address->qos, address->retain, properties) == MOSQ_ERR_SUCCESS)
		return true;
	mosquitto_property_free_all(&properties);
	mosquitto_free(payload);
	return false;
}
