/* Searches and the indexer where they meet what bounds them: more conversations than are held open, or marked at a time, more entries
 * than one page may look at, prefixes of more words than the index is asked for. What comes out is the same as without. TL_SEED in the environment repeats the choices. */
#include "search.h"

#include "database.h"
#include "database_fixture.h"
#include "index_work.h"
#include "ordered_int.h"
#include "rng.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum {
	ME = 1,                    /* a user's number */
	MANY_CONVERSATIONS = 1100, /* more than are held open, or marked at a time */
	CHATTY = 3,                /* conversations … */
	CHATTY_MESSAGES = 30000,   /* … of so many messages, which together are more than a page may look at */
	AT_ONCE = 100,             /* of each conversation that have the same time */
	WORDY = 5,                 /* messages of … */
	WORDY_WORDS = 30000,       /* … so many words: more chunks than are read for a prefix */
	OLDER = 1024,              /* messages of one segment of the index … */
	NEWER = 128,               /* … and of another that is too small for both to be merged */
	HITS_MAX = 4000,
};

struct hit {
	uint64_t no, cseq;
};

struct fixture {
	struct temp_dir dir;
	struct tl_database db;
	struct tl_batch *batch;
	struct tl_pack pack, value;
	struct tl_limits limits;
	struct rng rng;
	struct hit expected[HITS_MAX], found[HITS_MAX]; /* newest first */
	size_t expected_count, found_count;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	if (!f || !temp_dir_make(&f->dir))
		return -1;
	f->db = open_database(&f->dir);
	f->batch = new_batch(f->db.engine);
	tl_pack_init(&f->pack);
	tl_pack_init(&f->value);
	f->rng.state = rng_seed();
	print_message("TL_SEED=%" PRIu64 "\n", f->rng.state);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	tl_pack_fini(&f->pack);
	tl_pack_fini(&f->value);
	tl_batch_free(f->batch);
	tl_database_close(&f->db);
	temp_dir_remove(&f->dir);
	free(f);
	return 0;
}

static void commit(struct fixture *f)
{
	commit_batch(f->db.engine, f->batch);
}

static void put_numbered(struct fixture *f, enum tl_partition_kind kind, uint64_t no, uint64_t key)
{
	unsigned char bytes[TL_ORDERED_INT_MAX];
	tl_batch_put_pack(f->batch, tl_partition(kind, no), tl_slice(bytes, tl_ordered_int_put(bytes, key)), &f->pack);
}

/* A group whose only member is ME. */
static void put_conversation(struct fixture *f, uint64_t no)
{
	char cid[32];
	snprintf(cid, sizeof cid, "c%" PRIu64, no);
	const struct tl_conversation_record record = {
		.cid = tl_slice_str(cid), .owner = tl_slice_str("me"), .kind = TL_GROUP, .member_count = 1};
	const struct tl_member_record member = {.since = 1};
	tl_pack_clear(&f->pack);
	tl_conversation_record_pack(&f->pack, &record);
	tl_batch_put_pack(f->batch, tl_partition(TL_PART_CONVERSATION, no), tl_slice("", 0), &f->pack);
	tl_pack_clear(&f->pack);
	tl_member_record_pack(&f->pack, &member);
	put_numbered(f, TL_PART_MEMBERS, no, ME);
	tl_pack_clear(&f->pack);
	put_numbered(f, TL_PART_USER_CONVERSATIONS, ME, no);
}

/* Puts the entry whose message is packed in f->pack. */
static void put_entry(struct fixture *f, uint64_t no, uint64_t cseq)
{
	const struct tl_store_record record = {.position = 1, .running = cseq, .message = tl_pack_bytes(&f->pack)};
	tl_pack_clear(&f->value);
	tl_store_record_pack(&f->value, &record);
	tl_timeline_append(f->batch, tl_partition(TL_PART_STORE, no), cseq, tl_pack_bytes(&f->value), false);
}

static void put_message(struct fixture *f, uint64_t no, uint64_t cseq, uint64_t ts, struct tl_slice body)
{
	const struct tl_message message = {.ts = ts, .id = tl_slice_str("i"), .from = tl_slice_str("me"),
	                                   .device = tl_slice_str("phone"), .type = tl_slice_str("text"),
	                                   .body_len = body.len};
	tl_pack_clear(&f->pack);
	tl_message_pack(&f->pack, &message);
	tl_pack_raw(&f->pack, body);
	put_entry(f, no, cseq);
}

static void put_text(struct fixture *f, uint64_t no, uint64_t cseq, uint64_t ts, const char *text)
{
	put_message(f, no, cseq, ts, tl_slice_str(text));
}

/* The next older one. */
static void expect(struct fixture *f, uint64_t no, uint64_t cseq)
{
	assert_true(f->expected_count < HITS_MAX);
	f->expected[f->expected_count++] = (struct hit){no, cseq};
}

/* One page; TL_RATE_LIMITED: *place is where the next one begins. */
static enum tl_err find_page(struct fixture *f, const struct tl_query *query, const struct tl_snapshot *snapshot,
                             bool has_start, struct tl_search_place *place)
{
	const struct tl_search_options options = {.engine = f->db.engine, .snapshot = snapshot, .query = query,
	                                          .until = UINT64_MAX, .user_no = ME, .limits = &f->limits,
	                                          .has_start = has_start, .start = *place};
	struct tl_search *search;
	struct tl_search_hit hit;
	enum tl_err err;
	assert_int_equal(tl_search_new(&options, &search), TL_OK);
	assert_int_equal(tl_search_add_all(search), TL_OK);
	while ((err = tl_search_next(search, &hit, place)) == TL_OK) {
		assert_true(f->found_count < HITS_MAX);
		f->found[f->found_count++] = (struct hit){hit.place.conversation_no, hit.place.cseq};
	}
	assert_int_equal(tl_search_damaged(search), 0);
	assert_int_equal(tl_search_unreadable(search), 0);
	tl_search_free(search);
	return err;
}

/* Finds what is expected; returns how many pages that took. */
static unsigned find_all(struct fixture *f, const char *q)
{
	struct tl_search_place place = {0};
	struct tl_snapshot *snapshot;
	struct tl_query *query;
	unsigned pages = 1;
	assert_int_equal(tl_query_parse(tl_slice_str(q), &query, NULL), TL_OK);
	assert_int_equal(tl_snapshot_new(f->db.engine, &snapshot), TL_OK);
	enum tl_err err = find_page(f, query, snapshot, false, &place);
	for (; err == TL_RATE_LIMITED && pages < 1000; pages++)
		err = find_page(f, query, snapshot, true, &place);
	tl_snapshot_free(snapshot);
	tl_query_free(query);
	assert_int_equal(err, TL_END);
	assert_int_equal(f->found_count, f->expected_count);
	assert_memory_equal(f->found, f->expected, f->found_count * sizeof f->found[0]);
	return pages;
}

static void test_more_conversations_than_are_open(void **state)
{
	struct fixture *f = *state;
	for (uint64_t no = 1; no <= MANY_CONVERSATIONS; no++) {
		put_conversation(f, no);
		put_text(f, no, 1, 2000 + no, "an apple");
		put_text(f, no, 2, 4000 + no, "a pear");
		put_text(f, no, 3, 6000 + no, "apples");
	}
	commit(f);
	for (uint64_t no = MANY_CONVERSATIONS; no > 0; no--)
		expect(f, no, 3);
	for (uint64_t no = MANY_CONVERSATIONS; no > 0; no--)
		expect(f, no, 1);
	find_all(f, "apple*");
}

static void test_more_entries_than_a_page_looks_at(void **state)
{
	struct fixture *f = *state;
	bool *is_hit = calloc((CHATTY_MESSAGES + 1) * CHATTY, sizeof *is_hit);
	assert_non_null(is_hit);
	for (uint64_t no = 1; no <= CHATTY; no++)
		put_conversation(f, no);
	for (uint64_t cseq = 1; cseq <= CHATTY_MESSAGES; cseq++) {
		for (uint64_t no = 1; no <= CHATTY; no++) {
			bool *hit = &is_hit[cseq * CHATTY + no - 1];
			*hit = below(&f->rng, 30) == 0;
			put_text(f, no, cseq, 1 + (cseq - 1) / AT_ONCE, *hit ? "an apple" : "a pear");
		}
		if (cseq % 1000 == 0)
			commit(f);
	}
	for (uint64_t end = CHATTY_MESSAGES; end > 0; end -= AT_ONCE)
		for (uint64_t no = CHATTY; no > 0; no--)
			for (uint64_t cseq = end; cseq > end - AT_ONCE; cseq--)
				if (is_hit[cseq * CHATTY + no - 1])
					expect(f, no, cseq);
	free(is_hit);
	assert_true(find_all(f, "apple") > 1);
}

static void put_many_words(struct fixture *f, uint64_t cseq, uint64_t ts)
{
	size_t len = 0, size = WORDY_WORDS * 16;
	char *text = malloc(size);
	assert_non_null(text);
	for (unsigned i = 0; i < WORDY_WORDS; i++)
		len += (size_t)snprintf(text + len, size - len, "w%u ", below(&f->rng, 1000000000));
	put_message(f, 1, cseq, ts, tl_slice(text, len));
	free(text);
}

/* An edit of the message at `target`, which has the new body itself. */
static void put_edit(struct fixture *f, uint64_t target, uint64_t cseq, uint64_t ts, const char *text)
{
	struct tl_pack event;
	tl_pack_init(&event);
	tl_pack_map(&event, 2);
	tl_pack_cstr(&event, "kind");
	tl_pack_cstr(&event, "edit");
	tl_pack_cstr(&event, "cseq");
	tl_pack_uint(&event, target);
	const struct tl_message message = {.ts = ts, .id = tl_slice_str("e"), .from = tl_slice_str("me"),
	                                   .type = tl_slice_str("event"), .event = tl_pack_bytes(&event)};
	tl_pack_clear(&f->pack);
	tl_message_pack(&f->pack, &message);
	put_entry(f, 1, cseq);
	put_text(f, 1, target, target, text);
	tl_pack_fini(&event);
}

/* Does all that there is to do. */
static void work_on_index(struct fixture *f)
{
	struct tl_index_work work;
	uint64_t marks;
	bool did = true;
	assert_int_equal(tl_index_work_init(&work, &f->db), TL_OK);
	while (did)
		assert_int_equal(tl_index_work_step(&work, &did, &marks), TL_OK);
	tl_index_work_fini(&work);
}

/* Seals what there is up to `cseq`. */
static void build_index(struct fixture *f, uint64_t cseq)
{
	tl_index_mark(f->batch, cseq, 1, cseq, cseq);
	commit(f);
	work_on_index(f);
}

/* Then any message of a segment may have such a word, and also any edited one that is indexed once more there. */
static void test_prefix_of_too_many_words(void **state)
{
	struct fixture *f = *state;
	const uint64_t edited = 7, edit = OLDER + 3, last = OLDER + NEWER;
	put_conversation(f, 1);
	for (uint64_t cseq = 1; cseq <= OLDER; cseq++)
		put_text(f, 1, cseq, cseq, cseq == 9 ? "a walnut" : "a pear");
	build_index(f, OLDER);
	for (uint64_t cseq = OLDER + 1; cseq <= last; cseq++) {
		if (cseq == edit)
			put_edit(f, edited, edit, edit, "a wonder");
		else if (cseq > last - WORDY)
			put_many_words(f, cseq, cseq);
		else
			put_text(f, 1, cseq, cseq, "a plum");
	}
	build_index(f, last);
	for (uint64_t cseq = last; cseq > last - WORDY; cseq--)
		expect(f, 1, cseq);
	expect(f, 1, 9);
	expect(f, 1, edited);
	find_all(f, "w*");
}

static void put_name(struct fixture *f, uint64_t no)
{
	const struct tl_conversation_name name = {.no = no};
	char cid[32];
	snprintf(cid, sizeof cid, "c%" PRIu64, no);
	tl_pack_clear(&f->pack);
	tl_conversation_name_pack(&f->pack, &name);
	tl_batch_put_pack(f->batch, tl_partition(TL_PART_CONVERSATION_NAMES, 0), tl_slice_str(cid), &f->pack);
}

/* They are marked some at a time. That a conversation has been indexed anew shows in that its directory can be read. */
static void test_more_conversations_than_are_marked_at_a_time(void **state)
{
	struct fixture *f = *state;
	struct tl_directory directory;
	uint64_t version;
	for (uint64_t no = 1; no <= MANY_CONVERSATIONS; no++) {
		put_conversation(f, no);
		put_name(f, no);
		tl_batch_put(f->batch, tl_partition(TL_PART_INDEX, no), tl_slice("", 0), tl_slice_str("damaged"));
	}
	tl_batch_put(f->batch, tl_partition(TL_PART_META, 0), tl_slice_str(TL_META_REINDEX), tl_slice("", 0));
	commit(f);
	assert_int_equal(tl_directory_read(f->db.engine, NULL, MANY_CONVERSATIONS, &directory), TL_CORRUPT);
	work_on_index(f);
	assert_int_equal(tl_database_read_uint(&f->db, TL_META_INDEX, &version), TL_OK);
	assert_int_equal(version, TL_INDEX_VERSION);
	for (uint64_t no = 1; no <= MANY_CONVERSATIONS; no++)
		assert_int_equal(tl_directory_read(f->db.engine, NULL, no, &directory), TL_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_more_conversations_than_are_open, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_more_entries_than_a_page_looks_at, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_prefix_of_too_many_words, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_more_conversations_than_are_marked_at_a_time, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
