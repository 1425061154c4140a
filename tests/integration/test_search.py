"""`search`: what is found, by whom, in which order, page by page (PROTOCOL section 5); the index behind it over crashes and
restarts; administration."""
import itertools
import json
import os
import re
import unittest

from harness import CONTROL, Broker, Client, TimelineTest, burst, until

PAGE_BYTES = 256 * 1024
FIGURES = ("messages", "inbox/entries", "records", "batches", "failures", "unreadable", "queue/bytes", "index/entries",
           "index/segments", "index/merges", "index/bytes", "index/failures", "index/damaged", "index/lag/messages",
           "index/lag/ms", "expired/entries", "expired/messages", "expired/devices", "expired/lag/ms")


def bodies(page):
    return [m.get("body") for m in page["messages"]]


def places(page):
    return [(m["conv"], m["cseq"]) for m in page["messages"]]


def marked(message):
    """What the highlights mark."""
    raw = message["body"].encode()
    return [raw[a:b].decode() for a, b in message["highlights"]]


def search_all(client, **request):
    """All pages: the messages."""
    messages = []
    while True:
        page = client.ok("search", request)
        messages += page["messages"]
        if "cursor" not in page:
            return messages
        request["cursor"] = page["cursor"]


class SearchTest(TimelineTest):
    options = {"durability": "os", "admins": "root, boss"}

    def setUp(self):
        super().setUp()
        self.alice, self.bob, self.eve = self.uids("alice", "bob", "eve")
        self.a, self.b, self.e = self.client(self.alice), self.client(self.bob), self.client(self.eve)

    def say(self, client, conv, *texts, **kw):
        return [client.send_ok(f"conv/{conv}", text, **kw) for text in texts]

    def fill(self, conv, user, texts):
        """Many messages, quickly; waits until all are stored."""
        client, texts = self.client(user), list(texts)
        before = client.ok("info", {"conv": conv})["head"]
        burst(self.broker, user, f"im/conv/{conv}", [t.encode() for t in texts], device=self.uid("burst"))
        until(lambda: client.ok("info", {"conv": conv})["head"] == before + len(texts), "all to be stored")

    def figures(self, broker=None):
        boss = Client(broker or self.broker, "boss")
        try:
            return boss.figures()
        finally:
            boss.close()

    def until_indexed(self, broker=None):
        until(lambda: self.figures(broker)["index/lag/messages"] == 0, "the index to catch up")


class Text(SearchTest):
    def setUp(self):
        super().setUp()
        self.conv = self.group(self.a, self.bob)

    def found(self, q, **request):
        return [m["body"] for m in search_all(self.b, conv=self.conv, q=q, **request)]

    def check(self, expectations):
        for q, expected in expectations:
            with self.subTest(q=q):
                self.assertEqual(self.found(q), expected)

    def test_words(self):
        hello, brown, cafe, mixed = "Hello, World!", "The quick brown fox", "Ein Café in der Straße", "hello brown cafe"
        self.say(self.a, self.conv, hello, brown, cafe, mixed)
        self.check((("hello", [mixed, hello]), ("HELLO", [mixed, hello]), ("cafe", [mixed, cafe]), ("CAFÉ", [mixed, cafe]),
                    ("strasse", [cafe]), ("hello world", [hello]), ("world hello", [hello]), ("hello brown", [mixed]),
                    ("hell", []), ("hell*", [mixed, hello]), ("qu* fo*", [brown]), ('"quick brown"', [brown]),
                    ('"brown quick"', []), ('"hello brown"', [mixed]), ("nothing", []), ("hello nothing", []),
                    ("fox.", [brown]), ("!!!", []), ('"', [])))

    def test_chinese_japanese_korean(self):
        china, phone, japan, korea = "我是中国人民的朋友", "新的iPhone手机壳到了", "こんにちは、東京タワー", "안녕하세요 세계"
        self.say(self.a, self.conv, china, phone, japan, korea)
        self.check((("中国", [china]), ("国人", [china]), ("中国人民", [china]), ("中人", []), ("国中", []), ("朋", [china]),
                    ("友", [china]), ("手机", [phone]), ("iphone", [phone]), ("iphone手机", [phone]), ("壳到", [phone]),
                    ("にちは", [japan]), ("東京", [japan]), ("は東", []), ("녕하", [korea]), ("세계", [korea]),
                    ("요세", []), ("的", [phone, china]), ("的 中国", [china])))

    def test_highlights_are_bytes_of_the_body(self):
        self.say(self.a, self.conv, "Über das Café: CAFE", "去中国的手机，中国")
        page = self.b.ok("search", {"conv": self.conv, "q": "cafe über"})
        self.assertEqual(marked(page["messages"][0]), ["Über", "Café", "CAFE"])
        page = self.b.ok("search", {"conv": self.conv, "q": "中国"})
        self.assertEqual(marked(page["messages"][0]), ["中国", "中国"])
        packed = self.b.ok("search", {"conv": self.conv, "q": "cafe"}, codec="msgpack")["messages"][0]
        self.assertEqual([packed["body"][a:b].decode() for a, b in packed["highlights"]], ["Café", "CAFE"])
        self.assertNotIn("highlights", self.b.ok("search", {"conv": self.conv})["messages"][0])
        self.say(self.a, self.conv, "often " * 100)
        self.assertEqual(marked(self.b.ok("search", {"q": "often"})["messages"][0]), ["often"] * 64)

    def test_json_bodies(self):
        body = json.dumps({"title": "Quarterly report", "n": 42, "lines": ["Umsatz steigt", "中国"]})
        self.say(self.a, self.conv, body, "report in plain text")
        self.check((("report", ["report in plain text", body]), ("title", []), ("umsatz", [body]), ("中国", [body])))

    def test_what_is_no_text(self):
        self.a.send_ok(f"conv/{self.conv}", b"\xff\xfe hello")
        self.say(self.a, self.conv, "", "hello")
        self.check((("hello", ["hello"]),))
        self.assertEqual(len(search_all(self.b, conv=self.conv)), 3)

    def test_each_word_of_an_old_message(self):
        """The same answers from the index as from what is not indexed yet."""
        rare = "ein seltener Vogel 孔雀"
        self.say(self.a, self.conv, rare)
        for _ in range(3):
            self.fill(self.conv, self.alice, (f"noise number {i} 噪音" for i in range(100)))
            self.until_indexed()
            self.check((("seltener", [rare]), ("孔雀", [rare]), ("selt* vogel", [rare]), ('"seltener vogel"', [rare]),
                        ("孔", [rare]), ("雀", [rare]), ("vogel 噪音", [])))
        self.assertEqual(len(self.found("noise", limit=100)), 300)
        self.assertEqual(len(self.found("噪")), 300)
        self.assertGreater(self.figures()["index/entries"], 200)

    def test_long_message(self):
        words = " ".join(f"word{i}" for i in range(20000))
        self.say(self.a, self.conv, words)
        self.until_indexed()
        self.check((("word19999", [words]), ("word0 word7777", [words]), ("word20000", []), ('"word5 word6"', [words])))

    def fortunes(self, name):
        path = os.path.join("/usr/share/games/fortunes", name)
        if not os.path.exists(path):
            self.skipTest(f"{path} is not there")
        with open(path, encoding="utf-8") as f:
            texts = [re.sub(r"\x1b\[[0-9;]*m", "", t).strip() for t in f.read().split("\n%\n")]
        texts = [t for t in texts if t][:400]
        self.fill(self.conv, self.alice, texts)
        self.until_indexed()
        return texts

    def test_english_fortunes(self):
        """Each text is found by its longest word, and so is every other text that has it, and nothing else."""
        texts = self.fortunes("fortunes")
        for text in texts[::20]:
            word = max(re.findall(r"[A-Za-z]+", text), key=len).lower()
            expected = [t for t in texts if re.search(rf"(?<![^\W_]){word}(?![^\W_])", t.lower())]
            with self.subTest(word=word):
                self.assertIn(text, expected)
                self.assertEqual(sorted(self.found(word, limit=100)), sorted(expected))

    def test_chinese_fortunes(self):
        """Every run of characters finds exactly the texts that have it."""
        texts = self.fortunes("tang300")
        for text in texts[::20]:
            line = max(re.findall(r"[\u4e00-\u9fff]+", text), key=len)
            for run in (line[0], line[-1], line[:2], line[1:4], line):
                with self.subTest(run=run):
                    self.assertEqual(sorted(self.found(run, limit=100)), sorted(t for t in texts if run in t))


class Fields(SearchTest):
    def setUp(self):
        super().setUp()
        self.conv = self.group(self.a, self.bob)
        self.other = self.group(self.a, self.bob)
        self.r1 = self.say(self.a, self.conv, "apple one")[0]
        self.r2 = self.say(self.b, self.conv, "apple two")[0]
        self.r3 = self.say(self.a, self.other, "apple three", props={"type": "image", "id": self.uid("m")})[0]
        self.r4 = self.say(self.b, self.other, "pear four")[0]

    def found(self, **request):
        return bodies(self.b.ok("search", request))

    def test_fields(self):
        for request, expected in (
                ({"q": "apple"}, ["apple three", "apple two", "apple one"]),
                ({"q": "apple", "conv": self.conv}, ["apple two", "apple one"]),
                ({"q": "apple", "from": self.alice}, ["apple three", "apple one"]),
                ({"from": self.bob}, ["pear four", "apple two"]),
                ({"from": self.eve}, []),
                ({"type": "image"}, ["apple three"]),
                ({"type": "image", "q": "pear"}, []),
                ({"type": "text", "from": self.alice}, ["apple one"]),
                ({"since": self.r2["ts"], "until": self.r2["ts"], "q": "two"}, ["apple two"]),
                ({"since": self.r4["ts"] + 1}, []),
                ({"until": self.r1["ts"] - 1, "q": "apple"}, []),
                ({}, ["pear four", "apple three", "apple two", "apple one"]),
                ({"q": "  "}, ["pear four", "apple three", "apple two", "apple one"]),
                ({"conv": self.other}, ["pear four", "apple three"])):
            with self.subTest(request=request):
                self.assertEqual(self.found(**request), expected)

    def test_events_only_by_type(self):
        events = self.b.ok("search", {"type": "event"})["messages"]
        self.assertEqual([m["event"]["kind"] for m in events], ["create", "create"])
        self.assertEqual(self.found(q="create"), [])
        self.assertEqual(self.found(type="event", q="create"), [])
        self.assertEqual(len(self.b.ok("search", {"type": "event", "from": self.alice})["messages"]), 2)

    def test_the_message_is_as_in_history(self):
        found = self.b.ok("search", {"q": "three"})["messages"][0]
        shown = self.b.ok("get", {"conv": self.other, "cseq": self.r3["cseq"]})["message"]
        self.assertEqual({k: v for k, v in found.items() if k != "highlights"}, shown)

    def test_direct_chats(self):
        self.a.send_ok(f"user/{self.bob}", "apple direct")
        self.assertEqual(self.found(q="direct"), ["apple direct"])
        self.assertEqual(bodies(self.a.ok("search", {"q": "direct", "conv": "d:" + ":".join(sorted((self.alice, self.bob)))})),
                         ["apple direct"])
        self.assertEqual(bodies(self.e.ok("search", {"q": "direct"})), [])


class Scope(SearchTest):
    def found(self, client, q="secret", **request):
        return bodies(client.ok("search", dict(request, q=q)))

    def test_strangers(self):
        conv = self.group(self.a, self.bob)
        self.say(self.a, conv, "secret")
        self.assertEqual(self.found(self.e), [])
        self.assertEqual(self.e.error("search", {"conv": conv, "q": "secret"}), "not_member")
        self.assertEqual(self.e.error("search", {"conv": "nowhere", "q": "secret"}), "not_member")
        self.assertEqual(self.client(self.uid("nobody")).ok("search", {"q": "secret"})["messages"], [])

    def test_leaving_and_coming_back(self):
        conv = self.group(self.a, self.bob)
        self.say(self.a, conv, "secret before")
        self.b.ok("leave", {"conv": conv})
        self.say(self.a, conv, "secret while away")
        for request in ({}, {"conv": conv}):
            self.assertEqual(self.found(self.b, **request), ["secret before"])
        self.a.ok("add", {"conv": conv, "users": [self.bob]})
        self.say(self.a, conv, "secret again")
        self.assertEqual(self.found(self.b), ["secret again", "secret while away", "secret before"])

    def test_history_from_joining(self):
        conv = self.group(self.a, self.bob, history="joined")
        self.say(self.a, conv, "secret early")
        self.a.ok("add", {"conv": conv, "users": [self.eve]})
        self.say(self.a, conv, "secret late")
        self.assertEqual(self.found(self.e), ["secret late"])
        self.b.ok("leave", {"conv": conv})
        self.say(self.a, conv, "secret gone")
        self.a.ok("add", {"conv": conv, "users": [self.bob]})
        self.assertEqual(self.found(self.b), ["secret late", "secret early"])
        self.assertEqual(self.found(self.e, "secret"), ["secret gone", "secret late"])

    def test_deleted_for_one(self):
        conv = self.group(self.a, self.bob)
        one, two = self.say(self.a, conv, "secret one", "secret two")
        self.b.ok("delete", {"conv": conv, "cseqs": [one["cseq"]]})
        self.assertEqual(self.found(self.b), ["secret two"])
        self.assertEqual(self.found(self.a), ["secret two", "secret one"])
        self.b.ok("delete", {"conv": conv, "all": True})
        self.assertEqual(self.found(self.b), [])
        self.say(self.a, conv, "secret three")
        self.assertEqual(self.found(self.b), ["secret three"])
        self.assertEqual(two["cseq"], one["cseq"] + 1)

    def test_recalled_and_edited(self):
        """At any place: in the index, and before they get there."""
        conv = self.group(self.a, self.bob)
        old = self.say(self.a, conv, "secret recalled", "secret edited", "secret kept")
        self.fill(conv, self.alice, ["noise"] * 100)
        self.until_indexed()
        new = self.say(self.a, conv, "secret recalled", "secret edited")
        for recalled, edited in ((old[0], old[1]), (new[0], new[1])):
            self.a.ok("recall", {"conv": conv, "cseq": recalled["cseq"]})
            self.a.ok("edit", {"conv": conv, "cseq": edited["cseq"], "body": "public now 公开"})
        for _ in range(2):
            self.assertEqual(self.found(self.b), ["secret kept"])
            self.assertEqual(self.found(self.b, "recalled"), [])
            self.assertEqual(self.found(self.b, "edited"), [])
            for q in ("public", "公开", "publ*", '"public now"'):
                page = self.b.ok("search", {"q": q})
                self.assertEqual(places(page), [(conv, new[1]["cseq"]), (conv, old[1]["cseq"])])
                self.assertIs(page["messages"][0]["edited"], True)
            self.fill(conv, self.alice, ["more noise"] * 40)
            self.until_indexed()

    def test_edited_many_times(self):
        conv = self.group(self.a, self.bob)
        cseq = self.say(self.a, conv, "version zero")[0]["cseq"]
        for i in range(1, 7):
            self.a.ok("edit", {"conv": conv, "cseq": cseq, "body": f"version v{i}"})
            self.fill(conv, self.alice, ["noise"] * (i % 3) * 35)
            self.until_indexed()
            self.assertEqual(self.found(self.b, f"v{i}"), [f"version v{i}"])
            self.assertEqual(self.found(self.b, "version"), [f"version v{i}"])
            self.assertEqual(self.found(self.b, f"v{i - 1}"), [])

    def test_dissolved(self):
        conv = self.group(self.a, self.bob)
        self.say(self.a, conv, "secret")
        self.a.ok("dissolve", {"conv": conv})
        self.assertEqual(self.found(self.b), [])
        self.assertEqual(self.b.error("search", {"conv": conv, "q": "secret"}), "not_member")

    def test_muted_and_blocked_make_no_difference(self):
        conv = self.group(self.a, self.bob)
        self.a.send_ok(f"user/{self.bob}", "secret direct")
        self.say(self.a, conv, "secret group")
        self.b.ok("set", {"conv": conv, "mute": True})
        self.b.ok("block", {"user": self.alice})
        self.assertEqual(sorted(self.found(self.b)), ["secret direct", "secret group"])

    def test_not_indexed(self):
        conv = self.group(self.a, self.bob, index=False)
        self.assertIs(self.b.ok("info", {"conv": conv})["index"], False)
        self.say(self.a, conv, "secret")
        self.fill(conv, self.alice, ["secret"] * 100)
        self.assertEqual(self.found(self.b), [])
        self.assertEqual(self.found(self.b, conv=conv), [])
        self.assertIs(self.a.ok("update", {"conv": conv, "index": True})["index"], True)
        self.assertEqual(len(search_all(self.b, q="secret")), 101)
        self.until_indexed()
        self.assertEqual(len(search_all(self.b, q="secret")), 101)
        self.a.ok("update", {"conv": conv, "index": False})
        self.assertEqual(self.found(self.b), [])
        event = self.b.ok("history", {"conv": conv, "limit": 1})["messages"][0]["event"]
        self.assertEqual((event["kind"], event["index"]), ("update", False))


class Pages(SearchTest):
    def test_order_over_conversations(self):
        convs = [self.group(self.a, self.bob) for _ in range(5)]
        expected = []
        for i in range(40):
            conv = convs[i * i % 5]
            expected.insert(0, (conv, self.say(self.a, conv, f"apple {i}")[0]["cseq"]))
        for limit in (1, 3, 20, 39, 40, 41, 100):
            with self.subTest(limit=limit):
                found = search_all(self.b, q="apple", limit=limit)
                self.assertEqual(sorted((m["conv"], m["cseq"]) for m in found), sorted(expected))
                self.assertEqual([m["ts"] for m in found], sorted((m["ts"] for m in found), reverse=True))
                page = self.b.ok("search", {"q": "apple", "limit": limit})
                self.assertEqual((len(page["messages"]), "cursor" in page), (min(limit, 40), limit < 40))
        self.assertEqual(len(self.b.ok("search", {"q": "apple"})["messages"]), 20)

    def test_stable_while_messages_come(self):
        convs = [self.group(self.a, self.bob) for _ in range(3)]
        for i, conv in zip(range(60), itertools.cycle(convs)):
            self.say(self.a, conv, f"apple {i}")
        expected = places({"messages": search_all(self.b, q="apple", limit=100)})
        self.assertEqual(len(expected), 60)
        for request in ({"q": "apple"}, {"q": "app*"}, {"from": self.alice}, {}):
            with self.subTest(request=request):
                before = places({"messages": search_all(self.b, limit=100, **request)})
                found, query = [], dict(request, limit=7)
                while True:
                    page = self.b.ok("search", query)
                    found += places(page)
                    self.say(self.a, convs[len(found) % 3], f"apple new {len(found)}")
                    if "cursor" not in page:
                        break
                    query["cursor"] = page["cursor"]
                self.assertEqual(found, before)

    def test_page_ends_at_256_kib(self):
        conv = self.group(self.a, self.bob)
        big = "apple " + "x" * 100_000
        self.say(self.a, conv, *[big] * 6)
        page = self.b.ok("search", {"q": "apple"})
        self.assertEqual(len(page["messages"]), 2)
        self.assertIn("cursor", page)
        self.assertEqual(len(search_all(self.b, q="apple")), 6)
        self.say(self.a, conv, "apple " + "y" * 600_000)
        self.assertEqual(len(self.b.ok("search", {"q": "apple"})["messages"]), 1)

    def test_bad_requests(self):
        for request in ({"q": 5}, {"q": ["a"]}, {"limit": 0}, {"limit": 101}, {"limit": "x"}, {"cursor": "x"}, {"cursor": ""},
                        {"cursor": "1.2"}, {"cursor": "1.2.3.4"}, {"cursor": "0.1.1"}, {"cursor": "1.0.1"}, {"cursor": "1.1.0"},
                        {"cursor": "-1.1.1"}, {"cursor": "1.1.99999999999999999999"}, {"conv": ""}, {"from": "a/b"},
                        {"type": ""}, {"since": -1}, {"until": "now"}, {"q": "x" * 1025},
                        {"q": " ".join(f"w{i}" for i in range(40))}):
            with self.subTest(request=request):
                self.assertEqual(self.b.error("search", request), "bad_request")

    def test_bounds_of_q(self):
        words = [f"w{i}" for i in range(33)]
        for q in (" ".join(words[:32]), "中 " * 32, "x" * 1024, "中" * 341, "-" * 1024):
            self.assertEqual(self.b.ok("search", {"q": q})["messages"], [])
        for q in (" ".join(words), "中 " * 33, "x" * 1025, "中" * 342, "-" * 1025):
            response = self.b.request("search", {"q": q})
            self.assertEqual(response["error"]["code"], "bad_request")
            self.assertIn("q ", response["error"]["message"])

    def test_hostile_queries(self):
        conv = self.group(self.a, self.bob)
        self.fill(conv, self.alice, (" ".join(chr(97 + (i + j) % 26) * (1 + j % 5) for j in range(12)) for i in range(600)))
        for q in ("a* b* c* d* e* f* g* h* i* j* k* l* m* n* o* p* q* r* s* t* u* v* w* x* y* z*", "*", "* *", '"""""',
                  '"a* b"', "a" * 1024, "中" * 340, "\x00\x01", "%s%n", "a\tb\nc", '"unclosed phrase', "🙂 👨‍👩‍👧", "\u0301" * 100):
            with self.subTest(q=q):
                response = self.b.request("search", {"q": q})
                self.assertIn("messages" if response["ok"] else "error", response)
        for cursor in ("1.1.1", "18446744073709551615.18446744073709551615.18446744073709551615", "5000000000000.1.1"):
            self.b.ok("search", {"q": "a", "cursor": cursor})
        self.assertEqual(self.b.request("search", b'\x81\xa1q\xc4\x02\xff\xfe')["error"]["code"], "bad_request")
        self.assertEqual(len(search_all(self.b, q="a*", limit=100)),
                         sum(any((i + j) % 26 == 0 for j in range(12)) for i in range(600)))


class Crashes(SearchTest):
    def test_kill_while_indexing(self):
        """Every message is found, once, whenever the broker dies."""
        broker = Broker({"durability": "group", "admins": "boss"})
        self.addCleanup(broker.close)
        sent = 0
        for round_ in range(6):
            a, b = Client(broker, "alice", "a"), Client(broker, "bob", "b")
            if round_ == 0:
                a.ok("create", {"conv": "team", "members": ["bob"]})
            texts = [f"apple n{sent + i} 第{sent + i}号" for i in range(400)]
            burst(broker, "alice", "im/conv/team", [t.encode() for t in texts])
            sent += len(texts)
            if round_ % 2:
                until(lambda: self.figures(broker)["index/entries"] > 0, "something to be indexed")
            a.close()
            b.close()
            broker.restart(kill=True)
            b = Client(broker, "bob", "b")
            until(lambda: b.ok("info", {"conv": "team"})["head"] == sent + 1, "the queue to be applied")
            found = [m["body"] for m in search_all(b, q="apple", limit=100)]
            self.assertEqual(found, sorted(found, key=lambda t: -int(t.split()[1][1:])))
            self.assertEqual(len(found), sent)
            for n in (0, sent // 2, sent - 1):
                self.assertEqual(len(search_all(b, q=f"n{n}")), 1)
                self.assertEqual(len(search_all(b, q=f"第{n}号")), 1)
            b.close()
        self.until_indexed(broker)
        self.assertEqual(self.figures(broker)["index/damaged"], 0)

    def test_off_and_on(self):
        """What came while search was off is found when it is on again."""
        broker = Broker({"durability": "os", "admins": "boss"})
        self.addCleanup(broker.close)
        expected = []
        for search in ("on", "off", None):
            broker.stop()
            broker.options["search"] = search
            broker.start()
            client = Client(broker, "alice", "a")
            self.assertIs(client.ok("hello")["search"], search != "off")
            for i in range(50):
                expected.insert(0, client.send_ok("user/bob", f"apple {search} {i}")["cseq"])
            if search == "off":
                self.assertEqual(client.error("search", {"q": "apple"}), "unknown_op")
            else:
                self.assertEqual([m["cseq"] for m in search_all(client, q="apple")], expected)
            client.close()
        self.until_indexed(broker)
        client = Client(broker, "bob", "b")
        self.assertEqual([m["cseq"] for m in search_all(client, q="apple")], expected)
        client.close()


class LongBodies(SearchTest):
    options = dict(SearchTest.options, max_body="2m")

    def test_of_more_than_a_mebibyte_the_first_is_searched(self):
        conv = self.group(self.a, self.bob)
        body = ("noise " * 174762 + "in").ljust(1024 * 1024) + "outside"
        self.say(self.a, conv, body)
        for _ in range(2):
            self.assertEqual([len(self.b.ok("search", {"q": q})["messages"]) for q in ("noise", "in", "outside")], [1, 1, 0])
            self.fill(conv, self.alice, (f"other {i}" for i in range(100)))
            self.until_indexed()


class Administration(SearchTest):
    def setUp(self):
        super().setUp()
        self.boss = self.client("boss")

    def test_stats(self):
        response = self.boss.control({"command": "stats", "correlationData": "x1"})
        self.assertEqual((response["command"], response["correlationData"]), ("stats", "x1"))
        self.assertEqual(sorted(response["data"]), sorted(FIGURES))
        for name in FIGURES:
            self.assertIsInstance(response["data"][name], int)

    def test_several_commands(self):
        self.assertEqual(len(self.boss.control(*[{"command": "stats"}] * 100)), 100)
        first, second, third = self.boss.control({"command": "stats"}, {"command": "dance"}, 5)
        self.assertIn("data", first)
        self.assertIn("error", second)
        self.assertIn("error", third)

    def test_malformed(self):
        for payload in (b"", b"x", b"[]", b'{"commands":5}', b'{"commands":[' + b"[" * 1000, b"\xff", b"{" * 100000,
                        json.dumps({"commands": [{"command": "stats"}] * 101}).encode()):
            with self.subTest(payload=payload[:20]):
                self.assertRegex(self.boss.raw_control(payload)[0]["error"], "64 KiB .* 100 ")

    def test_only_admins(self):
        code = self.a.wait_ack(self.a.publish(CONTROL, b'{"commands":[{"command":"stats"}]}'))
        self.assertEqual(code, 0x87)
        self.assertGreaterEqual(self.a.subscribe(f"{CONTROL}/response"), 0x80)
        self.assertLess(self.boss.subscribe(f"{CONTROL}/response"), 0x80)
        self.a.ok("hello")
        self.assertEqual(self.a.on_topic(f"{CONTROL}/response"), [])

    def test_reindex_while_serving(self):
        conv = self.group(self.a, self.bob)
        self.fill(conv, self.alice, (f"apple {i}" for i in range(300)))
        self.until_indexed()
        for command in ({"command": "reindex", "conv": conv}, {"command": "reindex"}):
            before = self.figures()["index/entries"]
            self.assertNotIn("error", self.boss.control(command))
            for _ in range(10):
                self.assertEqual(len(search_all(self.b, q="apple", limit=100)), 300)
            until(lambda: self.figures()["index/entries"] >= before + 300, "everything to be indexed anew")
            self.assertEqual(len(search_all(self.b, q="apple", limit=100)), 300)
        self.assertIn("error", self.boss.control({"command": "reindex", "conv": "nowhere"}))
        self.assertIn("error", self.boss.control({"command": "reindex", "conv": 5}))

    def test_figures_under_sys(self):
        broker = Broker({"durability": "os", "other_topics": "allow"})
        self.addCleanup(broker.close)
        client = Client(broker, "alice")
        client.subscribe("$SYS/broker/timeline/#")
        for name in ("messages", "index/lag/messages", "queue/bytes"):
            self.assertTrue(client.wait_topic(f"$SYS/broker/timeline/{name}").payload.isdigit())
        client.send_ok("user/bob", "hi")
        client.wait_for(lambda m: m.topic == "$SYS/broker/timeline/messages" and m.payload == b"1", deadline=25)
        client.close()


if __name__ == "__main__":
    unittest.main()
