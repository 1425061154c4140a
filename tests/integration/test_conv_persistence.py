"""Conversations over restarts and crashes."""
import unittest

from harness import Broker, Client, encode


class Persistence(unittest.TestCase):
    def setUp(self):
        self.broker = Broker()
        self.addCleanup(self.broker.close)
        self.users = ("alice", "bob", "carol", "dave")
        self.connect()
        self.addCleanup(lambda: [c.close() for c in self.clients.values()])

    def connect(self):
        self.clients = {u: Client(self.broker, u) for u in self.users}
        self.a, self.b, self.c, self.d = self.clients.values()

    def restart(self, kill):
        for client in self.clients.values():
            client.close()
        self.broker.restart(kill)
        self.connect()

    def view(self):
        """All that everyone sees of everything."""
        found = {}
        for user, c in self.clients.items():
            found[user, "inbox"] = c.sync_all()
            found[user, "convs"] = c.ok("convs")["convs"]
            found[user, "block"] = c.ok("block")["users"]
            found[user, "hello"] = c.ok("hello")["epoch"]
            for conv in ("team", "news", "old", "mine", "d:alice:bob", "d:bob:carol"):
                for op, args in (("info", {}), ("members", {}), ("history", {"after": 0}), ("history", {}),
                                 ("get", {"cseq": 2})):
                    found[user, conv, op, str(args)] = c.request(op, dict(args, conv=conv))
        return found

    def live(self):
        """A life in which everything happens once."""
        a, b, c, d = self.a, self.b, self.c, self.d
        say = lambda client, where, text, **kw: client.send_ok(where, text, **kw)["cseq"]
        a.ok("create", {"conv": "team", "members": ["bob", "carol"], "name": "Team", "history": "joined", "join": "open"})
        a.ok("create", {"conv": "news", "kind": "channel", "members": ["bob"], "order": "custom"})
        c.ok("create", {"conv": "old", "members": ["dave"]})
        d.ok("create", {"conv": "mine"})
        one, two, three = say(a, "conv/team", "one"), say(b, "conv/team", "two"), say(c, "conv/team", "three")
        for i, order in enumerate((30, 10, 20, 10)):
            say(a, "conv/news", f"n{order}", props={"order": order, "id": f"n{i}"})
        say(a, "user/bob", "direct")
        say(b, "user/carol", "direct")
        b.ok("edit", {"conv": "team", "cseq": two, "body": "two again"})
        c.ok("edit", {"conv": "team", "cseq": three, "body": "three again"})
        a.ok("recall", {"conv": "team", "cseq": three})
        b.ok("delete", {"conv": "team", "cseqs": [one]})
        a.ok("delete", {"conv": "d:alice:bob", "all": True})
        b.ok("leave", {"conv": "team"})
        say(a, "conv/team", "without bob")
        b.ok("join", {"conv": "team"})
        a.ok("role", {"conv": "team", "user": "carol", "role": "admin"})
        a.ok("role", {"conv": "team", "user": "bob", "role": "muted"})
        c.ok("update", {"conv": "team", "name": "Team ★", "post": "admins"})
        b.ok("read", {"conv": "news", "cseq": 3})
        b.ok("set", {"conv": "news", "mute": True, "pin": True})
        b.ok("block", {"user": "carol"})
        a.ok("block", {"user": "bob"})
        c.ok("add", {"conv": "team", "users": ["dave"]})
        a.ok("leave", {"conv": "team"})
        c.ok("remove", {"conv": "team", "users": ["dave"]})
        c.ok("dissolve", {"conv": "old"})
        d.ok("leave", {"conv": "mine"})

    def check_goes_on(self):
        """What was decided still holds for what is done now."""
        a, b, c = self.a, self.b, self.c
        for client, where in ((a, "conv/team"), (b, "conv/team"), (b, "conv/news"), (c, "user/bob"), (b, "user/alice"),
                              (c, "conv/old")):
            self.assertFalse(client.send(where, "x", "late")[1]["ok"], (client.user, where))
        head = c.ok("info", {"conv": "team"})["head"]
        self.assertEqual(c.send_ok("conv/team", "x", "after the restart")["cseq"], head + 1)
        self.assertEqual(c.send_ok("conv/team", "x", "after the restart")["dup"], True)
        self.assertEqual(b.sync_all()[-1]["body"], "x")
        places = [m["seq"] for m in b.sync_all()]
        self.assertEqual(places, list(range(1, len(places) + 1)))
        c.ok("recall", {"conv": "team", "cseq": head + 1})

    def check(self, kill):
        self.live()
        before = self.view()
        for _ in range(2):
            self.restart(kill)
            after = self.view()
            for key, value in before.items():
                self.assertEqual(after[key], value, key)
        self.check_goes_on()

    def test_restart(self):
        self.check(False)

    def test_kill(self):
        self.check(True)

    def test_killed_while_changes_wait(self):
        """What was acked is done, each once and in order, whether its answer was heard or not."""
        self.a.ok("create", {"conv": "team", "members": ["bob"], "join": "open"})
        for life in range(4):
            base = self.a.ok("info", {"conv": "team"})["head"]
            packets = []
            crowd = ",".join(f'"{i:x}"' for i in range(2000))
            packets.append(self.a.publish("im/req/create/x", f'{{"conv":"crowd{life}","members":[{crowd}]}}'))
            for i in range(30):
                cseq = base + 1 + 4 * i
                packets.append(self.a.publish(f"im/conv/team/m{life}-{i}", f"first {life}-{i}"))
                for op, request in (("edit", {"cseq": cseq, "body": f"second {life}-{i}"}),
                                    ("update", {"name": f"{life}-{i}"}),
                                    ("recall" if i % 2 else "edit", {"cseq": cseq, "body": f"third {life}-{i}"})):
                    packets.append(self.a.publish(f"im/req/{op}/x", encode(dict(request, conv="team"), "json")))
            for packet in packets:
                self.a.wait_ack(packet)
            self.restart(True)
            history = []
            request = {"conv": "team", "after": base, "limit": 1000}
            self.a.send_ok("user/alice", "everything before this is done")
            history = self.a.ok("history", request)["messages"]
            self.assertEqual([m["cseq"] for m in history], list(range(base + 1, base + 121)))
            for i in range(30):
                message, edit, update, last = history[4 * i:4 * i + 4]
                self.assertEqual(message["id"], f"m{life}-{i}")
                if i % 2:
                    self.assertEqual(message.get("gone"), "recalled")
                else:
                    self.assertEqual((message.get("body"), message.get("edited")), (f"third {life}-{i}", True))
                self.assertEqual(edit["event"], {"kind": "edit", "by": "alice", "cseq": message["cseq"]})
                self.assertEqual(update["event"]["name"], f"{life}-{i}")
                self.assertEqual(last["event"]["kind"], "recall" if i % 2 else "edit")
            self.assertNotIn("second", str(history))
            self.assertEqual(self.a.ok("info", {"conv": "team"})["name"], f"{life}-29")
            inbox = self.b.sync_all()
            self.assertEqual([m["cseq"] for m in inbox], list(range(1, base + 121)))
            entry = self.b.ok("convs")["convs"][0]
            self.assertEqual(entry["unread"], 30 * (life + 1))


if __name__ == "__main__":
    unittest.main()
