"""What a notice says: enough for a work order without a look-up. Pure; the time zone is the machine's.

The short form is for an SMS. One message takes 70 characters of UCS-2 or 160 of GSM 03.38, two joined ones 67 each (3GPP TS 23.040): what stands
at its front is what somebody needs to act, and what does not fit is left out from its end.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, NamedTuple

from edgegw import points
from edgegw.config.model import Config, Rule
from edgegw.model import ClockTrust
from edgegw.rules.episode import Episode
from edgegw.rules.levels import deadlines, rank
from edgegw.rules.notifiers.steps import Advices
from edgegw.rules.notifiers.words import WORDS, joined, level_word, say
from edgegw.rules.text import with_unit
from edgegw.rules.told import Told, Why

# One SMS of UCS-2; two of them joined.
SHORT_CHARACTERS: Final = 70
SHORT_CHARACTERS_MAX: Final = 134
# Levels of this rank and above may take two.
_SEVERE_RANK: Final = 1
SUBJECT_CHARACTERS_MAX: Final = 160
# Of a summary; the rest is counted.
_LINES_MAX: Final = 20
# Decimals to which a text of ours may have rounded the value.
_ROUNDED: Final = (0, 1)
_SET = frozenset({ClockTrust.SYNCHRONISED, ClockTrust.CORRECTED, ClockTrust.HELD})


class Message(NamedTuple):
    """The three forms of one notice."""

    subject: str
    text: str
    short: str


class Circumstances(NamedTuple):
    """What has happened to an alarm since it was to be told, and why this recipient hears of it."""

    ended_at_ms: int | None = None
    escalated_after_min: int = 0


class _Place(NamedTuple):
    name: str
    location: str
    inputs: dict[str, str]


class Writer:
    """Knows the names and places of a station."""

    def __init__(self, config: Config, rules: list[Rule]) -> None:
        gateway = config.gateway
        self._station = gateway.station
        self._station_line = f"{gateway.name} ({gateway.identity})" if gateway.name else gateway.identity
        self._advices = Advices(rules)
        self._places = {
            device.code: _Place(device.name, device.location, {number: contact.name for number, contact in device.input.items()}) for device in config.device
        }

    def message(self, told: Told, language: str, circumstances: Circumstances = Circumstances()) -> Message:  # noqa: B008 - immutable
        """`language`: en or zh."""
        if told.why is Why.SUMMARY:
            return self._summary(told, language)
        ended_at_ms = circumstances.ended_at_ms or (told.episode.cleared_at_ms or told.at_ms if told.why is Why.CLEARED else None)
        episode, what = told.episode, _what(told, language, circumstances)
        subject = f"[{level_word(language, episode.facts.level)}] {self._head(episode)}: {self._says(episode, language)} - {what} #{episode.number}"
        text = "\n".join(self._lines(told, language, circumstances, ended_at_ms))
        return Message(_cut(subject, SUBJECT_CHARACTERS_MAX), text, self._short(told, language, what, ended_at_ms))

    def test(self, channel: str, at_ms: int, language: str) -> Message:
        """Of `alarms test`."""
        text = say(language, "test.text", channel)
        lines = [text, "", f"{say(language, 'label.station')}: {self._station_line}", local(at_ms)]
        short = say(language, "test.short", self._station, channel, local(at_ms)[11:16])
        return Message(f"[{say(language, 'why.test')}] {self._station}: {text}", "\n".join(lines), _cut(short, SHORT_CHARACTERS))

    # -- all of it

    def _lines(self, told: Told, language: str, circumstances: Circumstances, ended_at_ms: int | None) -> Iterator[str]:
        episode, facts = told.episode, told.episode.facts
        yield text_of(episode, language)
        yield ""
        rows = [("alarm", say(language, "number", episode.number, level_word(language, facts.level), _what(told, language, circumstances)))]
        rows += [("station", self._station_line), *self._subject_rows(episode, language), *_value_rows(episode, language)]
        rows += _time_rows(episode, language, ended_at_ms)
        if told.children:
            rows.append(("below", say(language, "below", told.children)))
        if marks := _marks(told, language, circumstances):
            rows.append(("marks", marks))
        cause, step = self._advices.of(facts.rule).words(language)
        rows += [("cause", cause), ("step", step)] if ended_at_ms is None else []
        rows += [("rule", facts.rule), ("command", f"edgegw alarms show {episode.number}")]
        # What a configuration or a device says must not look like a row of ours.
        yield from (f"{say(language, f'label.{name}')}: {_flat(text)}" for name, text in rows if text)

    def _subject_rows(self, episode: Episode, language: str) -> list[tuple[str, str]]:
        facts = episode.facts
        place = self._places.get(facts.device or "", _Place("", "", {}))
        entry = points.lookup(facts.point) if facts.point else None
        titles = (entry.zh if language == "zh" else entry.en) if entry else ""
        said = joined(language, ",", (titles, self._contact(episode)))
        device = joined(language, ",", (facts.subject, place.name))
        return [
            ("bus" if facts.bus and not facts.device else "device", device),
            ("place", place.location),
            ("point", f"{facts.point} ({said})" if said else facts.point),
        ]

    # -- one line

    def _contact(self, episode: Episode) -> str:
        """What the configuration calls the input; empty for everything else."""
        facts = episode.facts
        inputs = self._places[facts.device].inputs if facts.device in self._places else {}
        return inputs.get(facts.point.removeprefix("input."), "") if facts.point.startswith("input.") else ""

    def _says(self, episode: Episode, language: str) -> str:
        """The text, with the contact's name where it says more: its module may be at another place, and has others of the same text."""
        text, contact = text_of(episode, language), self._contact(episode)
        return text if not contact or contact in text else f"{text} ({contact})"

    def _head(self, episode: Episode) -> str:
        """Station, device and place: where somebody has to go."""
        return " ".join(
            part for part in (self._station, episode.facts.subject, self._places.get(episode.facts.device or "", _Place("", "", {})).location) if part
        )

    def _short(self, told: Told, language: str, what: str, ended_at_ms: int | None) -> str:
        episode, facts = told.episode, told.episode.facts
        at_ms = ended_at_ms or episode.raised_at_ms
        head = f"[{level_word(language, facts.level)}]{self._station} {facts.subject} #{episode.number}"
        news = "" if told.why is Why.RAISED and ended_at_ms is None and what == say(language, "why.raised") else what
        value = _brief_value(episode) if ended_at_ms is None else ""
        place = self._places.get(facts.device or "", _Place("", "", {})).location
        step = self._advices.of(facts.rule).words(language)[1] if ended_at_ms is None else ""
        below = f"+{told.children}" if told.children else ""
        chatter = say(language, "short.chattering") if told.chattering and ended_at_ms is None else ""
        return _fit([head, news, self._says(episode, language), chatter, value, local(at_ms)[11:16], place, below, step], facts.level)

    # -- many at once

    def _summary(self, told: Told, language: str) -> Message:
        episodes = told.others or (told.episode,)
        what = say(language, "why.summary", told.count)
        worst = told.episode
        subject = f"[{level_word(language, worst.facts.level)}] {self._station}: {joined(language, ';', (what, say(language, 'summary.worst')))} {self._line(worst, language)}"
        lines = [say(language, "summary.text", told.count), "", *(self._line(episode, language) for episode in episodes[:_LINES_MAX])]
        if told.count > len(episodes[:_LINES_MAX]):
            lines.append(say(language, "summary.more", told.count - len(episodes[:_LINES_MAX])))
        lines += ["", f"{say(language, 'label.station')}: {self._station_line}", local(told.at_ms)]
        codes = " ".join(dict.fromkeys(episode.facts.subject for episode in episodes if episode.facts.subject != worst.facts.subject))
        short = _fit(
            [
                f"[{level_word(language, worst.facts.level)}]{self._station} {what}",
                f"{worst.facts.subject} #{worst.number} {self._says(worst, language)}",
                codes,
            ],
            worst.facts.level,
        )
        return Message(_cut(subject, SUBJECT_CHARACTERS_MAX), "\n".join(lines), short)

    def _line(self, episode: Episode, language: str) -> str:
        """One alarm of several."""
        ended = f"{say(language, 'also.ended')} {local(episode.cleared_at_ms)[11:19]}" if episode.cleared_at_ms is not None else ""
        level = level_word(language, episode.facts.level)
        head = f"#{episode.number} {level} {local(episode.raised_at_ms)[11:19]} {self._head_of_line(episode)}"
        return f"{head}: {joined(language, ',', (self._says(episode, language), ended))}"

    def _head_of_line(self, episode: Episode) -> str:
        location = self._places.get(episode.facts.device or "", _Place("", "", {})).location
        return f"{episode.facts.subject} {location}".rstrip()


def plain(told: Told, language: str) -> Message:
    """The little that needs nothing but the alarm itself: better than silence where a notice cannot be written."""
    facts = told.episode.facts
    line = _cut(f"[{facts.level}] {facts.subject}: {text_of(told.episode, language)} - {told.why.value} #{told.episode.number}", SUBJECT_CHARACTERS_MAX)
    return Message(line, line, _cut(line, SHORT_CHARACTERS))


def text_of(episode: Episode, language: str) -> str:
    facts = episode.facts
    return _flat((facts.text_zh if language == "zh" else "") or facts.text or facts.point or facts.rule)


def local(at_ms: int) -> str:
    """`2026-11-20 20:41:07+08:00`, this machine's zone."""
    return datetime.fromtimestamp(at_ms // 1000, tz=UTC).astimezone().isoformat(sep=" ", timespec="seconds")


def _what(told: Told, language: str, circumstances: Circumstances) -> str:
    """The news in two or three words."""
    if circumstances.ended_at_ms is not None and told.why not in {Why.CLEARED, Why.REPORT}:
        return say(language, "also.came")
    if circumstances.escalated_after_min:
        return say(language, "also.escalated")
    return say(language, f"why.{told.why.value}")


def _value_rows(episode: Episode, language: str) -> Iterator[tuple[str, str]]:
    facts = episode.facts
    entry = points.lookup(facts.point) if facts.point else None
    if facts.value is not None and not (entry and entry.kind == "flag"):
        value = with_unit(f"{facts.value:.12g}", facts.unit)
        yield "value", value if facts.limit is None else say(language, "limit", value, with_unit(f"{facts.limit:.12g}", facts.unit))


def _time_rows(episode: Episode, language: str, ended_at_ms: int | None) -> Iterator[tuple[str, str]]:
    began = local(episode.began_at_ms)
    yield "began", began if episode.began_clock in _SET else say(language, "clock", began)
    yield "raised", local(episode.raised_at_ms)
    if ended_at_ms is not None:
        yield "ended", local(ended_at_ms)
        yield "lasted", duration(max(0, ended_at_ms - episode.began_at_ms))
    if episode.acknowledged:
        yield "acknowledged", say(language, "by", local(episode.acknowledged_at_ms or 0), episode.acknowledged_by)
    elif ended_at_ms is None:
        yield "acknowledged", say(language, "not_yet")
    if ended_at_ms is None:
        yield "due", joined(language, ",", (_due(language, what, at_ms) for what, at_ms in deadlines(episode.facts.level, episode.raised_at_ms)))


def _due(language: str, what: str, at_ms: int) -> str:
    return say(language, f"due.{what}", local(at_ms)[:16]) if f"due.{what}" in WORDS else say(language, "due.other", what, local(at_ms)[:16])


def _marks(told: Told, language: str, circumstances: Circumstances) -> str:
    facts = told.episode.facts
    marks = {"safety": facts.safety, "first_out": told.first_out, "chattering": told.chattering, "latched": facts.latched}
    said = [say(language, f"mark.{name}") for name, holds in marks.items() if holds]
    if circumstances.escalated_after_min:
        said.append(say(language, "mark.escalated", circumstances.escalated_after_min))
    return joined(language, ";", said)


def duration(span_ms: int) -> str:
    """`95 s`, `12 min`, `3 h 20 min`: the same in both languages."""
    seconds = span_ms // 1000
    if seconds < 120:
        return f"{seconds} s"
    hours, minutes = divmod(seconds // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _brief_value(episode: Episode) -> str:
    """Value and limit, where the text does not say them already."""
    facts = episode.facts
    if facts.value is None or not facts.unit or facts.unit == "1":
        return ""
    number = f"{facts.value:.12g}"
    if number in facts.text or any(with_unit(f"{facts.value:.{decimals}f}", facts.unit) in facts.text for decimals in _ROUNDED):
        return ""
    return with_unit(number if facts.limit is None else f"{number}/{facts.limit:.12g}", facts.unit)


def _fit(parts: list[str], level: str) -> str:
    """The parts in their order, as far as they fit; what stands first is shortened rather than left out."""
    wanted = [part for part in parts if part]
    severe = rank(level) <= _SEVERE_RANK
    if not severe and all(part.isascii() for part in wanted[:3]):
        # Latin text has 160 characters in one message; a place in Chinese would cost it half of them.
        wanted = [part for part in wanted if part.isascii()]
    room = SHORT_CHARACTERS_MAX if severe or " ".join(wanted).isascii() else SHORT_CHARACTERS
    found = wanted[0]
    for part in wanted[1:]:
        if _units(f"{found} {part}") <= room:
            found = f"{found} {part}"
        elif _units(found) < room // 2:
            found = _cut(f"{found} {part}", room)
    return _cut(found, room)


def _flat(text: str) -> str:
    """One line, without signs that nobody sees: some turn the rest of a line around, or end it."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def _units(text: str) -> int:
    """What it takes of an SMS: signs beyond the first 65,536 (emoji, rare characters of names) take two."""
    return len(text) + sum(sign > "\uffff" for sign in text)


def _cut(text: str, characters: int) -> str:
    line = _flat(text)
    if _units(line) <= characters:
        return line
    # One character beyond GSM 03.38 would cost a Latin text half of its room.
    mark = "..." if line.isascii() else "…"
    line = line[: characters - len(mark)]
    while _units(line) > characters - len(mark):
        line = line[:-1]
    return f"{line}{mark}"
