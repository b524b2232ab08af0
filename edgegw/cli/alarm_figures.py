"""The key figures by which alarms are judged, from their stored events, and what the trade takes for good.

The figures are those of ISA-18.2 (IEC 62682) and EEMUA 191: an alarm asks a person for something, and nobody can take more than about one in ten minutes.
Alarms below another one count for nobody's load.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

Event = Mapping[str, Any]

TEN_MINUTES_MS: Final = 600_000
# More than ten in ten minutes are more than one person can take; below five it is over.
FLOOD_RAISES: Final = 10
FLOOD_OVER: Final = 5
# Three raises within a minute: the limit or the contact chatters.
CHATTER_SPAN_MS: Final = 60_000
CHATTER_RAISES: Final = 3
STANDING_MS: Final = 86_400_000
DAY_MS: Final = 86_400_000
TOP: Final = 10

TARGETS: Final[Mapping[str, float]] = {
    "raised_a_day": 150,
    "raised_in_10_min": 1,
    "raised_in_10_min_max": FLOOD_RAISES,
    "flood_percent": 1,
    "chattering": 0,
    "standing": 0,
    "top_percent": 5,
}
"""At most. The share of the levels is one of a few in all: see `LEVEL_SHARES`."""
LEVEL_SHARES: Final = (5, 15, 80)
"""Percent of the most severe level, of the next, and of all others."""

# What a raise can come as, and what ends the condition.
_OPENING: Final = frozenset({"raised", "level", "again"})
_ENDING: Final = frozenset({"cleared", "returned", "closed"})


def figures(events: Sequence[Event], levels: Sequence[Mapping[str, Any]], open_alarms: Iterable[Event], *, from_ms: int, to_ms: int) -> dict[str, Any]:
    """Of the events from `from_ms` on, oldest first: so far back the store goes. `levels`: most severe first, whether each wants an acknowledgement.

    A rate is None where less than its own unit of time is stored.
    """
    raised = [event for event in events if event["edge"] == "raised" and not event.get("suppressed_by")]
    times = [event["at_ms"] for event in raised]
    span_ms = max(to_ms - from_ms, 1)
    by_name: dict[str, list[int]] = {}
    for event in raised:
        by_name.setdefault(name_of(event), []).append(event["at_ms"])
    top = sorted(by_name.items(), key=lambda item: -len(item[1]))[:TOP]
    flood_ms = _flood_ms(times, to_ms)
    return {
        "raised": len(raised),
        "raised_a_day": round(len(raised) * DAY_MS / span_ms, 1) if span_ms >= DAY_MS else None,
        "raised_in_10_min": round(len(raised) * TEN_MINUTES_MS / span_ms, 2) if span_ms >= TEN_MINUTES_MS else None,
        "raised_in_10_min_max": _most(times, TEN_MINUTES_MS),
        "flood_minutes": round(flood_ms / 60_000, 1),
        "flood_percent": round(100 * flood_ms / span_ms, 2),
        "levels": _levels(events, raised, [level["name"] for level in levels]),
        **_acknowledged(events, {level["name"] for level in levels if level["acknowledge"]}),
        "chattering": sorted(name for name, ats in by_name.items() if _most(ats, CHATTER_SPAN_MS) >= CHATTER_RAISES),
        **_standing(events, open_alarms, to_ms),
        "top": [{"name": name, "count": len(ats)} for name, ats in top],
        "top_percent": round(100 * sum(len(ats) for _, ats in top) / len(raised), 1) if raised else None,
        "targets": {**TARGETS, "level_percent": list(LEVEL_SHARES)},
    }


def _levels(events: Sequence[Event], raised: Sequence[Event], names: Sequence[str]) -> dict[str, int]:
    """How many of each level, an alarm by the most severe that it had; an unknown level counts as the most severe."""
    ranks = {name: rank for rank, name in enumerate(names)}
    worst: dict[str, int] = {event["id"]: len(names) for event in raised}
    for event in events:
        if event["edge"] in _OPENING and event["id"] in worst:
            worst[event["id"]] = min(worst[event["id"]], ranks.get(event["level"], 0))
    return {name: sum(found == rank for found in worst.values()) for rank, name in enumerate(names)}


def name_of(event: Event) -> str:
    """Rule and device, or bus."""
    return f"{event['rule']} {event['device'] or event.get('bus') or '-'}"


def level_shares(counts: Mapping[str, int]) -> list[tuple[list[str], int, float]]:
    """(levels, how many, percent) of the most severe level, the next, and all others; `counts` most severe first."""
    names, whole = list(counts), sum(counts.values())
    groups = [group for group in (names[:1], names[1:2], names[2:]) if group]
    numbers = [sum(counts[name] for name in group) for group in groups]
    return [(group, number, 100 * number / whole if whole else 0.0) for group, number in zip(groups, numbers, strict=True)]


def _acknowledged(events: Sequence[Event], wanting: set[str]) -> dict[str, Any]:
    """Of the alarms that want it, by the most severe level that they had: how many, how fast, and how many later than was promised."""
    begun: dict[str, Event] = {}
    wanted: set[str] = set()
    seen: dict[str, int] = {}
    for event in events:
        if event["edge"] == "raised" and not event.get("suppressed_by"):
            begun[event["id"]] = event
        if event["edge"] in _OPENING and event["level"] in wanting:
            wanted.add(event["id"])
        if event["edge"] == "acknowledged":
            said_ms = event.get("said_at_ms") or event["at_ms"]
            seen[event["id"]] = min(said_ms, seen.get(event["id"], said_ms))
    wanted &= begun.keys()
    waits = [(max(0, seen[found] - begun[found]["at_ms"]), begun[found].get("due") or {}, seen[found]) for found in wanted & seen.keys()]
    return {
        "acknowledge_wanted": len(wanted),
        "acknowledged": len(waits),
        "acknowledged_after_s": round(sum(wait_ms for wait_ms, _, _ in waits) / 1000 / len(waits), 1) if waits else None,
        "acknowledged_late": sum(bool(due) and at_ms > min(due.values()) for _, due, at_ms in waits),
    }


def _standing(events: Sequence[Event], open_alarms: Iterable[Event], to_ms: int) -> dict[str, Any]:
    """Alarms that lasted for more than a day in that time, those that are open now among them."""
    began = {event["id"]: event for event in events if event["edge"] == "raised" and not event.get("suppressed_by")}
    ends = {event["id"]: event["at_ms"] for event in events if event["edge"] in _ENDING}
    found = {alarm_id: name_of(event) for alarm_id, event in began.items() if ends.get(alarm_id, to_ms) - event["at_ms"] > STANDING_MS}
    for alarm in open_alarms:
        if alarm["state"] == "active" and alarm["visibility"] != "suppressed" and to_ms - alarm["raised_at_ms"] > STANDING_MS:
            found[alarm["alarm_id"]] = name_of(alarm)
    return {"standing": len(found), "standing_names": sorted(Counter(found.values()))}


def _flood_ms(times: Sequence[int], to_ms: int) -> int:
    """How long there was a flood: from the raise that is one too many within ten minutes until no more than a few are left in them."""
    recent: deque[int] = deque(maxlen=FLOOD_RAISES + 1)
    whole, began = 0, None
    for at in times:
        if began is not None and _flood_end(recent) <= at:
            whole, began = whole + _flood_end(recent) - began, None
        recent.append(at)
        if began is None and len(recent) > FLOOD_RAISES and at - recent[0] < TEN_MINUTES_MS:
            began = at
    return whole if began is None else whole + max(0, min(_flood_end(recent), to_ms) - began)


def _flood_end(recent: deque[int]) -> int:
    return recent[-FLOOD_OVER - 1] + TEN_MINUTES_MS


def _most(times: Sequence[int], span_ms: int) -> int:
    """Most of the times that lie within one span."""
    most = start = 0
    for end, at in enumerate(times):
        while times[start] <= at - span_ms:
            start += 1
        most = max(most, end - start + 1)
    return most
