"""Damaged captures into every codec, driver and decode command; `./dev soak decode` runs the same for minutes."""

from __future__ import annotations

import pytest
from decode_fuzz import TARGETS, mutated
from hypothesis import given, settings
from hypothesis import strategies as st

ROUNDS = {"dlt645": 400, "megatec": 800, "modbus": 200, "sunspec": 60, "hex": 2000}


@pytest.mark.parametrize("name", TARGETS)
def test_every_seed_is_digested(name):
    """The captures themselves, whole and with their checks made anew."""
    target = TARGETS[name]
    seeds = target.seeds()
    assert 5 < len(seeds)
    for seed in seeds[:: max(1, len(seeds) // 60)]:
        target.run(seed)
        target.run(target.mend(seed))


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_captures_raise_nothing(name):
    """Bits, holes, doubled stretches and pieces of other captures; half of them with the checks put right."""
    assert ROUNDS[name] == mutated(TARGETS[name], 1, ROUNDS[name])


@pytest.mark.parametrize("name", TARGETS)
@settings(deadline=None, max_examples=30)
@given(data=st.binary(max_size=80))
def test_any_bytes_raise_nothing(name, data):
    """Bytes out of nothing."""
    target = TARGETS[name]
    mended = target.mend(data)
    target.run(mended)
    assert len(mended) <= len(data) + 2
