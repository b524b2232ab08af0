"""Whole devices: which one answers, and whether it sleeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import cast

from edgegw.config.model import Device
from edgegw.model import ClockTrust, Quality, Reading, Source
from edgegw.truth.identity import FIELDS, Edge, Face, meet
from edgegw.truth.sun import TWILIGHT_MS, is_night, sun_times
from edgegw.truth.work import KEY_PREFIX, Moment, Report, Work, encode, recall, suspect_all

# Name with a space: no configured rule can have it.
WRONG_DEVICE = "wrong device"
# One or two lost answers are noise of the line; the rules count the same number before a device is offline.
FAILED_POLLS_MIN = 3
# The longest night in which a station stands, and some twilight: an inverter that says that it sleeps wakes again within it.
SLEEP_MS_MAX = 18 * 3_600_000


class Faces:
    """Which device answers in the place of one that is configured."""

    def __init__(self, device: Device, restored: Mapping[str, bytes], on_replaced: Callable[[str], None], on_wrong: Callable[[str, bool], None]) -> None:
        """Both are told the device's code."""
        self.key = f"{KEY_PREFIX}identity/{device.code}"
        self._device = device
        self._on_replaced = on_replaced
        self._on_wrong = on_wrong
        self.face = cast("Face", recall(restored, self.key, Face) or Face())
        if self.face.stranger:
            on_wrong(device.code, True)

    def meet(self, said: Mapping[str, str], work: Work) -> None:
        """What the device said of itself."""
        before = self.face
        self.face, edges = meet(self._device.serial_number, before, said)
        if edges:
            work.states[self.key] = encode(self.face)
        for edge in edges:
            if edge is Edge.REPLACED:
                self._on_replaced(self._device.code)
                work.tell("replaced", self._device.code, {**_old_and_new(before, self.face), "reason": "another device answers; its registers begin anew"})
            elif edge is not Edge.KNOWN:
                self._on_wrong(self._device.code, edge is Edge.WRONG)
                work.tell("identity", self._device.code, self._body(before, edge))
                work.reports.append(self.report(raised=edge is Edge.WRONG))

    def report(self, *, raised: bool) -> Report:
        """The alarm of the wrong device."""
        expected, found = self._device.serial_number, self.face.stranger
        text = f"serial number {found} answers, {expected} is configured" if raised else ""
        return Report(WRONG_DEVICE, self._device.code, raised, text, f"应答设备序列号为 {found}，配置为 {expected}" if raised else "")

    def _body(self, before: Face, edge: Edge) -> dict[str, object]:
        wrong = edge is Edge.WRONG
        return {
            "edge": "raised" if wrong else "cleared",
            "expected": self._device.serial_number,
            "found": self.face.stranger if wrong else self.face.serial_number,
            "before": before.stranger or before.serial_number,
        }


def _old_and_new(before: Face, now: Face) -> dict[str, object]:
    return {f"{side}_{field}": getattr(face, field) for side, face in (("old", before), ("new", now)) for field in FIELDS}


class SaysItself:
    """The step of a source that polls the device's own words about itself."""

    def __init__(self, faces: Faces, source: Source) -> None:
        self._faces = faces
        self.positions = [(point.name, i) for i, point in enumerate(source.points) if point.kind == "text" and point.name in FIELDS]
        self._said: dict[str, str] = {}

    def __call__(self, work: Work) -> None:
        said = {name: value for name, position in self.positions if isinstance(value := work.value(position), str) and value}
        if said and said != self._said:
            self._said = said
            self._faces.meet(said, work)
            if self._faces.face.stranger:
                suspect_all(work)


class Sleeper:
    """An inverter. Its silence at night, or after a state in which it goes to sleep, is no fault."""

    def __init__(self, device: Device, sources: Sequence[Source], place: tuple[float, float], restored: Mapping[str, bytes]) -> None:
        self.key = f"{KEY_PREFIX}asleep/{device.code}"
        self._code = device.code
        self._place = place
        self._states = frozenset(device.sleep_states)
        self._positions = {source.source_id: position for source in sources for position, point in enumerate(source.points) if point.name == "state"}
        self._failed = 0
        self._state_says = False
        self._until_ms: int | None = None
        """Monotonic end of a sleep that only its state explains."""
        self.asleep = self.key in restored
        self.excused = self._restored = self.asleep

    def __call__(self, work: Work) -> None:
        assert work.reading is not None
        if not is_silent(work.reading):
            self._failed = 0
            position = self._positions.get(work.reading.source.source_id)
            if position is not None and type(state := work.value(position)) is int:
                self._state_says = state in self._states
            if self.asleep:
                self._wake(work)
            return
        self._failed += 1
        if self._failed >= FAILED_POLLS_MIN and not self.asleep and (self._state_says or self._may_sleep(work.now)):
            self._fall_asleep(work)

    def tick(self, work: Work) -> None:
        """Ends the excuse when the night is over and the device is still silent."""
        if self._restored and self._place == (0.0, 0.0):
            self._until_ms = self._morning_ms(work.now)
        self._restored = False
        if self.excused and not self._may_sleep(work.now) and (self._until_ms is None or work.now.mono_ms >= self._until_ms):
            self.excused = False
            work.excused[self._code] = False
            if self.asleep:
                self.asleep = False
                work.states[self.key] = None
                work.tell("asleep", self._code, {"edge": "cleared", "reason": "the night is over, and it is still silent"})

    def _may_sleep(self, now: Moment) -> bool:
        """By the sun, where the place and the time are known."""
        return self._place != (0.0, 0.0) and now.clock is not ClockTrust.UNSET and is_night(now.wall_ms, *self._place)

    def _fall_asleep(self, work: Work) -> None:
        self.asleep = self.excused = True
        by_sun = self._may_sleep(work.now)
        self._until_ms = None if by_sun else self._morning_ms(work.now)
        work.excused[self._code] = True
        work.states[self.key] = b"1"
        body = {"edge": "raised", "by": "sun" if by_sun else "state", "sunrise_ms": self._sunrise_ms(work.now.wall_ms)}
        work.tell("asleep", self._code, {**body, "reason": "silent, as it is every night"})

    def _wake(self, work: Work) -> None:
        self.asleep = self.excused = False
        self._until_ms = None
        work.excused[self._code] = False
        work.states[self.key] = None
        work.tell("asleep", self._code, {"edge": "cleared", "reason": "answers again"})

    def _morning_ms(self, now: Moment) -> int:
        """Monotonic time by which an inverter that said that it sleeps must be awake."""
        sunrise_ms = self._sunrise_ms(now.wall_ms) if now.clock is not ClockTrust.UNSET else None
        return now.mono_ms + (SLEEP_MS_MAX if sunrise_ms is None else sunrise_ms - now.wall_ms + TWILIGHT_MS)

    def _sunrise_ms(self, wall_ms: int) -> int | None:
        days = (sun_times(wall_ms + day * 86_400_000, *self._place) for day in (0, 1)) if self._place != (0.0, 0.0) else ()
        return next((times[0] for times in days if times is not None and times[0] > wall_ms), None)


def is_silent(reading: Reading) -> bool:
    """Whether the device said nothing at all."""
    return len(reading.quality) == len(reading.values) and set(reading.quality.values()) == {Quality.OFFLINE}
