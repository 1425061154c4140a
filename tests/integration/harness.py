"""What the integration tests stand on: a real Mosquitto with the plugin, and real clients.

    Broker        one mosquitto process on a free port of 127.0.0.1 with a fresh data directory
    Client        an MQTT 3.1.1 or 5 connection that knows the timeline protocol
    BrokerTest    a unittest.TestCase whose tests start a broker each
    TimelineTest  one with one broker for the class; every test takes its own user names

Nothing here sleeps to let something happen: everything waits for a condition, until a deadline.

Environment:
    TL_PLUGIN   the plugin (default: build/release/plugin/mosquitto_timeline.so of this tree)
    MOSQUITTO   the broker (default: mosquitto from the PATH or /usr/sbin)
    TL_PRELOAD  LD_PRELOAD of the broker, for a plugin that is built with a sanitizer
    TL_OPTIONS  further options of the plugin, name=value separated by blanks: the same tests under another setting
"""
import itertools
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
import unittest

import msgpack
import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HOST = "127.0.0.1"
PORTS = 500  # of a process; far more than it uses at a time
DEADLINE = float(os.environ.get("TL_DEADLINE", "10"))  # seconds that anything may take
MSGPACK_MAP = re.compile(rb"\A[\x80-\x8f\xde\xdf]")
SANITIZER = re.compile(
    r"ERROR: (?:Address|Leak|Memory)Sanitizer|WARNING: ThreadSanitizer|runtime error:|SUMMARY: \w+Sanitizer")

MQTT311, MQTT5 = mqtt.MQTTv311, mqtt.MQTTv5
OK, NO_SUBSCRIBERS, NOT_AUTHORISED = 0x00, 0x10, 0x87
ACCEPTED = (OK, NO_SUBSCRIBERS)
CONTROL = "$CONTROL/timeline/v1"


def program(name):
    """The path of a program of Mosquitto's."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if not found:
        raise unittest.SkipTest(f"{name} is not installed")
    return found


def plugin_path():
    path = os.environ.get("TL_PLUGIN") or os.path.join(ROOT, "build", "release", "plugin", "mosquitto_timeline.so")
    if not os.path.exists(path):
        raise RuntimeError(f"there is no plugin at {path}: build it or set TL_PLUGIN")
    return os.path.abspath(path)


def own_ports():
    """Free ports, for ever, that no other process running these tests uses, and that are not among those the system gives to
    connections: so nobody takes a broker's port while it restarts."""
    claim = socket.socket(socket.AF_UNIX)
    for first in range(20000, 32000, PORTS):
        try:
            claim.bind(f"\0mosquitto-timeline-tests-{first}")  # until this process ends
            break
        except OSError:
            pass
    else:
        raise RuntimeError("too many processes run these tests")
    for port in itertools.cycle(range(first, first + PORTS)):
        with socket.socket() as s:
            try:
                s.bind((HOST, port))
            except OSError:
                continue
        yield port


_ports = own_ports()


def free_port():
    return next(_ports)


def until(condition, what, deadline=None):
    """Asks until the condition holds (returns what it gave). For what nobody tells us about, such as a log file."""
    end = time.monotonic() + (deadline or DEADLINE)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited in vain for {what}")
        time.sleep(0.005)


def encode(value, codec):
    if value is None:
        return b""
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    return msgpack.packb(value) if codec == "msgpack" else json.dumps(value, ensure_ascii=False).encode()


def codec_of(payload):
    return "msgpack" if MSGPACK_MAP.match(payload) else "json"


def decode(payload):
    """A response, receipt or notification, whatever its codec."""
    if codec_of(payload) == "msgpack":
        return msgpack.unpackb(payload, raw=False, strict_map_key=False)
    return json.loads(payload.decode("utf-8"))


# --- broker ---

class Broker:
    """One mosquitto with the plugin.

    options   of the plugin, without plugin_opt_; None as a value leaves a default of ours out
    conf      further lines of mosquitto.conf
    user      the system user to run as, where the tests run as root
    """

    def __init__(self, options=None, conf=(), anonymous=True, user="root", plugin=True, start=True):
        self.dir = tempfile.mkdtemp(prefix="tl-int-")
        self.data_dir = os.path.join(self.dir, "data")
        self.log_path = os.path.join(self.dir, "broker.log")
        self.conf_path = os.path.join(self.dir, "mosquitto.conf")
        os.mkdir(self.data_dir)
        self.port = free_port()
        self.user = user
        self.process = None
        self.expected_dead = True
        self.options = {"data_dir": self.data_dir}
        self.options.update(pair.split("=", 1) for pair in os.environ.get("TL_OPTIONS", "").split())
        self.options.update(options or {})
        self.conf = list(conf)
        self.allow_anonymous = anonymous
        self.plugin = plugin_path() if plugin else None
        if start:
            self.start()

    def write_conf(self):
        lines = [f"listener {self.port} {HOST}", "log_dest stderr", "set_tcp_nodelay true",
                 "max_inflight_messages 1000", "max_queued_messages 100000",  # receipts are QoS 1 messages
                 f"allow_anonymous {'true' if self.allow_anonymous else 'false'}"]
        if os.geteuid() == 0:
            lines.append(f"user {self.user}")
        if self.plugin:
            lines.append(f"plugin {self.plugin}")
            lines += [f"plugin_opt_{k} {v}" for k, v in self.options.items() if v is not None]
        lines += self.conf
        with open(self.conf_path, "w", encoding="utf-8") as f:
            f.write("\n".join(lines) + "\n")

    def spawn(self):
        """Starts the process and does not wait for it."""
        self.write_conf()
        env = dict(os.environ)
        if env.get("TL_PRELOAD"):
            env["LD_PRELOAD"] = env["TL_PRELOAD"]
        binary = os.environ.get("MOSQUITTO") or program("mosquitto")
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([binary, "-c", self.conf_path], stdout=log, stderr=log, env=env,
                                            stdin=subprocess.DEVNULL)

    def start(self):
        """Starts the broker and waits until it accepts connections."""
        self.spawn()
        return self.wait_until_up()

    def wait_until_up(self):
        self.expected_dead = False
        until(self._is_up, "the broker to listen", 30)
        return self

    def _is_up(self):
        if self.process.poll() is not None:
            self.expected_dead = True
            raise AssertionError(f"the broker did not start:\n{self.log()}")
        try:
            socket.create_connection((HOST, self.port), timeout=1).close()
            return True
        except OSError:
            return False

    def start_refused(self):
        """Starts a broker that must refuse to; returns what it logged."""
        self.spawn()
        try:
            code = self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the broker did start:\n{self.log()}") from None
        log = self.log()
        if code == 0 or code < 0 or SANITIZER.search(log):
            raise AssertionError(f"the broker ended with {code}:\n{log}")
        return log

    def stop(self):
        """Ends the broker as an operator does."""
        if self.process and self.process.poll() is None:
            self.expected_dead = True
            code = self._terminate()
            if code != 0:
                raise AssertionError(f"the broker ended with {code}:\n{self.log()}")
        self.check()

    def _terminate(self):
        """Its exit code. Mosquitto 2.0 forgets what it is told between listening and its main loop, so it is told again."""
        for _ in range(30):
            self.process.terminate()
            try:
                return self.process.wait(1)
            except subprocess.TimeoutExpired:
                pass
        self.process.kill()
        self.process.wait()
        raise AssertionError("the broker did not stop within 30 s of SIGTERM")

    def kill9(self):
        self.expected_dead = True
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def restart(self, kill=False):
        if kill:
            self.kill9()
        else:
            self.stop()
        return self.start()

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def memory(self):
        """Bytes that the process has allocated, without what is mapped from files."""
        with open(f"/proc/{self.process.pid}/status", encoding="utf-8") as f:
            return 1024 * int(re.search(r"RssAnon:\s*(\d+) kB", f.read()).group(1))

    def version(self):
        """Mosquitto's, as (2, 0)."""
        major, minor = self.wait_log(r"mosquitto version (\d+)\.(\d+)").groups()
        return int(major), int(minor)

    def wait_log(self, pattern, deadline=None):
        return until(lambda: re.search(pattern, self.log()), f"the log to say {pattern!r}", deadline)

    def check(self):
        """Fails if the broker died or a sanitizer spoke up."""
        log = self.log() if os.path.exists(self.log_path) else ""
        if SANITIZER.search(log):
            raise AssertionError(f"a sanitizer reports:\n{log[-20000:]}")
        if not self.expected_dead and self.process.poll() is not None:
            self.expected_dead = True  # said once
            raise AssertionError(f"the broker died ({self.process.returncode}):\n{log[-5000:]}")

    def close(self):
        try:
            self.stop()
        finally:
            shutil.rmtree(self.dir, ignore_errors=True)

    # Mosquitto's own command line programs, as a user of the README types them.

    def _cli(self, name, args, wait, **kw):
        command = [program(name), "-h", HOST, "-p", str(self.port), *args]
        if wait:
            return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False, **kw)
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kw)

    def pub(self, *args):
        return self._cli("mosquitto_pub", args, True)

    def sub(self, *args):
        """Runs until it has what -C and -W say."""
        return self._cli("mosquitto_sub", args, True)

    def sub_start(self, *args):
        """Runs in the background; with -d it tells on stdout when it has subscribed."""
        return self._cli("mosquitto_sub", args, False)

    def rr(self, *args):
        return self._cli("mosquitto_rr", args, True)


# --- clients ---

class Paho(mqtt.Client):
    """paho 1.6 does not tell the reason codes of acks: note them. As callbacks have it there, 2 calls them by default, too."""

    def __init__(self, *args, note_ack, **kw):
        super().__init__(*args, **kw)
        self._note_ack = note_ack

    def _ack(self):
        packet = self._in_packet["packet"]
        mid, = struct.unpack("!H", packet[:2])
        return mid, packet[2] if len(packet) > 2 else 0

    def _handle_pubackcomp(self, cmd):
        mid, code = self._ack()
        rc = super()._handle_pubackcomp(cmd)
        self._note_ack(mid, code)
        return rc

    def _handle_pubrec(self):
        mid, code = self._ack()
        if code < 0x80:
            self._note_ack(mid, code, last=False)
            return super()._handle_pubrec()
        with self._out_message_mutex:
            more = self._do_on_publish.__code__.co_argcount - 2  # paho 2 hands on what the packet says besides
            rc = self._do_on_publish(mid, *[None] * more) if mid in self._out_messages else mqtt.MQTT_ERR_SUCCESS
        self._note_ack(mid, code)
        return rc


class Message:
    """Something that arrived."""

    def __init__(self, message):
        self.topic, self.payload = message.topic, message.payload
        self.qos, self.retain = message.qos, message.retain
        properties = getattr(message, "properties", None)
        self.correlation = getattr(properties, "CorrelationData", None)
        self.user_properties = list(getattr(properties, "UserProperty", []))
        self.codec = codec_of(self.payload)

    @property
    def value(self):
        return decode(self.payload)

    def __repr__(self):
        return f"<{self.topic} {self.payload[:200]!r}>"


class Client:
    """One connection of a user's device. `inbox` holds everything that arrived, in order."""

    numbers = itertools.count(1)

    def __init__(self, broker, user=None, device=None, version=MQTT5, clean=True, root="im", password=None, will=None,
                 connect=True, expect=0, keepalive=60):
        self.broker, self.user, self.version, self.root = broker, user, version, root
        self.device = device if device is not None else f"device{next(self.numbers)}"
        self.clean, self.password, self.will, self.keepalive = clean, password, will, keepalive
        self.changed = threading.Condition()
        self.inbox = []
        self.acks = {}    # packet id → reason code of the PUBACK, PUBREC or PUBCOMP
        self.recs = {}    # packet id → reason code of the PUBREC
        self.subacks = {}  # packet id → reason codes
        self.connack = None
        self.disconnected = None
        self.paho = None
        if connect:
            self.connect(expect)

    # connection

    def _new_paho(self):
        kw = {} if self.version == MQTT5 else {"clean_session": self.clean}
        paho = Paho(client_id=self.device, protocol=self.version, reconnect_on_failure=False, note_ack=self._on_ack,
                    **kw)
        paho.on_connect = self._on_connect
        paho.on_disconnect = self._on_disconnect
        paho.on_message = self._on_message
        paho.on_subscribe = self._on_subscribe
        # Else the kernel holds a request back until the broker's side has acked the ack before it: 40 ms each.
        paho.on_socket_open = lambda *args: args[-1].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.user is not None:
            paho.username_pw_set(self.user, self.password)
        if self.will:
            paho.will_set(*self.will)
        return paho

    def connect(self, expect=0):
        """Connects; `expect` is the CONNACK's code, None for any."""
        self.paho = self._new_paho()
        self.connack, self.disconnected = None, None
        kw = {}
        if self.version == MQTT5:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = 0 if self.clean else 3600
            kw = {"clean_start": self.clean, "properties": properties}
        self.paho.connect(HOST, self.broker.port, self.keepalive, **kw)
        self.paho.loop_start()
        self.wait(lambda: self.connack is not None or self.disconnected is not None, "a CONNACK")
        if expect is not None and self.connack != expect:
            raise AssertionError(f"connection refused: {self.connack}")
        return self

    def close(self):
        if self.paho:
            self.paho.disconnect()
            self.paho.loop_stop()
            self.paho = None

    def drop(self):
        """Ends the connection without a DISCONNECT."""
        sock = self.paho.socket()
        if sock:
            sock.shutdown(socket.SHUT_RDWR)
        self.wait(lambda: self.disconnected is not None, "the connection's end")
        self.paho.loop_stop()
        self.paho = None

    def _on_connect(self, client, userdata, flags, reason, properties=None):
        with self.changed:
            self.connack = getattr(reason, "value", reason)
            self.changed.notify_all()

    def _on_disconnect(self, client, userdata, reason, properties=None):
        with self.changed:
            self.disconnected = getattr(reason, "value", reason) or 0  # paho 2 has no reason where the packet has none
            self.changed.notify_all()

    def _on_message(self, client, userdata, message):
        with self.changed:
            self.inbox.append(Message(message))
            self.changed.notify_all()

    def _on_subscribe(self, client, userdata, mid, codes, properties=None):
        with self.changed:
            self.subacks[mid] = [getattr(code, "value", code) for code in codes]
            self.changed.notify_all()

    def _on_ack(self, mid, code, last=True):
        with self.changed:
            (self.acks if last else self.recs)[mid] = code
            self.changed.notify_all()

    # waiting

    def wait(self, condition, what="a condition", deadline=None):
        with self.changed:
            if self.changed.wait_for(condition, deadline or DEADLINE):
                return
        self.broker.check()
        raise AssertionError(f"{self.user}/{self.device} waited in vain for {what}; last arrivals: {self.inbox[-5:]}")

    def mark(self):
        """A place in what arrived, for `since`."""
        with self.changed:
            return len(self.inbox)

    def find(self, predicate, since=0):
        with self.changed:
            return next((m for m in self.inbox[since:] if predicate(m)), None)

    def wait_for(self, predicate, since=0, what="a message", deadline=None):
        """The first message since the mark that the predicate likes."""
        self.wait(lambda: self.find(predicate, since), what, deadline)
        return self.find(predicate, since)

    def wait_topic(self, topic, since=0, deadline=None):
        return self.wait_for(lambda m: m.topic == topic, since, f"something on {topic}", deadline)

    def on_topic(self, topic, since=0):
        with self.changed:
            return [m for m in self.inbox[since:] if m.topic == topic]

    # MQTT

    def subscribe(self, topic, qos=1):
        """The SUBACK's code: the QoS granted, or 0x80 and above."""
        rc, mid = self.paho.subscribe(topic, qos) if self.version != MQTT5 else self.paho.subscribe(
            topic, options=mqtt.SubscribeOptions(qos=qos))
        if rc != mqtt.MQTT_ERR_SUCCESS:
            raise AssertionError(f"subscribe {topic}: {mqtt.error_string(rc)}")
        self.wait(lambda: mid in self.subacks or self.disconnected is not None, f"the SUBACK of {topic}")
        if mid not in self.subacks:
            raise AssertionError(f"subscribe {topic}: the connection was closed")
        return self.subacks[mid][0]

    def _properties(self, props, content_type, response_topic, correlation):
        if self.version != MQTT5:
            return None
        properties = Properties(PacketTypes.PUBLISH)
        pairs = list(props.items()) if isinstance(props, dict) else list(props or [])
        if pairs:
            properties.UserProperty = [(str(k), str(v)) for k, v in pairs]
        if content_type is not None:
            properties.ContentType = content_type
        if response_topic is not None:
            properties.ResponseTopic = response_topic
        if correlation is not None:
            properties.CorrelationData = correlation
        return properties

    def publish(self, topic, payload=b"", qos=1, retain=False, props=None, content_type=None, response_topic=None,
                correlation=None):
        """Sends and does not wait: the packet id."""
        properties = self._properties(props, content_type, response_topic, correlation)
        if isinstance(payload, str):
            payload = payload.encode()
        connected = self.disconnected is None
        info = self.paho.publish(topic, payload, qos, retain, properties)
        # With paho 2 the connection may have ended over this very packet.
        if info.rc != mqtt.MQTT_ERR_SUCCESS and not (connected and info.rc == mqtt.MQTT_ERR_NO_CONN):
            raise AssertionError(f"publish {topic}: {mqtt.error_string(info.rc)}")
        return info.mid

    def wait_ack(self, mid):
        """The reason code of a publish's ack: of the PUBREC, if that says more."""
        self.wait(lambda: mid in self.acks or self.disconnected is not None, "an ack")
        if mid not in self.acks:
            raise AssertionError(f"no ack: the connection was closed ({self.disconnected})")
        return self.recs.get(mid, 0) or self.acks[mid]

    # the protocol

    def topic(self, *levels):
        return "/".join([self.root, *levels])

    def res(self, *levels):
        return self.topic("res", self.device, *levels)

    def send(self, topic, payload=b"", mid=None, props=None, receipt=None, qos=1, since=None, **kw):
        """Sends a message to `conv/…` or `user/…`: (reason code, receipt).

        mid      goes into the topic, props are user properties
        receipt  where to wait for it: a topic, False for not at all, None for where the protocol says, if at all
        """
        full = self.topic(topic) + (f"/{mid}" if mid is not None else "")
        since = self.mark() if since is None else since
        packet = self.publish(full, payload, qos, props=props, **kw)
        code = self.wait_ack(packet) if qos else None
        if receipt is None:
            known = mid if mid is not None else dict(props or {}).get("id")
            receipt = kw.get("response_topic") or (self.res("sent", known) if known else False)
        return code, self.wait_topic(receipt, since).value if receipt else None

    def send_ok(self, topic, payload=b"", mid=None, **kw):
        """Sends a message that must be stored: the receipt."""
        mid = f"m{next(self.numbers)}" if mid is None and "id" not in dict(kw.get("props") or {}) else mid
        code, receipt = self.send(topic, payload, mid, **kw)
        if code not in (*ACCEPTED, None) or not receipt["ok"]:
            raise AssertionError(f"refused: {code} {receipt}")
        return receipt

    def raw_request(self, op, payload=None, codec="json", tag=None, rid=None, qos=1, **kw):
        """Makes a request: the Message that answers it."""
        if rid is not None:
            payload = dict(payload or {}, rid=rid)
        tag = f"t{next(self.numbers)}" if tag is None else tag
        levels = [op, tag] if tag else [op]
        since = self.mark()
        packet = self.publish(self.topic("req", *levels), encode(payload, codec), qos, **kw)
        if qos:
            self.wait_ack(packet)
        return self.wait_topic(kw.get("response_topic") or self.res(*levels), since)

    def request(self, op, payload=None, codec="json", tag=None, rid=None, **kw):
        """Makes a request: the decoded response. Without a tag one is made; tag="" goes without."""
        return self.raw_request(op, payload, codec, tag, rid, **kw).value

    def ok(self, op, payload=None, **kw):
        """A request that must succeed."""
        response = self.request(op, payload, **kw)
        if response.get("ok") is not True:
            raise AssertionError(f"{op} failed: {response}")
        return response

    def error(self, op, payload=None, **kw):
        """A request that must fail: the error's code."""
        response = self.request(op, payload, **kw)
        if response.get("ok") is not False:
            raise AssertionError(f"{op} did not fail: {response}")
        return response["error"]["code"]

    def sync_all(self, after=0, **kw):
        """Every entry of the inbox after a position."""
        messages = []
        while True:
            page = self.ok("sync", dict(kw, after=after))
            messages += page["messages"]
            after = page["next"]
            if not page["more"]:
                return messages

    # administration

    def raw_control(self, payload):
        """Publishes what should be commands: the responses."""
        since = self.mark()
        self.publish(CONTROL, payload)
        return json.loads(self.wait_topic(f"{CONTROL}/response", since).payload)["responses"]

    def control(self, *commands):
        """Gives commands, as an administrator: the response to one, a list of them to several."""
        responses = self.raw_control(encode({"commands": list(commands)}, "json"))
        return responses[0] if len(commands) == 1 else responses

    def figures(self):
        """What the command `stats` tells."""
        return self.control({"command": "stats"})["data"]


def burst(broker, user, topic, payloads, device="burst"):
    """Sends many QoS 1 messages on a bare socket (MQTT 3.1.1) and waits for as many acks. Far faster than a client."""

    def text(s):
        b = s.encode()
        return struct.pack("!H", len(b)) + b

    def packet(head, body):
        length, size = b"", len(body)
        while True:
            size, low = size >> 7, size & 0x7f
            length += bytes([low | (0x80 if size else 0)])
            if not size:
                return bytes([head]) + length + body

    name = text(topic)
    sock = socket.create_connection((HOST, broker.port), timeout=DEADLINE * 3)
    with sock:
        sock.sendall(packet(0x10, text("MQTT") + b"\x04\x82\x00\x3c" + text(device) + text(user)))
        if sock.recv(4) != b"\x20\x02\x00\x00":
            raise AssertionError("burst: not connected")
        frames = [packet(0x32, name + struct.pack("!H", i % 65535 + 1) + p) for i, p in enumerate(payloads)]
        writer = threading.Thread(target=sock.sendall, args=(b"".join(frames),), daemon=True)
        writer.start()
        wanted, seen = 4 * len(frames), 0
        while seen < wanted:
            data = sock.recv(1 << 16)
            if not data:
                raise AssertionError(f"burst: the broker closed the connection after {seen // 4} acks")
            seen += len(data)
        writer.join()
        sock.sendall(b"\xe0\x00")


# --- test cases ---

class BrokerTest(unittest.TestCase):
    """Tests that set `broker` themselves."""

    broker = None

    def client(self, user=None, device=None, **kw):
        """A client of the broker, until the test's end."""
        client = Client(self.broker, user, device, **kw)
        self.addCleanup(client.close)
        return client


class TimelineTest(BrokerTest):
    """One broker for the class. A subclass sets `options` and `conf`."""

    options = {}
    conf = ()
    anonymous = True
    names = itertools.count(1)

    @classmethod
    def setUpClass(cls):
        cls.broker = Broker(cls.options, cls.conf, cls.anonymous)

    @classmethod
    def tearDownClass(cls):
        cls.broker.close()

    def setUp(self):
        self.addCleanup(self.broker.check)

    def uid(self, name="user"):
        """A user name that nobody else has."""
        return f"{name}{next(self.names)}"

    def uids(self, *names):
        return [self.uid(name) for name in names]

    cid = uid

    def group(self, owner, *members, **settings):
        """Creates a group: its id."""
        conv = self.cid("group")
        owner.ok("create", dict({"conv": conv, "members": list(members)}, **settings))
        return conv

    def assert_refused(self, result, code, reason=NOT_AUTHORISED):
        """A send() that was refused with this error code."""
        ack, receipt = result
        self.assertEqual(ack, reason)
        if receipt is not None:
            self.assertIs(receipt["ok"], False, receipt)
            self.assertEqual(receipt["error"]["code"], code, receipt)
            self.assertTrue(receipt["error"]["message"])

    def assert_places(self, messages, first=1):
        """Inbox entries stand without a gap."""
        self.assertEqual([m["seq"] for m in messages], list(range(first, first + len(messages))))


if __name__ == "__main__":
    unittest.main()
