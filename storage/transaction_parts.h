/* What the files of the transaction have in common and nobody else needs: transaction.c applies, transaction_inbox.c puts
 * entries into inboxes, transaction_told.c keeps what is to be told. Writer thread. */
#ifndef TL_TRANSACTION_PARTS_H
#define TL_TRANSACTION_PARTS_H

#include "transaction.h"

/* --- transaction_inbox.c --- */

/* An entry's bytes, in the arena. */
struct tl_slice tl_transaction_pack_entry(struct tl_transaction *txn, const struct tl_inbox_entry *entry);

/* Puts a packed entry of that time at the end of a user's inbox and has it told. Room for what is told has been made. */
void tl_transaction_put_inbox(struct tl_transaction *txn, struct tl_user *user, struct tl_slice entry, uint64_t ts,
                              uint32_t delivery, bool quiet);

/* The same for an inbox whose last entry has a later time: the new one takes that, so that times never decrease. */
void tl_transaction_put_inbox_late(struct tl_transaction *txn, struct tl_user *user, struct tl_inbox_entry entry,
                                   uint32_t delivery, bool quiet);

/* Puts what has been appended to inboxes into the batch. */
void tl_transaction_put_runs(struct tl_transaction *txn);

/* Forgets it; the users must still be there. */
void tl_transaction_forget_runs(struct tl_transaction *txn);

/* --- transaction_told.c --- */

/* A list with room for `more` elements beyond `count`: the same one, a larger copy, or NULL (then the old one stays). */
void *tl_grow(void *list, size_t count, size_t more, size_t *room, size_t element);

/* Makes room for one delivery and the entries of so many members, so that nothing can fail once things are changed. */
TL_MUST_USE enum tl_err tl_transaction_room_to_tell(struct tl_transaction *txn, size_t members);

/* Has a message told, for which there is room: its index. */
uint32_t tl_transaction_tell_delivery(struct tl_transaction *txn, const struct tl_delivery *delivery);

#endif
