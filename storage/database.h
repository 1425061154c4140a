/* The database as a whole: its engine, its format version, what it is called in this life, and the numbers that it
 * gives to users and conversations. */
#ifndef TL_DATABASE_H
#define TL_DATABASE_H

#include "engine.h"
#include "records.h"

enum { TL_EPOCH_BYTES = 16 }; /* length of an epoch, hexadecimal digits */

struct tl_database {
	struct tl_engine *engine;
	char epoch[TL_EPOCH_BYTES + 1]; /* of this life (lifetime.h); changes only before the store is used */
	uint64_t life;                  /* how many there have been before it */
	uint64_t secret;                /* seed of the dedup hashes */
};

/* Opens the engine in options->path and, in a new one, writes what every database has. TL_VERSION: the database is
 * newer than this program, or too old for it; nothing was touched. Others as tl_engine_open_leveldb. */
TL_MUST_USE enum tl_err tl_database_open(const struct tl_engine_options *options, struct tl_database *database_out,
                                         struct tl_why *why);
void tl_database_close(struct tl_database *database);

/* Begins another life (lifetime.h): puts a new epoch into the batch, which is to be committed, synced, before the database is used.
 * If that fails the database is to be closed. TL_IO: there are no random numbers. */
TL_MUST_USE enum tl_err tl_database_renew(struct tl_database *database, struct tl_batch *batch, struct tl_why *why);

/* Commits, synced, before the store is used: a merge that has met damage since the opening makes every write fail until the next
 * one (leveldb_env.h), so where this fails the database is opened again, once. Errors as tl_engine_commit. */
TL_MUST_USE enum tl_err tl_database_commit_first(struct tl_database *database, struct tl_batch *batch, struct tl_why *why);

/* Reads an unsigned value of TL_PART_META; one that is missing is 0. */
TL_MUST_USE enum tl_err tl_database_read_uint(const struct tl_database *database, const char *key,
                                              uint64_t *value_out);

/* Puts an unsigned value of TL_PART_META into a batch. */
void tl_database_put_uint(struct tl_batch *batch, const char *key, uint64_t value);

/* --- numbers --- */

/* Numbers for new things, from 1. They are reserved by the block before any of them is used, in a batch of their own,
 * so that no crash and no half-applied batch can make one number name two things; what is left of a block at exit is
 * never used. Writer thread. */
struct tl_numbers {
	const char *key; /* TL_META_NEXT_… */
	uint64_t next;
	uint64_t reserved; /* numbers below this are ours */
};

/* Takes the next number, reserving a block first where none is left. Errors as tl_engine_commit and _get; TL_CORRUPT also where
 * the next one would be beyond all that are given. */
TL_MUST_USE enum tl_err tl_numbers_take(struct tl_numbers *numbers, struct tl_database *database,
                                        uint64_t *number_out);

/* Takes the next number for a name and commits, unsynced, which it is, before anything that uses the number is; what
 * uses it puts the name into its own batch as well. So an engine that applies that batch in part cannot make the name
 * and its number come apart. */
TL_MUST_USE enum tl_err tl_numbers_name(struct tl_numbers *numbers, struct tl_database *database,
                                        enum tl_partition_kind names, struct tl_slice name, uint64_t *number_out);

#endif
