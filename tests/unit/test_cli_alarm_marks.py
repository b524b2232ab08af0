"""`edgegw alarms` says of an alarm that it comes and goes, that it was the first, and when people were told."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from rules_rig import device, keep, reading, rule, source

from edgegw.cli import alarm_screens as screens
from edgegw.cli import texts_alarms, texts_buffer, texts_telling
from edgegw.cli.alarm_telling import told_lines
from edgegw.cli.texts import TEXTS as COMMON
from edgegw.clock import Clock
from edgegw.config.model import Config, Gateway, Paths
from edgegw.model import ClockTrust
from edgegw.rules.engine import Engine, Moment, Word
from edgegw.views_alarms import AlarmViews
from tests.unit.buffer_rig import running
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
    assert ("反复抖动" in chinese, "首出告警" in chinese) == (True, True)


def test_an_alarm_says_when_it_was_told(socket):
    """The wall time of the raise, for this one waits for nobody."""
    shown = say(socket, "--lang", "en", "alarms", "show", "3")
    told = next(line.split(None, 1)[1] for line in shown.splitlines() if line.startswith("Told"))
    assert told.startswith(time.strftime("%Y-%m-%d", time.gmtime(1_800_000_021 + 8 * 3600)))


def test_an_alarm_names_its_root_and_its_contact():
    """Which alarm it is below, and which of several contacts; what a bus or an acknowledged alarm needs next."""
    alarm = {"number": 4, "state": "active", "latched": False, "acknowledged": False, "acknowledged_by": "", "visibility": "suppressed", "below": 2}
    assert ["below #2"] == list(screens.marks_of(alarm, "en"))
    assert "柜门打开 (配电柜门)" == screens.text_of({"text": "door open", "text_zh": "柜门打开", "point": "input.5", "contact": "配电柜门"}, "zh")
    assert "edgegw bus stats com1 | edgegw alarms ack 4 -m ..." == screens.next_step({**alarm, "rule": "bus offline", "device": "com1"})
    seen = {**alarm, "rule": "smoke", "device": "DI-01", "acknowledged": True}
    assert "edgegw read DI-01 --fresh" == screens.next_step(seen)
    assert "edgegw status" == screens.next_step({**seen, "rule": "channel mail fails", "device": "gateway"})
    assert "edgegw read DI-01 --fresh | edgegw alarms reset 4" == screens.next_step({**seen, "latched": True, "state": "returned"})


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


@pytest.mark.parametrize(
    ("expected", "exit_code", "answers"),
    [
        ("#1: the condition has ended; the alarm is over.", 0, 440),
        ("#1: the condition still holds.", 10, 470),
        ("#1: the condition still holds. Its device did not answer: decided by the last value.", 10, None),
    ],
)
def test_a_recheck_asks_the_device(tmp_path, expected, exit_code, answers):
    """Before it decides: what was repaired a moment ago is not judged by the value of before."""
    devices = [device("TH-01", "a")]
    judge = Engine([rule(off_delay_s=600)], devices, SOURCES[:1], 1, {})
    judge.evaluate(reading(SOURCES[0], 1, 462))
    asked = []

    async def read(arguments: dict[str, Any]) -> dict[str, Any]:
        asked.append(arguments)
        if answers is not None:
            judge.evaluate(reading(SOURCES[0], 1 + len(asked), answers))
        return {"answered": answers is not None}

    config = Config(gateway=Gateway(operator="o", station="s", gateway="g"), device=devices)
    views = AlarmViews(config, Clock(), judge, lambda _changes: None, kept, read)
    with daemon(tmp_path / "control.sock", **views.handlers()) as socket:
        done = edgegw("--socket", socket, "--lang", "en", "alarms", "recheck", "1")
    assert (expected, exit_code) == (" ".join(done.stdout.split()), done.returncode)
    assert [{"device": "TH-01", "fresh": True}] * 2 == asked


def test_who_comes_second_hears_who_was_first(tmp_path):
    """Not that the word counted; the same person again hears nothing new."""
    devices = [device("TH-01", "a"), device("TH-02", "b")]
    judge = Engine([rule()], devices, SOURCES, 1, {})
    judge.evaluate(reading(SOURCES[0], 1, 462))
    judge.evaluate(reading(SOURCES[1], 2, 462))
    judge.desk.acknowledge(1, Word("li", "on my way"), Moment(3000, 1_800_000_003_000, ClockTrust.SYNCHRONISED))
    config = Config(gateway=Gateway(operator="o", station="s", gateway="g"), device=devices)
    views = AlarmViews(config, Clock(), judge, lambda _changes: None, kept)
    with daemon(tmp_path / "control.sock", **views.handlers()) as socket:
        assert "#1 was acknowledged by li already, at 2027-01-15 16:00:03: the first one counts." == " ".join(
            say(socket, "--lang", "en", "alarms", "ack", "1").split()
        )
        first, again = (say(socket, "--lang", "en", "alarms", "ack", "2") for _ in range(2))
        assert first == again
        assert first.startswith("#2 acknowledged by ")


def test_what_an_alarm_explains_stands_on_its_screen(socket):
    """The first few by their numbers, the others counted."""
    alarm = json.loads(say(socket, "--json", "alarms", "--all"))["data"]["alarms"][0]
    few, many = (next(line for line in screens.show_screen(alarm, "en", below) if line.startswith("Explains")) for below in ((7, 8), range(20, 40)))
    assert "Explains #7, #8" == few
    assert many.endswith("#31 and 8 more")
    assert [] == [line for line in screens.show_screen(alarm, "en") if line.startswith("Explains")]


@pytest.mark.parametrize(
    ("expected", "more"),
    [
        ("95 °C (limit 90 °C)", {"value": 95.0, "limit": 90.0, "unit": "C", "unit_text": "°C"}),
        ("1", {"value": 1.0, "limit": 1.0, "unit": "1", "unit_text": ""}),
        ("14 s", {"value": 14.0, "limit": None, "unit": "s", "unit_text": "s"}),
    ],
)
def test_a_value_has_its_unit_and_a_limit_that_says_something(socket, expected, more):
    """The degree sign as people write it; of a contact 1 is all there is to say."""
    alarm = json.loads(say(socket, "--json", "alarms", "--all"))["data"]["alarms"][0]
    assert ["Value    " + expected] == [line for line in screens.show_screen({**alarm, **more}, "en") if line.startswith("Value")]


def test_an_alarm_that_is_over_shows_what_happened(tmp_path):
    """A message names the command `alarms show`, and is read when its alarm has ended; an unknown number is exit 4."""
    seen = {"id": "a-1", "number": 1, "level": "major", "level_zh": "较严重", "device": "TH-01", "text": "hot", "at_ms": 1_800_000_000_000}

    async def alarms(_arguments):
        return {"alarms": []}

    async def history(arguments):
        return {"events": [{**seen, "edge": edge} for edge in ("raised", "cleared")] if arguments["number"] == 1 else [], "whole": True}

    with daemon(tmp_path / "control.sock", alarms=alarms, **{"alarm-history": history}) as socket:
        over, unknown = (edgegw("--socket", socket, "--lang", "en", "alarms", "show", number) for number in ("1", "2"))
    assert ["#1 is over.", "raised", "cleared"] == [over.stdout.splitlines()[0], *(line.split()[3] for line in over.stdout.splitlines()[2:4])]
    assert "Next: edgegw alarms show 1 --report" == over.stdout.splitlines()[-1]
    assert (0, 4, "E-ALARM: no alarm #2") == (over.returncode, unknown.returncode, unknown.stderr.split(".")[0])


def test_one_reason_for_many_notices_is_said_once():
    """Each line has the id alone, the reason stands below them."""
    detail = 'E-TELL-SERVER: channel "mail", 127.0.0.1:2525: Connection refused'
    waiting = [{"at_ms": at_ms, "channel": "mail", "recipient": "duty", "attempts": 1, "under_way": False, "detail": detail} for at_ms in (1000, 2000)]
    lines = list(told_lines({"told": [], "waiting": waiting, "channels": ["mail"]}, "en"))
    assert 2 == sum(line.endswith("mail duty: waits, tried once: E-TELL-SERVER") for line in lines)
    assert 1 == " ".join(lines).count("Connection")


def test_the_past_of_an_unknown_device_is_a_mistake_in_its_code(tmp_path):
    """Exit 4 with the codes that there are; a device of which nothing is stored is another thing."""
    config = Config(gateway=Gateway(operator="o", station="s", gateway="g"), device=[device("TH-01", "a")], paths=Paths(state_dir=str(tmp_path)))
    with running(tmp_path):
        views = AlarmViews(config, Clock(), Engine([], config.device, SOURCES[:1], 1, {}), lambda _changes: None, kept)
        with daemon(tmp_path / "control.sock", **views.handlers()) as socket:
            unknown = edgegw("--socket", socket, "--lang", "en", "alarms", "history", "TH-99")
            quiet = edgegw("--socket", socket, "--lang", "en", "alarms", "history", "TH-01")
            nothing = edgegw("--socket", socket, "--lang", "zh", "alarms", "history", "--since", "0")
    assert (4, 'E-DEVICE: no device "TH-99". Next: one of TH-01') == (unknown.returncode, unknown.stderr.strip())
    assert (4, "Nothing in that time.") == (quiet.returncode, quiet.stdout.strip())
    assert (2, "E-USAGE: 命令写法有误（--since") == (nothing.returncode, nothing.stderr[:23])


async def kept():
    """On the disk."""


@pytest.mark.parametrize("word", ["频繁动作", "洪泛", "通讯", "首发", "云平台", "报警"])
def test_chinese_texts_have_one_word_for_one_thing(word):
    """反复抖动, 泛滥, 通信, 首出, 平台 and 告警: what else these are called stands in no text about alarms."""
    package = Path(screens.__file__).parents[1]
    words = ("cli/texts.py", "cli/texts_alarms.py", "cli/texts_telling.py", "rules/text.py", "rules/notifiers/words.py")
    places = [*map(package.joinpath, words), *package.glob("rules/*.toml")]
    assert 8 == len(places)
    assert [] == [place.name for place in places if word in place.read_text(encoding="utf-8")]


@pytest.mark.parametrize("texts", [texts_alarms, texts_telling, texts_buffer])
def test_both_languages_take_the_same_values_and_no_common_word_is_said_twice(texts):
    """A translation loses no value; a word that every screen has stands in one place."""
    fields = re.compile(r"\{\d*\}")
    assert [] == [text_id for text_id, (english, chinese) in texts.TEXTS.items() if len(fields.findall(english)) != len(fields.findall(chinese))]
    assert {} == {text_id: both for text_id, both in texts.TEXTS.items() if COMMON.get(text_id) == both}
