/* `hello`: who the server takes the device for, where its inbox ends, and what the server's limits are. */
#include "requests.h"

#include "backlog.h"

const struct tl_param tl_hello_params[] = {{.key = NULL}};


static void answer_limits(struct tl_answer *answer, const struct tl_limits *limits)
{
	const struct {
		const char *key;
		uint64_t value;
	} rows[] = {
		{"max_body", limits->max_body},
		{"notify_inline_max", limits->notify_inline_max},
		{"dedup_window_ms", limits->dedup_window_ms},
		{"recall_window_ms", limits->recall_window_ms},
		{"edit_window_ms", limits->edit_window_ms},
		{"write_fanout_max", limits->write_fanout_max},
		{"inbox_ttl_ms", limits->inbox_ttl_ms},
		{"inbox_max", limits->inbox_max},
		{"retention_ms", limits->retention_ms},
		{"device_ttl_ms", limits->device_ttl_ms},
		{"max_members", limits->max_members},
		{"max_conversations", limits->max_conversations},
		{"message_rate", limits->message_rate},
		{"message_burst", limits->message_burst},
		{"request_rate", limits->request_rate},
		{"request_burst", limits->request_burst},
		{"max_request", TL_REQUEST_MAX_BYTES},
		{"page_messages", TL_PAGE_MAX},
		{"page_bytes", TL_PAGE_BYTES},
		{"max_props", TL_PROPS_MAX},
		{"max_props_bytes", TL_PROPS_BYTES_MAX},
	};
	uint32_t count = sizeof rows / sizeof rows[0];

	tl_pack_cstr(&answer->fields, "limits");
	tl_pack_map(&answer->fields, count);
	for (uint32_t i = 0; i < count; i++) {
		tl_pack_cstr(&answer->fields, rows[i].key);
		tl_pack_uint(&answer->fields, rows[i].value);
	}
	answer->field_count++;
}

enum tl_err tl_hello(const struct tl_reading *reading, const struct tl_call *call, struct tl_answer *answer)
{
	struct tl_inbox inbox;
	enum tl_err err = tl_inbox_of(reading->database->engine, reading->limits, call->now, call->user,
	                              call->pulled_floor, &inbox);
	if (err != TL_OK)
		return err;
	if (tl_inbox_skips(&inbox)) {
		answer->pull_after = answer->pull_limit = 0;
		tl_inbox_free(&inbox);
		return TL_AGAIN;
	}
	tl_answer_str(answer, "user", call->user);
	tl_answer_str(answer, "device", call->device);
	tl_answer_str(answer, "epoch", tl_slice_str(reading->database->epoch));
	tl_answer_uint(answer, "latest", inbox.latest);
	tl_answer_uint(answer, "floor", inbox.floor);
	tl_answer_str(answer, "server", tl_slice_str(reading->limits->server));
	answer_limits(answer, reading->limits);
	tl_inbox_free(&inbox);
	tl_answer_bool(answer, "search", reading->limits->search);
	return TL_OK;
}
