"""The screens of `edgegw alarms`: the list, and one alarm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from edgegw.cli.cells import both_ends, folded, pad, wrap
from edgegw.cli.output import screen_width
from edgegw.cli.texts import duration
from edgegw.cli.texts import say as say_common
from edgegw.cli.texts_alarms import say, say_level, say_word
from edgegw.cli.times import local

_LABEL = 9
_INDENT = 4
# Of a text on the list: what it is about stands in its beginning, all of it in `alarms show`.
_TEXT_MIN = 30
_TEXT_LINES = 3
# Of the alarms below one; `alarms --all` has them all.
_BELOW_SHOWN = 12
# Below the level: beside the number nothing else stands.
_MARKS_INDENT = 7
# The one rule whose alarms are of a bus.
_BUS_OFFLINE = "bus offline"
# What an alarm of no device and no bus is of: channels, uplinks, the store.
_GATEWAY = "gateway"


def text_of(alarm: dict[str, Any], language: str) -> str:
    """With the name of the contact where it says more: a module has several of the same text."""
    text, contact = str((alarm.get("text_zh") if language == "zh" else "") or alarm["text"] or alarm["point"]), alarm.get("contact") or ""
    return text if contact in text else f"{text} ({contact})"


def list_screen(shown: list[dict[str, Any]], data: dict[str, Any], language: str, exit_code: int) -> Iterator[str]:
    hidden = sum(alarm["visibility"] != "shown" for alarm in data["alarms"]) - sum(alarm["visibility"] != "shown" for alarm in shown)
    if shown:
        heads = [say(language, f"head.{name}") for name in ("alarm", "level", "for", "device", "place", "what")]
        rows = [
            [
                f"#{alarm['number']}",
                say_level(language, alarm),
                duration(language, alarm["for_s"]),
                alarm["device"],
                alarm["place"] or "-",
                text_of(alarm, language),
            ]
            for alarm in shown
        ]
        head, *lines = folded(heads, rows, width=screen_width(), least=_TEXT_MIN, lines=_TEXT_LINES, yielding=4)
        yield from head
        for alarm, its_lines in zip(shown, lines, strict=True):
            yield from its_lines
            yield from _marks_below(alarm, language)
    else:
        others = len(data["alarms"]) - hidden
        yield say(language, "none.chosen", others) if others else say(language, "none")
    if hidden:
        yield from wrap(say(language, "hidden", hidden), _INDENT, screen_width())
    yield from fault_lines(data["service_state"], language)
    for out in data["out_of_service"]:
        yield from wrap(say(language, "out", out["device"], local(out["until_ms"]), out["by"], out["note"]), _INDENT, screen_width())
    if shown:
        yield both_ends(say(language, "next", f"edgegw alarms show {shown[0]['number']}"), say_common(language, "exit", exit_code))


def fault_lines(states: list[dict[str, Any]], language: str) -> Iterator[str]:
    """Devices that nobody should charge at."""
    for state in states:
        yield from wrap(say(language, "fault", state["device"], ", ".join(f"#{number}" for number in state["alarms"])), _INDENT, screen_width())


def _marks_below(alarm: dict[str, Any], language: str) -> list[str]:
    """On a line of their own, so that neither they nor the text push the other out of sight."""
    marks = say(language, "mark.and").join(marks_of(alarm, language))
    return wrap(" " * _MARKS_INDENT + say(language, "mark.line", marks), _MARKS_INDENT + 1, screen_width()) if marks else []


def marks_of(alarm: dict[str, Any], language: str) -> Iterator[str]:
    if alarm.get("overdue"):
        yield say(language, "mark.overdue", say_word(language, "show.due", alarm["overdue"]))
    if alarm["state"] == "returned":
        yield say(language, "mark.latched" if alarm["latched"] else "mark.returned")
    for mark in (mark for mark in ("chattering", "first_out") if alarm.get(mark)):
        yield say_word(language, "mark", mark)
    if alarm["acknowledged"]:
        yield say(language, "mark.acknowledged", alarm["acknowledged_by"])
    if alarm["visibility"] == "suppressed" and alarm.get("below"):
        yield say(language, "mark.below", alarm["below"])
    elif alarm["visibility"] != "shown":
        yield say_word(language, "mark", alarm["visibility"])


def show_screen(alarm: dict[str, Any], language: str, below: Sequence[int] = ()) -> Iterator[str]:
    yield from wrap(f"#{alarm['number']}  {text_of(alarm, language)}", _INDENT, screen_width())
    marks = "  ".join(marks_of(alarm, language))
    place = "  ".join(part for part in (alarm["device"], alarm["place"], alarm["point"]) if part)
    lines = [("level", f"{say_level(language, alarm)}  {marks}".rstrip()), ("device", place)]
    if alarm["value"] is not None:
        lines.append(("value", _value(alarm, language)))
    lines += [("began", local(alarm["began_at_ms"])), ("raised", local(alarm["raised_at_ms"]))]
    if alarm.get("told_at_ms") is not None:
        lines.append(("told", local(alarm["told_at_ms"])))
    seen = say(language, "show.by", local(alarm["acknowledged_at_ms"]), alarm["acknowledged_by"], alarm["note"]).rstrip() if alarm["acknowledged"] else None
    lines.append(("acknowledged", seen or say(language, "show.not_yet")))
    if alarm["cleared_at_ms"] is not None:
        lines.append(("cleared", local(alarm["cleared_at_ms"])))
    due = "  ".join(f"{say_word(language, 'show.due', deadline['what'])} {local(deadline['at_ms'])[5:16]}" for deadline in alarm["deadlines"])
    if due:
        lines.append(("due", due))
    lines += [(name, alarm.get(f"{name}_zh" if language == "zh" else name) or alarm.get(name, "")) for name in ("cause", "step")]
    lines.append(("below", _counted(below, language)))
    lines.append(("rule", alarm["rule"]))
    for name, text in ((name, text) for name, text in lines if text):
        yield from wrap(pad(say(language, f"show.{name}"), _LABEL) + text, _LABEL, screen_width())
    yield say(language, "next", next_step(alarm))


def _counted(numbers: Sequence[int], language: str) -> str:
    """What is hidden below an alarm: the first few by their numbers."""
    shown = ", ".join(f"#{number}" for number in numbers[:_BELOW_SHOWN])
    return say(language, "show.below.more", shown, len(numbers) - _BELOW_SHOWN) if len(numbers) > _BELOW_SHOWN else shown


def _value(alarm: dict[str, Any], language: str) -> str:
    """With its limit, save where that is the value itself: of a contact it says nothing."""
    unit = alarm.get("unit_text", alarm["unit"])
    value, limit = (None if number is None else f"{number:g} {unit}".rstrip() for number in (alarm["value"], alarm["limit"]))
    return str(value) if limit in (None, value) else say(language, "show.limit", value, limit)


def next_step(alarm: dict[str, Any]) -> str:
    looks = {_BUS_OFFLINE: f"edgegw bus stats {alarm['device']}"}
    look = looks.get(alarm["rule"]) or ("edgegw status" if alarm["device"] == _GATEWAY else f"edgegw read {alarm['device']} --fresh")
    if alarm["state"] == "returned" and alarm["latched"]:
        return f"{look} | edgegw alarms reset {alarm['number']}"
    return look if alarm["acknowledged"] else f"{look} | edgegw alarms ack {alarm['number']} -m ..."
