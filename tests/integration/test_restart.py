"""What was acked is there after a restart and after kill -9, exactly once and in its place."""
import unittest

from harness import ACCEPTED, Broker, BrokerTest, Client


class Restart(BrokerTest):
    durability = "group"

    def setUp(self):
        self.broker = Broker({"durability": self.durability})
        self.addCleanup(self.broker.close)

    def world(self):
        """Everything that alice and bob can see."""
        seen = {}
        for user in ("alice", "bob"):
            client = self.client(user, "looker")
            hello = client.ok("hello")
            infos = [client.ok("info", {"conv": conv}) for conv in ("team", "d:alice:bob")]
            seen[user] = (hello, client.sync_all(), infos)
            client.close()
        return seen

    def test_everything_is_there(self):
        alice, bob = self.client("alice", "a"), self.client("bob", "b")
        alice.ok("create", {"conv": "team", "name": "Team", "members": ["bob"], "retention": "90d"})
        for i in range(50):
            alice.send_ok("conv/team", f"t{i}", props={"id": f"i{i}", "k": "v", "time": i})
            bob.send_ok("user/alice", b"\xff" + bytes([i]))
        before = self.world()
        self.assertEqual(before["alice"][0]["latest"], 101)
        for kill in (False, True, True, False):
            with self.subTest(kill=kill):
                self.broker.restart(kill)
                self.assertEqual(self.world(), before)

    def test_sequences_and_ids_go_on(self):
        """Also those that the server makes: none comes twice."""
        made = []
        for n, kill in enumerate((False, True, False, True, True)):
            client = self.client("alice", "a")
            where = client.res("r")
            receipt = client.send("user/bob", str(n), response_topic=where)[1]
            made.append((receipt["cseq"], receipt["id"], receipt["ts"]))
            conv = client.ok("create")["conv"]
            self.assertNotIn(conv, [m[1] for m in made])
            made.append((None, conv, None))
            self.broker.restart(kill)
        client = self.client("alice", "a")
        messages = client.sync_all()
        self.assertEqual([m["seq"] for m in messages], list(range(1, 11)))
        sent = [m for m in messages if m["type"] == "text"]
        self.assertEqual([(m["cseq"], m["id"], m["ts"]) for m in sent], made[::2])
        self.assertEqual([m["cseq"] for m in sent], [1, 2, 3, 4, 5])
        self.assertEqual(len({m["id"] for m in messages}), 10)
        self.assertEqual(len({m[1] for m in made}), 10)

    def test_epoch(self):
        epoch = self.client("alice").ok("hello")["epoch"]
        for kill in (False, True):
            self.broker.restart(kill)
            self.assertEqual(self.client("alice").ok("hello")["epoch"], epoch)
        other = Broker()
        self.addCleanup(other.close)
        client = Client(other, "alice")
        self.addCleanup(client.close)
        self.assertNotEqual(client.ok("hello")["epoch"], epoch)

    def test_notifications_after_a_restart(self):
        self.client("alice").send_ok("user/bob", "before")
        self.broker.restart(kill=True)
        bob = self.client("bob")
        bob.subscribe("im/notify/bob/json")
        self.assertEqual(bob.wait_topic("im/notify/bob/json").value["seq"], 1)
        self.client("alice").send_ok("user/bob", "after")
        bob.wait_for(lambda m: m.topic == "im/notify/bob/json" and m.value["seq"] == 2)

    def kill_while_sending(self, sender, first, count):
        """Publishes, and kills the broker in the middle; returns the ids acked before."""
        packets = {}
        for i in range(first, first + count):
            packets[sender.publish(f"im/user/bob/m{i}", str(i))] = f"m{i}"
        sender.wait(lambda: len(sender.acks) >= count // 3, "a third of the acks")
        self.broker.kill9()
        sender.wait(lambda: sender.disconnected is not None, "the end")
        return {packets[p] for p, code in list(sender.acks.items()) if p in packets and code in ACCEPTED}

    def test_kill_while_sending(self):
        count, acked = 900, set()
        for n in range(3):
            sender = self.client("alice", f"a{n}")
            acked |= self.kill_while_sending(sender, n * count, count)
            sender.close()
            self.broker.start()
            bob = self.client("bob", f"b{n}")
            # The queue is in order: what the answer to a later message implies is stored.
            self.client("bob").send_ok("user/bob", "barrier")
            messages = bob.sync_all(limit=1000)
            self.assertEqual([m["seq"] for m in messages], list(range(1, len(messages) + 1)))
            ids = [m["id"] for m in messages if m["from"] == "alice"]
            self.assertEqual(len(ids), len(set(ids)))
            self.assertLessEqual(acked, set(ids))
        # The client sends again whatever it had no receipt for: still once each.
        sender = self.client("alice", "again")
        for i in range(3 * count):
            packet = sender.publish(f"im/user/bob/m{i}", str(i))
        sender.wait_ack(packet)
        sender.send_ok("user/bob", "end", "end")
        messages = [m for m in self.client("bob").sync_all(limit=1000) if m["from"] == "alice"]
        self.assertEqual(sorted(m["id"] for m in messages), sorted(["end"] + [f"m{i}" for i in range(3 * count)]))
        self.assertEqual([m["cseq"] for m in messages], list(range(1, len(messages) + 1)))
        self.assertTrue(all(m["body"] in (m["id"], m["id"][1:]) for m in messages))
        alice = [m for m in self.client("alice").sync_all(limit=1000)]
        self.assertEqual([m["id"] for m in alice], [m["id"] for m in messages])

    def test_kill_with_creates(self):
        """A group that was acked exists, with its messages behind it."""
        alice = self.client("alice", "a")
        for i in range(100):
            alice.publish(f"im/req/create/c{i}", f'{{"conv":"g{i}","members":["bob"]}}')
            packet = alice.publish(f"im/conv/g{i}/m{i}", str(i))
        alice.wait_ack(packet)
        self.broker.restart(kill=True)
        bob = self.client("bob")
        self.client("alice", "a").send_ok("user/alice", "barrier")
        messages = bob.sync_all()
        self.assertEqual([(m["conv"], m["cseq"]) for m in messages], [(f"g{i}", n) for i in range(100) for n in (1, 2)])


class RestartStrict(Restart):
    durability = "strict"


class RestartOs(Restart):
    durability = "os"


if __name__ == "__main__":
    unittest.main()
