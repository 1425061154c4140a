/* `search`: messages by text, sender, type and time, in one conversation or all of the user's, newest first.
 *
 * A cursor is the last place shown, or looked at: "<ts>.<conversation number>.<cseq>". */
#include "indexer.h"
#include "requests.h"
#include "search.h"

#include <inttypes.h>
#include <stdio.h>

enum { ARG_Q, ARG_CONV, ARG_FROM, ARG_TYPE, ARG_SINCE, ARG_UNTIL, ARG_LIMIT, ARG_CURSOR };

const struct tl_param tl_search_params[] = {
	[ARG_Q] = {.key = "q", .type = TL_PARAM_BODY},
	[ARG_CONV] = {.key = "conv", .type = TL_PARAM_CID},
	[ARG_FROM] = {.key = "from", .type = TL_PARAM_UID},
	[ARG_TYPE] = {.key = "type", .type = TL_PARAM_STR, .min = 1, .max = TL_TYPE_MAX},
	[ARG_SINCE] = {.key = "since", .type = TL_PARAM_UINT, .max = UINT64_MAX},
	[ARG_UNTIL] = {.key = "until", .type = TL_PARAM_UINT, .max = UINT64_MAX},
	[ARG_LIMIT] = {.key = "limit", .type = TL_PARAM_UINT, .min = 1, .max = TL_SEARCH_PAGE_MAX},
	[ARG_CURSOR] = {.key = "cursor", .type = TL_PARAM_CURSOR, .min = 1, .max = 64},
	{.key = NULL},
};

static bool is_blank(struct tl_slice text)
{
	const char *p = text.ptr;
	for (size_t i = 0; i < text.len; i++)
		if (p[i] != ' ' && p[i] != '\t' && p[i] != '\n' && p[i] != '\r')
			return false;
	return true;
}

static enum tl_err parse_cursor(const struct tl_arg *cursor, struct tl_search_options *options, struct tl_why *why)
{
	uint64_t numbers[3];
	options->has_start = cursor->given;
	if (!cursor->given)
		return TL_OK;
	if (!tl_cursor_numbers(cursor->bytes, 3, numbers) || numbers[0] == 0 || numbers[1] == 0 || numbers[2] == 0)
		return tl_fail(why, TL_BAD_REQUEST, "'cursor' is none of this request's");
	options->start = (struct tl_search_place){numbers[0], numbers[1], numbers[2]};
	return TL_OK;
}

/* --- the page --- */

static void answer_cursor(struct tl_answer *answer, const struct tl_call *call, const struct tl_search_place *place)
{
	char cursor[64];
	int len = snprintf(cursor, sizeof cursor, "%" PRIu64 ".%" PRIu64 ".%" PRIu64, place->ts, place->conversation_no,
	                   place->cseq);
	tl_answer_cursor(answer, call, tl_slice(cursor, (size_t)len));
}

static void pack_highlights(struct tl_pack *pack, const struct tl_search_hit *hit)
{
	tl_pack_cstr(pack, "highlights");
	tl_pack_array(pack, (uint32_t)hit->range_count);
	for (size_t i = 0; i < hit->range_count; i++) {
		tl_pack_array(pack, 2);
		tl_pack_uint(pack, hit->ranges[i].from);
		tl_pack_uint(pack, hit->ranges[i].to);
	}
}

/* Packs a hit of a text, which is never an event, with what of its body matched. */
static enum tl_err show_highlighted(const struct tl_search_hit *hit, struct tl_pack *out)
{
	struct tl_pack more;
	tl_pack_init(&more);
	pack_highlights(&more, hit);
	bool ok = tl_message_show_more(out, 0, hit->visibility->conversation.cid, hit->place.cseq, hit->message,
	                               tl_pack_bytes(&more), 1);
	bool failed = more.failed;
	tl_pack_fini(&more);
	return failed ? TL_NO_MEMORY : ok ? TL_OK : TL_CORRUPT;
}

static enum tl_err pack_hit(const struct tl_search_hit *hit, bool with_highlights, struct tl_pack *out)
{
	return with_highlights ? show_highlighted(hit, out)
	                       : tl_visibility_show(hit->visibility, 0, hit->place.cseq, hit->message, out);
}

/* Shows a hit, unless it cannot be told how the user sees it (search.h, H4). TL_TOO_LARGE: the page has no room for it. */
static enum tl_err show(const struct tl_call *call, struct tl_answer *answer, const struct tl_search_hit *hit,
                        bool with_highlights, uint32_t *count, size_t *bytes)
{
	size_t before = answer->fields.buffer.size;
	enum tl_err err = pack_hit(hit, with_highlights, &answer->fields);
	if (err == TL_OK) {
		*bytes += tl_answer_weight(call, answer, before);
		if (*count == 0 || *bytes <= TL_PAGE_BYTES) {
			++*count;
			return TL_OK;
		}
		err = TL_TOO_LARGE;
	}
	answer->fields.buffer.size = before;
	return err == TL_CORRUPT ? TL_OK : err;
}

/* Puts the page's messages; *more_out and *place: where the next page begins, if there is one. */
static enum tl_err fill(struct tl_search *search, const struct tl_call *call, struct tl_answer *answer, bool highlights,
                        bool *more_out, struct tl_search_place *place)
{
	uint64_t limit = tl_arg_uint(&call->args[ARG_LIMIT], TL_SEARCH_PAGE_DEFAULT);
	struct tl_search_place reached;
	struct tl_search_hit hit;
	uint32_t count = 0;
	size_t bytes = 0;
	enum tl_err err;
	tl_pack_cstr(&answer->fields, "messages");
	answer->field_count++;
	struct tl_pack_open messages = tl_pack_array_begin(&answer->fields);
	while ((err = tl_search_next(search, &hit, &reached)) == TL_OK && count < limit) {
		if ((err = show(call, answer, &hit, highlights, &count, &bytes)) != TL_OK)
			break;
		*place = hit.place;
	}
	tl_pack_array_end(&answer->fields, messages, count);
	*more_out = err != TL_END;
	if (err == TL_RATE_LIMITED)
		*place = reached;
	return err == TL_END || err == TL_RATE_LIMITED || err == TL_TOO_LARGE ? TL_OK : err;
}

static void answer_nothing(struct tl_answer *answer)
{
	tl_pack_cstr(&answer->fields, "messages");
	tl_pack_array(&answer->fields, 0);
	answer->field_count++;
}

static enum tl_err add_conversations(struct tl_search *search, const struct tl_search_options *options,
                                     const struct tl_arg *conv)
{
	uint64_t no;
	if (!conv->given)
		return tl_search_add_all(search);
	enum tl_err err = tl_conversation_no(options->engine, options->snapshot, conv->bytes, &no);
	if (err == TL_OK)
		err = tl_search_add(search, no);
	return err == TL_NOT_FOUND ? TL_NOT_MEMBER : err;
}

static enum tl_err answer_page(const struct tl_reading *reading, const struct tl_call *call,
                               const struct tl_search_options *options, struct tl_answer *answer)
{
	struct tl_search *search;
	struct tl_search_place place = {0};
	bool more = false;
	enum tl_err err = tl_search_new(options, &search);
	if (err != TL_OK)
		return err;
	err = add_conversations(search, options, &call->args[ARG_CONV]);
	if (err == TL_OK && options->query && tl_query_is_empty(options->query))
		answer_nothing(answer); /* punctuation is not found */
	else if (err == TL_OK)
		err = fill(search, call, answer, options->query != NULL, &more, &place);
	if (err == TL_OK && more)
		answer_cursor(answer, call, &place);
	answer->damaged = tl_search_unreadable(search);
	if (tl_search_damaged(search) > 0)
		tl_indexer_damaged(reading->indexer, tl_search_damaged(search));
	tl_search_free(search);
	return err;
}

static enum tl_err search_snapshot(const struct tl_reading *reading, const struct tl_call *call,
                                   struct tl_search_options *options, struct tl_answer *answer)
{
	struct tl_snapshot *snapshot;
	enum tl_err err = tl_snapshot_new(options->engine, &snapshot);
	if (err != TL_OK)
		return err;
	options->snapshot = snapshot;
	err = tl_user_no(options->engine, snapshot, call->user, &options->user_no);
	if (err == TL_OK)
		err = answer_page(reading, call, options, answer);
	else if (err == TL_NOT_FOUND && call->args[ARG_CONV].given)
		err = TL_NOT_MEMBER;
	else if (err == TL_NOT_FOUND) {
		answer_nothing(answer);
		err = TL_OK;
	}
	tl_snapshot_free(snapshot);
	return err;
}

enum tl_err tl_search(const struct tl_reading *reading, const struct tl_call *call, struct tl_answer *answer)
{
	const struct tl_arg *args = call->args;
	struct tl_query *query = NULL;
	struct tl_search_options options = {
		.engine = reading->database->engine,
		.from = args[ARG_FROM].bytes,
		.type = args[ARG_TYPE].bytes,
		.since = args[ARG_SINCE].uint,
		.until = tl_arg_uint(&args[ARG_UNTIL], UINT64_MAX),
		.limits = reading->limits,
		.now = call->now,
	};
	if (!reading->limits->search)
		return tl_fail(&answer->why, TL_UNKNOWN_OP, "this server is not set up to search");
	enum tl_err err = parse_cursor(&args[ARG_CURSOR], &options, &answer->why);
	if (err == TL_OK && !is_blank(args[ARG_Q].bytes))
		err = tl_query_parse(args[ARG_Q].bytes, &query, &answer->why);
	options.query = query;
	if (err == TL_OK)
		err = search_snapshot(reading, call, &options, answer);
	tl_query_free(query);
	return err;
}
