"""Events as they were stored, for people who look back: alarms, connectors, losses, commands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from edgegw.buffer.history import Reader
from edgegw.buffer.rows import RowError, decode_event

# Rows of one look: a few milliseconds.
_ROWS_A_LOOK = 500
# 2020-01-01: no gateway is older.
_CLOCK_SET_MS = 1_577_836_800_000


class Happened(NamedTuple):
    """One stored event."""

    at_ms: int
    kind: str
    device: str | None
    body: Mapping[str, object]


def events_of(reader: Reader, kind: str, since_ms: int, device: str, count: int) -> list[Happened]:
    """The newest `count` of a kind since then, oldest first; of one device, or of all when it is empty. What cannot be read is left out."""
    found: list[Happened] = []
    before = 2**62
    question = "SELECT number, kind, device, at_ms, body FROM event WHERE number < ? AND kind = ? AND at_ms >= ? ORDER BY number DESC LIMIT ?"
    while len(found) < count and (rows := reader.ask(question, before, kind, since_ms, _ROWS_A_LOOK)):
        before = rows[-1][0]
        for _, name, of_device, at_ms, body in rows:
            if not device or of_device == device:
                try:
                    found.append(Happened(at_ms, name, of_device, decode_event(name, of_device, at_ms, body).body))
                except RowError:
                    continue
    return found[:count][::-1]


def oldest_event_ms(reader: Reader) -> int | None:
    """So far back go the events of any kind; of those written before the clock was ever set nobody knows."""
    return reader.ask("SELECT min(at_ms) FROM event WHERE at_ms >= ?", _CLOCK_SET_MS)[0][0]  # type: ignore[no-any-return]


def states_of(reader: Reader, prefix: str) -> dict[str, bytes]:
    """What the rules and others keep for their next start, under the keys that begin so."""
    end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
    return {key: bytes(value) for key, value in reader.ask("SELECT key, value FROM state WHERE key >= ? AND key < ?", prefix, end)}
