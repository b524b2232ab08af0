"""A device says what it is before it is polled: one question a turn, others served between. On a virtual clock."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from bus_rig import Polled, good, honest, serial_bus
from modbus_rig import exception_frame, plan_of, profile_of
from virtual_time import VirtualLine, run_virtual

from edgegw.bus import task as bus_task
from edgegw.bus.introducing import INTRODUCTION_QUESTIONS_MAX, INTRODUCTION_RETRY_MS, INTRODUCTION_TRIES
from edgegw.bus.task import BusTask, Extras
from edgegw.drivers.base import Introduction
from edgegw.drivers.modbus_codec import rtu_question
from edgegw.model import Answer, Quality

ROW = "alarm_word.1, address = 0; type = 'u32'"
WALK = [rtu_question(1, 4, address, 1) for address in range(500, 510)]


def poll(monkeypatch, behave, introduce, scene, *, resolved=True):
    """Runs `scene(task, line, polled)` on a bus with unit 1 (which is introduced) and unit 2 (which is not)."""
    told = []

    async def main():
        bus = serial_bus("virtual")
        line = VirtualLine(bus, behave)
        monkeypatch.setattr(bus_task, "make_line", lambda _: line)
        polled = Polled()
        plans = [plan_of(profile_of(ROW), bus, unit, first=unit) for unit in (1, 2)]
        known = plans[0].sources
        unknown = tuple(msgspec.structs.replace(planned, questions=()) for planned in known)
        plans[0] = msgspec.structs.replace(plans[0], introduce=lambda: introduce(known), sources=known if resolved else unknown)
        task = BusTask(bus, plans, polled.clock, polled, Extras(on_introduced=lambda device, what: told.append((device, what))))
        running = asyncio.ensure_future(task.run())
        try:
            await scene(task, line, polled)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    run_virtual(monkeypatch, main)
    return told


def walk(known):
    for question in WALK:
        answer = yield question
        assert isinstance(answer, Answer)
    return Introduction(identity={"serial_number": "4711"}, sources=known)


async def seconds(number):
    await asyncio.sleep(number)


def test_a_device_is_introduced_before_its_first_poll(monkeypatch):
    """Its questions come first, the other device has turns between them, then it is polled by what it said."""
    seen = []

    async def scene(_task, line, polled):
        await seconds(5)
        seen.extend((asked.unit, asked.function) for asked in line.asked)
        assert len(good(polled.of("D1"))) >= 4

    told = poll(monkeypatch, honest, walk, scene, resolved=False)
    assert [("D1", {"serial_number": "4711"})] == [(device, what.identity) for device, what in told]
    assert 10 == seen[: seen.index((1, 3))].count((1, 4))
    assert (2, 3) in seen[:3]


def test_a_device_is_introduced_again_after_a_silence(monkeypatch):
    """It may be another one now."""
    dead = []

    async def scene(task, _line, _polled):
        await seconds(5)
        dead.append(True)
        await seconds(30)
        assert ["D1"] == task.silent_devices
        dead.clear()
        await seconds(30)
        assert [] == task.silent_devices

    told = poll(monkeypatch, lambda asked: [] if dead and asked.unit == 1 else honest(asked), walk, scene)
    assert ["D1", "D1"] == [device for device, _ in told]


def test_a_device_that_refuses_is_polled_as_planned_or_refused(monkeypatch):
    """A refusal ends the walk: known sources are polled, unknown ones are refused and asked for again a minute later."""

    def walk_in_vain(_known):
        yield WALK[0]
        return Introduction(note="it has no such map")

    def behave(asked):
        return [(0.0, exception_frame(1, 4, 2))] if asked.function == 4 else honest(asked)

    counts = []

    async def scene(_task, line, polled):
        await seconds(2.5 * INTRODUCTION_RETRY_MS / 1000)
        counts.append((sum(asked.function == 4 for asked in line.asked), {q for reading in polled.of("D1") for q in reading.quality.values()}))
        counts.append(len(good(polled.of("D2"))) > 100)

    poll(monkeypatch, behave, walk_in_vain, scene)
    assert [(1, set()), True] == counts
    counts.clear()
    poll(monkeypatch, behave, walk_in_vain, scene, resolved=False)
    assert [(3, {Quality.REFUSED}), True] == counts


@pytest.mark.parametrize("resolved", [True, False], ids=["questions known", "questions learnt"])
def test_what_was_learnt_is_kept_when_a_later_question_stays_silent(monkeypatch, resolved):
    """A UPS tells its rating and never answers who made it: the rating counts, and it is not asked again every minute."""

    def walk_on(known):
        learnt = {}
        for question in WALK[:3]:
            answer = yield question
            learnt |= {"serial_number": "4711"} if isinstance(answer, Answer) else {}
        return Introduction(identity=learnt, sources=known)

    def behave(asked):
        return [] if asked.function == 4 and asked.address != 500 else honest(asked)

    counts = []

    async def scene(task, line, polled):
        await seconds(2.5 * INTRODUCTION_RETRY_MS / 1000)
        counts.append(sum(asked.function == 4 for asked in line.asked))
        assert [] == task.silent_devices
        assert len(good(polled.of("D1"))) > 100

    told = poll(monkeypatch, behave, walk_on, scene, resolved=resolved)
    assert [1 + 2 * INTRODUCTION_TRIES] == counts
    assert [{"serial_number": "4711"}] == [what.identity for _, what in told]


def test_a_device_that_is_silent_to_its_introduction_only_is_polled_all_the_same(monkeypatch):
    """Some never answer what they do not know."""

    async def scene(task, line, polled):
        await seconds(10)
        assert INTRODUCTION_TRIES == sum(asked.function == 4 for asked in line.asked)
        assert [] == task.silent_devices
        assert len(good(polled.of("D1"))) >= 8

    told = poll(monkeypatch, lambda asked: [] if asked.function == 4 else honest(asked), walk, scene)
    assert [] == told


def test_an_introduction_without_an_end_is_ended(monkeypatch):
    """After so many questions the device is polled as planned."""

    def walk_for_ever(_known):
        while True:
            yield WALK[0]

    async def scene(_task, line, polled):
        await seconds(60)
        assert INTRODUCTION_QUESTIONS_MAX + 1 == sum(asked.function == 4 for asked in line.asked)
        assert len(good(polled.of("D1"))) > 10

    told = poll(monkeypatch, honest, walk_for_ever, scene)
    assert ["D1"] == [device for device, what in told if what.note]


def test_an_extra_read_comes_at_once_and_not_too_often(monkeypatch):
    """A source that seems wrong is read beside its grid, once a second at most, and its grid stays."""

    def at_once(_known):
        return Introduction()
        yield

    async def scene(task, _line, polled):
        await seconds(3.4)
        before = len(polled.of("D2"))
        assert [True, False, False] == [task.ask_again_soon(2), task.ask_again_soon(2), task.ask_again_soon(99)]
        await seconds(0.3)
        assert before + 1 == len(polled.of("D2"))
        await seconds(2)
        assert before + 3 == len(polled.of("D2"))

    assert ["D1"] == [device for device, _ in poll(monkeypatch, honest, at_once, scene)]
