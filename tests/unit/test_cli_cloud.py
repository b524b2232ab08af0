"""The screens of `edgegw cloud`: every text in both languages, 80 columns, and what makes them a warning."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from edgegw.cli.cells import WIDTH, cells
from edgegw.cli.cloud_live import _screen as live_screen
from edgegw.cli.cloud_status import _is_wrong, _screens
from edgegw.cli.texts_cloud import CAUSES, COMMANDS, TEXTS, say
from edgegw.errors import lookup

CLI = Path(__file__).parents[2] / "edgegw" / "cli"


def uplink(**changes: Any) -> dict[str, Any]:
    """As the daemon tells it."""
    good: dict[str, Any] = {
        "name": "main",
        "broker": "mqtts://mq.example.cn:8883",
        "state": "connected",
        "connected": True,
        "last_receipt_age_s": 3.2,
        "in_flight": 1,
        "batches_sent": 120,
        "bytes_sent": 90_000,
        "receipts_refused": 0,
        "bytes_today": {"event": {"up": 900, "down": 0}, "fresh": {"up": 812_345, "down": 0}, "receipt": {"up": 0, "down": 12_000}},
        "bytes_month": 41_000_000,
        "quota_mb_month": 500,
        "certificates": [{"which": "client", "subject": "CN=gw", "issuer": "CN=ca", "expires": "2027-01-01", "days_left": 200, "step": None}],
        "error": None,
    }
    return {**good, **changes}


ENDING = [{"which": "broker", "subject": "CN=mq.example.cn", "issuer": "CN=ca", "expires": "2026-12-01", "days_left": 9, "step": 30}]
LONG = [{"which": "authority", "subject": f"CN={'a-long-name ' * 9}", "issuer": "CN=ca", "expires": "2026-12-01", "days_left": -3, "step": 0}]
LOST = {"id": "E-NET-DNS", "text": "the name a-very-long-name-of-a-broker.example.cn does not resolve (Name or service not known)", "next": ""}


@pytest.mark.parametrize(
    ("wrong", "changes"),
    [
        (False, {}),
        (True, {"connected": False, "state": "waiting", "error": LOST, "last_receipt_age_s": None}),
        (True, {"certificates": ENDING}),
        (True, {"certificates": LONG}),
        (True, {"bytes_month": 400_000_000}),
        (False, {"bytes_month": 399_000_000}),
        (False, {"bytes_month": 10**12, "quota_mb_month": 0}),
        (True, {"bytes_month": 600_000_000, "holds_telemetry": True}),
        (True, {"receipts_refused": 2}),
    ],
)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_status_fits_the_terminal_and_says_what_is_wrong(language, wrong, changes):
    """
    A fault, a certificate that ends, a quota that is nearly used and refused receipts are warnings, on screen and as exit code.
    """
    found = uplink(**changes)
    assert wrong == _is_wrong(found)
    lines = list(_screens([found, uplink(name="second")], language, 10 if wrong else 0))
    assert [] == [line for line in lines if cells(line) > WIDTH]
    assert wrong == any({"en": "WARN", "zh": "警告"}[language] in line for line in lines)
    assert any(found["broker"] in line for line in lines)


@pytest.mark.parametrize(
    ("expected", "changes"),
    [
        ("edgegw cloud test", {"connected": False, "state": "waiting", "error": LOST, "bytes_month": 600_000_000}),
        ("edgegw explain E-CLOUD-RECEIPT", {"receipts_refused": 2, "certificates": ENDING}),
        ("edgegw explain W-CERT-EXPIRY", {"certificates": ENDING}),
        ("edgegw explain W-CLOUD-QUOTA", {"bytes_month": 400_000_000}),
    ],
)
def test_the_next_step_is_for_what_is_wrong(expected, changes):
    """
    Only a link that fails is tried; refused receipts, certificates and quotas are explained.
    """
    assert expected in list(_screens([uplink(name="first"), uplink(**changes)], "en", 10))[-1]


def test_a_station_without_an_uplink_says_so():
    """
    No uplink is no fault and no empty screen.
    """
    assert 1 == len(list(_screens([], "en", 0)))


def test_the_lanes_of_today_are_added_up():
    """
    Each lane that carried something has its line, and the last is the sum.
    """
    lines = list(_screens([uplink()], "en", 0))
    assert ["all", "813.2", "12.0"] == lines[-1].split()
    assert ["events", "0.9", "0.0"] == lines[-4].split()


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(("minutes", "economy", "lines"), [(10, False, 1), (0, False, 1), (10, True, 2)])
def test_live_says_how_often_and_how_long(language, minutes, economy, lines):
    """
    Seconds and minutes are named, and a quota that is nearly used up is not passed over.
    """
    shown = list(live_screen({"minutes": minutes, "window_s": 1.0, "economy": economy}, language))
    assert lines == len(shown)
    assert [] == [line for line in shown if cells(line) > WIDTH]
    assert "1 " in shown[0]
    assert (minutes == 10) == ("10" in shown[0])


@pytest.mark.parametrize("text_id", sorted(TEXTS))
def test_both_languages_take_the_same_values(text_id):
    """
    A translation loses no value and is not empty.
    """
    english, chinese = TEXTS[text_id]
    assert english.count("{}") == chinese.count("{}")
    assert say("en", text_id, *["x"] * english.count("{}"))


def test_every_text_is_used():
    """
    The catalogue holds nothing that no screen shows.
    """
    trees = [ast.parse((CLI / name).read_text(encoding="utf-8")) for name in ("cloud_test.py", "cloud_status.py", "cloud_live.py")]
    said = " ".join(node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    assert [] == [text_id for text_id in TEXTS if text_id not in said and not text_id.startswith(("stage.", "certificate.", "lane."))]


@pytest.mark.parametrize("cause", sorted({*CAUSES, *COMMANDS}))
def test_a_cause_belongs_to_a_message_that_exists(cause):
    """
    What is told of an id is told of one that `edgegw explain` knows; a command's placeholders are those that are filled in.
    """
    assert lookup(cause) is not None or "." in cause
    assert "{" not in COMMANDS.get(cause, "").format(host="h", ca_file="c", cert_file="f")
