/* What one device may have left unread of what it was answered.
 *
 * Nothing tells a plugin whether a device reads what is sent to it, and what it does not read stays in the broker's memory. So
 * each device has an allowance of bytes, which comes back
 *
 *   - when a cursor comes back. Each carries a *proof*, a number that nobody can guess. What goes out with one QoS arrives in
 *     order, so whoever knows the number has read the answer that carried it and all before; but maybe not what went out with
 *     the other QoS, where answers wait behind those that have not been acked. So there is a stream for each:
 *
 *         sent:  ─── answers ───┬─ answer with the proof ─┬─── answers ───►
 *                                 what the proof proves   ┘
 *
 *   - when a `sync` goes on from the `next` of another one: by as much as that page took. Where a page ends can be guessed, so this
 *     proves nothing; but of pages that overlap with others it does not hold, so a device that reads nothing can have all of its
 *     inbox that lies ahead sent once for each connection, and no more.
 *   - with time.
 *
 * And while all of the broker is small, so is what nobody has read, and a device may ask for the same again and again; then it is
 * never more than the allowance that counts.
 *
 * What a device that reads nothing takes is therefore what makes the broker large, or the allowance, what time gives, and its inbox. The broker's max_queued_bytes and
 * max_queued_messages bound it, too, if they are set. Broker thread, unless said otherwise. */
#ifndef TL_UNREAD_H
#define TL_UNREAD_H

#include "resident.h"
#include "slice.h"

#include <stdbool.h>
#include <stdint.h>

enum { TL_PROOFS_MAX = 6 };

struct tl_proof {
	uint64_t number;
	uint64_t upto; /* that so much has been read; UINT64_MAX: it has not been sent yet */
};

/* What went out with one QoS; bytes since the session's beginning. */
struct tl_unread_stream {
	uint64_t sent;
	uint64_t read;                         /* of that; or time has passed */
	struct tl_proof proofs[TL_PROOFS_MAX]; /* that have not come back, nor a later one has; oldest first */
	uint32_t proof_count;                  /* answers to more requests than that carry the last one */
};

/* All zeros at first. */
struct tl_unread {
	struct tl_unread_stream streams[2];
	uint64_t since_ms;   /* when time gave something back */
	uint64_t next;       /* the greatest that a page of `sync` had … */
	uint64_t page_bytes; /* … and what this page took; 0: it was given back, or overlaps with others */
	bool page_acked;     /* its stream: that of QoS 1 */
};

/* What a request and its answer tell of earlier answers. */
struct tl_asked {
	uint64_t shown; /* proof that came back, 0: none */
	uint64_t given; /* proof that the answer carries, if it has a cursor; 0: none */
	bool is_page;   /* of `sync` */
	uint64_t after, next;
};

enum { TL_PROOF_DIGITS = 16 };

/* Whether so much is unread that the device gets no more for now. `resident`: what the broker takes. */
bool tl_unread_is_too_much(struct tl_unread *unread, struct tl_resident *resident, uint64_t now_ms);

/* The proof that the answer to what is asked now is to carry; 0: there is none. */
uint64_t tl_unread_proof(struct tl_unread *unread, int qos);

/* An answer goes out. */
void tl_unread_sent(struct tl_unread *unread, int qos, size_t bytes, const struct tl_asked *asked);

/* A proof as text. Any thread. */
void tl_proof_print(uint64_t proof, char text_out[static TL_PROOF_DIGITS + 1]);

/* The proof in a cursor that came back, 0: there is none. Any thread. */
uint64_t tl_proof_find(struct tl_slice cursor);

#endif
