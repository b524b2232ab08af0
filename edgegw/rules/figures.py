"""What a rule asks, in short words for screens and tables: what sets it, what ends it, how long both must last."""

from __future__ import annotations

from edgegw.config.model import Rule, Term

_SIGNS = {"high": ">", "low": "<", "equals": "=", "not_equals": "!="}


def condition_text(rule: Rule) -> str:
    """`temperature > 45, back at 40, 60 s`"""
    what = set_text(rule)
    parts = [f"{rule.role}: {what}" if rule.role else what]
    back = clear_text(rule)
    if back:
        parts.append(f"back at {back}")
    if rule.on_delay_s:
        parts.append(f"{rule.on_delay_s:g} s")
    parts += [f"& {_term_text(term)}" for term in rule.when]
    return ", ".join(parts)


def short_text(rule: Rule) -> str:
    """What sets it and for how long: what fits into a line of a list."""
    return f"{set_text(rule)}, {rule.on_delay_s:g} s" if rule.on_delay_s else set_text(rule)


def set_text(rule: Rule) -> str:  # noqa: PLR0911 - one return a condition
    """What sets it, without delay and company."""
    point, limit = rule.point, f"{rule.limit:.12g}"
    match rule.condition:
        case "word":
            return f"{point} says {_words_text(rule)}"
        case "rise" | "fall":
            beyond = f" more than {rule.reference}" if rule.reference else ""
            return f"{point} {rule.condition}s by {limit}{beyond} in {rule.window_s:g} s"
        case "deviation":
            return f"{point} differs by {limit} from {rule.reference}"
        case "frozen" | "missing":
            return f"{point} {'the same' if rule.condition == 'frozen' else 'missing'} for {limit} s"
        case "bit":
            return f"{point} bit {limit}"
        case "below_others":
            return f"{point} < {limit} % of the others, these > {rule.least:g}"
        case "above_others":
            return f"{point} > lowest other + {limit}"
        case _:
            mean = f"mean of {rule.average_s:g} s of " if rule.average_s else ""
            return f"{mean}{point} {_SIGNS[rule.condition]} {limit}"


def clear_text(rule: Rule) -> str:
    """Where it ends; empty where that is where it was set."""
    if not rule.deadband:
        return ""
    if rule.condition in ("low", "below_others"):
        return f"{rule.limit + rule.deadband:.12g}"
    return f"{rule.limit - rule.deadband:.12g}"


def beside_text(rule: Rule) -> str:
    """What must hold too, and whether one of all keeps the alarm."""
    text = " and ".join(_term_text(term) for term in rule.when)
    return f"{text} (each keeps it)" if text and rule.hold == "any" else text


def _term_text(term: Term) -> str:
    where = term.device or term.device_class
    what = f"says {term.word}" if term.condition == "word" else f"{_SIGNS[term.condition]} {term.limit:g}"
    return f"{f'{where} ' if where else ''}{term.point} {what}{' (last known)' if term.last else ''}"


def _words_text(rule: Rule) -> str:
    return " or ".join(word for word in (rule.word, *rule.words) if word)
