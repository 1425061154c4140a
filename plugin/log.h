/* Log lines from any thread. Mosquitto's log belongs to the broker's thread, so others leave their lines here until the
 * next tick. */
#ifndef TL_LOG_H
#define TL_LOG_H

#include "waker.h"
#include "writer.h"

#include <pthread.h>

struct tl_log_line;

struct tl_log_queue {
	pthread_t broker;
	struct tl_waker *waker; /* borrowed */
	pthread_mutex_t lock;   /* guards the rest */
	struct tl_log_line *first, **last;
};

/* On the broker's thread. */
TL_MUST_USE enum tl_err tl_log_queue_init(struct tl_log_queue *queue, struct tl_waker *waker);
void tl_log_queue_fini(struct tl_log_queue *queue);

/* Logs one line: at once on the broker's thread, else at its next tick. A line is dropped where memory is short. */
void tl_log(struct tl_log_queue *queue, enum tl_log level, const char *text);

/* Writes what has been left here. Broker thread. */
void tl_log_flush(struct tl_log_queue *queue);

#endif
