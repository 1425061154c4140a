"""Full disks and disks that fail: nothing that was acked is lost, nothing that cannot be stored is acked, reading goes
on, and once there is room again so does everything else, without a restart."""
import errno
import os
import re
import shutil
import unittest

from fault import DiskBroker, ShimBroker, World
from harness import MQTT5, MQTT311, BrokerTest, Client, until
from wire import V5, V311, Sender, count_acks, senders_done, senders_progress, senders_stop

DISK = 24  # MiB
REFUSED, ACCEPTED_AGAIN = "messages are refused without an ack", "messages are accepted again"


class FaultTest(BrokerTest):
    def start_senders(self, count, size, users=("ann", "ben"), window=50, conv=True):
        """Each of them sends to the group, and every third message to the neighbour."""
        def messages(user, other):
            for i in range(count):
                yield f"user/{other}" if i % 3 == 2 or not conv else "conv/team", f"{user}-{i}", os.urandom(size)

        senders = []
        for n, user in enumerate(users):
            other = users[(n + 1) % len(users)]
            senders.append(Sender(self.broker, user, messages(user, other), (V5, V311)[n % 2], window))
            senders[-1].start()
            self.addCleanup(senders[-1].stop)
        return senders

    def make_team(self):
        client = Client(self.broker, "ann", "maker")
        client.ok("create", {"conv": "team", "members": ["ben"]})
        client.close()

    def until_refused(self, senders, deadline=60):
        """Until each has been cut off twice: so its next connection was refused as well."""
        for sender in senders:
            seen = sender.closed
            sender.wait(lambda s=sender, n=seen: s.closed >= n + 2, "a refusal", deadline)

    def check_all(self, senders, users=("ann", "ben")):
        convs = {"team": list(users), f"d:{users[0]}:{users[1]}": list(users)}
        world = World(self.broker, users, convs)
        world.check(self, {conv: who for conv, who in convs.items() if conv in world.histories})
        world.check_senders(self, senders)
        return world

    def check_reading(self):
        """Devices that only read are served: hello, sync, history, info."""
        reader = Client(self.broker, "ben", "reader")
        try:
            hello = reader.ok("hello")
            page = reader.ok("sync", {"after": 0, "limit": 10})
            self.assertEqual([m["seq"] for m in page["messages"]], list(range(1, len(page["messages"]) + 1)))
            self.assertGreaterEqual(page["latest"], hello["latest"])
            last = reader.ok("sync", {"after": page["latest"] - 1})["messages"]
            self.assertEqual(last[0]["seq"], page["latest"])
            self.assertTrue(reader.ok("history", {"conv": "team", "limit": 10})["messages"])
            self.assertEqual(reader.ok("info", {"conv": "team"})["count"], 2)
        finally:
            reader.close()

    def check_answering(self):
        """A database that fails may be unable to read too, but says so and is never silent."""
        reader = Client(self.broker, "ben", "reader")
        try:
            for op in ("hello", "sync"):
                answer = reader.request(op)
                self.assertTrue(answer["ok"] or answer["error"]["code"] == "storage", answer)
        finally:
            reader.close()

    def refused(self, version, topic, payload):
        """Whether this ends the connection, without an ack."""
        client = Client(self.broker, "ann", f"refused{version}", version=version)
        try:
            packet = client.publish(topic, payload)
            client.wait(lambda: client.disconnected is not None or packet in client.acks, "an ack or the end")
            return packet not in client.acks
        finally:
            client.close()

    def check_refusing(self):
        """A message and a request that changes something end the connection without an ack. On a full disk the database
        gives some space back now and then: that is filled as well."""
        for version in (MQTT311, MQTT5):
            for topic, payload in (("im/conv/team", b"r" * 1000), ("im/req/create", b'{"conv":"refused"}')):
                until(lambda v=version, t=topic, p=payload: self.refused(v, t, p) or self.fill_up(), "a refusal", 20)

    def fill_up(self):
        """More of what makes the broker refuse; nothing."""

    def says(self):
        """What the log says of refusing, in order."""
        return re.findall(f"{REFUSED}|{ACCEPTED_AGAIN}", self.broker.log())

    def check_said(self):
        """Each change is said, once."""
        said = self.says()
        self.assertEqual(said, [(REFUSED, ACCEPTED_AGAIN)[i % 2] for i in range(len(said))])
        return said


class FullDisk(FaultTest):
    durability = "group"

    def setUp(self):
        self.ballasts = []
        self.broker = DiskBroker(DISK, {"durability": self.durability})
        self.addCleanup(self.broker.close)

    def fill_up(self):
        if self.ballasts:
            self.fill()

    def fill(self):
        """All that is free, from outside."""
        self.ballasts.append(self.broker.ballast(name=f"ballast{len(self.ballasts)}"))

    def give_back(self):
        while self.ballasts:
            os.unlink(self.ballasts.pop())

    def test_starts_and_works_on_a_small_disk(self):
        self.assertGreater(self.broker.free_bytes(), 22 << 20)
        self.make_team()
        senders = self.start_senders(500, 500)
        senders_done(senders)
        self.check_all(senders)
        self.broker.restart(kill=True)
        self.check_all(senders)

    def test_filled_by_sending(self):
        self.make_team()
        ballast = self.broker.ballast(6)
        senders = self.start_senders(100000, 2000)
        self.until_refused(senders)
        until(lambda: self.says()[-1:] == [REFUSED], "the log to say so")
        self.check_refusing()
        self.check_reading()
        self.assertEqual(self.check_said()[-1], REFUSED)
        self.assertFalse(any(sender.done() for sender in senders))
        before = count_acks(senders)
        os.unlink(ballast)
        senders_progress(senders, 100, "acks after there is room again", before)
        for sender in senders:
            sender.enough()
        self.broker.resize(4 * DISK)
        senders_done(senders)
        self.check_said()
        self.check_all(senders)
        self.broker.restart(kill=True)
        self.check_all(senders)

    def test_filled_remounted_larger(self):
        self.make_team()
        senders = self.start_senders(100000, 20000, window=10)
        self.until_refused(senders)
        self.check_refusing()
        self.check_reading()
        before = count_acks(senders)
        self.broker.resize(6 * DISK)
        senders_progress(senders, 20, "acks after there is room again", before)
        senders_stop(senders)
        self.check_said()
        self.check_all(senders)

    def test_filled_from_outside_under_load(self):
        """Between two messages there is suddenly nothing left, not even the reserve."""
        self.make_team()
        senders = self.start_senders(100000, 300)
        for n in range(2):
            senders_progress(senders, 300)
            self.fill()
            self.until_refused(senders)
            self.check_refusing()
            self.check_reading()
            before = count_acks(senders)
            self.give_back()
            self.broker.resize((n + 2) * DISK)
        senders_progress(senders, 100, "acks at the end", before)
        senders_stop(senders)
        self.check_said()
        self.check_all(senders)
        self.broker.restart(kill=True)
        self.check_all(senders)

    def test_a_database_that_fails_while_all_is_refused(self):
        """A merge that has failed makes LevelDB refuse to write, and keeps what it wrote: then there may be no room only because of
        that. It is noticed without anything being stored or synced, and the database is opened again."""
        self.make_team()
        senders = self.start_senders(100000, 300)
        senders_progress(senders, 300)
        self.broker.ballast((self.broker.free_bytes() >> 20) - 4)
        self.until_refused(senders)
        reader = self.client("ann", "reader")
        until(lambda: reader.ok("hello")["latest"] > sum(len(sender.acks) for sender in senders), "all to be stored")
        self.broker.fail("db", "any", errno.ENOSPC)
        until(lambda: "storing failed" in self.broker.log(), "the log to say so", 20)
        self.broker.heal()
        before = count_acks(senders)
        self.broker.resize(4 * DISK)
        until(lambda: "storing works again" in self.broker.log(), "the log to say so", 20)
        senders_progress(senders, 100, "acks at the end", before)
        senders_stop(senders)
        self.check_all(senders)

    def test_kill_while_full(self):
        """Started on the full disk: it runs, or says in one line why not. Nothing is lost in either case."""
        self.make_team()
        senders = self.start_senders(100000, 300)
        for n in range(2):
            senders_progress(senders, 300)
            self.fill()
            self.until_refused(senders)
            self.broker.kill9()
            if n == 1:
                self.fill()  # also what the dead process had unlinked
            self.start_on_full_disk()
            before = count_acks(senders)
            self.give_back()
            self.broker.resize((n + 2) * DISK)
            if self.broker.process.poll() is not None:
                self.broker.start()
        senders_progress(senders, 100, "acks at the end", before)
        senders_stop(senders)
        self.check_all(senders)

    def start_on_full_disk(self):
        size = len(self.broker.log())
        try:
            self.broker.start()
        except AssertionError:
            self.assertGreater(self.broker.process.returncode, 0, self.broker.log()[size:])
            lines = [line for line in self.broker.log()[size:].splitlines() if "timeline:" in line]
            self.assertEqual(len(lines), 1, lines)
            self.assertIn("No space left", lines[0])
            return
        self.check_reading()
        self.check_refusing()

    def test_stop_and_start_while_full(self):
        self.make_team()
        senders = self.start_senders(100000, 1000)
        self.until_refused(senders)
        self.broker.stop()
        self.fill()
        self.start_on_full_disk()
        before = count_acks(senders)
        self.give_back()
        if self.broker.process.poll() is not None:
            self.broker.start()
        self.broker.resize(4 * DISK)
        senders_progress(senders, 100, "acks at the end", before)
        senders_stop(senders)
        self.check_all(senders)

    def test_first_start_on_a_full_disk(self):
        self.broker.stop()
        for name in os.listdir(self.broker.data_dir):
            shutil.rmtree(os.path.join(self.broker.data_dir, name))
        self.fill()
        size = len(self.broker.log())
        log = self.broker.start_refused()[size:]
        lines = [line for line in log.splitlines() if "timeline:" in line]
        self.assertEqual(len(lines), 1, log)
        self.assertRegex(lines[0], "(?i)no space|full")
        self.give_back()
        self.broker.start()
        self.client("ann").send_ok("user/ben", "x")
        self.assertEqual(len(self.client("ben").sync_all()), 1)


class FullDiskStrict(FullDisk):
    durability = "strict"
    # The rest is the same in every durability.
    test_starts_and_works_on_a_small_disk = test_first_start_on_a_full_disk = None
    test_filled_remounted_larger = test_stop_and_start_while_full = test_kill_while_full = None


class FailingDisk(FaultTest):
    """Every kind of failure in every place, under load, three times."""

    durability = "group"

    def setUp(self):
        # A fast broker takes more than an inbox holds by default.
        self.broker = ShimBroker({"durability": self.durability, "inbox_max": "0"})
        self.addCleanup(self.broker.close)
        self.make_team()

    def finish(self, senders):
        senders_stop(senders)
        self.check_all(senders)
        self.broker.restart(kill=True)
        self.check_all(senders)

    def test_the_queue_cannot_be_written(self):
        senders = self.start_senders(1000000, 200)
        for error in (errno.EIO, errno.ENOSPC, errno.EIO):
            senders_progress(senders, 200)
            self.broker.fail("queue", "write", error)
            self.until_refused(senders)
            self.check_refusing()
            self.check_reading()
            before = [len(sender.acks) for sender in senders]
            self.until_refused(senders)
            self.assertEqual(before, [len(sender.acks) for sender in senders])
            self.broker.heal()
        senders_progress(senders, 200)
        self.check_said()
        self.finish(senders)

    @staticmethod
    def receipts(senders):
        return sum(len(sender.receipts) for sender in senders)

    def database_fails(self, what):
        """The queue takes messages and acks them; nobody is told of any until the database works again."""
        # More than they can send until it fails, and no more than the queue can take while nothing leaves it.
        senders = self.start_senders(150000, 200)
        for error in (errno.EIO, errno.ENOSPC, errno.EIO):
            senders_progress(senders, 200)
            size = len(self.broker.log())
            self.broker.fail("db", what, error)
            until(lambda n=size: "storing failed" in self.broker.log()[n:], "the log to say so")
            # Receipts of what was stored before are still on their way, then there are no more.
            until(lambda: self.receipts(senders) == (senders_progress(senders, 100) or self.receipts(senders)),
                  "receipts to end", 30)
            self.check_answering()
            self.assertEqual(self.broker.log()[size:].count("storing failed"), 1)
            self.broker.heal()
            until(lambda n=size: "storing works again" in self.broker.log()[n:], "the log to say so", 20)
        self.finish(senders)

    def test_the_database_cannot_be_written(self):
        self.database_fails("write")

    def test_the_database_cannot_be_synced(self):
        self.database_fails("sync")

    def test_nothing_can_be_written(self):
        senders = self.start_senders(1000000, 200)
        for what, error in (("any", errno.EIO), ("write", errno.ENOSPC), ("any", errno.ENOSPC)):
            senders_progress(senders, 200)
            self.broker.fail("all", what, error)
            self.until_refused(senders)
            self.check_answering()
            self.broker.heal()
        senders_progress(senders, 200)
        self.finish(senders)

    def test_killed_while_failing(self):
        senders = self.start_senders(50000, 200)
        for where, what in (("db", "write"), ("db", "sync"), ("all", "any"), ("queue", "any"), ("db", "any")):
            senders_progress(senders, 200)
            size = len(self.broker.log())
            self.broker.fail(where, what, errno.EIO)
            if where == "db":  # else nothing reaches the database any more
                until(lambda n=size: "storing failed" in self.broker.log()[n:], "the log to say so")
            self.broker.kill9()
            self.broker.start()
        self.finish(senders)

    def test_stopped_while_failing(self):
        """SIGTERM ends the broker although nothing can be stored; what was acked is stored by the next one."""
        senders = self.start_senders(150000, 200)
        senders_progress(senders, 200)
        self.broker.fail("db", "any", errno.EIO)
        until(lambda: "storing failed" in self.broker.log(), "the log to say so")
        senders_progress(senders, 200)
        self.broker.expected_dead = True
        self.broker.process.terminate()
        self.assertEqual(self.broker.process.wait(30), 0)
        self.broker.heal()
        self.broker.start()
        self.finish(senders)

    def test_start_while_failing(self):
        senders = self.start_senders(1000, 200)
        senders_done(senders)
        self.broker.stop()
        for where, what in (("db", "write"), ("db", "sync"), ("all", "any")):
            with self.subTest(where=where, what=what):
                size = len(self.broker.log())
                self.broker.control = os.path.join(self.broker.dir, "control")
                self.broker.fail(where, what, errno.EIO)
                lines = [line for line in self.broker.start_refused()[size:].splitlines() if "timeline:" in line]
                self.assertEqual(len(lines), 1, lines)
                self.assertIn("Input/output error", lines[0])
                self.broker.heal()
        self.broker.start()
        self.check_all(senders)

    def test_requests_that_change_something(self):
        """Requests that were acked while the database failed are done, once, when it works again."""
        self.broker.fail("db", "any", errno.EIO)
        ann = self.client("ann", "changer")
        packets = [ann.publish(f"im/req/create/c{i}", b'{"conv":"g%d","members":["ben"]}' % i) for i in range(50)]
        for packet in packets:
            ann.wait_ack(packet)
        until(lambda: "storing failed" in self.broker.log(), "the log to say so")
        self.assertIsNone(ann.find(lambda m: m.topic.startswith(ann.res("create"))))
        self.broker.heal()
        for i in range(50):
            self.assertTrue(ann.wait_topic(ann.res("create", f"c{i}"), deadline=20).value["ok"])
        ben = self.client("ben")
        self.assertEqual([m["conv"] for m in ben.sync_all()], ["team"] + [f"g{i}" for i in range(50)])


class FailingDiskOnRead(FaultTest):
    """Where a page has yet to enter the inbox, a database that fails cannot give it; it says so."""

    def setUp(self):
        self.broker = ShimBroker({"write_fanout_max": "0"})
        self.addCleanup(self.broker.close)
        self.make_team()

    def test_a_page_that_has_yet_to_enter(self):
        ann, ben = self.client("ann"), self.client("ben")
        for what, error in (("write", errno.ENOSPC), ("sync", errno.EIO), ("any", errno.EIO)):
            with self.subTest(what=what):
                ann.send_ok("conv/team", what)
                self.broker.fail("db", what, error)
                self.assertEqual(ben.error("sync"), "storage")
                self.assertEqual(ben.error("sync"), "storage")
                self.broker.heal()
                until(lambda: ben.request("sync")["ok"], "the database to work again", 20)
        self.assertEqual([m["seq"] for m in ben.sync_all()], [1, 2, 3, 4])


class FailingDiskStrict(FailingDisk):
    durability = "strict"
    # The rest is the same in every durability.
    test_start_while_failing = test_stopped_while_failing = test_killed_while_failing = None
    test_requests_that_change_something = test_the_database_cannot_be_written = None

    def test_the_queue_cannot_be_synced(self):
        """In strict an ack waits for the sync, so none may come."""
        senders = self.start_senders(1000000, 200)
        for error in (errno.EIO, errno.ENOSPC):
            senders_progress(senders, 50)
            self.broker.fail("queue", "sync", error)
            self.until_refused(senders)
            self.check_refusing()
            self.check_reading()
            before = [len(sender.acks) for sender in senders]
            self.until_refused(senders)
            self.assertEqual(before, [len(sender.acks) for sender in senders])
            self.broker.heal()
        senders_progress(senders, 50)
        self.finish(senders)


if __name__ == "__main__":
    unittest.main()
