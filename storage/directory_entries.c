#include "directory_entries.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int tl_directory_entries_sync(int dir_fd)
{
	int parent = openat(dir_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (parent < 0 && errno != EACCES)
		return -1;
	int result = (parent < 0 || fsync(parent) == 0) && fsync(dir_fd) == 0 ? 0 : -1;
	int error = errno;
	if (parent >= 0)
		close(parent);
	errno = error;
	return result;
}
