"""The late-answer guard: what was asked and not answered, so that no late answer is taken for another. Pure; time comes in.

A Modbus answer does not say which question it answers; unit, function and byte count are all it shows (the key). Two things end the doubt:

    order   a server answers in order: a normal answer to a question whose key is not among the unanswered ones proves that none of
            them can be answered any more. So does an answer with an unanswered key for everything last asked before that key's first.
            An exception shows no byte count and proves nothing.
    time    the guard: after it, counted from the time-out, a late answer can no longer come (configured, `late_answer_guard_ms`).
            Where less than `answer_timeout_ms` was waited, because a device's time was learnt, it counts from the end of the full wait.

An answer that has a key asked in vain several times shows a device that works off what it was asked while it could not speak: the rest of
its answers may follow at once, so the guard starts again.

A unit that answers twice (two devices with one address) keeps no order: after each of its answers every question with the same key is held
back for as long as its second answers took, doubled; for the whole guard until that has been seen a few times.
"""

from __future__ import annotations

Key = tuple[int, ...]
"""Unit first."""

# A unit that answered twice is believed again when it has not done so for this long. Two devices with one address stay two until somebody comes; each
# time that it is believed anew one more second answer can be taken for the next one, and being watched costs next to nothing once they were timed.
DOUBLING_NS = 3600 * 1_000_000_000
# The first second answer may belong to an older question than it seems; so many waits of the whole guard show how long they really take.
DOUBLES_WATCHED = 3
# USB adapters hand bytes over in steps of up to 16 ms.
DOUBLE_MARGIN_NS = 20_000_000


class _Entry:
    __slots__ = ("count", "first", "last", "until_ns")

    def __init__(self, first: int) -> None:
        self.first = first
        self.last = first
        self.count = 0
        self.until_ns = 0


class _Doubling:
    """A unit that answers twice."""

    __slots__ = ("longest_ns", "until_ns", "watched")

    def __init__(self) -> None:
        self.longest_ns = 0
        """From an answer to its second one."""
        self.until_ns = 0
        self.watched = 0
        """Answers since one took longer than was waited for."""


class Unanswered:
    """Of one bus. Bounded by the number of different questions in the plan."""

    def __init__(self, guard_ms: int) -> None:
        self._guard_ns = guard_ms * 1_000_000
        self._units: dict[int, dict[Key, _Entry]] = {}
        self._asked = 0
        self._answered_ns: dict[Key, int] = {}
        self._doubling: dict[int, _Doubling] = {}

    @property
    def is_any(self) -> bool:
        """Whether anything is without its answer, or a unit answers twice: else nothing is held back."""
        return bool(self._units or self._doubling)

    def blocked_until_ns(self, key: Key, now_ns: int) -> int:
        """Until when a question with this key must not be asked; 0 when it may be asked now."""
        entries = self._units.get(key[0]) if key else None
        entry = entries.get(key) if entries else None
        until_ns = 0 if entry is None else entry.until_ns
        if key and key[0] in self._doubling and key in self._answered_ns:
            until_ns = max(until_ns, self._answered_ns[key] + self._double_ns(self._doubling[key[0]], now_ns))
        return until_ns if now_ns < until_ns else 0

    def awaits(self, key: Key) -> bool:
        """Whether questions with this key are still without an answer, however long ago they were asked."""
        return bool(key) and key in self._units.get(key[0], ())

    def doubled(self, key: Key, now_ns: int, took_ns: int) -> bool:
        """An answer with this key came although none was due any more, so long after the one before. True when that is new of its unit."""
        doubling = self._doubling.setdefault(key[0], _Doubling())
        new = now_ns >= doubling.until_ns
        if new or took_ns > 2 * doubling.longest_ns + DOUBLE_MARGIN_NS:
            doubling.watched = 0
        doubling.longest_ns = took_ns if new else max(doubling.longest_ns, took_ns)
        doubling.until_ns = now_ns + DOUBLING_NS
        return new

    def _double_ns(self, doubling: _Doubling, now_ns: int) -> int:
        """For how long after an answer its second one may come."""
        if now_ns >= doubling.until_ns:
            return 0
        return self._guard_ns if doubling.watched < DOUBLES_WATCHED else min(self._guard_ns, 2 * doubling.longest_ns + DOUBLE_MARGIN_NS)

    def timed_out(self, key: Key, now_ns: int) -> None:
        """The question got no answer, or none that is surely its own."""
        if not key:
            return
        self._asked += 1
        entry = self._units.setdefault(key[0], {}).setdefault(key, _Entry(self._asked))
        entry.last = self._asked
        entry.count += 1
        entry.until_ns = max(entry.until_ns, now_ns + self._guard_ns)

    def answered(self, key: Key, now_ns: int) -> None:
        """A normal answer with this key came."""
        self._answered_ns[key] = now_ns
        if key and key[0] in self._doubling:
            self._doubling[key[0]].watched += 1
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
            left.until_ns = max(left.until_ns, now_ns + self._guard_ns)

    def refused(self, key: Key, now_ns: int) -> None:
        """An exception came: it may be the answer to an older question of the same function, and this one's may still follow."""
        if key and any(other[1:2] == key[1:2] for other in self._units.get(key[0], ())):
            self.timed_out(key, now_ns)
