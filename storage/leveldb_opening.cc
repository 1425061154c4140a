#include "leveldb_opening.h"

#include "varint.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>

namespace timeline {

/* --- the manifest: records of fields, each with a tag (LevelDB's version_edit.cc) --- */

enum tag {
	COMPARATOR = 1,      /* name */
	LOG_NUMBER = 2,      /* number */
	NEXT_FILE = 3,       /* number */
	LAST_SEQUENCE = 4,   /* number */
	COMPACT_POINTER = 5, /* level, key */
	DELETED_FILE = 6,    /* level, number */
	NEW_FILE = 7,        /* level, number, size, smallest and largest key */
	PREVIOUS_LOG = 9,    /* number */
};

static bool take_number(leveldb::Slice *edit, uint64_t *number_out)
{
	const unsigned char *begin = reinterpret_cast<const unsigned char *>(edit->data()), *next = begin;
	if (!tl_varint_get(&next, begin + edit->size(), number_out))
		return false;
	edit->remove_prefix(static_cast<size_t>(next - begin));
	return true;
}

static bool skip_bytes(leveldb::Slice *edit)
{
	uint64_t len;
	if (!take_number(edit, &len) || len > edit->size())
		return false;
	edit->remove_prefix(static_cast<size_t>(len));
	return true;
}

bool Opening::note_field(leveldb::Slice *edit)
{
	uint64_t tag, number, size, level;
	if (!take_number(edit, &tag))
		return false;
	switch (tag) {
	case COMPARATOR:
		return skip_bytes(edit);
	case LOG_NUMBER:
		if (!take_number(edit, &number))
			return false;
		next_sequence_ = number == first_log_ ? next_sequence_ : 0;
		first_log_ = number;
		return true;
	case LAST_SEQUENCE: /* behind the log's number, in each record; the next log was begun after the first of them */
		if (!take_number(edit, &number))
			return false;
		next_sequence_ = next_sequence_ > 0 ? next_sequence_ : number + 1;
		return true;
	case NEXT_FILE:
	case PREVIOUS_LOG:
		return take_number(edit, &number);
	case COMPACT_POINTER:
		return take_number(edit, &level) && skip_bytes(edit);
	case DELETED_FILE:
		if (!take_number(edit, &level) || !take_number(edit, &number))
			return false;
		tables_.erase(number);
		return true;
	case NEW_FILE:
		if (!take_number(edit, &level) || !take_number(edit, &number) || !take_number(edit, &size))
			return false;
		tables_[number] = size;
		return skip_bytes(edit) && skip_bytes(edit);
	default:
		return false;
	}
}

/* What cannot be read LevelDB complains of. */
void Opening::note_edit(leveldb::Slice edit)
{
	while (!edit.empty() && note_field(&edit))
		;
}

static std::string name_of(uint64_t number, const char *suffix)
{
	char name[40];
	snprintf(name, sizeof name, "%06" PRIu64 ".%s", number, suffix);
	return name;
}

static bool has_log_behind(const std::vector<std::string> &names, const std::string &log)
{
	return std::any_of(names.begin(), names.end(), [&log](const std::string &name) {
		bool is_log = name.size() > 4 && name.compare(name.size() - 4, 4, ".log") == 0;
		return is_log && (name.size() > log.size() || (name.size() == log.size() && name > log));
	});
}

/* A log that is not synced may have lost its name with the power, but not one after which another one was begun. */
leveldb::Status Opening::check(leveldb::Env *system, const std::string &dir, const std::vector<std::string> &names) const
{
	const std::string log = name_of(first_log_, "log");
	if (first_log_ > 0 && std::find(names.begin(), names.end(), log) == names.end() && (synced_ || has_log_behind(names, log)))
		return leveldb::Status::Corruption("missing log", dir + "/" + log);
	for (const auto &table : tables_) {
		const std::string path = dir + "/" + name_of(table.first, "ldb");
		uint64_t size = 0;
		if (system->GetFileSize(path, &size).ok() && size < table.second)
			return leveldb::Status::Corruption("the end is missing", path);
	}
	return leveldb::Status::OK();
}

/* --- logs: batches, each beginning with its sequence number and how many it takes --- */

static uint64_t little_endian(const char *bytes, size_t len)
{
	uint64_t value = 0;
	while (len-- > 0)
		value = value << 8 | static_cast<unsigned char>(bytes[len]);
	return value;
}

bool Opening::note_batch(leveldb::Slice batch, bool first)
{
	if (batch.size() < BATCH_HEAD)
		return true; /* LevelDB passes over it */
	uint64_t sequence = little_endian(batch.data(), 8);
	if (first && next_sequence_ > 0 && (at_most_ ? sequence > next_sequence_ : sequence != next_sequence_))
		return false;
	next_sequence_ = sequence + little_endian(batch.data() + 8, 4);
	at_most_ = false;
	return true;
}

void Opening::note_damage()
{
	if (synced_)
		next_sequence_ = 0;
}

} // namespace timeline
