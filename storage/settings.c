#include "settings.h"

static const struct tl_param rows[] = {TL_SETTING_PARAMS(0)};

static bool set_text(struct tl_slice *field, const struct tl_arg *arg, struct tl_slice value)
{
	if (!arg->given || tl_slice_equal(*field, value))
		return false;
	*field = value;
	return true;
}

static bool set_choice(uint8_t *field, const struct tl_arg *arg)
{
	if (!arg->given || *field == arg->uint)
		return false;
	*field = (uint8_t)arg->uint;
	return true;
}

static bool set_unless(bool *field, const struct tl_arg *arg)
{
	bool value = arg->uint == 0;
	if (!arg->given || *field == value)
		return false;
	*field = value;
	return true;
}

/* Keeping for no time at all is keeping for as long as the server's option says. */
static struct tl_slice retention_of(const struct tl_arg *arg)
{
	return arg->uint > 0 ? arg->bytes : tl_slice("", 0);
}

static bool apply(struct tl_conversation_record *record, enum tl_setting setting, const struct tl_arg *arg)
{
	switch (setting) {
	case TL_SETTING_NAME:
		return set_text(&record->name, arg, arg->bytes);
	case TL_SETTING_HISTORY:
		return set_choice(&record->history, arg);
	case TL_SETTING_JOIN:
		return set_choice(&record->join, arg);
	case TL_SETTING_POST:
		return set_choice(&record->post, arg);
	case TL_SETTING_ORDER:
		return set_choice(&record->order, arg);
	case TL_SETTING_FANOUT:
		return set_choice(&record->fanout, arg);
	case TL_SETTING_RETENTION:
		return set_text(&record->retention, arg, retention_of(arg));
	case TL_SETTING_INDEX:
		return set_unless(&record->no_index, arg);
	case TL_SETTING_COUNT:
		break;
	}
	return false;
}

tl_settings tl_settings_apply(struct tl_conversation_record *record, const struct tl_arg *settings)
{
	tl_settings changed = 0;
	for (int i = 0; i < TL_SETTING_COUNT; i++)
		if (apply(record, (enum tl_setting)i, &settings[i]))
			changed |= 1U << i;
	return changed;
}

tl_settings tl_settings_given(const struct tl_arg *settings)
{
	tl_settings given = 0;
	for (int i = 0; i < TL_SETTING_COUNT; i++)
		if (settings[i].given)
			given |= 1U << i;
	return given;
}

void tl_settings_tell(struct tl_event *event, const struct tl_arg *settings, tl_settings which)
{
	for (int i = 0; i < TL_SETTING_COUNT; i++)
		if (which & 1U << i && rows[i].type == TL_PARAM_BOOL)
			tl_event_bool(event, rows[i].key, settings[i].uint != 0);
		else if (which & 1U << i)
			tl_event_str(event, rows[i].key, settings[i].bytes);
}
