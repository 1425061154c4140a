/* LevelDB's files as leveldb_env.cc has them. */
#ifndef TL_LEVELDB_FILES_H
#define TL_LEVELDB_FILES_H

#include "leveldb_opening.h"

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

namespace timeline {

/* A table. LevelDB reads a block at a time, from several threads, but first of all the footer. It checks blocks when it is told
 * to, and never the footer, the index and the filters, nor what it merges; here all is checked. */
class TableFile final : public leveldb::RandomAccessFile {
public:
	/* Takes the descriptor; calls `on_failure` when something cannot be read. */
	TableFile(const std::string &path, int fd, std::function<void()> on_failure)
		: path_(path), fd_(fd), on_failure_(std::move(on_failure))
	{
	}
	~TableFile() override;

	leveldb::Status Read(uint64_t offset, size_t len, leveldb::Slice *result, char *scratch) const override;

private:
	leveldb::Status read(uint64_t offset, size_t len, leveldb::Slice *result, char *scratch) const;

	const std::string path_;
	const int fd_;
	const std::function<void()> on_failure_;
	mutable std::atomic<bool> has_footer_{false};
};

/* A table that is being written. LevelDB flushes after each block; but nobody reads of a table before all of it is synced. */
class NewTableFile final : public leveldb::WritableFile {
public:
	/* `keep_name` syncs the directory that it is in. */
	NewTableFile(leveldb::WritableFile *file, std::function<leveldb::Status()> keep_name)
		: file_(file), keep_name_(std::move(keep_name))
	{
	}

	leveldb::Status Append(const leveldb::Slice &bytes) override { return file_->Append(bytes); }
	leveldb::Status Flush() override { return leveldb::Status::OK(); }
	leveldb::Status Sync() override
	{
		leveldb::Status status = file_->Sync();
		return status.ok() ? keep_name_() : status;
	}
	leveldb::Status Close() override { return file_->Close(); }

private:
	const std::unique_ptr<leveldb::WritableFile> file_;
	const std::function<leveldb::Status()> keep_name_;
};

/* A log that is being written, by one thread at a time. `present` is where the environment finds it. */
class LogFile final : public leveldb::WritableFile {
public:
	/* `settles`: it is synced before the next one, and never has much that is not. */
	LogFile(leveldb::WritableFile *file, LogFile **present, bool settles)
		: file_(file), present_(present), settles_(settles)
	{
		*present_ = this;
	}
	~LogFile() override
	{
		if (*present_ == this)
			*present_ = nullptr;
	}

	leveldb::Status Append(const leveldb::Slice &bytes) override
	{
		unsynced_ += bytes.size();
		leveldb::Status status = file_->Append(bytes);
		return status.ok() && unsynced_ >= UNSYNCED_MAX ? settle() : status;
	}
	leveldb::Status Flush() override { return file_->Flush(); }
	leveldb::Status Sync() override
	{
		leveldb::Status status = file_->Sync();
		if (status.ok())
			unsynced_ = 0;
		return status;
	}
	leveldb::Status Close() override { return file_->Close(); }

	leveldb::Status settle() { return settles_ && unsynced_ > 0 ? Sync() : leveldb::Status::OK(); }

private:
	enum { UNSYNCED_MAX = 1024 * 1024 }; /* bytes */

	const std::unique_ptr<leveldb::WritableFile> file_;
	LogFile **const present_;
	const bool settles_;
	size_t unsynced_ = 0;
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

/* A file that is read once, when the database is opened. */
class SequentialFile : public leveldb::SequentialFile {
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

/* Such a file made of records: a log, or the manifest. It ends where a loss of power may have torn it. That is among the last bytes of
 * a log, and in the last record of a manifest, of which each is synced before the next one. What is damaged elsewhere is left to
 * LevelDB, or an error. A log that does not follow the one before it (Opening) is empty, and so are all behind it. */
class RecordFile final : public SequentialFile {
public:
	/* Of `size` bytes. */
	RecordFile(leveldb::SequentialFile *file, Failure *failure, Opening *opening, bool is_manifest, uint64_t size)
		: SequentialFile(file, failure), opening_(opening), is_manifest_(is_manifest), size_(size)
	{
	}

	leveldb::Status Read(size_t len, leveldb::Slice *result, char *scratch) override;

private:
	enum { TORN_MAX = 16 * 1024 * 1024 }; /* bytes: more than LogFile leaves unsynced, and a large batch */

	leveldb::Status end_if_torn(size_t block, const leveldb::Slice &rest);
	leveldb::Status end_if_last(size_t block, const leveldb::Slice &rest);
	bool is_short(const leveldb::Slice &rest) const;
	bool note_part(leveldb::Slice part);
	bool note_record();

	Opening *const opening_;
	const bool is_manifest_;
	const uint64_t size_;
	uint64_t offset_ = 0; /* of the next block */
	bool ended_ = false;
	bool in_record_ = false;
	std::string record_;  /* the one at hand; of a batch, the beginning */
	bool any_ = false;    /* record has been read */
};

/* Of a system call on the file that has failed, by errno. */
leveldb::Status errno_status(const std::string &path);

/* As LevelDB's own, which on a 32-bit system may be made for small numbers: where a file has a larger one (as on XFS or NFS), it
 * takes the list for complete there, and has no size for the file. */
leveldb::Status list_directory(const std::string &dir, std::vector<std::string> *names_out);
leveldb::Status file_size(const std::string &path, uint64_t *size_out);

} // namespace timeline

#endif
