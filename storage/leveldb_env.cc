#include "leveldb_env.h"

#include <leveldb/env.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <mutex>
#include <string>
#include <unistd.h>

namespace {

leveldb::Status errno_status(const std::string &path)
{
	return errno == ENOENT ? leveldb::Status::NotFound(path, strerror(errno)) :
	                         leveldb::Status::IOError(path, strerror(errno));
}

/* CRC-32C, eight bytes at a time. */
class Crc32c {
public:
	Crc32c()
	{
		for (uint32_t i = 0; i < 256; i++) {
			uint32_t crc = i;
			for (int bit = 0; bit < 8; bit++)
				crc = (crc >> 1) ^ (crc & 1 ? 0x82f63b78U : 0);
			table_[0][i] = crc;
		}
		for (uint32_t i = 0; i < 256; i++)
			for (size_t t = 1; t < 8; t++)
				table_[t][i] = (table_[t - 1][i] >> 8) ^ table_[0][table_[t - 1][i] & 0xff];
	}

	uint32_t of(const char *data, size_t len) const
	{
		const unsigned char *p = reinterpret_cast<const unsigned char *>(data);
		uint32_t crc = 0xffffffffU;
		for (; len >= 8; p += 8, len -= 8) {
			uint32_t low = crc ^ u32_at(p);
			uint32_t high = u32_at(p + 4);
			crc = table_[7][low & 0xff] ^ table_[6][low >> 8 & 0xff] ^ table_[5][low >> 16 & 0xff] ^ table_[4][low >> 24] ^
			      table_[3][high & 0xff] ^ table_[2][high >> 8 & 0xff] ^ table_[1][high >> 16 & 0xff] ^ table_[0][high >> 24];
		}
		for (; len > 0; p++, len--)
			crc = (crc >> 8) ^ table_[0][(crc ^ *p) & 0xff];
		return ~crc;
	}

	/* Little-endian, as LevelDB has it. */
	static uint32_t u32_at(const unsigned char *p)
	{
		return static_cast<uint32_t>(p[0]) | static_cast<uint32_t>(p[1]) << 8 | static_cast<uint32_t>(p[2]) << 16 |
		       static_cast<uint32_t>(p[3]) << 24;
	}

private:
	uint32_t table_[8][256] = {};
};

const Crc32c crc32c;

/* A block as it is in a table, with a byte for its compression and the masked checksum of all that behind it. */
bool is_sound(const leveldb::Slice &block)
{
	enum { CHECKSUM = 4, TRAILER = 1 + CHECKSUM };
	if (block.size() < TRAILER)
		return false;
	size_t len = block.size() - CHECKSUM;
	uint32_t crc = crc32c.of(block.data(), len);
	uint32_t masked = ((crc >> 15) | (crc << 17)) + 0xa282ead8U;
	return masked == Crc32c::u32_at(reinterpret_cast<const unsigned char *>(block.data()) + len);
}

/* A table. LevelDB reads a block at a time, from several threads. First of all, on one thread, it reads the footer, the index, the
 * list of filters and the filter, and checks none of them; the blocks that it reads later it is told to check. */
class TableFile final : public leveldb::RandomAccessFile {
public:
	TableFile(const std::string &path, int fd) : path_(path), fd_(fd) {}

	~TableFile() override { close(fd_); }

	leveldb::Status Read(uint64_t offset, size_t len, leveldb::Slice *result, char *scratch) const override
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
		if (reads_ < OPENING && reads_++ > 0 && done == len && !is_sound(*result))
			return leveldb::Status::Corruption("block checksum mismatch", path_);
		return leveldb::Status::OK();
	}

private:
	enum { OPENING = 4 }; /* reads, the footer's among them */

	const std::string path_;
	const int fd_;
	mutable std::atomic<int> reads_{0};
};

/* What went wrong first. */
class Failure {
public:
	void note(const leveldb::Status &status)
	{
		const std::lock_guard<std::mutex> guard(mutex_);
		if (first_.ok())
			first_ = status;
	}

	void forget()
	{
		const std::lock_guard<std::mutex> guard(mutex_);
		first_ = leveldb::Status::OK();
	}

	leveldb::Status status()
	{
		const std::lock_guard<std::mutex> guard(mutex_);
		return first_;
	}

private:
	std::mutex mutex_;
	leveldb::Status first_;
};

/* A file that is read once, when the database is opened: a log, the manifest. */
class SequentialFile final : public leveldb::SequentialFile {
public:
	SequentialFile(leveldb::SequentialFile *file, Failure *failure) : file_(file), failure_(failure) {}

	leveldb::Status Read(size_t len, leveldb::Slice *result, char *scratch) override
	{
		return note(file_->Read(len, result, scratch));
	}

	leveldb::Status Skip(uint64_t len) override { return note(file_->Skip(len)); }

private:
	leveldb::Status note(leveldb::Status status)
	{
		failure_->note(status);
		return status;
	}

	const std::unique_ptr<leveldb::SequentialFile> file_;
	Failure *const failure_;
};

class Environment final : public leveldb::EnvWrapper {
public:
	explicit Environment(leveldb::Env *system) : EnvWrapper(system) {}

	void begin() { failure_.forget(); }

	leveldb::Status NewSequentialFile(const std::string &path, leveldb::SequentialFile **file_out) override
	{
		leveldb::SequentialFile *file = nullptr;
		leveldb::Status status = target()->NewSequentialFile(path, &file);
		failure_.note(status);
		*file_out = file ? new SequentialFile(file, &failure_) : nullptr;
		return status;
	}

	/* LevelDB makes a log before it lets go of those it has read. */
	leveldb::Status NewWritableFile(const std::string &path, leveldb::WritableFile **file_out) override
	{
		*file_out = nullptr;
		const leveldb::Status failed = failure_.status();
		if (!failed.ok())
			return failed;
		return target()->NewWritableFile(path, file_out);
	}

	leveldb::Status NewRandomAccessFile(const std::string &path, leveldb::RandomAccessFile **file_out) override
	{
		int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
		if (fd < 0) {
			*file_out = nullptr;
			return errno_status(path);
		}
		*file_out = new TableFile(path, fd);
		return leveldb::Status::OK();
	}

private:
	Failure failure_;
};

/* The C interface's leveldb_env_t begins with the environment it stands for. */
leveldb::Env *env_of(const leveldb_env_t *wrapped)
{
	leveldb::Env *env;
	memcpy(&env, wrapped, sizeof env);
	return env;
}

void set_env(leveldb_env_t *wrapped, leveldb::Env *env)
{
	memcpy(wrapped, &env, sizeof env);
}

} // namespace

leveldb_env_t *tl_leveldb_env_new(void)
{
	leveldb_env_t *wrapped = leveldb_create_default_env();
	/* A LevelDB that keeps it elsewhere has its own way of reading. */
	if (env_of(wrapped) == leveldb::Env::Default())
		set_env(wrapped, new Environment(leveldb::Env::Default()));
	return wrapped;
}

void tl_leveldb_env_begin(leveldb_env_t *wrapped)
{
	leveldb::Env *env = env_of(wrapped);
	if (env != leveldb::Env::Default())
		static_cast<Environment *>(env)->begin();
}

void tl_leveldb_env_free(leveldb_env_t *wrapped)
{
	if (!wrapped)
		return;
	leveldb::Env *env = env_of(wrapped);
	if (env != leveldb::Env::Default()) {
		set_env(wrapped, leveldb::Env::Default());
		delete env;
	}
	leveldb_env_destroy(wrapped);
}
