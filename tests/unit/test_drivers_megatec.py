"""A UPS as the bus sees it: what is asked, what the answers become, how it introduces itself, and what never leaves the gateway."""

from __future__ import annotations

import re

import pytest
from megatec_rig import EXCHANGES

from edgegw.config.model import Bus, Device
from edgegw.drivers.catalogue import available, load_profile, parse_profile
from edgegw.drivers.megatec_codec import DIALECTS, request
from edgegw.drivers.megatec_profile import MegatecProfile
from edgegw.drivers.permit import may_leave
from edgegw.drivers.plan import line_facts
from edgegw.drivers.planning import plan_device
from edgegw.errors import EdgegwError
from edgegw.model import Answer, Fault, Quality

PROFILES = [name for name in available() if isinstance(load_profile(name), MegatecProfile)]
BUS = Bus(name="u", kind="serial", path="/dev/null", baudrate=2400)
HEAD = """[profile]
name = "test"
maker = "test"
title = "test"
title_zh = "test"
class = "ups"
protocol = "megatec"
source = "test"
{head}
[group.g]
period_s = 2
[[point]]
point = "{point}"
group = "g"
command = "{command}"
"""


def plan_of(profile, **period_s):
    return plan_device(Device(code="UPS-1", bus="u", profile="x", period_s=period_s), profile, line_facts(BUS), 1)


def profile_of(head='dialect = "megatec"', point="ups.load", command="Q1"):
    return parse_profile(HEAD.format(head=head, point=point, command=command), "test.toml")


def read(planned, reply):
    values, quality = planned.decode([Answer(reply.encode("latin-1"), 0)])
    return {point.name: (value, quality.get(n, Quality.GOOD)) for n, (point, value) in enumerate(zip(planned.source.points, values, strict=True))}


def introduce(plan, replies):
    """Runs the introduction: command to its reply, or the fault that comes instead."""
    generator = plan.introduce()
    asked = []
    try:
        question = next(generator)
        while True:
            asked.append(question.payload.rstrip(b"\r").decode("latin-1"))
            heard = replies[asked[-1]]
            question = generator.send(heard if isinstance(heard, Fault) else Answer(heard.encode(), 0))
    except StopIteration as end:
        return asked, end.value


@pytest.mark.parametrize("name", PROFILES)
def test_each_profile_asks_one_question_a_source_and_all_may_leave(name):
    """What it asks, at start and while polling, is on the list of queries; the sources of a group have the group's name."""
    profile = load_profile(name)
    plan = plan_of(profile)
    questions = [question for planned in plan.sources for question in planned.questions]
    assert len(plan.sources) == len(questions) == len({(row.group, row.command) for row in profile.point})
    assert all(may_leave(question.protocol, question.payload) for question in (*questions, plan.probe))
    assert {"megatec"} == {question.protocol for question in questions}
    assert set(profile.group) == {re.sub(r"\.\d+$", "", planned.source.group) for planned in plan.sources}


@pytest.mark.parametrize("name", [name for name in PROFILES if not load_profile(name).profile.unproven])
def test_a_profile_that_calls_itself_proven_has_exchanges(name):
    """For each command that it polls there is a public exchange under tests/golden/megatec."""
    profile = load_profile(name)
    known = {(one.dialect, one.command) for one in EXCHANGES}
    assert set() == {(profile.profile.dialect, row.command) for row in profile.point} - known


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "command", ["S01", "S.2R0003", "S01R0000", "C", "T", "T10", "TL", "CT", "Q", "SON", "SOFF", "CS", "PEA", "BZON", "SKON1", "QBV\rS01", "BATN2"]
)
def test_nothing_that_changes_a_ups_leaves_the_gateway(dialect, command):
    """Shutdown, test, beeper and settings are refused at the port, with the check of an inverter-charger or without."""
    assert not may_leave("megatec", request(dialect, command))
    assert may_leave("megatec", request(dialect, "Q1"))


def test_volts_per_cell_become_volts_of_the_battery_once_the_rating_is_known():
    """Before the introduction there is the cell alone, after it the string, and the charge as an estimate."""
    plan = plan_of(load_profile("megatec.q1"))
    reply = "(228.5 228.5 219.5 030 50.0 2.23 42.1 00000001"
    before = read(plan.sources[0], reply)
    assert [(223, Quality.GOOD), (None, Quality.NOT_FITTED), (None, Quality.NOT_FITTED)] == [
        before[name] for name in ("battery.voltage.cell", "battery.voltage", "battery.charge")
    ]
    asked, introduction = introduce(plan, {"F": "#220.0 013 048.0 50.0", "I": "#SYNDOME         HE-RT-2K   V1.00     "})
    after = read(introduction.sources[0], reply)
    assert (["F", "I"], {"maker": "SYNDOME", "model": "HE-RT-2K", "firmware": "V1.00"}) == (asked, introduction.identity)
    assert [(5352, Quality.GOOD), (100, Quality.ESTIMATED)] == [after[name] for name in ("battery.voltage", "battery.charge")]
    assert [one.source for one in plan.sources] == [one.source for one in introduction.sources]


def test_volts_of_the_battery_need_no_rating():
    """A stand-by UPS sends them as they are, and has no volts per cell."""
    values = read(plan_of(load_profile("megatec.q1")).sources[0], "(226.0 195.0 226.0 014 49.0 27.5 30.0 00001000")
    assert [(2750, Quality.GOOD), (None, Quality.NOT_FITTED)] == [values[name] for name in ("battery.voltage", "battery.voltage.cell")]
    assert ("OL", Quality.GOOD) == values["ups.status"]


def test_an_introduction_goes_on_behind_a_refusal():
    """What the UPS does not know is told; a serial number of zeros is none."""
    plan = plan_of(load_profile("voltronic.qgs"))
    refusal = Fault("exception", "exception 1", 1)
    _, introduction = introduce(plan, {"QPI": "(PI08", "QMD": refusal, "QID": "(00000000000000", "QVFW": "(VERFW:00322.02"})
    assert ({"protocol": "PI08", "firmware": "00322.02"}, "it does not know QMD") == (introduction.identity, introduction.note)
    regulated = "(230.0 50.0 230.0 50.0 000.0 000 369.1 ---.- 026.5 ---.- 018.8 010010000001"
    assert ("OL", "OL BYPASS") == (read(introduction.sources[0], regulated)["ups.status"][0], read(plan.sources[0], regulated)["ups.status"][0])


def test_bits_without_meaning_are_masked():
    """Omron holds the bypass bit at 1 in normal operation."""
    reply = "(102.5 000.0 102.4 000 49.9 54.5 22.7 00101000"
    statuses = [read(plan_of(load_profile(name)).sources[0], reply)["ups.status"][0] for name in ("omron.q1", "megatec.q1-only")]
    assert ["OL", "OL BYPASS"] == statuses


def test_what_cannot_be_is_bad():
    """Beyond the dictionary's range, or dashes: no value; the others stay good."""
    values = read(plan_of(load_profile("voltronic.qgs")).sources[3], "(026.5 02 01 255 ---")
    assert [(None, Quality.BAD)] * 2 == [values["battery.charge"], values["battery.runtime"]]
    assert (265, Quality.GOOD) == values["battery.voltage"]


def test_a_rated_voltage_may_stand_in_the_profile():
    """For a UPS that must be asked nothing but Q1."""
    profile = profile_of('dialect = "megatec"\nbattery_nominal_v = 24', "battery.charge", 'Q1"\nfield = "battery.charge.estimated')
    planned = plan_of(profile).sources[0]
    assert (37, Quality.ESTIMATED) == read(planned, "(215.0 195.0 230.0 014 49.0 22.7 30.0 00000000")["battery.charge"]


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"command": "S01"}, "not on the list of queries"),
        ({"command": "Bl ?", "point": "battery.charge"}, "not on the list of queries"),
        ({"point": "battery.charge"}, "no field"),
        ({"head": 'dialect = "megatec"\nintroduce = ["T"]'}, "not on the list of queries"),
        ({"head": 'dialect = "modbus"'}, "dialect"),
        ({"head": 'dialect = "megatec"\nbattery_nominal_v = "much"'}, "not a number"),
        ({"head": 'dialect = "megatec"\nignore_status_bits = [8]'}, "ignore_status_bits"),
        ({"point": "ups.lode"}, "not in the dictionary"),
    ],
)
def test_a_mistake_in_a_profile_is_told(wrong, text):
    """With the file, and what to write instead."""
    with pytest.raises(EdgegwError, match=text) as fault:
        profile_of(**wrong)
    assert "test.toml" in str(fault.value)


def test_a_poll_group_that_does_not_exist_is_told():
    """And the near one is named."""
    with pytest.raises(EdgegwError, match="did you mean") as fault:
        plan_of(load_profile("megatec.q1"), statos=5)
    assert "E-PLAN-GROUP" == fault.value.message_id


def test_questions_that_a_late_answer_could_fit_have_one_key():
    """All of one UPS share the unit 0; the shape of the reply is the rest of the key."""
    plan = plan_of(load_profile("megatec.q6"))
    keys = [planned.questions[0].fits for planned in plan.sources]
    assert (len(keys), {0}) == (len(set(keys)), {key[0] for key in keys})
    assert all(question.resync for planned in plan.sources for question in planned.questions)
