"""What `config check` says an uplink will cost a SIM card, against what was measured and by what it must depend on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgegw.config.check import read, traffic
from edgegw.config.model import Store, Uplink
from edgegw.config.uplink_forecast import VALUE_BYTES, month_mb, value_bytes
from edgegw.model import Point, Source, Stream
from tests.unit.cli_daemon import edgegw

UPLINK = Uplink(name="cloud", broker="mqtts://mq.example", recipient_file="x")
POINTS = tuple(Point(f"p{number}", 1, "V", "measure") for number in range(12))


def sources(*kinds: tuple[int, int, int]) -> list[tuple[Source, int]]:
    """(how many, values each, period in ms)"""
    return [(Source(1, "d", "all", period_ms, POINTS[:values]), number) for number, values, period_ms in kinds]


# 10 meters x 12 points / 5 s, PV 20 / 5 s, UPS 8 / 2 s, 8 x 2 temperature and humidity / 10 s: 33.6 values a second.
STATION = sources((10, 12, 5000), (2, 10, 5000), (1, 8, 2000), (8, 2, 10_000))


@pytest.mark.parametrize(("low", "high", "window_s"), [(15, 19, 5), (10, 12.5, 10), (3.8, 6, 60)])
def test_the_forecast_is_what_was_measured(low, high, window_s):
    """
    Megabytes a day of the reference station, at windows of 5, 10 and 60 s.
    """
    assert low <= month_mb(UPLINK, STATION, window_s) / 30 <= high


@pytest.mark.parametrize(("values", "expected"), VALUE_BYTES)
def test_a_value_costs_what_the_table_says(values, expected):
    """
    At the measured sizes it is the measured cost.
    """
    assert pytest.approx(expected) == value_bytes(values)


def test_between_and_beyond_the_table_the_cost_only_falls():
    """
    More values in a block are never dearer each, and beyond the table the ends hold.
    """
    costs = [value_bytes(number) for number in (0.1, 1, 10, 30, 100, 336, 1000, 5000, 10_000, 10**6)]
    assert sorted(costs, reverse=True) == costs
    assert pytest.approx((VALUE_BYTES[0][1], VALUE_BYTES[-1][1])) == (costs[0], costs[-1])


def test_energy_goes_at_once_and_a_cloud_without_receipts_sends_none():
    """
    Each reading of energy is a batch of its own; with ack = "broker" the receipts fall away.
    """
    energy = [(Source(1, "d", "energy", 900_000, POINTS[:5], stream=Stream.ENERGY), 10)]
    without = Uplink(name="cloud", broker="mqtts://mq.example", recipient_file="x", ack="broker")
    whole, quiet = (month_mb(uplink, energy, 60) for uplink in (UPLINK, without))
    batches = 10 * 96 * 30
    assert pytest.approx(batches * (560 + 290 + 35) / 1e6, rel=0.02) == whole
    assert pytest.approx(batches * 290 / 1e6) == whole - quiet


def config_file(directory: Path, more: str) -> Path:
    path = directory / "config.toml"
    devices = "\n".join(f'[[device]]\ncode = "TH-{unit:02}"\nbus = "lan"\nunit = {unit}\nprofile = "xy-md02"' for unit in range(1, 6))
    path.write_text(
        f"""
        gateway = {{ operator = "op", station = "st", gateway = "gw" }}
        paths = {{ state_dir = "{directory}" }}
        [[bus]]
        name = "lan"
        kind = "tcp"
        host = "127.0.0.1"
        {devices}
        [[uplink]]
        name = "cloud"
        broker = "mqtts://mq.example"
        recipient_file = "cloud.pub"
        {more}
        """
    )
    return path


def test_windows_and_a_choice_of_points_make_it_cheaper(tmp_path):
    """
    The busy month has the shorter window and costs more; fewer points cost less; devices that are wrong cost nothing.
    """
    (whole,) = traffic(read(config_file(tmp_path, "")).config)
    assert whole.mb_calm < whole.mb_busy
    assert Store().window_idle_s > Store().window_active_s
    (less,) = traffic(read(config_file(tmp_path, 'points = ["humidity"]')).config)
    assert pytest.approx(whole.values_per_s / 2) == less.values_per_s
    assert less.mb_busy < whole.mb_busy


def test_a_quota_below_a_calm_month_is_a_warning(tmp_path):
    """
    Before anything is sent it is said that the plan will not do, with what it would need.
    """
    found = [finding for finding in read(config_file(tmp_path, "quota_mb_month = 5")).findings if finding.id == "W-CFG-QUOTA"]
    assert 1 == len(found)
    assert "the quota is 5" in found[0].text
    assert "quota_mb_month" in config_file(tmp_path, "quota_mb_month = 5").read_text().split("\n")[found[0].line - 1]
    assert [] == [finding for finding in read(config_file(tmp_path, "quota_mb_month = 5000")).findings if finding.id == "W-CFG-QUOTA"]


@pytest.mark.parametrize(
    ("language", "head"), [("en", "UPLINK  VALUES/S  MB/MONTH CALM  MB/MONTH BUSY  QUOTA"), ("zh", "上传平台  数据/秒  MB/月 空闲  MB/月 繁忙  限额")]
)
def test_the_screen_of_config_check_has_a_line_for_each_uplink(tmp_path, language, head):
    """
    Megabytes in a calm and in a busy month stand under the buses, and in the JSON.
    """
    path = config_file(tmp_path, "quota_mb_month = 5000")
    lines = edgegw("config", "check", path, "--lang", language).stdout.split("\n")
    at = lines.index(head)
    told = json.loads(edgegw("config", "check", path, "--json").stdout)["uplinks"]
    assert ["cloud", f"{told[0]['values_per_s']:.1f}", f"{told[0]['mb_calm']:.0f}", f"{told[0]['mb_busy']:.0f}", "5000"] == lines[at + 1].split()
