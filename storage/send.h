/* A message on its way from the queue into its conversation: who may send, deduplication, and the receipt. */
#ifndef TL_SEND_H
#define TL_SEND_H

#include "transaction.h"

/* Why a message without an order key is refused where one is due. */
#define TL_SEND_NO_ORDER "this conversation needs an 'order' user property with every message"

/* Applies one TL_INGEST_SEND record: the message is appended, or refused with an outcome that says why; TL_STORAGE where what
 * has to be known of the conversation or its members is damaged. An error means that the database cannot be read or written and
 * nothing was changed. Writer thread. */
TL_MUST_USE enum tl_err tl_send_apply(struct tl_transaction *txn, const struct tl_ingest_record *record);

/* Whether `user` may send to the conversation as it is in the database: TL_OK, TL_NOT_MEMBER (also where there is none),
 * TL_NOT_AUTHORISED. `member`: NULL for a stranger. Any thread. */
TL_MUST_USE enum tl_err tl_send_allowed(const struct tl_conversation_record *record,
                                        const struct tl_member_record *member, struct tl_slice user);

#endif
