"""Groups and channels: create, info, and who may send (PROTOCOL section 5)."""
import unittest

from fault import ShimBroker
from harness import ACCEPTED, NOT_AUTHORISED, OK, MQTT311, BrokerTest, TimelineTest, encode


class Create(TimelineTest):
    def setUp(self):
        super().setUp()
        self.alice, self.bob, self.carol = self.uids("alice", "bob", "carol")
        self.a = self.client(self.alice)

    def test_every_setting(self):
        settings = {"kind": "group", "name": "The Team ★", "history": "joined", "join": "invite", "post": "admins",
                    "order": "custom", "fanout": "read", "retention": "90d"}
        conv = self.cid("team")
        created = self.a.ok("create", dict(settings, conv=conv, members=[self.bob]))
        for key, value in dict(settings, conv=conv, owner=self.alice, count=2, head=1, op="create").items():
            self.assertEqual(created[key], value, key)
        for client in (self.a, self.client(self.bob)):
            info = client.ok("info", {"conv": conv})
            self.assertEqual(info, dict(created, op="info"))

    def test_each_value(self):
        for key, values in (("history", ("all", "joined")), ("join", ("open", "invite")),
                            ("post", ("members", "admins")), ("order", ("server", "custom")),
                            ("fanout", ("auto", "write", "read")), ("kind", ("group", "channel")),
                            ("retention", ("1d", "12h", "30m", "10s"))):
            for value in values:
                with self.subTest(key=key, value=value):
                    conv = self.cid("c")
                    self.assertEqual(self.a.ok("create", {"conv": conv, key: value})[key], value)
                    self.assertEqual(self.a.ok("info", {"conv": conv})[key], value)

    def test_defaults(self):
        conv = self.cid("c")
        created = self.a.ok("create", {"conv": conv})
        self.assertEqual((created["kind"], created["owner"], created["count"]), ("group", self.alice, 1))
        self.assertEqual((created["history"], created["post"], created["order"], created["fanout"]),
                         ("all", "members", "server", "auto"))
        self.assertNotIn("retention", created)

    def test_channel_is_for_admins_unless_said_otherwise(self):
        self.assertEqual(self.a.ok("create", {"kind": "channel"})["post"], "admins")
        self.assertEqual(self.a.ok("create", {"kind": "channel", "post": "members"})["post"], "members")

    def test_made_up_id(self):
        first, second = self.a.ok("create", {"name": "x"}), self.a.ok("create", {"name": "y"})
        self.assertTrue(first["conv"])
        self.assertFalse(first["conv"].startswith("d:"))
        self.assertNotEqual(first["conv"], second["conv"])
        self.a.send_ok(f"conv/{first['conv']}", "x")
        self.assertEqual(self.a.ok("info", {"conv": second["conv"]})["name"], "y")

    def test_exists(self):
        conv = self.group(self.a)
        self.assertEqual(self.client(self.bob).error("create", {"conv": conv}), "exists")
        self.assertEqual(self.a.error("create", {"conv": conv, "name": "other"}), "exists")
        self.assertEqual(self.a.ok("info", {"conv": conv})["count"], 1)

    def test_repeated_request(self):
        """A client that did not hear the answer asks again."""
        request = {"conv": self.cid("c"), "members": [self.bob], "rid": "r1"}
        first = self.a.ok("create", request)
        self.assertEqual(self.a.ok("create", request), first)
        self.assertEqual(self.client(self.alice).ok("create", request), first)
        made = self.a.ok("create", {"name": "x", "rid": "r2"})
        self.assertEqual(self.a.ok("create", {"name": "x", "rid": "r2"})["conv"], made["conv"])
        self.assertEqual(self.a.ok("hello")["latest"], 2)

    def test_members_once_each(self):
        conv = self.cid("c")
        self.assertEqual(self.a.ok("create", {"conv": conv, "members": [self.bob, self.bob, self.alice]})["count"], 2)
        self.assertEqual(self.a.send_ok(f"conv/{conv}", "x")["cseq"], 2)
        for client in (self.a, self.client(self.bob)):
            self.assertEqual([m["cseq"] for m in client.sync_all()], [1, 2])

    def test_event(self):
        conv = self.cid("c")
        self.a.ok("create", {"conv": conv, "name": "Team", "join": "invite", "members": [self.bob]})
        event = self.a.sync_all()[0]
        self.assertEqual(self.client(self.bob).sync_all(), [event])
        self.assertEqual((event["seq"], event["conv"], event["cseq"], event["type"], event["from"]),
                         (1, conv, 1, "event", self.alice))
        self.assertEqual(event["event"]["kind"], "create")
        self.assertEqual(event["event"]["by"], self.alice)
        self.assertEqual(event["event"]["users"], [self.bob])
        self.assertEqual((event["event"]["name"], event["event"]["join"]), ("Team", "invite"))
        self.assertTrue(event["id"] and event["ts"])
        self.assertNotIn("body", event)

    def test_names_and_ids_in_unicode(self):
        conv = self.cid("чат-漢字-🎈")
        created = self.a.ok("create", {"conv": conv, "name": "Пример \u2028 \"x\" \\"}, codec="msgpack")
        self.assertEqual((created["conv"], created["name"]), (conv, "Пример \u2028 \"x\" \\"))
        self.assertEqual(self.a.ok("info", {"conv": conv})["name"], created["name"])
        self.assertEqual(self.a.send_ok(f"conv/{conv}", "x")["conv"], conv)

    def test_bad_requests_say_which_key(self):
        for key, value in (("conv", "d:a:b"), ("conv", "d:"), ("conv", ""), ("conv", "a/b"), ("conv", "a+"), ("conv", "#"),
                           ("conv", "x" * 129), ("conv", 5), ("conv", "a\nb"), ("conv", None),
                           ("kind", "direct"), ("kind", "club"), ("kind", 1), ("name", 7), ("name", "x" * 100000),
                           ("members", "bob"), ("members", ["a:b"]), ("members", [1]), ("members", [""]),
                           ("members", ["x" * 129]), ("members", {"a": 1}), ("history", "none"), ("join", True),
                           ("post", "all"), ("order", ""), ("fanout", "both"), ("retention", "90"),
                           ("retention", "1w"), ("retention", -1), ("retention", "d"), ("retention", 90)):
            with self.subTest(key=key, value=str(value)[:20]):
                response = self.a.request("create", {key: value})
                self.assertIs(response["ok"], False)
                if len(str(value)) < 1000:
                    self.assertEqual(response["error"]["code"], "bad_request")
                    self.assertIn(key, response["error"]["message"])
        self.assertEqual(self.a.ok("hello")["latest"], 0)

    def test_ids_at_their_bound(self):
        conv = (self.cid("c") + "x" * 128)[:128]
        self.assertEqual(self.a.ok("create", {"conv": conv})["conv"], conv)
        self.assertEqual(self.a.send_ok(f"conv/{conv}", "x", "i" * 64)["cseq"], 2)

    def test_many_members(self):
        members = [f"member{i}-{self.alice}" for i in range(2000)]
        conv = self.cid("big")
        self.assertEqual(self.a.ok("create", {"conv": conv, "members": members}, codec="msgpack")["count"], 2001)
        self.a.send_ok(f"conv/{conv}", "hello all")
        for member in (members[0], members[999], members[-1]):
            self.assertEqual([m["cseq"] for m in self.client(member).sync_all()], [1, 2])


class MaxMembers(TimelineTest):
    options = {"max_members": "3"}

    def test_is_an_option(self):
        a = self.client(self.uid())
        self.assertEqual(a.error("create", {"members": self.uids("b", "c", "d")}), "too_large")
        self.assertEqual(a.ok("create", {"members": self.uids("b", "c")})["count"], 3)


class Members(TimelineTest):
    def setUp(self):
        super().setUp()
        self.alice, self.bob, self.eve = self.uids("alice", "bob", "eve")
        self.a, self.b, self.e = self.client(self.alice), self.client(self.bob), self.client(self.eve)

    def test_get_every_message(self):
        conv = self.group(self.a, self.bob)
        for i in range(10):
            (self.a, self.b)[i % 2].send_ok(f"conv/{conv}", str(i))
        for client in (self.a, self.b):
            messages = client.sync_all()
            self.assertEqual([m.get("body") for m in messages], [None] + [str(i) for i in range(10)])
            self.assertEqual([m["cseq"] for m in messages], list(range(1, 12)))
            self.assert_places(messages)
        self.assertEqual(self.e.ok("hello")["latest"], 0)

    def test_strangers_cannot_tell_what_exists(self):
        real, none = self.group(self.a, self.bob), self.cid("none")
        answers = []
        for conv in (real, none):
            info = self.e.request("info", {"conv": conv}, rid=1, tag="same")
            for version in ("v5", "v311"):
                client = self.e if version == "v5" else self.client(self.eve, version=MQTT311)
                code, receipt = client.send(f"conv/{conv}", "x", "m1")
                self.assertEqual(receipt.pop("conv"), conv)
                answers.append((conv == real, version, code, str(receipt)))
            answers.append((conv == real, "info", 0, str(info)))
            for topic in (f"im/live/{conv}", f"im/signal/{conv}"):
                answers.append((conv == real, topic[:8], self.e.subscribe(topic), ""))
            answers.append((conv == real, "signal", self.e.wait_ack(self.e.publish(f"im/signal/{conv}", "x")), ""))
        self.assertEqual([a[1:] for a in answers if a[0]], [a[1:] for a in answers if not a[0]])
        self.assertIn("not_member", answers[0][3])
        self.assertEqual(self.a.ok("info", {"conv": real})["head"], 1)

    def test_only_admins_post_to_a_channel(self):
        conv = self.group(self.a, self.bob, kind="channel")
        self.a.send_ok(f"conv/{conv}", "news")
        self.assert_refused(self.b.send(f"conv/{conv}", "x", "m1"), "not_authorised")
        self.assert_refused(self.e.send(f"conv/{conv}", "x", "m1"), "not_member")
        self.assertEqual([m.get("body") for m in self.b.sync_all()], [None, "news"])

    def test_custom_order_needs_an_order(self):
        conv = self.group(self.a, self.bob, order="custom")
        self.assert_refused(self.a.send(f"conv/{conv}", "x", "m1"), "bad_request")
        self.assert_refused(self.a.send(f"conv/{conv}", "x", "m1", props={"order": 0}), "bad_request")
        client = self.client(self.alice, version=MQTT311)
        self.assert_refused(client.send(f"conv/{conv}", "x", "m1"), "bad_request", OK)
        self.assertFalse(self.a.send_ok(f"conv/{conv}", "x", "m1", props={"order": 30})["dup"])
        self.a.send_ok(f"conv/{conv}", "y", props={"order": 10, "id": "m2"})
        self.assertEqual([(m["cseq"], m.get("order")) for m in self.b.sync_all()], [(1, None), (2, 30), (3, 10)])

    def test_create_and_send_without_waiting(self):
        for i in range(10):
            conv = self.cid("now")
            since = self.a.mark()
            packets = [self.a.publish("im/req/create/x", f'{{"conv":"{conv}","members":["{self.bob}"]}}')]
            packets += [self.a.publish(f"im/conv/{conv}/m{n}", str(n)) for n in range(5)]
            for packet in packets:
                self.assertIn(self.a.wait_ack(packet), ACCEPTED)
            self.assertTrue(self.a.wait_topic(self.a.res("create", "x"), since).value["ok"])
            for n in range(5):
                receipt = self.a.wait_topic(self.a.res("sent", f"m{n}"), since).value
                self.assertEqual((receipt["ok"], receipt.get("cseq"), receipt["conv"]), (True, n + 2, conv))
        self.assertEqual(self.b.ok("hello")["latest"], 60)

    def test_members_signal_each_other(self):
        conv = self.group(self.a, self.bob)
        signal = f"im/signal/{conv}"
        self.b.subscribe(signal)
        self.assertIn(self.a.wait_ack(self.a.publish(signal, "typing")), ACCEPTED)
        self.assertEqual(self.b.wait_topic(signal).payload, b"typing")
        self.assertEqual(self.e.wait_ack(self.e.publish(signal, "x")), NOT_AUTHORISED)
        self.assertEqual(self.a.ok("info", {"conv": conv})["head"], 1)

    def test_membership_is_seen_at_once_after_create(self):
        """The standing of somebody refused before must not stick."""
        conv = self.cid("later")
        self.assert_refused(self.b.send(f"conv/{conv}", "x", "m1"), "not_member")
        self.assertEqual(self.b.subscribe(f"im/signal/{conv}"), NOT_AUTHORISED)
        self.a.ok("create", {"conv": conv, "members": [self.bob]})
        self.assertFalse(self.b.send_ok(f"conv/{conv}", "x", "m1")["dup"])
        self.assertLess(self.b.subscribe(f"im/signal/{conv}"), 0x80)


class WhileChangesWait(BrokerTest):
    def test_only_those_that_may_let_a_stranger_send_keep_his_ack_open(self):
        self.broker = broker = ShimBroker()
        self.addCleanup(broker.close)
        a, b, e = self.client("alice"), self.client("bob"), self.client("eve")
        a.ok("create", {"conv": "team", "members": ["bob"]})
        cseq = b.send_ok("conv/team", "mine")["cseq"]
        waiting = (("read", {"cseq": cseq}), ("set", {"pin": True}), ("edit", {"cseq": cseq, "body": "x"}),
                   ("delete", {"cseqs": [cseq]}), ("recall", {"cseq": cseq}))
        broker.fail("db", "sync", "stall")
        for op, request in waiting:
            b.wait_ack(b.publish(f"im/req/{op}", encode(dict(request, conv="team"), "json")))
        self.assertEqual(e.wait_ack(e.publish("im/conv/team/m1", "x")), NOT_AUTHORISED)
        self.assertEqual(e.wait_topic(e.res("sent", "m1")).value["error"]["code"], "not_member")
        a.wait_ack(a.publish("im/req/add", b'{"conv":"team","users":["eve"]}'))
        for mid in ("m1", "m2"):
            since = e.mark()
            self.assertIn(e.wait_ack(e.publish(f"im/conv/team/{mid}", "x")), ACCEPTED)
        broker.heal()
        self.assertTrue(e.wait_topic(e.res("sent", "m2"), since).value["ok"])
        for op, _ in waiting:
            self.assertTrue(b.wait_topic(b.res(op)).value["ok"])
        stranger = self.client("mallory")
        self.assertEqual(stranger.wait_ack(stranger.publish("im/conv/team", "x")), NOT_AUTHORISED)


if __name__ == "__main__":
    unittest.main()
