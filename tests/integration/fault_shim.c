/* Preloaded into the broker: makes writing below a directory fail or stall for as long as a control file says so, and sets the
 * system's clock.
 *
 *     TL_SHIM_DIR      the data directory; nothing outside is touched
 *     TL_SHIM_CONTROL  the file: one line "<db|queue|all> <write|sync|any> <errno, or stall> [after how many]"; none or empty:
 *                      all is well
 *     TL_SHIM_CLOCK    a file with the seconds by which the system's clock is off; not set or none: it is right
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static const char *part_of(int fd, char *path)
{
	char link[64];
	const char *dir = getenv("TL_SHIM_DIR");
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t len = readlink(link, path, PATH_MAX - 1);
	if (!dir || len < 0)
		return NULL;
	path[len] = '\0';
	size_t dir_len = strlen(dir);
	if (strncmp(path, dir, dir_len) != 0 || path[dir_len] != '/')
		return NULL;
	return strncmp(path + dir_len + 1, "queue", 5) == 0 ? "queue" : "db";
}

/* What the control file wants for this: 0 nothing, -1 a stall, else an errno. */
static int wanted(const char *part, const char *operation)
{
	static char counted[64]; /* the line of which so many have passed; good enough for several threads */
	static int passed;
	char line[64] = "", where[16], what[16], how[16];
	int after = 0;
	const char *control = getenv("TL_SHIM_CONTROL");
	int fd = control ? (int)syscall(SYS_openat, AT_FDCWD, control, O_RDONLY | O_CLOEXEC, 0) : -1;
	if (fd < 0)
		return 0;
	ssize_t len = syscall(SYS_read, fd, line, sizeof line - 1);
	syscall(SYS_close, fd);
	if (len <= 0 || sscanf(line, "%15s %15s %15s %d", where, what, how, &after) < 3)
		return 0;
	if (strcmp(where, "all") != 0 && strcmp(where, part) != 0)
		return 0;
	if (strcmp(what, "any") != 0 && strcmp(what, operation) != 0)
		return 0;
	if (strcmp(line, counted) != 0) {
		memcpy(counted, line, sizeof counted);
		passed = 0;
	}
	if (passed++ < after)
		return 0;
	return strcmp(how, "stall") == 0 ? -1 : atoi(how);
}

/* Returns what to fail with, once it is no longer to be stalled. */
static int meet(int fd, const char *operation)
{
	char path[PATH_MAX];
	int kept = errno;
	const char *part = part_of(fd, path);
	int fate = part ? wanted(part, operation) : 0;
	while (fate == -1) {
		usleep(1000);
		fate = wanted(part, operation);
	}
	errno = kept;
	return fate;
}

#define MEET(fd, operation) \
	do { \
		int fate_ = meet(fd, operation); \
		if (fate_) { \
			errno = fate_; \
			return -1; \
		} \
	} while (0)

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *data, size_t len)
{
	MEET(fd, "write");
	return REAL(write)(fd, data, len);
}

ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t offset)
{
	MEET(fd, "write");
	return REAL(pwritev)(fd, iov, count, offset);
}

ssize_t pwritev64(int fd, const struct iovec *iov, int count, off64_t offset)
{
	MEET(fd, "write");
	return REAL(pwritev64)(fd, iov, count, offset);
}

/* Room that is reserved for writing, and an error that is returned. */
int posix_fallocate(int fd, off_t offset, off_t len)
{
	int fate = meet(fd, "write");
	return fate ? fate : REAL(posix_fallocate)(fd, offset, len);
}

int posix_fallocate64(int fd, off64_t offset, off64_t len)
{
	int fate = meet(fd, "write");
	return fate ? fate : REAL(posix_fallocate64)(fd, offset, len);
}

int fdatasync(int fd)
{
	MEET(fd, "sync");
	return REAL(fdatasync)(fd);
}

int fsync(int fd)
{
	MEET(fd, "sync");
	return REAL(fsync)(fd);
}

int clock_gettime(clockid_t id, struct timespec *now)
{
	char text[32] = "";
	const char *path = id == CLOCK_REALTIME ? getenv("TL_SHIM_CLOCK") : NULL;
	int failed = (int)syscall(SYS_clock_gettime, id, now);
	int fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0) : -1;
	if (fd < 0)
		return failed;
	if (syscall(SYS_read, fd, text, sizeof text - 1) > 0)
		now->tv_sec += atol(text);
	syscall(SYS_close, fd);
	return failed;
}
