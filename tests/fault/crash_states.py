"""From a recorded run to the states in which a power cut can leave the disk (pure, seeded).

Promised by the disk: what was written to a file before its last sync is there, and names are changed in order. Everything else may be there
or not, each write for itself, in any order, and a write may be torn: its first bytes new, the rest old (zeros, or rubbish, where there was nothing).
A new file's name is safe with the first sync of the file (SQLite syncs the directory then); other names with a sync of the directory.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

Operation = tuple[Any, ...]
_SECTOR_BYTES = 512


class State(NamedTuple):
    """What lies on the disk after the cut, and which operations had been done (not: had reached the disk)."""

    done: int
    files: dict[str, bytes]
    kind: str


class _File:
    def __init__(self) -> None:
        self.synced = bytearray()
        self.pending: list[Operation] = []

    def sync(self) -> None:
        for operation in self.pending:
            apply(self.synced, operation)
        self.pending.clear()


class Disk:
    """The run replayed up to a point."""

    def __init__(self) -> None:
        self._files: dict[int, _File] = {}
        self._names: dict[str, int] = {}
        self._pending: list[Operation] = []
        """Changes of names that no sync has made safe."""

    def do(self, operation: Operation) -> None:
        match operation:
            case ("create", int(inode), _):
                self._files[inode] = _File()
                self._pending.append(operation)
            case ("write" | "truncate", int(inode), *_):
                self._files[inode].pending.append(operation)
            case ("sync", int(inode)):
                self._files[inode].sync()
                made = [number for number, change in enumerate(self._pending) if change[:2] == ("create", inode)]
                if made:
                    self._settle(made[0] + 1)
            case ("unlink" | "rename", *_):
                self._pending.append(operation)
            case ("dirsync",):
                self._settle(len(self._pending))

    @property
    def is_calm(self) -> bool:
        """Nothing waits for a sync: there is one state only."""
        return not self._pending and not any(file.pending for file in self._files.values())

    def _settle(self, count: int) -> None:
        for change in self._pending[:count]:
            rename(self._names, change)
        del self._pending[:count]

    def whole(self) -> dict[str, bytes]:
        """Everything reached the disk."""
        return self._cut(len(self._pending), lambda pending: pending)

    def bare(self) -> dict[str, bytes]:
        """Only what was synced did."""
        return self._cut(0, lambda _: [])

    def torn(self, dice: random.Random) -> dict[str, bytes]:
        """Any part of the rest did: some writes, in any order, some of them torn."""
        share = dice.choice((0.1, 0.5, 0.9))

        def pick(pending: list[Operation]) -> list[Operation]:
            kept = [operation for operation in pending if dice.random() < share]
            if len(kept) > 1 and dice.random() < 0.5:
                dice.shuffle(kept)
            if kept and dice.random() < 0.5:
                victim = dice.randrange(len(kept))
                kept[victim] = tear(kept[victim], dice)
            return kept

        return self._cut(dice.randint(0, len(self._pending)), pick)

    def _cut(self, changes: int, pick: Any) -> dict[str, bytes]:
        names = dict(self._names)
        for change in self._pending[:changes]:
            rename(names, change)
        found = {}
        for name, inode in names.items():
            image = bytearray(self._files[inode].synced)
            for operation in pick(self._files[inode].pending):
                apply(image, operation)
            found[name] = bytes(image)
        return found


def apply(image: bytearray, operation: Operation) -> None:
    if operation[0] == "truncate":
        size = operation[2]
        del image[size:]
        image.extend(bytes(size - len(image)))
        return
    offset, data = operation[2:]
    if len(image) < offset:
        image.extend(bytes(offset - len(image)))
    image[offset : offset + len(data)] = data


def rename(names: dict[str, int], change: Operation) -> None:
    match change:
        case ("create", int(inode), str(path)):
            names[path] = inode
        case ("unlink", str(path)):
            names.pop(path, None)
        case ("rename", str(source), str(target)):
            if source in names:
                names[target] = names.pop(source)


def tear(operation: Operation, dice: random.Random) -> Operation:
    """The write as far as the disk got with it: up to a sector, or up to any byte; behind it nothing, or rubbish."""
    if operation[0] != "write":
        return operation
    kind, inode, offset, data = operation
    end = dice.randrange(len(data) + 1)
    if dice.random() < 0.5:
        end = min(len(data), max(0, (offset + end) // _SECTOR_BYTES * _SECTOR_BYTES - offset))
    rest = dice.randbytes(len(data) - end) if dice.random() < 0.3 else b""
    return kind, inode, offset, data[:end] + rest


def states(operations: Sequence[Operation], count: int, seed: int) -> Iterator[State]:
    """About `count` states, spread over all boundaries of the run; at each boundary first the two extremes, then torn ones."""
    dice = random.Random(seed)
    cuts = [number for number, operation in enumerate(operations, 1) if operation[0] != "mark"]
    each = count / max(1, len(cuts))
    disk, done, owed, cut_number = Disk(), 0, 0.0, 0
    for number, operation in enumerate(operations, 1):
        disk.do(operation)
        done = number
        if operation[0] == "mark":
            continue
        owed += each
        kinds = ("whole", "bare", "torn", "torn", "torn", "torn")
        while owed >= 1:
            owed -= 1
            kind = "whole" if disk.is_calm else kinds[cut_number % len(kinds)]
            cut_number += 1
            files = disk.torn(dice) if kind == "torn" else disk.bare() if kind == "bare" else disk.whole()
            yield State(done, files, kind)
            if disk.is_calm:
                break
