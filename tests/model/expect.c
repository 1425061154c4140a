#include "expect.h"

#include "check.h"

#include <stdio.h>

/* --- events --- */

void expect_users(struct tl_slice map, const char *key, const unsigned *users, unsigned count)
{
	struct list list = get_list(map, key);
	struct tl_slice element;
	CHECK(list.left == count);
	for (unsigned i = 0; list_next(&list, &element); i++)
		CHECK(equals(as_str(element), user_name(users[i]).text));
}

/* Just these entries; one that the request has named twice may be there twice. */
static void expect_cseqs(struct tl_slice map, const struct event *event)
{
	struct list list = get_list(map, "cseqs");
	struct tl_slice element;
	unsigned found = 0;
	while (list_next(&list, &element)) {
		unsigned i = 0;
		while (i < event->cseq_count && event->cseqs[i] != as_uint(element))
			i++;
		CHECK(i < event->cseq_count);
		found |= 1U << i;
	}
	CHECK(found == (1U << event->cseq_count) - 1);
}

static uint32_t expect_settings(struct tl_slice map, const struct op *op, unsigned changed)
{
	for (unsigned i = 0; i < SETTINGS; i++)
		if (changed >> i & 1)
			CHECK(equals(get_str(map, setting_keys[i]), setting_texts[i][op->values[i]]));
	return (uint32_t)__builtin_popcount(changed);
}

static uint32_t expect_flags(struct tl_slice map, const struct op *op, unsigned changed)
{
	if (changed & FLAG_MUTE)
		CHECK(get_bool(map, "mute") == ((op->flags & FLAG_MUTE) != 0));
	if (changed & FLAG_PIN)
		CHECK(get_bool(map, "pin") == ((op->flags & FLAG_PIN) != 0));
	return (uint32_t)__builtin_popcount(changed);
}

static uint32_t expect_deletion(struct tl_slice map, const struct op *op, const struct event *event)
{
	if (op->all) {
		CHECK(get_bool(map, "all") && get_uint(map, "cseq") == event->cseq);
		return 2;
	}
	expect_cseqs(map, event);
	return 1;
}

/* What the kind of event says beside who did it to whom; answers how many pairs that are. */
static uint32_t expect_details(struct tl_slice map, const struct op *op, const struct event *event)
{
	switch (op->kind) {
	case OP_CREATE:
	case OP_UPDATE:
		return expect_settings(map, op, event->changed);
	case OP_ROLE:
		CHECK(equals(get_str(map, "role"), role_texts[op->role]));
		return 1;
	case OP_LEAVE:
		if (event->owner != NOBODY)
			CHECK(equals(get_str(map, "owner"), user_name((unsigned)event->owner).text));
		return event->owner != NOBODY;
	case OP_SET:
		return expect_flags(map, op, event->changed);
	case OP_DELETE:
		return expect_deletion(map, op, event);
	case OP_BLOCK:
		CHECK(get_bool(map, "on") == (op->has_on ? op->on : true));
		return 1;
	case OP_READ:
	case OP_RECALL:
	case OP_EDIT:
		CHECK(get_uint(map, "cseq") == event->cseq);
		return 1;
	default:
		return 0;
	}
}

static bool names_users(enum op_kind kind)
{
	return kind == OP_CREATE || kind == OP_ROLE || kind == OP_JOIN || kind == OP_LEAVE || kind == OP_ADD ||
	       kind == OP_REMOVE || kind == OP_BLOCK;
}

/* The event apart from an edit's body; answers how many pairs it must have. */
static uint32_t expect_event(struct tl_slice map, const struct op *op, const struct event *event)
{
	CHECK(equals(get_str(map, "kind"), op_names[op->kind]));
	CHECK(equals(get_str(map, "by"), user_name(event->by).text));
	if (names_users(op->kind))
		expect_users(map, "users", event->users, event->user_count);
	return 2 + names_users(op->kind) + expect_details(map, op, event);
}

/* The body that an edit has set stands in its event until the next edit or a recall, for those who can see the message
 * itself. */
static void expect_edit(const struct conversation *c, const struct shown *shown, const struct entry *entry, bool body)
{
	enum fate fate = model_fate(c, model_entry(c, entry->event.cseq), shown->now);
	bool shows = model_shows_edit(c, shown->user, entry);
	CHECK(body ? shows && fate != FATE_EXPIRED : !shows || fate != FATE_KEPT);
}

static void expect_entry_event(const struct model *model, const struct shown *shown, struct tl_slice message)
{
	const struct conversation *c = &model->conversations[shown->conversation];
	const struct entry *entry = model_entry(c, shown->cseq);
	const struct op *op = &model->ops[entry->n];
	struct tl_slice map = get_map(message, "event");
	uint32_t pairs = expect_event(map, op, &entry->event);
	bool body = has(map, "body"), edit = op->kind == OP_EDIT && !shown->preview;
	if (edit && !shown->lagging)
		expect_edit(c, shown, entry, body);
	CHECK(edit || !body);
	if (body)
		CHECK(tl_slice_equal(get_bin(map, "body"), body_bytes(&op->body)));
	CHECK(pair_count(map) == pairs + body);
}

/* --- messages --- */

/* The longest part that ends with a whole character. */
static size_t preview_len(const struct body *body)
{
	char digits[24];
	size_t begin = (size_t)snprintf(digits, sizeof digits, "%llu:", (unsigned long long)body->n);
	if (body->len <= PREVIEW_BYTES)
		return body->len;
	return body->n % 4 == 0 ? begin + (PREVIEW_BYTES - begin) / 3 * 3 : PREVIEW_BYTES;
}

static bool is_version(struct tl_slice shown, const struct body *body, bool preview)
{
	return tl_slice_equal(shown, tl_slice(body_bytes(body).ptr, preview ? preview_len(body) : body->len));
}

/* The body is the last version, or if the store lags behind, any; edited unless it is the first. */
static void expect_body(const struct entry *entry, const struct shown *shown, struct tl_slice message)
{
	struct tl_slice body = get_bin(message, "body");
	bool edited = has(message, "edited");
	for (size_t i = shown->lagging ? 0 : entry->version_count - 1; i < entry->version_count; i++)
		if (edited == (i > 0) && is_version(body, &entry->versions[i], shown->preview))
			return;
	FAIL("the body is one that it has had");
}

static uint32_t expect_extras(const struct op *op, struct tl_slice message)
{
	struct tl_slice props;
	if (op->has_ctype)
		CHECK(equals(get_str(message, "ctype"), op_ctype(op)));
	if (op->has_props) {
		props = get_map(message, "props");
		CHECK(pair_count(props) == 1 && equals(get_str(props, "k"), op_prop(op).text));
	}
	return op->has_ctype + op->has_props;
}

/* What a message has beside the pairs that every entry has; answers how many pairs that are. */
static uint32_t expect_message(const struct entry *entry, const struct op *op, const struct shown *shown,
                               struct tl_slice message)
{
	CHECK(equals(get_str(message, "type"), op_type(op)));
	CHECK(op->id == NONE ? memcmp(get_str(message, "id").ptr, "s-", 2) == 0
	                     : equals(get_str(message, "id"), id_name(op->id).text));
	if (op->has_order)
		CHECK(get_uint(message, "order") == op->order);
	if (op->has_time)
		CHECK(get_uint(message, "time") == op->n);
	uint32_t pairs = 0U + op->has_order + op->has_time;
	if (has(message, "gone")) {
		CHECK(equals(get_str(message, "gone"), "recalled") && entry->recalled);
		return pairs + 1;
	}
	CHECK(!entry->recalled || shown->lagging);
	expect_body(entry, shown, message);
	return pairs + 1 + has(message, "edited") + expect_extras(op, message);
}

/* --- entries --- */

static uint32_t expect_place(const struct model *model, uint64_t seq, int conversation, uint64_t cseq,
                             struct tl_slice message)
{
	if (seq > 0)
		CHECK(get_uint(message, "seq") == seq);
	if (conversation != NOWHERE)
		CHECK(equals(get_str(message, "conv"), model->conversations[conversation].cid));
	if (cseq > 0)
		CHECK(get_uint(message, "cseq") == cseq);
	return 0U + (seq > 0) + (conversation != NOWHERE) + (cseq > 0);
}

static uint32_t expect_origin(const struct op *op, uint64_t ts, struct tl_slice message)
{
	CHECK(get_uint(message, "ts") == ts);
	CHECK(equals(get_str(message, "from"), user_name(op->user).text));
	CHECK(equals(get_str(message, "device"), device_name(op->device).text));
	CHECK(get_str(message, "id").len >= 2 && get_str(message, "type").len > 0);
	return 5;
}

static bool is_gone(struct tl_slice message, const char *why)
{
	return has(message, "gone") && equals(get_str(message, "gone"), why);
}

/* Whether it is shown as expired, in an inbox, and rightly so. */
static bool expect_expired(const struct model *model, const struct shown *shown, struct tl_slice message)
{
	const struct conversation *c = &model->conversations[shown->conversation];
	const struct entry *entry = model_entry(c, shown->cseq);
	enum fate fate = model_fate(c, entry, shown->now);
	if (shown->seq > 0 && model_expired(entry->ts, model->limits.inbox_ttl_ms, shown->now))
		fate = FATE_EXPIRED;
	bool is_shown = is_gone(message, "expired");
	CHECK(!is_shown || (fate != FATE_KEPT && shown->seq > 0));
	CHECK(is_shown || fate != FATE_EXPIRED || shown->lagging || (shown->seq > 0 && is_gone(message, "deleted")));
	return is_shown;
}

/* Whether it is shown as deleted, and rightly so. */
static bool expect_deleted(const struct model *model, const struct shown *shown, struct tl_slice message)
{
	bool deleted = model_deleted(&model->conversations[shown->conversation], shown->user, shown->cseq);
	bool is_shown = is_gone(message, "deleted");
	CHECK(is_shown == deleted || (deleted && shown->lagging));
	return is_shown;
}

void expect_entry(const struct model *model, const struct shown *shown, struct tl_slice message)
{
	const struct conversation *c = &model->conversations[shown->conversation];
	CHECK(shown->cseq > 0 && shown->cseq <= c->count);
	const struct entry *entry = model_entry(c, shown->cseq);
	const struct op *op = &model->ops[entry->n];
	uint32_t pairs = expect_place(model, shown->seq, shown->conversation, shown->cseq, message);
	if (expect_expired(model, shown, message) || expect_deleted(model, shown, message)) {
		CHECK(pair_count(message) == pairs + 1);
		return;
	}
	pairs += expect_origin(op, entry->ts, message);
	if (model_is_message(entry)) {
		pairs += expect_message(entry, op, shown, message);
	} else {
		CHECK(equals(get_str(message, "type"), "event"));
		expect_entry_event(model, shown, message);
		pairs++;
	}
	CHECK(pair_count(message) == pairs);
}

void expect_private(const struct model *model, uint64_t seq, const struct private *private, struct tl_slice message)
{
	const struct op *op = &model->ops[private->n];
	uint32_t pairs = expect_place(model, seq, private->conversation, 0, message) + expect_origin(op, op->ts, message);
	CHECK(equals(get_str(message, "type"), "event"));
	struct tl_slice map = get_map(message, "event");
	CHECK(pair_count(map) == expect_event(map, op, &private->event));
	CHECK(pair_count(message) == pairs + 1);
}

/* --- info --- */

static uint32_t expect_setting(const struct info *info, enum setting setting, struct tl_slice answer)
{
	CHECK(equals(get_str(answer, setting_keys[setting]), setting_texts[setting][info->settings[setting]]));
	return 1;
}

void expect_info(const struct model *model, const struct info *info, struct tl_slice answer)
{
	const char *cid = model->conversations[info->conversation].cid;
	uint32_t pairs = 5; /* conv, kind, index, head, count */
	CHECK(cid[0] == '\0' || equals(get_str(answer, "conv"), cid));
	CHECK(equals(get_str(answer, "kind"), kind_texts[info->kind]));
	CHECK(get_bool(answer, "index"));
	CHECK(get_uint(answer, "head") == info->head && get_uint(answer, "count") == info->count);
	pairs += expect_setting(info, SETTING_HISTORY, answer) + expect_setting(info, SETTING_ORDER, answer) +
	         expect_setting(info, SETTING_FANOUT, answer);
	if (info->kind != KIND_DIRECT) {
		pairs += expect_setting(info, SETTING_JOIN, answer) + expect_setting(info, SETTING_POST, answer);
		CHECK(equals(get_str(answer, "owner"), user_name(info->owner).text));
		pairs++;
	}
	if (info->settings[SETTING_NAME] > 0)
		pairs += expect_setting(info, SETTING_NAME, answer);
	if (info->settings[SETTING_RETENTION] > 0)
		pairs += expect_setting(info, SETTING_RETENTION, answer);
	CHECK(pair_count(answer) == pairs);
}
