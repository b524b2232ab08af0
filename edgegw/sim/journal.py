"""What the devices did, written down by themselves: the one witness of what was sent (`audit.py` reads it).

    first line   {"schema":"edgegw.journal/1","decimals":{device:{point:decimals}}}, again at every start of the station
    other lines  one `Entry` each, in the order in which the answers ended

Each line is one `write` to a file opened for appending: nothing waits in memory, and a killed station leaves whole lines.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

SCHEMA = "edgegw.journal/1"


class Entry(msgspec.Struct, frozen=True):
    """One answer."""

    device: str
    bus: str
    unit: int
    n: int
    """Number of the answer, counted by the device from 1."""
    function: int
    address: int
    count: int
    request_ns: int
    """`time.monotonic_ns()` of the request's first byte."""
    finished_ns: int
    """`time.monotonic_ns()` when the last byte had been sent."""
    finished_ms: int
    """Wall time (UTC) of the same instant."""
    exception: int | None
    whole: bool
    """False when a fault or a collision cut, delayed or damaged the answer."""
    values: Mapping[str, int | str | None]
    """The points whose registers lie wholly in the answer: 10**-decimals units of the dictionary's unit, or text; None where the raw value means "none"."""


class Journal:
    """Appends; any thread may write."""

    def __init__(self, path: Path, decimals: Mapping[str, Mapping[str, int]]) -> None:
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._append({"schema": SCHEMA, "decimals": decimals})

    def write(self, entry: Entry) -> None:
        self._append(entry)

    def close(self) -> None:
        os.close(self._file)

    def _append(self, line: object) -> None:
        os.write(self._file, msgspec.json.encode(line) + b"\n")


def read(path: Path) -> tuple[dict[str, dict[str, int]], list[Entry]]:
    """A whole journal: decimals of every device's points, and the answers. A last line that was cut is left out."""
    decimals: dict[str, dict[str, int]] = {}
    entries: list[Entry] = []
    decode = msgspec.json.Decoder(Entry).decode
    for line in _lines(path):
        if line.startswith(b'{"schema"'):
            decimals.update(msgspec.json.decode(line, type=_Head).decimals)
        else:
            entries.append(decode(line))
    return decimals, entries


class _Head(msgspec.Struct):
    decimals: dict[str, dict[str, int]]


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from (line for line in file if line.endswith(b"\n"))
