"""MQTT on a bare socket, for tests that a polite client library would refuse to take part in, and a sender that keeps
what is not acked and sends it again after reconnecting, as a real device does.

    Wire    one connection; packets go out and come in as bytes
    Sender  a thread with a pipeline of QoS 1 messages that survives any number of the broker's deaths
"""
import collections
import json
import select
import socket
import struct
import threading
import time

from harness import DEADLINE, HOST

V311, V5 = 4, 5
CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, PINGREQ, PINGRESP, DISCONNECT = (
    0x10, 0x20, 0x30, 0x40, 0x82, 0x90, 0xc0, 0xd0, 0xe0)

Packet = collections.namedtuple("Packet", "head body")


def varint(value):
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7f
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def text(value):
    """A length-prefixed string or run of bytes."""
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("!H", len(data)) + data


def packet(head, body=b""):
    return bytes([head]) + varint(len(body)) + body


def connect(device, user=None, version=V311, keepalive=0, clean=True, will=None):
    """`will`: topic and payload, MQTT 3.1.1 only."""
    flags = (0x02 if clean else 0) | (0x80 if user is not None else 0) | (0x04 if will else 0)
    body = text("MQTT") + bytes([version, flags]) + struct.pack("!H", keepalive)
    if version == V5:
        body += b"\x00"
    testament = b"".join(map(text, will or ()))
    return packet(CONNECT, body + text(device) + testament + (text(user) if user is not None else b""))


def publish(topic, payload=b"", number=0, version=V311, properties=b"", dup=False):
    """QoS 1 with a packet number, else QoS 0. `properties` are as they stand in the packet, without their length."""
    head = PUBLISH | (0x02 if number else 0) | (0x08 if dup else 0)
    body = text(topic) + (struct.pack("!H", number) if number else b"")
    if version == V5:
        body += varint(len(properties)) + properties
    return packet(head, body + payload)


def subscribe(filters, number=1, qos=1, version=V311):
    body = struct.pack("!H", number) + (b"\x00" if version == V5 else b"")
    return packet(SUBSCRIBE, body + b"".join(text(f) + bytes([qos]) for f in filters))


def user_property(name, value):
    return b"\x26" + text(name) + text(value)


def response_topic(topic):
    return b"\x08" + text(topic)


def correlation(data):
    return b"\x09" + text(data)


def unpack_publish(received, version):
    """(topic, packet number or 0, payload)"""
    body = received.body
    end = 2 + struct.unpack_from("!H", body)[0]
    topic, number = body[2:end].decode(), 0
    if received.head & 0x06:
        number = struct.unpack_from("!H", body, end)[0]
        end += 2
    if version == V5:
        length, shift = 0, 0
        while True:
            byte = body[end]
            end += 1
            length |= (byte & 0x7f) << shift
            shift += 7
            if not byte & 0x80:
                break
        end += length
    return topic, number, body[end:]


def split_packets(data):
    """The complete packets at the beginning of a bytearray, which loses them."""
    packets, at = [], 0
    while True:
        length, shift, p = 0, 0, at + 1
        while p < len(data):
            byte = data[p]
            p += 1
            length |= (byte & 0x7f) << shift
            shift += 7
            if not byte & 0x80:
                break
        else:
            break
        if p + length > len(data):
            break
        packets.append(Packet(data[at], bytes(data[p:p + length])))
        at = p + length
    del data[:at]
    return packets


class Wire:
    """One connection. Closed by the broker: `receive` gives None."""

    def __init__(self, broker, receive_buffer=None):
        self.sock = socket.socket()
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(DEADLINE)
        self.sock.connect((HOST, broker.port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data = bytearray()
        self.packets = collections.deque()
        self.version = V311

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.close()

    def close(self):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def send_anyway(self, data):
        """Sends; that the broker hangs up meanwhile is fine. False if it did."""
        try:
            self.sock.sendall(data)
            return True
        except OSError:
            return False

    def receive(self):
        """The next packet, None at the end of the connection."""
        while not self.packets:
            try:
                data = self.sock.recv(1 << 16)
            except ConnectionError:
                data = b""
            except socket.timeout:
                raise AssertionError("waited in vain for a packet") from None
            if not data:
                return None
            self.data += data
            self.packets.extend(split_packets(self.data))
        return self.packets.popleft()

    def receive_kind(self, kind):
        """The next packet of a kind; None if the connection ends before."""
        while True:
            received = self.receive()
            if received is None or received.head & 0xf0 == kind & 0xf0:
                return received

    def connect(self, device, user=None, version=V311):
        """Logs in; False if the broker does not want that."""
        self.version = version
        self.send(connect(device, user, version))
        received = self.receive_kind(CONNACK)
        return received is not None and received.body[1] == 0

    def alive(self):
        """Whether the broker still answers this connection, after everything sent before."""
        return self.send_anyway(packet(PINGREQ)) and self.receive_kind(PINGRESP) is not None


class Sender(threading.Thread):
    """Sends (topic below the root, id, payload) one after the other, `window` of them unacked at most, until all are
    acked, or after `enough` those that it has begun with. What `messages` gives is taken as it is sent. Where the connection
    ends it connects again and sends what is not acked once more, with the same ids and in the same order. `acks` holds the
    reason code by id, `receipts` what was told by id."""

    def __init__(self, broker, user, messages, version=V5, window=100, root="im"):
        super().__init__(daemon=True)
        self.broker, self.user, self.version, self.window, self.root = broker, user, version, window, root
        self.device = f"sender-{user}"
        self.messages = iter(messages)
        self.next = next(self.messages, None)
        self.unacked = {}
        self.sent = 0
        self.acks = {}
        self.receipts = collections.defaultdict(list)
        self.closed = 0         # connections that were ended from outside
        self.connected = 0
        self.changed = threading.Condition()
        self.stopping = False
        self.error = None
        self._data = bytearray()

    def stop(self):
        self.stopping = True
        self.join(DEADLINE)

    def enough(self):
        """Begins with nothing new any more."""
        self.messages, self.next = iter(()), None

    def done(self):
        return self.next is None and not self.unacked

    def wait(self, condition, what, deadline=None):
        with self.changed:
            if self.changed.wait_for(lambda: self.error or condition(), deadline or DEADLINE) and not self.error:
                return
        raise AssertionError(f"{self.user} waited in vain for {what}: {self.error}, {len(self.acks)} acked, "
                             f"{len(self.unacked)} unacked, {self.sent} sent, {self.closed} times cut off")

    def run(self):
        try:
            while not self.stopping and not self.done():
                try:
                    self._session()
                except OSError:
                    with self.changed:
                        self.closed += 1
                        self.changed.notify_all()
                    time.sleep(0.005)  # a client's pause between its attempts
        except Exception as error:  # pylint: disable=broad-except
            with self.changed:
                self.error = repr(error)
                self.changed.notify_all()

    def _open(self):
        while not self.stopping:
            try:
                return socket.create_connection((HOST, self.broker.port), timeout=DEADLINE)
            except OSError:
                time.sleep(0.005)  # a client's pause between its attempts
        raise OSError("stopping")

    def _session(self):
        with self._open() as sock:
            self._data.clear()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.sendall(connect(self.device, self.user, self.version))
            while not any(p.head & 0xf0 == CONNACK for p in self._read(sock)):
                pass
            self.connected += 1
            self._send(sock, list(self.unacked.items()), dup=True)
            while not self.stopping and not self.done():
                self._fill(sock)
                if select.select([sock], [], [], 0.1)[0]:
                    self._take_in(sock, self._read(sock))
            if not self.stopping:
                sock.sendall(packet(DISCONNECT))

    def _read(self, sock):
        data = sock.recv(1 << 16)
        if not data:
            raise ConnectionError("closed")
        self._data += data
        return split_packets(self._data)

    def _take(self):
        message, self.next = self.next, next(self.messages, None)
        return message

    def _fill(self, sock):
        fresh = []
        while len(self.unacked) < self.window:
            message = self._take()
            if not message:
                break
            self.sent += 1
            number = self.sent % 65535 + 1
            self.unacked[number] = message
            fresh.append((number, message))
        self._send(sock, fresh)

    def _send(self, sock, numbered, dup=False):
        frames = [publish(f"{self.root}/{topic}/{mid}", payload, number, self.version, dup=dup)
                  for number, (topic, mid, payload) in numbered]
        if frames:
            sock.sendall(b"".join(frames))

    def _take_in(self, sock, packets):
        answers = []
        with self.changed:
            for received in packets:
                if received.head & 0xf0 == PUBACK:
                    number = struct.unpack_from("!H", received.body)[0]
                    _, mid, _ = self.unacked.pop(number)
                    self.acks[mid] = received.body[2] if len(received.body) > 2 else 0
                elif received.head & 0xf0 == PUBLISH:
                    _, number, payload = unpack_publish(received, self.version)
                    receipt = json.loads(payload)
                    self.receipts[receipt["id"]].append(receipt)
                    answers.append(packet(PUBACK, struct.pack("!H", number)))
            self.changed.notify_all()
        if answers:
            sock.sendall(b"".join(answers))


def count_acks(senders):
    """For senders_progress, before what lets them go on: they may be through with it before anybody looks again."""
    return [len(sender.acks) for sender in senders]


def senders_progress(senders, count, what="acks", before=None):
    """Waits until each has more than so many further acks, than it has or had before."""
    for sender, had in zip(senders, before or count_acks(senders)):
        sender.wait(lambda s=sender, n=had: len(s.acks) > n + count, what, 30)


def senders_stop(senders):
    """Has them send nothing more than what they have sent."""
    for sender in senders:
        sender.enough()
    senders_done(senders)


def senders_done(senders, deadline=60):
    for sender in senders:
        sender.wait(sender.done, "its acks", deadline)
        sender.join(DEADLINE)
