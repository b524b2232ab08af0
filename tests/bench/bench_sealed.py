"""Bytes a value in the sealed MQTT payload: the reference station over the simulated day, in windows of 10 s and joined.

Ten minutes of each hour, encoded as the store does and sealed as the sender does: no link, no file. Energy goes at once, each reading by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from edgegw.block import encode_schema, schema_hash
from edgegw.buffer.sealing import seal
from edgegw.model import Identity, Reading, Stream
from edgegw.uplink.envelope import BATCH, Sealer
from tests.bench.marks import Figure
from tests.bench.r10 import Station

WINDOW_MS = 10_000
STRETCH_S = 600
HOURS = 24
_EPOCH = 0x0123456789ABCDEF


class Counted:
    """Sealed bytes and values of one way of cutting."""

    def __init__(self, schema: bytes) -> None:
        self._schema = schema
        self._sealer = Sealer("operator/station-0042/gw1", X25519PrivateKey.generate().public_key(), Ed25519PrivateKey.generate())
        self._next = dict.fromkeys(Stream, 1)
        self.message_bytes = self.values = self.messages = 0

    def add(self, readings: Sequence[Reading]) -> None:
        if not readings:
            return
        stream = readings[0].source.stream
        for one in seal(self._schema, self._next[stream], readings):
            self.message_bytes += len(self._sealer.seal(BATCH, Identity(_EPOCH, stream, one.first, one.last), one.body))
            self.values += one.values
            self.messages += 1
        self._next[stream] += len(readings)

    @property
    def bytes_a_value(self) -> float:
        return self.message_bytes / self.values


def measure() -> Iterator[Figure]:
    station = Station()
    schema = schema_hash(encode_schema(station.sources))
    windows, joined, energy = Counted(schema), Counted(schema), Counted(schema)
    for hour in range(HOURS):
        readings = list(station.readings(hour * 3600, hour * 3600 + STRETCH_S))
        for reading in readings:
            if reading.source.stream == Stream.ENERGY:
                energy.add([reading])
        telemetry = [reading for reading in readings if reading.source.stream != Stream.ENERGY]
        joined.add(telemetry)
        for window in _windows(telemetry):
            windows.add(window)
    yield Figure("P8a", "sealed bytes a value, R10, windows of 10 s, mean of the day", windows.bytes_a_value, "B")
    yield Figure("P8b", "the same, joined blocks", joined.bytes_a_value, "B")
    yield Figure("", "windows of 10 s with energy, which goes at once", (windows.message_bytes + energy.message_bytes) / (windows.values + energy.values), "B")
    yield Figure("", "values in a window of 10 s", windows.values / windows.messages)
    yield Figure("", "values in a joined block", joined.values / joined.messages)


def _windows(readings: Sequence[Reading]) -> Iterator[list[Reading]]:
    window: list[Reading] = []
    for reading in readings:
        if window and reading.mono_ms // WINDOW_MS != window[0].mono_ms // WINDOW_MS:
            yield window
            window = []
        window.append(reading)
    if window:
        yield window
