/* Taking in: what has yet to enter a user's inbox from conversations with fan-out on read is appended to it, in the order
 * in which the messages were accepted, as far as a page of `sync` needs it.
 *
 *     reader thread: sync ── entries missing ──► tl_pull ── chore ──► writer: append references, commit
 *           ▲                                                             │
 *           └────────────────────────── ready: read again ◄───────────────┘
 *
 *   (L1) What was taken in is committed like any message before a device sees it, so its place never changes.
 *   (L2) In one batch a user's backlog is taken in once, because only the first of several pulls can read from the
 *        database how far the one before has come. The others find that out when they read again.
 *   (L3) Whoever reads again is shown the inbox from where it began at the pull, however much has come meanwhile, so one
 *        pull is enough even where a conversation fills the inbox faster than a device can ask.
 *   (L4) A pull looks at all of the user's backlogs and takes in as many entries at least, if there are as many, whatever
 *        the page: so what an entry costs does not go with the size of pages.
 *   (L5) But it takes in no more than some thousands, so that what others have sent does not wait for long: whoever reads again
 *        far behind the inbox's end finds that more is missing, and asks for that. */
#ifndef TL_PULL_H
#define TL_PULL_H

#include "chores.h"

/* A wish that a user's inbox be filled up; embedded in whatever waits for it, which owns it. */
struct tl_pull {
	struct tl_chore chore;
	struct tl_slice user; /* uid; stays valid until `ready` */
	uint64_t after;       /* seq behind which, or behind the floor … */
	uint64_t limit;       /* … so many entries shall be in the inbox, if there are as many and that is not far away (L5) */
	uint64_t now;         /* ms: as of when */
	bool taken;           /* it has been done, and not left to another one (L2) … */
	uint64_t floor;       /* … when the inbox began here */
	enum tl_err err;      /* TL_OK, or why it cannot be done: TL_CORRUPT, or TL_STORAGE where nothing can be stored now or
	                       * the store is being closed */
	/* Called once, on the writer's thread, or on the one that closes the store. */
	void (*ready)(struct tl_pull *pull);
};

/* Prepares the chore of a pull whose other fields are set. */
void tl_pull_init(struct tl_pull *pull);

#endif
