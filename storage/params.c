#include "params.h"

#include "id.h"
#include "msgpack_reader.h"
#include "records.h"

#include <inttypes.h>

enum { DURATION_MAX = 20 }; /* bytes of a duration in a request */

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit durations[] = {{"ms", 1},        {"s", 1000},      {"m", 60000},
                                        {"h", 3600000},   {"d", 86400000},  {NULL, 0}};
static const struct unit sizes[] = {{"", 1},          {"k", 1024},      {"m", 1048576}, {"g", 1073741824},
                                    {"K", 1024},      {"M", 1048576},   {"G", 1073741824}, {NULL, 0}};

bool tl_number_parse(struct tl_slice text, uint64_t *number_out)
{
	const char *p = text.ptr;
	uint64_t number = 0;
	for (size_t i = 0; i < text.len; i++)
		if (p[i] < '0' || p[i] > '9' || __builtin_mul_overflow(number, 10, &number) ||
		    __builtin_add_overflow(number, (uint64_t)(p[i] - '0'), &number))
			return false;
	*number_out = number;
	return text.len > 0;
}

bool tl_cursor_numbers(struct tl_slice text, size_t count, uint64_t *numbers_out)
{
	for (size_t i = 0; i < count; i++) {
		const char *begin = text.ptr, *dot = memchr(begin, '.', text.len);
		size_t len = dot ? (size_t)(dot - begin) : text.len;
		bool last = i + 1 == count;
		if (last == (dot != NULL) || !tl_number_parse(tl_slice(begin, len), &numbers_out[i]))
			return false;
		text = last ? tl_slice("", 0) : tl_slice(dot + 1, text.len - len - 1);
	}
	return true;
}

static bool parse_quantity(struct tl_slice text, const struct unit *units, uint64_t *value_out)
{
	const char *p = text.ptr;
	uint64_t number;
	size_t digits = 0;

	while (digits < text.len && p[digits] >= '0' && p[digits] <= '9')
		digits++;
	if (!tl_number_parse(tl_slice(p, digits), &number))
		return false;
	struct tl_slice unit = tl_slice(p + digits, text.len - digits);
	for (; units->name; units++)
		if (tl_slice_equal(unit, tl_slice_str(units->name)))
			return !__builtin_mul_overflow(number, units->factor, value_out);
	return false;
}

bool tl_duration_parse(struct tl_slice text, uint64_t *ms_out)
{
	if (tl_slice_equal(text, tl_slice_str("0"))) {
		*ms_out = 0;
		return true;
	}
	return parse_quantity(text, durations, ms_out);
}

bool tl_size_parse(struct tl_slice text, uint64_t *bytes_out)
{
	return parse_quantity(text, sizes, bytes_out);
}

static bool has_control(struct tl_slice text)
{
	const unsigned char *p = text.ptr;
	for (size_t i = 0; i < text.len; i++)
		if (p[i] < 0x20 || p[i] == 0x7f)
			return true;
	return false;
}

static enum tl_err wrong(struct tl_why *why, const struct tl_param *param, const char *what)
{
	return tl_fail(why, TL_BAD_REQUEST, "'%s' %s", param->key, what);
}

static enum tl_err parse_uint(const struct tl_param *param, struct tl_reader *reader, struct tl_arg *arg,
                              struct tl_why *why)
{
	if (!tl_reader_uint(reader, &arg->uint))
		return wrong(why, param, "must be a whole number, not negative");
	if (arg->uint < param->min || arg->uint > param->max)
		return tl_fail(why, TL_BAD_REQUEST, "'%s' must be within %" PRIu64 " and %" PRIu64, param->key, param->min,
		               param->max);
	return TL_OK;
}

static enum tl_err parse_choice(const struct tl_param *param, struct tl_arg *arg, struct tl_why *why)
{
	int index = tl_choice(param->choices, arg->bytes);
	if (index >= 0) {
		arg->uint = (uint64_t)index;
		return TL_OK;
	}
	char list[128] = "";
	for (int i = 0; param->choices[i]; i++) {
		strncat(list, i ? ", " : "", sizeof list - strlen(list) - 1);
		strncat(list, param->choices[i], sizeof list - strlen(list) - 1);
	}
	return tl_fail(why, TL_BAD_REQUEST, "'%s' must be one of: %s", param->key, list);
}

static bool cid_valid(struct tl_slice cid, bool direct_too)
{
	struct tl_slice first, second;
	if (tl_id_is_direct(cid))
		return direct_too && tl_direct_id_parse(cid, &first, &second);
	return tl_id_valid(cid, TL_ID_MAX);
}

/* What stands before the first slash. */
static struct tl_slice place_of(struct tl_slice cursor)
{
	const char *slash = memchr(cursor.ptr, '/', cursor.len);
	return slash ? tl_slice(cursor.ptr, (size_t)(slash - (const char *)cursor.ptr)) : cursor;
}

static enum tl_err parse_text(const struct tl_param *param, struct tl_reader *reader, struct tl_arg *arg,
                              struct tl_why *why)
{
	if (!tl_reader_str(reader, &arg->bytes))
		return wrong(why, param, "must be a string");
	switch (param->type) {
	case TL_PARAM_CID:
	case TL_PARAM_NEW_CID:
		if (!cid_valid(arg->bytes, param->type == TL_PARAM_CID))
			return wrong(why, param, "is no valid conversation id");
		return TL_OK;
	case TL_PARAM_UID:
		return tl_uid_valid(arg->bytes) ? TL_OK : wrong(why, param, "is no valid user id");
	case TL_PARAM_CHOICE:
		return parse_choice(param, arg, why);
	case TL_PARAM_DURATION:
		if (arg->bytes.len > DURATION_MAX || !tl_duration_parse(arg->bytes, &arg->uint))
			return wrong(why, param, "must be a duration such as \"90d\"");
		return arg->uint == 0 || arg->uint >= param->min ? TL_OK : wrong(why, param, "is too short");
	case TL_PARAM_CURSOR:
		arg->bytes = place_of(arg->bytes);
		/* fall through */
	default:
		if (arg->bytes.len < param->min || arg->bytes.len > param->max || has_control(arg->bytes))
			return tl_fail(why, TL_BAD_REQUEST,
			               "'%s' must be %" PRIu64 " to %" PRIu64 " bytes without control characters", param->key,
			               param->min, param->max);
		return TL_OK;
	}
}

static enum tl_err parse_uids(const struct tl_param *param, struct tl_reader *reader, struct tl_arg *arg,
                              struct tl_why *why)
{
	uint32_t count;
	struct tl_slice uid;
	if (!tl_reader_array(reader, &count))
		return wrong(why, param, "must be an array of user ids");
	if (count > param->max)
		return tl_fail(why, TL_BAD_REQUEST, "'%s' has more than %" PRIu64 " elements", param->key, param->max);
	const unsigned char *begin = reader->next;
	for (uint32_t i = 0; i < count; i++)
		if (!tl_reader_str(reader, &uid) || !tl_uid_valid(uid))
			return tl_fail(why, TL_BAD_REQUEST, "'%s' element %" PRIu32 " is no valid user id", param->key, i + 1);
	arg->uint = count;
	arg->bytes = tl_slice(begin, (size_t)(reader->next - begin));
	return TL_OK;
}

static enum tl_err parse_uints(const struct tl_param *param, struct tl_reader *reader, struct tl_arg *arg,
                               struct tl_why *why)
{
	uint32_t count;
	uint64_t number;
	if (!tl_reader_array(reader, &count) || count > param->max)
		return tl_fail(why, TL_BAD_REQUEST, "'%s' must be an array of at most %" PRIu64 " numbers", param->key,
		               param->max);
	const unsigned char *begin = reader->next;
	for (uint32_t i = 0; i < count; i++)
		if (!tl_reader_uint(reader, &number) || number == 0)
			return tl_fail(why, TL_BAD_REQUEST, "'%s' element %" PRIu32 " is no whole number above 0", param->key,
			               i + 1);
	arg->uint = count;
	arg->bytes = tl_slice(begin, (size_t)(reader->next - begin));
	return TL_OK;
}

static enum tl_err parse_bool(const struct tl_param *param, struct tl_reader *reader, struct tl_arg *arg,
                              struct tl_why *why)
{
	bool value;
	if (!tl_reader_bool(reader, &value))
		return wrong(why, param, "must be true or false");
	arg->uint = value;
	return TL_OK;
}

static enum tl_err parse_body(const struct tl_param *param, struct tl_reader *reader, struct tl_arg *arg,
                              struct tl_why *why)
{
	if (!tl_reader_str(reader, &arg->bytes) && !tl_reader_bin(reader, &arg->bytes))
		return wrong(why, param, "must be a string or binary");
	return TL_OK;
}

static enum tl_err parse_one(const struct tl_param *param, struct tl_reader reader, struct tl_arg *arg,
                             struct tl_why *why)
{
	arg->given = true;
	switch (param->type) {
	case TL_PARAM_UINT:
		return parse_uint(param, &reader, arg, why);
	case TL_PARAM_BOOL:
		return parse_bool(param, &reader, arg, why);
	case TL_PARAM_UIDS:
		return parse_uids(param, &reader, arg, why);
	case TL_PARAM_UINTS:
		return parse_uints(param, &reader, arg, why);
	case TL_PARAM_BODY:
		return parse_body(param, &reader, arg, why);
	default:
		return parse_text(param, &reader, arg, why);
	}
}

enum tl_err tl_params_parse(const struct tl_param *params, struct tl_slice args, struct tl_arg *args_out,
                            struct tl_why *why)
{
	for (size_t i = 0; params[i].key; i++) {
		struct tl_reader reader;
		args_out[i] = (struct tl_arg){0};
		if (!tl_msgpack_find(args, params[i].key, &reader)) {
			if (params[i].required)
				return wrong(why, &params[i], "is missing");
			continue;
		}
		enum tl_err err = parse_one(&params[i], reader, &args_out[i], why);
		if (err != TL_OK)
			return err;
	}
	return TL_OK;
}
