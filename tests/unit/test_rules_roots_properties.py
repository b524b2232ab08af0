"""Whatever fails, in whatever order, over restarts: nobody hears of what an alarm explains that has begun, and everybody of what is left."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from rules_rig import INPUT, WALL_MS, device, keep, reading, rule, source

from edgegw.config.model import Contact
from edgegw.model import ClockTrust, Point, Quality
from edgegw.rules.annunciation import Windows
from edgegw.rules.engine import Engine
from edgegw.rules.told import Why

TEMPERATURE = Point("temperature", 1, "C", "measure")
SOURCES = [
    source(0, "DI", (INPUT,), "input"),
    source(1, "M", (INPUT,), "meter"),
    *(source(number + 1, f"P{number}", (TEMPERATURE,), "pile") for number in (1, 2, 3)),
]
DEVICES = [device("DI", "one", input={"1": Contact(role="mains")}), device("M", "two"), device("P1", "three"), device("P2", "three"), device("P3", "four")]
RULES = [
    rule(name="mains", condition="equals", point="input.1", limit=1, role="mains", explains=["pile: *", "meter: *", "bus: bus offline"], off_delay_s=5),
    rule(name="phase", condition="equals", point="input.1", limit=1, devices=["M"], explains=["pile: warm", "bus: bus offline"], off_delay_s=2),
    rule(name="warm", limit=40.0, device_class="pile"),
    rule(name="hot", limit=60.0, device_class="pile", on_delay_s=4),
]
# Chatter and floods have tests of their own.
WINDOWS = Windows(flood_ms=1, chatter_ms=1)
BEFORE_S, AFTER_S = 10, 60
CHANGE = st.one_of(
    st.tuples(st.sampled_from(["DI", "M"]), st.sampled_from([0, 1])),
    st.tuples(st.sampled_from(["P1", "P2", "P3"]), st.sampled_from([200, 420, 620, Quality.OFFLINE, Quality.OFFLINE])),
    st.tuples(st.just("restart"), st.sampled_from([1, 20])),
)
STEPS = st.lists(st.tuples(CHANGE, st.sampled_from([1, 3, 8, 20, 40, 64])), min_size=8, max_size=24)


class Life(NamedTuple):
    """Of one alarm; seconds of the station's time."""

    rule: str
    subject: str
    began: float
    ended: list[float]


def explains(root: str, child: Life) -> bool:
    """As the rules above say."""
    is_bus, is_pile = child.subject == "three", child.subject.startswith("P")
    return {"mains": is_bus or is_pile or child.subject == "M", "phase": is_bus or (is_pile and child.rule == "warm")}.get(root, False)


class Station:
    """Each second every source is read; what was told is compared with what was known."""

    def __init__(self) -> None:
        self.now, self.base, self.epoch = 0, 0, 0
        self.store: dict[str, bytes] = {}
        self.values: dict[str, object] = {"DI": 0, "M": 0, "P1": 200, "P2": 200, "P3": 200}
        self.lives: dict[str, Life] = {}
        self.start()

    def start(self) -> None:
        self.epoch, self.base = self.epoch + 1, self.now
        self.judge = Engine(RULES, DEVICES, SOURCES, self.epoch, dict(self.store), WINDOWS)

    def do(self, change, seconds) -> None:
        whom, value = change
        if whom == "restart":
            self.now += value
            self.start()
        else:
            self.values[whom] = value
        for _ in range(seconds):
            self.second()

    def second(self) -> None:
        self.now += 1
        for at in SOURCES:
            plain = reading(at, self.now - self.base, self.values[at.device])
            self.take(self.judge.evaluate(msgspec.structs.replace(plain, read_at_ms=WALL_MS + self.now * 1000)))
        self.take(self.judge.tick((self.now - self.base) * 1000, WALL_MS + self.now * 1000, ClockTrust.SYNCHRONISED))

    def take(self, changes) -> None:
        keep(self.store, changes)
        for event in (event for event in changes.events if event.kind == "alarm"):
            body, at = event.body, (event.at_ms - WALL_MS) / 1000
            if body["edge"] == "raised":
                self.lives[body["id"]] = Life(body["rule"], event.device or body["bus"], (body["began_at_ms"] - WALL_MS) / 1000, [])
            elif body["edge"] == "cleared":
                self.lives[body["id"]].ended.append(at)
        for told in changes.told:
            if told.why is not Why.CLEARED:
                child = self.lives[told.episode.alarm_id]
                assert [] == self.roots_of(child, (told.at_ms - WALL_MS) / 1000), (told.why, child)

    def roots_of(self, child: Life, at: float) -> list[Life]:
        """Those that explain it at this time."""
        found = []
        for root in self.lives.values():
            ends = root.ended[0] if root.ended else float("inf")
            is_near = root.began - BEFORE_S <= child.began <= ends + AFTER_S
            if root is not child and explains(root.rule, child) and is_near and root.began < at < ends + AFTER_S:
                found.append(root)
        return found


@settings(deadline=None, max_examples=60)
@given(STEPS)
def test_what_is_explained_is_told_to_nobody_and_what_is_left_to_everybody(steps):
    """
    Begun from 10 s before a root until 60 s after its end it is not told before that minute is over, whatever other roots come and go, over restarts; then it is.
    """
    station = Station()
    for step in steps:
        station.do(*step)
    station.values |= {"DI": 0, "M": 0}
    for _ in range(150):
        station.second()
    assert [] == [alarm for alarm in station.judge.open_alarms(hidden=True) if alarm.told_at_ms is None and alarm.root is None]
    assert {alarm.root for alarm in station.judge.open_alarms(hidden=True)} <= {None, *(alarm.alarm_id for alarm in station.judge.open_alarms())}
