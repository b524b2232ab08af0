"""`edgegw run`: the daemon in the foreground.

`--simulated-time SPEED@MONOTONIC_NS=WALL_MS` is for simulated stations alone and in no help: the daemon lives in a station's day that runs SPEED times as
fast as ours and was at WALL_MS when this machine's monotonic clock was at MONOTONIC_NS. `edgegw simulate` tells both.
"""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING

import click

from edgegw.cli.entry import serve
from edgegw.cli.settings import current
from edgegw.errors import EXIT_USAGE, EdgegwError

if TYPE_CHECKING:
    from edgegw.clock import Clock

# A day in some minutes; beyond that the waits of real lines are longer than the delays of the rules.
SPEED_MAX = 1000
_TIME = re.compile(r"(\d+(?:\.\d+)?)@(\d+)=(\d+)")


@click.command("run", help="The daemon in the foreground; --json writes its log lines as JSON, -v more of them.")
@click.option("--simulated-time", "words", hidden=True, metavar="SPEED@MONOTONIC_NS=WALL_MS")
def command(words: str | None) -> None:
    settings = current()
    clock = _simulated_time(words) if words else None
    click.get_current_context().exit(serve(settings.config, json_log=settings.json, verbose=settings.verbose, clock=clock))


def _simulated_time(words: str) -> Clock:
    """Raises EdgegwError where a service asks for it: a station that people charge at has our time."""
    from edgegw.clock import Clock

    found = _TIME.fullmatch(words)
    if found is None or not 1 <= float(found[1]) <= SPEED_MAX:
        raise click.BadParameter(f"{words!r} is not SPEED@MONOTONIC_NS=WALL_MS with a speed of 1 to {SPEED_MAX}", param_hint="--simulated-time")
    if "NOTIFY_SOCKET" in os.environ:
        raise EdgegwError("E-SIM-TIME", "simulated time is not for a service", "take --simulated-time out of the unit file", EXIT_USAGE)
    sys.stderr.write(f"SIMULATED TIME: {float(found[1]):g} times as fast as the real one. Nothing that is stored, sent or told is true of a real station.\n")
    return Clock(float(found[1]), (int(found[2]), int(found[3])))
