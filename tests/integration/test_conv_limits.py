"""Bounds of the conversation requests, and what they say to a request that is wrong."""
import json
import struct
import unittest

from harness import Broker, Client, TimelineTest
from wire import PUBACK, PUBLISH, Wire, packet, publish, unpack_publish


class Limits(TimelineTest):
    options = {"durability": "os", "max_members": "4", "max_conversations": "3"}

    def setUp(self):
        super().setUp()
        self.a, self.b = self.client(self.uid("alice")), self.client(self.uid("bob"))

    def test_members_of_a_conversation(self):
        conv = self.group(self.a, self.b.user, join="open")
        x, y, z = self.uids("x", "y", "z")
        self.assertEqual(self.a.error("add", {"conv": conv, "users": [x, y, z]}), "too_large")
        self.assertEqual(self.a.ok("info", {"conv": conv})["count"], 2)
        # Those who are there already and those named twice do not count twice.
        self.assertEqual(self.a.ok("add", {"conv": conv, "users": [x, y, x, self.b.user]})["count"], 4)
        self.assertEqual(self.client(z).error("join", {"conv": conv}), "too_large")
        self.assertEqual(self.a.error("add", {"conv": conv, "users": [z]}), "too_large")
        self.a.ok("remove", {"conv": conv, "users": [x]})
        self.assertEqual(self.client(z).ok("join", {"conv": conv})["count"], 4)

    def test_full_from_the_beginning(self):
        conv = self.group(self.a, self.b.user, *self.uids("x", "y"), join="open")
        self.assertEqual(self.client(self.uid("z")).error("join", {"conv": conv}), "too_large")
        self.assertEqual(self.a.ok("info", {"conv": conv})["count"], 4)

    def test_members_named_twice_at_the_creation(self):
        x, y = self.uids("x", "y")
        for members in ([self.a.user, self.b.user, x, y], [x, x, x, x, y]):
            with self.subTest(members=members):
                created = self.client(self.a.user).request("create", {"members": members})
                self.assertEqual((created["ok"], created.get("count")), (True, len(set(members) | {self.a.user})), created)

    def test_conversations_of_a_user(self):
        convs = [self.group(self.a) for _ in range(3)]
        self.assertEqual(self.a.error("create", {"conv": self.cid("c")}), "too_large")
        open_group = self.group(self.b, join="open")
        self.assertEqual(self.a.error("join", {"conv": open_group}), "too_large")
        self.a.ok("leave", {"conv": convs[0]})
        self.a.ok("join", {"conv": open_group})
        self.assertEqual(self.a.error("create", {"conv": self.cid("c")}), "too_large")
        self.a.ok("dissolve", {"conv": convs[1]})
        self.a.ok("create", {"conv": self.cid("c")})
        # One who is in already is no more for joining again.
        self.a.ok("join", {"conv": open_group})


class LimitsOnRead(Limits):
    """The same where not all members are at hand."""
    options = dict(Limits.options, write_fanout_max="0")


class Roster(TimelineTest):
    """Whom others can add, and how that leaves room for oneself: 4 in all, 3 by others."""
    options = {"durability": "os", "max_conversations": "4"}

    def setUp(self):
        super().setUp()
        self.alice, self.bob, self.carol = self.uids("alice", "bob", "carol")
        self.a, self.b, self.c = self.client(self.alice), self.client(self.bob), self.client(self.carol)

    def assert_named(self, answer, code, user):
        self.assertEqual((answer["ok"], answer.get("error", {}).get("code")), (False, code), answer)
        self.assertIn(f"'{user}'", answer["error"]["message"])

    def groups_with_bob(self, count):
        """Of one owner each: nobody else comes near a limit."""
        owners = [self.client(self.uid("owner")) for _ in range(count)]
        return [(owner, self.group(owner, self.bob)) for owner in owners]

    def check_full_for_others(self):
        conv = self.group(self.c)
        head = self.b.ok("hello")["latest"]
        self.assert_named(self.c.request("add", {"conv": conv, "users": [self.alice, self.bob]}), "too_large", self.bob)
        self.assert_named(self.c.request("create", {"conv": self.cid("c"), "members": [self.alice, self.bob]}), "too_large",
                          self.bob)
        self.assertEqual(self.c.ok("info", {"conv": conv})["count"], 1)
        self.assertEqual((self.b.ok("hello")["latest"], self.a.ok("hello")["latest"]), (head, 0))
        self.c.ok("dissolve", {"conv": conv})

    def test_others_leave_room_for_oneself(self):
        self.groups_with_bob(3)
        self.check_full_for_others()
        own = self.group(self.b)
        self.assertEqual(self.b.error("create", {"conv": self.cid("c")}), "too_large")
        self.check_full_for_others()
        self.b.ok("leave", {"conv": own})
        self.b.ok("join", {"conv": self.group(self.c, join="open")})
        self.assertEqual(self.b.error("join", {"conv": self.group(self.a, join="open")}), "too_large")

    def test_each_way_out_makes_room(self):
        convs = self.groups_with_bob(3)
        outs = [lambda owner, conv: self.b.ok("leave", {"conv": conv}),
                lambda owner, conv: owner.ok("remove", {"conv": conv, "users": [self.bob]}),
                lambda owner, conv: owner.ok("dissolve", {"conv": conv})]
        for (owner, conv), out in zip(convs, outs):
            self.check_full_for_others()
            for _ in range(2):  # the request sent again counts once
                out(owner, conv)
            self.groups_with_bob(1)
        self.check_full_for_others()

    def test_what_changes_nothing_is_not_counted(self):
        (owner, conv), = self.groups_with_bob(1)
        for _ in range(5):
            owner.ok("add", {"conv": conv, "users": [self.bob, self.bob]})
            self.b.ok("join", {"conv": conv})
            created = {"conv": self.cid("c") if _ == 0 else created["conv"], "members": [self.bob, self.bob, owner.user]}
            owner.ok("create", created)
        self.groups_with_bob(1)
        self.check_full_for_others()
        # A member stays one, whatever the limit says.
        owner.ok("add", {"conv": conv, "users": [self.bob]})

    def test_the_last_one_to_leave(self):
        for _ in range(10):
            conv = self.group(self.b)
            self.b.ok("leave", {"conv": conv})
        for _ in range(4):
            self.group(self.b)
        self.assertEqual(self.b.error("create", {"conv": self.cid("c")}), "too_large")

    def test_direct_chats_do_not_count(self):
        for i in range(10):
            self.b.send_ok(f"user/{self.uid('x')}", "x")
            self.client(self.uid("y")).send_ok(f"user/{self.bob}", "x")
        self.groups_with_bob(3)
        self.group(self.b)
        self.b.send_ok(f"user/{self.uid('x')}", "x")
        self.a.send_ok(f"user/{self.bob}", "x")

    def test_over_a_crash(self):
        """In a broker of its own, and with a user whom the writer does not have at hand."""
        broker = Broker(dict(self.options))
        self.addCleanup(broker.close)
        for _ in range(2):
            a = Client(broker, "alice")
            a.ok("create", {"conv": self.cid("c"), "members": ["bob"]})
            a.close()
            broker.restart(kill=True)
        a, b = Client(broker, "alice"), Client(broker, "bob")
        a.ok("create", {"conv": "third", "members": ["bob"]})
        self.assert_named(a.request("create", {"conv": "fourth", "members": ["bob"]}), "too_large", "bob")
        b.ok("create", {"conv": "own"})
        self.assertEqual(b.error("create", {"conv": "more"}), "too_large")
        a.ok("dissolve", {"conv": "third"})
        for client in (a, b):
            client.close()
        broker.restart(kill=True)
        a, b = Client(broker, "alice"), Client(broker, "bob")
        self.assert_named(a.request("create", {"members": ["bob"]}), "too_large", "bob")
        b.ok("create", {"conv": "more"})
        self.assertEqual(b.error("create", {"conv": "yet more"}), "too_large")
        for client in (a, b):
            client.close()

    def test_nobody_is_added_by_someone_blocked(self):
        conv = self.group(self.a, self.carol)
        self.a.ok("role", {"conv": conv, "user": self.carol, "role": "admin"})
        self.b.ok("block", {"user": self.alice})
        head = self.b.ok("hello")["latest"]
        self.assert_named(self.a.request("add", {"conv": conv, "users": [self.uid("x"), self.bob]}), "not_authorised", self.bob)
        self.assert_named(self.a.request("create", {"members": [self.carol, self.bob]}), "not_authorised", self.bob)
        self.assertEqual((self.b.ok("hello")["latest"], self.a.ok("info", {"conv": conv})["count"]), (head, 2))
        # The other way round, and by somebody else.
        self.group(self.b, self.alice)
        self.c.ok("add", {"conv": conv, "users": [self.bob]})
        # Who is in is no more for being named.
        self.a.ok("add", {"conv": conv, "users": [self.bob]})
        self.a.ok("remove", {"conv": conv, "users": [self.bob]})
        self.b.ok("block", {"user": self.alice, "on": False})
        self.a.ok("add", {"conv": conv, "users": [self.bob]})

    def test_one_may_join_whose_owner_one_has_blocked(self):
        conv = self.group(self.a, join="open")
        self.b.ok("block", {"user": self.alice})
        self.b.ok("join", {"conv": conv})


class Paging(TimelineTest):
    """Who reads as fast as he can is not refused, however much there is. (Who does not read: test_hostile.py. On a machine that is
    busy, time alone may give enough; test_unread.c has a clock of its own.)"""
    options = {"durability": "os"}
    size, count = 900000, 100

    def setUp(self):
        super().setUp()
        self.a = self.client(self.uid("alice"))
        self.convs = [self.group(self.a) for _ in range(4)]
        for number in range(self.count):
            packet_id = self.a.publish(f"im/conv/{self.convs[number % 4]}", b"x" * self.size)
        self.a.wait_ack(packet_id)
        for conv in self.convs:
            self.a.send_ok(f"conv/{conv}", "end")
        self.wire = Wire(self.broker)
        self.addCleanup(self.wire.close)
        self.assertTrue(self.wire.connect("reader", self.a.user))

    def ask(self, op, requests, qos):
        """Makes requests at once: the answers, in whatever order they come."""
        self.wire.send(b"".join(publish(f"im/req/{op}/{tag}", json.dumps(request).encode(), qos and 1)
                                for tag, request in requests.items()))
        answers = {}
        while len(answers) < len(requests):
            received = self.wire.receive_kind(PUBLISH)
            topic, number, body = unpack_publish(received, self.wire.version)
            if number:
                self.wire.send(packet(PUBACK, struct.pack("!H", number)))
            answers[topic.split("/")[-1]] = answer = json.loads(body)
            self.assertTrue(answer["ok"], answer)
        return answers

    def large(self, page):
        return sum(len(m.get("body", "")) == self.size for m in page["messages"])

    def test_syncing(self):
        after, more, found = 0, True, 0
        while more:
            page = self.ask("sync", {"t": {"after": after}}, qos=1)["t"]
            found += self.large(page)
            after, more = page["next"], page["more"]
        self.assertEqual(found, self.count)

    def test_the_same_again_and_again(self):
        for qos in (0, 1):
            for number in range(100):
                page = self.ask("sync", {f"{number}": {"after": 4}}, qos)[f"{number}"]
                self.assertEqual(self.large(page), 1)

    def test_histories(self):
        """All at the same time."""
        requests, found = {conv: {"conv": conv} for conv in self.convs}, 0
        while requests:
            pages = self.ask("history", requests, qos=0)
            found += sum(self.large(page) for page in pages.values())
            requests = {conv: {"conv": conv, "cursor": page["cursor"]} for conv, page in pages.items() if page["more"]}
        self.assertEqual(found, self.count)

    def test_a_cursor_serves_another_connection(self):
        page = self.a.ok("history", {"conv": self.convs[0], "limit": 1})
        other = self.client(self.a.user)
        following = other.ok("history", {"conv": self.convs[0], "limit": 1, "cursor": page["cursor"]})
        self.assertEqual(following["messages"][0]["cseq"], page["messages"][0]["cseq"] - 1)


class Bounds(TimelineTest):
    options = {"durability": "os"}

    def setUp(self):
        super().setUp()
        self.a, self.b = self.client(self.uid("alice")), self.client(self.uid("bob"))
        self.conv = self.group(self.a, self.b.user)

    def test_name(self):
        for name in ("x" * 256, "é" * 128, ""):
            self.assertEqual(self.a.ok("update", {"conv": self.conv, "name": name}).get("name", ""), name)
        for name in ("x" * 257, "é" * 129, "a\nb", "a\0b"):
            for op in ("update", "create"):
                response = self.a.request(op, {"conv": self.conv, "name": name})
                self.assertEqual(response["error"]["code"], "bad_request")
                self.assertIn("'name'", response["error"]["message"])
        self.assertNotIn("name", self.a.ok("info", {"conv": self.conv}))

    def test_8192_users_at_once(self):
        users = [f"{i:x}" for i in range(8192)]
        for op in ("add", "remove"):
            response = self.a.request(op, {"conv": self.conv, "users": users + ["y"]}, codec="msgpack")
            self.assertEqual(response["error"]["code"], "bad_request")
            self.assertIn("'users'", response["error"]["message"])
        self.assertEqual(self.a.ok("add", {"conv": self.conv, "users": users}, codec="msgpack")["count"], 8194)
        self.assertEqual(self.a.send_ok(f"conv/{self.conv}", "x")["cseq"], 3)
        for user in (users[0], users[-1]):
            member = self.client(user)
            self.assertEqual([m["cseq"] for m in member.sync_all() if m["conv"] == self.conv], [2, 3])
            member.close()
        members, request = [], {"conv": self.conv, "limit": 1000}
        while True:
            page = self.a.ok("members", request)
            members += [m["user"] for m in page["members"]]
            if "cursor" not in page:
                break
            request["cursor"] = page["cursor"]
        self.assertEqual((len(members), set(members)), (8194, set(users) | {self.a.user, self.b.user}))
        self.assertEqual(self.a.ok("remove", {"conv": self.conv, "users": users}, codec="msgpack")["count"], 2)
        self.assertEqual(self.a.ok("members", {"conv": self.conv}).get("cursor"), None)

    def test_bad_requests_say_which_key(self):
        good = {"conv": self.conv, "users": [self.b.user], "user": self.b.user, "role": "member"}
        users = ("bob", None, {}, 1, [1], [""], ["a:b"], ["a/b"], ["x" * 129], [None])
        convs = (None, 5, "", "a/b", "a+b", "#", "x" * 129, "d:", "d:x", "a\nb", [])
        for op, values in (("update", {"conv": convs, "name": (5, None, []), "history": ("none", 1, None),
                                       "join": ("x", True), "post": ("all", 1), "order": ("x", 1), "fanout": ("both", 1),
                                       "retention": ("90", "1w", 5, "d", "-1d", None)}),
                           ("join", {"conv": convs}), ("leave", {"conv": convs}), ("dissolve", {"conv": convs}),
                           ("info", {"conv": convs}), ("members", {"conv": convs}),
                           ("add", {"conv": convs, "users": users}), ("remove", {"conv": convs, "users": users}),
                           ("role", {"conv": convs, "user": (None, 1, "", "a:b", "x" * 129),
                                     "role": ("king", 1, None, "", "Owner")})):
            for key, bad in values.items():
                for value in bad:
                    with self.subTest(op=op, key=key, value=str(value)[:20]):
                        response = self.a.request(op, dict(good, **{key: value}) if op != "update" else
                                                  dict({"conv": self.conv}, **{key: value}))
                        self.assertIs(response["ok"], False)
                        self.assertEqual(response["error"]["code"], "bad_request")
                        self.assertIn(f"'{key}'", response["error"]["message"])
        for op, needed in (("update", ("conv",)), ("join", ("conv",)), ("leave", ("conv",)), ("dissolve", ("conv",)),
                           ("info", ("conv",)), ("members", ("conv",)), ("add", ("conv", "users")),
                           ("remove", ("conv", "users")), ("role", ("conv", "user", "role")), ("set", ("conv",)),
                           ("delete", ("conv",))):
            for key in needed:
                with self.subTest(op=op, missing=key):
                    request = {k: v for k, v in good.items() if k in needed and k != key}
                    if op == "delete":
                        request["all"] = True
                    response = self.a.request(op, request)
                    self.assertEqual(response["error"]["code"], "bad_request")
                    self.assertIn(f"'{key}'", response["error"]["message"])
        info = self.a.ok("info", {"conv": self.conv})
        self.assertEqual((info["head"], info["count"]), (1, 2))

    def test_the_order_cannot_be_changed(self):
        self.assertEqual(self.a.error("update", {"conv": self.conv, "order": "custom"}), "bad_request")
        self.a.ok("update", {"conv": self.conv, "order": "server"})

    def test_role_of_one_who_is_no_member(self):
        self.assertFalse(self.a.request("role", {"conv": self.conv, "user": self.uid("x"), "role": "admin"})["ok"])
        self.assertEqual(self.a.ok("info", {"conv": self.conv})["head"], 1)

    def test_unknown_keys_are_ignored(self):
        self.a.ok("update", {"conv": self.conv, "name": "n", "colour": [1, {"x": None}]})
        self.b.ok("set", {"conv": self.conv, "pin": True, "silent": 1})


if __name__ == "__main__":
    unittest.main()
