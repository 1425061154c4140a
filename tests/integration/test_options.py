"""A broker that is told something wrong refuses to start, and says in one clear line what is wrong."""
import os
import re
import shutil
import unittest

from harness import Broker, Client, plugin_path


class Refused(unittest.TestCase):
    def broker(self, options=None, **kw):
        broker = Broker(options, start=False, **kw)
        self.addCleanup(shutil.rmtree, broker.dir, True)
        return broker

    def refuse(self, options, *names, **kw):
        """The broker does not start, and one line names what is wrong."""
        broker = self.broker(options, **kw)
        self.said(broker.start_refused(), *names)
        return broker

    def said(self, log, *names):
        lines = [line for line in log.splitlines() if "timeline:" in line]
        self.assertEqual(len(lines), 1, log)
        for name in names:
            self.assertIn(name, lines[0])
        return lines[0]

    def test_unknown_option(self):
        self.refuse({"colour": "red"}, "plugin_opt_colour")
        self.refuse({"Root": "im"}, "plugin_opt_Root")

    def test_bad_values(self):
        for name, value in (("durability", "sometimes"), ("durability", "GROUP"), ("anonymous", "yes"),
                            ("other_topics", "deny"), ("max_body", "0"), ("max_body", "1x"), ("max_body", "-1"),
                            ("max_body", "99999999999999999999"), ("max_body", "1g"), ("max_body", "k"),
                            ("notify_inline_max", "lots"), ("dedup_window", "7"), ("dedup_window", "7w"),
                            ("dedup_window", "d"), ("max_members", "1"), ("max_members", "4k"), ("readers", "0"),
                            ("readers", "1.5"), ("message_rate", "-1"), ("message_rate", "1000001"),
                            ("message_burst", "0"), ("request_rate", "10/s"), ("request_burst", "0"), ("readers", "9999999999999999999999"), ("root", "im/#"), ("root", "+/im"),
                            ("root", "/im"), ("root", "im/"), ("root", "$SYS"), ("root", "a//b"), ("root", "r" * 200)):
            with self.subTest(option=name, value=value):
                self.refuse({name: value}, f"plugin_opt_{name}")

    def test_choices_are_told(self):
        broker = self.broker({"durability": "never"})
        line = self.said(broker.start_refused(), "plugin_opt_durability")
        for choice in ("strict", "group", "os"):
            self.assertIn(choice, line)

    def test_data_dir_missing_from_the_configuration(self):
        self.refuse({"data_dir": None}, "plugin_opt_data_dir")

    def test_data_dir_does_not_exist(self):
        broker = self.broker()
        path = broker.options["data_dir"] = os.path.join(broker.dir, "nowhere")
        self.said(broker.start_refused(), path)
        self.assertFalse(os.path.exists(path))

    def test_data_dir_is_a_file(self):
        broker = self.broker()
        path = broker.options["data_dir"] = os.path.join(broker.dir, "file")
        with open(path, "w", encoding="utf-8"):
            pass
        self.said(broker.start_refused(), path)

    @unittest.skipIf(os.geteuid() != 0, "needs root, to run the broker as somebody else")
    def test_data_dir_not_writable(self):
        broker = self.broker(user="mosquitto")
        broker.plugin = shutil.copy(plugin_path(), broker.dir)  # wherever it is, it may be out of that user's reach
        os.chmod(broker.plugin, 0o644)
        os.chmod(broker.dir, 0o755)
        for mode in (0o555, 0o755, 0o000):
            with self.subTest(mode=oct(mode)):
                os.chmod(broker.data_dir, mode)
                open(broker.log_path, "w", encoding="utf-8").close()
                self.said(broker.start_refused(), broker.data_dir)
        self.assertEqual(os.listdir(broker.data_dir), [])

    def test_data_dir_in_use(self):
        first = Broker()
        self.addCleanup(first.close)
        second = self.broker({"data_dir": first.data_dir})
        self.said(second.start_refused(), first.data_dir)
        client = Client(first, "alice")
        self.addCleanup(client.close)
        client.send_ok("user/alice", "unharmed")

    def test_loaded_twice(self):
        broker = self.broker()
        broker.conf = [f"plugin {plugin_path()}", f"plugin_opt_data_dir {broker.data_dir}"]
        self.assertRegex(broker.start_refused(), f"timeline: .*{broker.data_dir} .*twice")

    def test_data_dir_of_something_else(self):
        broker = self.broker()
        os.mkdir(os.path.join(broker.data_dir, "db"))
        with open(os.path.join(broker.data_dir, "db", "CURRENT"), "w", encoding="utf-8") as f:
            f.write("garbage\n")
        self.said(broker.start_refused(), broker.data_dir)

    def test_more_than_can_be_addressed(self):
        with open(plugin_path(), "rb") as f:
            is_32_bit = f.read(5)[4] == 1
        if not is_32_bit:
            self.skipTest("the plugin is a 64-bit one")
        for size in ("1025m", "4g", "4100m"):  # in 32 bits the last two are 0 and 4m
            self.refuse({"block_cache": size}, "plugin_opt_block_cache", size)

    def test_per_listener_settings(self):
        """Mosquitto 2.0 would never call the plugin at a tick then."""
        class PerListener(Broker):
            def write_conf(self):
                super().write_conf()
                with open(self.conf_path, encoding="utf-8") as f:
                    conf = f.read()
                with open(self.conf_path, "w", encoding="utf-8") as f:
                    f.write("per_listener_settings true\n" + conf)

        broker = PerListener(start=False)
        self.addCleanup(broker.close)
        broker.spawn()
        if broker.version() == (2, 0):
            self.assertNotEqual(broker.process.wait(30), 0)
            self.said(broker.log(), "per_listener_settings")
            return
        broker.wait_until_up()
        client = Client(broker, "alice")
        self.addCleanup(client.close)
        self.assertEqual(client.send_ok("user/bob", "x")["cseq"], 1)

    def test_a_refusal_harms_nothing(self):
        broker = Broker()
        self.addCleanup(broker.close)
        client = Client(broker, "alice")
        client.send_ok("user/alice", "x")
        client.close()
        broker.stop()
        broker.options["durability"] = "bad"
        broker.start_refused()
        del broker.options["durability"]
        broker.start()
        client = Client(broker, "alice")
        self.addCleanup(client.close)
        self.assertEqual(len(client.sync_all()), 1)


class Accepted(unittest.TestCase):
    def test_units_and_choices(self):
        for options, limits in (
                ({"durability": "strict", "max_body": "64k", "dedup_window": "30s"},
                 {"max_body": 65536, "dedup_window_ms": 30000}),
                ({"durability": "group", "max_body": "2m", "dedup_window": "12h"},
                 {"max_body": 2097152, "dedup_window_ms": 43200000}),
                ({"durability": "os", "max_body": "512", "dedup_window": "5m", "notify_inline_max": "1k"},
                 {"max_body": 512, "dedup_window_ms": 300000, "notify_inline_max": 1024})):
            with self.subTest(options=options):
                broker = Broker(options)
                self.addCleanup(broker.close)
                client = Client(broker, "alice")
                hello = client.ok("hello")
                self.assertEqual({k: hello["limits"][k] for k in limits}, limits)
                client.send_ok("user/bob", "x", "m1")
                client.close()
                broker.restart(kill=True)
                client = Client(broker, "alice")
                self.assertTrue(client.send_ok("user/bob", "x", "m1")["dup"])
                client.close()

    def test_says_what_it_serves(self):
        broker = Broker({"root": "chat"})
        self.addCleanup(broker.close)
        line = re.search(r"timeline [0-9.]+: .*", broker.log()).group(0)
        self.assertIn("chat/#", line)
        self.assertIn(broker.data_dir, line)


if __name__ == "__main__":
    unittest.main()
