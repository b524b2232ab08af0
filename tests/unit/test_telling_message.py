"""What a notice says, whole: each golden file is one notice in its three forms, as a person at the station reads it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from telling_rig import WALL_MS, episode

from edgegw.config.model import Bus, Config, Contact, Device, Gateway, Rule
from edgegw.model import ClockTrust
from edgegw.rules.notifiers.message import SHORT_CHARACTERS, SHORT_CHARACTERS_MAX, Circumstances, Writer, duration, plain
from edgegw.rules.notifiers.pdu import submits
from edgegw.rules.notifiers.steps import Advices, advices
from edgegw.rules.shipped import with_shipped
from edgegw.rules.told import Told, Why

GOLDEN = Path(__file__).parents[1] / "golden" / "telling"
CONFIG = Config(
    gateway=Gateway(operator="WHPARK", station="GG2", gateway="GW-4201-0007", name="光谷二号充电站"),
    bus=[Bus(name="rs485a", kind="serial", path="/dev/x")],
    device=[
        Device(code="M-01", bus="rs485a", unit=1, profile="p", name="进线总表", location="配电间"),
        Device(code="AC-07", bus="rs485a", unit=7, profile="p", name="7 号交流桩", location="B 区 7 号车位"),
        Device(code="DI-01", bus="rs485a", unit=2, profile="p", location="配电间", input={"4": Contact(role="smoke", name="烟感 2")}),
    ],
)
RULES = with_shipped([], shipped=True)
OFFLINE = episode(1042, "major", "AC-07", value=20.0, unit="s")
VOLTAGE = episode(
    1043,
    "minor",
    "M-01",
    rule="phase-voltage-high",
    point="phase_voltage.a",
    unit="V",
    value=241.2,
    limit=235.4,
    text="Phase voltage A 241.2 V is above 235.4 V",
    text_zh="A 相电压 241.2 V 高于 235.4 V",
)
SMOKE = episode(
    1044, "critical", "DI-01", rule="smoke", point="input.4", unit="1", value=1.0, limit=1.0, text="smoke", text_zh="烟感告警", safety=True, latched=True
)
MAINS = episode(1045, "critical", "DI-01", rule="mains-lost", point="input.1", text="mains lost", text_zh="市电中断")
OWN = episode(1046, "major", "M-01", rule="night load", point="active_power", unit="kW", value=12.5, limit=5.0, text="too much load at night", text_zh="")
UNSET = msgspec.structs.replace(
    episode(
        1047,
        "critical",
        None,
        bus="rs485a",
        rule="bus offline",
        text="none of the 12 devices of bus rs485a answers",
        text_zh="总线 rs485a 上 12 台设备全部无应答",
    ),
    began_clock=ClockTrust.UNSET,
)
SEEN = msgspec.structs.replace(OFFLINE, acknowledged=True, acknowledged_by="li", acknowledged_at_ms=WALL_MS + 60_000)
OVER = msgspec.structs.replace(VOLTAGE, cleared_at_ms=WALL_MS + 720_000)


def _told(one, why=Why.RAISED, **more):
    return Told(why, WALL_MS + 720_000, one, **more)


CASES = {
    "offline": (_told(OFFLINE), Circumstances()),
    "voltage": (_told(VOLTAGE), Circumstances()),
    "smoke": (_told(SMOKE), Circumstances()),
    "mains_with_children": (_told(MAINS, children=214, first_out=True), Circumstances()),
    "own_rule": (_told(OWN, chattering=True), Circumstances()),
    "bus_without_clock": (_told(UNSET, children=12), Circumstances()),
    "ended": (_told(VOLTAGE, Why.CLEARED), Circumstances()),
    "ended_while_waiting": (_told(VOLTAGE), Circumstances(ended_at_ms=WALL_MS + 720_000)),
    "report": (_told(SMOKE, Why.REPORT), Circumstances(ended_at_ms=WALL_MS + 30_000)),
    "escalated": (_told(OFFLINE), Circumstances(escalated_after_min=15)),
    "seen_and_worse": (_told(SEEN, Why.LEVEL), Circumstances()),
    "summary": (_told(OFFLINE, Why.SUMMARY, others=(OFFLINE, OVER), count=37), Circumstances()),
}


pytestmark = pytest.mark.usefixtures("shanghai")


def whole(name: str, language: str) -> str:
    told, circumstances = CASES[name]
    message = Writer(CONFIG, RULES).message(told, language, circumstances)
    return f"{message.subject}\n\n{message.text}\n\n{message.short}\n"


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("name", sorted(CASES))
def test_a_notice_says_what_a_work_order_needs(name, language):
    """
    Subject, text and short form are those of the golden file.
    """
    assert (GOLDEN / f"{name}.{language}.txt").read_text(encoding="utf-8") == whole(name, language)


def test_no_golden_file_is_of_nothing():
    """
    Every file of the folder belongs to a case.
    """
    assert {f"{name}.{language}.txt" for name in CASES for language in ("en", "zh")} == {path.name for path in GOLDEN.iterdir()}


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_short_form_fits_its_messages(name):
    """
    One SMS where the alarm is not severe and Chinese, two at most; never a line break.
    """
    told, circumstances = CASES[name]
    for language in ("en", "zh"):
        short = Writer(CONFIG, RULES).message(told, language, circumstances).short
        severe = told.episode.facts.level in ("critical", "major") or short.isascii()
        assert len(short) <= (SHORT_CHARACTERS_MAX if severe else SHORT_CHARACTERS)
        assert "\n" not in short


@given(st.text(max_size=300), st.sampled_from(["critical", "minor"]), st.sampled_from(["en", "zh"]))
def test_no_text_breaks_the_form(text, level, language):
    """
    Whatever an administrator writes, subject and short form are one line within their bounds, and the number stands in both.
    """
    message = Writer(CONFIG, RULES).message(_told(episode(1042, level, "AC-07", text=text, text_zh=text)), language)
    assert len(message.short.encode("utf-16-le")) // 2 <= SHORT_CHARACTERS_MAX
    assert "#1042" in message.short
    assert message.subject.isprintable()
    assert message.short.isprintable()
    assert message.short == " ".join(message.short.split())
    assert [] == [line for line in message.text.split("\n") if line and not line.isprintable()]
    assert message.text.count("\n") == Writer(CONFIG, RULES).message(_told(episode(1042, level, "AC-07", text="a", text_zh="b")), language).text.count("\n")


def test_names_forge_no_row_of_a_notice():
    """
    A line break in the name of a station, a device or a place begins no line, and a sign that turns the direction is not passed on.
    """
    evil = "park\r\nLevel: notice\u2028\u202eX-Header: 1\x1b[2J"
    config = Config(
        gateway=Gateway(operator="WHPARK", station="GG2", gateway="GW", name=evil),
        device=[Device(code="AC-07", bus="rs485a", unit=7, profile="p", name=evil, location=evil)],
    )
    message = Writer(config, RULES).message(_told(OFFLINE), "en")
    plain_rows = [line.partition(":")[0] for line in Writer(CONFIG, RULES).message(_told(OFFLINE), "en").text.split("\n")]
    assert plain_rows == [line.partition(":")[0] for line in message.text.split("\n")]
    assert all(line.isprintable() for line in (message.subject, message.short, *message.text.split("\n")) if line)


def test_emoji_and_rare_characters_count_as_they_cost():
    """
    A place full of signs that take two units each does not make three messages of two.
    """
    config = Config(
        gateway=Gateway(operator="o", station="GG2", gateway="g"), device=[Device(code="AC-07", bus="b", unit=7, profile="p", location="🔥𠮷" * 40)]
    )
    told = _told(episode(1042, "critical", "AC-07", text="无应答" * 20, text_zh="🔥𠮷" * 60))
    parts = {language: submits(Writer(config, RULES).message(told, language).short, "+8613800138000", 1, 6) for language in ("en", "zh")}
    assert {"en": 2, "zh": 2} == {language: len(found) for language, found in parts.items()}


@pytest.mark.parametrize(("value", "text", "shown"), [(2.002, "no answer for 2 s", False), (20.0, "no answer for 20 s", False), (7.5, "no answer", True)])
def test_a_value_that_the_text_says_already_is_not_said_twice(value, text, shown):
    """
    Also where the text has rounded it: an SMS has room for 70 characters.
    """
    short = Writer(CONFIG, RULES).message(_told(episode(1042, "major", "AC-07", value=value, unit="s", text=text)), "en").short
    assert shown == (f"{value:.12g} s" in short.replace(text, ""))


def test_what_cannot_be_written_is_told_in_one_line():
    """
    Level, device, text, why and number, which need nothing but the alarm.
    """
    message = plain(_told(OFFLINE, Why.LEVEL), "zh")
    assert "[major] AC-07: 20 秒无应答 - level #1042" == message.subject == message.text == message.short


def test_a_test_says_that_it_is_one():
    """
    In both languages, with the station and the channel, in one SMS.
    """
    for language, word in (("en", "TEST"), ("zh", "测试")):
        message = Writer(CONFIG, RULES).test("sms", WALL_MS, language)
        assert all(word in form for form in (message.subject, message.short))
        assert all("GG2" in form and "sms" in form for form in message)
        assert len(message.short) <= SHORT_CHARACTERS


def test_every_shipped_rule_has_a_first_step():
    """
    What edgegw raises by itself says what to do first, in both languages and short enough for an SMS.
    """
    own = {rule.name for rule in RULES} | {"device offline", "bus offline", "wrong device", "store failing", "store damaged"}
    known = advices()
    assert set() == own - known.keys()
    assert [] == [name for name, advice in known.items() if not (advice.step and advice.step_zh) or bool(advice.cause) != bool(advice.cause_zh)]
    assert [] == [name for name, advice in known.items() if len(advice.step) > 60 or len(advice.step_zh) > 32]


def test_the_words_of_the_stations_own_rule_go_before_ours():
    """
    Also in the other language, where it has one alone; a rule without words has those of its condition.
    """
    own = Rule(name="smoke", condition="equals", point="input.1", limit=1, step="call Mr. Li")
    advice = Advices([own, Rule(name="stuck", condition="frozen", point="temperature", limit=60)])
    assert [("", "call Mr. Li")] * 2 == [advice.of("smoke").words(language) for language in ("en", "zh")]
    assert ("the sensor hangs", "restart or replace the sensor") == advice.of("stuck").words("en")
    assert ("", "") == advice.of("nobody knows it").words("en")


def test_a_duration_is_read_at_a_glance():
    """
    Seconds below two minutes, minutes below an hour.
    """
    assert ["0 s", "119 s", "2 min", "59 min", "1 h 0 min", "26 h 5 min"] == [
        duration(span) for span in (0, 119_999, 120_000, 3_599_000, 3_600_000, 93_900_000)
    ]
