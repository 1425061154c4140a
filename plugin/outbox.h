/* Packets for single devices, ready to be published: made by workers, published by the broker's thread at its tick.
 *
 *   (O1) Readers begin no request while TL_OUTBOX_BYTES or more wait here. So thousands of devices that sync at once cost
 *        memory for a few answers and not for all, and a tick has little to publish before others get their turn.
 *   (O2) Packets made one after the other, as the receipts of one commit are, share blocks of memory. Those of a block are put
 *        in one list, taken in one and freed by one thread; the last of them frees the block. */
#ifndef TL_OUTBOX_H
#define TL_OUTBOX_H

#include "slice.h"
#include "unread.h"
#include "waker.h"

#include <pthread.h>
#include <stdbool.h>

enum { TL_OUTBOX_BYTES = 4 * 1024 * 1024 };

struct tl_packet_block;

struct tl_packet {
	struct tl_packet *next;
	struct tl_packet_block *block; /* in which it is */
	struct tl_slice user;        /* whom it is for; dropped where another user holds the client id by then */
	struct tl_slice device;      /* client id, NUL-terminated */
	struct tl_slice topic;       /* NUL-terminated */
	struct tl_slice correlation; /* ptr NULL: none */
	struct tl_slice payload;     /* ptr NULL: there is nothing to publish after all */
	int qos;
	struct tl_asked asked; /* all zeros: nothing */
	bool answers_change;  /* one of those that a session's count of changes includes */
	bool answers_request; /* one of those that a session's count of requests includes */
	char data[];
};

struct tl_outbox {
	struct tl_waker *waker; /* borrowed */
	pthread_mutex_t lock;   /* guards the rest */
	pthread_cond_t changed; /* there is room again, or it is closed */
	struct tl_packet *first, **last;
	size_t bytes; /* of the payloads that wait */
	bool closed;
};

TL_MUST_USE enum tl_err tl_outbox_init(struct tl_outbox *outbox, struct tl_waker *waker);
void tl_outbox_fini(struct tl_outbox *outbox);

/* A packet with copies of all that is given, or NULL. `*block`, NULL before the first packet, is the block that it shares with
 * those before and after it (O2); `block` NULL: none. */
struct tl_packet *tl_packet_new(struct tl_packet_block **block, struct tl_slice user, struct tl_slice device,
                                struct tl_slice topic, struct tl_slice correlation, struct tl_slice payload);

/* Frees packets linked by `next`. */
void tl_packets_free(struct tl_packet *first);

/* Hands a packet over and wakes the broker; it is the outbox's from then on. Any thread. */
void tl_outbox_put_take(struct tl_outbox *outbox, struct tl_packet *packet);

/* As tl_outbox_put_take for several packets linked by `next` at once. */
void tl_outbox_put_list_take(struct tl_outbox *outbox, struct tl_packet *first);

/* Waits until fewer than TL_OUTBOX_BYTES wait to be published. Any thread but the broker's. */
void tl_outbox_wait(struct tl_outbox *outbox);

/* Has nobody wait any more: nothing will be published. */
void tl_outbox_close(struct tl_outbox *outbox);

/* All packets so far, in order, linked by `next`; the caller's to free. NULL if there are none. */
struct tl_packet *tl_outbox_take_all(struct tl_outbox *outbox);

#endif
