#include "leveldb_env.h"

#include "leveldb_files.h"

#include <atomic>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

namespace {

bool ends_with(const std::string &path, const char *suffix)
{
	size_t len = strlen(suffix);
	return path.size() >= len && path.compare(path.size() - len, len, suffix) == 0;
}

/* LevelDB's background thread is at work, which is merging tables, or writing one. */
thread_local bool working;

/* LevelDB has at most one piece of background work scheduled at a time. It waits here while it is put off:
 *
 *     Schedule ──► LevelDB's thread: run ──has to──► work
 *                         ▲            └──────────► held_ ─┐
 *                         └── a new log, hurry, opened ────┘
 */
class Environment final : public leveldb::EnvWrapper {
public:
	Environment(leveldb::Env *system, tl_leveldb_must_merge *must_merge, bool sync_logs)
		: EnvWrapper(system), opening_(sync_logs), must_merge_(must_merge), sync_logs_(sync_logs)
	{
	}

	leveldb::Status NewRandomAccessFile(const std::string &path, leveldb::RandomAccessFile **file_out) override
	{
		int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
		if (fd < 0) {
			*file_out = nullptr;
			return timeline::errno_status(path);
		}
		*file_out = new timeline::TableFile(path, fd, [this] { note_unreadable(); });
		return leveldb::Status::OK();
	}

	/* LevelDB makes a log before it lets go of those it has read, and of the one it has written. */
	leveldb::Status NewWritableFile(const std::string &path, leveldb::WritableFile **file_out) override
	{
		const bool is_log = ends_with(path, ".log");
		*file_out = nullptr;
		leveldb::Status status = failure_.status();
		if (status.ok() && is_log && log_)
			status = log_->settle();
		if (status.ok() && is_log)
			status = keep_renamed(path); /* a new database has a log only if it has CURRENT */
		if (status.ok())
			status = target()->NewWritableFile(path, file_out);
		if (status.ok() && is_log && sync_logs_)
			status = keep_names(path);
		if (!status.ok()) {
			delete *file_out;
			*file_out = nullptr;
			return status;
		}
		if (ends_with(path, ".ldb"))
			*file_out = new timeline::NewTableFile(*file_out, [path] { return keep_names(path); });
		if (is_log) {
			*file_out = new timeline::LogFile(*file_out, &log_, sync_logs_);
			note_log(1);
		}
		return status;
	}

	/* LevelDB names another manifest so. To fail afterwards would have it remove that one. */
	leveldb::Status RenameFile(const std::string &from, const std::string &to) override
	{
		leveldb::Status status = target()->RenameFile(from, to);
		if (status.ok() && ends_with(to, "/CURRENT"))
			renamed_ = true;
		return status;
	}

	/* The manifest of before may name what is removed. */
	leveldb::Status RemoveFile(const std::string &path) override
	{
		leveldb::Status status = keep_renamed(path);
		if (!status.ok())
			return status;
		if (ends_with(path, ".log"))
			note_log(-1);
		return target()->RemoveFile(path);
	}

	leveldb::Status NewSequentialFile(const std::string &path, leveldb::SequentialFile **file_out) override
	{
		leveldb::SequentialFile *file = nullptr;
		leveldb::Status status = target()->NewSequentialFile(path, &file);
		failure_.note(status);
		*file_out = file ? checked(path, file) : nullptr;
		return status;
	}

	/* When LevelDB has read the manifest, for the first time. What is found later has been found before. */
	leveldb::Status GetChildren(const std::string &dir, std::vector<std::string> *names_out) override
	{
		leveldb::Status status = timeline::list_directory(dir, names_out);
		return status.ok() && !checked_.exchange(true) ? opening_.check(this, dir, *names_out) : status;
	}

	leveldb::Status GetFileSize(const std::string &path, uint64_t *size_out) override
	{
		return timeline::file_size(path, size_out);
	}

	void Schedule(void (*work)(void *), void *argument) override
	{
		std::lock_guard<std::mutex> lock(mutex_);
		work_ = work;
		argument_ = argument;
		target()->Schedule(run, this);
	}

	void begin()
	{
		std::lock_guard<std::mutex> lock(mutex_);
		failure_.forget();
		opening_ = timeline::Opening(sync_logs_);
		db_ = nullptr;
	}

	void opened(leveldb_t *db)
	{
		opening_ = timeline::Opening(sync_logs_);
		std::lock_guard<std::mutex> lock(mutex_);
		db_ = db;
		logs_ = 1;
		release();
	}

	void hurry()
	{
		std::lock_guard<std::mutex> lock(mutex_);
		hurried_++;
		release();
	}

	void calm()
	{
		std::lock_guard<std::mutex> lock(mutex_);
		hurried_--;
	}

	bool cannot_merge()
	{
		std::lock_guard<std::mutex> lock(mutex_);
		return cannot_merge_;
	}

	uint64_t unreadable() const { return unreadable_; }

	bool syncs_logs() const { return sync_logs_; }

private:
	/* Syncs the directory that the file is in, which has been there since before it was opened. LevelDB does that only when it has
	 * written to a manifest. */
	static leveldb::Status keep_names(const std::string &path)
	{
		const std::string dir = path.substr(0, path.rfind('/'));
		int fd = open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			return timeline::errno_status(dir);
		leveldb::Status status = fsync(fd) == 0 ? leveldb::Status::OK() : timeline::errno_status(dir);
		close(fd);
		return status;
	}

	leveldb::Status keep_renamed(const std::string &path)
	{
		leveldb::Status status = renamed_ ? keep_names(path) : leveldb::Status::OK();
		if (status.ok())
			renamed_ = false;
		return status;
	}

	leveldb::SequentialFile *checked(const std::string &path, leveldb::SequentialFile *file)
	{
		const bool is_manifest = path.compare(path.rfind('/') + 1, 9, "MANIFEST-") == 0;
		uint64_t size = 0;
		if (!is_manifest && !ends_with(path, ".log"))
			return new timeline::SequentialFile(file, &failure_);
		failure_.note(GetFileSize(path, &size));
		return new timeline::RecordFile(file, &failure_, &opening_, is_manifest, size);
	}

	/* LevelDB begins a new log when it is about to write what it has in memory to a table, and removes the old one afterwards. */
	void note_log(int more)
	{
		std::lock_guard<std::mutex> lock(mutex_);
		logs_ += more;
		if (more > 0)
			release();
	}

	void note_unreadable()
	{
		unreadable_++;
		if (!working)
			return;
		std::lock_guard<std::mutex> lock(mutex_);
		cannot_merge_ = true;
	}

	void release()
	{
		if (held_)
			target()->Schedule(run, this);
		held_ = false;
	}

	bool has_to() const { return hurried_ > 0 || (db_ && logs_ > 1); }

	static void run(void *environment) { static_cast<Environment *>(environment)->run(); }

	void run()
	{
		std::unique_lock<std::mutex> lock(mutex_);
		if (!has_to()) {
			leveldb_t *db = db_; /* is not closed while work of its is scheduled */
			bool reluctant = cannot_merge_;
			lock.unlock();
			bool must_merge = db && must_merge_(db, reluctant);
			lock.lock();
			if (!has_to() && !must_merge) {
				held_ = true;
				if (db != db_) /* opened meanwhile */
					release();
				return;
			}
			cannot_merge_ = false; /* tries it again */
		}
		void (*work)(void *) = work_;
		void *argument = argument_;
		lock.unlock();
		working = true;
		work(argument); /* after which the environment may be gone */
		working = false;
	}

	std::atomic<uint64_t> unreadable_{0}; /* reads of tables that failed */
	timeline::Failure failure_; /* in reading, of the opening at hand */
	timeline::Opening opening_; /* the one at hand, if any */
	std::atomic<bool> checked_{false}; /* whether the files of the database are there */
	tl_leveldb_must_merge *const must_merge_;
	const bool sync_logs_;
	std::atomic<bool> renamed_{false}; /* the directory has not been synced since */
	timeline::LogFile *log_ = nullptr; /* the one that is written; used by whoever writes */
	std::mutex mutex_; /* guards what follows; LevelDB may hold its own when taking it, never the other way round */
	leveldb_t *db_ = nullptr;
	unsigned hurried_ = 0;
	int logs_ = 0;              /* of the database that is open: more than one until a memtable has become a table */
	bool cannot_merge_ = false; /* the last time a table could not be read */
	bool held_ = false;         /* the scheduled work waits */
	void (*work_)(void *) = nullptr;
	void *argument_ = nullptr;
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

/* NULL where LevelDB's own is in its place. */
Environment *ours(const leveldb_env_t *wrapped)
{
	leveldb::Env *env = env_of(wrapped);
	return env == leveldb::Env::Default() ? nullptr : static_cast<Environment *>(env);
}

} // namespace

leveldb_env_t *tl_leveldb_env_new(tl_leveldb_must_merge *must_merge, bool sync_logs)
{
	leveldb_env_t *wrapped = leveldb_create_default_env();
	/* A LevelDB that keeps it elsewhere has its own way of reading. */
	if (env_of(wrapped) == leveldb::Env::Default())
		set_env(wrapped, new Environment(leveldb::Env::Default(), must_merge, sync_logs));
	return wrapped;
}

void tl_leveldb_env_free(leveldb_env_t *wrapped)
{
	if (!wrapped)
		return;
	if (Environment *env = ours(wrapped)) {
		set_env(wrapped, leveldb::Env::Default());
		delete env;
	}
	leveldb_env_destroy(wrapped);
}

bool tl_leveldb_env_checks_blocks(const leveldb_env_t *wrapped)
{
	return ours(wrapped) != nullptr;
}

bool tl_leveldb_env_syncs_logs(const leveldb_env_t *wrapped)
{
	const Environment *env = ours(wrapped);
	return env && env->syncs_logs();
}

void tl_leveldb_env_begin(leveldb_env_t *wrapped)
{
	if (Environment *env = ours(wrapped))
		env->begin();
}

void tl_leveldb_env_hurry(leveldb_env_t *wrapped)
{
	if (Environment *env = ours(wrapped))
		env->hurry();
}

void tl_leveldb_env_calm(leveldb_env_t *wrapped)
{
	if (Environment *env = ours(wrapped))
		env->calm();
}

void tl_leveldb_env_opened(leveldb_env_t *wrapped, leveldb_t *db)
{
	if (Environment *env = ours(wrapped))
		env->opened(db);
}

bool tl_leveldb_env_cannot_merge(leveldb_env_t *wrapped)
{
	Environment *env = ours(wrapped);
	return env && env->cannot_merge();
}

uint64_t tl_leveldb_env_unreadable(leveldb_env_t *wrapped)
{
	Environment *env = ours(wrapped);
	return env ? env->unreadable() : 0;
}
