/* Random operations of all kinds through storage/store.h, compared with a naive model that keeps everything in arrays.
 *
 *     parent: the model ──── fork ────► child: opens the store, lets it apply its queue, compares everything with the
 *        ▲                                     model, then submits and reads at random, closes and reopens at times
 *        └── pipe: what has been accepted ─────┘   killed with SIGKILL at a random moment, or left to end by itself
 *
 * A life is one data directory; its seed says how the store is set up, what the operations are, how many children it
 * takes and about when they are killed. See (O1) and (O3) in model.h, (O2) in child.h. The parent never opens a store:
 * LevelDB's thread would not survive the fork.
 *
 *     test_model [-s seed] [-o operations of a life] [seconds, default 20]
 *
 * Lives follow one another until the time is over. The seed (or TL_SEED in the environment) is the first one's: what a
 * failure prints repeats it, up to the moments of the kills.
 */
#include "check.h"
#include "checks.h"
#include "temp_dir.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	LIFE_OPS = 3000,  /* at most, unless told otherwise */
	CHILD_OPS = 900,  /* at most */
	BURST = 40,       /* operations at most without waiting for them */
	KILL_US = 4000,   /* at most after the operation */
};

/* Of all lives, one after the other. */
static struct shared *shared;

/* --- the child --- */

/* While the store may be behind. */
static void read_something(struct child *child)
{
	struct rng *rng = &child->rng;
	unsigned user = below(rng, USERS);
	int conversation = (int)below(rng, CONVERSATIONS);
	if (chance(rng, 60))
		conversation = DIRECTS + (int)below(rng, 8);
	child_tick(child);
	switch (below(rng, 6)) {
	case 0:
		check_hello(child, user);
		break;
	case 1:
		check_devices(child, user);
		break;
	case 2:
		check_history_lagging(child, conversation, user);
		break;
	case 3:
		check_standing_lagging(child, conversation, user);
		break;
	default:
		check_sync(child, user);
	}
}

static void compare_something(struct child *child)
{
	struct rng *rng = &child->rng;
	unsigned user = below(rng, USERS);
	int conversation = (int)below(rng, CONVERSATIONS);
	if (chance(rng, 60))
		conversation = DIRECTS + (int)below(rng, 8);
	child_tick(child);
	switch (below(rng, 9)) {
	case 0:
		check_info(child, conversation, user);
		break;
	case 1:
		check_members(child, conversation, user);
		break;
	case 2:
		check_convs(child, user);
		break;
	case 3:
		check_get(child, conversation, user);
		break;
	case 4:
		check_inbox(child, user);
		break;
	case 6:
		check_blocked(child, user);
		break;
	case 5:
		check_standing(child, conversation, user);
		break;
	default:
		check_history(child, conversation, user, false);
	}
}

static void compare_all(struct child *child)
{
	for (unsigned user = 0; user < USERS; user++) {
		child_tick(child);
		check_devices(child, user);
		check_blocked(child, user);
		check_inbox(child, user);
		check_convs(child, user);
		for (int i = 0; i < CONVERSATIONS; i++) {
			check_info(child, i, user);
			check_members(child, i, user);
			check_standing(child, i, user);
			check_history(child, i, user, true);
			check_get(child, i, user);
		}
	}
}

static void submit_some(struct child *child, size_t end)
{
	for (unsigned left = 1 + below(&child->rng, BURST); left > 0 && child->model->next < end; left--) {
		child_submit(child);
		while (chance(&child->rng, 25))
			read_something(child);
	}
}

static void run_child(struct child *child, size_t end)
{
	child_init(child);
	child_open(child);
	child_settle(child);
	compare_all(child);
	while (child->model->next < end) {
		submit_some(child, end);
		if (chance(&child->rng, 5)) {
			child_close(child);
			child_open(child);
		}
		if (chance(&child->rng, 50))
			continue;
		child_settle(child);
		for (unsigned left = 1 + below(&child->rng, 10); left > 0; left--)
			compare_something(child);
	}
	child_settle(child);
	compare_all(child);
	child_close(child);
	child_fini(child);
}

/* --- the parent --- */

/* One data directory. */
struct life {
	struct rng rng;
	struct temp_dir dir;
	struct setup setup;
	struct model *model;
	size_t ops; /* all that it has */
};

/* One child's part of it. */
struct part {
	struct rng rng; /* the child's */
	size_t end;     /* the operation where it ends by itself */
	bool to_be_killed;
	size_t kill_at; /* the operation after which it is killed … */
	unsigned kill_us; /* … this much later */
	pid_t pid;
	int pipe;
	bool killed;
};

static void start_child(struct life *life, struct part *part)
{
	int ends[2];
	CHECK(pipe(ends) == 0);
	fflush(NULL);
	part->pid = fork();
	CHECK(part->pid >= 0);
	if (part->pid == 0) {
		close(ends[0]);
		struct child child = {.dir = life->dir.path, .setup = &life->setup, .shared = shared,
		                      .rng = part->rng, .pipe = ends[1], .model = life->model};
		check_model(life->model);
		run_child(&child, part->end);
		model_fini(life->model);
		exit(0);
	}
	close(ends[1]);
	part->pipe = ends[0];
}

static void kill_child(struct part *part)
{
	const struct timespec pause = {.tv_nsec = (long)part->kill_us * 1000};
	nanosleep(&pause, NULL);
	CHECK(kill(part->pid, SIGKILL) == 0);
	part->killed = true;
}

static void hear(struct model *model, const struct news *news)
{
	if (news->answer) {
		model_answer(model, news->cid, news->owner);
		return;
	}
	CHECK(news->n == model->next);
	model_apply(model);
}

/* Follows what the child says until it is gone; true if it ended as it should. */
static bool follow(struct model *model, struct part *part)
{
	struct news news;
	int status;
	if (part->to_be_killed && part->kill_at <= model->next)
		kill_child(part);
	while (read(part->pipe, &news, sizeof news) == (ssize_t)sizeof news) {
		hear(model, &news);
		if (part->to_be_killed && !part->killed && model->next >= part->kill_at)
			kill_child(part);
	}
	close(part->pipe);
	CHECK(waitpid(part->pid, &status, 0) == part->pid);
	if (WIFEXITED(status) || (part->killed && WTERMSIG(status) == SIGKILL))
		return !WIFEXITED(status) || WEXITSTATUS(status) == 0;
	fprintf(stderr, "the process has died of signal %d\n", WTERMSIG(status));
	check_model(model);
	check_show();
	return false;
}

/* After a kill nobody can tell which checkpoints have been kept. */
static void forget_checkpoints(void)
{
	for (unsigned user = 0; user < USERS; user++)
		for (unsigned device = 0; device < DEVICES; device++)
			shared->devices[user][device].certain = false;
}

static void forget_shared(void)
{
	const struct device new_device = {.certain = true};
	memset(shared, 0, sizeof *shared);
	shared->now = 1700000000000;
	for (unsigned user = 0; user < USERS; user++)
		for (unsigned device = 0; device < DEVICES; device++)
			shared->devices[user][device] = new_device;
}

static bool run_part(struct life *life, struct part *part)
{
	struct rng *rng = &life->rng;
	size_t count = 50 + below(rng, CHILD_OPS - 50), begin = life->model->next;
	*part = (struct part){.rng = {rng_next(rng)}, .end = begin + count, .to_be_killed = chance(rng, 75)};
	if (part->end > life->ops)
		part->end = life->ops;
	part->kill_at = begin + below(rng, (unsigned)count);
	part->kill_us = below(rng, KILL_US);
	start_child(life, part);
	bool ok = follow(life->model, part);
	if (part->killed)
		forget_checkpoints();
	return ok;
}

static uint64_t now(void)
{
	return shared->now;
}

/* The last child is one that has ended by itself, having compared everything. */
static bool live(uint64_t seed, struct model *model, size_t ops)
{
	struct life life = {.rng = {seed}, .model = model};
	struct part part = {.killed = true};
	bool ok = true;
	unsigned parts = 0;
	life.setup = setup_choose(&life.rng);
	life.setup.now = now;
	life.ops = ops > 0 ? ops : 200 + below(&life.rng, LIFE_OPS - 200);
	CHECK(temp_dir_make(&life.dir));
	forget_shared();
	model_init(model, seed, &life.setup.limits);
	while (ok && (model->next < life.ops || part.killed)) {
		ok = run_part(&life, &part);
		parts++;
	}
	printf("seed %" PRIu64 ": %zu operations, %u processes\n", seed, model->next, parts);
	if (!ok)
		fprintf(stderr, "again: test_model -s %" PRIu64 " -o %zu 1\n", seed, life.ops);
	model_fini(model);
	temp_dir_remove(&life.dir);
	return ok;
}

static uint64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static size_t parse_ops(const char *text)
{
	size_t ops = strtoull(text, NULL, 10);
	if (ops > 0 && ops <= OPS_MAX)
		return ops;
	fprintf(stderr, "test_model: a life has 1 to %d operations\n", OPS_MAX);
	exit(2);
}

int main(int argc, char **argv)
{
	const char *given = getenv("TL_SEED");
	struct rng seeds = {given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL) ^ (uint64_t)getpid() << 32};
	size_t ops = 0;
	for (int option; (option = getopt(argc, argv, "s:o:")) != -1;)
		if (option == 's')
			seeds.state = strtoull(optarg, NULL, 10);
		else if (option == 'o')
			ops = parse_ops(optarg);
		else
			return 2;
	uint64_t seconds = optind < argc ? strtoull(argv[optind], NULL, 10) : 20, end_ms = now_ms() + seconds * 1000;
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct model *model = calloc(1, sizeof *model);
	CHECK(shared != MAP_FAILED && model != NULL);
	bool ok = true;
	for (uint64_t seed = seeds.state; ok && now_ms() < end_ms; seed = rng_next(&seeds))
		ok = live(seed, model, ops);
	munmap(shared, sizeof *shared);
	free(model);
	return ok ? 0 : 1;
}
