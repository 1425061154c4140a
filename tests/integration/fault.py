"""Brokers to which bad things happen, and the look at everything afterwards.

    ShimBroker  a broker whose writes fail or stall on command (fault_shim.c)
    DiskBroker  a broker whose data directory is a small disk of its own
    ClockBroker a broker whose system's clock can be set
    World       what all users together see, and the invariants that hold for it whatever happened
"""
import atexit
import os
import shutil
import subprocess
import tempfile
import time
import unittest
from unittest import mock

from harness import DEADLINE, Broker, Client

HERE = os.path.dirname(os.path.abspath(__file__))


class Shim:
    """The shared object, compiled once for the process."""

    path = None

    @classmethod
    def build(cls):
        if cls.path:
            return cls.path
        compiler = shutil.which("cc") or shutil.which("gcc")
        if not compiler:
            raise unittest.SkipTest("no C compiler for the fault shim")
        folder = tempfile.mkdtemp(prefix="tl-shim-")
        atexit.register(shutil.rmtree, folder, True)
        out = os.path.join(folder, "fault_shim.so")
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", out,
                        os.path.join(HERE, "fault_shim.c"), "-ldl"], check=True, capture_output=True)
        cls.path = out
        return out


class ShimBroker(Broker):
    def __init__(self, *args, **kw):
        self.shim = Shim.build()
        self.control = None
        super().__init__(*args, **kw)

    def spawn(self):
        self.control = os.path.join(self.dir, "control")
        preload = ":".join(filter(None, [os.environ.get("TL_PRELOAD"), self.shim]))
        with mock.patch.dict(os.environ, TL_PRELOAD=preload, TL_SHIM_DIR=self.data_dir, TL_SHIM_CONTROL=self.control):
            super().spawn()

    def fail(self, where, what, how):
        """From now on; `how` is an errno or "stall", and after how many, if not at once: "stall 3"."""
        fresh = self.control + ".new"
        with open(fresh, "w", encoding="ascii") as f:
            f.write(f"{where} {what} {how}\n")
        os.rename(fresh, self.control)

    def heal(self):
        if self.control and os.path.exists(self.control):
            os.unlink(self.control)

    def stop(self):
        self.heal()
        super().stop()

    def kill9(self):
        super().kill9()
        self.heal()


class ClockBroker(ShimBroker):
    """A broker whose system's clock can be set."""

    def spawn(self):
        with mock.patch.dict(os.environ, TL_SHIM_CLOCK=os.path.join(self.dir, "clock")):
            super().spawn()

    def set_clock(self, seconds):
        """So far from the right time, from now on."""
        path = os.path.join(self.dir, "clock")
        with open(path + ".new", "w", encoding="ascii") as f:
            f.write(str(seconds))
        os.rename(path + ".new", path)


class DiskBroker(ShimBroker):
    """`mebibytes` of tmpfs as the data directory. Needs the right to mount."""

    def __init__(self, mebibytes, *args, **kw):
        self.mebibytes = mebibytes
        self.mounted = False
        kw["start"] = False
        super().__init__(*args, **kw)
        try:
            self.mount()
            self.start()
        except BaseException:
            self.close()
            raise

    def mount(self):
        if os.geteuid() != 0 or not shutil.which("mount"):
            raise unittest.SkipTest("needs root, to mount a small tmpfs")
        made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={self.mebibytes}m", "tmpfs", self.data_dir],
                              capture_output=True, check=False)
        if made.returncode:
            raise unittest.SkipTest(f"mounting a small tmpfs is not permitted: {made.stderr.decode().strip()}")
        self.mounted = True

    def resize(self, mebibytes):
        subprocess.run(["mount", "-o", f"remount,size={mebibytes}m", self.data_dir], check=True, capture_output=True)

    def ballast(self, mebibytes=None, name="ballast"):
        """A file of that size, without: of all that is free."""
        path = os.path.join(self.data_dir, name)
        left = mebibytes * 1024 * 1024 if mebibytes is not None else 1 << 40
        with open(path, "wb", buffering=0) as f:
            try:
                while left > 0:
                    left -= f.write(b"\x55" * min(left, 65536))
            except OSError:
                if mebibytes is not None:
                    raise
        return path

    def free_bytes(self):
        st = os.statvfs(self.data_dir)
        return st.f_bavail * st.f_frsize

    def close(self):
        try:
            self.stop()
        finally:
            if self.mounted:
                subprocess.run(["umount", "-l", self.data_dir], check=False, capture_output=True)
            shutil.rmtree(self.dir, ignore_errors=True)


def behind_all(broker, user):
    """A client whose message has been stored. The queue is in order: so what came before is stored, too. While the queue
    is full the message is refused, and sent again as any client would."""
    end = time.monotonic() + DEADLINE
    while True:
        client = Client(broker, user, f"looker-{user}")
        try:
            client.send_ok(f"user/{user}", "barrier", props={"type": "barrier"})
            return client
        except AssertionError:
            client.close()
            if time.monotonic() > end:
                raise


class World:
    """Everything that some users see, pulled by fresh devices."""

    def __init__(self, broker, users, convs=()):
        self.inboxes, self.histories, self.hellos = {}, {}, {}
        for user in users:
            client = behind_all(broker, user)
            try:
                self.hellos[user] = client.ok("hello", codec="msgpack")
                self.inboxes[user] = pull(client)
                for conv in convs:
                    if conv in self.histories or not any(m.get("conv") == conv for m in self.inboxes[user]):
                        continue
                    self.histories[conv] = history(client, conv)
            finally:
                client.close()

    def ids(self, conv):
        return [m["id"] for m in self.histories[conv] if m["type"] != "event"]

    def check(self, test, members):
        """The invariants; `members` gives for each conversation who has been in it all the time."""
        for user, inbox in self.inboxes.items():
            test.assertEqual([m["seq"] for m in inbox], list(range(1, len(inbox) + 1)), f"inbox of {user}")
            test.assertEqual(self.hellos[user]["latest"], len(inbox), f"latest of {user}")
        for conv, users in members.items():
            self.check_conversation(test, conv, users)

    def check_conversation(self, test, conv, users):
        story = self.histories[conv]
        test.assertEqual([m["cseq"] for m in story], list(range(1, len(story) + 1)), f"history of {conv}")
        stamps = [m["ts"] for m in story]
        test.assertEqual(stamps, sorted(stamps), f"ts in {conv}")
        ids = self.ids(conv)
        test.assertEqual(len(ids), len(set(ids)), f"{conv} has a message twice")
        for user in users:
            seen = [without_seq(m) for m in self.inboxes[user] if m.get("conv") == conv and "cseq" in m]
            test.assertEqual(len(seen), len(story), f"{user}'s share of {conv}")
            if seen != story:
                odd = next((a, b) for a, b in zip(seen, story) if a != b)
                test.fail(f"inbox of {user} and history of {conv} differ: {odd}")

    def check_senders(self, test, senders):
        """What was acked is there, once, in the sender's order, and every receipt was and is true."""
        where = {}
        for conv, story in self.histories.items():
            for m in story:
                if m["type"] != "event":
                    test.assertNotIn(m["id"], where)
                    where[m["id"]] = (conv, m)
        for sender in senders:
            test.assertIsNone(sender.error)
            lost = [mid for mid, code in sender.acks.items() if code < 0x80 and mid not in where]
            test.assertEqual(lost, [], f"{sender.user}: {len(lost)} acked messages are lost")
            for mid, receipts in sender.receipts.items():
                conv, m = where[mid]
                for receipt in receipts:
                    test.assertIs(receipt["ok"], True, receipt)
                    test.assertEqual((receipt["conv"], receipt["cseq"], receipt["ts"]), (conv, m["cseq"], m["ts"]),
                                     receipt)
            order = list(sender.acks)
            for conv in self.histories:
                mine = [m["id"] for m in self.histories[conv] if m["from"] == sender.user and m["id"] in sender.acks]
                known = set(mine)
                test.assertEqual(mine, [mid for mid in order if mid in known], f"{sender.user}'s order in {conv}")


def without_seq(message):
    message = dict(message)
    del message["seq"]
    return message


def pull(client):
    messages, after = [], 0
    while True:
        page = client.ok("sync", {"after": after, "limit": 1000}, codec="msgpack")
        messages += page["messages"]
        after = page["next"]
        if not page["more"]:
            return messages


def history(client, conv):
    messages, after = [], 0
    while True:
        page = client.ok("history", {"conv": conv, "after": after, "limit": 1000}, codec="msgpack")
        messages += page["messages"]
        if not page["more"]:
            return messages
        after = messages[-1]["cseq"]
