"""The levels of alarms, most severe first, and what the operator's service commitment promises for each.

Hours from the raise, 服务承诺 一(四): minor faults are diagnosed from afar within an hour; for major ones somebody leaves within 2 and arrives within
4 hours; for critical ones there is a plan within 4 hours and whoever carries it out arrives within 8.
"""

from __future__ import annotations

from typing import Final, NamedTuple

_HOUR_MS: Final = 3_600_000

DEADLINES_H: Final = {
    "critical": (("plan", 4), ("arrive", 8)),
    "major": (("depart", 2), ("arrive", 4)),
    "minor": (("diagnosis", 1),),
    "notice": (),
}
LEVELS: Final = tuple(DEADLINES_H)


class Deadline(NamedTuple):
    """By when something was to be done; wall time."""

    what: str
    at_ms: int


def deadlines(level: str, raised_at_ms: int) -> tuple[Deadline, ...]:
    """None for a level without promises."""
    return tuple(Deadline(what, raised_at_ms + hours * _HOUR_MS) for what, hours in DEADLINES_H.get(level, ()))


def overdue(due: tuple[Deadline, ...], now_ms: int, *, acknowledged: bool, ended: bool) -> str:
    """What was to be done and was not: the first promise is kept by who acknowledges, the others by the end of the alarm. Empty: nothing."""
    if ended:
        return ""
    late = [deadline.what for number, deadline in enumerate(due) if now_ms > deadline.at_ms and not (acknowledged and number == 0)]
    return late[-1] if late else ""
