/* A directory for a test's data, and the options of an engine in it. */
#ifndef TEMP_DIR_H
#define TEMP_DIR_H

#include "engine.h"

struct temp_dir {
	char path[256];
	char db[272]; /* of an engine in it, as tl_store would put it there */
};

/* Makes a new directory under TMPDIR or /tmp; false if that fails. */
bool temp_dir_make(struct temp_dir *dir);

/* Removes it with everything in it. */
void temp_dir_remove(const struct temp_dir *dir);

/* Options for a small engine in dir->db. */
struct tl_engine_options temp_dir_engine(const struct temp_dir *dir);

#endif
