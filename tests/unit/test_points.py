"""The dictionary: one name, one unit, one meaning."""

from __future__ import annotations

import pytest

from edgegw import points


@pytest.mark.parametrize("pattern", points.patterns())
def test_every_entry_is_whole(pattern):
    """
    Every name has a known unit and kind, both titles, decimals that fit and a range that is one.
    """
    example = pattern.replace("{x}", "a").replace("{l}", "ab").replace("{t}", "peak").replace("{n}", "1")
    entry = points.lookup(example)
    assert entry is not None
    assert (True, True) == (entry.unit in points.UNITS, entry.kind in points.KINDS)
    assert all([entry.en, entry.zh, "{" not in entry.en, 0 <= entry.decimals <= 6])
    assert ("text" == entry.kind) == (entry.range is None)
    assert entry.range is None or entry.range[0] < entry.range[1]


@pytest.mark.parametrize(
    ("name", "unit"),
    [("phase_voltage.a", "V"), ("gun2.power", "kW"), ("input.12", "1"), ("energy.import.valley", "kWh"), ("output.realpower", "W"), ("string.24.current", "A")],
)
def test_a_name_has_its_unit(name, unit):
    """
    A name with its placeholder filled is found with its unit.
    """
    assert unit == points.lookup(name).unit


@pytest.mark.parametrize("name", ["phase_voltage.d", "gun0.state", "input.0", "input.100", "Temperature", "temperature ", "", "string.1.current.x"])
def test_what_is_not_in_the_dictionary_is_no_name(name):
    """
    A near miss is not taken for a name.
    """
    assert points.lookup(name) is None


def test_a_near_miss_gets_a_suggestion():
    """
    A misspelt name is answered with the nearest one.
    """
    assert "phase_voltage.{x}" == points.suggest("phase_volage.a")
