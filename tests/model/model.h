/* The naive model: everything that has happened, in arrays, and what clients/PROTOCOL.md says of it. What a user sees
 * is worked out from all that has happened each time it is asked for, and nothing is kept that could be counted.
 *
 *   (O1) Operation n depends on the seed and on what became of the operations before it, and on nothing else. So
 *        numbers are all that it takes to follow, and outcomes can be foretold.
 *   (O3) Two things the protocol leaves to the server: the id of a conversation created without one, and who of several
 *        equally senior members becomes the owner. They are questions: until model_answer nothing can be applied.
 *   (O4) Operations come in stretches with pauses between them. All those of a stretch are applied before the next one
 *        begins, and until then no clock goes beyond model_latest_time. Of what may or may not have expired meanwhile,
 *        there are no operations whose outcome depends on it. */
#ifndef MODEL_MODEL_H
#define MODEL_MODEL_H

#include "error.h"
#include "op.h"

#include <stddef.h>

enum {
	PERIODS_KEPT = 32,   /* memberships that are kept apart */
	STRETCH_OPS = 200,   /* operations without a pause */
	LEAD_MS = 2000,      /* by which the clock may be ahead of the operations */
};
#define NO_REFERENCE UINT32_MAX

/* The limits of a life. */
struct limits {
	uint64_t dedup_window_ms, recall_window_ms, edit_window_ms;
	uint64_t max_body, max_members, max_conversations;
	uint64_t usual_body; /* bytes of most bodies at most */
	uint64_t inbox_ttl_ms, inbox_max, retention_ms; /* 0: for ever, any number */
	bool retention; /* conversations may have short ones */
	bool on_read; /* messages may enter an inbox only when the user syncs */
	bool search;
};

/* What an event says, beside what the operation that made it has said. */
struct event {
	unsigned by;
	unsigned users[NAMED_MAX], user_count;
	unsigned changed; /* create, update: settings; set: FLAG_… */
	int owner;        /* NOBODY: none */
	uint64_t cseq;    /* 0: none */
	uint64_t cseqs[CSEQS_MAX];
	unsigned cseq_count;
};

/* A message or event in a conversation. */
struct entry {
	uint64_t n;  /* of the operation */
	uint64_t ts; /* ms */
	struct body *versions; /* of a message's body, the first one first; NULL: an event */
	size_t version_count, version_room;
	uint64_t last_edit; /* number of the operation that has made the last version */
	struct event event;
	bool recalled;
	uint32_t deleted_by;        /* users, as bits */
	uint32_t references[USERS]; /* where it stands in their lists; NO_REFERENCE: nowhere */
};

struct period {
	uint64_t from, to; /* cseq, both included */
};

struct member {
	bool present;
	enum role role; /* the owner's stands in the conversation */
	uint64_t since, read, cleared;
	bool mute, pin;
	struct period *periods; /* former memberships, the first one first */
	size_t period_count, period_room;
};

struct conversation {
	char cid[40];
	bool exists, dissolved;
	bool left_by_all; /* how it was dissolved */
	enum kind kind;
	unsigned settings[SETTINGS];
	unsigned owner;
	uint64_t created; /* number of the operation */
	uint64_t retention_ms, shortest_ms; /* of now, and the shortest one ever; 0: for ever */
	struct entry *entries; /* cseq 1 first */
	size_t count, room;
	struct member members[USERS];
};

/* An event for one user alone. */
struct private {
	uint64_t n;
	int conversation; /* NOWHERE: about none */
	struct event event;
	uint32_t reference;
};

/* One of the entries that a user gets. */
struct reference {
	int conversation;
	uint64_t cseq;  /* 0: a private one … */
	size_t private; /* … this one */
	bool quiet;     /* the user had muted the conversation */
	uint32_t previous, next; /* of the same conversation, or private; NO_REFERENCE: none */
};

/* All that a user gets, in the order of the operations. */
struct inbox {
	struct reference *references;
	size_t count, room;
	struct private *privates;
	size_t private_count, private_room;
};

/* What `info` says. */
struct info {
	int conversation;
	enum kind kind;
	unsigned settings[SETTINGS];
	unsigned owner;
	uint64_t head, count;
};

/* What becomes of an operation. */
struct result {
	enum tl_err err;
	uint64_t cseq, ts; /* send */
	bool dup;          /* send */
	struct info info;  /* create, update, role, join, add, remove */
	uint64_t unread_least, unread_most; /* read */
};

static inline struct result outcome(enum tl_err err)
{
	return (struct result){.err = err};
}

struct question {
	enum { QUESTION_NONE, QUESTION_CID, QUESTION_OWNER } what;
	int conversation;
	uint32_t candidates; /* for owner, as bits */
};

struct model {
	uint64_t seed;
	struct limits limits;
	struct conversation conversations[CONVERSATIONS];
	struct inbox inboxes[USERS];
	uint32_t blocked[USERS]; /* whom each has blocked, as bits; the stranger too */
	struct op *ops;
	struct result *results;
	size_t next, ops_room, results_room; /* the operation to come */
	struct question question;
};

void model_init(struct model *model, uint64_t seed, const struct limits *limits);
void model_fini(struct model *model);

/* The operation to come (op_choose.c). */
struct op op_choose(const struct model *model);

/* Does the operation to come; it may leave a question. */
void model_apply(struct model *model);

/* Answers it: the id, or the owner. */
void model_answer(struct model *model, const char *cid, unsigned owner);

/* --- asking --- */

/* The user's standing in a conversation that exists. */
enum rank { RANK_NONE, RANK_MUTED, RANK_MEMBER, RANK_ADMIN, RANK_OWNER };
enum rank model_rank(const struct model *model, int conversation, unsigned user);
const char *model_role(const struct conversation *conversation, unsigned user);

/* Whether there is one that is not dissolved. */
bool model_alive(const struct conversation *conversation);

/* Whether the user is in it now; whether the user is or was in it. */
bool model_present(const struct conversation *conversation, unsigned user);
bool model_knows(const struct conversation *conversation, unsigned user);

/* Whether the user may send there, an order key apart. */
enum tl_err model_may_send(const struct model *model, int conversation, unsigned user);

/* The last place that the user may look at, and whether an entry can be seen. */
uint64_t model_last(const struct conversation *conversation, unsigned user);
bool model_visible(const struct conversation *conversation, unsigned user, uint64_t cseq);
bool model_deleted(const struct conversation *conversation, unsigned user, uint64_t cseq);

/* Whether an edit's event has a body for one to whom the event itself is shown; the fate of its message apart. */
bool model_shows_edit(const struct conversation *conversation, unsigned user, const struct entry *event);

/* What has become of an entry as of `now`, ms. Where a conversation's messages were to live for a shorter time once,
 * the store may have let them go then, or not have come to it. */
enum fate { FATE_KEPT, FATE_UNCERTAIN, FATE_EXPIRED };
enum fate model_fate(const struct conversation *conversation, const struct entry *entry, uint64_t now);
bool model_expired(uint64_t ts, uint64_t ttl_ms, uint64_t now);

/* How many messages are unread, of those that are kept; `least`: of those only that are certainly kept. */
uint64_t model_unread(const struct model *model, int conversation, unsigned user, uint64_t now, bool least);

/* When operations are submitted, and the latest time at which one can be applied, in ms (O4). */
uint64_t model_time(const struct model *model, uint64_t n);
uint64_t model_latest_time(const struct model *model, uint64_t n);

unsigned model_count(const struct conversation *conversation);      /* members of now */
unsigned model_conversations(const struct model *model, unsigned user); /* that the user is in now … */
unsigned model_groups(const struct model *model, unsigned user);        /* … direct chats apart */
struct info model_info(const struct model *model, int conversation);
bool model_is_custom(const struct conversation *conversation);

const struct entry *model_entry(const struct conversation *conversation, uint64_t cseq);
bool model_is_message(const struct entry *entry);

/* The conversation of that id, NOWHERE if there is none. */
int model_find(const struct model *model, const void *cid, size_t len);

/* --- for the operations (model_group.c, model_message.c, model_own.c) --- */

/* A list with room for one more element. */
void *grown(void *list, size_t count, size_t *room, size_t element);

/* Appends an entry to the conversation and to the members' lists. */
struct entry *model_append(struct model *model, const struct op *op, int conversation);

/* Appends an event to the user's list alone. */
struct event *model_append_private(struct model *model, const struct op *op, int conversation);

/* Gives the conversation the retention that it is set to. */
void model_retain(const struct model *model, struct conversation *conversation);

void model_come(struct conversation *conversation, unsigned user, uint64_t since);
void model_go(struct conversation *conversation, unsigned user);

/* One who was muted is so no longer. */
void model_make_owner(struct conversation *conversation, unsigned user);

/* TL_OK if the user is a member, in a group or channel, of at least this rank. */
enum tl_err model_require(const struct model *model, const struct op *op, enum rank rank);

struct result model_send(struct model *model, const struct op *op);
struct result model_create(struct model *model, const struct op *op);
struct result model_update(struct model *model, const struct op *op);
struct result model_set_role(struct model *model, const struct op *op);
struct result model_dissolve(struct model *model, const struct op *op);
struct result model_join(struct model *model, const struct op *op);
struct result model_leave(struct model *model, const struct op *op);
struct result model_add(struct model *model, const struct op *op);
struct result model_remove(struct model *model, const struct op *op);
struct result model_read(struct model *model, const struct op *op);
struct result model_set(struct model *model, const struct op *op);
struct result model_delete(struct model *model, const struct op *op);
struct result model_block(struct model *model, const struct op *op);
struct result model_recall(struct model *model, const struct op *op);
struct result model_edit(struct model *model, const struct op *op);

#endif
