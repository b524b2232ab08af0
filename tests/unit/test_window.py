"""How long readings are collected: busy, idle, economy, and live on request."""

from __future__ import annotations

import asyncio

import pytest

from edgegw.clock import Clock
from edgegw.config.model import Store
from edgegw.errors import EdgegwError
from edgegw.uplink.envelope import Command
from edgegw.window import LIVE_MINUTES, LIVE_MINUTES_MAX, Window


class At(Clock):
    """A clock that stands until it is told."""

    now_ms = 1_000_000

    def mono_ms(self, at_ns=None):
        return self.now_ms


class Station:
    def __init__(self) -> None:
        self.busy = False
        self.told: list[int] = []
        self.clock = At()
        self.window = Window(Store(), self.clock, self.told.append, lambda: self.busy)

    def look(self) -> int:
        self.window.look()
        return self.told[-1]


def test_busy_is_10_s_and_idle_60_s_and_the_store_hears_of_changes_only():
    """
    The shorter window holds while something happens; the same choice twice is told once.
    """
    at = Station()
    assert [60_000, 60_000] == [at.look(), at.look()]
    at.busy = True
    assert [10_000, 10_000] == [at.look(), at.look()]
    assert [60_000, 10_000] == at.told


def test_a_day_that_runs_fast_has_short_windows():
    """
    The store counts real seconds: at speed 40 a window of 60 s of the day is 1.5 s of them.
    """
    at = Station()
    at.clock.speed = 40.0
    assert 1500 == at.look()


def test_economy_is_60_s_whatever_happens():
    """
    A quota that is nearly used up makes the window that of a quiet station.
    """
    at = Station()
    at.busy = at.window.economy = True
    assert 60_000 == at.look()
    at.window.economy = False
    assert 10_000 == at.look()


def test_live_is_1_s_for_some_minutes_and_ends_by_itself():
    """
    Who looks gets every second, also in economy mode, and nobody must end it.
    """
    at = Station()
    at.window.economy = True
    at.window.go_live(2)
    assert 1000 == at.told[-1]
    at.clock.now_ms += 119_999
    assert 1000 == at.look()
    at.clock.now_ms += 1
    assert 60_000 == at.look()


def test_live_ends_when_asked():
    """
    Zero minutes end it at once.
    """
    at = Station()
    at.window.go_live(10)
    at.window.go_live(0)
    assert [1000, 60_000] == at.told


def test_a_shorter_window_than_live_stays():
    """
    A station that sends faster than live all the time is not slowed by it.
    """
    clock = At()
    told: list[int] = []
    window = Window(Store(window_active_s=0.25), clock, told.append, lambda: False)
    window.go_live(1)
    assert [250] == told


@pytest.mark.parametrize(
    ("result", "told", "arguments"), [("live for 10 min", [1000], ()), ("live for 3 min", [1000], (3,)), ("refused", [], (600,)), ("refused", [], ("x",))]
)
def test_the_cloud_can_order_it(result, told, arguments):
    """
    The command's argument is the minutes, ten without one; what cannot be is refused and changes nothing.
    """
    at = Station()
    command = Command("op/st/gw", 1, 0, 0, "live", arguments)
    assert asyncio.run(at.window.ordered(command)).startswith(result)
    assert told == at.told


@pytest.mark.parametrize("minutes", [-1, LIVE_MINUTES_MAX + 1])
def test_live_has_an_end(minutes):
    """
    More than an hour is refused: what is forgotten costs money.
    """
    with pytest.raises(EdgegwError, match="live for") as refused:
        Station().window.go_live(minutes)
    assert "E-LIVE" == refused.value.message_id


def test_the_socket_answers_what_holds_now():
    """
    The answer names minutes and window; without a number it is ten minutes, and what is no number is refused.
    """
    at = Station()
    ask = at.window.handlers()["live"]
    assert {"minutes": LIVE_MINUTES, "window_s": 1.0, "economy": False} == asyncio.run(ask({}))  # type: ignore[arg-type]
    with pytest.raises(EdgegwError, match="whole number"):
        asyncio.run(ask({"minutes": "ten"}))  # type: ignore[arg-type]
