"""What a rule would have done over stored data: conditions that compare, average and remember, as the running engine would judge them."""

from __future__ import annotations

import pytest
from buffer_rig import reading, running

from edgegw.buffer.history import Reader
from edgegw.config.model import Config, Deadband, Device, Gateway
from edgegw.model import Point, Quality, Source, Stream
from edgegw.points import LINK_CLASS
from edgegw.rule_trial import try_rule
from edgegw.rules.shipped import shipped_rules

SHIPPED = {rule.name: rule for rule in shipped_rules()}
STRINGS = Source(1, "PV-01", "strings", 30_000, tuple(Point(f"string.{number}.current", 2, "A", "measure") for number in range(1, 4)), "inverter")
UPS = Source(2, "UPS-01", "status", 2_000, (Point("ups.status", 0, "1", "text"),), "ups")
LINK = Source(3, "M-01", "link", 60_000, (Point("link.state", 0, "1", "flag"), Point("link.error_rate", 1, "%", "measure")), LINK_CLASS, Stream.RECORD)
PT100 = Source(4, "PT-01", "inputs", 10_000, tuple(Point(f"temperature.{number}", 1, "C", "measure") for number in (1, 2, 3)), "sensor")
METER = Source(5, "M-01", "electrical", 5_000, (Point("phase_voltage.a", 1, "V", "measure"),), "meter")
BUSBAR = {f"temperature.{number}": "busbar" for number in (1, 2, 3)}
CONFIG = Config(
    gateway=Gateway(operator="o", station="s", gateway="g"),
    device=[Device(code=code, bus="b", unit=1, profile="any", roles=roles) for code, roles in (("PV-01", {}), ("UPS-01", {}), ("M-01", {}), ("PT-01", BUSBAR))],
)


def gone(at, mono_ms):
    width = len(at.points)
    return reading(at, mono_ms, (None,) * width, quality=dict.fromkeys(range(width), Quality.OFFLINE))


def strings():
    """An hour, of which one string is dead for forty minutes."""
    return [reading(STRINGS, second * 1000, (900, 10 if 600 <= second < 3000 else 900, 900)) for second in range(0, 3600, 30)]


def ups():
    """On battery, then silent for half a minute."""
    return [reading(UPS, second * 1000, ("OB DISCHRG",)) if second < 60 or second > 90 else gone(UPS, second * 1000) for second in range(0, 120, 2)]


def link():
    """A quarter of an hour of 8 % errors."""
    return [reading(LINK, minute * 60_000, (1, 80)) for minute in range(15)]


def joints():
    return [reading(PT100, second * 1000, (400, 400 if second < 60 else 570, 400)) for second in range(0, 300, 10)]


@pytest.mark.parametrize(
    ("name", "at", "made", "device", "from_s"),
    [
        ("string-fault", STRINGS, strings, "PV-01", 1500),
        ("ups-silent-on-battery", UPS, ups, "UPS-01", 75),
        ("link-errors", LINK, link, "M-01", 630),
        ("busbar-sister", PT100, joints, "PT-01", 90),
    ],
)
def test_a_rule_is_tried_over_what_is_stored(tmp_path, name, at, made, device, from_s):
    """One alarm at the second at which the running engine would have raised it; the other rules of the file are not asked."""
    readings = made()
    with running(tmp_path, (at,)) as rig:
        rig.buffer.accept(readings)
        rig.settle()
        with Reader(rig.path) as reader:
            trial = try_rule(reader, CONFIG, SHIPPED[name], 0)
    assert (len(readings), 1, {device: 1}) == (trial.readings, trial.raised, trial.devices)
    assert from_s == pytest.approx((trial.episodes[0]["from_ms"] - readings[0].read_at_ms) / 1000, abs=60 if at is LINK else 2)
    assert all(trial.episodes[0][text] for text in ("text", "text_zh"))


def test_a_delay_runs_on_between_readings_that_said_nothing_new(tmp_path):
    """With a deadband only one reading a minute is stored of a voltage that stays: it was there all the time."""
    config = Config(gateway=CONFIG.gateway, device=CONFIG.device, deadband=[Deadband(point="phase_voltage.*", percent=0.5)])
    with running(tmp_path, (METER,)) as rig:
        rig.buffer.accept([reading(METER, second * 1000, (2400,)) for second in range(0, 300, 60)])
        rig.settle()
        with Reader(rig.path) as reader:
            trial = try_rule(reader, config, SHIPPED["phase-voltage-high"], 0)
    assert (1, 5) == (trial.raised, trial.readings)
