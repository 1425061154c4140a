"""Notifications: when, to whom, and what a device can rebuild from them (PROTOCOL section 6)."""
import glob
import json
import os
import re
import unittest

import msgpack

from harness import MQTT311, MQTT5, TimelineTest, burst, until


def topics(user):
    return {"msgpack": f"im/notify/{user}", "json": f"im/notify/{user}/json"}


class Device:
    """What a device does: it takes what joins on and syncs where it does not."""

    def __init__(self, client):
        self.client, self.position, self.messages, self.taken, self.seen = client, 0, [], 0, 0

    def take(self, notification):
        inline = notification.get("messages") or []
        if inline and inline[0]["seq"] <= self.position + 1:
            for message in inline:
                if message["seq"] > self.position:
                    self.messages.append(message)
                    self.position = message["seq"]
                    self.taken += 1
        elif notification["seq"] > self.position:
            self.pull()

    def pull(self):
        for message in self.client.sync_all(self.position):
            self.messages.append(message)
            self.position = message["seq"]

    def run_until(self, seq, topic):
        while self.position < seq:
            self.client.wait(lambda: len(self.client.on_topic(topic)) > self.seen, "a notification")
            arrived = self.client.on_topic(topic)
            for message in arrived[self.seen:]:
                self.take(message.value)
            self.seen = len(arrived)


class Notify(TimelineTest):
    def setUp(self):
        super().setUp()
        self.alice, self.bob = self.uids("alice", "bob")
        self.a = self.client(self.alice)
        self.b = self.client(self.bob)
        self.epoch = self.a.ok("hello")["epoch"]

    def watch(self, client, codec="json"):
        """Subscribes and waits to be told the current seq."""
        topic = topics(client.user)[codec]
        since = client.mark()
        self.assertLess(client.subscribe(topic), 0x80)
        client.wait_topic(topic, since)
        return topic

    def next(self, client, topic, since):
        return client.wait_topic(topic, since).value

    def reader_wakes(self):
        """How often the threads that answer requests have gone to sleep so far; 0: some of them are awake."""
        total = 0
        for task in glob.glob(f"/proc/{self.broker.process.pid}/task/*"):
            with open(os.path.join(task, "status"), encoding="utf-8") as f:
                status = f.read()
            if "Name:\ttimeline read\n" in status:
                if "\nState:\tS" not in status:
                    return 0
                total += int(re.search(r"\nvoluntary_ctxt_switches:\t(\d+)", status).group(1))
        return total

    def test_who_does_not_subscribe_is_not_looked_up(self):
        """Nobody's inbox is read for connections that do no more than publish, or have nothing to do with timelines."""
        self.b.ok("hello")
        before = until(self.reader_wakes, "the readers to have nothing to do")
        for number in range(20):
            with self.subTest(number=number):
                client = self.client(self.uid(), version=(MQTT311, MQTT5)[number % 2])
                client.subscribe("other/topic")
                client.send_ok(f"user/{self.bob}", "x")
                client.close()
        self.assertEqual(until(self.reader_wakes, "the readers to have nothing to do"), before)


    def test_at_once_on_subscribing(self):
        for count in (0, 3):
            for _ in range(count):
                self.a.send_ok(f"user/{self.bob}", "x")
            for version in (MQTT311, MQTT5):
                for codec, topic in topics(self.bob).items():
                    with self.subTest(count=count, version=version, codec=codec):
                        client = self.client(self.bob, version=version)
                        client.subscribe(topic)
                        message = client.wait_topic(topic)
                        self.assertEqual(message.value, {"seq": count, "epoch": self.epoch})
                        self.assertEqual((message.codec, message.qos, message.retain), (codec, 0, False))

    def test_at_once_with_wildcards(self):
        self.a.send_ok(f"user/{self.bob}", "x")
        for topic in (f"im/notify/{self.bob}/#", "im/notify/#", "im/#", "im/+/+/json", "im/notify/+/+",
                      f"$share/g/im/notify/{self.bob}/json"):
            with self.subTest(topic=topic):
                client = self.client(self.bob)
                self.assertLess(client.subscribe(topic), 0x80)
                self.assertEqual(client.wait_topic(topics(self.bob)["json"]).value["seq"], 1)

    def test_inline(self):
        """A notified message is the one that sync gives."""
        for codec in ("json", "msgpack"):
            topic = self.watch(self.b, codec)
            for body, props in (("hello ☺", {}), (b"\xff\x00", {"k": "v", "type": "image", "time": "5"}), ("", {})):
                with self.subTest(codec=codec, body=body):
                    since = self.b.mark()
                    self.a.send_ok(f"user/{self.bob}", body, props=dict(props, id=self.uid("m")))
                    notification = self.next(self.b, topic, since)
                    seq = self.b.ok("hello")["latest"]
                    self.assertEqual(set(notification), {"seq", "epoch", "messages"})
                    self.assertEqual((notification["seq"], notification["epoch"]), (seq, self.epoch))
                    self.assertEqual(notification["messages"],
                                     self.b.ok("sync", {"after": seq - 1}, codec=codec)["messages"])

    def test_inline_with_every_pair(self):
        """A message object with as many keys as there are."""
        conv = self.group(self.a, self.bob, order="custom")
        for codec in ("json", "msgpack"):
            topic, since = self.watch(self.b, codec), self.b.mark()
            self.a.send_ok(f"conv/{conv}", "x", props={"id": self.uid("m"), "type": "t", "time": 1, "order": 2, "k": "v"},
                           content_type="c")
            seq = self.b.ok("hello")["latest"]
            # That of the group's own event may come first, or along with it.
            notification = self.b.wait_for(lambda m: m.topic == topic and m.value["seq"] == seq, since).value
            after = notification["messages"][0]["seq"] - 1
            self.assertEqual(notification["messages"], self.b.ok("sync", {"after": after}, codec=codec)["messages"])

    def test_inline_of_events(self):
        for codec in ("json", "msgpack"):
            topic, since = self.watch(self.b, codec), self.b.mark()
            self.group(self.a, self.bob, name="x")
            message = self.next(self.b, topic, since)["messages"][0]
            self.assertEqual((message["type"], message["event"]["kind"]), ("event", "create"))

    def test_lightweight_for_large_messages(self):
        for codec in ("json", "msgpack"):
            topic, since = self.watch(self.b, codec), self.b.mark()
            self.a.send_ok(f"user/{self.bob}", "x" * 5000)
            notification = self.next(self.b, topic, since)
            self.assertEqual(notification, {"seq": self.b.ok("hello")["latest"], "epoch": self.epoch})

    def test_the_sender_too(self):
        topic = self.watch(self.a)
        other = self.client(self.alice)
        self.watch(other)
        marks = self.a.mark(), other.mark()
        self.a.send_ok(f"user/{self.bob}", "x")
        for client, since in zip((self.a, other), marks):
            self.assertEqual(self.next(client, topic, since)["messages"][0]["body"], "x")

    def test_oneself_once(self):
        topic = self.watch(self.a)
        since = self.a.mark()
        self.a.send_ok(f"user/{self.alice}", "1")
        self.a.send_ok(f"user/{self.alice}", "2")
        self.a.wait_for(lambda m: m.topic == topic and m.value["seq"] == 2, since)
        seqs = [s["seq"] for m in self.a.on_topic(topic, since) for s in m.value["messages"]]
        self.assertEqual(seqs, [1, 2])

    def test_only_ones_own(self):
        eve = self.client(self.uid("eve"))
        eve.subscribe("im/#")
        eve.subscribe("im/notify/#")
        for topic in topics(self.bob).values():
            self.assertGreaterEqual(eve.subscribe(topic), 0x80)
        topic = self.watch(self.b)
        since = self.b.mark()
        self.a.send_ok(f"user/{self.bob}", "x")
        self.next(self.b, topic, since)
        eve.send_ok(f"user/{eve.user}", "own")
        eve.wait_for(lambda m: m.topic == f"im/notify/{eve.user}" and m.value["seq"] == 1)
        self.assertEqual({m.topic.split("/")[2] for m in eve.inbox if "/notify/" in m.topic}, {eve.user})

    def test_after_commit(self):
        """What is told of can be pulled."""
        topic = self.watch(self.b, "msgpack")
        packets = [self.a.publish(f"im/user/{self.bob}", str(i)) for i in range(300)]
        since, last = self.b.mark() - 1, 0
        while last < 300:
            self.b.wait(lambda: len(self.b.inbox) > since + 1, "a notification")
            found = [m for m in self.b.inbox[since + 1:] if m.topic == topic]
            since = self.b.mark() - 1
            for message in found:
                last = message.value["seq"]
                if last:
                    self.assertEqual(self.b.ok("sync", {"after": last - 1, "limit": 1})["messages"][0]["seq"], last)
        self.a.wait_ack(packets[-1])

    def test_coalesced_and_contiguous(self):
        watched = {codec: self.watch(self.b, codec) for codec in topics(self.bob)}
        since = self.b.mark()
        burst(self.broker, self.alice, f"im/user/{self.bob}", [b"%d" % i for i in range(3000)], self.uid("burst"))
        for codec, topic in watched.items():
            self.b.wait_for(lambda m, topic=topic: m.topic == topic and m.value["seq"] == 3000, since)
            previous, notifications = 0, [m.value for m in self.b.on_topic(topic, since)]
            for notification in notifications:
                self.assertGreater(notification["seq"], previous, codec)
                seqs = [m["seq"] for m in notification.get("messages", [])]
                if seqs:
                    self.assertEqual(seqs, list(range(seqs[0], notification["seq"] + 1)), codec)
                    self.assertGreater(seqs[0], previous)
                previous = notification["seq"]
            self.assertLess(len(notifications), 3000, codec)

    def test_a_device_can_follow(self):
        """From notifications and syncs, every message exactly once and in order."""
        senders = [self.client(self.uid("s")) for _ in range(3)]
        conv = self.group(self.a, self.bob, *(s.user for s in senders))
        for codec in ("json", "msgpack"):
            client = self.client(self.bob)
            device = Device(client)
            topic = self.watch(client, codec)
            device.pull()
            for i in range(200):
                body = "x" * 6000 if i % 50 == 49 else str(i)
                packet = senders[i % 3].publish(f"im/conv/{conv}" if i % 2 else f"im/user/{self.bob}", body)
                if i % 7 == 0:
                    senders[i % 3].wait_ack(packet)
            for sender in senders:
                sender.send_ok(f"conv/{conv}", "last")
            latest = self.b.ok("hello")["latest"]
            device.run_until(latest, topic)
            self.assert_places(device.messages)
            self.assertEqual(len(device.messages), latest)
            self.assertEqual([m["cseq"] for m in device.messages if m["conv"] == conv],
                             list(range(1, len([m for m in device.messages if m["conv"] == conv]) + 1)))
            self.assertGreater(device.taken, 0)

    def test_offline_then_online(self):
        topic = self.watch(self.b)
        device, name = Device(self.b), self.b.device
        self.a.send_ok(f"user/{self.bob}", "1")
        device.run_until(1, topic)
        self.b.close()
        for i in range(2, 6):
            self.a.send_ok(f"user/{self.bob}", str(i))
        again = self.client(self.bob, name)
        self.watch(again)
        device.client, device.seen = again, 0
        device.run_until(5, topic)
        self.assertEqual([m["body"] for m in device.messages], ["1", "2", "3", "4", "5"])

    def test_resumed_session(self):
        """It does not subscribe again: its first sync makes it known."""
        for version in (MQTT311, MQTT5):
            with self.subTest(version=version):
                carol = self.uid("carol")
                c = self.client(carol, version=version, clean=False)
                topic = self.watch(c)
                self.a.send_ok(f"user/{carol}", "1")
                c.wait_for(lambda m: m.topic == topic and m.value["seq"] == 1)
                c.close()
                self.a.send_ok(f"user/{carol}", "2")
                c.connect()
                self.assertEqual(c.ok("sync", {"after": 1})["latest"], 2)
                since = c.mark()
                self.a.send_ok(f"user/{carol}", "3")
                # A receipt may come before the notification of the same message, even to one who comes in between.
                notification = c.wait_for(lambda m: m.topic == topic and m.value["seq"] == 3, since).value
                self.assertEqual(notification["messages"][-1]["body"], "3")

    def test_many_devices(self):
        devices = [self.client(self.bob) for _ in range(10)]
        for client in devices:
            self.watch(client)
        marks = [client.mark() for client in devices]
        devices[0].close()
        self.a.send_ok(f"user/{self.bob}", "x")
        for client, since in list(zip(devices, marks))[1:]:
            self.assertEqual(self.next(client, topics(self.bob)["json"], since)["seq"], 1)

    def test_unsubscribed_devices_hear_nothing(self):
        silent = self.client(self.bob)
        silent.ok("hello")
        topic = self.watch(self.b)
        since = self.b.mark()
        self.a.send_ok(f"user/{self.bob}", "x")
        self.next(self.b, topic, since)
        silent.ok("sync")
        self.assertEqual([m for m in silent.inbox if "/notify/" in m.topic], [])

    def test_unsubscribing_and_subscribing_again(self):
        for codec, topic in topics(self.bob).items():
            with self.subTest(codec=codec):
                self.watch(self.b, codec)
                self.b.paho.unsubscribe(topic)
                self.b.ok("hello")
                since = self.b.mark()
                self.a.send_ok(f"user/{self.bob}", "x")
                seq = self.b.ok("hello")["latest"]
                self.assertEqual(self.b.on_topic(topic, since), [])
                for _ in range(2):
                    since = self.b.mark()
                    self.b.subscribe(topic)
                    self.assertEqual(self.next(self.b, topic, since), {"seq": seq, "epoch": self.epoch})


class InlineMax(TimelineTest):
    options = {"notify_inline_max": "0"}

    def test_zero_is_never_inline(self):
        alice, bob = self.uids("alice", "bob")
        b = self.client(bob)
        topic = topics(bob)["json"]
        b.subscribe(topic)
        b.wait_topic(topic)
        self.client(alice).send_ok(f"user/{bob}", "x")
        found = b.wait_for(lambda m: m.topic == topic and m.value["seq"] == 1)
        self.assertNotIn("messages", found.value)


class InlineUpTo(TimelineTest):
    MAX = 600
    options = {"notify_inline_max": MAX, "durability": "os"}

    def test_the_whole_notification(self):
        """It has messages exactly while it is no larger than that; in each codec by itself."""
        alice, bob = self.uids("alice", "bob")
        a, b = self.client(alice), self.client(bob)
        for topic in topics(bob).values():
            b.subscribe(topic)
            b.wait_topic(topic)
        epoch = a.ok("hello")["epoch"]
        for letter in ("x", "\x01"):  # which JSON has as six
            for size in (*range(40, 100, 3), *range(300, 500, 3)):
                since = b.mark()
                a.send_ok(f"user/{bob}", letter * size)
                for codec, topic in topics(bob).items():
                    arrived = b.wait_topic(topic, since)
                    seq = arrived.value["seq"]
                    whole = {"seq": seq, "epoch": epoch,
                             "messages": b.ok("sync", {"after": seq - 1}, codec=codec)["messages"]}
                    length = len(msgpack.packb(whole) if codec == "msgpack" else
                                 json.dumps(whole, separators=(",", ":")).encode())
                    with self.subTest(codec=codec, length=length):
                        self.assertEqual("messages" in arrived.value, length <= self.MAX)
                        self.assertLessEqual(len(arrived.payload), self.MAX)


if __name__ == "__main__":
    unittest.main()
