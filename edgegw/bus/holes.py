"""What devices refuse: found by halving, remembered, shown, and tried again rarely.

A refusal (exceptions 1 to 3) of a whole question divides it; how, the driver says. Every refusal within one poll is used at once, up
to REFUSALS_MAX; the rest is found at the next poll. What was learnt is told as a state with a key, `bus/holes/BUS/DEVICE/GROUP`, and
given back at the next start:

    {"profile", "block", "refused": [[first piece, one behind the last], ...], "firmware"}

It holds for this profile and block, and for the firmware (or model) text that the device told then: another text makes it be tried anew. A
device may refuse for a moment only, while it starts: what was learnt is tried again after a minute, after that once a day, and
whenever the device was silent.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from edgegw.drivers.base import DevicePlan, Division, Part, Pieces, PlannedSource
from edgegw.model import Answer, Fault, Point, Reading

_log = logging.getLogger("edgegw.bus")

KEY_PREFIX = "bus/holes/"
# The first retry: a device that starts refuses too.
RETRY_FIRST_MS = 60_000
# Firmware changes rarely.
RETRY_MS = 24 * 3600 * 1000
# Refusals of one source in one poll: a whole search of the largest block with one hole (log2 125 and one), and other devices do not wait for longer.
REFUSALS_MAX = 8
# Points whose text tells which firmware a device runs, best first.
FIRMWARE_POINTS = ("firmware", "model")

OnLearnt = Callable[[str, bytes | None], None]
"""Key and state; None: nothing is refused any more."""


class Learnt(msgspec.Struct, frozen=True):
    """What is remembered of one source."""

    profile: str
    block: str
    refused: list[Pieces]
    firmware: str = ""


class Heard(NamedTuple):
    """The answers of a divided source."""

    division: Division
    answers: dict[Pieces, Answer]

    @property
    def complete(self) -> bool:
        return all(part.pieces in self.answers for part in self.division.parts)


class SourceHoles:
    """What is refused of one source. `division` is None while nothing is."""

    def __init__(self, planned: PlannedSource, plan: DevicePlan, key: str) -> None:
        self.planned = planned
        self.plan = plan
        self.key = key
        self.division: Division | None = None
        self.firmware = ""
        self._refused: frozenset[Pieces] = frozenset()
        self._told: frozenset[Pieces] = frozenset()
        self._retry_ms = 0
        self._searching = True
        self._proven = False
        """Found a second time, or remembered."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """What is asked instead of the source's own question; empty when that is to be asked."""
        return () if self.division is None else self.division.parts

    @property
    def is_whole(self) -> bool:
        """Nothing is refused, nothing is looked for, and that is told."""
        return self.division is None and not self._searching and not self._told

    @property
    def points(self) -> list[str]:
        """Names of the points that the device refuses while it answers others."""
        return [self.planned.source.points[position].name for position in self.division.holes] if self.division and self.parts else []

    @property
    def may_divide(self) -> bool:
        return self.planned.divide is not None

    def refuse_whole(self) -> None:
        """The source's own question was refused. Where nothing of it was answered the last time it stays at that."""
        if self.division is None:
            self.refuse((0, self.planned.pieces))

    def answered_whole(self) -> None:
        """The source's own question was answered."""
        self._refused, self.division = frozenset(), None

    def refuse(self, pieces: Pieces) -> None:
        """One more refusal."""
        self._refused |= {pieces}
        self.division = self._divided()

    def recall(self, learnt: Learnt, now_ms: int) -> None:
        """What an earlier start found."""
        self._refused = frozenset(learnt.refused)
        self.division = self._divided()
        self._told = self.division.facts
        self.firmware = learnt.firmware
        self._proven, self._searching = True, False
        self._retry_ms = now_ms + RETRY_MS

    def retry(self) -> None:
        """At the next poll the whole question is asked again."""
        self._retry_ms = 0

    def forget_if_due(self, now_ms: int) -> None:
        if self.division is not None and not self._searching and now_ms >= self._retry_ms:
            self._refused, self.division, self._searching = frozenset(), None, True

    def settled(self, now_ms: int) -> bool:
        """The search is over. True when it found something else than the last one."""
        facts = frozenset() if self.division is None else self.division.facts
        if self._searching:
            self._searching = False
            self._proven = facts == self._told
            self._retry_ms = now_ms + (RETRY_MS if self._proven else RETRY_FIRST_MS)
        if self.division is not None and facts != self._refused and self.may_divide:
            # What the holes explain is forgotten, so that what lies between them is asked in one piece from now on.
            self._refused = facts
            self.division = self._divided()
        new = facts != self._told
        self._told = facts
        return new

    def _divided(self) -> Division:
        assert self.planned.divide is not None
        return self.planned.divide(self._refused)

    def learnt(self) -> Learnt | None:
        return Learnt(self.plan.profile, self.planned.block, sorted(self._told), self.firmware) if self._told else None


class HoleBook:
    """Of one bus."""

    def __init__(self, bus: str, plans: Sequence[DevicePlan], remembered: Mapping[str, bytes], on_learnt: OnLearnt, now_ms: int) -> None:
        self._bus = bus
        self._on_learnt = on_learnt
        self._firmware: dict[str, tuple[int, str]] = {}
        self._sources = {
            (plan.device, planned.source.group): SourceHoles(planned, plan, f"{KEY_PREFIX}{bus}/{plan.device}/{planned.source.group}")
            for plan in plans
            for planned in plan.sources
        }
        self._texts = {planned.source.source_id: found for plan in plans for planned in plan.sources if (found := _firmware_positions(planned.source.points))}
        """Source id to the (position, rank) of what names the device's firmware; most sources have none and cost nothing."""
        self.listens = bool(self._texts)
        """Some source names a firmware."""
        for holes in self._sources.values():
            learnt = _decode(remembered.get(holes.key))
            if learnt is not None and holes.planned.divide and (learnt.profile, learnt.block) == (holes.plan.profile, holes.planned.block):
                holes.recall(learnt, now_ms)

    def of(self, planned: PlannedSource) -> SourceHoles:
        return self._sources[planned.source.device, planned.source.group]

    def resolve(self, device: str, sources: Sequence[PlannedSource]) -> None:
        """The device said how its sources are read; what was learnt of another block says nothing of this one."""
        for planned in sources:
            before = self._sources[device, planned.source.group]
            if (before.planned.block, before.planned.pieces) != (planned.block, planned.pieces):
                self._sources[device, planned.source.group] = SourceHoles(planned, before.plan, before.key)
            else:
                before.planned = planned

    def refused_points(self) -> dict[str, list[str]]:
        """Device to the points that it refuses while it answers others."""
        found: dict[str, list[str]] = {}
        for holes in self._sources.values():
            if holes.points:
                found.setdefault(holes.plan.device, []).extend(holes.points)
        return found

    def settle(self, holes: SourceHoles, now_ms: int) -> None:
        """A poll of the source had all its answers. What is new is told, once."""
        if not holes.settled(now_ms):
            return
        _, holes.firmware = self._firmware.get(holes.plan.device, (0, ""))
        learnt = holes.learnt()
        self._on_learnt(holes.key, msgspec.json.encode(learnt) if learnt else None)
        device, points = holes.plan.device, holes.points
        if holes.division is None:
            _log.info('bus "%s": %s answers all its points %s', self._bus, device, holes.planned.source.group)
        elif points:
            _log.warning('bus "%s": %s refuses %s; the rest of its points is read without them', self._bus, device, ", ".join(points))

    def note(self, reading: Reading) -> None:
        """Learns the firmware of a device from its own words; another one than before may have other points."""
        for position, rank in self._texts.get(reading.source.source_id, ()):
            text = reading.values[position]
            if isinstance(text, str) and text:
                self._note_firmware(reading.source.device, rank, text)

    def retry(self, device: str) -> None:
        """The device was silent, and may be another one now."""
        for holes in self._sources.values():
            if holes.plan.device == device:
                holes.retry()

    def _note_firmware(self, device: str, rank: int, text: str) -> None:
        known = self._firmware.get(device)
        if known is not None and known[0] < rank:
            return
        self._firmware[device] = rank, text
        for holes in self._sources.values():
            if holes.plan.device == device and holes.division is not None and holes.firmware not in ("", text):
                holes.firmware = text
                holes.retry()


def _firmware_positions(points: Sequence[Point]) -> tuple[tuple[int, int], ...]:
    return tuple((i, FIRMWARE_POINTS.index(point.name)) for i, point in enumerate(points) if point.kind == "text" and point.name in FIRMWARE_POINTS)


def is_refusal(fault: Fault) -> bool:
    """Whether the device said that it has no such thing: a fault of the configuration."""
    return fault.exception_code in (1, 2, 3)


def _decode(state: bytes | None) -> Learnt | None:
    """What cannot be read was never learnt."""
    if state is None:
        return None
    try:
        return msgspec.json.decode(state, type=Learnt)
    except msgspec.DecodeError:
        return None
