"""People are told, as a technician sees it: a real daemon, a device that never answers, and an SMS provider of the test on a real port."""

from __future__ import annotations

import getpass
import json
from typing import Any

import pytest

from edgegw.cli.cells import cells
from edgegw.cli.texts_telling import TEXTS
from edgegw.errors import EXIT_CHECK_FAILED, EXIT_OK, EXIT_UNKNOWN, EXIT_WARNINGS
from tests.telling_gateway import DEVICE, Gateway, Provider, wait_for
from tests.unit.cli_daemon import edgegw

MORE = """
[[channel]]
name = "second"
kind = "sms_http"
url = "http://127.0.0.1:{port}/send"
body = '{{"to": "{{number}}", "text": "{{text}}"}}'

[[channel]]
name = "nobody"
kind = "sms_http"
url = "http://127.0.0.1:{port}/send"
body = '{{"to": "{{number}}", "text": "{{text}}"}}'

[[recipient]]
name = "boss"
address = {{ second = "+8613900000000" }}
language = "zh"

[[route]]
name = "boss"
recipients = ["boss"]
"""


@pytest.fixture(scope="module")
def station(tmp_path_factory):
    """Two channels with a provider behind the first; nothing listens behind the second."""
    gateway = Gateway(tmp_path_factory.mktemp("telling"))
    provider = Provider(gateway.ports["server_port"])
    try:
        gateway.write(DEVICE + MORE.format(port=gateway.ports["device_port"]))
        gateway.start()
        wait_for("message", lambda: provider.answered)
        wait_for("stored result", lambda: "delivered" in gateway.outcomes())
        yield gateway
    finally:
        gateway.kill()
        provider.close()


def ask(station: Gateway, *words: str, language: str = "en", code: int) -> str:
    """The screen of a command that ends with this code, within 80 columns."""
    done = edgegw("--lang", language, "alarms", *words, "-c", station.directory / "config.toml")
    assert (code, "") == (done.returncode, done.stderr)
    assert max(map(cells, done.stdout.splitlines())) <= 80
    return done.stdout


def data(station: Gateway, *words: str) -> Any:
    return json.loads(edgegw("alarms", *words, "--json", "-c", station.directory / "config.toml").stdout)["data"]


def test_a_channel_that_works_says_so_for_each_recipient(station):
    """
    Exit 0, the recipient, and the provider's answer.
    """
    for language, word in (("en", "sent"), ("zh", "已发送")):
        screen = ask(station, "test", "sms", language=language, code=EXIT_OK)
        assert all(text in screen for text in ("sms", "duty", word, "200"))


def test_all_channels_are_tried_and_the_worst_decides(station):
    """
    One sends, one fails with the reason, one reaches nobody: exit 1; a channel that reaches nobody alone: exit 10.
    """
    screen = ask(station, "test", "all", code=EXIT_CHECK_FAILED)
    assert all(text in screen for text in ("sent", "FAILED", "E-TELL-SERVER", "nobody"))
    assert "Connection refused" in screen
    assert {getpass.getuser()} == {one["by"] for one in data(station, "notifications")["told"] if one["why"] == "test"}
    assert ["failed", "nobody", "delivered"] == [one["outcome"] for one in data(station, "test", "all")["results"]]
    assert "[[recipient]]" in ask(station, "test", "nobody", code=EXIT_WARNINGS)


def test_an_unknown_channel_is_named_with_those_that_are_there(station):
    """
    Exit 4 with E-TELL-CHANNEL.
    """
    done = edgegw("alarms", "test", "fax", "-c", station.directory / "config.toml")
    assert EXIT_UNKNOWN == done.returncode
    assert "E-TELL-CHANNEL" in done.stderr
    assert "second" in done.stderr


def test_what_was_told_and_what_waits_is_listed(station):
    """
    Exit 10 while the boss waits for a channel that is down; by alarm, and with the channel's last words.
    """
    for language, sent, waits in (("en", "sent", "waits"), ("zh", "已发送", "等待")):
        screen = ask(station, "notifications", language=language, code=EXIT_WARNINGS)
        assert all(text in screen for text in ("duty", "boss", sent, waits, "E-TELL-SERVER"))
    number = data(station, "notifications")["waiting"][0]["numbers"][0]
    found = data(station, "notifications", str(number))
    assert ["delivered"] == [one["outcome"] for one in found["told"]]
    assert ["boss"] == [one["recipient"] for one in found["waiting"]]


def test_an_alarm_shows_who_was_told(station):
    """
    On its screen and in its JSON.
    """
    number = str(data(station)["alarms"][0]["number"])
    screen = ask(station, "show", number, code=EXIT_OK)
    assert all(text in screen for text in ("Notices", "duty: sent", "boss: "))
    shown = data(station, "show", number)
    assert (1, 1) == (len(shown["told"]), len(shown["waiting"]))


@pytest.mark.parametrize("text_id", sorted(TEXTS))
def test_both_languages_of_a_text_take_the_same_values(text_id):
    """
    A translation loses no value.
    """
    english, chinese = TEXTS[text_id]
    assert english.count("{}") == chinese.count("{}")
