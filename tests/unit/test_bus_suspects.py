"""Two devices with one address, another master: named in the log once, with what to do."""

from __future__ import annotations

import logging

import pytest
from bus_rig import FAST, ROWS, Polled, PtyDevice, good, honest, run, running, serial_bus
from modbus_rig import answer_frame, plan_of, profile_of

from edgegw.bus.suspects import FOREIGN_MIN, OVER_NS, Suspects
from edgegw.bus.task import BusTask
from edgegw.drivers.modbus_codec import rtu_question
from edgegw.errors import lookup

S = 1_000_000_000
OTHERS = rtu_question(1, 3, 500, 2).payload + answer_frame(1, 3, b"\0\1\0\2")


@pytest.fixture
def told(caplog):
    """Ids and ends, in the order in which the log has them."""
    caplog.set_level(logging.INFO, "edgegw.bus")

    def words():
        return ["over" if "no sign any more" in record.message else record.message.partition(":")[0] for record in caplog.records]

    return words


@pytest.mark.parametrize("message_id", ["E-BUS-DOUBLED", "E-BUS-FOREIGN"])
def test_each_has_its_message_and_its_next_step(message_id):
    """In English and in Chinese."""
    assert all(lookup(message_id))


def test_doubled_answers_are_told_once_for_each_unit(told):
    """Once at the beginning and once at the end, however many there are between."""
    suspects = Suspects("a", S)
    for second in range(100):
        suspects.doubled(1, second * S)
        suspects.look(second * S)
    suspects.doubled(2, 99 * S)
    suspects.look(99 * S + OVER_NS)
    suspects.doubled(1, 500 * S)
    assert ["E-BUS-DOUBLED", "E-BUS-DOUBLED", "over", "over", "E-BUS-DOUBLED"] == told()


def test_some_foreign_frames_within_a_minute_are_another_master(told):
    """One may be noise that looks like a frame."""
    suspects = Suspects("a", S)
    for n in range(FOREIGN_MIN):
        suspects.foreign(1, 1, n * OVER_NS)
    assert [] == told()
    suspects.foreign(FOREIGN_MIN, 1, 10 * OVER_NS)
    suspects.foreign(FOREIGN_MIN, 1, 10 * OVER_NS + S)
    assert ["E-BUS-FOREIGN"] == told()


def test_late_answers_of_our_own_units_are_no_other_master(told):
    """As many as questions stayed unanswered, while they may come; not of the unit that is asked, whose late ones are seen as such."""
    suspects = Suspects("a", S)
    for second in range(20):
        suspects.timed_out(2, second * S)
        suspects.foreign(1, 1, second * S + S // 2)
    assert [] == told()
    for second in range(30, 30 + FOREIGN_MIN):
        suspects.timed_out(1, second * S)
        suspects.foreign(1, 1, second * S + S // 2)
    assert ["E-BUS-FOREIGN"] == told()


@pytest.mark.parametrize("rival", [OTHERS, answer_frame(9, 3, b"\0\1")], ids=["asks our unit", "asks its own"])
def test_another_master_on_a_real_line_is_counted_and_named(told, rival):
    """It asks between our polls: its frames are foreign, every value of ours is our own, the log names it once."""
    polled = Polled()
    with PtyDevice(lambda asked: [*honest(asked), (0.008, rival)]) as device:

        async def main():
            bus = serial_bus(device.path)
            task = BusTask(bus, [plan_of(profile_of(ROWS, group=FAST), bus)], polled.clock, polled)
            async with running(task):
                await polled.until(lambda: len(good(polled.readings)) > 20)
            counters = task.statistics.unit(1)
            assert (0, True) == (counters.doubled, counters.foreign >= 15)

        run(main())
    assert 1 == told().count("E-BUS-FOREIGN")
    assert [] == [r for r in good(polled.readings) if len(set(r.values)) != 1 or device.asked[r.values[0]].count != 6]
