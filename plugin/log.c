#include "log.h"

#include <mosquitto.h>
#include <mosquitto_broker.h>
#include <stdlib.h>
#include <string.h>

struct tl_log_line {
	struct tl_log_line *next;
	enum tl_log level;
	char text[];
};

enum tl_err tl_log_queue_init(struct tl_log_queue *queue, struct tl_waker *waker)
{
	*queue = (struct tl_log_queue){.broker = pthread_self(), .waker = waker, .last = &queue->first};
	return pthread_mutex_init(&queue->lock, NULL) == 0 ? TL_OK : TL_NO_MEMORY;
}

void tl_log_queue_fini(struct tl_log_queue *queue)
{
	tl_log_flush(queue);
	pthread_mutex_destroy(&queue->lock);
}

static void print(enum tl_log level, const char *text)
{
	static const int levels[] = {
		[TL_LOG_ERROR] = MOSQ_LOG_ERR, [TL_LOG_WARNING] = MOSQ_LOG_WARNING, [TL_LOG_NOTICE] = MOSQ_LOG_NOTICE};
	mosquitto_log_printf(levels[level], "timeline: %s", text);
}

void tl_log(struct tl_log_queue *queue, enum tl_log level, const char *text)
{
	if (pthread_equal(pthread_self(), queue->broker)) {
		print(level, text);
		return;
	}
	struct tl_log_line *line = malloc(sizeof *line + strlen(text) + 1);
	if (!line)
		return;
	line->next = NULL;
	line->level = level;
	strcpy(line->text, text);
	pthread_mutex_lock(&queue->lock);
	*queue->last = line;
	queue->last = &line->next;
	pthread_mutex_unlock(&queue->lock);
	tl_waker_wake(queue->waker);
}

void tl_log_flush(struct tl_log_queue *queue)
{
	pthread_mutex_lock(&queue->lock);
	struct tl_log_line *line = queue->first;
	queue->first = NULL;
	queue->last = &queue->first;
	pthread_mutex_unlock(&queue->lock);
	while (line) {
		struct tl_log_line *next = line->next;
		print(line->level, line->text);
		free(line);
		line = next;
	}
}
