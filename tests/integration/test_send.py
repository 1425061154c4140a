"""Sending: metadata and its bounds, ids and deduplication, bodies, receipts, acks (PROTOCOL sections 3 and 4)."""
import base64
import json
import os
import struct
import unittest

import msgpack

import wire
from harness import ACCEPTED, MQTT311, MQTT5, NOT_AUTHORISED, OK, Broker, Client, TimelineTest, burst

MIB = 1024 * 1024


class Sending(TimelineTest):
    def setUp(self):
        super().setUp()
        self.alice, self.bob = self.uids("alice", "bob")
        self.a = self.client(self.alice)
        self.to_bob = f"user/{self.bob}"
        self.direct = f"d:{self.alice}:{self.bob}"

    def last(self, client=None, **kw):
        """The newest entry of alice's inbox."""
        client = client or self.a
        latest = client.ok("hello")["latest"]
        return client.ok("sync", {"after": latest - 1}, **kw)["messages"][-1]

    def count(self):
        return self.a.ok("hello")["latest"]


class Metadata(Sending):
    def test_everything_comes_back(self):
        receipt = self.a.send_ok(self.to_bob, "hello", "m1", props={
            "type": "image", "time": "17", "order": "9", "x-colour": "red", "emoji": "🎈"}, content_type="image/png")
        self.assertEqual(set(receipt), {"op", "ok", "conv", "cseq", "id", "ts", "dup"})
        self.assertEqual((receipt["op"], receipt["conv"], receipt["cseq"], receipt["id"], receipt["dup"]),
                         ("send", self.direct, 1, "m1", False))
        self.assertEqual(self.last(), {
            "seq": 1, "conv": self.direct, "cseq": 1, "id": "m1", "from": self.alice, "device": self.a.device,
            "ts": receipt["ts"], "time": 17, "order": 9, "type": "image", "ctype": "image/png", "body": "hello",
            "props": {"x-colour": "red", "emoji": "🎈"}})

    def test_absent_where_there_is_nothing_to_say(self):
        self.a.send_ok(self.to_bob, "hi", "m1")
        self.assertEqual(set(self.last()), {"seq", "conv", "cseq", "id", "from", "device", "ts", "type", "body"})
        self.assertEqual(self.last()["type"], "text")

    def test_msgpack_has_the_same_keys(self):
        self.a.send_ok(self.to_bob, "hello", "m1", props={"time": "17", "k": "v"}, content_type="text/plain")
        as_json, as_msgpack = self.last(), self.last(codec="msgpack")
        self.assertEqual(as_msgpack.pop("body"), b"hello")
        self.assertEqual(as_json.pop("body"), "hello")
        self.assertEqual(as_json, as_msgpack)

    def test_numbers_at_their_bounds(self):
        for name, value in (("time", 0), ("time", 2**64 - 1), ("order", 1), ("order", 2**64 - 1), ("time", 2**53 + 1)):
            with self.subTest(name=name, value=value):
                self.a.send_ok(self.to_bob, "x", props={"id": self.uid("m"), name: value})
                self.assertEqual(self.last()[name], value)
                self.assertEqual(self.last(codec="msgpack")[name], value)

    def test_numbers_out_of_bounds(self):
        for name, value in (("time", 2**64), ("time", -1), ("time", ""), ("time", "1.5"), ("time", " 1"), ("time", "x"),
                            ("time", "1e3"), ("time", "0x10"), ("order", 0), ("order", 2**64), ("order", -1),
                            ("order", ""), ("order", "9" * 40)):
            with self.subTest(name=name, value=value):
                before = self.count()
                self.assert_refused(self.a.send(self.to_bob, "x", "m1", props={name: value}), "bad_request")
                self.assertEqual(self.count(), before)

    def test_type_bounds(self):
        self.a.send_ok(self.to_bob, "x", props={"id": "t32", "type": "t" * 32})
        self.assertEqual(self.last()["type"], "t" * 32)
        for bad in ("t" * 33, "", "two words", "ty\u00e9pe"):
            with self.subTest(type=bad):
                self.assert_refused(self.a.send(self.to_bob, "x", "m1", props={"type": bad}), "bad_request")

    def test_event_is_the_servers_type(self):
        self.assert_refused(self.a.send(self.to_bob, "x", "m1", props={"type": "event"}), "bad_request")
        self.assertEqual(self.count(), 0)

    def test_props_bounds(self):
        sixteen = {f"k{i:02}": "v" for i in range(16)}
        self.a.send_ok(self.to_bob, "x", "m1", props=sixteen)
        self.assertEqual(self.last()["props"], sixteen)
        self.assert_refused(self.a.send(self.to_bob, "x", "m2", props=dict(sixteen, more="v")), "bad_request")
        # Those with a meaning of their own do not count.
        self.a.send_ok(self.to_bob, "x", "m3", props=dict(sixteen, type="note", time="1", order="2", id="m3"))
        self.a.send_ok(self.to_bob, "x", "m4", props={"k": "v" * 1023})
        self.assertEqual(self.last()["props"], {"k": "v" * 1023})
        self.assert_refused(self.a.send(self.to_bob, "x", "m5", props={"k": "v" * 1024}), "bad_request")
        # Those of a name that comes twice do, although only the last one is kept.
        self.assert_refused(self.a.send(self.to_bob, "x", "m6", props=[("k", str(i)) for i in range(17)]), "bad_request")
        self.assert_refused(self.a.send(self.to_bob, "x", "m7", props=[("k", "v" * 512)] * 2), "bad_request")
        self.a.send_ok(self.to_bob, "x", "m8", props=[("k", str(i)) for i in range(16)])
        self.assertEqual(self.last()["props"], {"k": "15"})
        self.assertEqual(self.count(), 4)

    def test_of_a_name_that_comes_twice_the_last_value_counts(self):
        receipt = self.a.send(self.to_bob, "x", props=[("k", "1"), ("id", "i1"), ("type", "t1"), ("k", "2"), ("id", "i2"),
                                                       ("type", "t2")], receipt=self.a.res("sent", "i2"))[1]
        self.assertEqual(receipt["id"], "i2")
        for codec in ("json", "msgpack"):
            message = self.a.raw_request("sync", {"after": 0}, codec)
            pairs = []

            def note(items):
                pairs.extend(items)
                return dict(items)

            if codec == "json":
                entry = json.loads(message.payload, object_pairs_hook=note)["messages"][0]
            else:
                entry = msgpack.unpackb(message.payload, object_pairs_hook=note, raw=False)["messages"][0]
            self.assertEqual([value for key, value in pairs if key == "k"], ["2"], codec)
            self.assertEqual((entry["id"], entry["type"]), ("i2", "t2"))

    def test_empty_properties(self):
        """An empty string is a string: the broker and the connection survive, whatever is made of it."""
        bob = self.client(self.bob)
        for name in ("id", "type", "time", "order"):
            with self.subTest(name=name):
                where = self.a.res("here")
                self.assert_refused(self.a.send(self.to_bob, "x", props={name: ""}, response_topic=where), "bad_request")
        for mid, kw in (("accept", {"props": {"accept": ""}}), ("value", {"props": {"k": ""}}),
                        ("name", {"props": {"": "v"}}), ("both", {"props": {"": ""}}), ("ctype", {"content_type": ""}),
                        ("corr", {"correlation": b"", "response_topic": self.a.res("corr")})):
            with self.subTest(what=mid):
                self.assertEqual(self.a.send_ok(self.to_bob, "x", mid, **kw)["id"], mid)
                expected = kw["props"] if "props" in kw and mid != "accept" else None
                self.assertEqual(self.last().get("props"), expected)
                self.assertFalse(self.last().get("ctype"))
        self.assertTrue(self.a.request("hello", props={"": ""}, content_type="")["ok"])
        self.assertTrue(bob.ok("hello")["ok"])

    def test_content_type_of_many_kinds(self):
        for ctype in ("text/plain; charset=utf-8", "x", "тип"):
            self.a.send_ok(self.to_bob, "x", content_type=ctype)
            self.assertEqual(self.last()["ctype"], ctype)
        for longest in ("c" * 128, "т" * 64):
            self.a.send_ok(self.to_bob, "x", content_type=longest)
            self.assertEqual(self.last()["ctype"], longest)
            self.assert_refused(self.a.send(self.to_bob, "x", "m1", content_type=longest + "x"), "bad_request")

    def test_ts_never_decreases(self):
        stamps = [self.a.send_ok(self.to_bob, "x")["ts"] for _ in range(50)]
        self.assertEqual(stamps, sorted(stamps))
        self.assertGreater(stamps[0], 1_600_000_000_000)

    def test_every_member_sees_the_same_message(self):
        self.a.send_ok(self.to_bob, "hi", "m1", props={"k": "v"})
        self.assertEqual(self.last(), self.last(self.client(self.bob)))


class Ids(Sending):
    def test_in_topic_property_and_both(self):
        for kw in ({"mid": "t1"}, {"props": {"id": "t2"}}, {"mid": "t3", "props": {"id": "t3"}}):
            receipt = self.a.send_ok(self.to_bob, "x", **kw)
            self.assertEqual(receipt["id"], kw.get("mid") or "t2")
            self.assertFalse(receipt["dup"])
        self.assertEqual([m["id"] for m in self.a.sync_all()], ["t1", "t2", "t3"])

    def test_two_that_differ_are_refused(self):
        topic = f"im/{self.to_bob}/one"
        self.assertEqual(self.a.wait_ack(self.a.publish(topic, "x", props={"id": "two"})), NOT_AUTHORISED)
        self.assertEqual(self.count(), 0)

    def test_made_by_the_server(self):
        where = self.a.res("receipts")
        first = self.a.send(self.to_bob, "x", response_topic=where)[1]
        second = self.a.send(self.to_bob, "x", response_topic=where)[1]
        self.assertTrue(first["id"] and second["id"])
        self.assertNotEqual(first["id"], second["id"])
        self.assertEqual([m["id"] for m in self.a.sync_all()], [first["id"], second["id"]])

    def test_length(self):
        self.assertEqual(self.a.send_ok(self.to_bob, "x", "i" * 64)["id"], "i" * 64)
        self.assertEqual(self.a.send_ok(self.to_bob, "x", "é" * 32)["id"], "é" * 32)
        for bad in ("i" * 65, "é" * 32 + "x"):
            where = self.a.res("here")
            self.assert_refused(self.a.send(self.to_bob, "x", bad, response_topic=where), "bad_request")
        self.assertEqual(self.count(), 2)

    def test_too_long_one_gets_its_receipt_at_the_default_topic(self):
        for version, reason in ((MQTT5, NOT_AUTHORISED), (MQTT311, OK)):
            with self.subTest(version=version):
                client = self.client(self.alice, version=version)
                self.assert_refused(client.send(self.to_bob, "x", "i" * 65), "bad_request", reason)

    def test_forbidden_characters(self):
        for bad in ("a/b", "a+b", "a#b", ""):
            with self.subTest(id=bad):
                result = self.a.send(self.to_bob, "x", props={"id": bad}, response_topic=self.a.res("here"))
                self.assert_refused(result, "bad_request")
        self.assertEqual(self.count(), 0)


class Dedup(Sending):
    def test_same_sender_same_conversation(self):
        first = self.a.send_ok(self.to_bob, "one", "m1")
        again = self.a.send_ok(self.to_bob, "two", "m1")
        self.assertEqual(again, dict(first, dup=True))
        self.assertEqual([m["body"] for m in self.a.sync_all()], ["one"])

    def test_whichever_way_it_comes(self):
        first = self.a.send_ok(self.to_bob, "x", "m1")
        other_device = self.client(self.alice, version=MQTT311)
        for again in (self.a.send_ok(self.to_bob, "x", props={"id": "m1"}),
                      self.a.send_ok(f"conv/{self.direct}", "x", "m1"),
                      self.a.send_ok(self.to_bob, "x", "m1", qos=0),
                      self.a.send_ok(self.to_bob, "x", "m1", qos=2),
                      other_device.send_ok(self.to_bob, "x", "m1")):
            self.assertEqual(again, dict(first, dup=True))
        self.assertEqual(self.count(), 1)

    def test_other_sender_or_conversation_is_another_message(self):
        self.a.send_ok(self.to_bob, "x", "m1")
        self.assertFalse(self.client(self.bob).send_ok(f"user/{self.alice}", "x", "m1")["dup"])
        self.assertFalse(self.a.send_ok(f"user/{self.uid('carol')}", "x", "m1")["dup"])
        self.assertEqual(self.count(), 3)

    def test_in_one_go(self):
        """The second copy arrives while the first is still in the queue."""
        packets = [self.a.publish(f"im/{self.to_bob}/m1", "x") for _ in range(20)]
        for packet in packets:
            self.assertIn(self.a.wait_ack(packet), ACCEPTED)
        topic = self.a.res("sent", "m1")
        self.a.wait(lambda: len(self.a.on_topic(topic)) == 20, "20 receipts")
        receipts = [m.value for m in self.a.on_topic(topic)]
        self.assertEqual(sorted(r["dup"] for r in receipts), [False] + [True] * 19)
        self.assertEqual({(r["cseq"], r["ts"]) for r in receipts}, {(1, receipts[0]["ts"])})
        self.assertEqual(self.count(), 1)

    def test_refused_message_does_not_use_up_its_id(self):
        self.assert_refused(self.a.send(self.to_bob, "x", "m1", props={"type": "event"}), "bad_request")
        self.assertFalse(self.a.send_ok(self.to_bob, "x", "m1")["dup"])
        conv = self.cid("later")
        self.assert_refused(self.a.send(f"conv/{conv}", "x", "m2"), "not_member")
        self.a.ok("create", {"conv": conv, "order": "custom"})
        self.assert_refused(self.a.send(f"conv/{conv}", "x", "m2"), "bad_request")
        self.assertFalse(self.a.send_ok(f"conv/{conv}", "x", "m2", props={"order": 5})["dup"])

    def test_over_restarts(self):
        broker = Broker()
        self.addCleanup(broker.close)
        first = Client(broker, "alice", "d").send_ok("user/bob", "x", "m1")
        for kill in (False, True):
            broker.restart(kill)
            client = Client(broker, "alice", "d")
            self.assertEqual(client.send_ok("user/bob", "x", "m1"), dict(first, dup=True))
            self.assertEqual(client.ok("hello")["latest"], 1)
            client.close()

    def test_window(self):
        broker = Broker({"dedup_window": "300ms"})
        self.addCleanup(broker.close)
        client = Client(broker, "alice")
        self.addCleanup(client.close)
        first = client.send_ok("user/bob", "x", "m1")
        again = client.send_ok("user/bob", "x", "m1")
        while again["dup"]:
            again = client.send_ok("user/bob", "x", "m1")
        self.assertEqual(again["cseq"], 2)
        self.assertGreaterEqual(again["ts"], first["ts"] + 300)


class Bodies(Sending):
    def check_body(self, payload):
        self.a.send_ok(self.to_bob, payload)
        self.assertEqual(self.last(codec="msgpack").get("body"), payload)
        message = self.last()
        try:
            text = payload.decode("utf-8")
        except UnicodeDecodeError:
            self.assertEqual(base64.b64decode(message["body64"], validate=True), payload)
            self.assertNotIn("body", message)
        else:
            self.assertEqual(message.get("body"), text)
            self.assertNotIn("body64", message)

    def test_text(self):
        for text in ("", "plain", 'quotes " and \\ and /', "tabs\t\n\r\b\f", "\x00\x01\x1f\x7f", "żółć 漢字 👩‍👩‍👧‍👦",
                     "\u2028\u2029", "\ufeffbom", "\ufffe\uffff\U0010ffff", "{\"a\":1}"):
            with self.subTest(text=text):
                self.check_body(text.encode())

    def test_binary(self):
        for payload in (bytes(range(256)), b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"a\xff",
                        b"ab\xff", b"abc\xff"):
            with self.subTest(payload=payload):
                self.check_body(payload)

    def test_one_mebibyte(self):
        self.check_body(b"x" * MIB)
        self.check_body(bytes([255]) + b"\x00" * (MIB - 1))

    def test_too_large(self):
        self.a.send_ok(self.to_bob, "x", "m0")
        for version, reason in ((MQTT5, NOT_AUTHORISED), (MQTT311, OK)):
            client = self.client(self.alice, version=version)
            self.assert_refused(client.send(self.to_bob, b"x" * (MIB + 1), "m1"), "too_large", reason)
        self.assertEqual(self.count(), 1)
        self.assertFalse(self.a.send_ok(self.to_bob, b"x", "m1")["dup"])


@unittest.skipIf(os.environ.get("TL_PRELOAD"), "sanitizers have a malloc of their own")
class LargeBodies(TimelineTest):
    options = {"other_topics": "allow"}

    def test_need_no_new_memory_each_time(self):
        """Of 100 KiB, outside the root as well: the broker's thread does nothing else that would take pages."""
        a = self.client(self.uid())

        def send(count):
            for _ in range(count):
                a.wait_ack(a.publish("outside/large", bytes(100 * 1024)))

        send(10)
        before = self.broker.pages_given()
        send(20)
        self.assertLess(self.broker.pages_given() - before, 20 * 10)


class MaxBody(TimelineTest):
    options = {"max_body": "100"}

    def test_is_an_option(self):
        client = self.client(self.uid())
        self.assertEqual(client.ok("hello")["limits"]["max_body"], 100)
        client.send_ok("user/x", b"x" * 100)
        self.assert_refused(client.send("user/x", b"x" * 101, "m1"), "too_large")


class Receipts(Sending):
    def test_at_the_default_topic_without_correlation(self):
        packet = self.a.publish(f"im/{self.to_bob}/m1", "x", correlation=b"c")
        self.assertIn(self.a.wait_ack(packet), ACCEPTED)
        message = self.a.wait_topic(f"im/res/{self.a.device}/sent/m1")
        self.assertEqual((message.qos, message.retain, message.codec), (1, False, "json"))

    def test_at_the_response_topic_with_its_correlation(self):
        where = self.a.res("my", "own", "place")
        self.a.send(self.to_bob, "x", "m1", response_topic=where, correlation=b"\x00\xff corr")
        message = self.a.wait_topic(where)
        self.assertEqual(message.correlation, b"\x00\xff corr")
        self.assertEqual(message.value["id"], "m1")
        self.a.send_ok(self.to_bob, "x", "m2")
        self.assertEqual(self.a.on_topic(self.a.res("sent", "m1")), [])

    def test_of_a_refusal_too(self):
        where = self.a.res("here")
        result = self.a.send("conv/nowhere", "x", "m1", response_topic=where, correlation=b"c")
        self.assert_refused(result, "not_member")
        self.assertEqual(result[1]["conv"], "nowhere")
        self.assertEqual(result[1]["id"], "m1")
        self.assertEqual(self.a.wait_topic(where).correlation, b"c")

    def test_without_id_and_response_topic_there_is_none(self):
        self.assertIn(self.a.send(self.to_bob, "x")[0], ACCEPTED)
        self.a.send_ok(self.to_bob, "x", "m1")
        self.assertEqual([m for m in self.a.inbox if "/sent/" in m.topic and not m.topic.endswith("/m1")], [])

    def test_foreign_response_topic_is_refused(self):
        other = self.client(self.bob)
        for topic in (other.res("sent", "m1"), f"im/res/{self.a.device}", f"im/res/{self.a.device}x/y",
                      f"im/notify/{self.alice}", "elsewhere", f"im/conv/{self.direct}", f"IM/res/{self.a.device}/x"):
            with self.subTest(topic=topic):
                code, _ = self.a.send(self.to_bob, "x", "m1", response_topic=topic, receipt=False)
                self.assertEqual(code, NOT_AUTHORISED)
        self.assertEqual(self.count(), 0)
        self.assertEqual(other.inbox, [])

    def test_msgpack_on_request(self):
        accept = {"accept": "application/msgpack"}
        _, receipt = self.a.send(self.to_bob, "x", "m1", props=accept)
        message = self.a.wait_topic(self.a.res("sent", "m1"))
        self.assertEqual(message.codec, "msgpack")
        self.assertEqual((receipt["ok"], receipt["cseq"], receipt["dup"]), (True, 1, False))
        self.assertNotIn("props", self.last())
        self.a.send(self.to_bob, "x", "m2", props=dict(accept, type="event"))
        message = self.a.wait_topic(self.a.res("sent", "m2"))
        self.assertEqual(message.codec, "msgpack")
        self.assertEqual(message.value["error"]["code"], "bad_request")

    def test_qos_of_the_message_does_not_matter(self):
        for qos in (0, 1, 2):
            for version in (MQTT311, MQTT5):
                with self.subTest(qos=qos, version=version):
                    client = self.client(self.alice, version=version)
                    mid = self.uid("m")
                    client.send_ok(self.to_bob, "x", mid, qos=qos)
                    self.assertEqual(client.wait_topic(client.res("sent", mid)).qos, 1)

    def test_go_to_the_sending_device_alone(self):
        other = self.client(self.alice)
        other.subscribe(f"im/res/{other.device}/#")
        self.a.send_ok(self.to_bob, "x", "m1")
        other.ok("hello")
        self.assertEqual([m for m in other.inbox if "sent" in m.topic], [])

    def test_once_where_the_device_has_subscribed(self):
        self.a.subscribe(self.a.res("#"))
        self.a.send_ok(self.to_bob, "x", "m1")
        self.a.send_ok(self.to_bob, "x", "m2")
        self.assertEqual(len(self.a.on_topic(self.a.res("sent", "m1"))), 1)


class PublishProperties(Sending):
    """Properties of MQTT 5 that are between a client and the broker, on a bare socket."""

    def setUp(self):
        super().setUp()
        self.wire = wire.Wire(self.broker)
        self.addCleanup(self.wire.close)

    def receipt(self):
        received = self.wire.receive_kind(wire.PUBLISH)
        topic, number, payload = wire.unpack_publish(received, wire.V5)
        self.wire.send(wire.packet(wire.PUBACK, struct.pack("!H", number)))
        return topic, json.loads(payload)

    def test_topic_alias(self):
        self.assertTrue(self.wire.connect("aliasing", self.alice, wire.V5))
        alias = b"\x23" + struct.pack("!H", 1)
        self.wire.send(wire.publish(f"im/{self.to_bob}/m1", b"one", 1, wire.V5, alias))
        self.assertEqual(self.receipt()[1]["cseq"], 1)
        self.wire.send(wire.publish("", b"again", 2, wire.V5, alias))
        self.assertEqual(self.receipt()[1]["dup"], True)
        self.wire.send(wire.publish("im/req/hello", b"", 3, wire.V5, alias))
        self.assertEqual(self.receipt()[1]["latest"], 1)
        self.wire.send(wire.publish("", b"", 4, wire.V5, alias))
        self.assertEqual(self.receipt()[0], "im/res/aliasing/hello")

    def test_payload_format_and_expiry_are_not_looked_at(self):
        self.assertTrue(self.wire.connect("plain", self.alice, wire.V5))
        for mid, properties in (("m1", b"\x01\x01"), ("m2", b"\x01\x00"), ("m3", b"\x02\0\0\0\x01")):
            self.wire.send(wire.publish(f"im/{self.to_bob}/{mid}", b"\xff", 1, wire.V5, properties))
            self.assertTrue(self.receipt()[1]["ok"])
            self.assertEqual((self.last()["body64"], self.last().get("props")), ("/w==", None))

    def test_maximum_packet_size(self):
        """What is larger than a device takes is dropped, and the rest comes."""
        for number in range(10):
            self.a.send_ok(self.to_bob, "x" * 50)
        maximum = b"\x27" + struct.pack("!I", 600)
        self.wire.version = wire.V5
        self.wire.send(wire.packet(wire.CONNECT, wire.text("MQTT") + b"\x05\x82\0\0" + wire.varint(len(maximum)) + maximum +
                                   wire.text("small") + wire.text(self.alice)))
        for number, limit in enumerate((100, 1, 100, 2), 1):
            self.wire.send(wire.publish(f"im/req/sync/t{limit}", b'{"after":0,"limit":%d}' % limit, number, wire.V5))
        pages = dict(self.receipt() for _ in range(2))
        self.assertEqual({topic: len(page["messages"]) for topic, page in pages.items()},
                         {f"im/res/small/sync/t{limit}": limit for limit in (1, 2)})
        self.wire.send(wire.publish("im/req/block", b"", 5, wire.V5))
        self.assertEqual(self.receipt()[0], "im/res/small/block")  # and nothing else meanwhile


class Acks(Sending):
    def test_codes_of_mqtt5(self):
        for qos in (1, 2):
            self.assertIn(self.a.send(self.to_bob, "x", self.uid("m"), qos=qos)[0], ACCEPTED)
            self.assert_refused(self.a.send("conv/nowhere", "x", self.uid("m"), qos=qos), "not_member")

    def test_mqtt311_learns_from_the_receipt(self):
        client = self.client(self.alice, version=MQTT311)
        for qos in (0, 1, 2):
            with self.subTest(qos=qos):
                mid = self.uid("m")
                code, receipt = client.send("conv/nowhere", "x", mid, qos=qos)
                self.assertIn(code, (OK, None))
                self.assertEqual(receipt, {"op": "send", "ok": False, "conv": "nowhere", "id": mid,
                                           "error": receipt["error"]})
                self.assertEqual(receipt["error"]["code"], "not_member")

    def test_topics_that_are_none(self):
        for topic in ("im", "im/", "im/conv", "im/conv/", "im/user", "im/user/", f"im/{self.to_bob}/",
                      f"im/{self.to_bob}/a/b", "im/nothing/x", "im//", "im/req", "im/req/", "im/req/hello/", "im/req/a/b/c",
                      "im/CONV/x", "im/conv//m1"):
            with self.subTest(topic=topic):
                self.assertEqual(self.a.wait_ack(self.a.publish(topic, "x")), NOT_AUTHORISED)
        self.assertEqual(self.count(), 0)

    def test_qos2_is_stored_once(self):
        for i in range(20):
            self.a.send(self.to_bob, str(i), qos=2)
        self.a.send_ok(self.to_bob, "last")
        self.assertEqual([m["body"] for m in self.a.sync_all()], [str(i) for i in range(20)] + ["last"])

    def test_retain_is_ignored(self):
        reader = self.client(self.bob)
        conv = self.group(self.a, self.bob)
        self.a.publish(f"im/{self.to_bob}/m1", "stored", retain=True)
        self.a.wait_topic(self.a.res("sent", "m1"))
        self.assertIn(self.a.wait_ack(self.a.publish(f"im/signal/{conv}", "typing", retain=True)), ACCEPTED)
        reader.subscribe(f"im/signal/{conv}")
        reader.subscribe("im/#")
        since = reader.mark()
        self.a.publish(f"im/signal/{conv}", "call", retain=True)
        message = reader.wait_topic(f"im/signal/{conv}", since)
        self.assertEqual((message.payload, message.retain), (b"call", False))
        self.assertEqual([m for m in reader.inbox if m.retain or m.payload in (b"typing", b"stored")], [])

    def test_an_empty_retained_one_is_a_message(self):
        for version in (MQTT311, MQTT5):
            client = self.client(self.alice, version=version)
            client.send_ok(self.to_bob, b"", f"m{version}", retain=True)
            self.assertEqual((self.last()["id"], self.last()["body"]), (f"m{version}", ""))

    def test_many_in_order(self):
        burst(self.broker, self.alice, f"im/{self.to_bob}", [str(i).encode() for i in range(5000)])
        self.a.send_ok(self.to_bob, "end")
        messages = self.a.sync_all(limit=1000)
        self.assertEqual([m["body"] for m in messages], [str(i) for i in range(5000)] + ["end"])
        self.assertEqual([m["cseq"] for m in messages], list(range(1, 5002)))
        self.assert_places(messages)
        self.assertEqual(len({m["id"] for m in messages}), 5001)


if __name__ == "__main__":
    unittest.main()
