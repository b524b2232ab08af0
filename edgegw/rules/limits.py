"""The figures of `[telling]` as those want them who go by them: the engine its windows, the queue of notices its limits; in ms."""

from __future__ import annotations

from typing import NamedTuple

from edgegw.config.notify_model import TellingTable
from edgegw.rules.annunciation import Windows

_HOUR_MS = 3_600_000
# No two raises lie so near to each other.
_NEVER_MS = -1


class Limits(NamedTuple):
    """Of the notices that wait for a channel."""

    storm_notices: int = 10
    """ISA-18.2: ten in ten minutes are what one person can take."""
    storm_notices_severe: int = 30
    """One in twenty seconds: what a person can still read, and what an SMS bill can bear."""
    storm_span_ms: int = 600_000
    retry_first_ms: int = 5_000
    """A restarting server is back within seconds, a mobile network within minutes."""
    retry_max_ms: int = 300_000
    """No provider minds a try every five minutes."""
    give_up_ms: int = 24 * _HOUR_MS
    """What nobody could be told for a day somebody has seen on site, or nobody wants to hear any more. Counted while the daemon runs."""


LIMITS = Limits()


def limits_of(table: TellingTable) -> Limits:
    return Limits(
        storm_notices=table.storm_notices,
        storm_notices_severe=table.storm_notices_severe,
        storm_span_ms=_ms(table.storm_span_s),
        retry_first_ms=_ms(table.retry_first_s),
        retry_max_ms=_ms(table.retry_max_s),
        give_up_ms=round(table.give_up_h * _HOUR_MS),
    )


def windows_of(table: TellingTable) -> Windows:
    return Windows(
        settle_ms=_ms(table.settle_s),
        chatter_ms=_ms(table.chatter_span_s) or _NEVER_MS,
        release_ms=_ms(table.chatter_release_s),
        flood_ms=_ms(table.flood_span_s),
        flood_notices=table.flood_notices,
    )


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
