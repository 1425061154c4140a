#include "outbox.h"

#include <stdalign.h>
#include <stdlib.h>

enum { BLOCK_BYTES = 16 * 1024 }; /* some fifty receipts */

struct tl_packet_block {
	size_t packets;    /* in it that have not been freed */
	size_t size, used; /* bytes of `data` */
	alignas(max_align_t) char data[];
};

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

static struct tl_packet_block *block_new(size_t size)
{
	struct tl_packet_block *block = malloc(sizeof *block + size);
	if (block)
		*block = (struct tl_packet_block){.size = size};
	return block;
}

/* Room for a packet with so many bytes of data. */
static struct tl_packet *allocate(struct tl_packet_block **shared, size_t data_bytes)
{
	enum { ALIGN = alignof(max_align_t) };
	size_t bytes = (sizeof(struct tl_packet) + data_bytes + ALIGN - 1) / ALIGN * ALIGN;
	struct tl_packet_block *block = shared ? *shared : NULL;
	if (!block || block->size - block->used < bytes) {
		block = block_new(shared && bytes < BLOCK_BYTES ? BLOCK_BYTES : bytes);
		if (!block)
			return NULL;
		if (shared)
			*shared = block;
	}
	struct tl_packet *packet = (struct tl_packet *)(void *)(block->data + block->used);
	*packet = (struct tl_packet){.block = block};
	block->used += bytes;
	block->packets++;
	return packet;
}

struct tl_packet *tl_packet_new(struct tl_packet_block **block, struct tl_slice user, struct tl_slice device,
                                struct tl_slice topic, struct tl_slice correlation, struct tl_slice payload)
{
	struct tl_packet *packet =
		allocate(block, user.len + device.len + topic.len + correlation.len + payload.len + 5);
	if (!packet)
		return NULL;
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
		struct tl_packet_block *block = first->block;
		if (--block->packets == 0)
			free(block);
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
