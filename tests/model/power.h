/* A data directory that can lose its power. What the process writes below it goes to the files at once, as to the system's page
 * cache; what of that is on the disk is known from the syncs, which are the program's own open(2), fsync(2) and so on for
 * this purpose and sync nothing. A loss of power makes of the two a directory as a disk might have it:
 *
 *   (P1) Of a file, each page of 4 KiB that was written since its last sync is there, or as it was then, or some of its
 *        sectors of 512 bytes are; its length is that of then or of now, or in between. Of what was appended there may be only
 *        what is before some byte, and zeros behind that.
 *   (P2) Of names made, changed and removed since the directory's last sync, each change is there or not; or, as journals have
 *        it, all of them up to some point, which every sync of anything moves to the present, and what was appended to a file,
 *        up to some page.
 *
 *     <base>/data   as the process sees it
 *     <base>/disk   what has been synced, by inode number
 *     <base>/boot   which boot of the machine it is
 *     <base>/gone   files without a name any more, which the disk may still have; so no inode number comes to be used again
 */
#ifndef MODEL_POWER_H
#define MODEL_POWER_H

#include "rng.h"

#include <limits.h>

struct power; /* shared by the process that is to lose power and the one that goes on */

/* Makes the three directories below `base`, which must stay as it is while there is a `power`; one at a time. */
struct power *power_new(const char *base);
void power_free(struct power *power);

/* The data directory. */
const char *power_dir(const struct power *power);

/* A file that names the boot of the machine: another one after each loss. */
const char *power_boot_id(const struct power *power);

/* From now on a sync takes up to `stall_us` and longer, and in the `fail_at`th one (0: none) the process is killed; those of the
 * queue count if `fail_in_queue`. */
void power_prepare(struct power *power, unsigned stall_us, unsigned fail_at, bool fail_in_queue);

/* The process is gone: makes the directory what a loss of power might have left. After a kill from outside this must follow, for
 * a name may have been changed and not noted. */
void power_lose(struct power *power, struct rng *rng);

#endif
