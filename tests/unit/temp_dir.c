#include "temp_dir.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

bool temp_dir_make(struct temp_dir *dir)
{
	const char *tmp = getenv("TMPDIR");
	int len = snprintf(dir->path, sizeof dir->path, "%s/tl-test.XXXXXX", tmp && *tmp ? tmp : "/tmp");
	if (len < 0 || (size_t)len >= sizeof dir->path || !mkdtemp(dir->path))
		return false;
	snprintf(dir->db, sizeof dir->db, "%s/db", dir->path);
	return true;
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *walk)
{
	(void)info, (void)type, (void)walk;
	return remove(path);
}

void temp_dir_remove(const struct temp_dir *dir)
{
	nftw(dir->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

struct tl_engine_options temp_dir_engine(const struct temp_dir *dir)
{
	return (struct tl_engine_options){.path = dir->db, .cache_bytes = 1 << 20, .write_buffer_bytes = 1 << 20,
	                                  .max_open_files = 100, .bloom_bits = 10, .compress = true};
}
