/* The outbox between readers and the broker: what comes out, and that readers stop while much waits in it. */
#include "outbox.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { READERS = 3, PACKETS = 200, PACKET_BYTES = 256 * 1024 };

struct shared {
	struct tl_waker *waker;
	struct tl_outbox outbox;
	_Atomic unsigned put; /* by all readers */
	_Atomic bool closing;
};

static struct tl_packet *packet_of(size_t bytes)
{
	char *payload = calloc(1, bytes);
	struct tl_packet *packet = tl_packet_new(NULL, tl_slice_str("bob"), tl_slice_str("phone"),
	                                         tl_slice_str("im/res/phone/sync"), tl_slice(NULL, 0), tl_slice(payload, bytes));
	free(payload);
	return packet;
}

static int set_up(void **state)
{
	struct shared *shared = calloc(1, sizeof *shared);
	assert_int_equal(tl_waker_open(&shared->waker), TL_OK);
	assert_int_equal(tl_outbox_init(&shared->outbox, shared->waker), TL_OK);
	*state = shared;
	return 0;
}

static int tear_down(void **state)
{
	struct shared *shared = *state;
	tl_outbox_fini(&shared->outbox);
	tl_waker_close(shared->waker);
	free(shared);
	return 0;
}

static size_t waiting(struct tl_outbox *outbox)
{
	pthread_mutex_lock(&outbox->lock);
	size_t bytes = outbox->bytes;
	pthread_mutex_unlock(&outbox->lock);
	return bytes;
}

static void test_packets_come_out_in_order(void **state)
{
	struct shared *shared = *state;
	struct tl_packet *list = packet_of(2);
	list->next = packet_of(3);
	tl_outbox_put_take(&shared->outbox, packet_of(1));
	tl_outbox_put_list_take(&shared->outbox, list);
	tl_outbox_put_list_take(&shared->outbox, NULL);
	assert_int_equal(waiting(&shared->outbox), 6);
	struct tl_packet *first = tl_outbox_take_all(&shared->outbox);
	assert_int_equal(first->payload.len, 1);
	assert_int_equal(first->next->payload.len, 2);
	assert_int_equal(first->next->next->payload.len, 3);
	assert_null(first->next->next->next);
	assert_int_equal(waiting(&shared->outbox), 0);
	assert_null(tl_outbox_take_all(&shared->outbox));
	tl_packets_free(first);
}

/* Packets of all sizes out of common blocks, some of them larger than a block, are whole until they are freed. */
static void test_packets_share_blocks(void **state)
{
	enum { COUNT = 300, STEP = 97, LARGE = 40000 };
	struct tl_packet *first = NULL, **last = &first;
	struct tl_packet_block *block = NULL;
	char *payload = malloc(LARGE);
	size_t count = 0;
	(void)state;
	for (size_t i = 0; i < COUNT; i++) {
		size_t len = i % STEP == STEP - 1 ? LARGE : i;
		memset(payload, (int)i, LARGE);
		struct tl_packet *packet = tl_packet_new(&block, tl_slice_str("bob"), tl_slice_str("phone"), tl_slice_str("topic"),
		                                         tl_slice_str("mark"), tl_slice(payload, len));
		assert_non_null(packet);
		assert_int_equal((uintptr_t)packet % _Alignof(max_align_t), 0);
		*last = packet;
		last = &packet->next;
	}
	for (struct tl_packet *packet = first; packet; packet = packet->next, count++) {
		assert_string_equal(packet->device.ptr, "phone");
		assert_string_equal(packet->correlation.ptr, "mark");
		assert_int_equal(packet->payload.len, count % STEP == STEP - 1 ? LARGE : count);
		memset(payload, (int)count, LARGE);
		assert_memory_equal(packet->payload.ptr, payload, packet->payload.len);
	}
	assert_int_equal(count, COUNT);
	free(payload);
	tl_packets_free(first);
}

static void *read_all(void *argument)
{
	struct shared *shared = argument;
	for (int i = 0; i < PACKETS; i++) {
		tl_outbox_wait(&shared->outbox);
		tl_outbox_put_take(&shared->outbox, packet_of(PACKET_BYTES));
		atomic_fetch_add(&shared->put, 1);
	}
	return NULL;
}

/* The broker comes late, always: when there is no more room, or nothing is left to come. */
static void test_readers_wait_for_room(void **state)
{
	struct shared *shared = *state;
	pthread_t readers[READERS];
	unsigned taken = 0;
	for (int i = 0; i < READERS; i++)
		pthread_create(&readers[i], NULL, read_all, shared);
	while (taken < READERS * PACKETS) {
		while (waiting(&shared->outbox) < TL_OUTBOX_BYTES && atomic_load(&shared->put) < READERS * PACKETS)
			sched_yield();
		for (int i = 0; i < 1000; i++)
			sched_yield(); /* for those who would not wait */
		struct tl_packet *first = tl_outbox_take_all(&shared->outbox);
		size_t bytes = 0;
		for (struct tl_packet *packet = first; packet; packet = packet->next, taken++)
			bytes += packet->payload.len;
		assert_true(bytes < TL_OUTBOX_BYTES + READERS * PACKET_BYTES);
		tl_packets_free(first);
	}
	for (int i = 0; i < READERS; i++)
		pthread_join(readers[i], NULL);
}

static void *wait_once(void *argument)
{
	struct shared *shared = argument;
	tl_outbox_wait(&shared->outbox);
	return atomic_load(&shared->closing) ? shared : NULL;
}

static void test_closing_lets_readers_go(void **state)
{
	struct shared *shared = *state;
	pthread_t reader;
	void *waited;
	tl_outbox_put_take(&shared->outbox, packet_of(TL_OUTBOX_BYTES));
	pthread_create(&reader, NULL, wait_once, shared);
	atomic_store(&shared->closing, true);
	tl_outbox_close(&shared->outbox);
	pthread_join(reader, &waited);
	assert_ptr_equal(waited, shared);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_packets_come_out_in_order, set_up, tear_down),
		cmocka_unit_test(test_packets_share_blocks),
		cmocka_unit_test_setup_teardown(test_readers_wait_for_room, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_closing_lets_readers_go, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
