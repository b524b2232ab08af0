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

MODULE = "DI-01"
# Of the module's profile.
PERIOD_S = 0.5
# What the way itself may take: commit, seal, broker, receiver.
WAY_S = 0.5
_LOOK_S = 0.002
LONGEST_S = 60.0
# More than two raises of one alarm within a minute are chatter, which is told and raised otherwise.
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
        self._closed_s: dict[int, float] = {}
        self._count = 0

    def measure_s(self, kind: Kind) -> float:
        """Closes one of the kind's contacts at a random moment of the module's period and waits for the raise at the receiver; opens it again. Seconds."""
        number = kind.inputs[self._count % len(kind.inputs)]
        self._count += 1
        start_s = max(time.perf_counter(), self._closed_s.get(number, 0.0) + QUIET_S) + self._chance.uniform(0, 2 * PERIOD_S)
        wait_for("a random moment", lambda: time.perf_counter() >= start_s, 2 * QUIET_S)
        with closing(sqlite3.connect(f"file:{self._rig.sink}?mode=ro", uri=True, timeout=5)) as sink:
            rule = f"{kind.name}-{number}"
            before = _raised(sink, rule)
            self._closed_s[number] = closed_s = time.perf_counter()
            self._rig.tell_station("set", device=MODULE, point=f"input.{number}", value=1)
            wait_until(lambda: _raised(sink, rule) > before, closed_s + LONGEST_S)
            took_s = time.perf_counter() - closed_s
        self._rig.tell_station("set", device=MODULE, point=f"input.{number}", value=0)
        wait_for("the end", lambda: not self._is_active(rule), 60)
        return took_s

    def _is_active(self, rule: str) -> bool:
        return any(alarm["rule"] == rule and alarm["state"] == "active" for alarm in self._rig.ask_gateway("alarms")["alarms"])


def wait_until(condition: Callable[[], bool], until_s: float) -> None:
    """Looks more often than `wait_for`, whose pauses would be measured."""
    while not condition():
        assert time.perf_counter() < until_s, "no alarm came"
        time.sleep(_LOOK_S)


def _raised(sink: sqlite3.Connection, rule: str) -> int:
    found = sink.execute("SELECT body FROM events WHERE kind = 'alarm' AND device = ?", (MODULE,))
    return sum(body["rule"] == rule and body["edge"] == "raised" for body in (json.loads(row[0]) for row in found))
