"""Which delays run: in the order of their ends, one for each watch, and bounded however often they are set anew."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from rules_rig import TEMPERATURE, rule, source

from edgegw.config.model import Rule
from edgegw.rules.binding import Binder, Watch
from edgegw.rules.conditions import FAR
from edgegw.rules.delays import Delays

RULES: list[Rule] = [rule(name=f"r{number}") for number in range(5)]
STEP = st.one_of(
    st.tuples(st.just("set"), st.integers(0, 4), st.integers(0, 12)),
    st.tuples(st.just("drop"), st.integers(0, 4), st.none()),
    st.tuples(st.just("over"), st.none(), st.integers(0, 4)),
)


def watches() -> list[Watch]:
    (bound,) = Binder(RULES, [source(points=(TEMPERATURE,))], {}).bound().values()
    return [watch for _, watch in bound.plain]


@settings(deadline=None)
@given(st.lists(STEP, max_size=60))
def test_delays_end_as_a_plain_list_of_them_would(steps):
    """
    Set, set anew, dropped and taken in any order: the same ends at the same times, and what is next.
    """
    delays, known = Delays(), watches()
    plain: dict[int, int] = {}
    now = 0
    for what, which, value in steps:
        if what == "set":
            plain[which] = now + value
            delays.set(known[which], now + value)
        elif what == "drop":
            plain.pop(which, None)
            delays.drop(known[which])
        else:
            now += value
            over = sorted((due, which) for which, due in plain.items() if due <= now)
            assert over == sorted((due, known.index(watch)) for due, watch in delays.over(now))
            plain = {which: due for which, due in plain.items() if due > now}
        assert sorted(plain) == sorted({known.index(watch) for watch in delays.running()})
        assert delays.next_ms <= min(plain.values(), default=FAR)


def test_the_earliest_end_comes_first():
    """Whatever was set first; of one time in the order in which they were set."""
    delays, (first, second, third, *_) = Delays(), watches()
    for watch, due in ((first, 20), (second, 10), (third, 20)):
        delays.set(watch, due)
    assert 10 == delays.next_ms
    assert [(10, second), (20, first), (20, third)] == delays.over(30)
    assert FAR == delays.next_ms


def test_a_delay_that_is_set_anew_for_ever_takes_no_room():
    """Twenty thousand times: what is left behind is swept."""
    delays, (watch, *_) = Delays(), watches()
    for due in range(1, 20_000):
        delays.set(watch, due)
    left = sum(len(bucket) for bucket in vars(delays)["_buckets"].values())
    assert [watch] == list(delays.running())
    assert left <= 1010
