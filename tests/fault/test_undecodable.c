/* What can be read and does not decode: garbage under one key, put through the engine, so that it has a sound checksum.
 *
 *     a store with something of each kind of storage/FORMAT.md ──► for each case a child: a copy of it, and in it
 *         garbage under one key ──► everything is asked for and sent, twice, the second time after a start with other options
 *                                └► and what is sent, synced, searched, indexed and expires elsewhere is as if nothing were
 *
 * Nothing may crash, wait for ever, be tried again and again, or keep a thread busy. A case is a key, real or made up, and a way to
 * spoil the value. By default some of the cases are run, others each time; what a failure prints repeats one.
 *
 *     test_undecodable [number of a case, or "all"]
 */
#include "garbage.h"
#include "index_queue.h"
#include "store_user.h"
#include "temp_dir.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	CASES_AT_ONCE = 8,
	CASES_BY_DEFAULT = 120,
	HANG_S = 120,
	SENT = TL_INDEX_TAIL,   /* messages of the bystanders, each time */
	SENT_BEFORE = TL_INDEX_TAIL + 8,
};

/* --- a store with something of each kind --- */

static const struct {
	const char *uid, *op, *args;
} first_requests[] = {
	{"alice", "create", "conv=s:a kind=s:group name=s:name members=S:bob,carol retention=s:50s"},
	{"alice", "create", "conv=s:b kind=s:group members=S:bob,carol fanout=s:read"},
	{"alice", "create", "conv=s:o kind=s:group members=S:bob order=s:custom"},
	{"yann", "create", "conv=s:z kind=s:group members=S:zoe"},
}, more_requests[] = {
	{"alice", "delete", "conv=s:a cseqs=U:3,5"}, {"alice", "remove", "conv=s:a users=S:carol"},
	{"carol", "leave", "conv=s:b"},              {"bob", "block", "user=s:carol on=b:1"},
	{"carol", "block", "user=s:alice on=b:1"},   {"alice", "edit", "conv=s:a cseq=u:4 body=s:other"},
	{"alice", "recall", "conv=s:a cseq=u:6"},    {"bob", "read", "conv=s:a cseq=u:9"},
	{"bob", "set", "conv=s:a mute=b:1"},
};

static void send_many(struct store_user *user, const char *uid, const char *cid, unsigned count, bool with_ids)
{
	for (unsigned i = 0; i < count; i++) {
		char id[32], text[64];
		snprintf(id, sizeof id, "%s-%u", cid, i);
		snprintf(text, sizeof text, "word%u of all things", i % 5);
		store_user_must(store_user_send(user, uid, cid, with_ids ? id : NULL, text, strcmp(cid, "o") == 0 ? 100 - i : 0), "send");
	}
}

static bool is_indexed(struct store_user *user)
{
	return tl_store_stats(user->store).index.lag_messages == 0;
}

static void fill_store(struct store_user *user)
{
	store_user_must(store_user_open(user), "open");
	for (size_t i = 0; i < sizeof first_requests / sizeof first_requests[0]; i++)
		store_user_must(store_user_change(user, first_requests[i].uid, first_requests[i].op, first_requests[i].args),
		     first_requests[i].op);
	send_many(user, "alice", "a", TL_INDEX_TAIL + 8, true);
	send_many(user, "alice", "b", 5, false);
	send_many(user, "alice", "o", 5, false);
	send_many(user, "alice", "@bob", 4, true);
	send_many(user, "yann", "z", SENT_BEFORE, true);
	for (size_t i = 0; i < sizeof more_requests / sizeof more_requests[0]; i++)
		store_user_must(store_user_change(user, more_requests[i].uid, more_requests[i].op, more_requests[i].args), more_requests[i].op);
	store_user_must(store_user_ask(user, "alice", "sync", "after=u:5"), "sync");
	store_user_must(store_user_ask(user, "bob", "sync", "after=u:1"), "sync");
	store_user_wait(user, is_indexed, "to be indexed");
	tl_indexer_pause(tl_store_indexer(user->store), true);
	send_many(user, "alice", "a", TL_INDEX_TAIL, false);
	store_user_close(user);
}

static void open_database(const struct temp_dir *dir, struct tl_database *database)
{
	const struct tl_engine_options options = temp_dir_engine(dir);
	store_user_must(tl_database_open(&options, database, NULL), "open the database");
}

static void commit(struct tl_database *database, struct tl_batch *batch)
{
	store_user_must(tl_engine_commit(database->engine, batch, true, NULL), "commit");
	tl_batch_free(batch);
}

static uint64_t conversation(const struct tl_database *database, const char *cid)
{
	uint64_t no;
	store_user_must(tl_conversation_no(database->engine, NULL, tl_slice_str(cid), &no), cid);
	return no;
}

/* What upkeep and the indexer are about to do, as a crash leaves it. */
static void leave_work(struct tl_database *database)
{
	struct tl_batch *batch;
	struct tl_due due = {.board = NULL};
	store_user_must(tl_batch_new(database->engine, &batch), "batch");
	tl_index_mark_upkeep(batch, conversation(database, "a"), 1);
	tl_index_mark_anew(batch, conversation(database, "o"));
	tl_due_drop(&due, batch, tl_partition(TL_PART_STORE, conversation(database, "b")), 1, false);
	tl_database_put_uint(batch, TL_META_WALK_USERS, 1);
	tl_database_put_uint(batch, TL_META_WALK_CONVERSATIONS, 1);
	tl_batch_put(batch, tl_partition(TL_PART_META, 0), tl_slice_str(TL_META_REINDEX), tl_slice_str("b"));
	commit(database, batch);
}

static int make_store(const struct temp_dir *dir, struct garbage *garbage)
{
	struct store_user user = {.dir = dir->path};
	struct tl_database database;
	store_user_about("filling the store");
	fill_store(&user);
	open_database(dir, &database);
	leave_work(&database);
	garbage_find(&database, &(struct garbage_spared){{"yann", "zoe"}, "z"}, garbage);
	tl_database_close(&database);
	return 0;
}

/* --- a case --- */

static void copy_file(const char *from, const char *to)
{
	static char bytes[1 << 16];
	int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	ssize_t len;
	while ((len = read(in, bytes, sizeof bytes)) > 0)
		if (write(out, bytes, (size_t)len) != len)
			break;
	if (in < 0 || out < 0 || len != 0)
		store_user_failed("cannot copy %s", from);
	close(in);
	close(out);
}

static void copy_dir(const char *from, const char *to, const char *name)
{
	char from_path[600], to_path[600];
	snprintf(to_path, sizeof to_path, "%s/%s", to, name);
	mkdir(to_path, 0700);
	snprintf(from_path, sizeof from_path, "%s/%s", from, name);
	DIR *dir = opendir(from_path);
	for (const struct dirent *entry; dir && (entry = readdir(dir));) {
		snprintf(from_path, sizeof from_path, "%s/%s/%s", from, name, entry->d_name);
		snprintf(to_path, sizeof to_path, "%s/%s/%s", to, name, entry->d_name);
		if (entry->d_type == DT_REG)
			copy_file(from_path, to_path);
	}
	if (!dir || closedir(dir) != 0)
		store_user_failed("cannot copy %s", from_path);
}

/* --- what is asked for and sent where the damage may be --- */

static const char *const victims[] = {"alice", "bob", "carol", "dave"};
static const char *const about_conversation[] = {"a", "b", "o", "d:alice:bob"};

enum { VICTIMS = sizeof victims / sizeof victims[0], CONVERSATIONS = sizeof about_conversation / sizeof about_conversation[0] };

/* Pages through a list, which must come to an end; a list that is damaged may end early. */
static void page_through(struct store_user *user, const char *uid, const char *op, const char *args, const char *list)
{
	enum { PAGES_MAX = 300 };
	char cursor[64], more[200];
	snprintf(more, sizeof more, "%s", args);
	for (unsigned pages = 0; store_user_ask(user, uid, op, more) == TL_OK; pages++) {
		(void)store_user_count(user, list);
		if (!store_user_cursor(user, cursor))
			return;
		if (pages == PAGES_MAX)
			store_user_failed("%s %s has no end", op, args);
		snprintf(more, sizeof more, "%s cursor=s:%s", args, cursor);
	}
}

static void sync_all(struct store_user *user, const char *uid)
{
	enum { PAGES_MAX = 300 };
	uint64_t after = 0;
	for (unsigned pages = 0;; pages++) {
		char args[64];
		snprintf(args, sizeof args, "after=u:%llu limit=u:7", (unsigned long long)after);
		if (store_user_ask(user, uid, "sync", args) != TL_OK || store_user_count(user, "messages") == 0)
			return;
		if (pages == PAGES_MAX || store_user_uint(user, "next") <= after)
			store_user_failed("sync has no end");
		after = store_user_uint(user, "next");
	}
}

static void ask_about(struct store_user *user, const char *uid, const char *cid)
{
	static const struct {
		const char *op, *args, *list;
	} asked[] = {
		{"info", "", NULL}, {"get", "cseq=u:4", NULL}, {"get", "cseq=u:2", NULL}, {"members", "limit=u:2", "members"},
		{"history", "limit=u:9", "messages"}, {"history", "limit=u:9 after=u:0", "messages"},
		{"history", "limit=u:9 at=u:1000010", "messages"}, {"search", "q=s:word1 limit=u:5", "messages"},
	};
	for (size_t i = 0; i < sizeof asked / sizeof asked[0]; i++) {
		char args[200];
		snprintf(args, sizeof args, "conv=s:%s %s", cid, asked[i].args);
		if (asked[i].list)
			page_through(user, uid, asked[i].op, args, asked[i].list);
		else
			(void)store_user_ask(user, uid, asked[i].op, args);
	}
}

static void ask_all(struct store_user *user)
{
	for (size_t i = 0; i < VICTIMS; i++) {
		const char *uid = victims[i];
		(void)store_user_ask(user, uid, "hello", "");
		(void)store_user_ask(user, uid, "sync", "");
		(void)store_user_ask(user, uid, "devices", "");
		(void)store_user_ask(user, uid, "block", "");
		page_through(user, uid, "convs", "limit=u:2", "convs");
		page_through(user, uid, "search", "q=s:word2 limit=u:5", "messages");
		sync_all(user, uid);
		for (size_t c = 0; c < CONVERSATIONS; c++)
			ask_about(user, uid, about_conversation[c]);
	}
}

static void send_all(struct store_user *user)
{
	for (size_t c = 0; c < CONVERSATIONS; c++)
		for (size_t i = 0; i < VICTIMS; i++) {
			(void)store_user_send(user, victims[i], about_conversation[c], NULL, "word3", 5);
			(void)store_user_send(user, victims[i], about_conversation[c], "new", "word4", 6);
			(void)store_user_send(user, victims[i], about_conversation[c], "a-3", "word4", 7);
		}
	for (size_t i = 0; i < VICTIMS; i++)
		for (size_t j = 0; j < VICTIMS; j++)
			(void)store_user_send(user, victims[i], (const char *[]){"@alice", "@bob", "@carol", "@dave"}[j], "x", "word1", 0);
	for (unsigned i = 0; i < TL_INDEX_TAIL; i++)
		(void)store_user_send(user, "alice", "a", NULL, "word2", 0);
}

static void change_all(struct store_user *user)
{
	static const struct {
		const char *uid, *op, *args;
	} changes[] = {
		{"bob", "read", "cseq=u:12"}, {"bob", "set", "mute=b:1 pin=b:1"}, {"bob", "delete", "cseqs=U:2,7"},
		{"alice", "edit", "cseq=u:8 body=s:word2"}, {"alice", "recall", "cseq=u:9"}, {"alice", "update", "name=s:other"},
		{"alice", "update", "fanout=s:read"}, {"alice", "add", "users=S:carol,dave"}, {"alice", "role", "user=s:bob role=s:admin"},
		{"bob", "remove", "users=S:dave"}, {"carol", "leave", ""}, {"alice", "update", "fanout=s:write index=b:0"},
		{"carol", "join", ""}, {"alice", "update", "index=b:1 join=s:open"}, {"carol", "join", ""}, {"bob", "delete", "all=b:1"},
	};
	for (size_t c = 0; c < CONVERSATIONS; c++)
		for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
			char args[200];
			snprintf(args, sizeof args, "conv=s:%s %s", about_conversation[c], changes[i].args);
			(void)store_user_change(user, changes[i].uid, changes[i].op, args);
		}
	(void)store_user_change(user, "bob", "block", "user=s:carol on=b:0");
	(void)store_user_change(user, "bob", "block", "user=s:dave on=b:1");
	(void)store_user_change(user, "dave", "create", "kind=s:group members=S:alice,bob");
	(void)store_user_change(user, "alice", "dissolve", "conv=s:o");
}

/* --- what has to be as if nothing were --- */

static unsigned found(struct store_user *user)
{
	char cursor[64], args[200] = "q=s:things limit=u:100 conv=s:z";
	unsigned count = 0;
	for (;;) {
		store_user_must(store_user_ask(user, "zoe", "search", args), "search");
		count += store_user_count(user, "messages");
		if (!store_user_cursor(user, cursor))
			return count;
		snprintf(args, sizeof args, "q=s:things limit=u:100 conv=s:z cursor=s:%s", cursor);
	}
}

/* `sent` messages in all, and the event that made the conversation. */
static void check_bystanders(struct store_user *user, unsigned sent)
{
	char args[64];
	for (unsigned after = 0, count; after < sent + 1; after += count) {
		snprintf(args, sizeof args, "after=u:%u limit=u:30", after);
		store_user_must(store_user_ask(user, "zoe", "sync", args), "sync");
		count = store_user_count(user, "messages");
		if (count == 0 || store_user_uint(user, "next") != after + count)
			store_user_failed("sync: %u messages after %u of %u", count, after, sent + 1);
	}
	store_user_must(store_user_ask(user, "zoe", "history", "conv=s:z limit=u:1000"), "history");
	if (store_user_count(user, "messages") != sent + 1 || store_user_uint(user, "head") != sent + 1)
		store_user_failed("history: %u messages of %u", store_user_count(user, "messages"), sent + 1);
	if (found(user) != sent)
		store_user_failed("search: %u messages of %u", found(user), sent);
	store_user_must(store_user_ask(user, "zoe", "convs", ""), "convs");
	store_user_must(store_user_ask(user, "zoe", "info", "conv=s:z"), "info");
}

static uint64_t looks_before;

static bool has_looked(struct store_user *user)
{
	const struct tl_upkeep_stats stats = tl_store_stats(user->store).upkeep;
	return stats.looks > looks_before + 1 && stats.entries > 0 && stats.behind_ms == 0;
}

/* Everything in all inboxes expires. */
static void let_expire(struct store_user *user)
{
	looks_before = tl_store_stats(user->store).upkeep.looks;
	store_user_pass_time(2 * STORE_USER_TTL_MS + 1000);
	store_user_wait(user, has_looked, "upkeep");
	store_user_must(store_user_ask(user, "zoe", "sync", ""), "sync");
	if (store_user_count(user, "messages") > 0)
		store_user_failed("what has expired is there");
}

static void use(struct store_user *user, unsigned sent_before)
{
	send_many(user, "yann", "z", SENT, false);
	ask_all(user);
	send_all(user);
	change_all(user);
	ask_all(user);
	check_bystanders(user, sent_before + SENT);
	store_user_wait(user, is_indexed, "to be indexed");
	if (tl_store_stats(user->store).index.failures + tl_store_stats(user->store).writer.failures > 0)
		store_user_failed("something failed");
	check_bystanders(user, sent_before + SENT);
}

/* A copy of the store, with the garbage of a case. */
static void make_copy(const struct garbage *garbage, const struct temp_dir *store, size_t n, struct temp_dir *dir)
{
	struct tl_database database;
	if (!temp_dir_make(dir))
		store_user_failed("there is no room");
	copy_dir(store->path, dir->path, "db");
	copy_dir(store->path, dir->path, "queue");
	open_database(dir, &database);
	garbage_put(garbage, n, &database);
	tl_database_close(&database);
}

static int run_case(const struct garbage *garbage, const struct temp_dir *store, size_t n)
{
	struct temp_dir dir;
	char name[200];
	garbage_name(garbage, n, name);
	store_user_about(name);
	alarm(HANG_S);
	if (garbage_is_hidden(garbage, n))
		return 0;
	make_copy(garbage, store, n, &dir);
	struct store_user user = {.dir = dir.path};
	for (unsigned start = 0; start < 2; start++, user.inbox_max = 1000, user.retention_ms = 1 << 30) {
		enum tl_err err = store_user_open(&user);
		if (err != TL_OK && garbage_is_fatal(garbage, n))
			break;
		store_user_must(err, "open");
		use(&user, SENT_BEFORE + start * SENT);
		if (start > 0)
			let_expire(&user);
		store_user_wait_for_rest();
		store_user_close(&user);
	}
	temp_dir_remove(&dir);
	return 0;
}

/* --- all of them --- */

/* Those that are running. */
struct running {
	pid_t pids[CASES_AT_ONCE]; /* 0: none */
	size_t cases[CASES_AT_ONCE];
};

/* Waits for one; whether it has failed. */
static unsigned wait_for_one(const struct garbage *garbage, struct running *running)
{
	char name[200];
	int status = 0;
	pid_t pid = wait(&status);
	for (size_t i = 0; i < CASES_AT_ONCE; i++) {
		if (running->pids[i] != pid)
			continue;
		running->pids[i] = 0;
		garbage_name(garbage, running->cases[i], name);
		if (WIFSIGNALED(status))
			fprintf(stderr, "%s: ended by signal %d\n", name, WTERMSIG(status));
	}
	return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

static bool start_case(const struct garbage *garbage, const struct temp_dir *store, size_t n, struct running *running)
{
	for (size_t i = 0; i < CASES_AT_ONCE; i++) {
		if (running->pids[i] > 0)
			continue;
		fflush(NULL);
		running->pids[i] = fork();
		if (running->pids[i] == 0)
			exit(run_case(garbage, store, n));
		running->cases[i] = n;
		return true;
	}
	return false;
}

static unsigned run_cases(const struct garbage *garbage, const struct temp_dir *store, size_t from, size_t to, size_t step)
{
	struct running running = {{0}, {0}};
	unsigned failed = 0;
	for (size_t n = from; n < to; n += step)
		while (!start_case(garbage, store, n, &running))
			failed += wait_for_one(garbage, &running);
	for (size_t i = 0; i < CASES_AT_ONCE; i++)
		while (running.pids[i] > 0)
			failed += wait_for_one(garbage, &running);
	return failed;
}

static bool make_store_in_child(const struct temp_dir *store, struct garbage *garbage)
{
	int status;
	pid_t pid = fork();
	if (pid == 0)
		exit(make_store(store, garbage));
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

int main(int argc, char **argv)
{
	struct garbage *garbage = mmap(NULL, sizeof *garbage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct temp_dir store;
	if (garbage == MAP_FAILED || !temp_dir_make(&store))
		return 1;
	unsigned failed = !make_store_in_child(&store, garbage);
	size_t all = garbage->count * GARBAGE_WAYS, step = all / CASES_BY_DEFAULT + 1;
	step += step % 3 == 0; /* so that all ways have their turn */
	size_t from = (size_t)time(NULL) % step;
	if (argc > 1 && strcmp(argv[1], "all") == 0)
		step = 1, from = 0;
	else if (argc > 1)
		from = strtoul(argv[1], NULL, 10), step = all;
	if (failed == 0)
		failed = run_cases(garbage, &store, from, all, step);
	printf("%zu cases, every %zuth from %zu: %u failed\n", all, step, from, failed);
	temp_dir_remove(&store);
	return failed > 0;
}
