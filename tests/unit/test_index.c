/* The search index's format: chunks, segments, directories, postings. */
#include "index_merge.h"

#include "database_fixture.h"
#include "index_builder.h"
#include "index_postings.h"
#include "msgpack_reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { CONVERSATION = 7, MESSAGES = 100000, TERMS = 400 };

static uint64_t state = 1;

static unsigned below(unsigned limit)
{
	state = state * 6364136223846793005 + 1442695040888963407;
	return (unsigned)(state >> 33) % limit;
}

/* --- chunks --- */

struct posting {
	char term[16];
	uint64_t offset;
};

static int compare_postings(const void *a, const void *b)
{
	const struct posting *x = a, *y = b;
	return tl_index_posting_compare(tl_slice_str(x->term), x->offset, tl_slice_str(y->term), y->offset);
}

/* Some postings in order, each once. */
static size_t make_postings(struct posting *postings, size_t count)
{
	size_t kept = 0;
	for (size_t i = 0; i < count; i++) {
		snprintf(postings[i].term, sizeof postings[i].term, "t%u", below(20));
		postings[i].offset = below(2) ? below(300) : below(1000000);
	}
	qsort(postings, count, sizeof *postings, compare_postings);
	for (size_t i = 0; i < count; i++)
		if (kept == 0 || compare_postings(&postings[kept - 1], &postings[i]) != 0)
			postings[kept++] = postings[i];
	return kept;
}

static void test_chunk_holds_what_is_added(void **unused)
{
	struct posting postings[500];
	static struct tl_chunk_writer writer;
	static struct tl_chunk_reader reader;
	(void)unused;
	for (int round = 0; round < 200; round++) {
		size_t count = make_postings(postings, 1 + below(500)), put = 0, got = 0;
		tl_chunk_begin(&writer, tl_slice_str("low"), 12345);
		while (put < count && !tl_chunk_is_full(&writer)) {
			tl_chunk_add(&writer, tl_slice_str(postings[put].term), postings[put].offset);
			put++;
		}
		struct tl_slice bytes = tl_chunk_finish(&writer);
		assert_true(bytes.len <= TL_INDEX_CHUNK_MAX);
		assert_true(tl_chunk_open(&reader, bytes));
		assert_true(tl_slice_equal(tl_index_term_slice(&reader.low), tl_slice_str("low")));
		assert_int_equal(reader.low_offset, 12345);
		while (tl_chunk_next(&reader)) {
			struct tl_offsets offsets = tl_offsets(reader.list);
			uint64_t of_term = 0;
			for (; tl_offsets_next(&offsets); got++, of_term++) {
				assert_true(tl_slice_equal(tl_index_term_slice(&reader.term), tl_slice_str(postings[got].term)));
				assert_int_equal(offsets.value, postings[got].offset);
			}
			assert_int_equal(of_term, reader.count);
		}
		assert_false(reader.damaged);
		assert_int_equal(got, put);
	}
}

static void test_chunk_of_longest_terms_fits(void **unused)
{
	static struct tl_chunk_writer writer;
	static struct tl_chunk_reader reader;
	char term[TL_INDEX_TERM_MAX];
	uint64_t added = 0;
	(void)unused;
	memset(term, 'x', sizeof term);
	tl_chunk_begin(&writer, tl_slice(term, sizeof term), UINT64_MAX - 1);
	for (; !tl_chunk_is_full(&writer); added++) {
		term[0] = (char)('a' + added);
		tl_chunk_add(&writer, tl_slice(term, sizeof term), UINT64_MAX);
	}
	struct tl_slice bytes = tl_chunk_finish(&writer);
	assert_true(bytes.len <= TL_INDEX_CHUNK_MAX);
	assert_true(tl_chunk_open(&reader, bytes));
	while (tl_chunk_next(&reader))
		added--;
	assert_false(reader.damaged);
	assert_int_equal(added, 0);
}

static void test_damaged_chunk_is_read_safely(void **unused)
{
	struct posting postings[300];
	static struct tl_chunk_writer writer;
	static struct tl_chunk_reader reader;
	(void)unused;
	for (int round = 0; round < 20000; round++) {
		size_t count = make_postings(postings, 30), steps = 0;
		tl_chunk_begin(&writer, tl_slice_str(""), 0);
		for (size_t i = 0; i < count; i++)
			tl_chunk_add(&writer, tl_slice_str(postings[i].term), postings[i].offset);
		struct tl_slice bytes = tl_chunk_finish(&writer);
		size_t len = below(2) ? bytes.len : below((unsigned)bytes.len + 1);
		unsigned char *copy = malloc(len + 1); /* so that a sanitizer sees its end */
		assert_non_null(copy);
		memcpy(copy, bytes.ptr, len);
		copy = realloc(copy, len ? len : 1);
		for (unsigned i = 0; i < 3 && len > 0; i++)
			copy[below((unsigned)len)] = (unsigned char)below(256);
		if (tl_chunk_open(&reader, tl_slice(copy, len)))
			while (tl_chunk_next(&reader)) {
				struct tl_offsets offsets = tl_offsets(reader.list);
				while (tl_offsets_next(&offsets))
					assert_true(++steps < 100000);
			}
		free(copy);
	}
}

/* --- directories --- */

static struct tl_directory directory_of(const uint64_t *entries, uint32_t count)
{
	struct tl_directory directory = {.next_id = 1};
	for (uint32_t i = 0; i < count; i++) {
		const struct tl_segment segment = {.id = directory.next_id++,
		                                   .from = directory.indexed_to + 1,
		                                   .to = directory.indexed_to + entries[i],
		                                   .bytes = 100 * i};
		tl_directory_add(&directory, &segment);
	}
	return directory;
}

static void test_directory_round_trip(void **unused)
{
	const uint64_t entries[] = {5000, 128, 32, 33, 1};
	struct tl_directory directory = directory_of(entries, 5), read;
	struct tl_pack pack;
	(void)unused;
	tl_directory_add_garbage(&directory, 77);
	directory.off = true;
	tl_pack_init(&pack);
	tl_directory_pack(&pack, &directory);
	assert_true(tl_directory_unpack(tl_pack_bytes(&pack), &read));
	assert_int_equal(read.indexed_to, 5194);
	assert_int_equal(read.next_id, 6);
	assert_int_equal(read.segment_count, 5);
	assert_memory_equal(read.segments, directory.segments, 5 * sizeof read.segments[0]);
	assert_int_equal(read.garbage_count, 1);
	assert_int_equal(read.garbage[0], 77);
	assert_true(read.off);
	for (size_t len = 0; len < tl_pack_bytes(&pack).len; len++)
		assert_false(tl_directory_unpack(tl_slice(tl_pack_bytes(&pack).ptr, len), &read));
	tl_pack_fini(&pack);
}

static void test_directory_with_a_hole_is_refused(void **unused)
{
	const uint64_t entries[] = {40, 40, 40};
	struct tl_directory directory = directory_of(entries, 3), read;
	struct tl_pack pack;
	(void)unused;
	directory.segments[1].from++;
	tl_pack_init(&pack);
	tl_directory_pack(&pack, &directory);
	assert_false(tl_directory_unpack(tl_pack_bytes(&pack), &read));
	tl_pack_fini(&pack);
}

static void expect_due(const uint64_t *entries, uint32_t count, uint32_t first, uint32_t merged)
{
	struct tl_directory directory = directory_of(entries, count);
	uint32_t due_first = 0, due_count = 0;
	assert_int_equal(tl_directory_due(&directory, &due_first, &due_count), merged > 0);
	assert_int_equal(due_first, first);
	assert_int_equal(due_count, merged);
}

static void test_what_is_merged(void **unused)
{
	(void)unused;
	expect_due((const uint64_t[]){32, 32, 32}, 3, 0, 0);
	expect_due((const uint64_t[]){32, 32, 32, 32}, 4, 0, 4);
	expect_due((const uint64_t[]){128, 32, 32, 32, 32}, 5, 1, 4);
	expect_due((const uint64_t[]){512, 128, 128, 128, 32, 32, 32}, 7, 0, 0);
	expect_due((const uint64_t[]){2048, 128, 128, 128, 128}, 5, 1, 4);
	expect_due((const uint64_t[]){32, 32, 32, 1024}, 4, 0, 0);
	expect_due((const uint64_t[]){32, 32, 32, 1024, 1000}, 5, 0, 5);
	expect_due((const uint64_t[]){100, 40}, 2, 0, 2);
	expect_due((const uint64_t[]){100000, 1024}, 2, 0, 0);
	expect_due((const uint64_t[]){128, 1, 1, 1, 1, 1, 1, 1}, 8, 0, 0);
	expect_due((const uint64_t[]){128, 1, 1, 1, 1, 1, 1, 1, 1}, 9, 1, 8); /* tiny ones too, if there are many */
}

/* A conversation that grows by one tail at a time never has many segments, and each entry is merged few times. */
static void test_segments_stay_few(void **unused)
{
	struct tl_directory directory = {.next_id = 1};
	uint64_t merged = 0;
	uint32_t most = 0, first, count;
	(void)unused;
	for (int i = 0; i < 4000; i++) {
		const struct tl_segment tail = {
			.id = directory.next_id++, .from = directory.indexed_to + 1, .to = directory.indexed_to + TL_INDEX_TAIL};
		tl_directory_add(&directory, &tail);
		while (tl_directory_due(&directory, &first, &count)) {
			struct tl_segment segment = {.id = directory.next_id++, .from = directory.segments[first].from,
			                             .to = directory.segments[first + count - 1].to};
			tl_directory_replace(&directory, first, count, &segment);
			directory.garbage_count = 0;
			merged += segment.to - segment.from + 1;
		}
		if (directory.segment_count > most)
			most = directory.segment_count;
	}
	assert_true(most <= 3 * 7);
	assert_true(merged <= 7 * 4000ULL * TL_INDEX_TAIL);
}

static void test_expiry_drops_whole_segments(void **unused)
{
	const uint64_t entries[] = {100, 100, 100};
	struct tl_directory directory = directory_of(entries, 3);
	(void)unused;
	assert_false(tl_directory_expire(&directory, 99));
	assert_true(tl_directory_expire(&directory, 250));
	assert_int_equal(directory.segment_count, 1);
	assert_int_equal(directory.segments[0].from, 201);
	assert_int_equal(directory.garbage_count, 2);
	assert_int_equal(directory.indexed_to, 300);
}

/* --- segments --- */

struct fixture {
	struct temp_dir dir;
	struct tl_engine *engine;
	struct tl_batch *batch;
	struct tl_iter *iter;

};

/* Term i is in every (i % 40 + 1)th message of a hundredth, so there are rare and frequent ones. */
static bool has(uint64_t term, uint64_t cseq)
{
	return term % 40 == 0 || (cseq * 2654435761 + term * 97) % (term % 40 * 50 + 1) == 0;
}

static struct tl_slice name_of(unsigned term, char *out)
{
	return tl_slice(out, (size_t)sprintf(out, "w%03u", term));
}

static void write_segment(struct fixture *f, const struct tl_segment *segment)
{
	static struct tl_segment_writer writer;
	char name[16];
	tl_segment_begin(&writer, f->batch, CONVERSATION, segment);
	for (unsigned term = 0; term < TERMS; term++)
		for (uint64_t cseq = segment->to; cseq >= segment->from; cseq--)
			if (has(term, cseq))
				tl_segment_add(&writer, name_of(term, name), cseq);
	tl_segment_finish(&writer);
	assert_int_equal(tl_engine_commit(f->engine, f->batch, false, NULL), TL_OK);
	tl_batch_clear(f->batch);
}

static void open_iter(struct fixture *f)
{
	tl_iter_free(f->iter);
	assert_int_equal(tl_iter_new(f->engine, NULL, tl_partition(TL_PART_INDEX, CONVERSATION), true, &f->iter), TL_OK);
}

static int setup(void **out)
{
	struct fixture *f = calloc(1, sizeof *f);
	if (!f || !temp_dir_make(&f->dir))
		return -1;
	f->engine = open_engine(&f->dir);
	f->batch = new_batch(f->engine);
	*out = f;
	return 0;
}

static int teardown(void **in)
{
	struct fixture *f = *in;
	tl_iter_free(f->iter);
	tl_batch_free(f->batch);
	tl_engine_close(f->engine);
	temp_dir_remove(&f->dir);
	free(f);
	return 0;
}

static void expect_scan(struct fixture *f, const struct tl_segment *segment)
{
	static struct tl_posting_scan scan;
	char name[16];
	assert_int_equal(tl_posting_seek(&scan, f->iter, segment, tl_slice("", 0), UINT64_MAX), TL_OK);
	for (unsigned term = 0; term < TERMS; term++)
		for (uint64_t cseq = segment->to; cseq >= segment->from; cseq--) {
			if (!has(term, cseq))
				continue;
			assert_true(scan.there);
			assert_true(tl_slice_equal(tl_index_term_slice(&scan.scan.chunk.term), name_of(term, name)));
			assert_int_equal(scan.cseq, cseq);
			assert_int_equal(tl_posting_next(&scan), TL_OK);
		}
	assert_false(scan.there);
}

static void test_segment_is_read_in_order(void **in)
{
	struct fixture *f = *in;
	const struct tl_segment segment = {.id = 300, .from = 11, .to = 2000}, other = {.id = 301, .from = 2001, .to = 2100};
	write_segment(f, &segment);
	write_segment(f, &other);
	open_iter(f);
	expect_scan(f, &segment);
	expect_scan(f, &other);
}

/* From any place on, whether there is a posting of that very place or not. */
static void test_scan_begins_anywhere(void **in)
{
	struct fixture *f = *in;
	const struct tl_segment segment = {.id = 3, .from = 1, .to = 3000};
	static struct tl_posting_scan scan;
	char name[16];
	write_segment(f, &segment);
	open_iter(f);
	for (int i = 0; i < 2000; i++) {
		unsigned term = below(TERMS);
		uint64_t cseq = 1 + below(3100), expected = cseq < segment.to ? cseq : segment.to;
		while (expected >= 1 && !has(term, expected))
			expected--;
		assert_int_equal(tl_posting_seek(&scan, f->iter, &segment, name_of(term, name), cseq), TL_OK);
		if (expected >= 1) {
			assert_true(scan.there && scan.cseq == expected);
			assert_true(tl_slice_equal(tl_index_term_slice(&scan.scan.chunk.term), tl_slice_str(name)));
		} else {
			assert_true(!scan.there || tl_slice_compare(tl_index_term_slice(&scan.scan.chunk.term), tl_slice_str(name)) > 0);
		}
	}
}

/* Postings of a term or a prefix, leaping at random, against what is known. */
static void expect_postings(struct fixture *f, const struct tl_segment *segment, const char *text, bool prefix)
{
	struct tl_index_allowance allowance = {.prefix_chunks = 1000000};
	struct tl_index_wish wish = {.prefix = prefix};
	struct tl_postings postings;
	uint64_t from = 0, offset;
	unsigned first = (unsigned)atoi(text + 1) * (strlen(text) == 3 ? 10 : 1), count = strlen(text) == 3 ? 10 : 1;
	tl_index_term_set(&wish.term, tl_slice_str(text));
	tl_postings_init(&postings, &wish);
	for (;;) {
		uint64_t expected = from;
		bool there = false;
		for (; segment->from + expected <= segment->to && !there; expected += !there)
			for (unsigned term = first; term < first + count && !there; term++)
				there = has(term, segment->to - expected);
		enum tl_err err = tl_postings_seek(&postings, f->iter, segment, &allowance, from, &offset);
		assert_false(postings.unknown);
		assert_int_equal(err, there ? TL_OK : TL_END);
		if (!there)
			break;
		assert_int_equal(offset, expected);
		from = offset + 1 + (below(4) == 0 ? below(3000) : 0);
	}
	tl_postings_fini(&postings);
}

static void test_postings_of_terms_and_prefixes(void **in)
{
	struct fixture *f = *in;
	const struct tl_segment segment = {.id = 9, .from = 1, .to = MESSAGES};
	static const char *const terms[] = {"w000", "w001", "w039", "w040", "w399", "w123"};
	write_segment(f, &segment);
	open_iter(f);
	for (size_t i = 0; i < sizeof terms / sizeof terms[0]; i++)
		expect_postings(f, &segment, terms[i], false);
	expect_postings(f, &segment, "w12", true);
	expect_postings(f, &segment, "w39", true);
}

static void test_absent_terms(void **in)
{
	struct fixture *f = *in;
	const struct tl_segment segment = {.id = 9, .from = 1, .to = 500};
	static const char *const terms[] = {"a", "w", "w0000", "w5", "z", "\xf0\x9f\x98\x80"};
	struct tl_index_allowance allowance = {.prefix_chunks = 1000};
	uint64_t offset;
	write_segment(f, &segment);
	open_iter(f);
	for (size_t i = 0; i < sizeof terms / sizeof terms[0]; i++) {
		struct tl_index_wish wish = {0};
		struct tl_postings postings;
		tl_index_term_set(&wish.term, tl_slice_str(terms[i]));
		tl_postings_init(&postings, &wish);
		assert_int_equal(tl_postings_seek(&postings, f->iter, &segment, &allowance, 0, &offset), TL_END);
		tl_postings_fini(&postings);
	}
}

static void test_prefix_of_too_much_is_unknown(void **in)
{
	struct fixture *f = *in;
	const struct tl_segment segment = {.id = 9, .from = 1, .to = MESSAGES};
	struct tl_index_allowance allowance = {.prefix_chunks = 1000000};
	struct tl_index_wish wish = {.prefix = true};
	struct tl_postings postings;
	uint64_t offset;
	write_segment(f, &segment);
	open_iter(f);
	tl_index_term_set(&wish.term, tl_slice_str("w"));
	tl_postings_init(&postings, &wish);
	assert_int_equal(tl_postings_seek(&postings, f->iter, &segment, &allowance, 17, &offset), TL_OK);
	assert_true(postings.unknown);
	assert_int_equal(offset, 17);
	assert_true(allowance.chunks <= TL_POSTINGS_PREFIX_CHUNKS + 1);
	tl_postings_fini(&postings);
}

/* Whatever chunk is missing: who looks for something in it is told so, who looks elsewhere finds what there is. */
static void test_missing_chunk_is_noticed(void **in)
{
	struct fixture *f = *in;
	const struct tl_segment segment = {.id = 9, .from = 1, .to = 3000};
	static struct tl_posting_scan scan;
	char name[16], *key;
	size_t key_len, chunks = 0, noticed = 0;
	write_segment(f, &segment);
	open_iter(f);
	for (bool there = tl_iter_seek(f->iter, tl_slice("", 0)); there; there = tl_iter_next(f->iter))
		chunks++;
	assert_true(chunks > 5);
	for (size_t missing = 0; missing < chunks; missing++) {
		write_segment(f, &segment);
		open_iter(f);
		assert_true(tl_iter_seek(f->iter, tl_slice("", 0)));
		for (size_t i = 0; i < missing; i++)
			assert_true(tl_iter_next(f->iter));
		key_len = tl_iter_key(f->iter).len;
		key = malloc(key_len);
		memcpy(key, tl_iter_key(f->iter).ptr, key_len);
		tl_batch_delete(f->batch, tl_partition(TL_PART_INDEX, CONVERSATION), tl_slice(key, key_len));
		assert_int_equal(tl_engine_commit(f->engine, f->batch, false, NULL), TL_OK);
		tl_batch_clear(f->batch);
		free(key);
		open_iter(f);
		for (unsigned term = 0; term < TERMS; term++) {
			uint64_t expected = segment.to;
			while (expected >= 1 && !has(term, expected))
				expected--;
			enum tl_err err = tl_posting_seek(&scan, f->iter, &segment, name_of(term, name), UINT64_MAX);
			noticed += err == TL_CORRUPT;
			if (err != TL_CORRUPT && expected >= 1)
				assert_true(err == TL_OK && scan.there && scan.cseq == expected);
		}
	}
	assert_true(noticed >= chunks);
}

static void test_missing_segment_is_noticed(void **in)
{
	struct fixture *f = *in;
	const struct tl_segment there = {.id = 9, .from = 1, .to = 100}, missing = {.id = 8, .from = 1, .to = 100},
	                        last = {.id = 10, .from = 1, .to = 100};
	static struct tl_posting_scan scan;
	write_segment(f, &there);
	open_iter(f);
	assert_int_equal(tl_posting_seek(&scan, f->iter, &missing, tl_slice_str("w000"), 1), TL_CORRUPT);
	assert_int_equal(tl_posting_seek(&scan, f->iter, &last, tl_slice_str("w000"), 1), TL_CORRUPT);
}

static void test_empty_segment(void **in)
{
	struct fixture *f = *in;
	const struct tl_segment segment = {.id = 4, .from = 1, .to = 5};
	static struct tl_segment_writer writer;
	static struct tl_posting_scan scan;
	tl_segment_begin(&writer, f->batch, CONVERSATION, &segment);
	tl_segment_finish(&writer);
	assert_int_equal(tl_engine_commit(f->engine, f->batch, false, NULL), TL_OK);
	open_iter(f);
	assert_int_equal(tl_posting_seek(&scan, f->iter, &segment, tl_slice_str("a"), 5), TL_OK);
	assert_false(scan.there);
}

/* --- what of a body is indexed --- */

/* Of three bytes each, so that one of them lies across the limit. */
static void test_long_body_ends_with_a_whole_character(void **unused)
{
	const size_t limit = TL_INDEX_TEXT_MAX, len = limit + 2;
	char *body = malloc(len);
	(void)unused;
	assert_non_null(body);
	assert_int_equal(len % 3, 0);
	for (size_t i = 0; i < len; i++)
		body[i] = "\xe4\xb8\xad"[i % 3];
	assert_int_equal(tl_index_text(tl_slice(body, limit - 1)).len, limit - 1);
	assert_int_equal(tl_index_text(tl_slice(body, len)).len, limit - 1);
	memset(body, 'x', len);
	assert_int_equal(tl_index_text(tl_slice(body, limit)).len, limit);
	assert_int_equal(tl_index_text(tl_slice(body, len)).len, limit);
	memset(body, 0x80, len); /* no UTF-8 at all */
	assert_true(tl_index_text(tl_slice(body, len)).len >= limit - 4);
	free(body);
}

/* --- merging --- */

static void test_merge_makes_one_of_all(void **in)
{
	struct fixture *f = *in;
	const uint64_t entries[] = {3000, 1000, 700, 1};
	struct tl_directory directory = directory_of(entries, 4);
	static struct tl_index_merge merge;
	unsigned steps = 0;
	for (uint32_t i = 0; i < 4; i++)
		write_segment(f, &directory.segments[i]);
	tl_directory_put(&directory, CONVERSATION, f->batch);
	assert_int_equal(tl_engine_commit(f->engine, f->batch, false, NULL), TL_OK);
	tl_batch_clear(f->batch);
	tl_index_merge_begin(&merge, f->engine, f->batch, CONVERSATION, &directory, 0, 4, 0);
	for (; merge.active; steps++)
		assert_int_equal(tl_index_merge_step(&merge), TL_OK);
	assert_int_equal(tl_engine_commit(f->engine, f->batch, false, NULL), TL_OK);
	tl_batch_clear(f->batch);
	assert_int_equal(tl_directory_read(f->engine, NULL, CONVERSATION, &directory), TL_OK);
	assert_int_equal(directory.segment_count, 1);
	assert_int_equal(directory.segments[0].from, 1);
	assert_int_equal(directory.segments[0].to, 4701);
	assert_int_equal(directory.garbage_count, 4);
	open_iter(f);
	expect_scan(f, &directory.segments[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chunk_holds_what_is_added),
		cmocka_unit_test(test_chunk_of_longest_terms_fits),
		cmocka_unit_test(test_damaged_chunk_is_read_safely),
		cmocka_unit_test(test_directory_round_trip),
		cmocka_unit_test(test_directory_with_a_hole_is_refused),
		cmocka_unit_test(test_what_is_merged),
		cmocka_unit_test(test_segments_stay_few),
		cmocka_unit_test(test_expiry_drops_whole_segments),
		cmocka_unit_test_setup_teardown(test_segment_is_read_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_scan_begins_anywhere, setup, teardown),
		cmocka_unit_test_setup_teardown(test_postings_of_terms_and_prefixes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_absent_terms, setup, teardown),
		cmocka_unit_test_setup_teardown(test_prefix_of_too_much_is_unknown, setup, teardown),
		cmocka_unit_test_setup_teardown(test_missing_chunk_is_noticed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_missing_segment_is_noticed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_empty_segment, setup, teardown),
		cmocka_unit_test(test_long_body_ends_with_a_whole_character),
		cmocka_unit_test_setup_teardown(test_merge_makes_one_of_all, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
