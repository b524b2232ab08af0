"""The one clock: wall time is a label, monotonic time is what counts."""

from __future__ import annotations

import asyncio
import time

from edgegw.clock import OFFSET_DRIFT_MS, STEP_MS, Clock, read_clock_trust
from edgegw.model import ClockTrust


def test_a_pause_never_ends_early():
    """
    Waiting ends at or after its time, however early the loop's timer comes.
    """

    async def pauses():
        clock = Clock()
        early = []
        for i in range(1, 40):
            due_ms = clock.mono_ms() + i % 5
            await clock.sleep_until(due_ms)
            early.append(clock.mono_ms() - due_ms)
        return early

    assert 0 <= min(asyncio.run(pauses()))


def test_labels_keep_the_order_of_their_instants():
    """
    Two labels under one offset differ exactly by their monotonic times.
    """
    clock = Clock()
    assert 1234 == clock.wall_ms(2234) - clock.wall_ms(1000)


def test_drift_is_followed_silently_and_a_step_is_told(monkeypatch):
    """
    A small error moves the offset; half a second or more is reported as a step of that size.
    """
    clock = Clock()
    real_ns = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real_ns() + 20_000_000)
    before_ms = clock.offset_ms
    assert (0, True) == (clock.look(), 15 <= clock.offset_ms - before_ms <= 25)
    monkeypatch.setattr(time, "time_ns", lambda: real_ns() - 3_600_000_000_000)
    step_ms = clock.look()
    assert abs(step_ms + 3_600_020) < STEP_MS
    assert (0, True) == (clock.look(), abs(clock.wall_ms() - time.time_ns() // 1_000_000) <= OFFSET_DRIFT_MS)


def test_a_wait_for_a_core_is_no_drift(monkeypatch):
    """
    Where the process stands still for 30 ms between its looks at the two clocks, the labels stay where they are.
    """
    clock = Clock()
    before_ms = clock.offset_ms
    stalls = [30_000_000, 30_000_000]
    real_ns = time.time_ns

    def stalled_ns():
        now_ns, until_ns = real_ns(), time.monotonic_ns() + (stalls.pop() if stalls else 0)
        while time.monotonic_ns() < until_ns:
            pass
        return now_ns

    monkeypatch.setattr(time, "time_ns", stalled_ns)
    assert (0, before_ms, []) == (clock.look(), clock.offset_ms, stalls)


def test_simulated_time_runs_at_its_speed():
    """
    At speed 100, ten real milliseconds are at least a second.
    """
    clock = Clock(speed=100.0)
    start_ms = clock.mono_ms()
    asyncio.run(clock.sleep(1000))
    assert 1000 <= clock.mono_ms() - start_ms
    assert 0 == clock.look()


def test_trust_is_one_of_the_words_that_travel():
    """
    The machine's clock is judged without touching it.
    """
    assert read_clock_trust() in {ClockTrust.SYNCHRONISED, ClockTrust.HELD, ClockTrust.UNSET}


def test_two_processes_have_one_day():
    """
    Clocks that were made at different times with one anchor tell the same time of a day that runs faster than ours.
    """
    anchor = time.monotonic_ns() - 2_000_000_000, 1_800_000_000_000
    first = Clock(50.0, anchor)
    second = Clock(50.0, anchor)
    now_ns = time.monotonic_ns()
    apart_ms = first.wall_ms(first.mono_ms(now_ns)) - second.wall_ms(second.mono_ms(now_ns))
    assert abs(apart_ms) <= 2
    assert 100_000 <= first.wall_ms() - anchor[1]
