"""The late-answer guard: what was asked and not answered, so that no late answer is taken for another. Pure; time comes in.

A Modbus answer does not say which question it answers; unit, function and byte count are all it shows (the key). Two things end the doubt:

    order   a server answers in order: a normal answer to a question whose key is not among the unanswered ones proves that none of
            them can be answered any more. So does an answer with an unanswered key for everything last asked before that key's first.
            An exception shows no byte count and proves nothing.
    time    the guard: after it, counted from the time-out, a late answer can no longer come (configured, `late_answer_guard_ms`).

An answer that has a key asked in vain several times shows a device that works off what it was asked while it could not speak: the rest of
its answers may follow at once, so the guard starts again.
"""

from __future__ import annotations

Key = tuple[int, ...]
"""Unit first."""


class _Entry:
    __slots__ = ("count", "first", "last", "until_ns")

    def __init__(self, first: int) -> None:
        self.first = first
        self.last = first
        self.count = 0
        self.until_ns = 0


class Unanswered:
    """Of one bus. Bounded by the number of different questions in the plan."""

    def __init__(self, guard_ms: int) -> None:
        self._guard_ns = guard_ms * 1_000_000
        self._units: dict[int, dict[Key, _Entry]] = {}
        self._asked = 0

    def blocked_until_ns(self, key: Key, now_ns: int) -> int:
        """Until when a question with this key must not be asked; 0 when it may be asked now."""
        entries = self._units.get(key[0]) if key else None
        entry = entries.get(key) if entries else None
        return entry.until_ns if entry is not None and now_ns < entry.until_ns else 0

    def timed_out(self, key: Key, now_ns: int) -> None:
        """The question got no answer, or none that is surely its own."""
        if not key:
            return
        self._asked += 1
        entry = self._units.setdefault(key[0], {}).setdefault(key, _Entry(self._asked))
        entry.last = self._asked
        entry.count += 1
        entry.until_ns = now_ns + self._guard_ns

    def answered(self, key: Key, now_ns: int) -> None:
        """A normal answer with this key came."""
        entries = self._units.get(key[0]) if key else None
        if not entries:
            return
        entry = entries.get(key)
        if entry is None or (entry.count == 1 and len(entries) == 1):
            del self._units[key[0]]
            return
        for other, asked in list(entries.items()):
            if other != key and asked.last < entry.first:
                del entries[other]
        entry.count -= 1
        if entry.count == 0:
            del entries[key]
        for left in entries.values():
            left.until_ns = now_ns + self._guard_ns

    def refused(self, key: Key, now_ns: int) -> None:
        """An exception came: it may be the answer to an older question of the same function, and this one's may still follow."""
        if key and any(other[1] == key[1] for other in self._units.get(key[0], ())):
            self.timed_out(key, now_ns)
