"""A queue that is full: the broker refuses what it cannot keep, goes on with everything else, and recovers."""
import unittest

from fault import ShimBroker, World
from harness import BrokerTest, Client, until
from wire import V5, V311, Sender, senders_done

USERS = ["ann", "ben", "cat"]


class Backpressure(BrokerTest):
    def setUp(self):
        self.broker = ShimBroker({"queue_max": "1m", "other_topics": "allow"})
        self.addCleanup(self.broker.close)
        maker = Client(self.broker, "ann", "maker")
        maker.ok("create", {"conv": "team", "members": USERS[1:]})
        maker.close()

    def start(self, count, size):
        senders = []
        for n, user in enumerate(USERS):
            messages = [(("conv/team", f"user/{USERS[(n + 1) % 3]}")[i % 2], f"{user}-{i}", bytes([i % 256]) * size)
                        for i in range(count)]
            senders.append(Sender(self.broker, user, messages, (V5, V311)[n % 2]))
            senders[-1].start()
            self.addCleanup(senders[-1].stop)
        return senders

    def cut_off(self, senders):
        for sender in senders:
            sender.wait(lambda s=sender, n=sender.closed: s.closed >= n + 2, "being refused", 30)

    def check(self, senders):
        convs = {"team": USERS, "d:ann:ben": ["ann", "ben"], "d:ben:cat": ["ben", "cat"], "d:ann:cat": ["ann", "cat"]}
        world = World(self.broker, USERS, convs)
        world.check(self, convs)
        world.check_senders(self, senders)
        return world

    def others_are_served(self):
        """Topics outside the root, and devices that only read."""
        listener, talker = self.client("lis", "listener"), self.client("tal", "talker")
        self.assertLess(listener.subscribe("weather/#"), 0x80)
        for i in range(50):
            since = listener.mark()
            talker.wait_ack(talker.publish(f"weather/{i}", b"sun"))
            listener.wait_topic(f"weather/{i}", since)
        reader = self.client("ben", "reader")
        for _ in range(10):
            reader.ok("hello")
            reader.ok("history", {"conv": "team"})

    def test_refuses_and_recovers(self):
        self.broker.fail("db", "sync", "stall")
        senders = self.start(600, 4000)  # 7 MB for a queue of one
        self.cut_off(senders)
        self.broker.wait_log("messages are refused without an ack")
        self.others_are_served()
        acked = [len(sender.acks) for sender in senders]
        self.cut_off(senders)
        self.assertEqual(acked, [len(sender.acks) for sender in senders], "acked although the queue is full")
        # What is acked beyond the queue's size is what the writer had already taken.
        self.assertLess(sum(acked) * 4000, 3 << 20)
        self.broker.heal()
        senders_done(senders)
        self.broker.wait_log("messages are accepted again")
        world = self.check(senders)
        self.assertEqual(len(world.ids("team")), 900)
        self.assertTrue(all(len(sender.acks) == 600 for sender in senders))

    def test_kill_while_refusing(self):
        self.broker.fail("db", "sync", "stall")
        senders = self.start(300, 4000)
        self.cut_off(senders)
        self.broker.kill9()
        self.broker.start()
        senders_done(senders)
        world = self.check(senders)
        self.assertEqual(len(world.ids("team")), 450)

    def test_a_queue_that_is_always_nearly_full(self):
        """A slow disk: stalls come and go while everything is sent."""
        senders = self.start(1500, 3000)
        while not all(sender.done() for sender in senders):
            self.broker.fail("db", "sync", "stall")
            acked = sum(len(sender.acks) for sender in senders)
            closed = [sender.closed for sender in senders]
            until(lambda a=acked, c=closed: all(s.done() for s in senders)
                  or sum(len(s.acks) for s in senders) > a + 500
                  or any(s.closed > n for s, n in zip(senders, c)), "acks or refusals", 30)
            self.broker.heal()
            until(lambda a=acked: all(s.done() for s in senders) or sum(len(s.acks) for s in senders) > a + 100,
                  "acks", 30)
        senders_done(senders)
        self.check(senders)

    def test_one_large_message(self):
        """Messages that nearly fill the queue on their own get through one after the other."""
        senders = self.start(20, 900 * 1024)
        senders_done(senders)
        self.assertTrue(all(code < 0x80 for sender in senders for code in sender.acks.values()))
        self.check(senders)


class ReceiptsAtOnce(BrokerTest):
    """Unless it is told otherwise, Mosquitto keeps 20 messages in flight to a device and 1,000 waiting, and drops the others."""

    COUNT = 3000

    def setUp(self):
        self.broker = ShimBroker(conf=["max_inflight_messages 20", "max_queued_messages 1000"])
        self.addCleanup(self.broker.close)

    def send_all(self, client):
        """While the disk takes nothing, so that all are stored, and have receipts, at once."""
        self.broker.fail("db", "sync", "stall")
        for packet in [client.publish(f"im/user/ben/m{n}", b"x", 1) for n in range(self.COUNT)]:
            client.wait_ack(packet)
        self.broker.heal()

    def test_all_arrive_in_order(self):
        client = self.client("ann", "phone")
        self.send_all(client)
        client.wait(lambda: len(client.inbox) >= self.COUNT, "the receipts", 30)
        self.assertEqual([m.value["cseq"] for m in client.inbox], list(range(1, self.COUNT + 1)))

    def test_others_do_not_wait(self):
        client, other = self.client("ann", "phone"), self.client("ben")
        self.send_all(client)
        self.assertTrue(other.send_ok("user/ann", "y", "m1")["ok"])
        client.wait(lambda: len(client.inbox) >= self.COUNT, "the receipts", 30)


if __name__ == "__main__":
    unittest.main()
