"""kill -9 at any moment: what was acked is there, once, in its place, and nothing that was told becomes untrue.

    TL_SEED     of the random moments; printed by every test that draws some
    TL_ROUNDS   how often each durability is killed (12)
"""
import json
import os
import random
import struct
import sys
import time
import unittest

from fault import ShimBroker, World
from harness import Broker, Client, until
from wire import V5, V311, Sender, senders_done, senders_stop

ROUNDS = int(os.environ.get("TL_ROUNDS", "12"))


class CrashTest(unittest.TestCase):
    def setUp(self):
        seed = int(os.environ.get("TL_SEED") or random.SystemRandom().randrange(1 << 32))
        self.random = random.Random(seed)
        print(f"\n{self.id()}: TL_SEED={seed}", file=sys.stderr)

    def broker_of(self, options=None, kind=Broker, **kw):
        broker = kind(options or {}, **kw)
        self.addCleanup(broker.close)
        return broker

    def client(self, broker, user, device=None, **kw):
        client = Client(broker, user, device, **kw)
        self.addCleanup(client.close)
        return client

    def epoch(self, broker):
        client = Client(broker, "clock", "clock")
        try:
            return client.ok("hello")["epoch"]
        finally:
            client.close()


class UnderLoad(CrashTest):
    durability = "group"
    most_acks = 1500  # between two kills
    users = ["ann", "ben", "cat", "dan"]
    silent = ["eve", "fay"]

    def messages(self, n):
        """What the n-th user sends: to the group, to a neighbour, to itself."""
        user, neighbour = self.users[n], self.users[(n + 1) % len(self.users)]
        for i in range(ROUNDS * self.most_acks):
            target = ("conv/team", f"user/{neighbour}", "conv/team", f"user/{user}")[i % 4]
            yield target, f"{user}-{i}", b"%d %s" % (i, b"x" * self.random.choice((0, 10, 100, 1000)))

    def test_kill_under_load(self):
        broker = self.broker_of({"durability": self.durability})
        self.client(broker, "ann", "maker").ok("create", {"conv": "team", "members": self.users[1:] + self.silent})
        epoch = self.epoch(broker)
        senders = [Sender(broker, user, list(self.messages(n)), (V5, V311)[n % 2], window=(200, 100, 20, 1)[n])
                   for n, user in enumerate(self.users)]
        for sender in senders:
            sender.start()
        for _ in range(ROUNDS):
            self.kill_once(broker, senders)
            self.assertEqual(self.epoch(broker), epoch)
        senders_stop(senders)
        self.check(broker, senders)
        broker.restart(kill=True)
        self.check(broker, senders)
        self.assertEqual(self.epoch(broker), epoch)

    def acked(self, senders):
        return sum(len(sender.acks) for sender in senders)

    def kill_once(self, broker, senders):
        """Some time after all are connected again and some more is acked, or before; and starts the broker again."""
        wanted = self.acked(senders) + self.random.choice((1, self.random.randrange(self.most_acks)))
        until(lambda: self.acked(senders) >= wanted, "acks")
        time.sleep(self.random.random() * 0.03)  # the moment, not a wait
        broker.kill9()
        broker.start()

    def check(self, broker, senders):
        everyone = self.users + self.silent
        directs = {f"d:{user}:{user}": [user] for user in self.users}
        for a, b in zip(self.users, self.users[1:] + self.users[:1]):
            directs[f"d:{min(a, b)}:{max(a, b)}"] = [a, b]
        world = World(broker, everyone, ["team", *directs])
        directs = {conv: users for conv, users in directs.items() if conv in world.histories}
        world.check(self, {"team": everyone, **directs})
        world.check_senders(self, senders)


class UnderLoadOs(UnderLoad):
    durability = "os"


class UnderLoadStrict(UnderLoad):
    durability = "strict"
    most_acks = 600


class AtStart(CrashTest):
    def test_kill_right_after_the_first_start(self):
        """Whatever is half made by then, the next start makes whole."""
        broker = self.broker_of(start=False)
        epochs = set()
        for n in range(25):
            broker.spawn()
            time.sleep(self.random.random() * 0.03)  # the moment, not a wait
            broker.kill9()
            if n % 8 == 7:
                broker.start()
                epochs.add(self.epoch(broker))
                broker.kill9()
        broker.start()
        epochs.add(self.epoch(broker))
        self.assertEqual(len(epochs), 1)
        self.client(broker, "ann").send_ok("user/ben", "x")
        self.assertEqual([m["cseq"] for m in self.client(broker, "ben").sync_all()], [1])

    def test_kill_right_after_a_start_with_an_ack(self):
        """New data directories, killed at the first ack."""
        for durability in ("group", "os", "strict"):
            with self.subTest(durability=durability):
                broker = self.broker_of({"durability": durability})
                sender = Sender(broker, "ann", [("user/ben", f"m{i}", b"x") for i in range(50)], window=5)
                sender.start()
                sender.wait(lambda s=sender: s.acks, "an ack")
                broker.kill9()
                broker.start()
                senders_done([sender])
                world = World(broker, ["ann", "ben"], ["d:ann:ben"])
                world.check(self, {"d:ann:ben": ["ann", "ben"]})
                world.check_senders(self, [sender])


class Backlog(CrashTest):
    """A queue that is full of what is not applied yet, because the database stalled before the kill."""

    users = ["ann", "ben", "cat"]
    everyone = users + ["dan"]

    def fill(self, broker, count, first=0):
        """Senders whose messages are acked, and all but the first still wait in the queue."""
        broker.fail("db", "sync", "stall")
        senders = []
        for user in self.users:
            mine = [(("conv/team", "user/dan")[i % 3 == 0], f"{user}-{i}", b"x" * self.random.randrange(300))
                    for i in range(first, first + count)]
            senders.append(Sender(broker, user, mine, window=500))
            senders[-1].start()
        senders_done(senders)
        return senders

    def prepare(self, durability="group"):
        broker = self.broker_of({"durability": durability}, ShimBroker)
        self.client(broker, "ann", "maker").ok("create", {"conv": "team", "members": self.everyone[1:]})
        return broker

    def check(self, broker, senders):
        convs = {"team": self.everyone, **{f"d:{user}:dan": [user, "dan"] for user in self.users}}
        world = World(broker, self.everyone, convs)
        world.check(self, convs)
        world.check_senders(self, senders)
        return world

    def test_kill_during_replay(self):
        for durability in ("group", "os", "strict"):
            with self.subTest(durability=durability):
                broker = self.prepare(durability)
                senders = self.fill(broker, 600 if durability == "strict" else 6000)
                broker.kill9()
                for _ in range(ROUNDS):
                    broker.spawn()
                    time.sleep(self.random.random() * 0.06)  # the moment, not a wait
                    broker.kill9()
                broker.start()
                self.check(broker, senders)

    def last_segment(self, broker):
        folder = os.path.join(broker.data_dir, "queue")
        return os.path.join(folder, max(os.listdir(folder)))

    def test_garbage_behind_the_queue(self):
        broker = self.prepare()
        senders = []
        for n, garbage in enumerate((b"\x00", b"\x00" * 5000, self.random.randbytes(3000), b"\xff" * 7,
                                     struct.pack("<II", 100, 0) + b"y" * 100, struct.pack("<I", 0xfffffff0))):
            senders += self.fill(broker, 50, n * 50)
            broker.kill9()
            with open(self.last_segment(broker), "ab") as f:
                f.write(garbage)
            broker.start()
            self.check(broker, senders)

    def test_a_copy_of_records_behind_the_queue(self):
        """Records that are whole, but stand in the wrong place, are no records."""
        broker = self.prepare()
        senders = self.fill(broker, 50)
        broker.kill9()
        with open(self.last_segment(broker), "rb") as f:
            data = f.read()
        with open(self.last_segment(broker), "ab") as f:
            f.write(data[32:])
        broker.start()
        self.check(broker, senders)

    def test_cut_tail(self):
        """Power loss takes the end of the file: what stood before is there, and what is sent again comes once."""
        for cut in (1, 7, 200, 4000, 1 << 30):
            with self.subTest(cut=cut):
                broker = self.prepare()
                senders = self.fill(broker, 100)
                broker.kill9()
                path = self.last_segment(broker)
                os.truncate(path, max(0, os.path.getsize(path) - cut))
                broker.start()
                order = [mid for sender in senders for mid in sender.acks]
                world = World(broker, self.everyone, ["team"])
                stored = {m["id"] for inbox in world.inboxes.values() for m in inbox}
                lost = [mid for mid in order if mid not in stored]
                if cut < 1000:
                    self.assertLessEqual(len(lost), cut // 60 + 1)
                for sender in senders:
                    mine = [mid for mid in sender.acks if mid in stored]
                    self.assertEqual(mine, list(sender.acks)[:len(mine)], "something is missing in the middle")
                again = [Sender(broker, user, [(("conv/team", "user/dan")[i % 3 == 0], f"{user}-{i}", b"again")
                                               for i in range(100)]) for user in self.users]
                for sender in again:
                    sender.start()
                senders_done(again)
                self.check(broker, again)
                broker.close()

    def test_kill_while_requests_wait(self):
        """Requests wait in the queue like messages, and are done once, in order."""
        broker = self.prepare()
        broker.fail("db", "sync", "stall")
        ann = self.client(broker, "ann", "changer")
        packets = []
        for i in range(200):
            packets.append(ann.publish("im/req/create", json.dumps({"conv": f"g{i}", "members": ["ben"]})))
            packets.append(ann.publish(f"im/conv/g{i}/a{i}", b"to ben"))
            packets.append(ann.publish("im/req/add", json.dumps({"conv": f"g{i}", "users": ["cat"]})))
            packets.append(ann.publish(f"im/conv/g{i}/b{i}", b"to ben and cat"))
            packets.append(ann.publish("im/req/remove", json.dumps({"conv": f"g{i}", "users": ["ben"]})))
            packets.append(ann.publish(f"im/conv/g{i}/c{i}", b"to cat"))
        for packet in packets:
            ann.wait_ack(packet)
        broker.kill9()
        for _ in range(ROUNDS // 2):
            broker.spawn()
            time.sleep(self.random.random() * 0.06)  # the moment, not a wait
            broker.kill9()
        broker.start()
        world = World(broker, ["ann", "ben", "cat"], [f"g{i}" for i in range(200)])
        for i in range(200):
            for user, cseqs in (("ann", [1, 2, 3, 4, 5, 6]), ("ben", [1, 2, 3, 4, 5]), ("cat", [3, 4, 5, 6])):
                got = [m["cseq"] for m in world.inboxes[user] if m.get("conv") == f"g{i}"]
                self.assertEqual(got, cseqs, f"{user} in g{i}")


class Members(CrashTest):
    """Who comes and goes while the broker is killed gets what was said while being there, and nothing else."""

    people = [f"p{i}" for i in range(30)]

    def test_membership_under_kills(self):
        broker = self.broker_of()
        self.client(broker, "boss", "maker").ok("create", {"conv": "team", "members": ["ann"]})
        talk = Sender(broker, "ann", [("conv/team", f"ann-{i}", b"hello") for i in range(20000)], window=20)
        talk.start()
        changes = self.changes()
        done = 0
        for _ in range(ROUNDS):
            done = self.change_and_kill(broker, changes, done)
            broker.start()
        self.change_and_kill(broker, changes, done, kill=False)
        talk.enough()
        senders_done([talk])
        self.check(broker, talk)

    def changes(self):
        """(who, op, arguments), in an order in which each is valid and twice the same is no harm."""
        made = []
        for n, person in enumerate(self.people):
            made.append(("boss", "add", {"conv": "team", "users": [person]}))
            if n % 3 == 0:
                made.append(("boss", "role", {"conv": "team", "user": person, "role": ("admin", "muted")[n % 2]}))
            if n % 4 == 1:
                made.append(("boss", "remove", {"conv": "team", "users": [person]}))
            if n % 4 == 2:
                made.append((person, "leave", {"conv": "team"}))
            if n % 8 == 5:
                made.append(("boss", "add", {"conv": "team", "users": [person]}))
            if n % 5 == 0:
                made.append(("boss", "create", {"conv": f"extra{n}", "members": [person]}))
        return made

    def change_and_kill(self, broker, changes, done, kill=True):
        """Makes the next changes, the last of them perhaps not to the end. How many are certain."""
        clients = {}
        last = min(len(changes), done + self.random.randrange(1, 8)) if kill else len(changes)
        try:
            for who, op, arguments in changes[done:last]:
                if who not in clients:
                    clients[who] = Client(broker, who, f"dev-{who}")
                answer = clients[who].request(op, arguments)
                if not answer["ok"]:
                    # It had been done before the kill, and cannot be done twice.
                    self.assertIn((op, answer["error"]["code"]), (("leave", "not_member"), ("create", "exists")))
                done += 1
            if kill and last < len(changes):
                who, op, arguments = changes[last]
                hasty = clients.get(who) or clients.setdefault(who, Client(broker, who, f"dev-{who}"))
                hasty.publish(f"im/req/{op}", json.dumps(arguments))
                time.sleep(self.random.random() * 0.004)  # the moment, not a wait
            if kill:
                broker.kill9()
        finally:
            for client in clients.values():
                client.close()
        return done

    def check(self, broker, talk):
        world = World(broker, ["boss", "ann", *self.people], ["team"])
        world.check(self, {"team": ["boss", "ann"]})
        world.check_senders(self, [talk])
        inside = {}  # user → cseqs while being a member
        present = set()
        kinds = {}
        for m in world.histories["team"]:
            event = m.get("event") or {}
            if event:
                kinds.setdefault(event["kind"], []).append(event.get("users") or [event["by"]])
            if event.get("kind") in ("add", "create"):
                present |= set(event["users"]) | {"boss"}
            for user in present:
                inside.setdefault(user, []).append(m["cseq"])
            if event.get("kind") == "remove":
                present -= set(event["users"])
            if event.get("kind") == "leave":
                present -= {event["by"]}
        for user, inbox in world.inboxes.items():
            got = [m["cseq"] for m in inbox if m.get("conv") == "team" and "cseq" in m]
            self.assertEqual(got, inside.get(user, []), f"{user}'s share of team")
        self.check_end(broker, kinds, present)

    def check_end(self, broker, kinds, present):
        expected = {"boss", "ann"}
        added, removed, left = 0, 0, 0
        for _, op, arguments in self.changes():
            if op == "add":
                expected |= set(arguments["users"])
                added += 1
            elif op == "remove":
                expected -= set(arguments["users"])
                removed += 1
        for n, person in enumerate(self.people):
            if n % 4 == 2:
                expected.discard(person)
                left += 1
        self.assertEqual(present, expected)
        self.assertEqual([len(kinds[k]) for k in ("add", "remove", "leave")], [added, removed, left])
        boss = self.client(broker, "boss")
        members = boss.ok("members", {"conv": "team", "limit": 1000})["members"]
        self.assertEqual({m["user"] for m in members}, expected)
        self.assertEqual(boss.ok("info", {"conv": "team"})["count"], len(expected))


if __name__ == "__main__":
    unittest.main()
