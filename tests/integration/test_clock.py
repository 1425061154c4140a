"""The system's clock is set while the broker runs: by hand, or because there was no network at its start."""
import unittest

from fault import ClockBroker
from harness import Client

HOUR = 3600


class Clock(unittest.TestCase):
    def test_set_back_and_forward(self):
        """Messages are stored, told and answered at once, and no time in a conversation comes before the one before it."""
        broker = ClockBroker()
        self.addCleanup(broker.close)
        # Some brokers, Debian 13's among them, cut off after such a change whoever is to be alive within a time.
        ann, ben = Client(broker, "ann", keepalive=0), Client(broker, "ben", keepalive=0)
        self.addCleanup(ann.close)
        self.addCleanup(ben.close)
        ann.ok("create", {"conv": "team", "members": ["ben"]})
        offsets = (0, -HOUR, -24 * HOUR, 0, 2 * HOUR, -365 * 24 * HOUR, 0)
        for i, seconds in enumerate(offsets):
            broker.set_clock(seconds)
            ann.send_ok("conv/team", "x", mid=f"m{i}")
            self.assertEqual(ben.ok("hello")["latest"], i + 2)
        story = ben.sync_all()
        self.assertEqual([m["cseq"] for m in story], list(range(1, len(offsets) + 2)))
        stamps = [m["ts"] for m in story]
        self.assertEqual(stamps, sorted(stamps))


if __name__ == "__main__":
    unittest.main()
