#include "power.h"

#include "check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
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

enum {
	CHANGES_MAX = 1 << 16, /* of names between two losses of power */
	NAME_BYTES = 48,
	PAGE = 4096,
	SECTOR = 512,
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

static struct power *present;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* held while a name changes, so that the changes are in their order */

/* --- paths --- */

static int real_open(const char *path, int flags, mode_t mode)
{
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

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
	int fd = real_open(path, flags, mode), error = errno;
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
		result = (int)syscall(SYS_rename, path, kept);
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

EXPORT int open(const char *path, int flags, ...)
{
	va_list args;
	va_start(args, flags);
	mode_t mode = mode_of(flags, args);
	va_end(args);
	return open_noted(AT_FDCWD, path, flags, mode);
}

EXPORT int openat(int dir_fd, const char *name, int flags, ...)
{
	va_list args;
	va_start(args, flags);
	mode_t mode = mode_of(flags, args);
	va_end(args);
	return open_noted(dir_fd, name, flags, mode);
}

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
		return (int)syscall(SYS_mkdir, path, mode);
	pthread_mutex_lock(&lock);
	int result = (int)syscall(SYS_mkdir, path, mode), error = errno;
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
		return (int)syscall(SYS_rename, from, to);
	pthread_mutex_lock(&lock);
	int result = stat(from_path, &st);
	if (result == 0 && stat(to_path, &old) == 0) {
		aside(old.st_ino, kept);
		CHECK(link(to_path, kept) == 0);
	}
	if (result == 0)
		result = (int)syscall(SYS_rename, from, to);
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
	int from = real_open(link, O_RDONLY | O_CLOEXEC, 0), to = real_open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
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
	bool counts = present->fail_at > 0 && (present->fail_in_queue || strncmp(name, "queue", 5) != 0);
	if (!counts || __atomic_sub_fetch(&present->fail_at, 1, __ATOMIC_RELAXED) > 0)
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

/* --- what is left --- */

struct loss {
	struct rng *rng;
	bool journal;                     /* (P2) */
	enum { NOTHING, ALL, SOME } kept; /* of what was not synced */
};

static size_t between(const struct loss *loss, size_t least, size_t most)
{
	unsigned which = loss->kept == SOME ? below(loss->rng, 3) : loss->kept;
	return which == NOTHING ? least : which == ALL ? most : least + below(loss->rng, (unsigned)(most - least + 1));
}

/* --- names that are left --- */

struct name {
	char path[NAME_BYTES];
	ino_t file; /* 0: a directory */
};

struct names {
	struct name *list;
	size_t count;
};

static void remove_name(struct names *names, const char *path)
{
	for (size_t i = 0; i < names->count; i++)
		if (strcmp(names->list[i].path, path) == 0)
			names->list[i--] = names->list[--names->count];
}

static void apply(struct names *names, const struct change *change)
{
	if (change->gone[0])
		remove_name(names, change->gone);
	if (!change->made[0])
		return;
	remove_name(names, change->made);
	struct name *name = &names->list[names->count++];
	snprintf(name->path, NAME_BYTES, "%s", change->made);
	name->file = change->file;
}

static struct names choose_names(const struct power *power, const struct loss *loss)
{
	struct names names = {.list = calloc(power->count + 1, sizeof *names.list)};
	size_t until = between(loss, power->journaled, power->count);
	unsigned share = (unsigned)between(loss, 0, 100);
	CHECK(names.list != NULL);
	for (size_t i = 0; i < power->count; i++)
		if (loss->journal ? i < until : power->changes[i].durable || chance(loss->rng, share))
			apply(&names, &power->changes[i]);
	return names;
}

static bool has_parent(const struct names *names, const char *path)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) : 0;
	for (size_t i = 0; len > 0 && i < names->count; i++)
		if (names->list[i].file == 0 && strlen(names->list[i].path) == len &&
		    strncmp(names->list[i].path, path, len) == 0)
			return true;
	return len == 0;
}

/* --- contents that are left --- */

struct contents {
	char *bytes;
	size_t len;
};

static struct contents read_contents(const char *path)
{
	struct stat st = {0};
	struct contents contents = {0};
	int fd = real_open(path, O_RDONLY | O_CLOEXEC, 0);
	if (fd >= 0)
		CHECK(fstat(fd, &st) == 0);
	contents.len = (size_t)st.st_size;
	contents.bytes = calloc(1, contents.len + 1);
	CHECK(contents.bytes != NULL);
	if (fd >= 0)
		CHECK(read(fd, contents.bytes, contents.len) == (ssize_t)contents.len);
	if (fd >= 0)
		close(fd);
	return contents;
}

/* With zeros behind the end. */
static void lengthen(struct contents *contents, size_t room)
{
	contents->bytes = realloc(contents->bytes, room);
	CHECK(contents->bytes != NULL);
	memset(contents->bytes + contents->len, 0, room - contents->len);
}

static void tear(char *kept, const char *written, struct rng *rng)
{
	for (size_t at = 0; at < PAGE; at += SECTOR)
		if (chance(rng, 50))
			memcpy(kept + at, written + at, SECTOR);
}

static size_t choose_length(const struct loss *loss, size_t least, size_t most)
{
	size_t len = loss->kept == SOME && chance(loss->rng, 60) ? most : between(loss, least, most);
	size_t pages_end = len / PAGE * PAGE;
	return len < most && pages_end > least && chance(loss->rng, 70) ? pages_end : len;
}

/* Makes of what was synced what the disk has, and answers its length. */
static size_t mix(struct contents *kept, struct contents *written, const struct loss *loss)
{
	size_t least = kept->len < written->len ? kept->len : written->len;
	size_t most = kept->len < written->len ? written->len : kept->len;
	size_t len = choose_length(loss, least, most), old_pages = kept->len / PAGE, room = (most / PAGE + 1) * PAGE;
	unsigned share = (unsigned)between(loss, 0, 100);
	lengthen(kept, room);
	lengthen(written, room);
	for (size_t at = 0; at < room; at += PAGE) {
		bool appended = loss->journal && at / PAGE > old_pages; /* what is not there ends the file */
		if (appended || chance(loss->rng, share))
			memcpy(kept->bytes + at, written->bytes + at, PAGE);
		else if (chance(loss->rng, 40))
			tear(kept->bytes + at, written->bytes + at, loss->rng);
	}
	return len;
}

/* --- losing --- */

/* Where the file is now. */
static bool find_file(const struct power *power, ino_t file, char path[PATH_MAX])
{
	static const char *const dirs[] = {"gone", "data", "data/db", "data/queue"};
	for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++) {
		char dir_path[PATH_MAX];
		bool found = false;
		snprintf(dir_path, sizeof dir_path, "%s/%s", power->base, dirs[i]);
		DIR *dir = opendir(dir_path);
		for (const struct dirent *entry; !found && dir && (entry = readdir(dir));)
			if (entry->d_ino == file) {
				found = true;
				CHECK(snprintf(path, PATH_MAX, "%s/%s", dir_path, entry->d_name) < PATH_MAX);
			}
		if (dir)
			closedir(dir);
		if (found)
			return true;
	}
	return false;
}

static void write_file(const char *path, const char *bytes, size_t len, ino_t *file_out)
{
	struct stat st;
	int fd = real_open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	CHECK(fd >= 0 && write(fd, bytes, len) == (ssize_t)len && fstat(fd, &st) == 0);
	close(fd);
	if (file_out)
		*file_out = st.st_ino;
}

/* Makes the file in the new directory, and as it has been synced. */
static void lose_file(const struct power *power, struct name *name, struct loss loss)
{
	char now[PATH_MAX], path[PATH_MAX];
	loss.journal &= strncmp(name->path, "queue/", 6) != 0; /* nothing is appended there: it is written into room reserved */
	CHECK(find_file(power, name->file, now));
	snprintf(path, sizeof path, "%s/disk/%ju", power->base, (uintmax_t)name->file);
	struct contents written = read_contents(now), kept = read_contents(path);
	size_t len = mix(&kept, &written, &loss);
	snprintf(path, sizeof path, "%s/new/%s", power->base, name->path);
	write_file(path, kept.bytes, len, &name->file);
	snprintf(path, sizeof path, "%s/new disk/%ju", power->base, (uintmax_t)name->file);
	write_file(path, kept.bytes, len, NULL);
	free(written.bytes);
	free(kept.bytes);
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *walk)
{
	(void)info, (void)type, (void)walk;
	return type == FTW_DP || type == FTW_D ? rmdir(path) : (int)syscall(SYS_unlink, path);
}

static void make_dir(const struct power *power, const char *name)
{
	char path[PATH_MAX];
	CHECK(snprintf(path, sizeof path, "%s/%s", power->base, name) < PATH_MAX);
	CHECK(syscall(SYS_mkdir, path, 0700) == 0);
}

static void remove_dir(const struct power *power, const char *name)
{
	char path[PATH_MAX];
	CHECK(snprintf(path, sizeof path, "%s/%s", power->base, name) < PATH_MAX);
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void take_place(const struct power *power, const char *from, const char *to)
{
	char from_path[PATH_MAX], to_path[PATH_MAX];
	remove_dir(power, to);
	snprintf(from_path, sizeof from_path, "%s/%s", power->base, from);
	snprintf(to_path, sizeof to_path, "%s/%s", power->base, to);
	CHECK(syscall(SYS_rename, from_path, to_path) == 0);
}

static void make_new(const struct power *power, struct names *names, const struct loss *loss)
{
	char path[PATH_MAX];
	make_dir(power, "new");
	make_dir(power, "new disk");
	for (size_t i = 0; i < names->count; i++)
		if (names->list[i].file == 0) {
			snprintf(path, sizeof path, "new/%s", names->list[i].path);
			make_dir(power, path);
		}
	for (size_t i = 0; i < names->count; i++)
		if (!has_parent(names, names->list[i].path))
			names->list[i--] = names->list[--names->count];
		else if (names->list[i].file != 0)
			lose_file(power, &names->list[i], *loss);
}

static void boot(struct power *power)
{
	FILE *file = fopen(power->boot_id, "w");
	CHECK(file != NULL && fprintf(file, "%u\n", power->boots++) > 0 && fclose(file) == 0);
}

void power_lose(struct power *power, struct rng *rng)
{
	struct loss loss = {.rng = rng, .journal = chance(rng, 50), .kept = SOME};
	if (chance(rng, 20))
		loss.kept = chance(rng, 50) ? NOTHING : ALL;
	struct names names = choose_names(power, &loss);
	make_new(power, &names, &loss);
	take_place(power, "new", "data");
	take_place(power, "new disk", "disk");
	remove_dir(power, "gone");
	make_dir(power, "gone");
	for (size_t i = 0; i < names.count; i++) {
		power->changes[i] = (struct change){.file = names.list[i].file, .durable = true};
		memcpy(power->changes[i].made, names.list[i].path, NAME_BYTES);
	}
	power->count = power->journaled = names.count;
	free(names.list);
	boot(power);
}

/* --- the whole --- */

struct power *power_new(const char *base)
{
	struct power *power =
		mmap(NULL, sizeof *power, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK(power != MAP_FAILED && realpath(base, power->base));
	snprintf(power->dir, sizeof power->dir, "%s/data", power->base);
	snprintf(power->boot_id, sizeof power->boot_id, "%s/boot", power->base);
	boot(power);
	make_dir(power, "data");
	make_dir(power, "disk");
	make_dir(power, "gone");
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
