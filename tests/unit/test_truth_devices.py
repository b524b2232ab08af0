"""Which device answers, and whether it sleeps."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from truth_rig import ELECTRICAL, ENERGY, INVERTER, WALL_MS, config, judge, keep, moment, offline, reading, words

from edgegw.model import Quality
from edgegw.truth.identity import Edge, Face, meet
from edgegw.truth.sun import is_night, sun_times

CONFIGURED = config(m_01={"serial_number": "2304-0017", "rated_kw": 7.0})
SHANGHAI = {"latitude": 31.23, "longitude": 121.47}


def say(serial: str = "", model: str = "") -> dict[str, str]:
    return {"serial_number": serial, "model": model, "firmware": "1.2"}


TABLE = {
    "the first word": ("", Face(), say("A1"), (Edge.KNOWN,)),
    "the same again": ("", Face("A1", firmware="1.2"), say("A1"), ()),
    "another without a configured one": ("", Face("A1"), say("B2"), (Edge.REPLACED,)),
    "another model where no number is told": ("", Face(model="X"), say(model="Y"), (Edge.REPLACED,)),
    "the configured one": ("A1", Face(), say("A1"), (Edge.KNOWN,)),
    "the configured one written otherwise": ("00a 1", Face("A1", firmware="1.2"), say("A1"), ()),
    "the wrong one": ("A1", Face("A1"), say("B2"), (Edge.WRONG,)),
    "still the wrong one": ("A1", Face("A1", stranger="B2"), say("B2"), ()),
    "another wrong one": ("A1", Face("A1", stranger="B2"), say("C3"), (Edge.WRONG,)),
    "the right one again": ("A1", Face("A1", stranger="B2"), say("A1"), (Edge.RIGHT,)),
    "the configuration was mended": ("B2", Face("A1", stranger="B2"), say("B2"), (Edge.RIGHT, Edge.REPLACED)),
    "the configuration asks no more": ("", Face("A1", stranger="B2"), say("B2"), (Edge.RIGHT, Edge.REPLACED)),
    "says nothing while wrong": ("A1", Face("A1", stranger="B2"), say(), ()),
    "says nothing": ("A1", Face("A1", firmware="1.2"), say(), ()),
}


@pytest.mark.parametrize("name", TABLE)
def test_what_a_device_says_of_itself_means(name):
    """
    Configured, known and said together decide.
    """
    expected, known, said, edges = TABLE[name]
    face, found = meet(expected, known, said)
    assert edges == found
    assert (Edge.WRONG in edges or (bool(known.stranger) and not found)) == bool(face.stranger)


def test_the_wrong_meter_is_an_alarm_and_its_values_are_suspect():
    """
    From its word on until the right one answers every value is suspect, and its registers are not compared with the right one's.
    """
    truth = judge(CONFIGURED)
    truth.introduced("m-01", say("23040017"), moment(0))
    assert {} == truth.judge(reading(ENERGY, 0, 50_000)).readings[0].quality
    wrong = truth.introduced("m-01", say("9999"), moment(1))
    assert ["identity raised"] == words(wrong.events)
    assert [("wrong device", "m-01", True)] == [report[:3] for report in wrong.reports]
    assert "9999" in wrong.reports[0].text and "9999" in wrong.reports[0].text_zh
    values = [truth.judge(reading(source, 2, value)) for source, value in ((ENERGY, 7), (ELECTRICAL, 5))]
    assert [{0: Quality.SUSPECT}] * 2 == [verdict.readings[0].quality for verdict in values]
    assert [] == [event for verdict in values for event in verdict.events]
    assert {"state": "wrong", "stranger": "9999", "serial_number": "23040017"}.items() <= truth.note("m-01").items()
    right = truth.introduced("m-01", say("23040017"), moment(3))
    assert ["identity cleared"] == words(right.events)
    assert not right.reports[0].raised
    assert {} == truth.judge(reading(ENERGY, 4, 50_001)).readings[0].quality


def test_a_wrong_meter_is_still_wrong_after_a_restart():
    """
    Its alarm is taken up before the first reading, and its values are suspect from the first one on.
    """
    store: dict[str, bytes] = {}
    keep(store, judge(CONFIGURED).introduced("m-01", say("9999"), moment(0)))
    again = judge(CONFIGURED, store)
    assert ["m-01"] == [report.device for report in again.open_alarms().reports]
    assert {0: Quality.SUSPECT} == again.judge(reading(ELECTRICAL, 0, 5)).readings[0].quality
    assert [] == words(again.introduced("m-01", say("9999"), moment(1)).events)


def test_another_meter_without_a_configured_one_begins_anew():
    """
    The replacement is an event; the new meter's low register is no fall.
    """
    truth = judge()
    truth.introduced("m-01", say("A1"), moment(0))
    truth.judge(reading(ENERGY, 0, 50_000))
    replaced = truth.introduced("m-01", say("B2"), moment(10))
    assert ["replaced"] == [event.kind for event in replaced.events]
    assert ("A1", "B2") == (replaced.events[0].body["old_serial_number"], replaced.events[0].body["new_serial_number"])
    verdict = truth.judge(reading(ENERGY, 11, 12))
    assert ({}, ()) == (verdict.readings[0].quality, verdict.events)


def test_what_belongs_to_no_device_any_more_is_forgotten():
    """
    States of devices that were taken out of the configuration go with the next start.
    """
    store = {"truth/identity/gone": b"{}", "truth/counter/m-01/energy": b"nonsense", "rules/number": b"7"}
    assert {"truth/identity/gone": None} == judge(restored=store).open_alarms().states
    assert {} == judge(restored=store).judge(reading(ENERGY, 0, 1)).readings[0].quality


# -- sleep

# Published sunrise and sunset, UTC (timeanddate.com and national almanacs); two minutes are allowed.
ALMANAC = [
    ("2024-06-21", 31.23, 121.47, "2024-06-20 20:50", "2024-06-21 11:01"),
    ("2024-12-21", 31.23, 121.47, "2024-12-20 22:48", "2024-12-21 08:55"),
    ("2024-03-20", 51.48, 0.0, "2024-03-20 06:03", "2024-03-20 18:13"),
    ("2024-12-21", -33.87, 151.21, "2024-12-20 18:41", "2024-12-21 09:05"),
]


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(("day", "latitude", "longitude", "rise", "down"), ALMANAC)
def test_the_sun_rises_and_sets_as_the_almanac_says(day, latitude, longitude, rise, down):
    """
    Two minutes are far less than the half hour of twilight.
    """
    times = sun_times(at(f"{day} 12:00") - round(longitude / 360 * 86_400_000), latitude, longitude)
    assert times is not None
    assert abs(at(rise) - times[0]) <= 120_000
    assert abs(at(down) - times[1]) <= 120_000


def test_where_the_sun_does_not_set_it_is_never_night():
    """
    Nobody excuses silence there.
    """
    assert None is sun_times(at("2024-06-21 12:00"), 69.65, 18.96)
    assert not is_night(at("2024-06-21 00:00"), 69.65, 18.96)


NIGHT_MS, MORNING_MS = at("2024-06-21 15:00"), at("2024-06-21 21:30")


def fall_silent(truth, wall_ms: int, state: int = 1) -> list:
    verdicts = [truth.judge(reading(INVERTER, 0, 0, state, wall_ms=wall_ms))]
    return verdicts + [truth.judge(offline(INVERTER, second, wall_ms)) for second in (1, 2, 3)]


def test_an_inverter_that_falls_silent_at_night_is_asleep():
    """
    Its silence is excused with the third lost poll; the first answer of the morning wakes it.
    """
    truth = judge(config(place=SHANGHAI))
    verdicts = fall_silent(truth, NIGHT_MS)
    assert ["asleep raised"] == words([event for verdict in verdicts for event in verdict.events])
    assert {"pv-01": True} == verdicts[3].excused
    assert abs(at("2024-06-21 20:51") - verdicts[3].events[0].body["sunrise_ms"]) < 120_000
    assert {0: Quality.OFFLINE, 1: Quality.OFFLINE} == verdicts[3].readings[0].quality
    assert "asleep" == truth.note("pv-01")["state"]
    awake = truth.judge(reading(INVERTER, 9, 0, 1, wall_ms=MORNING_MS))
    assert ["asleep cleared"] == words(awake.events)
    assert {"pv-01": False} == awake.excused


def test_an_inverter_that_stays_silent_in_the_morning_is_excused_no_more():
    """
    Half an hour after sunrise its silence counts.
    """
    truth = judge(config(place=SHANGHAI))
    fall_silent(truth, NIGHT_MS)
    assert {} == truth.tick(moment(4, NIGHT_MS)).excused
    over = truth.tick(moment(4, MORNING_MS))
    assert {"pv-01": False} == over.excused
    assert ["asleep cleared"] == words(over.events)


@pytest.mark.parametrize(("place", "wall_ms"), [({}, NIGHT_MS), (SHANGHAI, at("2024-06-21 04:00"))])
def test_silence_by_day_or_at_an_unknown_place_is_no_sleep(place, wall_ms):
    """
    Without a place nobody knows when it is night.
    """
    verdicts = fall_silent(judge(config(place=place)), wall_ms)
    assert [] == [event for verdict in verdicts for event in verdict.events]


def test_a_state_that_says_so_is_sleep_wherever_it_stands():
    """
    Silence after a configured sleep state is excused, for at most a long night.
    """
    truth = judge(config(pv_01={"sleep_states": [8]}))
    assert {"pv-01": True} == fall_silent(truth, WALL_MS, state=8)[3].excused
    assert {} == truth.tick(moment(17 * 3600)).excused
    assert {"pv-01": False} == truth.tick(moment(18 * 3600 + 4)).excused


def test_a_sleeper_is_excused_from_the_start():
    """
    A restart at night raises no alarm.
    """
    store: dict[str, bytes] = {}
    truth = judge(config(place=SHANGHAI))
    for verdict in fall_silent(truth, NIGHT_MS):
        keep(store, verdict)
    assert {"pv-01": True} == judge(config(place=SHANGHAI), store).open_alarms().excused
