"""`hello` and `sync`: positions, pages, checkpoints (PROTOCOL section 5)."""
import unittest

from harness import MQTT311, Broker, Client, TimelineTest, burst

KIB = 1024


class Sync(TimelineTest):
    def setUp(self):
        super().setUp()
        self.alice = self.uid("alice")
        self.a = self.client(self.alice)

    def fill(self, count, body=lambda i: str(i)):
        """Messages to oneself."""
        for i in range(1, count + 1):
            packet = self.a.publish(f"im/user/{self.alice}", body(i))
        self.a.wait_ack(packet)
        self.a.send_ok(f"user/{self.alice}", "end")
        return count + 1

    def test_hello(self):
        hello = self.a.ok("hello")
        self.assertEqual((hello["user"], hello["device"]), (self.alice, self.a.device))
        self.assertEqual((hello["latest"], hello["floor"]), (0, 0))
        self.assertIsInstance(hello["epoch"], str)
        self.assertTrue(hello["epoch"] and hello["server"] and hello["limits"])
        self.fill(2)
        self.assertEqual(self.a.ok("hello"), dict(hello, latest=3))

    def test_of_nothing(self):
        for client in (self.a, self.client(self.uid("new"), version=MQTT311)):
            page = client.ok("sync")
            self.assertEqual(page, {"op": "sync", "ok": True, "messages": [], "next": 0, "latest": 0, "floor": 0,
                                    "more": False, "epoch": client.ok("hello")["epoch"]})

    def test_paging(self):
        total = self.fill(24)
        after, seen = 0, []
        while True:
            page = self.a.ok("sync", {"after": after, "limit": 10})
            self.assertEqual((page["latest"], page["floor"]), (total, 0))
            self.assert_places(page["messages"], after + 1)
            self.assertEqual(page["next"], after + len(page["messages"]))
            self.assertEqual(page["more"], page["next"] < total)
            self.assertFalse(page.get("gap") or page.get("reset"))
            seen += page["messages"]
            after = page["next"]
            if not page["more"]:
                break
            self.assertEqual(len(page["messages"]), 10)
        self.assertEqual([m["body"] for m in seen], [str(i) for i in range(1, 25)] + ["end"])
        page = self.a.ok("sync", {"after": total})
        self.assertEqual((page["messages"], page["next"], page["more"]), ([], total, False))
        self.assertNotIn("reset", page)

    def test_limits(self):
        self.fill(1099)
        for limit, expected in ((1, 1), (7, 7), (1000, 1000), (None, 100)):
            request = {"after": 0} if limit is None else {"after": 0, "limit": limit}
            self.assertEqual(len(self.a.ok("sync", request)["messages"]), expected)
        for limit in (0, 1001, 2**64 - 1, -1, "10", 1.5, True, None, [], {}):
            response = self.a.request("sync", {"after": 0, "limit": limit})
            self.assertIs(response["ok"], False, limit)
            self.assertEqual(response["error"]["code"], "bad_request")
            self.assertIn("limit", response["error"]["message"])

    def test_bad_after(self):
        for after in (-1, "0", 0.5, None, [], True):
            response = self.a.request("sync", {"after": after})
            self.assertIs(response["ok"], False, after)
            self.assertEqual(response["error"]["code"], "bad_request")
            self.assertIn("after", response["error"]["message"])

    def test_numbers_beyond_64_bits(self):
        for key in ("after", "limit"):
            response = self.a.request("sync", {key: 2**64})
            self.assertEqual((response["ok"], response["error"]["code"]), (False, "bad_request"))
            # Found before there are any keys: JSON has no such integers here.
            self.assertIn("64 bits", response["error"]["message"])

    def test_any_position_at_any_time(self):
        self.fill(20)
        for after in (20, 3, 0, 21, 7):
            page = self.a.ok("sync", {"after": after})
            self.assert_places(page["messages"], after + 1)
            self.assertEqual(len(page["messages"]), 21 - after)

    def test_reset(self):
        self.fill(2)
        for codec in ("json", "msgpack"):
            for after in (4, 1000, 2**32, 2**53 + 1, 2**63, 2**64 - 1):
                page = self.a.ok("sync", {"after": after}, codec=codec)
                self.assertIs(page.get("reset"), True, after)
                self.assertEqual((page["messages"], page["latest"], page["floor"]), ([], 3, 0))
        self.assertIs(self.client(self.uid("new")).ok("sync", {"after": 1}).get("reset"), True)
        # Such a position is none to go on from.
        self.a.ok("sync", {"after": 1})
        for after in (None, 4):
            self.a.ok("sync", {} if after is None else {"after": after})
            self.assert_places(self.a.ok("sync")["messages"], 2)
            self.assertEqual([d["checkpoint"] for d in self.a.ok("devices")["devices"]], [1])

    def test_checkpoint_of_each_device(self):
        self.fill(9)
        other = self.client(self.alice)
        self.a.ok("sync", {"after": 4, "limit": 1})
        other.ok("sync", {"after": 7, "limit": 1})
        for client, after in ((self.a, 4), (other, 7)):
            self.assert_places(client.ok("sync")["messages"], after + 1)
        # What counts is what the device has sent, not what it was given.
        self.assert_places(self.a.ok("sync")["messages"], 5)
        self.a.ok("sync", {"after": 2, "limit": 1})
        self.assert_places(self.a.ok("sync")["messages"], 3)

    def test_new_device_starts_at_the_beginning(self):
        self.fill(5)
        self.a.ok("sync", {"after": 5})
        self.assertEqual(len(self.client(self.alice).ok("sync")["messages"]), 6)
        # The same device name of another user is another device.
        bob = self.uid("bob")
        self.a.send_ok(f"user/{bob}", "x")
        self.a.close()
        self.assertEqual(len(self.client(bob, self.a.device).ok("sync")["messages"]), 1)

    def test_page_of_bytes(self):
        self.fill(20, lambda i: "x" * (40 * KIB))
        after, pages = 0, []
        while after < 20:
            message = self.a.raw_request("sync", {"after": after, "limit": 1000}, "msgpack")
            self.assertLessEqual(len(message.payload), 257 * KIB)
            pages.append(message.value)
            self.assert_places(message.value["messages"], after + 1)
            after = message.value["next"]
        self.assertEqual([len(p["messages"]) for p in pages[:3]], [6, 6, 6])
        self.assertTrue(all(p["more"] for p in pages[:3]))

    def test_page_of_bytes_json(self):
        self.fill(20, lambda i: b"\xff" * (20 * KIB) if i % 2 else "\x00" * (20 * KIB))
        after = 0
        while after < 21:
            message = self.a.raw_request("sync", {"after": after, "limit": 1000})
            page = message.value
            self.assert_places(page["messages"], after + 1)
            if len(page["messages"]) > 1:
                self.assertLessEqual(len(message.payload), 257 * KIB)
            after = page["next"]

    def test_large_messages_do_not_stall(self):
        self.fill(4, lambda i: bytes([96 + i]) * (1024 * KIB if i % 2 else 3))
        for codec in ("json", "msgpack"):
            messages, after = [], 0
            while True:
                page = self.a.ok("sync", {"after": after}, codec=codec)
                self.assertGreaterEqual(len(page["messages"]), 1)
                messages += page["messages"]
                after = page["next"]
                if not page["more"]:
                    break
            self.assert_places(messages)
            self.assertEqual([len(m["body"]) for m in messages], [1024 * KIB, 3, 1024 * KIB, 3, 3])

    def test_conversations_in_one_inbox(self):
        bob, carol = self.uids("bob", "carol")
        b, c = self.client(bob), self.client(carol)
        group = self.group(b, self.alice)
        for i in range(30):
            (b, c, b)[i % 3].send_ok((f"user/{self.alice}", f"user/{self.alice}", f"conv/{group}")[i % 3], str(i))
        messages = self.a.sync_all(limit=7)
        self.assert_places(messages)
        self.assertEqual([m.get("body") for m in messages], [None] + [str(i) for i in range(30)])
        for conv in {m["conv"] for m in messages}:
            cseqs = [m["cseq"] for m in messages if m["conv"] == conv]
            self.assertEqual(cseqs, list(range(1, len(cseqs) + 1)))

    def test_users_of_one_prefix_do_not_mix(self):
        names = [self.alice, self.alice + "0", self.alice + "\u0101", self.alice + "é"]
        for i, name in enumerate(names):
            for n in range(i + 1):
                self.client(name).send_ok(f"user/{name}", f"{i}-{n}")
        for i, name in enumerate(names):
            self.assertEqual([m["body"] for m in self.client(name).sync_all()], [f"{i}-{n}" for n in range(i + 1)])

    def test_beyond_a_hundred_thousand(self):
        total = 101_000
        burst(self.broker, self.alice, f"im/user/{self.alice}", [b"%d" % i for i in range(1, total + 1)])
        self.a.send_ok(f"user/{self.alice}", "end")
        self.assertEqual(self.a.ok("hello")["latest"], total + 1)
        page = self.a.ok("sync", {"after": 100_500, "limit": 1000})
        self.assert_places(page["messages"], 100_501)
        self.assertEqual([m["body"] for m in page["messages"]],
                         [str(i) for i in range(100_501, total + 1)] + ["end"])
        self.assertFalse(page["more"])
        self.assertEqual(self.a.ok("sync", {"after": 65_534, "limit": 3}, codec="msgpack")["messages"][-1]["seq"],
                         65_537)

    def test_unicode(self):
        name = self.uid("Зоя漢🎈")
        z = self.client(name, "устройство-1")
        z.send_ok(f"user/{self.alice}", "żółć", "идент", props={"ключ": "значение"})
        for codec in ("json", "msgpack"):
            message = self.a.ok("sync", {"after": 0}, codec=codec)["messages"][0]
            self.assertEqual((message["from"], message["device"], message["id"], message["props"]),
                             (name, "устройство-1", "идент", {"ключ": "значение"}))
        self.assertEqual(z.ok("hello")["user"], name)

    def test_receipt_means_synced(self):
        bob = self.uid("bob")
        b = self.client(bob)
        for i in range(1, 101):
            self.a.send_ok(f"user/{bob}", str(i))
            page = b.ok("sync", {"after": i - 1})
            self.assertEqual([m["body"] for m in page["messages"]], [str(i)])

    def test_page_while_messages_arrive(self):
        """Pages stay contiguous under writing."""
        bob = self.uid("bob")
        b = self.client(bob)
        packets = [self.a.publish(f"im/user/{bob}", str(i)) for i in range(3000)]
        messages = []
        while len(messages) < 3000:
            page = b.ok("sync", {"after": len(messages), "limit": 1000})
            self.assert_places(page["messages"], len(messages) + 1)
            self.assertGreaterEqual(page["latest"], page["next"])
            messages += page["messages"]
        self.a.wait_ack(packets[-1])
        self.assertEqual([m["body"] for m in messages], [str(i) for i in range(3000)])


class Checkpoints(unittest.TestCase):
    def test_survive_a_restart(self):
        broker = Broker()
        self.addCleanup(broker.close)
        clients = [Client(broker, "alice", device) for device in ("phone", "tablet")]
        for i in range(10):
            clients[0].send_ok("user/alice", str(i))
        clients[0].ok("sync", {"after": 3})
        clients[1].ok("sync", {"after": 8})
        broker.restart()
        for device, after in (("phone", 3), ("tablet", 8), ("watch", 0)):
            client = Client(broker, "alice", device)
            self.addCleanup(client.close)
            page = client.ok("sync")
            self.assertEqual([m["seq"] for m in page["messages"]], list(range(after + 1, 11)), device)


if __name__ == "__main__":
    unittest.main()
