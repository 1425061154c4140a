"""The wall around the root: who may read and write what (PROTOCOL sections 1 and 2)."""
import base64
import glob
import os
import re
import signal
import socket
import struct
import subprocess
import unittest

import wire
from fault import ShimBroker
from harness import (CONTROL, DEADLINE, HOST, MQTT311, MQTT5, NOT_AUTHORISED, Broker, BrokerTest, Client, TimelineTest,
                     free_port, plugin_path, program, until)

SERVER_TOPICS = ("notify/{bob}", "notify/{bob}/json", "res/{device}/x", "res/{device}/sent/m1", "live/{conv}",
                 "live/d:{alice}:{bob}", "notify/{bob}/x", "res/{device}", "unknown/{bob}")
REFUSED = (NOT_AUTHORISED, NOT_AUTHORISED)  # to subscribe, and to publish


class Wall(TimelineTest):
    options = {"other_topics": "allow"}

    def setUp(self):
        super().setUp()
        self.alice, self.bob, self.eve = self.uids("alice", "bob", "eve")
        self.a, self.b = self.client(self.alice), self.client(self.bob)
        self.conv = self.group(self.a, self.bob)
        for topic in (f"im/notify/{self.bob}", f"im/notify/{self.bob}/json"):
            self.b.subscribe(topic)
            self.b.wait_topic(topic)

    def traffic(self):
        """Something on every kind of topic; returns when the last of it has been delivered."""
        since = self.b.mark()
        self.b.subscribe(f"im/signal/{self.conv}")
        self.a.send_ok(f"conv/{self.conv}", "secret")
        self.a.send_ok(f"user/{self.bob}", "secret")
        self.a.ok("hello")
        self.b.ok("sync", {"after": 0})
        self.a.wait_ack(self.a.publish(f"im/signal/{self.conv}", "secret", qos=1))
        self.b.wait_for(lambda m: m.topic == f"im/notify/{self.bob}/json" and b"secret" in m.payload, since)
        self.b.wait_topic(f"im/signal/{self.conv}", since)

    def heard(self, client):
        """All that arrived, but for what is the client's own."""
        client.wait_ack(client.publish(f"outside/{client.device}", "end"))
        client.wait_topic(f"outside/{client.device}")
        own = ("outside/", f"im/res/{client.device}/", f"im/notify/{client.user}")
        return [m for m in client.inbox if not m.topic.startswith(own)]

    def test_whatever_the_subscription_looks_like(self):
        filters = ("#", "+", "im/#", "im/+/#", "+/#", "im/+/+", "im/+/+/#", "+/+/+", "+/notify/+", "im/notify/+",
                   "im/notify/#", "im/res/#", "im/res/+/#", "im/live/#", "im/live/+", "im/signal/#", "im/signal/+",
                   "im/conv/#", "im/user/#", "im/req/#", "im/conv/+", "im/conv/+/+", f"im/+/{self.bob}", f"+/+/{self.bob}",
                   f"im/+/{self.bob}/json", f"im/notify/{self.bob}/#", f"im/notify/{self.bob}", f"im/notify/{self.bob}/+",
                   f"im/conv/{self.conv}", f"im/user/{self.bob}", f"im/res/{self.b.device}/#", f"im/signal/{self.conv}",
                   f"im/live/{self.conv}", f"im/signal/{self.conv}/#", f"im/live/{self.conv}/#", f"+/signal/{self.conv}")
        spies = []
        for version in (MQTT311, MQTT5):
            for prefix in ("", "$share/g/"):
                spy = self.client(self.eve, version=version)
                spy.subscribe(f"outside/{spy.device}")
                for topic in filters:
                    spy.subscribe(prefix + topic, qos=1)
                spies.append(spy)
        nobody = self.client(None)
        nobody.subscribe("outside/#")
        for topic in filters:
            nobody.subscribe(topic)
        self.traffic()
        for spy in spies + [nobody]:
            with self.subTest(user=spy.user, version=spy.version):
                self.assertEqual(self.heard(spy), [])

    def test_shared_subscriptions_do_not_take_anything_away(self):
        spy = self.client(self.eve)
        spy.subscribe("$share/g/#")
        spy.subscribe("$share/g/im/#")
        for i in range(10):
            since = self.b.mark()
            self.a.send_ok(f"user/{self.bob}", str(i))
            self.b.wait_for(lambda m: m.topic == f"im/notify/{self.bob}" and m.value["seq"] == i + 2, since)

    def test_clear_answers_to_subscriptions(self):
        spy = self.client(self.eve)
        for topic in (f"im/notify/{self.bob}", f"im/notify/{self.bob}/json", f"im/res/{self.b.device}/#",
                      f"im/signal/{self.conv}", f"im/live/{self.conv}", f"im/conv/{self.conv}", f"im/user/{self.eve}",
                      "im/req/hello", "im/conv/#", "im/conv/+/+", "im/user/+", f"im/user/{self.eve}/#", "im/req/+", "im/nothing/x",
                      "im", f"im/notify/{self.bob}/#", f"im/res/{self.b.device}/+", f"im/live/{self.conv}/#",
                      f"$share/g/im/notify/{self.bob}", f"$share/g/im/live/{self.conv}", "$share/g/im/conv/#"):
            with self.subTest(topic=topic):
                self.assertEqual(spy.subscribe(topic), NOT_AUTHORISED)
        for topic in (f"im/notify/{self.eve}", f"im/notify/{self.eve}/json", spy.res("#"), spy.res("sent", "+"), "#", "im/#",
                      "outside/x"):
            with self.subTest(topic=topic):
                self.assertLess(spy.subscribe(topic), 0x80)
        for topic in (f"im/signal/{self.conv}", f"im/live/{self.conv}"):
            self.assertLess(self.b.subscribe(topic), 0x80)

    def test_nobody_writes_the_servers_topics(self):
        names = {"bob": self.bob, "alice": self.alice, "conv": self.conv, "device": self.b.device}
        since = self.b.mark()
        self.b.subscribe("im/#")
        self.b.subscribe(self.b.res("#"))
        self.b.subscribe(f"im/live/{self.conv}")
        forger = self.client(self.eve)
        for client in (forger, self.a, self.b, self.client(self.bob), self.client(None)):
            for name in SERVER_TOPICS:
                topic = "im/" + name.format(**names)
                for qos in (1, 2):
                    with self.subTest(user=client.user, topic=topic, qos=qos):
                        packet = client.publish(topic, "forged", qos=qos, retain=qos == 1)
                        self.assertEqual(client.wait_ack(packet), NOT_AUTHORISED)
                client.publish(topic, "forged", qos=0)
        old = self.client(self.eve, version=MQTT311)
        for name in SERVER_TOPICS:
            old.wait_ack(old.publish("im/" + name.format(**names), "forged"))
        self.b.ok("hello")
        self.assertEqual([m for m in self.b.inbox[since:] if m.payload == b"forged"], [])

    def test_signals_are_for_members(self):
        spy = self.client(self.eve)
        self.b.subscribe(f"im/signal/{self.conv}")
        self.assertEqual(spy.wait_ack(spy.publish(f"im/signal/{self.conv}", "forged")), NOT_AUTHORISED)
        self.assertEqual(spy.wait_ack(spy.publish("im/signal/none", "forged")), NOT_AUTHORISED)
        self.a.wait_ack(self.a.publish(f"im/signal/{self.conv}", "typing"))
        self.assertEqual(self.b.wait_topic(f"im/signal/{self.conv}").payload, b"typing")

    def test_without_a_username_everything_is_refused(self):
        nobody = self.client(None)
        for topic in ("im/req/hello", f"im/user/{self.bob}", f"im/conv/{self.conv}", f"im/signal/{self.conv}"):
            self.assertEqual(nobody.wait_ack(nobody.publish(topic, b"")), NOT_AUTHORISED)
        for topic in (nobody.res("#"), "im/#", f"im/notify/{nobody.device}", f"im/notify/{self.bob}"):
            self.assertEqual(nobody.subscribe(topic), NOT_AUTHORISED)
        nobody.publish("im/req/hello", b"", qos=0)
        self.assertEqual(self.b.ok("hello")["latest"], 1)
        nobody.subscribe("outside/#")
        self.assertEqual(self.heard(nobody), [])

    def test_usernames_that_are_none(self):
        for user in ("a:b", "a/b", "a+", "#", "+", "d:", "x" * 129, ""):
            with self.subTest(user=user):
                client = self.client(user)
                self.assertEqual(client.wait_ack(client.publish("im/req/hello", b"")), NOT_AUTHORISED)
                self.assertEqual(client.wait_ack(client.publish(f"im/user/{self.bob}", b"x")), NOT_AUTHORISED)
                self.assertGreaterEqual(client.subscribe(client.res("#")), 0x80)
                client.subscribe("#")
                self.assertEqual(self.heard(client), [])
        self.assertEqual(self.b.ok("hello")["latest"], 1)

    def test_client_ids_that_are_none(self):
        for device in (f"a/{self.eve}", f"a+{self.eve}", f"#{self.eve}", "x" * (129 - len(self.eve)) + self.eve):
            with self.subTest(device=device):
                client = self.client(self.eve, device)
                self.assertEqual(client.wait_ack(client.publish("im/req/hello", b"")), NOT_AUTHORISED)
                self.assertEqual(client.wait_ack(client.publish(f"im/user/{self.bob}/m1", b"x")), NOT_AUTHORISED)
        longest = self.client(self.eve, "y" * (128 - len(self.eve)) + self.eve)
        self.assertEqual(longest.ok("hello")["device"], longest.device)

    def test_names_that_look_like_others(self):
        """A prefix, a suffix, another case: not the same user."""
        for user in (self.bob[:-1], self.bob + "0", self.bob.upper(), self.bob + "/json", "json"):
            client = self.client(user)
            self.assertGreaterEqual(client.subscribe(f"im/notify/{self.bob}"), 0x80)
            self.assertGreaterEqual(client.subscribe(f"im/notify/{self.bob}/json"), 0x80)

    def test_wills(self):
        """A will goes round the message event: it must not get past the wall either."""
        watcher = self.client(self.bob)
        watcher.subscribe("im/#")
        watcher.subscribe(f"im/signal/{self.conv}")
        watcher.subscribe("outside/will")
        since, latest = watcher.mark(), self.b.ok("hello")["latest"]
        for user, topic in ((self.eve, f"im/notify/{self.bob}"), (self.eve, f"im/notify/{self.bob}/json"),
                            (self.bob, f"im/notify/{self.bob}"), (self.eve, f"im/signal/{self.conv}"),
                            (self.eve, f"im/res/{watcher.device}/x"), (self.bob, f"im/res/{watcher.device}/x"),
                            (self.eve, f"im/live/{self.conv}"), (self.alice, f"im/live/{self.conv}"),
                            (None, f"im/notify/{self.bob}"), ("a:b", f"im/signal/{self.conv}"),
                            (self.alice, f"im/conv/{self.conv}"), (self.alice, f"im/user/{self.bob}")):
            for version in (MQTT311, MQTT5):
                for retain in (False, True):
                    client = Client(self.broker, user, version=version, will=(topic, "forged", 1, retain), connect=False)
                    client.connect(expect=None)
                    if client.connack == 0:
                        client.drop()
                    else:
                        client.close()
        last = self.client(self.eve, will=("outside/will", "end", 1, False))
        last.drop()
        watcher.wait_topic("outside/will", since)
        self.assertEqual([m for m in watcher.inbox[since:] if m.payload == b"forged"], [])
        late = self.client(self.bob)
        late.subscribe("im/#")
        late.subscribe(late.res("#"))
        late.ok("hello")
        self.assertEqual([m for m in late.inbox if m.payload == b"forged"], [])
        self.assertEqual(self.b.ok("hello")["latest"], latest)

    def test_wills_are_no_requests(self):
        self.b.subscribe("outside/will")
        for version in (MQTT311, MQTT5):
            conv, since = self.cid("will"), self.b.mark()
            self.client(self.alice, version=version, will=("im/req/create", f'{{"conv":"{conv}"}}', 1, False)).drop()
            self.client(self.alice, version=version, will=("outside/will", "end", 1, False)).drop()
            self.b.wait_topic("outside/will", since)
            self.assertEqual(self.a.error("info", {"conv": conv}), "not_member")

    def test_a_members_retained_will_on_a_signal_is_not_retained(self):
        signal = f"im/signal/{self.conv}"
        self.b.subscribe(signal)
        dying = self.client(self.alice, will=(signal, "gone", 1, True))
        dying.ok("hello")
        dying.drop()
        since = self.b.mark()
        self.a.wait_ack(self.a.publish(signal, "later"))
        self.b.wait_for(lambda m: m.topic == signal and m.payload == b"later", since)
        late = self.client(self.bob)
        late.subscribe(signal)
        since = late.mark()
        self.a.wait_ack(self.a.publish(signal, "now"))
        late.wait_for(lambda m: m.topic == signal and m.payload == b"now", since)
        self.assertEqual([m for m in late.inbox if m.payload == b"gone"], [])

    def test_a_will_after_a_session(self):
        """The will of a connection that has used the timeline comes after its end."""
        signal = f"im/signal/{self.conv}"
        self.b.subscribe(signal)
        for i in range(5):
            client = self.client(self.alice, "dying", will=(signal, f"gone{i}", 1, False))
            client.subscribe(f"im/notify/{self.alice}")
            client.ok("hello")
            client.drop()
            again = self.client(self.eve, "dying")
            self.assertEqual(again.ok("hello")["user"], self.eve)
            again.close()
        self.assertTrue(self.a.ok("hello")["ok"])

    @unittest.skipIf(os.environ.get("TL_PRELOAD"), "sanitizers keep what has been freed")
    def test_wills_leave_nothing_behind(self):
        """However many connections end with a will under the root, the broker's memory stays as it was."""

        def die(times):
            for _ in range(times):
                with socket.create_connection((HOST, self.broker.port), timeout=DEADLINE) as sock:
                    sock.sendall(wire.connect("d" * 128, "u" * 128, will=(f"im/conv/{self.conv}", "gone")))
                    self.assertEqual(sock.recv(4), b"\x20\x02\x00\x00")

        die(2000)
        before = self.broker.memory()
        die(5000)
        self.assertLess(self.broker.memory() - before, 1024 * 1024)

    def test_retained_messages_stay_out(self):
        for topic in (f"im/notify/{self.bob}", f"im/conv/{self.conv}", f"im/live/{self.conv}", f"im/signal/{self.conv}"):
            self.a.wait_ack(self.a.publish(topic, "kept", retain=True))
        self.a.send_ok(f"conv/{self.conv}", "barrier")  # what was stored for it before is no longer on its way
        for user in (self.bob, self.eve, self.alice):
            client = self.client(user)
            for topic in ("#", "im/#", f"im/notify/{user}", f"im/signal/{self.conv}", f"im/live/{self.conv}"):
                client.subscribe(topic)
            client.ok("hello")
            self.assertEqual([m for m in client.inbox if m.retain or m.payload == b"kept"], [])

    def test_takeover_by_another_user(self):
        """A client id changes hands: the new user gets nothing of the old one's."""
        for version in (MQTT311, MQTT5):
            for i in range(20):
                with self.subTest(version=version, round=i):
                    device = self.uid("shared")
                    old = self.client(self.alice, device, version=version)
                    for n in range(20):
                        old.publish(f"im/user/{self.bob}/m{n}", "secret")
                        old.publish(f"im/req/sync/t{n}", "{}")
                    new = self.client(self.eve, device, version=version)
                    new.ok("hello", tag="own")
                    foreign = [m for m in new.inbox if not m.topic.endswith("/own")]
                    self.assertEqual(foreign, [])
                    self.assertEqual(new.ok("hello")["user"], self.eve)
                    new.close()

    def test_takeover_of_a_persistent_session(self):
        """What was sent to the old user and never acked is not the new one's."""
        device = self.uid("shared")
        sock = raw_connect(self.broker, self.alice, device, clean=False)
        sock.sendall(raw_publish(f"im/user/{self.bob}/m1", b"secret") + raw_publish("im/req/sync", b'{"after":0}', 2))
        # Until both answers have been sent; they are not acked.
        data = b""
        sock.settimeout(DEADLINE)
        while b"/sent/m1" not in data or b'"messages"' not in data:
            data += sock.recv(65536)
        sock.close()
        new = self.client(self.eve, device, version=MQTT311, clean=False)
        new.ok("hello", tag="own")
        self.assertEqual([m for m in new.inbox if not m.topic.endswith("/own")], [])

    def test_takeover_with_a_live_message_among_what_waits(self):
        """Being entitled to the live message does not entitle to the responses behind it."""
        device, group = self.uid("shared"), self.uid("group")
        sender = self.client(self.bob)
        sender.ok("create", {"conv": group, "members": [self.alice, self.eve]})
        sock = raw_connect(self.broker, self.alice, device, clean=False)
        sock.settimeout(DEADLINE)
        data = b""
        sock.sendall(raw_packet(0x82, struct.pack("!H", 1) + raw_text(f"im/live/{group}") + b"\x01"))
        while b"\x90" not in data:
            data += sock.recv(65536)
        sender.send_ok(f"conv/{group}", b"for everyone", mid="m1")
        while b"for everyone" not in data:
            data += sock.recv(65536)
        sock.sendall(raw_publish("im/req/sync", b'{"after":0}', 2))
        while b'"messages"' not in data:
            data += sock.recv(65536)
        sock.close()
        new = self.client(self.eve, device, version=MQTT311, clean=False)
        new.ok("hello", tag="own")
        responses = [m.topic for m in new.inbox if m.topic.startswith("im/res/") and not m.topic.endswith("/own")]
        self.assertEqual(responses, [])


    def test_takeover_with_a_message_that_is_half_sent(self):
        """The broker asks whether the new user may send it before it asks about the responses."""
        device = self.uid("shared")
        sock = raw_connect(self.broker, self.alice, device, clean=False)
        sock.settimeout(DEADLINE)
        data = b""
        sock.sendall(raw_publish("im/req/sync", b'{"after":0}') + raw_publish("im/req/hello", b"", 2, qos=2))
        while b'"messages"' not in data or b"/hello" not in data or b"\x50\x02\x00\x02" not in data:
            data += sock.recv(65536)
        sock.close()
        new = self.client(self.eve, device, version=MQTT311, clean=False)
        new.ok("hello", tag="own")
        self.assertEqual([m for m in new.inbox if not m.topic.endswith("/own")], [])

    def test_takeover_of_a_session_in_which_messages_wait(self):
        """What waits of a conversation is from before the new user's joining."""
        device = self.uid("shared")
        group = self.group(self.b, self.alice, history="joined")
        topics = [f"im/live/{group}", f"im/signal/{group}"]
        old = self.client(self.alice, device, version=MQTT311, clean=False)
        for topic in topics:
            old.subscribe(topic, qos=1)
            self.b.subscribe(topic, qos=1)
        old.drop()
        self.b.send_ok(f"conv/{group}", "secret")
        self.b.wait_topic(topics[0])
        self.b.wait_ack(self.b.publish(topics[1], "secret"))
        self.b.ok("add", {"conv": group, "users": [self.eve]})
        new = self.client(self.eve, device, version=MQTT311, clean=False)
        new.ok("hello", tag="own")
        self.b.send_ok(f"conv/{group}", "for everyone")
        new.wait_for(lambda m: m.payload == b"for everyone")
        self.assertEqual([m for m in new.inbox if m.payload == b"secret"], [])

    def test_what_waits_in_ones_own_session_is_delivered(self):
        device = self.uid("phone")
        signal = f"im/signal/{self.conv}"
        first = self.client(self.alice, device, version=MQTT311, clean=False)
        first.subscribe(signal, qos=1)
        first.drop()
        self.b.wait_ack(self.b.publish(signal, "meanwhile"))
        again = self.client(self.alice, device, version=MQTT311, clean=False)
        again.wait_for(lambda m: m.payload == b"meanwhile")


def raw_text(text):
    return struct.pack("!H", len(text.encode())) + text.encode()


def raw_packet(head, body):
    assert len(body) < 16384
    length = bytes([len(body)]) if len(body) < 128 else bytes([len(body) & 127 | 128, len(body) >> 7])
    return bytes([head]) + length + body


def raw_publish(topic, payload, packet_id=1, qos=1):
    return raw_packet(0x30 | qos << 1, raw_text(topic) + struct.pack("!H", packet_id) + payload)


def http_get(port, path, credentials):
    """The first line of the answer."""
    with socket.create_connection((HOST, port), timeout=DEADLINE) as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n".encode() +
                     b"Authorization: Basic " + base64.b64encode(credentials) + b"\r\nConnection: close\r\n\r\n")
        with sock.makefile("rb") as answer:
            return answer.readline()


def raw_connection(user, device, clean=True):
    flags = 0x82 if clean else 0x80
    return raw_packet(0x10, raw_text("MQTT") + bytes([4, flags, 0, 60]) + raw_text(device) + raw_text(user))


def raw_connect(broker, user, device, clean=True):
    """A bare MQTT 3.1.1 connection that acks nothing."""
    sock = socket.create_connection((HOST, broker.port), timeout=DEADLINE)
    sock.sendall(raw_connection(user, device, clean))
    assert sock.recv(4)[0] == 0x20
    return sock


class TakenOverByAnotherAtOnce(BrokerTest):
    def test_an_administrators_response(self):
        """The broker finds the command and the connection that takes the client id over when it looks the next time."""
        self.broker = broker = Broker({"admins": "boss"})
        self.addCleanup(broker.close)
        for i in range(8):
            device = f"shared{i}"
            boss = raw_connect(broker, "boss", device)
            with socket.create_connection((HOST, broker.port), timeout=DEADLINE) as eve:
                broker.wait_log(f"New connection from {HOST}:{eve.getsockname()[1]} ")
                broker.process.send_signal(signal.SIGSTOP)
                boss.sendall(raw_publish(CONTROL, b'{"commands":[{"command":"stats"}]}'))
                eve.sendall(raw_connection("eve", device))
                broker.process.send_signal(signal.SIGCONT)
                self.assertEqual(eve.recv(4)[0], 0x20)
                eve.sendall(b"\xc0\x00")
                self.assertEqual(eve.recv(2), b"\xd0\x00")  # and nothing before it
            boss.close()
        self.assertIn("data", self.client("boss").control({"command": "stats"}))


class AfterAWill(BrokerTest):
    def test_receipts_are_not_the_next_users(self):
        """A will is sent when its connection has ended already, and brings nothing of it back."""
        for version in (MQTT311, MQTT5):
            with self.subTest(version=version):
                self.broker = broker = ShimBroker()
                self.addCleanup(broker.close)
                a = self.client("alice")
                a.ok("create", {"conv": "team", "members": ["bob"]})
                b = self.client("bob")
                b.subscribe("im/signal/team")
                old = self.client("alice", "shared", will=("im/signal/team", "gone", 1, False), version=version)
                old.ok("hello")
                broker.fail("db", "sync", "stall")
                old.wait_ack(old.publish("im/conv/team/m1", "secret"))
                old.drop()
                b.wait_topic("im/signal/team")
                new = self.client("eve", "shared", version=version)
                broker.heal()
                a.send_ok("conv/team", "later")
                new.ok("hello", tag="own")
                self.assertEqual([m for m in new.inbox if not m.topic.endswith("/own")], [])


class FromBeforeThePlugin(BrokerTest):
    def test_nothing_gets_through(self):
        """What a broker without the plugin has kept: retained messages, and sessions with their subscriptions and what waits."""
        self.broker = broker = Broker({"other_topics": "allow"}, plugin=False, start=False)
        self.addCleanup(broker.close)
        broker.conf = ["persistence true", f"persistence_location {broker.dir}/"]
        broker.start()
        kept = ("im/notify/bob", "im/notify/bob/json", "im/signal/team", "im/live/team", "im/res/phone/x", "im/conv/team",
                "im/req/x")
        before, old = self.client("eve"), self.client("bob", "phone", clean=False)
        for topic in kept:
            before.wait_ack(before.publish(topic, "old", retain=True))
        for topic in ("#", "im/notify/alice", "im/conv/#", "im/req/#", "im/live/+"):
            old.subscribe(topic)
        old.close()
        for topic in (*kept, "im/notify/alice", "outside"):
            before.wait_ack(before.publish(topic, "old"))
        before.close()
        broker.stop()
        broker.plugin = plugin_path()
        broker.start()
        alice = self.client("alice")
        alice.ok("create", {"conv": "team", "members": ["bob"]})
        bob = self.client("bob", "phone", clean=False)
        bob.wait_topic("outside")
        for topic in ("#", "im/#", "im/notify/bob/json", "im/signal/team", "im/live/team", bob.res("#")):
            bob.subscribe(topic)
        alice.send_ok("conv/team", "new")
        bob.wait_for(lambda m: m.topic == "im/live/team" and m.payload == b"new")
        self.assertEqual([m for m in bob.inbox if m.payload == b"old" and m.topic != "outside"], [])
        self.assertEqual({m.topic for m in bob.inbox if m.topic.startswith("im/")},
                         {"im/notify/bob", "im/notify/bob/json", "im/live/team"})


class Anonymous(TimelineTest):
    options = {"anonymous": "client_id"}

    def test_client_id_is_the_user(self):
        one, other = self.uids("one", "other")
        a, b = self.client(None, one), self.client(None, other)
        hello = a.ok("hello")
        self.assertEqual((hello["user"], hello["device"]), (one, one))
        self.assertEqual(a.send_ok(f"user/{other}", "x")["conv"], f"d:{one}:{other}")
        self.assertEqual([m["from"] for m in b.sync_all()], [one])
        self.assertLess(b.subscribe(f"im/notify/{other}"), 0x80)
        self.assertGreaterEqual(b.subscribe(f"im/notify/{one}"), 0x80)

    def test_usernames_still_count(self):
        alice = self.uid("alice")
        self.assertEqual(self.client(alice, self.uid("d")).ok("hello")["user"], alice)

    def test_client_ids_that_are_no_user_ids(self):
        for device in (f"a:{self.uid('x')}", "a/b", "a+b"):
            client = self.client(None, device)
            self.assertEqual(client.wait_ack(client.publish("im/req/hello", b"")), NOT_AUTHORISED)


class OtherTopics(BrokerTest):
    """What lies outside the root is the broker's business, and the broker's rules do not open the root."""

    def start(self, options=None, conf=(), files=(), anonymous=True):
        self.broker = broker = Broker(options, anonymous=anonymous, start=False)
        for name, text in files:
            with open(os.path.join(broker.dir, name), "w", encoding="utf-8") as f:
                f.write(text)
        broker.conf = [line.replace("@", broker.dir + "/") for line in conf]
        self.addCleanup(broker.close)
        return broker

    def works(self, user, password=None):
        """The timeline does what it should for this user."""
        client = self.client(user, password=password)
        self.assertLess(client.subscribe(f"im/notify/{user}"), 0x80)
        client.wait_topic(f"im/notify/{user}")
        client.send_ok(f"user/{user}", "x")
        client.wait_for(lambda m: m.topic == f"im/notify/{user}" and m.value["seq"] == 1)
        self.assertEqual(len(client.sync_all()), 1)
        return client

    def carries(self, client, topic):
        """Whether the broker lets this client publish and receive on a topic."""
        if client.subscribe(topic) >= 0x80:
            return False
        since = client.mark()
        if client.wait_ack(client.publish(topic, "x")) >= 0x80:
            return False
        client.wait_topic(topic, since)
        return True

    def test_allow(self):
        self.start({"other_topics": "allow"}).start()
        for topic in ("other", "imx/y", "i", "IM/conv/x", "a/im/conv/x"):
            self.assertTrue(self.carries(self.works(f"u-{topic}".replace("/", "-")), topic), topic)

    def answers(self, client):
        """What the broker says to this client's subscribing and publishing outside the root."""
        topics = ("other", "$SYS/other", "$CONTROL/other", "$CONTROL/broker/v1", "$CONTROL/timeline/v2", "$other/x")
        return {topic: (client.subscribe(topic), client.wait_ack(client.publish(topic, "x"))) for topic in topics}

    def answers_without_the_plugin(self):
        self.broker = Broker(plugin=False)
        self.addCleanup(self.broker.close)
        return self.answers(self.client("alice"))

    def test_defer_without_rules(self):
        """As Mosquitto does where no plugin grants: 2.0 refuses, 2.1 does as without the plugin. The root works."""
        broker = self.start().start()
        alice = self.works("alice")
        answers = self.answers(alice)
        self.works("bob")
        if broker.version() < (2, 1):
            self.assertEqual(set(answers.values()), {REFUSED})
            return
        self.assertTrue(self.carries(alice, "other"))
        self.assertEqual(answers, self.answers_without_the_plugin())

    def test_allow_leaves_administration_to_others(self):
        """As with defer."""
        broker = self.start({"other_topics": "allow"}).start()
        answers = self.answers(self.works("alice"))
        expected = self.answers_without_the_plugin() if broker.version() >= (2, 1) else {}
        for topic, answer in answers.items():
            if topic.startswith("$CONTROL/"):
                self.assertEqual(answer, expected.get(topic, REFUSED), topic)

    def test_defer_beside_another_plugin(self):
        """Nobody knows what it has deferred: refused, even if it has no opinion, and is loaded after this one."""
        others = glob.glob("/usr/lib/*/mosquitto_dynamic_security.so")
        if not others:
            self.skipTest("no other plugin is installed")
        self.start(conf=[f"plugin {others[0]}"]).start()
        self.broker.wait_log("plugin will not be activated")
        self.assertEqual(set(self.answers(self.works("alice")).values()), {REFUSED})
        self.works("bob")

    def test_paths_of_the_http_api(self):
        """2.1 asks about them as if they were topics, on a thread of its own: what is under the root is refused there."""
        port = free_port()
        broker = self.start({"other_topics": "allow"}, conf=[f"listener {port} {HOST}", "protocol http_api"])
        try:
            broker.start()
        except AssertionError:
            if not re.search("HTTP API support|'?protocol'? value", broker.log()):
                raise
            self.skipTest("this Mosquitto has no HTTP API")
        broker.wait_log("Opening http api listen socket")
        for path in ("im/notify/alice", "im/notify/alice/json", "im/res/http-api/x", "im/conv/x", "im"):
            self.assertIn(b" 401 ", http_get(port, path, b"alice:"), path)
        self.assertIn(b" 200 ", http_get(port, "/api/v1/version", b"alice:"))
        self.works("alice")

    def test_defer_to_an_acl_file(self):
        acl = "user alice\ntopic readwrite open/#\n"
        self.start(conf=["acl_file @acl"], files=[("acl", acl)]).start()
        alice = self.works("alice")
        self.assertTrue(self.carries(alice, "open/x"))
        alice.publish("closed/x", "x")
        self.assertEqual(alice.wait_ack(alice.publish("closed/x", "x")), NOT_AUTHORISED)
        self.works("bob")

    def test_an_acl_file_does_not_open_the_root(self):
        acl = "topic readwrite #\nuser eve\ntopic readwrite #\ntopic readwrite im/#\npattern readwrite im/notify/#\n"
        self.start(conf=["acl_file @acl"], files=[("acl", acl)]).start()
        bob, eve = self.works("bob"), self.client("eve")
        self.assertTrue(self.carries(eve, "open/x"))
        for topic in ("#", "im/#", "im/notify/bob", "im/+/bob", f"im/res/{bob.device}/#"):
            eve.subscribe(topic)
        self.assertEqual(eve.wait_ack(eve.publish("im/notify/bob", "forged")), NOT_AUTHORISED)
        since = bob.mark()
        bob.send_ok("user/bob", "secret")
        bob.wait_topic("im/notify/bob", since)
        self.assertTrue(self.carries(eve, "open/y"))
        self.assertEqual([m for m in eve.inbox if m.topic.startswith("im/") and "/eve" not in m.topic], [])

    def test_password_file(self):
        self.start({"other_topics": "allow"}, conf=["password_file @passwords"], anonymous=False)
        path = os.path.join(self.broker.dir, "passwords")
        for i, user in enumerate(("alice", "bob")):
            subprocess.run([program("mosquitto_passwd"), *(["-c"] if i == 0 else []), "-b", path, user, f"pw-{user}"],
                           check=True, capture_output=True)
        os.chmod(path, 0o644)
        self.broker.start()
        self.works("alice", "pw-alice")
        self.works("bob", "pw-bob")
        for user, password in (("alice", "wrong"), ("alice", None), (None, None)):
            client = Client(self.broker, user, password=password, connect=False)
            client.connect(expect=None)
            self.assertNotEqual(client.connack, 0)
            client.close()

    def test_roots(self):
        for root in ("chat", "acme/im", "a/b/c", "im2", "Ünïcode/漢"):
            with self.subTest(root=root):
                self.start({"root": root, "other_topics": "allow"}).start()
                a, b, eve = (self.client(user, root=root) for user in ("alice", "bob", "eve"))
                b.subscribe(f"{root}/notify/bob/json")
                b.wait_topic(f"{root}/notify/bob/json")
                for topic in ("#", f"{root}/#", f"{root}/notify/+/#", "+/+/+/#", "$share/g/#", f"{root}/+/bob/json"):
                    eve.subscribe(topic)
                self.assertEqual(eve.subscribe(f"{root}/notify/bob"), NOT_AUTHORISED)
                self.assertEqual(eve.wait_ack(eve.publish(f"{root}/notify/bob", "forged")), NOT_AUTHORISED)
                self.assertEqual(eve.wait_ack(eve.publish(f"{root}", "forged")), NOT_AUTHORISED)
                since = b.mark()
                self.assertEqual(a.send_ok("user/bob", "secret", "m1")["conv"], "d:alice:bob")
                self.assertEqual(b.wait_topic(f"{root}/notify/bob/json", since).value["messages"][0]["body"], "secret")
                conv = a.ok("create", {"members": ["bob"]})["conv"]
                a.send_ok(f"conv/{conv}", "x")
                foreign = a.publish(f"{root}/req/hello", response_topic=f"im/res/{a.device}/x")
                self.assertEqual(a.wait_ack(foreign), NOT_AUTHORISED)
                for topic in ("im/conv/x", root.split("/")[0] + "x", "other/" + root + "/notify/bob"):
                    self.assertTrue(self.carries(eve, topic), topic)
                eve.ok("hello")
                self.assertEqual([m for m in eve.inbox if b"secret" in m.payload], [])
                self.broker.stop()


class Bridged(unittest.TestCase):
    """Messages that a bridge brings in are nobody's: they do not pass."""

    def test_nothing_comes_in(self):
        remote = Broker(plugin=False)
        self.addCleanup(remote.close)
        here = Broker({"other_topics": "allow"}, conf=[
            "connection in", f"address {HOST}:{remote.port}", "topic # in 1", "topic im/# in 1", "remote_username bridge",
            "remote_clientid bridge", "notifications false"])
        self.addCleanup(here.close)
        bob, source = Client(here, "bob"), Client(remote, "x")
        self.addCleanup(bob.close)
        self.addCleanup(source.close)
        conv = bob.ok("create")["conv"]
        for topic in ("#", "im/#", "im/notify/bob", "im/notify/bob/json", f"im/signal/{conv}", f"im/live/{conv}",
                      f"im/res/{bob.device}/#", "bridged"):
            bob.subscribe(topic)

        def bridge_is_up():
            source.wait_ack(source.publish("bridged", "x"))
            return bob.find(lambda m: m.topic == "bridged")

        until(bridge_is_up, "the bridge")
        for topic in ("im/notify/bob", "im/notify/bob/json", f"im/signal/{conv}", f"im/live/{conv}",
                      f"im/res/{bob.device}/x", f"im/conv/{conv}", "im/user/bob", "im/req/hello"):
            source.wait_ack(source.publish(topic, "forged", retain=True))
        source.wait_ack(source.publish("bridged", "end"))
        bob.wait_for(lambda m: m.payload == b"end")
        self.assertEqual([m for m in bob.inbox if m.payload == b"forged"], [])
        self.assertEqual(bob.ok("hello")["latest"], 1)


if __name__ == "__main__":
    unittest.main()
