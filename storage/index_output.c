#include "index_output.h"

#include "index_queue.h"

void tl_index_output_begin(struct tl_index_output *output, struct tl_engine *engine, struct tl_batch *batch,
                           uint64_t conversation_no, const struct tl_segment *segment)
{
	output->engine = engine;
	output->conversation_no = conversation_no;
	output->listed = false;
	tl_segment_begin(&output->writer, batch, conversation_no, segment);
}

/* The directory as it is, but for the garbage. */
static enum tl_err list_as_garbage(struct tl_index_output *output)
{
	struct tl_directory directory;
	uint64_t id = output->writer.segment.id;
	enum tl_err err = tl_directory_read(output->engine, NULL, output->conversation_no, &directory);
	if (err != TL_OK)
		return err;
	if (!tl_directory_has_room(&directory, 1))
		return TL_CORRUPT; /* the indexer drops garbage before it makes any */
	tl_directory_add_garbage(&directory, id);
	if (directory.next_id <= id)
		directory.next_id = id + 1;
	tl_directory_put(&directory, output->conversation_no, output->writer.batch);
	tl_index_mark_upkeep(output->writer.batch, output->conversation_no, 0);
	output->listed = true;
	return TL_OK;
}

static enum tl_err commit(struct tl_index_output *output)
{
	enum tl_err err = output->listed ? TL_OK : list_as_garbage(output);
	if (err == TL_OK)
		err = tl_engine_commit(output->engine, output->writer.batch, false, NULL);
	tl_batch_clear(output->writer.batch);
	return err;
}

enum tl_err tl_index_output_add(struct tl_index_output *output, struct tl_slice term, uint64_t cseq, bool *committed_out)
{
	tl_segment_add(&output->writer, term, cseq);
	*committed_out = tl_batch_bytes(output->writer.batch) >= TL_INDEX_BATCH_BYTES;
	return *committed_out ? commit(output) : TL_OK;
}

struct tl_segment tl_index_output_end(struct tl_index_output *output)
{
	tl_segment_finish(&output->writer);
	return output->writer.segment;
}
