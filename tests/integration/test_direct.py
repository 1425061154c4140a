"""Direct chats: their ids, who may use them, how they come into being (PROTOCOL section 1)."""
import unittest

from harness import ACCEPTED, MQTT311, NOT_AUTHORISED, TimelineTest


class Direct(TimelineTest):
    def test_one_chat_whoever_writes_first(self):
        alice, bob = self.uids("alice", "bob")
        a, b = self.client(alice), self.client(bob, version=MQTT311)
        conv = f"d:{alice}:{bob}"
        self.assertEqual(b.send_ok(f"user/{alice}", "1")["conv"], conv)
        self.assertEqual(a.send_ok(f"user/{bob}", "2")["conv"], conv)
        self.assertEqual(a.send_ok(f"conv/{conv}", "3")["conv"], conv)
        self.assertEqual(b.send_ok(f"conv/{conv}", "4")["conv"], conv)
        messages = a.sync_all()
        self.assertEqual([(m["conv"], m["cseq"], m["from"], m["body"]) for m in messages],
                         [(conv, 1, bob, "1"), (conv, 2, alice, "2"), (conv, 3, alice, "3"), (conv, 4, bob, "4")])
        self.assertEqual(messages, b.sync_all())
        self.assert_places(messages)

    def test_comes_into_being_by_its_conversation_id(self):
        alice, bob = self.uids("alice", "bob")
        a, b = self.client(alice), self.client(bob)
        self.assertEqual(b.send_ok(f"conv/d:{alice}:{bob}", "1")["cseq"], 1)
        self.assertEqual(a.ok("hello")["latest"], 1)

    def test_byte_order_decides(self):
        # 'Z' < 'a' < 'é' in bytes, which is not what a collation would say.
        n = self.uid("")
        upper, lower, accented = f"Z{n}", f"a{n}", f"é{n}"
        receipts = [self.client(accented).send_ok(f"user/{lower}", "x"),
                    self.client(lower).send_ok(f"user/{upper}", "x"),
                    self.client(upper).send_ok(f"user/{accented}", "x")]
        self.assertEqual([r["conv"] for r in receipts],
                         [f"d:{lower}:{accented}", f"d:{upper}:{lower}", f"d:{upper}:{accented}"])

    def test_a_prefix_sorts_first(self):
        short = self.uid("u")
        long = short + "x"
        self.assertEqual(self.client(long).send_ok(f"user/{short}", "x")["conv"], f"d:{short}:{long}")

    def test_with_oneself(self):
        alice = self.uid("alice")
        a = self.client(alice)
        conv = f"d:{alice}:{alice}"
        self.assertEqual(a.send_ok(f"user/{alice}", "note")["conv"], conv)
        self.assertEqual(a.send_ok(f"conv/{conv}", "to self")["conv"], conv)
        messages = a.sync_all()
        self.assertEqual([(m["seq"], m["cseq"], m["body"]) for m in messages], [(1, 1, "note"), (2, 2, "to self")])
        self.assertEqual(a.ok("info", {"conv": conv})["count"], 1)

    def test_long_uids(self):
        n = self.uid("")
        for one, other in (("a" * (128 - len(n)) + n, "b" * (128 - len(n)) + n),
                           ("é" * ((128 - len(n)) // 2) + n, "漢" * ((128 - len(n)) // 3) + n)):
            with self.subTest(one=one):
                first, second = self.client(one), self.client(other)
                receipt = first.send_ok(f"user/{other}", "long")
                self.assertEqual(receipt["conv"], f"d:{one}:{other}")
                self.assertEqual(second.send_ok(f"conv/d:{one}:{other}", "back")["cseq"], 2)
                self.assertEqual(second.ok("info", {"conv": receipt["conv"]})["conv"], receipt["conv"])
                self.assertEqual(len(second.sync_all()), 2)
                second.subscribe(f"im/notify/{other}/json")
                second.wait_topic(f"im/notify/{other}/json")

    def test_uids_that_are_none(self):
        alice = self.uid("alice")
        a = self.client(alice)
        for bad in ("a:b", ":", "x" * 129, "é" * 65):
            with self.subTest(uid=bad):
                self.assert_refused(a.send(f"user/{bad}", "x", "m1"), "bad_request")
                self.assertEqual(a.error("info", {"conv": f"d:{alice}:{bad}"}), "bad_request")
        self.assertEqual(a.ok("hello")["latest"], 0)

    def test_uids_that_look_alike(self):
        n = self.uid("")
        uids = [name + n for name in ("é", "e\u0301", "用户👩‍👩‍👧", "用户👩👩👧", "a b", "a\u00a0b", " ", "%20", "..", "$SYS")]
        clients = [self.client(uid) for uid in uids]
        for sender, uid in zip(clients, uids):
            for receiver in uids:
                sender.send_ok(f"user/{receiver}", f"{uid} to {receiver}")
        for client, uid in zip(clients, uids):
            self.assertEqual(client.ok("hello")["user"], uid)
            self.assertEqual(sorted(m["body"] for m in client.sync_all() if m["from"] != uid),
                             sorted(f"{other} to {uid}" for other in uids if other != uid))
            client.subscribe(f"im/notify/{uid}/json")
            client.wait_topic(f"im/notify/{uid}/json")

    def test_strangers_have_no_access(self):
        alice, bob, eve = self.uids("alice", "bob", "eve")
        a, e = self.client(alice), self.client(eve)
        conv = f"d:{alice}:{bob}"
        for exists in (False, True):
            with self.subTest(exists=exists):
                self.assert_refused(e.send(f"conv/{conv}", "x", "m1"), "not_member")
                self.assertEqual(e.error("info", {"conv": conv}), "not_member")
                self.assertEqual(e.subscribe(f"im/signal/{conv}"), NOT_AUTHORISED)
                self.assertEqual(e.subscribe(f"im/live/{conv}"), NOT_AUTHORISED)
                self.assertEqual(e.wait_ack(e.publish(f"im/signal/{conv}", "typing")), NOT_AUTHORISED)
            a.send_ok(f"user/{bob}", "x")
        self.assertEqual([m["from"] for m in a.sync_all()], [alice, alice])
        self.assertEqual(e.ok("hello")["latest"], 0)

    def test_ids_in_the_wrong_order_are_none(self):
        alice, bob = self.uids("alice", "bob")
        a = self.client(alice)
        a.send_ok(f"user/{bob}", "x")
        for bad in (f"d:{bob}:{alice}", "d:", "d::", f"d:{alice}", f"d:{alice}:", f"d::{alice}", f"d:{alice}:{bob}:c",
                    f"D:{alice}:{bob}"):
            with self.subTest(conv=bad):
                code, receipt = a.send(f"conv/{bad}", "x", self.uid("m"))
                self.assertEqual((code, receipt["ok"]), (NOT_AUTHORISED, False))
                self.assertIs(a.request("info", {"conv": bad})["ok"], False)
        self.assertEqual(a.ok("hello")["latest"], 1)

    def test_info(self):
        alice, bob = self.uids("alice", "bob")
        a = self.client(alice)
        a.send_ok(f"user/{bob}", "x")
        for client in (a, self.client(bob)):
            info = client.ok("info", {"conv": f"d:{alice}:{bob}"})
            self.assertEqual((info["kind"], info["head"], info["count"]), ("direct", 1, 2))

    def test_members_signal_each_other(self):
        alice, bob = self.uids("alice", "bob")
        a, b = self.client(alice), self.client(bob)
        a.send_ok(f"user/{bob}", "x")
        signal = f"im/signal/d:{alice}:{bob}"
        self.assertLess(b.subscribe(signal), 0x80)
        self.assertIn(a.wait_ack(a.publish(signal, "typing")), ACCEPTED)
        self.assertEqual(b.wait_topic(signal).payload, b"typing")
        self.assertEqual(a.ok("hello")["latest"], 1)


if __name__ == "__main__":
    unittest.main()
