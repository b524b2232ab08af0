"""When what is asked: grids, quarter hours, the technician's share, silent devices. On a virtual clock."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from bus_rig import Polled, honest, serial_bus
from modbus_rig import plan_of, profile_of
from virtual_time import VirtualLine, run_virtual

from edgegw.bus import task as bus_task
from edgegw.bus.schedule import grid_shifts
from edgegw.bus.task import BusTask, Extras
from edgegw.model import Quality

ROW = "alarm_word.1, address = 0; type = 'u32'"
ENERGY = '[group.g]\nperiod_s = 900\nstream = "energy"\n'
QUARTER_MS = 900_000


def profile(period_s=1.0, more=""):
    return profile_of(ROW, group=f"[group.g]\nperiod_s = {period_s}\n{more}")


def poll(monkeypatch, behave, make_plans, scene, **settings):
    """Runs `scene(task, line, polled)` while the bus is polled; a request takes as long as `behave` says."""

    async def main():
        extras = Extras(settings.pop("shift_ms", 0))
        bus = serial_bus("virtual", **settings)
        line = VirtualLine(bus, behave)
        monkeypatch.setattr(bus_task, "make_line", lambda _: line)
        polled = Polled()
        task = BusTask(bus, make_plans(bus), polled.clock, polled, extras)
        running = asyncio.ensure_future(task.run())
        try:
            await scene(task, line, polled)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    run_virtual(monkeypatch, main)


def slowly(seconds):
    return lambda asked: [(seconds, asked.answer())]


# -- grids


def test_buses_are_shifted_the_same_way_at_every_start():
    """Serial buses spread over their shortest period, at most a second; the others share their ticks."""
    assert [0, 0, 250, 0, 500, 750] == grid_shifts([(True, 1000), (False, 1000), (True, 1000), (False, 1000), (True, 5000), (True, 60_000)])
    assert [0, 0, 0] == grid_shifts([(False, 100), (False, 100), (False, 20)])
    assert [0] * 200 == grid_shifts([(False, 1000)] * 200)


def test_a_shifted_bus_is_still_polled_at_once(monkeypatch):
    """The first poll is not delayed; the second lies on the shifted grid."""

    async def scene(_task, _line, polled):
        started_ms = polled.clock.mono_ms()
        await asyncio.sleep(2.9)
        times = [reading.mono_ms - started_ms for reading in polled.readings]
        assert [0, 700, 1700, 2700] == [time // 100 * 100 for time in times]

    poll(monkeypatch, honest, lambda bus: [plan_of(profile(), bus)], scene, shift_ms=700)


def test_what_does_not_fit_is_counted_and_not_piled_up(monkeypatch):
    """Twice as much as the line carries: half of the slots are missed and counted, and nothing is later than a period and a round."""

    async def scene(task, line, polled):
        await asyncio.sleep(100)
        polls, missed = len(polled.readings), task.statistics.total("missed_slots")
        assert 40 * 100 == pytest.approx(polls + missed, rel=0.03)
        assert polls == pytest.approx(1900, rel=0.06)
        assert task.statistics.lateness_percentile_ms(99) <= 1000 + 2200
        longest_ms = max(b - a for unit in range(1, 41) for a, b in pairwise([reading.mono_ms for reading in polled.of(f"D{unit}")]))
        assert longest_ms <= 3100

    poll(monkeypatch, slowly(0.05), lambda bus: [plan_of(profile(), bus, unit, first=unit) for unit in range(1, 41)], scene, answer_timeout_ms=500)


def test_a_bus_that_can_keep_its_periods_is_in_time(monkeypatch):
    """Ten sources of 50 ms in a second: nothing is missed, and the last of a round waits for the nine before it."""

    async def scene(task, _line, polled):
        await asyncio.sleep(60)
        assert 0 == task.statistics.total("missed_slots")
        told = task.statistics.as_dict()
        assert 200 <= told["lateness_p50_ms"] <= 300
        assert 400 <= told["lateness_p95_ms"] <= told["lateness_p99_ms"] <= 600

    poll(monkeypatch, slowly(0.05), lambda bus: [plan_of(profile(), bus, unit, first=unit) for unit in range(1, 11)], scene, answer_timeout_ms=500)


# -- energy


def energy_bus(count, period_s=1.0):
    """`count` meters with electrical values each second and energy each quarter hour."""
    rows = f"{ROW}\nenergy.import, address = 50; type = 'u32'"
    both = profile_of(rows, group=f"[group.g]\nperiod_s = {period_s}\n")
    energy = profile_of("energy.import, address = 50; type = 'u32'; scale = '0.01'", group=ENERGY)
    return lambda bus: [
        plan for n in range(count) for plan in (plan_of(both, bus, n + 1, f"M{n}", 10 * n + 1), plan_of(energy, bus, n + 1, f"E{n}", 10 * n + 5))
    ]


def energy_of(polled):
    return [reading for reading in polled.readings if reading.source.device.startswith("E")]


def test_all_meters_are_read_within_half_a_minute_of_the_quarter_hour(monkeypatch):
    """Thirty meters on a bus with three times the load it can carry: no energy reading is more than 30 s after its boundary, and its skew is recorded."""

    async def scene(task, _line, polled):
        polled.clock.offset_ms = 1_793_000_000_000
        await asyncio.sleep(30 * 60)
        first = energy_of(polled)[:30]
        assert 30 == len({reading.source.device for reading in first})
        aligned = energy_of(polled)[30:]
        skews_ms = [reading.read_at_ms % QUARTER_MS for reading in aligned]
        assert 60 == len(aligned)
        assert max(skews_ms) <= 30_000
        assert (60, 0, True) == (task.statistics.energy_reads, task.statistics.energy_late, abs(max(skews_ms) - task.statistics.energy_skew_max_ms) <= 1)

    poll(monkeypatch, slowly(0.05), energy_bus(30, 2.0), scene, answer_timeout_ms=500)


def test_a_step_of_the_clock_moves_the_next_boundary_only(monkeypatch):
    """Forwards over boundaries, backwards, and by milliseconds: never a burst, never two readings of one boundary, and the next one on time."""

    async def scene(task, _line, polled):
        clock = polled.clock
        start_ms = 1_793_000_000_000 // QUARTER_MS * QUARTER_MS + 60_000
        clock.offset_ms = start_ms - clock.mono_ms()
        await asyncio.sleep(60)
        clock.offset_ms += 45 * 60_000
        await asyncio.sleep(60)
        assert (1, 1) == (len(energy_of(polled)), task.statistics.total("missed_slots"))
        await asyncio.sleep(12 * 60 + 5)
        assert 2 == len(energy_of(polled))
        clock.offset_ms -= 20
        await asyncio.sleep(14 * 60)
        clock.offset_ms -= 3 * 3600_000
        await asyncio.sleep(10)
        assert 3 >= len(energy_of(polled))
        await asyncio.sleep(45 * 60)
        for reading in energy_of(polled)[1:]:
            assert reading.read_at_ms % QUARTER_MS < 5000 or QUARTER_MS - reading.read_at_ms % QUARTER_MS < 100
        gaps_ms = [b.mono_ms - a.mono_ms for a, b in pairwise(energy_of(polled)[1:])]
        assert QUARTER_MS - 5000 <= min(gaps_ms)
        assert max(gaps_ms) <= 2 * QUARTER_MS

    poll(monkeypatch, honest, energy_bus(1, 60.0), scene)


def test_energy_that_comes_late_says_so(monkeypatch):
    """A meter that was silent at the boundary is asked again soon, and what it says more than a minute later is late."""
    dead = []

    async def scene(task, _line, polled):
        clock = polled.clock
        clock.offset_ms = 1_793_000_000_000 // QUARTER_MS * QUARTER_MS - clock.mono_ms()
        await asyncio.sleep(15 * 60 - 30)
        dead.append(1)
        await asyncio.sleep(30 + 120)
        dead.clear()
        await asyncio.sleep(60)
        (late,) = [reading for reading in energy_of(polled)[1:] if reading.values[0] is not None]
        assert ({0: Quality.LATE}, True) == (dict(late.quality), 120_000 <= late.read_at_ms % QUARTER_MS <= 140_000)
        assert (1, 1) == (task.statistics.energy_reads, task.statistics.energy_late)
        await asyncio.sleep(15 * 60)
        assert not energy_of(polled)[-1].quality

    poll(monkeypatch, lambda asked: [] if dead else honest(asked), energy_bus(1, 10.0), scene)


def test_one_lost_answer_costs_no_quarter_hour(monkeypatch):
    """Energy that was not answered at its boundary is asked again within seconds, and is not late."""
    lost = []

    async def scene(_task, _line, polled):
        clock = polled.clock
        clock.offset_ms = 1_793_000_000_000 // QUARTER_MS * QUARTER_MS - clock.mono_ms()
        await asyncio.sleep(15 * 60 - 5)
        lost.append(1)
        await asyncio.sleep(20)
        told = [dict(reading.quality) for reading in energy_of(polled)[1:]]
        assert [{0: Quality.OFFLINE}, {}] == told

    poll(monkeypatch, lambda asked: [] if lost and lost.pop() else honest(asked), lambda bus: energy_bus(1)(bus)[1:], scene)


# -- the technician


@pytest.mark.parametrize("technician_s", [0.02, 0.2])
def test_a_technician_gets_a_fifth_of_the_time_of_a_busy_bus(monkeypatch, technician_s):
    """Whatever his questions cost: reading one device again and again on a saturated bus he has at most 20 % of its time, and gets his share."""
    took = {"others": 0.0, "technician": 0.0}

    def behave(asked):
        seconds = technician_s if asked.unit == 9 else 0.05
        # The silence before a question is bus time too.
        took["technician" if asked.unit == 9 else "others"] += seconds + 0.00175
        return [(seconds, asked.answer())]

    def plans(bus):
        return [*(plan_of(profile(0.1), bus, unit, first=unit) for unit in range(1, 5)), plan_of(profile(86_400), bus, 9, first=9)]

    async def scene(task, _line, _polled):
        end = asyncio.get_running_loop().time() + 120
        waits = []
        while (now := asyncio.get_running_loop().time()) < end:
            (reading,) = await task.ask_now("D9")
            assert not reading.quality
            waits.append(asyncio.get_running_loop().time() - now)
        assert 0.15 <= (took["technician"] - technician_s) / sum(took.values()) <= 0.2
        assert waits[0] <= 0.3 + technician_s

    poll(monkeypatch, behave, plans, scene, answer_timeout_ms=500)


def test_a_technician_on_an_idle_bus_waits_for_nothing(monkeypatch):
    """Time that nobody else wants is his."""

    async def scene(task, _line, _polled):
        await asyncio.sleep(5)
        started = asyncio.get_running_loop().time()
        for _ in range(20):
            await task.ask_now("D1")
        assert asyncio.get_running_loop().time() - started <= 20 * 0.06

    poll(monkeypatch, slowly(0.05), lambda bus: [plan_of(profile(60), bus)], scene, answer_timeout_ms=500)


# -- silent devices: promise 5 of the design


@pytest.mark.parametrize("timeout_ms", [150, 1000])
def test_when_a_wholly_silent_bus_comes_back_all_are_found_within_seconds(monkeypatch, timeout_ms):
    """Its silence was one fault: the first answer ends it, and each of the others is asked once a second after the other; who is silent still waits as ever."""
    dead = set(range(1, 9))

    async def scene(task, line, _polled):
        await asyncio.sleep(90)
        assert 8 == len(task.silent_devices)
        dead.difference_update(range(1, 7))
        await asyncio.sleep(11)
        assert ["D7", "D8"] == task.silent_devices
        line.asked.clear()
        await asyncio.sleep(60)
        probes = [asked for asked in line.asked if asked.unit in dead]
        assert 6 <= len(probes) <= 13

    poll(
        monkeypatch,
        lambda asked: [] if asked.unit in dead else honest(asked),
        lambda bus: [plan_of(profile(), bus, unit, first=unit) for unit in range(1, 9)],
        scene,
        answer_timeout_ms=timeout_ms,
    )


def silent_case(monkeypatch, silent, count, timeout_ms, *, learnt_s=None):
    """(times of the probes of each silent unit, share of bus time they took) in five minutes, of `count` devices."""
    dead: set[int] = set() if learnt_s is not None else set(silent)
    found = {}

    async def scene(task, line, polled):
        await asyncio.sleep(20)
        dead.update(silent)
        await asyncio.sleep(60)
        assert {f"D{unit}" for unit in silent} == set(task.silent_devices)
        line.asked.clear()
        busy_ns, honest_polls = task.statistics.busy_ns, len(polled.of(f"D{count}"))
        await asyncio.sleep(300)
        for asked in line.asked:
            if asked.unit in silent:
                found.setdefault(asked.unit, []).append(asked.at_ns / 1e9)
        honest_s = 0.01 * sum(asked.unit not in silent for asked in line.asked)
        found["share"] = ((task.statistics.busy_ns - busy_ns) / 1e9 - honest_s) / 300
        found["others"] = len(polled.of(f"D{count}")) - honest_polls

    poll(
        monkeypatch,
        lambda asked: [] if asked.unit in dead else [(learnt_s or 0.01, asked.answer())],
        lambda bus: [plan_of(profile(), bus, unit, first=unit) for unit in range(1, count + 1)],
        scene,
        answer_timeout_ms=timeout_ms,
    )
    return found


def test_a_quick_probe_is_each_devices_own_every_ten_seconds(monkeypatch):
    """Below 200 ms: each silent device every 10 s, at most 2 % of bus time for each of them, and the living one is polled on."""
    found = silent_case(monkeypatch, {1, 2}, 3, 150)
    for unit in (1, 2):
        assert 29 <= len(found[unit]) <= 31
        assert min(b - a for a, b in pairwise(found[unit])) >= 10
    assert found["share"] <= 2 * 0.02 + 0.01
    assert 299 <= found["others"] <= 301


def test_slow_probes_share_one_every_ten_seconds(monkeypatch):
    """Above 200 ms all silent devices of the bus together are probed every 10 s, in turn."""
    found = silent_case(monkeypatch, {1, 2, 3}, 4, 1000)
    times = sorted(time for unit in (1, 2, 3) for time in found[unit])
    assert 29 <= len(times) <= 31
    assert min(b - a for a, b in pairwise(times)) >= 9.9
    assert max(map(len, (found[1], found[2], found[3]))) - min(map(len, (found[1], found[2], found[3]))) <= 1
    assert 299 <= found["others"] + 5


def test_what_a_probe_costs_is_known_before_the_first_one(monkeypatch):
    """Ten devices that fall silent together do not all have their first, long probe within ten seconds."""
    probes = []

    async def scene(_task, line, _polled):
        await asyncio.sleep(45)
        probes.extend(asked.at_ns / 1e9 for asked in line.asked if asked.unit != 11)

    def plans(bus):
        return [plan_of(profile(), bus, unit, first=unit) for unit in range(1, 12)]

    poll(monkeypatch, lambda asked: honest(asked) if asked.unit == 11 else [], plans, scene, answer_timeout_ms=500)
    after = sorted(probes)[30:]
    assert after
    assert min(b - a for a, b in pairwise(after)) >= 9.9


def test_a_wholly_silent_bus_is_probed_in_turn_once_a_second(monkeypatch, caplog):
    """One question a second, each device in its turn; one error in the log; the line is made new after ten probes of a device; all are found again."""
    dead: set[int] = {1, 2, 3}

    async def scene(task, line, polled):
        await asyncio.sleep(60)
        line.asked.clear()
        await asyncio.sleep(60)
        units = [asked.unit for asked in line.asked]
        assert 10 <= task.statistics.opened <= 13
        assert 59 <= len(units) <= 61
        assert units == (units[:3] * 21)[: len(units)]
        dead.clear()
        await asyncio.sleep(25)
        assert [] == task.silent_devices
        assert all(not polled.of(f"D{unit}")[-1].quality for unit in (1, 2, 3))

    poll(
        monkeypatch,
        lambda asked: [] if asked.unit in dead else honest(asked),
        lambda bus: [plan_of(profile(), bus, unit, first=unit) for unit in (1, 2, 3)],
        scene,
    )
    assert 1 == sum("no device answers any more" in record.message for record in caplog.records)
