"""`edgegw bus monitor BUS`: the frames of a bus as they come, while polling goes on. Only looks; the bus notices nothing of it.

With --json, and in the file of --write, one object a line:

    {"event":"start","schema":"edgegw.bus-monitor/1","gateway":...,"bus":"rs485a","settings":{"kind":"serial","baudrate":9600,...}}
    {"event":"frame","number":17,"time":"...Z","mono_ns":...,"direction":"out","kind":"question","unit":11,"address":"","protocol":"modbus","hex":"0b03...","delta_ms":12.3,"words":{...}}
    {"event":"line","number":18,"time":"...Z","mono_ns":...,"direction":"line","kind":"closed","text":"...","delta_ms":0.4}     opened, closed, not_opened
    {"event":"lost","frames":3}         what came faster than it was fetched
    {"event":"end","frames":120,"lost":3}
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

import click

from edgegw.cli.bus_frames import decode, is_of_line, sentence
from edgegw.cli.cells import cut, wrap
from edgegw.cli.output import screen_language, screen_width
from edgegw.cli.settings import Settings, current
from edgegw.cli.texts import say
from edgegw.control.client import Connection
from edgegw.errors import EXIT_NO_DAEMON, EXIT_USAGE, EdgegwError

SCHEMA = "edgegw.bus-monitor/1"
# Four times a second, as often as a screen may change; a line at full speed brings some ten frames meanwhile.
FETCH_S = 0.25
_INDENT = 24


@click.command("monitor", help="The frames of a bus as they come, decoded, with times. Polling goes on; Ctrl-C ends it.")
@click.argument("bus")
@click.option("--hex", "as_hex", is_flag=True, help="The bytes of each frame too.")
@click.option("--seconds", type=click.FloatRange(0.1), metavar="N", help="End after so long (default: at Ctrl-C).")
@click.option("--last", is_flag=True, help="Begin with the frames that the service still has.")
@click.option("--write", "path", metavar="FILE", help="Write them to a file too, one JSON object a line.")
def monitor(bus: str, path: str | None, seconds: float | None, *, as_hex: bool, last: bool) -> None:
    settings = current()
    if settings.offline:
        raise EdgegwError("E-OFFLINE", "the frames are those of the running service", "leave out --offline", EXIT_NO_DAEMON)
    with ExitStack() as stack:
        daemon = stack.enter_context(Connection(settings.socket, settings.timeout_s))
        shown = Shown(settings, screen_language(settings, daemon.language), stack.enter_context(_opened(path)) if path else None, as_hex=as_hex)
        watch(daemon, bus, shown, seconds, 0 if last else -1)


def watch(daemon: Connection, bus: str, shown: Shown, seconds: float | None, cursor: int) -> None:
    """Asks again and again until the time is over or Ctrl-C, which is no reason to lose the last line."""
    until_s = float("inf") if seconds is None else time.monotonic() + seconds
    try:
        while True:
            data = daemon.ask("bus-frames", {"bus": bus, "cursor": cursor}, shown.settings.timeout_s)
            shown.part(daemon.gateway, data)
            cursor = data["cursor"]
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                return
            time.sleep(min(FETCH_S, left_s))
    finally:
        shown.end()


def _opened(path: str) -> TextIO:
    try:
        return Path(path).open("w", encoding="utf-8")
    except OSError as fault:
        raise EdgegwError("E-USAGE", f"{path} cannot be written: {fault.strerror}", "name another file", EXIT_USAGE) from fault


class Shown:
    """What was told so far, and how the next frames are told."""

    def __init__(self, settings: Settings, language: str, file: TextIO | None, *, as_hex: bool) -> None:
        self.settings = settings
        self._language = language
        self._file = file
        self._as_hex = as_hex
        self._frames = 0
        self._lost = 0
        self._before_ns: int | None = None
        self._started = False

    def part(self, gateway: str, data: dict[str, Any]) -> None:
        """One answer of the service, at once."""
        if not self._started:
            self._started = True
            start = {"event": "start", "schema": SCHEMA, "gateway": gateway, "bus": data["bus"], "settings": data["settings"]}
            self._tell(start, [cut(say(self._language, "monitor.title", data["bus"], data["line"]), screen_width())])
        elif data["lost"]:  # What was no longer kept at the start is not lost.
            self._lost += data["lost"]
            self._tell({"event": "lost", "frames": data["lost"]}, [say(self._language, "monitor.lost", data["lost"])])
        for frame in data["frames"]:
            self._frames += 1
            event = self._event(frame, tcp=data["settings"]["kind"] == "tcp")
            self._tell(event, self._lines(event))
        sys.stdout.flush()

    def end(self) -> None:
        if self._started:
            self._tell({"event": "end", "frames": self._frames, "lost": self._lost}, [say(self._language, "monitor.end", self._frames, self._lost)])

    def _event(self, frame: dict[str, Any], *, tcp: bool) -> dict[str, Any]:
        before_ns, self._before_ns = self._before_ns, frame["mono_ns"]
        delta_ms = None if before_ns is None else round((frame["mono_ns"] - before_ns) / 1e6, 1)
        if is_of_line(frame):
            return {"event": "line", **frame, "delta_ms": delta_ms}
        return {"event": "frame", **frame, "delta_ms": delta_ms, "words": decode(frame, tcp=tcp)}

    def _tell(self, event: dict[str, Any], lines: list[str]) -> None:
        text = json.dumps(event, separators=(",", ":"))
        if self._file is not None:
            self._file.write(text + "\n")
        if self.settings.json:
            lines = [text]
        elif self.settings.plain:
            lines = ["\t".join(map(str, _plain(event)))] if event["event"] in {"frame", "line"} else []
        elif self.settings.quiet:
            lines = []
        sys.stdout.write("".join(f"{line}\n" for line in lines))

    def _lines(self, event: dict[str, Any]) -> list[str]:
        delta = "" if event["delta_ms"] is None else f"+{event['delta_ms']:.1f}"
        arrow = {"out": ">", "in": "<"}.get(event["direction"], "|")
        first = cut(f"{event['time'][11:23]} {delta:>8} {arrow} {sentence(event, self._language)}", screen_width())
        if not self._as_hex or not event.get("hex"):
            return [first]
        return [first, *(" " * _INDENT + line for line in wrap(_spaced(event["hex"]), 0, screen_width() - _INDENT))]


def _plain(event: dict[str, Any]) -> list[object]:
    """Number, time, pause, direction, kind, unit or address, bytes (of an event of the line: its words)."""
    who = event["text"] if event["event"] == "line" else event["hex"]
    return [*(event[name] for name in ("number", "time", "delta_ms", "direction", "kind")), event.get("address") or event.get("unit", ""), who]


def _spaced(text: str) -> str:
    return " ".join(text[at : at + 2] for at in range(0, len(text), 2)).upper()
