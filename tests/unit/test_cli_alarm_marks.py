"""`edgegw alarms` says of an alarm that it comes and goes, that it was the first, and when people were told."""

from __future__ import annotations

import time
from typing import Any

import pytest
from rules_rig import device, keep, reading, rule, source

from edgegw.cli import alarms as screens
from edgegw.clock import Clock
from edgegw.config.model import Config, Gateway
from edgegw.rules.engine import Engine
from edgegw.views_alarms import AlarmViews
from tests.unit.cli_daemon import daemon, edgegw

SOURCES = [source(1, "TH-01"), source(2, "TH-02")]


@pytest.fixture
def socket(tmp_path):
    """A sensor that chatters, and one that followed it."""
    devices = [device("TH-01", "a"), device("TH-02", "b")]
    judge = Engine([rule()], devices, SOURCES, 1, {})
    for second, value in ((1, 462), (3, 440), (11, 462), (13, 440), (21, 462)):
        keep({}, judge.evaluate(reading(SOURCES[0], second, value)))
    judge.evaluate(reading(SOURCES[1], 22, 462))
    config = Config(gateway=Gateway(operator="o", station="s", gateway="g"), device=devices)
    views = AlarmViews(config, Clock(), judge, lambda _changes: None, lambda _episode: None)
    with daemon(tmp_path / "control.sock", **views.handlers(), **{"alarm-notices": no_channel}) as found:
        yield found


async def no_channel(_arguments):
    return {"told": [], "waiting": [], "channels": []}


def say(socket, *words: Any) -> str:
    return edgegw("--socket", socket, *words).stdout


def test_the_list_marks_what_chatters_and_what_was_first(socket):
    """In both languages, before the text of the alarm."""
    english, chinese = say(socket, "--lang", "en", "alarms"), say(socket, "--lang", "zh", "alarms")
    assert "comes and goes; first of its" in " ".join(english.split())
    assert ("频繁动作" in chinese, "首出告警" in chinese) == (True, True)


def test_an_alarm_says_when_it_was_told(socket):
    """The wall time of the raise, for this one waits for nobody."""
    shown = say(socket, "--lang", "en", "alarms", "show", "3")
    told = next(line.split(None, 1)[1] for line in shown.splitlines() if line.startswith("Told"))
    assert told.startswith(time.strftime("%Y-%m-%d", time.gmtime(1_800_000_021 + 8 * 3600)))


def test_an_alarm_names_its_root_and_its_contact():
    """Which alarm it is below, and which of several contacts; what a bus or an acknowledged alarm needs next."""
    alarm = {"number": 4, "state": "active", "latched": False, "acknowledged": False, "acknowledged_by": "", "visibility": "suppressed", "below": 2}
    assert ["below #2"] == list(screens._marks(alarm, "en"))
    assert "柜门打开 (配电柜门)" == screens.text_of({"text": "door open", "text_zh": "柜门打开", "point": "input.5", "contact": "配电柜门"}, "zh")
    assert "edgegw bus stats com1 | edgegw alarms ack 4 -m ..." == screens._next_step({**alarm, "rule": "bus offline", "device": "com1"})
    seen = {**alarm, "rule": "smoke", "device": "DI-01", "acknowledged": True}
    assert "edgegw read DI-01 --fresh" == screens._next_step(seen)
    assert "edgegw read DI-01 --fresh | edgegw alarms reset 4" == screens._next_step({**seen, "latched": True, "state": "returned"})


def test_a_recheck_does_not_call_a_latched_alarm_over(tmp_path):
    """Its condition has ended, and it waits for its reset."""
    devices = [device("TH-01", "a")]
    judge = Engine([rule(latched=True)], devices, SOURCES[:1], 1, {})
    for second, value in ((1, 462), (5, 440)):
        judge.evaluate(reading(SOURCES[0], second, value))
    config = Config(gateway=Gateway(operator="o", station="s", gateway="g"), device=devices)
    views = AlarmViews(config, Clock(), judge, lambda _changes: None, kept)
    with daemon(tmp_path / "control.sock", **views.handlers()) as socket:
        assert "#1: the condition has ended; it stays until edgegw alarms reset 1\n" == say(socket, "--lang", "en", "alarms", "recheck", "1")


async def kept():
    """On the disk."""
