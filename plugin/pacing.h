/* How much may be published to one device at a time.
 *
 * Mosquitto has some messages of QoS 1 in flight to a device, keeps some more waiting for their turn (20 and 1,000, unless it is told
 * otherwise), and drops what is more without telling anybody. But receipts come when the disk allows, and then for all that the
 * device has sent meanwhile: with a disk that takes a tenth of a second that may be thousands. So what is too much is held back.
 *
 * Nothing tells a plugin that a device has acked a message. It is estimated:
 *
 *   - A device that waits for acks before it sends more is acked as fast as it acks itself: it is the same way there and back, and
 *     Mosquitto's window is no smaller than those of most clients. So with each message that comes from it, one has left.
 *   - Some leave with time, because it may have nothing more to send.
 *
 * So a device that sends thousands without waiting may still lose receipts, unless the broker is told to keep more.
 *
 * Broker thread. */
#ifndef TL_PACING_H
#define TL_PACING_H

#include <stdbool.h>
#include <stdint.h>

enum {
	TL_PACING_MAX = 900,     /* messages that a device has not acked, as far as is known */
	TL_PACING_PER_S = 2000,  /* so many leave with time */
	TL_PACING_REST_MS = 10,  /* after which it is worth looking again */
};

/* All zeros at first. */
struct tl_pacing {
	uint64_t idle_ns; /* when all will have left, of a clock that never goes back */
};

/* Whether one more may be published now, which counts it. */
bool tl_pacing_take(struct tl_pacing *pacing, uint64_t now_ns);

/* A message has come from the device. */
void tl_pacing_heard(struct tl_pacing *pacing);

#endif
