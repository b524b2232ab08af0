"""How a command ends: a screen, a JSON frame or plain fields on stdout, everything else on stderr, and an exit code."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

import click

from edgegw.cli.cells import WIDTH
from edgegw.cli.settings import Settings
from edgegw.errors import EXIT_OK, EXIT_WARNINGS, EdgegwError, lookup

_COLOURS = {"OK": "32", "正常": "32", "WARN": "33", "警告": "33", "FAIL": "31", "故障": "31", "stale": "90", "数据过期": "90", "error": "31", "warning": "33"}


class Result(NamedTuple):
    """What a command found, for each form of output. `more` are fields of the JSON frame beside the common ones."""

    data: Any
    screen: Callable[[], Iterable[str]]
    rows: Callable[[], Iterable[Sequence[object]]]
    gateway: str = ""
    exit_code: int = EXIT_OK
    more: Mapping[str, Any] = {}


def frame(command: str, data: Any, *, gateway: str = "", ok: bool = True, **more: Any) -> str:
    """The one JSON object of a command; it may only grow."""
    now = time.time()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03}Z"
    body = {"schema": f"edgegw.{command}/1", "time": stamp, "gateway": gateway, "ok": ok, "data": data, "warnings": [], "error": None}
    ascii_only = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
    return json.dumps({**body, **more}, ensure_ascii=ascii_only, separators=(",", ":"))


def finish(settings: Settings, command: str, result: Result) -> NoReturn:
    """Writes the result in the form that was asked for, at once, and leaves with its exit code."""
    if settings.json:
        ok = result.exit_code in (EXIT_OK, EXIT_WARNINGS)
        text = frame(command, result.data, gateway=result.gateway, ok=ok, **result.more)
    elif settings.plain:
        text = "\n".join("\t".join("" if field is None else str(field) for field in row) for row in result.rows())
    else:
        text = "" if settings.quiet else "\n".join(result.screen())
    if text:
        _write(text)
    click.get_current_context().exit(result.exit_code)


def _write(text: str) -> None:
    # Not click.echo: it writes UTF-8 to a terminal that says it is ASCII.
    sys.stdout.write(text + "\n")


def complain(fault: EdgegwError, *, language: str, json_command: str | None) -> None:
    """An error for a person on stderr, and for a program on stdout when it asked for JSON."""
    message = lookup(fault.message_id)
    line = str(fault)
    if language == "zh" and message:
        step = message.next_zh or fault.next_step
        line = f"{fault.message_id}: {message.zh.removesuffix('。')}（{fault.text}）" + (f"。下一步: {step}" if step else "")
    click.echo(line, err=True)
    if json_command:
        _write(frame(json_command, None, ok=False, error=error_object(fault)))


def error_object(fault: EdgegwError) -> dict[str, Any]:
    """The form of `error` in a JSON frame."""
    message = lookup(fault.message_id)
    return {"id": fault.message_id, "text": fault.text, "cause": [message.en] if message else [], "next": [fault.next_step] if fault.next_step else []}


# -- the terminal


def screen_language(settings: Settings, daemon: str = "") -> str:
    """The caller's language, else the gateway's; English where the terminal cannot show Chinese."""
    wanted = settings.language or daemon or "en"
    if wanted != "zh":
        return "en"
    try:
        "离线".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return "en"
    return "zh"


def screen_width() -> int:
    """80, or more where the terminal is wider."""
    try:
        return max(WIDTH, os.get_terminal_size(sys.stdout.fileno()).columns)
    except (OSError, ValueError):
        return WIDTH


def use_colour(settings: Settings) -> bool:
    return sys.stdout.isatty() and not settings.no_color and os.environ.get("TERM") != "dumb"


def paint(line: str, word: str, settings: Settings) -> str:
    """Colours one word of a finished line: padding is counted before, and the word says the same without colour."""
    colour = _COLOURS.get(word)
    if not colour or not word or not use_colour(settings):
        return line
    return line.replace(word, f"\033[{colour}m{word}\033[0m", 1)
