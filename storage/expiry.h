/* What has expired, as of a moment: pure functions over a view of the database.
 *
 *     stored floor          visible floor              head
 *          │ ── expired, still on disk ── │ ── shown ──── │
 *
 *   (Y1) What clients are shown is computed here when they ask, so floors and gaps are exact at any time. The stored
 *        floor follows in the background (upkeep.h); nothing depends on when.
 *   (Y2) Times never decrease along a timeline, so where it begins is found by halving. A message's time does not within
 *        its conversation; an inbox entry's is the message's, or that of the entry before where that is later.
 *   (Y3) A visible floor may be as high as the head: then nothing is left to be shown.
 *
 * Any thread. With `snapshot` NULL the present state is read, which is for the writer thread alone, as only there no
 * floor can rise meanwhile. */
#ifndef TL_EXPIRY_H
#define TL_EXPIRY_H

#include "inbox.h"
#include "store_limits.h"

/* Whether what came into being at `ts` and lives for `ttl_ms` (0: for ever) is no more. */
bool tl_expired(uint64_t ts, uint64_t ttl_ms, uint64_t now);

/* How long a conversation's messages live: as it says itself, else as the options say; ms, 0: for ever. */
uint64_t tl_retention_ms(const struct tl_conversation_record *record, const struct tl_limits *limits);

/* The visible floor of an inbox: the greatest of the stored one, what `inbox_max` leaves out, and what `inbox_ttl` does.
 * `bounds` are the inbox's in the view of `iter`, which is moved. Reads one entry, a few more where that one has expired. TL_CORRUPT where an
 * entry is missing. */
TL_MUST_USE enum tl_err tl_inbox_floor(struct tl_iter *iter, uint64_t user_no, const struct tl_bounds *bounds,
                                       const struct tl_limits *limits, uint64_t now, uint64_t *floor_out);

/* The visible floor of a conversation's store timeline, likewise. What cannot be read expires with what comes after it, or,
 * where much of that cannot be read either, not at all. */
TL_MUST_USE enum tl_err tl_store_floor(struct tl_engine *engine, const struct tl_snapshot *snapshot,
                                       uint64_t conversation_no, const struct tl_bounds *bounds, uint64_t retention_ms,
                                       uint64_t now, uint64_t *floor_out);

/* When the entry `seq` came into being. TL_CORRUPT where it is missing. */
TL_MUST_USE enum tl_err tl_inbox_entry_ts(struct tl_iter *iter, uint64_t user_no, uint64_t seq, uint64_t *ts_out);
TL_MUST_USE enum tl_err tl_store_entry_ts(struct tl_engine *engine, const struct tl_snapshot *snapshot,
                                          uint64_t conversation_no, uint64_t seq, uint64_t *ts_out);

/* The running number at `cseq`, which is the stored floor or above: how many messages there are up to and with it.
 * TL_NOT_FOUND: there is no such entry, and none after it either. */
TL_MUST_USE enum tl_err tl_store_running(struct tl_engine *engine, const struct tl_snapshot *snapshot,
                                         uint64_t conversation_no, uint64_t cseq, uint64_t *running_out);

/* How many messages a member has not seen, of those above the visible floor; `running` is the running number at the
 * head. Reads only where something unseen has expired, which counts where that cannot be read. */
TL_MUST_USE enum tl_err tl_store_unread(struct tl_engine *engine, const struct tl_snapshot *snapshot,
                                        uint64_t conversation_no, uint64_t floor, uint64_t running,
                                        const struct tl_member_record *member, uint64_t *unread_out);

#endif
