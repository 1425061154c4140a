/* What malloc keeps of what is freed, instead of giving it back to the system.
 *
 *   (H1) Pieces of TL_RESERVES_FROM bytes and more go back at once. malloc would raise that by itself, without end, when
 *        something large has been freed: then the parts of tables that are in memory, and the answers that devices have not
 *        read yet, would lie among all else and keep it from being given back.
 *   (H2) While large messages come, larger pieces are kept, too. Each message is in several of them, for a moment; to have their
 *        pages from the system and to give them back takes the broker's thread several times as long as all else that it does for
 *        a message that others publish and subscribe to.
 *   (H3) But not once the broker has grown by more than messages take, because then it is something else that is being kept.
 *
 * Broker thread. */
#ifndef TL_RESERVES_H
#define TL_RESERVES_H

#include "resident.h"

#include <stdbool.h>

enum { TL_RESERVES_FROM = 64 * 1024 };

/* All zeros at first. */
struct tl_reserves {
	bool raised;         /* large pieces are kept, too */
	uint64_t last_ms;    /* when a large message came last; 0: none has */
	uint64_t base_bytes; /* what the broker took when they began to come */
};

/* Has malloc keep little (H1), once and for all threads. */
void tl_reserves_init(void);

/* A large message has come, whatever its topic. `now_ms`: the time, in ms. */
void tl_reserves_large_message(struct tl_reserves *reserves, struct tl_resident *resident, uint64_t now_ms);

/* Whether a message of so many bytes counts as large: with what is packed around it, or in base64, it takes pieces of
 * TL_RESERVES_FROM. */
static inline bool tl_reserves_is_large(size_t bytes)
{
	return bytes >= TL_RESERVES_FROM / 2;
}

/* Looks whether large pieces are still to be kept, which it is called for at each tick while they are. */
void tl_reserves_tick(struct tl_reserves *reserves, struct tl_resident *resident, uint64_t now_ms);

#endif
