"""Mosquitto's own command line programs, as somebody who reads the README uses them."""
import json
import os
import signal

from harness import DEADLINE, TimelineTest, until


class CommandLine(TimelineTest):
    def json(self, result):
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout)

    def rr(self, user, device, op, payload=None, *more):
        """mosquitto_rr: a request with MQTT 5's Response Topic."""
        body = ["-m", json.dumps(payload)] if payload is not None else ["-n"]
        return self.json(self.broker.rr("-V", "5", "-u", user, "-i", device, "-t", f"im/req/{op}",
                                        "-e", f"im/res/{device}/{op}", "-W", "10", "-q", "1", *body, *more))

    def watch(self, user, device, *args):
        """mosquitto_sub in the background, subscribed."""
        # Line-buffered, so that what -d says can be read while it runs.
        process = self.broker.sub_start("-u", user, "-i", device, "-d", *args)
        self.addCleanup(self.stop, process)
        os.set_blocking(process.stdout.fileno(), False)
        process.seen = b""
        self.until(process, b"Subscribed (mid")
        return process

    def until(self, process, text):
        def arrived():
            process.seen += process.stdout.read() or b""
            return text in process.seen

        until(arrived, f"mosquitto_sub to say {text!r}", DEADLINE)

    @staticmethod
    def stop(process):
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait()
        process.stdout.close()
        process.stderr.close()

    def test_requests(self):
        alice = self.uid("alice")
        hello = self.rr(alice, "laptop", "hello")
        self.assertEqual((hello["ok"], hello["user"], hello["device"]), (True, alice, "laptop"))
        made = self.rr(alice, "laptop", "create", {"name": "Team", "members": ["bob"]})
        self.assertEqual((made["ok"], made["name"], made["count"]), (True, "Team", 2))
        info = self.rr(alice, "laptop", "info", {"conv": made["conv"]})
        self.assertEqual(info["head"], 1)
        self.assertEqual(self.rr("eve", "tab", "info", {"conv": made["conv"]})["error"]["code"], "not_member")

    def test_send_and_pull(self):
        alice, bob = self.uids("alice", "bob")
        for i, args in enumerate((("-q", "1"), ("-q", "0"), ("-V", "5", "-q", "2"))):
            result = self.broker.pub("-u", alice, "-i", "laptop", "-t", f"im/user/{bob}/m{i}", "-m", f"Hi {i}", *args)
            self.assertEqual(result.returncode, 0, result.stderr)
        page = until(lambda: (lambda p: p if len(p["messages"]) == 3 else None)(
            self.rr(bob, "phone", "sync", {"after": 0})), "three messages")
        self.assertEqual([(m["id"], m["body"], m["from"], m["device"]) for m in page["messages"]],
                         [(f"m{i}", f"Hi {i}", alice, "laptop") for i in range(3)])

    def test_metadata_as_user_properties(self):
        alice = self.uid("alice")
        result = self.broker.pub("-V", "5", "-u", alice, "-i", "laptop", "-q", "1", "-t", f"im/user/{alice}", "-m", "x",
                                 "-D", "publish", "user-property", "id", "m1", "-D", "publish", "user-property", "type",
                                 "note", "-D", "publish", "content-type", "text/markdown")
        self.assertEqual(result.returncode, 0, result.stderr)
        # Acked is not yet stored, and the command does not wait for the receipt.
        message = until(lambda: self.rr(alice, "laptop", "sync", {"after": 0})["messages"], "the message")[0]
        self.assertEqual((message["id"], message["type"], message["ctype"]), ("m1", "note", "text/markdown"))

    def test_receipt_with_rr(self):
        alice = self.uid("alice")
        receipt = self.json(self.broker.rr("-V", "5", "-u", alice, "-i", "laptop", "-t", "im/user/bob/m1", "-m", "x",
                                           "-e", "im/res/laptop/receipt", "-W", "10", "-q", "1"))
        self.assertEqual((receipt["op"], receipt["ok"], receipt["conv"], receipt["id"]),
                         ("send", True, f"d:{alice}:bob", "m1"))

    def test_watching_notifications(self):
        alice, bob = self.uids("alice", "bob")
        watcher = self.watch(bob, "phone", "-t", f"im/notify/{bob}/json")
        self.until(watcher, b'{"seq":0,')
        self.broker.pub("-u", alice, "-q", "1", "-t", f"im/user/{bob}", "-m", "Hello Bob")
        self.until(watcher, b'"body":"Hello Bob"')

    def test_refusals_are_shown(self):
        alice = self.uid("alice")
        result = self.broker.pub("-V", "5", "-u", alice, "-q", "1", "-t", "im/conv/nowhere", "-m", "x", "-d")
        self.assertRegex((result.stdout + result.stderr).decode(), r"RC:135|[Nn]ot authori[sz]ed")
        for topic in ("im/notify/somebody", "im/res/somebody/#", "im/conv/x"):
            for version in ("311", "5"):
                result = self.broker.sub("-V", version, "-u", alice, "-i", "laptop", "-t", topic, "-W", "10")
                self.assertRegex((result.stdout + result.stderr).decode(), "ot authori|denied")

    def test_a_spy_sees_nothing(self):
        alice, bob = self.uids("alice", "bob")
        watcher = self.watch(bob, "phone", "-t", f"im/notify/{bob}/json")
        spy = self.watch("eve", "tab", "-v", "-t", "im/#", "-t", "im/notify/#")
        self.broker.pub("-u", alice, "-q", "1", "-t", f"im/user/{bob}", "-m", "secret")
        self.until(watcher, b"secret")
        self.broker.pub("-u", alice, "-q", "1", "-t", "im/user/eve", "-m", "for eve")
        self.until(spy, b"for eve")
        self.assertNotIn(b"secret", spy.seen)
