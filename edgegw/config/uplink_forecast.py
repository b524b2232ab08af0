"""What an uplink will cost a SIM card in a month, before anything was sent. Pure.

    a day = messages x cost of a message + values x bytes of a value

Measured on the wire, both ways: a batch costs 560 bytes beside its body (envelope, MQTT, TLS, TCP/IP, PUBACK), a receipt 290. A value costs the
less the more of them share a block. Events, schema documents, connects and what a bad link repeats come on top: some percent.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Final, NamedTuple

from edgegw.config.bus_load import kinds
from edgegw.config.finding import WARNING
from edgegw.config.model import Uplink
from edgegw.config.site import Doubt, Site
from edgegw.drivers.plan import line_facts
from edgegw.errors import EdgegwError
from edgegw.model import Source, Stream

BATCH_BYTES: Final = 560
RECEIPT_BYTES: Final = 290
# Receivers sign every 5 to 30 s.
RECEIPT_S: Final = 15.0
# Deflated columns of a charging station's readings (docs/decisions/0004): values in a block, bytes for each. Between them on a straight line of logarithms.
VALUE_BYTES: Final = ((10, 7.0), (100, 3.17), (1_000, 1.11), (10_000, 0.67))
_DAY_S = 86_400
_MONTH_DAYS = 30
# A sync comes once a second: what is read within it travels together.
_ENERGY_PER_S_MAX = 1.0
_MB = 1_000_000


class UplinkForecast(NamedTuple):
    """Megabytes of 10^6 bytes in a month of 30 days, both ways."""

    uplink: str
    values_per_s: float
    mb_calm: float
    """Nothing charges and no alarm is open, all month: window_idle_s."""
    mb_busy: float
    """Something charges all the time: window_active_s."""
    quota_mb: int


def forecast_uplinks(site: Site) -> list[UplinkForecast]:
    """One for each uplink; devices that cannot be planned are left out, they have findings of their own."""
    if not site.config.uplink:
        return []
    sources = list(_sources(site))
    store = site.config.store
    return [
        UplinkForecast(
            uplink.name,
            round(sum(_values_per_s(uplink, sources)), 1),
            round(month_mb(uplink, sources, store.window_idle_s), 1),
            round(month_mb(uplink, sources, store.window_active_s), 1),
            uplink.quota_mb_month,
        )
        for uplink in site.config.uplink
    ]


def judge_quotas(site: Site) -> Iterator[Doubt]:
    """A quota that even a calm month does not keep."""
    if not any(uplink.quota_mb_month for uplink in site.config.uplink):
        return
    for number, found in enumerate(forecast_uplinks(site)):
        if found.quota_mb and found.mb_calm > found.quota_mb:
            text = f'uplink "{found.uplink}": about {found.mb_calm:.0f} MB in a calm month, {found.mb_busy:.0f} in a busy one, the quota is {found.quota_mb}'
            yield Doubt(WARNING, "W-CFG-QUOTA", ("uplink", number, "quota_mb_month"), f"{text}. Longer windows or periods, or a choice of points, send less")


def value_bytes(values: float) -> float:
    """Bytes of one value in a block of so many."""
    points = [(math.log(number), math.log(size)) for number, size in VALUE_BYTES]
    at = min(max(math.log(max(values, 1.0)), points[0][0]), points[-1][0])
    for (low, low_size), (high, high_size) in pairwise(points):
        if at <= high:
            return math.exp(low_size + (high_size - low_size) * (at - low) / (high - low))
    return VALUE_BYTES[-1][1]


def _sources(site: Site) -> Iterator[tuple[Source, int]]:
    """Each kind of source, and how many there are of it."""
    for bus in site.config.bus:
        devices = [(device, site.profiles[device.profile]) for device in site.on_bus(bus.name) if device.profile in site.profiles]
        with suppress(EdgegwError):
            for plan, number in kinds(devices, line_facts(bus)):
                yield from ((planned.source, number) for planned in plan.sources)


def _sent(uplink: Uplink, source: Source) -> int:
    """How many points of a source pass the uplink's filter."""
    if not uplink.points:
        return len(source.points)
    return sum(any(fnmatchcase(point.name, pattern) for pattern in uplink.points) for point in source.points)


def _values_per_s(uplink: Uplink, sources: Sequence[tuple[Source, int]]) -> Iterator[float]:
    return (number * _sent(uplink, source) * 1000 / source.period_ms for source, number in sources)


def month_mb(uplink: Uplink, sources: Sequence[tuple[Source, int]], window_s: float) -> float:
    telemetry = [found for found in sources if found[0].stream == Stream.TELEMETRY]
    energy = [found for found in sources if found[0].stream == Stream.ENERGY]
    telemetry_per_s, energy_per_s = (sum(_values_per_s(uplink, found)) for found in (telemetry, energy))
    energy_batches_per_s = min(_ENERGY_PER_S_MAX, sum(number * 1000 / source.period_ms for source, number in energy))
    bytes_per_s = BATCH_BYTES * energy_batches_per_s
    if energy_batches_per_s:
        bytes_per_s += energy_per_s * value_bytes(energy_per_s / energy_batches_per_s)
    if telemetry:
        bytes_per_s += BATCH_BYTES / window_s + telemetry_per_s * value_bytes(telemetry_per_s * window_s)
    if uplink.ack == "receipt":
        bytes_per_s += RECEIPT_BYTES * min(1 / RECEIPT_S, energy_batches_per_s + (1 / window_s if telemetry else 0.0))
    return bytes_per_s * _DAY_S * _MONTH_DAYS / _MB
