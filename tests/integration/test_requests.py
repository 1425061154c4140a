"""Requests as such: codecs, rid, tag, Response Topic, and everything malformed (PROTOCOL section 5)."""
import json
import unittest

import msgpack

from harness import MQTT311, MQTT5, NOT_AUTHORISED, TimelineTest, encode

CODECS = ("json", "msgpack")


class Requests(TimelineTest):
    def setUp(self):
        super().setUp()
        self.alice = self.uid("alice")
        self.a = self.client(self.alice)

    def refused(self, op, payload, code="bad_request", codec=None, **kw):
        """The answer to a payload that must be refused."""
        message = self.a.raw_request(op, payload, **kw)
        response = message.value
        self.assertIs(response["ok"], False, response)
        self.assertEqual(response["error"]["code"], code, response)
        self.assertEqual(response["op"], op)
        self.assertTrue(response["error"]["message"])
        if codec:
            self.assertEqual(message.codec, codec)
        return response


class Codecs(Requests):
    def test_same_answer_in_both(self):
        self.a.send_ok(f"user/{self.alice}", "x", "m1", props={"k": "v"}, content_type="t")
        conv = self.group(self.a)
        for op, payload in (("hello", None), ("hello", {}), ("sync", {"after": 0}), ("info", {"conv": conv})):
            answers = [self.a.raw_request(op, payload if payload is not None or codec == "json" else {}, codec)
                       for codec in CODECS]
            self.assertEqual([m.codec for m in answers], list(CODECS))
            values = [m.value for m in answers]
            for message in values[1].get("messages", []):
                if "body" in message:
                    message["body"] = message["body"].decode()
            self.assertEqual(values[0], values[1])

    def test_empty_payload_is_an_empty_map(self):
        for op in ("hello", "sync", "create"):
            message = self.a.raw_request(op, b"")
            self.assertEqual((message.value["ok"], message.codec), (True, "json"))
        self.refused("info", b"")

    def test_json_with_white_space(self):
        self.assertTrue(self.a.request("sync", b' \r\n\t{ "after" : 0 , "limit":\n5 } \n')["ok"])

    def test_msgpack_numbers_of_every_size(self):
        """A positive number may come as a signed one; one that is no integer is none, as in JSON."""
        for one in (b"\x01", b"\xcc\x01", b"\xd0\x01", b"\xd1\0\x01", b"\xd2\0\0\0\x01", b"\xd3" + b"\0" * 7 + b"\x01"):
            self.assertTrue(self.a.request("sync", b"\x81\xa5limit" + one)["ok"], one)
        for other in (b"\xff", b"\xd0\xff", b"\xd3" + b"\xff" * 8, b"\xca\x3f\x80\0\0", b"\xcb\x3f\xf0" + b"\0" * 6):
            response = self.refused("sync", b"\x81\xa5limit" + other, codec="msgpack")
            self.assertIn("'limit'", response["error"]["message"])
        for other in (b"1.0", b"1e0"):
            self.assertIn("'limit'", self.refused("sync", b'{"limit":' + other + b"}")["error"]["message"])

    def test_of_a_repeated_key_the_last_value_counts(self):
        self.a.send_ok(f"user/{self.alice}", "x")
        self.assertEqual(self.a.ok("sync", b'{"after":7,"after":0}')["messages"][0]["body"], "x")

    def test_msgpack_maps_of_every_size(self):
        for head in (b"\x81", b"\xde\x00\x01", b"\xdf\x00\x00\x00\x01"):
            for value in (b"\x00", b"\xcc\x00", b"\xcd\x00\x00", b"\xce" + b"\x00" * 4, b"\xcf" + b"\x00" * 8):
                message = self.a.raw_request("sync", head + b"\xa5after" + value)
                self.assertEqual((message.value["ok"], message.codec), (True, "msgpack"), (head, value))

    def test_json_escapes_in_keys_and_values(self):
        conv = self.group(self.a)
        escaped = "".join(f"\\u{ord(c):04x}" for c in conv)
        self.assertTrue(self.a.request("info", b'{"\\u0063onv":"' + escaped.encode() + b'"}')["ok"])
        made = self.a.ok("create", b'{"name":"\\ud83c\\udf88 \\/ \\" \\u00e9"}')
        self.assertEqual(made["name"], '🎈 / " é')

    def test_unknown_keys_are_ignored(self):
        extra = {"x": 1, "nested": {"a": [1, 2, {"b": None}]}, "f": 1.5, "t": True, "after2": "x", "": ""}
        for codec in CODECS:
            self.assertTrue(self.a.request("sync", dict(extra, after=0), codec)["ok"])
        message = self.a.raw_request("sync", msgpack.packb(
            {1: 2, None: 3, b"bin": b"\xff", "ext": msgpack.ExtType(5, b"abc"), "f": 1.5, "after": 0}))
        self.assertTrue(message.value["ok"])

    def test_answers_to_311_and_5(self):
        for version in (MQTT311, MQTT5):
            client = self.client(self.alice, version=version)
            for codec in CODECS:
                self.assertTrue(client.request("hello", {}, codec)["ok"])

    def test_qos_of_the_answer(self):
        for qos, expected in ((0, 0), (1, 1), (2, 1)):
            self.assertEqual(self.a.raw_request("hello", qos=qos).qos, expected)
            self.assertEqual(self.a.raw_request("create", {"name": "x"}, qos=qos).qos, expected)
            self.assertEqual(self.a.raw_request("nonsense", {}, qos=qos).qos, expected)


class Rid(Requests):
    def test_comes_back(self):
        for codec in CODECS:
            for rid in ("abc", "", 0, 17, 2**63, -5, "ж" * 40, "x" * 100):
                with self.subTest(codec=codec, rid=rid):
                    self.assertEqual(self.a.ok("hello", rid=rid, codec=codec)["rid"], rid)
                    self.assertEqual(self.a.ok("create", rid=rid, codec=codec)["rid"], rid)

    def test_in_errors_too(self):
        for codec in CODECS:
            for op, payload, code in (("info", {"conv": "none"}, "not_member"), ("info", {}, "bad_request"),
                                      ("sync", {"limit": 0}, "bad_request"), ("create", {"conv": "d:x"}, "bad_request"),
                                      ("create", {"kind": 1}, "bad_request"), ("info", {"conv": 1}, "bad_request")):
                with self.subTest(codec=codec, op=op, payload=payload):
                    response = self.a.request(op, payload, codec, rid="r-1")
                    self.assertEqual((response["ok"], response["rid"]), (False, "r-1"))
                    self.assertEqual(response["error"]["code"], code)

    def test_of_an_unknown_op(self):
        for codec in CODECS:
            with self.subTest(codec=codec):
                response = self.a.request("frobnicate", {}, codec, rid="r-1")
                self.assertEqual(response["error"]["code"], "unknown_op")
                self.assertEqual(response.get("rid"), "r-1")

    def test_absent_where_there_was_none(self):
        self.assertNotIn("rid", self.a.ok("hello"))
        self.assertNotIn("rid", self.a.request("info"))


class Arguments(Requests):
    """Every request: a good one, and the keys that it knows."""
    options = {"durability": "os"}

    def setUp(self):
        super().setUp()
        conv, me = self.group(self.a, join="open"), self.alice
        self.a.send_ok(f"conv/{conv}", "mine")
        pages, settings = ("limit", "cursor"), ("name", "history", "join", "post", "order", "fanout", "retention", "index")
        self.table = {
            "hello": ({}, ()), "sync": ({"after": 0}, ("after", "limit")), "convs": ({}, pages), "devices": ({}, pages),
            "history": ({"conv": conv}, ("conv", "before", "after", "at", *pages)),
            "get": ({"conv": conv, "cseq": 2}, ("conv", "cseq")), "info": ({"conv": conv}, ("conv",)),
            "search": ({"q": "mine"}, ("q", "conv", "from", "type", "since", "until", *pages)),
            "members": ({"conv": conv}, ("conv", *pages)), "create": ({}, ("conv", "kind", "members", *settings)),
            "update": ({"conv": conv}, ("conv", *settings)), "join": ({"conv": conv}, ("conv",)),
            "add": ({"conv": conv, "users": [me]}, ("conv", "users")),
            "remove": ({"conv": conv, "users": ["nobody"]}, ("conv", "users")),
            "role": ({"conv": conv, "user": me, "role": "owner"}, ("conv", "user", "role")),
            "read": ({"conv": conv, "cseq": 1}, ("conv", "cseq")), "set": ({"conv": conv}, ("conv", "mute", "pin")),
            "delete": ({"conv": conv, "cseqs": []}, ("conv", "cseqs", "all")),
            "edit": ({"conv": conv, "cseq": 2, "body": "mine"}, ("conv", "cseq", "body", "body64")),
            "recall": ({"conv": conv, "cseq": 2}, ("conv", "cseq")), "block": ({"user": "x"}, ("user", "on", *pages)),
            "leave": ({"conv": conv}, ("conv",)), "dissolve": ({"conv": self.group(self.a)}, ("conv",))}

    def test_those_of_other_requests_are_ignored(self):
        keys = {key for _, known in self.table.values() for key in known} | {"op", "ok", "error", "id", "tag", "accept"}
        for op, (request, known) in self.table.items():
            for codec in CODECS:
                for junk in (None, "!", {"x": [1]}, -1):
                    with self.subTest(op=op, codec=codec, junk=junk):
                        self.a.ok(op, dict(request, **dict.fromkeys(keys - set(known), junk)), codec=codec)

    def test_a_wrong_one_is_named_and_the_rid_given_back(self):
        """However large the request is."""
        for op, (request, known) in self.table.items():
            for codec in CODECS:
                for key in known if codec == "json" else set(known) - {"body64"}:
                    for wrong in ([[]], {"x": "y" * 5000}):
                        with self.subTest(op=op, codec=codec, key=key):
                            response = self.refused(op, encode(dict(request, **{key: wrong, "rid": 17}), codec), codec=codec)
                            self.assertEqual(response["rid"], 17)
                            self.assertIn(f"'{key}'", response["error"]["message"])

    def test_a_body_that_is_too_large_and_a_rid(self):
        body = "x" * (self.a.ok("hello")["limits"]["max_body"] + 1)
        for codec in CODECS:
            response = self.refused("edit", encode({"conv": "c", "cseq": 1, "body": body, "rid": "r"}, codec), "too_large", codec)
            self.assertEqual(response["rid"], "r")


class Topics(Requests):
    def test_with_and_without_tag(self):
        self.assertEqual(self.a.raw_request("hello", tag="").topic, f"im/res/{self.a.device}/hello")
        self.assertEqual(self.a.raw_request("hello", tag="t1").topic, f"im/res/{self.a.device}/hello/t1")
        self.assertEqual(self.a.raw_request("create", tag="тег").topic, f"im/res/{self.a.device}/create/тег")
        self.assertEqual(self.a.raw_request("nonsense", tag="t1").topic, f"im/res/{self.a.device}/nonsense/t1")

    def test_response_topic_and_correlation(self):
        for op in ("hello", "create", "nonsense", "info"):
            with self.subTest(op=op):
                since = self.a.mark()
                where = self.a.res("deep", "er", op)
                message = self.a.raw_request(op, {}, tag="t", response_topic=where, correlation=b"\x00\x01\xff")
                self.assertEqual((message.topic, message.correlation), (where, b"\x00\x01\xff"))
                self.a.ok("hello")
                self.assertEqual(self.a.on_topic(self.a.res(op, "t"), since), [])

    def test_foreign_response_topic_does_nothing(self):
        bob = self.client(self.uid("bob"))
        bob.subscribe("im/#")
        self.a.subscribe("im/#")
        for topic in (bob.res("x"), f"im/res/{self.a.device}", f"im/res/{self.a.device}x/y", "elsewhere",
                      f"im/notify/{self.alice}", f"im/conv/{self.alice}", "im/req/hello", "$SYS/x", f"res/{self.a.device}/x",
                      f"im//res/{self.a.device}/x", f"/im/res/{self.a.device}/x"):
            with self.subTest(topic=topic):
                conv, since = self.cid("c"), self.a.mark()
                packet = self.a.publish("im/req/create", json.dumps({"conv": conv}), response_topic=topic)
                self.assertEqual(self.a.wait_ack(packet), NOT_AUTHORISED)
                self.assertEqual(self.a.error("info", {"conv": conv}), "not_member")
                self.assertEqual(self.a.wait_ack(self.a.publish("im/req/hello", response_topic=topic)), NOT_AUTHORISED)
                self.assertEqual(self.a.on_topic(topic, since), [])
        self.assertEqual([m for m in bob.inbox if "/notify/" not in m.topic], [])

    def test_answers_reach_the_device_alone(self):
        other, bob = self.client(self.alice), self.client(self.uid("bob"))
        for client in (other, bob):
            client.subscribe("im/res/#")
            client.subscribe(f"im/res/{self.a.device}/#")
            client.subscribe("im/+/+/#")
        self.a.ok("hello")
        self.a.ok("create")
        for client in (other, bob):
            client.ok("hello", tag="own")
            self.assertEqual([m for m in client.inbox if f"/{client.device}/" not in m.topic and "notify" not in m.topic],
                             [])

    def test_once_where_the_device_has_subscribed(self):
        self.a.subscribe(self.a.res("#"))
        self.a.ok("hello", tag="once")
        self.a.ok("hello", tag="later")
        self.assertEqual(len(self.a.on_topic(self.a.res("hello", "once"))), 1)


class Malformed(Requests):
    def test_unknown_op(self):
        for op in ("frobnicate", "Hello", "hello ", "send", "привет", "x" * 500):
            for codec in CODECS:
                self.refused(op, {} if codec == "json" else b"\x80", "unknown_op", codec)

    def test_bad_json(self):
        for payload in (b"{", b"}", b"[]", b"null", b"1", b'"x"', b"{]", b'{"a":}', b'{"a"}', b"{a:1}", b"{'a':1}", b'{"a":1,}',
                        b'{"a":1}x', b'{"a":1}{"b":2}', b'{"a":01}', b'{"a":+1}', b'{"a":.5}', b'{"a":1.}', b'{"a":nul}',
                        b'{"a":"\xff"}', b'{"a":"\\x"}', b'{"a":"\\u12"}', b'{"a":"\n"}', b'{"a":"',
                        b"\xef\xbb\xbf{}", b" ", b"\x00", b"\xff\xff", b'{"a":NaN}', b'{"a":Infinity}', b'{"a":1e999}',
                        b"{} \x00"):
            with self.subTest(payload=payload):
                for op in ("hello", "create"):
                    self.refused(op, payload, codec="json")
        self.assertEqual(self.a.ok("hello")["latest"], 0)

    def test_lone_surrogates(self):
        """Taken or refused, but what goes out is UTF-8 again."""
        for text in (b"\\ud800", b"\\udc00", b"\\ud83cx", b"\\ud83c\\ud83c", b"\\udf88\\ud83c"):
            for codec in CODECS:
                response = self.a.request("create", b'{"name":"' + text + b'"}')
                if response["ok"]:
                    self.assertTrue(self.a.request("info", {"conv": response["conv"]}, codec)["name"])

    def test_bad_msgpack(self):
        for payload in (b"\x81", b"\x81\xa1a", b"\x81\xa5after", b"\x80x", b"\x80\x80", b"\x81\xa1a\xc1", b"\x81\xa1a\xd9",
                        b"\x81\xa1a\xdb\xff\xff\xff\xff", b"\x81\xa1a\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff",
                        b"\xde\xff\xff", b"\xdf", b"\xde\x00", b"\x81\xa1a\xdf\xff\xff\xff\xff\xa1a",
                        b"\x81\xa1a\xc6\xff\xff\xff\xff", b"\x81\xa1a\xc9\xff\xff\xff\xff\x01", b"\x82\xa1a\x01",
                        b"\x81\xa1a\xdc\xff\xff" + b"\x01" * 10):
            with self.subTest(payload=payload):
                for op in ("hello", "create"):
                    self.refused(op, payload, codec="msgpack")
        self.assertEqual(self.a.ok("hello")["latest"], 0)

    def test_strings_that_are_not_utf8(self):
        for key in (b"conv", b"name"):
            self.refused("create", b"\x81\xa4" + key + b"\xa2\xc3\x28", codec="msgpack")
        self.refused("create", b"\x81\xa7members\x91\xa2\xff\xfe", codec="msgpack")
        self.refused("info", b"\x81\xa4conv\xa2\xff\xfe", codec="msgpack")

    def test_other_msgpack_values_are_taken_for_json(self):
        for payload in (b"\x90", b"\xc0", b"\x01", b"\xa1a", b"\xdc\x00\x00", b"\xc4\x01\x00", b"\xd4\x01\x00"):
            self.refused("hello", payload, codec="json")

    def test_deep_nesting(self):
        for depth in (100, 30000):
            self.refused("hello", b'{"a":' + b"[" * depth + b"]" * depth + b"}", codec="json")
            self.refused("hello", b'{"a":' + b"[" * depth, codec="json")
            self.refused("hello", b"\x81\xa1a" + b"\x91" * depth + b"\xc0", codec="msgpack")
            self.refused("hello", b"\x81\xa1a" * (depth // 3) + b"\xc0", codec="msgpack")
        self.refused("hello", b'{"a":' * 10000 + b"1" + b"}" * 10000, codec="json")

    def test_nested_up_to_eight_deep(self):
        for inside in (b"[" * 7 + b"]" * 7, b'{"x":' * 6 + b"{}" + b"}" * 6):
            self.assertTrue(self.a.request("hello", b'{"a":' + inside + b"}")["ok"])
            self.refused("hello", b'{"a":[' + inside + b"]}", codec="json")
        for inside in (b"\x91" * 6 + b"\x90", b"\x81\xa1x" * 6 + b"\x80"):
            self.assertTrue(self.a.request("hello", b"\x81\xa1a" + inside)["ok"])
            self.refused("hello", b"\x81\xa1a\x91" + inside, codec="msgpack")

    def test_a_thousand_objects_and_arrays_of_json(self):
        for things, codec in ((["[]"] * 998, "json"), ([{}] * 998, "msgpack"), ([[]] * 5000, "msgpack")):
            payload = b'{"a":[' + ",".join(things).encode() + b"]}" if codec == "json" else msgpack.packb({"a": things})
            self.assertTrue(self.a.request("hello", payload)["ok"])
        self.refused("hello", b'{"a":[' + b",".join([b"{}"] * 999) + b"]}", codec="json")

    def test_many_small_things(self):
        self.assertTrue(self.a.request("hello", b'{"a":[' + b"1," * 30000 + b"1]}")["ok"])
        self.assertTrue(self.a.request("hello", msgpack.packb({str(i): i for i in range(5000)}))["ok"])

    def test_too_large(self):
        for codec in CODECS:
            body = {"x": "y" * (64 * 1024)}
            for op in ("hello", "create", "sync"):
                self.refused(op, body if codec == "json" else msgpack.packb(body), "too_large", codec)
        self.refused("hello", b"{" + b" " * 1_000_000 + b"}", "too_large", "json")
        limit = self.a.ok("hello")["limits"]["max_request"]
        self.assertTrue(self.a.request("hello", b"{" + b" " * (limit - 2) + b"}")["ok"])

    def test_wrong_types_name_the_key(self):
        for value in (1, True, None, 1.5, [], {}, ["x"], {"a": "b"}):
            for codec in CODECS:
                response = self.a.request("info", {"conv": value}, codec)
                self.assertEqual(response["error"]["code"], "bad_request")
                self.assertIn("conv", response["error"]["message"])
        response = self.refused("info", {})
        self.assertIn("conv", response["error"]["message"])

    def test_bad_ids(self):
        for conv in ("", "a/b", "a+b", "a#", "x" * 129, "a\nb", "a\x00b", "\x7f", "d:", "d:a", "d:b:a", "d:a:b:c", "\u0085"):
            self.refused("info", {"conv": conv})

    def test_the_connection_survives_all_that(self):
        self.refused("hello", b"{")
        self.assertTrue(self.a.request("hello")["ok"])
        self.assertIsNone(self.a.disconnected)


class Load(Requests):
    def test_every_request_is_answered(self):
        total = 500
        for i in range(total):
            self.a.publish(f"im/req/{('hello', 'sync', 'info', 'create')[i % 4]}/n{i}", "{}", qos=1)

        def answered():
            return [m for m in self.a.inbox if m.topic.rsplit("/", 1)[1].startswith("n")]

        self.a.wait(lambda: len(answered()) >= total, "all answers")
        self.assertEqual(len({m.topic for m in answered()}), total)
        for message in answered():
            if not message.value["ok"] and message.topic.split("/")[3] != "info":
                self.assertEqual(message.value["error"]["code"], "rate_limited")
        self.assertTrue(self.a.request("hello")["ok"])
        self.assertEqual(len(answered()), total)

    def test_rate_limited_has_the_rid(self):
        since = self.a.mark()
        for i in range(1000):
            self.a.publish(f"im/req/sync/r{i}", json.dumps({"rid": i}), qos=0)
        self.a.wait(lambda: len(self.a.inbox) - since >= 1000, "all answers")
        for message in self.a.inbox[since:]:
            self.assertEqual(message.value.get("rid"), int(message.topic.rsplit("/r", 1)[1]), message)


if __name__ == "__main__":
    unittest.main()
