/* `hello`: who the server takes the device for, where its inbox ends, and what the server's limits are. */
#include "requests.h"

#include "timeline.h"

const struct tl_param tl_hello_params[] = {{.key = NULL}};

static enum tl_err inbox_bounds(const struct tl_database *database, struct tl_slice user, struct tl_bounds *bounds_out)
{
	uint64_t no;
	enum tl_err err = tl_user_no(database->engine, NULL, user, &no);
	if (err == TL_NOT_FOUND) {
		*bounds_out = (struct tl_bounds){0, 0};
		return TL_OK;
	}
	if (err != TL_OK)
		return err;
	return tl_timeline_bounds(database->engine, NULL, NULL, tl_partition(TL_PART_INBOX, no), bounds_out, NULL, NULL);
}

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
		{"max_members", limits->max_members},
		{"max_conversations", limits->max_conversations},
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
	struct tl_bounds bounds;
	enum tl_err err = inbox_bounds(reading->database, call->user, &bounds);
	if (err != TL_OK)
		return err;
	tl_answer_str(answer, "user", call->user);
	tl_answer_str(answer, "device", call->device);
	tl_answer_str(answer, "epoch", tl_slice_str(reading->database->epoch));
	tl_answer_uint(answer, "latest", bounds.head);
	tl_answer_uint(answer, "floor", bounds.floor);
	tl_answer_str(answer, "server", tl_slice_str(reading->limits->server));
	answer_limits(answer, reading->limits);
	tl_answer_bool(answer, "search", reading->limits->search);
	return TL_OK;
}
