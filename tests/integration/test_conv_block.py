"""`block`: refusing somebody's direct messages and signals (PROTOCOL section 5)."""
import unittest

from harness import ACCEPTED, MQTT311, NOT_AUTHORISED, OK, TimelineTest, encode, until


class Block(TimelineTest):
    options = {"durability": "os"}

    def setUp(self):
        super().setUp()
        self.alice, self.bob, self.carol = self.uids("alice", "bob", "carol")
        self.a, self.b, self.c = self.client(self.alice), self.client(self.bob), self.client(self.carol)
        self.chat = "d:" + ":".join(sorted((self.alice, self.bob)))

    def check_refused(self):
        """Bob gets nothing through, whichever way he tries."""
        latest = self.a.ok("hello")["latest"]
        for topic in (f"user/{self.alice}", f"conv/{self.chat}"):
            self.assert_refused(self.b.send(topic, "x", self.cid("m")), "not_authorised")
            old = self.client(self.bob, version=MQTT311)
            self.assert_refused(old.send(topic, "x", self.cid("m")), "not_authorised", OK)
            old.close()
        self.a.subscribe(f"im/signal/{self.chat}")
        since = self.a.mark()
        self.assertEqual(self.b.wait_ack(self.b.publish(f"im/signal/{self.chat}", "from bob")), NOT_AUTHORISED)
        self.a.wait_ack(self.a.publish(f"im/signal/{self.chat}", "own"))
        self.a.wait_for(lambda m: m.payload == b"own", since)
        self.assertEqual([m.payload for m in self.a.on_topic(f"im/signal/{self.chat}", since)], [b"own"])
        self.assertEqual(self.a.ok("hello")["latest"], latest)

    def test_before_the_chat_exists(self):
        self.assertEqual(self.a.ok("block", {"user": self.bob}), {"op": "block", "ok": True})
        self.check_refused()
        self.assertEqual(self.b.ok("hello")["latest"], 0)
        self.assertEqual(self.b.ok("convs")["convs"], [])
        self.assertEqual(self.b.error("history", {"conv": self.chat}), "not_member")

    def test_after_the_chat_exists(self):
        self.b.send_ok(f"user/{self.alice}", "x")
        self.a.ok("block", {"user": self.bob, "on": True})
        self.check_refused()
        self.assertEqual(len(self.b.ok("history", {"conv": self.chat})["messages"]), 1)

    def test_one_way_only(self):
        """The one who blocks may still write, and does not make the other one able to answer."""
        self.a.ok("block", {"user": self.bob})
        self.assertEqual(self.a.send_ok(f"user/{self.bob}", "x")["cseq"], 1)
        self.check_refused()
        self.assertEqual(self.b.sync_all()[0]["body"], "x")
        self.b.subscribe(f"im/signal/{self.chat}")
        self.assertIn(self.a.wait_ack(self.a.publish(f"im/signal/{self.chat}", "hi")), ACCEPTED)
        self.b.wait_topic(f"im/signal/{self.chat}")

    def test_only_that_user_and_only_directly(self):
        self.a.ok("block", {"user": self.bob})
        self.c.send_ok(f"user/{self.alice}", "x")
        self.b.send_ok(f"user/{self.carol}", "x")
        self.b.send_ok(f"user/{self.bob}", "x")
        conv = self.group(self.a, self.bob)
        self.b.send_ok(f"conv/{conv}", "in the group")
        self.assertIn("in the group", [m.get("body") for m in self.a.sync_all()])
        self.assertIn(self.b.wait_ack(self.b.publish(f"im/signal/{conv}", "x")), ACCEPTED)

    def test_unblock(self):
        for exists in (False, True):
            self.a.ok("block", {"user": self.bob})
            self.check_refused()
            self.a.ok("block", {"user": self.bob, "on": False})
            self.assertFalse(self.b.send_ok(f"user/{self.alice}", "x", f"again{exists}")["dup"])
            self.assertIn(self.b.wait_ack(self.b.publish(f"im/signal/{self.chat}", "x")), ACCEPTED)
            self.assertEqual(self.a.ok("block")["users"], [])

    def test_a_refused_message_does_not_use_up_its_id(self):
        self.a.ok("block", {"user": self.bob})
        self.assert_refused(self.b.send(f"user/{self.alice}", "x", "m1"), "not_authorised")
        self.a.ok("block", {"user": self.bob, "on": False})
        self.assertFalse(self.b.send_ok(f"user/{self.alice}", "x", "m1")["dup"])

    def test_list(self):
        self.assertEqual(self.a.ok("block"), {"op": "block", "ok": True, "users": []})
        others = self.uids("x", "y", "zé")
        for user in others:
            self.a.ok("block", {"user": user})
        self.assertEqual(sorted(self.a.ok("block")["users"]), sorted(others))
        self.assertEqual(sorted(self.client(self.alice).ok("block", {}, codec="msgpack")["users"]), sorted(others))
        self.a.ok("block", {"user": others[1], "on": False})
        self.assertEqual(sorted(self.a.ok("block")["users"]), sorted([others[0], others[2]]))
        self.assertEqual(self.b.ok("block")["users"], [])

    def test_list_by_pages(self):
        others = sorted((self.uid(name) for name in ("é", "Z", "a") * 80), key=str.encode)
        for user in others:
            packet = self.a.publish("im/req/block/many", encode({"user": user}, "json"))
        self.a.wait_ack(packet)
        until(lambda: self.a.ok("hello")["latest"] == len(others), "the last block")
        for limit in (None, 1000, 240, 239, 100, 7):
            for codec in ("json", "msgpack"):
                found, request = [], {"limit": limit} if limit else {}
                while True:
                    page = self.a.ok("block", request, codec=codec)
                    found += page["users"]
                    if "cursor" not in page:
                        break
                    self.assertEqual(len(page["users"]), limit or 100)
                    request["cursor"] = page["cursor"]
                self.assertEqual(found, others, (limit, codec))
        # A cursor need not be in the list any more.
        page = self.a.ok("block", {"limit": 5})
        self.a.ok("block", {"user": page["users"][-1], "on": False})
        rest = self.a.ok("block", {"limit": 1000, "cursor": page["cursor"]})
        self.assertEqual((rest["users"], "cursor" in rest), (others[5:], False))
        for key, value in (("limit", 0), ("limit", 1001), ("limit", "5"), ("cursor", 5), ("cursor", ""), ("cursor", "a+b"), ("cursor", "/a")):
            response = self.a.request("block", {key: value})
            self.assertEqual(response["error"]["code"], "bad_request")
            self.assertIn(f"'{key}'", response["error"]["message"])

    def test_the_list_does_not_wait_for_what_is_to_be_stored(self):
        self.a.ok("block", {"user": self.bob})
        crowd = ",".join(f'"{i:x}"' for i in range(8000))
        since = self.a.mark()
        for i in range(3):
            self.a.publish(f"im/req/create/busy{i}", f'{{"members":[{crowd}]}}')
        self.assertEqual(self.a.ok("block", tag="list")["users"], [self.bob])
        self.a.wait_topic(self.a.res("create", "busy2"), since)
        topics = [m.topic for m in self.a.inbox[since:]]
        self.assertLess(topics.index(self.a.res("block", "list")), topics.index(self.a.res("create", "busy2")))

    def test_both_ways(self):
        self.a.ok("block", {"user": self.bob})
        self.b.ok("block", {"user": self.alice})
        self.assert_refused(self.a.send(f"user/{self.bob}", "x", "m1"), "not_authorised")
        self.assert_refused(self.b.send(f"user/{self.alice}", "x", "m1"), "not_authorised")
        self.a.ok("block", {"user": self.bob, "on": False})
        self.assert_refused(self.a.send(f"user/{self.bob}", "x", "m1"), "not_authorised")
        self.b.send_ok(f"user/{self.alice}", "x", "m1")

    def test_nobody_else_learns_of_it(self):
        self.a.send_ok(f"user/{self.bob}", "x")
        self.a.ok("block", {"user": self.bob})
        self.assertEqual(self.b.ok("hello")["latest"], 1)
        self.assertEqual(len(self.b.ok("history", {"conv": self.chat})["messages"]), 1)

    def test_holds_for_what_comes_right_after_it(self):
        """Sent after the block was acked, stored behind it: refused. The chat is new."""
        crowd = ",".join(f'"{i:x}"' for i in range(8000))
        for _ in range(3):  # keeps the writer busy while the rest queues up
            packet = self.c.publish("im/req/create/busy", f'{{"members":[{crowd}]}}')
        self.c.wait_ack(packet)
        self.a.wait_ack(self.a.publish("im/req/block/now", f'{{"user":"{self.bob}"}}'))
        _, receipt = self.b.send(f"user/{self.alice}", "x", "m1")
        self.assertTrue(self.a.wait_topic(self.a.res("block", "now")).value["ok"])
        entries = self.a.sync_all()
        self.assertEqual(([m.get("event", {}).get("kind") for m in entries], receipt["ok"]), (["block"], False))

    def test_stays_so_in_a_chat_that_came_right_after_it(self):
        crowd = ",".join(f'"{i:x}"' for i in range(8000))
        for _ in range(3):
            packet = self.c.publish("im/req/create/busy", f'{{"members":[{crowd}]}}')
        self.c.wait_ack(packet)
        self.a.wait_ack(self.a.publish("im/req/block/now", f'{{"user":"{self.bob}"}}'))
        self.a.send_ok(f"user/{self.bob}", "makes the chat")
        self.check_refused()
        for _ in range(3):
            packet = self.c.publish("im/req/create/busy", f'{{"members":[{crowd}]}}')
        self.c.wait_ack(packet)
        _, receipt = self.b.send(f"user/{self.alice}", "x", "m1")
        self.assertFalse(receipt["ok"])

    def test_bad_requests_say_which_key(self):
        for key, value in (("user", 1), ("user", ""), ("user", "a/b"), ("user", "a:b"), ("user", "x" * 129), ("user", None),
                           ("on", 1), ("on", "true"), ("on", None)):
            with self.subTest(key=key, value=str(value)[:20]):
                response = self.a.request("block", dict({"user": self.bob}, **{key: value}))
                self.assertEqual(response["error"]["code"], "bad_request")
                self.assertIn(f"'{key}'", response["error"]["message"])
        self.assertEqual(self.a.ok("block")["users"], [])

    def test_not_oneself(self):
        for on in (True, False):
            response = self.a.request("block", {"user": self.alice, "on": on})
            self.assertEqual(response["error"]["code"], "bad_request")
            self.assertIn("'user'", response["error"]["message"])
        self.a.send_ok(f"user/{self.alice}", "a note")


if __name__ == "__main__":
    unittest.main()
