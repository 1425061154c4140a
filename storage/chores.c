#include "chores.h"

#include <stdatomic.h>

static void list_init(struct tl_chore_list *list)
{
	list->first = NULL;
	list->last = &list->first;
}

static void list_add(struct tl_chore_list *list, struct tl_chore *chore)
{
	chore->next = NULL;
	*list->last = chore;
	list->last = &chore->next;
}

static struct tl_chore *list_take(struct tl_chore_list *list)
{
	struct tl_chore *chore = list->first;
	if (chore && !(list->first = chore->next))
		list->last = &list->first;
	return chore;
}

enum tl_err tl_chores_init(struct tl_chores *chores)
{
	list_init(&chores->pending);
	list_init(&chores->in_batch);
	atomic_init(&chores->count, 0);
	return pthread_mutex_init(&chores->lock, NULL) == 0 ? TL_OK : TL_NO_MEMORY;
}

static void finish(struct tl_chore_list *list, bool committed)
{
	for (struct tl_chore *chore = list_take(list); chore; chore = list_take(list))
		chore->done(chore, committed);
}

void tl_chores_fini(struct tl_chores *chores)
{
	finish(&chores->in_batch, false);
	finish(&chores->pending, false);
	pthread_mutex_destroy(&chores->lock);
}

void tl_chores_submit(struct tl_chores *chores, struct tl_chore *chore)
{
	pthread_mutex_lock(&chores->lock);
	list_add(&chores->pending, chore);
	atomic_fetch_add(&chores->count, 1);
	pthread_mutex_unlock(&chores->lock);
}

bool tl_chores_pending(struct tl_chores *chores)
{
	return atomic_load(&chores->count) > 0;
}

static struct tl_chore *take(struct tl_chores *chores)
{
	if (!tl_chores_pending(chores))
		return NULL;
	pthread_mutex_lock(&chores->lock);
	struct tl_chore *chore = list_take(&chores->pending);
	if (chore)
		atomic_fetch_sub(&chores->count, 1);
	pthread_mutex_unlock(&chores->lock);
	return chore;
}

enum tl_err tl_chores_apply(struct tl_chores *chores, struct tl_transaction *txn, uint64_t max_keys)
{
	enum tl_err err = TL_OK;
	while (err == TL_OK && tl_transaction_puts(txn) < max_keys) {
		struct tl_chore *chore = take(chores);
		if (!chore)
			break;
		list_add(&chores->in_batch, chore);
		err = chore->apply(chore, txn);
	}
	return err;
}

void tl_chores_committed(struct tl_chores *chores)
{
	finish(&chores->in_batch, true);
}

/* Moves the impatient ones of a list to the end of another: how many. */
static size_t move_impatient(struct tl_chore_list *from, struct tl_chore_list *to)
{
	struct tl_chore_list kept;
	struct tl_chore *chore;
	size_t count = 0;
	list_init(&kept);
	while ((chore = list_take(from))) {
		list_add(chore->impatient ? to : &kept, chore);
		count += chore->impatient;
	}
	if (kept.first)
		*from = kept;
	return count;
}

void tl_chores_refuse(struct tl_chores *chores)
{
	struct tl_chore_list refused;
	list_init(&refused);
	move_impatient(&chores->in_batch, &refused);
	pthread_mutex_lock(&chores->lock);
	atomic_fetch_sub(&chores->count, move_impatient(&chores->pending, &refused));
	pthread_mutex_unlock(&chores->lock);
	finish(&refused, false);
}

void tl_chores_failed(struct tl_chores *chores)
{
	size_t count = 0;
	if (!chores->in_batch.first)
		return;
	for (struct tl_chore *chore = chores->in_batch.first; chore; chore = chore->next)
		count++;
	pthread_mutex_lock(&chores->lock);
	*chores->in_batch.last = chores->pending.first;
	if (chores->pending.first)
		chores->in_batch.last = chores->pending.last;
	chores->pending = chores->in_batch;
	atomic_fetch_add(&chores->count, count);
	pthread_mutex_unlock(&chores->lock);
	list_init(&chores->in_batch);
}
