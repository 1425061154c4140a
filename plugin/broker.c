#include "broker.h"

#include <dlfcn.h>
#include <link.h>
#include <mqtt_protocol.h>
#include <mosquitto.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

/* MOSQ_ERR_PLUGIN_IGNORE of 2.1, which 2.0's headers lack. */
enum { PLUGIN_IGNORE_2_1 = 32 };

enum tl_generation tl_broker_generation(void)
{
	return dlsym(RTLD_DEFAULT, "mosquitto_plugin_set_info") ? TL_MOSQUITTO_2_1 : TL_MOSQUITTO_2_0;
}

static int note_name(struct dl_phdr_info *object, size_t size, void *names)
{
	(void)size;
	fputs(object->dlpi_name, names);
	fputc('\0', names);
	return 0;
}

/* The names of all loaded objects, each terminated: the caller's to free, NULL if memory is short. */
static char *loaded_objects(size_t *len_out)
{
	char *names = NULL;
	FILE *stream = open_memstream(&names, len_out);
	if (!stream)
		return NULL;
	dl_iterate_phdr(note_name, stream);
	bool complete = !ferror(stream);
	if (fclose(stream) == 0 && complete)
		return names;
	free(names);
	return NULL;
}

/* Where the object begins that the address is in, NULL: in none. */
static const void *object_of(const void *address)
{
	Dl_info info;
	return address && dladdr(address, &info) ? info.dli_fbase : NULL;
}

/* Whether the object exports what the broker asks every plugin for. A symbol is also found in what the object depends on: that
 * is loaded, too. */
static bool is_other_plugin(const char *name)
{
	static const char here[] = "";
	void *handle = dlopen(name, RTLD_LAZY | RTLD_NOLOAD);
	if (!handle)
		return false; /* the kernel's, or it is gone */
	const void *version = dlsym(handle, "mosquitto_plugin_version");
	if (!version)
		version = dlsym(handle, "mosquitto_auth_plugin_version");
	const void *object = object_of(version);
	dlclose(handle);
	return object && object != object_of(here);
}

static bool has_other_plugins(void)
{
	size_t len;
	char *names = loaded_objects(&len);
	bool found = !names;
	for (const char *name = names; !found && name < names + len; name += strlen(name) + 1)
		found = *name && is_other_plugin(name); /* the program itself has no name */
	free(names);
	return found;
}

int tl_broker_defer(enum tl_generation generation)
{
	return generation == TL_MOSQUITTO_2_1 && !has_other_plugins() ? PLUGIN_IGNORE_2_1 : MOSQ_ERR_PLUGIN_DEFER;
}

bool tl_broker_is_per_listener(enum tl_generation generation, const mosquitto_plugin_id_t *identifier)
{
	/* In every 2.0.x the identifier is a struct whose only member is the listener, NULL for all of them. */
	return generation == TL_MOSQUITTO_2_0 && *(const void *const *)(const void *)identifier != NULL;
}

#define LIBRARY "libmosquitto.so.1"

/* `object`: RTLD_DEFAULT, or a library. */
static bool find_property_functions(void *object, struct tl_property_reader *reader)
{
	static const struct {
		const char *name;
		size_t offset;
	} functions[] = {
		{"mosquitto_property_next", offsetof(struct tl_property_reader, next)},
		{"mosquitto_property_identifier", offsetof(struct tl_property_reader, identifier)},
		{"mosquitto_property_read_binary", offsetof(struct tl_property_reader, read_binary)},
		{"mosquitto_property_read_string", offsetof(struct tl_property_reader, read_string)},
		{"mosquitto_property_read_string_pair", offsetof(struct tl_property_reader, read_string_pair)},
	};
	for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
		void *function = dlsym(object, functions[i].name);
		if (!function)
			return false;
		memcpy((char *)reader + functions[i].offset, &function, sizeof function);
	}
	return true;
}

/* Whether a library lays properties out as a broker of 2.0 does. */
static bool is_of_2_0(void *library)
{
	__typeof__(&mosquitto_lib_version) version;
	int major, minor, revision;
	void *function = dlsym(library, "mosquitto_lib_version");
	if (!function)
		return false;
	memcpy(&version, &function, sizeof version);
	version(&major, &minor, &revision);
	return major == 2 && minor == 0;
}

enum tl_err tl_broker_property_reader(enum tl_generation generation, struct tl_property_reader *reader_out,
                                      struct tl_why *why)
{
	struct tl_property_reader reader = {.free = generation == TL_MOSQUITTO_2_1 ? mosquitto_free : free};
	if (!find_property_functions(RTLD_DEFAULT, &reader)) {
		void *library = dlopen(LIBRARY, RTLD_LAZY); /* never closed, as the plugin is never unloaded */
		if (!library)
			return tl_fail(why, TL_BAD_REQUEST, "this Mosquitto leaves MQTT 5 properties to " LIBRARY ": %s", dlerror());
		if (generation != TL_MOSQUITTO_2_0 || !is_of_2_0(library) || !find_property_functions(library, &reader))
			return tl_fail(why, TL_BAD_REQUEST, "this Mosquitto leaves MQTT 5 properties to " LIBRARY
			               ", and that is of another version");
	}
	*reader_out = reader;
	return TL_OK;
}

/* The broker's own allocator, so that its count of memory stays right when it frees the payload. */
static void *copy_payload(struct tl_slice payload)
{
	char *copy = mosquitto_malloc(payload.len + 1);
	if (!copy)
		return NULL;
	if (payload.len > 0)
		memcpy(copy, payload.ptr, payload.len);
	copy[payload.len] = '\0';
	return copy;
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

bool tl_broker_publish(const struct tl_packet_address *address, struct tl_slice payload)
{
	mosquitto_property *properties = NULL;
	void *copy = copy_payload(payload);
	if (!copy)
		return false;
	if (add_properties(address, &properties) &&
	    mosquitto_broker_publish(address->client_id, address->topic, (int)payload.len, copy, address->qos,
	                             address->retain, properties) == MOSQ_ERR_SUCCESS)
		return true;
	mosquitto_property_free_all(&properties);
	mosquitto_free(copy);
	return false;
}
