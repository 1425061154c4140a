/* The requests of PROTOCOL section 5, one table row each: what a request takes, whether it reads or changes, and the
 * function that does it.
 *
 *   - A request that reads runs on a reader thread, on a snapshot of the committed state.
 *   - A request that changes something goes through the ingest queue, in order with the messages, and runs on the
 *     writer thread within a transaction.
 *
 * Either answers with packed pairs, to which the layer above adds op, ok, rid and its codec. */
#ifndef TL_REQUESTS_H
#define TL_REQUESTS_H

#include "checkpoints.h"
#include "params.h"
#include "transaction.h"

enum {
	TL_PAGE_MAX = 1000,             /* messages a page holds at most */
	TL_PAGE_DEFAULT = 100,          /* messages a page holds unless asked otherwise */
	TL_PAGE_BYTES = 256 * 1024,     /* and bytes, if there is more than one message */
	TL_SEARCH_PAGE_MAX = 100,       /* messages that a page of a search holds at most */
	TL_SEARCH_PAGE_DEFAULT = 20,    /* unless asked otherwise */
	TL_REQUEST_PARAMS_MAX = 16,     /* arguments of a request at most */
	TL_NAME_MAX = 256,              /* bytes of a conversation's name */
	TL_RETENTION_MIN_MS = 1000,     /* of a conversation, unless it is for ever */
	TL_REQUEST_MAX_BYTES = 65536,   /* a request's payload, but for a body */
	TL_REQUEST_MAX_DEPTH = 8,       /* how deep a request may be nested */
	TL_PROOF_MAX = 32,              /* bytes of what a cursor carries beside its place */
};

/* Whose request, and what it says. Borrowed. */
struct tl_call {
	struct tl_slice user;
	struct tl_slice device;
	struct tl_slice raw;        /* the arguments as a packed map */
	const struct tl_arg *args;  /* parsed, in the order of the op's params */
	size_t (*weigh)(struct tl_slice packed); /* bytes that a packed item takes on the wire; NULL: as packed */
	uint64_t now;               /* ms: of acceptance if it changes something, else of now */
	bool unheard;               /* nobody will see the answer */
	struct tl_slice proof;      /* to stand in each cursor of the answer; empty: nothing is to */
	const uint64_t *pulled_floor; /* the user's inbox has been filled up for this call and began here then (pull.h); or NULL */
};

/* The pairs of a response. */
struct tl_answer {
	struct tl_pack fields;
	uint32_t field_count;
	struct tl_why why; /* on failure, for a person */
	uint64_t next;     /* of a page of `sync`: the `after` of the next one */
	uint64_t damaged;   /* number of a conversation of which something could not be read and is left out; 0: of none */
	uint64_t pull_after, pull_limit; /* on TL_AGAIN: what has to be in the user's inbox first (pull.h) */
};

struct tl_indexer;

/* What a request that reads has at hand. Any thread. */
struct tl_reading {
	const struct tl_database *database;
	struct tl_checkpoints *checkpoints;
	const struct tl_limits *limits;
	struct tl_indexer *indexer; /* NULL: nothing is indexed */
};

typedef enum tl_err (*tl_read_function)(const struct tl_reading *reading, const struct tl_call *call,
                                        struct tl_answer *answer);
typedef enum tl_err (*tl_change_function)(struct tl_transaction *txn, const struct tl_call *call,
                                          struct tl_answer *answer);

/* One of `read` and `change` is set; or both, and it depends on the arguments. */
struct tl_request {
	const char *name;
	const struct tl_param *params; /* ended by a NULL key */
	tl_read_function read;
	tl_change_function change;
	bool carries_body; /* its argument `body` may be as large as a message */
	bool notes; /* does something beside answering, even if nobody takes the answer */
	const char *changes_with; /* with both: it changes something where this argument is given, and else reads */
	/* A change that can share its batch; TL_CONFLICT: not this time, commit what is there first. The others read from the database
	 * what records before them may just have changed, or change what records after them will read there. */
	bool within_batch;
	bool lets_send;    /* a change after which somebody may send who could not before */
};

/* The request of that name, or NULL. */
const struct tl_request *tl_request_find(struct tl_slice name);

/* Whether a request with these arguments, a well-formed map, reads and changes nothing. Any thread. */
bool tl_request_reads(const struct tl_request *request, struct tl_slice raw);

/* Checks the arguments, a well-formed map, without doing anything. TL_OK or TL_BAD_REQUEST. Any thread. */
TL_MUST_USE enum tl_err tl_request_check(const struct tl_request *request, struct tl_slice raw, struct tl_why *why);

/* Does a request that reads: TL_OK, a refusal or trouble, as answer->why may explain; answer is initialised by the
 * caller and holds no pairs unless TL_OK. TL_AGAIN: the user's inbox has to be filled up first. */
TL_MUST_USE enum tl_err tl_request_read(const struct tl_request *request, const struct tl_reading *reading,
                                        struct tl_call call, struct tl_answer *answer);

/* Applies one TL_INGEST_REQUEST record. An error means that the database cannot be read or written and nothing was
 * changed. Writer thread. */
TL_MUST_USE enum tl_err tl_request_apply(struct tl_transaction *txn, const struct tl_ingest_record *record);

/* --- for the requests' own files --- */

struct tl_visibility;
typedef enum tl_err (*tl_visible_function)(const struct tl_visibility *visibility, const struct tl_call *call,
                                           struct tl_answer *answer);

/* Has a request that reads answered from what the caller may see of the conversation that its first argument names, all as of one
 * moment. TL_NOT_MEMBER as tl_visibility_open; others as tl_snapshot_new, or as the function says. Any thread. */
TL_MUST_USE enum tl_err tl_answer_visible(const struct tl_reading *reading, const struct tl_call *call,
                                          struct tl_answer *answer, tl_visible_function answer_with);

/* --- packing answers --- */

/* What has been packed since `from` takes on the wire. */
size_t tl_answer_weight(const struct tl_call *call, const struct tl_answer *answer, size_t from);

void tl_answer_init(struct tl_answer *answer);
void tl_answer_fini(struct tl_answer *answer);
void tl_answer_uint(struct tl_answer *answer, const char *key, uint64_t value);
void tl_answer_bool(struct tl_answer *answer, const char *key, bool value);
void tl_answer_str(struct tl_answer *answer, const char *key, struct tl_slice value);

/* The answer's cursor: the place where to go on, at most TL_ID_MAX bytes without a slash; and behind a slash the call's proof. */
void tl_answer_cursor(struct tl_answer *answer, const struct tl_call *call, struct tl_slice place);

/* --- the requests, in files of their own; each has its table of arguments beside it --- */

#define TL_READ(name)                                                                                                  \
	extern const struct tl_param tl_##name##_params[];                                                                 \
	enum tl_err tl_##name(const struct tl_reading *reading, const struct tl_call *call, struct tl_answer *answer)
#define TL_CHANGE(name)                                                                                                \
	extern const struct tl_param tl_##name##_params[];                                                                 \
	enum tl_err tl_##name(struct tl_transaction *txn, const struct tl_call *call, struct tl_answer *answer)

TL_READ(hello);       /* request_hello.c */
TL_READ(sync);        /* request_sync.c */
TL_READ(history);     /* request_history.c */
TL_READ(get);
TL_READ(search);      /* request_search.c */
TL_READ(convs);       /* request_convs.c */
TL_READ(info);        /* request_info.c */
TL_READ(members);
TL_READ(devices);     /* request_devices.c */
TL_CHANGE(create);    /* request_create.c */
TL_CHANGE(update);    /* request_update.c */
TL_CHANGE(role);
TL_CHANGE(dissolve);
TL_CHANGE(join);      /* request_membership.c */
TL_CHANGE(leave);
TL_CHANGE(add);
TL_CHANGE(remove);
TL_CHANGE(read);      /* request_state.c */
TL_CHANGE(set);
TL_CHANGE(delete);    /* request_delete.c */
TL_CHANGE(block);     /* request_block.c */
TL_CHANGE(recall);    /* request_recall.c */
TL_CHANGE(edit);

/* What `block` is without a user. */
enum tl_err tl_block_list(const struct tl_reading *reading, const struct tl_call *call, struct tl_answer *answer);

#undef TL_READ
#undef TL_CHANGE

/* Answers what `info` says of a conversation. */
void tl_answer_info(struct tl_answer *answer, const struct tl_conversation_record *record, uint64_t head);

#endif
