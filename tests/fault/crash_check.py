"""Opens the states of a recorded run with the real buffer and judges them: what was promised before the cut must be there, once, and the same.

`check` is given a share of the states, so that several processes can do the work; `Verdict`s add up.
"""

from __future__ import annotations

import logging
import pickle
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from edgegw.block import BlockError, decode_block
from edgegw.buffer.rows import RowError, decode_event
from edgegw.errors import EdgegwError
from edgegw.intervals import IntervalSet
from edgegw.model import Stream
from tests.fault import crash_child
from tests.fault.crash_states import Operation, State, states
from tests.unit.buffer_rig import Rig

REPOSITORY = Path(__file__).parent.parent.parent
_EXAMPLES_MAX = 5
# Asking for every batch is slow: at this many states one is asked what it would send.
_HANDED_OUT_EACH = 10
# A run of a few seconds; a machine at its limit gets much more.
_RUN_S_MAX = 240


class Verdict(msgspec.Struct):
    """Of a number of states."""

    states: int = 0
    lost: int = 0
    """Synced readings and events that a state does not hold and does not account for."""
    doubled: int = 0
    """Identities with two contents."""
    unopenable: int = 0
    """States that were refused, set aside as damaged, or opened with a block or an event that cannot be read."""
    forgotten: int = 0
    """What is there and was never confirmed, but is not handed out any more."""
    checked: int = 0
    """Promises looked for, in all states together."""
    kinds: dict[str, int] = {}
    examples: list[str] = []

    @property
    def faults(self) -> int:
        return self.lost + self.doubled + self.unopenable + self.forgotten

    def add(self, other: Verdict) -> None:
        for name in ("states", "lost", "doubled", "unopenable", "forgotten", "checked"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.kinds = dict(Counter(self.kinds) + Counter(other.kinds))
        self.examples = [*self.examples, *other.examples][:_EXAMPLES_MAX]

    def line(self) -> str:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(self.kinds.items()))
        return (
            f"{self.states:,} states ({kinds}), {self.checked:,} promises looked for: {self.lost} lost, "
            f"{self.doubled} with two contents, {self.unopenable} unopenable, {self.forgotten} not handed out"
        )


class Known(NamedTuple):
    """What the whole run says of each identity, and of each number that was only known to be synced."""

    contents: dict[Any, Any]
    identity_of: dict[int, Any]


class Promise:
    """What holds at a point of the run; grows from mark to mark."""

    def __init__(self, known: Known) -> None:
        self.identities: set[Any] = set()
        self.confirmed: dict[tuple[int, int], IntervalSet] = {}
        self._known = known

    def take(self, mark: Any) -> None:
        match mark:
            case ("synced", numbers):
                self.identities.update(self._known.identity_of[number] for number in numbers if number in self._known.identity_of)
            case ("given", contents):
                self.identities.update(contents)
            case ("confirmed", intervals):
                for epoch, stream, first, last in intervals:
                    self.confirmed.setdefault((epoch, stream), IntervalSet()).add(first, last)


def record(directory: Path, steps: int, seed: int, level: str = "full") -> list[Operation]:
    """Runs the child in `directory` and returns what its SQLite did."""
    state, file = directory / "run", directory / "record"
    state.mkdir(parents=True)
    command = [sys.executable, "-m", "tests.fault.crash_child", str(state), str(file), str(steps), str(seed), level]
    subprocess.run(command, check=True, cwd=REPOSITORY, timeout=_RUN_S_MAX)
    found: list[Operation] = pickle.loads(file.read_bytes())
    shutil.rmtree(directory)
    return found


def known(operations: Iterable[Operation]) -> tuple[Known, int]:
    """What the marks of the run say, and how many identities were handed out with two contents."""
    contents: dict[Any, Any] = {}
    doubled = 0
    for operation in operations:
        if operation[0] == "mark" and operation[1][0] == "given":
            for identity, content in operation[1][1].items():
                doubled += contents.setdefault(identity, content) != content
    return Known(contents, {content[3][0]: identity for identity, content in contents.items() if identity[1] in (Stream.ENERGY, Stream.TELEMETRY)}), doubled


def deeds(operations: Sequence[Operation]) -> set[str]:
    """What the run came to: kinds of its marks, and reasons of the losses that it told."""
    marks = {str(operation[1][0]) for operation in operations if operation[0] == "mark"}
    return marks | {
        str(content[2]["reason"]) for identity, content in known(operations)[0].contents.items() if identity[1] == Stream.EVENT and content[0] == "loss"
    }


def judge(operations: Sequence[Operation], count: int, seed: int, directory: Path, share: tuple[int, int] = (0, 1)) -> Verdict:
    """Checks every n-th of the states (`share`: which, of how many) in `directory`."""
    logging.getLogger("edgegw").setLevel(logging.CRITICAL)
    _prepare()
    facts, doubled = known(operations)
    verdict = Verdict(doubled=doubled if share[0] == 0 else 0)
    for number, (state, promise) in enumerate(_with_promises(operations, count, seed, facts)):
        if number % share[1] == share[0]:
            _judge_one(state, promise, facts, directory, verdict)
    return verdict


def judge_all(operations: Sequence[Operation], count: int, seed: int, directory: Path, processes: int) -> Verdict:
    """The same on several cores."""
    total = Verdict()
    # A fresh interpreter each: the buffer's threads must not meet a fork.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(judge, operations, count, seed, directory / str(part), (part, processes)) for part in range(processes)]
        for job in jobs:
            total.add(job.result())
    return total


def _with_promises(operations: Sequence[Operation], count: int, seed: int, facts: Known) -> Iterator[tuple[State, Promise]]:
    promise, told = Promise(facts), 0
    for state in states(operations, count, seed):
        for operation in operations[told : state.done]:
            if operation[0] == "mark":
                promise.take(operation[1])
        told = state.done
        yield state, promise


def _judge_one(state: State, promise: Promise, facts: Known, directory: Path, verdict: Verdict) -> None:
    verdict.states += 1
    verdict.kinds[state.kind] = verdict.kinds.get(state.kind, 0) + 1
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    for name, content in state.files.items():
        (directory / name).write_bytes(content)
    try:
        rig = Rig(directory, crash_child.SOURCES, window_idle_s=30)
    except EdgegwError as refusal:
        _note(verdict, "unopenable", state, str(refusal))
        return
    try:
        if rig.buffer.set_aside:
            _note(verdict, "unopenable", state, "set aside as damaged")
            return
        try:
            found = _contents(rig)
        except (BlockError, RowError, sqlite3.DatabaseError) as damage:
            _note(verdict, "unopenable", state, f"opened, but not readable: {damage}")
            return
        _compare(found, promise, facts, state, verdict)
        if verdict.states % _HANDED_OUT_EACH == 0:
            for identity in found.keys() - _handed_out(rig):
                if not _covers(promise.confirmed, identity):
                    _note(verdict, "forgotten", state, f"{identity}")
    finally:
        rig.buffer.close()


def _contents(rig: Rig) -> dict[Any, Any]:
    """All that the file holds, by identity. Read beside the buffer: asking for each block would take most of the time."""
    contents: dict[Any, Any] = {}
    with closing(sqlite3.connect(f"{rig.path.as_uri()}?mode=ro", uri=True)) as file:
        epochs = {number: int.from_bytes(epoch, "big") for number, epoch in file.execute("SELECT number, id FROM epoch")}
        for epoch, stream, first, body in file.execute("SELECT epoch, stream, first, body FROM block"):
            for seq, content in _opened(first, body):
                if contents.setdefault((epochs[epoch], stream, seq), content) is not content:
                    contents[epochs[epoch], stream, seq] = "twice in the file"
        for epoch, seq, kind, device, at_ms, body in file.execute("SELECT epoch, seq, kind, device, at_ms, body FROM event"):
            one = decode_event(kind, device, at_ms, body)
            contents[epochs[epoch], int(Stream.EVENT), seq] = (kind, at_ms, dict(one.body))
    return contents


@lru_cache(maxsize=20_000)
def _opened(first: int, body: bytes) -> list[tuple[int, Any]]:
    return [(row.seq, (row.source_id, row.mono_ms, row.read_at_ms, row.values, row.quality)) for row in decode_block(body, first)[1]]


def _handed_out(rig: Rig) -> set[Any]:
    """What the cloud would be given, by the way the uplink takes."""
    return {
        (batch.identity.epoch, batch.identity.stream, seq)
        for batch in rig.batches(uplink="cloud", streams=tuple(Stream))
        for seq in range(batch.identity.first, batch.identity.last + 1)
    }


def _compare(found: dict[Any, Any], promise: Promise, facts: Known, state: State, verdict: Verdict) -> None:
    settled = _told_lost(found)
    verdict.checked += len(promise.identities)
    for identity in promise.identities - found.keys():
        if not _covers(promise.confirmed, identity) and not _covers(settled, identity):
            _note(verdict, "lost", state, f"{identity}")
    for identity, content in found.items():
        # What the check's own start wrote has an epoch that the run does not know.
        if facts.contents.get(identity, content) != content:
            _note(verdict, "doubled", state, f"{identity}: {content} and {facts.contents[identity]}")


def _told_lost(found: dict[Any, Any]) -> dict[tuple[int, int], IntervalSet]:
    """The ranges that loss events in the file account for."""
    told: dict[tuple[int, int], IntervalSet] = {}
    for identity, content in found.items():
        if identity[1] == Stream.EVENT and content[0] == "loss" and "first" in content[2]:
            body = content[2]
            told.setdefault((int(body["epoch"], 16), body["stream"]), IntervalSet()).add(body["first"], body["last"])
    return told


def _covers(sets: dict[tuple[int, int], IntervalSet], identity: Any) -> bool:
    epoch, stream, seq = identity
    return (epoch, stream) in sets and sets[epoch, stream].covers(seq, seq)


def _note(verdict: Verdict, what: str, state: State, text: str) -> None:
    setattr(verdict, what, getattr(verdict, what) + 1)
    if len(verdict.examples) < _EXAMPLES_MAX:
        verdict.examples.append(f"{what} after operation {state.done} ({state.kind}): {text}")


def _prepare() -> None:
    """The limit and the migration of the run. Changes this process for good: `judge` belongs into one of its own."""
    crash_child.shrink()
    if not _prepared:
        crash_child.add_migration()
        _prepared.append(True)


_prepared: list[bool] = []
