"""`edgegw simulate`: the simulated station alone, until Ctrl-C, SIGTERM or the control command `stop`."""

from __future__ import annotations

import json
import signal
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Any

import click

# The compressed day of the scenario: from before sunrise, an hour a minute unless --speed says otherwise.
DAY_START_HOUR = 6.0
DAY_SPEED = 60.0
# The signal handler only sets an event; the main thread looks for it this often, so that a signal is taken even while it waits.
LOOK_S = 0.5
# Beside the names of the serial ports.
CONTROL_NAME = "station.sock"


@click.command(name="simulate")
@click.argument("station_file", metavar="[STATION.toml]", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--scenario",
    metavar="day|FILE.toml",
    help="day: a whole day with its events from 06:00, an hour a minute; or a file with steps of your own. Default: real time from the station's start hour.",
)
@click.option("--speed", type=click.FloatRange(min=0, min_open=True, max=100_000), help="How fast the station's time runs. Above 1 serial lines are not paced.")
@click.option("--from", "begin", metavar="HH:MM", help="At which time of its day the station starts. Default: 06:00 of the day, else the station's start hour.")
@click.option(
    "--journal",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to which every answer is appended (JSON lines). Default: a file that is removed at the end.",
)
@click.option(
    "--control",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Control socket. Default: station.sock in the station file's directory of links, else one that is removed at the end.",
)
@click.option("--tell", metavar="WORDS", help="To the station that runs already: 'fault device=M-IN kind=crc', as docs/simulator.md has them.")
def command(**options: Any) -> None:
    """Run a simulated station on real ports.

    The first line is JSON: the buses with their ptys and TCP ports, the devices, the control socket and the journal.
    """
    if options["tell"]:
        _tell(options["station_file"], options["control"], options["tell"])
    else:
        _run(options["station_file"], options["scenario"], options["speed"], options["journal"], options["control"], _hour(options["begin"]))


def _tell(station_file: Path | None, control: Path | None, words: str) -> None:
    """One command to a running station; its answer is printed. Raises EdgegwError when none answers or it refuses."""
    from edgegw.errors import EXIT_CHECK_FAILED, EdgegwError
    from edgegw.sim.station import load_station
    from edgegw.sim.tell import parse_words, tell

    links = load_station(station_file).links
    path = control or (Path(links) / CONTROL_NAME if links else None)
    if path is None:
        raise click.UsageError("--tell needs --control, the socket that the station printed, or a station file with links.")
    answer = tell(path, parse_words(words))
    if not answer["ok"]:
        raise EdgegwError("E-SIM-TELL", f"the station refuses: {answer['error']}", "the commands are in docs/simulator.md", EXIT_CHECK_FAILED)
    click.echo(json.dumps(answer, ensure_ascii=False))


def _hour(begin: str | None) -> float | None:
    """`15:20` as an hour with its fraction."""
    if begin is None:
        return None
    hours, _, minutes = begin.partition(":")
    if not (hours.isdecimal() and minutes.isdecimal() and int(hours) < 24 and int(minutes) < 60):
        raise click.BadParameter(f"{begin!r} is no time of the day like 15:20", param_hint="--from")
    return int(hours) + int(minutes) / 60


def _run(  # noqa: PLR0913, PLR0917 - the command's options
    station_file: Path | None, scenario: str | None, speed: float | None, journal: Path | None, control: Path | None, hour: float | None
) -> None:
    import msgspec

    from edgegw.cli.settings import current
    from edgegw.sim.scenario import load_scenario
    from edgegw.sim.simulator import Simulator
    from edgegw.sim.station import load_station

    station = load_station(station_file)
    steps = load_scenario(scenario) if scenario else None
    if scenario == "day":
        hour = DAY_START_HOUR if hour is None else hour
        speed = speed or DAY_SPEED
    if hour is not None:
        station = msgspec.structs.replace(station, start_hour=hour)
    if control is None and station.links:
        control = Path(station.links) / CONTROL_NAME
        control.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        if journal is None or control is None:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edgegw-simulate-")))
            journal, control = journal or directory / "journal.jsonl", control or directory / "control.sock"
        simulator = Simulator(station, journal=journal, control=control, speed=speed or 1.0, scenario=steps)

        def end(_number: int, _frame: FrameType | None) -> None:
            simulator.ask_to_stop()

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, end)
        stack.enter_context(simulator)
        click.echo(json.dumps(simulator.description(), ensure_ascii=False))
        if not current().json:
            click.echo(f"{len(station.device)} devices on {len(station.bus)} buses. Ctrl-C ends the station.", err=True)
        while not simulator.wait(LOOK_S):
            pass
