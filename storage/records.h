/* Every partition of the database and every record in it, encoded and decoded: the code behind storage/FORMAT.md.
 * Nothing else in the program knows how a record looks. Decoders point into the bytes they are given and answer false
 * where those are not what they should be. */
#ifndef TL_RECORDS_H
#define TL_RECORDS_H

#include "engine.h"
#include "id.h"
#include "msgpack_reader.h"
#include "msgpack_writer.h"
#include "slice.h"

#include <stdbool.h>
#include <stdint.h>

enum { TL_FORMAT_VERSION = 4 };

/* Above all numbers that are ever given: to users, conversations, buckets and segments of the index. */
static const uint64_t TL_NUMBERS_END = UINT64_MAX / 4;

enum tl_partition_kind {
	TL_PART_META = 'm',               /* the database itself; number 0 */
	TL_PART_USER_NAMES = 'U',         /* uid → user number; number 0 */
	TL_PART_CONVERSATION_NAMES = 'C', /* cid → conversation number; number 0 */
	TL_PART_USER = 'u',               /* one user's own record */
	TL_PART_DEVICES = 'k',            /* one user's devices */
	TL_PART_INBOX = 'i',              /* one user's inbox timeline */
	TL_PART_USER_CONVERSATIONS = 'l', /* the conversations that one user is in */
	TL_PART_LEFT_CONVERSATIONS = 'L', /* those that one user has left */
	TL_PART_BACKLOG = 'r',            /* what has yet to enter one user's inbox, of conversations with fan-out on read */
	TL_PART_CONVERSATION = 'c',       /* one conversation's own record */
	TL_PART_MEMBERS = 'M',            /* one conversation's members, those of now */
	TL_PART_FORMER = 'P',             /* what one conversation's former members may still see */
	TL_PART_CUSTOM_ORDER = 'o',       /* one conversation's messages by their order keys */
	TL_PART_DELETED = 'x',            /* the messages that one user has deleted for himself */
	TL_PART_BLOCKED = 'b',            /* whom one user has blocked: the list */
	TL_PART_BLOCKED_BY = 'B',         /* who has blocked whom, by the one who is blocked; number 0 */
	TL_PART_STORE = 's',              /* one conversation's store timeline */
	TL_PART_DUE = 'e',                /* which timelines have to be looked at when; numbered by tl_due_kind */
	TL_PART_DEDUP = 'd',              /* one bucket of message ids of late */
	TL_PART_INDEX = 't',              /* one conversation's part of the search index */
	TL_PART_INDEX_QUEUE = 'q',        /* what the indexer has to do; numbers in index_queue.h */
};

/* What is kept of one user, or of one conversation, and mostly read together, lies side by side. */
enum tl_partition_family {
	TL_FAMILY_NONE,
	TL_FAMILY_USER,
	TL_FAMILY_CONVERSATION,
};

static inline enum tl_partition_family tl_partition_family_of(enum tl_partition_kind kind)
{
	switch (kind) {
	case TL_PART_USER:
	case TL_PART_DEVICES:
	case TL_PART_INBOX:
	case TL_PART_USER_CONVERSATIONS:
	case TL_PART_LEFT_CONVERSATIONS:
	case TL_PART_BACKLOG:
	case TL_PART_DELETED:
	case TL_PART_BLOCKED:
		return TL_FAMILY_USER;
	case TL_PART_CONVERSATION:
	case TL_PART_MEMBERS:
	case TL_PART_FORMER:
	case TL_PART_CUSTOM_ORDER:
	case TL_PART_STORE:
		return TL_FAMILY_CONVERSATION;
	case TL_PART_META:
	case TL_PART_USER_NAMES:
	case TL_PART_CONVERSATION_NAMES:
	case TL_PART_BLOCKED_BY:
	case TL_PART_DUE:
	case TL_PART_DEDUP:
	case TL_PART_INDEX:
	case TL_PART_INDEX_QUEUE:
		break;
	}
	return TL_FAMILY_NONE;
}

static inline struct tl_partition tl_partition(enum tl_partition_kind kind, uint64_t no)
{
	return (struct tl_partition){.kind = (uint8_t)kind, .no = no, .family = (uint8_t)tl_partition_family_of(kind)};
}

/* The keys of TL_PART_META. */
#define TL_META_FORMAT "format"                       /* uint: TL_FORMAT_VERSION */
#define TL_META_EPOCH "epoch"                         /* str: this life of the data directory */
#define TL_META_LIFE "life"                           /* uint: how many epochs there have been before this one; absent: none */
#define TL_META_RUN "run"                             /* how the data directory was opened last, and closed; absent: not known */
#define TL_META_SECRET "secret"                       /* uint: seed of the dedup hashes */
#define TL_META_WATERMARK "watermark"                 /* uint: queue position up to which everything is applied */
#define TL_META_INDEX "index"                         /* uint: version of the search index that covers all conversations; absent or 0: none */
#define TL_META_REINDEX "reindex"                     /* conversation id from which on all are to be indexed anew; absent: not */
#define TL_META_NEXT_USER "next_user"                 /* uint: number for the next new user */
#define TL_META_NEXT_CONVERSATION "next_conversation" /* uint: number for the next new conversation */
#define TL_META_DEDUP "dedup"                         /* the buckets of TL_PART_DEDUP */
#define TL_META_INBOX_TTL "inbox_ttl"                 /* uint: the option as of the last start, ms; so are the next three */
#define TL_META_INBOX_MAX "inbox_max"
#define TL_META_RETENTION "retention"
#define TL_META_DEVICE_TTL "device_ttl"
#define TL_META_WALK_USERS "walk_users"               /* uint: number of the user with whom to go on; 0: done */
#define TL_META_WALK_CONVERSATIONS "walk_conversations" /* uint: likewise */

/* Has the batch fail where what is about to be put into it could not be packed for want of memory. */
static inline void tl_pack_check(const struct tl_pack *pack, struct tl_batch *batch)
{
	if (pack->failed)
		tl_batch_fail(batch);
}

/* Puts what has been packed; the batch fails where that was not possible. */
static inline void tl_batch_put_pack(struct tl_batch *batch, struct tl_partition partition, struct tl_slice key,
                                     const struct tl_pack *pack)
{
	tl_pack_check(pack, batch);
	tl_batch_put(batch, partition, key, tl_pack_bytes(pack));
}

/* --- runs: how the data directory is used, or was last --- */

enum { TL_BOOT_MAX = 63 }; /* bytes of what names a boot of the machine */

struct tl_run_record {
	uint64_t durability;  /* enum tl_durability */
	struct tl_slice boot; /* of the machine; empty: not known */
	bool closed;          /* with all that it told on the disk */
};

void tl_run_record_pack(struct tl_pack *pack, const struct tl_run_record *record);
bool tl_run_record_unpack(struct tl_slice bytes, struct tl_run_record *record_out);

/* --- store timeline: one message or event --- */

struct tl_member_record;

/* The last messages of the two in a direct chat, up to and with an entry. Kept in the chat's newest entry, they spare what a
 * larger conversation does with each message: putting its sender's record, who has seen all up to it. */
struct tl_last_sends {
	uint64_t user_no;             /* who has sent the last message, 0: nobody has sent any, or it is no direct chat */
	uint64_t cseq, running;       /* its place, and the running number there */
	uint64_t other_cseq, other_running; /* the last one of the other user, 0: none */
};

/* A message of that user at that place. */
void tl_last_sends_note(struct tl_last_sends *sends, uint64_t user_no, uint64_t cseq, uint64_t running);

/* What the user has sent is seen: raises the member's record, as it was stored, to what it is. */
void tl_last_sends_apply(const struct tl_last_sends *sends, uint64_t user_no, struct tl_member_record *member);

struct tl_store_record {
	uint64_t position; /* in the ingest queue; tells on replay that the message is here already */
	uint64_t running;  /* how many messages, events not counted, the conversation has up to and with this one */
	uint64_t edit;     /* cseq of the latest edit event about this message, 0: none; it alone carries the new body */
	struct tl_last_sends sends;
	struct tl_slice message; /* the message object of PROTOCOL 4 as a map, without seq, conv and cseq */
};

void tl_store_record_pack(struct tl_pack *pack, const struct tl_store_record *record);
bool tl_store_record_unpack(struct tl_slice bytes, struct tl_store_record *record_out);

/* --- inbox timeline: a reference into a store timeline, or an event for this user alone --- */

struct tl_inbox_entry {
	uint64_t conversation_no; /* 0: about no conversation */
	uint64_t cseq;            /* 0: the event is in `message` and nowhere else */
	uint64_t ts;              /* ms, of the message, or of the entry before if later: tells when the entry expires */
	uint64_t position;        /* in the ingest queue; tells on replay that the entry is here already */
	struct tl_slice message;  /* with cseq 0: as kept in a store timeline */
};

void tl_inbox_entry_pack(struct tl_pack *pack, const struct tl_inbox_entry *entry);

/* Takes an entry of several that stand one behind the other. */
bool tl_inbox_entry_read(struct tl_reader *reader, struct tl_inbox_entry *entry_out);

/* --- users --- */

struct tl_user_record {
	struct tl_slice uid;
	uint64_t groups;   /* how many groups and channels the user is in */
	uint64_t position; /* in the ingest queue, of what changed that last; tells on replay that it is counted already */
	uint64_t ended;    /* likewise, of what dissolved the last one that has been counted afterwards (endings.h); 0: none */
};

void tl_user_record_pack(struct tl_pack *pack, const struct tl_user_record *record);
bool tl_user_record_unpack(struct tl_slice bytes, struct tl_user_record *record_out);

/* --- conversations --- */

/* What a conversation's name leads to: its number; of a direct chat also what sending to it needs, so that neither its own
 * record nor its members' are read with a message. */
struct tl_conversation_name {
	uint64_t no;
	uint64_t users[2]; /* of a direct chat: their numbers in the order of their ids, one's own twice; 0: not told */
	bool muted[2];     /* by each of them */
};

void tl_conversation_name_pack(struct tl_pack *pack, const struct tl_conversation_name *name);
bool tl_conversation_name_unpack(struct tl_slice bytes, struct tl_conversation_name *name_out);

enum tl_conversation_kind { TL_DIRECT, TL_GROUP, TL_CHANNEL };
enum tl_history { TL_HISTORY_ALL, TL_HISTORY_JOINED };
enum tl_join { TL_JOIN_INVITE, TL_JOIN_OPEN };
enum tl_post { TL_POST_MEMBERS, TL_POST_ADMINS };
enum tl_order { TL_ORDER_SERVER, TL_ORDER_CUSTOM };
enum tl_fanout { TL_FANOUT_AUTO, TL_FANOUT_WRITE, TL_FANOUT_READ };
enum tl_role { TL_ROLE_MEMBER, TL_ROLE_ADMIN, TL_ROLE_MUTED }; /* the owner stands in the conversation's own record */

/* A choice's names, in the order of its enum, ended by NULL; as on the wire. */
extern const char *const tl_conversation_kinds[];
extern const char *const tl_histories[];
extern const char *const tl_joins[];
extern const char *const tl_posts[];
extern const char *const tl_orders[];
extern const char *const tl_fanouts[];
extern const char *const tl_roles[];

/* The index of `name` in such a list, or -1. */
int tl_choice(const char *const *names, struct tl_slice name);

struct tl_conversation_record {
	struct tl_slice cid;
	struct tl_slice name;      /* empty: none */
	struct tl_slice owner;     /* uid; empty in a direct chat */
	struct tl_slice retention; /* as the client said it; empty: for ever */
	uint64_t created_by;       /* hash of the request that created it, so that a repeated one is recognised; 0: none */
	uint64_t member_count;
	uint8_t kind, history, join, post, order, fanout;
	bool dissolved;
	bool on_read; /* at present, messages do not go to the inboxes but stay in the members' backlogs: see fanout.h */
	bool no_index; /* not searched */
};

void tl_conversation_record_pack(struct tl_pack *pack, const struct tl_conversation_record *record);
bool tl_conversation_record_unpack(struct tl_slice bytes, struct tl_conversation_record *record_out);

/* A member of now, and the conversation's state for this user. */
struct tl_member_record {
	uint8_t role;
	uint64_t since;        /* cseq of joining: the first one the member gets */
	uint64_t read;         /* cseq up to which the user has read */
	uint64_t seen;         /* the greatest of read, own last send, what came before joining, cleared; of a direct chat's
	                        * member as stored without the own last send, see tl_last_sends … */
	uint64_t seen_running; /* … and the running number there: unread = the conversation's - this one */
	uint64_t cleared;      /* cseq up to which the user has deleted everything */
	bool deleted_some;     /* there is something in TL_PART_DELETED besides */
	bool mute, pin;
	uint64_t backlog;      /* cseq at which the member's backlog begins, 0: there is none, messages go to the inbox */
};

void tl_member_record_pack(struct tl_pack *pack, const struct tl_member_record *record);
bool tl_member_record_unpack(struct tl_slice bytes, struct tl_member_record *record_out);

/* What is left of a membership, or of several, after leaving. */
enum { TL_PERIODS_MAX = 32 };

struct tl_period {
	uint64_t from, to; /* cseq, both included */
};

struct tl_former_record {
	uint64_t cleared;
	bool deleted_some;
	bool muted; /* and is again after coming back */
	uint32_t count;
	struct tl_period periods[TL_PERIODS_MAX]; /* ascending; of more than fit, the latest */
};

void tl_former_record_pack(struct tl_pack *pack, const struct tl_former_record *record);
bool tl_former_record_unpack(struct tl_slice bytes, struct tl_former_record *record_out);

/* What of one membership has yet to enter the user's inbox, under the key (conversation, cseq at which it begins). */
struct tl_backlog_record {
	uint64_t pulled; /* cseq up to which everything has entered it */
	uint64_t until;  /* the last cseq that the user gets, once the membership has ended; 0: it goes on */
};

void tl_backlog_record_pack(struct tl_pack *pack, const struct tl_backlog_record *record);
bool tl_backlog_record_unpack(struct tl_slice bytes, struct tl_backlog_record *record_out);

/* A key of two numbers, for TL_PART_CUSTOM_ORDER (order key, cseq), TL_PART_DELETED (conversation, cseq), TL_PART_BACKLOG
 * (conversation, cseq) and TL_PART_DUE (time, number). */
struct tl_pair_key {
	unsigned char bytes[18];
	size_t len;
};

struct tl_slice tl_pair_key(struct tl_pair_key *key, uint64_t first, uint64_t second);
bool tl_pair_key_parse(struct tl_slice bytes, uint64_t *first_out, uint64_t *second_out);

/* A key of TL_PART_BLOCKED_BY. */
struct tl_blocked_by_key {
	char bytes[TL_ID_MAX + 1 + TL_ID_MAX];
};

/* That `blocked` is blocked by `blocker`, both valid user ids; without a `blocker` what all such keys begin with. Points into
 * `key`. */
struct tl_slice tl_blocked_by_key(struct tl_blocked_by_key *key, struct tl_slice blocked, struct tl_slice blocker);

/* --- dedup: what became of a client's message id --- */

struct tl_dedup_record {
	uint64_t cseq;
	uint64_t ts; /* ms */
};

enum { TL_DEDUP_KEY_BYTES = 12 };

/* What the sender's message id is remembered by: 96 bits of XXH3 of both, seeded with the database's
 * secret so that nobody can aim at somebody else's. */
void tl_dedup_hash(uint64_t secret, struct tl_slice sender, struct tl_slice id, unsigned char key_out[TL_DEDUP_KEY_BYTES]);
void tl_dedup_record_pack(struct tl_pack *pack, const struct tl_dedup_record *record);
bool tl_dedup_record_unpack(struct tl_slice bytes, struct tl_dedup_record *record_out);

/* Ids lie in buckets by time; see dedup.h. */
struct tl_dedup_bucket {
	uint64_t no;
	uint64_t from; /* ms: when it was begun */
	uint64_t last; /* ms: of its latest id; 0: not known, it is the newest */
};

enum { TL_DEDUP_BUCKETS_MAX = 16 };

struct tl_dedup_list {
	struct tl_dedup_bucket buckets[TL_DEDUP_BUCKETS_MAX]; /* oldest first */
	size_t count;
};

void tl_dedup_list_pack(struct tl_pack *pack, const struct tl_dedup_list *list);
bool tl_dedup_list_unpack(struct tl_slice bytes, struct tl_dedup_list *list_out);

/* --- devices --- */

struct tl_device_record {
	uint64_t checkpoint; /* the last `after` that the device itself sent */
	uint64_t seen;       /* ms: when it last synced */
	uint64_t life;       /* TL_META_LIFE then: in another life it means nothing */
};

void tl_device_record_pack(struct tl_pack *pack, const struct tl_device_record *record);
bool tl_device_record_unpack(struct tl_slice bytes, struct tl_device_record *record_out);

/* --- the ingest queue --- */

enum tl_ingest_kind {
	TL_INGEST_SEND = 0,    /* a message for a conversation or a user */
	TL_INGEST_REQUEST = 1, /* a request that changes something */
};

/* One record of the queue. A send's `message` is an encoded map whose first pair is "ts" in the fixed 9-byte form; its
 * body comes last. */
struct tl_ingest_record {
	enum tl_ingest_kind kind;
	bool to_user;            /* SEND: `target` is a uid, not a cid */
	struct tl_slice route;   /* where the answer goes; opaque to storage */
	struct tl_slice user;    /* sender */
	struct tl_slice device;
	struct tl_slice target;  /* SEND: cid or uid; REQUEST: the op's name */
	struct tl_slice id;      /* SEND: the client's message id, empty if it gave none */
	uint64_t ts;             /* REQUEST: ms, of acceptance (a send has it in the message) */
	struct tl_slice payload; /* SEND: the message; REQUEST: a map, the arguments */
};

bool tl_ingest_record_unpack(struct tl_slice bytes, struct tl_ingest_record *record_out);

/* Packs everything before the payload; the payload's bytes are to follow as they are. */
void tl_ingest_record_pack_head(struct tl_pack *pack, const struct tl_ingest_record *record);

#endif
