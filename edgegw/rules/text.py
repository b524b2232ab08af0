"""What an alarm says to people when its rule does not say it, in English and Chinese."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from edgegw import points
from edgegw.config.model import Rule
from edgegw.model import Point

_WORDS = {
    "high": ("{title} {value} is above {limit}", "{title} {value} 高于 {limit}"),
    "low": ("{title} {value} is below {limit}", "{title} {value} 低于 {limit}"),
    "equals": ("{title} is {value}", "{title} 为 {value}"),
    "not_equals": ("{title} is {value}, not {limit}", "{title} 为 {value}，不是 {limit}"),
    "bit": ("{title}: bit {number} is set", "{title}：第 {number} 位已置位"),
    "rise": ("{title} rose by more than {limit} within {window}, now {value}", "{title} 在 {window} 内上升超过 {limit}，现为 {value}"),
    "fall": ("{title} fell by more than {limit} within {window}, now {value}", "{title} 在 {window} 内下降超过 {limit}，现为 {value}"),
    "deviation": ("{title} {value} differs by more than {limit} from {reference}", "{title} {value} 与 {reference} 相差超过 {limit}"),
    "frozen": ("{title} has been {value} for {number} s without any change", "{title} 已 {number} 秒停在 {value} 不变"),
    "word": ("{title} says {word}", "{title} 为 {word}"),
    "below_others": ("{title} {value} is below {number} % of the others", "{title} {value} 低于同组的 {number} %"),
    "above_others": ("{title} {value} is more than {limit} above the others", "{title} {value} 比同组高出 {limit} 以上"),
    "missing": ("{title}: no good value for {number} s", "{title}：已 {number} 秒无有效值"),
}

# A module has eight inputs; of a bus with more of them the others are counted.
NAMED_MAX = 8
# The dictionary writes units in ASCII; people read the degree sign.
_SHOWN_UNITS = {"C": "°C", "1": "", "kOhm": "kΩ", "W/m2": "W/m²"}


def in_unit(value: int, decimals: int) -> float:
    """A scaled integer as the number that people and the cloud see; exact division, so that 2297 is 229.7."""
    return int(value) / 10**decimals if decimals else int(value)


def rule_text(rule: Rule, point: Point, value: int | None) -> tuple[str, str]:
    """English and Chinese. A text of the administrator's own stands for both, unless there are two."""
    if rule.text:
        return rule.text, rule.text_zh
    word = rule.word or ", ".join(rule.words)
    english, chinese = _around_value(point.name, point.unit, rule.condition, rule.limit, rule.window_s, rule.reference, word)
    shown = "-" if value is None else with_unit(f"{in_unit(value, point.decimals):.{point.decimals}f}", point.unit)
    return shown.join(english), shown.join(chinese)


@lru_cache(maxsize=1024)
def _around_value(  # noqa: PLR0913, PLR0917 - what a text is made of
    point: str, unit: str, condition: str, limit: float, window_s: float, reference: str, word: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """English and Chinese, cut where the value stands. A storm asks for the same few again and again."""
    entry = points.lookup(point)
    words = {"limit": with_unit(f"{limit:.12g}", unit), "number": f"{limit:g}", "window": f"{window_s:g} s", "reference": reference, "word": word}
    titles = (entry.en, entry.zh) if entry else (point, point)
    texts = zip(_WORDS[condition], titles, strict=True)
    english, chinese = (tuple(part.format_map({**words, "title": title}) for part in text.split("{value}")) for text, title in texts)
    return english, chinese


def device_offline_text(silent_s: float) -> tuple[str, str]:
    return f"no answer for {silent_s:.0f} s", f"{silent_s:.0f} 秒无应答"


def bus_offline_text(bus: str, devices: int) -> tuple[str, str]:
    return f"none of the {devices} devices of bus {bus} answers", f"总线 {bus} 上 {devices} 台设备全部无应答"


def input_lost_text(name: str) -> tuple[str, str]:
    return f"{name} cannot be read", f"{name} 无法读取"


def blind_text(text: str, text_zh: str, names: Sequence[str]) -> tuple[str, str]:
    """The text of a device or bus with the safety inputs that cannot be read because of it."""
    if not names:
        return text, text_zh
    more, more_zh = (f" and {len(names) - NAMED_MAX} more", f"等 {len(names)} 个") if len(names) > NAMED_MAX else ("", "")
    return f"{text}; not watched: {', '.join(names[:NAMED_MAX])}{more}", f"{text_zh}；失去监视：{'、'.join(names[:NAMED_MAX])}{more_zh}"


def with_unit(number: str, unit: str) -> str:
    return f"{number} {_SHOWN_UNITS.get(unit, unit)}".rstrip()
