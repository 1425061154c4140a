/* The store: all of storage/ behind one handle. The layer above submits messages and requests, asks, and hears of
 * commits; it never sees the engine.
 *
 *     front thread (the broker's):  tl_store_send, tl_store_change ──► ingest queue ──► writer thread ──► events
 *     any thread:                   tl_store_read, tl_store_inbox ──►  snapshot reads
 *     of its own:                   upkeep, which lets go what has expired
 */
#ifndef TL_STORE_H
#define TL_STORE_H

#include "backlog.h"
#include "indexer.h"
#include "lifetime.h"
#include "membership.h"
#include "message.h"
#include "pull.h"
#include "requests.h"
#include "upkeep.h"
#include "writer.h"

struct tl_store_options {
	const char *dir; /* must exist and be writable; the store owns what is in it */
	enum tl_durability durability;
	uint64_t queue_max_bytes;
	uint64_t queue_segment_bytes; /* 0: 4 MiB */
	uint64_t block_cache_bytes;
	uint64_t write_buffer_bytes;
	uint64_t open_tables;     /* files of the database kept open; up to 50,000 */
	uint64_t cached_users;
	uint64_t cached_conversations;
	struct tl_limits limits;
	uint64_t (*now)(void); /* ms since the epoch, any thread; NULL: the system's clock */
	const char *boot_id;   /* a file that names the present boot of the machine; NULL: the kernel's */
	struct tl_store_events events;
};

struct tl_store;

/* Opens or makes a store. On failure `why` is one line for the operator: TL_IO (no such directory, not writable …),
 * TL_LOCKED, TL_VERSION, TL_NO_SPACE, TL_CORRUPT. What was queued and not yet applied is applied now, in the background. */
TL_MUST_USE enum tl_err tl_store_open(const struct tl_store_options *options, struct tl_store **store_out,
                                      struct tl_why *why);

/* Stops the threads and closes the files; all that was accepted is on the disk then. What still waits in the queue is applied when
 * the store is opened again. No other call may be in progress. NULL is legal. */
void tl_store_close(struct tl_store *store);

/* --- front thread only --- */

struct tl_submission {
	struct tl_slice route;  /* given back in the outcome, opaque */
	struct tl_slice user;   /* who; equal to the message's `from` */
	struct tl_slice device;
};

/* Queues a message for a conversation or a user (`to_user`). `client_id` is the client's own message id, empty for none.
 * `message` has everything but the id if there is no client_id: then one is made. When this returns TL_OK the message
 * is as durable as the options say; its outcome will be told. TL_FULL, TL_NO_SPACE, TL_IO: nothing was queued. Waits
 * a little where the queue is nearly full, so that the sender is slowed down before it is refused. */
TL_MUST_USE enum tl_err tl_store_send(struct tl_store *store, const struct tl_submission *from, bool to_user,
                                      struct tl_slice target, struct tl_slice client_id, struct tl_message *message,
                                      struct tl_slice body);

/* Says that all who send have had their turn: how long those of one turn are slowed down is bounded (back_pressure.h). */
void tl_store_next_turn(struct tl_store *store);

/* Queues a request that changes something; its arguments, a packed map, have been checked. Returns as tl_store_send. */
TL_MUST_USE enum tl_err tl_store_change(struct tl_store *store, const struct tl_submission *from,
                                        const struct tl_request *request, struct tl_slice args, uint64_t now);

/* How a user stands towards a conversation; see membership.h. */
TL_MUST_USE enum tl_err tl_store_standing(struct tl_store *store, struct tl_slice cid, struct tl_slice user,
                                          struct tl_standing *standing_out);

/* --- any thread --- */

/* Does a request that reads, waiting where the user's inbox has to be filled up first (pull.h). `answer` is initialised
 * by the caller. */
TL_MUST_USE enum tl_err tl_store_read(struct tl_store *store, const struct tl_request *request, struct tl_call call,
                                      struct tl_answer *answer);

/* As tl_store_read, but where the inbox has to be filled up this answers TL_AGAIN at once, and `pull->ready`, which the
 * caller has set, will be called when it is, on another thread and maybe before this returns; then ask again with the
 * same `pull` and equal `call`, of which `user` stays valid until then. */
TL_MUST_USE enum tl_err tl_store_try_read(struct tl_store *store, const struct tl_request *request, struct tl_call call,
                                          struct tl_answer *answer, struct tl_pull *pull);

/* A user's inbox as of `now`, ms, with what has yet to enter it; to be freed with tl_inbox_free. */
TL_MUST_USE enum tl_err tl_store_inbox(struct tl_store *store, struct tl_slice user, uint64_t now,
                                       struct tl_inbox *inbox_out);

/* The name of this life of the data directory. */
const char *tl_store_epoch(const struct tl_store *store);

struct tl_store_stats {
	struct tl_writer_stats writer;
	struct tl_upkeep_stats upkeep;
	uint64_t queue_bytes; /* waiting in the queue */
	uint64_t unreadable;  /* how often something in the database could not be read since the start: it is damaged, or the disk is */
	struct tl_indexer_stats index; /* zero where nothing is indexed */
};
struct tl_store_stats tl_store_stats(const struct tl_store *store);

/* Has the search index of a conversation, or of all (cid empty), made anew while everything goes on; returns at once.
 * TL_NOT_FOUND: there is no such conversation; TL_UNKNOWN_OP: nothing is indexed. */
TL_MUST_USE enum tl_err tl_store_reindex(struct tl_store *store, struct tl_slice cid);

/* The indexer, for tests; NULL where nothing is indexed. */
struct tl_indexer *tl_store_indexer(struct tl_store *store);

#endif
