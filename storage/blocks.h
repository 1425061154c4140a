/* Who has blocked whom. Kept twice, each kind in a partition of its own, and written together by the request `block`:
 *
 *     TL_PART_BLOCKED     user ──► those he has blocked        the list, and nothing else
 *     TL_PART_BLOCKED_BY  user ──► those who have blocked him  decides whether a message is refused
 *
 * Nearly nobody is blocked by anybody, so the second is small, and one look into it serves all chats of a user.
 * An engine may have applied one of the two only (E1): the replay of the request puts whichever is missing. */
#ifndef TL_BLOCKS_H
#define TL_BLOCKS_H

#include "transaction.h"

/* Puts into the batch that the user has blocked `other` (who need not exist), or no longer. Both are valid user ids. Writer
 * thread. */
void tl_blocks_put(struct tl_batch *batch, const struct tl_user *user, struct tl_slice other, bool on);

/* Whether all that tl_blocks_put would put is in the database already. Writer thread; errors as tl_engine_get. */
TL_MUST_USE enum tl_err tl_blocks_are(struct tl_engine *engine, const struct tl_user *user, struct tl_slice other, bool on,
                                      bool *are_out);

/* Whether `user` has blocked `other`, both valid user ids. Any thread; errors as tl_engine_get. */
TL_MUST_USE enum tl_err tl_blocks_read(struct tl_engine *engine, struct tl_slice user, struct tl_slice other,
                                       bool *blocks_out);

/* Whether anybody has blocked `user`, a valid user id. `iter` is any iterator on the present state, moved by this. Any thread;
 * errors as tl_iter_error. */
TL_MUST_USE enum tl_err tl_blocks_any(struct tl_iter *iter, struct tl_slice user, bool *any_out);

/* Whether `sender`, a valid user id, is blocked by `other`: TL_NOT_AUTHORISED, else TL_OK; other errors as tl_engine_get. Most who
 * send are at hand, and known to be blocked by nobody: then nothing is read. Writer thread. */
TL_MUST_USE enum tl_err tl_blocks_check(struct tl_transaction *txn, struct tl_slice sender, struct tl_slice other);

#endif
