"""`edgegw alarms stats`: the key figures of the trade, over the time that is stored, each beside what is good."""

from __future__ import annotations

from typing import Any

import pytest

from edgegw.cli import alarm_stats as screens
from edgegw.cli.alarm_figures import DAY_MS, TARGETS, figures, level_shares
from edgegw.cli.cells import cells

LEVELS = [
    {"name": "critical", "name_zh": "重大", "acknowledge": True},
    {"name": "major", "name_zh": "较严重", "acknowledge": True},
    {"name": "minor", "name_zh": "轻微", "acknowledge": False},
    {"name": "notice", "name_zh": "提示", "acknowledge": False},
]
MINUTE_MS = 60_000
BEGIN_MS = 1_800_000_000_000


def event(number: int, minute: float, edge: str = "raised", level: str = "major", **more: Any) -> dict[str, Any]:
    at_ms = BEGIN_MS + round(minute * MINUTE_MS)
    return {"id": f"e-{number}", "number": number, "edge": edge, "at_ms": at_ms, "level": level, "rule": "hot", "device": f"TH-{number}", **more}


def judged(events: list[dict[str, Any]], days: float = 2, open_alarms: Any = ()) -> dict[str, Any]:
    return figures(events, LEVELS, open_alarms, from_ms=BEGIN_MS, to_ms=BEGIN_MS + round(days * DAY_MS))


@pytest.mark.parametrize(("days", "a_day", "in_ten_minutes"), [(2, 3.0, 0.02), (0.5, None, 0.08), (0.002, None, None)])
def test_rates_are_of_the_time_that_is_stored(days, a_day, in_ten_minutes):
    """Six alarms in two stored days are three a day; of less than a day nobody can say how many a day are."""
    found = judged([event(number, 1 + number / 10) for number in range(6)], days)
    assert (a_day, in_ten_minutes) == (found["raised_a_day"], found["raised_in_10_min"])


def test_alarms_below_another_are_nobody_s_load():
    """One root and forty children are one alarm."""
    found = judged([event(1, 0), *(event(number, 1, suppressed_by="e-1") for number in range(2, 42))])
    assert (1, 1, 0.0) == (found["raised"], found["raised_in_10_min_max"], found["flood_minutes"])


def test_only_levels_that_want_it_count_as_unacknowledged():
    """Of a major alarm acknowledged after ten minutes, one never, and a minor one: one of two, after ten minutes."""
    events = [
        event(1, 0),
        event(2, 1),
        event(3, 2, level="minor"),
        event(1, 10, "acknowledged"),
        event(3, 2.5, "acknowledged", level="minor"),
    ]
    found = judged(events)
    assert (2, 1, 600.0) == (found["acknowledge_wanted"], found["acknowledged"], found["acknowledged_after_s"])


def test_the_first_word_counts_and_what_was_promised():
    """What the cloud said before it was heard counts from when it was said; later than the first promise is late; one that became worse wants a word too."""
    due = {"due": {"depart": BEGIN_MS + 5 * MINUTE_MS, "arrive": BEGIN_MS + 60 * MINUTE_MS}}
    events = [
        event(1, 0, **due),
        event(1, 20, "acknowledged", said_at_ms=BEGIN_MS + 4 * MINUTE_MS),
        event(1, 30, "acknowledged"),
        event(2, 0, level="minor", **due),
        event(2, 1, "level", level="critical"),
        event(2, 6, "acknowledged", level="critical"),
    ]
    found = judged(events)
    assert (2, 300.0, 1) == (found["acknowledged"], found["acknowledged_after_s"], found["acknowledged_late"])


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [
        ([number / 2 for number in range(10)], 0.0),
        # The eleventh at 5.0; five are left when the sixth from the end (2.5) is ten minutes old.
        ([number / 2 for number in range(11)], 7.5),
        # Over the border of two ten-minute spans of the clock.
        ([8 + number / 5 for number in range(11)], 9.0),
        # One that comes after its end begins none.
        ([*(number / 2 for number in range(11)), 13], 7.5),
        ([*(number / 2 for number in range(11)), *(100 + number / 2 for number in range(11))], 15.0),
    ],
)
def test_a_flood_lasts_from_one_too_many_until_few_are_left(minutes, expected):
    """From the eleventh raise within ten minutes until no more than five lie in the last ten."""
    assert expected == judged([event(number, minute) for number, minute in enumerate(minutes)])["flood_minutes"]


def test_what_stands_for_more_than_a_day_is_counted_also_when_it_is_older_than_the_look():
    """One that lasted 25 h, one that is open since before the first stored event, and neither one that is hidden nor one of an hour."""
    events = [event(1, 0), event(1, 25 * 60, "cleared"), event(2, 0), event(2, 60, "cleared")]
    older = {"alarm_id": "e-9", "rule": "hot", "device": "TH-9", "state": "active", "visibility": "shown", "raised_at_ms": BEGIN_MS - DAY_MS}
    found = judged(events, open_alarms=[older, {**older, "alarm_id": "e-8", "visibility": "suppressed"}])
    assert (2, ["hot TH-1", "hot TH-9"]) == (found["standing"], found["standing_names"])


def test_bad_actors_are_named():
    """Three raises within a minute chatter; the ten most frequent have their share of all."""
    often = [event(number, number / 4, device="TH-A") for number in range(3)]
    found = judged([*often, *(event(number, number * 20) for number in range(10, 27))])
    assert (["hot TH-A"], {"name": "hot TH-A", "count": 3}, 60.0) == (found["chattering"], found["top"][0], found["top_percent"])


def test_an_alarm_counts_at_the_most_severe_level_that_it_had():
    """One that rose from minor to critical and fell back, one that stayed major, one of a level that is gone."""
    events = [event(1, 0, level="minor"), event(1, 1, "level", level="critical"), event(1, 2, "level", level="minor"), event(2, 3), event(3, 4, level="urgent")]
    assert {"critical": 2, "major": 1, "minor": 0, "notice": 0} == judged(events)["levels"]


def test_the_share_of_the_levels_is_one_of_three():
    """The most severe, the next, and all others together; a station with two levels has two."""
    assert [(["critical"], 1, 10.0), (["major"], 2, 20.0), (["minor", "notice"], 7, 70.0)] == level_shares({"critical": 1, "major": 2, "minor": 3, "notice": 4})
    assert [(["a"], 0, 0.0), (["b"], 0, 0.0)] == level_shares({"a": 0, "b": 0})


@pytest.mark.parametrize("language", ["en", "zh"])
def test_each_figure_stands_beside_what_is_good(monkeypatch, language):
    """On 80 columns; every target of the trade is on the screen."""
    monkeypatch.setattr(screens, "screen_width", lambda: 80)
    events = [*(event(number, number / 10) for number in range(1000)), *(event(number, 200.5 + number / 10, "acknowledged") for number in range(900))]
    found = {"span_s": 7 * 86_400, "stored_s": 2 * 86_400.0, "whole": False, **judged(events)}
    levels = {level["name"]: {"level": level["name"], "level_zh": level["name_zh"]} for level in LEVELS}
    lines = list(screens._stats_screen(found, levels, language))
    assert 80 >= max(map(cells, lines))
    figures_of = "\n".join(lines)
    assert ".." not in figures_of
    assert all(f"{target:g}" in figures_of for target in (*TARGETS.values(), 5, 15, 80) if target)
    assert {"en": "7d00h, of which 2d00h are stored", "zh": "7天0小时，其中已存储 2天0小时"}[language] in lines[0]


@pytest.mark.parametrize(
    ("expected", "more"),
    [
        ("li: on my way; smoke", {"by": "li", "note": "on my way"}),
        ("li; smoke", {"by": "li", "note": ""}),
        ("device removed; smoke", {"reason": "device removed"}),
        ("smoke", {}),
    ],
)
def test_the_past_says_who_and_why_before_what(expected, more):
    """A word of a person, or the reason why an alarm ended that no value ended."""
    assert expected == screens._what({"text": "smoke", **more}, "en")


def test_the_past_fits_80_columns(monkeypatch):
    """A long reason goes on below itself."""
    monkeypatch.setattr(screens, "screen_width", lambda: 80)
    events = [event(1, 0, "acknowledged", level_zh="较严重", by="wang.xiaoming", note="现场检查后发现接头松动，已断开回路等待备件到货" * 2, text="hot")]
    lines = list(screens.history_screen({"events": events, "whole": True}, "zh"))
    assert 80 >= max(map(cells, lines))
    assert "wang.xiaoming：现场检查" in "".join(line.strip() for line in lines)
