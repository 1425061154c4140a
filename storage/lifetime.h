/* The lives of a data directory, and its runs: a run is from opening the store to closing it.
 *
 *     begin: how did the last run end? ── another life, if it has to be; this run is open ──► … ──► end: it is closed
 *                                         (one synced batch)                                        (another one)
 *
 * An epoch names a life. While it lasts, no place that a device has been told of is given to anything else. It is over when the
 * directory has lost what devices have seen, as far as that can be known:
 *
 *   (Y1) An older copy was put in its place. The operator says so with a file `restored`. A crash before that is removed makes
 *        another life once more.
 *   (Y2) The machine has been started anew since a run under `durability os` that was not closed. What such a run told may not have
 *        reached the disk; what the others tell has.
 *   (Y3) A run that is closed has all that it told, and all that it accepted, on the disk.
 *   (Y4) Only a run under `os` has to be noted for that: another one begins also where nothing can be written.
 */
#ifndef TL_LIFETIME_H
#define TL_LIFETIME_H

#include "writer.h"

enum tl_durability {
	TL_DURABILITY_STRICT, /* a send returns when the message is on stable storage */
	TL_DURABILITY_GROUP,  /* a send survives kill -9; it is on stable storage when it is told */
	TL_DURABILITY_OS,     /* a send survives kill -9; the operating system writes when it likes */
};

struct tl_lifetime_options {
	const char *dir; /* of the data */
	enum tl_durability durability;
	const char *boot_id; /* a file that names the present boot of the machine; NULL: the kernel's */
	struct tl_store_events events;
};

/* A run. Zeroed: none has begun. */
struct tl_lifetime {
	bool begun;
	enum tl_durability durability;
	char boot[TL_BOOT_MAX + 1]; /* empty: not known, and then (Y2) cannot be either */
};

/* Begins a run, and with it another life where it has to be, which is logged. Before anything else is done with the database. On
 * failure no run has begun, nor has it where (Y4) has it succeed all the same. */
TL_MUST_USE enum tl_err tl_lifetime_begin(struct tl_database *database, const struct tl_lifetime_options *options,
                                          struct tl_lifetime *lifetime_out, struct tl_why *why);

/* The run, if one has begun, is closed: after all else has been done, the queue flushed. Where that cannot be noted, or not
 * everything flushed, it counts as not closed. */
void tl_lifetime_end(struct tl_lifetime *lifetime, struct tl_database *database);

#endif
