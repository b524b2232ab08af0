"""The dew point and the unbalance of three voltages, against published values."""

from __future__ import annotations

import cmath

import pytest

from edgegw.model import Quality
from edgegw.truth.computed import Formula, Input, compute, dew_margin_k, dew_point_c, unbalance_percent


@pytest.mark.parametrize(
    # Psychrometric tables of the air at 1013 hPa.
    ("temperature_c", "humidity_percent", "expected_c"),
    [(20, 100, 20.0), (20, 50, 9.3), (25, 60, 16.7), (30, 90, 28.2), (0, 80, -3.0), (-10, 70, -14.4)],
)
def test_the_dew_point_is_that_of_the_tables(temperature_c, humidity_percent, expected_c):
    """Within 0.2 K."""
    assert expected_c == pytest.approx(dew_point_c(temperature_c, humidity_percent), abs=0.2)


def test_a_surface_is_above_the_dew_point_or_below_it():
    """A cold roof at 8 C in air of 20 C and 50 % gets wet; dry air has no dew point at all."""
    assert -1.3 == pytest.approx(dew_margin_k(20, 50, 8), abs=0.1)
    assert dew_margin_k(20, 0, 8) is None


def test_equal_voltages_have_no_unbalance_and_none_have_none_to_tell():
    """The root of rounding must not become a number."""
    assert 0.0 == pytest.approx(unbalance_percent(398.4, 398.4, 398.4), abs=0.001)
    assert unbalance_percent(0.0, 0.0, 0.0) is None


@pytest.mark.parametrize("negative_percent", [0.5, 2.0, 4.0])
@pytest.mark.parametrize("angle_deg", [0, 30, 90, 175])
def test_the_unbalance_is_the_negative_over_the_positive_sequence(negative_percent, angle_deg):
    """Voltages composed of both sequences give their ratio back, whatever the angle between them."""
    turn = cmath.exp(2j * cmath.pi / 3)
    positive, negative = 398.0, 398.0 * negative_percent / 100 * cmath.exp(1j * cmath.pi * angle_deg / 180)
    voltages = [abs(positive * turn ** (-number) + negative * turn**number) for number in range(3)]
    assert negative_percent == pytest.approx(unbalance_percent(*voltages), abs=0.001)


def test_computed_points_of_physics_carry_the_worst_quality():
    """Exact inputs, one rounding, and no value where an input has none."""
    formula = Formula("dew_margin", (1, 1, 1), 1, low=-100, high=200)
    inputs = [Input(200, Quality.GOOD), Input(500, Quality.SUSPECT), Input(80, Quality.GOOD)]
    assert (-13, Quality.SUSPECT) == compute(formula, inputs)
    assert (None, Quality.OFFLINE) == compute(formula, [*inputs[:2], Input(None, Quality.OFFLINE)])
    assert (None, Quality.BAD) == compute(formula, [Input(200, Quality.GOOD), Input(0, Quality.GOOD), Input(80, Quality.GOOD)])
