/* Taking in: what has yet to enter a user's inbox from conversations with fan-out on read is appended to it, in the order
 * in which the messages were accepted, as far as a page of `sync` needs it.
 *
 *     reader thread: sync ── entries missing ──► tl_pull ── chore ──► writer: append references, commit
 *           ▲                                                             │
 *           └────────────────────────── ready: read again ◄───────────────┘
 *
 *   (L1) What was taken in is committed like any message before a device sees it, so its place never changes.
 *   (L2) In one batch a user's backlog is taken in once, because only the first of several pulls can read from the
 *        database how far the one before has come. The others find that out when they read again. */
#ifndef TL_PULL_H
#define TL_PULL_H

#include "chores.h"

/* A wish that a user's inbox be filled up; embedded in whatever waits for it, which owns it. */
struct tl_pull {
	struct tl_chore chore;
	struct tl_slice user; /* uid; stays valid until `ready` */
	uint64_t upto;        /* seq that the inbox shall reach, if there is as much */
	uint64_t now;         /* ms: as of when */
	enum tl_err err;      /* TL_OK, or why it cannot be done: TL_CORRUPT, or TL_STORAGE where nothing can be stored now or
	                       * the store is being closed */
	/* Called once, on the writer's thread, or on the one that closes the store. */
	void (*ready)(struct tl_pull *pull);
};

/* Prepares the chore of a pull whose other fields are set. */
void tl_pull_init(struct tl_pull *pull);

#endif
