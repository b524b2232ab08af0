"""What a rule would have done over stored data: the same engine over the readings of the store, in the order of their times."""

from __future__ import annotations

from typing import Any, NamedTuple

from edgegw.block import SchemaSource
from edgegw.buffer.history import Reader, Span
from edgegw.config.model import Config, Rule
from edgegw.model import Point, Reading, Source, Stream
from edgegw.points import lookup
from edgegw.rules.engine import Engine
from edgegw.rules.levels import use
from edgegw.rules.limits import windows_of

# Records are what the gateway says of itself and of its links.
_JUDGED = frozenset({Stream.TELEMETRY, Stream.ENERGY, Stream.RECORD})
# Raises that are listed one by one; all are counted.
SHOWN_MAX = 200
# A rule that raises more often than this in the looked-at time is wrong, and goes on being so.
RAISES_MAX = 10_000


class Trial(NamedTuple):
    """What came of it."""

    readings: int
    raised: int
    devices: dict[str, int]
    """Raises of each device."""
    episodes: list[dict[str, Any]]
    """The newest, with begin and end (None: still open at the end of the data)."""


def try_rule(reader: Reader, config: Config, rule: Rule, since_ms: int) -> Trial:
    """Only what is stored as it was read: thinned data cannot tell. Raises EdgegwError."""
    readings = sorted(_readings(reader, since_ms, config), key=lambda reading: reading.mono_ms)
    sources = list({id(reading.source): reading.source for reading in readings}.values())
    use(config.level)
    engine = Engine([rule], config.device, sources, 0, {}, windows_of(config.telling))
    open_: dict[object, dict[str, Any]] = {}
    episodes: list[dict[str, Any]] = []
    devices: dict[str, int] = {}
    for reading in readings:
        events = (*engine.tick(reading.mono_ms, reading.read_at_ms, reading.clock).events, *engine.evaluate(reading).events)
        for event in events:
            if event.kind != "alarm" or event.body["rule"] != rule.name:
                continue
            if event.body["edge"] == "raised" and len(episodes) < RAISES_MAX:
                figures = {"value": event.body["value"], "text": event.body["text"], "text_zh": event.body.get("text_zh", "")}
                found = {"device": event.device, "from_ms": event.at_ms, "to_ms": None, **figures}
                open_[event.body["id"]] = found
                episodes.append(found)
                devices[str(event.device)] = devices.get(str(event.device), 0) + 1
            elif event.body["edge"] == "cleared" and event.body["id"] in open_:
                open_.pop(event.body["id"])["to_ms"] = event.at_ms
    return Trial(len(readings), len(episodes), devices, episodes[-SHOWN_MAX:])


def _readings(reader: Reader, since_ms: int, config: Config) -> list[Reading]:
    """As they were read; wall time in place of the monotonic one, which begins anew with each start."""
    layouts: dict[SchemaSource, Source] = {}
    # What said nothing new was not stored: between two that were the value was there all the time.
    heartbeat_ms = round(1000 * max((deadband.heartbeat_s for deadband in config.deadband), default=0.0))
    found: list[Reading] = []
    for stored, row, stream in reader.readings(Span(from_ms=since_ms)):
        if stream in _JUDGED:
            if stored not in layouts:
                layouts[stored] = _source(len(layouts) + 1, stored, heartbeat_ms)
            found.append(Reading(layouts[stored], row.read_at_ms, row.read_at_ms, row.clock, row.values, row.quality))
    return found


def _source(number: int, stored: SchemaSource, heartbeat_ms: int) -> Source:
    points = tuple(Point(point.name, point.decimals, point.unit, entry.kind if (entry := lookup(point.name)) else "measure") for point in stored.points)
    return Source(number, stored.device, "stored", max(stored.period_ms, heartbeat_ms), points, stored.device_class)
