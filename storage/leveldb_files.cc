#include "leveldb_files.h"

#include "crc32c.h"
#include "varint.h"

#include <cerrno>
#include <cstring>
#include <unistd.h>

namespace timeline {

leveldb::Status errno_status(const std::string &path)
{
	return errno == ENOENT ? leveldb::Status::NotFound(path, strerror(errno)) :
	                         leveldb::Status::IOError(path, strerror(errno));
}

/* A block as it stands in a table, with a byte for its compression and the masked checksum of all that behind it. */
static bool is_sound(const leveldb::Slice &block)
{
	enum { CHECKSUM = 4, TRAILER = 1 + CHECKSUM };
	if (block.size() < TRAILER)
		return false;
	size_t len = block.size() - CHECKSUM;
	uint32_t crc = tl_crc32c(block.data(), len);
	uint32_t masked = (crc >> 15 | crc << 17) + 0xa282ead8U, stored = 0;
	for (size_t i = CHECKSUM; i-- > 0;)
		stored = stored << 8 | static_cast<unsigned char>(block.data()[len + i]);
	return masked == stored;
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

} // namespace timeline
