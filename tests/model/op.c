#include "op.h"

#include "check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define BYTES_64 "A name of two hundred and fifty-six bytes, not one more than is "
#define LONG_NAME BYTES_64 BYTES_64 BYTES_64 BYTES_64

_Static_assert(sizeof LONG_NAME - 1 == 256, "as long as a name can be");

const char *const op_names[OP_KINDS] = {"send", "create", "update", "role",   "dissolve", "join",   "leave", "add",
                                        "remove", "read", "set",    "delete", "block",    "recall", "edit"};
const char *const setting_keys[SETTINGS] = {"name", "history", "join", "post", "order", "fanout", "retention"};
const char *const setting_texts[SETTINGS][4] = {
	{"", "Team", "Stra\xc3\x9f" "e", LONG_NAME},
	{"all", "joined"},
	{"invite", "open"},
	{"members", "admins"},
	{"server", "custom"},
	{"auto", "write", "read"},
	{"0", "90d", "12h", "15s"},
};
const char *const kind_texts[] = {"group", "channel", "direct"};
const char *const role_texts[] = {"member", "admin", "muted", "owner"};

/* --- names --- */

struct name user_name(unsigned user)
{
	struct name name;
	snprintf(name.text, sizeof name.text, "u%02u", user);
	return name;
}

struct name device_name(unsigned device)
{
	struct name name;
	snprintf(name.text, sizeof name.text, "phone%u", device);
	return name;
}

struct name id_name(int id)
{
	struct name name;
	snprintf(name.text, sizeof name.text, "i%d", id);
	return name;
}

bool is_direct(int conversation)
{
	return conversation >= 0 && conversation < DIRECTS;
}

void pair_of(int conversation, unsigned *first, unsigned *second)
{
	unsigned i = 0, rest = (unsigned)conversation;
	for (; rest >= USERS - i; i++)
		rest -= USERS - i;
	*first = i;
	*second = i + rest;
}

int index_of_pair(unsigned one, unsigned other)
{
	unsigned first = one < other ? one : other, index = 0;
	for (unsigned i = 0; i < first; i++)
		index += USERS - i;
	return (int)(index + (one < other ? other : one) - first);
}

unsigned other_of(int conversation, unsigned user)
{
	unsigned first, second;
	pair_of(conversation, &first, &second);
	return user == first ? second : first;
}

/* --- messages --- */

static void fill(const struct body *body, char *out)
{
	static const char wide[] = "\xe4\xb8\xad";
	char digits[24];
	size_t len = (size_t)snprintf(digits, sizeof digits, "%" PRIu64 ":", body->n);
	for (size_t i = 0; i < body->len; i++)
		if (i < len)
			out[i] = digits[i];
		else
			out[i] = body->n % 4 == 0 ? wide[(i - len) % 3] : (char)('a' + body->n % 26);
}

struct tl_slice body_bytes(const struct body *body)
{
	static char bytes[BODY_MAX];
	fill(body, bytes);
	return tl_slice(bytes, body->len);
}

bool body_equal(const struct body *a, const struct body *b)
{
	static char bytes[BODY_MAX];
	if (a->len != b->len)
		return false;
	fill(a, bytes);
	return memcmp(bytes, body_bytes(b).ptr, a->len) == 0;
}

const char *op_type(const struct op *op)
{
	return op->has_type ? "image" : "text";
}

const char *op_ctype(const struct op *op)
{
	return op->has_ctype ? "image/png" : "";
}

struct name op_prop(const struct op *op)
{
	struct name name;
	snprintf(name.text, sizeof name.text, "v%" PRIu64, op->n);
	return name;
}

/* --- requests --- */

/* A map that grows. */
struct args {
	struct tl_pack *pack;
	struct tl_pack_open open;
	uint32_t pairs;
};

static void key(struct args *args, const char *text)
{
	tl_pack_cstr(args->pack, text);
	args->pairs++;
}

static void pack_text(struct args *args, const char *name, const char *value)
{
	key(args, name);
	tl_pack_cstr(args->pack, value);
}

static void pack_flag(struct args *args, const char *name, bool value)
{
	key(args, name);
	tl_pack_bool(args->pack, value);
}

static void pack_users(struct args *args, const char *name, const struct op *op)
{
	key(args, name);
	tl_pack_array(args->pack, op->user_count);
	for (unsigned i = 0; i < op->user_count; i++)
		tl_pack_cstr(args->pack, user_name(op->users[i]).text);
}

static void pack_settings(struct args *args, const struct op *op)
{
	for (unsigned i = 0; i < SETTINGS; i++)
		if (op->given >> i & 1)
			pack_text(args, setting_keys[i], setting_texts[i][op->values[i]]);
}

static void pack_create(struct args *args, const struct op *op)
{
	pack_text(args, "kind", kind_texts[op->group_kind]);
	pack_users(args, "members", op);
	pack_settings(args, op);
	if (op->rid == NONE)
		return;
	key(args, "rid");
	tl_pack_uint(args->pack, (uint64_t)op->rid);
}

static void pack_delete(struct args *args, const struct op *op)
{
	if (op->all)
		pack_flag(args, "all", true);
	if (!op->has_cseqs)
		return;
	key(args, "cseqs");
	tl_pack_array(args->pack, (uint32_t)op->cseq_count);
	for (uint64_t i = 0; i < op->cseq_count; i++)
		tl_pack_uint(args->pack, op->cseqs[i]);
}

static void pack_place(struct args *args, const struct op *op)
{
	key(args, "cseq");
	tl_pack_uint(args->pack, op->cseq);
	if (op->kind != OP_EDIT)
		return;
	key(args, "body");
	tl_pack_bin(args->pack, body_bytes(&op->body));
}

static void pack_set(struct args *args, const struct op *op)
{
	if (op->flags_given & FLAG_MUTE)
		pack_flag(args, "mute", op->flags & FLAG_MUTE);
	if (op->flags_given & FLAG_PIN)
		pack_flag(args, "pin", op->flags & FLAG_PIN);
}

static void pack_block(struct args *args, const struct op *op)
{
	pack_text(args, "user", user_name(op->users[0]).text);
	if (op->has_on)
		pack_flag(args, "on", op->on);
}

static void pack_role(struct args *args, const struct op *op)
{
	pack_text(args, "user", user_name(op->users[0]).text);
	pack_text(args, "role", role_texts[op->role]);
}

static void pack_by_kind(struct args *args, const struct op *op)
{
	switch (op->kind) {
	case OP_CREATE:
		pack_create(args, op);
		break;
	case OP_UPDATE:
		pack_settings(args, op);
		break;
	case OP_ROLE:
		pack_role(args, op);
		break;
	case OP_ADD:
	case OP_REMOVE:
		pack_users(args, "users", op);
		break;
	case OP_READ:
	case OP_RECALL:
	case OP_EDIT:
		pack_place(args, op);
		break;
	case OP_SET:
		pack_set(args, op);
		break;
	case OP_DELETE:
		pack_delete(args, op);
		break;
	case OP_BLOCK:
		pack_block(args, op);
		break;
	default:
		break;
	}
}

void op_pack(struct tl_pack *pack, const struct op *op, const char *cid)
{
	struct args args = {.pack = pack, .open = tl_pack_map_begin(pack)};
	if (op->conversation != NOWHERE)
		pack_text(&args, "conv", cid);
	pack_by_kind(&args, op);
	tl_pack_map_end(pack, args.open, args.pairs);
	CHECK(!pack->failed);
}

bool op_same_create(const struct op *a, const struct op *b)
{
	struct tl_pack x, y;
	if (a->kind != OP_CREATE || b->kind != OP_CREATE || a->user != b->user || a->conversation != b->conversation)
		return false;
	tl_pack_init(&x);
	tl_pack_init(&y);
	op_pack(&x, a, "");
	op_pack(&y, b, "");
	bool same = tl_slice_equal(tl_pack_bytes(&x), tl_pack_bytes(&y));
	tl_pack_fini(&x);
	tl_pack_fini(&y);
	return same;
}

/* --- the log --- */

struct text {
	char *out;
	size_t size, len;
};

static void __attribute__((format(printf, 2, 3))) add(struct text *text, const char *format, ...)
{
	va_list list;
	va_start(list, format);
	int len = vsnprintf(text->out + text->len, text->size - text->len, format, list);
	va_end(list);
	if (len > 0)
		text->len += (size_t)len < text->size - text->len ? (size_t)len : text->size - text->len - 1;
}

static void describe_request(struct text *text, const struct op *op)
{
	for (unsigned i = 0; i < SETTINGS; i++)
		if (op->given >> i & 1)
			add(text, " %s=%.20s", setting_keys[i], setting_texts[i][op->values[i]]);
	if (op->kind == OP_CREATE)
		add(text, " %s rid=%d", kind_texts[op->group_kind], op->rid);
	for (unsigned i = 0; i < op->user_count; i++)
		add(text, "%s%s", i ? "," : " users=", user_name(op->users[i]).text);
	if (op->kind == OP_ROLE)
		add(text, " role=%s", role_texts[op->role]);
	if (op->kind == OP_READ || op->kind == OP_RECALL || op->kind == OP_EDIT)
		add(text, " cseq=%" PRIu64, op->cseq);
	for (uint64_t i = 0; i < op->cseq_count; i++)
		add(text, "%s%" PRIu64, i ? "," : " cseqs=", op->cseqs[i]);
	if (op->all)
		add(text, " all");
	if (op->kind == OP_SET)
		add(text, " given=%u flags=%u", op->flags_given, op->flags);
	if (op->has_on)
		add(text, " on=%d", op->on);
}

void op_describe(const struct op *op, const char *cid, char *out, size_t size)
{
	struct text text = {.out = out, .size = size};
	add(&text, "%" PRIu64 " ts=%" PRIu64 " %s/%s %s %s", op->n, op->ts, user_name(op->user).text,
	    device_name(op->device).text, op_names[op->kind], op->kind == OP_BLOCK ? "" : cid);
	describe_request(&text, op);
	if (op->kind == OP_SEND)
		add(&text, " id=%s%s", op->id == NONE ? "-" : id_name(op->id).text, op->by_uid ? " by uid" : "");
	if (op->has_order)
		add(&text, " order=%" PRIu64, op->order);
	if (op->kind == OP_SEND || op->kind == OP_EDIT)
		add(&text, " body=%" PRIu64 "/%" PRIu32, op->body.n, op->body.len);
}
