"""What is asked of a SunSpec device: in one answer with its scale factor, never longer than it answers, with the layout that was planned."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sunspec_rig import BUS, SILENT, Image, common, image, introduce, met, model, plan, read, request_of

from edgegw.bus.introducing import INTRODUCTION_QUESTIONS_MAX
from edgegw.config.check import read as read_config
from edgegw.config.model import Bus, Device
from edgegw.drivers.catalogue import load_profile, parse_profile
from edgegw.drivers.plan import line_facts
from edgegw.drivers.planning import plan_device
from edgegw.drivers.sunspec_blocks import Wanted, cover, locate
from edgegw.drivers.sunspec_models import Field, find_model
from edgegw.errors import EdgegwError
from edgegw.model import Answer, Quality

POWERS = {"DCA_SF": -2, "DCV_SF": -1, "DCW_SF": 0, "DCWH_SF": 0, "N": 8}


def wide():
    """An inverter with eight MPPTs: 168 registers and their header, which no device answers at once."""
    modules = [{"DCA": 100 * n, "DCV": 1000 * n, "DCW": 1000 * n, "DCWH": 10000 * n} for n in range(1, 9)]
    return image(common(), model(103, {"W": 5000, "W_SF": 1, "St": 4}), model(160, POWERS, modules=modules))


def requests(questions):
    return [request_of(question) for question in questions]


def source(introduction, point):
    return next(planned for planned in introduction.sources if point in [known.name for known in planned.source.points])


def test_a_model_is_one_question_from_its_header_on():
    """
    Points and scale factors of a model come in one answer, and the header before them proves that it is still that model.
    """
    introduction, _ = introduce(plan(), wide())
    assert [(3, 40070, 52)] == requests(source(introduction, "active_power").questions)
    assert (3, 40002, 66) == requests(source(introduction, "serial_number").questions)[0]


def test_a_model_longer_than_an_answer_is_read_between_its_scale_factors():
    """
    Eight MPPTs do not fit into one answer: the factors are read before and after, and every value is right.
    """
    introduction, _ = introduce(plan(), wide())
    asked = requests(source(introduction, "mppt.8.power").questions)
    assert all(count <= 125 for _, _, count in asked)
    assert [(3, 40122, 122), (3, 40248, 44), (3, 40122, 5)] == asked
    values, _ = read(introduction, wide())
    assert [1.0 * n for n in range(1, 9)] == [values[f"mppt.{n}.power"] for n in range(1, 9)]
    assert [10.0 * n for n in range(1, 9)] == [values[f"mppt.{n}.energy"] for n in range(1, 9)]
    assert (8.0, 800.0) == (values["mppt.8.current"], values["mppt.8.voltage"])


def test_a_scale_factor_that_moves_between_two_answers_spoils_its_values_only():
    """
    Where the factor before is not the factor behind, nothing that lies outside their answers has a value.
    """
    device = wide()
    introduction, _ = introduce(plan(), device)
    planned = source(introduction, "mppt.8.power")
    answers = [device.answer(question) for question in planned.questions]
    moved = bytearray(answers[-1].data)
    moved[8:10] = struct.pack(">h", 1)
    values, quality = planned.decode([*answers[:-1], Answer(bytes(moved), 0)])
    names = [point.name for point in planned.source.points]
    assert Quality.BAD == quality[names.index("mppt.8.power")]
    assert values[names.index("mppt.8.voltage")] is not None


@pytest.mark.parametrize("longest", [125, 124, 100, 64, 53, 50, 45, 32, 20, 16, 10, 8])
def test_a_device_that_refuses_long_reads_is_asked_for_less(longest):
    """
    The introduction finds what the device answers; the values are those of one that answers everything.
    """
    plain, whole = wide(), met(wide())
    shy = plain._replace(longest=longest)
    introduction, asked = introduce(plan(), shy)
    assert whole == read(introduction, shy)
    assert len(asked) <= INTRODUCTION_QUESTIONS_MAX
    assert all(count <= longest for planned in introduction.sources for _, _, count in requests(planned.questions))


@pytest.mark.parametrize("longest", [124, 100, 64, 40, 16, 8])
def test_a_meter_that_refuses_long_reads_is_asked_for_less(longest):
    """
    Also where energies stand further from their factor than the device answers.
    """
    values = {
        "TotWhImp": 7654321,
        "TotWhExp": 10,
        "TotWhImpPhA": 5,
        "TotWh_SF": 1,
        "TotVArhImpQ1": 77,
        "TotVArh_SF": 0,
        "W": 5,
        "W_SF": 3,
        "PF": 9000,
        "PF_SF": -2,
    }
    device = image(common(), model(203, values), longest=longest)
    said, _ = met(device, "sunspec.meter")
    assert (76543.21, 0.1, 0.05, 0.077, 5.0, 0.9) == tuple(
        said[point] for point in ("energy.import", "energy.export", "energy.import.a", "energy.reactive_q1", "active_power", "power_factor")
    )


def test_registers_that_are_refused_cost_their_points_only():
    """
    A device whose header promises more than it answers keeps what it answers.
    """
    device = image(common(), [*model(103, {"W": 5000, "W_SF": 1, "A": 10, "A_SF": 0})[:40]])
    values, doubts = met(Image(device.registers[:-2]))
    assert (50.0, 10.0) == (values["active_power"], values["current"])
    assert {Quality.NOT_FITTED} == {doubts["state"], doubts["fault_code"], doubts["state_word.1"]} - {Quality.GOOD}


@pytest.mark.parametrize("length", [0, 1, 13, 14, 37, 50])
def test_a_shorter_model_has_what_fits_into_it(length):
    """
    Nothing behind the device's own length is read, and nothing is shown of it.
    """
    values = {"A": 10, "A_SF": 0, "W": 5000, "W_SF": 1, "St": 4, "TmpCab": 30, "Tmp_SF": 0}
    whole = model(103, values)
    device = image(common(), [103, length, *whole[2 : 2 + length]], model(120))
    introduction, _ = introduce(plan(), device)
    said, doubts = read(introduction, device)
    fits = {"current": length >= 5, "active_power": length >= 14, "temperature.internal": length >= 36, "state": length >= 37}
    assert fits == {point: said[point] is not None for point in fits}
    assert {Quality.NOT_FITTED} == {doubts[point] for point, there in fits.items() if not there} | {Quality.NOT_FITTED}
    assert all(count <= max(2, length + 2) for _, address, count in requests(source(introduction, "state").questions) if address == 40070)


def test_identity_is_that_of_the_thing_s_own_logical_device():
    """
    Serial number, maker, model and firmware; blanks and NULs are none of it.
    """
    device = image(common("INV-1", Mn="Fronius", Md="Gen24", Vr="1.2.3"), model(103), common("MTR-1", Mn="Fronius", Md="  ", Vr=""), model(203))
    assert {"serial_number": "INV-1", "maker": "Fronius", "model": "Gen24", "firmware": "1.2.3"} == introduce(plan(), device)[0].identity
    assert {"serial_number": "MTR-1", "maker": "Fronius"} == introduce(plan("sunspec.meter"), device)[0].identity


def test_a_device_without_marker_is_left_as_planned():
    """
    It is not met: no sources, a word why, and what was planned gives no value.
    """
    introduction, asked = introduce(plan(), Image([1, 2, 3, 4] * 20))
    assert (None, "no SunSpec marker at 40000, 0, 50000") == (introduction.sources, introduction.note)
    assert 6 == len(asked)
    planned = plan().sources[0]
    assert () == planned.questions
    values, quality = planned.decode([])
    assert {None} == set(values)
    assert {Quality.REFUSED} == set(quality.values())


def test_a_silent_device_ends_the_introduction_soon():
    """
    Three questions, and no word about what it has.
    """
    introduction, asked = introduce(plan(), Image([], outside=SILENT))
    assert (None, SILENT.text, 3) == (introduction.sources, introduction.note, len(asked))


def test_a_device_that_is_something_else_is_refused():
    """
    A meter read with the profile of an inverter: every point refused, and the note names what it has.
    """
    device = image(common(), model(203, {"W": 1, "W_SF": 3}))
    introduction, _ = introduce(plan(), device)
    values, doubts = read(introduction, device)
    assert {None} == set(values.values())
    assert {Quality.REFUSED} == set(doubts.values())
    assert "it has no inverter number 1; its models: 1, 203" == introduction.note


def test_layouts_are_those_that_were_planned():
    """
    Whatever the device turns out to be, source ids, groups and points stay.
    """
    planned = plan(period_s={"energy": 60, "energy.2": 120})
    introduction, _ = introduce(planned, wide())
    assert [one.source for one in planned.sources] == [one.source for one in introduction.sources]
    assert list(range(1, 1 + len(planned.sources))) == [one.source.source_id for one in planned.sources]
    assert [("energy", 60_000), ("energy.2", 120_000)] == [(one.source.group, one.source.period_ms) for one in planned.sources if "energy" in one.source.group]


def test_the_load_of_a_line_is_known_before_the_device_is_met(tmp_path):
    """
    A meter at 2400 baud that shall be read each second is too much for its line, and the check says so.
    """

    def findings(period_s):
        path = tmp_path / "config.toml"
        path.write_text(
            'gateway = { operator = "OP", station = "ST", gateway = "GW" }\n'
            'bus = [{ name = "rs", kind = "serial", path = "/dev/edgegw/rs", baudrate = 2400 }]\n'
            f'device = [{{ code = "M", bus = "rs", unit = 1, profile = "sunspec.meter", period_s = {{ electrical = {period_s} }} }}]\n'
        )
        return " ".join(str(finding) for finding in read_config(path).findings)

    assert "E-CFG-LOAD" in findings(1)
    assert "E-CFG-LOAD" not in findings(60)


def test_only_reads_are_asked():
    """
    Functions 3 and 4 and nothing else leave, whatever the device says; the control model is never touched.
    """
    device = image(common(), model(103), model(123), model(120))
    introduction, asked = introduce(plan(), device)
    every = requests([*asked, *(question for planned in introduction.sources for question in planned.questions)])
    controls = 40070 + 52 + 2
    assert {3} == {function for function, _, _ in every}
    assert [] == [address for _, address, _ in every if controls <= address < controls + 24]


def test_over_a_serial_line_each_question_is_an_rtu_frame():
    """
    The same questions with a CRC, and a header to prove that no late answer can come any more.
    """
    serial = Bus(name="rs485", kind="serial", path="/dev/ttyS1")
    planned = plan(bus=serial)
    assert bytes((1, 3, 0x9C, 0x40, 0, 2)) == planned.probe.payload[:6]
    assert (1, 3, 4) == planned.probe.fits
    introduction, _ = introduce(planned, wide())
    (question,) = source(introduction, "active_power").questions
    assert (1, 3, 104) == question.fits
    assert [(1, 3, 4)] == [part.fits for part in question.resync]
    assert 50.0 == read(introduction, wide())[0]["active_power"]


def test_an_inverter_and_its_meter_may_share_a_unit(tmp_path):
    """
    Two SunSpec devices with different profiles on one unit are right; two of one profile are not.
    """

    def twice(*profiles):
        devices = ", ".join(f'{{ code = "D{number}", bus = "lan", unit = 1, profile = "{name}" }}' for number, name in enumerate(profiles))
        path = tmp_path / "config.toml"
        path.write_text(
            'gateway = { operator = "OP", station = "ST", gateway = "GW" }\n'
            f'bus = [{{ name = "lan", kind = "tcp", host = "192.0.2.1" }}]\ndevice = [{devices}]\n'
        )
        return any("E-CFG-UNIT-DUP" in str(finding) for finding in read_config(path).findings)

    assert [False, True, False] == [
        twice("sunspec.inverter", "sunspec.meter"),
        twice("sunspec.meter", "sunspec.meter"),
        twice("sunspec.meter", "sunspec.meter2"),
    ]


HEAD = '[profile]\nname = "x"\nmaker = "x"\ntitle = "x"\ntitle_zh = "x"\nclass = "inverter"\nprotocol = "sunspec"\nmodels = [103]\nsource = "x"\n[group.g]\nperiod_s = 1\n'


@pytest.mark.parametrize(
    ("row", "mistake"),
    [
        ('point = "active_power", models = [103], field = "Watt"', 'model 103 has no field "Watt"'),
        ('point = "active_power", models = [7], field = "W"', 'model 7 has no field "W"'),
        ('point = "active_power", models = [103], field = "PhVphA"', "V does not become kW"),
        ('point = "active_power", models = [103], field = "W", scale = 0', "scale is 0"),
        ('point = "active_power", models = [103], field = "W", scale = "x"', "is not a number"),
        ('point = "faults", models = [103], field = "Evt1"', "needs a string, a map or faults"),
        ('point = "state", models = [103], field = "St", map = { 1 = "off" }', "no other point has them"),
        ('point = "mppt.{n}.power", models = [160], field = "DCW", modules = 0', "modules needs {n}"),
        ('point = "mppt.1.power", models = [160], field = "DCW"', 'model 160 has no field "DCW"'),
    ],
)
def test_mistakes_of_a_profile_are_told(row, mistake):
    """
    A row that cannot be read is refused with the point and the reason.
    """
    with pytest.raises(EdgegwError) as fault:
        parse_profile(f"{HEAD}[[point]]\n" + 'group = "g"\n' + row.replace(", ", "\n", row.count(", ")).replace('off" }', 'off" }'), "x.toml")
    assert mistake in str(fault.value)


def test_a_choice_of_points_keeps_the_thing():
    """
    Who wants the inputs alone gets those of the inverter, not those of whatever has such a model.
    """
    device = image(common(), model(160, POWERS, modules=[{"DCW": 7000}]), common(), model(103, {"St": 4}), model(160, POWERS, modules=[{"DCW": 9000}]))
    settings_ = Device(code="PV-01", bus="lan", unit=1, profile="sunspec.inverter", points=["mppt.1.power"])
    planned = plan_device(settings_, load_profile("sunspec.inverter"), line_facts(BUS), 1)
    assert {"mppt.1.power": 9.0} == read(introduce(planned, device)[0], device)[0]


fields = st.lists(st.tuples(st.integers(1, 4), st.booleans()), min_size=1, max_size=40)


@settings(max_examples=300, deadline=None)
@given(sizes=fields, factor_at=st.integers(0, 40), limit=st.integers(5, 125))
def test_no_value_is_parted_and_each_has_its_factor(sizes, factor_at, limit):
    """
    For any layout and limit: ranges are short enough, each value is whole in one answer, its factor in the same one or before and behind it.
    """
    wanted, at = [], 2
    scale = Field("SF", 2 + factor_at, "sunssf", 1, "", "")
    for number, (registers, scaled) in enumerate(sizes):
        at += at == scale.at or (at < scale.at < at + registers) * (scale.at - at + 1)
        wanted.append(
            Wanted(Field(f"F{number}", at, {1: "int16", 2: "int32", 3: "string", 4: "int64"}[registers], registers, "", ""), scale if scaled else None)
        )
        at += registers
    ranges = cover(wanted, limit)
    assert all(0 < count <= limit for _, count in ranges)
    assert 0 == ranges[0][0]
    for one in wanted:
        spot = locate(one, ranges)
        assert 2 * one.field.registers == sum(part.end - part.first for part in spot.value)
        if one.scale is None or one.field.type == "string":
            continue
        (value,) = spot.value
        answers = [part.answer for part in spot.scale]
        assert [value.answer] == answers or answers[0] < value.answer < answers[-1]


def test_the_reference_is_whole():
    """
    Offsets of the models are without gaps, so that none was forgotten or miscounted.
    """
    for model_id in (1, 103, 113, 120, 121, 122, 123, 124, 160, 203, 213):
        found = find_model(model_id)
        taken = sorted((field.at, field.end) for field in found.fields.values())
        assert 2 == taken[0][0]
        assert [end for _, end in taken[:-1]] == [first for first, _ in taken[1:]]
        assert found.length + 2 - taken[-1][1] in (0, 1)
