"""The compressed day of the reference station on real ports: exactly the expected alarms are told.  [SPEED] [SEED] [--from HH:MM] [--to HH:MM]

Simulated station, gateway, mosquitto and receiver, each its own process, in one simulated time. Speed 20, seed 10, from 11:30 to 22:30, which takes 33
minutes; from 15:10 to 20:30 it is a quarter of an hour. Begin in daylight: an inverter that nobody has heard yet is offline and not asleep. A machine
that is busy with other things stops lines for longer than the day allows: use a lower speed there. In virtual time: tests/unit/test_day_virtual.py.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

SPEED, SEED = 20.0, 10
# What is told besides is shown up to here.
SHOWN_MAX = 60


def main(arguments: list[str]) -> int:
    from tests.day_real import run_day

    parser = argparse.ArgumentParser(prog="./dev soak day")
    parser.add_argument("speed", nargs="?", type=float, default=SPEED)
    parser.add_argument("seed", nargs="?", type=int, default=SEED)
    parser.add_argument("--from", dest="begin", type=hour, default=11.5, metavar="HH:MM")
    parser.add_argument("--to", dest="end", type=hour, default=22.5, metavar="HH:MM")
    parser.add_argument("--keep", metavar="DIR", help="logs and databases stay here")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="edgegw-day-") as directory:
        place = Path(options.keep or directory)
        place.mkdir(parents=True, exist_ok=True)
        verdict = run_day(place, options.speed, options.seed, options.begin, options.end)
    print("\n".join(f"{at}  {call.level:<9}{call.what}  {call.subject}" for at, call in verdict.calls[:SHOWN_MAX]))
    print(f"dips written down: {', '.join(verdict.dips) or 'none'}")
    for rule, who in sorted(verdict.astray):
        print(f"NOT BELOW ITS ROOT: {rule}  {who}")
    told = [call for _, call in verdict.calls]
    for call in (call for call in verdict.wanted if call not in told):
        print(f"MISSING: {call.what}  {call.subject}")
    for at, call in verdict.calls:
        if call not in verdict.wanted:
            print(f"NOT EXPECTED: {at} {call.what}  {call.subject}")
    judged = "as expected" if verdict.good else "NOT AS EXPECTED"
    figures = f"{len(told)} told of {len(verdict.wanted)}, {verdict.events:,} events, {verdict.values:,} values, load {os.getloadavg()[0]:.1f}"
    print(f"day at speed {options.speed:g}, seed {options.seed}: {judged}; {figures}, exit {verdict.exit_code}")
    return 0 if verdict.good else 1


def hour(text: str) -> float:
    """`15:20` as an hour with its fraction."""
    hours, _, minutes = text.partition(":")
    return int(hours) + int(minutes or 0) / 60
