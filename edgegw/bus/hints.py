"""What the counters of a bus say to a technician: ids of hints. Pure; docs/bus.md has the sentences and the remedies.

Of one device:
    H1 silent while others answer     H2 broken frames         H5 doubled answers
    H6 refuses what is asked          H7 late answers          H12 some answers missing
Of the whole line:
    H3 nobody answers                 H4 foreign frames        H8 broken frames at several devices
    H9 more polls than it can carry   H10 it cannot be opened  H11 noise
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

# One disturbed frame an hour is a normal line; below this share of the questions, or this count, nothing is said.
SHARE_MIN = 0.01
COUNT_MIN = 3
# A missed slot is a value that comes a period later: a few after a time-out are normal.
MISSED_SHARE_MIN = 0.05
# Bytes of noise for each question: a line without bias resistors has some at every change of direction.
NOISE_SHARE_MIN = 0.1


class Judgement(NamedTuple):
    """Ids of hints, the weightiest first."""

    line: tuple[str, ...]
    units: Mapping[int, tuple[str, ...]]


def judge(units: Sequence[Mapping[str, Any]], idle_noise_bytes: int, *, is_up: bool) -> Judgement:
    """The units with their counts (`Counters.as_dict`), `unit` and `silent`."""
    if not is_up:
        return Judgement(("H10",), {})
    if units and all(unit["silent"] for unit in units):
        return Judgement(("H3",) if len(units) > 1 else (), {unit["unit"]: ("H1",) for unit in units} if len(units) == 1 else {})
    broken = [unit["unit"] for unit in units if _often(unit, unit["crc"] + unit["short"])]
    line = _judge_line(units, idle_noise_bytes, len(broken))
    return Judgement(line, {unit["unit"]: tuple(_judge_unit(unit, alone=broken == [unit["unit"]])) for unit in units})


def _judge_line(units: Sequence[Mapping[str, Any]], idle_noise_bytes: int, broken: int) -> tuple[str, ...]:
    asked, foreign, missed = (sum(unit[name] for unit in units) for name in ("asked", "foreign", "missed_slots"))
    # The bytes of a broken frame are noise too; they are told as broken frames.
    noise_bytes = idle_noise_bytes + sum(unit["noise_bytes"] for unit in units if not unit["crc"] + unit["short"])
    found = {
        "H4": foreign >= COUNT_MIN,
        "H8": broken > 1,
        "H9": missed >= COUNT_MIN and missed > MISSED_SHARE_MIN * asked,
        "H11": noise_bytes >= COUNT_MIN and noise_bytes > NOISE_SHARE_MIN * asked,
    }
    return tuple(hint for hint, holds in found.items() if holds)


def _judge_unit(unit: Mapping[str, Any], *, alone: bool) -> list[str]:
    if unit["silent"]:
        return ["H1"]
    unheard = unit["timed_out"] - unit["crc"] - unit["short"] - unit["late"]
    found = {
        "H5": unit["doubled"] >= COUNT_MIN,
        "H2": alone,
        "H7": _often(unit, unit["late"]),
        "H6": _often(unit, unit["exceptions"]),
        "H12": _often(unit, unheard),
    }
    return [hint for hint, holds in found.items() if holds]


def _often(unit: Mapping[str, Any], count: int) -> bool:
    return count >= COUNT_MIN and count > SHARE_MIN * unit["asked"]
