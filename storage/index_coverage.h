/* Whether the search index covers every conversation, which the database notes from one start to the next (TL_META_INDEX).
 * While search is off the index does not learn of new messages; so when it is on again, as with a database from before
 * there was one, or with an index of another version, everything is indexed anew (index_work.h). */
#ifndef TL_INDEX_COVERAGE_H
#define TL_INDEX_COVERAGE_H

#include "database.h"

/* Brings the note up to date, before the indexer is opened or, `search` false, where there will be none; what is to be
 * indexed anew is marked for it. Synced. Called while nothing else writes to the database. Errors are those of reading and of
 * committing. */
TL_MUST_USE enum tl_err tl_index_coverage_update(struct tl_database *database, bool search);

#endif
