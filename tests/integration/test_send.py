import unittest
from harness import *
class T(TimelineTest):
    def test_x(self):
        a,b=self.uids("alice","bob")
        ca=self.client(a); cb=self.client(b, version=MQTT311)
        print(ca.send("user/"+b,"hi",mid="m1"))
        print(cb.send("user/"+a,"hi",mid="m1"))
        print(ca.send("user/"+b,"hi",mid="m2",qos=2))
        print(cb.sync_all(), ca.ok("hello"))
        burst(self.broker,a,"im/user/"+b,[b"x"]*20000)
