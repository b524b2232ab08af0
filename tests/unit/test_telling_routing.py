"""Who is to hear of what, and when."""

from __future__ import annotations

import time

import pytest
from telling_rig import BOSS, DUTY, MINUTE_MS, WALL_MS, episode, moment, router, told

from edgegw.config.notify_model import Route
from edgegw.rules.notifiers.routing import Target
from edgegw.rules.told import Told, Why

HOUR_MS = 60 * MINUTE_MS


def choose(*routes: Route, at_ms: int = WALL_MS, clock_is_set: bool = True, **alarm: object):
    return router(routes).choose(told(**alarm), at_ms, clock_is_set=clock_is_set)


def who(targets) -> list[str]:
    return [f"{target.channel}:{target.recipient}" for target in targets]


FITS = [
    ({}, {}, True),
    ({"levels": ["critical", "major"]}, {"level": "major"}, True),
    ({"levels": ["critical"]}, {"level": "major"}, False),
    ({"device_class": "ups"}, {"device": "UPS-01"}, True),
    ({"device_class": "ups"}, {"device": "AC-01"}, False),
    ({"device_class": "ups"}, {"device": None}, False),
    ({"devices": ["AC-*"]}, {"device": "AC-01"}, True),
    ({"devices": ["AC-*"]}, {"device": "UPS-01"}, False),
    ({"devices": ["rs485a"]}, {"device": None, "bus": "rs485a"}, True),
    ({"rules": ["device *"]}, {}, True),
    ({"rules": ["smoke"]}, {}, False),
]


@pytest.mark.parametrize(("route", "alarm", "fits"), FITS)
def test_a_route_takes_what_all_its_conditions_fit(route, alarm, fits):
    """
    Level, class, device and rule must all fit; what is empty fits everything.
    """
    assert (["mail:duty", "sms:duty"] if fits else []) == who(choose(Route(name="r", recipients=["duty"], **route), **alarm).now)


def test_nobody_hears_one_thing_twice_by_one_channel():
    """
    Two routes that name the same person by the same channel give one notice; a siren needs no person but must be named.
    """
    first = Route(name="a", recipients=["duty"], channels=["sms", "siren"])
    second = Route(name="b", recipients=["duty", "boss"])
    assert ["sms:duty", "siren:", "mail:duty", "sms:boss"] == who(choose(first, second).now)


HOURS = [
    ("08:00-20:00", [], 0, True),
    ("08:01-20:00", [], 0, False),
    ("20:00-08:00", [], 0, False),
    ("20:00-08:01", [], 0, True),
    ("", [1], 0, True),
    ("", [2, 3, 4, 5, 6, 7], 0, False),
    ("20:00-10:00", [7], 0, True),
    ("20:00-10:00", [1], 0, False),
]


@pytest.mark.parametrize(("hours", "weekdays", "minutes", "is_open"), HOURS)
def test_hours_over_midnight_belong_to_the_day_on_which_they_begin(hours, weekdays, minutes, is_open):
    """
    At 08:00 of a Monday.
    """
    route = Route(name="r", recipients=["boss"], hours=hours, weekdays=weekdays)
    assert (["sms:boss"] if is_open else []) == who(choose(route, at_ms=WALL_MS + minutes * MINUTE_MS).now)


@pytest.fixture
def utc(monkeypatch):
    """The machine's zone, for what asks for it."""
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("utc")
def test_what_no_route_takes_at_its_hour_waits_for_the_first_that_opens():
    """
    At 08:00 two routes are closed; the one that opens at 09:00 gets it then, the one that opens at 22:00 does not.
    """
    choice = choose(
        Route(name="night", recipients=["boss"], hours="22:00-06:00"), Route(name="day", recipients=["duty"], channels=["sms"], hours="09:00-18:00")
    )
    assert () == choice.now
    assert {Target("sms", "duty", "day"): WALL_MS + HOUR_MS} == choice.later


@pytest.mark.usefixtures("utc")
def test_a_log_that_is_always_open_does_not_take_what_is_meant_for_people():
    """
    At 08:00 the log has it, and the person's route, which opens at 09:00, gets it then; of two routes to one person the earlier one.
    """
    log = Route(name="log", channels=["journal"])
    late, early = (Route(name=name, recipients=["boss"], hours=hours) for name, hours in (("late", "22:00-23:00"), ("early", "09:00-18:00")))
    choice = choose(log, late, early)
    assert ["journal:"] == who(choice.now)
    assert {Target("sms", "boss", "early"): WALL_MS + HOUR_MS} == choice.later


@pytest.mark.usefixtures("utc")
def test_nobody_is_waited_for_before_the_hours_begin():
    """
    The steps of a route that opens in an hour come so much later.
    """
    route = Route(name="day", recipients=["boss"], hours="09:00-18:00", escalate_after_min=15, escalate_to=["duty"])
    assert [(15, HOUR_MS)] == [(step.after_min, step.delay_ms) for step in choose(route).steps]


def test_without_a_clock_every_hour_is_open():
    """
    A gateway that never had the time tells at once.
    """
    assert ["sms:boss"] == who(choose(Route(name="night", recipients=["boss"], hours="22:00-06:00"), clock_is_set=False).now)


def test_an_escalation_goes_from_one_to_the_next():
    """
    Each step comes so many minutes after the one before, by the channels of its route.
    """
    route = Route(name="r", recipients=["duty"], channels=["sms"], escalate_after_min=15, escalate_to=["boss", "duty"])
    assert [(15, ["sms:boss"]), (30, ["sms:duty"])] == [(step.after_min, who(step.targets)) for step in choose(route).steps]


def test_a_summary_goes_to_whom_one_of_its_alarms_goes():
    """
    And nobody is waited for.
    """
    routes = router([Route(name="r", levels=["minor"], recipients=["boss"], escalate_after_min=5, escalate_to=["duty"])])
    summary = Told(Why.SUMMARY, WALL_MS, episode(1), others=(episode(1), episode(2, "minor")), count=2)
    choice = routes.choose(summary, WALL_MS, clock_is_set=True)
    assert (["sms:boss"], ()) == (who(choice.now), choice.steps)


def test_an_address_is_looked_up_when_it_is_needed():
    """
    Of a channel without people it is empty; of who or what is not there it is None.
    """
    found = router()
    assert ["+861", "", None, None] == [found.address(Target(*target)) for target in (("sms", "duty"), ("siren", ""), ("mail", "boss"), ("fax", "duty"))]
    assert ("zh", "en") == (found.language(Target("sms", DUTY.name), "en"), found.language(Target("sms", BOSS.name), "en"))
    assert moment().wall_ms == WALL_MS
