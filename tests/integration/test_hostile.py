"""Clients that mean harm, or are merely broken. After each the broker is alive and serves a well-behaved client.

Meant to be run with a sanitizer's build too: TL_PLUGIN, TL_PRELOAD.
"""
import itertools
import json
import os
import random
import struct
import threading
import time
import unittest

import msgpack
from harness import DEADLINE, Client, TimelineTest, until
from wire import (DISCONNECT, PUBACK, PUBLISH, SUBACK, V5, V311, Packet, Wire, connect, correlation, packet, publish,
                  response_topic, subscribe, text, unpack_publish, user_property, varint)

PLAIN = not os.environ.get("TL_PRELOAD")  # memory is only compared without a sanitizer


class HostileTest(TimelineTest):
    options = {"other_topics": "allow"}

    def setUp(self):
        super().setUp()
        self.addCleanup(self.check_well_behaved)

    def check_well_behaved(self):
        """Somebody new does what people do."""
        if self.broker.process.poll() is not None:
            self.broker.check()
            self.fail("the broker is dead")
        a, b = self.uids("good", "good")
        alice, bob = Client(self.broker, a), Client(self.broker, b)
        try:
            conv = self.group(alice, b)
            alice.send_ok(f"conv/{conv}", "hello")
            bob.send_ok(f"user/{a}", "you too")
            self.assertEqual([m.get("body") for m in bob.sync_all()], [None, "hello", "you too"])
        finally:
            alice.close()
            bob.close()

    def wire(self, user=None, version=V311, receive_buffer=None):
        wire = Wire(self.broker, receive_buffer)
        self.addCleanup(wire.close)
        user = user or self.uid("bad")
        self.assertTrue(wire.connect(f"device-{user}", user, version))
        wire.user, wire.device = user, f"device-{user}"
        return wire

    def rss(self):
        """Resident memory of the broker, MiB."""
        with open(f"/proc/{self.broker.process.pid}/statm", encoding="ascii") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)

    def answer(self, wire, op, payload, number=1, properties=b"", tag="t"):
        """Makes a request on a bare socket: the answer's payload, None if the broker hung up."""
        if not wire.send_anyway(publish(f"im/req/{op}/{tag}", payload, number, wire.version, properties)):
            return None
        while True:
            received = wire.receive()
            if received is None:
                return None
            if received.head & 0xf0 == PUBLISH:
                _, packet_number, body = unpack_publish(received, wire.version)
                wire.send_anyway(packet(PUBACK, struct.pack("!H", packet_number)))
                return body


class Packets(HostileTest):
    def test_malformed_packets(self):
        """Garbage behind a good beginning: the broker may hang up, and lives."""
        rng = random.Random(1)
        good = [publish("im/conv/team/m1", b"x", 1, V5, user_property("id", "m1")),
                publish("im/req/sync/t", b'{"after":0}', 2, V5, response_topic("im/res/x/y") + correlation(b"c")),
                subscribe(["im/notify/me", "im/live/+"], 3, version=V5)]
        for i in range(300):
            frame = bytearray(rng.choice(good))
            for _ in range(rng.randrange(1, 4)):
                frame[rng.randrange(len(frame))] = rng.randrange(256)
            with Wire(self.broker) as wire:
                wire.send(connect(f"garbage{i}", "mallory", V5))
                wire.send_anyway(bytes(frame))
                wire.send_anyway(packet(DISCONNECT))

    def test_cut_packets(self):
        """Whole connections that end in the middle of a packet."""
        frame = publish("im/conv/team/m1", b"x" * 50, 1, V5, user_property("id", "m1") + correlation(b"c" * 20))
        for end in range(1, len(frame)):
            with Wire(self.broker) as wire:
                wire.send(connect(f"cut{end}", "mallory", V5) + frame[:end])

    def test_lengths_that_lie(self):
        for body in (text("im/conv/x")[:5], struct.pack("!H", 0xffff) + b"im/conv", struct.pack("!H", 0),
                     text("im/conv/x") + b"\x00\x01" + b"\xff\xff\xff\xff", text("im/req/sync") + b"\x00\x01\xff\x7f",
                     text("im/conv/x") + b"\x00\x01" + b"\x07\x26\xff\xff\x00\x00\x00\x00"):
            with Wire(self.broker) as wire:
                self.assertTrue(wire.connect("liar", "mallory", V5))
                wire.send_anyway(packet(PUBLISH | 2, body))
                wire.receive()  # the end, or a refusal
        with Wire(self.broker) as wire:  # 256 MiB are announced and never come
            self.assertTrue(wire.connect("liar", "mallory", V5))
            wire.send_anyway(b"\x32\xff\xff\xff\x7f" + text("im/conv/x"))

    def test_long_topics(self):
        self.wire().alive()
        for level in ("im/conv/", "im/user/", "im/req/", "im/signal/", "im/notify/", "im/res/", "im/live/", "im/",
                      "im/conv/team/", "im/req/sync/", "im/conv/" + "a/" * 150):
            for version in (V311, V5):
                for fill in ("x", "é"):
                    room = 0xffff - len(level)
                    topic = level + fill * (room // len(fill.encode()))
                    wire = self.wire(version=version)
                    wire.send_anyway(publish(topic, b"{}", 1, version))
                    wire.send_anyway(subscribe([topic], 2, version=version))
                    wire.alive()
                    wire.close()

    def test_topics_of_many_levels(self):
        wire = self.wire()
        for topic in ("im" + "/" * 190, "im/conv" + "/" * 190, "im/req/" + "/x" * 90, "im//conv", "/im/conv/x", "im",
                      "im/", "im/conv/", "im/req//", "im/user//m", "im/conv/\u200b/m", "im/conv/x/y/z"):
            wire.send_anyway(publish(topic, b"{}", 1))
            if not wire.alive():
                wire = self.wire()

    def test_topics_that_are_no_utf8(self):
        for bad in (b"\x00", b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\x01", b"+", b"#"):
            for version in (V311, V5):
                wire = self.wire(version=version)
                wire.send_anyway(publish(b"im/conv/" + bad, b"x", 1, version))
                wire.send_anyway(subscribe([b"im/live/" + bad], 2, version=version))
                wire.alive()
                wire.close()


class Requests(HostileTest):
    def refused(self, wire, op, payload):
        body = self.answer(wire, op, payload)
        self.assertIsNotNone(body, f"{op} hung up on {payload[:20]!r}")
        answer = msgpack.unpackb(body) if body[0] & 0xf0 == 0x80 or body[0] in (0xde, 0xdf) else json.loads(body)
        self.assertIs(answer["ok"], False, answer)
        return answer["error"]["code"]

    def test_deep_nesting(self):
        wire = self.wire()
        for op in ("hello", "sync", "create", "read", "unheard-of"):
            for depth in (100, 1000, 30000):
                for payload in (b'{"a":' * depth, b'{"a":' + b"[" * depth + b"]" * depth + b"}",
                                b'{"rid":' * depth + b"1" + b"}" * depth, b"\x81\xa1a" * depth,
                                b"\x81\xa1a" + b"\x91" * depth + b"\x01", b"\x81\xa3rid" + b"\x91" * depth + b"\x01"):
                    if len(payload) <= 60000:
                        self.refused(wire, op, payload)

    def test_lengths_in_msgpack_that_lie(self):
        wire = self.wire()
        huge = struct.pack("!I", 0xffffffff)
        for op in ("sync", "create", "delete", "unheard-of"):
            for lie in (b"\xdd" + huge, b"\xdf" + huge, b"\xdb" + huge, b"\xc6" + huge, b"\xc9" + huge + b"\x01"):
                for payload in (lie, lie + b"\x01" * 100, b"\x81\xa5users" + lie, b"\x81\xa6cseqs\x00" + lie,
                                b"\x82\xa4conv\xa1x\xa5cseqs" + lie, b"\xdf" + struct.pack("!I", 1) + lie):
                    body = self.answer(wire, op, payload)
                    if body is None:
                        self.fail(f"{op} hung up on {payload!r}")

    def test_every_first_byte(self):
        wire = self.wire()
        for byte in range(256):
            for op in ("sync", "create"):
                for rest in (b"", b"\xff" * 9, b"\x00" * 9):
                    self.assertIsNotNone(self.answer(wire, op, bytes([byte]) + rest))

    def test_random_requests(self):
        rng = random.Random(2)
        good = [msgpack.packb({"conv": "team", "cseqs": [1, 2, 3], "limit": 10, "rid": "r", "users": ["a", "b"]}),
                json.dumps({"conv": "team", "cseq": 1, "body": "x\u0000é", "limit": 1e3, "members": ["a"]}).encode()]
        ops = ("hello sync history get search convs create info members update join leave add remove role dissolve read "
               "set delete recall edit block devices").split()
        wire = self.wire()
        for _ in range(1500):
            payload = bytearray(rng.choice(good))
            for _ in range(rng.randrange(4)):
                payload[rng.randrange(len(payload))] = rng.randrange(256)
            self.assertIsNotNone(self.answer(wire, rng.choice(ops), bytes(payload[:rng.randrange(len(payload) + 1)])))

    def test_large_requests(self):
        """64 KiB again and again, and more than a request may have."""
        wire = self.wire()
        users = [f"u{i}" for i in range(7000)]
        before = None
        for payload in (json.dumps({"conv": "nowhere", "users": users}).encode()[:65536],
                        json.dumps({"conv": "nowhere", "cseqs": list(range(1, 11000))}).encode(),
                        json.dumps({"x" * i: i for i in range(1, 350)}).encode(),
                        msgpack.packb({str(i): i for i in range(8000)}),
                        json.dumps({"rid": "r" * 60000}).encode(),
                        json.dumps({"q": "word " * 12000, "conv": "\u0001" * 1000}).encode(), b"x" * 900000):
            for i in range(60):
                for op in ("sync", "add", "delete", "search"):
                    self.assertIsNotNone(self.answer(wire, op, payload))
                if i == 20 and before is None:
                    before = self.rss()
        if PLAIN:
            self.assertLess(self.rss() - before, 100)

    def check_memory(self, before, since, requests):
        """A device may leave 48 MiB and its inbox unread, and with each second 4 MiB more. Until it is acked the broker holds
        it twice."""
        if PLAIN:
            most = 130 + 8 * (time.monotonic() - since)
            self.assertLess(self.rss() - before, most, f"MiB more than before, after {requests} requests")

    def floods(self, user, frames):
        """Sends requests and reads nothing. As fast as others are served, so that none is refused for coming too soon."""
        pacer = self.client(self.uid("pacer"))
        before, since = self.rss(), time.monotonic()
        wire = self.wire(user, receive_buffer=4096)
        for begin in range(0, len(frames), 25):
            if not wire.send_anyway(b"".join(frames[begin:begin + 25])):
                break
            pacer.ok("sync", {"after": 0})
            self.check_memory(before, since, begin)
        self.check_well_behaved()
        wire.close()

    def never_reads(self, number):
        """Asks for ten thousand large pages and takes none. `number`: whether at QoS 1."""
        user = self.uid("glutton")
        client = self.client(user)
        for _ in range(300):
            client.publish(f"im/user/{user}", b"g" * 4000)
        client.send_ok(f"user/{user}", "end")
        self.floods(user, [publish(f"im/req/sync/{n}", b'{"after":0,"limit":1000}', number and n + 1)
                           for n in range(10000)])

    def test_ten_thousand_syncs_and_no_reading(self):
        self.never_reads(1)

    def test_ten_thousand_syncs_at_qos_0_and_no_reading(self):
        self.never_reads(0)

    def guesses(self, requests, number):
        """As never_reads, with requests that look as if what was answered before had been read."""
        user = self.uid("guesser")
        client = self.client(user)
        for _ in range(1500):
            packet_id = client.publish(f"im/user/{user}", b"g" * 4000)
        client.wait_ack(packet_id)
        client.send_ok(f"user/{user}", "end")
        self.floods(user, [publish(f"im/req/{op}/{n}", json.dumps(request).encode(), number and n + 1)
                           for n, (op, request) in enumerate(requests(f"d:{user}:{user}"))])

    def test_guessing_positions_and_no_reading(self):
        for number in (0, 1):
            with self.subTest(qos=number):
                self.guesses(lambda conv: [("sync", {"after": n, "limit": 1000}) for n in range(1400)], number)

    def test_guessing_where_pages_end_and_no_reading(self):
        """Pages of an inbox that do not overlap say nothing of other answers."""
        def requests(conv):
            for n in range(1400):
                yield "sync", {"after": n, "limit": 1}
                yield "history", {"conv": conv, "before": 1400, "limit": 1000}

        self.guesses(lambda conv: list(requests(conv)), 1)

    def test_guessing_cursors_and_no_reading(self):
        def requests(conv):
            for n in range(700):
                yield "history", {"conv": conv, "before": 1400, "limit": 50}
                yield "history", {"conv": conv, "cursor": "b1350", "limit": 50}
                yield "history", {"conv": conv, "cursor": f"b1300/{n:016x}", "limit": 1}

        for number in (0, 1):
            with self.subTest(qos=number):
                self.guesses(lambda conv: list(requests(conv)), number)

    def test_ten_thousand_syncs_at_once_and_no_reading(self):
        """All in one go: most are refused, and others are served meanwhile."""
        wire = self.wire(receive_buffer=4096)
        before, since = self.rss(), time.monotonic()
        frames = b"".join(publish(f"im/req/sync/{n}", b'{"after":0,"limit":1000}', n + 1) for n in range(10000))
        flood = threading.Thread(target=wire.send_anyway, args=(frames,), daemon=True)
        flood.start()
        while flood.is_alive():
            self.check_well_behaved()
        flood.join()
        self.check_well_behaved()
        self.check_memory(before, since, 10000)
        wire.close()

    def test_create_with_many_members(self):
        owner = self.client(self.uid("owner"))
        members = [f"c{i}" for i in range(8191)]
        conv = self.cid("crowd")
        # The answer may take a while: every member's inbox gets the event.
        since = owner.mark()
        owner.wait_ack(owner.publish("im/req/create/t", msgpack.packb({"conv": conv, "members": members})))
        answer = owner.wait_topic(owner.res("create", "t"), since, 30).value
        self.assertIs(answer["ok"], True, answer)
        self.assertEqual(answer["count"], 8192)
        self.assertEqual(self.client("c8190").sync_all()[0]["conv"], conv)
        owner.wait_ack(owner.publish("im/req/create/u", msgpack.packb({"conv": conv + "x", "members": members * 2})))
        answer = owner.wait_topic(owner.res("create", "u"), since, 30).value
        self.assertIs(answer["ok"], False, "more names than a request may have")
        for i in range(5):
            owner.publish(f"im/conv/{conv}/m{i}", b"to all")
        self.check_well_behaved()
        owner.wait_topic(owner.res("sent", "m4"), since, 30)

    def test_thousands_of_creates(self):
        wire = self.wire()
        refused = made = 0
        for begin in range(0, 6000, 500):
            frames = (publish(f"im/req/create/{i}", b'{"members":["victim"]}', i + 1) for i in range(begin, begin + 500))
            wire.send(b"".join(frames))
            answers = 0
            while answers < 500:
                received = wire.receive()
                self.assertIsNotNone(received)
                if received.head & 0xf0 != PUBLISH:
                    continue
                _, number, body = unpack_publish(received, wire.version)
                wire.send(packet(PUBACK, struct.pack("!H", number)))
                answer = json.loads(body)
                made += answer["ok"]
                refused += not answer["ok"]
                answers += 1
        self.assertEqual(made + refused, 6000)
        self.assertLessEqual(made, 5000)  # max_conversations
        victim = self.client("victim")
        self.assertEqual(victim.ok("hello")["latest"], made)


class Names(HostileTest):
    ODD = ["é", "e\u0301", "\u202eevil", "\u200b", "\ufeff", "\ufdd0", "\uffff", "\U0001f600", "\U0010ffff", "\u00a0",
           "\u0085", "\u2028", " ", "  ", ".", "..", "'", '"', "\\", "%s%n", "$share", "$SYS", "d", "A" * 128,
           "\U0010ffff" * 32, "null", "{}", "<script>", "\u00ad", "ﷺ", "I\u0307", "ß", "\u0000x", "\x7f", "\x1f",
           "a:b", ":", "+", "#", "a/b", "x" * 129, "x" * 65000, ""]

    def test_user_names(self):
        """Whoever the broker lets in under whatever name is served or refused, and never mistaken for someone else."""
        served = set()
        for n, name in enumerate(self.ODD):
            for version in (V311, V5):
                with Wire(self.broker) as wire:
                    if not wire.connect(f"odd{n}-{version}", name, version):
                        continue
                    hello = self.answer_or_denied(wire)
                    if hello is None:
                        continue
                    answer = json.loads(unpack_publish(hello, version)[2])
                    if answer["ok"]:
                        self.assertEqual(answer["user"], name)
                        served.add(name)
                    if wire.send_anyway(publish(f"im/user/{name}/m1", b"to me", 5, version)):
                        wire.alive()
        self.assertIn("é", served)
        self.assertIn("e\u0301", served)
        self.assertFalse(served & {"a:b", ":", "+", "#", "a/b", "x" * 129, "\x1f", "x" * 65000, ""})

    def test_user_names_that_are_no_utf8(self):
        for bad in (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"a\x00b", b"\xf4\x90\x80\x80", b"\xe2\x82"):
            for version in (V311, V5):
                with Wire(self.broker) as wire:
                    if wire.connect("odd", bad, version):
                        self.assertIsNone(self.answer_or_denied(wire))

    def answer_or_denied(self, wire):
        """The answer to a hello, None if the broker hung up or does not know this user."""
        if not wire.send_anyway(publish("im/req/hello", b"", 1, wire.version)):
            return None
        # Whoever is nobody is told so where MQTT can (0x87), and else told nothing at all: a second request, of an
        # operation that is unknown, would be answered after the first in the same way.
        ack = wire.receive_kind(PUBACK)
        if ack is None or (len(ack.body) > 2 and ack.body[2] >= 0x80):
            return None
        try:
            wire.sock.settimeout(DEADLINE if wire.version == V5 else 1)
            return wire.receive_kind(PUBLISH)
        except AssertionError:
            return None

    def test_client_ids(self):
        for n, name in enumerate(self.ODD):
            with Wire(self.broker) as wire:
                if name and wire.connect(name, f"carol{n}", V5):
                    wire.send_anyway(publish("im/req/hello", b"", 1, V5))
                    wire.send_anyway(publish(f"im/user/carol{n}/m1", b"", 2, V5))
                    wire.alive()

    def test_other_peoples_names(self):
        """In members, users, conversations: refused one by one or taken, all the same to the broker."""
        client = self.client(self.uid("namer"))
        for name in self.ODD:
            for op, argument in (("create", {"members": [name]}), ("create", {"conv": name}), ("block", {"user": name,
                                 "on": True}), ("info", {"conv": name}), ("search", {"q": name or " "}),
                                 ("create", {"name": name})):
                for codec in ("json", "msgpack"):
                    client.request(op, argument, codec=codec)


class Properties(HostileTest):
    def test_response_topics_and_correlation(self):
        wire = self.wire(version=V5)
        prefix = f"im/res/{wire.device}/"
        for topic in (prefix + "x" * (0xffff - len(prefix)), prefix + "x" * (1000 - len(prefix)), prefix, prefix + "#",
                      prefix + "+/x", "im/res/other/x", "im/res", "x", "/", prefix + "/" * 250, "im/conv/team",
                      "$SYS/x", prefix + "\uffff"):
            for data in (b"", b"c" * 0xffff, bytes(range(256))):
                for target, payload in (("im/req/hello", b""), ("im/req/create", b"{}"),
                                        (f"im/user/{wire.user}", b"x")):
                    properties = response_topic(topic) + correlation(data)
                    wire.send_anyway(publish(target, payload, 1, V5, properties))
                    if not wire.alive():
                        wire = self.wire(wire.user, V5)

    def test_longest_correlation_comes_back(self):
        client = self.client(self.uid("long"))
        where = client.res("r" * 900)
        for size in (1, 1000, 0xffff):
            message = client.raw_request("hello", response_topic=where, correlation=b"c" * size)
            self.assertEqual(message.correlation, b"c" * size)
            since = client.mark()
            client.send(f"user/{client.user}", b"x", response_topic=where, correlation=b"d" * size, since=since)
            self.assertEqual(client.wait_topic(where, since).correlation, b"d" * size)

    def test_user_properties(self):
        wire = self.wire(version=V5)
        big = "v" * 0xffff
        for pairs in ([("", "")], [("", big)], [(big, "")], [(big, big)] * 4, [("id", "")], [("id", big)],
                      [("type", "")], [("type", big)], [("time", "")], [("time", big)], [("order", "9" * 0xffff)],
                      [("accept", big)], [("k", "v")] * 5000, [("id", "a"), ("id", "b")] * 500, [("id", "x/y")],
                      [("", "")] * 17, [("k" * 512, "v" * 512)], [("k" * 512, "v" * 513)]):
            properties = b"".join(user_property(k, v) for k, v in pairs)
            for topic, payload in ((f"im/user/{wire.user}", b"x"), ("im/req/hello", b""), ("im/req/create", b"{}"),
                                   ("im/signal/nowhere", b"")):
                wire.send_anyway(publish(topic, payload, 1, V5, properties))
                if not wire.alive():
                    wire = self.wire(wire.user, V5)

    def test_content_type_and_other_properties(self):
        wire = self.wire(version=V5)
        for properties in (b"\x03" + text("c" * 0xffff), b"\x03" + text(""), b"\x01\x01", b"\x01\x02",
                           b"\x02\xff\xff\xff\xff", b"\x23\x00\x01", b"\x0b\x01", b"\x03" + text("a") + b"\x03" + text("b"),
                           b"\x08" + text("") + b"\x09" + text(""), b"\x7f" + varint(200)):
            wire.send_anyway(publish(f"im/user/{wire.user}", b"x", 1, V5, properties))
            if not wire.alive():
                wire = self.wire(wire.user, V5)


class Connections(HostileTest):
    def test_thousands_of_filters(self):
        """Each may be subscribed to or refused; who has that many is served like others, and slows nobody down."""
        user = self.uid("hoarder")
        wire = self.wire(user)
        before = self.rss()
        own = [f"im/notify/{user}", f"im/notify/{user}/json", "#", "im/#", "im/live/+", "+/notify/+", "$share/g/im/#",
               f"im/res/{wire.device}/#", "$share/g/#", "im/signal/+"]
        filters = [f"im/live/{i}" for i in range(3000)] + own * 50 + [f"x/{i}/+/#" for i in range(3000)]
        filters += [f"im/notify/{user}/{'json'}", f"+/notify/{user}", "im/+/+/json"] * 50
        for begin in range(0, len(filters), 500):
            wire.send(subscribe(filters[begin:begin + 500]))
            received = wire.receive_kind(SUBACK)
            self.assertIsInstance(received, Packet)
            self.assertEqual(len(received.body), 2 + len(filters[begin:begin + 500]))
        other = self.client(self.uid("talker"))
        for i in range(100):
            other.send_ok(f"user/{user}", f"m{i}")
        self.assertTrue(wire.alive())
        if PLAIN:
            self.assertLess(self.rss() - before, 100)
        wire.close()

    def test_vanishing_clients(self):
        """Two thousand that connect, do something, and are gone. Nothing of them stays in memory."""
        actions = itertools.cycle([
            lambda u, d: b"", lambda u, d: publish("im/req/hello", b"", 1),
            lambda u, d: subscribe([f"im/notify/{u}", f"im/notify/{u}/json", "im/live/+"]),
            lambda u, d: publish("im/req/sync", b'{"after":0}'), lambda u, d: publish(f"im/user/{u}/m", b"x", 1)])

        def vanish(first, count):
            for i in range(first, first + count):
                user, device = f"ghost{i % 100}", f"gone{i % 100}"
                with Wire(self.broker) as wire:
                    wire.send(connect(device, user) + next(actions)(user, device))
                    if i % 3:
                        wire.receive()

        vanish(0, 1000)
        self.check_well_behaved()
        before = self.rss()
        vanish(1000, 2000)
        self.check_well_behaved()
        if PLAIN:
            self.assertLess(self.rss() - before, 12, "MiB more than before")

    def test_requests_of_those_who_have_gone(self):
        """A device that connects, asks for much, and is gone, again and again: nobody else waits for answers that nobody will
        take. What a sync says of the device's position counts all the same."""
        user = self.uid("hasty")
        filler = self.client(user)
        acks = [filler.publish(f"im/user/{user}", b"x" * 250) for _ in range(1000)]
        filler.wait_ack(acks[-1])
        frames = b"".join(publish("im/req/sync", b'{"after":1,"limit":1000}', n) for n in range(1, 33))
        for _ in range(600):
            with Wire(self.broker) as wire:
                wire.send(connect("hasty", user) + frames + packet(DISCONNECT))
                while wire.receive():
                    pass
        devices = filler.ok("devices")["devices"]  # waited for until the deadline
        self.assertEqual([d["checkpoint"] for d in devices if d["device"] == "hasty"], [1])

    def test_one_client_id_in_many_hands(self):
        """Takeovers in a row, by different users: no answer of one goes to another."""
        for i in range(200):
            user = f"hand{i % 5}"
            with Wire(self.broker) as wire:
                wire.send(connect("shared-device", user) + publish("im/req/hello", b"", 1))
                with Wire(self.broker) as thief:
                    self.assertTrue(thief.connect("shared-device", f"thief{i % 5}"))
                    self.assertTrue(thief.alive())
                    for received in thief.packets:
                        if received.head & 0xf0 == PUBLISH:
                            self.assertEqual(json.loads(unpack_publish(received, V311)[2])["user"], f"thief{i % 5}")

    def test_many_connections_at_once(self):
        wires = []
        try:
            for i in range(300):
                wire = Wire(self.broker)
                wires.append(wire)
                wire.send(connect(f"mass{i}", f"mass{i % 10}") + subscribe([f"im/notify/mass{i % 10}"]) +
                          publish(f"im/user/mass{i % 10}/m{i}", b"x", 2))
            for wire in wires:
                self.assertTrue(wire.alive())
            self.check_well_behaved()
        finally:
            for wire in wires:
                wire.close()

    def test_reconnecting_without_a_name(self):
        for version in (V311, V5):
            for i in range(50):
                with Wire(self.broker) as wire:
                    if wire.connect(f"nameless{i}", None, version):
                        wire.send_anyway(publish("im/req/hello", b"", 1, version))
                        wire.send_anyway(subscribe(["im/#", "#", "im/notify/nameless"], version=version))
                        if wire.alive():
                            self.assertFalse([p for p in wire.packets if p.head & 0xf0 == PUBLISH])

    def test_a_reader_that_stops(self):
        """Subscribed to its notifications, written to by others, and never reading them."""
        user = self.uid("sleeper")
        wire = self.wire(user, receive_buffer=4096)
        wire.send(subscribe([f"im/notify/{user}", f"im/notify/{user}/json"]))
        before = self.rss()
        other = self.client(self.uid("talker"))
        for i in range(3000):
            packet_id = other.publish(f"im/user/{user}", b"n" * 3000)
        other.wait_ack(packet_id)
        other.send_ok(f"user/{user}", "end")
        until(lambda: self.client(user, f"awake-{user}").ok("hello")["latest"] >= 3001, "the inbox")
        if PLAIN:
            self.assertLess(self.rss() - before, 150, "MiB more than before")
        wire.close()


if __name__ == "__main__":
    unittest.main()
