/* What LevelDB reads when it opens a database: whether the files belong together. */
#ifndef TL_LEVELDB_OPENING_H
#define TL_LEVELDB_OPENING_H

#include <leveldb/env.h>

#include <map>
#include <string>
#include <vector>

namespace timeline {

/* Files that were copied one after the other, while the database was written to, may not; and of logs that are not synced a loss
 * of power may leave a later one without all of the earlier one. LevelDB notices only tables that are missing.
 *
 *     manifest ─► sizes of the tables, number of the first log ─► check
 *     first log, next log … ─► each begins where the one before it ended
 *
 * For the thread that opens. */
class Opening {
public:
	/* `synced`: of the logs that are to be read, each was before the next one was begun. */
	explicit Opening(bool synced) : synced_(synced) {}

	/* A record of the manifest. */
	void note_edit(leveldb::Slice edit);

	/* A record of a log, of which at least BATCH_HEAD bytes are to be given; `first`: of this log. False: it does not follow the
	 * last one of the log before. */
	bool note_batch(leveldb::Slice batch, bool first);

	/* A log is damaged: what is behind that, and in the next log, counts nevertheless if all of it had been on the disk. */
	void note_damage();

	/* Whether all that the manifest names is there, where the directory has these names. Missing tables are left to LevelDB. */
	leveldb::Status check(leveldb::Env *system, const std::string &dir, const std::vector<std::string> &names) const;

	enum { BATCH_HEAD = 8 + 4 /* bytes: sequence number, count */ };

private:
	bool note_field(leveldb::Slice *edit);

	bool synced_;
	uint64_t first_log_ = 0;              /* older ones are in tables; 0: none is named */
	std::map<uint64_t, uint64_t> tables_; /* their sizes by their numbers */
	uint64_t next_sequence_ = 0;          /* that the next log has to begin with, 0: any; … */
	bool at_most_ = true;                 /* … or with an earlier one: it is the manifest's, as of when the first log had been begun */
};

} // namespace timeline

#endif
