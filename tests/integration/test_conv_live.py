"""`im/live` and `im/signal`: messages and signals as they happen, for members and for nobody else (PROTOCOL section 2)."""
import json
import unittest

from harness import ACCEPTED, MQTT5, MQTT311, NOT_AUTHORISED, TimelineTest


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


if __name__ == "__main__":
    unittest.main()
