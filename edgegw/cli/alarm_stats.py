"""`edgegw alarms history` and `edgegw alarms stats`: what was, from the events that the store has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from edgegw.cli.alarm_figures import LEVEL_SHARES, figures, level_shares
from edgegw.cli.cells import folded, table, wrap
from edgegw.cli.output import Result, finish, screen_language, screen_width
from edgegw.cli.settings import Settings, current
from edgegw.cli.texts import duration
from edgegw.cli.texts_alarms import say, say_level, say_word
from edgegw.cli.times import local, seconds_of
from edgegw.control.client import Connection
from edgegw.errors import EXIT_NO_DAEMON, EXIT_OK, EXIT_UNKNOWN, EdgegwError

_INDENT = 4
# Of what was said and done: two lines are enough to find an alarm again, three for the reason that somebody gave.
_TEXT_MIN = 24
_TEXT_LINES = 3
_DEVICE_COLUMN = 4


@click.command("history", help="Raises, ends, acknowledgements of the past. Exit 4 where there is none.")
@click.argument("device", required=False, default="", metavar="[CODE]")
@click.option("--since", default="24h", show_default=True, metavar="TIME", help="So long back: 2h, 7d.")
def history(device: str, since: str) -> None:
    settings = current()
    data, gateway, language = _ask(settings, device, _look_back(since))
    events = data["events"]
    result = Result(
        data,
        gateway=gateway,
        exit_code=EXIT_OK if events else EXIT_UNKNOWN,
        screen=lambda: history_screen(data, language),
        rows=lambda: ((e["at_ms"], e["number"], e["edge"], e["level"], e["device"] or e.get("bus", ""), e["point"], e["value"], e["text"]) for e in events),
    )
    finish(settings, "alarms-history", result)


@click.command("stats", help="The figures by which alarms are judged: how many, how fast acknowledged, which most often.")
@click.option("--since", default="7d", show_default=True, metavar="TIME", help="So long back: 24h, 30d.")
def stats(since: str) -> None:
    settings = current()
    span_s = _look_back(since)
    data, gateway, language = _ask(settings, "", span_s, more="alarms")
    found = {
        "span_s": span_s,
        "stored_s": round((data["to_ms"] - data["from_ms"]) / 1000, 1),
        "whole": data["whole"],
        **figures(data["events"], data["levels"], data["alarms"], from_ms=data["from_ms"], to_ms=data["to_ms"]),
    }
    levels = {level["name"]: {"level": level["name"], "level_zh": level["name_zh"]} for level in data["levels"]}
    result = Result(found, gateway=gateway, screen=lambda: _stats_screen(found, levels, language), rows=found.items)
    finish(settings, "alarms-stats", result)


def _look_back(since: str) -> int:
    seconds = seconds_of("--since", since)
    if not seconds:
        raise click.UsageError("--since: 0 is no time to look back (24h, 30d)")
    return seconds


def _ask(settings: Settings, device: str, since_s: int, more: str = "") -> tuple[dict[str, Any], str, str]:
    """With what `more` answers beside it."""
    if settings.offline:
        raise EdgegwError("E-OFFLINE", "alarms are known to the running service alone", "leave out --offline", EXIT_NO_DAEMON)
    with Connection(settings.socket, settings.timeout_s) as daemon:
        data = daemon.ask("alarm-history", {"device": device, "since_s": since_s}, settings.timeout_s)
        beside = daemon.ask(more, {}, settings.timeout_s) if more else {}
        return {**beside, **data}, daemon.gateway, screen_language(settings, daemon.language)


# -- screens


def history_screen(data: dict[str, Any], language: str) -> Iterator[str]:
    events = data["events"]
    if not events:
        yield say(language, "history.none")
        return
    heads = [say(language, f"head.{name}") for name in ("time", "alarm", "edge", "level", "device", "what")]
    rows = [
        [
            local(event["at_ms"])[5:],
            f"#{event['number']}",
            say_word(language, "edge", event["edge"]),
            say_level(language, event),
            event["device"] or event.get("bus", "-"),
            _what(event, language),
        ]
        for event in events
    ]
    for lines in folded(heads, rows, width=screen_width(), least=_TEXT_MIN, lines=_TEXT_LINES, yielding=_DEVICE_COLUMN):
        yield from lines
    if not data["whole"]:
        yield from wrap(say(language, "history.more", len(events)), _INDENT, screen_width())


def _what(event: dict[str, Any], language: str) -> str:
    """Who did it and why comes first: it stands nowhere else."""
    word = say(language, "history.note", event["by"], event["note"]) if event.get("note") else event.get("by", "")
    return say(language, "mark.and").join(part for part in (word, event.get("reason", ""), _text(event, language)) if part)


def _text(event: dict[str, Any], language: str) -> str:
    return str((event.get("text_zh") if language == "zh" else "") or event["text"])


def _stats_screen(found: dict[str, Any], levels: dict[str, dict[str, Any]], language: str) -> Iterator[str]:
    asked, stored = duration(language, found["span_s"]), duration(language, found["stored_s"])
    yield say(language, "stats.span", asked) if asked == stored else say(language, "stats.span.stored", asked, stored)
    if not found["whole"]:
        yield from wrap(say(language, "stats.part"), _INDENT, screen_width())
    heads = [say(language, f"stats.head.{name}") for name in ("figure", "here", "good")]
    yield from table(heads, list(_figure_rows(found, levels, language)), right=frozenset(), flexible=1, width=screen_width())
    for name in ("chattering", "standing"):
        names = found["chattering"] if name == "chattering" else found["standing_names"]
        if names:
            yield from wrap(f"{say(language, f'stats.{name}')}: {', '.join(names)}", _INDENT, screen_width())
    if found["top"]:
        yield ""
        heads = [say(language, "stats.top"), say(language, "head.count")]
        yield from table(heads, [[top["name"], str(top["count"])] for top in found["top"]], right=frozenset({1}), flexible=0, width=screen_width())


def _figure_rows(found: dict[str, Any], levels: dict[str, dict[str, Any]], language: str) -> Iterator[list[str]]:
    """Figure, what it is here, what the trade takes for good."""
    targets = found["targets"]

    def row(name: str, here: object, target: str = "") -> list[str]:
        good = say(language, f"stats.good.{target}", f"{targets[name]:g}") if target else "-"
        return [say(language, f"stats.{name}"), "-" if here is None else str(here), good]

    yield row("raised", found["raised"])
    yield row("raised_a_day", found["raised_a_day"], "most")
    yield row("raised_in_10_min", found["raised_in_10_min"], "about")
    yield row("raised_in_10_min_max", found["raised_in_10_min_max"], "most")
    yield row("flood_percent", say(language, "stats.flood.is", f"{found['flood_minutes']:g}", f"{found['flood_percent']:g}"), "below")
    for (names, number, percent), share in zip(level_shares(found["levels"]), LEVEL_SHARES, strict=False):
        words = say(language, "stats.level.and").join(say_level(language, levels[name]) for name in names)
        here = say(language, "stats.level.is", number, f"{percent:.0f}") if found["raised"] else "0"
        yield [say(language, "stats.level", words), here, say(language, "stats.good.share", share)]
    yield row("acknowledged", say(language, "stats.acknowledged.is", found["acknowledged"], found["acknowledge_wanted"]))
    after_s = found["acknowledged_after_s"]
    after = "-" if after_s is None else say(language, "stats.after.is", duration(language, after_s), found["acknowledged_late"])
    yield [say(language, "stats.after"), after, say(language, "stats.good.promise")]
    yield row("chattering", len(found["chattering"]), "none")
    yield row("standing", found["standing"], "none")
    yield row("top_percent", None if found["top_percent"] is None else say(language, "stats.top.is", f"{found['top_percent']:g}"), "below")
