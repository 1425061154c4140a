"""`im/live` and `im/signal`: messages and signals as they happen, for members and for nobody else (PROTOCOL section 2)."""
import json
import unittest

import paho.mqtt.client as mqtt

from harness import ACCEPTED, HOST, MQTT5, MQTT311, NOT_AUTHORISED, Broker, Client, TimelineTest, until


class LiveTest(TimelineTest):
    options = {"durability": "os", "other_topics": "allow"}

    def setUp(self):
        super().setUp()
        self.alice, self.bob, self.eve = self.uids("alice", "bob", "eve")
        self.a, self.b, self.e = self.client(self.alice), self.client(self.bob), self.client(self.eve)
        self.conv = self.group(self.a, self.bob)
        self.topic = f"im/live/{self.conv}"

    def payloads(self, client, topic=None, since=0):
        return [m.payload for m in client.on_topic(topic or self.topic, since)]

    def flush(self, client, since=0):
        """When this is back, everything published before has reached the client or never will."""
        mark = self.cid("mark")
        conv = self.group(client)
        client.subscribe(f"im/live/{conv}")
        client.send_ok(f"conv/{conv}", mark)
        client.wait_for(lambda m: m.payload == mark.encode(), since)


class Live(LiveTest):
    def test_as_sent(self):
        self.assertLess(self.b.subscribe(self.topic), 0x80)
        for i, body in enumerate((b"text \xe2\x98\x85", b"", b"\xff\x00\xfe", b"x" * 100000)):
            sent = self.a.send_ok(f"conv/{self.conv}", body, props={"id": f"m{i}", "type": "note", "k": "v"},
                                  content_type="text/x")
            self.b.wait(lambda: len(self.b.on_topic(self.topic)) == i + 1, "the live message")
            message = self.b.on_topic(self.topic)[i]
            self.assertEqual((message.payload, message.retain), (body, False))
            properties = dict(message.user_properties)
            self.assertEqual({k: properties[k] for k in ("cseq", "id", "from", "device", "ts", "type")},
                             {"cseq": str(sent["cseq"]), "id": f"m{i}", "from": self.alice, "device": self.a.device,
                              "ts": str(sent["ts"]), "type": "note"})
            self.assertEqual(len(message.user_properties), len(properties))

    def test_3_1_1(self):
        old = self.client(self.bob, version=MQTT311)
        self.assertLess(old.subscribe(self.topic), 0x80)
        self.client(self.alice, version=MQTT311).send_ok(f"conv/{self.conv}", "x")
        self.assertEqual(old.wait_topic(self.topic).payload, b"x")

    def test_stored_before_it_is_told(self):
        self.b.subscribe(self.topic)
        for i in range(20):
            since = self.b.mark()
            self.a.publish(f"im/conv/{self.conv}", str(i))
            message = self.b.wait_topic(self.topic, since)
            cseq = int(dict(message.user_properties)["cseq"])
            self.assertEqual(self.b.ok("get", {"conv": self.conv, "cseq": cseq})["message"]["body"], str(i))

    def test_each_once_in_order(self):
        self.a.subscribe(self.topic)
        self.b.subscribe(self.topic)
        for i in range(200):
            packet = self.a.publish(f"im/conv/{self.conv}", str(i))
        self.a.wait_ack(packet)
        self.a.send_ok(f"conv/{self.conv}", "end", "once")
        self.a.send_ok(f"conv/{self.conv}", "end", "once")  # a duplicate is not told again
        for client in (self.a, self.b):
            self.flush(client)
            self.assertEqual(self.payloads(client), [b"%d" % i for i in range(200)] + [b"end"])

    def test_members_only(self):
        for topic in (self.topic, f"im/signal/{self.conv}"):
            self.assertEqual(self.e.subscribe(topic), NOT_AUTHORISED)
            self.assertEqual(self.client(self.eve, version=MQTT311).subscribe(topic), 0x80)
        self.a.send_ok(f"conv/{self.conv}", "secret")
        self.a.wait_ack(self.a.publish(f"im/signal/{self.conv}", "secret"))
        self.flush(self.e)
        self.assertFalse([m for m in self.e.inbox if b"secret" in m.payload])

    def test_nobody_writes_there(self):
        self.b.subscribe(self.topic)
        for client in (self.a, self.e):
            self.assertEqual(client.wait_ack(client.publish(self.topic, "forged")), NOT_AUTHORISED)
        self.flush(self.b)
        self.assertEqual(self.payloads(self.b), [])

    def test_wildcards(self):
        other = self.group(self.e)
        direct = "d:" + ":".join(sorted((self.alice, self.bob)))
        for number, wildcard in enumerate(("im/live/+", "im/live/#", "im/#", "#", "+/live/+", "im/+/+", "$share/g/im/live/+")):
            for version in (MQTT5, MQTT311):
                with self.subTest(filter=wildcard, version=version):
                    b, e = self.client(self.bob, version=version), self.client(self.eve, version=version)
                    if wildcard.startswith("$share") and b.subscribe(wildcard) >= 0x80:
                        continue
                    for client in (b, e):
                        self.assertLess(client.subscribe(wildcard), 0x80)
                        if wildcard.startswith("$share"):
                            break
                    body = f"secret {number} {version}"
                    self.a.send_ok(f"conv/{self.conv}", body)
                    self.a.send_ok(f"user/{self.bob}", body)
                    self.e.send_ok(f"conv/{other}", "eve's")
                    if wildcard.startswith("$share"):
                        b.wait_topic(self.topic)
                    else:
                        e.wait_topic(f"im/live/{other}")
                        b.wait_topic(f"im/live/{direct}")
                        self.assertEqual(self.payloads(b), [body.encode()])
                        self.assertEqual(self.payloads(b, f"im/live/{direct}"), [body.encode()])
                    self.assertEqual(self.payloads(b, f"im/live/{other}"), [])
                    self.assertFalse([m for m in e.inbox if b"secret" in m.payload])
                    b.close()
                    e.close()

    def test_a_wildcard_finds_conversations_that_come_later(self):
        self.b.subscribe("im/live/+")
        conv = self.group(self.a, self.bob)
        self.a.send_ok(f"conv/{conv}", "x")
        self.b.wait_topic(f"im/live/{conv}")

    def test_removed_members_stop_at_once(self):
        for how in ("remove", "leave", "dissolve"):
            for wildcard in (False, True):
                with self.subTest(how=how, wildcard=wildcard):
                    conv = self.group(self.a, self.bob)
                    live, signal = f"im/live/{conv}", f"im/signal/{conv}"
                    b = self.client(self.bob)
                    for topic in ("im/live/+", "im/signal/+") if wildcard else (live, signal):
                        b.subscribe(topic)
                    self.a.send_ok(f"conv/{conv}", "before")
                    b.wait_topic(live)
                    since = b.mark()
                    if how == "remove":
                        self.a.ok("remove", {"conv": conv, "users": [self.bob]})
                    else:
                        (b if how == "leave" else self.a).ok(how, {"conv": conv})
                    if how != "dissolve":
                        self.a.send_ok(f"conv/{conv}", "after")
                        self.a.wait_ack(self.a.publish(signal, "after"))
                    self.flush(b, since)
                    self.assertEqual([m for m in b.inbox[since:] if m.topic in (live, signal)], [])
                    self.assertEqual(b.subscribe(live), NOT_AUTHORISED)
                    self.assertEqual(b.wait_ack(b.publish(signal, "x")), NOT_AUTHORISED)
                    b.close()

    def test_added_members_start_at_once(self):
        self.e.subscribe("im/live/+")
        self.a.ok("add", {"conv": self.conv, "users": [self.eve]})
        self.a.send_ok(f"conv/{self.conv}", "x")
        self.assertEqual(self.e.wait_topic(self.topic).payload, b"x")

    def test_nothing_from_before_the_joining(self):
        """Also where what was said just before is told after the joining: nobody waits for an answer here."""
        self.e.subscribe("im/live/+")
        self.b.subscribe(self.topic)
        expected = []
        for number in range(30):
            for body in range(8):
                self.a.publish(f"im/conv/{self.conv}", f"secret {number} {body}")
            self.a.publish("im/req/add", json.dumps({"conv": self.conv, "users": [self.eve]}))
            for body in range(8):
                packet = self.a.publish(f"im/conv/{self.conv}", f"open {number} {body}")
                expected.append(b"open %d %d" % (number, body))
            self.a.wait_ack(packet)
            self.a.send_ok(f"conv/{self.conv}", "pause")
            self.e.wait(lambda: len([m for m in self.payloads(self.e) if m == b"pause"]) == number + 1, "the last one")
            self.a.ok("remove", {"conv": self.conv, "users": [self.eve]})
        self.assertEqual([m for m in self.payloads(self.e) if m != b"pause"], expected)
        self.flush(self.b)
        self.assertEqual(len(self.payloads(self.b)), 30 * 17)

    def test_direct_chats(self):
        direct = "d:" + ":".join(sorted((self.alice, self.bob)))
        for client in (self.a, self.b):
            self.assertLess(client.subscribe(f"im/live/{direct}"), 0x80)  # before it exists
        self.assertEqual(self.e.subscribe(f"im/live/{direct}"), NOT_AUTHORISED)
        self.a.send_ok(f"user/{self.bob}", "x")
        for client in (self.a, self.b):
            message = client.wait_topic(f"im/live/{direct}")
            self.assertEqual((message.payload, dict(message.user_properties)["cseq"]), (b"x", "1"))

    def test_refused_messages_are_not_told(self):
        self.a.subscribe(self.topic)
        self.a.ok("role", {"conv": self.conv, "user": self.bob, "role": "muted"})
        self.assert_refused(self.b.send(f"conv/{self.conv}", "x", "m1"), "not_authorised")
        self.flush(self.a)
        self.assertEqual(self.payloads(self.a), [])


class Signals(LiveTest):
    def test_routed_and_not_stored(self):
        signal = f"im/signal/{self.conv}"
        for client in (self.a, self.b):
            client.subscribe(signal)
        for payload in (b"typing", b"", b"\xff\x00"):
            since = self.b.mark()
            self.assertIn(self.a.wait_ack(self.a.publish(signal, payload, retain=True)), ACCEPTED)
            for client in (self.b, self.a):
                self.assertEqual(client.wait_topic(signal, since if client is self.b else 0).payload,
                                 payload if client is self.b else b"typing")
        self.assertEqual(self.a.ok("info", {"conv": self.conv})["head"], 1)
        self.assertEqual(len(self.b.sync_all()), 1)
        late = self.client(self.bob)
        late.subscribe(signal)
        self.flush(late)
        self.assertEqual(self.payloads(late, signal), [])

    def test_members_only(self):
        signal = f"im/signal/{self.conv}"
        self.b.subscribe(signal)
        self.e.subscribe("im/signal/#")
        self.e.subscribe("#")
        self.assertEqual(self.e.wait_ack(self.e.publish(signal, "x")), NOT_AUTHORISED)
        self.a.wait_ack(self.a.publish(signal, "y"))
        self.assertEqual(self.b.wait_topic(signal).payload, b"y")
        self.flush(self.e)
        self.assertEqual(self.payloads(self.e, signal), [])

    def test_direct(self):
        direct = "im/signal/d:" + ":".join(sorted((self.alice, self.bob)))
        self.assertLess(self.b.subscribe(direct), 0x80)
        self.assertIn(self.a.wait_ack(self.a.publish(direct, "ring")), ACCEPTED)
        self.assertEqual(self.b.wait_topic(direct).payload, b"ring")
        self.assertEqual(self.e.subscribe(direct), NOT_AUTHORISED)
        self.assertEqual(self.e.wait_ack(self.e.publish(direct, "x")), NOT_AUTHORISED)


class Unheard(unittest.TestCase):
    """Resumed sessions, whose subscriptions the plugin does not know. What is published is seen by a bridge, of which Mosquitto
    asks no plugin."""

    def setUp(self):
        self.remote = Broker(plugin=False)
        self.addCleanup(self.remote.close)
        self.broker = Broker({"durability": "os"}, start=False)
        self.broker.conf = ["persistence true", f"persistence_location {self.broker.dir}/", "max_queued_messages 20",
                            "connection out", f"address {HOST}:{self.remote.port}", "topic im/live/# out 1",
                            "cleansession true", "notifications false"]
        self.addCleanup(self.broker.close)
        self.counter = self.client("counter", broker=self.remote)
        self.counter.subscribe("im/live/#")
        self.broker.start()
        self.alice = self.client("alice")
        self.convs = [self.alice.ok("create", {"members": ["bob", "carol"]})["conv"] for _ in range(2)]

    def client(self, user, broker=None, **kw):
        client = Client(broker or self.broker, user, **kw)
        self.addCleanup(client.close)
        return client

    def resumed(self, *topics, device="phone", version=MQTT5):
        """A device of Bob's whose session is of before the broker's start; not connected."""
        bob = self.client("bob", device=device, version=version, clean=False)
        for topic in topics:
            self.assertLess(bob.subscribe(topic), 0x80)
        bob.close()
        return bob

    def restart(self, *resuming):
        self.alice.close()
        self.broker.restart()
        self.alice.connect()
        for client in resuming:
            client.connect()
            client.ok("hello")
        self.wait_for_bridge()

    def wait_for_bridge(self):
        """What is published from here on is counted."""
        carol = self.client("carol")
        conv = carol.ok("create")["conv"]
        carol.subscribe(f"im/live/{conv}")

        def arrives():
            carol.send_ok(f"conv/{conv}", "up?")
            return self.counter.on_topic(f"im/live/{conv}")

        until(arrives, "the bridge")
        carol.close()

    def say(self, count, *convs):
        for conv in convs or self.convs:
            for _ in range(count):
                self.alice.send_ok(f"conv/{conv}", "x")

    def published(self, conv):
        return len(self.counter.on_topic(f"im/live/{conv}"))

    def count(self, conv, *, since=0):
        """How many of its live messages were published: all of them have been counted."""
        mark = f"mark{next(Client.numbers)}"
        carol = self.client("carol")
        own = carol.ok("create")["conv"]
        carol.subscribe(f"im/live/{own}")
        carol.send_ok(f"conv/{own}", mark)
        self.counter.wait_for(lambda m: m.payload == mark.encode())
        carol.close()
        return self.published(conv) - since

    def test_who_listens_to_one_of_two(self):
        heard, quiet = self.convs
        for version in (MQTT5, MQTT311):
            with self.subTest(version=version):
                bob = self.resumed(f"im/live/{heard}", version=version)
                self.restart(bob)
                before = self.published(quiet)
                since = bob.mark()
                self.say(30)
                bob.wait(lambda: len(bob.on_topic(f"im/live/{heard}", since)) == 30, "the messages")
                self.assertLess(self.count(quiet, since=before), 10)
                bob.close()

    def test_subscribing_later(self):
        quiet = self.convs[0]
        bob = self.resumed()
        self.restart(bob)
        for topic in (f"im/live/{quiet}", "im/live/+", "$share/g/im/live/+", f"$share/g/im/live/{quiet}", "im/#"):
            with self.subTest(topic=topic):
                self.say(30, quiet)
                published = self.count(quiet)
                device = self.client("bob")
                self.assertLess(device.subscribe(topic), 0x80)
                self.say(3, quiet)
                device.wait(lambda: len(device.on_topic(f"im/live/{quiet}")) == 3, "all that was said since")
                device.close()
                self.assertEqual(self.count(quiet, since=published), 3)

    def test_listening_offline(self):
        """A session that is offline is asked about, however little is kept for it and at whatever QoS it has subscribed."""
        first, second = self.convs
        self.resumed(f"im/live/{first}", device="away")
        other = self.client("bob", device="away too", clean=False)
        self.assertLess(other.subscribe(f"im/live/{second}", qos=0), 0x80)
        other.close()
        bob = self.resumed()
        self.restart(bob)
        before = [self.published(conv) for conv in self.convs]
        self.say(40)
        self.assertEqual([self.count(conv, since=n) for conv, n in zip(self.convs, before)], [40, 40])

    def test_no_local(self):
        """What is published is nobody's own."""
        heard = self.convs[0]
        bob = self.client("bob", device="phone", clean=False)
        bob.paho.subscribe(f"im/live/{heard}", options=mqtt.SubscribeOptions(qos=1, noLocal=True))
        bob.wait(lambda: bob.subacks, "the SUBACK")
        bob.close()
        self.restart(bob)
        for number in range(1, 31):
            bob.send_ok(f"conv/{heard}", "own")
            bob.wait(lambda: len(bob.on_topic(f"im/live/{heard}")) == number, "one's own message")

    def test_unsubscribing(self):
        quiet = self.convs[0]
        bob = self.client("bob")
        bob.subscribe(f"im/live/{quiet}")
        self.wait_for_bridge()
        self.say(10, quiet)
        bob.wait(lambda: len(bob.on_topic(f"im/live/{quiet}")) == 10, "the messages")
        bob.paho.unsubscribe(f"im/live/{quiet}")
        bob.ok("hello")
        self.say(30, quiet)
        self.assertLess(self.count(quiet), 10 + 10)

    def test_sharing_with_those_who_leave(self):
        """Of those who share a subscription the broker asks about one for each message, who may just have left."""
        heard = self.convs[0]
        topic = f"im/live/{heard}"
        bob = self.client("bob")
        bob.subscribe(f"$share/g/{topic}")
        gone = []
        for _ in range(30):
            others = [self.client("bob") for _ in range(3)]
            for other in others:
                other.subscribe(f"$share/g/{topic}")
            for other in others:
                self.alice.publish(f"im/conv/{heard}", "x")
                other.drop()
            gone += others
        for other in gone:  # who takes its place knows that the broker has noticed
            self.client("bob", device=other.device)
        since = bob.mark()
        self.say(5, heard)
        bob.wait(lambda: len(bob.on_topic(topic, since)) >= 5, "the messages")


if __name__ == "__main__":
    unittest.main()
