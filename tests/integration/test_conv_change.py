"""`recall`, `edit` and `delete`: taking back, changing, and clearing away (PROTOCOL section 5)."""
import base64
import time
import unittest

from harness import TimelineTest, until


class ChangeTest(TimelineTest):
    options = {"durability": "os"}
    conf = ("max_packet_size 20000000",)  # of Mosquitto 2.1 by default 2,000,000

    def setUp(self):
        super().setUp()
        self.alice, self.bob, self.carol = self.uids("alice", "bob", "carol")
        self.a, self.b, self.c = self.client(self.alice), self.client(self.bob), self.client(self.carol)
        self.conv = self.group(self.a, self.bob, self.carol)

    def say(self, client, text, **kw):
        return client.send_ok(f"conv/{self.conv}", text, **kw)["cseq"]

    def get(self, client, cseq, **kw):
        return client.ok("get", {"conv": self.conv, "cseq": cseq}, **kw)["message"]

    def everything(self, client):
        """All that a client can lay hands on."""
        convs = client.ok("convs", {"limit": 1000})["convs"]
        found = [convs, client.sync_all(), client.ok("sync", {"after": 0}, codec="msgpack")]
        for entry in convs:
            for order in ({}, {"after": 0}):
                page = client.ok("history", dict(order, conv=entry["conv"], limit=1000))
                found += [page, [client.ok("get", {"conv": entry["conv"], "cseq": m["cseq"]}) for m in page["messages"]]]
        return str(found)

    def head(self):
        return self.a.ok("info", {"conv": self.conv})["head"]


class Recall(ChangeTest):
    def check_recalled(self, cseq, sender):
        for client in (self.a, self.b, self.c):
            for message in (self.get(client, cseq),
                            next(m for m in client.sync_all() if m.get("cseq") == cseq),
                            next(m for m in client.ok("history", {"conv": self.conv})["messages"] if m["cseq"] == cseq)):
                self.assertEqual((message["gone"], message["from"]), ("recalled", sender.user))
                self.assertFalse({"body", "body64", "props", "ctype"} & set(message), message)

    def test_by_the_sender_and_by_admins(self):
        self.a.ok("role", {"conv": self.conv, "user": self.carol, "role": "admin"})
        for sender, recaller in ((self.b, self.b), (self.b, self.c), (self.b, self.a), (self.a, self.c), (self.a, self.a),
                                 (self.c, self.a)):
            cseq = self.say(sender, "secret", props={"id": f"i{self.cid()}", "secret": "x"}, content_type="secret/x")
            self.assertEqual(recaller.ok("recall", {"conv": self.conv, "cseq": cseq}), {"op": "recall", "ok": True})
            self.check_recalled(cseq, sender)
        for client in (self.a, self.b, self.c):
            self.assertNotIn("secret", self.everything(client))
            self.assert_places(client.sync_all())

    def test_not_by_others(self):
        cseq = self.say(self.a, "mine")
        self.assertEqual(self.b.error("recall", {"conv": self.conv, "cseq": cseq}), "not_authorised")
        self.assertEqual(self.get(self.b, cseq)["body"], "mine")
        self.assertEqual(self.head(), cseq)

    def test_what_cannot_be_recalled(self):
        for cseq in (2, 100, 2**64 - 1):
            self.assertEqual(self.a.error("recall", {"conv": self.conv, "cseq": cseq}), "no_such_message")
        self.assertFalse(self.a.request("recall", {"conv": self.conv, "cseq": 1})["ok"])  # an event
        self.assertEqual(self.get(self.a, 1)["event"]["kind"], "create")

    def test_from_another_device_of_the_sender(self):
        cseq = self.say(self.b, "x")
        self.client(self.bob).ok("recall", {"conv": self.conv, "cseq": cseq})
        self.check_recalled(cseq, self.b)

    def test_of_an_id_stays_used(self):
        first = self.b.send_ok(f"conv/{self.conv}", "x", "once")
        self.b.ok("recall", {"conv": self.conv, "cseq": first["cseq"]})
        again = self.b.send_ok(f"conv/{self.conv}", "x", "once")
        self.assertEqual((again["dup"], again["cseq"]), (True, first["cseq"]))

    def test_before_leaving_and_coming_back(self):
        """The sender may, and sees the message."""
        self.conv = self.group(self.a, self.bob, history="joined", join="open")
        cseq = self.say(self.b, "mine")
        self.b.ok("leave", {"conv": self.conv})
        self.b.ok("join", {"conv": self.conv})
        self.assertEqual(self.get(self.b, cseq)["body"], "mine")
        self.b.ok("edit", {"conv": self.conv, "cseq": cseq, "body": "mine too"})
        self.b.ok("recall", {"conv": self.conv, "cseq": cseq})

    def test_not_what_one_does_not_see(self):
        self.conv = self.group(self.a, history="joined")
        cseq = self.say(self.a, "before bob")
        self.a.ok("add", {"conv": self.conv, "users": [self.bob]})
        self.a.ok("role", {"conv": self.conv, "user": self.bob, "role": "admin"})
        for op, args in (("recall", {}), ("edit", {"body": "x"})):
            for number in (cseq, 100):
                self.assertEqual(self.b.error(op, dict(args, conv=self.conv, cseq=number)), "no_such_message")

    def test_frees_no_place(self):
        cseq = self.say(self.b, "x")
        self.b.ok("recall", {"conv": self.conv, "cseq": cseq})
        self.assertEqual(self.say(self.b, "next"), cseq + 2)
        self.assertEqual([m["cseq"] for m in self.c.sync_all()], [1, 2, 3, 4])


class Edit(ChangeTest):
    def test_edit(self):
        cseq = self.say(self.b, "first", props={"id": f"i{self.cid()}", "k": "v", "time": "5", "type": "note"},
                        content_type="text/x")
        before = self.get(self.b, cseq)
        self.assertNotIn("edited", before)
        for body in ("second ★", "", "third"):
            self.assertEqual(self.b.ok("edit", {"conv": self.conv, "cseq": cseq, "body": body}), {"op": "edit", "ok": True})
            for client in (self.a, self.b, self.c):
                self.assertEqual(self.get(client, cseq), dict(before, body=body, edited=True))
                entry = next(m for m in client.sync_all() if m.get("cseq") == cseq)
                self.assertEqual((entry["body"], entry["edited"]), (body, True))
        self.assertNotIn("first", self.everything(self.c))
        self.assertNotIn("second", self.everything(self.c))

    def test_binary(self):
        cseq = self.say(self.b, "text")
        binary = b"\xff\x00\xfe\xfd"
        for request, codec in (({"body64": base64.b64encode(binary).decode()}, "json"), ({"body": binary}, "msgpack")):
            self.b.ok("edit", {"conv": self.conv, "cseq": cseq, "body": "text again"})
            self.b.ok("edit", dict(request, conv=self.conv, cseq=cseq), codec=codec)
            self.assertEqual(self.get(self.c, cseq)["body64"], base64.b64encode(binary).decode())
            self.assertEqual(self.get(self.c, cseq, codec="msgpack")["body"], binary)
        for body in (b"", b"a", b"ab", b"abc", b"abcd", bytes(range(256)) * 8):
            self.b.ok("edit", {"conv": self.conv, "cseq": cseq, "body64": base64.b64encode(body).decode()})
            self.assertEqual(self.get(self.c, cseq, codec="msgpack")["body"], body)

    def test_body64_that_is_none(self):
        cseq = self.say(self.b, "kept")
        for text in ("x", "====", "a===", "YQ", "YQ=", "Y Q=", "\u00e9\u00e9", "YQ==YQ==", 5, None, []):
            with self.subTest(body64=text):
                response = self.b.request("edit", {"conv": self.conv, "cseq": cseq, "body64": text})
                self.assertFalse(response["ok"], self.get(self.c, cseq))
                self.assertEqual(response["error"]["code"], "bad_request")
                self.assertIn("'body64'", response["error"]["message"])

    def test_body64_with_spaces_shows_nobody_the_servers_memory(self):
        """Whatever is made of the spaces, nothing may come back that was not sent."""
        cseq = self.say(self.b, "kept")
        for text in ("YWFh" + " " * 4000, " " * 4000 + "YWFh", "YWFh" + "\n" * 4000):
            for _ in range(20):
                self.a.ok("update", {"conv": self.conv, "name": self.cid("something in memory ")})
            self.b.request("edit", {"conv": self.conv, "cseq": cseq, "body64": text})
            self.assertIn(self.get(self.b, cseq, codec="msgpack")["body"], (b"kept", b"aaa"))

    def test_not_by_others(self):
        cseq = self.say(self.b, "x")
        self.a.ok("role", {"conv": self.conv, "user": self.carol, "role": "admin"})
        for client in (self.a, self.c):
            self.assertEqual(client.error("edit", {"conv": self.conv, "cseq": cseq, "body": "y"}), "not_authorised")
        self.assertEqual(self.get(self.a, cseq)["body"], "x")

    def test_what_cannot_be_edited(self):
        cseq = self.say(self.b, "x")
        self.b.ok("recall", {"conv": self.conv, "cseq": cseq})
        for number in (1, cseq, cseq + 1, 100):  # an event, a recalled one, an event, none
            self.assertFalse(self.b.request("edit", {"conv": self.conv, "cseq": number, "body": "y"})["ok"], number)
        self.assertEqual(self.b.error("edit", {"conv": self.conv, "cseq": 100, "body": "y"}), "no_such_message")
        self.assertEqual(self.get(self.a, cseq)["gone"], "recalled")

    def test_edited_then_recalled_leaves_no_body_anywhere(self):
        cseq = self.say(self.b, "secret 0")
        other = self.say(self.b, "harmless")
        for i in range(1, 4):
            self.b.ok("edit", {"conv": self.conv, "cseq": cseq, "body": f"secret {i}"})
            self.b.ok("edit", {"conv": self.conv, "cseq": other, "body": f"harmless {i}"})
        self.b.ok("recall", {"conv": self.conv, "cseq": cseq})
        for client in (self.a, self.b, self.c, self.client(self.carol)):
            everything = self.everything(client)
            self.assertNotIn("secret", everything)
            self.assertIn("harmless 3", everything)
            self.assertNotIn("edited", str(self.get(client, cseq)))
        # Recalled by an admin the same.
        cseq = self.say(self.b, "secret")
        self.b.ok("edit", {"conv": self.conv, "cseq": cseq, "body64": base64.b64encode(b"\xffsecret").decode()})
        self.a.ok("recall", {"conv": self.conv, "cseq": cseq})
        self.assertNotIn("secret", self.everything(self.c))
        self.assertNotIn("body64", self.everything(self.c))

    def test_as_large_as_a_message(self):
        cseq, most = self.say(self.b, "x"), self.b.ok("hello")["limits"]["max_body"]
        texts = ["y" * 60000, "z" * 70000, "é" * (most // 2), '"\\\n' * (most // 3)]
        binaries = [bytes(range(256)) * (most // 256), b"\xff" * 100000]
        for text in texts:
            for codec in ("json", "msgpack"):
                self.b.ok("edit", {"conv": self.conv, "cseq": cseq, "body": text}, codec=codec)
                self.assertEqual(self.get(self.c, cseq)["body"], text)
        for binary in binaries:
            for request, codec in (({"body64": base64.b64encode(binary).decode()}, "json"), ({"body": binary}, "msgpack")):
                self.b.ok("edit", dict(request, conv=self.conv, cseq=cseq), codec=codec)
                self.assertEqual(self.get(self.c, cseq, codec="msgpack")["body"], binary)
        # Those who pull the event get it too.
        event = self.c.ok("sync", {"after": self.c.ok("hello")["latest"] - 1}, codec="msgpack")["messages"][0]["event"]
        self.assertEqual((event["kind"], event["body"]), ("edit", binaries[-1]))

    def test_too_large(self):
        cseq, most = self.say(self.b, "kept"), self.b.ok("hello")["limits"]["max_body"]
        good = {"conv": self.conv, "cseq": cseq}
        for request, codec in (({"body": "y" * (most + 1)}, "json"), ({"body": "y" * (most + 1)}, "msgpack"),
                               ({"body64": base64.b64encode(b"\xff" * (most + 1)).decode()}, "json"),
                               ({"body": b"\xff" * (most + 1)}, "msgpack"), ({"body": "y" * (3 * most)}, "json"),
                               # Only the body may be large.
                               ({"body": "x", "other": "y" * 100000}, "json"), ({"body": "x", "other": "y" * 100000}, "msgpack"),
                               ({"body": "y" * most, "other": "y" * 70000}, "json"),
                               ({"body": "y" * 100000, "other": ["y" * 40000, "z" * 40000]}, "msgpack"),
                               ({"body64": "eA==", "body": "y" * 70000, "x": "y" * 70000}, "json")):
            response = self.b.request("edit", dict(good, **request), codec=codec)
            self.assertEqual((response["ok"], response["error"]["code"]), (False, "too_large"), response)
        self.assertEqual(self.b.error("edit", dict(good, body=["x"] * 40000)), "bad_request")
        for op in ("recall", "update", "delete", "get"):
            for codec in ("json", "msgpack"):
                self.assertEqual(self.b.error(op, dict(good, body="y" * 70000), codec=codec), "too_large")
        self.assertEqual(self.get(self.c, cseq)["body"], "kept")
        self.assertEqual(self.head(), cseq)

    def test_direct(self):
        self.a.send_ok(f"user/{self.bob}", "one")
        self.conv = "d:" + ":".join(sorted((self.alice, self.bob)))
        self.assertEqual(self.b.error("edit", {"conv": self.conv, "cseq": 1, "body": "x"}), "not_authorised")
        self.a.ok("edit", {"conv": self.conv, "cseq": 1, "body": "two"})
        self.assertEqual(self.get(self.b, 1)["body"], "two")
        self.assertEqual(self.b.error("recall", {"conv": self.conv, "cseq": 1}), "not_authorised")
        self.a.ok("recall", {"conv": self.conv, "cseq": 1})
        self.assertEqual(self.get(self.b, 1)["gone"], "recalled")

    def test_bad_requests_say_which_key(self):
        cseq = self.say(self.b, "x")
        good = {"conv": self.conv, "cseq": cseq, "body": "y"}
        for op, keys in (("edit", ("conv", "cseq", "body")), ("recall", ("conv", "cseq"))):
            for key in keys:
                for value in (None, [], {}, True, -1, 0 if key == "cseq" else 1):
                    with self.subTest(op=op, key=key, value=value):
                        response = self.b.request(op, dict(good, **{key: value}))
                        self.assertEqual(response["error"]["code"], "bad_request")
                        self.assertIn(f"'{key}'", response["error"]["message"])
                response = self.b.request(op, {k: v for k, v in good.items() if k != key})
                self.assertEqual(response["error"]["code"], "bad_request")
                self.assertIn(f"'{key}'", response["error"]["message"])
        self.assertEqual(self.head(), cseq)


class Windows(ChangeTest):
    options = {"durability": "os", "recall_window": "1ms", "edit_window": "1ms"}

    def test_afterwards_only_admins_recall(self):
        cseqs = [self.say(self.b, "kept") for _ in range(2)]
        then = self.get(self.b, cseqs[-1])["ts"]
        until(lambda: time.time() * 1000 > then + 5, "the windows to close")
        for op, args in (("recall", {}), ("edit", {"body": "x"})):
            self.assertEqual(self.b.error(op, dict(args, conv=self.conv, cseq=cseqs[0])), "not_authorised")
        self.assertEqual(self.get(self.b, cseqs[0])["body"], "kept")
        self.a.ok("role", {"conv": self.conv, "user": self.carol, "role": "admin"})
        for client, cseq in ((self.c, cseqs[0]), (self.a, cseqs[1])):
            client.ok("recall", {"conv": self.conv, "cseq": cseq})
            self.assertEqual(self.get(self.b, cseq)["gone"], "recalled")

    def test_direct_chats_have_no_admins(self):
        then = self.a.send_ok(f"user/{self.bob}", "kept")["ts"]
        until(lambda: time.time() * 1000 > then + 5, "the window to close")
        conv = "d:" + ":".join(sorted((self.alice, self.bob)))
        for client in (self.a, self.b):
            self.assertEqual(client.error("recall", {"conv": conv, "cseq": 1}), "not_authorised")


class OneWindow(ChangeTest):
    options = {"durability": "os", "recall_window": "1ms", "edit_window": "1h"}

    def test_each_has_its_own(self):
        cseq = self.say(self.b, "x")
        then = self.get(self.b, cseq)["ts"]
        until(lambda: time.time() * 1000 > then + 5, "the window to close")
        self.assertEqual(self.b.error("recall", {"conv": self.conv, "cseq": cseq}), "not_authorised")
        self.b.ok("edit", {"conv": self.conv, "cseq": cseq, "body": "y"})


class Delete(ChangeTest):
    def check_gone(self, client, cseq):
        gone = {"conv": self.conv, "cseq": cseq, "gone": "deleted"}
        self.assertEqual(self.get(client, cseq), gone)
        entry = next(m for m in client.sync_all() if m.get("cseq") == cseq)
        del entry["seq"]
        self.assertEqual(entry, gone)
        self.assertIn(gone, client.ok("history", {"conv": self.conv, "limit": 1000})["messages"])

    def test_some(self):
        cseqs = [self.say(self.a, f"text {i}") for i in range(6)]  # 2 … 7
        self.assertEqual(self.b.ok("delete", {"conv": self.conv, "cseqs": [3, 5]}), {"op": "delete", "ok": True})
        for client in (self.b, self.client(self.bob)):
            for cseq in (3, 5):
                self.check_gone(client, cseq)
            self.assertEqual([m["cseq"] for m in client.ok("history", {"conv": self.conv, "after": 0})["messages"]],
                             [1] + cseqs)
            self.assert_places(client.sync_all())
            everything = self.everything(client)
            self.assertNotIn("text 1", everything)
            self.assertNotIn("text 3", everything)
            self.assertIn("text 2", everything)
        for client in (self.a, self.c):
            self.assertIn("text 1", self.everything(client))
            self.assertNotIn("deleted", self.everything(client))
        self.b.ok("delete", {"conv": self.conv, "cseqs": [3, 4]})
        self.check_gone(self.b, 4)
        self.assertEqual(self.b.sync_all()[-1]["event"]["cseqs"], [4])

    def test_all(self):
        for i in range(3):
            self.say(self.a, f"text {i}")
        self.b.ok("delete", {"conv": self.conv, "all": True})
        for client in (self.b, self.client(self.bob)):
            self.assertEqual(client.ok("history", {"conv": self.conv})["messages"], [])
            self.assertEqual(client.ok("history", {"conv": self.conv, "after": 0})["messages"], [])
            self.assertNotIn("text", self.everything(client))
            self.assertEqual([m.get("gone") for m in client.sync_all()], ["deleted"] * 4 + [None])
            self.assert_places(client.sync_all())
        later = self.say(self.a, "later")
        page = self.b.ok("history", {"conv": self.conv, "after": 0})
        self.assertEqual([(m["cseq"], m["body"]) for m in page["messages"]], [(later, "later")])
        self.assertIn("text", self.everything(self.a))

    def test_own_and_recalled_and_edited(self):
        mine, theirs = self.say(self.b, "mine"), self.say(self.a, "theirs")
        self.b.ok("delete", {"conv": self.conv, "cseqs": [mine, theirs]})
        self.a.ok("recall", {"conv": self.conv, "cseq": theirs})
        self.b.ok("edit", {"conv": self.conv, "cseq": mine, "body": "new"})
        for cseq in (mine, theirs):
            self.check_gone(self.b, cseq)
        self.assertEqual(self.get(self.a, mine)["body"], "new")

    def test_what_is_not_there_yet(self):
        latest = self.b.ok("hello")["latest"]
        self.b.ok("delete", {"conv": self.conv, "cseqs": [2, 3, 2**64 - 1]})
        self.assertEqual(self.b.ok("hello")["latest"], latest)
        for text in ("two", "three"):
            self.assertEqual(self.get(self.b, self.say(self.a, text))["body"], text)

    def test_many(self):
        for i in range(1200):
            packet = self.a.publish(f"im/conv/{self.conv}", "x")
        self.a.wait_ack(packet)
        head = self.say(self.a, "end")
        self.b.ok("delete", {"conv": self.conv, "cseqs": list(range(2, 1002))})
        gone = [m["cseq"] for m in self.b.sync_all() if m.get("gone") == "deleted"]
        self.assertEqual(gone, list(range(2, 1002)))
        self.assertEqual(head, 1202)

    def test_bad_requests_say_which_key(self):
        cseq = self.say(self.a, "x")
        for key, value in (("cseqs", 1), ("cseqs", "1"), ("cseqs", [0]), ("cseqs", [-1]), ("cseqs", ["1"]),
                           ("cseqs", [1.5]), ("cseqs", None), ("cseqs", {}), ("cseqs", list(range(1, 1002))),
                           ("all", 1), ("all", "true"), ("all", None), ("conv", None), ("conv", 3)):
            with self.subTest(key=key, value=str(value)[:20]):
                response = self.b.request("delete", dict({"conv": self.conv}, **{key: value}))
                self.assertEqual(response["error"]["code"], "bad_request")
                self.assertIn(f"'{key}'", response["error"]["message"])
        for request in ({}, {"all": False}, {"all": True, "cseqs": [cseq]}):
            self.assertEqual(self.b.error("delete", dict(request, conv=self.conv)), "bad_request")
        self.assertEqual(self.get(self.b, cseq)["body"], "x")


class DeleteAfterLeaving(ChangeTest):
    """Those who have left clear away what they still see, and nothing else."""

    def setUp(self):
        super().setUp()
        self.one, self.two = self.say(self.a, "one"), self.say(self.b, "two")

    def out(self, how="leave"):
        if how == "leave":
            self.b.ok("leave", {"conv": self.conv})
        else:
            self.a.ok("remove", {"conv": self.conv, "users": [self.bob]})
        self.later = self.say(self.a, "later")

    def seen(self, client=None):
        """What there is to see: by history, and by sync."""
        client = client or self.b
        history = client.ok("history", {"conv": self.conv, "after": 0, "limit": 1000})["messages"]
        inbox = [m for m in client.sync_all() if m.get("cseq") and m["conv"] == self.conv]
        show = lambda messages: [(m["cseq"], m.get("gone") or m.get("body") or m["event"]["kind"]) for m in messages]
        return show(history), show(inbox)

    def test_some(self):
        for how in ("leave", "remove"):
            with self.subTest(how=how):
                self.setUp()
                self.out(how)
                self.assertEqual(self.b.ok("delete", {"conv": self.conv, "cseqs": [self.one, self.later, 100]}),
                                 {"op": "delete", "ok": True})
                entry = self.b.sync_all()[-1]
                self.assertEqual((entry["conv"], entry["event"]),
                                 (self.conv, {"kind": "delete", "by": self.bob, "cseqs": [self.one]}))
                shown = [(1, "create"), (self.one, "deleted"), (self.two, "two"), (self.later - 1, how)]
                for client in (self.b, self.client(self.bob)):
                    self.assertEqual(self.seen(client), (shown, shown))
                    self.assertEqual(self.get(client, self.one)["gone"], "deleted")
                self.assertEqual(self.get(self.a, self.one)["body"], "one")
                self.assertEqual(self.b.error("get", {"conv": self.conv, "cseq": self.later}), "no_such_message")

    def test_all(self):
        self.out()
        self.b.ok("delete", {"conv": self.conv, "all": True})
        self.assertEqual(self.b.sync_all()[-1]["event"],
                         {"kind": "delete", "by": self.bob, "all": True, "cseq": self.later - 1})
        gone = [(cseq, "deleted") for cseq in (1, self.one, self.two, self.later - 1)]
        for client in (self.b, self.client(self.bob)):
            self.assertEqual(self.seen(client), ([], gone))
        self.assertEqual(self.get(self.a, self.two)["body"], "two")

    def test_twice(self):
        self.out()
        for request in ({"cseqs": [self.one, self.two]}, {"all": True}):
            self.b.ok("delete", dict(request, conv=self.conv))
            latest, seen = self.b.ok("hello")["latest"], self.seen()
            self.b.ok("delete", dict(request, conv=self.conv))
            self.assertEqual((self.b.ok("hello")["latest"], self.seen()), (latest, seen))

    def test_stays_so_after_coming_back(self):
        """And what came in between is there, where newcomers see it."""
        for deletion, left in (({"cseqs": [self.one]}, ["deleted", "two"]), ({"all": True}, [])):
            with self.subTest(deletion=deletion):
                self.setUp()
                self.out()
                self.b.ok("delete", dict(deletion, conv=self.conv))
                self.a.ok("add", {"conv": self.conv, "users": [self.bob]})
                last = self.say(self.a, "last")
                history = [shown for cseq, shown in self.seen()[0] if shown not in ("create", "leave", "add")]
                self.assertEqual(history, left + ["later", "last"])
                self.b.ok("delete", {"conv": self.conv, "cseqs": [last]})
                self.assertEqual(self.get(self.b, last)["gone"], "deleted")

    def test_of_several_memberships(self):
        self.conv = self.group(self.a, self.bob, history="joined", join="open")
        first = self.say(self.a, "first")
        self.b.ok("leave", {"conv": self.conv})
        between = self.say(self.a, "between")
        self.b.ok("join", {"conv": self.conv})
        second = self.say(self.a, "second")
        self.b.ok("delete", {"conv": self.conv, "cseqs": [first]})
        self.b.ok("leave", {"conv": self.conv})
        self.b.ok("delete", {"conv": self.conv, "cseqs": [second]})
        shown = dict(self.seen()[0])
        self.assertEqual((shown[first], shown[second], between in shown), ("deleted", "deleted", False))
        self.assertEqual(dict(self.seen()[1])[second], "deleted")

    def test_over_a_restart(self):
        self.out()
        self.b.ok("delete", {"conv": self.conv, "cseqs": [self.one]})
        seen = self.seen()
        for client in (self.a, self.b, self.c):
            client.close()
        self.broker.restart(kill=True)
        self.assertEqual(self.seen(self.client(self.bob)), seen)

    def test_nothing_else(self):
        self.out()
        for op, request in (("read", {"cseq": self.two}), ("set", {"pin": True}), ("info", {}), ("recall", {"cseq": self.two}),
                            ("edit", {"cseq": self.two, "body": "x"})):
            self.assertEqual(self.b.error(op, dict(request, conv=self.conv)), "not_member")
        for request in ({"cseqs": [self.one]}, {"all": True}):
            self.assertEqual(self.client(self.uid("dave")).error("delete", dict(request, conv=self.conv)), "not_member")
            self.assertEqual(self.b.error("delete", dict(request, conv="nowhere")), "not_member")
        self.a.ok("dissolve", {"conv": self.conv})
        self.assertEqual(self.b.error("delete", {"conv": self.conv, "all": True}), "not_member")


if __name__ == "__main__":
    unittest.main()
