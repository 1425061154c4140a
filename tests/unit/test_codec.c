/* Responses as devices get them (plugin/codec.h). */
#include "codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void expect_json(const char *expected, const struct tl_response *response)
{
	struct tl_encoder encoder;
	struct tl_slice payload;
	tl_encoder_init(&encoder);
	assert_int_equal(tl_codec_encode(&encoder, TL_CODEC_JSON, response, &payload), TL_OK);
	assert_int_equal(payload.len, strlen(expected));
	assert_memory_equal(payload.ptr, expected, payload.len);
	tl_encoder_fini(&encoder);
}

static void test_fields(void **state)
{
	(void)state;
	expect_json("{\"op\":\"read\",\"ok\":true,\"rid\":7,\"unread\":3}",
	            &(struct tl_response){.op = "read",
	                                  .rid = tl_slice("\x07", 1),
	                                  .fields = tl_slice("\xa6unread\x03", 8),
	                                  .field_count = 1});
}

/* A device waits for an answer in vain if there is none. */
static void test_damaged_fields(void **state)
{
	const struct tl_slice fields[] = {tl_slice("\xa4""conv\xc1", 6), tl_slice("\xa4""co", 3)};
	(void)state;
	for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
		expect_json("{\"op\":\"get\",\"ok\":false,\"rid\":7,"
		            "\"error\":{\"code\":\"storage\",\"message\":\"the server cannot store this now\"}}",
		            &(struct tl_response){
						.op = "get", .rid = tl_slice("\x07", 1), .fields = fields[i], .field_count = 1});
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_damaged_fields),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
