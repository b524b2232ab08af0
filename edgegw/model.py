"""The nouns of edgegw: what a driver gives, the store keeps, the rules judge and the uplink sends.

Nothing here does I/O and nothing here imports another part of edgegw.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum

import msgspec

Value = int | float | str | bytes | bool | None
"""One value of a point: a measure or counter is an integer of 10**-decimals units, so that a meter's digits survive exactly."""


class Quality(IntEnum):
    """Quality of one value, as on the wire. Up to 3 there is a value, from 16 on there is none."""

    GOOD = 0
    SUSPECT = 1
    ESTIMATED = 2
    LATE = 3
    BAD = 16
    OFFLINE = 17
    REFUSED = 18
    MAINTENANCE = 19
    NOT_FITTED = 20

    @property
    def has_value(self) -> bool:
        return self < Quality.BAD

    @property
    def word(self) -> str:
        """The word people see: `good`, `not fitted`."""
        return self.name.lower().replace("_", " ")


class ClockTrust(IntEnum):
    """How far the wall time of a reading can be trusted, as on the wire."""

    UNSET = 0
    SYNCHRONISED = 1
    CORRECTED = 2
    HELD = 3

    @property
    def word(self) -> str:
        return self.name.lower()


class Stream(IntEnum):
    """Class of data: its own sequence, lane, retention and thinning."""

    EVENT = 1
    ENERGY = 2
    TELEMETRY = 3
    RECORD = 4
    THINNED = 5


class Point(msgspec.Struct, frozen=True):
    """One quantity of a device. `value * 10**-decimals` is in `unit`; `decimals` is 0 for states, flags and text."""

    name: str
    decimals: int
    unit: str
    kind: str
    """measure, counter, state, flag or text"""


class Source(msgspec.Struct, frozen=True):
    """The points of one device that one poll reads: one answer, one reading. The layout of a source never changes while the daemon runs."""

    source_id: int
    device: str
    group: str
    period_ms: int
    points: tuple[Point, ...]
    device_class: str = ""
    stream: Stream = Stream.TELEMETRY


class Reading(msgspec.Struct, frozen=True):
    """One poll of one source.

    `values` is positional to `source.points`; `quality` holds only what is not good, {position: code}.
    A value is None exactly when its quality has no value.
    """

    source: Source
    read_at_ms: int
    """Wall time (UTC) at which the last byte of the answer arrived. A label: never used for order or delay."""
    mono_ms: int
    """Monotonic time of the same instant, ms since the epoch began."""
    clock: ClockTrust
    values: tuple[Value, ...]
    quality: Mapping[int, Quality] = {}

    def quality_of(self, position: int) -> Quality:
        return self.quality.get(position, Quality.GOOD)


class Event(msgspec.Struct, frozen=True):
    """A stored change of state. `body` holds plain values only (int, float, str, bytes, bool, None, lists and maps of them)."""

    kind: str
    at_ms: int
    mono_ms: int
    clock: ClockTrust
    device: str | None = None
    body: Mapping[str, object] = {}


class Identity(msgspec.Struct, frozen=True, order=True):
    """A run of sequences of one stream of one start of the daemon; both ends belong to it."""

    epoch: int
    """Random, 64 bits."""
    stream: int
    first: int
    last: int


class Batch(msgspec.Struct, frozen=True):
    """What the store hands to an uplink: identified, immutable, not yet sealed."""

    block_id: int
    """Local order of sending; of an event batch the store's own number of its last event."""
    identity: Identity
    schema: bytes | None
    """First 8 bytes of the SHA-256 of the schema document; None for events."""
    body: bytes
    """Codec byte and compressed document (`block.py`)."""
    values: int
    """How many values it holds, for counting only."""


class Alarm(msgspec.Struct, frozen=True):
    """One episode of one rule on one device, as people see it."""

    alarm_id: str
    number: int
    """Short local number for people (#1042)."""
    rule: str
    level: str
    device: str
    point: str
    state: str
    """active, or returned: the condition has ended and somebody is waited for"""
    began_at_ms: int
    raised_at_ms: int
    cleared_at_ms: int | None
    value: float | None
    limit: float | None
    unit: str
    text: str
    acknowledged: bool = False
    acknowledged_at_ms: int | None = None
    acknowledged_by: str = ""
    note: str = ""
    visibility: str = "shown"
    """shown, suppressed, shelved, out_of_service"""
    latched: bool = False
    root: str | None = None
    """Id of the alarm it is hidden below."""
    told_at_ms: int | None = None
    """When people were last told of it."""
    chattering: bool = False
    """It comes and goes, and is kept active until it is quiet."""
    first_out: bool = False
    """The first of a group that fell together."""


class Answer(msgspec.Struct, frozen=True):
    """What is provably the answer to the question asked."""

    data: bytes
    """What the protocol's decoder needs (Modbus: the data bytes behind the byte count)."""
    arrived_ns: int
    """`time.monotonic_ns()` at which its last byte was read."""


class Fault(msgspec.Struct, frozen=True):
    """Why there is no answer."""

    kind: str
    """timeout, crc, exception, refused, noise, foreign, closed or line"""
    text: str
    exception_code: int | None = None


class Parsed(msgspec.Struct, frozen=True):
    """What a protocol found in the bytes received so far. `end` counts the bytes it has used, noise before it included."""

    end: int
    data: bytes | None = None
    """The answer's data, or None when the device answered with an exception."""
    exception_code: int | None = None
    noise: int = 0
    """Bytes before the frame that belong to nothing."""
    foreign: int = 0
    """Whole frames before it that belong to another unit or another master."""
    late: int = 0
    """Whole frames before it from the asked unit that answer another question."""
    echo: int = 0
    """Times that the request itself was heard before it."""
    open: bool = False
    """The protocol's end mark has not come: it counts when the line is silent."""


class Unproven(msgspec.Struct, frozen=True):
    """What the bytes were in which no answer was found when its time was over."""

    kind: str
    """timeout (none at all), crc, short, foreign or noise"""
    noise: int = 0
    foreign: int = 0
    late: int = 0
    echo: int = 0
    rival: bool = False
    """Another master asked for what looks alike, and its answer was not among the bytes: it may still come."""


class Question(msgspec.Struct, frozen=True):
    """One request of one protocol and the proof of its answer."""

    payload: bytes
    """Bytes for the line. On Modbus TCP without the two bytes of the transaction id, which the line's transaction puts in front."""
    parse: Callable[[bytes], Parsed | None]
    """Pure: the bytes received since the request (RTU: everything; TCP: one frame behind its transaction id) to the proven answer, or None while there is none."""
    answer_size: int
    """Bytes of a whole good answer on the line, for the time it takes."""
    fits: tuple[int, ...] = ()
    """What a late answer would have to match to be mistaken for this one's answer (Modbus: unit, function, byte count)."""
    explain: Callable[[bytes], Unproven] | None = None
    """Pure: what the bytes received were, when `parse` found no answer in them."""
    protocol: str = "modbus"
    """By what the line decides that it only reads: modbus, dlt645, dlt645-1997, megatec; modbus-write: that it is declared (drivers/permit.py)."""
    follow: Callable[[Answer], Question | None] | None = None
    """Pure: what is asked at once to complete this answer (follow-up frames); None when it is whole."""
    resync: tuple[Question, ...] = ()
    """Parts of the same question with other `fits`: an answer to one of them shows that no late answer to this one can come any more."""
