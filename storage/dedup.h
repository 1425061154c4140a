/* Message ids of late, kept in buckets by time, so that those of a whole window can be dropped at once.
 *
 *     bucket 7: [from … last]     bucket 8: [from …     ids are put into the newest one and looked for in all
 *        dropped when the window has passed since `last`
 *
 *   (B1) A bucket takes ids for one window, at least a minute. So there are two as a rule, and one or two more after the
 *        window or the clock has been changed.
 *   (B2) Numbers of buckets are never given twice: what is being dropped is nobody else's. The list has the newest one at
 *        any time.
 *   (B3) What is found is compared with the window by its own time: a bucket kept for too long does no harm.
 *   (B4) A list that is damaged is begun anew, with a number that none has been given: the time. Ids of before are forgotten.
 *   (B5) No id in a bucket is older than `from`, which is lowered where a clock set back makes it so. A conversation whose
 *        newest entry is older has no id there, and most that are not at hand are: then nothing is read.
 *
 * Writer thread only, except where said. */
#ifndef TL_DEDUP_H
#define TL_DEDUP_H

#include "database.h"

struct tl_dedup {
	struct tl_database *database; /* borrowed */
	struct tl_dedup_list list;
	bool loaded, lost; /* the list; lost: it was damaged (B4) */
	uint64_t latest; /* ms: of the ids put into the newest bucket, as far as known … */
	bool inherited;  /* … which others were put into before the list was loaded */
};

/* A message id: whose conversation, and the hash of sender and id. */
struct tl_dedup_key {
	uint64_t conversation_no;
	unsigned char hash[TL_DEDUP_KEY_BYTES];
};

void tl_dedup_init(struct tl_dedup *dedup, struct tl_database *database);

/* Forgets what is cached, for when a batch may not have been applied. */
void tl_dedup_clear(struct tl_dedup *dedup);

/* What became of an id within the window before `ts`: TL_OK or TL_NOT_FOUND. What is in the batch at hand is not seen.
 * `latest`: no id of this conversation is of a later time (B5); UINT64_MAX where that is not known. */
TL_MUST_USE enum tl_err tl_dedup_find(struct tl_dedup *dedup, const struct tl_dedup_key *key, uint64_t ts,
                                      uint64_t window_ms, uint64_t latest, struct tl_dedup_record *record_out);

/* Makes sure that there is a bucket for ids of this time; a new one goes into the batch. To be called before put. */
TL_MUST_USE enum tl_err tl_dedup_prepare(struct tl_dedup *dedup, struct tl_batch *batch, uint64_t ts,
                                         uint64_t window_ms);

/* Puts an id into the newest bucket. */
void tl_dedup_put(struct tl_dedup *dedup, struct tl_batch *batch, const struct tl_dedup_key *key,
                  const struct tl_dedup_record *record);

/* Takes a bucket off the list, so that it can be dropped. */
TL_MUST_USE enum tl_err tl_dedup_forget(struct tl_dedup *dedup, struct tl_batch *batch, uint64_t no);

/* --- any thread --- */

/* Reads the list as it is in the database. */
TL_MUST_USE enum tl_err tl_dedup_read_list(const struct tl_database *database, struct tl_dedup_list *list_out);

/* Whether no id of the bucket counts any more. */
bool tl_dedup_is_over(const struct tl_dedup_bucket *bucket, uint64_t window_ms, uint64_t now);

#endif
