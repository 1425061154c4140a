"""Limits on how much a user sends and asks (`message_rate`, `request_rate`). How long things take here nobody knows, so what
is checked are bounds: no fewer than the burst, no more than the burst and what has come back meanwhile."""
import time
import unittest

from harness import ACCEPTED, MQTT311, NOT_AUTHORISED, OK, TimelineTest, until

BURST = 5


class RateTest(TimelineTest):
    def assert_limited(self, attempts):
        """Makes all attempts (functions that tell whether they were granted), far more than a burst: what they told."""
        begin = time.monotonic()
        results = [bool(attempt()) for attempt in attempts]
        come_back = int(time.monotonic() - begin) + 1  # at one a second
        self.assertGreaterEqual(sum(results), BURST, results)
        self.assertLessEqual(sum(results), BURST + come_back, results)
        self.assertEqual(results[:BURST], [True] * BURST)
        return results


class Messages(RateTest):
    options = {"durability": "os", "message_rate": "1", "message_burst": str(BURST)}

    def sender(self, client, topic, **kw):
        """An attempt to send: whether it was stored, and that the answer is right either way."""
        def attempt():
            code, receipt = client.send(topic, "x", self.cid("m"), **kw)
            if receipt["ok"]:
                return True
            self.assertEqual(receipt["error"]["code"], "rate_limited")
            self.assertIn("1 messages a second", receipt["error"]["message"])
            if code is not None:  # of QoS 0 there is none
                self.assertEqual(code, OK if client.version == MQTT311 else NOT_AUTHORISED)
            return False
        return attempt

    def test_each_way_of_sending(self):
        for kw in ({}, {"version": MQTT311}):
            for qos in (0, 1, 2):
                with self.subTest(qos=qos, **kw):
                    a, bob = self.client(self.uid("alice"), **kw), self.uid("bob")
                    conv = self.group(a)
                    stored = self.assert_limited([self.sender(a, topic, qos=qos)
                                                  for topic in (f"user/{bob}", f"conv/{conv}") * 10])
                    # Only those are stored.
                    texts = [m for m in a.sync_all() if m["type"] == "text"]
                    self.assertEqual(len(texts), sum(stored))

    def test_shared_by_the_devices_of_a_user(self):
        alice, bob = self.uids("alice", "bob")
        phone, old = self.client(alice), self.client(alice, version=MQTT311)
        self.assert_limited([self.sender(c, f"user/{bob}") for c in (phone, old) * 15])

    def test_not_shared_by_users(self):
        a, b = self.client(self.uid("alice")), self.client(self.uid("bob"))
        self.assert_limited([self.sender(a, f"user/{b.user}")] * 20)
        self.assert_limited([self.sender(b, f"user/{a.user}")] * 20)

    def test_connecting_again_gains_nothing(self):
        alice, bob = self.uids("alice", "bob")

        def attempt():
            client = self.client(alice, "phone")
            try:
                return self.sender(client, f"user/{bob}")()
            finally:
                client.close()

        self.assert_limited([attempt] * 20)

    def test_a_refused_message_does_not_use_up_its_id(self):
        a, bob = self.client(self.uid("alice")), self.uid("bob")
        refused = None
        for i in range(100):
            if not a.send(f"user/{bob}", "x", f"m{i}")[1]["ok"]:
                refused = f"m{i}"
                break
        self.assertIsNotNone(refused)
        receipt = until(lambda: (lambda r: r if r["ok"] else None)(a.send(f"user/{bob}", "x", refused)[1]), "an allowance")
        self.assertFalse(receipt["dup"])
        self.assertEqual(sum(m["id"] == refused for m in a.sync_all()), 1)

    def test_without_a_receipt_nothing_is_stored_either(self):
        a, bob = self.client(self.uid("alice"), version=MQTT311), self.uid("bob")
        begin = time.monotonic()
        for _ in range(50):
            packet = a.publish(f"im/user/{bob}", "x")
        self.assertEqual(a.wait_ack(packet), OK)
        most = BURST + int(time.monotonic() - begin) + 1
        stored = until(lambda: (lambda n: n if n >= BURST else None)(a.ok("hello")["latest"]), "the burst to be stored")
        self.assertLessEqual(stored, most)

    def test_malformed_ones_count(self):
        a, bob = self.client(self.uid("alice")), self.uid("bob")
        begin = time.monotonic()
        for _ in range(BURST):
            self.assert_refused(a.send(f"user/{bob}", "x", props={"id": "m", "type": "event"}), "bad_request")
        granted = sum(a.send(f"user/{bob}", "x", f"m{i}")[1]["ok"] for i in range(20))
        self.assertLessEqual(granted, int(time.monotonic() - begin) + 1)

    def test_signals(self):
        a, b = self.client(self.uid("alice")), self.client(self.uid("bob"))
        conv = self.group(a, b.user)
        b.subscribe(f"im/signal/{conv}")
        signal = lambda: a.wait_ack(a.publish(f"im/signal/{conv}", "typing")) in ACCEPTED
        begin = time.monotonic()
        granted = self.assert_limited([signal] * 20)
        until(lambda: len(b.on_topic(f"im/signal/{conv}")) >= sum(granted), "the signals")
        # They are messages.
        sent = sum(a.send(f"conv/{conv}", "x", f"m{i}")[1]["ok"] for i in range(20))
        self.assertLessEqual(sum(granted) + sent, BURST + int(time.monotonic() - begin) + 1)
        self.assertEqual(len(b.on_topic(f"im/signal/{conv}")), sum(granted))

    def test_requests_are_not_limited(self):
        a = self.client(self.uid("alice"))
        self.assert_limited([self.sender(a, f"user/{self.uid('bob')}")] * 20)
        for _ in range(100):
            a.ok("hello")

    def test_told(self):
        limits = self.client(self.uid("alice")).ok("hello")["limits"]
        self.assertEqual([limits[k] for k in ("message_rate", "message_burst", "request_rate", "request_burst")],
                         [1, BURST, 0, 500])


class Requests(RateTest):
    options = {"durability": "os", "request_rate": "1", "request_burst": str(BURST), "message_rate": "1000000"}

    def asker(self, client, op, request=None, codec="json"):
        def attempt():
            answer = client.request(op, request, codec=codec, rid="r")
            self.assertEqual((answer["op"], answer["rid"]), (op, "r"))
            if not answer["ok"]:
                self.assertEqual(answer["error"]["code"], "rate_limited")
                self.assertIn("1 requests a second", answer["error"]["message"])
            return answer["ok"]
        return attempt

    def test_those_that_read(self):
        a = self.client(self.uid("alice"))
        self.assert_limited([self.asker(a, op, codec=codec)
                             for op in ("hello", "sync", "convs") for codec in ("json", "msgpack")] * 5)

    def test_those_that_change(self):
        a, other = self.client(self.uid("alice")), self.client(self.uid("bob"))
        conv = self.cid("group")
        attempts = [self.asker(a, "create", {"conv": conv, "members": [other.user]})]
        attempts += [self.asker(a, "update", {"conv": conv, "name": f"name {i}"}) for i in range(20)]
        made = self.assert_limited(attempts)
        self.assertEqual(other.ok("info", {"conv": conv})["head"], sum(made))

    def test_shared_by_the_devices_of_a_user(self):
        alice = self.uid("alice")
        phone, old = self.client(alice), self.client(alice, version=MQTT311)
        self.assert_limited([self.asker(c, "hello") for c in (phone, old) * 15])

    def test_unknown_ones_count(self):
        a = self.client(self.uid("alice"))
        begin = time.monotonic()
        codes = [a.error("nonsense") for _ in range(BURST)]
        self.assertEqual(codes, ["unknown_op"] * BURST)
        granted = sum(a.request("hello")["ok"] for _ in range(20))
        self.assertLessEqual(granted, int(time.monotonic() - begin) + 1)

    def test_messages_have_their_own(self):
        a = self.client(self.uid("alice"))
        self.assert_limited([self.asker(a, "hello")] * 20)
        for i in range(100):
            a.send_ok("user/bob", "x", f"m{i}")
        until(lambda: a.request("hello")["ok"], "an allowance")


class Off(TimelineTest):
    options = {"durability": "os"}

    def test_by_default(self):
        a, bob = self.client(self.uid("alice")), self.uid("bob")
        limits = a.ok("hello")["limits"]
        self.assertEqual((limits["message_rate"], limits["request_rate"]), (0, 0))
        for i in range(2000):
            packet = a.publish(f"im/user/{bob}", "x")
        self.assertIn(a.wait_ack(packet), ACCEPTED)
        until(lambda: a.ok("hello")["latest"] == 2000, "all of them")


if __name__ == "__main__":
    unittest.main()
