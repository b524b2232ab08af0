"""Bytes on the wire, up and down, by day and lane: what a SIM card is charged for.

A lane's bytes are those of its MQTT packets. `overhead` is the rest of what the link carried: TCP/IP headers, resent segments, TLS,
handshakes, keep-alive and acknowledgements. The whole is asked of the kernel (tcp(7), TCP_INFO), so nothing is estimated but the size of a
header.

    struct tcp_info (linux/tcp.h): bytes_received u64 at 128, segs_out u32 at 136, segs_in u32 at 140, bytes_sent u64 at 200
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping
from datetime import date
from typing import Final

import msgspec

KEY_PREFIX: Final = "traffic/"
# This month and the one before it, whole.
DAYS_MAX: Final = 62
LANES: Final = ("event", "energy", "fresh", "backlog", "record", "schema", "status", "receipt", "overhead")
# IP 20 and TCP 20 with the 12 of its time stamps; IP of version 6 has 20 more.
_HEADER_BYTES_V4: Final = 52
_HEADER_BYTES_V6: Final = 72
_TCP_INFO_BYTES: Final = 256
_TCP_INFO_BYTES_MIN: Final = 208
MB: Final = 1_000_000
"""A SIM card's megabyte."""


class Wire(msgspec.Struct, frozen=True):
    """What one connection has carried since its SYN, headers and repeats included."""

    up: int = 0
    down: int = 0


def wire_of(link: socket.socket) -> Wire | None:
    """Asks the kernel; None when it does not say (a kernel older than 4.19, a closed socket)."""
    try:
        told = link.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    except OSError:
        return None
    if len(told) < _TCP_INFO_BYTES_MIN:
        return None
    header = _HEADER_BYTES_V6 if link.family == socket.AF_INET6 else _HEADER_BYTES_V4
    received, segments_out, segments_in = struct.unpack_from("=QII", told, 128)
    (sent,) = struct.unpack_from("=Q", told, 200)
    return Wire(sent + segments_out * header, received + segments_in * header)


def packet_bytes(topic: str, payload: bytes) -> int:
    """A PUBLISH of QoS 1 in MQTT 5 without properties: fixed header, topic with its length, packet id, no properties, payload."""
    rest = 2 + len(topic) + 2 + 1 + len(payload)
    return 1 + (1 if rest < 0x80 else 2 if rest < 0x4000 else 3) + rest


class Traffic:
    """The counts of one uplink. Days are local and come in as ISO dates; empty while the clock was never set."""

    def __init__(self, uplink: str, states: Mapping[str, bytes] | None = None) -> None:
        """`states`: what an earlier start left in the store under `KEY_PREFIX`."""
        self._prefix = f"{KEY_PREFIX}{uplink}/"
        self.days: dict[str, dict[str, list[int]]] = {}
        self._changed: set[str] = set()
        self._connection: dict[str, Wire] = {}
        self.restore(states or {})

    def restore(self, states: Mapping[str, bytes]) -> None:
        """Adds what an earlier start counted; a state that cannot be read counts as none."""
        for key, state in states.items():
            if key.startswith(self._prefix):
                try:
                    lanes = msgspec.json.decode(state, type=dict[str, tuple[int, int]])
                except (msgspec.DecodeError, UnicodeDecodeError):
                    continue
                for lane, (up, down) in lanes.items():
                    self._add(key.removeprefix(self._prefix), lane, up, down)
        self._changed.clear()

    # -- counting

    def begin(self) -> None:
        """A new connection: its wire counts from 0."""
        self._connection = {"wire": Wire(), "lanes": Wire()}

    def count(self, day: str, lane: str, *, up: int = 0, down: int = 0) -> None:
        """A packet of a lane."""
        self._add(day, lane, up, down)
        lanes = self._connection.get("lanes", Wire())
        self._connection["lanes"] = Wire(lanes.up + up, lanes.down + down)

    def measured(self, day: str, wire: Wire | None) -> None:
        """What the present connection has carried in all: what no lane accounts for is overhead. A packet that waits for the wire is not, yet."""
        if wire is None:
            return
        lanes, booked = self._connection.get("lanes", Wire()), self._connection.get("wire", Wire())
        up, down = max(0, wire.up - lanes.up - booked.up), max(0, wire.down - lanes.down - booked.down)
        if up or down:
            self._connection["wire"] = Wire(booked.up + up, booked.down + down)
            self._add(day, "overhead", up, down)

    def _add(self, day: str, lane: str, up: int, down: int) -> None:
        counts = self.days.setdefault(day, {}).setdefault(lane, [0, 0])
        counts[0] += up
        counts[1] += down
        self._changed.add(day)

    # -- keeping

    def changes(self) -> dict[str, bytes | None]:
        """What the store must keep since the last call: one state a day, None for a day that is too old."""
        undated = self.days.get("")
        dated = sorted(day for day in self.days if day)
        if undated and dated:
            # The clock was set meanwhile: what came before is of today, or of the day before at worst.
            for lane, (up, down) in self.days.pop("").items():
                self._add(dated[-1], lane, up, down)
        self._changed.discard("")
        states: dict[str, bytes | None] = {self._prefix + day: msgspec.json.encode(self.days[day]) for day in self._changed if day in self.days}
        for day in dated[:-DAYS_MAX]:
            del self.days[day]
            states[self._prefix + day] = None
        self._changed.clear()
        return states

    # -- what people ask

    def of_day(self, day: str) -> dict[str, tuple[int, int]]:
        """{lane: (up, down)}"""
        return {lane: (up, down) for lane, (up, down) in self.days.get(day, {}).items()}

    def month_bytes(self, day: str) -> int:
        """Both ways, in the month of this day."""
        return sum(up + down for found, lanes in self.days.items() if found[:7] == day[:7] for up, down in lanes.values())


def local_day(wall_ms: int) -> str:
    """The day by the machine's time zone."""
    return date.fromtimestamp(wall_ms / 1000).isoformat()  # noqa: DTZ012 - a contract's day is a local one
