/* Conversations, their members, how a user stands towards them, whom he has blocked, and his devices. */
#include "checks.h"

#include "check.h"
#include "expect.h"

static void pack_conv(struct tl_pack *pack, const struct conversation *c, uint64_t limit, struct tl_slice cursor)
{
	tl_pack_clear(pack);
	tl_pack_map(pack, (uint32_t)(c != NULL) + (limit > 0) + (cursor.len > 0));
	if (c) {
		tl_pack_cstr(pack, "conv");
		tl_pack_cstr(pack, c->cid);
	}
	if (limit > 0) {
		tl_pack_cstr(pack, "limit");
		tl_pack_uint(pack, limit);
	}
	if (cursor.len > 0) {
		tl_pack_cstr(pack, "cursor");
		tl_pack_str(pack, cursor);
	}
}

/* --- info --- */

void check_info(struct child *child, int conversation, unsigned user)
{
	const struct conversation *c = &child->model->conversations[conversation];
	struct reading reading;
	struct tl_pack args;
	if (c->cid[0] == '\0')
		return;
	check_about((int)user, conversation);
	tl_pack_init(&args);
	pack_conv(&args, c, 0, tl_slice("", 0));
	child_read(child, "info", user, 0, tl_pack_bytes(&args), &reading);
	CHECK(reading.err == (model_present(c, user) ? TL_OK : TL_NOT_MEMBER));
	if (reading.err == TL_OK) {
		struct info info = model_info(child->model, conversation);
		expect_info(child->model, &info, reading.map);
	}
	reading_fini(&reading);
	tl_pack_fini(&args);
}

/* --- pages of a list --- */

/* A list that is read page by page. */
struct walk {
	struct child *child;
	unsigned user;
	const struct conversation *conversation; /* NULL: not about one */
	const char *op, *key;
	uint64_t found_count;
	void (*check)(struct walk *walk, struct tl_slice element);

	bool found[CONVERSATIONS > USERS ? CONVERSATIONS : USERS + 1]; /* each is there once */
	uint64_t ts; /* of the conversation before */
};

static void check_page(struct walk *walk, const struct reading *reading, uint64_t limit)
{
	struct list list = get_list(reading->map, walk->key);
	struct tl_slice element;
	CHECK(list.left <= limit && (list.left > 0 || !has(reading->map, "cursor")));
	CHECK(list.left == limit || !has(reading->map, "cursor"));
	while (list_next(&list, &element)) {
		walk->check(walk, element);
		walk->found_count++;
	}
}

static void check_pages(struct walk *walk)
{
	struct reading reading;
	struct tl_pack args;
	struct cursor cursor = {.len = 0};
	bool more = true;
	tl_pack_init(&args);
	while (more) {
		uint64_t limit = 1 + below(&walk->child->rng, chance(&walk->child->rng, 50) ? 3 : 30);
		pack_conv(&args, walk->conversation, limit, cursor_text(&cursor));
		child_read(walk->child, walk->op, walk->user, 0, tl_pack_bytes(&args), &reading);
		CHECK(reading.err == TL_OK);
		check_page(walk, &reading, limit);
		more = take_cursor(reading.map, &cursor);
		reading_fini(&reading);
	}
	tl_pack_fini(&args);
}

/* --- members --- */

static void check_member(struct walk *walk, struct tl_slice element)
{
	unsigned user = 0;
	while (user < USERS && !equals(get_str(element, "user"), user_name(user).text))
		user++;
	CHECK(user < USERS && !walk->found[user] && model_present(walk->conversation, user));
	walk->found[user] = true;
	CHECK(equals(get_str(element, "role"), model_role(walk->conversation, user)));
	CHECK(get_uint(element, "since") == walk->conversation->members[user].since);
	CHECK(pair_count(element) == 3);
}

static void expect_refused(struct walk *walk, enum tl_err err)
{
	struct reading reading;
	struct tl_pack args;
	tl_pack_init(&args);
	pack_conv(&args, walk->conversation, 10, tl_slice("", 0));
	child_read(walk->child, walk->op, walk->user, 0, tl_pack_bytes(&args), &reading);
	CHECK(reading.err == err && pair_count(reading.map) == 0);
	reading_fini(&reading);
	tl_pack_fini(&args);
}

void check_members(struct child *child, int conversation, unsigned user)
{
	const struct conversation *c = &child->model->conversations[conversation];
	struct walk walk = {.child = child, .user = user, .conversation = c, .op = "members", .key = "members",
	                    .check = check_member};
	check_about((int)user, conversation);
	if (c->cid[0] == '\0')
		return;
	if (!model_present(c, user)) {
		expect_refused(&walk, TL_NOT_MEMBER);
		return;
	}
	check_pages(&walk);
	CHECK(walk.found_count == model_count(c));
}

/* --- convs --- */

/* The last entry, if the user can see it; answers how many pairs that are. */
static uint32_t check_last(const struct walk *walk, int conversation, struct tl_slice element)
{
	const struct conversation *c = &walk->child->model->conversations[conversation];
	const struct shown shown = {.user = walk->user, .conversation = conversation, .cseq = c->count,
	                            .now = walk->child->shared->now, .preview = true};
	enum fate fate = model_fate(c, model_entry(c, c->count), shown.now);
	bool visible = model_visible(c, walk->user, c->count);
	CHECK(has(element, "last") ? visible && fate != FATE_EXPIRED : !visible || fate != FATE_KEPT);
	if (!has(element, "last"))
		return 0;
	expect_entry(walk->child->model, &shown, get_map(element, "last"));
	return 1;
}

static void check_conversation(struct walk *walk, struct tl_slice element)
{
	const struct model *model = walk->child->model;
	struct tl_slice cid = get_str(element, "conv");
	int conversation = model_find(model, cid.ptr, cid.len);
	check_about((int)walk->user, conversation);
	CHECK(conversation != NOWHERE && !walk->found[conversation]);
	walk->found[conversation] = true;
	const struct conversation *c = &model->conversations[conversation];
	const struct member *member = &c->members[walk->user];
	uint64_t ts = model_entry(c, c->count)->ts;
	CHECK(model_present(c, walk->user));
	CHECK(walk->found_count == 0 || ts <= walk->ts);
	walk->ts = ts;
	CHECK(equals(get_str(element, "kind"), kind_texts[c->kind]));
	CHECK(equals(get_str(element, "role"), model_role(c, walk->user)));
	CHECK(get_uint(element, "head") == c->count && get_uint(element, "read") == member->read);
	CHECK(get_bool(element, "mute") == member->mute && get_bool(element, "pin") == member->pin);
	uint64_t unread = get_uint(element, "unread"), now = walk->child->shared->now;
	CHECK(unread >= model_unread(model, conversation, walk->user, now, true));
	CHECK(unread <= model_unread(model, conversation, walk->user, now, false));
	uint32_t pairs = 8 + check_last(walk, conversation, element);
	if (c->settings[SETTING_NAME] > 0) {
		CHECK(equals(get_str(element, "name"), setting_texts[SETTING_NAME][c->settings[SETTING_NAME]]));
		pairs++;
	}
	CHECK(pair_count(element) == pairs);
}

void check_convs(struct child *child, unsigned user)
{
	struct walk walk = {
		.child = child, .user = user, .op = "convs", .key = "convs", .check = check_conversation};
	check_about((int)user, NOWHERE);
	check_pages(&walk);
	check_about((int)user, NOWHERE);
	CHECK(walk.found_count == model_conversations(child->model, user));
}

/* --- block, devices --- */

static void check_blocked_user(struct walk *walk, struct tl_slice element)
{
	unsigned user = 0;
	while (user <= STRANGER && !equals(as_str(element), user_name(user).text))
		user++;
	CHECK(user <= STRANGER && !walk->found[user] && (walk->child->model->blocked[walk->user] >> user & 1));
	walk->found[user] = true;
}

void check_blocked(struct child *child, unsigned user)
{
	struct walk walk = {.child = child, .user = user, .op = "block", .key = "users", .check = check_blocked_user};
	check_about((int)user, NOWHERE);
	check_pages(&walk);
	CHECK(walk.found_count == (uint64_t)__builtin_popcount(child->model->blocked[user]));
}

static void check_known_device(const struct child *child, unsigned user, unsigned index, struct tl_slice listed)
{
	const struct device *device = &child->shared->devices[user][index];
	CHECK(get_uint(listed, "checkpoint") <= child->model->inboxes[user].count);
	CHECK(get_uint(listed, "seen") <= child->shared->now);
	if (!device->certain)
		return;
	CHECK(device->listed);
	CHECK(get_uint(listed, "checkpoint") == device->after && get_uint(listed, "seen") == device->seen);
}

static void check_device(struct walk *walk, struct tl_slice element)
{
	unsigned index = 0;
	while (index <= WATCHER && !equals(get_str(element, "device"), device_name(index).text))
		index++;
	CHECK(index <= WATCHER && !walk->found[index] && pair_count(element) == 3);
	walk->found[index] = true;
	if (index != WATCHER)
		check_known_device(walk->child, walk->user, index, element);
}

void check_devices(struct child *child, unsigned user)
{
	struct walk walk = {.child = child, .user = user, .op = "devices", .key = "devices", .check = check_device};
	check_about((int)user, NOWHERE);
	check_pages(&walk);
	for (unsigned index = 0; index < DEVICES; index++)
		if (child->shared->devices[user][index].certain && child->shared->devices[user][index].listed)
			CHECK(walk.found[index]);
}

/* --- standing --- */

static void find_standing(struct child *child, int conversation, unsigned user, struct tl_standing *standing)
{
	struct name uid = user_name(user);
	const char *cid = child->model->conversations[conversation].cid;
	CHECK(tl_store_standing(child->store, tl_slice_str(cid), tl_slice_str(uid.text), standing) == TL_OK);
}

void check_standing(struct child *child, int conversation, unsigned user)
{
	const struct conversation *c = &child->model->conversations[conversation];
	struct tl_standing standing;
	unsigned first, second;
	bool member = model_present(c, user);
	if (c->cid[0] == '\0')
		return;
	check_about((int)user, conversation);
	find_standing(child, conversation, user, &standing);
	if (is_direct(conversation)) {
		pair_of(conversation, &first, &second);
		member = user == first || user == second;
	}
	CHECK(standing.final && standing.member == member);
	CHECK(standing.may_send == model_may_send(child->model, conversation, user));
	if (standing.may_send == TL_OK)
		CHECK(standing.needs_order == model_is_custom(c));
}

void check_standing_lagging(struct child *child, int conversation, unsigned user)
{
	struct tl_standing standing;
	if (child->model->conversations[conversation].cid[0] == '\0')
		return;
	find_standing(child, conversation, user, &standing);
	CHECK(!standing.member || standing.may_send != TL_NOT_MEMBER);
}
