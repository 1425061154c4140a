"""Who sees the new body of an edited message: not those who may not see the message itself, whatever way they take."""
import unittest

from harness import TimelineTest


class EditsSeen(TimelineTest):
    options = {"durability": "os"}

    def setUp(self):
        super().setUp()
        self.alice, self.bob, self.carol = self.uids("alice", "bob", "carol")
        self.a, self.b, self.c = self.client(self.alice), self.client(self.bob), self.client(self.carol)
        self.conv = self.group(self.a, self.bob, history="joined", join="open")

    def say(self, text, client=None):
        return (client or self.a).send_ok(f"conv/{self.conv}", text)["cseq"]

    def edit(self, cseq, body):
        """The cseq of the event."""
        self.a.ok("edit", {"conv": self.conv, "cseq": cseq, "body": body})
        return self.a.ok("info", {"conv": self.conv})["head"]

    def ways(self, client, cseq, **kw):
        """An entry by each of the ways that lead to it; what is in no inbox, by two."""
        found = [client.ok("get", {"conv": self.conv, "cseq": cseq}, **kw)["message"]]
        found += [m for m in client.ok("history", {"conv": self.conv, "limit": 1000}, **kw)["messages"] if m["cseq"] == cseq]
        found += [m for m in client.ok("history", {"conv": self.conv, "after": 0}, **kw)["messages"] if m["cseq"] == cseq]
        page = client.ok("sync", {"after": 0, "limit": 1000}, **kw)
        found += [m for m in page["messages"] if m.get("cseq") == cseq and m["conv"] == self.conv]
        self.assertIn(len(found), (3, 4))
        return found

    def check(self, client, event, target, body):
        """The event is there for the client, with this body, None: without."""
        for codec, shown in (("json", body), ("msgpack", body.encode() if body is not None else None)):
            searched = client.ok("search", {"conv": self.conv, "type": "event"}, codec=codec)["messages"]
            found = [m for m in searched if m["cseq"] == event]
            self.assertEqual(len(found), 1)
            for entry in self.ways(client, event, codec=codec) + found:
                self.assertEqual((entry["event"]["kind"], entry["event"]["cseq"], entry["event"].get("body")),
                                 ("edit", target, shown))
                self.assertNotIn("body64", entry["event"])
                self.assertEqual((entry["from"], entry["type"], entry["event"]["by"]), (self.alice, "event", self.alice))

    def test_from_before_the_joining(self):
        target = self.say("secret 1")
        self.c.ok("join", {"conv": self.conv})
        event = self.edit(target, "secret 2")
        self.check(self.b, event, target, "secret 2")
        self.check(self.a, event, target, "secret 2")
        self.check(self.c, event, target, None)
        everything = [self.c.sync_all(), self.c.ok("history", {"conv": self.conv}), self.c.ok("convs"),
                      self.c.ok("search", {"from": self.alice})]
        self.assertNotIn("secret", str(everything))
        seen = self.say("from now on")
        event = self.edit(seen, "from now on!")
        self.check(self.c, event, seen, "from now on!")

    def test_from_an_absence(self):
        before = self.say("before", self.b)
        self.b.ok("leave", {"conv": self.conv})
        meanwhile = self.say("meanwhile")
        own = self.say("own")
        self.b.ok("join", {"conv": self.conv})
        self.check(self.b, self.edit(meanwhile, "secret"), meanwhile, None)
        self.b.ok("edit", {"conv": self.conv, "cseq": before, "body": "before!"})
        head = self.a.ok("info", {"conv": self.conv})["head"]
        self.assertEqual([m["event"]["body"] for m in self.ways(self.b, head)], ["before!"] * 4)
        self.assertEqual(self.b.error("get", {"conv": self.conv, "cseq": own}), "no_such_message")

    def test_with_all_history_a_newcomer_sees_it(self):
        self.conv = self.group(self.a, join="open")
        target = self.say("old")
        self.c.ok("join", {"conv": self.conv})
        event = self.edit(target, "new")
        self.check(self.c, event, target, "new")
        self.a.ok("update", {"conv": self.conv, "history": "joined"})
        self.check(self.c, event, target, None)
        self.check(self.a, event, target, "new")

    def test_cleared(self):
        target = self.say("secret 1")
        self.b.ok("delete", {"conv": self.conv, "all": True})
        event = self.edit(target, "secret 2")
        self.check(self.b, event, target, None)
        self.check(self.a, event, target, "secret 2")
        self.assertNotIn("secret", str([self.b.sync_all(), self.b.ok("convs")]))

    def test_deleted_before_and_after(self):
        first, second, third = (self.say(f"secret {i}") for i in range(3))
        self.b.ok("delete", {"conv": self.conv, "cseqs": [first]})
        event = self.edit(first, "secret again")
        self.check(self.b, event, first, None)
        event = self.edit(second, "secret too")
        self.check(self.b, event, second, "secret too")
        self.b.ok("delete", {"conv": self.conv, "cseqs": [second]})
        self.check(self.b, event, second, None)
        self.check(self.a, event, second, "secret too")
        other = self.edit(third, "stays")
        self.check(self.b, other, third, "stays")
        self.assertNotIn("secret too", str([self.b.sync_all(), self.b.ok("convs")]))

    def test_the_event_itself_deleted(self):
        target = self.say("x")
        event = self.edit(target, "y")
        self.b.ok("delete", {"conv": self.conv, "cseqs": [event]})
        for entry in self.ways(self.b, event):
            self.assertEqual((entry["gone"], "event" in entry), ("deleted", False))

    def test_in_a_chat(self):
        self.a.send_ok(f"user/{self.bob}", "secret")
        self.conv = "d:" + ":".join(sorted((self.alice, self.bob)))
        event = self.edit(1, "secret 2")
        self.check(self.b, event, 1, "secret 2")
        self.b.ok("delete", {"conv": self.conv, "cseqs": [1]})
        self.check(self.b, event, 1, None)

    def test_in_a_dissolved_conversation(self):
        """What lies in the inboxes stays as it was."""
        target = self.say("secret")
        self.c.ok("join", {"conv": self.conv})
        event = self.edit(target, "secret 2")
        self.a.ok("dissolve", {"conv": self.conv})
        bodies = {client.user: next(m["event"].get("body") for m in client.sync_all() if m.get("cseq") == event)
                  for client in (self.a, self.b, self.c)}
        self.assertEqual(bodies, {self.alice: "secret 2", self.bob: "secret 2", self.carol: None})

    def test_after_leaving(self):
        target = self.say("first")
        event = self.edit(target, "second")
        self.b.ok("leave", {"conv": self.conv})
        for entry in self.ways(self.b, event):
            self.assertEqual(entry["event"]["body"], "second")
        # What they may see, they see in its latest form; that it was changed, nobody tells them.
        later = self.edit(target, "third")
        for entry in self.ways(self.b, target):
            self.assertEqual((entry["body"], entry["edited"]), ("third", True))
        self.assertEqual(self.b.error("get", {"conv": self.conv, "cseq": later}), "no_such_message")
        for entry in self.ways(self.b, event):
            self.assertNotIn("body", entry["event"])

    def test_as_the_last_of_a_list_of_chats(self):
        target = self.say("first")
        event = self.edit(target, "x" * 50000)
        last = self.b.ok("convs")["convs"][0]["last"]
        self.assertEqual((last["cseq"], last["event"]), (event, {"kind": "edit", "by": self.alice, "cseq": target}))

    def test_notified_without_messages(self):
        """Those who may not see the body get it no more than the others, who pull it."""
        target = self.say("secret 1")
        self.c.ok("join", {"conv": self.conv})
        topics = {client: [f"im/notify/{client.user}{kind}" for kind in ("", "/json")] for client in (self.b, self.c)}
        for client, names in topics.items():
            for name in names:
                client.subscribe(name)
                client.wait_topic(name)
        event = self.edit(target, "secret 2")
        for client, names in topics.items():
            seq = next(m["seq"] for m in client.sync_all() if m.get("cseq") == event)
            for name in names:
                client.wait_for(lambda m, t=name, s=seq: m.topic == t and m.value["seq"] == s)
                for m in client.on_topic(name):
                    self.assertFalse([e for e in m.value.get("messages", []) if e["seq"] == seq])
                    self.assertNotIn(b"secret", m.payload)
        # What comes after it is inline again.
        since = self.c.mark()
        self.say("hello")
        note = self.c.wait_for(lambda m: m.topic == topics[self.c][1] and m.value.get("messages"), since)
        self.assertEqual([m["body"] for m in note.value["messages"]], ["hello"])

    def test_not_live(self):
        for client in (self.b, self.a):
            client.subscribe(f"im/live/{self.conv}")
        self.edit(self.say("one"), "two")
        self.say("three")
        self.b.wait_for(lambda m: m.topic == f"im/live/{self.conv}" and m.payload == b"three")
        self.assertEqual([m.payload for m in self.b.on_topic(f"im/live/{self.conv}")], [b"one", b"three"])


if __name__ == "__main__":
    unittest.main()
