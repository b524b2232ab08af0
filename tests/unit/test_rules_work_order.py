"""An alarm's event is enough to send somebody: where, and by when something was promised."""

from __future__ import annotations

from rules_rig import WALL_MS, device, engine, rule, run, source

HOUR_MS = 3_600_000


def test_the_raise_says_where_and_by_when():
    """
    Place and promises stand in the raise and not in the end; of a device without a place and a level without promises there is neither.
    """
    placed = engine([rule(level="critical")], devices=[device(location="配电间 2 号柜", name="sensor")])
    raised, cleared = run(placed, source(), [(1, 462), (9, 440)])
    assert ("配电间 2 号柜", {"plan": WALL_MS + 1000 + 4 * HOUR_MS, "arrive": WALL_MS + 1000 + 8 * HOUR_MS}) == (raised.body["place"], raised.body["due"])
    assert set() == {"place", "due"} & set(cleared.body)
    (bare,) = run(engine([rule(level="notice")]), source(), [(1, 462)])
    assert set() == {"place", "due"} & set(bare.body)
