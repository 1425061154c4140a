"""Every request that changes something, sent twice: the same outcome and no second event."""
import unittest

from harness import TimelineTest, encode


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


if __name__ == "__main__":
    unittest.main()
