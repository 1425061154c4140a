/* Reading from the store, at random or to the end, and comparing with the model. Where a check says that it may lag,
 * the store may still be applying what the model has; elsewhere it must be settled. */
#ifndef MODEL_CHECKS_H
#define MODEL_CHECKS_H

#include "child.h"

enum { PAGE_SLACK = 2048 /* bytes that an entry may take beside its body */ };

/* check_inbox.c */
void check_sync(struct child *child, unsigned user); /* one page from somewhere; may lag */
void check_inbox(struct child *child, unsigned user); /* all of it */
void check_hello(struct child *child, unsigned user); /* may lag */

/* check_history.c */
void check_history(struct child *child, int conversation, unsigned user, bool to_the_end);
void check_history_lagging(struct child *child, int conversation, unsigned user);
void check_get(struct child *child, int conversation, unsigned user);

/* check_database.c */
void check_database(const struct child *child); /* while the store is closed, and nothing was lost with the power */

/* check_search.c */
void check_search(struct child *child, int conversation, unsigned user); /* only where there is search */

/* check_lists.c */
void check_info(struct child *child, int conversation, unsigned user);
void check_members(struct child *child, int conversation, unsigned user);
void check_convs(struct child *child, unsigned user);
void check_devices(struct child *child, unsigned user); /* may lag */
void check_blocked(struct child *child, unsigned user);
void check_standing(struct child *child, int conversation, unsigned user);
void check_standing_lagging(struct child *child, int conversation, unsigned user); /* has it kept what is soon wrong */

#endif
