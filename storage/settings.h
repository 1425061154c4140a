/* The settings of a group or channel, which `create` and `update` take alike: one row of arguments each, how they go into
 * the conversation's record, and how an event tells them. No state; any thread. */
#ifndef TL_SETTINGS_H
#define TL_SETTINGS_H

#include "event.h"

enum tl_setting {
	TL_SETTING_NAME,
	TL_SETTING_HISTORY,
	TL_SETTING_JOIN,
	TL_SETTING_POST,
	TL_SETTING_ORDER,
	TL_SETTING_FANOUT,
	TL_SETTING_RETENTION,
	TL_SETTING_INDEX,
	TL_SETTING_COUNT,
};

/* Their rows in a request's table of arguments, where they stand together from the index `first` on. */
#define TL_SETTING_PARAMS(first)                                                                                       \
	[(first) + TL_SETTING_NAME] = {.key = "name", .type = TL_PARAM_STR, .max = TL_NAME_MAX},                           \
	[(first) + TL_SETTING_HISTORY] = {.key = "history", .type = TL_PARAM_CHOICE, .choices = tl_histories},             \
	[(first) + TL_SETTING_JOIN] = {.key = "join", .type = TL_PARAM_CHOICE, .choices = tl_joins},                       \
	[(first) + TL_SETTING_POST] = {.key = "post", .type = TL_PARAM_CHOICE, .choices = tl_posts},                       \
	[(first) + TL_SETTING_ORDER] = {.key = "order", .type = TL_PARAM_CHOICE, .choices = tl_orders},                    \
	[(first) + TL_SETTING_FANOUT] = {.key = "fanout", .type = TL_PARAM_CHOICE, .choices = tl_fanouts},                 \
	[(first) + TL_SETTING_RETENTION] = {.key = "retention", .type = TL_PARAM_DURATION, .min = TL_RETENTION_MIN_MS}, \
	[(first) + TL_SETTING_INDEX] = {.key = "index", .type = TL_PARAM_BOOL}

/* Some of the settings: bit 1 << TL_SETTING_…. */
typedef unsigned tl_settings;

/* Puts the settings that are given (TL_SETTING_COUNT arguments) into the record, whose texts then point into them: those
 * that are new there. */
tl_settings tl_settings_apply(struct tl_conversation_record *record, const struct tl_arg *settings);

/* Those that are given. */
tl_settings tl_settings_given(const struct tl_arg *settings);

/* Adds some of the settings, which must be given, to an event. */
void tl_settings_tell(struct tl_event *event, const struct tl_arg *settings, tl_settings which);

#endif
