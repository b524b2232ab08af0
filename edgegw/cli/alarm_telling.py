"""`edgegw alarms test` and `edgegw alarms notifications`: whether people are reached, and what they were told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from edgegw.cli.cells import pad, table, wrap
from edgegw.cli.output import Result, finish, screen_language, screen_width
from edgegw.cli.settings import DEFAULT_TIMEOUT_S, Settings, current
from edgegw.cli.texts_telling import say, say_word
from edgegw.cli.times import local, seconds_of
from edgegw.control.client import Connection
from edgegw.errors import EXIT_CHECK_FAILED, EXIT_NO_DAEMON, EXIT_OK, EXIT_WARNINGS, EdgegwError

# A modem takes ten seconds for one message, a server that hangs a minute; several recipients are told one after the other.
TEST_TIMEOUT_S = 180.0
_INDENT = 4
_LABEL = 9
# Of one alarm on its screen; all are in `alarms notifications ID`.
_SHOWN = 8
# Of these people want to know the reason in full.
_TROUBLE = frozenset({"waiting", "under_way", "given_up", "refused", "failed"})


@click.command("test", help="Sends a test to everybody whom a channel reaches, now. Exit 1 where one fails, 10 where a channel reaches nobody.")
@click.argument("channel", metavar="CHANNEL|all")
def test(channel: str) -> None:
    settings = current()
    timeout_s = max(settings.timeout_s, TEST_TIMEOUT_S) if settings.timeout_s == DEFAULT_TIMEOUT_S else settings.timeout_s
    data, gateway, language = _ask(settings, "alarm-test", {"channel": channel}, timeout_s)
    results = data["results"]
    outcomes = {result["outcome"] for result in results}
    result = Result(
        data,
        gateway=gateway,
        exit_code=EXIT_CHECK_FAILED if "failed" in outcomes else EXIT_WARNINGS if "nobody" in outcomes else EXIT_OK,
        screen=lambda: _test_screen(results, language),
        rows=lambda: ((one["channel"], one["recipient"], one["outcome"], one["took_s"], one["detail"]) for one in results),
    )
    finish(settings, "alarms-test", result)


@click.command("notifications", help="What was told to whom, and what still waits; of one alarm or all. Exit 10 while something waits or was given up.")
@click.argument("number", type=int, required=False, default=0, metavar="[ID]")
@click.option("--since", default="24h", show_default=True, metavar="TIME", help="So long back: 2h, 7d.")
def notifications(number: int, since: str) -> None:
    settings = current()
    data, gateway, language = _ask(settings, "alarm-notices", {"number": number, "since_s": seconds_of("--since", since)}, settings.timeout_s)
    lost = any(one["outcome"] not in ("delivered", "joined", "failed", "needless") for one in data["told"])
    result = Result(
        data,
        gateway=gateway,
        exit_code=EXIT_WARNINGS if lost or data["waiting"] else EXIT_OK,
        screen=lambda: _notifications_screen(data, language),
        rows=lambda: ((one["at_ms"], _alarms(one), one["why"], one["channel"], one["recipient"], _outcome(one), one["detail"]) for one in _all(data)),
    )
    finish(settings, "alarms-notifications", result)


def told_of(settings: Settings, alarm: dict[str, Any]) -> dict[str, Any]:
    """Of `alarms show`: what was told of an alarm, and what waits."""
    since_s = max(0.0, alarm["for_s"]) + 86_400
    return _ask(settings, "alarm-notices", {"number": alarm["number"], "since_s": since_s}, settings.timeout_s)[0]


def told_lines(data: dict[str, Any], language: str) -> Iterator[str]:
    """The newest of it, line by line; nothing where there is no channel."""
    shown = _all(data)[-_SHOWN:]
    texts = [f"{local(one['at_ms'])}  {_who(one)}: {_result(one, language)}" for one in shown]
    for number, text in enumerate([*texts, *_reasons(shown)] or [say(language, "show.nobody")] if data["channels"] else []):
        yield from wrap(pad("" if number else say(language, "show.told"), _LABEL) + text, _LABEL, screen_width())


def _reasons(found: list[dict[str, Any]]) -> list[str]:
    """What went wrong, in full, each once: fifty notices fail for one reason."""
    return list(dict.fromkeys(f"{one['channel']}: {one['detail']}" for one in found if _outcome(one) in _TROUBLE and one["detail"]))


def _who(one: dict[str, Any]) -> str:
    return f"{one['channel']} {one['recipient']}".rstrip()


def _ask(settings: Settings, question: str, arguments: dict[str, Any], timeout_s: float) -> tuple[dict[str, Any], str, str]:
    if settings.offline:
        raise EdgegwError("E-OFFLINE", "people are told by the running service alone", "leave out --offline", EXIT_NO_DAEMON)
    with Connection(settings.socket, settings.timeout_s) as daemon:
        return daemon.ask(question, arguments, timeout_s), daemon.gateway, screen_language(settings, daemon.language)


# -- screens


def _test_screen(results: list[dict[str, Any]], language: str) -> Iterator[str]:
    heads = [say(language, f"head.{name}") for name in ("channel", "recipient", "result", "took", "said")]
    rows = [
        [
            one["channel"],
            one["recipient"] or "-",
            say_word(language, "outcome", one["outcome"]),
            f"{one['took_s']:.1f} s",
            say(language, "nobody") if one["outcome"] == "nobody" else one["detail"],
        ]
        for one in results
    ]
    yield from table(heads, rows, right=frozenset({3}), flexible=4, width=screen_width())
    for one in (one for one in results if one["outcome"] == "failed"):
        yield ""
        yield from wrap(f"{_who(one)}: {one['detail']}", _INDENT, screen_width())


def _notifications_screen(data: dict[str, Any], language: str) -> Iterator[str]:
    found = _all(data)
    if not found:
        yield say(language, "none")
        return
    heads = [say(language, f"head.{name}") for name in ("time", "alarm", "why", "channel", "recipient", "result")]
    rows = [
        [local(one["at_ms"]), _alarms(one), say_word(language, "why", one["why"]), one["channel"], one["recipient"] or "-", _result(one, language)]
        for one in found
    ]
    yield from table(heads, rows, right=frozenset(), flexible=5, width=screen_width())
    for text in _reasons(found):
        yield from wrap(text, _INDENT, screen_width())
    if data["waiting_count"]:
        yield from wrap(say(language, "waiting", data["waiting_count"]), _INDENT, screen_width())


def _all(data: dict[str, Any]) -> list[dict[str, Any]]:
    """What was told, then what waits."""
    return [*data["told"], *data["waiting"]]


def _outcome(one: dict[str, Any]) -> str:
    return str(one.get("outcome") or ("under_way" if one["under_way"] else "waiting"))


def _alarms(one: dict[str, Any]) -> str:
    numbers = one.get("numbers") or []
    more = f"+{one['count'] - 1}" if one.get("count", 1) > 1 else ""
    return f"#{numbers[0]}{more}" if numbers else "-"


def _result(one: dict[str, Any], language: str) -> str:
    parts = [say_word(language, "outcome", _outcome(one))]
    if one.get("attempts", 1) > 1 or (one.get("attempts") and "outcome" not in one):
        parts.append(say(language, "attempts", one["attempts"]) if one["attempts"] > 1 else say(language, "tried.once"))
    if one.get("escalated_after_min"):
        parts.append(say(language, "escalated", one["escalated_after_min"]))
    if one.get("not_before_ms") and "outcome" not in one:
        parts.append(say(language, "later", local(one["not_before_ms"])[:16]))
    detail = one["detail"].split(":")[0] if _outcome(one) in _TROUBLE else one["detail"]
    return say(language, "and").join(parts) + (f": {detail}" if detail else "")
