/* Searches: a message that history shows is found by a word of its own, and nothing that it does not show. */
#include "checks.h"

#include "check.h"

#include <inttypes.h>
#include <stdio.h>

enum { WORD_MAX = 24 };

/* A word that is in a body, and in no other but repetitions; false if it has none. */
static bool word_of(const struct body *body, char word[WORD_MAX])
{
	int len = snprintf(word, WORD_MAX, "%" PRIu64, body->n);
	return body->len > (uint32_t)len && body->n % 4 != 0; /* those may be no text */
}

static void pack_search(struct tl_pack *args, const char *word, const char *cid, struct tl_slice cursor)
{
	tl_pack_clear(args);
	tl_pack_map(args, 3U + (cursor.len > 0));
	tl_pack_cstr(args, "q");
	tl_pack_cstr(args, word);
	tl_pack_cstr(args, "conv");
	tl_pack_cstr(args, cid);
	tl_pack_cstr(args, "limit");
	tl_pack_uint(args, 100);
	if (cursor.len > 0) {
		tl_pack_cstr(args, "cursor");
		tl_pack_str(args, cursor);
	}
}

/* Whether the message is on the page. */
static bool check_found(const struct conversation *c, unsigned user, uint64_t cseq, struct tl_slice page)
{
	struct list list = get_list(page, "messages");
	struct tl_slice message;
	bool found = false;
	while (list_next(&list, &message)) {
		uint64_t other = get_uint(message, "cseq");
		CHECK(model_visible(c, user, other) && model_is_message(model_entry(c, other)));
		CHECK(!model_deleted(c, user, other) && !model_entry(c, other)->recalled);
		found |= other == cseq;
	}
	return found;
}

static bool finds(struct child *child, const struct conversation *c, unsigned user, uint64_t cseq, const char *word)
{
	struct reading reading;
	struct tl_pack args;
	struct cursor cursor = {.len = 0};
	bool found = false, more = true;
	tl_pack_init(&args);
	while (more && !found) {
		pack_search(&args, word, c->cid, cursor_text(&cursor));
		child_read(child, "search", user, 0, tl_pack_bytes(&args), &reading);
		CHECK(reading.err == TL_OK);
		found = check_found(c, user, cseq, reading.map);
		more = take_cursor(reading.map, &cursor);
		reading_fini(&reading);
	}
	tl_pack_fini(&args);
	return found;
}

void check_search(struct child *child, int conversation, unsigned user)
{
	const struct conversation *c = &child->model->conversations[conversation];
	char word[WORD_MAX];
	check_about((int)user, conversation);
	if (!model_alive(c) || !model_present(c, user) || c->count == 0)
		return;
	uint64_t cseq = 1 + below(&child->rng, (unsigned)c->count);
	const struct entry *entry = model_entry(c, cseq);
	if (!model_is_message(entry) || !model_visible(c, user, cseq) || model_deleted(c, user, cseq) || entry->recalled ||
	    model_fate(c, entry, child->shared->now) != FATE_KEPT || !word_of(&entry->versions[entry->version_count - 1], word))
		return;
	CHECK(finds(child, c, user, cseq, word));
}
