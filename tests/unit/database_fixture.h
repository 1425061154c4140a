/* What the tests share that have an engine or a database of their own, and those that are the writer themselves, with a transaction on
 * it. Whatever can fail and is not returned fails the test. */
#ifndef DATABASE_FIXTURE_H
#define DATABASE_FIXTURE_H

#include "temp_dir.h"
#include "transaction.h"

/* In dir->db, which is made where it is missing. */
struct tl_engine *open_engine(const struct temp_dir *dir);
struct tl_database open_database(const struct temp_dir *dir);

struct tl_batch *new_batch(struct tl_engine *engine);

/* Commits, and clears the batch. */
void commit_batch(struct tl_engine *engine, struct tl_batch *batch);

/* Opens the database in `dir` and begins a transaction on it, which goes by the limits, borrowed. */
void open_transaction(const struct temp_dir *dir, const struct tl_limits *limits, struct tl_database *database_out,
                      struct tl_transaction *txn_out);
void close_transaction(struct tl_database *database, struct tl_transaction *txn);

/* Commits what the transaction holds, and tells of what is due. */
void commit_transaction(struct tl_transaction *txn);

/* The user, who is made if need be. */
struct tl_user *take_user(struct tl_transaction *txn, const char *uid);

/* How many keys a partition has, but for a timeline's mark. */
unsigned count_keys(struct tl_engine *engine, enum tl_partition_kind kind, uint64_t no);

#endif
