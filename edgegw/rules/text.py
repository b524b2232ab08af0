"""What an alarm says to people when its rule does not say it, in English and Chinese."""

from __future__ import annotations

from edgegw import points
from edgegw.config.model import Rule
from edgegw.model import Point

_ENGLISH = {"high": "{title} {value} is above {limit}", "low": "{title} {value} is below {limit}", "equals": "{title} is {value}"}
_CHINESE = {"high": "{title} {value} 高于 {limit}", "low": "{title} {value} 低于 {limit}", "equals": "{title} 为 {value}"}
# The dictionary writes units in ASCII; people read the degree sign.
_SHOWN_UNITS = {"C": "°C", "1": "", "kOhm": "kΩ", "W/m2": "W/m²"}


def in_unit(value: int, decimals: int) -> float:
    """A scaled integer as the number that people and the cloud see; exact division, so that 2297 is 229.7."""
    return int(value) / 10**decimals if decimals else int(value)


def rule_text(rule: Rule, point: Point, value: int) -> tuple[str, str]:
    """English and Chinese; the administrator's own text stands for both."""
    if rule.text:
        return rule.text, ""
    entry = points.lookup(point.name)
    shown = _with_unit(f"{in_unit(value, point.decimals):.{point.decimals}f}", point.unit)
    limit = _with_unit(f"{rule.limit:.12g}", point.unit)
    english = _ENGLISH[rule.condition].format(title=entry.en if entry else point.name, value=shown, limit=limit)
    chinese = _CHINESE[rule.condition].format(title=entry.zh if entry else point.name, value=shown, limit=limit)
    return english, chinese


def device_offline_text(silent_s: float) -> tuple[str, str]:
    return f"no answer for {silent_s:.0f} s", f"{silent_s:.0f} 秒无应答"


def bus_offline_text(bus: str, devices: int) -> tuple[str, str]:
    return f"none of the {devices} devices of bus {bus} answers", f"总线 {bus} 上 {devices} 台设备全部无应答"


def _with_unit(number: str, unit: str) -> str:
    return f"{number} {_SHOWN_UNITS.get(unit, unit)}".rstrip()
