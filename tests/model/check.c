#include "check.h"

#include "model.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
	LAST = 25,          /* operations shown whatever they are about */
	LAST_ABOUT = 60,    /* operations shown about the conversation in question */
};

static const struct model *at_hand;
static _Thread_local int about_user = NOBODY, about_conversation = NOWHERE;
static _Thread_local char asked[200];

void check_model(const struct model *model)
{
	at_hand = model;
}

void check_about(int user, int conversation)
{
	about_user = user;
	about_conversation = conversation;
}

/* Keys and short strings are readable as they are, numbers as hexadecimal. */
void check_asked(const char *op, const void *args, size_t len)
{
	const unsigned char *p = args;
	size_t at = (size_t)snprintf(asked, sizeof asked, "%s ", op);
	for (size_t i = 0; i < len && at + 4 < sizeof asked; i++)
		at += (size_t)snprintf(asked + at, sizeof asked - at, p[i] > 0x20 && p[i] < 0x7f ? "%c" : "\\%02x", p[i]);
}

static void print_op(uint64_t n)
{
	const struct op *op = &at_hand->ops[n];
	const struct result *result = &at_hand->results[n];
	char text[600];
	op_describe(op, op->conversation == NOWHERE ? "(made)" : at_hand->conversations[op->conversation].cid, text,
	            sizeof text);
	fprintf(stderr, "  %s -> %s", text, tl_err_wire(result->err));
	if (result->cseq > 0)
		fprintf(stderr, " cseq %llu%s", (unsigned long long)result->cseq, result->dup ? " dup" : "");
	fputc('\n', stderr);
}

/* The last of the operations about a conversation, or of all. */
static void print_last(unsigned most, int conversation)
{
	uint64_t from = at_hand->next;
	for (unsigned count = 0; from > 0 && count < most; from--)
		count += conversation == NOWHERE || at_hand->ops[from - 1].conversation == conversation;
	for (uint64_t n = from; n < at_hand->next; n++)
		if (conversation == NOWHERE || at_hand->ops[n].conversation == conversation)
			print_op(n);
}

static void print_limits(const struct limits *limits)
{
	fprintf(stderr, "inbox_ttl %llu inbox_max %llu retention %llu, %s; fan-out %s\n",
	        (unsigned long long)limits->inbox_ttl_ms, (unsigned long long)limits->inbox_max,
	        (unsigned long long)limits->retention_ms, limits->retention ? "short ones too" : "long ones only",
	        limits->on_read ? "of any kind" : "on write");
}

void check_show(void)
{
	if (!at_hand)
		return;
	print_limits(&at_hand->limits);
	fprintf(stderr, "the last operations, as the model has them:\n");
	print_last(LAST, NOWHERE);
	if (about_conversation != NOWHERE) {
		fprintf(stderr, "those about %s:\n", at_hand->conversations[about_conversation].cid);
		print_last(LAST_ABOUT, about_conversation);
	}
	if (about_user != NOBODY)
		fprintf(stderr, "it is about %s; asked last: %s\n", user_name((unsigned)about_user).text, asked);
}

void check_failed(const char *condition, const char *file, int line)
{
	const char *slash = strrchr(file, '/');
	fprintf(stderr, "%s:%d: %s does not hold\n", slash ? slash + 1 : file, line, condition);
	check_show();
	_exit(1);
}
