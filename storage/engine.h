/* The storage engine as everything above it sees it: items addressed by partition and ordered key.
 *
 *     partition (kind, number)          one timeline, one conversation's members, one user's conversations …
 *        └── key (bytes, in byte order) ── value (bytes)
 *
 * An engine promises:
 *   (E1) A batch is applied whole or not at all within each partition it touches. LevelDB applies the whole batch
 *        atomically; callers must stay correct on the weaker promise.
 *   (E2) A synced batch survives power loss once commit has returned TL_OK, and where the engine is `durable` everything
 *        committed before it does, too; an unsynced one survives kill -9. A batch that a power loss has left is there only with
 *        all that was committed before it, where the engine is `durable`.
 *   (E3) After a commit that failed its outcome is unknown until reopen; the engine then shows all of it or
 *        (within each partition) none of it.
 *   (E4) Keys within a partition are read in byte order, forwards and backwards.
 *
 * Every function may be called from any thread unless it says otherwise. A batch belongs to one thread at a time.
 */
#ifndef TL_ENGINE_H
#define TL_ENGINE_H

#include "error.h"
#include "slice.h"

#include <stdbool.h>
#include <stdint.h>

struct tl_engine;   /* an open engine */
struct tl_batch;    /* changes to be committed together */
struct tl_snapshot; /* a frozen view for reads */
struct tl_iter;     /* a position within one partition */

struct tl_partition {
	uint8_t kind;   /* what is kept there; storage/FORMAT.md lists the kinds */
	uint64_t no;    /* which one of the kind; 0 where there is only one */
	uint8_t family; /* partitions of the same number in kinds of one family lie side by side; 0: of no family. A kind is of one
	                 * family, or of none, for ever */
};

enum { TL_FAMILIES_END = 32 }; /* families are below; kinds are not */

/* The family, or the kind that is of none: what is compacted together. */
static inline uint8_t tl_partition_family(struct tl_partition partition)
{
	return partition.family ? partition.family : partition.kind;
}

struct tl_engine_options {
	const char *path;         /* directory of the engine's own files, made if missing (its parent must exist) */
	uint64_t cache_bytes;     /* cache of uncompressed blocks */
	uint64_t write_buffer_bytes;
	uint64_t table_bytes;     /* of a file on disk; 0: 2 MiB */
	int max_open_files;
	int bloom_bits;           /* for each number of a family, and each key of no family; 0: none */
	bool compress;
	bool durable;             /* see E2; false where nothing is synced anyway */
	bool must_exist;          /* nothing is made: where there is nothing, TL_CORRUPT */
};

/* Opens an engine over LevelDB, or makes one where the directory holds nothing of one. On failure `why` says what and *engine_out
 * is untouched. TL_LOCKED another process has it; TL_NO_SPACE, TL_IO, TL_CORRUPT as the disk says. */
TL_MUST_USE enum tl_err tl_engine_open_leveldb(const struct tl_engine_options *options, struct tl_engine **engine_out,
                                               struct tl_why *why);

/* Closes; no batch commit, iterator or snapshot may be in use. NULL is legal. */
void tl_engine_close(struct tl_engine *engine);

/* Closes and opens the underlying database again, which clears a failed write (E3). Waits until readers have freed
 * their iterators and snapshots; new readers wait meanwhile. For the writer thread. TL_NO_SPACE: there is no room to open
 * it again, so it was not closed, and can still be read. If it fails otherwise, every use of the engine answers TL_IO
 * until a later reopen succeeds. */
TL_MUST_USE enum tl_err tl_engine_reopen(struct tl_engine *engine, struct tl_why *why);

/* --- reads. `snapshot` NULL reads the present state. --- */

/* A view that stays as it is, TL_IO while the engine is out of order. Free it soon: it holds back reopen and compaction. */
TL_MUST_USE enum tl_err tl_snapshot_new(struct tl_engine *engine, struct tl_snapshot **snapshot_out);

/* The same of the present even where the engine is frozen: for a thread that commits what follows from what it reads, and so has
 * to see what it has committed. */
TL_MUST_USE enum tl_err tl_snapshot_of_present(struct tl_engine *engine, struct tl_snapshot **snapshot_out);
void tl_snapshot_free(struct tl_snapshot *snapshot); /* NULL is legal */

/* From now on until the thaw every tl_snapshot_new is one of this moment, so that what is committed meanwhile is shown to nobody
 * before it is synced; reads without a snapshot see it. For one thread, which commits several batches and syncs the last one.
 * Thaw before a reopen. Errors as of tl_snapshot_new; TL_IO where the engine cannot be durable (E2), or was not to be. */
TL_MUST_USE enum tl_err tl_engine_freeze(struct tl_engine *engine);
void tl_engine_thaw(struct tl_engine *engine); /* without a freeze this does nothing */

/* The value of one key: TL_OK, *value_out is malloc'ed (never NULL, even if empty) and the caller's to free;
 * TL_NOT_FOUND; TL_IO or TL_CORRUPT. */
TL_MUST_USE enum tl_err tl_engine_get(struct tl_engine *engine, const struct tl_snapshot *snapshot,
                                      struct tl_partition partition, struct tl_slice key, char **value_out,
                                      size_t *len_out);

/* An iterator over one partition, positioned nowhere. It never shows another partition's items. An iterator with a
 * snapshot must be freed before the snapshot. `fill_cache` false: a long scan leaves the block cache alone. */
TL_MUST_USE enum tl_err tl_iter_new(struct tl_engine *engine, const struct tl_snapshot *snapshot,
                                    struct tl_partition partition, bool fill_cache, struct tl_iter **iter_out);
void tl_iter_free(struct tl_iter *iter); /* NULL is legal */

/* Moves the same iterator to another partition of the same engine and view, positioned nowhere: cheaper than a new one. One
 * that has failed is as good as new then; without a snapshot its view is of now. */
void tl_iter_retarget(struct tl_iter *iter, struct tl_partition partition);

/* Until the iterator is retargeted it goes past what is damaged to what lies behind it; tl_iter_error answers TL_CORRUPT
 * from there on, at an item too. For lists, of which a part is better than nothing: such an item may be an old version of
 * one that cannot be read, or deleted. */
void tl_iter_pass_damage(struct tl_iter *iter);

/* Positioning. Each answers whether there is an item there; false also on error, which tl_iter_error tells apart. */
bool tl_iter_seek(struct tl_iter *iter, struct tl_slice key);      /* the first key >= key */
bool tl_iter_seek_last(struct tl_iter *iter);                      /* the last key of the partition */
bool tl_iter_seek_before(struct tl_iter *iter, struct tl_slice key); /* the last key < key */
bool tl_iter_next(struct tl_iter *iter); /* only where the last positioning answered true */
bool tl_iter_prev(struct tl_iter *iter); /* only where the last positioning answered true */

/* The item at hand, valid until the iterator moves. Only where the last positioning answered true. */
struct tl_slice tl_iter_key(const struct tl_iter *iter);
struct tl_slice tl_iter_value(const struct tl_iter *iter);

/* TL_OK, or why the last positioning failed. */
TL_MUST_USE enum tl_err tl_iter_error(const struct tl_iter *iter);

/* How many reads of the engine's files have failed since it was opened: what was to be read is damaged, or the disk is. Each is
 * an error to somebody, or keeps the engine from compacting. */
uint64_t tl_engine_unreadable(const struct tl_engine *engine);

/* --- writes --- */

TL_MUST_USE enum tl_err tl_batch_new(struct tl_engine *engine, struct tl_batch **batch_out);
void tl_batch_free(struct tl_batch *batch); /* NULL is legal */
void tl_batch_clear(struct tl_batch *batch);

/* Later changes of a key override earlier ones. Key and value are copied. */
void tl_batch_put(struct tl_batch *batch, struct tl_partition partition, struct tl_slice key, struct tl_slice value);
void tl_batch_delete(struct tl_batch *batch, struct tl_partition partition, struct tl_slice key);

/* Has the commit answer TL_NO_MEMORY: something that belongs into the batch could not be made. Until the next clear. */
void tl_batch_fail(struct tl_batch *batch);

/* The commit is refused with TL_CONFLICT unless the key still has this value (`expected` NULL: is absent). For
 * engines that several writers share. */
void tl_batch_guard(struct tl_batch *batch, struct tl_partition partition, struct tl_slice key,
                    const struct tl_slice *expected);

/* How many puts and deletes the batch holds, and about how many bytes. */
uint32_t tl_batch_count(const struct tl_batch *batch);
size_t tl_batch_bytes(const struct tl_batch *batch);

/* Applies the batch (E1, E2), which stays as it is. TL_NO_SPACE or TL_IO: see (E3), reopen before anything else;
 * TL_CONFLICT: nothing was applied. */
TL_MUST_USE enum tl_err tl_engine_commit(struct tl_engine *engine, struct tl_batch *batch, bool sync,
                                         struct tl_why *why);

/* What has been committed is on the disk when this has returned TL_OK, also where the engine is not `durable` (E2). Nobody may be
 * committing. TL_NO_SPACE, TL_NO_MEMORY, TL_IO. */
TL_MUST_USE enum tl_err tl_engine_flush(struct tl_engine *engine, struct tl_why *why);

/* --- upkeep, never on the broker or writer thread --- */

/* How a range is dropped, and what has been dropped so far. */
struct tl_drop {
	uint64_t limit;                      /* keys at most */
	bool (*go_on)(void *ctx);            /* asked after each batch, may wait; false: no more. NULL: always */
	void *ctx;
	uint64_t keys, bytes;                /* added up: what was dropped, bytes of keys and values */
};

/* Deletes every key k of the partition with from <= k < to (to.len 0: to the end) in unsynced batches of bounded size.
 * Not atomic. What cannot be read stays. TL_CLOSED: go_on said no. */
TL_MUST_USE enum tl_err tl_engine_drop_range(struct tl_engine *engine, struct tl_partition partition,
                                             struct tl_slice from, struct tl_slice to, struct tl_drop *drop);

/* About how many bytes on disk [from, to) takes (to.len 0: to the end of the partition). */
uint64_t tl_engine_size(struct tl_engine *engine, struct tl_partition partition, struct tl_slice from,
                        struct tl_slice to);

/* The same of all partitions of a family, or of a kind that is of none. */
uint64_t tl_engine_family_size(struct tl_engine *engine, uint8_t family);

/* How far a family's partitions have been compacted; zeroed: not at all yet. */
struct tl_compact_place {
	unsigned char bytes[16];
};

/* Lets the engine reclaim the space of what has been dropped: in the next part of a family's partitions, of about `bytes` on
 * disk, from *place on, which is moved behind it. False: that was the last part. Synchronous; a disk's second for some
 * tens of MiB, which also have to fit onto it once more. */
bool tl_engine_compact_next(struct tl_engine *engine, uint8_t family, struct tl_compact_place *place, uint64_t bytes);

#endif
