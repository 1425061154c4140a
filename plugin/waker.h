/* Getting the broker's thread out of its sleep when a worker has something for it.
 *
 * The broker sleeps in epoll_wait and calls the plugin's tick afterwards. A signal ends the sleep; the handler does
 * nothing. Because the signal may arrive just before the sleep begins, it is repeated until the tick has come.
 *
 *     worker: tl_waker_wake ── pthread_kill ──► broker: epoll_wait → EINTR → tick → tl_waker_ticked
 *               └── waker thread repeats the signal until then
 *
 * While the broker is at work on what clients sent, no signal is needed: a tick comes before it sleeps again.
 *
 * Mosquitto 2.1 calls the tick before the sleep and sends what that published after it. So the tick has a timer send the
 * signal, once the sleep has begun.
 */
#ifndef TL_WAKER_H
#define TL_WAKER_H

#include "error.h"

#include <stdbool.h>
#include <stdint.h>

struct tl_waker;

/* To be called on the broker's thread, which is the one that will be woken. Installs a handler for SIGURG. */
TL_MUST_USE enum tl_err tl_waker_open(struct tl_waker **waker_out);

/* Stops the thread and restores the signal's handler. NULL is legal. */
void tl_waker_close(struct tl_waker *waker);

/* Makes the tick come soon. Costs two system calls if none is due already and the broker may be asleep. Any thread; on
 * the broker's own, the tick after the present one. */
void tl_waker_wake(struct tl_waker *waker);

/* Makes a tick come in about so many ms, unless one comes earlier anyway. Any thread. */
void tl_waker_wake_in(struct tl_waker *waker, unsigned ms);

/* Ends the sleep that follows this tick as soon as it has begun. Costs a system call, and another one at the next tick. From the
 * broker's tick only. */
void tl_waker_cut_sleep(struct tl_waker *waker);

/* Says that the broker is awake, and that a tick will come before it sleeps. Broker thread, from the event of a message
 * only: others come while it publishes, too, after which it may sleep without a tick. */
void tl_waker_is_awake(struct tl_waker *waker);

/* Says that the tick has come; whether it was wanted. To be called at its start: what is handed over after this call
 * needs another wake. */
bool tl_waker_ticked(struct tl_waker *waker);

#endif
