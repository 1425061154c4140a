#include "index_queue.h"

#include "msgpack_reader.h"
#include "ordered_int.h"

/* A conversation's number as a key. */
struct key {
	unsigned char bytes[TL_ORDERED_INT_MAX];
};

static struct tl_slice key_of(struct key *key, uint64_t conversation_no)
{
	return tl_slice(key->bytes, tl_ordered_int_put(key->bytes, conversation_no));
}

bool tl_index_is_due(uint64_t cseq, size_t bytes)
{
	return cseq % TL_INDEX_TAIL == 0 || bytes >= TL_INDEX_TAIL_BYTES;
}

void tl_index_mark(struct tl_batch *batch, uint64_t position, uint64_t conversation_no, uint64_t cseq, uint64_t ts)
{
	struct tl_pair_key key;
	struct tl_pack pack;
	tl_pack_init(&pack);
	tl_pack_array(&pack, 2);
	tl_pack_uint(&pack, cseq);
	tl_pack_uint(&pack, ts);
	tl_batch_put_pack(batch, tl_partition(TL_PART_INDEX_QUEUE, TL_INDEX_QUEUE_FRESH),
	                  tl_pair_key(&key, position, conversation_no), &pack);
	tl_pack_fini(&pack);
}

void tl_index_mark_upkeep(struct tl_batch *batch, uint64_t conversation_no, uint64_t number)
{
	struct tl_pack pack;
	struct key key;
	tl_pack_init(&pack);
	tl_pack_array(&pack, 1);
	tl_pack_uint(&pack, number);
	tl_batch_put_pack(batch, tl_partition(TL_PART_INDEX_QUEUE, TL_INDEX_QUEUE_UPKEEP), key_of(&key, conversation_no),
	                  &pack);
	tl_pack_fini(&pack);
}

void tl_index_mark_anew(struct tl_batch *batch, uint64_t conversation_no)
{
	static const unsigned char empty_array = 0x90;
	struct key key;
	tl_batch_put(batch, tl_partition(TL_PART_INDEX_QUEUE, TL_INDEX_QUEUE_ANEW), key_of(&key, conversation_no),
	             tl_slice(&empty_array, 1));
}

bool tl_index_mark_read(const struct tl_iter *iter, struct tl_index_mark *mark_out)
{
	struct tl_reader reader = tl_reader(tl_iter_value(iter));
	struct tl_index_mark mark = {0};
	uint32_t count;
	bool key = tl_pair_key_parse(tl_iter_key(iter), &mark.position, &mark.conversation_no);
	*mark_out = key ? mark : (struct tl_index_mark){0};
	return key && tl_reader_array(&reader, &count) && count >= 2 && tl_reader_uint(&reader, &mark_out->cseq) &&
	       tl_reader_uint(&reader, &mark_out->ts);
}

void tl_index_mark_delete(struct tl_batch *batch, const struct tl_index_mark *mark)
{
	struct tl_pair_key key;
	tl_batch_delete(batch, tl_partition(TL_PART_INDEX_QUEUE, TL_INDEX_QUEUE_FRESH), tl_pair_key(&key, mark->position, mark->conversation_no));
}

bool tl_index_upkeep_read(const struct tl_iter *iter, uint64_t *conversation_no_out)
{
	struct tl_slice key = tl_iter_key(iter);
	return tl_ordered_int_read(key.ptr, key.len, conversation_no_out);
}

void tl_index_upkeep_delete(struct tl_batch *batch, uint64_t conversation_no, struct tl_slice value)
{
	struct tl_partition upkeep = tl_partition(TL_PART_INDEX_QUEUE, TL_INDEX_QUEUE_UPKEEP);
	struct key key;
	tl_batch_guard(batch, upkeep, key_of(&key, conversation_no), &value);
	tl_batch_delete(batch, upkeep, key_of(&key, conversation_no));
}

void tl_index_anew_delete(struct tl_batch *batch, uint64_t conversation_no)
{
	struct key key;
	tl_batch_delete(batch, tl_partition(TL_PART_INDEX_QUEUE, TL_INDEX_QUEUE_ANEW), key_of(&key, conversation_no));
}

void tl_index_damaged_delete(struct tl_batch *batch, uint64_t queue, const struct tl_iter *iter)
{
	tl_batch_delete(batch, tl_partition(TL_PART_INDEX_QUEUE, queue), tl_iter_key(iter));
}
