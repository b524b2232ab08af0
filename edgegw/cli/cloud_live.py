"""`edgegw cloud live`: for some minutes readings go to the cloud every second, for somebody who looks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from edgegw.cli.cells import WIDTH, wrap
from edgegw.cli.output import Result, finish, screen_language
from edgegw.cli.settings import current
from edgegw.cli.texts_cloud import say
from edgegw.control.client import Connection
from edgegw.errors import EXIT_NO_DAEMON, EdgegwError

MINUTES = 10
MINUTES_MAX = 60


@click.command("live", help="Send readings every second for some minutes; afterwards as before, by itself. Costs a SIM card some 50 kB a minute.")
@click.option("--for", "minutes", type=click.IntRange(0, MINUTES_MAX), default=MINUTES, metavar="MIN", help="Minutes (default 10); 0 ends it.")
def live(minutes: int) -> None:
    settings = current()
    if settings.offline:
        raise EdgegwError("E-OFFLINE", "only the running service sends", "leave out --offline", EXIT_NO_DAEMON)
    with Connection(settings.socket, settings.timeout_s) as daemon:
        data: dict[str, Any] = daemon.ask("live", {"minutes": minutes}, settings.timeout_s)
        gateway, language = daemon.gateway, screen_language(settings, daemon.language)
    finish(settings, "cloud-live", Result(data, gateway=gateway, screen=lambda: _screen(data, language), rows=lambda: [tuple(data.values())]))


def _screen(data: dict[str, Any], language: str) -> Iterator[str]:
    text_id = "live.on" if data["minutes"] else "live.off"
    yield from wrap(say(language, text_id, f"{data['window_s']:g}", data["minutes"]), 0, WIDTH)
    if data["economy"]:
        yield from wrap(say(language, "live.economy"), 0, WIDTH)
