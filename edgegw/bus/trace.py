"""The last frames of one bus, with their times: a bounded ring that the transactions feed and `edgegw bus monitor` reads.

A frame is kept as the bytes that were there anyway: feeding it costs one tuple. Everything else (hex, words, wall time) is made when somebody looks.

    question            at_ns: when its first byte was handed to the system
    everything else     at_ns: when its last byte was read; for `timeout`, which has no bytes, when the wait was over
    of the line         opened, closed, not_opened: no frames; their bytes are words for people, the reason
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import NamedTuple

from edgegw.model import Parsed, Unproven

# Kept while nobody looks. A serial line: some ten seconds at full speed, at most 64 KiB. Each TCP server is a bus of its own and there may be
# hundreds: the last eight questions, 4 KiB.
KEPT_SERIAL = 256
KEPT_TCP = 16
# Kept while somebody looks: a monitor on a slow link may miss several of its turns.
KEPT_WATCHED = 2048
# A frame of 256 bytes and as much before it; more is babble whose rest says nothing new.
DATA_BYTES_MAX = 512

QUESTION = "question"
KINDS = (QUESTION, "answer", "exception", "timeout", "crc", "short", "late", "doubled", "echo", "foreign", "noise")
"""What a frame was. `late`, `doubled`, `foreign`, `echo`: whole frames that are not the answer; `crc`, `short`: a spoiled one; `noise`: none at all."""


OPENED, CLOSED, NOT_OPENED = "opened", "closed", "not_opened"
LINE_KINDS = frozenset({OPENED, CLOSED, NOT_OPENED})
"""What happened to the line itself. A replay has no use for them."""


class Frame(NamedTuple):
    """One frame, as it is told to others."""

    number: int
    """From 1, in the order in which they came."""
    at_ns: int
    """`time.monotonic_ns()`"""
    kind: str
    unit: int
    """Who was asked last: what is heard belongs to him, as far as the bus can know."""
    data: bytes
    """Of an event of the line: its words in UTF-8."""


class Part(NamedTuple):
    """What a reader has not seen yet, as far as it is still there."""

    frames: list[Frame]
    cursor: int
    """Number of the last frame told: where to go on."""
    lost: int
    """Frames between the reader's cursor and the first one told that are no longer kept."""


class Trace:
    """Of one bus; only its loop touches it."""

    def __init__(self, kept: int = KEPT_TCP) -> None:
        self.count = 0
        """Frames so far: the number of the newest."""
        self._kept = kept
        self._unit = 0
        self._frames: deque[tuple[int, str, int, bytes]] = deque(maxlen=kept)

    def asked(self, at_ns: int, unit: int, data: bytes) -> None:
        """A question goes out."""
        self._unit = unit
        self.count += 1
        self._frames.append((at_ns, QUESTION, unit, data))

    def heard(self, at_ns: int, kind: str, data: bytes) -> None:
        """Something came, or nothing did."""
        self.count += 1
        self._frames.append((at_ns, kind, self._unit, data if len(data) <= DATA_BYTES_MAX else data[:DATA_BYTES_MAX]))

    def line(self, at_ns: int, kind: str, words: str = "") -> None:
        """The line was opened or closed, or cannot be opened, and why."""
        self.heard(at_ns, kind, words.encode())

    def keep(self, kept: int) -> None:
        """So many while nobody looks."""
        self._kept = kept
        self.rest()

    def watch(self) -> None:
        """Somebody looks."""
        if self._frames.maxlen != KEPT_WATCHED:
            self._frames = deque(self._frames, maxlen=KEPT_WATCHED)

    def rest(self) -> None:
        """Nobody looks any more."""
        self._frames = deque(self._frames, maxlen=self._kept)

    def since(self, cursor: int, limit: int) -> Part:
        """The first `limit` frames behind the one of this number; a cursor from the future (of an earlier daemon) sees all that is kept."""
        oldest = self.count - len(self._frames)
        start = max(cursor, oldest) if cursor <= self.count else oldest
        found = islice(self._frames, start - oldest, start - oldest + limit)
        frames = [Frame(start + position, at_ns, kind, unit, data) for position, (at_ns, kind, unit, data) in enumerate(found, 1)]
        return Part(frames, start + len(frames), start - cursor if cursor <= self.count else 0)


def kind_heard(heard: Parsed | Unproven) -> str:
    """What the bytes before an answer, or in place of one, were; empty where there were none."""
    if isinstance(heard, Unproven) and heard.kind in {"crc", "short"}:
        return heard.kind
    return next((kind for kind, count in (("late", heard.late), ("foreign", heard.foreign), ("echo", heard.echo), ("noise", heard.noise)) if count), "")
