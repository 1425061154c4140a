#include "garbage.h"

#include "conversations.h"
#include "due.h"
#include "ordered_int.h"
#include "store_user.h"

#include <stdio.h>

enum { NUMBERS_MAX = 10 /* of a kind's partitions */ };

/* --- ways to spoil a value --- */

/* Each answers how long it is. */
typedef size_t spoil_value(struct tl_slice value, unsigned char *out);

static size_t make_empty(struct tl_slice value, unsigned char *out)
{
	(void)value, (void)out;
	return 0;
}

static size_t make_one_byte(struct tl_slice value, unsigned char *out)
{
	(void)value;
	out[0] = 0xc1; /* which no msgpack has */
	return 1;
}

static size_t make_text(struct tl_slice value, unsigned char *out)
{
	static const char text[] = "\xa8" "garbage.";
	(void)value;
	memcpy(out, text, sizeof text - 1);
	return sizeof text - 1;
}

static size_t put_uint(unsigned char *out, uint64_t number)
{
	out[0] = 0xcf;
	for (int i = 0; i < 8; i++)
		out[1 + i] = (unsigned char)(number >> (56 - 8 * i));
	return 9;
}

static size_t make_number(struct tl_slice value, unsigned char *out)
{
	(void)value;
	return put_uint(out, UINT64_MAX);
}

static size_t make_array(struct tl_slice value, unsigned char *out)
{
	size_t len = 1;
	(void)value;
	out[0] = 0x9f;
	for (int i = 0; i < 15; i++)
		len += put_uint(out + len, UINT64_MAX - 1);
	return len;
}

/* Numbers near the greatest, and then one that is too long. */
static size_t make_varints(struct tl_slice value, unsigned char *out)
{
	static const unsigned char number[] = {0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01};
	(void)value;
	for (size_t i = 0; i < 6; i++)
		memcpy(out + i * sizeof number, number, sizeof number);
	memset(out + 6 * sizeof number, 0xff, 20);
	return 6 * sizeof number + 20;
}

static size_t make_half(struct tl_slice value, unsigned char *out)
{
	memcpy(out, value.ptr, value.len / 2);
	return value.len / 2;
}

/* The same record with other numbers, as far as it is msgpack. */
static size_t change_numbers(struct tl_slice value, unsigned char *out, uint64_t number)
{
	struct tl_reader reader = tl_reader(value);
	struct tl_item item;
	size_t len = 0;
	for (const unsigned char *at = reader.next; tl_reader_next(&reader, &item); at = reader.next) {
		size_t as_it_is = (size_t)(reader.next - at);
		if (item.kind == TL_KIND_UINT)
			len += put_uint(out + len, number);
		else
			memcpy(out + len, at, as_it_is);
		len += item.kind == TL_KIND_UINT ? 0 : as_it_is;
	}
	size_t rest = (size_t)(reader.end - reader.next);
	memcpy(out + len, reader.next, rest);
	return len + rest;
}

static size_t make_numbers_large(struct tl_slice value, unsigned char *out)
{
	return change_numbers(value, out, UINT64_MAX - 1);
}

static size_t make_numbers_zero(struct tl_slice value, unsigned char *out)
{
	return change_numbers(value, out, 0);
}

static const struct {
	const char *name;
	spoil_value *spoil;
} spoils[] = {
	{"empty", make_empty}, {"one byte", make_one_byte}, {"text", make_text}, {"number", make_number}, {"array", make_array},
	{"varints", make_varints}, {"half", make_half}, {"numbers large", make_numbers_large}, {"numbers zero", make_numbers_zero},
};

_Static_assert(sizeof spoils / sizeof spoils[0] == GARBAGE_WAYS, "all are counted");

/* --- the places --- */

static const char kinds[] = "mUCukilrLcMPxbBsodetq";

static struct tl_slice key_of(const struct garbage_place *place)
{
	return tl_slice(place->key, place->key_len);
}

static bool is_meta(const struct garbage_place *place, const char *key)
{
	return place->partition.kind == TL_PART_META && tl_slice_equal(key_of(place), tl_slice_str(key));
}

void garbage_name(const struct garbage *garbage, size_t n, char out[200])
{
	const struct garbage_place *place = &garbage->places[n / GARBAGE_WAYS];
	int len = snprintf(out, 200, "case %zu: %c %d ", n, place->partition.kind, (int)place->partition.no);
	for (size_t i = 0; i < place->key_len; i++) {
		unsigned char byte = place->key[i];
		len += snprintf(out + len, 200 - (size_t)len, byte >= ' ' && byte <= '~' ? "%c" : "<%02x>", byte);
	}
	snprintf(out + len, 200 - (size_t)len, " %s", spoils[n % GARBAGE_WAYS].name);
}

/* What is to stay as it is, by number, too. */
struct spared {
	const struct garbage_spared *names;
	uint64_t users[2], conversation;
};

static bool is_name(struct tl_slice key, const char *name)
{
	return tl_slice_equal(key, tl_slice_str(name));
}

static bool is_user(const struct spared *spared, uint64_t no)
{
	return no == spared->users[0] || no == spared->users[1];
}

static bool is_spared(const struct spared *spared, struct tl_partition partition, struct tl_slice key)
{
	const uint64_t conversation = spared->conversation;
	uint64_t first = 0, second = 0;
	switch ((enum tl_partition_kind)partition.kind) {
	case TL_PART_USER_NAMES:
		return is_name(key, spared->names->users[0]) || is_name(key, spared->names->users[1]);
	case TL_PART_CONVERSATION_NAMES:
		return is_name(key, spared->names->conversation);
	case TL_PART_DEDUP:
		return tl_ordered_int_get(key.ptr, key.len, &first) > 0 && first == conversation;
	case TL_PART_DUE:
		return tl_pair_key_parse(key, &first, &second) && partition.no != TL_DUE_DROP &&
		       (partition.no == TL_DUE_STORE ? second == conversation : is_user(spared, second));
	case TL_PART_INDEX:
		return partition.no == conversation;
	default:
		return (partition.family == TL_FAMILY_USER && is_user(spared, partition.no)) ||
		       (partition.family == TL_FAMILY_CONVERSATION && partition.no == conversation);
	}
}

static void add_place(struct garbage *garbage, struct tl_partition partition, struct tl_slice key, struct tl_slice value)
{
	struct garbage_place *place = &garbage->places[garbage->count++];
	if (garbage->count > GARBAGE_PLACES_MAX || key.len > GARBAGE_KEY_MAX)
		store_user_failed("there are too many places, or too long a key");
	place->partition = partition;
	place->key_len = key.len;
	place->value_len = value.len < GARBAGE_VALUE_MAX / 10 ? value.len : GARBAGE_VALUE_MAX / 10; /* numbers may become longer */
	memcpy(place->key, key.ptr, key.len);
	memcpy(place->value, value.ptr, place->value_len);
}

/* Keys that are none, or lie at the end of all, beside what is there. */
static void add_made_up(struct garbage *garbage, struct tl_partition partition)
{
	static const unsigned char record[] = {0x92, 1, 2};
	struct tl_pair_key last;
	unsigned char one[TL_ORDERED_INT_MAX];
	const struct tl_slice value = tl_slice(record, sizeof record);
	add_place(garbage, partition, tl_slice("\1", 1), value);
	add_place(garbage, partition, tl_slice("\377\376", 2), value);
	add_place(garbage, partition, tl_slice(one, tl_ordered_int_put(one, UINT64_MAX)), value);
	add_place(garbage, partition, tl_pair_key(&last, 1, UINT64_MAX), value);
	add_place(garbage, partition, tl_pair_key(&last, UINT64_MAX, UINT64_MAX), value);
}

/* Of the database itself all, of others the first ones and the last one. */
static size_t add_of_partition(struct garbage *garbage, const struct spared *spared, struct tl_iter *iter,
                               struct tl_partition partition)
{
	enum { FIRST = 3 };
	size_t count = 0;
	tl_iter_retarget(iter, partition);
	for (bool there = tl_iter_seek(iter, tl_slice("", 0)); there; there = tl_iter_next(iter)) {
		if (is_spared(spared, partition, tl_iter_key(iter)))
			continue;
		if (count >= FIRST && partition.kind != TL_PART_META)
			garbage->count--; /* the last one so far */
		add_place(garbage, partition, tl_iter_key(iter), tl_iter_value(iter));
		count++;
	}
	store_user_must(tl_iter_error(iter), "list");
	if (count > 0)
		add_made_up(garbage, partition);
	return count;
}

static struct spared find_spared(const struct tl_database *database, const struct garbage_spared *names)
{
	struct spared spared = {.names = names};
	for (int i = 0; i < 2; i++)
		store_user_must(tl_user_no(database->engine, NULL, tl_slice_str(names->users[i]), &spared.users[i]), "a user");
	store_user_must(tl_conversation_no(database->engine, NULL, tl_slice_str(names->conversation), &spared.conversation),
	                "a conversation");
	return spared;
}

void garbage_find(const struct tl_database *database, const struct garbage_spared *names, struct garbage *garbage)
{
	const struct spared spared = find_spared(database, names);
	struct tl_iter *iter;
	store_user_must(tl_iter_new(database->engine, NULL, tl_partition(TL_PART_META, 0), false, &iter), "list");
	for (const char *kind = kinds; *kind; kind++) {
		size_t count = 0;
		for (uint64_t no = 0; no < NUMBERS_MAX; no++)
			count += add_of_partition(garbage, &spared, iter, tl_partition((enum tl_partition_kind)*kind, no));
		if (count == 0)
			store_user_failed("there is nothing of kind %c", *kind);
	}
	tl_iter_free(iter);
}

/* --- a case --- */

void garbage_put(const struct garbage *garbage, size_t n, struct tl_database *database)
{
	const struct garbage_place *place = &garbage->places[n / GARBAGE_WAYS];
	unsigned char value[GARBAGE_VALUE_MAX];
	struct tl_batch *batch;
	size_t len = spoils[n % GARBAGE_WAYS].spoil(tl_slice(place->value, place->value_len), value);
	store_user_must(tl_batch_new(database->engine, &batch), "batch");
	tl_batch_put(batch, place->partition, key_of(place), tl_slice(value, len));
	store_user_must(tl_engine_commit(database->engine, batch, true, NULL), "commit");
	tl_batch_free(batch);
}

bool garbage_is_fatal(const struct garbage *garbage, size_t n)
{
	const struct garbage_place *place = &garbage->places[n / GARBAGE_WAYS];
	return is_meta(place, TL_META_FORMAT) || is_meta(place, TL_META_EPOCH) || is_meta(place, TL_META_SECRET) ||
	       is_meta(place, TL_META_WATERMARK);
}

/* A counter that has gone back looks like one that has not. */
bool garbage_is_hidden(const struct garbage *garbage, size_t n)
{
	const struct garbage_place *place = &garbage->places[n / GARBAGE_WAYS];
	return spoils[n % GARBAGE_WAYS].spoil == make_numbers_zero &&
	       (is_meta(place, TL_META_NEXT_USER) || is_meta(place, TL_META_NEXT_CONVERSATION));
}
