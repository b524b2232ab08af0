"""DL/T 645 profiles to questions, and answers to points."""

from __future__ import annotations

import pytest
from dlt645_rig import METER, frame, golden, reply

from edgegw.config.model import Bus, Device
from edgegw.drivers.catalogue import available, load_profile, parse_profile
from edgegw.drivers.permit import may_leave
from edgegw.drivers.plan import line_facts
from edgegw.drivers.planning import plan_device
from edgegw.errors import EdgegwError
from edgegw.model import Answer, Fault, Quality

BUS = Bus(name="rs485", kind="serial", path="/dev/ttyS1", baudrate=2400, parity="E")
PROFILES = [name for name in available() if name.startswith("dlt645.")]
HEAD = """
[profile]
name = "test"
maker = "test"
title = "test"
title_zh = "测试"
class = "meter"
protocol = "dlt645"
source = "made for the test"
[group.g]
period_s = 1
"""


def plan_of(profile, **period_s):
    device = Device(code="M1", bus="rs485", address=METER.lstrip("0"), profile="test", period_s=period_s)
    return plan_device(device, profile, line_facts(BUS), 7)


def made(*rows, head=""):
    points = "".join(f'[[point]]\ngroup = "g"\n{row}\n' for row in rows)
    return parse_profile(HEAD.replace("[group.g]", head + "\n[group.g]") + points, "test.toml")


def read(planned, *received):
    """The points that these frames give, in their units' last decimals, and the words of what is not good."""
    [question], answers = planned.questions, []
    for raw in received:
        answers.append(Answer(question.parse(raw).data, 0))
        question = question.follow(answers[-1])
    assert question is None
    values, quality = planned.decode(answers)
    return dict(zip([point.name for point in planned.source.points], values, strict=True)), {k: code.word for k, code in quality.items()}


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_asks_what_may_leave(name):
    """
    The plan of each profile asks only reads, by the meter's address, and probes with the shortest of them.
    """
    plan = plan_of(load_profile(name))
    questions = [question for planned in plan.sources for question in planned.questions]
    assert all(may_leave(question.protocol, question.payload) for question in [*questions, plan.probe])
    assert min(question.answer_size for question in questions) == plan.probe.answer_size
    assert (int(METER), METER, 20) == (plan.unit, plan.address, plan.gap_ms)


@pytest.mark.parametrize("name", PROFILES)
def test_a_question_has_parts_that_tell_its_late_answer_apart(name):
    """
    Behind a time-out there are other questions of the meter, none of which its late answer fits.
    """
    for planned in plan_of(load_profile(name)).sources:
        [question] = planned.questions
        assert question.resync
        assert question.fits not in [part.fits for part in question.resync]


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_is_proven_or_says_that_it_is_not(name):
    """
    Of a profile that is not called unproven, published frames of real meters hold identifiers that it reads, in its edition.
    """
    profile = load_profile(name)
    captured = {one.di for one in golden() if one.values and not one.source.startswith("constructed")}
    read_of_it = {row.di for row in profile.point} & captured
    assert profile.profile.unproven or len(read_of_it) >= 2
    assert {4 if profile.profile.year == 1997 else 8} == {len(row.di) for row in profile.point}


def test_blocks_are_asked_whole_and_one_question_is_one_source():
    """
    The points of one identifier are one source; the group's further questions are numbered.
    """
    plan = plan_of(load_profile("dlt645.2007-3p"))
    blocks = {planned.source.group: planned.block for planned in plan.sources}
    assert ["electrical", "electrical.2", "electrical.3"] == list(blocks)[:3]
    assert ("0201FF00:0,1,2", "0001FF00:0,1,2,3,4") == (blocks["electrical"], blocks["energy"])
    assert list(range(7, 7 + len(blocks))) == [planned.source.source_id for planned in plan.sources]


def test_periods_of_the_configuration_hold():
    """
    A device may give a group another period; a group that the profile has not is refused.
    """
    assert {1500} == {
        planned.source.period_ms for planned in plan_of(load_profile("dlt645.1997"), energy=1.5).sources if planned.source.group.startswith("energy")
    }
    with pytest.raises(EdgegwError, match='no poll group "enrgy"'):
        plan_of(load_profile("dlt645.1997"), enrgy=1)


def test_a_block_gives_the_meters_digits():
    """
    The published block 0001FF00 is read as total and four tariffs, digit by digit.
    """
    energy = next(planned for planned in plan_of(load_profile("dlt645.2007-3p")).sources if planned.source.group == "energy")
    raw = reply("0001FF00", "0000000200000003000000600000006200000129")
    names = ["energy.import", *(f"energy.import.{tariff}" for tariff in ("sharp", "peak", "flat", "valley"))]
    assert (dict(zip(names, [129, 62, 60, 3, 2], strict=True)), {}) == read(energy, raw)


def test_follow_up_frames_make_one_reading():
    """
    A block that comes in three frames is one block.
    """
    energy = next(planned for planned in plan_of(load_profile("dlt645.2007-3p")).sources if planned.source.group == "energy")
    parts = frame(0xB1, "00FF0100 29010000 6200"), frame(0xB2, "00FF0100 0000 60000000 01"), frame(0x92, "00FF0100 03000000 02000000 02")
    values, quality = read(energy, *parts)
    assert ([129, 62, 60, 3, 2], {}) == (list(values.values()), quality)


@pytest.mark.parametrize(
    ("raw", "values", "words"),
    [
        ("FFFF FFFF 2256", [2256, None, None], {1: "not fitted", 2: "not fitted"}),
        ("2256", [2256, None, None], {1: "not fitted", 2: "not fitted"}),
        ("2256 22A6 2256", [2256, None, 2256], {1: "bad"}),
        ("AA 2256 2257 2258", [2258, 2257, 2256], {}),
        ("12 2256 2256", [None, None, None], {0: "bad", 1: "bad", 2: "bad"}),
        ("2256 2256 2256 2256", [None, None, None], {0: "bad", 1: "bad", 2: "bad"}),
        ("", [None, None, None], {0: "bad", 1: "bad", 2: "bad"}),
    ],
    ids=["absent", "one phase", "damaged", "separator", "cut", "too long", "empty"],
)
def test_what_a_voltage_block_holds(raw, values, words):
    """
    FFH and missing items are not fitted, damaged digits bad, a block that does not end with an item is bad as a whole.
    """
    voltage = plan_of(load_profile("dlt645.2007-3p")).sources[0]
    told, quality = read(voltage, reply("0201FF00", raw.replace(" ", "")))
    assert (values, words) == (list(told.values()), quality)


@pytest.mark.parametrize(("raw", "value"), [("871234", -71234), ("071234", 71234), ("000000", 0), ("800000", 0)])
def test_the_top_bit_is_the_sign(raw, value):
    """
    Power keeps its four decimals and its sign.
    """
    [power] = plan_of(made('point = "active_power"\ndi = "02030000"')).sources
    assert ({"active_power": value}, {}) == read(power, reply("02030000", raw))
    assert 4 == power.source.points[0].decimals


def test_a_meter_of_large_ratings_is_scaled():
    """
    NN.NNNN in MW is kW with one decimal more than nothing: 0.1200 are 120 kW, and the dictionary's decimals stay.
    """
    sources = {planned.source.points[0].name: planned for planned in plan_of(load_profile("dlt645.2007-dc-mw")).sources}
    assert ({"power": 120_000}, {}) == read(sources["power"], reply("02030000", "001200"))
    assert ({"current": -16000}, {}) == read(sources["current"], reply("02020100", "800160"))


def test_out_of_the_dictionarys_range_is_bad():
    """
    A power factor of 1.2 is no power factor.
    """
    [factor] = plan_of(made('point = "power_factor"\ndi = "02060000"')).sources
    assert ({"power_factor": None}, {0: "bad"}) == read(factor, reply("02060000", "1200"))


def test_bits_of_a_status_word_are_flags():
    """
    A word and its bits are read together and never parted.
    """
    [status] = plan_of(made('point = "status_word.1"\ndi = "04000501"', 'point = "clock_battery.low"\ndi = "04000501"\nbit = 2')).sources
    assert ({"status_word.1": 20, "clock_battery.low": 1}, {}) == read(status, reply("04000501", "0014"))
    assert (1, None) == (status.pieces, status.divide)


def test_another_format_is_the_meters_own():
    """
    A meter that signs what the standard does not, or has other decimals, says so in its profile.
    """
    [power] = plan_of(made('point = "active_power"\ndi = "B630"\nformat = "+-NNN.NNN kW"', head="year = 1997")).sources
    assert ({"active_power": -12345}, {}) == read(power, reply("B630", "812345"))


def test_a_refused_block_is_read_one_by_one():
    """
    Each value of a refused block has an identifier of its own; what is refused alone is left out from then on.
    """
    voltage = plan_of(load_profile("dlt645.2007-3p")).sources[0]
    division = voltage.divide(frozenset({(0, 3)}))
    assert [(0, 1), (1, 2), (2, 3)] == [part.pieces for part in division.parts] == [part.positions for part in division.parts]
    assert frozenset({(0, 3)}) == division.facts
    data = division.parts[1].question.parse(reply("02010200", "2304")).data
    assert ((2304,), {}) == division.parts[1].decode([Answer(data, 0)])
    holed = voltage.divide(frozenset({(0, 3), (2, 3)}))
    assert ([(0, 1), (1, 2)], (2,), frozenset({(2, 3)})) == ([part.pieces for part in holed.parts], holed.holes, holed.facts)
    assert [(0, 1), (1, 2)] == [part.pieces for part in voltage.divide(holed.facts).parts]


def test_an_introduction_tells_the_meter_number():
    """
    Number and model are asked; a meter that refuses one of them has none, and zeros are no number.
    """
    introduction = plan_of(load_profile("dlt645.2007-3p")).introduce()
    number = next(introduction)
    model = introduction.send(Answer(number.parse(reply("04000402", METER)).data, 0))
    with pytest.raises(StopIteration) as end:
        introduction.send(Fault("exception", "", 2))
    assert ({"serial_number": METER}, (int(METER), 0x11, 0x0400040B)) == (end.value.value.identity, model.fits)
    again = plan_of(load_profile("dlt645.1997")).introduce()
    with pytest.raises(StopIteration) as end:
        again.send(Answer(next(again).parse(reply("C032", "000000000000")).data, 0))
    assert {} == end.value.value.identity


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ('point = "frequency"\ndi = "99999999"', "no identifier"),
        ('point = "frequency"\ndi = "9010"', "no identifier"),
        ('point = "frequency"\ndi = "02010100"', "is in V"),
        ('point = "phase_voltage.a"\ndi = "0201FF00"\nitem = 3', "no item 3"),
        ('point = "phase_voltage.a"\ndi = "02010100"\nscale = 0', "scale is 0"),
        ('point = "phase_voltage.a"\ndi = "02010100"\nscale = "x"', "scale is not a number"),
        ('point = "phase_voltage.a"\ndi = "02010100"\nformat = "NNNN.NN V"', "number of bytes"),
        ('point = "phase_voltage.a"\ndi = "02010100"\nbit = 1', "status words"),
        ('point = "status_word.1"\ndi = "04000501"\nbit = 1', "kind flag"),
        ('point = "serial_number"\ndi = "02010100"', "is a number"),
        ('point = "frequency"\ndi = "04000402"', "is text"),
        ('point = "frequenzy"\ndi = "02800002"', "not in the dictionary"),
    ],
)
def test_an_impossible_row_is_refused(row, why):
    """
    A row that cannot be read as described is refused with its reason.
    """
    with pytest.raises(EdgegwError, match=why):
        made(row)


def test_the_quality_of_a_meter_that_never_ends_is_bad():
    """
    A value whose last frame still says that more follows is not whole.
    """
    energy = next(planned for planned in plan_of(load_profile("dlt645.2007-3p")).sources if planned.source.group == "energy")
    answers = [Answer(energy.questions[0].parse(frame(0xB1, "00FF0100" + "29010000" * 5)).data, 0)]
    assert {Quality.BAD} == set(energy.decode(answers)[1].values())
