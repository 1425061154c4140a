"""`history` and `get`: pages in both directions, and what of a conversation its members, former members and strangers
see (PROTOCOL section 5, semantics 8)."""
import json
import unittest

from harness import TimelineTest, burst

PAGE_BYTES = 256 * 1024
U64 = 2**64 - 1


def cseqs(page):
    return [m["cseq"] for m in page["messages"]]


def bodies(page):
    return [m.get("body") for m in page["messages"]]


class HistoryTest(TimelineTest):
    options = {"durability": "os"}

    def setUp(self):
        super().setUp()
        self.alice, self.bob, self.eve = self.uids("alice", "bob", "eve")
        self.a, self.b, self.e = self.client(self.alice), self.client(self.bob), self.client(self.eve)

    def say(self, client, conv, *texts, **kw):
        return [client.send_ok(f"conv/{conv}", text, **kw) for text in texts]

    def walk(self, client, **request):
        """All pages: the messages."""
        messages, head = [], None
        while True:
            page = client.ok("history", request)
            messages += page["messages"]
            self.assertEqual(page["more"], "cursor" in page)
            self.assertEqual(head or page["head"], page["head"])
            head = page["head"]
            if not page["more"]:
                return messages
            self.assertTrue(page["messages"])
            request = {"conv": request["conv"], "cursor": page["cursor"], **{k: request[k] for k in ("limit",) if k in request}}


class Pages(HistoryTest):
    def setUp(self):
        super().setUp()
        self.conv = self.group(self.a, self.bob)
        self.receipts = self.say(self.a, self.conv, *(f"m{i}" for i in range(2, 22)))  # cseq 2 … 21

    def test_directions(self):
        for request, expected in (({}, range(21, 0, -1)), ({"before": 5}, range(4, 0, -1)), ({"before": 1}, ()),
                                  ({"before": 0}, ()), ({"before": 22}, range(21, 0, -1)),
                                  ({"before": U64}, range(21, 0, -1)), ({"after": 0}, range(1, 22)),
                                  ({"after": 18}, (19, 20, 21)), ({"after": 21}, ()), ({"after": 22}, ()),
                                  ({"after": U64}, ()), ({"at": 0}, range(1, 22)), ({"at": U64}, ())):
            for codec in ("json", "msgpack"):
                with self.subTest(request=request, codec=codec):
                    page = self.b.ok("history", dict(request, conv=self.conv), codec=codec)
                    self.assertEqual(cseqs(page), list(expected))
                    self.assertEqual((page["more"], page["head"]), (False, 21))
                    self.assertNotIn("cursor", page)

    def test_limit_and_cursor(self):
        for start, expected in (({}, list(range(21, 0, -1))), ({"before": 10}, list(range(9, 0, -1))),
                                ({"after": 0}, list(range(1, 22))), ({"after": 7}, list(range(8, 22))),
                                ({"at": self.receipts[3]["ts"]}, None)):
            for limit in (1, 2, 7, 20, 21, 22, 1000):
                with self.subTest(start=start, limit=limit):
                    request = dict(start, conv=self.conv, limit=limit)
                    if expected is not None:
                        self.assertEqual([m["cseq"] for m in self.walk(self.b, **request)], expected)
                        page = self.b.ok("history", request)
                        self.assertEqual((len(page["messages"]), page["more"]),
                                         (min(limit, len(expected)), limit < len(expected)))
                    else:
                        self.assertEqual(self.walk(self.b, **request), self.walk(self.b, conv=self.conv, **start))

    def test_default_limit(self):
        conv = self.group(self.a)
        burst(self.broker, self.alice, f"im/conv/{conv}", [b"%d" % i for i in range(1099)])
        self.say(self.a, conv, "end")
        for request, count in (({}, 100), ({"limit": 1000}, 1000), ({"after": 0}, 100)):
            page = self.a.ok("history", dict(request, conv=conv))
            self.assertEqual((len(page["messages"]), page["more"], page["head"]), (count, True, 1101))
        self.assertEqual([m["cseq"] for m in self.walk(self.a, conv=conv, after=0)], list(range(1, 1102)))
        self.assertEqual([m["cseq"] for m in self.walk(self.a, conv=conv)], list(range(1101, 0, -1)))

    def test_a_cursor_is_not_moved_by_what_comes_in_between(self):
        back = self.b.ok("history", {"conv": self.conv, "limit": 5})
        on = self.b.ok("history", {"conv": self.conv, "after": 0, "limit": 18})
        self.say(self.a, self.conv, "new")
        self.assertEqual(cseqs(self.b.ok("history", {"conv": self.conv, "cursor": back["cursor"], "limit": 3})), [16, 15, 14])
        page = self.b.ok("history", {"conv": self.conv, "cursor": on["cursor"]})
        self.assertEqual((cseqs(page), page["head"]), ([19, 20, 21, 22], 22))

    def test_at(self):
        everything = self.b.ok("history", {"conv": self.conv, "after": 0})["messages"]
        for ts in sorted({m["ts"] for m in everything}):
            for at in (ts - 1, ts, ts + 1):
                page = self.b.ok("history", {"conv": self.conv, "at": at})
                self.assertEqual(page["messages"], [m for m in everything if m["ts"] >= at])

    def test_same_as_sync_and_get(self):
        for codec in ("json", "msgpack"):
            inbox = self.b.ok("sync", {"after": 0}, codec=codec)["messages"]
            page = self.b.ok("history", {"conv": self.conv, "after": 0}, codec=codec)["messages"]
            for entry, message in zip(inbox, page, strict=True):
                del entry["seq"]
                self.assertEqual(message, entry)
                self.assertEqual(self.b.ok("get", {"conv": self.conv, "cseq": message["cseq"]}, codec=codec)["message"],
                                 message)

    def test_get_of_none(self):
        for cseq in (22, 1000, 2**63, U64):
            self.assertEqual(self.b.error("get", {"conv": self.conv, "cseq": cseq}), "no_such_message")

    def test_one_start_only(self):
        for request in ({"before": 3, "after": 1}, {"before": 3, "at": 1}, {"after": 1, "at": 1}):
            self.assertEqual(self.b.error("history", dict(request, conv=self.conv)), "bad_request")

    def test_a_cursor_beside_the_start(self):
        # A client may repeat its request and add the cursor, as with search.
        everything = self.b.ok("history", {"conv": self.conv, "after": 0})["messages"]
        for start, expected in (({"after": 3}, list(range(4, 22))), ({"before": 19}, list(range(18, 0, -1))),
                                ({"at": everything[0]["ts"]}, list(range(1, 22)))):
            request = dict(start, conv=self.conv, limit=4)
            page = self.b.ok("history", request)
            found = cseqs(page)
            while page["more"]:
                page = self.b.ok("history", dict(request, cursor=page["cursor"]))
                found += cseqs(page)
            self.assertEqual(found, expected)

    def test_cursors_that_are_none(self):
        for cursor in ("", "x", "a", "b-", "a1x", "1", "a1.2.3", "b" * 60, 5, None, True, []):
            with self.subTest(cursor=cursor):
                response = self.b.request("history", {"conv": self.conv, "cursor": cursor})
                self.assertIs(response["ok"], False)
                self.assertEqual(response["error"]["code"], "bad_request")
                self.assertIn("cursor", response["error"]["message"])

    def test_bad_requests_say_which_key(self):
        for op, key, values in (("history", "conv", (None, 5, "", "a/b", "d:", "d:x")),
                                ("history", "before", (-1, "1", 1.5, None, True)),
                                ("history", "after", (-1, "1", 1.5, None, [])), ("history", "at", (-1, "now", None)),
                                ("history", "limit", (0, 1001, -1, "1", None)),
                                ("get", "conv", (None, 7)), ("get", "cseq", (0, -1, "1", None, 1.5))):
            for value in values:
                with self.subTest(op=op, key=key, value=value):
                    request = {"conv": self.conv, "cseq": 1} if op == "get" else {"conv": self.conv}
                    response = self.b.request(op, dict(request, **{key: value}))
                    self.assertIs(response["ok"], False)
                    self.assertEqual(response["error"]["code"], "bad_request")
                    self.assertIn(f"'{key}'", response["error"]["message"])
        for op, request, key in (("history", {}, "conv"), ("get", {"conv": self.conv}, "cseq"), ("get", {"cseq": 1}, "conv")):
            response = self.b.request(op, request)
            self.assertEqual(response["error"]["code"], "bad_request")
            self.assertIn(f"'{key}'", response["error"]["message"])


class Bytes(HistoryTest):
    def test_pages_end_at_256_kib(self):
        conv = self.group(self.a)
        big = 60 * 1024
        self.say(self.a, conv, *("x" * big for _ in range(10)))
        for order in ({}, {"after": 0}):
            request, sizes = dict(order, conv=conv), []
            while True:
                raw = self.a.raw_request("history", request)
                self.assertLessEqual(len(json.dumps(raw.value["messages"])), PAGE_BYTES + 4096)
                sizes.append(len(raw.value["messages"]))
                if not raw.value["more"]:
                    break
                request = {"conv": conv, "cursor": raw.value["cursor"]}
            self.assertEqual(sum(sizes), 11)
            self.assertGreaterEqual(max(sizes), 4)

    def test_what_counts_is_the_wire(self):
        """Binary grows by a third in JSON, control characters sixfold."""
        conv = self.group(self.a)
        for body in ("\x01" * 30000, b"\xff" * 60000):
            self.say(self.a, conv, *(body for _ in range(6)))
        for codec in ("json", "msgpack"):
            request, count = {"conv": conv}, 0
            while True:
                raw = self.a.raw_request("history", request, codec=codec)
                self.assertLessEqual(len(raw.payload), PAGE_BYTES + 1024)
                count += len(raw.value["messages"])
                if not raw.value["more"]:
                    break
                request = {"conv": conv, "cursor": raw.value["cursor"]}
            self.assertEqual(count, 13)

    def test_a_large_one_stands_alone(self):
        conv = self.group(self.a)
        self.say(self.a, conv, "small", "x" * (1024 * 1024), "small too")
        for order, expected in (({}, [4, 3, 2, 1]), ({"after": 0}, [1, 2, 3, 4])):
            pages, request = [], dict(order, conv=conv)
            while True:
                page = self.a.ok("history", request)
                pages.append(cseqs(page))
                if not page["more"]:
                    break
                request = {"conv": conv, "cursor": page["cursor"]}
            self.assertEqual(sum(pages, []), expected)
            self.assertIn([3], pages)


class Sight(HistoryTest):
    """Joining and leaving, several times over."""

    def absent(self, conv, during=("unseen",)):
        """Bob leaves, misses something, and comes back."""
        self.b.ok("leave", {"conv": conv})
        self.say(self.a, conv, *during)
        self.b.ok("join", {"conv": conv})

    def test_history_all(self):
        conv = self.group(self.a, history="all", join="open")
        self.say(self.a, conv, "one", "two")
        self.b.ok("join", {"conv": conv})
        page = self.b.ok("history", {"conv": conv, "after": 0})
        self.assertEqual((bodies(page), page["head"]), ([None, "one", "two", None], 4))
        self.absent(conv)
        self.assertEqual(bodies(self.b.ok("history", {"conv": conv, "after": 4})), [None, "unseen", None])
        self.assertEqual(self.b.ok("get", {"conv": conv, "cseq": 6})["message"]["body"], "unseen")

    def test_history_joined(self):
        conv = self.group(self.a, history="joined", join="open")
        self.say(self.a, conv, "one", "two")
        self.b.ok("join", {"conv": conv})
        self.say(self.a, conv, "three")
        for request, expected in (({"after": 0}, [4, 5]), ({}, [5, 4]), ({"before": 4}, []), ({"at": 0}, [4, 5]),
                                  ({"before": 5}, [4])):
            page = self.b.ok("history", dict(request, conv=conv))
            self.assertEqual((cseqs(page), page["more"], page["head"]), (expected, False, 5), request)
        for cseq in (1, 2, 3):
            self.assertEqual(self.b.error("get", {"conv": conv, "cseq": cseq}), "no_such_message")
        self.assertEqual(self.b.ok("get", {"conv": conv, "cseq": 4})["message"]["event"]["kind"], "join")
        self.assertEqual(bodies(self.a.ok("history", {"conv": conv, "after": 1})), ["one", "two", None, "three"])

    def test_holes(self):
        conv = self.group(self.a, history="joined", join="open")
        self.say(self.a, conv, "never")  # 2
        self.b.ok("join", {"conv": conv})  # 3
        seen = [3]
        for n in range(4):
            head = self.say(self.a, conv, f"seen {n}")[0]["cseq"]
            self.absent(conv, [f"unseen {n}", "unseen too"])  # leave, 2, join
            seen += [head, head + 1, head + 4]
        head = seen[-1]
        everything = self.walk(self.b, conv=conv, after=0)
        self.assertEqual([m["cseq"] for m in everything], seen)
        self.assertNotIn("unseen", str(everything))
        for limit in (1, 2, 3, 5):
            self.assertEqual([m["cseq"] for m in self.walk(self.b, conv=conv, after=0, limit=limit)], seen)
            self.assertEqual([m["cseq"] for m in self.walk(self.b, conv=conv, limit=limit)], seen[::-1])
        for cseq in range(1, head + 1):
            if cseq in seen:
                self.assertEqual(self.b.ok("get", {"conv": conv, "cseq": cseq})["message"]["cseq"], cseq)
            else:
                self.assertEqual(self.b.error("get", {"conv": conv, "cseq": cseq}), "no_such_message")
        # The inbox is the same.
        self.assertEqual([m["cseq"] for m in self.b.sync_all()], seen)
        # So it stays after leaving for good.
        self.b.ok("leave", {"conv": conv})
        self.say(self.a, conv, "unseen")
        self.assertEqual([m["cseq"] for m in self.walk(self.b, conv=conv, after=0)], seen + [head + 1])

    def test_former_members(self):
        for history, first in (("all", 1), ("joined", 3)):
            with self.subTest(history=history):
                conv = self.group(self.a, history=history)
                self.say(self.a, conv, "before")
                self.a.ok("add", {"conv": conv, "users": [self.bob]})
                self.say(self.a, conv, "with bob")
                self.a.ok("remove", {"conv": conv, "users": [self.bob]})
                self.say(self.a, conv, "after")
                for request in ({"after": 0}, {"at": 0}):
                    page = self.b.ok("history", dict(request, conv=conv))
                    self.assertEqual((cseqs(page), page["more"], page["head"]), (list(range(first, 6)), False, 5))
                self.assertEqual(cseqs(self.b.ok("history", {"conv": conv, "limit": 1})), [5])
                self.assertEqual(self.b.ok("get", {"conv": conv, "cseq": 5})["message"]["event"]["kind"], "remove")
                self.assertEqual(self.b.error("get", {"conv": conv, "cseq": 6}), "no_such_message")
                self.assertEqual(self.b.error("get", {"conv": conv, "cseq": 60}), "no_such_message")
                # A recall after the leaving takes the body away from everyone.
                self.a.ok("recall", {"conv": conv, "cseq": 4})
                self.assertEqual(self.b.ok("get", {"conv": conv, "cseq": 4})["message"].get("gone"), "recalled")
                self.assertEqual(self.b.ok("history", {"conv": conv})["head"], 5)

    def test_own_deletions_outlive_the_membership(self):
        conv = self.group(self.a, self.bob, join="open")
        self.say(self.a, conv, "one", "two", "three")
        self.b.ok("delete", {"conv": conv, "cseqs": [2]})
        self.b.ok("leave", {"conv": conv})
        for _ in range(2):
            page = self.b.ok("history", {"conv": conv, "after": 1, "limit": 2})
            self.assertEqual([m.get("gone") for m in page["messages"]], ["deleted", None])
            self.assertEqual(self.b.sync_all()[1].get("gone"), "deleted")
            self.b.ok("join", {"conv": conv})
        self.b.ok("delete", {"conv": conv, "all": True})
        self.b.ok("leave", {"conv": conv})
        self.assertEqual(len(self.b.ok("history", {"conv": conv})["messages"]), 1)

    def test_strangers_cannot_tell_what_exists(self):
        real, none = self.group(self.a, self.bob), self.cid("none")
        gone = self.group(self.a, self.bob)
        self.a.ok("dissolve", {"conv": gone})
        direct = "d:" + ":".join(sorted((self.alice, self.bob)))
        no_direct = "d:" + ":".join(sorted((self.alice, self.uid("nobody"))))
        self.a.send_ok(f"user/{self.bob}", "x")
        for op, args in (("history", {}), ("history", {"cursor": "a1"}), ("history", {"cursor": "zzz"}),
                         ("history", {"before": 1, "after": 1}), ("get", {"cseq": 1}), ("get", {"cseq": 100}),
                         ("info", {}), ("members", {}), ("members", {"cursor": "zzz"}), ("read", {"cseq": 1}),
                         ("read", {"cseq": 100}), ("set", {"pin": True}), ("delete", {"all": True}),
                         ("delete", {"cseqs": [1]}), ("recall", {"cseq": 1}), ("edit", {"cseq": 1, "body": "x"}),
                         ("update", {"name": "x"}), ("update", {"order": "custom"}), ("join", {}), ("leave", {}),
                         ("add", {"users": [self.eve]}), ("remove", {"users": [self.alice]}), ("dissolve", {}),
                         ("role", {"user": self.alice, "role": "admin"})):
            with self.subTest(op=op, args=args):
                answers = [self.e.request(op, dict(args, conv=c)) for c in (real, none, gone, direct, no_direct)]
                self.assertEqual(answers[0]["error"]["code"], "not_member")
                for answer in answers[1:]:
                    self.assertEqual(answer, answers[0])
        self.assertEqual(self.e.ok("hello")["latest"], 0)
        self.assertEqual(self.e.ok("convs")["convs"], [])
        self.assertEqual(self.a.ok("info", {"conv": real})["head"], 1)


class CustomOrder(HistoryTest):
    def setUp(self):
        super().setUp()
        self.conv = self.group(self.a, self.bob, order="custom")
        self.orders = (50, 10, 30, 30, 2**63, 10, U64, 30, 1)  # cseq 2 …
        for i, order in enumerate(self.orders):
            self.a.send_ok(f"conv/{self.conv}", f"{order}.{i}", props={"order": order, "id": f"m{i}"})
        self.a.ok("update", {"conv": self.conv, "name": "an event"})
        self.sorted = sorted((order, i + 2) for i, order in enumerate(self.orders))

    def places(self, messages):
        return [(m["order"], m["cseq"]) for m in messages]

    def test_order(self):
        for request, expected in (({"after": 0}, self.sorted), ({}, self.sorted[::-1]),
                                  ({"after": 10}, [p for p in self.sorted if p[0] > 10]),
                                  ({"after": 30}, [p for p in self.sorted if p[0] > 30]),
                                  ({"after": 29}, [p for p in self.sorted if p[0] > 29]),
                                  ({"after": U64}, []), ({"after": U64 - 1}, [(U64, 8)]),
                                  ({"before": 30}, [p for p in self.sorted if p[0] < 30][::-1]),
                                  ({"before": 31}, [p for p in self.sorted if p[0] < 31][::-1]),
                                  ({"before": 1}, []), ({"before": 0}, []),
                                  ({"before": U64}, [p for p in self.sorted if p[0] < U64][::-1])):
            for codec in ("json", "msgpack"):
                with self.subTest(request=request, codec=codec):
                    page = self.b.ok("history", dict(request, conv=self.conv), codec=codec)
                    self.assertEqual(self.places(page["messages"]), expected)
                    self.assertIs(page["more"], False)
                    self.assertEqual(page["head"], 11)

    def test_cursor(self):
        for limit in (1, 2, 3, 4, 8, 9, 10):
            with self.subTest(limit=limit):
                self.assertEqual(self.places(self.walk(self.b, conv=self.conv, after=0, limit=limit)), self.sorted)
                self.assertEqual(self.places(self.walk(self.b, conv=self.conv, limit=limit)), self.sorted[::-1])
                self.assertEqual(self.places(self.walk(self.b, conv=self.conv, before=31, limit=limit)),
                                 [p for p in self.sorted if p[0] < 31][::-1])

    def test_at_the_beginning(self):
        self.assertEqual(self.b.ok("history", {"conv": self.conv, "at": U64})["messages"], [])
        first = self.b.ok("get", {"conv": self.conv, "cseq": 2})["message"]
        page = self.b.ok("history", {"conv": self.conv, "at": first["ts"]})
        self.assertIn((50, 2), self.places(page["messages"]))

    def test_cursors_do_not_mix(self):
        server = self.group(self.a, self.bob)
        self.say(self.a, server, "x")
        custom_cursor = self.b.ok("history", {"conv": self.conv, "limit": 1})["cursor"]
        server_cursor = self.b.ok("history", {"conv": server, "limit": 1})["cursor"]
        for conv, cursor in ((server, custom_cursor), (self.conv, server_cursor)):
            self.assertEqual(self.b.error("history", {"conv": conv, "cursor": cursor}), "bad_request")

    def test_gone_and_edited_keep_their_place(self):
        self.a.ok("recall", {"conv": self.conv, "cseq": 4})
        self.a.ok("edit", {"conv": self.conv, "cseq": 5, "body": "new"})
        self.b.ok("delete", {"conv": self.conv, "cseqs": [3]})
        page = self.b.ok("history", {"conv": self.conv, "after": 0})
        self.assertEqual(cseqs(page), [p[1] for p in self.sorted])
        found = {m["cseq"]: m for m in page["messages"]}
        self.assertEqual((found[4].get("gone"), found[3].get("gone"), found[5]["body"], found[5]["edited"]),
                         ("recalled", "deleted", "new", True))

    def test_holes(self):
        conv = self.group(self.a, history="joined", join="open", order="custom")
        expected, order = [], 100

        def say(seen):
            nonlocal order
            order -= 7
            cseq = self.a.send_ok(f"conv/{conv}", "x", props={"order": order, "id": f"o{order}"})["cseq"]
            if seen:
                expected.append((order, cseq))

        say(False)
        for _ in range(3):
            self.b.ok("join", {"conv": conv})
            say(True)
            say(True)
            self.b.ok("leave", {"conv": conv})
            say(False)
        expected.sort()
        for limit in (1, 2, 100):
            self.assertEqual(self.places(self.walk(self.b, conv=conv, after=0, limit=limit)), expected)
            self.assertEqual(self.places(self.walk(self.b, conv=conv, limit=limit)), expected[::-1])


if __name__ == "__main__":
    unittest.main()
