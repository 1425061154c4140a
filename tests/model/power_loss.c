/* What a loss of power leaves: chooses which changes of names and which pages the disk has, and makes the directory anew of them.
 *
 *     changes of names ──choose──► names ─┐
 *     data/x as it is now ──┐             ├──► new/x ──► data/x
 *     disk/x as synced ─────┴──mix────────┘  └► new disk/x ──► disk/x
 */
#include "power_state.h"

#include "check.h"

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	PAGE = 4096,
	SECTOR = 512,
};

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
	int fd = power_open(path, O_RDONLY | O_CLOEXEC, 0);
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

/* Leaves of what was appended what is before some byte. */
static void cut_append(struct contents *kept, size_t from, size_t to, size_t room, struct rng *rng)
{
	size_t end = from + below(rng, (unsigned)(to - from));
	memset(kept->bytes + end, 0, room - end);
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
	if (kept->len < written->len && loss->kept == SOME && chance(loss->rng, 30))
		cut_append(kept, kept->len, written->len, room, loss->rng);
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
	int fd = power_open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
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
	return type == FTW_DP || type == FTW_D ? rmdir(path) : (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
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
	CHECK(syscall(SYS_renameat2, AT_FDCWD, from_path, AT_FDCWD, to_path, 0) == 0);
}

static void make_new(const struct power *power, struct names *names, const struct loss *loss)
{
	char path[PATH_MAX];
	power_make_dir(power, "new");
	power_make_dir(power, "new disk");
	for (size_t i = 0; i < names->count; i++)
		if (names->list[i].file == 0) {
			snprintf(path, sizeof path, "new/%s", names->list[i].path);
			power_make_dir(power, path);
		}
	for (size_t i = 0; i < names->count; i++)
		if (!has_parent(names, names->list[i].path))
			names->list[i--] = names->list[--names->count];
		else if (names->list[i].file != 0)
			lose_file(power, &names->list[i], *loss);
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
	power_make_dir(power, "gone");
	for (size_t i = 0; i < names.count; i++) {
		power->changes[i] = (struct change){.file = names.list[i].file, .durable = true};
		memcpy(power->changes[i].made, names.list[i].path, NAME_BYTES);
	}
	power->count = power->journaled = names.count;
	free(names.list);
	power_boot(power);
}
