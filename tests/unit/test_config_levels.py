"""`[[level]]`: levels are added, renamed and removed in the configuration, and never away from under a rule or an open alarm."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from cli_daemon import edgegw

from edgegw.buffer.store import Buffer
from edgegw.clock import Clock
from edgegw.config.check import read
from edgegw.config.level_check import _USERS
from edgegw.config.level_model import SHIPPED_LEVELS
from edgegw.config.model import Store
from edgegw.errors import EXIT_CHECK_FAILED
from edgegw.model import ClockTrust
from edgegw.rules.episode import Episode, Facts
from edgegw.rules.shipped import shipped_rules

HEAD = '[gateway]\noperator = "OP"\nstation = "ST"\ngateway = "GW"\n[paths]\nstate_dir = "{state}"\n'
DEVICE = '[[bus]]\nname = "lan"\nkind = "tcp"\nhost = "10.0.0.9"\n[[device]]\ncode = "AC-07"\nbus = "lan"\nunit = 7\nprofile = "acrel.dtsd1352"\n'
RULE = '[[rule]]\nname = "r"\ncondition = "high"\npoint = "phase_voltage.a"\nlimit = 235\nlevel = "{level}"\n'


def level(name: str, more: str = "") -> str:
    return f'[[level]]\nname = "{name}"\n{more}'


ALL = "".join(level(name) for name in ("critical", "major", "minor", "notice"))


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(HEAD.format(state=tmp_path / "state") + DEVICE + text, encoding="utf-8")
    return path


def lines(tmp_path: Path, text: str) -> list[str]:
    return [str(finding) for finding in read(written(tmp_path, text)).findings]


GOOD = [
    RULE.format(level="critical"),
    level("disaster", 'name_zh = "灾难"\nacknowledge = true\ndeadlines_h = { arrive = 1 }\n') + ALL + RULE.format(level="disaster"),
    level("urgent", 'formerly = ["critical", "major"]\n') + level("slight", 'formerly = ["minor", "notice"]\n') + RULE.format(level="minor"),
]


@pytest.mark.parametrize("text", GOOD)
def test_levels_are_added_renamed_and_joined_by_configuration(tmp_path, text):
    """
    A further level, a new name and one name for two levels are good configurations.
    """
    assert [] == lines(tmp_path, text)


def test_a_rule_of_a_level_that_is_not_there_is_refused_at_its_line(tmp_path):
    """
    A misspelt level of a rule is an error with file, line, the rule's name and the level that was probably meant.
    """
    assert ['config.toml:21: error E-CFG-LEVEL: rule "r": no level "criticl"; did you mean "critical"?; there are critical, major, minor, notice'] == lines(
        tmp_path, RULE.format(level="criticl")
    )


def test_a_level_that_is_used_cannot_be_removed(tmp_path):
    """
    Without minor the rule that uses it and the rules of every station are named, each with its line.
    """
    found = lines(tmp_path, "".join(level(name) for name in ("critical", "major", "notice")) + RULE.format(level="minor"))
    assert 'config.toml:27: error E-CFG-LEVEL: rule "r": no level "minor"; did you mean "major"?; there are critical, major, notice' in found
    assert any(
        line.startswith('config.toml:16: error E-CFG-LEVEL: level "minor" is used by rules that every station has, as "device offline') for line in found
    )


def test_a_name_stands_for_one_level(tmp_path):
    """
    A name that stands twice among the levels, be it a former one, is refused at the second place.
    """
    found = lines(tmp_path, ALL + level("urgent", 'formerly = ["critical"]\n'))
    assert ['config.toml:26: error E-CFG-DUP: level "urgent": "critical" stands twice among the levels'] == found


def test_a_mistake_in_a_level_does_not_make_rules_wrong(tmp_path):
    """
    While a [[level]] has a mistake of its own nothing is said of levels that rules name.
    """
    found = lines(tmp_path, level("worst", "acknowledge = 1\n") + RULE.format(level="gone"))
    assert ["E-CFG-TYPE"] == [line.split()[2].rstrip(":") for line in found]


def test_every_shipped_rule_is_of_a_shipped_level():
    """
    What the check knows of the shipped rules is so: each level that one of them uses must be there or be named as a former one.
    """
    names = {found.name for found in SHIPPED_LEVELS}
    assert set(_USERS) == names
    assert {rule.level for rule in shipped_rules()} <= names


def test_a_level_of_an_open_alarm_cannot_be_removed(tmp_path):
    """
    `config check` looks into the store: a level that only an open alarm still has is an error that names the alarm.
    """
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    buffer = Buffer.open(state, Clock(), Store(), [], [], lambda _streams: None)
    episode = Episode("0-1", 7, Facts("hot", "disaster", "AC-07"), 1, ClockTrust.SYNCHRONISED, 1)
    buffer.accept((), (), {episode.facts.key: msgspec.json.encode(episode)})
    buffer.close()
    done = edgegw("config", "check", written(tmp_path, ALL))
    assert EXIT_CHECK_FAILED == done.returncode
    assert 'config.toml:16: error E-CFG-LEVEL: level "disaster" is gone, but alarm #7 ("hot" of AC-07) is open' in done.stdout
    good = edgegw("config", "check", written(tmp_path, ALL + level("worst", 'formerly = ["disaster"]\n')))
    assert "E-CFG-LEVEL" not in good.stdout
