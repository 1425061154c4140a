/* Reading the inbox of a user who is to be notified: on a reader thread. */
#include "plugin.h"

#include <stdlib.h>

struct loading {
	struct tl_job job;
	struct tl_plugin *plugin;
	size_t user_len;
	char user[];
};

/* Takes in the inbox as it is now. True if that cannot be all: a commit since then may have added to it unseen. */
static bool load(struct tl_plugin *plugin, struct tl_slice user, bool last)
{
	struct tl_inbox inbox;
	if (tl_store_inbox(plugin->store, user, tl_now_ms(), &inbox) != TL_OK) {
		tl_notify_loaded(plugin->notify, user, NULL, true);
		return false;
	}
	last |= inbox.count == 0;
	tl_notify_loaded(plugin->notify, user, &inbox, last);
	tl_inbox_free(&inbox);
	return !last;
}

static void run(struct tl_job *job)
{
	struct loading *loading = (struct loading *)(void *)job;
	struct tl_slice user = tl_slice(loading->user, loading->user_len);
	if (load(loading->plugin, user, false))
		load(loading->plugin, user, true);
	free(loading);
}

static void discard(struct tl_job *job)
{
	free(job);
}

/* What cannot be read is announced all the same, by what commits say. */
static void begin_loading(struct tl_plugin *plugin, struct tl_slice user)
{
	struct loading *loading = malloc(sizeof *loading + user.len);
	if (loading) {
		*loading = (struct loading){.job = {.run = run, .discard = discard}, .plugin = plugin, .user_len = user.len};
		memcpy(loading->user, user.ptr, user.len);
	}
	if (!loading || tl_worker_pool_submit(plugin->readers, &loading->job) != TL_OK) {
		free(loading);
		tl_notify_loaded(plugin->notify, user, NULL, true);
	}
}

static bool begin_watching(struct tl_plugin *plugin, struct tl_slice user)
{
	bool first;
	bool watching = tl_notify_watch(plugin->notify, user, &first);
	if (watching && first)
		begin_loading(plugin, user);
	return watching;
}

/* Where memory is short, the next subscription tries again. */
void tl_watch(struct tl_plugin *plugin, struct tl_session *session, unsigned codecs)
{
	if (!session->watching)
		session->watching = begin_watching(plugin, session->user);
	if (session->watching)
		tl_notify_want(plugin->notify, session->user, codecs);
}
