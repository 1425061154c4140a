#include "topic.h"

#include <stdbool.h>

static const struct {
	const char *word;
	enum tl_topic_kind kind;
} kinds[] = {
	{"conv", TL_TOPIC_CONV},     {"user", TL_TOPIC_USER},     {"req", TL_TOPIC_REQ},   {"signal", TL_TOPIC_SIGNAL},
	{"notify", TL_TOPIC_NOTIFY}, {"res", TL_TOPIC_RES},       {"live", TL_TOPIC_LIVE},
};

/* Cuts the first level off; what remains is without its slash. False where nothing remains to be cut. */
static bool cut_level(struct tl_slice *rest, struct tl_slice *level_out)
{
	const char *begin = rest->ptr;
	if (!begin)
		return false;
	const char *slash = memchr(begin, '/', rest->len);
	size_t len = slash ? (size_t)(slash - begin) : rest->len;
	*level_out = tl_slice(begin, len);
	*rest = slash ? tl_slice(slash + 1, rest->len - len - 1) : tl_slice(NULL, 0);
	return true;
}

static enum tl_topic_kind kind_of(struct tl_slice word)
{
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
		if (tl_slice_equal(tl_slice_str(kinds[i].word), word))
			return kinds[i].kind;
	return TL_TOPIC_UNKNOWN;
}

/* Which kinds may be followed by something, and by what. */
static enum tl_topic_kind check_tail(enum tl_topic_kind kind, bool has_tail, struct tl_slice tail)
{
	bool one_level = has_tail && tail.len > 0 && !memchr(tail.ptr, '/', tail.len);
	switch (kind) {
	case TL_TOPIC_CONV:
	case TL_TOPIC_USER:
	case TL_TOPIC_REQ:
		return !has_tail || one_level ? kind : TL_TOPIC_UNKNOWN;
	case TL_TOPIC_NOTIFY:
		if (!has_tail)
			return TL_TOPIC_NOTIFY;
		return tl_slice_equal(tail, tl_slice_str("json")) ? TL_TOPIC_NOTIFY_JSON : TL_TOPIC_UNKNOWN;
	case TL_TOPIC_RES:
		return has_tail ? TL_TOPIC_RES : TL_TOPIC_UNKNOWN;
	default:
		return has_tail ? TL_TOPIC_UNKNOWN : kind;
	}
}

struct tl_topic tl_topic_parse(struct tl_slice root, const char *topic)
{
	struct tl_topic parsed = {.kind = TL_TOPIC_OUTSIDE};
	struct tl_slice word;

	if (strncmp(topic, root.ptr, root.len) != 0 || (topic[root.len] != '/' && topic[root.len] != '\0'))
		return parsed;
	parsed.kind = TL_TOPIC_UNKNOWN;
	if (topic[root.len] == '\0')
		return parsed;
	struct tl_slice rest = tl_slice_str(topic + root.len + 1);
	if (!cut_level(&rest, &word) || !cut_level(&rest, &parsed.name) || parsed.name.len == 0)
		return parsed;
	parsed.tail = tl_slice(rest.ptr ? rest.ptr : "", rest.len);
	parsed.kind = check_tail(kind_of(word), rest.ptr != NULL, parsed.tail);
	return parsed;
}

bool tl_level_is_wildcard(struct tl_slice level)
{
	return level.len == 1 && (*(const char *)level.ptr == '+' || *(const char *)level.ptr == '#');
}

/* Matches the filter's first levels against the root's. What is left of the filter goes to *rest; *open is set where
 * wildcards made the match, *all where a '#' did. */
static bool match_root(struct tl_slice root, struct tl_slice *rest, bool *open, bool *all)
{
	struct tl_slice expected, level;
	while (cut_level(&root, &expected)) {
		if (!cut_level(rest, &level))
			return false;
		if (tl_slice_equal(level, tl_slice_str("#"))) {
			*open = *all = true;
			return true;
		}
		if (tl_slice_equal(level, tl_slice_str("+")))
			*open = true;
		else if (!tl_slice_equal(level, expected))
			return false;
	}
	return true;
}

/* $share/{group}/{filter} subscribes to the filter. */
static const char *without_share(const char *filter)
{
	if (strncmp(filter, "$share/", 7) != 0)
		return filter;
	const char *slash = strchr(filter + 7, '/');
	return slash ? slash + 1 : filter;
}

struct tl_filter tl_filter_parse(struct tl_slice root, const char *filter)
{
	struct tl_filter parsed = {.reach = TL_FILTER_OUTSIDE, .kind = TL_TOPIC_UNKNOWN, .plain = without_share(filter)};
	struct tl_slice rest = tl_slice_str(parsed.plain), word;
	bool open = false, all = false;

	if (!match_root(root, &rest, &open, &all))
		return parsed;
	parsed.reach = open ? TL_FILTER_ACROSS : TL_FILTER_INSIDE;
	if (all || !cut_level(&rest, &word) || tl_level_is_wildcard(word))
		return parsed;
	parsed.kind = kind_of(word);
	if (!cut_level(&rest, &parsed.name))
		parsed.name = tl_slice("", 0);
	parsed.tail = tl_slice(rest.ptr ? rest.ptr : "", rest.len);
	return parsed;
}
