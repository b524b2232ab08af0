"""The alarms at a start of the daemon: which rules judge, and what is written down of the levels."""

from __future__ import annotations

import pytest
from rules_rig import device, edges, reading, rule, source, tick

from edgegw.alarming import Alarming, make_engine
from edgegw.buffer.database import FILE_NAME
from edgegw.buffer.happened import events_of
from edgegw.buffer.history import Reader
from edgegw.buffer.store import Buffer
from edgegw.clock import Clock
from edgegw.config.level_model import SHIPPED_LEVELS, Level
from edgegw.config.model import Config, Gateway
from edgegw.config.notify_model import TellingTable
from edgegw.config.supply_model import Supply
from edgegw.model import Point, Source
from edgegw.rules import levels
from edgegw.rules.engine import Engine


def started(state, *own: Level) -> None:
    """One start of a gateway with these levels."""
    config = Config(gateway=Gateway(operator="o", station="s", gateway="g"), level=list(own))
    clock = Clock()
    buffer = Buffer.open(state, clock, config.store, [], [], lambda _streams: None)
    engine = make_engine(config, [], buffer)
    Alarming(config, engine, clock, buffer, lambda changes: buffer.accept((), changes.events, changes.states)).begin([])
    buffer.close()


def engine_of(state, config: Config, *sources: Source) -> Engine:
    """That of a daemon with an empty store."""
    state.chmod(0o700)
    buffer = Buffer.open(state, Clock(), config.store, [], [], lambda _streams: None)
    engine = make_engine(config, sources, buffer)
    buffer.close()
    return engine


def test_other_levels_than_at_the_last_start_are_written_down(tmp_path):
    """
    A station's own levels are one event with what they were before; the same ones again are none, and those that are shipped are not news.
    """
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    own = (Level(name="urgent", name_zh="紧急", formerly=["critical", "major", "minor", "notice"]),)
    try:
        for levels_of_start in ((), own, own, ()):
            started(state, *levels_of_start)
    finally:
        levels.use(())
    with Reader(state / FILE_NAME) as reader:
        found = [event.body for event in events_of(reader, "levels", 0, "", 10)]
    names = [level.name for level in SHIPPED_LEVELS]
    assert [(["urgent"], names), (names, ["urgent"])] == [([level["name"] for level in body["levels"]], body["before"]) for body in found]


def test_the_daemon_judges_the_connection_that_the_configuration_tells(tmp_path):
    """
    A demand above the contracted one for more than a minute is told, with the figure of `[supply]`.
    """
    meter = source(1, "M-01", (Point("active_power", 1, "kW", "measure"),), "meter")
    supply = Supply(meter="M-01", contracted_kw=100.0)
    config = Config(gateway=Gateway(operator="o", station="s", gateway="g"), device=[device("M-01")], supply=supply)
    engine = engine_of(tmp_path, config, meter)
    events = [event for second in range(70) for event in engine.evaluate(reading(meter, second, 1200)).events]
    assert ["60.0 raised demand-high M-01", "60.0 level demand-over M-01"] == edges(events)
    assert [90.0, 100.0] == [event.body["limit"] for event in events if event.kind == "alarm"]


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (TellingTable(), [("told", 0), ("told", 2), ("told", 4)]),
        (TellingTable(chatter_span_s=3), [("told", 0), ("told", 2), ("told", 4), ("told", 6), ("told", 8)]),
        (TellingTable(chatter_span_s=0), [("told", 0), ("told", 2), ("told", 4), ("told", 6), ("told", 8)]),
        (
            TellingTable(chatter_span_s=0, flood_notices=2, flood_span_s=60),
            [("told", 0), ("told", 2), ("flood began", 4), ("flood summary", 64), ("flood ended", 66)],
        ),
    ],
)
def test_the_daemon_tells_by_the_figures_of_the_configuration(tmp_path, table, expected):
    """
    A value that goes over its limit five times in ten seconds chatters from the third time on, or within another span, or never; three things to tell can be a flood.
    """
    config = Config(gateway=Gateway(operator="o", station="s", gateway="g"), device=[device()], rule=[rule()], telling=table)
    sensor = source()
    engine = engine_of(tmp_path, config, sensor)
    events = [event for second in range(10) for event in engine.evaluate(reading(sensor, second, 100 if second % 2 else 500)).events]
    events += [event for second in range(10, 100) for event in tick(engine, second).events]
    said = [(event.kind + " " + str(event.body.get("state", ""))).strip() for event in events if event.kind in {"told", "flood"}]
    assert expected == list(zip(said, [event.mono_ms // 1000 for event in events if event.kind in {"told", "flood"}], strict=True))
