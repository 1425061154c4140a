#include "requests.h"

#include "id.h"
#include "msgpack_reader.h"
#include "visibility.h"

#define READ(op) {.name = #op, .params = tl_##op##_params, .read = tl_##op}
#define CHANGE(op) {.name = #op, .params = tl_##op##_params, .change = tl_##op}
#define CHANGE_LETS_SEND(op) {.name = #op, .params = tl_##op##_params, .change = tl_##op, .lets_send = true}
#define CHANGE_WITHIN_BATCH(op) {.name = #op, .params = tl_##op##_params, .change = tl_##op, .within_batch = true}

static const struct tl_request requests[] = {
	READ(hello),   READ(history), READ(get),  READ(search), READ(convs),  READ(info),    READ(members),
	READ(devices), CHANGE(dissolve), CHANGE(remove), CHANGE(delete), CHANGE(recall),
	CHANGE_LETS_SEND(create), CHANGE_LETS_SEND(update), CHANGE_LETS_SEND(role), CHANGE_LETS_SEND(join),
	CHANGE_LETS_SEND(leave), /* the owner's */
	CHANGE_LETS_SEND(add),
	CHANGE_WITHIN_BATCH(read), CHANGE_WITHIN_BATCH(set),
	{.name = "sync", .params = tl_sync_params, .read = tl_sync, .notes = true},
	{.name = "edit", .params = tl_edit_params, .change = tl_edit, .carries_body = true},
	{.name = "block", .params = tl_block_params, .read = tl_block_list, .change = tl_block, .changes_with = "user",
	 .lets_send = true},
};

const struct tl_request *tl_request_find(struct tl_slice name)
{
	for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++)
		if (tl_slice_equal(tl_slice_str(requests[i].name), name))
			return &requests[i];
	return NULL;
}

bool tl_request_reads(const struct tl_request *request, struct tl_slice raw)
{
	struct tl_reader value;
	if (!request->change || !request->read)
		return request->read != NULL;
	return !tl_msgpack_find(raw, request->changes_with, &value);
}

enum tl_err tl_request_check(const struct tl_request *request, struct tl_slice raw, struct tl_why *why)
{
	struct tl_arg args[TL_REQUEST_PARAMS_MAX];
	return tl_params_parse(request->params, raw, args, why);
}

size_t tl_answer_weight(const struct tl_call *call, const struct tl_answer *answer, size_t from)
{
	struct tl_slice packed = tl_pack_bytes(&answer->fields);
	size_t len = packed.len - from;
	return call->weigh && !answer->fields.failed ? call->weigh(tl_slice((const char *)packed.ptr + from, len)) : len;
}

void tl_answer_init(struct tl_answer *answer)
{
	tl_pack_init(&answer->fields);
	answer->field_count = 0;
	answer->why.text[0] = '\0';
	answer->next = answer->damaged = answer->pull_after = answer->pull_limit = 0;
}

void tl_answer_fini(struct tl_answer *answer)
{
	tl_pack_fini(&answer->fields);
}

void tl_answer_uint(struct tl_answer *answer, const char *key, uint64_t value)
{
	tl_pack_cstr(&answer->fields, key);
	tl_pack_uint(&answer->fields, value);
	answer->field_count++;
}

void tl_answer_bool(struct tl_answer *answer, const char *key, bool value)
{
	tl_pack_cstr(&answer->fields, key);
	tl_pack_bool(&answer->fields, value);
	answer->field_count++;
}

void tl_answer_str(struct tl_answer *answer, const char *key, struct tl_slice value)
{
	tl_pack_cstr(&answer->fields, key);
	tl_pack_str(&answer->fields, value);
	answer->field_count++;
}

void tl_answer_cursor(struct tl_answer *answer, const struct tl_call *call, struct tl_slice place)
{
	char text[TL_ID_MAX + 1 + TL_PROOF_MAX];
	size_t len = place.len;
	memcpy(text, place.ptr, place.len);
	if (call->proof.len > 0) {
		text[len++] = '/';
		memcpy(text + len, call->proof.ptr, call->proof.len);
		len += call->proof.len;
	}
	tl_answer_str(answer, "cursor", tl_slice(text, len));
}

enum tl_err tl_answer_visible(const struct tl_reading *reading, const struct tl_call *call, struct tl_answer *answer,
                              tl_visible_function answer_with)
{
	struct tl_engine *engine = reading->database->engine;
	struct tl_visibility visibility;
	struct tl_snapshot *snapshot;
	enum tl_err err = tl_snapshot_new(engine, &snapshot);
	if (err != TL_OK)
		return err;
	err = tl_visibility_open(engine, snapshot, reading->limits, call->now, call->args[0].bytes, call->user, &visibility);
	if (err == TL_OK) {
		err = answer_with(&visibility, call, answer);
		tl_visibility_close(&visibility);
	}
	tl_snapshot_free(snapshot);
	return err;
}

/* An answer that failed holds no pairs, whatever was packed before the failure. */
static enum tl_err finish(struct tl_answer *answer, enum tl_err err)
{
	if (err == TL_OK && answer->fields.failed)
		err = TL_NO_MEMORY;
	if (err != TL_OK) {
		tl_pack_clear(&answer->fields);
		answer->field_count = 0;
	}
	return err;
}

enum tl_err tl_request_read(const struct tl_request *request, const struct tl_reading *reading, struct tl_call call,
                            struct tl_answer *answer)
{
	struct tl_arg args[TL_REQUEST_PARAMS_MAX];
	enum tl_err err = tl_params_parse(request->params, call.raw, args, &answer->why);
	call.args = args;
	if (err == TL_OK)
		err = request->read(reading, &call, answer);
	return finish(answer, err);
}

static enum tl_err change(struct tl_transaction *txn, const struct tl_request *request,
                          const struct tl_ingest_record *record, struct tl_answer *answer)
{
	struct tl_arg args[TL_REQUEST_PARAMS_MAX];
	enum tl_err err = tl_params_parse(request->params, record->payload, args, &answer->why);
	const struct tl_call call = {
		.user = record->user, .device = record->device, .raw = record->payload, .args = args, .now = record->ts};
	if (err == TL_OK)
		err = request->change(txn, &call, answer);
	return finish(answer, err);
}

enum tl_err tl_request_apply(struct tl_transaction *txn, const struct tl_ingest_record *record)
{
	const struct tl_request *request = tl_request_find(record->target);
	struct tl_answer answer;

	if (!request || !request->change)
		return TL_CORRUPT; /* only such requests are put into the queue */
	tl_answer_init(&answer);
	enum tl_err err = change(txn, request, record, &answer);
	if (err == TL_OK || err == TL_STORAGE || tl_err_is_refusal(err)) {
		const struct tl_outcome outcome = {
			.route = record->route,
			.user = record->user,
			.device = record->device,
			.op = request->name,
			.err = err,
			.why = answer.why.text,
			.fields = tl_pack_bytes(&answer.fields),
			.field_count = answer.field_count,
		};
		err = tl_transaction_tell(txn, &outcome);
	}
	tl_answer_fini(&answer);
	return err;
}
