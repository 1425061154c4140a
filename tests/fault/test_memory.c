/* Memory that runs out while the writer, upkeep, the indexer and readers are at work: what is applied again afterwards comes out as
 * if nothing had been, (X1) of storage/transaction.h and (W3) of storage/writer.h; what is answered is whole and says of nothing that
 * it is damaged. Allocations are wrapped by the linker (--wrap):
 *
 *     for each act, for n = 1, 2, … until the act needs fewer than n:
 *         a child: opens a store's parts, prepares, does the act while the n-th allocation fails, does it again if it failed
 *             └── pipe: what devices are shown then ──► compared with what they are shown where nothing failed
 *
 * A child may also end: uthash ends the process where it gets no memory, as LevelDB does. */
#include "endings.h"
#include "failing_allocation.h"
#include "index_work.h"
#include "message.h"
#include "msgpack_reader.h"
#include "pull.h"
#include "requests.h"
#include "send.h"
#include "sweep.h"
#include "temp_dir.h"
#include "upkeep.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { TTL = 10000, NOW = 5000, LATER = 20000, SHOWN_MAX = 256 * 1024 };

static unsigned countdown; /* the allocation that takes it to 0 fails; 0: none does */

bool allocation_fails(size_t bytes)
{
	(void)bytes;
	return countdown > 0 && --countdown == 0;
}

/* --- in the child --- */

struct world {
	struct temp_dir dir;
	struct tl_database db;
	struct tl_limits limits;
	struct tl_checkpoints checkpoints;
	struct tl_transaction txn;
	struct tl_due_board board;
	struct tl_sweep sweep;
	uint64_t position;
	bool replaying;
	int to; /* the parent */
};

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "%s\n", what);
	_exit(3);
}

/* As at a start: nothing is cached, and no memory is held for use again. */
static void begin_transactions(struct world *w)
{
	must(tl_transaction_init(&w->txn, &w->db) == TL_OK, "transaction");
	w->txn.limits = &w->limits;
	w->txn.due.board = &w->board;
}

static void open_world(struct world *w)
{
	struct tl_why why;
	const struct tl_engine_options options = temp_dir_engine(&w->dir);
	must(tl_database_open(&options, &w->db, &why) == TL_OK, "database");
	memset(w->db.epoch, '0', TL_EPOCH_BYTES); /* the same in each child */
	w->db.secret = 1;
	must(tl_checkpoints_init(&w->checkpoints) == TL_OK, "checkpoints");
	tl_due_board_init(&w->board);
	w->limits = (struct tl_limits){.server = "test", .max_body = 1000, .dedup_window_ms = 100000, .edit_window_ms = 100000,
	                               .recall_window_ms = 100000, .write_fanout_max = 10, .max_members = 100,
	                               .max_conversations = 100, .inbox_ttl_ms = TTL, .retention_ms = TTL, .device_ttl_ms = TTL,
	                               .search = true, .ending_step = 1};
	begin_transactions(w);
}

static void close_world(struct world *w)
{
	tl_transaction_fini(&w->txn);
	tl_checkpoints_fini(&w->checkpoints);
	tl_database_close(&w->db);
}

static enum tl_err commit(struct world *w)
{
	tl_transaction_finish(&w->txn);
	enum tl_err err = tl_engine_commit(w->db.engine, w->txn.batch, false, NULL);
	if (err == TL_OK)
		tl_transaction_clear(&w->txn);
	return err;
}

/* Who does what; the arguments are a packed map. Of "send", the conversation. */
struct step {
	const char *user, *op, *args;
	size_t len;
};

#define STEP(user, op, args) {user, op, args, sizeof args - 1}
#define TEAM "\xa4" "conv" "\xa4" "team"
#define WIDE "\xa4" "conv" "\xa4" "wide"
#define TURN "\xa4" "conv" "\xa4" "turn"
#define USER(uid) "\xa4" "user" "\xa3" uid

static enum tl_err apply_send(struct world *w, const struct step *step)
{
	const struct tl_message message = {.ts = NOW, .id = {"m", 1}, .from = tl_slice_str(step->user), .device = {"d", 1},
	                                   .type = {"text", 4}, .has_order = true, .order = 7, .body_len = 2};
	const unsigned armed = countdown;
	struct tl_pack pack;
	countdown = 0; /* this is no part of it */
	tl_pack_init(&pack);
	tl_message_pack(&pack, &message);
	tl_pack_raw(&pack, tl_slice("hi", 2));
	countdown = armed;
	const struct tl_ingest_record record = {.kind = TL_INGEST_SEND, .user = message.from, .device = message.device,
	                                        .target = tl_slice(step->args, step->len), .id = message.id,
	                                        .route = {"r", 1}, .payload = tl_pack_bytes(&pack)};
	enum tl_err err = tl_send_apply(&w->txn, &record);
	tl_pack_fini(&pack);
	return err;
}

static enum tl_err apply_step(struct world *w, const struct step *step)
{
	const struct tl_ingest_record record = {.kind = TL_INGEST_REQUEST, .user = tl_slice_str(step->user), .device = {"d", 1},
	                                        .target = tl_slice_str(step->op), .route = {"r", 1}, .ts = NOW,
	                                        .payload = tl_slice(step->args, step->len)};
	tl_transaction_record(&w->txn, w->position, w->replaying);
	return strcmp(step->op, "send") == 0 ? apply_send(w, step) : tl_request_apply(&w->txn, &record);
}

static void do_step(struct world *w, const struct step *step)
{
	w->position++;
	must(apply_step(w, step) == TL_OK && w->txn.outcome_count == 1, step->op);
	if (w->txn.outcomes[0].err != TL_OK)
		fprintf(stderr, "%s: %s %s\n", step->op, tl_err_wire(w->txn.outcomes[0].err), w->txn.outcomes[0].why);
	must(w->txn.outcomes[0].err == TL_OK, "the step was refused");
	must(commit(w) == TL_OK, "commit");
}

/* Passes on what a request has answered, which must be well-formed, as it is on the wire. */
static void pass_on(const struct world *w, const struct tl_answer *answer)
{
	struct tl_pack map;
	struct tl_why why;
	tl_pack_init(&map);
	tl_pack_map(&map, answer->field_count);
	tl_pack_raw(&map, tl_pack_bytes(&answer->fields));
	must(tl_msgpack_check(tl_pack_bytes(&map), 16, &why) == TL_OK, "an answer is malformed");
	must(write(w->to, map.buffer.data, map.buffer.size) == (ssize_t)map.buffer.size, "write");
	tl_pack_fini(&map);
}

/* A request that reads. */
static enum tl_err ask(struct world *w, const struct step *step)
{
	const struct tl_reading reading = {.database = &w->db, .checkpoints = &w->checkpoints, .limits = &w->limits};
	const struct tl_call call = {.user = tl_slice_str(step->user), .device = {"d", 1},
	                             .raw = tl_slice(step->args, step->len), .now = NOW};
	struct tl_answer answer;
	tl_answer_init(&answer);
	enum tl_err err = tl_request_read(tl_request_find(tl_slice_str(step->op)), &reading, call, &answer);
	const unsigned armed = countdown;
	countdown = 0;
	must(answer.damaged == 0, "what there was no memory for is taken for damaged");
	if (err != TL_NO_MEMORY)
		pass_on(w, &answer);
	tl_answer_fini(&answer);
	countdown = armed;
	return err;
}

static void show(struct world *w, const char *user, const char *op, const char *args, size_t len)
{
	const struct step step = {user, op, args, len};
	enum tl_err err = ask(w, &step);
	must(err == TL_OK || tl_err_is_refusal(err), op);
}

static enum tl_err pull(struct world *w, const char *user);

static void show_all(struct world *w)
{
	static const char *const users[] = {"ann", "bob", "cat", "dan", "eve"};
	static const char sync[] = "\x81\xa5" "after" "\x00", none[] = "\x80", team[] = "\x81" TEAM, hi[] = "\x81\xa1q\xa2hi";
	for (size_t i = 0; i < sizeof users / sizeof users[0]; i++) {
		must(pull(w, users[i]) == TL_OK, "pull");
		show(w, users[i], "convs", none, 1);
		show(w, users[i], "block", none, 1);
		show(w, users[i], "history", team, sizeof team - 1);
		show(w, users[i], "members", team, sizeof team - 1);
		show(w, users[i], "info", team, sizeof team - 1);
		show(w, users[i], "sync", sync, sizeof sync - 1);
		show(w, users[i], "search", hi, sizeof hi - 1);
	}
}

/* --- what is done while memory runs out --- */

struct act {
	const char *name;
	enum tl_err (*perform)(struct world *w, const struct act *act); /* up to the commit */
	struct step step;
};

static enum tl_err perform_step(struct world *w, const struct act *act)
{
	enum tl_err err = apply_step(w, &act->step);
	return err == TL_OK ? commit(w) : err;
}

static void ignore(struct tl_pull *pull)
{
	(void)pull;
}

static enum tl_err pull(struct world *w, const char *user)
{
	struct tl_pull pull = {.user = tl_slice_str(user), .limit = 100, .now = NOW, .ready = ignore};
	tl_pull_init(&pull);
	tl_transaction_chores(&w->txn, w->position + 1);
	enum tl_err err = pull.chore.apply(&pull.chore, &w->txn);
	return err == TL_OK ? commit(w) : err;
}

static enum tl_err perform_pull(struct world *w, const struct act *act)
{
	return pull(w, act->step.user);
}

/* All that has expired goes: as upkeep does it, but on one thread. */
static enum tl_err perform_sweep(struct world *w, const struct act *act)
{
	enum tl_err err;
	(void)act;
	w->sweep = (struct tl_sweep){.database = &w->db, .limits = &w->limits, .now = LATER, .count = 3};
	for (uint64_t no = 1; no <= 2; no++)
		w->sweep.items[no - 1] = (struct tl_sweep_item){.kind = TL_DUE_INBOX, .no = no, .due = 1};
	w->sweep.items[2] = (struct tl_sweep_item){.kind = TL_DUE_STORE, .no = 1, .due = 1};
	tl_transaction_chores(&w->txn, w->position + 1);
	if ((err = tl_sweep_assess(&w->sweep)) != TL_OK || (err = tl_sweep_raise(&w->sweep, &w->txn)) != TL_OK ||
	    (err = commit(w)) != TL_OK || (err = tl_sweep_drop(&w->sweep)) != TL_OK)
		return err;
	tl_transaction_chores(&w->txn, w->position + 1);
	err = tl_sweep_settle(&w->sweep, &w->txn);
	return err == TL_OK ? commit(w) : err;
}

/* A group is dissolved, and what is left of it ends one by one. */
static enum tl_err perform_endings(struct world *w, const struct act *act)
{
	struct tl_ending ending;
	enum tl_err err = perform_step(w, act);
	while (err == TL_OK && (err = tl_endings_next(&w->db, &w->limits, &ending)) == TL_OK) {
		tl_transaction_chores(&w->txn, w->position + 1);
		err = tl_endings_apply(&w->txn, &ending);
		if (err == TL_OK)
			err = commit(w);
	}
	return err == TL_NOT_FOUND ? TL_OK : err;
}

static uint64_t clock_ms(void)
{
	return NOW;
}

/* Indexes all that the group has. */
static enum tl_err perform_index(struct world *w, const struct act *act)
{
	struct tl_index_work work;
	uint64_t marks;
	bool did = true;
	(void)act;
	tl_index_mark(w->txn.batch, w->position, 1, 3, NOW);
	enum tl_err err = commit(w);
	if (err != TL_OK || (err = tl_index_work_init(&work, &w->db)) != TL_OK)
		return err;
	while (err == TL_OK && did)
		err = tl_index_work_step(&work, &did, &marks);
	tl_index_work_fini(&work);
	return err;
}

static enum tl_err perform_ask(struct world *w, const struct act *act)
{
	return ask(w, &act->step);
}

/* The same where all is indexed. */
static enum tl_err perform_indexed_ask(struct world *w, const struct act *act)
{
	const unsigned armed = countdown;
	countdown = 0;
	must(perform_index(w, act) == TL_OK, "index");
	countdown = armed;
	return ask(w, &act->step);
}

static enum tl_err perform_upkeep(struct world *w, const struct act *act)
{
	const struct tl_upkeep_options options = {.dir = w->dir.path, .limits = &w->limits, .now = clock_ms};
	struct tl_upkeep *upkeep;
	(void)act;
	enum tl_err err = tl_upkeep_new(&w->db, NULL, NULL, &w->board, &options, &upkeep);
	if (err == TL_OK)
		tl_upkeep_free(upkeep);
	return err;
}

static const struct step preparation[] = {
	STEP("ann", "create",
         "\x84" TEAM "\xa7" "members" "\x93\xa3" "bob" "\xa3" "cat" "\xa3" "dan" "\xa4" "join" "\xa4" "open" "\xa5" "order" "\xa6" "custom"),
	STEP("bob", "send", "team"),
	STEP("ann", "send", "team"),
	STEP("dan", "create",
         "\x84" WIDE "\xa7" "members" "\x92\xa3" "bob" "\xa3" "cat" "\xa4" "join" "\xa4" "open" "\xa6" "fanout" "\xa4" "read"),
	STEP("bob", "send", "wide"),
	STEP("ann", "create", "\x82" TURN "\xa7" "members" "\x92\xa3" "bob" "\xa3" "cat"),
	STEP("ann", "update", "\x82" TURN "\xa6" "fanout" "\xa4" "read"),
};

static const struct act acts[] = {
	{"send", perform_step, STEP("cat", "send", "team")},
	{"send to somebody", perform_step, STEP("ann", "send", "d:ann:eve")},
	{"create", perform_step, STEP("eve", "create", "\x81\xa7" "members" "\x91\xa3" "bob")},
	{"update", perform_step, STEP("ann", "update", "\x82" TEAM "\xa4" "name" "\xa1" "x")},
	{"role", perform_step, STEP("ann", "role", "\x83" TEAM USER("bob") "\xa4" "role" "\xa5" "admin")},
	{"owner", perform_step, STEP("ann", "role", "\x83" TEAM USER("bob") "\xa4" "role" "\xa5" "owner")},
	{"join", perform_step, STEP("eve", "join", "\x81" TEAM)},
	{"leave", perform_step, STEP("ann", "leave", "\x81" TEAM)},
	{"add", perform_step, STEP("ann", "add", "\x82" TEAM "\xa5" "users" "\x91\xa3" "eve")},
	{"remove", perform_step, STEP("ann", "remove", "\x82" TEAM "\xa5" "users" "\x92\xa3" "bob" "\xa3" "dan")},
	{"dissolve", perform_step, STEP("ann", "dissolve", "\x81" TEAM)},
	{"read", perform_step, STEP("cat", "read", "\x82" TEAM "\xa4" "cseq" "\x02")},
	{"set", perform_step, STEP("cat", "set", "\x82" TEAM "\xa4" "mute" "\xc3")},
	{"delete some", perform_step, STEP("cat", "delete", "\x82" TEAM "\xa5" "cseqs" "\x92\x02\x03")},
	{"delete all", perform_step, STEP("cat", "delete", "\x82" TEAM "\xa3" "all" "\xc3")},
	{"recall", perform_step, STEP("bob", "recall", "\x82" TEAM "\xa4" "cseq" "\x02")},
	{"edit", perform_step, STEP("bob", "edit", "\x83" TEAM "\xa4" "cseq" "\x02" "\xa4" "body" "\xa1" "y")},
	{"block", perform_step, STEP("eve", "block", "\x82" USER("bob") "\xa2" "on" "\xc3")},
	{"send, on read", perform_step, STEP("cat", "send", "wide")},
	{"send, on read from now on", perform_step, STEP("bob", "send", "turn")},
	{"join, on read", perform_step, STEP("eve", "join", "\x81" WIDE)},
	{"leave, on read", perform_step, STEP("dan", "leave", "\x81" WIDE)},
	{"dissolve, on read", perform_step, STEP("dan", "dissolve", "\x81" WIDE)},
	{"pull", perform_pull, STEP("bob", "pull", "")},
	{"sweep", perform_sweep, {NULL, NULL, NULL, 0}},
	{"endings", perform_endings, STEP("ann", "dissolve", "\x81" TEAM)},
	{"upkeep", perform_upkeep, {NULL, NULL, NULL, 0}},
	{"index", perform_index, {NULL, NULL, NULL, 0}},
};

static const struct act questions[] = {
	{"hello", perform_ask, STEP("bob", "hello", "\x80")},
	{"sync", perform_ask, STEP("ann", "sync", "\x81\xa5" "after" "\x01")},
	{"history", perform_ask, STEP("bob", "history", "\x82" TEAM "\xa5" "limit" "\x01")},
	{"history, on read", perform_ask, STEP("bob", "history", "\x81" WIDE)},
	{"get", perform_ask, STEP("bob", "get", "\x82" TEAM "\xa4" "cseq" "\x02")},
	{"search in all", perform_ask, STEP("bob", "search", "\x81\xa1q\xa2hi")},
	{"search in one", perform_ask, STEP("bob", "search", "\x82\xa1q\xa2h*" TEAM)},
	{"search in an index", perform_indexed_ask, STEP("bob", "search", "\x81\xa1q\xa2hi")},
	{"search in an index by a prefix", perform_indexed_ask, STEP("bob", "search", "\x82\xa1q\xa2h*" TEAM)},
	{"convs", perform_ask, STEP("bob", "convs", "\x81\xa5" "limit" "\x01")},
	{"info", perform_ask, STEP("bob", "info", "\x81" TEAM)},
	{"members", perform_ask, STEP("bob", "members", "\x81" TEAM)},
	{"devices", perform_ask, STEP("ann", "devices", "\x80")},
	{"blocked", perform_ask, STEP("bob", "block", "\x80")},
};

enum {
	ACTS = sizeof acts / sizeof acts[0],
	QUESTIONS = sizeof questions / sizeof questions[0],
	NOT_REACHED = 0,
	REACHED = 1,
	ENDED = 255,
};

/* So that what is used without having been set is no zero by chance. */
static __attribute__((noinline)) void dirty_stack(void)
{
	volatile unsigned char bytes[32768];
	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = 0xa5;
}

static int child(const struct act *act, bool cold, unsigned n, const struct temp_dir *dir, int to)
{
	struct world world = {.dir = *dir, .to = to}, *w = &world;
	open_world(w);
	for (size_t i = 0; i < sizeof preparation / sizeof preparation[0]; i++)
		do_step(w, &preparation[i]);
	w->position++;
	if (cold) {
		tl_transaction_fini(&w->txn);
		begin_transactions(w);
	}
	dirty_stack();
	countdown = n;
	enum tl_err err = act->perform(w, act);
	bool reached = n > 0 && countdown == 0;
	countdown = 0;
	must(err == TL_OK || err == TL_NO_MEMORY, "another error than that memory ran out");
	must(err == TL_OK || reached, "it failed by itself");
	if (err != TL_OK) {
		tl_transaction_forget(&w->txn);
		w->replaying = true;
		must(act->perform(w, act) == TL_OK, "the second time");
	}
	show_all(w);
	close_world(w);
	return reached ? REACHED : NOT_REACHED;
}

/* --- in the parent --- */

static int run_child(const struct act *act, bool cold, unsigned n, char *shown, size_t *len_out)
{
	struct temp_dir dir;
	int ends[2], status;
	ssize_t got;
	assert_true(temp_dir_make(&dir));
	assert_int_equal(pipe(ends), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		signal(SIGSEGV, SIG_DFL); /* what it dies of is for the parent to tell */
		signal(SIGBUS, SIG_DFL);
		close(ends[0]);
		_exit(child(act, cold, n, &dir, ends[1]));
	}
	close(ends[1]);
	for (*len_out = 0; (got = read(ends[0], shown + *len_out, SHOWN_MAX - *len_out)) > 0;)
		*len_out += (size_t)got;
	close(ends[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	temp_dir_remove(&dir);
	if (!WIFEXITED(status))
		fail_msg("%s, allocation %u: signal %d", act->name, n, WTERMSIG(status));
	return WEXITSTATUS(status);
}

static void test_act(const struct act *act, bool cold)
{
	static char expected[SHOWN_MAX], shown[SHOWN_MAX];
	size_t expected_len, len;
	unsigned ended = 0;
	int result = REACHED;
	assert_int_equal(run_child(act, cold, 0, expected, &expected_len), NOT_REACHED);
	for (unsigned n = 1; result != NOT_REACHED; n++) {
		result = run_child(act, cold, n, shown, &len);
		ended += result == ENDED;
		if (result != ENDED && (result > REACHED || len != expected_len || memcmp(shown, expected, len) != 0))
			fail_msg("%s, allocation %u: %s", act->name, n, result > REACHED ? "it went wrong" : "something else is shown");
		if (result == NOT_REACHED && getenv("TL_VERBOSE"))
			fprintf(stderr, "%s: %u allocations, %u of them ended the process\n", act->name, n - 1, ended);
	}
}

static void test_acts(void **state)
{
	(void)state;
	for (size_t i = 0; i < ACTS; i++)
		test_act(&acts[i], false);
}

static void test_acts_after_a_start(void **state)
{
	(void)state;
	for (size_t i = 0; i < ACTS; i++)
		test_act(&acts[i], true);
}

static void test_questions(void **state)
{
	(void)state;
	for (size_t i = 0; i < QUESTIONS; i++)
		test_act(&questions[i], false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_acts), cmocka_unit_test(test_acts_after_a_start),
	                                   cmocka_unit_test(test_questions)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
