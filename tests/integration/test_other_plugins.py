"""Beside Mosquitto's dynamic security plugin, whichever of the two is asked first."""
import glob
import os
import subprocess
import unittest

from harness import ACCEPTED, HOST, NOT_AUTHORISED, Broker, Client, plugin_path, program

DYNAMIC_SECURITY = glob.glob("/usr/lib/*/mosquitto_dynamic_security.so")
CONTROL = "$CONTROL/dynamic-security/v1"


@unittest.skipUnless(DYNAMIC_SECURITY, "the dynamic security plugin is not installed")
class DynamicSecurity(unittest.TestCase):
    def start(self, first, other_topics):
        """A broker with both plugins: `admin` administers the other one, which grants nothing to `alice`."""
        broker = Broker({"other_topics": other_topics}, plugin=False, anonymous=False, start=False)
        self.addCleanup(broker.close)
        config = os.path.join(broker.dir, "dynamic-security.json")
        other = [f"plugin {DYNAMIC_SECURITY[0]}", f"plugin_opt_config_file {config}"]
        this = [f"plugin {plugin_path()}", *(f"plugin_opt_{k} {v}" for k, v in broker.options.items())]
        broker.conf = this + other if first else other + this
        self.control("init", config, "admin", "secret")
        broker.start()
        self.control("createClient", "alice", "-p", "pw", broker=broker)
        return broker

    @staticmethod
    def control(*args, broker=None):
        server = ["-h", HOST, "-p", str(broker.port), "-u", "admin", "-P", "secret"] if broker else []
        subprocess.run([program("mosquitto_ctrl"), *server, "dynsec", *args], check=True, capture_output=True)

    def client(self, broker, user, password):
        client = Client(broker, user, password=password)
        self.addCleanup(client.close)
        return client

    def test_what_nobody_grants_is_refused(self):
        for first in (True, False):
            with self.subTest(first=first):
                alice = self.client(self.start(first, "defer"), "alice", "pw")
                alice.send_ok("user/alice", "x")
                self.assertEqual(len(alice.sync_all()), 1)
                for topic in ("other", "#", "$SYS/#", CONTROL + "/response"):
                    self.assertEqual(alice.subscribe(topic), NOT_AUTHORISED, topic)
                for topic in ("other", CONTROL):
                    self.assertEqual(alice.wait_ack(alice.publish(topic, "x")), NOT_AUTHORISED, topic)

    def test_administering_is_not_opened(self):
        for first in (True, False):
            with self.subTest(first=first):
                broker = self.start(first, "allow")
                alice = self.client(broker, "alice", "pw")
                self.assertLess(alice.subscribe("other"), 0x80)
                self.assertIn(alice.wait_ack(alice.publish("other", "x")), ACCEPTED)
                for topic in (CONTROL + "/#", "$CONTROL/#", "$share/g/$CONTROL/#"):
                    self.assertEqual(alice.subscribe(topic), NOT_AUTHORISED, topic)
                for topic in (CONTROL, "$CONTROL/other"):
                    self.assertEqual(alice.wait_ack(alice.publish(topic, "x")), NOT_AUTHORISED, topic)
                self.control("createClient", "bob", "-p", "pw", broker=broker)
                self.client(broker, "bob", "pw").send_ok("user/alice", "x")


if __name__ == "__main__":
    unittest.main()
