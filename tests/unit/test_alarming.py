"""What the daemon writes down of its alarms at a start."""

from __future__ import annotations

from edgegw.alarming import Alarming, make_engine
from edgegw.buffer.database import FILE_NAME
from edgegw.buffer.happened import events_of
from edgegw.buffer.history import Reader
from edgegw.buffer.store import Buffer
from edgegw.clock import Clock
from edgegw.config.level_model import SHIPPED_LEVELS, Level
from edgegw.config.model import Config, Gateway
from edgegw.rules import levels


def started(state, *own: Level) -> None:
    """One start of a gateway with these levels."""
    config = Config(gateway=Gateway(operator="o", station="s", gateway="g"), level=list(own))
    clock = Clock()
    buffer = Buffer.open(state, clock, config.store, [], [], lambda _streams: None)
    engine = make_engine(config, [], buffer)
    Alarming(config, engine, clock, buffer, lambda changes: buffer.accept((), changes.events, changes.states)).begin([])
    buffer.close()


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
