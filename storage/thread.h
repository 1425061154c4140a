/* Threads of our own beside the broker's. */
#ifndef TL_THREAD_H
#define TL_THREAD_H

#include "error.h"

#include <pthread.h>
#include <stdint.h>
#include <time.h>

/* Starts a thread that is to be joined. It takes no signals: the broker's signals are for the broker's thread. `name`, of at most
 * 15 bytes, is what `top -H` shows. TL_NO_MEMORY where the system has no thread to give. Any thread. */
TL_MUST_USE enum tl_err tl_thread_start(pthread_t *thread, const char *name, void *(*run)(void *arg), void *arg);

/* Has the calling thread give way, where processors are scarce, to threads that have not called this: others wait for what
 * those do. */
void tl_thread_give_way(void);

/* Makes a condition variable whose timed waits go by CLOCK_MONOTONIC, as tl_thread_deadline does. */
void tl_thread_condition_init(pthread_cond_t *condition);

/* The time in `ms` from now. */
struct timespec tl_thread_deadline(uint64_t ms);

#endif
