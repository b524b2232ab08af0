"""The bus polls simulated UPS of every dialect on a pty: what it reads is what they hold, and what goes wrong costs its own points only."""

from __future__ import annotations

import contextlib

import pytest
from bus_rig import Polled, SerialServer, run, running

from edgegw.bus.task import BusTask
from edgegw.config.model import Bus, Device
from edgegw.drivers.catalogue import available, load_profile
from edgegw.drivers.megatec_profile import MegatecProfile
from edgegw.drivers.plan import line_facts
from edgegw.drivers.planning import plan_device
from edgegw.model import Quality
from edgegw.sim import device as sim_device
from edgegw.sim.bodies import build_body
from edgegw.sim.frames import Request
from edgegw.sim.journal import Journal
from edgegw.sim.megatec_device import _check
from edgegw.sim.serial_line import SerialLine
from edgegw.sim.station import SimDevice

PROFILES = [name for name in available() if isinstance(load_profile(name), MegatecProfile)]
# Of a line at 2400 baud: 10 bits.
CHARACTER_NS = 10 * 1e9 / 2400


class Rig:
    """One UPS on one line, and the bus that polls it."""

    def __init__(self, tmp_path, profile_name, character_ns=0.0, turnaround_ms=1.0, **settings):
        self.profile = load_profile(profile_name)
        facts = SimDevice(code="UPS-1", bus="u", profile=profile_name, role="ups", turnaround_ms=turnaround_ms)
        self.ups = sim_device.Device(facts, build_body(profile_name), dict, seed=1)
        self.journal = Journal(tmp_path / "journal.jsonl", {})
        self.line = SerialLine("u", character_ns, {0: self.ups}, self.journal)
        facts = {"name": "u", "kind": "serial", "path": self.line.path, "baudrate": 2400, "answer_timeout_ms": 400, "late_answer_guard_ms": 500}
        self.bus = Bus(**{**facts, **settings})
        periods = dict.fromkeys(self.profile.group, 0.05)
        device = Device(code="UPS-1", bus="u", profile=profile_name, period_s=periods)
        self.plan = plan_device(device, self.profile, line_facts(self.bus), 1)
        self.polled = Polled()
        self.introduced = []
        self.task = BusTask(self.bus, [self.plan], self.polled.clock, self.polled)

    def held(self, command):
        """What the simulated UPS says to this command: points in their units."""
        body = command.encode()
        body += _check(body) if self.profile.profile.dialect == "voltronic-axpert" else b""
        request = Request(unit=0, function=0, address=0, count=0, body=body)
        return dict(self.ups.image.answer(request, {}, self.ups._forced).values)

    def last(self, group):
        return next((one for one in reversed(self.polled.readings) if one.source.group == group), None)

    def read(self):
        """Every point to (value, quality) of its newest reading."""
        newest = {reading.source.group: reading for reading in self.polled.readings}
        return {point.name: (reading.values[n], reading.quality_of(n)) for reading in newest.values() for n, point in enumerate(reading.source.points)}


@contextlib.contextmanager
def rig(tmp_path, profile_name, **settings):
    one = Rig(tmp_path, profile_name, **settings)
    one.line.start()
    try:
        yield one
    finally:
        one.line.stop()
        one.journal.close()


def poll(one, condition):
    async def main():
        async with running(one.task):
            await one.polled.until(condition)

    run(main())


def rounds(one, count):
    """So many readings of every source."""
    return lambda: all(sum(reading.source == planned.source for reading in one.polled.readings) >= count for planned in one.plan.sources)


@pytest.mark.parametrize("volts", [26.9, 54.6], ids=["24 V", "48 V"])
@pytest.mark.parametrize("name", PROFILES)
def test_every_dialect_is_read_as_the_ups_means_it(tmp_path, name, volts):
    """Each value is the one that the simulated UPS holds; an estimate says that it is one."""
    with rig(tmp_path, name) as one:
        one.ups.force("battery.voltage", volts)
        poll(one, rounds(one, 3))
        read = one.read()
        expected = {point: value for command in {row.command for row in one.profile.point} for point, value in one.held(command).items()}
    assert expected == {point: value for point, (value, _) in read.items()}
    marks = {point: quality for point, (value, quality) in read.items() if value is not None}
    fields = {row.point: row.source_field for row in one.profile.point}
    assert all(quality == (Quality.ESTIMATED if fields[point].endswith(".estimated") else Quality.GOOD) for point, quality in marks.items())
    assert len(marks) >= len(read) - 2


def test_a_real_line_at_2400_baud_is_kept_up_with(tmp_path):
    """Answers that come in their real time, an on-line UPS with volts per cell, no CR behind them."""
    with rig(tmp_path, "megatec.q1", character_ns=CHARACTER_NS, turnaround_ms=50) as one:
        one.ups.force("quirk.per_cell", 1)
        one.ups.force("quirk.no_cr", 1)
        poll(one, rounds(one, 3))
        read = one.read()
    assert (2688, Quality.GOOD) == read["battery.voltage"]
    assert ((224, Quality.GOOD), (100, Quality.ESTIMATED)) == (read["battery.voltage.cell"], read["battery.charge"])


def test_a_ups_behind_a_serial_server(tmp_path):
    """Commands and replies go through a TCP connection as they go over the line; each value is the one that the UPS holds."""
    with rig(tmp_path, "voltronic.qgs", character_ns=CHARACTER_NS, turnaround_ms=20) as one:

        async def main():
            async with SerialServer(one.line.path) as server:
                bus = Bus(name="u", kind="rtu-over-tcp", host="127.0.0.1", port=server.port, answer_timeout_ms=800, late_answer_guard_ms=500)
                task = BusTask(bus, [one.plan], one.polled.clock, one.polled)
                async with running(task):
                    await one.polled.until(rounds(one, 3))
                assert 1 == server.connections

        run(main())
        read = {point: value for point, (value, _) in one.read().items()}
        expected = {point: value for command in {row.command for row in one.profile.point} for point, value in one.held(command).items()}
    assert expected == read


def test_on_battery_on_bypass_and_low(tmp_path):
    """The states that matter, as NUT words them."""
    with rig(tmp_path, "voltronic.qgs") as one:
        one.ups.force("ups.status", "OB LB")
        one.ups.force("ups.mode", "battery")
        one.ups.force("ups.alarm", "fault")
        poll(one, rounds(one, 2))
        dark = one.read()
        one.ups.force("ups.status", "OL BYPASS")
        one.ups.force("ups.mode", "bypass")
        one.polled.readings.clear()
        one.task = BusTask(one.bus, [one.plan], one.polled.clock, one.polled)
        poll(one, rounds(one, 2))
        bypass = one.read()
    assert ["OB LB", "battery", "ups_fault"] == [dark[name][0] for name in ("ups.status", "ups.mode", "ups.alarm")]
    assert ["OL BYPASS", "bypass"] == [bypass[name][0] for name in ("ups.status", "ups.mode")]


@pytest.mark.parametrize(
    ("name", "command", "group"), [("voltronic.qgs", "QBV", "battery"), ("voltronic.qs", "QI", "battery"), ("megatec.q6", "BPS", "bypass")]
)
def test_a_refused_command_refuses_its_points_only(tmp_path, name, command, group):
    """Whether it says NAK or sends the command back: refused, not offline, and the rest is read."""
    with rig(tmp_path, name) as one:
        one.ups.force("quirk.nak", command)
        poll(one, lambda: one.last(group) and len([r for r in one.polled.readings if r.source.group == "status"]) >= 3)
        refused, status = one.last(group), one.last("status")
    assert {Quality.REFUSED} == {refused.quality_of(n) for n in range(len(refused.values))}
    assert {} == dict(status.quality) or set(status.quality.values()) <= {Quality.NOT_FITTED}


def test_dashes_are_bad_and_harm_no_other_point(tmp_path):
    """A field that says nothing has no value; it is never 0."""
    with rig(tmp_path, "megatec.q1") as one:
        one.ups.force("quirk.dashes", "ups.temperature ups.load")
        poll(one, rounds(one, 2))
        read = one.read()
    assert [(None, Quality.BAD)] * 2 == [read["ups.temperature"], read["ups.load"]]
    assert (2314, Quality.GOOD) == read["input.voltage"]


def test_a_ups_that_is_silent_to_its_rating_is_read_all_the_same(tmp_path):
    """No answer to F: the charge is not fitted, the rest is good."""
    with rig(tmp_path, "megatec.q1", answer_timeout_ms=100, late_answer_guard_ms=100) as one:
        one.ups.force("quirk.mute", "F I")
        poll(one, rounds(one, 2))
        read = one.read()
    assert ((None, Quality.NOT_FITTED), (2314, Quality.GOOD)) == (read["battery.charge"], read["input.voltage"])


def test_answers_that_come_too_late_are_never_taken_for_others(tmp_path):
    """Every answer of one UPS in three is late by more than the wait: no value is of another point, none is of another moment's question."""
    with rig(tmp_path, "voltronic.qgs", answer_timeout_ms=60, late_answer_guard_ms=400) as one:
        one.ups.switch(sim_device.SwitchedFault("delay", 0.3, 150.0))
        poll(one, lambda: len([r for r in one.polled.readings if None not in r.values]) >= 20)
        held = {point: value for command in ("QGS", "QMOD", "QWS", "QBV") for point, value in one.held(command).items()}
        found = [reading for reading in one.polled.readings if None not in reading.values]
    assert all(value == held[point.name] for reading in found for point, value in zip(reading.source.points, reading.values, strict=True))
    assert one.task.statistics.unit(0).timed_out > 0


def test_noise_before_an_answer_does_not_spoil_it(tmp_path):
    """Random bytes before every answer."""
    with rig(tmp_path, "megatec.q6") as one:
        one.ups.switch(sim_device.SwitchedFault("noise", 1.0))
        poll(one, lambda: len([r for r in one.polled.readings if None not in r.values]) >= 4)
        read = {point: value for point, (value, _) in one.read().items() if value is not None}
        expected = {point: value for command in ("Q1", "Q6", "WA", "BPS") for point, value in one.held(command).items()}
    assert read == {point: expected[point] for point in read}
