"""Whether anything charges: while it does, readings are sent in the shorter window (decision D4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from edgegw.model import Reading, Source, Stream

# A connector in this state charges (docs/points.md, gun state).
GUN_CHARGING: Final = 3


class Charging:
    """The connectors of all sources."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._guns = _gun_states(sources)
        self._active: set[tuple[int, int]] = set()

    def __bool__(self) -> bool:
        return bool(self._active)

    def note(self, reading: Reading) -> bool:
        """True when the first began or the last ended to charge."""
        source_id = reading.source.source_id
        guns = self._guns.get(source_id)
        if not guns:
            return False
        before = bool(self._active)
        for position in guns:
            if reading.values[position] == GUN_CHARGING:
                self._active.add((source_id, position))
            else:
                self._active.discard((source_id, position))
        return before != bool(self._active)


def _gun_states(sources: Sequence[Source]) -> dict[int, tuple[int, ...]]:
    """Source id to the positions of its connector states."""
    positions = {
        source.source_id: tuple(i for i, point in enumerate(source.points) if point.name.startswith("gun") and point.name.endswith(".state"))
        for source in sources
        if source.stream is Stream.TELEMETRY
    }
    return {source_id: found for source_id, found in positions.items() if found}
