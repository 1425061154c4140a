"""What a user's list of chats shows: read, unread, mute, pin, last, and a new device that builds it up (PROTOCOL section 5)."""
import unittest

from harness import TimelineTest


class StateTest(TimelineTest):
    options = {"durability": "os"}

    def setUp(self):
        super().setUp()
        self.alice, self.bob, self.carol = self.uids("alice", "bob", "carol")
        self.a, self.b, self.c = self.client(self.alice), self.client(self.bob), self.client(self.carol)

    def entry(self, client, conv):
        found = [c for c in client.ok("convs", {"limit": 1000})["convs"] if c["conv"] == conv]
        return found[0] if found else None

    def unread(self, client, conv):
        return self.entry(client, conv)["unread"]

    def exact(self, client, conv, joined=1, cleared=0):
        """PROTOCOL, semantics 3, word for word. Asked of one who sees everything: the owner of the group."""
        messages, request = [], {"conv": conv, "after": 0, "limit": 1000}
        while True:
            page = self.a.ok("history", request)
            messages += page["messages"]
            if not page["more"]:
                break
            request = {"conv": conv, "cursor": page["cursor"], "limit": 1000}
        sends = [m for m in messages if m["type"] != "event"]
        own = max((m["cseq"] for m in sends if m["from"] == client.user), default=0)
        floor = max(self.entry(client, conv)["read"], own, joined - 1, cleared)
        return sum(m["cseq"] > floor and m["from"] != client.user for m in sends)


class Unread(StateTest):
    def check(self, conv, joined=1, cleared=0, expected=None, client=None):
        client = client or self.b
        unread = self.unread(client, conv)
        self.assertEqual(unread, self.exact(client, conv, joined, cleared))
        if expected is not None:
            self.assertEqual(unread, expected)

    def test_reading_sending_and_events(self):
        conv = self.group(self.a, self.bob, self.carol)
        self.check(conv, expected=0)
        say = lambda client, n=1: [client.send_ok(f"conv/{conv}", "x")["cseq"] for _ in range(n)]
        say(self.a, 3)  # 2 3 4
        self.check(conv, expected=3)
        self.a.ok("update", {"conv": conv, "name": "events do not count"})  # 5
        self.check(conv, expected=3)
        self.assertEqual(self.b.ok("read", {"conv": conv, "cseq": 3})["unread"], 1)
        self.check(conv, expected=1)
        self.assertEqual(self.b.ok("read", {"conv": conv, "cseq": 5})["unread"], 0)
        say(self.a, 2)  # 6 7
        say(self.c)  # 8
        self.check(conv, expected=3)
        say(self.b)  # 9
        self.check(conv, expected=0)
        self.assertEqual(self.entry(self.b, conv)["read"], 5)
        say(self.c, 2)  # 10 11
        self.check(conv, expected=2)
        # Below the own last send nothing counts any more.
        self.assertEqual(self.b.ok("read", {"conv": conv, "cseq": 7})["unread"], 2)
        self.check(conv, expected=2)
        self.assertEqual(self.b.ok("read", {"conv": conv, "cseq": 10})["unread"], 1)
        self.check(conv, expected=1)
        self.check(conv, client=self.a)
        self.check(conv, client=self.c, expected=0)

    def test_read_never_moves_back(self):
        conv = self.group(self.a, self.bob)
        for _ in range(5):
            self.a.send_ok(f"conv/{conv}", "x")
        self.assertEqual(self.b.ok("read", {"conv": conv, "cseq": 5})["unread"], 1)
        for cseq in (4, 1, 0, 5):
            self.assertEqual(self.b.ok("read", {"conv": conv, "cseq": cseq})["unread"], 1)
            self.assertEqual((self.entry(self.b, conv)["read"], self.unread(self.b, conv)), (5, 1))

    def test_read_on_any_device(self):
        conv = self.group(self.a, self.bob)
        self.a.send_ok(f"conv/{conv}", "x")
        other = self.client(self.bob)
        other.ok("read", {"conv": conv, "cseq": 2})
        self.assertEqual((self.entry(self.b, conv)["read"], self.unread(self.b, conv)), (2, 0))

    def test_joining(self):
        conv = self.group(self.a, join="open")
        for _ in range(3):
            self.a.send_ok(f"conv/{conv}", "before")  # 2 3 4
        self.b.ok("join", {"conv": conv})  # 5
        self.check(conv, joined=5, expected=0)
        self.a.send_ok(f"conv/{conv}", "x")  # 6
        self.check(conv, joined=5, expected=1)
        # Reading what was before takes nothing off.
        self.assertEqual(self.b.ok("read", {"conv": conv, "cseq": 3})["unread"], 1)
        self.check(conv, joined=5, expected=1)
        self.b.ok("leave", {"conv": conv})  # 7
        self.a.send_ok(f"conv/{conv}", "x")  # 8
        self.b.ok("join", {"conv": conv})  # 9
        self.check(conv, joined=9, expected=0)
        self.a.send_ok(f"conv/{conv}", "x")  # 10
        self.check(conv, joined=9, expected=1)
        self.a.ok("add", {"conv": conv, "users": [self.carol]})  # 11
        self.a.send_ok(f"conv/{conv}", "x")  # 12
        self.check(conv, joined=11, expected=1, client=self.c)

    def test_deleting(self):
        conv = self.group(self.a, self.bob)
        for _ in range(4):
            self.a.send_ok(f"conv/{conv}", "x")  # 2 … 5
        self.b.ok("delete", {"conv": conv, "all": True})
        self.check(conv, cleared=5, expected=0)
        self.a.send_ok(f"conv/{conv}", "x")  # 6
        self.check(conv, cleared=5, expected=1)

    def test_direct_chats(self):
        self.a.send_ok(f"user/{self.bob}", "1")
        self.a.send_ok(f"user/{self.bob}", "2")
        conv = "d:" + ":".join(sorted((self.alice, self.bob)))
        self.check(conv, expected=2)
        self.check(conv, expected=0, client=self.a)
        self.b.send_ok(f"user/{self.alice}", "3")
        self.check(conv, expected=0)
        self.check(conv, expected=1, client=self.a)

    def test_a_refused_read(self):
        conv = self.group(self.a, self.bob)
        self.a.send_ok(f"conv/{conv}", "x")
        for cseq in (-1, "1", None, 1.5, True):
            response = self.b.request("read", {"conv": conv, "cseq": cseq})
            self.assertEqual(response["error"]["code"], "bad_request")
            self.assertIn("'cseq'", response["error"]["message"])
        for request, key in (({}, "conv"), ({"conv": conv}, "cseq"), ({"conv": 3, "cseq": 1}, "conv")):
            self.assertIn(f"'{key}'", self.b.request("read", request)["error"]["message"])
        self.assertEqual(self.b.error("read", {"conv": conv, "cseq": 3}), "no_such_message")
        self.check(conv, expected=1)

    def test_read_of_what_is_only_just_on_its_way(self):
        """A device that knows from the chat beside it that there is a cseq 3 may say so before the server has stored it."""
        conv = self.group(self.a, self.bob)
        crowd = ",".join(f'"{i:x}"' for i in range(8000))
        for _ in range(3):  # keeps the writer busy while the rest queues up
            packet = self.a.publish("im/req/create/busy", f'{{"members":[{crowd}]}}')
        self.a.wait_ack(packet)
        for _ in range(20):  # 2 … 21
            packet = self.a.publish(f"im/conv/{conv}", "x")
        self.a.wait_ack(packet)
        self.assertEqual(self.b.ok("read", {"conv": conv, "cseq": 3})["unread"], 18)
        self.check(conv, expected=18)
        self.a.send_ok(f"conv/{conv}", "x")
        self.check(conv, expected=19)


class MuteAndPin(StateTest):
    def test_flags(self):
        conv = self.group(self.a, self.bob)
        self.assertEqual([self.entry(self.b, conv)[k] for k in ("mute", "pin")], [False, False])
        for request, mute, pin in (({"mute": True}, True, False), ({"pin": True}, True, True), ({"mute": False}, False, True),
                                   ({"mute": True, "pin": False}, True, False), ({}, True, False)):
            self.assertEqual(self.b.ok("set", dict(request, conv=conv)), {"op": "set", "ok": True})
            self.assertEqual([self.entry(self.b, conv)[k] for k in ("mute", "pin")], [mute, pin])
            self.assertEqual([self.entry(self.a, conv)[k] for k in ("mute", "pin")], [False, False])

    def test_bad_requests_say_which_key(self):
        conv = self.group(self.a, self.bob)
        for key in ("mute", "pin"):
            for value in (1, "true", None, []):
                response = self.b.request("set", {"conv": conv, key: value})
                self.assertEqual(response["error"]["code"], "bad_request")
                self.assertIn(f"'{key}'", response["error"]["message"])

    def test_muted(self):
        muted, loud = self.group(self.a, self.bob), self.group(self.a, self.bob)
        self.b.ok("set", {"conv": muted, "mute": True})
        topic = f"im/notify/{self.bob}/json"
        self.b.subscribe(topic)
        position = self.b.wait_topic(topic).value["seq"]
        self.assertEqual(position, 3)
        since = self.b.mark()
        for i in range(5):
            self.a.send_ok(f"conv/{muted}", f"quiet {i}")
        self.a.send_ok(f"conv/{loud}", "loud")
        note = self.b.wait_topic(topic, since).value
        self.assertEqual(note["seq"], 9)
        self.assertNotIn("quiet", str([m.value for m in self.b.on_topic(topic, since)]))
        messages = self.b.sync_all(position)
        self.assert_places(messages, 4)
        self.assertEqual([m["body"] for m in messages], [f"quiet {i}" for i in range(5)] + ["loud"])
        self.assertEqual(self.unread(self.b, muted), 5)
        # Inline messages stand without a gap and end at seq.
        if "messages" in note:
            self.assert_places(note["messages"], 10 - len(note["messages"]))
        since = self.b.mark()
        self.b.ok("set", {"conv": muted, "mute": False})
        self.a.send_ok(f"conv/{muted}", "loud again")
        self.b.wait_for(lambda m: m.topic == topic and "loud again" in str(m.value), since)

    def test_only_for_the_one_who_muted(self):
        conv = self.group(self.a, self.bob, self.carol)
        self.b.ok("set", {"conv": conv, "mute": True})
        self.c.subscribe(f"im/notify/{self.carol}/json")
        since = self.c.mark()
        self.a.send_ok(f"conv/{conv}", "x")
        self.c.wait_for(lambda m: m.topic.startswith("im/notify") and m.value["seq"] == 2, since)


class Convs(StateTest):
    def convs(self, client, **request):
        return client.ok("convs", request)["convs"]

    def test_none(self):
        self.assertEqual(self.a.ok("convs"), {"op": "convs", "ok": True, "convs": []})

    def test_fields(self):
        conv = self.group(self.a, self.bob, name="Name ★", kind="channel")
        sent = self.a.send_ok(f"conv/{conv}", "last", props={"k": "v", "id": "m1", "type": "note"}, content_type="text/x")
        entry, = self.convs(self.b)
        last = entry.pop("last")
        self.assertEqual(entry, {"conv": conv, "kind": "channel", "name": "Name ★", "role": "member", "head": 2, "read": 0,
                                 "unread": 1, "mute": False, "pin": False})
        self.assertEqual(last, self.b.ok("get", {"conv": conv, "cseq": 2})["message"])
        self.assertEqual((last["cseq"], last["ts"], last["body"]), (2, sent["ts"], "last"))
        self.assertEqual(self.convs(self.a)[0]["role"], "owner")
        for role in ("admin", "muted"):
            self.a.ok("role", {"conv": conv, "user": self.bob, "role": role})
            self.assertEqual(self.convs(self.b)[0]["role"], role)

    def test_unnamed_and_direct(self):
        self.group(self.a, self.bob)
        self.assertNotIn("name", self.convs(self.b)[0])
        self.a.send_ok(f"user/{self.bob}", "x")
        entry = self.convs(self.b)[0]
        self.assertEqual((entry["kind"], entry["conv"]), ("direct", "d:" + ":".join(sorted((self.alice, self.bob)))))
        self.assertEqual(entry["last"]["body"], "x")

    def wait_a_moment(self, ts):
        """Until the clock has moved on."""
        while self.a.send_ok(f"user/{self.alice}", "tick")["ts"] <= ts:
            pass

    def test_most_recently_active_first(self):
        groups = []
        for _ in range(5):
            groups.append(self.group(self.a, self.bob))
            self.wait_a_moment(self.a.send_ok(f"conv/{groups[-1]}", "x")["ts"])
        self.assertEqual([c["conv"] for c in self.convs(self.b)], groups[::-1])
        for i in (2, 0, 3):
            self.wait_a_moment(self.a.send_ok(f"conv/{groups[i]}", "x")["ts"])
            groups.append(groups.pop(i))
            self.assertEqual([c["conv"] for c in self.convs(self.b)], groups[::-1])

    def test_paging(self):
        groups = {self.group(self.a, self.bob) for _ in range(25)}
        everything = [c["conv"] for c in self.convs(self.b)]
        self.assertEqual(set(everything), groups)
        for limit in (1, 7, 24, 25, 26):
            seen, request = [], {"limit": limit}
            while True:
                page = self.b.ok("convs", request)
                seen += [c["conv"] for c in page["convs"]]
                self.assertLessEqual(len(page["convs"]), limit)
                if "cursor" not in page:
                    break
                request = {"limit": limit, "cursor": page["cursor"]}
            self.assertEqual(seen, everything)
        for request in ({"limit": 0}, {"limit": 1001}, {"limit": "1"}, {"cursor": "x"}, {"cursor": 1}, {"cursor": ""}):
            response = self.b.request("convs", request)
            self.assertEqual(response["error"]["code"], "bad_request")
            self.assertIn(f"'{list(request)[0]}'", response["error"]["message"])

    def test_those_left_are_gone(self):
        one, two = self.group(self.a, self.bob, join="open"), self.group(self.a, self.bob)
        self.b.ok("leave", {"conv": one})
        self.a.ok("remove", {"conv": two, "users": [self.bob]})
        self.assertEqual(self.convs(self.b), [])
        self.b.ok("join", {"conv": one})
        self.assertEqual([c["conv"] for c in self.convs(self.b)], [one])
        self.a.ok("dissolve", {"conv": one})
        self.assertEqual(self.convs(self.b), [])

    def test_last_follows_what_happens_to_it(self):
        conv = self.group(self.a, self.bob)
        self.a.send_ok(f"conv/{conv}", "secret")
        self.b.ok("delete", {"conv": conv, "cseqs": [2]})
        self.assertEqual(self.entry(self.b, conv)["last"], {"conv": conv, "cseq": 2, "gone": "deleted"})
        self.assertEqual(self.entry(self.a, conv)["last"]["body"], "secret")
        self.a.send_ok(f"conv/{conv}", "another secret")
        self.b.ok("delete", {"conv": conv, "all": True})
        self.assertNotIn("secret", str(self.entry(self.b, conv)))
        self.assertEqual(self.entry(self.b, conv)["head"], 3)

    def test_last_of_a_long_one(self):
        conv = self.group(self.a, self.bob)
        for body in ("x" * 513, "é" * 400, "漢" * 300, "🎈" * 200, b"\xff" * 600, b"\x80" * 600):
            self.a.send_ok(f"conv/{conv}", body)
            whole = body if isinstance(body, bytes) else body.encode()
            last = self.b.ok("convs", {"limit": 1}, codec="msgpack")["convs"][0]["last"]
            self.assertTrue(whole.startswith(last["body"]) and 500 < len(last["body"]) <= 512)
            if isinstance(body, str):
                self.assertTrue(body.startswith(self.entry(self.b, conv)["last"]["body"]))


class Members(StateTest):
    def test_paging(self):
        users = sorted(self.uids(*["u"] * 25))
        conv = self.group(self.a, *users[:20])
        self.a.ok("add", {"conv": conv, "users": users[20:]})
        self.a.ok("role", {"conv": conv, "user": users[3], "role": "muted"})
        for limit in (1, 7, 25, 26, 27, 1000):
            seen, request = [], {"conv": conv, "limit": limit}
            while True:
                page = self.a.ok("members", request)
                seen += page["members"]
                if "cursor" not in page:
                    break
                request = {"conv": conv, "limit": limit, "cursor": page["cursor"]}
            self.assertEqual(sorted(m["user"] for m in seen), sorted(users + [self.alice]))
            for member in seen:
                role = "owner" if member["user"] == self.alice else "muted" if member["user"] == users[3] else "member"
                since = 2 if member["user"] in users[20:] else 1
                self.assertEqual(member, {"user": member["user"], "role": role, "since": since})
        for request in ({"limit": 0}, {"limit": 1001}, {"limit": "1"}, {"cursor": "x"}, {"cursor": 1}):
            response = self.a.request("members", dict(request, conv=conv))
            self.assertEqual(response["error"]["code"], "bad_request")
            self.assertIn(f"'{list(request)[0]}'", response["error"]["message"])


class Roaming(StateTest):
    def test_a_new_device_finds_everything(self):
        """By convs and history alone it has what a device has that was there all the time."""
        convs = [self.group(self.a, self.bob, name=f"g{i}") for i in range(3)]
        for i in range(45):
            (self.a, self.b)[i % 2].send_ok(f"conv/{convs[i % 3]}", f"message {i}")
        for i in range(5):
            self.c.send_ok(f"user/{self.bob}", f"direct {i}")
        self.a.ok("recall", {"conv": convs[0], "cseq": 2})
        self.b.ok("delete", {"conv": convs[1], "cseqs": [3]})
        old = {(m["conv"], m["cseq"]): (m.get("body"), m.get("gone"), m.get("event"))
               for m in self.b.sync_all() if "cseq" in m}
        device, new, request = self.client(self.bob), {}, {"limit": 2}
        while True:
            page = device.ok("convs", request)
            for entry in page["convs"]:
                ask = {"conv": entry["conv"], "limit": 7}
                while True:
                    history = device.ok("history", ask)
                    self.assertEqual(history["head"], entry["head"])
                    for m in history["messages"]:
                        new[m["conv"], m["cseq"]] = (m.get("body"), m.get("gone"), m.get("event"))
                    if not history["more"]:
                        break
                    ask = {"conv": entry["conv"], "limit": 7, "cursor": history["cursor"]}
            if "cursor" not in page:
                break
            request = {"limit": 2, "cursor": page["cursor"]}
        self.assertEqual(new, old)
        self.assertEqual(len(old), 3 + 45 + 5 + 1)

    def test_devices(self):
        self.assertEqual(self.b.ok("devices")["devices"], [])
        conv = self.group(self.a, self.bob)
        self.a.send_ok(f"conv/{conv}", "x")
        other = self.client(self.bob)
        self.b.ok("sync", {"after": 1})
        seen = self.b.ok("devices")["devices"]
        self.assertEqual([(d["device"], d["checkpoint"]) for d in seen], [(self.b.device, 1)])
        other.ok("sync", {"after": 2})
        devices = {d["device"]: d for d in self.b.ok("devices")["devices"]}
        self.assertEqual({k: v["checkpoint"] for k, v in devices.items()}, {self.b.device: 1, other.device: 2})
        self.assertGreaterEqual(devices[other.device]["seen"], devices[self.b.device]["seen"])
        self.assertEqual(self.a.ok("devices")["devices"], [])

    def test_devices_by_pages(self):
        """Some of them stored, some only noted, some both; each is listed once, in the order of their ids."""
        names = sorted((f"{kind}{i}" for i in range(40) for kind in ("é", "Z", "a")), key=str.encode)
        self.a.send_ok(f"user/{self.bob}", "x")
        for name in names[::2] + names[:40]:
            device = self.client(self.bob, name)
            device.ok("sync", {"after": 0})
            device.close()
        self.a.send_ok(f"user/{self.bob}", "x")  # what has been noted is stored along with it
        for name in names[1::2] + names[60:]:
            device = self.client(self.bob, name)
            device.ok("sync", {"after": 1})
            device.close()
        self.assertEqual(self.listed(1000), names)
        for limit in (None, 120, 119, 50, 7):
            self.assertEqual(self.listed(limit), names)
        checkpoints = {d["device"]: d["checkpoint"] for d in self.b.ok("devices", {"limit": 1000})["devices"]}
        self.assertEqual(checkpoints, {n: int(n in names[1::2] or n in names[60:]) for n in names})
        for key, value in (("limit", 0), ("limit", 1001), ("limit", None), ("cursor", 5), ("cursor", ""),
                           ("cursor", "x" * 129)):
            response = self.b.request("devices", {key: value})
            self.assertEqual(response["error"]["code"], "bad_request")
            self.assertIn(f"'{key}'", response["error"]["message"])

    def listed(self, limit):
        found, request = [], {"limit": limit} if limit else {}
        while True:
            page = self.b.ok("devices", request)
            found += [d["device"] for d in page["devices"]]
            if "cursor" not in page:
                return found
            self.assertEqual(len(page["devices"]), limit or 100)
            request["cursor"] = page["cursor"]


if __name__ == "__main__":
    unittest.main()
