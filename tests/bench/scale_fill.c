/*
 * tl_scale_fill: fills the database of a broker with any number of timelines, through the storage engine and many times
 * as fast as by sending messages.
 *
 *	desk 0 … 249 ◄── a direct chat ──► every other user       user k chats with desk k modulo 250
 *	                                   users 100 g … 100 g + 99 are in group g
 *
 * A few users, the desks, are in chats with all others. So a load of few connections, those of the desks, reaches any
 * of the chats and inboxes. Every chat has two messages, one each way, every group has one.
 *
 * (S1) What is written is what the writer would have written, except that nothing is deduplicated: the messages count as
 *      sent without an id. Numbers are the index plus one: of users, and of groups and then chats, desk by desk.
 * (S2) Keys are written family by family and nearly in their order, so that LevelDB has little to merge.
 *
 * The database must be there and empty: a broker with the plugin that is started and stopped has made it, with its
 * options noted in it.
 */
#include "bench_clock.h"
#include "bench_error.h"
#include "database.h"
#include "due.h"
#include "id.h"
#include "load_options.h"
#include "message.h"
#include "message_pattern.h"
#include "ordered_int.h"
#include "timeline.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	GROUP_OF = 100,
	WRITE_BUFFER_BYTES = 24 << 20, /* makes tables of about 8 MiB, as LevelDB's merging does */
	TABLE_BYTES = 8 << 20,
	BATCH_KEYS = 2000,
	NAME_BYTES = 24,
	TEXT_BYTES = 60,
	AGE_MS = 3600 * 1000, /* of the oldest message */
};

struct fill_options {
	const char *dir;
	uint64_t timelines;
	uint64_t desks;
};

struct fill {
	const struct fill_options *options;
	struct tl_database database;
	struct tl_batch *batch;
	struct tl_due due; /* nobody looks at its board */
	struct tl_pack pack, message;
	struct tl_message_text text;
	uint64_t users, groups, chats; /* how many */
	uint64_t inbox_ttl_ms;
	uint64_t ts; /* of the groups' messages; the chats' follow */
	uint64_t keys;
	uint64_t begun_ns, told_ns;
};

/* A direct chat: of this desk, and its how manieth. */
struct chat {
	uint64_t desk, index;
};

static void must(enum tl_err err, const char *what)
{
	if (err != TL_OK)
		tl_die("cannot %s: %s", what, tl_err_text(err));
}

static struct tl_slice user_name(uint64_t user, char *out)
{
	return tl_slice(out, (size_t)snprintf(out, NAME_BYTES, "u%" PRIu64, user));
}

/* --- who is in which chat --- */

static uint64_t chats_of(const struct fill *fill, uint64_t desk)
{
	return (fill->users - desk - 1) / fill->options->desks;
}

static uint64_t customer_of(const struct fill *fill, struct chat chat)
{
	return chat.desk + (chat.index + 1) * fill->options->desks;
}

static struct chat chat_of(const struct fill *fill, uint64_t customer)
{
	return (struct chat){customer % fill->options->desks, customer / fill->options->desks - 1};
}

/* How many chats the desks before this one have. */
static uint64_t chats_before(const struct fill *fill, uint64_t desk)
{
	uint64_t least = fill->users / fill->options->desks - 1, longer = fill->users % fill->options->desks;
	return desk * least + (desk < longer ? desk : longer);
}

static uint64_t chat_no(const struct fill *fill, struct chat chat)
{
	return fill->groups + chats_before(fill, chat.desk) + chat.index + 1;
}

/* Of its first message, the customer's; the desk's is a millisecond later. */
static uint64_t chat_ts(const struct fill *fill, struct chat chat)
{
	return fill->ts + AGE_MS / 2 + chat.index * 2;
}

static uint64_t members_of(const struct fill *fill, uint64_t group)
{
	uint64_t rest = fill->users - group * GROUP_OF;
	return rest < GROUP_OF ? rest : GROUP_OF;
}

/* --- writing --- */

static void commit(struct fill *fill)
{
	fill->keys += tl_batch_count(fill->batch);
	must(tl_engine_commit(fill->database.engine, fill->batch, false, NULL), "commit");
	tl_batch_clear(fill->batch);
	uint64_t now_ns = tl_now_ns();
	if (now_ns - fill->told_ns < 10 * TL_NS_PER_S)
		return;
	fill->told_ns = now_ns;
	fprintf(stderr, "tl_scale_fill: %" PRIu64 " keys in %.0f s\n", fill->keys,
	        tl_seconds_between(fill->begun_ns, now_ns));
}

static void commit_if_full(struct fill *fill)
{
	if (tl_batch_count(fill->batch) >= BATCH_KEYS)
		commit(fill);
}

/* Puts what is packed. */
static void put(struct fill *fill, enum tl_partition_kind kind, uint64_t no, struct tl_slice key)
{
	tl_pack_check(&fill->pack, fill->batch);
	tl_batch_put(fill->batch, tl_partition(kind, no), key, tl_pack_bytes(&fill->pack));
	commit_if_full(fill);
}

static void put_numbered(struct fill *fill, enum tl_partition_kind kind, uint64_t no, uint64_t key)
{
	unsigned char bytes[TL_ORDERED_INT_MAX];
	put(fill, kind, no, tl_slice(bytes, tl_ordered_int_put(bytes, key)));
}

static void put_timeline(struct fill *fill, enum tl_partition_kind kind, uint64_t no, uint64_t seq)
{
	tl_pack_check(&fill->pack, fill->batch);
	tl_timeline_append(fill->batch, tl_partition(kind, no), seq, tl_pack_bytes(&fill->pack), false);
	commit_if_full(fill);
}

static void put_name(struct fill *fill, enum tl_partition_kind names, struct tl_slice name, uint64_t no)
{
	tl_pack_clear(&fill->pack);
	tl_pack_uint(&fill->pack, no);
	put(fill, names, 0, name);
}

static void put_member(struct fill *fill, uint64_t no, uint64_t user, uint64_t seen)
{
	const struct tl_member_record record = {.since = 1, .seen = seen, .seen_running = seen};
	tl_pack_clear(&fill->pack);
	tl_member_record_pack(&fill->pack, &record);
	put_numbered(fill, TL_PART_MEMBERS, no, user + 1);
}

static void put_conversation(struct fill *fill, uint64_t no, const struct tl_conversation_record *record)
{
	tl_pack_clear(&fill->pack);
	tl_conversation_record_pack(&fill->pack, record);
	put(fill, TL_PART_CONVERSATION, no, tl_slice("", 0));
}

static void put_message(struct fill *fill, uint64_t no, uint64_t cseq, uint64_t from, uint64_t ts)
{
	char name[NAME_BYTES], id[NAME_BYTES];
	const struct tl_message message = {
		.ts = ts,
		.id = tl_slice(id, (size_t)snprintf(id, sizeof id, "s-%" PRIx64 "-%" PRIu64, no, cseq)),
		.from = user_name(from, name),
		.device = tl_slice_str("phone"),
		.type = tl_slice_str("text"),
		.body_len = TEXT_BYTES,
	};
	tl_pack_clear(&fill->message);
	tl_message_pack(&fill->message, &message);
	tl_pack_raw(&fill->message, tl_slice(tl_message_text_next(&fill->text), TEXT_BYTES));
	tl_pack_check(&fill->message, fill->batch);
	const struct tl_store_record record = {.running = cseq, .message = tl_pack_bytes(&fill->message)};
	tl_pack_clear(&fill->pack);
	tl_store_record_pack(&fill->pack, &record);
	put_timeline(fill, TL_PART_STORE, no, cseq);
}

static void put_entry(struct fill *fill, uint64_t user, uint64_t seq, uint64_t no, uint64_t cseq, uint64_t ts)
{
	const struct tl_inbox_entry entry = {.conversation_no = no, .cseq = cseq, .ts = ts};
	tl_pack_clear(&fill->pack);
	tl_inbox_entry_pack(&fill->pack, &entry);
	put_numbered(fill, TL_PART_INBOX, user + 1, seq);
}

/* --- what is written, family by family --- */

static void each_chat(struct fill *fill, void (*put_chat)(struct fill *fill, struct chat chat))
{
	for (uint64_t desk = 0; desk < fill->options->desks; desk++)
		for (uint64_t i = 0; i < chats_of(fill, desk); i++)
			put_chat(fill, (struct chat){desk, i});
}

static void each_group(struct fill *fill, void (*put_group)(struct fill *fill, uint64_t group))
{
	for (uint64_t group = 0; group < fill->groups; group++)
		put_group(fill, group);
}

static void each_user(struct fill *fill, void (*put_user)(struct fill *fill, uint64_t user))
{
	for (uint64_t user = 0; user < fill->users; user++)
		put_user(fill, user);
}

static struct tl_slice chat_name(const struct fill *fill, struct chat chat, char *out)
{
	char desk[NAME_BYTES], customer[NAME_BYTES];
	return tl_direct_id(user_name(chat.desk, desk), user_name(customer_of(fill, chat), customer), out);
}

static struct tl_slice group_name(uint64_t group, char *out)
{
	return tl_slice(out, (size_t)snprintf(out, NAME_BYTES, "g%" PRIu64, group));
}

static void put_chat_name(struct fill *fill, struct chat chat)
{
	char id[TL_DIRECT_ID_MAX], desk[NAME_BYTES], customer[NAME_BYTES];
	uint64_t users[2] = {chat.desk + 1, customer_of(fill, chat) + 1};
	bool in_order = tl_slice_compare(user_name(chat.desk, desk), user_name(customer_of(fill, chat), customer)) < 0;
	const struct tl_conversation_name name = {.no = chat_no(fill, chat), .users = {users[!in_order], users[in_order]}};
	tl_pack_clear(&fill->pack);
	tl_conversation_name_pack(&fill->pack, &name);
	put(fill, TL_PART_CONVERSATION_NAMES, 0, chat_name(fill, chat, id));
}

static void put_group_name(struct fill *fill, uint64_t group)
{
	char name[NAME_BYTES];
	put_name(fill, TL_PART_CONVERSATION_NAMES, group_name(group, name), group + 1);
}

static void put_user_name(struct fill *fill, uint64_t user)
{
	char name[NAME_BYTES];
	put_name(fill, TL_PART_USER_NAMES, user_name(user, name), user + 1);
}

static void put_chat_record(struct fill *fill, struct chat chat)
{
	char name[TL_DIRECT_ID_MAX];
	const struct tl_conversation_record record = {
		.cid = chat_name(fill, chat, name), .kind = TL_DIRECT, .member_count = 2};
	put_conversation(fill, chat_no(fill, chat), &record);
}

static void put_group_record(struct fill *fill, uint64_t group)
{
	char name[NAME_BYTES], owner[NAME_BYTES];
	const struct tl_conversation_record record = {.cid = group_name(group, name),
	                                              .owner = user_name(group * GROUP_OF, owner),
	                                              .kind = TL_GROUP,
	                                              .member_count = members_of(fill, group)};
	put_conversation(fill, group + 1, &record);
}

static void put_user_record(struct fill *fill, uint64_t user)
{
	char name[NAME_BYTES];
	const struct tl_user_record record = {.uid = user_name(user, name), .groups = 1};
	tl_pack_clear(&fill->pack);
	tl_user_record_pack(&fill->pack, &record);
	put(fill, TL_PART_USER, user + 1, tl_slice("", 0));
}

static void put_chat_members(struct fill *fill, struct chat chat)
{
	put_member(fill, chat_no(fill, chat), chat.desk, 2);
	put_member(fill, chat_no(fill, chat), customer_of(fill, chat), 1);
}

static void put_group_members(struct fill *fill, uint64_t group)
{
	for (uint64_t i = 0; i < members_of(fill, group); i++)
		put_member(fill, group + 1, group * GROUP_OF + i, i == 0);
}

/* The conversations that a user is in. */
static void put_user_list(struct fill *fill, uint64_t user)
{
	tl_pack_clear(&fill->pack);
	put_numbered(fill, TL_PART_USER_CONVERSATIONS, user + 1, user / GROUP_OF + 1);
	if (user >= fill->options->desks) {
		put_numbered(fill, TL_PART_USER_CONVERSATIONS, user + 1, chat_no(fill, chat_of(fill, user)));
		return;
	}
	for (struct chat chat = {user, 0}; chat.index < chats_of(fill, user); chat.index++)
		put_numbered(fill, TL_PART_USER_CONVERSATIONS, user + 1, chat_no(fill, chat));
}

static void put_chat_messages(struct fill *fill, struct chat chat)
{
	put_message(fill, chat_no(fill, chat), 1, customer_of(fill, chat), chat_ts(fill, chat));
	put_message(fill, chat_no(fill, chat), 2, chat.desk, chat_ts(fill, chat) + 1);
}

static void put_group_message(struct fill *fill, uint64_t group)
{
	put_message(fill, group + 1, 1, group * GROUP_OF, fill->ts);
}

static void put_chat_entries(struct fill *fill, uint64_t user, uint64_t seq, struct chat chat)
{
	put_entry(fill, user, seq, chat_no(fill, chat), 1, chat_ts(fill, chat));
	put_entry(fill, user, seq + 1, chat_no(fill, chat), 2, chat_ts(fill, chat) + 1);
}

static void put_inbox(struct fill *fill, uint64_t user)
{
	put_entry(fill, user, 1, user / GROUP_OF + 1, 1, fill->ts);
	if (user >= fill->options->desks) {
		put_chat_entries(fill, user, 2, chat_of(fill, user));
		return;
	}
	for (struct chat chat = {user, 0}; chat.index < chats_of(fill, user); chat.index++)
		put_chat_entries(fill, user, 2 + 2 * chat.index, chat);
}

/* All that expires in an inbox does so on one day, so one marker serves. */
static void put_due(struct fill *fill, uint64_t user)
{
	tl_due_put(&fill->due, fill->batch, TL_DUE_INBOX, tl_due_time(fill->ts + AGE_MS, fill->inbox_ttl_ms), user + 1);
	commit_if_full(fill);
}

static void put_whole_user(struct fill *fill, uint64_t user)
{
	put_inbox(fill, user);
	put_user_list(fill, user);
	put_user_record(fill, user);
}

static void put_whole_group(struct fill *fill, uint64_t group)
{
	put_group_members(fill, group);
	put_group_record(fill, group);
	put_group_message(fill, group);
}

static void put_whole_chat(struct fill *fill, struct chat chat)
{
	put_chat_members(fill, chat);
	put_chat_record(fill, chat);
	put_chat_messages(fill, chat);
}

static void put_all(struct fill *fill)
{
	each_user(fill, put_whole_user);
	each_group(fill, put_whole_group);
	each_chat(fill, put_whole_chat);
	each_chat(fill, put_chat_name);
	each_group(fill, put_group_name);
	each_user(fill, put_user_name);
	each_user(fill, put_due);
	tl_database_put_uint(fill->batch, TL_META_NEXT_USER, fill->users + 1);
	tl_database_put_uint(fill->batch, TL_META_NEXT_CONVERSATION, fill->groups + fill->chats + 1);
	commit(fill);
}

/* --- the program --- */

/* As many users as have, with their chats and groups, so many timelines. */
static void plan(struct fill *fill)
{
	const struct fill_options *options = fill->options;
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	fill->ts = (uint64_t)now.tv_sec * 1000 - AGE_MS;
	fill->users = (options->timelines + options->desks) * GROUP_OF / (2 * GROUP_OF + 1);
	if (fill->users < 2 * options->desks)
		tl_die("--timelines must be at least %" PRIu64, 4 * options->desks);
	fill->groups = (fill->users + GROUP_OF - 1) / GROUP_OF;
	fill->chats = fill->users - options->desks;
}

static void open_database(struct fill *fill)
{
	char path[4096];
	struct tl_why why = {""};
	uint64_t next;
	snprintf(path, sizeof path, "%s/db", fill->options->dir);
	const struct tl_engine_options engine = {.path = path, .cache_bytes = 8 << 20, 
	                                         .write_buffer_bytes = WRITE_BUFFER_BYTES,
	                                         .table_bytes = TABLE_BYTES, .max_open_files = 500, .bloom_bits = 10, .compress = true};
	if (tl_database_open(&engine, &fill->database, &why) != TL_OK)
		tl_die("%s", why.text);
	must(tl_database_read_uint(&fill->database, TL_META_NEXT_USER, &next), "read the database");
	must(tl_database_read_uint(&fill->database, TL_META_INBOX_TTL, &fill->inbox_ttl_ms), "read the database");
	if (next != 0)
		tl_die("%s is not empty", path);
	must(tl_batch_new(fill->database.engine, &fill->batch), "make a batch");
}

static int run_fill(const void *values)
{
	struct fill fill = {.options = values};
	tl_pack_init(&fill.pack);
	tl_pack_init(&fill.message);
	tl_due_clear(&fill.due);
	tl_message_text_init(&fill.text, TEXT_BYTES, false);
	plan(&fill);
	open_database(&fill);
	fill.begun_ns = fill.told_ns = tl_now_ns();
	put_all(&fill);
	printf("fill timelines=%" PRIu64 " users=%" PRIu64 " chats=%" PRIu64 " groups=%" PRIu64 " keys=%" PRIu64
	       " seconds=%.1f\n",
	       fill.users + fill.chats + fill.groups, fill.users, fill.chats, fill.groups, fill.keys,
	       tl_seconds_between(fill.begun_ns, tl_now_ns()));
	tl_batch_free(fill.batch);
	tl_database_close(&fill.database);
	tl_pack_fini(&fill.pack);
	tl_pack_fini(&fill.message);
	tl_message_text_fini(&fill.text);
	return EXIT_SUCCESS;
}

#define FIELD(name) offsetof(struct fill_options, name)

static const struct tl_option table[] = {
	{"dir", TL_OPTION_TEXT, FIELD(dir), 0, 0, "the broker's data_dir, with an empty database in it"},
	{"timelines", TL_OPTION_NUMBER, FIELD(timelines), 1, UINT32_MAX, "inboxes and store timelines together, about"},
	{"desks", TL_OPTION_NUMBER, FIELD(desks), 1, 10000, "users who chat with all the others"},
};

static const struct fill_options defaults = {.dir = "data", .timelines = 10000, .desks = 250};

static const struct tl_command command = {
	.name = "tl_scale_fill",
	.summary = "fills an empty database with users, direct chats and groups",
	.options = table,
	.option_count = sizeof table / sizeof table[0],
	.defaults = &defaults,
	.options_bytes = sizeof defaults,
	.run = run_fill,
};

int main(int count, char **arguments)
{
	struct fill_options options;
	if (count > 1 && strcmp(arguments[1], "--help") == 0) {
		tl_options_help(&command);
		return EXIT_SUCCESS;
	}
	tl_options_parse(&command, count - 1, arguments + 1, &options);
	return run_fill(&options);
}
