"""Keeps the parts of the daemon running, tells systemd how they are, and hears the signals that end it.

A part that fails is started again with growing pauses; the others do not notice. This is the one place that catches every exception.

sd_notify(3) by hand: one datagram of `NAME=value` lines to the socket named in NOTIFY_SOCKET (`/path` or `@abstract`):
READY=1, RELOADING=1 with MONOTONIC_USEC, STOPPING=1, STATUS=text, WATCHDOG=1 at least once in each WATCHDOG_USEC.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from edgegw.clock import Clock

_log = logging.getLogger("edgegw.supervise")

T = TypeVar("T")

# A part that fails at once must not fill the log or the processor; a minute is short enough for a fault that went away.
RESTART_FIRST_MS = 1000
RESTART_MAX_MS = 60_000
# Running this long is health: the next failure is a new one.
HEALTHY_AFTER_MS = 300_000
# Loop lag is measured and systemd is fed this often; a quarter of the watchdog's time where that is shorter.
BEAT_S = 1.0
# Three times the longest step that belongs on the loop (80 ms of decoding after a reconnect): beyond it something blocks.
LAG_WARN_MS = 250
# An ending part gets this long to finish its question; stopping as a whole stays below 10 s.
END_S = 3.0


class Notifier:
    """systemd's ear. Without a socket every call does nothing."""

    def __init__(self, address: str | None, watchdog_s: float | None = None) -> None:
        self._address = f"\0{address[1:]}" if address and address.startswith("@") else address
        self.watchdog_s = watchdog_s
        self._heard = True

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Notifier:
        """NOTIFY_SOCKET, and WATCHDOG_USEC where it is meant for this process."""
        ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        microseconds = environment.get("WATCHDOG_USEC", "")
        watchdog_s = int(microseconds) / 1e6 if ours and microseconds.isdecimal() and int(microseconds) else None
        return cls(environment.get("NOTIFY_SOCKET"), watchdog_s)

    def send(self, *fields: str) -> None:
        """Never blocks and never raises: a deaf service manager is no reason to stop polling."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as notify_socket:
                notify_socket.sendto("\n".join(fields).encode(), self._address)
        except OSError as fault:
            if self._heard:
                _log.warning("systemd cannot be told %s: %s", fields[0], fault)
            self._heard = False
        else:
            self._heard = True

    def ready(self, status: str = "") -> None:
        self.send("READY=1", *([f"STATUS={status}"] if status else []))

    def reloading(self) -> None:
        """To be followed by `ready`."""
        self.send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        self.send("STOPPING=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self.send(f"STATUS={text}")


@dataclass(slots=True)
class Part:
    """One supervised task, as `status` shows it."""

    name: str
    run: Callable[[], Coroutine[object, object, None]]
    restarts: int = 0
    fault: str = ""
    """Of its last failure."""
    resting: bool = False
    """Waits for its next start."""
    started_ms: int = 0
    task: asyncio.Task[None] | None = None


@dataclass(slots=True)
class Checkpoint:
    """Where a part shows that it turns, and how old that may get."""

    last_ms: Callable[[], int]
    deadline_ms: int
    since_ms: int
    late: bool = False


@dataclass(slots=True)
class Lag:
    """How late the loop woke, the latest and the worst since the start."""

    last_ms: float = 0.0
    max_ms: float = 0.0
    high: bool = field(default=False, repr=False)


class Supervisor:
    """Runs named tasks until they are ended, and watches their checkpoints."""

    def __init__(self, clock: Clock, notifier: Notifier) -> None:
        self.notifier = notifier
        self.stop_requested = asyncio.Event()
        """First SIGTERM or SIGINT."""
        self.hurry = asyncio.Event()
        """Second one: what would wait for the cloud is skipped."""
        self.lag = Lag()
        self._clock = clock
        self._parts: dict[str, Part] = {}
        self._checkpoints: dict[str, Checkpoint] = {}

    def start(self, name: str, run: Callable[[], Coroutine[object, object, None]]) -> None:
        """Runs `run()` now and again whenever it ends, until `end(name)`."""
        assert name not in self._parts, f"{name} runs already"
        part = Part(name, run, started_ms=self._clock.mono_ms())
        self._parts[name] = part
        part.task = asyncio.get_running_loop().create_task(self._keep(part), name=name)

    def guard(self, name: str, step: Callable[[], T]) -> T | None:
        """One step that a part takes in another part's time: its failure is told as the part's own, and None comes back."""
        try:
            return step()
        except Exception as fault:  # as in _run_once: the caller must not fall with it
            if part := self._parts.get(name):
                part.fault = f"{type(fault).__name__}: {fault}"
            _log.exception("%s failed", name)
            return None

    def watch(self, name: str, last_ms: Callable[[], int], deadline_ms: int) -> None:
        """`last_ms` gives the monotonic ms of the clock at which the part last turned. A part that rests after a failure is not late.

        What a part waits for is real, however fast a simulated day runs.
        """
        self._checkpoints[name] = Checkpoint(last_ms, round(deadline_ms * self._clock.speed), self._clock.mono_ms())

    async def end(self, *names: str, within_s: float = END_S) -> None:
        """Cancels these parts together and waits for their end; one that does not end in time is told and left."""
        parts = [self._parts.pop(name) for name in names if name in self._parts]
        for part in parts:
            self._checkpoints.pop(part.name, None)
        tasks = {part.task for part in parts if part.task is not None}
        for task in tasks:
            task.cancel()
        hanging = (await asyncio.wait(tasks, timeout=within_s))[1] if tasks else ()
        for task in hanging:
            _log.error("%s did not end within %.0f s and is left behind", task.get_name(), within_s)

    async def end_all(self, within_s: float = END_S) -> None:
        await self.end(*self._parts, within_s=within_s)

    def parts(self) -> list[Part]:
        return list(self._parts.values())

    def late_parts(self) -> list[str]:
        """Parts whose checkpoint is older than its deadline; a change of this is logged."""
        now_ms = self._clock.mono_ms()
        return [name for name, checkpoint in self._checkpoints.items() if self._is_late(name, checkpoint, now_ms)]

    def healthy(self) -> bool:
        return not self.late_parts()

    async def beat(self) -> None:
        """Measures the loop's lag and feeds the watchdog as long as every part turns. Itself a part."""
        pause_s = min(BEAT_S, (self.notifier.watchdog_s or BEAT_S * 4) / 4)
        while True:
            if self.healthy() and self.notifier.watchdog_s:
                self.notifier.send("WATCHDOG=1")
            planned_s = time.monotonic() + pause_s
            await asyncio.sleep(pause_s)
            self._take_lag((time.monotonic() - planned_s) * 1000)

    def handle_signals(self, on_reload: Callable[[], None] | None = None) -> None:
        """SIGTERM and SIGINT ask for the end, a second one for a quick end; SIGHUP reloads, or says that it cannot."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop, number.name)
        loop.add_signal_handler(signal.SIGHUP, on_reload or _refuse_reload)

    def _on_stop(self, name: str) -> None:
        if self.stop_requested.is_set():
            _log.info("%s again: ending without waiting for the cloud", name)
            self.hurry.set()
            return
        _log.info("%s: ending", name)
        self.stop_requested.set()
        self.notifier.stopping()

    async def _keep(self, part: Part) -> None:
        pause_ms = RESTART_FIRST_MS
        while True:
            part.started_ms, part.resting = self._clock.mono_ms(), False
            await self._run_once(part)
            if self._clock.mono_ms() - part.started_ms >= HEALTHY_AFTER_MS:
                pause_ms = RESTART_FIRST_MS
            part.restarts += 1
            part.resting = True
            _log.warning("%s starts again in %.0f s: %s", part.name, pause_ms / 1000, part.fault)
            await self._clock.sleep(pause_ms)
            pause_ms = min(2 * pause_ms, RESTART_MAX_MS)

    async def _run_once(self, part: Part) -> None:
        """Returns when the part failed or ended by itself; raises CancelledError only when the part is being ended."""
        task = asyncio.current_task()
        assert task is not None, "runs as a task"
        try:
            await part.run()
            part.fault = "ended by itself"
        except asyncio.CancelledError:
            part.fault = "was cancelled from inside"
        except Exception as fault:  # the one place that catches everything: a part's failure is its own
            part.fault = f"{type(fault).__name__}: {fault}"
            _log.exception("%s failed", part.name)
        if task.cancelling():
            raise asyncio.CancelledError

    def _is_late(self, name: str, checkpoint: Checkpoint, now_ms: int) -> bool:
        part = self._parts.get(name)
        since_ms = max(checkpoint.last_ms(), part.started_ms if part else checkpoint.since_ms)
        late = not (part and part.resting) and now_ms - since_ms > checkpoint.deadline_ms
        if late and not checkpoint.late:
            _log.error("%s has not turned for %.1f s: systemd's watchdog is not fed until it does", name, (now_ms - since_ms) / 1000)
        elif checkpoint.late and not late:
            _log.info("%s turns again", name)
        checkpoint.late = late
        return late

    def _take_lag(self, lag_ms: float) -> None:
        lag = self.lag
        lag.last_ms, lag.max_ms = lag_ms, max(lag.max_ms, lag_ms)
        if lag_ms > LAG_WARN_MS and not lag.high:
            _log.warning("the loop was blocked for %.0f ms", lag_ms)
        lag.high = lag_ms > LAG_WARN_MS


def _refuse_reload() -> None:
    _log.warning("SIGHUP: the configuration is read at the start only. Next: systemctl restart edgegw")
