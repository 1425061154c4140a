/* Whether a connection is still there, for those who work for it on other threads. */
#ifndef TL_PRESENCE_H
#define TL_PRESENCE_H

#include <stdbool.h>

/* Shared by a session and the requests of its connection; the last one who lets go frees it. Any thread may call. */
struct tl_presence;

/* Of a connection that is there, held by the caller. NULL where memory is short. */
struct tl_presence *tl_presence_new(void);

/* One who holds it more. Returns it. */
struct tl_presence *tl_presence_hold(struct tl_presence *presence);

/* The connection has ended. */
void tl_presence_end(struct tl_presence *presence);

bool tl_presence_has_ended(const struct tl_presence *presence);

/* Lets go of it. NULL is legal. */
void tl_presence_release(struct tl_presence *presence);

#endif
