"""Points to questions: the fewest milliseconds, and nothing that a device would refuse."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modbus_rig import modbus_profiles, plan_of, profile_of

from edgegw.config.model import Bus, Device
from edgegw.drivers.catalogue import load_profile
from edgegw.drivers.plan import block_ms, busy_share, lateness_ms, line_facts, plan_blocks, question_ms, round_ms
from edgegw.drivers.planning import plan_device
from edgegw.errors import EdgegwError
from edgegw.model import Answer, Stream

SERIAL = Bus(name="rs485a", kind="serial", path="/dev/null")
TCP = Bus(name="eth", kind="tcp", host="127.0.0.1")
NAMES = [f"string.{n}.{what}" for n in range(1, 21) for what in ("voltage", "current")]


def cheapest_by_search(addresses, line, gap, limit):
    """Every way to cut ascending single registers into runs, tried."""

    def runs(at):
        if at == len(addresses):
            yield []
        for end in range(at + 1, len(addresses) + 1):
            run = addresses[at:end]
            if run[-1] - run[0] + 1 <= limit and all(b - a - 1 <= gap for a, b in pairwise(run)):
                yield from ([(run[0], run[-1] - run[0] + 1), *rest] for rest in runs(end))

    def cost(cut):
        return sum(line.request_cost_ms + line.byte_ms * (13 + 2 * count) for _, count in cut)

    return min(map(cost, runs(0)))


@pytest.mark.parametrize("bus", [SERIAL, TCP, Bus(name="fast", kind="serial", path="/dev/null", baudrate=115200)], ids=["9600", "tcp", "115200"])
@pytest.mark.parametrize("seed", range(12))
def test_no_other_cut_is_cheaper(bus, seed):
    """On small cases an exhaustive search finds nothing cheaper."""
    rng = random.Random(seed)
    addresses = sorted(rng.sample(range(120), 9))
    gap, limit = rng.choice([0, 8, 40, 125]), rng.choice([10, 60, 125])
    profile = profile_of("\n".join(f"{name}, address = {at}" for name, at in zip(NAMES, addresses, strict=False)), f"max_gap = {gap}\nmax_registers = {limit}")
    line = line_facts(bus)
    blocks = plan_blocks(profile, profile.point, line)
    assert pytest.approx(cheapest_by_search(addresses, line, gap, limit)) == sum(block_ms(block, line) for block in blocks)
    assert addresses == [row.address for block in blocks for row in block.rows]


def cuts(rows, head="", bus=SERIAL):
    profile = profile_of(rows, head)
    return [(block.function, block.address, block.length) for block in plan_blocks(profile, profile.point, line_facts(bus))]


def test_equal_devices_share_what_is_planned_once():
    """
    The second device of a profile costs no second search for the cheapest cut: two hundred of them start as fast as one, in the same memory.
    """
    profile, line = load_profile(modbus_profiles()[0]), line_facts(TCP)
    first, second = (plan_device(Device(code=code, bus="eth", unit=unit, profile="any"), profile, line, 1) for code, unit in (("A", 1), ("B", 2)))
    assert first.sources
    for one, other in zip(first.sources, second.sources, strict=True):
        assert one.decode is other.decode
        assert one.source.points is other.source.points
        assert one.questions[0].payload != other.questions[0].payload


def test_a_hole_is_not_read_over_unless_the_profile_allows_it():
    """Many devices refuse a block that touches an undefined register."""
    rows = "phase_voltage.a, address = 0\nphase_voltage.b, address = 3"
    assert [(3, 0, 1), (3, 3, 1)] == cuts(rows)
    assert [(3, 0, 4)] == cuts(rows, "max_gap = 2")
    assert [(3, 0, 4)] == cuts(rows, "readable = [[0, 5]]")
    assert [(3, 0, 1), (3, 3, 1)] == cuts(rows, "readable = [[1, 5]]")


def test_a_forbidden_range_is_never_touched():
    """A block ends before it and the next begins behind it."""
    assert [(3, 0, 1), (3, 3, 1)] == cuts("phase_voltage.a, address = 0\nphase_voltage.b, address = 3", "max_gap = 9\nforbidden = [[1, 1]]")


def test_functions_and_exponents_are_kept_together():
    """Each function has its own requests, an exponent is read with its mantissa."""
    rows = "voltage, address = 0; type = 'i16'; exponent = 9\nphase_voltage.a, address = 1; function = 4\ninput.1, address = 0; function = 2; type = 'bit'"
    assert [(2, 0, 1), (3, 0, 10), (4, 1, 1)] == cuts(rows)


def test_a_value_is_never_cut():
    """The limit of a request falls between values."""
    rows = "\n".join(f"energy.import.{t}, address = {2 * k}; type = 'u32'" for k, t in enumerate(["sharp", "peak", "flat", "valley"]))
    assert [2, 2, 2, 2] == [length for _, _, length in cuts(rows, "max_registers = 3")]


def test_one_answer_is_one_source():
    """A poll group that needs several questions becomes several sources with ids in a row."""
    plan = plan_of(profile_of("phase_voltage.a, address = 0\nphase_voltage.b, address = 50"), SERIAL, first=7)
    assert [(7, "g"), (8, "g.2")] == [(planned.source.source_id, planned.source.group) for planned in plan.sources]
    assert [1, 1] == [len(planned.questions) for planned in plan.sources]


def test_the_device_may_set_the_period_of_a_group():
    """The period of the group or of one of its questions overrides the profile's."""
    profile = load_profile("acrel.dtsd1352")
    plan = plan_of(profile, SERIAL, electrical=1)
    assert {1000, 900_000} == {planned.source.period_ms for planned in plan.sources}
    assert [Stream.ENERGY] == [planned.source.stream for planned in plan.sources if planned.source.group == "energy"]
    device = Device(code="D", bus="rs485a", unit=1, profile="acrel.dtsd1352", period_s={"electrical.2": 60})
    assert [60_000] == [
        planned.source.period_ms for planned in plan_device(device, profile, line_facts(SERIAL), 1).sources if planned.source.period_ms == 60_000
    ]


def test_an_unknown_group_is_refused_with_the_near_one():
    """A mistyped poll group is told, with what it may have been meant for."""
    with pytest.raises(EdgegwError, match="climat") as told:
        plan_of(load_profile("xy-md02"), SERIAL, climat=1)
    assert ("E-PLAN-GROUP", 'did you mean "climate"?') == (told.value.message_id, told.value.next_step)


@pytest.mark.parametrize("name", modbus_profiles())
def test_every_profile_is_planned_on_every_line(name):
    """Each point is read by exactly one source, and each question carries what the bus needs."""
    for bus in (SERIAL, TCP):
        plan = plan_of(load_profile(name), bus)
        points = [point.name for planned in plan.sources for point in planned.source.points]
        assert sorted(points) == sorted(row.point for row in load_profile(name).point)
        assert plan.probe.answer_size <= min(planned.questions[0].answer_size for planned in plan.sources) or plan.probe.answer_size <= 11


def test_a_question_has_parts_that_are_told_apart():
    """The parts for getting into step again have other byte counts and cut no value; one register has none."""
    plan = plan_of(load_profile("acrel.dtsd1352"), SERIAL)
    for planned in plan.sources:
        (question,) = planned.questions
        keys = [part.fits for part in question.resync]
        assert len({question.fits, *keys}) == len(keys) + 1
        assert bool(keys) == (len(planned.source.points) > 1)


def test_the_time_of_a_question_is_predicted():
    """Station model, section 3: (8 + 5 + 2N) characters, turnaround, two silences."""
    (planned,) = plan_of(profile_of("\n".join(f"{name}, address = {n}" for n, name in enumerate(NAMES[:20]))), SERIAL).sources
    character_ms = 10 / 9.6
    assert pytest.approx(53 * character_ms + 7 * character_ms + 30) == question_ms(planned.questions[0], line_facts(SERIAL))


def test_the_load_of_a_bus_is_the_sum_of_its_questions():
    """Round time and busy share add up over devices; a shorter period costs more."""
    profile, line = load_profile("xy-md02"), line_facts(SERIAL)
    one, many = [plan_of(profile, SERIAL)], [plan_of(profile, SERIAL, unit) for unit in (1, 2, 3)]
    assert pytest.approx(3 * round_ms(one, line)) == round_ms(many, line)
    assert pytest.approx(round_ms(one, line) / 10_000) == busy_share(one, line)
    assert pytest.approx(10 * busy_share(one, line)) == busy_share([plan_of(profile, SERIAL, climate=1)], line)


WIDTHS = {"u16": 1, "u32": 2, "u64": 4}


def cheapest_of_all(spans, may_read, line):
    """Every way to cut ascending values, (first, last) each, into runs, tried."""

    def best(at):
        if at == len(spans):
            return 0.0
        costs = []
        for end in range(at + 1, len(spans) + 1):
            run = spans[at:end]
            if end == at + 1 or may_read(run):
                costs.append(line.request_cost_ms + line.byte_ms * (13 + 2 * (run[-1][1] - run[0][0] + 1)) + best(end))
        return min(costs)

    return best(0)


@st.composite
def maps_of_registers(draw):
    """Up to eight values of one to four registers, with gaps, and what the profile says about reading over them."""
    at, rows = draw(st.integers(0, 5)), []
    for name in NAMES[: draw(st.integers(1, 8))]:
        kind = draw(st.sampled_from(sorted(WIDTHS)))
        rows.append((name, at, kind))
        at += WIDTHS[kind] + draw(st.sampled_from([0, 0, 1, 2, 7, 30, 90]))
    free = [a for a in range(at) if not any(first <= a < first + WIDTHS[kind] for _, first, kind in rows)]
    ranges = st.tuples(st.integers(0, at), st.integers(0, 60)).map(lambda pair: [pair[0], pair[0] + pair[1]])
    forbidden = [[a, a] for a in draw(st.lists(st.sampled_from(free), max_size=2))] if free else []
    return rows, draw(st.sampled_from([4, 9, 20, 60, 125])), draw(st.sampled_from([0, 1, 8, 40])), draw(st.lists(ranges, max_size=2)), forbidden


@given(maps_of_registers(), st.sampled_from([1200, 9600, 19200, 115200, 0]), st.sampled_from([0, 50]))
def test_no_other_cut_of_any_map_takes_less_line_time(drawn, baudrate, gap_ms):
    """Values of any width, gaps, limits, readable and forbidden ranges, speeds: an exhaustive search finds the same milliseconds, and no rule is broken."""
    rows, limit, gap, readable, forbidden = drawn
    bus = Bus(name="b", kind="serial", path="/dev/null", baudrate=baudrate, gap_ms=gap_ms) if baudrate else Bus(name="b", kind="tcp", host="h", gap_ms=gap_ms)
    head = f"max_registers = {limit}\nmax_gap = {gap}\nreadable = {readable}\nforbidden = {forbidden}"
    profile = profile_of("\n".join(f"{name}, address = {at}; type = '{kind}'" for name, at, kind in rows), head)
    spans = [(at, at + WIDTHS[kind] - 1) for _, at, kind in rows]

    def may_read(run):
        first, last = run[0][0], run[-1][1]
        if last - first + 1 > limit or any(first <= b and a <= last for a, b in forbidden):
            return False
        return all(after[0] - before[1] - 1 <= gap or any(a <= before[1] and after[0] <= b for a, b in readable) for before, after in pairwise(run))

    line = line_facts(bus)
    blocks = plan_blocks(profile, profile.point, line)
    assert pytest.approx(cheapest_of_all(spans, may_read, line)) == sum(block_ms(block, line) for block in blocks)
    assert [row.address for block in blocks for row in block.rows] == [at for _, at, _ in rows]
    assert all(len(block.rows) == 1 or may_read([row.span for row in block.rows]) for block in blocks)


def test_how_late_a_bus_will_be_is_predicted():
    """The last of a round waits for all others; a bus that is asked for more than it carries is late by a round and a period."""
    profile, line = load_profile("xy-md02"), line_facts(SERIAL)
    few = [plan_of(profile, SERIAL, unit) for unit in (1, 2, 3)]
    assert pytest.approx(round_ms(few, line) - round_ms(few[:1], line)) == lateness_ms(few, line)
    many = [plan_of(profile, SERIAL, unit, climate=0.1) for unit in range(1, 10)]
    assert busy_share(many, line) > 1
    assert pytest.approx(round_ms(many, line) + 100) == lateness_ms(many, line)


def test_a_device_that_reads_one_item_is_asked_for_one():
    """With the quirk each value has a request of its own, however near the next one lies."""
    rows = 'gun1.power, address = 0; type = "u32"\ngun1.voltage, address = 2; type = "u32"\ngun1.current, address = 4; type = "u32"'
    plan = plan_of(profile_of(rows, "one_item = true"), SERIAL)
    asked = [planned.questions[0].payload[2:6].hex() for planned in plan.sources]
    assert ["00000002", "00020002", "00040002"] == asked
    assert 1 == len(plan_of(profile_of(rows), SERIAL).sources)


def test_what_is_only_understood_is_never_asked():
    """`[[also]]` rows are in no source."""
    names = {point.name for planned in plan_of(load_profile("sungrow"), TCP).sources for point in planned.source.points}
    assert set() == names & {"serial_number", "run_time", "grid.import_power"}
    assert "energy.yield" in names


@pytest.mark.parametrize("name", modbus_profiles())
def test_any_registers_of_any_product_decode(name):
    """Whatever stands in the registers, nothing is raised, and a value is there exactly when its quality has one."""
    chance = random.Random(name)
    for planned in plan_of(load_profile(name), SERIAL).sources:
        size = planned.questions[0].answer_size - 5
        for data in (bytes(size), b"\xff" * size, *(chance.randbytes(size) for _ in range(20))):
            values, quality = planned.decode([Answer(data, 0)])
            assert len(planned.source.points) == len(values)
            assert {position for position, value in enumerate(values) if value is None} == set(quality)
