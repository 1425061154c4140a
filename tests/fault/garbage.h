/* Garbage for a database: the places where there is something of each kind of storage/FORMAT.md, keys that are made up, and ways to
 * spoil what stands there. A case is a place and one of the ways. */
#ifndef GARBAGE_H
#define GARBAGE_H

#include "database.h"

enum {
	GARBAGE_PLACES_MAX = 1000,
	GARBAGE_KEY_MAX = 64,
	GARBAGE_VALUE_MAX = 4096,
	GARBAGE_WAYS = 9,
};

struct garbage_place {
	struct tl_partition partition;
	size_t key_len, value_len;
	unsigned char key[GARBAGE_KEY_MAX], value[GARBAGE_VALUE_MAX]; /* a longer value is cut */
};

struct garbage {
	size_t count; /* of places */
	struct garbage_place places[GARBAGE_PLACES_MAX];
};

/* What is to stay as it is. */
struct garbage_spared {
	const char *users[2], *conversation;
};

/* Finds the places in a database that has something of each kind, and ends the process where it has not. */
void garbage_find(const struct tl_database *database, const struct garbage_spared *spared, struct garbage *garbage);

/* The name of a case. */
void garbage_name(const struct garbage *garbage, size_t n, char out[200]);

/* Puts the garbage there. */
void garbage_put(const struct garbage *garbage, size_t n, struct tl_database *database);

/* Whether a store with it need not open, because nothing could be told of the rest. */
bool garbage_is_fatal(const struct garbage *garbage, size_t n);

/* Whether nobody can tell that it is garbage. */
bool garbage_is_hidden(const struct garbage *garbage, size_t n);

#endif
