/* Where the answer to one PUBLISH goes, and how it is encoded. It travels with the message through the ingest queue as
 * opaque bytes, so it has a packed form. */
#ifndef TL_ROUTE_H
#define TL_ROUTE_H

#include "codec.h"

struct tl_route {
	struct tl_slice topic;       /* where to */
	struct tl_slice correlation; /* MQTT 5 Correlation Data; ptr NULL: none */
	struct tl_slice rid;         /* of a request: a packed item; empty: none */
	enum tl_codec codec;
	int qos;
};

void tl_route_pack(struct tl_pack *pack, const struct tl_route *route);
bool tl_route_unpack(struct tl_slice bytes, struct tl_route *route_out);

#endif
