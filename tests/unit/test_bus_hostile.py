"""Three hundred transactions on each kind of real port with a peer that does at random what field devices have been seen to do (F23-F39)."""

from __future__ import annotations

import pytest
from bus_rig import run
from hostile_rig import Tally, attack_pty, attack_tcp
from test_bus_ten_thousand import RTU_DEEDS, TCP_DEEDS

TRANSACTIONS = 300
# Ended as the table says. The rest met the late answer of another question, which is one deed in eight and makes the next answers late too.
# Each deed alone has its exact counters in test_bus_ten_thousand.py.
SHARE_MIN = 0.7


@pytest.mark.parametrize("kind", ["pty", "tcp", "rtu-over-tcp"])
def test_no_value_is_wrong_and_every_fault_is_counted(kind, tmp_path):
    """Every answer taken is the one to the very request that was sent last, and each kind of fault shows in its counter."""
    tallies: list[Tally] = []

    async def main():
        def done(_number):
            pass

        tallies.append(await (attack_pty(tmp_path, 20, TRANSACTIONS, done) if kind == "pty" else attack_tcp(kind, 20, TRANSACTIONS, done)))

    run(main())
    (tally,) = tallies
    assert (0, True) == (tally.wrong, tally.values > TRANSACTIONS / 3)
    assert tally.expected_share(TCP_DEEDS if kind == "tcp" else RTU_DEEDS) > SHARE_MIN
    total = tally.statistics.total
    assert total("asked") <= TRANSACTIONS
    assert kind == "pty" or TRANSACTIONS == total("answered") + total("timed_out")
    if kind != "tcp":
        did = {deed: sum(kinds.values()) for deed, kinds in tally.outcomes.items()}
        for counter, deed in {"crc": "crc", "short": "short", "foreign": "foreign instead", "echo": "echo", "exceptions": "busy"}.items():
            assert total(counter) >= 0.7 * did[deed], counter
        assert total("late") >= 0.5 * did["late"]
        # One of two answers at once may be the one that an older question still has to get: then it is counted as late.
        assert total("doubled") > 0
        assert total("doubled") + total("late") >= 0.7 * did["doubled"] + 0.5 * did["late"]
