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
 * At times the child holds the writer while it submits, so that much comes into one batch, or group of batches: operations, pages of
 * inboxes that have to be filled up, and what upkeep has to do. In some lives the writer's commits and reads fail now and then
 * (trouble.h). Between two openings it is looked at whether the records in the database agree with each other (check_database.c).
 *
 * With -p, instead, power is lost again and again (power.h), under `group` and `strict`. What was told must be there then, in the
 * same epoch, and of what was accepted a beginning, under `strict` all of it. So it must under `os`, where it is lost only after the
 * store was closed.
 *
 *     test_model [-p] [-s seed] [-o operations of a life] [seconds, default 20]
 *
 * Lives follow one another until the time is over. The seed (or TL_SEED in the environment) is the first one's: what a
 * failure prints repeats it, up to the moments of the kills.
 */
#include "check.h"
#include "checks.h"
#include "clock.h"
#include "power.h"
#include "rng.h"
#include "temp_dir.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	LIFE_OPS = 3000,  /* at most, unless told otherwise */
	CHILD_OPS = 900,  /* at most */
	BURST = 40,       /* operations at most without waiting for them */
	ROUNDS = 5,       /* times at most, one after the other, that the writer is held */
	HELD_US = 10000,  /* at most that the writer is held for upkeep's sake */
	KILL_US = 4000,   /* at most after the operation */
	STALL_US = 2000,  /* of a sync, at most, where power may be lost … */
	SYNCS_FEW = 50,   /* … after so many of them at most … */
	SYNCS_MANY = 600, /* … or so many */
};

/* Of all lives, one after the other. */
static struct shared *shared;
static bool with_power;

/* --- the child --- */

static int pick_conversation(struct rng *rng)
{
	int any = (int)below(rng, CONVERSATIONS);
	return chance(rng, 60) ? DIRECTS + (int)below(rng, 8) : any;
}

/* While the store may be behind. */
static void read_something(struct child *child)
{
	unsigned user = below(&child->rng, USERS);
	int conversation = pick_conversation(&child->rng);
	child_tick(child);
	switch (below(&child->rng, 6)) {
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
	unsigned user = below(&child->rng, USERS);
	int conversation = pick_conversation(&child->rng);
	child_tick(child);
	switch (below(&child->rng, 9)) {
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
			if (child->setup->power && chance(&child->rng, 80)) /* more losses instead */
				continue;
			check_info(child, i, user);
			check_members(child, i, user);
			check_standing(child, i, user);
			check_history(child, i, user, true);
			check_get(child, i, user);
			if (child->setup->power)
				check_search(child, i, user);
		}
	}
}

/* Operations that the writer finds all at once, with what upkeep and devices want of it. */
static void submit_crowd(struct child *child, size_t end)
{
	struct rng *rng = &child->rng;
	child_hold(child);
	for (unsigned left = 2 + below(rng, BURST / 4); left > 0 && child->model->next < end; left--) {
		child_submit(child);
		child_tick(child);
		if (chance(rng, 10))
			usleep(below(rng, HELD_US));
		while (chance(rng, 30))
			child_wish(child);
	}
	child_let_go(child);
}

static void submit_some(struct child *child, size_t end)
{
	const struct setup *setup = child->setup;
	unsigned left = 1 + below(&child->rng, setup->power ? 3 * BURST : BURST);
	for (; left > 0 && child->model->next < end; left--) {
		bool crowd = chance(&child->rng, 20);
		if (!crowd)
			child_submit(child);
		for (unsigned round = 1 + below(&child->rng, ROUNDS); crowd && round > 0; round--)
			submit_crowd(child, end);
		while (chance(&child->rng, setup->power ? 5 : 25))
			read_something(child);
	}
}

static void run_child(struct child *child, size_t end)
{
	child_init(child);
	child_open(child);
	if (child->accepted > 0)
		child_resume(child);
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
	if (!child->setup->power)
		check_database(child);
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
	struct power *power; /* NULL: it stays on */
	struct answers answers;
	uint64_t accepted; /* before the power was lost; 0: it was not, or the model knows what is left */
	unsigned losses;
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
	bool failed; /* … by the power */
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
		struct child child = {.dir = life->power ? power_dir(life->power) : life->dir.path,
		                      .accepted = life->accepted, .answers = &life->answers, .setup = &life->setup, .shared = shared,
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

static void hear(struct life *life, const struct news *news)
{
	struct model *model = life->model;
	struct answers *answers = &life->answers;
	if (news->left) {
		life->accepted = 0;
		answers_forget(answers, news->n);
		answers_replay(answers, model, news->n);
		return;
	}
	if (news->answer) {
		answers_add(answers, news);
		model_answer(model, news->cid, news->owner);
		return;
	}
	CHECK(news->n == model->next);
	model_apply(model);
}

/* Follows what the child says until it is gone; true if it ended as it should. */
static bool follow(struct life *life, struct part *part)
{
	struct model *model = life->model;
	struct news news;
	int status;
	if (part->to_be_killed && part->kill_at <= model->next)
		kill_child(part);
	while (read(part->pipe, &news, sizeof news) == (ssize_t)sizeof news) {
		hear(life, &news);
		if (part->to_be_killed && !part->killed && model->next >= part->kill_at)
			kill_child(part);
	}
	close(part->pipe);
	CHECK(waitpid(part->pid, &status, 0) == part->pid);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && life->power && !part->killed)
		part->killed = part->failed = true;
	if (WIFEXITED(status) || (part->killed && WTERMSIG(status) == SIGKILL))
		return !WIFEXITED(status) || WEXITSTATUS(status) == 0;
	fprintf(stderr, "the process has died of signal %d\n", WTERMSIG(status));
	check_model(model);
	check_show();
	return false;
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

/* Mostly it fails in a sync. */
static void prepare_loss(struct life *life, struct part *part)
{
	struct rng *rng = &life->rng;
	unsigned stall_us = below(rng, STALL_US), fail_at = 0;
	if (part->to_be_killed && chance(rng, 60)) {
		part->kill_at = SIZE_MAX;
		fail_at = 1 + below(rng, chance(rng, 50) ? SYNCS_FEW : SYNCS_MANY);
	}
	power_prepare(life->power, stall_us, fail_at, chance(rng, 50));
}

/* The model keeps what is certain; what else is left the next child finds out. Sometimes the power stays on. */
static void lose_power(struct life *life, struct part *part)
{
	const uint64_t certain = shared->certain, accepted = life->model->next + part->killed;
	if (part->killed == part->failed && chance(&life->rng, 15))
		return;
	life->accepted = accepted > life->accepted ? accepted : life->accepted;
	life->accepted = certain > life->accepted ? certain : life->accepted;
	life->losses++;
	part->killed = true;
	power_lose(life->power, &life->rng);
	answers_replay(&life->answers, life->model, certain);
}

static bool run_part(struct life *life, struct part *part)
{
	struct rng *rng = &life->rng;
	size_t count = 50 + below(rng, (life->power ? CHILD_OPS / 2 : CHILD_OPS) - 50), begin = life->model->next;
	*part = (struct part){.rng = {rng_next(rng)}, .end = begin + count, .to_be_killed = !life->setup.os && chance(rng, 75)};
	if (part->end > life->ops)
		part->end = life->ops;
	part->kill_at = begin + below(rng, (unsigned)count);
	part->kill_us = below(rng, KILL_US);
	if (life->power)
		prepare_loss(life, part);
	start_child(life, part);
	bool ok = follow(life, part);
	if (life->power)
		lose_power(life, part);
	if (part->killed)
		forget_checkpoints(shared); /* after a kill nobody can tell which have been kept */
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
	life.setup = setup_choose(&life.rng, with_power);
	life.setup.now = now;
	life.ops = ops > 0 ? ops : 200 + below(&life.rng, LIFE_OPS - 200);
	CHECK(temp_dir_make(&life.dir));
	if (with_power) {
		life.power = power_new(life.dir.path);
		life.setup.boot_id = power_boot_id(life.power);
	}
	forget_shared();
	model_init(model, seed, &life.setup.limits);
	while (ok && (model->next < life.ops || part.killed)) {
		ok = run_part(&life, &part);
		parts++;
	}
	printf("seed %" PRIu64 ": %zu operations, %u processes, power lost %u times\n", seed, model->next, parts, life.losses);
	free(life.answers.list);
	if (!ok)
		fprintf(stderr, "again: test_model %s-s %" PRIu64 " -o %zu 1\n", with_power ? "-p " : "", seed, life.ops);
	model_fini(model);
	if (life.power)
		power_free(life.power);
	temp_dir_remove(&life.dir);
	return ok;
}

static size_t parse_ops(const char *text)
{
	size_t ops = strtoul(text, NULL, 10);
	if (ops > 0 && ops <= OPS_MAX)
		return ops;
	fprintf(stderr, "test_model: a life has 1 to %d operations\n", OPS_MAX);
	exit(2);
}

int main(int argc, char **argv)
{
	struct rng seeds = {rng_seed()};
	size_t ops = 0;
	for (int option; (option = getopt(argc, argv, "s:o:p")) != -1;)
		if (option == 's')
			seeds.state = strtoull(optarg, NULL, 10);
		else if (option == 'p')
			with_power = true;
		else if (option == 'o')
			ops = parse_ops(optarg);
		else
			return 2;
	uint64_t seconds = optind < argc ? strtoull(argv[optind], NULL, 10) : 20, end_ms = tl_monotonic_ms() + seconds * 1000;
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct model *model = calloc(1, sizeof *model);
	CHECK(shared != MAP_FAILED && model != NULL);
	bool ok = true;
	for (uint64_t seed = seeds.state; ok && tl_monotonic_ms() < end_ms; seed = rng_next(&seeds))
		ok = live(seed, model, ops);
	munmap(shared, sizeof *shared);
	free(model);
	return ok ? 0 : 1;
}
