"""A Mosquitto 2.0 that its own Makefile has built: it does not export to plugins what reads the properties of MQTT 5."""
import os
import shutil
import subprocess
import unittest
from unittest import mock

from harness import Broker, Client, program

KEPT_BACK = [f"mosquitto_property_{name}"
             for name in ("identifier", "next", "read_binary", "read_string", "read_string_pair")]

LIBRARY = "".join(f"void {name}(void) {{}}\n" for name in KEPT_BACK) + """
int mosquitto_lib_version(int *major, int *minor, int *revision)
{
	*major = %d, *minor = %d, *revision = 0;
	return 0;
}
"""


class MakefileBroker(Broker):
    """A copy of the broker in which those names are others."""

    def spawn(self):
        with open(os.environ.get("MOSQUITTO") or program("mosquitto"), "rb") as f:
            binary = f.read()
        for name in KEPT_BACK:
            binary = binary.replace(name.encode() + b"\0", name[:-1].encode() + b"_\0")
        copy = os.path.join(self.dir, "mosquitto")
        with open(copy, "wb") as f:
            f.write(binary)
        os.chmod(copy, 0o755)
        with mock.patch.dict(os.environ, MOSQUITTO=copy):
            super().spawn()


class WithoutExports(unittest.TestCase):
    def setUp(self):
        debian = Broker(plugin=False)
        self.addCleanup(debian.close)
        if debian.version() != (2, 0):
            self.skipTest("2.1 exports them, however it is built")
        self.broker = MakefileBroker(start=False)
        self.addCleanup(self.broker.close)

    def refused_beside(self, major, minor):
        """What is logged where there is no libmosquitto but one of this version."""
        compiler = shutil.which("cc")
        if not compiler:
            self.skipTest("no C compiler")
        subprocess.run([compiler, "-shared", "-fPIC", "-x", "c", "-o", os.path.join(self.broker.dir, "libmosquitto.so.1"), "-"],
                       input=LIBRARY % (major, minor), text=True, check=True)
        with mock.patch.dict(os.environ, LD_LIBRARY_PATH=self.broker.dir):
            return self.broker.start_refused()

    def test_properties_are_read_all_the_same(self):
        self.broker.start()
        alice = Client(self.broker, "alice")
        self.addCleanup(alice.close)
        receipt = alice.send_ok("user/bob", "x", props={"id": "m1", "type": "note", "colour": "blue"})
        self.assertEqual(receipt["id"], "m1")
        message = alice.ok("get", {"conv": "d:alice:bob", "cseq": 1})["message"]
        self.assertEqual((message["type"], message["props"]), ("note", {"colour": "blue"}))

    def test_a_library_of_another_generation_is_not_used(self):
        self.assertRegex(self.refused_beside(2, 1), "timeline: .*libmosquitto")
        self.assertRegex(self.refused_beside(1, 6), "timeline: .*libmosquitto")


if __name__ == "__main__":
    unittest.main()
