"""Requests that change something need a batch each, but not a flush of the disk each; and whatever fails in between, each is
done and answered once."""
import errno
import glob
import itertools
import json
import os
import random
import unittest

from fault import ShimBroker, World
from harness import Client, until

COUNT = 200
USERS = ["ann", "ben", "cat"]


class SharedFlush(unittest.TestCase):
    def setUp(self):
        self.broker = ShimBroker({"durability": "group", "requests_per_device": 10000, "admins": "boss"})
        self.addCleanup(self.broker.close)
        self.ann = self.client("ann")
        self.ann.ok("create", {"conv": "team", "members": USERS[1:]})
        self.cseqs = [self.ann.send_ok("conv/team", f"m{i}")["cseq"] for i in range(COUNT)]
        self.tags = itertools.count()

    def client(self, user, device=None):
        client = Client(self.broker, user, device)
        self.addCleanup(client.close)
        return client

    def changes(self):
        for i, cseq in enumerate(self.cseqs):
            yield (("edit", {"conv": "team", "cseq": cseq, "body": f"n{cseq}"}),
                   ("delete", {"conv": "team", "cseqs": [cseq]}))[i % 2]

    def ask(self, op, args):
        """Makes a request of ann's and does not wait: the topic of its answer."""
        tag = f"t{next(self.tags)}"
        self.asked = self.ann.publish(self.ann.topic("req", op, tag), json.dumps(args))
        return self.ann.res(op, tag)

    def answers(self, topics):
        until(lambda: self.all_answered(topics), "answers", 60)
        found = [self.ann.on_topic(topic) for topic in topics]
        self.assertTrue(all(len(messages) == 1 for messages in found), "answered more than once")
        return [messages[0].value for messages in found]

    def log_bytes(self):
        return sum(os.path.getsize(path) for path in glob.glob(os.path.join(self.broker.data_dir, "db", "*.log")))

    def shown(self, client):
        """How many edits are: in the conversation, and of the messages."""
        edits = client.ok("history", {"conv": "team", "limit": 1})["head"] - self.cseqs[-1]
        messages = client.ok("history", {"conv": "team", "after": self.cseqs[0] - 1, "limit": COUNT})["messages"]
        self.assertEqual(sum(m["body"] == f"n{m['cseq']}" for m in messages if m["cseq"] in self.cseqs), edits)
        return edits

    def test_one_flush_for_many(self):
        ben, boss = self.client("ben"), self.client("boss")
        before = boss.figures()["batches"]
        self.broker.fail("db", "sync", "stall")
        topics = [self.ask(op, args) for op, args in self.changes()]
        self.ann.wait_ack(self.asked)
        ben.wait_ack(ben.publish("im/conv/team/last", "x"))
        # The flush that some of them wait for passes, and the next one does not: for that many of the others wait, which are in
        # the database by then.
        size = self.log_bytes()
        self.broker.fail("db", "sync", "stall 1")
        until(lambda: self.log_bytes() > size + 5000, "more in the database")
        # These are answered to nobody, and not shown to anybody.
        until(lambda: self.shown(ben) == sum(bool(self.ann.on_topic(topic)) for topic in topics[::2]), "what is shown")
        self.assertLess(self.shown(ben), COUNT // 4)
        self.broker.heal()
        self.assertTrue(all(answer["ok"] for answer in self.answers(topics)))
        self.assertTrue(ben.wait_topic(ben.res("sent", "last")).value["ok"])
        self.assertLess(boss.figures()["batches"] - before, COUNT // 10)
        self.check()

    def check(self):
        """Each change is there once: the events of the edits in the conversation, those of the deletes in ann's inbox."""
        world = World(self.broker, USERS, ["team"])
        self.assertEqual([m["event"]["cseq"] for m in world.histories["team"] if m.get("event", {}).get("kind") == "edit"],
                         self.cseqs[::2])
        self.assertEqual([m["event"]["cseqs"] for m in world.inboxes["ann"] if m.get("event", {}).get("kind") == "delete"],
                         [[cseq] for cseq in self.cseqs[1::2]])
        for user in USERS:
            inbox = [m["seq"] for m in world.inboxes[user]]
            self.assertEqual(inbox, list(range(1, len(inbox) + 1)))
        bodies = {m["cseq"]: m.get("body") for m in world.histories["team"]}
        self.assertEqual([bodies[c] for c in self.cseqs[::2]], [f"n{c}".encode() for c in self.cseqs[::2]])

    def all_answered(self, topics):
        return all(self.ann.on_topic(topic) for topic in topics)

    def test_failures_in_between(self):
        """Writes and flushes of the database fail again and again, wherever in a group."""
        chance = random.Random(5)
        self.broker.fail("db", "sync", "stall")
        topics = [self.ask(op, args) for op, args in self.changes()]
        for _ in range(12):
            how = chance.choice([errno.EIO, errno.ENOSPC])
            failures = self.broker.log().count("storing failed")
            self.broker.fail("db", *chance.choice([("sync", how), ("write", f"{how} {chance.randrange(1, 20)}")]))
            until(lambda: self.broker.log().count("storing failed") > failures or self.all_answered(topics), "a failure")
            self.broker.heal()
            until(lambda: self.broker.log().count("storing works again") == self.broker.log().count("storing failed"),
                  "recovery", 30)
        self.assertTrue(all(answer["ok"] for answer in self.answers(topics)))
        self.check()

    def test_killed_in_between(self):
        """kill -9 while a group waits for its flush: all that was acked is done once, answered or not."""
        self.broker.fail("db", "sync", "stall")
        for packet in [self.ann.publish(self.ann.topic("req", op), json.dumps(args)) for op, args in self.changes()]:
            self.ann.wait_ack(packet)
        self.broker.kill9()
        self.broker.start()
        self.check()


if __name__ == "__main__":
    unittest.main()
