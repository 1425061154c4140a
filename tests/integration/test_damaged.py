"""Blocks of the database that cannot be read any more, as a worn SD card leaves them: what is in them is lost, all the rest
goes on."""
import glob
import os
import random
import shutil
import string
import unittest

from harness import ACCEPTED, MQTT311, Broker, BrokerTest, until

COUNT = 20
LETTERS = string.ascii_letters + string.digits + "-_"


class Damaged(BrokerTest):
    """Three groups of ann and ben. Each message is larger than a block, so it has one to itself; the first one shares its
    with the records of its group. What comes first in the database shares a block with what is kept of the users."""

    def setUp(self):
        self.random = random.Random(11)
        self.broker = Broker({"durability": "group", "admins": "boss"})
        self.addCleanup(self.broker.close)
        ann = self.client("ann")
        self.names = {conv: self.text(100) for conv in ("first", "whole", "lost")}
        self.bodies = {conv: [self.text(10000) for _ in range(COUNT)] for conv in self.names}
        for conv, name in self.names.items():
            ann.ok("create", {"conv": conv, "name": name, "members": ["ben"], "fanout": "write"})
            for body in self.bodies[conv]:
                ann.send_ok(f"conv/{conv}", f"word {body}")
        self.assertEqual(self.unreadable(), 0)

    def text(self, size):
        """What no compression makes smaller."""
        return "".join(self.random.choices(LETTERS, k=size))

    def damage(self, *needles):
        """Flips a byte in the middle of each, in every table that has it."""
        self.broker.restart()  # moves everything from the log into a table
        self.broker.stop()
        found = {needle: 0 for needle in needles}
        for path in glob.glob(os.path.join(self.broker.data_dir, "db", "*.ldb")):
            with open(path, "r+b") as f:
                content = f.read()
                for needle in needles:
                    at = content.find(needle.encode())
                    if at >= 0:
                        found[needle] += 1
                        f.seek(at + len(needle) // 2)
                        f.write(bytes([content[at + len(needle) // 2] ^ 0xff]))
        self.assertTrue(all(found.values()), "something stands in no table")
        self.broker.start()

    def unreadable(self):
        return self.client("boss").figures()["unreadable"]

    def history(self, client, conv, **kw):
        messages, page = [], client.ok("history", {"conv": conv, "limit": 7, **kw})
        while True:
            messages += page["messages"]
            if not page["more"]:
                return messages
            page = client.ok("history", {"conv": conv, "limit": 7, "cursor": page["cursor"]})

    def found(self, client, **kw):
        hits, cursor = [], {}
        while True:
            page = client.ok("search", {"limit": 100, **kw, **cursor})
            hits += page["messages"]
            if "cursor" not in page:
                return hits
            cursor = {"cursor": page["cursor"]}

    def test_messages(self):
        middle, last = self.bodies["whole"][9][:40], self.bodies["whole"][-1][:40]
        self.damage(middle, last)
        ben = self.client("ben")
        gone = {11, COUNT + 1}  # the first entry is the event of the creation
        for story in (self.history(ben, "whole", after=0), self.history(ben, "whole")[::-1]):
            self.assertEqual([m["cseq"] for m in story], list(range(1, COUNT + 2)))
            self.assertEqual({m["cseq"] for m in story if m.get("gone") == "damaged"}, gone)
        self.assertEqual([m["cseq"] for m in self.history(ben, "first", after=0)], list(range(1, COUNT + 2)))
        self.assertEqual(ben.ok("get", {"conv": "whole", "cseq": 11})["message"],
                         {"conv": "whole", "cseq": 11, "gone": "damaged"})
        convs = {c["conv"]: c for c in ben.ok("convs")["convs"]}
        self.assertEqual(convs["whole"]["last"], {"conv": "whole", "cseq": COUNT + 1, "gone": "damaged"})
        self.assertEqual(convs["lost"]["last"]["cseq"], COUNT + 1)
        for hits in (self.found(ben, q="word"), self.found(ben)):
            self.assertEqual(len(hits), 3 * COUNT - 2)
        inbox = ben.sync_all()
        self.assertEqual([m["seq"] for m in inbox], list(range(1, 3 * (COUNT + 1) + 1)))
        self.assertEqual(sum(m.get("gone") == "damaged" for m in inbox), 2)
        self.check_going_on(("first", "lost"), ())

    def test_records(self):
        self.damage(self.names["lost"])
        ben = self.client("ben")
        self.assertEqual({c["conv"] for c in ben.ok("convs")["convs"]}, {"first", "whole"})
        self.assertEqual({c["conv"] for c in ben.ok("convs", {"limit": 1})["convs"]}, {"whole"})
        self.assertEqual({m["conv"] for m in self.found(ben, q="word")}, {"first", "whole"})
        self.assertEqual(len(self.history(ben, "whole")), COUNT + 1)
        for op in ("history", "info", "members"):
            self.assertEqual(ben.error(op, {"conv": "lost"}), "storage")
        inbox = ben.sync_all()
        self.assertEqual([m["seq"] for m in inbox], list(range(1, 3 * (COUNT + 1) + 1)))
        self.assertEqual(sum(m.get("gone") == "damaged" for m in inbox), COUNT + 1)
        self.check_going_on(("first", "whole"), ("lost",))

    def check_going_on(self, sound, damaged):
        """What is sent to a damaged conversation is acked and answered, once, and the sender is not cut off."""
        for version in ({}, {"version": MQTT311}):
            ann = self.client("ann", **version)
            for conv in damaged:
                code, receipt = ann.send(f"conv/{conv}", "x", mid="m")
                self.assertIn(code, ACCEPTED)
                self.assertEqual((receipt["ok"], receipt["error"]["code"]), (False, "storage"))
                self.assertEqual((receipt["conv"], receipt["id"]), (conv, "m"))
                self.assertEqual(ann.error("set", {"conv": conv, "pin": True}), "storage")
            for conv in sound:
                self.assertEqual(ann.send_ok(f"conv/{conv}", "y", mid=f"y{len(version)}")["dup"], False)
            self.assertIsNone(ann.disconnected)
        self.assertGreater(self.unreadable(), 0)
        self.assertNotIn("storing failed", self.broker.log())


class Missing(BrokerTest):
    """A data directory that has lost its database, or what tells what belongs to it, is not taken for a new one."""

    def setUp(self):
        self.broker = Broker()
        self.addCleanup(self.broker.close)
        self.ann = self.client("ann")

    def refused_without(self, name, pattern):
        """Nothing is touched: with it, everything is there."""
        before = self.ann.ok("hello")
        self.broker.stop()
        path, aside = (os.path.join(self.broker.data_dir, n) for n in (name, "aside"))
        os.rename(path, aside)
        for _ in range(2):
            size = len(self.broker.log())
            lines = [line for line in self.broker.start_refused()[size:].splitlines() if "timeline:" in line]
            self.assertEqual(len(lines), 1, lines)
            self.assertRegex(lines[0], pattern)
        if os.path.isdir(path):
            shutil.rmtree(path)
        os.rename(aside, path)
        self.broker.start()
        ann = self.client("ann")
        self.assertEqual(ann.ok("hello")["latest"], before["latest"])
        self.assertEqual(ann.ok("hello")["epoch"], before["epoch"])

    def test_current(self):
        self.ann.send_ok("user/ann", "x")
        self.refused_without("db/CURRENT", "CURRENT is missing")

    def test_database(self):
        for i in range(6):  # more than a segment of the queue
            self.ann.send_ok("user/ann", "x" * 900000)
        until(lambda: not os.path.exists(os.path.join(self.broker.data_dir, "queue", f"{1:020}.queue")),
              "the first segment to be unlinked")
        self.refused_without("db", "there is no database")


if __name__ == "__main__":
    unittest.main()
