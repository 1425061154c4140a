/* The topics under the root, taken apart. No state; any thread. */
#ifndef TL_TOPIC_H
#define TL_TOPIC_H

#include "slice.h"

enum tl_topic_kind {
	TL_TOPIC_OUTSIDE,     /* not under the root: none of our business */
	TL_TOPIC_UNKNOWN,     /* under the root, but nothing that exists */
	TL_TOPIC_CONV,        /* conv/{name} or conv/{name}/{tail}: name is a cid, tail a message id */
	TL_TOPIC_USER,        /* user/{name} or user/{name}/{tail}: name is a uid, tail a message id */
	TL_TOPIC_REQ,         /* req/{name} or req/{name}/{tail}: name is an op, tail a tag */
	TL_TOPIC_SIGNAL,      /* signal/{name}: name is a cid */
	TL_TOPIC_NOTIFY,      /* notify/{name}: name is a uid */
	TL_TOPIC_NOTIFY_JSON, /* notify/{name}/json */
	TL_TOPIC_RES,         /* res/{name}/…: name is a device */
	TL_TOPIC_LIVE,        /* live/{name}: name is a cid */
};

struct tl_topic {
	enum tl_topic_kind kind;
	struct tl_slice name; /* parts of the topic that was parsed */
	struct tl_slice tail; /* what follows the name; empty if nothing does */
};

/* Takes a topic name (no filter) apart. `root` has neither leading nor trailing slash. */
struct tl_topic tl_topic_parse(struct tl_slice root, const char *topic);

/* Whether a level of a filter is a wildcard. */
bool tl_level_is_wildcard(struct tl_slice level);

/* What a subscription filter can match. */
enum tl_filter_reach {
	TL_FILTER_OUTSIDE, /* nothing under the root */
	TL_FILTER_ACROSS,  /* things under the root and others */
	TL_FILTER_INSIDE,  /* only things under the root */
};

struct tl_filter {
	enum tl_filter_reach reach;
	enum tl_topic_kind kind; /* INSIDE: what it is about; UNKNOWN where wildcards leave that open */
	struct tl_slice name;    /* INSIDE and about one kind: the name, "+" or "#" */
	struct tl_slice tail;    /* INSIDE: what follows the name, "" if nothing does */
	const char *plain;       /* the filter without $share/{group}/ */
};

/* Takes a subscription filter, as the client sent it, apart. */
struct tl_filter tl_filter_parse(struct tl_slice root, const char *filter);

#endif
