"""How long it takes from a contact that closes on the simulated module to its alarm in the receiver's database: real ports, mutual TLS, signed batches."""

from __future__ import annotations

import json
import random
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from edgegw.cli.rig import Rig, wait_for
from edgegw.rules.episode import INPUT_LOST
from edgegw.rules.links import BUS_OFFLINE, DEVICE_OFFLINE

MODULE = "DI-01"
# Of what does not answer: of devices, buses and safety inputs.
LINK_RULES = (BUS_OFFLINE, DEVICE_OFFLINE, INPUT_LOST)
# Of the module's profile.
PERIOD_S = 0.5
# What the way itself may take: commit, seal, broker, receiver.
WAY_S = 0.5
_LOOK_S = 0.002
LONGEST_S = 60.0
# More than two raises of one alarm within a minute are chatter, which stays active. Counted from when the raise was seen: one that comes late brings the third no nearer.
QUIET_S = 31.0


class Kind(NamedTuple):
    """What the rules of some inputs wait for."""

    name: str
    inputs: tuple[int, ...]
    debounce_s: float = 0.0
    on_delay_s: float = 0.0

    @property
    def allowed_s(self) -> float:
        return self.debounce_s + self.on_delay_s + PERIOD_S + WAY_S


KINDS = (Kind("at-once", (2, 5)), Kind("debounced", (6, 8), debounce_s=0.2), Kind("delayed", (3, 4), debounce_s=0.2, on_delay_s=1.0))


@contextmanager
def running(directory: Path) -> Iterator[Rig]:
    """A gateway that polls the whole simulated station at the periods of its profiles."""
    rig = Rig(directory, period_s=None)
    try:
        rig.make_keys()
        rig.start_station()
        rig.start_broker()
        rig.start_receiver()
        rig.write_config()
        rig.config.write_text(_with_rules(rig.config.read_text()))
        rig.start_gateway()
        wait_for("values at the receiver", rig.values_received, 90)
        wait_for("the module", lambda: rig.ask_gateway("read", {"device": MODULE})["values"][0]["quality"] == "good", 90)
        yield rig
    finally:
        rig.close()


def _with_rules(text: str) -> str:
    """Rules of our own for the inputs, and their debounce: the simulated station has none."""
    rules = []
    for kind in KINDS:
        for number in kind.inputs:
            text, found = re.subn(rf'"{number}" = \{{', f'"{number}" = {{ debounce_ms = {kind.debounce_s * 1000:.0f},', text, count=1)
            assert found, text
            rules.append(
                f'[[rule]]\nname = "{kind.name}-{number}"\ncondition = "equals"\npoint = "input.{number}"\nlimit = 1\ndevices = ["{MODULE}"]\n'
                f'level = "critical"\non_delay_s = {kind.on_delay_s}\nsafety = true\n'
            )
    return text + "\n" + "\n".join(rules)


class Stopwatch:
    """Closes contacts of a running rig."""

    def __init__(self, rig: Rig, seed: int) -> None:
        self._rig = rig
        self._chance = random.Random(seed)
        self._seen_s: dict[int, float] = {}
        """By input: when its last raise had arrived."""
        self._count = 0

    def measure_s(self, kind: Kind) -> float:
        """Closes one of the kind's contacts at a random moment of the module's period and waits for the raise at the receiver; opens it again. Seconds.

        Raises AssertionError with what each part of the way knows where none comes, EdgegwError where a part has ended.
        """
        number = kind.inputs[self._count % len(kind.inputs)]
        self._count += 1
        start_s = max(time.perf_counter(), self._seen_s.get(number, 0.0) + QUIET_S) + self._chance.uniform(0, 2 * PERIOD_S)
        wait_for("a random moment", lambda: time.perf_counter() >= start_s, 2 * QUIET_S)
        with closing(sqlite3.connect(f"file:{self._rig.sink}?mode=ro", uri=True, timeout=5)) as sink:
            rule = f"{kind.name}-{number}"
            before = _raised(sink, rule)
            closed_s = time.perf_counter()
            self._set(number, 1)
            self._seen_s[number] = wait_until(lambda: _raised(sink, rule) > before, closed_s + LONGEST_S, lambda: self._on_its_way(number, rule))
        self._set(number, 0)
        wait_for("the end", lambda: not self._is_active(rule), 60)
        return self._seen_s[number] - closed_s

    def _set(self, number: int, value: int) -> None:
        reply = self._rig.tell_station("set", device=MODULE, point=f"input.{number}", value=value)
        assert reply["ok"], reply

    def _is_active(self, rule: str) -> bool:
        return any(alarm["rule"] == rule and alarm["state"] == "active" for alarm in self._rig.ask_gateway("alarms")["alarms"])

    def _on_its_way(self, number: int, rule: str) -> str:
        """Where an alarm is that does not come: not read, not raised, or not delivered. On a busy machine the simulated module answers too late to be believed."""
        self._rig.must_run()
        (read,) = [value for value in self._rig.ask_gateway("read", {"device": MODULE})["values"] if value["point"] == f"input.{number}"]
        alarms = [alarm for alarm in self._rig.ask_gateway("alarms")["alarms"] if alarm["rule"] == rule or alarm["rule"] in LINK_RULES]
        told = [f"#{alarm['number']} {alarm['rule']} {alarm['state']}{' (chattering)' if alarm['chattering'] else ''}" for alarm in alarms]
        (uplink,) = self._rig.ask_gateway("status")["uplinks"]
        return (
            f"{read['point']} is {read['value']} ({read['quality']}, {read['age_s']:.1f} s old); alarms: {', '.join(told) or 'none'}; uplink {uplink['state']}"
        )


def wait_until(condition: Callable[[], bool], until_s: float, known: Callable[[], str]) -> float:
    """Looks more often than `wait_for`, whose pauses would be measured; returns when it came. What is `known` stands in the fault where it does not come."""
    looked_s, longest_s = time.perf_counter(), 0.0
    while not condition():
        now_s = time.perf_counter()
        looked_s, longest_s = now_s, max(longest_s, now_s - looked_s)
        assert now_s < until_s, f"no alarm came: {known()}; longest between two looks: {longest_s:.1f} s"
        time.sleep(_LOOK_S)
    return time.perf_counter()


def _raised(sink: sqlite3.Connection, rule: str) -> int:
    found = sink.execute("SELECT body FROM events WHERE kind = 'alarm' AND device = ?", (MODULE,))
    return sum(body["rule"] == rule and body["edge"] == "raised" for body in (json.loads(row[0]) for row in found))
