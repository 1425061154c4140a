/* What a device may have left unread, on a clock of the test's own. The clock stands still, and the broker is large, unless it says
 * otherwise. */
#include "unread.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { PAGE = 256 * 1024, ALLOWED = 48 * 4, CHAINS = 32, MANY = 1000, SMALL = 128 * 1024 * 1024 /* what is less */ };

/* In a broker that takes so many bytes. */
static bool is_too_much_in(struct tl_unread *unread, uint64_t resident_bytes, uint64_t now_ms)
{
	struct tl_resident resident = {.looked_ms = now_ms, .bytes = resident_bytes};
	return tl_unread_is_too_much(unread, &resident, now_ms);
}

static bool is_too_much(struct tl_unread *unread, uint64_t now_ms)
{
	return is_too_much_in(unread, SMALL, now_ms);
}

/* Asks for pages until it is refused, or `most` times: how many it got. */
static unsigned get_plain(struct tl_unread *unread, int qos, unsigned most)
{
	for (unsigned i = 0; i < most; i++) {
		if (is_too_much(unread, 1000))
			return i;
		tl_unread_sent(unread, qos, PAGE, &(struct tl_asked){.given = tl_unread_proof(unread, qos)});
	}
	return most;
}

/* One page that goes on from a cursor, whose proof becomes the next one's. False: refused. */
static bool get_next(struct tl_unread *unread, int qos, uint64_t *proof)
{
	struct tl_asked asked = {.shown = *proof};
	if (is_too_much(unread, 1000))
		return false;
	*proof = asked.given = tl_unread_proof(unread, qos);
	tl_unread_sent(unread, qos, PAGE, &asked);
	return true;
}

static bool sync(struct tl_unread *unread, uint64_t after, uint64_t next, size_t bytes)
{
	const struct tl_asked asked = {.is_page = true, .after = after, .next = next};
	if (is_too_much(unread, 1000))
		return false;
	tl_unread_sent(unread, 1, bytes, &asked);
	return true;
}

static void test_allowance(void **state)
{
	struct tl_unread unread = {0};
	(void)state;
	assert_false(is_too_much(&unread, 1000));
	assert_int_equal(get_plain(&unread, 0, 100000), ALLOWED + 1);
	assert_true(is_too_much(&unread, 1000 + 63)); /* 4 MiB for each 1024 ms */
	assert_true(is_too_much(&unread, 1000));      /* the clock was set back */
	assert_false(is_too_much(&unread, 1000 + 1));
	assert_false(is_too_much(&unread, UINT64_MAX));
}

/* One list after the other, or many at once, through whatever comes between. */
static void test_going_on_from_cursors(void **state)
{
	(void)state;
	for (int qos = 0; qos < 2; qos++) {
		struct tl_unread unread = {0};
		uint64_t proofs[CHAINS] = {0};
		for (unsigned i = 0; i < 2000; i++)
			assert_true(get_next(&unread, qos, &proofs[0]));
		for (unsigned i = 0; i < 200 * CHAINS; i++)
			assert_true(get_next(&unread, qos, &proofs[i % CHAINS]));
		for (unsigned i = 0; i < 2000; i++) {
			assert_int_equal(get_plain(&unread, qos, 10), 10);
			assert_true(get_next(&unread, qos, &proofs[0]));
		}
	}
}

/* What nobody knows, what is not sent yet, and what is shown again. */
static void test_proofs(void **state)
{
	struct tl_unread unread = {0};
	(void)state;
	assert_false(is_too_much(&unread, 1000)); /* the clock begins */
	uint64_t first = tl_unread_proof(&unread, 0), second = tl_unread_proof(&unread, 0);
	assert_true(first != 0 && second != 0 && first != second && second != tl_unread_proof(&unread, 1));
	tl_unread_sent(&unread, 0, 100 * PAGE, &(struct tl_asked){.given = first});
	tl_unread_sent(&unread, 0, 100 * PAGE, &(struct tl_asked){.shown = second});
	tl_unread_sent(&unread, 0, 0, &(struct tl_asked){.shown = second + 1});
	assert_true(is_too_much(&unread, 1000));
	tl_unread_sent(&unread, 0, 0, &(struct tl_asked){.shown = first});
	assert_int_equal(get_plain(&unread, 0, 50), 50);
	for (unsigned i = 0; i < 3; i++)
		tl_unread_sent(&unread, 0, PAGE, &(struct tl_asked){.shown = first});
	assert_int_equal(get_plain(&unread, 0, 1000), ALLOWED + 1 - 153);
	tl_unread_sent(&unread, 0, 0, &(struct tl_asked){.shown = second}); /* sent by nobody */
	assert_true(is_too_much(&unread, 1000));
}

/* Where more is asked than proofs are kept, several answers carry the same one: it proves what was before the first of them. */
static void test_shared_proofs(void **state)
{
	struct tl_unread unread = {0};
	uint64_t proofs[CHAINS];
	(void)state;
	assert_false(is_too_much(&unread, 1000)); /* the clock begins */
	for (unsigned i = 0; i < CHAINS; i++)
		proofs[i] = tl_unread_proof(&unread, 1);
	assert_int_equal(proofs[CHAINS - 1], proofs[TL_PROOFS_MAX - 1]);
	for (unsigned i = CHAINS; i-- > 0;) /* the other way round */
		tl_unread_sent(&unread, 1, 6 * PAGE, &(struct tl_asked){.given = proofs[i]});
	tl_unread_sent(&unread, 1, 0, &(struct tl_asked){.shown = proofs[CHAINS - 1]});
	assert_int_equal(get_plain(&unread, 1, 1000), ALLOWED + 1 - (CHAINS - 1) * 6);
}

/* One page at a time, each of almost the whole allowance. */
static void test_large_pages(void **state)
{
	struct tl_unread unread = {0};
	struct tl_asked asked = {0};
	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		assert_false(is_too_much(&unread, 1000));
		asked.given = tl_unread_proof(&unread, 1);
		tl_unread_sent(&unread, 1, ALLOWED * PAGE, &asked);
		asked.shown = asked.given;
	}
}

/* Whoever reads what overtakes has not read what waits. */
static void test_each_qos_for_itself(void **state)
{
	struct tl_unread unread = {0};
	uint64_t proof = 0;
	(void)state;
	assert_int_equal(get_plain(&unread, 1, 160), 160);
	for (unsigned i = 0; i < 1000; i++)
		assert_true(get_next(&unread, 0, &proof));
	assert_in_range(get_plain(&unread, 1, 1000), 1, ALLOWED - 160);
	assert_false(get_next(&unread, 0, &proof));
}

static void test_syncing(void **state)
{
	struct tl_unread unread = {0};
	(void)state;
	for (uint64_t n = 0; n < 2000; n++)
		assert_true(sync(&unread, 7 + 10 * n, 17 + 10 * n, PAGE));
	assert_int_equal(get_plain(&unread, 1, 1000), ALLOWED);
}

/* Pages that overlap, the same one again, a small one for each large one of something else, and positions that are nowhere. */
static void test_syncing_without_reading(void **state)
{
	struct tl_unread overlapping = {0}, again = {0}, mixed = {0}, nowhere = {0};
	unsigned got = 0;
	(void)state;
	for (uint64_t n = 1; got < MANY && sync(&overlapping, 0, n, PAGE) && sync(&overlapping, n, n, 0); n++)
		got++;
	assert_in_range(got, ALLOWED, ALLOWED + 2);
	for (got = 0; got < MANY && sync(&again, 0, 10, PAGE) && sync(&again, 10, 10, 0);)
		got++;
	assert_in_range(got, ALLOWED, ALLOWED + 2);
	for (got = 0; got < MANY && get_plain(&mixed, 1, 1) == 1; got++)
		sync(&mixed, got, got + 1, 100);
	assert_in_range(got, ALLOWED, ALLOWED + 2);
	for (got = 0; got < MANY && sync(&nowhere, 0, 10, PAGE) && sync(&nowhere, UINT64_MAX, 0, 0);)
		got++;
	assert_in_range(got, ALLOWED, ALLOWED + 2);
}

/* The same again and again, while the broker is small; what has been asked for by then is not held against the device later on. */
static void test_small_broker(void **state)
{
	struct tl_unread unread = {0};
	(void)state;
	for (unsigned i = 0; i < MANY; i++) {
		assert_false(is_too_much_in(&unread, SMALL - 1, 1000));
		tl_unread_sent(&unread, i % 2, PAGE, &(struct tl_asked){.is_page = true, .after = 0, .next = 10});
	}
	assert_true(is_too_much(&unread, 1000));
	assert_true(is_too_much(&unread, 1000 + 63));
	assert_false(is_too_much(&unread, 1000 + 64));
	assert_int_equal(get_plain(&unread, 0, 1000), 1);
}

static void test_resident(void **state)
{
	enum { MORE = 64 * 1024 * 1024 };
	struct tl_resident resident = {0};
	(void)state;
	uint64_t before = tl_resident_bytes(&resident, 5000);
	assert_in_range(before, 1024 * 1024, (uint64_t)1 << 40);
	char *memory = malloc(MORE);
	assert_non_null(memory);
	memset(memory, 1, MORE);
	assert_true(tl_resident_bytes(&resident, 5099) == before);
	tl_resident_add(&resident, PAGE);
	assert_true(tl_resident_bytes(&resident, 5099) == before + PAGE);
	assert_in_range(tl_resident_bytes(&resident, 5100), before + MORE / 2, before + 2 * (uint64_t)MORE);
	tl_resident_bytes(&resident, 100); /* the clock was set back */
	assert_int_equal(resident.looked_ms, 100);
	free(memory);
	resident.bytes = UINT64_MAX - 1;
	tl_resident_add(&resident, PAGE);
	assert_true(tl_resident_bytes(&resident, 100) == UINT64_MAX);
}

static void test_texts(void **state)
{
	char text[64] = "a17.4/";
	(void)state;
	tl_proof_print(0x0123456789abcdefU, text + 6);
	assert_string_equal(text, "a17.4/0123456789abcdef");
	assert_true(tl_proof_find(tl_slice_str(text)) == 0x0123456789abcdefU);
	static const char *const none[] = {"", "/", "a17", "a17/0123456789abcde", "a17/0123456789abcdeg", "a17/0123456789ABCDEF",
	                                   "0123456789abcdef", "a17 0123456789abcdef", "a17/0123456789abcdef0"};
	for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
		assert_true(tl_proof_find(tl_slice_str(none[i])) == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_allowance),          cmocka_unit_test(test_going_on_from_cursors),
		cmocka_unit_test(test_proofs),             cmocka_unit_test(test_each_qos_for_itself),
		cmocka_unit_test(test_shared_proofs),      cmocka_unit_test(test_large_pages),
		cmocka_unit_test(test_syncing),            cmocka_unit_test(test_syncing_without_reading),
		cmocka_unit_test(test_small_broker),       cmocka_unit_test(test_resident),
		cmocka_unit_test(test_texts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
