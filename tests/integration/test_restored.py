"""A data directory that an older copy was put in the place of: the operator says so with a file `restored`, and everybody learns of
it by another epoch. Copies of the whole, and of parts from different moments."""
import os
import re
import shutil
import subprocess
import threading
import unittest

from harness import Broker, BrokerTest, Client, burst, until

LOST = r"the ingest queue or the database's log is damaged: \d+ bytes"
RESTORED = "the data directory was restored from a copy"


class Restored(BrokerTest):
    durability = "group"

    def setUp(self):
        self.broker = Broker({"durability": self.durability})
        self.addCleanup(self.broker.close)

    def path(self, *names):
        return os.path.join(self.broker.data_dir, *names)

    def keep(self, name):
        """A copy of the data directory; the broker is stopped for it."""
        self.broker.stop()
        copy = os.path.join(self.broker.dir, name)
        shutil.copytree(self.broker.data_dir, copy)
        self.broker.start()
        return copy

    def put_back(self, copy, part=None):
        """In the place of the data directory, or of a part of it; the broker is stopped."""
        here, there = (self.path(part), os.path.join(copy, part)) if part else (self.broker.data_dir, copy)
        shutil.rmtree(here)
        shutil.copytree(there, here)

    def mark(self):
        with open(self.path("restored"), "wb"):
            pass

    def restart_restored(self):
        self.broker.stop()
        self.mark()
        self.broker.start()

    def send(self, count, text="x", ids=""):
        """From alice to bob."""
        alice = self.client("alice", "a")
        for i in range(count):
            alice.send_ok("user/bob", f"{text}{i}", f"{ids}{i}" if ids else None)
        alice.close()

    def epochs(self):
        """Wherever a device is told of the epoch."""
        bob = self.client("bob", "watch")
        bob.subscribe("im/notify/bob/json")
        told = [bob.wait_topic("im/notify/bob/json").value["epoch"], bob.ok("hello")["epoch"], bob.ok("sync")["epoch"]]
        since = bob.mark()
        self.send(1)
        told.append(bob.wait_topic("im/notify/bob/json", since).value["epoch"])
        bob.close()
        self.assertEqual(len(set(told)), 1, told)
        return told[0]

    def texts(self, broker=None):
        """All that bob has."""
        client = Client(broker or self.broker, "bob", "reader")
        messages = client.sync_all(limit=1000)
        client.close()
        for key in ("seq", "cseq"):
            self.assertEqual([m[key] for m in messages], list(range(1, len(messages) + 1)))
        self.assertFalse([m for m in messages if "gone" in m])
        return [m["body"] for m in messages]

    def test_epoch(self):
        self.send(3)
        seen = [self.epochs()]
        for kill in (False, True):
            self.restart_restored()
            self.assertFalse(os.path.exists(self.path("restored")))
            seen.append(self.epochs())
            self.broker.restart(kill)
            self.assertEqual(self.epochs(), seen[-1])
        self.assertEqual(len(set(seen)), 3)
        self.assertEqual(self.broker.log().count(RESTORED), 2)

    def test_new_directory(self):
        """To say so of nothing does no harm."""
        self.broker.stop()
        shutil.rmtree(self.broker.data_dir)
        os.mkdir(self.broker.data_dir)
        self.mark()
        self.broker.start()
        epoch = self.epochs()
        self.broker.restart()
        self.assertEqual(self.epochs(), epoch)

    def test_cannot_be_removed(self):
        self.broker.stop()
        os.makedirs(self.path("restored", "x"))
        self.assertIn("cannot remove the file 'restored'", self.broker.start_refused())
        shutil.rmtree(self.path("restored"))
        self.broker.start()

    def test_checkpoints(self):
        """A device that leaves it to the server where to go on starts over, too."""
        self.send(5)
        phone = self.client("bob", "phone")
        phone.ok("sync", {"after": 3})
        self.assertEqual([m["seq"] for m in phone.ok("sync")["messages"]], [4, 5])
        self.restart_restored()
        phone = self.client("bob", "phone")
        self.assertEqual(phone.ok("devices")["devices"], [])
        self.assertEqual([m["seq"] for m in phone.ok("sync")["messages"]], [1, 2, 3, 4, 5])
        phone.ok("sync", {"after": 2})
        for _ in range(2):
            phone = self.client("bob", "phone")
            self.assertEqual([m["seq"] for m in phone.ok("sync")["messages"]], [3, 4, 5])
            self.assertEqual([(d["device"], d["checkpoint"]) for d in phone.ok("devices")["devices"]], [("phone", 2)])
            self.broker.restart()

    def test_backup(self):
        """What came after the copy is lost, its ids are free again, and its places are given to others."""
        self.send(5, "old", "m")
        copy = self.keep("backup")
        self.send(5, "lost", "n")
        before = self.client("bob", "phone").ok("sync", {"after": 10})
        self.broker.stop()
        self.put_back(copy)
        self.mark()
        self.broker.start()
        self.send(3, "old", "m")
        self.send(7, "new", "n")
        page = self.client("bob", "phone").ok("sync", {"after": 10})
        self.assertNotEqual(page["epoch"], before["epoch"])
        self.assertNotIn("reset", page)  # by chance: the inbox has passed the device's position
        self.assertEqual(self.texts(), [f"old{i}" for i in range(5)] + [f"new{i}" for i in range(7)])
        self.assertEqual(len(self.client("bob", "phone").ok("sync")["messages"]), 2)

    def test_older_database(self):
        """What the queue still has is stored again; what it has let go of is missed and said to be."""
        self.send(5, "old")
        copy = self.keep("backup")
        self.send(5, "later")
        self.broker.stop()
        self.put_back(copy, "db")
        self.mark()
        self.broker.start()
        self.send(1, "new")  # stored behind what the queue has
        self.assertEqual(self.texts(), [f"old{i}" for i in range(5)] + [f"later{i}" for i in range(5)] + ["new0"])
        self.assertNotRegex(self.broker.log(), LOST)

    def test_much_older_database(self):
        self.send(5, "old")
        copy = self.keep("backup")
        self.send(60, "y" * 100000)  # more than a segment
        self.broker.stop()
        self.put_back(copy, "db")
        self.mark()
        self.broker.start()
        self.broker.wait_log(LOST)
        self.send(2, "new")
        texts = self.texts()
        self.assertEqual(texts[:5], [f"old{i}" for i in range(5)])
        self.assertEqual(texts[-2:], ["new0", "new1"])
        self.assertLess(len(texts), 67)

    def test_older_queue(self):
        """All that is in it is stored."""
        self.send(5, "old")
        copy = self.keep("backup")
        self.send(60, "y" * 100000)
        self.broker.stop()
        self.put_back(copy, "queue")
        self.mark()
        self.broker.start()
        self.send(2, "new")
        self.assertEqual(len(self.texts()), 67)
        self.assertNotRegex(self.broker.log(), LOST)

    def test_other_queue(self):
        """One that has gone on otherwise: nothing of it is taken for what it is not."""
        self.send(5, "old")
        copy = self.keep("backup")
        self.send(5, "a longer one")
        other = self.keep("other")
        self.broker.stop()
        self.put_back(copy)
        self.broker.start()
        self.send(4, "short")
        self.broker.stop()
        self.put_back(other, "queue")
        self.mark()
        self.broker.start()
        self.send(2, "new")
        texts = self.texts()
        self.assertEqual(texts[:9], [f"old{i}" for i in range(5)] + [f"short{i}" for i in range(4)])
        self.assertEqual(texts[-2:], ["new0", "new1"])
        self.assertLessEqual(set(texts[9:-2]), {f"a longer one{i}" for i in range(5)})

    def test_copy_of_a_running_one(self):
        """No backup: it is refused, or what is in it is what there was at some moment."""
        self.broker.options["write_buffer"] = "64k"
        self.broker.restart()
        stop, sent = threading.Event(), []
        sender = threading.Thread(target=self.keep_sending, args=(stop, sent))
        sender.start()
        self.addCleanup(sender.join)
        self.addCleanup(stop.set)
        for _ in range(3):
            before = len(sent)
            until(lambda count=before: len(sent) > count + 3, "messages")
            copy = Broker({"durability": self.durability, "write_buffer": "64k"}, start=False)
            self.addCleanup(copy.close)
            subprocess.run(["cp", "-a", self.broker.data_dir + "/.", copy.data_dir], capture_output=True, check=False)
            try:
                copy.start()
            except AssertionError as failure:
                self.assertRegex(str(failure), "cannot open the database: Corruption: .*(missing|CURRENT)")
                continue
            numbers = [int(text.split()[0]) for text in self.texts(broker=copy)]
            self.assertEqual(numbers, sorted(set(numbers)))
            if not re.search(LOST, copy.log()):
                self.assertEqual(numbers, list(range(len(numbers))))

    def keep_sending(self, stop, sent):
        """From alice to bob, until told to stop: sent has an entry for each hundred messages, which are numbered."""
        while not stop.is_set():
            numbers = range(100 * len(sent), 100 * len(sent) + 100)
            burst(self.broker, "alice", "im/user/bob", [f"{n} {'x' * 2000}".encode() for n in numbers])
            sent.append(numbers)

    def test_without_a_database(self):
        self.send(60, "y" * 100000)
        self.broker.stop()
        shutil.rmtree(self.path("db"))
        self.mark()
        self.assertIn("there is no database", self.broker.start_refused())
        self.assertTrue(os.path.exists(self.path("restored")))
        self.broker.expected_dead = True


class RestoredOs(Restored):
    durability = "os"


if __name__ == "__main__":
    unittest.main()
