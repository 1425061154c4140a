/*
 * The commands of tl_mqtt_load. Every one prints a single line "command key=value ..." on stdout, made to be read by
 * people and by run.sh.
 */
#ifndef TL_LOAD_COMMANDS_H
#define TL_LOAD_COMMANDS_H

#include "load_options.h"

extern const struct tl_command tl_publish_command;   /* load_publish.c */
extern const struct tl_command tl_latency_command;   /* load_latency.c */
extern const struct tl_command tl_subscribe_command; /* load_drain.c */
extern const struct tl_command tl_drain_command;     /* load_drain.c */
extern const struct tl_command tl_hold_command;      /* load_hold.c */
extern const struct tl_command tl_storm_command;     /* load_storm.c */
extern const struct tl_command tl_visit_command;     /* load_visit.c */
extern const struct tl_command tl_ask_command;       /* load_ask.c */
extern const struct tl_command tl_wait_command;      /* load_inbox.c */
extern const struct tl_command tl_create_command;    /* load_inbox.c */

#endif
