"""Who may do what in groups, channels and direct chats (PROTOCOL section 5): every request, by everyone."""
import unittest

from harness import ACCEPTED, NOT_AUTHORISED, TimelineTest

ROLES = ("owner", "admin", "member", "muted", "former", "stranger")
OK, NA, NM = "ok", "not_authorised", "not_member"


def row(*outcomes):
    return dict(zip(ROLES, outcomes))


EVERYONE_IN = row(OK, OK, OK, OK, NM, NM)
EVERYONE_EVER = row(OK, OK, OK, OK, OK, NM)
ADMINS = row(OK, OK, NA, NA, NM, NM)
OWNER = row(OK, NA, NA, NA, NM, NM)

# op, what to ask beside `conv` ({target} is another member, {outsider} nobody), who may
REQUESTS = (
    ("history", {}, EVERYONE_EVER),
    ("get", {"cseq": 1}, EVERYONE_EVER),
    ("info", {}, EVERYONE_IN),
    ("members", {}, EVERYONE_IN),
    ("read", {"cseq": 1}, EVERYONE_IN),
    ("set", {"mute": True}, EVERYONE_IN),
    ("delete", {"cseqs": [1]}, EVERYONE_EVER),
    ("delete", {"all": True}, EVERYONE_EVER),
    ("update", {"name": "New"}, ADMINS),
    ("add", {"users": ["{outsider}"]}, ADMINS),
    ("remove", {"users": ["{target}"]}, ADMINS),
    ("role", {"user": "{target}", "role": "admin"}, ADMINS),
    ("role", {"user": "{target}", "role": "muted"}, ADMINS),
    ("role", {"user": "{target}", "role": "owner"}, OWNER),
    ("dissolve", {}, OWNER),
    ("join", {}, EVERYONE_IN),
    ("leave", {}, EVERYONE_EVER),
    ("recall", {"cseq": "{target's}"}, ADMINS),
    ("edit", {"cseq": "{target's}", "body": "x"}, row(NA, NA, NA, NA, NM, NM)),
)


class Table(TimelineTest):
    options = {"durability": "os"}

    def setUp(self):
        super().setUp()
        self.users = {role: self.uid(role) for role in ROLES + ("target", "outsider")}
        self.clients = {role: self.client(user) for role, user in self.users.items()}

    def make(self, **settings):
        """A conversation with one of each: its id, and the cseq of everyone's own message."""
        c, u = self.clients, self.users
        conv = self.group(c["owner"], *(u[r] for r in ("admin", "member", "muted", "former", "target")),
                          **dict({"post": "members"}, **settings))
        own = {r: c[r].send_ok(f"conv/{conv}", f"of {r}")["cseq"]
               for r in ("owner", "admin", "member", "muted", "former", "target")}
        c["owner"].ok("role", {"conv": conv, "user": u["admin"], "role": "admin"})
        c["owner"].ok("role", {"conv": conv, "user": u["muted"], "role": "muted"})
        c["former"].ok("leave", {"conv": conv})
        return conv, own

    def fill_in(self, value, own):
        if isinstance(value, list):
            return [self.fill_in(v, own) for v in value]
        if isinstance(value, str) and value.startswith("{"):
            return own["target"] if value == "{target's}" else self.users[value[1:-1]]
        return value

    def check(self, client, op, request, expected):
        response = client.request(op, request)
        self.assertEqual(OK if response["ok"] else response["error"]["code"], expected, response)

    def check_table(self, kind, **settings):
        for op, args, outcomes in REQUESTS:
            for role in ROLES:
                with self.subTest(kind=kind, op=op, args=args, role=role):
                    conv, own = self.make(kind=kind, **settings)
                    head = self.clients["target"].ok("info", {"conv": conv})["head"]
                    request = dict({k: self.fill_in(v, own) for k, v in args.items()}, conv=conv)
                    self.check(self.clients[role], op, request, outcomes[role])
                    if outcomes[role] != OK:
                        info = self.clients["target"].ok("info", {"conv": conv})
                        self.assertEqual((info["head"], info["count"]), (head, 5))

    def test_group(self):
        self.check_table("group", join="invite")

    def test_channel(self):
        self.check_table("channel", join="invite")

    def test_open_to_join(self):
        for kind in ("group", "channel"):
            for role in ROLES:
                with self.subTest(kind=kind, role=role):
                    conv, _ = self.make(kind=kind, join="open")
                    joined = self.clients[role].ok("join", {"conv": conv})
                    there = role not in ("former", "stranger")
                    self.assertEqual((joined["count"], joined["join"]), (5 if there else 6, "open"))

    def test_sending(self):
        for kind, post, outcomes in (("group", "members", row(OK, OK, OK, NA, NM, NM)),
                                     ("group", "admins", row(OK, OK, NA, NA, NM, NM)),
                                     ("channel", "admins", row(OK, OK, NA, NA, NM, NM)),
                                     ("channel", "members", row(OK, OK, OK, NA, NM, NM))):
            conv, _ = self.make(kind=kind)
            self.clients["owner"].ok("update", {"conv": conv, "post": post})
            for role in ROLES:
                with self.subTest(kind=kind, post=post, role=role):
                    code, receipt = self.clients[role].send(f"conv/{conv}", "x", "m1")
                    self.assertEqual(OK if receipt["ok"] else receipt["error"]["code"], outcomes[role])
                    self.assertEqual(code in ACCEPTED, outcomes[role] == OK)

    def test_own_messages(self):
        for op, args in (("recall", {}), ("edit", {"body": "x"})):
            for role in ("owner", "admin", "member", "former"):
                with self.subTest(op=op, role=role):
                    conv, own = self.make()
                    self.check(self.clients[role], op, dict(args, conv=conv, cseq=own[role]),
                               NM if role == "former" else OK)

    def test_listening(self):
        conv, _ = self.make()
        for topic in ("signal", "live"):
            for role in ROLES:
                with self.subTest(topic=topic, role=role):
                    code = self.clients[role].subscribe(f"im/{topic}/{conv}")
                    self.assertEqual(code < 0x80, role not in ("former", "stranger"))
        for role in ("owner", "admin", "member", "former", "stranger"):
            with self.subTest(signals=role):
                code = self.clients[role].wait_ack(self.clients[role].publish(f"im/signal/{conv}", "x"))
                self.assertEqual(code in ACCEPTED, role not in ("former", "stranger"))

    def test_direct_chat(self):
        a, b, e = (self.clients[r] for r in ("owner", "member", "stranger"))
        a.send_ok(f"user/{b.user}", "from a")
        b.send_ok(f"user/{a.user}", "from b")
        conv = "d:" + ":".join(sorted((a.user, b.user)))
        for op, args, expected in (("history", {}, OK), ("get", {"cseq": 1}, OK), ("info", {}, OK), ("members", {}, OK),
                                   ("read", {"cseq": 2}, OK), ("set", {"pin": True}, OK), ("delete", {"cseqs": [1]}, OK),
                                   ("update", {"name": "x"}, NA), ("add", {"users": [e.user]}, NA),
                                   ("remove", {"users": [a.user]}, NA), ("role", {"user": a.user, "role": "muted"}, NA),
                                   ("role", {"user": b.user, "role": "owner"}, NA), ("dissolve", {}, NA),
                                   ("leave", {}, NA), ("recall", {"cseq": 1}, NA), ("edit", {"cseq": 1, "body": "x"}, NA),
                                   ("recall", {"cseq": 2}, OK), ("delete", {"all": True}, OK)):
            with self.subTest(op=op, args=args):
                self.check(e, op, dict(args, conv=conv), NM)
                self.check(b, op, dict(args, conv=conv), expected)
        self.assert_refused(e.send(f"conv/{conv}", "x", "m1"), "not_member")
        self.check(e, "join", {"conv": conv}, NM)
        info = a.ok("info", {"conv": conv})
        self.assertEqual((info["kind"], info["count"], info["head"]), ("direct", 2, 3))
        self.assertEqual(sorted(m["user"] for m in a.ok("members", {"conv": conv})["members"]), sorted((a.user, b.user)))


class Ownership(TimelineTest):
    options = {"durability": "os"}

    def setUp(self):
        super().setUp()
        self.users = self.uids("a", "b", "c", "d", "e")
        self.a, self.b, self.c, self.d, self.e = (self.client(u) for u in self.users)

    def roles(self, client, conv):
        return {m["user"]: m["role"] for m in client.ok("members", {"conv": conv})["members"]}

    def test_owner_cannot_be_removed(self):
        conv = self.group(self.a, *self.users[1:])
        self.a.ok("role", {"conv": conv, "user": self.b.user, "role": "admin"})
        for client, users in ((self.b, [self.a.user]), (self.b, [self.c.user, self.a.user]), (self.a, [self.a.user])):
            self.assertEqual(client.error("remove", {"conv": conv, "users": users}), "not_authorised")
        self.assertEqual(self.a.ok("info", {"conv": conv})["count"], 5)
        for role in ("admin", "member", "muted"):
            for client in (self.b, self.a):
                self.assertEqual(client.error("role", {"conv": conv, "user": self.a.user, "role": role}), "not_authorised")
        self.assertEqual(self.roles(self.a, conv)[self.a.user], "owner")

    def test_admins_remove_admins_and_themselves(self):
        conv = self.group(self.a, *self.users[1:])
        for user in (self.b.user, self.c.user):
            self.a.ok("role", {"conv": conv, "user": user, "role": "admin"})
        self.b.ok("remove", {"conv": conv, "users": [self.c.user]})
        self.assertEqual(self.c.error("info", {"conv": conv}), "not_member")
        self.b.ok("remove", {"conv": conv, "users": [self.b.user]})
        self.assertEqual(self.b.error("info", {"conv": conv}), "not_member")
        self.assertEqual(self.a.ok("info", {"conv": conv})["count"], 3)

    def test_owner_makes_another_owner(self):
        conv = self.group(self.a, *self.users[1:])
        self.assertEqual(self.a.ok("role", {"conv": conv, "user": self.b.user, "role": "owner"})["owner"], self.b.user)
        roles = self.roles(self.a, conv)
        self.assertEqual((roles[self.b.user], list(roles.values()).count("owner")), ("owner", 1))
        self.assertEqual(self.a.error("dissolve", {"conv": conv}), "not_authorised")
        self.b.ok("remove", {"conv": conv, "users": [self.a.user]})
        self.b.ok("dissolve", {"conv": conv})

    def test_a_muted_member_made_owner_posts(self):
        conv = self.group(self.a, self.b.user)
        self.a.ok("role", {"conv": conv, "user": self.b.user, "role": "muted"})
        self.a.ok("role", {"conv": conv, "user": self.b.user, "role": "owner"})
        self.b.send_ok(f"conv/{conv}", "x")

    def test_passes_to_the_oldest_admin(self):
        conv = self.group(self.a)
        for client in (self.b, self.c, self.d):
            self.a.ok("add", {"conv": conv, "users": [client.user]})
        for client in (self.d, self.c):  # it is the joining that counts
            self.a.ok("role", {"conv": conv, "user": client.user, "role": "admin"})
        self.a.ok("leave", {"conv": conv})
        self.assertEqual(self.b.ok("info", {"conv": conv})["owner"], self.c.user)
        self.assertEqual(self.roles(self.b, conv), {self.b.user: "member", self.c.user: "owner", self.d.user: "admin"})
        self.c.ok("update", {"conv": conv, "name": "mine"})
        self.assertEqual(self.b.sync_all()[-2]["event"].get("owner"), self.c.user)

    def test_passes_to_the_oldest_member(self):
        conv = self.group(self.a, join="open")
        for client in (self.d, self.c, self.b):
            client.ok("join", {"conv": conv})
        self.a.ok("leave", {"conv": conv})
        self.assertEqual(self.b.ok("info", {"conv": conv})["owner"], self.d.user)
        # Who leaves and comes back is young again.
        self.c.ok("leave", {"conv": conv})
        self.c.ok("join", {"conv": conv})
        self.d.ok("leave", {"conv": conv})
        self.assertEqual(self.b.ok("info", {"conv": conv})["owner"], self.b.user)
        self.b.ok("dissolve", {"conv": conv})

    def test_of_those_who_came_together_to_the_one_known_longest(self):
        """Whatever the order in which they are named."""
        early, late = self.uids("z", "a")
        for user in (early, late):
            self.client(user).send_ok(f"user/{self.a.user}", "here I am")
        for users in ([early, late], [late, early]):
            for create in (True, False):
                owner = self.client(self.uid("owner"))
                conv = self.group(owner, *users if create else ())
                if not create:
                    owner.ok("add", {"conv": conv, "users": users})
                owner.ok("leave", {"conv": conv})
                self.assertEqual(self.client(early).ok("info", {"conv": conv})["owner"], early)

    def test_former_owner_comes_back_as_a_member(self):
        conv = self.group(self.a, self.b.user, join="open")
        self.a.ok("leave", {"conv": conv})
        self.a.ok("join", {"conv": conv})
        self.assertEqual(self.roles(self.a, conv), {self.a.user: "member", self.b.user: "owner"})
        self.assertEqual(self.a.error("update", {"conv": conv, "name": "x"}), "not_authorised")

    def test_a_role_does_not_outlive_the_membership(self):
        conv = self.group(self.a, self.b.user, self.c.user, join="open")
        self.a.ok("role", {"conv": conv, "user": self.b.user, "role": "admin"})
        self.b.ok("leave", {"conv": conv})
        self.b.ok("join", {"conv": conv})
        self.assertEqual(self.roles(self.a, conv)[self.b.user], "member")

    def test_a_muted_one_stays_muted(self):
        """Until an admin says otherwise, however often he goes, whoever lets him go and come, over a restart, and in spite of
        what he deletes meanwhile."""
        muted = self.b
        conv = self.group(self.a, muted.user, self.c.user, join="open", history="joined")
        self.a.ok("role", {"conv": conv, "user": muted.user, "role": "muted"})

        def check(role):
            self.assertEqual(self.roles(self.a, conv)[muted.user], role)
            code, _ = muted.send(f"conv/{conv}", "x", receipt=False)
            if role == "muted":
                self.assertEqual(code, NOT_AUTHORISED)
                self.assert_refused(muted.send(f"conv/{conv}", "x", "m1"), "not_authorised")
            else:
                self.assertIn(code, ACCEPTED)

        for go in ("leave", "remove"):
            for come in ("join", "add"):
                for delete in ({"cseqs": [1]}, {"all": True}):
                    with self.subTest(go=go, come=come, delete=delete):
                        muted.ok("leave", {"conv": conv}) if go == "leave" else self.a.ok(
                            "remove", {"conv": conv, "users": [muted.user]})
                        muted.ok("delete", dict(delete, conv=conv))
                        muted.ok("join", {"conv": conv}) if come == "join" else self.a.ok(
                            "add", {"conv": conv, "users": [muted.user]})
                        check("muted")
        for _ in range(40):  # more memberships than are kept apart
            muted.ok("leave", {"conv": conv})
            muted.ok("join", {"conv": conv})
        check("muted")
        muted.ok("leave", {"conv": conv})
        for client in (self.a, self.b, self.c):
            client.close()
        self.broker.restart()
        self.a, muted = self.client(self.a.user), self.client(muted.user)
        muted.ok("join", {"conv": conv})
        check("muted")
        self.assertEqual(muted.ok("history", {"conv": conv, "after": 0})["messages"][-1]["event"]["kind"], "join")
        self.a.ok("role", {"conv": conv, "user": muted.user, "role": "member"})
        check("member")
        muted.ok("leave", {"conv": conv})
        muted.ok("join", {"conv": conv})
        check("member")

    def test_a_muted_one_who_has_become_the_owner_is_muted_no_longer(self):
        conv = self.group(self.a, self.b.user, join="open")
        self.a.ok("role", {"conv": conv, "user": self.b.user, "role": "muted"})
        self.a.ok("leave", {"conv": conv})
        self.assertEqual(self.roles(self.b, conv), {self.b.user: "owner"})
        self.c.ok("join", {"conv": conv})
        self.b.ok("leave", {"conv": conv})
        self.b.ok("join", {"conv": conv})
        self.assertEqual(self.roles(self.c, conv), {self.b.user: "member", self.c.user: "owner"})
        self.b.send_ok(f"conv/{conv}", "x")

    def test_last_one_leaving_dissolves(self):
        conv = self.group(self.a, self.b.user, join="open")
        self.a.send_ok(f"conv/{conv}", "kept in the inboxes")
        self.a.ok("leave", {"conv": conv})
        self.b.ok("leave", {"conv": conv})
        for client in (self.a, self.b, self.c):
            for op, args in (("history", {}), ("info", {}), ("join", {}), ("get", {"cseq": 1})):
                self.assertEqual(client.error(op, dict(args, conv=conv)), "not_member", op)
            self.assert_refused(client.send(f"conv/{conv}", "x", "m1"), "not_member")
        for client in (self.a, self.b):
            self.assertIn("kept in the inboxes", [m.get("body") for m in client.sync_all()])

    def test_dissolved(self):
        conv = self.group(self.a, self.b.user, join="open")
        self.a.send_ok(f"conv/{conv}", "kept in the inboxes")
        self.a.ok("role", {"conv": conv, "user": self.b.user, "role": "admin"})
        self.a.ok("dissolve", {"conv": conv})
        none = self.cid("none")
        for op, args, _ in REQUESTS:
            request = {k: self.c.user if isinstance(v, str) and v.startswith("{") else v for k, v in args.items()}
            request = {k: [self.c.user] if k == "users" else 1 if k == "cseq" else v for k, v in request.items()}
            for client in (self.b, self.c) if op == "dissolve" else (self.a, self.b, self.c):
                with self.subTest(op=op, user=client.user):
                    here = client.request(op, dict(request, conv=conv))
                    self.assertEqual(here["ok"] or here["error"]["code"], "not_member")
                    self.assertEqual(here, client.request(op, dict(request, conv=none)))
        for client in (self.a, self.b, self.c):
            self.assert_refused(client.send(f"conv/{conv}", "x", "m1"), "not_member")
            self.assertEqual(client.subscribe(f"im/live/{conv}"), NOT_AUTHORISED)
        for client in (self.a, self.b):
            messages = client.sync_all()
            self.assert_places(messages)
            self.assertEqual([m.get("body") for m in messages][1], "kept in the inboxes")
            self.assertEqual((messages[-1]["event"]["kind"], messages[-1]["event"]["by"]), ("dissolve", self.a.user))
            self.assertEqual(client.ok("convs")["convs"], [])
        self.assertEqual(self.c.error("create", {"conv": conv}), "exists")

    def test_the_same_create_after_the_dissolving(self):
        """It must not answer that all is well and leave the client with a group that takes nothing."""
        request = {"conv": self.cid("again"), "members": [self.b.user]}
        self.a.ok("create", request)
        self.a.ok("dissolve", {"conv": request["conv"]})
        response = self.a.request("create", request)
        self.assertIs(response["ok"], False, response)

    def test_the_same_create_by_one_who_has_left(self):
        """Someone who left sees nothing of what came after."""
        request = {"conv": self.cid("again"), "members": [self.b.user]}
        self.a.ok("create", request)
        self.a.ok("leave", {"conv": request["conv"]})
        self.b.ok("update", {"conv": request["conv"], "name": "without a"})
        response = self.a.request("create", request)
        self.assertNotIn("without a", str(response))
        self.assertNotEqual(response.get("head"), self.b.ok("info", {"conv": request["conv"]})["head"])


if __name__ == "__main__":
    unittest.main()
