"""The report of an alarm in a mail: a table that an office program opens, and a few lines of what bus and cloud did."""

from __future__ import annotations

import csv
import io

import pytest

from edgegw.alarm_report import REPORT_BYTES_MAX, make_body
from edgegw.buffer.history import Sample
from edgegw.model import ClockTrust, Quality
from edgegw.rules.consequences import Order
from edgegw.rules.notifiers.report_mail import lines_of, table_of

AROUND_MS = 1_795_246_200_120
BUS = {"name": "rs485a", "up": False, "busy_share": 0.336, "device": {"asked": 60, "answered": 58, "timed_out": 2, "crc": 0}}
BODY = {
    "around_ms": AROUND_MS,
    "from_ms": AROUND_MS - 60_000,
    "to_ms": AROUND_MS + 60_000,
    "series": [
        {"device": "M-01", "point": "phase_voltage.a", "unit": "V", "samples": [[-1880, 229.4], [-880, None, "offline"], [120, 241.0, "suspect"]], "of": 3},
        {"device": "UPS-01", "point": "ups.status", "unit": "1", "samples": [[0, "=OB, DISCHRG"]], "of": 1},
    ],
    "left_out": 4,
    "bus": BUS,
    "uplinks": [{"name": "cloud", "connected": False, "last_receipt_age_s": None}],
}


pytestmark = pytest.mark.usefixtures("shanghai")


def rows(language: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(table_of(BODY, language).decode("utf-8-sig"), newline="")))


def test_every_reading_is_a_row():
    """
    With its local time, how far from the raise it was, its unit and its quality; a lost value is an empty cell, and no text becomes a formula.
    """
    head, *found = rows("en")
    assert ["time", "from_raise_s", "device", "point", "value", "unit", "quality"] == head
    assert [
        ["2026-11-21 15:29:58.240+08:00", "-1.880", "M-01", "phase_voltage.a", "229.4", "V", "good"],
        ["2026-11-21 15:29:59.240+08:00", "-0.880", "M-01", "phase_voltage.a", "", "V", "offline"],
        ["2026-11-21 15:30:00.240+08:00", "0.120", "M-01", "phase_voltage.a", "241", "V", "suspect"],
        ["2026-11-21 15:30:00.120+08:00", "0.000", "UPS-01", "ups.status", "'=OB, DISCHRG", "", "good"],
    ] == found
    assert "设备" == rows("zh")[0][2]
    assert table_of(BODY, "zh").startswith(b"\xef\xbb\xbf")


def test_the_text_says_what_is_attached_and_how_bus_and_cloud_were():
    """
    In both languages, with what did not fit and what could not be read; a report of the gateway itself has no bus.
    """
    english, chinese = list(lines_of(BODY, "en")), list(lines_of(BODY, "zh"))
    assert [
        "Attached: the readings of 2 points from 15:29:00 to 15:31:00.",
        "4 points did not fit: edgegw alarms show ID --report --json",
        "Bus rs485a: DOWN, busy 34 %",
        "The device: asked 60 times, 58 answers, 2 time-outs, 0 wrong checks",
        "Cloud cloud: NOT CONNECTED, last receipt: -",
    ] == english
    assert len(english) == len(chinese)
    assert ["The store could not be read: E-STORE-OPEN"] == list(lines_of({**BODY, "left_out": 0, "bus": None, "uplinks": [], "error": "E-STORE-OPEN"}, "en"))[
        1:
    ]


def test_the_largest_record_makes_a_table_of_bounded_size():
    """
    Forty points that change with each of 240 readings: what is recorded is at most 7 KiB, and its table has less than 120 kB.
    """
    order = Order("a", 1, "r", "critical", "M-01", None, "point.0", AROUND_MS)
    samples = [
        Sample(AROUND_MS - 60_000 + 500 * at, "M-01", f"point.{point}", at / 10, "V", Quality.GOOD, ClockTrust.SYNCHRONISED, 1, 3, at)
        for point in range(40)
        for at in range(240)
    ]
    table = table_of(make_body(order, samples, None, ()), "zh")
    assert REPORT_BYTES_MAX < len(table) < 120_000
