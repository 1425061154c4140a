"""The configurations that come with the plugin, as an operator puts them into service."""
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import unittest

from harness import HOST, ROOT, Broker, free_port, plugin_path, program, until


def shipped(name):
    with open(os.path.join(ROOT, *name.split("/")), encoding="utf-8") as f:
        return f.read()


class FilledIn(Broker):
    """Debian's mosquitto.conf, and production.conf as a file that it includes, with `settings` in place of the shipped ones."""

    settings = ()

    def write_conf(self):
        text = shipped("config/production.conf")
        for setting, value in self.settings:
            text, found = re.subn(rf"^#?{setting} .*", f"{setting} {value}", text, flags=re.M)
            assert found == 1, setting
        included = os.path.join(self.dir, "conf.d")
        os.makedirs(included, exist_ok=True)
        with open(os.path.join(included, "timeline.conf"), "w", encoding="utf-8") as f:
            f.write(text)
        with open(self.conf_path, "w", encoding="utf-8") as f:
            f.write(f"persistence true\npersistence_location {self.dir}/\nlog_dest file {self.log_path}\n"
                    f"{'user root' if os.geteuid() == 0 else ''}\ninclude_dir {included}\n")


class Production(unittest.TestCase):
    def setUp(self):
        self.broker = broker = FilledIn(start=False)
        self.addCleanup(broker.close)
        self.certificate, key, passwords = (os.path.join(broker.dir, name) for name in ("crt", "key", "passwords"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
                        "-addext", f"subjectAltName=IP:{HOST}", "-keyout", key, "-out", self.certificate],
                       check=True, capture_output=True)
        subprocess.run([program("mosquitto_passwd"), "-c", "-b", passwords, "alice", "pw"], check=True, capture_output=True)
        broker.settings = [("listener", f"{broker.port} {HOST}"), ("certfile", self.certificate), ("keyfile", key),
                           ("password_file", passwords), ("plugin", plugin_path()),
                           ("plugin_opt_data_dir", broker.data_dir)]

    def hello(self):
        result = self.broker.rr("--cafile", self.certificate, "-V", "5", "-u", "alice", "-P", "pw", "-i", "phone", "-q", "1",
                                "-t", "im/req/hello", "-e", "im/res/phone/1", "-n", "-W", "10")
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout)

    def test_as_it_is(self):
        self.broker.start()
        self.assertEqual(self.hello()["limits"]["message_rate"], 200)

    def test_with_everything_that_it_offers(self):
        offered = re.findall(r"^#(plugin_opt_\w+) (.*)", shipped("config/production.conf"), re.M)
        self.assertGreater(len(offered), 5)
        self.broker.settings += offered
        self.broker.start()
        self.assertEqual(self.hello()["limits"]["inbox_ttl_ms"], 30 * 86400000)


@unittest.skipUnless(os.path.exists(os.path.join(ROOT, "build", "release", "CMakeCache.txt")), "would build everything")
class TryingOut(unittest.TestCase):
    def run_sh(self, **env):
        """config/run.sh on a free port, and that port."""
        folder = tempfile.mkdtemp(prefix="tl-int-")
        self.addCleanup(shutil.rmtree, folder, True)
        port = free_port()
        script = subprocess.Popen([os.path.join(ROOT, "config", "run.sh")], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, env=dict(os.environ, PORT=str(port), DATA=folder + "/a b", **env))
        self.addCleanup(script.stdout.close)
        self.addCleanup(script.wait)
        self.addCleanup(script.terminate)
        return script, port

    def listens(self, script, port):
        self.assertIsNone(script.poll())
        with socket.socket() as s:
            return s.connect_ex((HOST, port)) == 0

    def test_a_broker_for_anybody(self):
        script, port = self.run_sh()
        until(lambda: self.listens(script, port), "the broker to listen", 120)
        result = subprocess.run([program("mosquitto_rr"), "-h", HOST, "-p", str(port), "-V", "5", "-u", "alice", "-i", "phone",
                                 "-t", "im/req/hello", "-e", "im/res/phone/1", "-n", "-W", "10"],
                                capture_output=True, check=True)
        self.assertEqual(json.loads(result.stdout)["user"], "alice")

    def test_another_broker_is_not_taken_instead(self):
        script, _ = self.run_sh(MOSQUITTO="/nowhere/mosquitto")
        output, _ = script.communicate(timeout=120)
        self.assertNotEqual(script.returncode, 0, output)
        self.assertIn(b"/nowhere/mosquitto", output)


class Installed(unittest.TestCase):
    def test_where_the_documents_say(self):
        build = os.path.dirname(os.path.dirname(plugin_path()))
        if not os.path.exists(os.path.join(build, "cmake_install.cmake")):
            self.skipTest("the plugin does not lie in a build folder")
        broker = Broker(start=False)
        self.addCleanup(shutil.rmtree, broker.dir)
        subprocess.run(["cmake", "--install", build, "--prefix", "/usr"], check=True, capture_output=True,
                       env=dict(os.environ, DESTDIR=broker.dir))
        for name in ("README.md", "config/mosquitto.conf", "config/production.conf"):
            path, = re.findall(r"^ *plugin (/\S+)$", shipped(name), re.M)
            self.assertTrue(os.path.exists(broker.dir + path), f"{name}: {path}")


if __name__ == "__main__":
    unittest.main()
