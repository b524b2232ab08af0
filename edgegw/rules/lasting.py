"""What values of long ago said, where a rule must know it after a start too.

    rules/last/<device>/<point>/<what is asked>    a term with `last` held by the point's last good value: the UPS that is silent now was on battery
    rules/carried/<device>/<point>/<least>         a point of `below_others` was above `least` once: a string that is dead by now is one

A key is there while that is so. It is written in the transaction of the reading that changed it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from edgegw.rules.binding import Bound
    from edgegw.rules.journal import Journal

LAST_PREFIX: Final = "rules/last/"
CARRIED_PREFIX: Final = "rules/carried/"
HOLDS: Final = b"1"


def recall(bounds: Iterable[Bound], restored: Mapping[str, bytes], journal: Journal) -> None:
    """As it was at the last start; what no rule asks any more leaves the store."""
    asked: set[str] = set()
    for bound in bounds:
        for _, term, _ in bound.terms:
            asked.add(term.last_key)
            if term.last_key in restored:
                term.holding = True
        for _, operand in bound.operands:
            asked.add(operand.carried_key)
            operand.carried = operand.carried_key in restored
    for key in restored:
        if key.startswith((LAST_PREFIX, CARRIED_PREFIX)) and key not in asked:
            journal.keep_state(key, None)
