/* Getting the broker's thread out of its sleep when a worker has something for it.
 *
 * The broker sleeps in epoll_wait and calls the plugin's tick afterwards. A signal ends the sleep; the handler does
 * nothing. Because the signal may arrive just before the sleep begins, it is repeated until the tick has come.
 *
 *     worker: tl_waker_wake ── pthread_kill ──► broker: epoll_wait → EINTR → tick → tl_waker_ticked
 *               └── waker thread repeats the signal until then
 */
#ifndef TL_WAKER_H
#define TL_WAKER_H

#include "error.h"

struct tl_waker;

/* To be called on the broker's thread, which is the one that will be woken. Installs a handler for SIGURG. */
TL_MUST_USE enum tl_err tl_waker_open(struct tl_waker **waker_out);

/* Stops the thread and restores the signal's handler. NULL is legal. */
void tl_waker_close(struct tl_waker *waker);

/* Makes the tick come soon. Costs two system calls if none is due already. Any thread; on the broker's own, the tick
 * after the present one. */
void tl_waker_wake(struct tl_waker *waker);

/* Makes a tick come in about so many ms, unless one comes earlier anyway. Any thread. */
void tl_waker_wake_in(struct tl_waker *waker, unsigned ms);

/* Says that the tick has come. To be called at its start: what is handed over after this call needs another wake. */
void tl_waker_ticked(struct tl_waker *waker);

#endif
