#include "power_state.h"

#include "check.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct power *present;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* held while a name changes, so that the changes are in their order */

/* --- paths --- */

static bool fd_path(int fd, char path[PATH_MAX])
{
	char link[64];
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t len = readlink(link, path, PATH_MAX - 1);
	if (len >= 0)
		path[len] = '\0';
	return len >= 0;
}

/* The path of a name in the directory, absolute. False: it has none that is of interest here. */
static bool full_path(int dir_fd, const char *name, char path[PATH_MAX])
{
	size_t len = 0;
	if (name[0] != '/') {
		if (dir_fd == AT_FDCWD || !fd_path(dir_fd, path))
			return false;
		len = strlen(path);
		path[len++] = '/';
	}
	return (size_t)snprintf(path + len, PATH_MAX - len, "%s", name) < PATH_MAX - len;
}

/* The path relative to the data directory, NULL if it lies outside; "" for itself. */
static const char *inside(const char *path)
{
	size_t len = present ? strlen(present->dir) : 0;
	if (len == 0 || strncmp(path, present->dir, len) != 0 || (path[len] != '/' && path[len] != '\0'))
		return NULL;
	return path[len] == '/' ? path + len + 1 : path + len;
}

static const char *name_of(int dir_fd, const char *name, char path[PATH_MAX])
{
	return present && full_path(dir_fd, name, path) ? inside(path) : NULL;
}

/* --- changes of names, with the lock held --- */

static void note(const char *gone, const char *made, ino_t file)
{
	struct change *change = &present->changes[present->count];
	CHECK(present->count < CHANGES_MAX);
	snprintf(change->gone, NAME_BYTES, "%s", gone);
	snprintf(change->made, NAME_BYTES, "%s", made);
	change->file = file;
	change->durable = false;
	present->count++;
}

static void aside(ino_t file, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/gone/%ju", present->base, (uintmax_t)file);
}

static int open_noted(int dir_fd, const char *name, int flags, mode_t mode)
{
	char path[PATH_MAX];
	struct stat st;
	const char *inner = flags & O_CREAT ? name_of(dir_fd, name, path) : NULL;
	if (!inner)
		return (int)syscall(SYS_openat, dir_fd, name, flags, mode);
	pthread_mutex_lock(&lock);
	bool made = access(path, F_OK) != 0;
	int fd = power_open(path, flags, mode), error = errno;
	if (fd >= 0 && made && fstat(fd, &st) == 0)
		note("", inner, st.st_ino);
	pthread_mutex_unlock(&lock);
	errno = error;
	return fd;
}

static int unlink_noted(int dir_fd, const char *name, int flags)
{
	char path[PATH_MAX], kept[PATH_MAX];
	struct stat st;
	const char *inner = flags ? NULL : name_of(dir_fd, name, path);
	if (!inner)
		return (int)syscall(SYS_unlinkat, dir_fd, name, flags);
	pthread_mutex_lock(&lock);
	int result = stat(path, &st);
	if (result == 0) {
		aside(st.st_ino, kept);
		result = (int)syscall(SYS_renameat2, AT_FDCWD, path, AT_FDCWD, kept, 0);
	}
	int error = errno;
	if (result == 0)
		note(inner, "", 0);
	pthread_mutex_unlock(&lock);
	errno = error;
	return result;
}

#define EXPORT __attribute__((visibility("default")))

static mode_t mode_of(int flags, va_list args)
{
	return flags & O_CREAT ? (mode_t)va_arg(args, int) : 0;
}

#define DEFINE_OPEN(function) \
	EXPORT int function(const char *path, int flags, ...) \
	{ \
		va_list args; \
		va_start(args, flags); \
		mode_t mode = mode_of(flags, args); \
		va_end(args); \
		return open_noted(AT_FDCWD, path, flags, mode); \
	}

#define DEFINE_OPENAT(function) \
	EXPORT int function(int dir_fd, const char *name, int flags, ...) \
	{ \
		va_list args; \
		va_start(args, flags); \
		mode_t mode = mode_of(flags, args); \
		va_end(args); \
		return open_noted(dir_fd, name, flags, mode); \
	}

/* The C library has each of them twice, and gives the name that ends in 64 to what is compiled with _FILE_OFFSET_BITS=64. The
 * store is; LevelDB may be or not. */
int open_of_short_files(const char *path, int flags, ...) __asm__("open");
int openat_of_short_files(int dir_fd, const char *name, int flags, ...) __asm__("openat");

DEFINE_OPEN(open)
DEFINE_OPEN(open_of_short_files)
DEFINE_OPENAT(openat)
DEFINE_OPENAT(openat_of_short_files)

EXPORT int unlink(const char *path)
{
	return unlink_noted(AT_FDCWD, path, 0);
}

EXPORT int unlinkat(int dir_fd, const char *name, int flags)
{
	return unlink_noted(dir_fd, name, flags);
}

EXPORT int mkdir(const char *path, mode_t mode)
{
	char full[PATH_MAX];
	const char *inner = name_of(AT_FDCWD, path, full);
	if (!inner)
		return (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
	pthread_mutex_lock(&lock);
	int result = (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode), error = errno;
	if (result == 0)
		note("", inner, 0);
	pthread_mutex_unlock(&lock);
	errno = error;
	return result;
}

EXPORT int rename(const char *from, const char *to)
{
	char from_path[PATH_MAX], to_path[PATH_MAX], kept[PATH_MAX];
	struct stat st, old;
	const char *gone = name_of(AT_FDCWD, from, from_path), *made = name_of(AT_FDCWD, to, to_path);
	if (!gone || !made)
		return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
	pthread_mutex_lock(&lock);
	int result = stat(from_path, &st);
	if (result == 0 && stat(to_path, &old) == 0) {
		aside(old.st_ino, kept);
		CHECK(link(to_path, kept) == 0);
	}
	if (result == 0)
		result = (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
	int error = errno;
	if (result == 0)
		note(gone, made, st.st_ino);
	pthread_mutex_unlock(&lock);
	errno = error;
	return result;
}

/* --- syncs --- */

/* Writes to the file of that descriptor as it was synced what it has now. */
static void keep_contents(int fd, ino_t file)
{
	static _Thread_local char bytes[64 * 1024];
	char path[PATH_MAX], link[64];
	off_t offset = 0;
	ssize_t len;
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	snprintf(path, sizeof path, "%s/disk/%ju", present->base, (uintmax_t)file);
	int from = power_open(link, O_RDONLY | O_CLOEXEC, 0), to = power_open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	CHECK(from >= 0 && to >= 0);
	while ((len = pread(from, bytes, sizeof bytes, offset)) > 0) {
		CHECK(pwrite(to, bytes, (size_t)len, offset) == len);
		offset += len;
	}
	CHECK(len == 0 && ftruncate(to, offset) == 0);
	close(from);
	close(to);
}

static bool lies_in(const char *name, const char *dir)
{
	const char *slash = strrchr(name, '/');
	size_t len = slash ? (size_t)(slash - name) : 0;
	return name[0] != '\0' && strlen(dir) == len && strncmp(name, dir, len) == 0;
}

static void keep_names(const char *dir)
{
	for (size_t i = 0; i < present->count; i++) {
		struct change *change = &present->changes[i];
		change->durable |= lies_in(change->gone[0] ? change->gone : change->made, dir);
	}
}

/* Tables are larger than the rest. */
static void stall(const char *name)
{
	struct rng rng = {__atomic_add_fetch(&present->noise, 0x9e3779b97f4a7c15, __ATOMIC_RELAXED)};
	if (present->stall_us > 0 && chance(&rng, 30))
		usleep(below(&rng, present->stall_us) * (strstr(name, ".ldb") ? 10 : 1));
}

static void fail_at_last(const char *name)
{
	bool armed = __atomic_load_n(&present->fail_at, __ATOMIC_RELAXED) > 0;
	bool counts = present->fail_in_queue || strncmp(name, "queue", 5) != 0;
	if (!armed || !counts || __atomic_sub_fetch(&present->fail_at, 1, __ATOMIC_RELAXED) > 0)
		return;
	pthread_mutex_lock(&lock); /* no change of names is half noted then */
	kill(getpid(), SIGKILL);
	pause();
}

/* `dir`: of a directory, its name; NULL: it is a file. */
static void keep(int fd, ino_t file, const char *dir)
{
	pthread_mutex_lock(&lock);
	size_t count = present->count;
	pthread_mutex_unlock(&lock);
	if (!dir)
		keep_contents(fd, file);
	pthread_mutex_lock(&lock);
	if (dir)
		keep_names(dir);
	if (count > present->journaled)
		present->journaled = count;
	pthread_mutex_unlock(&lock);
}

static int sync_noted(int fd)
{
	char path[PATH_MAX];
	struct stat st;
	const char *name = present && fd_path(fd, path) ? inside(path) : NULL;
	if (!name)
		return 0;
	if (fstat(fd, &st) != 0)
		return -1;
	stall(name);
	fail_at_last(name);
	keep(fd, st.st_ino, S_ISDIR(st.st_mode) ? name : NULL);
	return 0;
}

EXPORT int fsync(int fd)
{
	return sync_noted(fd);
}

EXPORT int fdatasync(int fd)
{
	return sync_noted(fd);
}

/* --- the whole --- */

int power_open(const char *path, int flags, mode_t mode)
{
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

void power_make_dir(const struct power *power, const char *name)
{
	char path[PATH_MAX];
	CHECK(snprintf(path, sizeof path, "%s/%s", power->base, name) < PATH_MAX);
	CHECK(syscall(SYS_mkdirat, AT_FDCWD, path, 0700) == 0);
}

void power_boot(struct power *power)
{
	FILE *file = fopen(power->boot_id, "w");
	CHECK(file != NULL && fprintf(file, "%u\n", power->boots++) > 0 && fclose(file) == 0);
}

struct power *power_new(const char *base)
{
	struct power *power =
		mmap(NULL, sizeof *power, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK(power != MAP_FAILED && realpath(base, power->base));
	snprintf(power->dir, sizeof power->dir, "%s/data", power->base);
	snprintf(power->boot_id, sizeof power->boot_id, "%s/boot", power->base);
	power_boot(power);
	power_make_dir(power, "data");
	power_make_dir(power, "disk");
	power_make_dir(power, "gone");
	present = power;
	return power;
}

void power_free(struct power *power)
{
	present = NULL;
	munmap(power, sizeof *power);
}

const char *power_dir(const struct power *power)
{
	return power->dir;
}

const char *power_boot_id(const struct power *power)
{
	return power->boot_id;
}

void power_prepare(struct power *power, unsigned stall_us, unsigned fail_at, bool fail_in_queue)
{
	power->stall_us = stall_us;
	power->fail_at = fail_at;
	power->fail_in_queue = fail_in_queue;
}
