"""A broker that misbehaves on purpose: MQTT 3.1.1 and 5 as far as one client needs it, each habit a field of `Habits`."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import Self

CONNECT, PUBLISH, SUBSCRIBE, PINGREQ, DISCONNECT = 1, 3, 8, 12, 14


@dataclass
class Habits:
    """What this broker does that it should not, or seldom does."""

    connack: int | None = 0
    """None: takes the TCP connection and never answers."""
    hang_up_on_5: bool = False
    only_311: bool = False
    receive_maximum: int | None = None
    suback: int = 1
    suback_second: int = 1
    """Of the second topic of a SUBSCRIBE: commands."""
    puback: int | None = 0
    """None: never acknowledges."""
    puback_delay_s: float = 0.0
    denied_topics: str = ""
    """Last levels of topics whose PUBACK is 0x87."""
    unheard_topics: str = ""
    """Last levels of topics whose PUBACK is 0x10: nobody has subscribed to them."""
    disconnect: int | None = None
    """Reason code of a DISCONNECT after the first PUBLISH."""
    too_large_bytes: int | None = None
    """Reason code 0x95 of a DISCONNECT after a PUBLISH larger than this; CONNACK names no limit."""
    garbage: bytes = b""
    """Sent after the first PUBLISH."""


@dataclass
class Seen:
    """What came in."""

    versions: list[int] = field(default_factory=list)
    connects_at_s: list[float] = field(default_factory=list)
    connects: list[bytes] = field(default_factory=list)
    """Each CONNECT without its fixed header."""
    topics: list[str] = field(default_factory=list)
    unacked_most: int = 0
    largest_bytes: int = 0
    """Of all PUBLISH packets, without their fixed header."""


class BrokerDouble:
    """Serves one client after the other on a thread until `close`."""

    def __init__(self, habits: Habits) -> None:
        self.habits = habits
        self.seen = Seen()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self._client: socket.socket | None = None
        self._thread = threading.Thread(target=self._serve, name="broker-double")
        self._thread.start()

    def cut(self) -> None:
        """The present connection ends without a word."""
        client = self._client
        if client is not None:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.cut()
        self._thread.join(10)
        assert not self._thread.is_alive()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            with client:
                self._client = client
                with contextlib.suppress(OSError, EOFError):
                    self._talk(client)
            self._client = None

    def _talk(self, client: socket.socket) -> None:
        kind, body = self._packet(client)
        assert CONNECT == kind
        version = body[6]
        self.seen.versions.append(version)
        self.seen.connects_at_s.append(time.monotonic())
        self.seen.connects.append(body)
        if self.habits.connack is None:
            client.recv(1)
            return
        if self.habits.hang_up_on_5 and version == 5:
            return
        refused = self.habits.only_311 and version == 5
        client.sendall(self._connack(version, 1 if refused else self.habits.connack, plain=refused or version == 4))
        if refused or self.habits.connack:
            return
        waiting: list[tuple[float, bytes]] = []
        client.settimeout(0.02)
        while True:
            with contextlib.suppress(TimeoutError):
                self._answer(client, version, *self._packet(client), waiting)
            while waiting and waiting[0][0] <= time.monotonic():
                client.sendall(waiting.pop(0)[1])

    def _connack(self, version: int, code: int, *, plain: bool) -> bytes:
        if plain or version == 4:
            return bytes([0x20, 2, 0, code])
        maximum = self.habits.receive_maximum
        properties = b"" if maximum is None else b"\x21" + maximum.to_bytes(2, "big")
        body = bytes([0, code, len(properties)]) + properties
        return bytes([0x20, len(body)]) + body

    def _answer(self, client: socket.socket, version: int, kind: int, body: bytes, waiting: list[tuple[float, bytes]]) -> None:
        if kind == SUBSCRIBE:
            middle = b"\0" if version == 5 else b""
            answer = body[:2] + middle + bytes([self.habits.suback, self.habits.suback_second])
            client.sendall(bytes([0x90, len(answer)]) + answer)
        elif kind == PINGREQ:
            client.sendall(b"\xd0\0")
        elif kind == PUBLISH:
            self._take(client, version, body, waiting)
        elif kind == DISCONNECT:
            raise EOFError

    def _take(self, client: socket.socket, version: int, body: bytes, waiting: list[tuple[float, bytes]]) -> None:
        length = int.from_bytes(body[:2], "big")
        topic, mid = body[2 : 2 + length].decode(), body[2 + length : 4 + length]
        self.seen.topics.append(topic.rsplit("/", 1)[1])
        self.seen.largest_bytes = max(self.seen.largest_bytes, len(body))
        if self.habits.too_large_bytes is not None and len(body) > self.habits.too_large_bytes:
            client.sendall(bytes([0xE0, 2, 0x95, 0]))
            self._drain(client)
        if self.habits.disconnect is not None:
            client.sendall(bytes([0xE0, 2, self.habits.disconnect, 0]))
            self._drain(client)
        if self.habits.garbage:
            client.sendall(self.habits.garbage)
        if self.habits.puback is None:
            return
        code = 0x87 if self.seen.topics[-1] in self.habits.denied_topics else 0x10 if self.seen.topics[-1] in self.habits.unheard_topics else self.habits.puback
        answer = mid + bytes([code, 0]) if version == 5 and code else mid
        waiting.append((time.monotonic() + self.habits.puback_delay_s, bytes([0x40, len(answer)]) + answer))
        self.seen.unacked_most = max(self.seen.unacked_most, len(waiting))

    @staticmethod
    def _drain(client: socket.socket) -> None:
        """Closes without a reset, which would overtake what was just said."""
        client.shutdown(socket.SHUT_WR)
        client.settimeout(5.0)
        while client.recv(4096):
            pass
        raise EOFError

    def _packet(self, client: socket.socket) -> tuple[int, bytes]:
        head = self._exactly(client, 1)[0]
        length, shift = 0, 0
        while True:
            byte = self._exactly(client, 1)[0]
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        return head >> 4, self._exactly(client, length)

    @staticmethod
    def _exactly(client: socket.socket, count: int) -> bytes:
        data = b""
        while len(data) < count:
            try:
                chunk = client.recv(count - len(data))
            except TimeoutError:
                if not data:
                    raise
                continue
            if not chunk:
                raise EOFError
            data += chunk
        return data
