"""`edgegw alarms history` and `edgegw alarms stats`: what was, from the events that the store has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import click

from edgegw.cli.cells import pad, table, wrap
from edgegw.cli.output import Result, finish, screen_language, screen_width
from edgegw.cli.settings import Settings, current
from edgegw.cli.texts import duration
from edgegw.cli.texts_alarms import say, say_level, say_word
from edgegw.cli.times import local, seconds_of
from edgegw.control.client import Connection
from edgegw.errors import EXIT_NO_DAEMON, EXIT_OK, EXIT_UNKNOWN, EdgegwError

# ISA-18.2: more than ten in ten minutes are more than one person can take.
FLOOD_SPAN_MS = 600_000
FLOOD_RAISES = 10
# Three raises within a minute: the limit or the contact chatters.
CHATTER_SPAN_MS = 60_000
CHATTER_RAISES = 3
STANDING_MS = 86_400_000
_TOP = 10
_DAY_MS = 86_400_000
_LABEL = 10


@click.command("history", help="Raises, ends, acknowledgements of the past. Exit 4 where there is none.")
@click.argument("device", required=False, default="", metavar="[CODE]")
@click.option("--since", default="24h", show_default=True, metavar="TIME", help="So long back: 2h, 7d.")
def history(device: str, since: str) -> None:
    settings = current()
    data, gateway, language = _ask(settings, device, seconds_of("--since", since))
    events = data["events"]
    result = Result(
        data,
        gateway=gateway,
        exit_code=EXIT_OK if events else EXIT_UNKNOWN,
        screen=lambda: _history_screen(data, language),
        rows=lambda: ((e["at_ms"], e["number"], e["edge"], e["level"], e["device"] or e.get("bus", ""), e["point"], e["value"], e["text"]) for e in events),
    )
    finish(settings, "alarms-history", result)


@click.command("stats", help="The figures by which alarms are judged: how many, how fast acknowledged, which most often.")
@click.option("--since", default="7d", show_default=True, metavar="TIME", help="So long back: 24h, 30d.")
def stats(since: str) -> None:
    settings = current()
    span_s = seconds_of("--since", since)
    data, gateway, language = _ask(settings, "", span_s)
    found = figures(data["events"], span_s)
    names = {event["level"]: event for event in data["events"]}
    result = Result(found, gateway=gateway, screen=lambda: _stats_screen(found, names, language), rows=lambda: ((name, value) for name, value in found.items()))
    finish(settings, "alarms-stats", result)


def _ask(settings: Settings, device: str, since_s: int) -> tuple[dict[str, Any], str, str]:
    if settings.offline:
        raise EdgegwError("E-OFFLINE", "alarms are known to the running service alone", "leave out --offline", EXIT_NO_DAEMON)
    with Connection(settings.socket, settings.timeout_s) as daemon:
        data = daemon.ask("alarm-history", {"device": device, "since_s": since_s}, settings.timeout_s)
        return data, daemon.gateway, screen_language(settings, daemon.language)


def figures(events: list[dict[str, Any]], span_s: int) -> dict[str, Any]:
    """Key figures of the events of `span_s` seconds, oldest first. Children of another alarm count for nobody's load."""
    raised = [event for event in events if event["edge"] == "raised" and not event.get("suppressed_by")]
    seen = {event["id"]: event["at_ms"] - event["raised_at_ms"] for event in events if event["edge"] == "acknowledged"}
    ends = {event["id"]: event["at_ms"] for event in events if event["edge"] == "cleared"}
    times = [event["at_ms"] for event in raised]
    now_ms = max((event["at_ms"] for event in events), default=0)
    wait_s = [seen[event["id"]] / 1000 for event in raised if event["id"] in seen]
    by_name: dict[str, list[int]] = {}
    for event in raised:
        by_name.setdefault(f"{event['rule']} {event['device'] or event.get('bus', '-')}", []).append(event["at_ms"])
    return {
        "span_s": span_s,
        "raised": len(raised),
        "raised_a_day": round(len(raised) * 86_400 / span_s, 1) if span_s else 0.0,
        "raised_in_10_min_max": _most(times, FLOOD_SPAN_MS),
        "flood_spans": sum(count > FLOOD_RAISES for count in Counter(at // FLOOD_SPAN_MS for at in times).values()),
        "levels": dict(Counter(event["level"] for event in raised)),
        "acknowledged": len(wait_s),
        "acknowledged_after_s": round(sum(wait_s) / len(wait_s), 1) if wait_s else None,
        "chattering": sorted(name for name, ats in by_name.items() if _most(ats, CHATTER_SPAN_MS) >= CHATTER_RAISES),
        "standing": sum(ends.get(event["id"], now_ms) - event["at_ms"] > STANDING_MS for event in raised),
        "top": [{"name": name, "count": len(ats)} for name, ats in sorted(by_name.items(), key=lambda item: -len(item[1]))[:_TOP]],
    }


def _most(times: list[int], span_ms: int) -> int:
    """Most of the times that lie within one span."""
    most = start = 0
    for end, at in enumerate(times):
        while times[start] <= at - span_ms:
            start += 1
        most = max(most, end - start + 1)
    return most


# -- screens


def _history_screen(data: dict[str, Any], language: str) -> Iterator[str]:
    events = data["events"]
    if not events:
        yield say(language, "history.none")
        return
    heads = [say(language, f"head.{name}") for name in ("time", "alarm", "edge", "level", "device", "what")]
    rows = [
        [
            local(event["at_ms"]),
            f"#{event['number']}",
            say_word(language, "edge", event["edge"]),
            say_level(language, event),
            event["device"] or event.get("bus", "-"),
            " ".join(str(part) for part in (event.get("by", ""), event.get("note", ""), _text(event, language)) if part),
        ]
        for event in events
    ]
    yield from table(heads, rows, right=frozenset(), flexible=5, width=screen_width())
    if not data["whole"]:
        yield from wrap(say(language, "history.more", len(events)), 4, screen_width())


def _text(event: dict[str, Any], language: str) -> str:
    return str((event.get("text_zh") if language == "zh" else "") or event["text"])


def _stats_screen(found: dict[str, Any], names: dict[str, dict[str, Any]], language: str) -> Iterator[str]:
    yield say(language, "stats.span", duration(language, found["span_s"]))
    mean = duration(language, found["acknowledged_after_s"])
    lines = [
        ("raised", say(language, "stats.raised.rate", found["raised"], found["raised_a_day"], found["raised_in_10_min_max"])),
        ("levels", "  ".join(f"{say_level(language, names[level])} {number}" for level, number in found["levels"].items()) or "-"),
        ("acknowledged", say(language, "stats.acknowledged.mean", found["acknowledged"], found["raised"], mean)),
        ("flood", say(language, "stats.flood.minutes", found["flood_spans"])),
        ("chattering", ", ".join(found["chattering"]) or "-"),
        ("standing", say(language, "stats.standing.count", found["standing"])),
    ]
    for name, text in lines:
        yield from wrap(pad(say(language, f"stats.{name}"), _LABEL) + text, _LABEL, screen_width())
    if found["top"]:
        yield ""
        heads = [say(language, "stats.top"), say(language, "head.count")]
        yield from table(heads, [[top["name"], str(top["count"])] for top in found["top"]], right=frozenset({1}), flexible=0, width=screen_width())
