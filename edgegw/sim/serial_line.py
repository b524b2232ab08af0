"""A simulated RS-485 or RS-232 line: a pty whose bytes take the time that they would take on the wire.

    request      on the line for N characters from its first byte, however fast the pty brought it
    turnaround   the device's own pause
    answer       written in small chunks on absolute times, so that its last byte goes out N characters after its start

A pty knows neither speed nor parity, so the line counts characters itself (decision D13). Each line has its own thread: `select`
wakes within 0.1 ms, while a loop that rounds its timers to 1 ms would make a line at 9600 baud some percent slower than it is.

The line also judges its master: a request that begins less than 3.5 characters after the last byte of an answer is a violation, bytes
while a request or an answer is on the line are a collision and cost both, as on real wires.
"""

from __future__ import annotations

import os
import random
import select
import threading
import time
import tty
from collections.abc import Callable, Mapping

import msgspec

from edgegw.sim import forgery
from edgegw.sim.device import Device, Reply
from edgegw.sim.frames import RTU_FRAME_BYTES_MAX, Request
from edgegw.sim.journal import Journal

# Modbus over serial line 1.02, section 2.5.1.1: the silence between frames.
SILENCE_CHARACTERS = 3.5
# Bytes of one write: a UART's receive FIFO hands over about as many at once.
CHUNK_BYTES = 8
# A frame that does not go on for this long is over. Far above 3.5 characters, because a busy machine may hand over one write in two parts.
INCOMPLETE_NS = 50_000_000
# Longest request of any protocol; what is longer is no request.
FRAME_BYTES_MAX = RTU_FRAME_BYTES_MAX
# More bytes than this in one read are a babbling master; the rest is read in the next turn.
READ_BYTES_MAX = 4096


# Of the requests at a wrong speed these bring noise back; of the answers of two devices with one address these come one behind the other.
BABBLE_SHARE = 0.5


class LineCounts(msgspec.Struct):
    """What the line saw of its master."""

    requests: int = 0
    """Whole requests with a good check, to whatever unit."""
    answers: int = 0
    violations: int = 0
    """Requests begun less than 3.5 characters after the last byte of an answer."""
    overlaps: int = 0
    """Bytes that came while a request or an answer was on the line."""
    bad_requests: int = 0
    """Frames with a wrong check, or of no known shape."""
    foreign: int = 0
    """Requests to a unit that is not on this line."""
    connections: int = 0
    """Of a server: how often somebody connected."""


class SerialLine:
    """One pty and the thread that serves it. `character_ns` 0 means that the line is not paced."""

    def __init__(self, name: str, character_ns: float, devices: Mapping[int, Device], journal: Journal, seed: int = 0) -> None:
        self.name = name
        self.counts = LineCounts()
        self._character_ns = character_ns
        self._devices = devices
        self._tongues = tuple(dict.fromkeys(device.image.tongue for device in devices.values()))
        self._journal = journal
        self._random = random.Random(seed)
        self._open()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC)
        self._away_ns = 0.0
        self._plugged = threading.Event()
        self.garbles = False
        """The line runs at another speed than its master: neither understands the other."""
        self.on_path: Callable[[str], None] = lambda _: None
        """Told the new path of a pty that was plugged in again."""
        self._stopped = False
        self._answer_end_ns: int | None = None
        self._thread = threading.Thread(target=self._serve, name=f"line-{name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped = True
        self._plugged.set()
        os.eventfd_write(self._wake, 1)
        self._thread.join()
        for descriptor in (self._master, self._slave, self._wake):
            os.close(descriptor)

    # -- what a control command changes

    def unplug(self, seconds: float | None) -> None:
        """The adapter is pulled out; after so long, or with `plug`, it is back under another number."""
        self._plugged.clear()
        self._away_ns = float("inf") if seconds is None else seconds * 1e9
        os.eventfd_write(self._wake, 1)

    def plug(self) -> None:
        self._plugged.set()

    def _open(self) -> None:
        """Our own hold on the far end keeps the pty alive while the gateway closes and opens it."""
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.path = os.ttyname(self._slave)

    # -- the thread

    def _serve(self) -> None:
        while not self._stopped:
            if self._away_ns:
                self._be_away()
            heard = self._listen()
            if heard is not None and self.garbles:
                self._babble(heard[1])
            elif heard is not None:
                self._exchange(*heard)

    def _be_away(self) -> None:
        away_ns, self._away_ns = self._away_ns, 0.0
        os.close(self._slave)
        os.close(self._master)  # The gateway's end hangs up.
        # Somebody else has the old number meanwhile, so that the adapter gets another one.
        held = os.openpty()
        self._plugged.wait(None if away_ns == float("inf") else away_ns / 1e9)
        self._open()
        for descriptor in held:
            os.close(descriptor)
        self._answer_end_ns = None
        self.on_path(self.path)

    def _babble(self, size: int) -> None:
        """What a request looks like at another speed: nothing that anybody would answer; now and then the line's own unrest comes back."""
        self.counts.bad_requests += 1
        if self._random.random() < BABBLE_SHARE:
            self._send(self._random.randbytes(self._random.randint(1, size)), time.monotonic_ns())

    def _listen(self) -> tuple[Request, int, int] | None:
        """The next whole request, its bytes, and the time of its first byte; None after a broken one, and at the end."""
        received, first_ns = b"", 0
        while not self._stopped and not self._away_ns:
            readable = self._wait_readable(INCOMPLETE_NS if received else None)
            now_ns = time.monotonic_ns()
            if not readable:
                self.counts.bad_requests += bool(received)
                received = b""
                continue
            if not received:
                first_ns = now_ns
                self._judge_silence(now_ns)
            received += self._read()
            sizes = [(tongue, size) for tongue in self._tongues if (size := tongue.size(received)) is not None and len(received) >= size]
            for tongue, size in sizes:
                request = tongue.parse(received[:size])
                if request is not None:
                    self.counts.overlaps += len(received) > size
                    return request, size, first_ns
            if sizes and len(sizes) == len(self._tongues):
                self.counts.bad_requests += 1
                return None
            received = received[-FRAME_BYTES_MAX:]
        return None

    def _judge_silence(self, first_ns: int) -> None:
        if self._answer_end_ns is not None and first_ns - self._answer_end_ns < SILENCE_CHARACTERS * self._character_ns:
            self.counts.violations += 1

    def _exchange(self, request: Request, size: int, first_ns: int) -> None:
        self.counts.requests += 1
        device = self._whom(request)
        if device is None:
            self.counts.foreign += 1
            return
        request = msgspec.structs.replace(request, unit=device.unit)
        begin_ns = first_ns + round(size * self._character_ns)
        if self._character_ns:
            begin_ns += device.turnaround_ns
        if not self._sleep_until(begin_ns):
            return
        reply = device.answer(request)
        if reply is not None:
            self._answer(device, reply, first_ns, begin_ns)

    def _whom(self, request: Request) -> Device | None:
        """Who is asked; a question to anybody (a negative unit) is answered where one device alone hears it."""
        alone = [*self._devices.values()] if request.unit < 0 and len(self._devices) == 1 else []
        return alone[0] if alone else self._devices.get(request.unit)

    def _answer(self, device: Device, reply: Reply, first_ns: int, begin_ns: int) -> None:
        begin_ns += reply.delay_ns
        if reply.delay_ns and not self._sleep_until(begin_ns):
            return
        whole = self._send(self._damaged(device, reply), begin_ns)
        finished_ns, finished_ms = time.monotonic_ns(), time.time_ns() // 1_000_000
        self.counts.answers += 1
        self._journal.write(device.entry(reply, first_ns, finished_ns, finished_ms, whole=whole and reply.whole))

    def _damaged(self, device: Device, reply: Reply) -> bytes:
        """The bytes for the line, after what a fault does to them."""
        frame = device.image.tongue.frame(reply.request, reply.payload)
        if reply.fault == "crc":
            return frame[:-1] + bytes([frame[-1] ^ 0x55])
        if reply.fault == "truncate":
            return frame[: len(frame) // 2]
        if reply.fault == "noise":
            return self._random.randbytes(self._random.randint(1, 8)) + frame
        if reply.fault == "garbage":
            return self._random.randbytes(self._random.randint(1, len(frame)))
        if reply.fault in forgery.KINDS:
            forged = device.image.tongue.forge(reply.fault, reply.request, reply.payload)
            return forged if reply.fault != "twin" else self._of_two(frame, forged)
        return frame

    def _of_two(self, frame: bytes, other: bytes) -> bytes:
        """Two devices answer: the one behind the other, or into each other some characters apart, where a zero wins.

        Never exactly at once: two that differ in one bit and by one in an additive sum would make a third answer with a right sum, which no master can tell.
        """
        if self._random.random() < BABBLE_SHARE:
            return frame + other
        apart = self._random.randint(1, 3)
        mixed = bytes(one & two for one, two in zip(frame[apart:], other, strict=False))
        return frame[:apart] + mixed + other[-apart:]

    def _send(self, frame: bytes, begin_ns: int) -> bool:
        """Paces the bytes out. False when the master talked into them or does not fetch them: the rest is then not sent."""
        for start in range(0, len(frame), CHUNK_BYTES):
            chunk = frame[start : start + CHUNK_BYTES]
            if not self._sleep_until(begin_ns + round((start + len(chunk)) * self._character_ns)):
                return False
            # Taken before the write: the master cannot have seen the byte earlier, so what counts as a violation is one.
            self._answer_end_ns = time.monotonic_ns()
            try:
                if os.write(self._master, chunk) != len(chunk):
                    return False
            except BlockingIOError:
                return False
        return True

    # -- waiting

    def _sleep_until(self, at_ns: int) -> bool:
        """Returns at or after `at_ns`. False when bytes came meanwhile (they are lost, as in a collision) or the line is stopped."""
        while (left_ns := at_ns - time.monotonic_ns()) > 0:
            if self._wait_readable(left_ns):
                self._collision()
                return False
            if self._stopped:
                return False
        return True

    def _collision(self) -> None:
        """What was sent into a frame is lost, up to the next silence."""
        self.counts.overlaps += 1
        while self._read() and self._wait_readable(round(SILENCE_CHARACTERS * self._character_ns)):
            pass

    def _wait_readable(self, timeout_ns: int | None) -> bool:
        timeout_s = None if timeout_ns is None else timeout_ns / 1e9
        readable, _, _ = select.select([self._master, self._wake], [], [], timeout_s)
        if self._wake in readable:
            os.eventfd_read(self._wake)
        return self._master in readable

    def _read(self) -> bytes:
        try:
            return os.read(self._master, READ_BYTES_MAX)
        except BlockingIOError:
            return b""
