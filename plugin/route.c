#include "route.h"

#include "msgpack_reader.h"

void tl_route_pack(struct tl_pack *pack, const struct tl_route *route)
{
	tl_pack_array(pack, 5);
	tl_pack_uint(pack, route->codec);
	tl_pack_uint(pack, (uint64_t)route->qos);
	tl_pack_str(pack, route->topic);
	if (route->correlation.ptr)
		tl_pack_bin(pack, route->correlation);
	else
		tl_pack_nil(pack);
	tl_pack_bin(pack, route->rid);
}

bool tl_route_unpack(struct tl_slice bytes, struct tl_route *route_out)
{
	struct tl_reader reader = tl_reader(bytes);
	struct tl_route route = {.codec = TL_CODEC_JSON};
	uint32_t count;
	uint64_t codec, qos;
	if (!tl_reader_array(&reader, &count) || count != 5 || !tl_reader_uint(&reader, &codec) ||
	    !tl_reader_uint(&reader, &qos) || qos > 2 || !tl_reader_str(&reader, &route.topic))
		return false;
	if (!tl_reader_bin(&reader, &route.correlation) && !tl_reader_skip(&reader))
		return false;
	if (!tl_reader_bin(&reader, &route.rid))
		return false;
	route.codec = codec == TL_CODEC_MSGPACK ? TL_CODEC_MSGPACK : TL_CODEC_JSON;
	route.qos = (int)qos;
	*route_out = route;
	return true;
}
