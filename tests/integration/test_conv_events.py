"""Events: what each operation tells, and whom (PROTOCOL sections 4 and 5)."""
import base64
import unittest

from harness import TimelineTest


class Events(TimelineTest):
    options = {"durability": "os"}

    def setUp(self):
        super().setUp()
        self.users = self.uids("alice", "bob", "carol", "dave")
        self.alice, self.bob, self.carol, self.dave = self.users
        self.a, self.b, self.c, self.d = self.clients = [self.client(u) for u in self.users]
        self.conv = self.group(self.a, self.bob, join="open")
        self.said = self.a.send_ok(f"conv/{self.conv}", "said by alice")["cseq"]
        self.positions = {}
        self.news()

    def news(self):
        """What has come into each inbox since the last time: user → entries."""
        found = {}
        for client in self.clients:
            entries = client.sync_all(self.positions.get(client.user, 0))
            self.assert_places(entries, self.positions.get(client.user, 0) + 1)
            self.positions[client.user] = self.positions.get(client.user, 0) + len(entries)
            if entries:
                found[client.user] = entries
        return found

    def check_public(self, by, op, request, receivers, **event):
        """Everyone named gets the same entry of the conversation, nobody else anything."""
        head = self.a.ok("history", {"conv": self.conv, "limit": 1})["head"]
        by.ok(op, dict(request, conv=self.conv))
        news = self.news()
        self.assertEqual(sorted(news), sorted(receivers))
        for user, entries in news.items():
            self.assertEqual(len(entries), 1, user)
            entry = dict(entries[0])
            del entry["seq"]
            self.assertEqual((entry["conv"], entry["cseq"], entry["type"], entry["from"], entry["device"]),
                             (self.conv, head + 1, "event", by.user, by.device))
            self.assertTrue(entry["ts"] and entry["id"])
            self.assertFalse({"body", "body64", "gone", "edited"} & set(entry))
            self.assertEqual(entry["event"], dict(event, kind=op, by=by.user))
        return entry

    def check_private(self, by, op, request, conv, **event):
        """Only the one who asked gets it, and it stands in no conversation."""
        head = self.a.ok("info", {"conv": self.conv})["head"]
        by.ok(op, request)
        news = self.news()
        self.assertEqual(list(news), [by.user])
        entry, = news[by.user]
        self.assertEqual((entry.get("conv"), entry["type"], entry["from"], entry["device"]),
                         (conv, "event", by.user, by.device))
        self.assertNotIn("cseq", entry)
        self.assertEqual({k: v for k, v in entry["event"].items() if k in event or k in ("kind", "by")},
                         dict(event, kind=op, by=by.user))
        self.assertEqual(self.a.ok("info", {"conv": self.conv})["head"], head)
        return entry

    def test_public(self):
        a, b, c, everyone = self.a, self.b, self.c, [self.alice, self.bob]
        self.check_public(a, "add", {"users": [self.carol]}, everyone + [self.carol], users=[self.carol])
        everyone.append(self.carol)
        self.check_public(self.d, "join", {}, everyone + [self.dave], users=[self.dave])
        self.check_public(self.d, "leave", {}, everyone + [self.dave], users=[self.dave])
        self.check_public(a, "role", {"user": self.bob, "role": "admin"}, everyone, users=[self.bob], role="admin")
        self.check_public(b, "role", {"user": self.carol, "role": "muted"}, everyone, users=[self.carol], role="muted")
        self.check_public(b, "role", {"user": self.carol, "role": "member"}, everyone, users=[self.carol], role="member")
        self.check_public(b, "update", {"name": "New ★", "post": "admins"}, everyone, name="New ★", post="admins")
        self.check_public(a, "edit", {"cseq": self.said, "body": "édité"}, everyone, cseq=self.said, body="édité")
        self.check_public(a, "update", {"history": "joined", "join": "invite", "fanout": "write", "retention": "90d"},
                          everyone, history="joined", join="invite", fanout="write", retention="90d")
        self.check_public(b, "recall", {"cseq": self.said}, everyone, cseq=self.said)
        self.check_public(b, "remove", {"users": [self.carol]}, everyone, users=[self.carol])
        everyone.remove(self.carol)
        self.check_public(a, "role", {"user": self.bob, "role": "owner"}, everyone, users=[self.bob], role="owner")
        self.check_public(b, "leave", {}, everyone, users=[self.bob], owner=self.alice)

    def test_only_what_is_new_is_told(self):
        self.a.ok("update", {"conv": self.conv, "name": "one"})
        self.news()
        self.check_public(self.a, "update", {"name": "one", "post": "admins"}, [self.alice, self.bob], post="admins")
        self.check_public(self.a, "add", {"users": [self.bob, self.carol, self.carol]},
                          [self.alice, self.bob, self.carol], users=[self.carol])
        self.check_public(self.a, "remove", {"users": [self.dave, self.carol]},
                          [self.alice, self.bob, self.carol], users=[self.carol])

    def test_several_at_once(self):
        self.check_public(self.a, "add", {"users": [self.carol, self.dave]}, self.users, users=[self.carol, self.dave])
        self.check_public(self.a, "remove", {"users": [self.dave, self.carol, self.bob]}, self.users,
                          users=[self.dave, self.carol, self.bob])

    def test_dissolve(self):
        self.a.ok("dissolve", {"conv": self.conv})
        news = self.news()
        self.assertEqual(sorted(news), sorted([self.alice, self.bob]))
        for entries in news.values():
            self.assertEqual([(m["event"], m["cseq"]) for m in entries], [({"kind": "dissolve", "by": self.alice}, 3)])

    def test_bodies_of_an_edit(self):
        binary = b"\xff\x00\xfe"
        self.a.ok("edit", {"conv": self.conv, "cseq": self.said, "body64": base64.b64encode(binary).decode()})
        event = self.b.sync_all()[-1]["event"]
        self.assertEqual(event, {"kind": "edit", "by": self.alice, "cseq": self.said,
                                 "body64": base64.b64encode(binary).decode()})
        messages = self.b.ok("sync", {"after": 0}, codec="msgpack")["messages"]
        self.assertEqual(messages[-1]["event"]["body"], binary)

    def test_private(self):
        b, conv = self.b, self.conv
        self.check_private(b, "read", {"conv": conv, "cseq": self.said}, conv, cseq=self.said)
        self.check_private(b, "set", {"conv": conv, "mute": True, "pin": True}, conv, mute=True, pin=True)
        entry = self.check_private(b, "set", {"conv": conv, "mute": False, "pin": True}, conv, mute=False)
        self.assertNotIn("pin", entry["event"])
        self.check_private(b, "delete", {"conv": conv, "cseqs": [self.said]}, conv, cseqs=[self.said])
        self.check_private(b, "delete", {"conv": conv, "all": True}, conv, all=True)
        self.check_private(b, "block", {"user": self.dave, "on": True}, None, users=[self.dave], on=True)
        self.check_private(b, "block", {"user": self.dave, "on": False}, None, users=[self.dave], on=False)

    def test_private_ones_do_not_show_in_history(self):
        self.b.ok("read", {"conv": self.conv, "cseq": self.said})
        self.b.ok("set", {"conv": self.conv, "pin": True})
        page = self.b.ok("history", {"conv": self.conv, "after": 0})
        self.assertEqual([m.get("event", {}).get("kind") for m in page["messages"]], ["create", None])

    def test_notified_to_the_other_devices(self):
        other = self.client(self.bob)
        other.subscribe(f"im/notify/{self.bob}/json")
        since = other.mark()
        self.b.ok("read", {"conv": self.conv, "cseq": self.said})
        note = other.wait_for(lambda m: "messages" in m.value, since).value
        self.assertEqual((note["messages"][0]["event"]["kind"], note["messages"][0]["conv"]), ("read", self.conv))
        self.assertNotIn("cseq", note["messages"][0])
        since = other.mark()
        self.a.ok("remove", {"conv": self.conv, "users": [self.bob]})
        note = other.wait_for(lambda m: "messages" in m.value, since).value
        self.assertEqual(note["messages"][0]["event"]["users"], [self.bob])


class Replica:
    """What an app would keep: the state that a device makes of its inbox's entries, and of nothing else."""

    def __init__(self, user):
        self.user, self.position = user, 0
        self.messages = {}  # (conv, cseq) → body or what became of it
        self.conversations = {}
        self.blocked = set()

    def pull(self, client):
        for entry in client.sync_all(self.position):
            assert entry["seq"] == self.position + 1, (entry, self.position)
            self.position = entry["seq"]
            self.take(entry)
        return self

    def take(self, entry):
        if "gone" in entry:
            self.messages[entry["conv"], entry["cseq"]] = entry["gone"]
        elif entry["type"] == "event":
            self.on_event(entry.get("conv"), entry["event"])
        else:
            self.messages[entry["conv"], entry["cseq"]] = ("body", entry.get("body"), entry.get("edited", False))

    def on_event(self, conv, event):
        if event["kind"] == "block":
            (self.blocked.add if event["on"] else self.blocked.discard)(event["users"][0])
            return
        state = self.conversations.setdefault(conv, {"members": {}, "name": None, "read": 0, "mute": False, "pin": False})
        kind, members = event["kind"], state["members"]
        if kind == "create":
            members.update({u: "member" for u in event["users"]})
            members[event["by"]] = "owner"
        if kind in ("add", "join"):
            members.update({u: "member" for u in event["users"]})
        if kind in ("remove", "leave"):
            for user in event["users"]:
                members.pop(user, None)
        if kind == "leave" and "owner" in event:
            members[event["owner"]] = "owner"
        if kind == "role":
            for user in event["users"]:
                if event["role"] == "owner":
                    members.update({u: "admin" for u, r in members.items() if r == "owner"})
                members[user] = event["role"]
        for key in ("name", "read", "mute", "pin"):
            if key in event:
                state[key] = event[key]
        if kind == "read":
            state["read"] = event["cseq"]
        self.on_change(conv, event)

    def on_change(self, conv, event):
        kind = event["kind"]
        if kind == "recall" and self.messages.get((conv, event["cseq"])) != "deleted":
            self.messages[conv, event["cseq"]] = "recalled"
        if kind == "edit" and "body" in event and isinstance(self.messages.get((conv, event["cseq"])), tuple):
            self.messages[conv, event["cseq"]] = ("body", event["body"], True)
        if kind == "delete":
            for c, cseq in list(self.messages):
                if c == conv and (cseq in event.get("cseqs", ()) or event.get("all") and cseq <= event["cseq"]):
                    self.messages[c, cseq] = "deleted"


class Offline(TimelineTest):
    options = {"durability": "os"}

    def test_a_device_that_was_offline_ends_in_the_same_state(self):
        alice, bob, carol = self.uids("alice", "bob", "carol")
        a, b, c = self.client(alice), self.client(bob), self.client(carol)
        conv, other = self.group(a, bob, name="first"), self.group(b, alice, carol)
        online = Replica(bob)
        direct = "d:" + ":".join(sorted((alice, bob)))

        def do(client, op, **request):
            client.ok(op, dict({"conv": conv}, **request))
            online.pull(b)

        def say(client, text, where=f"conv/{conv}"):
            cseq = client.send_ok(where, text)["cseq"]
            online.pull(b)
            return cseq

        one, two, three = say(a, "one"), say(b, "two"), say(a, "three")
        say(a, "direct", f"user/{bob}")
        do(a, "add", users=[carol])
        four, five = say(c, "four"), say(c, "five")
        do(c, "edit", cseq=four, body="four again")
        do(c, "edit", cseq=four, body="four for good")
        do(a, "edit", cseq=one, body="one again")
        do(a, "recall", cseq=one)
        do(a, "recall", cseq=five)
        do(b, "delete", cseqs=[three])
        do(b, "read", cseq=four)
        do(b, "set", pin=True)
        do(b, "set", mute=True)
        do(b, "set", mute=False)
        do(a, "role", user=carol, role="admin")
        do(c, "update", name="second")
        do(a, "role", user=bob, role="owner")
        do(c, "remove", users=[alice])
        do(b, "block", user=alice)
        do(b, "block", user=carol)
        do(b, "block", user=carol, on=False)
        gone = say(c, "other", f"conv/{other}")
        do(b, "delete", conv=direct, all=True)
        do(c, "edit", conv=other, cseq=gone, body="other again")
        do(b, "leave", conv=other)
        do(a, "leave", conv=other)
        say(c, "six")

        late = Replica(bob).pull(self.client(bob))
        self.assertEqual(late.position, online.position)
        self.assertEqual(late.messages, online.messages)
        self.assertEqual({k: v for k, v in late.conversations.items() if k == conv},
                         {k: v for k, v in online.conversations.items() if k == conv})
        self.assertEqual(late.blocked, online.blocked)
        # And in the server's.
        self.assertEqual(late.blocked, set(b.ok("block")["users"]))
        state = late.conversations[conv]
        self.assertEqual(state["members"], {m["user"]: m["role"] for m in b.ok("members", {"conv": conv})["members"]})
        entry = next(x for x in b.ok("convs")["convs"] if x["conv"] == conv)
        self.assertEqual((state["name"], state["read"], state["mute"], state["pin"]),
                         (entry["name"], entry["read"], entry["mute"], entry["pin"]))
        for message in b.ok("history", {"conv": conv, "after": 0})["messages"]:
            if message.get("type") != "event":
                shown = message.get("gone") or ("body", message["body"], message.get("edited", False))
                self.assertEqual(late.messages[conv, message["cseq"]], shown)
        self.assertEqual(late.messages[conv, four], ("body", "four for good", True))
        self.assertEqual([late.messages[conv, n] for n in (one, three, five)], ["recalled", "deleted", "recalled"])
        self.assertEqual(late.messages[conv, two][1], "two")


if __name__ == "__main__":
    unittest.main()
