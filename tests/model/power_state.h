/* What is known of the data directory that can lose its power; shared by power.c, which keeps it, and power_loss.c. */
#ifndef MODEL_POWER_STATE_H
#define MODEL_POWER_STATE_H

#include "power.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	CHANGES_MAX = 1 << 16, /* of names between two losses of power */
	NAME_BYTES = 48,
};

/* A change of names. Paths are relative to the data directory. */
struct change {
	char gone[NAME_BYTES]; /* this name goes; empty: none does … */
	char made[NAME_BYTES]; /* … and this one comes to be … */
	ino_t file;            /* … of this file; 0: a directory */
	bool durable;          /* its directory has been synced since */
};

struct power {
	char base[PATH_MAX - 64], dir[PATH_MAX - 32], boot_id[PATH_MAX - 32];
	unsigned boots;
	unsigned stall_us, fail_at;
	bool fail_in_queue; /* its syncs count, too */
	uint64_t noise;
	size_t count, journaled; /* changes; those that a journal has */
	struct change changes[CHANGES_MAX];
};

/* open(2), of which nothing is noted. */
int power_open(const char *path, int flags, mode_t mode);

/* Makes a directory below the base, likewise. */
void power_make_dir(const struct power *power, const char *name);

/* The machine is started: the boot has another name than before. */
void power_boot(struct power *power);

#endif
