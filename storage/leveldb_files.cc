#include "leveldb_files.h"

#include "crc32c.h"
#include "varint.h"

#include <cerrno>
#include <cstring>
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

namespace timeline {

leveldb::Status errno_status(const std::string &path)
{
	return errno == ENOENT ? leveldb::Status::NotFound(path, strerror(errno)) :
	                         leveldb::Status::IOError(path, strerror(errno));
}

leveldb::Status list_directory(const std::string &dir, std::vector<std::string> *names_out)
{
	names_out->clear();
	DIR *stream = opendir(dir.c_str());
	if (!stream)
		return errno_status(dir);
	errno = 0;
	for (const struct dirent *entry; (entry = readdir(stream)); errno = 0)
		names_out->emplace_back(entry->d_name);
	leveldb::Status status = errno == 0 ? leveldb::Status::OK() : errno_status(dir);
	closedir(stream);
	return status;
}

leveldb::Status file_size(const std::string &path, uint64_t *size_out)
{
	struct stat file;
	*size_out = 0;
	if (stat(path.c_str(), &file) != 0)
		return errno_status(path);
	*size_out = static_cast<uint64_t>(file.st_size);
	return leveldb::Status::OK();
}

enum { CHECKSUM = 4 /* bytes */ };

/* Whether the masked checksum that is stored there is that of the bytes. */
static bool has_checksum(const char *bytes, size_t len, const char *checksum)
{
	uint32_t crc = tl_crc32c(bytes, len);
	uint32_t masked = (crc >> 15 | crc << 17) + 0xa282ead8U, stored = 0;
	for (size_t i = CHECKSUM; i-- > 0;)
		stored = stored << 8 | static_cast<unsigned char>(checksum[i]);
	return masked == stored;
}

/* A block as it stands in a table, with a byte for its compression and the checksum of all that behind it. */
static bool is_sound(const leveldb::Slice &block)
{
	enum { TRAILER = 1 + CHECKSUM };
	if (block.size() < TRAILER)
		return false;
	size_t len = block.size() - CHECKSUM;
	return has_checksum(block.data(), len, block.data() + len);
}

/* Whether the two blocks that a footer names lie before it. LevelDB would make room for whatever size it says. */
static bool is_sound_footer(const leveldb::Slice &footer, uint64_t footer_offset)
{
	const unsigned char *next = reinterpret_cast<const unsigned char *>(footer.data()), *end = next + footer.size();
	for (int block = 0; block < 2; block++) {
		uint64_t offset, len;
		if (!tl_varint_get(&next, end, &offset) || !tl_varint_get(&next, end, &len) || offset > footer_offset ||
		    len > footer_offset - offset)
			return false;
	}
	return true;
}

TableFile::~TableFile()
{
	close(fd_);
}

leveldb::Status TableFile::read(uint64_t offset, size_t len, leveldb::Slice *result, char *scratch) const
{
	size_t done = 0;
	while (done < len) {
		ssize_t got = pread(fd_, scratch + done, len - done, static_cast<off_t>(offset + done));
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			*result = leveldb::Slice();
			return errno_status(path_);
		}
		if (got == 0)
			break; /* shorter than it says: LevelDB sees that */
		done += static_cast<size_t>(got);
	}
	*result = leveldb::Slice(scratch, done);
	bool is_footer = !has_footer_.exchange(true, std::memory_order_relaxed);
	if (done == len && !(is_footer ? is_sound_footer(*result, offset) : is_sound(*result)))
		return leveldb::Status::Corruption("block checksum mismatch", path_);
	return leveldb::Status::OK();
}

leveldb::Status TableFile::Read(uint64_t offset, size_t len, leveldb::Slice *result, char *scratch) const
{
	leveldb::Status status = read(offset, len, result, scratch);
	if (!status.ok())
		on_failure_();
	return status;
}

/* --- records: a checksum of what follows the length, the length, a type, and so many bytes. None goes beyond its block: what is
 * longer is cut into a first one, ones in the middle, and a last one --- */

enum { RECORD_HEADER = CHECKSUM + 2 + 1 };
enum { WHOLE = 1, FIRST = 2, LAST = 4 }; /* types; of those in the middle, 3 */

/* What the header at the beginning says. */
static size_t record_length(const leveldb::Slice &bytes)
{
	const unsigned char *header = reinterpret_cast<const unsigned char *>(bytes.data());
	return header[CHECKSUM] | static_cast<size_t>(header[CHECKSUM + 1]) << 8;
}

/* How long the record at the beginning is, with its header; 0: there is none. */
static size_t record_size(const leveldb::Slice &bytes)
{
	if (bytes.size() < RECORD_HEADER)
		return 0;
	size_t len = record_length(bytes);
	bool sound = len <= bytes.size() - RECORD_HEADER &&
	             has_checksum(bytes.data() + RECORD_HEADER - 1, 1 + len, bytes.data());
	return sound ? RECORD_HEADER + len : 0;
}

/* Whether something begins in there that is sound. Where a record is not, the next one may be anywhere. */
static bool has_beginning(leveldb::Slice bytes)
{
	for (size_t size; bytes.size() >= RECORD_HEADER; bytes.remove_prefix(size > 0 ? size : 1)) {
		size = record_size(bytes);
		char type = bytes[RECORD_HEADER - 1];
		if (size > 0 && (type == WHOLE || type == FIRST))
			return true;
	}
	return false;
}

/* A manifest ends where nothing begins any more. Otherwise it is damaged, and LevelDB needs no more of it to find that out. */
leveldb::Status RecordFile::end_if_last(size_t block, const leveldb::Slice &rest)
{
	std::string scratch(block, '\0');
	leveldb::Slice bytes = rest;
	leveldb::Status status;
	while (status.ok() && bytes.size() > 0) {
		if (has_beginning(bytes))
			return leveldb::Status::Corruption("damaged record in the manifest");
		status = SequentialFile::Read(block, &bytes, &scratch[0]);
	}
	ended_ = status.ok();
	return status;
}

leveldb::Status RecordFile::end_if_torn(size_t block, const leveldb::Slice &rest)
{
	if (is_manifest_)
		return end_if_last(block, rest);
	ended_ = size_ - (offset_ - rest.size()) <= TORN_MAX;
	return leveldb::Status::OK();
}

/* The file ends within a record. */
bool RecordFile::is_short(const leveldb::Slice &rest) const
{
	return offset_ >= size_ && RECORD_HEADER + record_length(rest) > rest.size();
}

/* False: the record must not be there. */
bool RecordFile::note_record()
{
	bool first = !any_;
	any_ = true;
	if (is_manifest_)
		opening_->note_edit(record_);
	return is_manifest_ || opening_->note_batch(record_, first);
}

/* A record's only part, or its first one, or one in the middle, or the last one. */
bool RecordFile::note_part(leveldb::Slice part)
{
	const int type = part[RECORD_HEADER - 1];
	part.remove_prefix(RECORD_HEADER);
	if (type == WHOLE || type == FIRST)
		record_.clear();
	in_record_ = type == WHOLE || type == FIRST || in_record_;
	size_t room = is_manifest_ ? part.size() : Opening::BATCH_HEAD - record_.size();
	record_.append(part.data(), part.size() < room ? part.size() : room);
	if ((type != WHOLE && type != LAST) || !in_record_)
		return true;
	in_record_ = false;
	return note_record();
}

leveldb::Status RecordFile::Read(size_t len, leveldb::Slice *result, char *scratch)
{
	if (ended_) {
		*result = leveldb::Slice();
		return leveldb::Status::OK();
	}
	leveldb::Status status = SequentialFile::Read(len, result, scratch);
	if (!status.ok())
		return status;
	offset_ += result->size();
	leveldb::Slice rest = *result;
	for (size_t size; !ended_ && (size = record_size(rest)) > 0;) {
		ended_ = !note_part(leveldb::Slice(rest.data(), size));
		rest.remove_prefix(ended_ ? 0 : size);
	}
	/* In a whole block there is no room for a record behind the last one. */
	if (!ended_ && rest.size() >= RECORD_HEADER) {
		if (!is_manifest_ && !is_short(rest))
			opening_->note_damage();
		status = end_if_torn(len, rest);
	}
	if (ended_)
		*result = leveldb::Slice(result->data(), result->size() - rest.size());
	return status;
}

} // namespace timeline
