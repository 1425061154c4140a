"""A broker that keeps what reads MQTT 5 properties to itself, as 2.0.18 to 2.0.22 do. 2.0.11 and 2.1 export it."""
import os
import re
import shutil
import stat
import subprocess
import unittest
from unittest import mock

from harness import Broker, Client, program

LIBRARY = """
int mosquitto_lib_version(int *major, int *minor, int *revision) { *major = %d, *minor = %d, *revision = 0; return 0; }
""" + "".join(f"void mosquitto_property_{name}(void) {{}}\n"
              for name in ("identifier", "next", "read_binary", "read_string", "read_string_pair"))

HIDDEN = re.compile(rb"mosquitto_property_(?!add_|free_all)[a-z_]+(?=\0)")


class ReticentBroker(Broker):
    """The broker at hand with these symbols renamed; `libraries`: a folder of libraries to prefer."""

    libraries = None

    def spawn(self):
        with open(os.environ.get("MOSQUITTO") or program("mosquitto"), "rb") as f:
            binary = f.read()
        path = os.path.join(self.dir, "mosquitto")
        with open(path, "wb") as f:
            f.write(HIDDEN.sub(lambda name: b"x" * len(name.group()), binary))
        os.chmod(path, stat.S_IRWXU)
        with mock.patch.dict(os.environ, MOSQUITTO=path, **({"LD_LIBRARY_PATH": self.libraries} if self.libraries else {})):
            super().spawn()


class PropertiesOfTheLibrary(unittest.TestCase):
    def broker(self):
        broker = ReticentBroker(start=False)
        self.addCleanup(broker.close)
        return broker

    def refused(self, broker, reason):
        self.assertNotEqual(broker.process.wait(30), 0)
        lines = [line for line in broker.log().splitlines() if "timeline:" in line]
        self.assertEqual(len(lines), 1, broker.log())
        self.assertIn("libmosquitto.so.1", lines[0])
        self.assertIn(reason, lines[0])

    def test_are_read_and_written(self):
        broker = self.broker()
        broker.spawn()
        if broker.version() != (2, 0):
            self.refused(broker, "another version")
            return
        broker.wait_until_up()
        alice = Client(broker, "alice")
        self.addCleanup(alice.close)
        where = alice.res("here")
        for number in range(100):
            _, receipt = alice.send("user/alice", "x", props={"id": f"m{number}", "type": "image", "colour": "red", "empty": ""},
                                    content_type="image/png", response_topic=where, correlation=b"\x00corr")
            self.assertEqual((receipt["ok"], receipt["id"]), (True, f"m{number}"))
        self.assertEqual(alice.wait_topic(where).correlation, b"\x00corr")
        for number, message in enumerate(alice.sync_all()):
            self.assertEqual([message[key] for key in ("id", "type", "ctype", "props")],
                             [f"m{number}", "image", "image/png", {"colour": "red", "empty": ""}])

    def test_without_the_library(self):
        broker = self.broker()
        broker.libraries = broker.dir
        with open(os.path.join(broker.dir, "libmosquitto.so.1"), "w", encoding="ascii") as f:
            f.write("no library\n")
        broker.spawn()
        self.refused(broker, broker.dir if broker.version() == (2, 0) else "libmosquitto")

    def test_with_a_library_of_another_version(self):
        if not shutil.which("cc"):
            self.skipTest("no C compiler")
        for version in ((2, 1), (1, 6)):
            with self.subTest(version=version):
                broker = self.broker()
                broker.libraries = broker.dir
                subprocess.run(["cc", "-shared", "-fPIC", "-x", "c", "-o", os.path.join(broker.dir, "libmosquitto.so.1"), "-"],
                               input=LIBRARY % version, text=True, check=True)
                broker.spawn()
                self.refused(broker, "another version")


if __name__ == "__main__":
    unittest.main()
