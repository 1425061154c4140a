"""Fan-out on write, on read and both: devices cannot tell the difference (PROTOCOL section 5, semantics 2, 3 and 7)."""
import random
import unittest

from harness import Broker, Client, TimelineTest, until


def bodies(messages):
    return [m.get("body") for m in messages if m.get("type") != "event"]


class FanoutTest(TimelineTest):
    options = {"write_fanout_max": "3"}

    def group_of(self, owner, members, **settings):
        conv = self.cid("group")
        owner.ok("create", dict(settings, conv=conv, members=list(members)))
        return conv

    def inbox(self, client, conv=None):
        """The whole inbox, checked: no gap, and each conversation in the order of cseq."""
        messages = client.sync_all()
        self.assertEqual([m["seq"] for m in messages], list(range(1, len(messages) + 1)))
        last = {}
        for m in messages:
            if "cseq" in m:
                self.assertGreater(m["cseq"], last.get(m["conv"], 0))
                last[m["conv"]] = m["cseq"]
        return [m for m in messages if conv is None or m.get("conv") == conv]


class OnRead(FanoutTest):
    def setUp(self):
        super().setUp()
        self.alice, self.bob, self.carol, self.dan = self.uids("alice", "bob", "carol", "dan")
        self.a, self.b = self.client(self.alice), self.client(self.bob)

    def big(self, **settings):
        return self.group_of(self.a, [self.bob, self.carol, self.dan], **settings)

    def test_everything_arrives_once_and_in_order(self):
        conv = self.big()
        sent = [f"m{i}" for i in range(250)]
        for body in sent:
            self.a.send_ok(f"conv/{conv}", body)
        for client in (self.a, self.b, self.client(self.carol)):
            got = self.inbox(client, conv)
            self.assertEqual([m["cseq"] for m in got], list(range(1, 252)))
            self.assertEqual(bodies(got), sent)

    def test_latest_counts_what_has_yet_to_enter(self):
        conv = self.big()
        for i in range(5):
            self.a.send_ok(f"conv/{conv}", f"m{i}")
        self.assertEqual(self.b.ok("hello")["latest"], 6)
        page = self.b.ok("sync", {"after": 0, "limit": 2})
        self.assertEqual((len(page["messages"]), page["next"], page["latest"], page["more"]), (2, 2, 6, True))
        self.assertEqual(self.b.ok("hello")["latest"], 6)
        page = self.b.ok("sync", {"after": 2})
        self.assertEqual((len(page["messages"]), page["next"], page["latest"], page["more"]), (4, 6, 6, False))

    def test_several_conversations_enter_by_acceptance(self):
        one, two = self.big(), self.big()
        for i in range(20):
            self.a.send_ok(f"conv/{one if i % 3 else two}", f"m{i}")
        self.assertEqual(bodies(self.inbox(self.b)), [f"m{i}" for i in range(20)])

    def test_places_never_change(self):
        conv = self.big()
        first = None
        for i in range(30):
            self.a.send_ok(f"conv/{conv}", f"m{i}")
            self.a.send_ok(f"user/{self.bob}", f"d{i}")
            seen = [(m["seq"], m.get("conv"), m.get("cseq")) for m in self.inbox(self.b)]
            if first:
                self.assertEqual(seen[:len(first)], first)
            first = seen

    def test_two_devices_of_one_user(self):
        conv = self.big()
        other = self.client(self.bob)
        for i in range(40):
            self.a.send_ok(f"conv/{conv}", f"m{i}")
            if i % 7 == 0:
                self.b.sync_all()
        self.assertEqual(self.inbox(self.b), self.inbox(other))

    def test_one_who_leaves_gets_what_came_before_and_one_who_joins_what_comes_after(self):
        conv = self.big(join="open")
        self.a.send_ok(f"conv/{conv}", "with bob")
        self.b.ok("leave", {"conv": conv})
        self.a.send_ok(f"conv/{conv}", "without bob")
        erin = self.client(*self.uids("erin"))
        erin.ok("join", {"conv": conv})
        self.a.send_ok(f"conv/{conv}", "with erin")
        self.b.ok("join", {"conv": conv})
        self.a.send_ok(f"conv/{conv}", "with bob again")
        self.assertEqual(bodies(self.inbox(self.b, conv)), ["with bob", "with bob again"])
        self.assertEqual(bodies(self.inbox(erin, conv)), ["with erin", "with bob again"])

    def test_coming_and_going_without_ever_syncing(self):
        conv = self.big(join="open")
        expected = []
        for i in range(12):
            self.a.send_ok(f"conv/{conv}", f"in {i}")
            expected.append(f"in {i}")
            self.b.ok("leave", {"conv": conv})
            self.a.send_ok(f"conv/{conv}", f"out {i}")
            self.b.ok("join", {"conv": conv})
        self.assertEqual(bodies(self.inbox(self.b, conv)), expected)

    def test_dissolved(self):
        conv = self.big()
        self.a.send_ok(f"conv/{conv}", "last words")
        self.a.ok("dissolve", {"conv": conv})
        got = self.inbox(self.b, conv)
        self.assertEqual([m["event"]["kind"] if "event" in m else m["body"] for m in got],
                         ["create", "last words", "dissolve"])
        self.assertEqual(self.b.ok("hello")["latest"], 3)

    def test_unread_read_delete_recall(self):
        conv = self.big()
        for i in range(4):
            self.a.send_ok(f"conv/{conv}", f"m{i}")
        self.assertEqual(self.b.ok("convs")["convs"][0]["unread"], 4)
        self.assertEqual(self.b.ok("read", {"conv": conv, "cseq": 3})["unread"], 2)
        self.b.ok("delete", {"conv": conv, "cseqs": [4]})
        self.a.ok("recall", {"conv": conv, "cseq": 5})
        got = {m["cseq"]: m for m in self.inbox(self.b, conv) if "cseq" in m}
        self.assertEqual((got[4]["gone"], got[5]["gone"], got[2]["body"]), ("deleted", "recalled", "m0"))
        self.assertEqual(self.b.ok("convs")["convs"][0]["unread"], 2)

    def test_notified_at_once_and_again(self):
        conv = self.big()
        self.b.subscribe(f"im/notify/{self.bob}/json")
        for i in range(3):
            since = self.b.mark()
            self.a.send_ok(f"conv/{conv}", f"m{i}")
            self.b.wait_for(lambda m, i=i: m.topic.startswith("im/notify") and m.value["seq"] == 2 + i, since)
        # Nothing is inlined while something has yet to enter.
        since = self.b.mark()
        self.a.send_ok(f"user/{self.bob}", "direct")
        note = self.b.wait_for(lambda m: m.topic.startswith("im/notify") and m.value["seq"] == 5, since)
        self.assertNotIn("messages", note.value)
        self.b.sync_all()
        since = self.b.mark()
        self.a.send_ok(f"user/{self.bob}", "inline")
        note = self.b.wait_for(lambda m: m.topic.startswith("im/notify") and m.value["seq"] == 6, since)
        self.assertEqual(bodies(note.value["messages"]), ["inline"])

    def test_who_is_removed_or_has_muted_is_not_notified(self):
        conv = self.big()
        self.b.subscribe(f"im/notify/{self.bob}/json")
        self.b.ok("set", {"conv": conv, "mute": True})
        since = self.b.mark()
        self.a.send_ok(f"conv/{conv}", "quiet")
        self.b.ok("set", {"conv": conv, "mute": False})
        self.a.send_ok(f"conv/{conv}", "loud")
        self.b.wait_for(lambda m: m.topic.startswith("im/notify") and m.value["seq"] == 5, since)
        self.b.sync_all()
        since = self.b.mark()
        self.a.ok("remove", {"conv": conv, "users": [self.bob]})
        self.b.wait_for(lambda m: m.topic.startswith("im/notify") and m.value["seq"] == 6, since)
        self.a.send_ok(f"conv/{conv}", "without bob")
        self.a.send_ok(f"user/{self.bob}", "direct")
        self.b.wait_for(lambda m: m.topic.startswith("im/notify") and m.value["seq"] == 7, since)
        self.assertEqual(bodies(self.inbox(self.b)), ["quiet", "loud", "direct"])
        self.assertEqual(self.b.ok("hello")["latest"], 7)

    def test_join_while_online(self):
        conv = self.big()
        erin = self.client(*self.uids("erin"))
        erin.subscribe(f"im/notify/{erin.user}/json")
        since = erin.mark()
        self.a.ok("add", {"conv": conv, "users": [erin.user]})
        erin.wait_for(lambda m: m.topic.startswith("im/notify") and m.value["seq"] == 1, since)
        self.a.send_ok(f"conv/{conv}", "hello")
        erin.wait_for(lambda m: m.topic.startswith("im/notify") and m.value["seq"] == 2, since)
        self.assertEqual(bodies(self.inbox(erin)), ["hello"])



class Dissolved(FanoutTest):
    """Groups of more members than are taken out of their lists at once; two are as many as one can be in."""
    options = {"max_conversations": "2", "write_fanout_max": "500"}

    def setUp(self):
        super().setUp()
        self.alice, self.bob = self.uids("alice", "bob")
        self.members = [self.uid("x") for _ in range(450)] + [self.bob]
        self.a, self.b = self.client(self.alice), self.client(self.bob)

    def check_gone_at_once(self, fanout):
        kept, gone = (self.group_of(self.a, self.members, fanout=fanout) for _ in range(2))
        self.a.send_ok(f"conv/{gone}", "last words")
        self.assertEqual(self.a.error("create", {"conv": self.cid("third")}), "too_large")
        self.a.ok("dissolve", {"conv": gone})
        for client in (self.a, self.b):
            page = client.ok("convs", {"limit": 1})
            self.assertEqual(([c["conv"] for c in page["convs"]], page.get("cursor")), ([kept], None))
            self.assertEqual([client.error(op, {"conv": gone}) for op in ("info", "leave")], ["not_member"] * 2)
            self.assertEqual([m["event"]["kind"] if "event" in m else m["body"] for m in self.inbox(client, gone)],
                             ["create", "last words", "dissolve"])
            self.assertEqual(client.error("create", {"conv": gone}), "exists")
            client.ok("create", {"conv": self.cid("third")})
            self.assertEqual(client.error("create", {"conv": self.cid("fourth")}), "too_large")

    def test_on_write(self):
        self.check_gone_at_once("write")

    def test_on_read(self):
        self.check_gone_at_once("read")

    def test_killed_at_once(self):
        expected = []
        for i in range(4):
            convs = [self.group_of(self.a, self.members) for _ in range(2)]
            for conv in convs:
                self.a.ok("dissolve", {"conv": conv})
            self.broker.restart(kill=True)
            self.a, self.b = self.client(self.alice), self.client(self.bob)
            expected += [(conv, kind) for kind in ("create", "dissolve") for conv in convs]
            self.assertEqual(self.b.ok("convs")["convs"], [])
            self.assertEqual([(m["conv"], m["event"]["kind"]) for m in self.inbox(self.b)], expected)


class Crossing(FanoutTest):
    def test_up_and_down_while_messages_flow(self):
        """Joining and leaving around the limit, syncing now and then: nothing is lost or repeated."""
        for seed in (3, 7):
            with self.subTest(seed=seed):
                self.cross(random.Random(seed))

    def cross(self, rng):
        names = self.uids(*[f"u{i}" for i in range(8)])
        owner = self.client(*self.uids("owner"))
        clients = {name: self.client(name) for name in names}
        conv = self.group_of(owner, [], join="open")
        expected = {name: [] for name in names}
        inside = set()
        for i in range(300):
            name = rng.choice(names)
            what = rng.random()
            if what < 0.15 and name not in inside:
                clients[name].ok("join", {"conv": conv})
                inside.add(name)
            elif what < 0.3 and name in inside:
                clients[name].ok("leave", {"conv": conv})
                inside.remove(name)
            elif what < 0.4:
                clients[name].sync_all()
            elif what < 0.45:
                owner.ok("update", {"conv": conv, "fanout": rng.choice(["auto", "write", "read"])})
            else:
                owner.send_ok(f"conv/{conv}", f"m{i}")
                for member in inside:
                    expected[member].append(f"m{i}")
        for name, client in clients.items():
            self.assertEqual(bodies(self.inbox(client, conv)), expected[name], name)

    def test_the_limit_changes_over_a_restart(self):
        broker = Broker({"write_fanout_max": "10"})
        self.addCleanup(broker.close)
        members = [f"u{i}" for i in range(5)]
        sent = []
        for n, limit in enumerate(("10", "2", "10", "1", "0", "10")):
            broker.options["write_fanout_max"] = limit
            broker.restart()
            owner = Client(broker, "owner", "o")
            if n == 0:
                owner.ok("create", {"conv": "team", "members": members})
            for i in range(3):
                owner.send_ok("conv/team", f"{n}.{i}")
                sent.append(f"{n}.{i}")
            reader = Client(broker, members[n % 3], "r")
            self.assertEqual(bodies(self.inbox(reader)), sent)
            reader.close()
            owner.close()
        for member in members:
            reader = Client(broker, member, "r")
            self.assertEqual(bodies(self.inbox(reader)), sent)
            reader.close()

    def test_kill_between_sync_and_sync(self):
        broker = Broker({"write_fanout_max": "1"})
        self.addCleanup(broker.close)
        owner = Client(broker, "owner", "o")
        owner.ok("create", {"conv": "team", "members": ["bob", "eve"]})
        sent, seen = [], []
        for n in range(4):
            for i in range(20):
                owner.send_ok("conv/team", f"{n}.{i}")
                sent.append(f"{n}.{i}")
            bob = Client(broker, "bob", "b")
            bob.ok("sync", {"after": 0, "limit": 5 + 20 * n})
            broker.kill9()
            owner.close()
            bob.close()
            broker.start()
            bob, owner = Client(broker, "bob", "b"), Client(broker, "owner", "o")
            inbox = self.inbox(bob)
            self.assertEqual(inbox[:len(seen)], seen)
            self.assertEqual(bodies(inbox), sent)
            seen = inbox
            bob.close()
        owner.close()


class Expiry(FanoutTest):
    def test_what_expires_before_it_is_taken_in_is_a_gap(self):
        broker = Broker({"write_fanout_max": "1", "inbox_ttl": "2s"})
        self.addCleanup(broker.close)
        owner, bob = Client(broker, "owner", "o"), Client(broker, "bob", "b")
        self.addCleanup(owner.close)
        self.addCleanup(bob.close)
        owner.ok("create", {"conv": "team", "members": ["bob", "eve"]})
        for i in range(10):
            owner.send_ok("conv/team", f"old {i}")
        until(lambda: bob.ok("hello")["floor"] == 11, "everything to expire")
        owner.send_ok("conv/team", "new")
        page = bob.ok("sync", {"after": 0})
        self.assertEqual((bodies(page["messages"]), page["floor"], page["latest"], page.get("gap")),
                         (["new"], 11, 12, True))
        self.assertEqual([m["seq"] for m in page["messages"]], [12])
        # Nothing is lost but the shortcut.
        self.assertEqual(bodies(bob.ok("history", {"conv": "team", "after": 0})["messages"]),
                         [f"old {i}" for i in range(10)] + ["new"])

    def test_expired_behind_what_lives_is_shown_as_such(self):
        broker = Broker({"write_fanout_max": "1", "inbox_ttl": "2s"})
        self.addCleanup(broker.close)
        owner, bob = Client(broker, "owner", "o"), Client(broker, "bob", "b")
        self.addCleanup(owner.close)
        self.addCleanup(bob.close)
        owner.ok("create", {"conv": "team", "members": ["bob", "eve"]})
        owner.send_ok("conv/team", "old")
        until(lambda: bob.ok("hello")["floor"] == 2, "it to expire")
        owner.send_ok("user/bob", "direct")
        page = bob.ok("sync", {"after": 0})
        self.assertIn("direct", bodies(page["messages"]))
        self.assertNotIn("old", bodies(page["messages"]))
        self.assertEqual(page["next"], page["latest"])

    def test_inbox_max(self):
        broker = Broker({"write_fanout_max": "1", "inbox_max": "10"})
        self.addCleanup(broker.close)
        owner, bob = Client(broker, "owner", "o"), Client(broker, "bob", "b")
        self.addCleanup(owner.close)
        self.addCleanup(bob.close)
        for conv in ("noisy", "calm"):
            owner.ok("create", {"conv": conv, "members": ["bob", "eve"]})
        owner.send_ok("conv/calm", "calm")
        for i in range(50):
            owner.send_ok("conv/noisy", f"noise {i}")
        hello = bob.ok("hello")
        self.assertEqual((hello["latest"], hello["floor"]), (53, 43))
        page = bob.ok("sync", {"after": 0})
        self.assertEqual((page["floor"], page["latest"], page.get("gap"), len(page["messages"])), (43, 53, True, 10))
        self.assertEqual([m["seq"] for m in page["messages"]], list(range(44, 54)))
        self.assertEqual(page["messages"][-1]["body"], "noise 49")
        self.assertEqual(len(bob.ok("history", {"conv": "noisy", "limit": 100})["messages"]), 51)


if __name__ == "__main__":
    unittest.main()
