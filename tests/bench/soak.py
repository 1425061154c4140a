"""The soak: mixed load on one broker for some minutes, sampled; soak.sh runs it.

    tl_mqtt_load    one to one to many users, and to groups, with message ids, at fixed rates
    devices         threads of this program that sync, read, delete, recall, edit, look at histories, come and go

Inbox entries, messages, message ids and checkpoints all live for a small part of the run. After the first third what
is on disk is therefore what lives, and what is in memory is in its caches; the last third must not have more than the
middle third.
"""
import os
import random
import statistics
import subprocess
import sys
import threading
import time

from harness import Broker, Client

MIB = 1024 * 1024
USERS, GROUPS, MEMBERS = 200, 6, 30  # u0 … u199; group g<i> has u0 … u29
SENDERS = 8                          # of each kind; u0 … u7
DIRECT_RATE, GROUP_RATE = 1500, 60   # messages/s
DEVICES = 4
SAMPLES = 60

# Figure, and by how much the mean of its last third may exceed that of its middle third: a part of it, and MiB. The
# disk goes up and down with each compaction.
JUDGED = (("anonymous memory", 0.10, 4), ("rss", 0.25, 8), ("disk", 0.25, 8))


def memory(pid):
    """Anonymous and resident memory, bytes."""
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        lines = dict(line.split(":", 1) for line in f)
    return tuple(int(lines[key].split()[0]) * 1024 for key in ("RssAnon", "VmRSS"))


def disk(path):
    """What a directory takes on the disk, bytes. Files that go meanwhile do not count."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                total += os.stat(os.path.join(folder, name)).st_blocks * 512
            except FileNotFoundError:
                pass
    return total


class Device(threading.Thread):
    """One user's device after another. An error ends it and is reported at the end."""

    def __init__(self, broker, number, stop):
        super().__init__()
        self.broker, self.number, self.stop = broker, number, stop
        self.random = random.Random(number)
        self.error = None
        self.requests = self.gaps = self.entries = 0

    def run(self):
        try:
            while not self.stop.is_set():
                user = f"u{self.random.randrange(USERS)}"
                # Each thread has ids of its own. Few in all: the broker remembers who held an id last.
                client = Client(self.broker, user, f"{user}-{self.number}")
                try:
                    self.use(client)
                finally:
                    client.close()
        except Exception as error:  # pylint: disable=broad-except
            self.error = error

    def use(self, client):
        position = 0
        for _ in range(30):
            if self.stop.is_set():
                return
            position, messages = self.sync(client, position)
            if messages:
                self.react(client, self.random.choice(messages))

    def ask(self, client, op, args):
        """A request that may be refused: what it is about may have expired in between."""
        response = client.request(op, args)
        self.requests += 1
        if not response["ok"] and response["error"]["code"] not in ("no_such_message", "not_authorised"):
            raise AssertionError(f"{op} {args}: {response}")
        return response

    def sync(self, client, position):
        page = self.ask(client, "sync", {"after": position, "limit": 500})
        first = max(position, page["floor"]) + 1
        numbers = [m["seq"] for m in page["messages"]]
        if numbers != list(range(first, first + len(numbers))) or page.get("gap", False) != (position < page["floor"]):
            raise AssertionError(f"after {position}: {page['floor']} {page.get('gap')} {numbers[:3]} … {numbers[-3:]}")
        self.entries += len(numbers)
        self.gaps += page.get("gap", False)
        return page["next"], [m for m in page["messages"] if "body" in m]

    def react(self, client, message):
        conv, cseq = message["conv"], message["cseq"]
        op, args = self.random.choice((
            ("read", {"conv": conv, "cseq": cseq}), ("delete", {"conv": conv, "cseqs": [cseq]}),
            ("delete", {"conv": conv, "all": True}), ("recall", {"conv": conv, "cseq": cseq}),
            ("edit", {"conv": conv, "cseq": cseq, "body": "edited"}), ("history", {"conv": conv, "limit": 50}),
            ("get", {"conv": conv, "cseq": cseq}), ("convs", {"limit": 20}), ("devices", {}), ("hello", {})))
        self.ask(client, op, args)


class Soak:
    def __init__(self, tool, seconds):
        self.tool, self.seconds = tool, seconds
        ttl = max(2, seconds // 30)
        # A bucket of message ids lives for two minutes at least, too long for a short run.
        window = "1m" if seconds >= 540 else "0"
        self.broker = Broker({"inbox_ttl": f"{ttl}s", "retention": f"{ttl}s", "device_ttl": f"{ttl}s",
                              "dedup_window": window, "write_buffer": "4m", "block_cache": "8m"})
        print(f"soak: {seconds} s; inboxes, messages and devices live for {ttl} s, message ids for {window}",
              flush=True)
        self.rows = []

    def load(self, command, *args):
        return subprocess.Popen([self.tool, command, "--port", str(self.broker.port), *args],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def start_load(self):
        for i in range(GROUPS):
            creating = self.load("create", "--conv", f"g{i}", "--members", str(MEMBERS))
            if creating.wait(60) != 0:
                raise AssertionError(f"no group: {creating.stderr.read()}")
        common = ["--connections", str(SENDERS), "--messages", "100000000", "--seconds", str(self.seconds), "--bytes",
                  "200", "--binary"]
        return [self.load("publish", "--rate", str(DIRECT_RATE), "--topic", "im/user/u%u/m%m", "--client", "direct%n",
                          "--users", str(USERS), "--first-user", "0", *common),
                self.load("publish", "--rate", str(GROUP_RATE), "--topic", "im/conv/g%c/m%m", "--client", "group%n",
                          "--conversations", str(GROUPS), *common)]

    def sample(self, began):
        anonymous, rss = memory(self.broker.process.pid)
        row = {"anonymous memory": anonymous, "rss": rss, "disk": disk(self.broker.data_dir)}
        self.rows.append(row)
        print(f"{time.monotonic() - began:6.0f} s  " +
              "  ".join(f"{key} {value / MIB:7.1f} MiB" for key, value in row.items()), flush=True)

    def watch(self):
        began = time.monotonic()
        for i in range(1, SAMPLES + 1):
            time.sleep(max(0, began + i * self.seconds / SAMPLES - time.monotonic()))
            self.sample(began)

    def judge(self):
        """Whether all figures are flat."""
        third, flat = SAMPLES // 3, True
        for key, part, more in JUDGED:
            middle = statistics.fmean(row[key] for row in self.rows[third:2 * third])
            last = statistics.fmean(row[key] for row in self.rows[2 * third:])
            ok = last <= middle * (1 + part) + more * MIB
            flat = flat and ok
            print(f"{key}: {middle / MIB:.1f} MiB in the middle third, {last / MIB:.1f} MiB in the last: "
                  f"{'flat' if ok else 'GROWS'} (within {part:.0%} and {more} MiB)")
        return flat

    def run(self):
        stop = threading.Event()
        devices = [Device(self.broker, number, stop) for number in range(DEVICES)]
        loads = self.start_load()
        try:
            for device in devices:
                device.start()
            self.watch()
        finally:
            stop.set()
            for device in devices:
                device.join(60)
            lines = [load.communicate(timeout=120) for load in loads]
        for out, err in lines:
            print(out.strip() or err.strip())
        print(f"devices: {sum(d.requests for d in devices)} requests, {sum(d.entries for d in devices)} entries synced, "
              f"{sum(d.gaps for d in devices)} gaps")
        errors = [d.error for d in devices if d.error] + [err for load, (_, err) in zip(loads, lines) if load.returncode]
        for error in errors:
            print(f"soak: {error}", file=sys.stderr)
        return self.judge() and not errors


def main():
    soak = Soak(sys.argv[1], int(sys.argv[2]))
    try:
        ok = soak.run()
    finally:
        soak.broker.close()
    print("soak: passed" if ok else "soak: FAILED")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
