"""What `edgegw status` gets of the alarms."""

from __future__ import annotations

import asyncio

from rules_rig import EPOCH, device, reading, rule, source

from edgegw.cli import status as screens
from edgegw.clock import Clock
from edgegw.config.model import Config, Gateway
from edgegw.live import Live
from edgegw.rules.engine import Engine
from edgegw.views import Parts, Views
from tests.unit.buffer_rig import running


def test_the_most_severe_alarm_is_the_first_on_the_first_screen(tmp_path):
    """Of eleven minor alarms and a critical one that came last the critical one stands first: a screen shows ten."""
    sources = [source(number, f"TH-{number:02}") for number in range(1, 13)]
    devices = [device(found.device, f"bus-{found.source_id}") for found in sources]
    judge = Engine([rule(devices=["TH-0*", "TH-10", "TH-11"]), rule(name="burning", level="critical", devices=["TH-12"])], devices, sources, EPOCH, {})
    for found in sources:
        judge.evaluate(reading(found, found.source_id, 462))
    config = Config(gateway=Gateway(operator="o", station="s", gateway="g"), device=devices)
    with running(tmp_path) as rig:
        status = asyncio.run(Views(Parts(config, Clock(), rig.buffer, judge, Live(sources), [], [])).status({}))
    assert [12, *range(1, 12)] == [alarm["number"] for alarm in status["alarms"]]
    assert "critical" == status["alarms"][0]["level"]


def test_the_next_step_leads_to_the_alarm():
    """Not to a device of that name: an alarm may be of a bus or of the gateway itself."""
    data = {"buses": [], "uplinks": [], "alarms": [{"number": 13, "device": "com4"}, {"number": 11, "device": "gateway"}, {"number": 25, "device": "M-AC1"}]}
    assert "edgegw alarms show 13 | edgegw alarms show 11" == screens._next_step(data)
