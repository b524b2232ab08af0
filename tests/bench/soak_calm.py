"""Normal running of the reference station in virtual time, sessions, clouds and nights: no alarm at all.  [HOURS] [SEED]

72 h unless told otherwise, some minutes of work. tests/unit/test_day_virtual.py does the same for a night.
"""

from __future__ import annotations

import time

HOURS, SEED = 72.0, 10
NOON = 12.0


def main(arguments: list[str]) -> int:
    from edgegw.sim.scenario import Scenario
    from tests.day_rig import Day, day_station

    hours = float(arguments[0]) if arguments else HOURS
    seed = int(arguments[1]) if len(arguments) > 1 else SEED
    started_s = time.process_time()
    day = Day(day_station(NOON, seed), Scenario()).run_until(NOON + hours)
    alarms = [(at, event.body["rule"], event.device or event.body.get("bus")) for at, event in day.events if event.kind == "alarm"]
    for at, rule, who in alarms:
        print(f"{at}  {rule}  {who}")
    took_s = time.process_time() - started_s
    print(
        f"{hours:g} h, seed {seed}: {len(alarms)} events of alarms, {len(day.told)} told; {day.polls:,} polls, {len(day.events):,} events, {took_s:.0f} s of CPU"
    )
    return 1 if alarms or day.told else 0
