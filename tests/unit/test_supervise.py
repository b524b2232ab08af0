"""The supervisor: restarts, checkpoints, systemd's socket, signals."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from edgegw.clock import Clock
from edgegw.supervise import HEALTHY_AFTER_MS, Notifier, Supervisor

DEADLINE_S = 10.0


class StoppedClock(Clock):
    """A clock that the test moves; sleeping takes no time and is written down."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ms = 0
        self.sleeps_ms: list[float] = []

    def mono_ms(self, at_ns: int | None = None) -> int:
        return self.now_ms

    async def sleep(self, duration_ms: float) -> None:
        self.sleeps_ms.append(duration_ms)
        self.now_ms += int(duration_ms)
        await asyncio.sleep(0)


def in_loop(test):
    """Runs an asynchronous test in a loop of its own."""

    @functools.wraps(test)
    def run(**fixtures: object) -> None:
        asyncio.run(test(**fixtures))

    return run


@pytest.fixture
def clock():
    return StoppedClock()


@pytest.fixture
def supervisor(clock):
    return Supervisor(clock, Notifier(None))


async def until(condition) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - any state, not an event of ours
            await asyncio.sleep(0.001)


async def forever() -> None:
    await asyncio.Event().wait()


@in_loop
async def test_failed_part_starts_again_with_growing_pauses(clock, supervisor, caplog):
    """
    A part that always fails is started again after 1, 2, 4 ... at most 60 s, its traceback is in the log, and another part runs on undisturbed.
    """
    turns = []

    async def steady() -> None:
        turns.append("started")
        await forever()

    async def broken() -> None:
        raise RuntimeError("the port is gone")

    supervisor.start("steady", steady)
    supervisor.start("broken", broken)
    await until(lambda: len(clock.sleeps_ms) >= 9)
    await supervisor.end_all()
    assert [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000] == clock.sleeps_ms[:9]
    assert ["started"] == turns
    assert "RuntimeError: the port is gone" in caplog.text
    assert "in broken" in caplog.text


@in_loop
async def test_pause_is_short_again_after_health(clock, supervisor):
    """
    A part that ran for five minutes before it failed is started again after one second.
    """
    lives_ms = iter([0, 0, HEALTHY_AFTER_MS, 0])

    async def part() -> None:
        clock.now_ms += next(lives_ms, 0)
        raise OSError("again")

    supervisor.start("part", part)
    await until(lambda: len(clock.sleeps_ms) >= 4)
    await supervisor.end_all()
    assert [1000, 2000, 1000, 2000] == clock.sleeps_ms[:4]


@in_loop
async def test_part_that_returns_or_is_cancelled_from_inside_starts_again(clock, supervisor):
    """
    Only `end` ends a part: one that returns, or whose own inner task was cancelled, is started again.
    """
    faults = []

    async def returns() -> None:
        faults.append("returned")

    async def cancelled() -> None:
        faults.append("cancelled")
        raise asyncio.CancelledError

    supervisor.start("returns", returns)
    supervisor.start("cancelled", cancelled)
    await until(lambda: faults.count("returned") > 1 and faults.count("cancelled") > 1)
    assert {"returns": "ended by itself", "cancelled": "was cancelled from inside"} == {part.name: part.fault for part in supervisor.parts()}
    assert all(part.restarts for part in supervisor.parts())
    await supervisor.end_all()


@in_loop
async def test_ending_is_clean(supervisor, caplog):
    """
    A part is cancelled once, may finish what it does, also with a fault, and is not started again.
    """
    deeds = []

    async def part() -> None:
        deeds.append("start")
        try:
            await forever()
        finally:
            await asyncio.sleep(0)
            deeds.append("end")
            raise OSError("in the end")

    supervisor.start("part", part)
    await until(lambda: deeds)
    await supervisor.end("part")
    assert (["start", "end"], []) == (deeds, supervisor.parts())
    assert "in the end" in caplog.text
    await supervisor.end("part")


@in_loop
async def test_a_guarded_step_fails_for_its_own_part_only(supervisor, caplog):
    """
    The caller gets None and goes on, the log has the traceback, the part has the fault; a step that succeeds gives its result.
    """
    supervisor.start("rules", forever)
    assert 7 == supervisor.guard("rules", lambda: 7)
    assert None is supervisor.guard("rules", lambda: 1 // 0)
    assert "ZeroDivisionError: integer division or modulo by zero" == supervisor.parts()[0].fault
    assert [True] == [record.exc_info is not None for record in caplog.records]
    await supervisor.end_all()


@in_loop
async def test_part_that_does_not_end_is_told_and_left(supervisor, caplog):
    """
    The end of one part waits no longer than it is allowed to.
    """
    release = asyncio.Event()

    async def stubborn() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    supervisor.start("stubborn", stubborn)
    task = supervisor.parts()[0].task
    await asyncio.sleep(0)
    await supervisor.end("stubborn", within_s=0.05)
    assert "stubborn did not end within" in caplog.text
    release.set()
    await asyncio.wait({task})


@in_loop
async def test_part_without_checkpoint_in_time_is_not_healthy(clock, supervisor, caplog):
    """
    A part is late when its checkpoint is older than its deadline, and healthy again when it moves; both are told once.
    """
    caplog.set_level(logging.INFO)
    last = {"ms": 0}
    supervisor.start("bus", forever)
    supervisor.watch("bus", lambda: last["ms"], 30_000)
    clock.now_ms = 30_000
    assert supervisor.healthy()
    clock.now_ms = 30_001
    assert [["bus"], ["bus"]] == [supervisor.late_parts(), supervisor.late_parts()]
    last["ms"] = 30_001
    assert supervisor.healthy()
    assert ["bus has not turned for 30.0 s: systemd's watchdog is not fed until it does", "bus turns again"] == caplog.messages
    await supervisor.end_all()


def test_a_part_has_real_time_to_turn_however_fast_the_day_runs(supervisor, clock):
    """
    At speed 40 ten seconds are 400 s of the day.
    """
    clock.speed = 40.0
    supervisor.watch("bus", lambda: 0, 10_000)
    late = []
    for clock.now_ms in (10_001, 400_000, 400_001):
        late.append(supervisor.late_parts())
    assert [[], [], ["bus"]] == late


@in_loop
async def test_failing_part_that_waits_for_its_next_start_is_not_late(supervisor, clock):
    """
    A part that fails over and over is its own fault: it does not stop the watchdog, and a fresh start has its full deadline.
    """
    pause = asyncio.Event()

    async def sleep(duration_ms: float) -> None:
        clock.sleeps_ms.append(duration_ms)
        await pause.wait()

    clock.sleep = sleep

    async def broken() -> None:
        if not pause.is_set():
            raise OSError("no such port")
        await forever()

    supervisor.start("bus", broken)
    supervisor.watch("bus", lambda: 0, 10_000)
    await until(lambda: clock.sleeps_ms)
    clock.now_ms = 500_000
    assert supervisor.healthy()
    pause.set()
    await until(lambda: not supervisor.parts()[0].resting)
    clock.now_ms = 510_000
    assert supervisor.healthy()
    clock.now_ms = 510_001
    assert not supervisor.healthy()
    await supervisor.end_all()


@pytest.fixture(params=["path", "abstract"])
def systemd(request, tmp_path):
    """A real datagram socket in systemd's place, and its address as NOTIFY_SOCKET has it."""
    address = str(tmp_path / "notify") if request.param == "path" else f"@edgegw-test-{os.getpid()}-{time.monotonic_ns()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind("\0" + address[1:] if address.startswith("@") else address)
        ear.settimeout(DEADLINE_S)
        yield ear, address


def test_systemd_hears_every_state(systemd):
    """
    Each state arrives as one datagram of sd_notify's lines, on a socket in the file system and on an abstract one.
    """
    ear, address = systemd
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": address})
    notifier.ready("12 devices")
    notifier.reloading()
    notifier.status("总线 ok")
    notifier.stopping()
    heard = [ear.recv(4096).decode() for _ in range(4)]
    reloading, monotonic = heard.pop(1).split("\n")
    assert ["READY=1\nSTATUS=12 devices", "STATUS=总线 ok", "STOPPING=1"] == heard
    assert "RELOADING=1" == reloading
    assert abs(time.monotonic_ns() // 1000 - int(monotonic.removeprefix("MONOTONIC_USEC="))) < DEADLINE_S * 1e6


@pytest.mark.parametrize(
    ("expected", "environment"),
    [
        (30.0, {"WATCHDOG_USEC": "30000000"}),
        (30.0, {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}),
        (None, {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}),
        (None, {"WATCHDOG_USEC": "soon"}),
        (None, {"WATCHDOG_USEC": "0"}),
        (None, {}),
    ],
)
def test_watchdog_time_is_read_when_it_is_meant_for_us(expected, environment):
    """
    Only a proper WATCHDOG_USEC for this process makes a watchdog.
    """
    assert expected == Notifier.from_environment(environment).watchdog_s


def test_deaf_systemd_is_told_once_and_harms_nothing(caplog, tmp_path):
    """
    A socket that is gone is one warning, not an exception and not a line for each beat.
    """
    notifier = Notifier(str(tmp_path / "nobody"))
    for _ in range(3):
        notifier.send("WATCHDOG=1")
    assert 1 == len(caplog.messages)
    Notifier(None).ready()


@in_loop
async def test_watchdog_is_withheld_while_a_part_hangs(clock, systemd):
    """
    systemd is fed while all parts turn, is not fed while one hangs, and is fed again when it goes on.
    """
    ear, address = systemd
    ear.setblocking(False)
    supervisor = Supervisor(clock, Notifier(address, watchdog_s=0.004))
    hanging = {"since_ms": 0}
    supervisor.watch("bus", lambda: hanging["since_ms"], 10_000)
    supervisor.start("watchdog", supervisor.beat)

    async def next_meal() -> str:
        async with asyncio.timeout(DEADLINE_S):
            return (await asyncio.get_running_loop().sock_recv(ear, 100)).decode()

    assert ["WATCHDOG=1"] * 3 == [await next_meal() for _ in range(3)]
    clock.now_ms = 10_001
    beats = count_beats(supervisor)
    await until(lambda: next(beats) >= 2)
    drain(ear)
    await until(lambda: next(beats) >= 12)
    assert [] == drain(ear)
    hanging["since_ms"] = 10_001
    assert "WATCHDOG=1" == await next_meal()
    await supervisor.end_all()


def drain(ear: socket.socket) -> list[bytes]:
    """Everything that has been sent so far."""
    heard = []
    while True:
        try:
            heard.append(ear.recv(100))
        except BlockingIOError:
            return heard


def count_beats(supervisor):
    """How often the beat has measured the loop since the first call."""
    beats, last = 0, supervisor.lag.last_ms
    while True:
        beats, last = beats + (last != supervisor.lag.last_ms), supervisor.lag.last_ms
        yield beats


@in_loop
async def test_blocked_loop_is_measured_and_told(clock, caplog):
    """
    When something blocks the loop its lag is measured and a warning tells of it.
    """
    supervisor = Supervisor(clock, Notifier(None, watchdog_s=0.004))
    supervisor.start("watchdog", supervisor.beat)
    await until(lambda: supervisor.lag.last_ms)
    time.sleep(0.3)  # noqa: ASYNC251 - what must not happen on the loop is what is tested
    await until(lambda: supervisor.lag.max_ms > 250)
    assert "the loop was blocked for" in caplog.messages[0]
    await supervisor.end_all()


SIGNALLED = """
import asyncio, logging, signal
from edgegw.clock import Clock
from edgegw.supervise import Notifier, Supervisor

async def main():
    supervisor = Supervisor(Clock(), Notifier.from_environment())
    supervisor.handle_signals(on_reload=lambda: print("reload", flush=True))
    print("ready", flush=True)
    await supervisor.stop_requested.wait()
    print("stop", supervisor.hurry.is_set(), flush=True)
    await supervisor.hurry.wait()
    print("hurry", flush=True)

asyncio.run(main())
"""


def test_first_signal_ends_and_second_hurries(systemd):
    """
    A real process hears SIGHUP as reload, the first SIGTERM as the end, which systemd is told, and SIGINT after it as hurry.
    """
    ear, address = systemd
    environment = {**os.environ, "NOTIFY_SOCKET": address}
    with subprocess.Popen([sys.executable, "-c", SIGNALLED], stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            lines = iter(process.stdout.readline, "")
            assert "ready\n" == next(lines)
            process.send_signal(signal.SIGHUP)
            assert "reload\n" == next(lines)
            process.send_signal(signal.SIGTERM)
            assert "stop False\n" == next(lines)
            assert b"STOPPING=1" == ear.recv(100)
            process.send_signal(signal.SIGINT)
            assert "hurry\n" == next(lines)
            assert 0 == process.wait(DEADLINE_S)
        finally:
            process.kill()


@in_loop
async def test_real_clock_restarts_a_part_after_its_pause():
    """
    With a real clock, run fifty times as fast, the second start comes after the first pause and not before.
    """
    clock = Clock(speed=50.0)
    supervisor = Supervisor(clock, Notifier(None))
    starts_ms: list[int] = []

    async def broken() -> None:
        starts_ms.append(clock.mono_ms())
        raise OSError("gone")

    supervisor.start("broken", broken)
    await until(lambda: len(starts_ms) >= 3)
    await supervisor.end_all()
    assert starts_ms[1] - starts_ms[0] >= 1000
    assert starts_ms[2] - starts_ms[1] >= 2000


@in_loop
async def test_reload_without_a_reader_is_refused_and_ends_nothing(supervisor, caplog):
    """
    Where nothing can be reloaded SIGHUP, which would end the process, is answered in the log.
    """
    supervisor.handle_signals()
    os.kill(os.getpid(), signal.SIGHUP)
    await until(lambda: caplog.messages)
    assert "systemctl restart edgegw" in caplog.text
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().remove_signal_handler(number)


@in_loop
async def test_parts_end_together(supervisor, caplog):
    """
    Several parts that take their time to end take it at the same time.
    """
    ending = asyncio.Barrier(3)

    async def slow() -> None:
        try:
            await forever()
        finally:
            await ending.wait()  # passes only when all three end at once

    for name in "abc":
        supervisor.start(name, slow)
    await asyncio.sleep(0)
    await supervisor.end("a", "b", "c")
    assert ([], []) == (supervisor.parts(), caplog.messages)
