"""A device that refuses part of a block gives the rest of it; what it refuses is remembered, shown, and tried again rarely. On a virtual clock."""

from __future__ import annotations

import asyncio
import json
import logging

from bus_rig import Asked, Polled, honest, serial_bus
from modbus_rig import exception_frame, plan_of, profile_of
from virtual_time import VirtualLine, run_virtual

from edgegw.bus import task as bus_task
from edgegw.bus.task import BusTask, Extras
from edgegw.model import Quality

ROWS = "\n".join(f"alarm_word.{n}, address = {2 * n - 2}; type = 'u32'" for n in range(1, 7))
MINUTE_S = 60
DAY_S = 24 * 3600


class Device:
    """Refuses every block that touches one of its missing registers. `code` is the exception it says."""

    def __init__(self, *missing: int, code: int = 2) -> None:
        self.missing = set(missing)
        self.code = code
        self.dead = False

    def __call__(self, asked: Asked):
        if self.dead and asked.unit == 1:
            return []
        if asked.unit == 1 and self.missing & set(range(asked.address, asked.address + asked.count)):
            return [(0.01, exception_frame(asked.unit, asked.function, self.code))]
        return honest(asked)


def poll(monkeypatch, device, scene, *, remembered=None, rows=ROWS):
    """Runs `scene(task, line, polled)` while a bus with unit 1 (the device) and unit 2 (honest) is polled once a second."""
    learnt = {}

    async def main():
        bus = serial_bus("virtual")
        line = VirtualLine(bus, device)
        monkeypatch.setattr(bus_task, "make_line", lambda _: line)
        polled = Polled()
        plans = [plan_of(profile_of(rows), bus, unit, first=unit) for unit in (1, 2)]
        task = BusTask(bus, plans, polled.clock, polled, Extras(0, remembered or {}, lambda key, state: learnt.update({key: state})))
        running = asyncio.ensure_future(task.run())
        try:
            await scene(task, line, polled)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    run_virtual(monkeypatch, main)
    return learnt


def asked_of(line, unit, since=0):
    return [(asked.address, asked.count) for asked in line.asked[since:] if asked.unit == unit]


def test_the_rest_of_a_refused_block_is_read(monkeypatch, caplog):
    """The first reading has every value but the hole's, which says refused; from then on two questions; the log tells it once, the other device loses nothing."""
    caplog.set_level(logging.INFO, "edgegw.bus")

    async def scene(task, line, polled):
        await asyncio.sleep(10.5)
        for reading in polled.of("D1"):
            assert {2: Quality.REFUSED} == dict(reading.quality)
            assert [True, True, False, True, True, True] == [value is not None for value in reading.values]
        assert {"D1": ["alarm_word.3"]} == task.refused_points
        count = len(line.asked)
        await asyncio.sleep(10)
        assert [(0, 4), (6, 6)] * 10 == asked_of(line, 1, count)
        assert 21 == len(polled.of("D2"))
        assert {0} == {len(reading.quality) for reading in polled.of("D2")}
        (reading,) = await task.ask_now("D1")
        last = [asked for asked in line.asked if asked.unit == 1][-1]
        # One value names its question: it is that of the very last question asked.
        assert (last.number, {2: Quality.REFUSED}) == (reading.values[5], dict(reading.quality))

    learnt = poll(monkeypatch, Device(5), scene)
    assert 1 == sum("D1 refuses alarm_word.3" in record.message for record in caplog.records)
    ((key, state),) = learnt.items()
    assert ("bus/holes/rs485a/D1/g", {"profile": "test", "block": "3:0+12:0,2,4,6,8,10", "refused": [[2, 3]], "firmware": ""}) == (key, json.loads(state))


def test_a_gap_that_may_not_be_read_costs_no_value(monkeypatch):
    """A block over an undefined register becomes two questions, and nothing is refused."""

    async def scene(task, line, polled):
        await asyncio.sleep(3.5)
        assert [{}] * 4 == [dict(reading.quality) for reading in polled.of("D1")]
        assert {} == task.refused_points

    rows = "alarm_word.1, address = 0\nalarm_word.2, address = 2"
    monkeypatch.setattr("modbus_rig.HEAD", _head_with("max_gap = 4"))
    assert 1 == len(poll(monkeypatch, Device(1), scene, rows=rows))


def _head_with(line):
    import modbus_rig

    return f"{modbus_rig.HEAD}{line}\n"


def test_the_number_of_questions_of_one_poll_is_bounded(monkeypatch):
    """However many holes there are, a poll meets eight refusals at most beside what is answered, and the search ends."""
    rows = "\n".join(f"string.{n}.{what}, address = {2 * n + k}" for n in range(1, 21) for k, what in enumerate(("voltage", "current")))
    burst = []

    async def scene(task, line, polled):
        while len(polled.of("D1")) < 12:
            count, before = len(polled.of("D1")), len(line.asked)
            while len(polled.of("D1")) == count:  # noqa: ASYNC110 - virtual time
                await asyncio.sleep(0.01)
            burst.append(len(asked_of(line, 1, before)))
        assert 20 == len(task.refused_points["D1"])
        assert {20} == {len(reading.quality) for reading in polled.of("D1")[-3:]}

    poll(monkeypatch, Device(*range(2, 42, 2)), scene, rows=rows)
    assert (20, True) == (burst[-1], max(burst) <= 20 + 8)


def test_what_was_learnt_is_tried_again_after_a_minute_and_then_once_a_day(monkeypatch):
    """A refusal while the device started is found out within a minute; a proven one is asked again a day later, and told when it is over."""
    device = Device(5)

    def wholes(line, since):
        return asked_of(line, 1, since).count((0, 12))

    async def scene(task, line, polled):
        await asyncio.sleep(MINUTE_S - 1)
        assert 1 == wholes(line, 0)
        await asyncio.sleep(3)
        assert 2 == wholes(line, 0)
        count = len(line.asked)
        await asyncio.sleep(3600)
        assert 0 == wholes(line, count)
        line.asked.clear()
        polled.readings.clear()
        task._holes.of(polled_source(task))._retry_ms -= (DAY_S - 2 * 3600) * 1000
        device.missing.clear()
        await asyncio.sleep(3600 + 5)
        assert wholes(line, 0) > 1
        assert {} == task.refused_points
        assert not polled.of("D1")[-1].quality

    learnt = poll(monkeypatch, device, scene)
    assert {"bus/holes/rs485a/D1/g": None} == learnt


def polled_source(task):
    return next(slot.planned for slot in task._schedule.slots if slot.planned.source.device == "D1")


def test_after_its_silence_a_device_is_asked_for_everything(monkeypatch):
    """It may have another firmware now."""
    device = Device(5)

    async def scene(task, line, polled):
        await asyncio.sleep(2 * MINUTE_S)
        device.dead = True
        await asyncio.sleep(30)
        assert ["D1"] == task.silent_devices
        device.dead = False
        device.missing.clear()
        await asyncio.sleep(15)
        assert ([], {}) == (task.silent_devices, task.refused_points)
        assert not polled.of("D1")[-1].quality

    poll(monkeypatch, device, scene)


def test_what_an_earlier_start_learnt_is_used_at_once(monkeypatch):
    """No search at the start; what was learnt of another block or cannot be read is not used."""
    learnt = {"profile": "test", "block": "3:0+12:0,2,4,6,8,10", "refused": [[2, 3]], "firmware": ""}

    def first_questions(state):
        found = []

        async def scene(_task, line, _polled):
            await asyncio.sleep(0.5)
            found.extend(asked_of(line, 1)[:2])

        poll(monkeypatch, Device(5), scene, remembered={"bus/holes/rs485a/D1/g": state})
        return found

    assert [(0, 4), (6, 6)] == first_questions(json.dumps(learnt).encode())
    assert (0, 12) == first_questions(json.dumps({**learnt, "block": "3:0+14"}).encode())[0]
    assert (0, 12) == first_questions(json.dumps({**learnt, "profile": "other"}).encode())[0]
    assert (0, 12) == first_questions(b"{")[0]


def test_another_firmware_is_asked_for_everything(monkeypatch):
    """What was learnt belongs to the text that the device told as its model then."""
    rows = f"{ROWS}\nmodel, address = 20; type = 'string'; length = 2"
    learnt = {"profile": "test", "block": "3:0+12:0,2,4,6,8,10", "refused": [[2, 3]], "firmware": "V1"}
    saw = []

    class Named(Device):
        def __call__(self, asked):
            said = super().__call__(asked)
            return [(0.01, _text_frame(asked, b"V2\0\0"))] if asked.address == 20 else said

    async def scene(_task, line, polled):
        await asyncio.sleep(5)
        saw.append(asked_of(line, 1)[0])
        saw.append((0, 12) in asked_of(line, 1))
        assert not [reading for reading in polled.of("D1") if reading.source.group == "g"][-1].quality

    poll(monkeypatch, Named(), scene, remembered={"bus/holes/rs485a/D1/g": json.dumps(learnt).encode()}, rows=rows)
    assert [(0, 4), True] == saw


def _text_frame(asked, text):
    from modbus_rig import answer_frame

    return answer_frame(asked.unit, asked.function, text)


def test_a_device_that_refuses_all_is_asked_once_a_minute(monkeypatch):
    """No search again and again; and it is heard when it answers."""
    device = Device(*range(12), code=1)

    async def scene(_task, line, polled):
        await asyncio.sleep(10)
        count = len(line.asked)
        assert 11 <= len(asked_of(line, 1)) <= 12
        await asyncio.sleep(10 * MINUTE_S)
        assert 9 <= asked_of(line, 1, count).count((0, 12)) <= 10
        assert len(asked_of(line, 1, count)) <= 10 + 10
        assert {Quality.REFUSED} == {code for reading in polled.of("D1") for code in reading.quality.values()}
        device.missing.clear()
        await asyncio.sleep(2 * MINUTE_S)
        assert not polled.of("D1")[-1].quality

    assert None is poll(monkeypatch, device, scene)["bus/holes/rs485a/D1/g"]
