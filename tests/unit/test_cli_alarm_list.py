"""`edgegw alarms` on 80 columns: what an alarm is about and what is marked on it are both readable, in both languages."""

from __future__ import annotations

from typing import Any

import pytest

from edgegw.cli import alarm_screens as screens
from edgegw.cli.cells import cells, folded

LONG = {
    "text": "none of the 12 devices of bus rs485-cabinet-b answers; not watched: smoke detector, water under the transformer, emergency stop of the roof",
    "text_zh": "总线 rs485-cabinet-b 上 12 台设备全部无应答；失去监视：烟感探测器、变压器下方水浸、车棚顶部急停按钮、配电室入侵探测器、总断路器、防雷器",
}
MARKED = {"state": "returned", "latched": True, "acknowledged": True, "chattering": True, "first_out": True, "visibility": "shelved", "overdue": "arrive"}


def alarm(number: int = 1042, **more: Any) -> dict[str, Any]:
    plain = {"number": number, "state": "active", "latched": False, "acknowledged": False, "acknowledged_by": "wang.xiaoming", "visibility": "shown"}
    text = {"text": "Phase voltage a 241.2 V is above 235.4 V", "text_zh": "相电压 a 241.2 V 高于 235.4 V", "point": "phase_voltage.a", "contact": ""}
    where = {"device": "M-IN", "place": "配电柜", "level": "critical", "level_zh": "重大", "for_s": 1_051_200.0, "below": None}
    return {**plain, **text, **where, **more}


def shown(monkeypatch, language: str, *alarms: dict[str, Any]) -> list[str]:
    monkeypatch.setattr(screens, "screen_width", lambda: 80)
    return list(screens.list_screen(list(alarms), {"alarms": alarms, "service_state": [], "out_of_service": []}, language, 10))


def joined(lines: list[str]) -> str:
    """What stands on several lines as one, without the blanks at the breaks."""
    return "".join("".join(lines).split())


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(
    "where", [{}, {"place": "地下二层东侧充电区域配电室一号柜"}, {"device": "METER-OF-THE-WESTERN-PARKING-DECK", "place": "地下二层东侧充电区域"}]
)
def test_text_and_marks_of_an_alarm_are_readable_on_80_columns(monkeypatch, language, where):
    """The value, the limit and all six marks are there, whatever the place is called, and no line is wider."""
    lines = shown(monkeypatch, language, alarm(**MARKED, **where))
    marks = [*screens.marks_of(alarm(**MARKED), language)]
    assert 6 == len(marks)
    assert {"en": "OVERDUE: arrive", "zh": "已逾期：到达"}[language] == marks[0]
    assert all(joined([part]) in joined(lines) for part in (screens.text_of(alarm(), language), *marks))
    assert 80 >= max(map(cells, lines))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_beginning_of_a_long_text_stands_in_three_lines(monkeypatch, language):
    """What is cut is its end, and two dots say so."""
    lines = shown(monkeypatch, language, alarm(device="", place="", **LONG))
    assert 5 == len(lines)
    beginning = {"en": "none of the 12 devices of bus rs485-cabinet-b answers", "zh": "总线 rs485-cabinet-b 上 12 台设备全部无应答"}[language]
    assert joined([beginning]) in joined([line.removeprefix("#1042") for line in lines])
    assert lines[3].endswith("..")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_one_alarm_says_the_whole_of_a_long_text_on_80_columns(monkeypatch, language):
    """What the list has cut stands on its own screen, broken and not cut."""
    monkeypatch.setattr(screens, "screen_width", lambda: 80)
    times = {"began_at_ms": 0, "raised_at_ms": 0, "cleared_at_ms": None, "value": None, "limit": None, "unit": "", "deadlines": [], "rule": "bus offline"}
    whole = alarm(device="com4", place="", overdue="", **times, **LONG)
    lines = list(screens.show_screen(whole, language))
    assert 80 >= max(map(cells, lines))
    assert joined([LONG["text_zh" if language == "zh" else "text"]]) in joined(lines)


def test_an_alarm_without_marks_takes_one_line(monkeypatch):
    """Head, alarm, and the next step: the list of a storm stays a list."""
    lines = shown(monkeypatch, "en", alarm(text="smoke"))
    assert ["ALARM  LEVEL     FOR     DEVICE  PLACE   WHAT", "#1042  critical  12d04h  M-IN    配电柜  smoke"] == lines[:2]
    assert 3 == len(lines)


def test_a_number_keeps_its_unit_beside_it(monkeypatch):
    """The line is broken before the number, not between it and its unit."""
    lines = shown(monkeypatch, "en", alarm(place="配电柜一号 B"))
    assert any("235.4 V" in line for line in lines)


def test_a_column_that_cannot_yield_enough_puts_the_text_below():
    """Where everything else fills the screen the text has lines of its own."""
    found = folded(["A" * 20, "B", "WHAT"], [["a" * 20, "b" * 8, "the text of it"]], width=30, least=10, lines=3, yielding=1)
    assert [["A" * 20 + "  B", "    WHAT"], ["a" * 20 + "  bbbbbbbb", "    the text of it"]] == found
