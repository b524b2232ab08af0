"""When the sun rises and sets: the sunrise equation (Meeus, Astronomical Algorithms, 2nd edition, chapters 15 and 25, low accuracy: two minutes).

Pure. Times are UTC in ms since 1970.
"""

from __future__ import annotations

import math

_DAY_MS = 86_400_000
# J2000.0 = 2000-01-01 12:00 UTC.
_J2000_MS = 946_728_000_000
# Upper edge of the sun on the horizon: half its width and the refraction there.
_ALTITUDE = math.radians(-0.833)
# Around sunrise and sunset there is too little light for an inverter to run, and too much for it to be off: both are its sleep.
TWILIGHT_MS = 30 * 60_000


def sun_times(wall_ms: int, latitude: float, longitude: float) -> tuple[int, int] | None:
    """(rise, set) of the solar day around `wall_ms`, whose noon is the nearest one; None where the sun does neither that day."""
    noon = round((wall_ms - _J2000_MS) / _DAY_MS + longitude / 360)
    day = noon - longitude / 360
    anomaly = math.radians((357.5291 + 0.98560028 * day) % 360)
    centre = 1.9148 * math.sin(anomaly) + 0.0200 * math.sin(2 * anomaly) + 0.0003 * math.sin(3 * anomaly)
    ecliptic = math.radians((math.degrees(anomaly) + centre + 180 + 102.9372) % 360)
    transit = day + 0.0053 * math.sin(anomaly) - 0.0069 * math.sin(2 * ecliptic)
    declination = math.asin(math.sin(ecliptic) * math.sin(math.radians(23.4397)))
    north = math.radians(latitude)
    cosine = (math.sin(_ALTITUDE) - math.sin(north) * math.sin(declination)) / (math.cos(north) * math.cos(declination))
    if not -1 < cosine < 1:
        return None
    half = math.degrees(math.acos(cosine)) / 360
    return round((transit - half) * _DAY_MS) + _J2000_MS, round((transit + half) * _DAY_MS) + _J2000_MS


def is_night(wall_ms: int, latitude: float, longitude: float) -> bool:
    """From half an hour before sunset to half an hour after sunrise. Where the sun neither rises nor sets that day it is never night: nobody excuses silence."""
    times = sun_times(wall_ms, latitude, longitude)
    return times is not None and not times[0] + TWILIGHT_MS < wall_ms < times[1] - TWILIGHT_MS
