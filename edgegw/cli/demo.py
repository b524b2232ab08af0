"""`edgegw demo`: the whole station on this machine, from simulated meters to the receiver's database."""

from __future__ import annotations

import json
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgegw.cli.output import screen_language
from edgegw.cli.settings import current
from edgegw.errors import EdgegwError

if TYPE_CHECKING:
    from edgegw.cli.rig import Rig

# The surge arrester fails in every demo: it shows how an alarm goes its way.
CONTACT = ("DI-01", "input.2")
CONTACT_CLOSES_S, CONTACT_OPENS_S = 4.0, 12.0
SCREEN_EVERY_S = 1.0
# Ctrl-C, `kill`, and a terminal that is closed.
_ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@click.command("demo", help="A whole simulated station: devices, gateway, broker, receiver. Ctrl-C ends it; --json: no screen, one line with the verdict.")
@click.option("--seconds", type=float, default=None, help="End by itself after this time, with a verdict.")
@click.option("--period", "period_s", type=float, default=1.0, show_default=True, help="Poll period of every group, in seconds.")
@click.option("--keep", type=click.Path(path_type=Path, file_okay=False), default=None, help="Leave keys, databases, journal and logs in this directory.")
def command(seconds: float | None, period_s: float, keep: Path | None) -> None:
    as_json = current().json
    with _directory(keep) as directory:
        verdict = _run(directory, seconds, period_s, show=not as_json)
        if keep:
            click.echo(f"Kept in {keep}", err=True)
    click.echo(json.dumps(verdict, ensure_ascii=False) if as_json else _sentence(verdict))
    raise SystemExit(0 if verdict["ok"] else 1)


@contextmanager
def _directory(keep: Path | None) -> Iterator[Path]:
    if keep:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="edgegw-demo-") as made:
        yield Path(made)


def _run(directory: Path, seconds: float | None, period_s: float, *, show: bool) -> dict[str, Any]:
    from edgegw.cli.rig import IDENTITY, Rig
    from edgegw.sim.audit import alarms_received

    rig = Rig(directory, period_s=period_s)
    # Whoever ends the demo before it runs, or a second time, gets no verdict; but nothing is left running.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        click.echo("Starting: simulated station, broker, receiver, gateway ...", err=True)
        rig.make_keys()
        rig.start_station()
        rig.start_broker()
        rig.start_receiver()
        rig.write_config()
        rig.start_gateway()
        alarm_due = _watch(rig, seconds, show=show)
        click.echo("Ending: the devices fall silent, what is under way is delivered ...", err=True)
        rig.drain()
        alarms = alarms_received(rig.sink, IDENTITY)
        ours = [alarm for alarm in alarms if alarm["device"] == CONTACT[0]]
        return _verdict(rig, well=rig.stop("gateway") == 0 and (bool(ours) or not alarm_due), alarms=ours)
    finally:
        for number in _ENDING_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        rig.close()


def _watch(rig: Rig, seconds: float | None, *, show: bool) -> bool:
    """Until the time is over or Ctrl-C; returns whether the contact was closed, so that its alarm must have come. Raises EdgegwError when a part ended by itself."""
    ended: list[int] = []
    before = {number: signal.signal(number, lambda got, _frame: ended.append(got)) for number in _ENDING_SIGNALS}
    started = time.monotonic()
    acts = [(CONTACT_CLOSES_S, "set", {"value": 1}), (CONTACT_OPENS_S, "release", {})]
    try:
        while not ended and (seconds is None or time.monotonic() - started < seconds):
            rig.must_run()
            if show:
                _show(rig, time.monotonic() - started)
            time.sleep(min(SCREEN_EVERY_S, 0.2 if not show else SCREEN_EVERY_S))
            while acts and time.monotonic() - started >= acts[0][0]:
                _, command, arguments = acts.pop(0)
                rig.tell_station(command, device=CONTACT[0], point=CONTACT[1], **arguments)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return len(acts) < 2


def _show(rig: Rig, elapsed_s: float) -> None:
    from edgegw.cli.status import render

    settings = current()
    try:
        status = rig.ask_gateway("status")
    except EdgegwError:
        return  # it is still starting
    counts = rig.tell_station("counts")
    answers = sum(device["answers"] for device in counts["devices"])
    click.clear()
    click.echo(f"Demo {elapsed_s:5.0f} s   devices answered {answers} times   Ctrl-C ends it")
    click.echo()
    for line in render(status, screen_language(settings), settings, None):
        click.echo(line)


def _verdict(rig: Rig, *, well: bool, alarms: list[dict[str, Any]]) -> dict[str, Any]:
    from edgegw.cli.rig import IDENTITY
    from edgegw.sim.audit import audit

    found = audit(rig.journal, rig.sink, IDENTITY)
    return {
        "schema": "edgegw.demo/1",
        "ok": found.ok and well,
        "devices": found.devices,
        "answers": found.answers,
        "values_received": found.values_received,
        "lost": found.lost_count,
        "duplicates": found.duplicates,
        "wrong": found.wrong,
        "time_error_ms_p99": found.time_error_ms_p99,
        "alarms": alarms,
    }


def _sentence(verdict: dict[str, Any]) -> str:
    word = "OK  " if verdict["ok"] else "FAIL"
    return (
        f"{word}  {verdict['devices']} devices, {verdict['answers']} answers; cloud: {verdict['values_received']} values, "
        f"{verdict['lost']} lost, {verdict['duplicates']} twice, alarms: {len(verdict['alarms'])}"
    )
