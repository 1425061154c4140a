"""Every request that changes something, sent twice: the same outcome and no second event."""
import time
import unittest

from harness import TimelineTest, encode, until


class Twice(TimelineTest):
    options = {"durability": "os"}

    def setUp(self):
        super().setUp()
        self.alice, self.bob, self.carol, self.dave = self.uids("alice", "bob", "carol", "dave")
        self.a, self.b, self.d = self.client(self.alice), self.client(self.bob), self.client(self.dave)
        self.conv = self.group(self.a, self.bob, self.carol, join="open")
        for client in (self.a, self.b):
            client.send_ok(f"conv/{self.conv}", f"from {client.user}")  # 2, 3

    def view(self):
        return [(c.sync_all(), c.ok("convs")["convs"], c.ok("block")["users"], c.request("info", {"conv": self.conv}),
                 c.request("members", {"conv": self.conv})) for c in (self.a, self.b, self.d)]

    def check(self, client, op, request):
        first = client.ok(op, request)
        view = self.view()
        for again in (client, self.client(client.user)):
            self.assertEqual(again.request(op, request), first)
            self.assertEqual(self.view(), view)

    def test_each(self):
        conv, a, b = self.conv, self.a, self.b
        for client, op, request in (
                (a, "update", {"name": "new", "post": "admins", "retention": "90d"}), (a, "update", {"post": "members"}),
                (self.d, "join", {}), (self.d, "leave", {}), (a, "add", {"users": [self.dave]}),
                (a, "remove", {"users": [self.dave, self.carol]}), (a, "add", {"users": [self.dave, self.carol, self.dave]}),
                (a, "role", {"user": self.bob, "role": "muted"}), (a, "role", {"user": self.bob, "role": "admin"}),
                (b, "read", {"cseq": 2}), (b, "read", {"cseq": 3}), (b, "set", {"mute": True, "pin": True}),
                (b, "set", {"mute": False}), (a, "edit", {"cseq": 2, "body": "new"}), (a, "recall", {"cseq": 2}),
                (a, "recall", {"cseq": 3}), (b, "delete", {"cseqs": [2, 3, 1]}), (b, "delete", {"all": True}),
                (a, "role", {"user": self.bob, "role": "owner"}), (a, "leave", {}), (b, "dissolve", {})):
            with self.subTest(op=op, request=request):
                self.check(client, op, dict(request, conv=conv))

    def test_create(self):
        self.check(self.a, "create", {"conv": self.cid("new"), "members": [self.bob], "name": "x"})
        self.check(self.a, "create", {"rid": "r1", "members": [self.bob]})

    def test_create_with_a_rid(self):
        """The same request finds its group again; with the same rid and anything else different it is another request."""
        first = self.a.ok("create", {"rid": "r1", "members": [self.bob]})
        self.assertEqual(self.a.ok("create", {"rid": "r1", "members": [self.bob]})["conv"], first["conv"])
        latest, convs = self.b.ok("hello")["latest"], {first["conv"]}
        for client, request in ((self.a, {"rid": "r1", "members": [self.bob, self.carol]}), (self.a, {"rid": "r1", "members": []}),
                                (self.a, {"rid": "r1", "members": [self.bob], "name": "n"}),
                                (self.a, {"rid": "r1", "members": [self.bob], "kind": "channel"}),
                                (self.a, {"rid": 1, "members": [self.bob]}), (self.a, {"rid": "r2", "members": [self.bob]}),
                                (self.d, {"rid": "r1", "members": [self.bob]})):
            made = client.ok("create", request)
            self.assertNotIn(made["conv"], convs)
            self.assertEqual((made["owner"], made["count"]), (client.user, len({client.user, *request["members"]})))
            self.assertEqual(client.ok("create", request)["conv"], made["conv"])
            convs.add(made["conv"])
        self.assertEqual(self.b.ok("hello")["latest"], latest + 6)
        # Without a rid each is a new one.
        self.assertNotEqual(*(self.a.ok("create", {"members": [self.bob]})["conv"] for _ in range(2)))

    def test_block(self):
        for request in ({"user": self.bob}, {"user": self.bob, "on": False}, {"user": self.carol, "on": False}):
            self.check(self.a, "block", request)

    def test_the_last_one_leaving(self):
        conv = self.group(self.a)
        self.check(self.a, "leave", {"conv": conv})

    def test_without_waiting(self):
        """In one batch."""
        for op, request in (("update", {"name": "n"}), ("add", {"users": [self.dave]}), ("remove", {"users": [self.dave]}),
                            ("role", {"user": self.bob, "role": "admin"}), ("set", {"pin": True}), ("read", {"cseq": 3}),
                            ("edit", {"cseq": 2, "body": "n"}), ("recall", {"cseq": 2}), ("delete", {"cseqs": [2, 3]}),
                            ("delete", {"all": True})):
            with self.subTest(op=op):
                latest, since = self.a.ok("hello")["latest"], self.a.mark()
                payload = encode(dict(request, conv=self.conv), "json")
                for i in range(10):
                    self.a.publish(f"im/req/{op}/{i}", payload)
                answers = [self.a.wait_topic(self.a.res(op, str(i)), since).value for i in range(10)]
                self.assertEqual([x for x in answers if x != answers[0]], [])
                self.assertIs(answers[0]["ok"], True)
                self.assertEqual(self.a.ok("hello")["latest"], latest + 1)

    def test_what_changes_nothing(self):
        latest = [c.ok("hello")["latest"] for c in (self.a, self.b)]
        for op, request in (("update", {}), ("update", {"join": "open"}), ("add", {"users": []}), ("add", {"users": [self.bob]}),
                            ("remove", {"users": []}), ("remove", {"users": [self.dave]}), ("join", {}), ("set", {}),
                            ("set", {"mute": False, "pin": False}), ("role", {"user": self.bob, "role": "member"}),
                            ("role", {"user": self.alice, "role": "owner"}), ("read", {"cseq": 0}), ("delete", {"cseqs": []})):
            with self.subTest(op=op, request=request):
                self.a.ok(op, dict(request, conv=self.conv))
        self.assertEqual([c.ok("hello")["latest"] for c in (self.a, self.b)], latest)


class TooLate(TimelineTest):
    """Sent again when the windows have closed, or the sender may not speak any more: it has been done, and that is the
    answer."""
    options = {"durability": "os", "recall_window": "1s", "edit_window": "1s"}

    def setUp(self):
        super().setUp()
        self.alice, self.bob = self.uids("alice", "bob")
        self.a, self.b = self.client(self.alice), self.client(self.bob)

    def in_time(self, say, op, **request):
        """A message for which the request came in time: its cseq. On a machine that is too slow for that, another one."""
        def attempt():
            cseq = say()
            return cseq if self.b.request(op, dict(request, cseq=cseq))["ok"] else None
        return until(attempt, f"{op} in time", 60)

    def check(self, conv, say):
        latest = lambda: [c.ok("hello")["latest"] for c in (self.a, self.b)]
        recalled = self.in_time(say, "recall", conv=conv)
        edited = self.in_time(say, "edit", conv=conv, body="new")
        untouched = say()
        ts = self.a.ok("get", {"conv": conv, "cseq": untouched})["message"]["ts"]
        until(lambda: time.time() * 1000 > ts + 1100, "the windows to close")
        self.assertEqual(self.b.error("recall", {"conv": conv, "cseq": untouched}), "not_authorised")
        before = latest()
        for client in (self.b, self.client(self.bob)):
            client.ok("recall", {"conv": conv, "cseq": recalled})
            client.ok("edit", {"conv": conv, "cseq": edited, "body": "new"})
            self.assertEqual(client.error("edit", {"conv": conv, "cseq": edited, "body": "newer"}), "not_authorised")
            self.assertEqual(client.error("recall", {"conv": conv, "cseq": edited}), "not_authorised")
            self.assertEqual(client.error("edit", {"conv": conv, "cseq": recalled, "body": "new"}), "no_such_message")
        return recalled, edited, before, latest

    def test_in_a_group(self):
        conv = self.group(self.a, self.bob)
        recalled, edited, before, latest = self.check(conv, lambda: self.b.send_ok(f"conv/{conv}", "x")["cseq"])
        self.a.ok("role", {"conv": conv, "user": self.bob, "role": "muted"})
        self.b.ok("edit", {"conv": conv, "cseq": edited, "body": "new"})
        self.b.ok("recall", {"conv": conv, "cseq": recalled})
        self.assertEqual(latest(), [n + 1 for n in before])
        # It is the sender's answer, nobody else's.
        carol = self.client(self.uid("carol"))
        self.a.ok("add", {"conv": conv, "users": [carol.user]})
        self.assertEqual(carol.error("recall", {"conv": conv, "cseq": recalled}), "not_authorised")
        self.assertEqual(carol.error("edit", {"conv": conv, "cseq": edited, "body": "new"}), "not_authorised")
        self.assertEqual(self.client(self.uid("dave")).error("recall", {"conv": conv, "cseq": recalled}), "not_member")

    def test_in_a_chat(self):
        chat = "d:" + ":".join(sorted((self.alice, self.bob)))
        recalled, edited, before, latest = self.check(chat, lambda: self.b.send_ok(f"user/{self.alice}", "x")["cseq"])
        self.a.ok("block", {"user": self.bob})
        self.b.ok("edit", {"conv": chat, "cseq": edited, "body": "new"})
        self.b.ok("recall", {"conv": chat, "cseq": recalled})
        self.assertEqual(self.b.error("edit", {"conv": chat, "cseq": edited, "body": "newer"}), "not_authorised")
        self.assertEqual(self.a.error("recall", {"conv": chat, "cseq": recalled}), "not_authorised")
        self.assertEqual(latest(), [before[0] + 1, before[1]])


if __name__ == "__main__":
    unittest.main()
