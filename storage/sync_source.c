#include "sync_source.h"

#include "expiry.h"

#include <stdlib.h>

void tl_sync_sources_init(struct tl_sync_sources *sources, struct tl_engine *engine,
                          const struct tl_snapshot *snapshot, const struct tl_limits *limits, uint64_t user_no)
{
	*sources = (struct tl_sync_sources){.engine = engine, .snapshot = snapshot, .limits = limits, .user_no = user_no};
}

void tl_sync_sources_fini(struct tl_sync_sources *sources)
{
	for (size_t i = 0; i < TL_SYNC_SOURCES; i++) {
		tl_store_reader_fini(&sources->list[i].store);
		free(sources->list[i].bytes);
	}
}

/* What the user has deleted there, as a member or as a former one. */
static enum tl_err read_deletions(const struct tl_sync_sources *sources, uint64_t no, struct tl_sync_source *source)
{
	struct tl_member_record member = {0};
	struct tl_former_record former = {0};
	enum tl_err err = tl_member_read(sources->engine, sources->snapshot, no, sources->user_no, &member);
	if (err == TL_NOT_FOUND)
		err = tl_former_read(sources->engine, sources->snapshot, no, sources->user_no, &former);
	if (err != TL_OK && err != TL_NOT_FOUND)
		return err;
	source->cleared = member.cleared > former.cleared ? member.cleared : former.cleared;
	source->deleted_some = member.deleted_some || former.deleted_some;
	return TL_OK;
}

/* Makes the source one of that conversation. */
static enum tl_err load(const struct tl_sync_sources *sources, uint64_t no, struct tl_sync_source *source)
{
	free(source->bytes);
	source->bytes = NULL;
	source->no = 0;
	if (!source->store.engine)
		tl_store_reader_init(&source->store, sources->engine, sources->snapshot);
	enum tl_err err =
		tl_conversation_read(sources->engine, sources->snapshot, no, &source->conversation, &source->bytes);
	if (err == TL_OK)
		err = tl_timeline_floor(sources->engine, sources->snapshot, tl_partition(TL_PART_STORE, no), &source->floor);
	if (err == TL_OK)
		err = read_deletions(sources, no, source);
	if (err != TL_OK)
		return err == TL_NOT_FOUND ? TL_CORRUPT : err;
	source->no = no;
	source->retention_ms = tl_retention_ms(&source->conversation, sources->limits);
	return TL_OK;
}

/* The source of that number, or the one that has not been used for the longest time. */
static struct tl_sync_source *pick(struct tl_sync_sources *sources, uint64_t no)
{
	struct tl_sync_source *oldest = &sources->list[0];
	for (size_t i = 0; i < TL_SYNC_SOURCES; i++) {
		struct tl_sync_source *source = &sources->list[i];
		if (source->no == no)
			return source;
		if (source->used < oldest->used)
			oldest = source;
	}
	return oldest;
}

enum tl_err tl_sync_source_find(struct tl_sync_sources *sources, uint64_t conversation_no,
                                struct tl_sync_source **source_out)
{
	struct tl_sync_source *source = pick(sources, conversation_no);
	enum tl_err err = source->no == conversation_no ? TL_OK : load(sources, conversation_no, source);
	if (err != TL_OK)
		return err;
	source->used = ++sources->uses;
	*source_out = source;
	return TL_OK;
}
