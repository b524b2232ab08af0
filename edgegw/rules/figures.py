"""What a rule asks, in short words for screens and tables: what sets it, what ends it, how long both must last. In English, or in Chinese (zh)."""

from __future__ import annotations

from typing import Final

from edgegw.config.model import Rule, Term

_SIGNS: Final = {"high": ">", "low": "<", "equals": "=", "not_equals": "!="}
_WORDS: Final = {
    "word": ("{point} says {words}", "{point} 含 {words}"),
    "rise": ("{point} rises by {limit}{beyond} in {window} s", "{point} 在 {window} 秒内上升 {limit}{beyond}"),
    "fall": ("{point} falls by {limit}{beyond} in {window} s", "{point} 在 {window} 秒内下降 {limit}{beyond}"),
    "beyond": (" more than {reference}", "（扣除 {reference}）"),
    "deviation": ("{point} differs by {limit} from {reference}", "{point} 与 {reference} 相差 {limit}"),
    "frozen": ("{point} the same for {limit} s", "{point} 持续 {limit} 秒不变"),
    "missing": ("{point} missing for {limit} s", "{point} 缺失 {limit} 秒"),
    "bit": ("{point} bit {limit}", "{point} 第 {limit} 位"),
    "below_others": ("{point} < {limit} % of the others, these > {least}", "{point} < 同组的 {limit} %，同组 > {least}"),
    "above_others": ("{point} > lowest other + {limit}", "{point} > 同组最低 + {limit}"),
    "compared": ("{mean}{point} {sign} {limit}", "{mean}{point} {sign} {limit}"),
    "mean": ("mean of {average} s of ", "{average} 秒均值 "),
    "back": ("back at {}", "恢复值 {}"),
    "seconds": ("{} s", "{} 秒"),
    "says": ("says {}", "含 {}"),
    "last": (" (last known)", "（最后值）"),
    "or": (" or ", " 或 "),
    "and": (" and ", " 且 "),
    "beside": ("& {}", "且 {}"),
    "any": ("{} (each keeps it)", "{}（任一成立即保持）"),
    "comma": (", ", "，"),
}


def condition_text(rule: Rule, language: str = "en") -> str:
    """`temperature > 45, back at 40, 60 s`"""
    what = set_text(rule, language)
    parts = [f"{rule.role}: {what}" if rule.role else what]
    back = clear_text(rule)
    if back:
        parts.append(_say("back", language).format(back))
    if rule.on_delay_s:
        parts.append(_seconds(rule.on_delay_s, language))
    parts += [_say("beside", language).format(_term_text(term, language)) for term in rule.when]
    return _say("comma", language).join(parts)


def short_text(rule: Rule, language: str = "en") -> str:
    """What sets it and for how long: what fits into a line of a list."""
    what = set_text(rule, language)
    return f"{what}{_say('comma', language)}{_seconds(rule.on_delay_s, language)}" if rule.on_delay_s else what


def set_text(rule: Rule, language: str = "en") -> str:
    """What sets it, without delay and company."""
    said = _say(rule.condition if rule.condition in _WORDS else "compared", language)
    return said.format(
        point=rule.point,
        limit=f"{rule.limit:.12g}",
        words=_words_text(rule, language),
        window=f"{rule.window_s:g}",
        reference=rule.reference,
        beyond=_say("beyond", language).format(reference=rule.reference) if rule.reference else "",
        least=f"{rule.least:g}",
        sign=_SIGNS.get(rule.condition),
        mean=_say("mean", language).format(average=f"{rule.average_s:g}") if rule.average_s else "",
    )


def clear_text(rule: Rule) -> str:
    """Where it ends; empty where that is where it was set."""
    if not rule.deadband:
        return ""
    if rule.condition in ("low", "below_others"):
        return f"{rule.limit + rule.deadband:.12g}"
    return f"{rule.limit - rule.deadband:.12g}"


def beside_text(rule: Rule, language: str = "en") -> str:
    """What must hold too, and whether one of all keeps the alarm."""
    text = _say("and", language).join(_term_text(term, language) for term in rule.when)
    return _say("any", language).format(text) if text and rule.hold == "any" else text


def _term_text(term: Term, language: str) -> str:
    where = term.device or term.device_class
    what = _say("says", language).format(term.word) if term.condition == "word" else f"{_SIGNS[term.condition]} {term.limit:g}"
    return f"{f'{where} ' if where else ''}{term.point} {what}{_say('last', language) if term.last else ''}"


def _words_text(rule: Rule, language: str) -> str:
    return _say("or", language).join(word for word in (rule.word, *rule.words) if word)


def _seconds(seconds: float, language: str) -> str:
    return _say("seconds", language).format(f"{seconds:g}")


def _say(text_id: str, language: str) -> str:
    return _WORDS[text_id][language == "zh"]
