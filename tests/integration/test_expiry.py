"""What expires: inbox entries by age and by number, messages by their conversation's retention, checkpoints of devices. Times
are short, and the tests wait for what they lead to. What is still on disk is the C tests' matter; here it shows only in
what a broker with other options says after a restart."""
import unittest

from harness import Broker, Client, MQTT311, TimelineTest, burst, until

LONG = 20  # seconds that anything with a short time to live may take


class ExpiryTest(TimelineTest):
    def until_floor(self, client, floor, **kw):
        """Until `hello` says so: what it said."""
        return until(lambda: (lambda h: h if h["floor"] >= floor else None)(client.ok("hello", **kw)),
                     f"the floor {floor}", LONG)

    def history(self, client, conv, **args):
        """All of it, page by page, oldest first."""
        page = client.ok("history", dict({"conv": conv, "after": 0}, **args))
        messages = page["messages"]
        while page["more"]:
            page = client.ok("history", {"conv": conv, "cursor": page["cursor"]})
            messages += page["messages"]
        return messages

    def conv(self, client, conv):
        return next(c for c in client.ok("convs")["convs"] if c["conv"] == conv)


class InboxTtl(ExpiryTest):
    options = {"inbox_ttl": "3s"}

    def sent(self, count, **kw):
        """Two clients, and so many messages from the first to the second."""
        a, b = self.uids("alice", "bob")
        alice, bob = self.client(a), self.client(b, **kw)
        for i in range(count):
            alice.send_ok(f"user/{b}", f"message {i}")
        return alice, bob, "d:" + ":".join(sorted((a, b)))

    def test_limits_are_told(self):
        limits = self.client(self.uid()).ok("hello")["limits"]
        self.assertEqual((limits["inbox_ttl_ms"], limits["inbox_max"], limits["retention_ms"]), (3000, 100000, 0))
        self.assertEqual(limits["device_ttl_ms"], 90 * 86400 * 1000)

    def check_gap(self, **kw):
        alice, bob, conv = self.sent(3, **kw)
        early = bob.ok("sync", {"after": 1})
        self.assertEqual((early["floor"], early["next"], early.get("gap")), (0, 3, None))
        self.assertEqual(self.until_floor(bob, 3)["latest"], 3)
        alice.send_ok(f"user/{bob.user}", "four")
        alice.send_ok(f"user/{bob.user}", "five")
        for after, gap, first in ((0, True, 4), (2, True, 4), (3, None, 4), (4, None, 5)):
            with self.subTest(after=after):
                page = bob.ok("sync", {"after": after})
                self.assertEqual((page.get("gap"), page["floor"], page["next"], page["more"]), (gap, 3, 5, False))
                self.assert_places(page["messages"], first)
        # The device's own position was 4, then a page's `next` beyond the floor: no gap.
        self.assertNotIn("gap", bob.ok("sync"))
        # Another device that has never been here begins at the floor.
        other = self.client(bob.user, "other")
        page = other.ok("sync")
        self.assertNotIn("gap", page)
        self.assert_places(page["messages"], 4)
        # Nothing is lost but the shortcut.
        self.assertEqual([m["body"] for m in self.history(bob, conv)],
                         ["message 0", "message 1", "message 2", "four", "five"])
        self.assertEqual(self.conv(bob, conv)["unread"], 5)

    def test_gap(self):
        self.check_gap()

    def test_gap_in_mqtt_3_1_1(self):
        self.check_gap(version=MQTT311)

    def test_own_checkpoint_below_the_floor(self):
        """A device that was away too long learns it, though it does not keep its position itself."""
        alice, bob, _ = self.sent(3)
        bob.ok("sync", {"after": 1})
        self.until_floor(bob, 3)
        alice.send_ok(f"user/{bob.user}", "four")
        page = bob.ok("sync")
        self.assertIs(page.get("gap"), True)
        self.assert_places(page["messages"], 4)

    def test_all_expired(self):
        alice, bob, _ = self.sent(4)
        self.until_floor(bob, 4)
        for after in (0, 4):
            page = bob.ok("sync", {"after": after})
            self.assertEqual((page["messages"], page["next"], page["latest"], page["floor"], page["more"]),
                             ([], 4, 4, 4, False))
            self.assertEqual(page.get("gap"), True if after == 0 else None)
        self.assertIs(bob.ok("sync", {"after": 5}).get("reset"), True)
        alice.send_ok(f"user/{bob.user}", "next")
        self.assert_places(bob.ok("sync", {"after": 4})["messages"], 5)

    def test_own_events_expire_too(self):
        _, bob, conv = self.sent(2)
        bob.ok("read", {"conv": conv, "cseq": 2})
        self.assertEqual(bob.ok("sync", {"after": 2})["messages"][0]["event"]["kind"], "read")
        self.until_floor(bob, 3)
        self.assertEqual(bob.ok("sync", {"after": 2})["messages"], [])

    def test_expired_one_after_the_other(self):
        """The floor moves on with each entry, on each of several devices alike, and never a place is shown twice or left out."""
        a, b = self.uids("alice", "bob")
        alice, devices = self.client(a), [self.client(b, f"{b}-{i}") for i in range(3)]
        positions, seen, floors = [0, 0, 0], [[], [], []], []

        def step():
            alice.send_ok(f"user/{b}", "x")
            device = len(floors) % 3
            page = devices[device].ok("sync", {"after": positions[device]})
            self.assertEqual(page.get("gap", False), positions[device] < page["floor"])
            start = max(positions[device], page["floor"])
            self.assert_places(page["messages"], start + 1)
            self.assertEqual(page["next"], page["latest"])
            positions[device] = page["next"]
            seen[device] += [m["seq"] for m in page["messages"]]
            floors.append(page["floor"])
            return len(set(floors)) > 50
        until(step, "the floor to have been in fifty places", LONG)
        self.assertEqual(floors, sorted(floors))
        for numbers in seen:
            self.assertEqual(numbers, sorted(set(numbers)))


class InboxMax(ExpiryTest):
    options = {"inbox_max": 20, "inbox_ttl": "0"}

    def test_noisy_group(self):
        """An inbox that a noisy group has flooded: the gap is told, and all that was missed is in the conversations."""
        a, b = self.uids("alice", "bob")
        alice, bob = self.client(a), self.client(b)
        alice.send_ok(f"user/{b}", "drowned")
        conv = self.group(alice, b)
        burst(self.broker, a, f"im/conv/{conv}", [b"noise %d" % i for i in range(300)])
        hello = until(lambda: (lambda h: h if h["latest"] == 302 else None)(bob.ok("hello")), "all messages")
        self.assertEqual(hello["floor"], 282)
        page = bob.ok("sync", {"after": 1})
        self.assertIs(page.get("gap"), True)
        self.assertEqual(page["floor"], 282)
        self.assert_places(page["messages"], 283)
        self.assertEqual(len(page["messages"]), 20)
        found = {c["conv"]: self.history(bob, c["conv"]) for c in bob.ok("convs")["convs"]}
        self.assertEqual([m["body"] for m in found.pop(conv)[1:]], [f"noise {i}" for i in range(300)])
        (direct,) = found.values()
        self.assertEqual([m["body"] for m in direct], ["drowned"])
        unread = {c["conv"]: c["unread"] for c in bob.ok("convs")["convs"]}
        self.assertEqual(unread[conv], 300)
        self.assertEqual(sum(unread.values()), 301)

    def test_floor_moves_with_each_entry(self):
        alice = self.client(self.uid("alice"))
        for i in range(1, 31):
            alice.send_ok(f"user/{alice.user}", str(i))
            self.assertEqual(alice.ok("hello")["floor"], max(0, i - 20))
        page = alice.ok("sync", {"after": 10})
        self.assertNotIn("gap", page)
        self.assertEqual([m["body"] for m in page["messages"]], [str(i) for i in range(11, 31)])


class Retention(ExpiryTest):
    def team(self, retention="3s", **settings):
        """A group of alice and bob with three messages."""
        a, b = self.uids("alice", "bob")
        alice, bob = self.client(a), self.client(b)
        conv = self.group(alice, b, **dict({"retention": retention} if retention else {}, **settings))
        for i in range(3):
            props = {"order": str(10 - i)} if settings.get("order") == "custom" else {}
            alice.send_ok(f"conv/{conv}", f"message {i}", props=props)
        return alice, bob, conv

    def until_empty(self, client, conv):
        until(lambda: not client.ok("history", {"conv": conv})["messages"], "everything to expire", LONG)

    def check_expired(self, alice, bob, conv):
        for cseq in range(1, 5):
            self.assertEqual(bob.error("get", {"conv": conv, "cseq": cseq}), "no_such_message")
        for args in ({}, {"before": 5}, {"after": 0}, {"after": 2}, {"at": 0}):
            page = bob.ok("history", dict({"conv": conv}, **args))
            self.assertEqual((page["messages"], page["more"], page["head"]), ([], False, 4))
        listed = self.conv(bob, conv)
        self.assertEqual((listed["unread"], listed["head"]), (0, 4))
        self.assertNotIn("last", listed)
        entries = bob.sync_all()
        self.assert_places(entries)
        self.assertEqual(entries[:4], [{"seq": i, "conv": conv, "cseq": i, "gone": "expired"} for i in range(1, 5)])
        for op in ({"cseq": 2}, {"cseq": 4}):
            self.assertEqual(alice.error("recall", dict(op, conv=conv)), "no_such_message")
            self.assertEqual(alice.error("edit", dict(op, conv=conv, body="x")), "no_such_message")

    def test_expiry(self):
        alice, bob, conv = self.team()
        self.assertEqual(self.conv(bob, conv)["unread"], 3)
        self.until_empty(bob, conv)
        self.check_expired(alice, bob, conv)
        receipt = alice.send_ok(f"conv/{conv}", "again")
        self.assertEqual(receipt["cseq"], 5)
        listed = self.conv(bob, conv)
        self.assertEqual((listed["unread"], listed["last"]["body"]), (1, "again"))
        self.assertEqual([m["body"] for m in self.history(bob, conv)], ["again"])

    def test_dropped_from_the_database(self):
        """A broker that is told to keep everything finds nothing any more."""
        alice, bob, conv = self.team("1s")
        self.until_empty(bob, conv)
        alice.send_ok(f"conv/{conv}", "kept")

        def is_dropped():
            alice.ok("update", {"conv": conv, "retention": "90d"})
            left = self.history(bob, conv)
            alice.ok("update", {"conv": conv, "retention": "3s"})
            return not any(m.get("body", "").startswith("message") for m in left)
        until(is_dropped, "the messages to be dropped", LONG)

    def test_custom_order(self):
        _, bob, conv = self.team(order="custom")
        self.assertEqual([m["body"] for m in self.history(bob, conv)], ["message 2", "message 1", "message 0"])
        self.until_empty(bob, conv)
        self.assertEqual(bob.ok("history", {"conv": conv, "at": 0})["messages"], [])

    def test_unread_of_what_is_left(self):
        """What has expired unread is unread no more, and reading below it changes nothing."""
        alice, bob, conv = self.team("4s")
        until(lambda: len(self.history(bob, conv)) < 3, "some to expire", LONG)
        alice.send_ok(f"conv/{conv}", "four")
        self.until_gone(bob, conv, "message 2")
        self.assertEqual(self.conv(bob, conv)["unread"], 1)
        self.assertEqual(bob.ok("read", {"conv": conv, "cseq": 2})["unread"], 1)
        self.assertEqual(self.conv(bob, conv)["unread"], 1)
        self.assertEqual(bob.ok("read", {"conv": conv, "cseq": 5})["unread"], 0)

    def until_gone(self, client, conv, body):
        until(lambda: body not in [m.get("body") for m in self.history(client, conv)], f"{body} to expire", LONG)

    def test_read_while_expiring(self):
        """`read` and `convs` agree at any time."""
        alice, bob, conv = self.team("2s")

        def step():
            sent = alice.send_ok(f"conv/{conv}", "more")["cseq"] - 1
            answered = bob.ok("read", {"conv": conv, "cseq": 1})["unread"]
            listed = self.conv(bob, conv)["unread"]
            self.assertLessEqual(listed, answered)
            self.assertLessEqual(answered, sent)
            self.assertGreaterEqual(listed, 1)
            return sent - listed > 50
        until(step, "fifty messages to expire", LONG)

    def test_update(self):
        alice, bob, conv = self.team(None)
        self.assertEqual(len(self.history(bob, conv)), 4)
        self.assertEqual(alice.ok("update", {"conv": conv, "retention": "1s"})["retention"], "1s")
        self.until_empty(bob, conv)  # the event of the change itself, too
        alice.ok("update", {"conv": conv, "retention": "0"})
        alice.send_ok(f"conv/{conv}", "for ever")
        self.assertIn("for ever", [m.get("body") for m in self.history(bob, conv)])

    def test_longer(self):
        """What has not been dropped yet when the time is made longer may be back, what is shown is whole either way."""
        alice, bob, conv = self.team("1s")
        self.until_empty(bob, conv)
        alice.ok("update", {"conv": conv, "retention": "90d"})
        alice.send_ok(f"conv/{conv}", "new")
        left = self.history(bob, conv)
        self.assertEqual([m["cseq"] for m in left], list(range(left[0]["cseq"], 7)))
        self.assertEqual(left[-1]["body"], "new")
        self.assertTrue(all("gone" not in m for m in left))

    def test_deleted_then_expired(self):
        alice, bob, conv = self.team("2s")
        bob.ok("delete", {"conv": conv, "cseqs": [2, 3]})
        self.until_empty(bob, conv)
        self.assertEqual([m["gone"] for m in bob.sync_all()[:4]], ["expired", "deleted", "deleted", "expired"])
        alice.send_ok(f"conv/{conv}", "x")
        self.assertEqual([m["body"] for m in self.history(bob, conv)], ["x"])

    def test_too_short(self):
        alice = self.client(self.uid("alice"))
        for retention in ("1ms", "999ms"):
            self.assertEqual(alice.error("create", {"conv": self.cid(), "retention": retention}), "bad_request")
        conv = self.group(alice, retention="1s")
        self.assertEqual(alice.error("update", {"conv": conv, "retention": "10ms"}), "bad_request")
        self.assertEqual(alice.ok("info", {"conv": conv})["retention"], "1s")

    def test_kill(self):
        alice, bob, conv = self.team("2s")
        self.until_empty(bob, conv)
        receipt = alice.send_ok(f"conv/{conv}", "before")
        for client in (alice, bob):
            client.close()
        self.broker.restart(kill=True)
        alice, bob = self.client(alice.user), self.client(bob.user)
        self.assertEqual(alice.send_ok(f"conv/{conv}", "after")["cseq"], receipt["cseq"] + 1)
        self.assertEqual([m["body"] for m in self.history(bob, conv)][-1], "after")
        self.assertNotIn("message 0", [m.get("body") for m in self.history(bob, conv)])


class Devices(ExpiryTest):
    options = {"device_ttl": "2s"}

    def test_forgotten(self):
        user = self.uid()
        phone, laptop = self.client(user, "phone"), self.client(user, "laptop")
        for i in range(4):
            phone.send_ok(f"user/{user}", str(i))
        laptop.ok("sync", {"after": 3})
        self.assertEqual(laptop.ok("sync")["next"], 4)

        def listed():
            phone.ok("sync", {"after": 2})
            return [d["device"] for d in phone.ok("devices")["devices"]]
        self.assertEqual(sorted(listed()), ["laptop", "phone"])
        until(lambda: listed() == ["phone"], "the laptop to be forgotten", LONG)
        self.assert_places(laptop.ok("sync")["messages"])  # from the floor


class DedupWindow(unittest.TestCase):
    """Message ids are remembered for as long as the option says, over restarts and other values of it."""

    def test_window(self):
        broker = Broker({"dedup_window": "3s"})
        self.addCleanup(broker.close)

        def send(mid):
            client = Client(broker, "bob", "phone")
            try:
                return client.send_ok("user/bob", mid, mid=mid)
            finally:
                client.close()
        first = send("a")
        self.assertIs(send("a")["dup"], True)
        until(lambda: not send("a")["dup"], "the id to be forgotten", LONG)
        for window in ("7d", "1h", "7d"):
            known = send(window)
            broker.stop()
            broker.options["dedup_window"] = window
            broker.start()
            again = send(window)
            self.assertEqual((again["dup"], again["cseq"]), (True, known["cseq"]))
        self.assertGreater(send("b")["cseq"], first["cseq"])
        broker.stop()
        broker.options["dedup_window"] = "0"
        broker.start()
        self.assertIs(send("b")["dup"], False)
        self.assertIs(send("b")["dup"], False)


class OtherOptions(unittest.TestCase):
    """A broker that is started again with other times applies them to all that is there."""

    def setUp(self):
        self.broker = Broker({"inbox_ttl": "0", "device_ttl": "0"})
        self.addCleanup(self.broker.close)

    def restart(self, **options):
        self.client.close()
        self.broker.stop()
        self.broker.options.update(options)
        self.broker.start()
        self.connect()

    def connect(self):
        self.client = Client(self.broker, "bob", "phone")
        self.addCleanup(self.client.close)

    def test_restarts(self):
        self.connect()
        for i in range(30):
            self.client.send_ok("user/bob", f"message {i}")
        self.client.ok("sync", {"after": 10})
        self.assertEqual(self.client.ok("hello")["floor"], 0)
        self.restart(inbox_max=12)
        until(lambda: self.client.ok("hello")["floor"] == 18, "the maximum to be applied", LONG)
        self.restart(inbox_ttl="1s", device_ttl="1s", inbox_max=0)
        until(lambda: self.client.ok("hello")["floor"] == 30, "the time to be applied", LONG)
        until(lambda: self.client.ok("devices")["devices"] == [], "the device to be forgotten", LONG)
        self.client.send_ok("user/bob", "message 30")
        until(lambda: self.client.ok("hello")["floor"] == 31, "the new one to expire", LONG)

        def is_stored():
            """With no limits any more, only the floor that is on disk counts. It comes there by itself."""
            self.restart(inbox_ttl="0", device_ttl="0")
            floor = self.client.ok("hello")["floor"]
            self.restart(inbox_ttl="1s")
            return floor == 31
        until(is_stored, "the floor to be stored", LONG)
        self.assertEqual(len(self.client.ok("history", {"conv": "d:bob:bob", "limit": 100})["messages"]), 31)
        self.restart(retention="1s")
        until(lambda: self.client.ok("history", {"conv": "d:bob:bob"})["messages"] == [], "the messages to expire", LONG)
        self.client.send_ok("user/bob", "message 31")
        self.assertEqual([m["body"] for m in self.client.ok("history", {"conv": "d:bob:bob"})["messages"]],
                         ["message 31"])


if __name__ == "__main__":
    unittest.main()
