#include "index_merge.h"

#include <stdlib.h>

void tl_index_merge_begin(struct tl_index_merge *merge, struct tl_engine *engine, struct tl_batch *batch,
                          uint64_t conversation_no, struct tl_directory *directory, uint32_t first, uint32_t count,
                          uint64_t floor)
{
	struct tl_segment segment = {
		.id = directory->next_id++,
		.from = directory->segments[first].from,
		.to = directory->segments[first + count - 1].to,
	};
	merge->active = true;
	merge->conversation_no = conversation_no;
	merge->floor = floor;
	merge->count = count;
	memcpy(merge->inputs, directory->segments + first, count * sizeof merge->inputs[0]);
	merge->term.len = 0;
	merge->cseq = 0;
	tl_index_output_begin(&merge->output, engine, batch, conversation_no, &segment);
}

/* The inputs while a step reads them. */
struct inputs {
	uint32_t count;
	struct tl_snapshot *snapshot;
	struct tl_iter *iters[TL_INDEX_MERGE_MAX];
	struct tl_posting_scan *scans[TL_INDEX_MERGE_MAX]; /* newest first: of equal terms, its postings come first */
};

static void inputs_fini(struct inputs *inputs)
{
	for (uint32_t i = 0; i < inputs->count; i++) {
		tl_iter_free(inputs->iters[i]);
		free(inputs->scans[i]);
	}
	tl_snapshot_free(inputs->snapshot);
}

/* Positions an input behind the last posting written. */
static enum tl_err open_input(const struct tl_index_merge *merge, struct inputs *inputs, uint32_t i)
{
	struct tl_engine *engine = merge->output.engine;
	struct tl_partition partition = tl_partition(TL_PART_INDEX, merge->conversation_no);
	uint64_t cseq = merge->term.len > 0 ? merge->cseq - 1 : UINT64_MAX;
	if (!(inputs->scans[i] = malloc(sizeof *inputs->scans[i])))
		return TL_NO_MEMORY;
	enum tl_err err = tl_iter_new(engine, inputs->snapshot, partition, false, &inputs->iters[i]);
	if (err != TL_OK)
		return err;
	tl_iter_pass_damage(inputs->iters[i]); /* what is missing is noticed (index_segment.h) */
	return tl_posting_seek(inputs->scans[i], inputs->iters[i], &merge->inputs[merge->count - 1 - i],
	                       tl_index_term_slice(&merge->term), cseq);
}

static enum tl_err inputs_init(struct inputs *inputs, const struct tl_index_merge *merge)
{
	*inputs = (struct inputs){.count = merge->count};
	enum tl_err err = tl_snapshot_of_present(merge->output.engine, &inputs->snapshot);
	for (uint32_t i = 0; i < merge->count && err == TL_OK; i++)
		err = open_input(merge, inputs, i);
	if (err != TL_OK)
		inputs_fini(inputs);
	return err;
}

/* The input whose posting comes next, NULL at the end of all. */
static struct tl_posting_scan *next_input(struct inputs *inputs)
{
	struct tl_posting_scan *least = NULL;
	for (uint32_t i = 0; i < inputs->count; i++) {
		struct tl_posting_scan *scan = inputs->scans[i];
		if (!scan->there)
			continue;
		int order = least ? tl_slice_compare(tl_index_term_slice(&scan->scan.chunk.term),
		                                     tl_index_term_slice(&least->scan.chunk.term))
		                  : -1;
		if (order < 0 || (order == 0 && scan->cseq > least->cseq))
			least = scan;
	}
	return least;
}

/* Until the batch was committed or all is read. */
static enum tl_err copy(struct tl_index_merge *merge, struct inputs *inputs, bool *committed_out)
{
	struct tl_posting_scan *scan;
	enum tl_err err = TL_OK;
	*committed_out = false;
	while (err == TL_OK && !*committed_out && (scan = next_input(inputs)) != NULL) {
		struct tl_slice term = tl_index_term_slice(&scan->scan.chunk.term);
		if (scan->cseq > merge->floor)
			err = tl_index_output_add(&merge->output, term, scan->cseq, committed_out);
		tl_index_term_set(&merge->term, term);
		merge->cseq = scan->cseq;
		if (err == TL_OK)
			err = tl_posting_next(scan);
	}
	return err;
}

/* The directory names the new segment in place of the inputs. */
static enum tl_err finish(struct tl_index_merge *merge)
{
	struct tl_directory directory;
	struct tl_index_output *output = &merge->output;
	struct tl_segment segment = tl_index_output_end(output);
	enum tl_err err = tl_directory_read(output->engine, NULL, merge->conversation_no, &directory);
	if (err != TL_OK)
		return err;
	uint32_t first = tl_directory_find(&directory, merge->inputs[0].id);
	if (first + merge->count > directory.segment_count)
		return TL_CORRUPT;
	tl_directory_remove_garbage(&directory, segment.id);
	if (directory.next_id <= segment.id)
		directory.next_id = segment.id + 1;
	if (!tl_directory_has_room(&directory, merge->count))
		return TL_CORRUPT;
	tl_directory_replace(&directory, first, merge->count, &segment);
	tl_directory_put(&directory, merge->conversation_no, output->writer.batch);
	merge->active = false;
	return TL_OK;
}

enum tl_err tl_index_merge_step(struct tl_index_merge *merge)
{
	struct inputs inputs;
	bool committed;
	enum tl_err err = inputs_init(&inputs, merge);
	if (err == TL_OK) {
		err = copy(merge, &inputs, &committed);
		inputs_fini(&inputs);
	}
	if (err == TL_OK && !committed)
		err = finish(merge);
	if (err != TL_OK)
		merge->active = false;
	return err;
}
