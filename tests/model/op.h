/* One operation: a message sent, or a request that changes something. How it is submitted to the store, and how the log
 * of a failure shows it. Which one comes next is chosen in op_choose.c. */
#ifndef MODEL_OP_H
#define MODEL_OP_H

#include "msgpack_writer.h"

#include <stdbool.h>
#include <stdint.h>

enum {
	USERS = 9,
	STRANGER = USERS, /* a user who is named and never does anything */
	DEVICES = 2,      /* of a user */
	DIRECTS = USERS * (USERS + 1) / 2,
	GROUPS = 48,      /* ids that are used to create groups and channels */
	MADE = 16,        /* groups and channels whose ids the server makes */
	CONVERSATIONS = DIRECTS + GROUPS + MADE,
	NOWHERE = -1,     /* no conversation */
	NOBODY = -1,
	IDS = 40,         /* message ids that are used again and again */
	RIDS = 3,         /* of requests to create without an id */
	NONE = -1,        /* no message id, no rid */
	BODY_MAX = 120 * 1024,
	NAMED_MAX = 12,   /* users that a request names */
	CSEQS_MAX = 8,    /* entries that a request names */
};

enum op_kind {
	OP_SEND,
	OP_CREATE,
	OP_UPDATE,
	OP_ROLE,
	OP_DISSOLVE,
	OP_JOIN,
	OP_LEAVE,
	OP_ADD,
	OP_REMOVE,
	OP_READ,
	OP_SET,
	OP_DELETE,
	OP_BLOCK,
	OP_RECALL,
	OP_EDIT,
	OP_KINDS,
};

/* The settings of a group or channel. The values are indexes into setting_texts; 0 is the default. */
enum setting {
	SETTING_NAME,
	SETTING_HISTORY,
	SETTING_JOIN,
	SETTING_POST,
	SETTING_ORDER,
	SETTING_FANOUT,
	SETTING_RETENTION,
	SETTINGS,
};
enum { HISTORY_ALL, HISTORY_JOINED };
enum { JOIN_INVITE, JOIN_OPEN };
enum { POST_MEMBERS, POST_ADMINS };
enum { ORDER_SERVER, ORDER_CUSTOM };
enum { FANOUT_AUTO, FANOUT_WRITE, FANOUT_READ };
enum kind { KIND_GROUP, KIND_CHANNEL, KIND_DIRECT };
enum role { ROLE_MEMBER, ROLE_ADMIN, ROLE_MUTED, ROLE_OWNER };
enum { RETENTION_DEFAULT, RETENTION_DAYS, RETENTION_HOURS, RETENTION_SHORT };
enum { FLAG_MUTE = 1, FLAG_PIN = 2 };

extern const char *const op_names[OP_KINDS]; /* as on the wire */
extern const char *const setting_keys[SETTINGS];
extern const char *const setting_texts[SETTINGS][4]; /* ended by NULL where there are fewer */
extern const char *const kind_texts[];
extern const char *const role_texts[];

/* Bytes that are made from where they were first used. */
struct body {
	uint64_t n; /* of the operation */
	uint32_t len;
};

struct op {
	uint64_t n;
	enum op_kind kind;
	unsigned user, device;
	int conversation; /* NOWHERE: a create without an id */
	uint64_t ts;      /* ms, of acceptance */

	/* send */
	bool by_uid; /* to the other user rather than to the conversation */
	bool has_order, has_time, has_type, has_ctype, has_props;
	uint64_t order;
	int id;

	struct body body; /* send, edit */

	/* create, update: which settings are given, as bits, and their values */
	unsigned given, values[SETTINGS];
	enum kind group_kind; /* create */
	int rid;              /* create */

	unsigned users[NAMED_MAX], user_count; /* create, add, remove; role, block: one */
	enum role role;
	unsigned flags_given, flags;          /* set: FLAG_… */
	bool has_on, on;                      /* block */
	uint64_t cseq;                        /* read, recall, edit */
	uint64_t cseqs[CSEQS_MAX], cseq_count; /* delete */
	bool has_cseqs, all;                  /* delete */
};

struct name {
	char text[32];
};

struct name user_name(unsigned user);
struct name device_name(unsigned device);
struct name id_name(int id);

/* The direct chats are the first conversations: (0,0) (0,1) … (1,1) (1,2) … */
bool is_direct(int conversation);
void pair_of(int conversation, unsigned *first, unsigned *second);
int index_of_pair(unsigned one, unsigned other);
unsigned other_of(int conversation, unsigned user);

/* The bytes of a body, valid until the next call in this process. */
struct tl_slice body_bytes(const struct body *body);

/* Whether they are the same bytes. */
bool body_equal(const struct body *a, const struct body *b);

/* What a message's metadata are, beyond those in the op. */
const char *op_type(const struct op *op);
const char *op_ctype(const struct op *op);
struct name op_prop(const struct op *op); /* the value of the property "k" */

/* Packs the arguments of an operation that is a request; `cid` is the conversation's id (not used without one). */
void op_pack(struct tl_pack *pack, const struct op *op, const char *cid);

/* Whether both are requests to create with the same user and the same arguments. */
bool op_same_create(const struct op *a, const struct op *b);

/* One line for the log of a failure. */
void op_describe(const struct op *op, const char *cid, char *out, size_t size);

#endif
