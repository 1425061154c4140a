#include "outbox.h"

#include <stdlib.h>

enum tl_err tl_outbox_init(struct tl_outbox *outbox, struct tl_waker *waker)
{
	*outbox = (struct tl_outbox){.waker = waker, .last = &outbox->first};
	if (pthread_mutex_init(&outbox->lock, NULL) != 0)
		return TL_NO_MEMORY;
	if (pthread_cond_init(&outbox->changed, NULL) == 0)
		return TL_OK;
	pthread_mutex_destroy(&outbox->lock);
	*outbox = (struct tl_outbox){0};
	return TL_NO_MEMORY;
}

void tl_outbox_fini(struct tl_outbox *outbox)
{
	tl_packets_free(tl_outbox_take_all(outbox));
	pthread_cond_destroy(&outbox->changed);
	pthread_mutex_destroy(&outbox->lock);
}

/* Copies a text with a terminator to *to and moves on behind it. */
static struct tl_slice place(char **to, struct tl_slice text)
{
	char *begin = *to;
	if (text.len > 0)
		memcpy(begin, text.ptr, text.len);
	begin[text.len] = '\0';
	*to += text.len + 1;
	return tl_slice(begin, text.len);
}

struct tl_packet *tl_packet_new(struct tl_slice user, struct tl_slice device, struct tl_slice topic,
                                struct tl_slice correlation, struct tl_slice payload)
{
	struct tl_packet *packet =
		malloc(sizeof *packet + user.len + device.len + topic.len + correlation.len + payload.len + 5);
	if (!packet)
		return NULL;
	*packet = (struct tl_packet){0};
	char *to = packet->data;
	packet->user = place(&to, user);
	packet->device = place(&to, device);
	packet->topic = place(&to, topic);
	if (correlation.ptr)
		packet->correlation = place(&to, correlation);
	if (payload.ptr)
		packet->payload = place(&to, payload);
	return packet;
}

void tl_packets_free(struct tl_packet *first)
{
	while (first) {
		struct tl_packet *next = first->next;
		free(first);
		first = next;
	}
}

void tl_outbox_put_list_take(struct tl_outbox *outbox, struct tl_packet *first)
{
	if (!first)
		return;
	struct tl_packet *last = first;
	size_t bytes = first->payload.len;
	for (; last->next; last = last->next)
		bytes += last->next->payload.len;
	pthread_mutex_lock(&outbox->lock);
	*outbox->last = first;
	outbox->last = &last->next;
	outbox->bytes += bytes;
	pthread_mutex_unlock(&outbox->lock);
	tl_waker_wake(outbox->waker);
}

void tl_outbox_put_take(struct tl_outbox *outbox, struct tl_packet *packet)
{
	packet->next = NULL;
	tl_outbox_put_list_take(outbox, packet);
}

struct tl_packet *tl_outbox_take_all(struct tl_outbox *outbox)
{
	pthread_mutex_lock(&outbox->lock);
	struct tl_packet *first = outbox->first;
	outbox->first = NULL;
	outbox->last = &outbox->first;
	outbox->bytes = 0;
	pthread_cond_broadcast(&outbox->changed);
	pthread_mutex_unlock(&outbox->lock);
	return first;
}

void tl_outbox_wait(struct tl_outbox *outbox)
{
	pthread_mutex_lock(&outbox->lock);
	while (outbox->bytes >= TL_OUTBOX_BYTES && !outbox->closed)
		pthread_cond_wait(&outbox->changed, &outbox->lock);
	pthread_mutex_unlock(&outbox->lock);
}

void tl_outbox_close(struct tl_outbox *outbox)
{
	pthread_mutex_lock(&outbox->lock);
	outbox->closed = true;
	pthread_cond_broadcast(&outbox->changed);
	pthread_mutex_unlock(&outbox->lock);
}
