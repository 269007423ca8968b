"""A wire between two network interfaces that delays, loses and forgets packets.

A program, run by :mod:`support.two_hosts` in a network namespace of its own that has both
interfaces and no address. It copies frames from one to the other, so that what is at its
ends is the kernel's own TCP. It needs no module of the kernel but ``veth``.

It is told what to do by lines of JSON on its standard input, and answers each by a line:

``delay``
    Seconds that each packet takes.
``loss``
    Share of packets that are lost, 0 to 1.
``drop``
    Directions in which everything is lost: ``["out"]`` (from the first interface to the
    second), ``["back"]``, or both.
``forget``
    Lose all packets of the TCP connections that there have been, as a firewall does that
    has forgotten them; new ones are let through.

Sources: packet(7); ``struct virtio_net_hdr`` in linux/virtio_net.h, which carries what the
kernel has not done yet with a packet (checksum, segments).
"""

from __future__ import annotations

import heapq
import json
import random
import select
import socket
import sys
import time
from typing import Any

ETH_P_ALL = 3
SOL_PACKET = 263
PACKET_VNET_HDR = 15
HEADER = 10
"""Bytes of ``struct virtio_net_hdr``."""

Flow = frozenset[tuple[bytes, bytes]]


def opened(interface: str) -> socket.socket:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    sock.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 23)
    sock.bind((interface, ETH_P_ALL))
    sock.setblocking(False)
    return sock


def flow_of(frame: bytes) -> Flow | None:
    """Return both ends of the TCP connection that a frame belongs to (RFC 791, 793)."""
    packet = frame[14:]
    if frame[12:14] != b"\x08\x00" or packet[9] != 6:
        return None
    start = (packet[0] & 15) * 4
    ports = packet[start : start + 2], packet[start + 2 : start + 4]
    return frozenset(((packet[12:16], ports[0]), (packet[16:20], ports[1])))


class Wire:
    """The wire between two interfaces."""

    def __init__(self, first: str, second: str) -> None:
        self.ends = opened(first), opened(second)
        self.delay = 0.0
        self.loss = 0.0
        self.drop: list[str] = []
        self.seen: set[Flow] = set()
        self.forgotten: set[Flow] = set()
        self.waiting: list[tuple[float, int, socket.socket, bytes]] = []
        self.count = 0
        self.chance = random.Random(1)

    def run(self) -> None:
        """Copy until standard input ends."""
        while True:
            left = self.waiting[0][0] - time.monotonic() if self.waiting else None
            timeout = None if left is None else max(0.0, left)
            ready, _, _ = select.select([*self.ends, sys.stdin], [], [], timeout)
            for end in ready:
                if end is sys.stdin:
                    line = sys.stdin.readline()
                    if not line:
                        return
                    self.obey(json.loads(line))
                else:
                    self.take(end)
            self.send()

    def obey(self, wanted: dict[str, Any]) -> None:
        self.delay = wanted.get("delay", 0.0)
        self.loss = wanted.get("loss", 0.0)
        self.drop = wanted.get("drop", [])
        if wanted.get("forget"):
            self.forgotten |= self.seen
        sys.stdout.write(f"{len(self.forgotten)}\n")
        sys.stdout.flush()

    def take(self, end: socket.socket) -> None:
        other = self.ends[1 - self.ends.index(end)]
        direction = "out" if end is self.ends[0] else "back"
        while True:
            try:
                data, address = end.recvfrom(1 << 17)
            except BlockingIOError:
                return
            if address[2] == 4:  # PACKET_OUTGOING: what we sent ourselves
                continue
            flow = flow_of(data[HEADER:])
            if flow:
                self.seen.add(flow)
            lost = direction in self.drop or flow in self.forgotten
            if lost or self.chance.random() < self.loss:
                continue
            self.count += 1
            when = time.monotonic() + self.delay
            heapq.heappush(self.waiting, (when, self.count, other, data))

    def send(self) -> None:
        now = time.monotonic()
        while self.waiting and self.waiting[0][0] <= now:
            _, _, end, data = heapq.heappop(self.waiting)
            try:
                end.send(data)
            except OSError:
                continue  # as a wire that is full


if __name__ == "__main__":
    Wire(sys.argv[1], sys.argv[2]).run()
