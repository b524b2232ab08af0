"""What the control socket tells of a bus: every word is explained on the technician's page, and what a device refuses is named."""

from __future__ import annotations

import re
from pathlib import Path

from bus_rig import FAST, ROWS, Polled, PtyDevice, good, honest, run, running, serial_bus
from modbus_rig import exception_frame, plan_of, profile_of

from edgegw.bus.statistics import BusStatistics
from edgegw.bus.task import BusTask
from edgegw.cli.bus import render
from edgegw.cli.cells import cells
from edgegw.config.model import Config, Device, Gateway
from edgegw.views_bus import BusViews

PAGE = (Path(__file__).parents[2] / "docs" / "bus.md").read_text(encoding="utf-8")


def refusing(asked):
    """A device without the registers from 4 on."""
    return [(0.0, exception_frame(asked.unit, 3, 2))] if asked.address <= 4 < asked.address + asked.count else honest(asked)


def told():
    """What `bus stats` gets of a line with one device that refuses a point."""
    polled = Polled()
    found = []

    async def main():
        with PtyDevice(refusing) as device:
            bus = serial_bus(device.path)
            plan = plan_of(profile_of(ROWS, group=FAST), bus)
            task = BusTask(bus, [plan], polled.clock, polled)
            config = Config(gateway=Gateway(operator="o", station="s", gateway="g"), bus=[bus], device=[Device(code="D1", bus=bus.name, unit=1, profile="p")])
            views = BusViews(config, polled.clock, [task], {bus.name: [plan]})
            async with running(task):
                await polled.until(lambda: task.refused_points and len(polled.readings) > 5)
                found.append((await views.stats({}))["buses"][0])

    run(main())
    assert [] == good(polled.readings)
    return found[0]


def test_every_word_of_the_counters_is_on_the_page():
    """Whatever `bus stats --json` says of a line or of a device stands on the page under its own name."""
    bus = told()
    explained = set(re.findall(r"`(\w+)`", PAGE))
    assert set() == {*bus, *bus["units"][0]} - explained
    assert set(BusStatistics().as_dict()) <= set(bus)
    section = PAGE.split("## What is counted for each line\n")[1].split("\n## ")[0]
    of_line = {name for row in re.findall(r"^\| (.*?) \|", section, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    assert set() == of_line - set(bus)


def test_what_a_device_refuses_is_named():
    """The points stand in the JSON, and below the device on a screen of 80 cells."""
    bus = told()
    assert ["alarm_word.3"] == bus["units"][0]["refused_points"]
    for language, words in (("en", "refuses alarm_word.3"), ("zh", "拒绝 alarm_word.3")):
        lines = list(render(bus, language))
        assert words in "\n".join(lines)
        assert [] == [line for line in lines if cells(line) > 80]
