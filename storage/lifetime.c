#include "lifetime.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char kernels_boot_id[] = "/proc/sys/kernel/random/boot_id";
static const char mark[] = "restored";

/* --- what is found --- */

/* The file's first line; empty where it cannot be read. */
static void read_boot(const char *path, char boot_out[static TL_BOOT_MAX + 1])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd >= 0 ? read(fd, boot_out, TL_BOOT_MAX) : 0;
	boot_out[len > 0 ? len : 0] = '\0';
	boot_out[strcspn(boot_out, "\n")] = '\0';
	if (fd >= 0)
		close(fd);
}

static enum tl_err find_mark(int dir_fd, bool *found_out, struct tl_why *why)
{
	struct stat st;
	*found_out = fstatat(dir_fd, mark, &st, AT_SYMLINK_NOFOLLOW) == 0;
	if (*found_out || errno == ENOENT)
		return TL_OK;
	return tl_fail(why, TL_IO, "the data directory cannot be read: %s", strerror(errno));
}

static bool may_have_lost(const struct tl_run_record *last, const char *boot)
{
	bool other_boot = last->boot.len > 0 && boot[0] != '\0' && !tl_slice_equal(last->boot, tl_slice_str(boot));
	return last->durability == TL_DURABILITY_OS && !last->closed && other_boot;
}

/* Whether the last run has lost what it told (Y2); not if what was noted of it does not decode. */
static enum tl_err judge_last(const struct tl_database *database, const char *boot, bool *lost_out, struct tl_why *why)
{
	struct tl_run_record last;
	char *value;
	size_t len;
	enum tl_err err = tl_engine_get(database->engine, NULL, tl_partition(TL_PART_META, 0), tl_slice_str(TL_META_RUN),
	                                &value, &len);
	*lost_out = false;
	if (err == TL_NOT_FOUND)
		return TL_OK;
	if (err == TL_OK) {
		*lost_out = tl_run_record_unpack(tl_slice(value, len), &last) && may_have_lost(&last, boot);
		free(value);
	}
	return err == TL_OK ? TL_OK : tl_fail(why, err, "the database's own records cannot be read: %s", tl_err_text(err));
}

/* --- what is noted --- */

static void put_run(struct tl_batch *batch, const struct tl_lifetime *lifetime, bool closed)
{
	const struct tl_run_record record = {
		.durability = lifetime->durability, .boot = tl_slice_str(lifetime->boot), .closed = closed};
	struct tl_pack pack;
	tl_pack_init(&pack);
	tl_run_record_pack(&pack, &record);
	tl_batch_put_pack(batch, tl_partition(TL_PART_META, 0), tl_slice_str(TL_META_RUN), &pack);
	tl_pack_fini(&pack);
}

/* After all that a run under `os` may have left to the system: then that is lost no more. Once more for the name of a log that
 * was begun for this batch. */
static enum tl_err commit(struct tl_database *database, const struct tl_lifetime *lifetime, bool renew, bool closed,
                          struct tl_why *why)
{
	struct tl_batch *batch;
	enum tl_err err = tl_engine_flush(database->engine, why);
	if (err != TL_OK)
		return err;
	if ((err = tl_batch_new(database->engine, &batch)) != TL_OK)
		return tl_fail(why, err, "%s", tl_err_text(err));
	if (renew)
		err = tl_database_renew(database, batch, why);
	put_run(batch, lifetime, closed);
	if (err == TL_OK)
		err = closed ? tl_engine_commit(database->engine, batch, true, why) : tl_database_commit_first(database, batch, why);
	tl_batch_free(batch);
	return err == TL_OK ? tl_engine_flush(database->engine, why) : err;
}

static enum tl_err remove_mark(int dir_fd, struct tl_why *why)
{
	if (unlinkat(dir_fd, mark, 0) == 0 && fsync(dir_fd) == 0)
		return TL_OK;
	return tl_fail(why, TL_IO, "cannot remove the file '%s' from the data directory: %s", mark, strerror(errno));
}

static void tell(const struct tl_store_events *events, bool restored)
{
	if (restored)
		events->log(events->ctx, TL_LOG_NOTICE,
		            "the data directory was restored from a copy: it has a new epoch, and devices start over");
	else
		events->log(events->ctx, TL_LOG_WARNING,
		            "the machine was started anew and the broker had not been stopped before: under durability os what was "
		            "stored last may be lost. The data directory has a new epoch, and devices start over");
}

/* --- the run --- */

static enum tl_err begin(struct tl_database *database, int dir_fd, struct tl_lifetime *lifetime,
                         const struct tl_store_events *events, struct tl_why *why)
{
	bool restored, lost;
	enum tl_err err = find_mark(dir_fd, &restored, why);
	if (err == TL_OK)
		err = judge_last(database, lifetime->boot, &lost, why);
	if (err != TL_OK)
		return err;
	err = commit(database, lifetime, restored || lost, false, why);
	lifetime->begun = err == TL_OK;
	if (!restored && !lost && lifetime->durability != TL_DURABILITY_OS)
		return TL_OK; /* what is read needs no note of it: the disk may be full */
	if (err == TL_OK && restored)
		err = remove_mark(dir_fd, why);
	if (err == TL_OK && (restored || lost))
		tell(events, restored);
	return err;
}

enum tl_err tl_lifetime_begin(struct tl_database *database, const struct tl_lifetime_options *options,
                              struct tl_lifetime *lifetime_out, struct tl_why *why)
{
	struct tl_lifetime lifetime = {.durability = options->durability};
	int dir_fd = open(options->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return tl_fail(why, TL_IO, "the data directory %s: %s", options->dir, strerror(errno));
	read_boot(options->boot_id ? options->boot_id : kernels_boot_id, lifetime.boot);
	enum tl_err err = begin(database, dir_fd, &lifetime, &options->events, why);
	close(dir_fd);
	if (err == TL_OK)
		*lifetime_out = lifetime;
	return err;
}

void tl_lifetime_end(struct tl_lifetime *lifetime, struct tl_database *database)
{
	if (!lifetime->begun)
		return;
	enum tl_err err = commit(database, lifetime, false, true, NULL);
	(void)err; /* the next run will find this one open */
	lifetime->begun = false;
}
