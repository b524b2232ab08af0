"""A SunSpec device to its plan: layouts at load time, questions when the device has said what it has. Pure.

    load            one source for each poll group and set of models; nobody knows yet where they stand
    introduction    base, chain (sunspec_walk.py), the thing that is meant, one look at each of its models, who it is
    poll            each source asks its model from the header on; a source of which the device has nothing asks for the marker

What is meant: the profile's head names the models of the thing (an inverter, a meter). Such things are counted along the chain; a model in
integers and its twin in floats are one. Everything else is taken from the same logical device, never from another one.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from edgegw.config.model import Device
from edgegw.drivers import modbus_codec
from edgegw.drivers.base import DevicePlan, Introduction, LineFacts, PlannedSource
from edgegw.drivers.profile import REGISTERS_MAX
from edgegw.drivers.sunspec_blocks import Range, Wanted, cover
from edgegw.drivers.sunspec_decode import Layout, Picture, Reading, wanted_fields
from edgegw.drivers.sunspec_models import COMMON, HEADER, Model, find_model, text_of
from edgegw.drivers.sunspec_profile import SunspecProfile, SunspecRow
from edgegw.drivers.sunspec_walk import MARKER_REGISTERS, Ask, Chain, Place, asked, find_chain, is_refusal
from edgegw.model import Answer, Fault, Quality, Question, Source

# Of the estimate of the line's load only: an address as any other.
USUAL_ADDRESS = 40070
# What a device that refuses a long read is asked for instead. Seen in the field: 100, 64, 50 and 45 at most; the last is the longest value with its factor.
LIMITS = (100, 64, 50, 45, 32, 16, 8)

_Talk = Generator[Question, Answer | Fault, "_Seen | Fault | None"]


class _Family(NamedTuple):
    """What one source reads: rows of the same models and group."""

    models: tuple[int, ...]
    rows: tuple[SunspecRow, ...]
    planned: PlannedSource


class _Seen(NamedTuple):
    """How a family is read from one place."""

    questions: tuple[Question, ...]
    picture: Picture
    fitted: frozenset[int]
    limit: int
    """Most registers that the device answered at a time."""
    address: int
    """Where the model begins."""


class _Mind(NamedTuple):
    """What the introduction of one device needs."""

    profile: SunspecProfile
    families: tuple[_Family, ...]
    ask: Ask


def plan_device(device: Device, profile: SunspecProfile, line: LineFacts, first_source_id: int) -> DevicePlan:
    """All sources of one device, to be resolved by its introduction."""
    ask = partial(_question, device.unit, line)
    families: list[_Family] = []
    for title, group, models, rows in _grouped(profile):
        settings = profile.group[group]
        source = Source(
            source_id=first_source_id + len(families),
            device=device.code,
            group=title,
            period_ms=max(1, round(1000 * device.period_s.get(title, device.period_s.get(group, settings.period_s)))),
            points=tuple(profile.row_point(row) for row in rows),
            device_class=profile.profile.device_class,
            stream=settings.lane,
        )
        usual = _usual_questions(ask, models[0], rows)
        decode = partial(_nothing, source, Quality.REFUSED)
        planned = PlannedSource(source, (), decode, settings.urgent, f"sunspec:{title}", usual=usual)
        families.append(_Family(models, rows, planned))
    head = profile.profile
    return DevicePlan(
        device=device.code,
        device_class=head.device_class,
        unit=device.unit,
        sources=tuple(family.planned for family in families),
        probe=ask(3, head.bases[0], MARKER_REGISTERS),
        gap_ms=head.gap_ms,
        profile=head.name,
        connect_delay_ms=head.connect_delay_ms if line.framing == "tcp" else 0,
        introduce=partial(_introduce, _Mind(profile, tuple(families), ask)),
    )


def _grouped(profile: SunspecProfile) -> list[tuple[str, str, tuple[int, ...], tuple[SunspecRow, ...]]]:
    """(title, group, models, rows) of each source; a group's second and further ones are numbered."""
    found: dict[tuple[str, tuple[int, ...]], list[SunspecRow]] = {}
    for row in profile.point:
        found.setdefault((row.group, row.models), []).append(row)
    numbers: dict[str, int] = {}
    titled = []
    for (group, models), rows in found.items():
        numbers[group] = numbers.get(group, 0) + 1
        titled.append((group if numbers[group] == 1 else f"{group}.{numbers[group]}", group, models, tuple(rows)))
    return titled


def _question(unit: int, line: LineFacts, function: int, address: int, registers: int) -> Question:
    if line.framing == "tcp":
        return modbus_codec.tcp_question(unit, function, address, registers)
    header = () if registers <= HEADER else (modbus_codec.rtu_question(unit, function, address, HEADER),)
    return modbus_codec.rtu_question(unit, function, address, registers, header)


def _usual_questions(ask: Ask, model_id: int, rows: Sequence[SunspecRow]) -> tuple[Question, ...]:
    """Of a model of nominal length, with two modules where it has some, behind a common model at the first base."""
    model = find_model(model_id)
    assert model is not None, model_id
    length = model.length + 2 * model.module_size
    return tuple(ask(3, USUAL_ADDRESS + first, count) for first, count in cover(wanted_fields(model, length, rows), REGISTERS_MAX))


def _nothing(source: Source, quality: Quality, answers: Sequence[Answer]) -> Reading:  # noqa: ARG001 - a decoder
    """Whatever the answer: there is no value."""
    return (None,) * len(source.points), dict.fromkeys(range(len(source.points)), quality)


# -- the introduction


def _introduce(mind: _Mind) -> Generator[Question, Answer | Fault, Introduction]:
    chain = yield from find_chain(mind.ask, mind.profile.profile.bases)
    if isinstance(chain, Fault):
        return Introduction(note=chain.text)
    mine = _instance(chain, mind.profile.profile.models, mind.profile.profile.instance)
    limit = mind.profile.profile.max_registers
    sources: list[PlannedSource] = []
    for family in mind.families:
        seen: _Seen | None = None
        for place in _places(chain, mind.profile.profile.models, family.models, mine):
            found = yield from _look(mind, chain.function, family, place, limit)
            if isinstance(found, Fault):
                return Introduction(note=found.text)
            if found is not None:
                limit = min(limit, found.limit)
                seen = found if seen is None or len(found.fitted) > len(seen.fitted) else seen
        sources.append(_resolved(mind, chain, family, seen, Quality.NOT_FITTED if mine else Quality.REFUSED))
    identity = yield from _identity(mind, chain, mine)
    if isinstance(identity, Fault):
        return Introduction(note=identity.text)
    note = chain.note if mine else f"it has no {mind.profile.profile.device_class} number {mind.profile.profile.instance}; its models: {_models(chain)}"
    return Introduction(identity, tuple(sources), note, probe=mind.ask(chain.function, chain.base, MARKER_REGISTERS))


def _models(chain: Chain) -> str:
    return ", ".join(str(place.model) for place in chain.places) or "none"


def _instance(chain: Chain, models: Sequence[int], number: int) -> tuple[Place, ...]:
    """The places of the wanted thing: one model, or the same in integers and in floats."""
    things: list[list[Place]] = []
    for place in chain.places:
        if place.model not in models:
            continue
        twin = next((thing for thing in things if _is_twin(thing, place)), None)
        if twin is None:
            things.append([place])
        else:
            twin.append(place)
    return tuple(things[number - 1]) if number <= len(things) else ()


def _is_twin(thing: Sequence[Place], place: Place) -> bool:
    """Whether a model says the same as one of these in the other way of writing: 103 and 113, 203 and 213."""
    first = thing[0]
    return first.device == place.device and abs(first.model - place.model) == 10 and all(other.model != place.model for other in thing)


def _places(chain: Chain, things: Sequence[int], models: Sequence[int], mine: Sequence[Place]) -> list[Place]:
    """Where a family may be read for the wanted thing, best first: its own places; another model of its logical device, as manieth as the thing is there."""
    if not mine:
        return []
    own = [place for place in mine if place.model in models]
    if own or set(models) & set(things):
        return sorted(own, key=lambda place: models.index(place.model))  # What only another kind of thing has, this one has not.
    here = [place for place in chain.places if place.device == mine[0].device]
    rank = [place for place in here if place.model == mine[0].model].index(mine[0])
    return [same[rank] for model in models if rank < len(same := [place for place in here if place.model == model])]


def _look(mind: _Mind, function: int, family: _Family, place: Place, limit: int) -> _Talk:
    """Reads a model once, in ever shorter parts as long as the device refuses: how it is read from now on. None when it tells nothing of it.

    What is refused even in the shortest parts is left out, and the rest is tried anew from the longest on.
    """
    model = find_model(place.model)
    assert model is not None, place.model
    without: frozenset[int] = frozenset()
    for _ in range(2):
        wanted = [one for one in wanted_fields(model, place.length, family.rows) if one.field.at not in without]
        for allowed in (limit, *(shorter for shorter in LIMITS if shorter < limit)):
            ranges = cover(wanted, allowed)
            questions = tuple(mind.ask(function, place.address + first, count) for first, count in ranges)
            answers = yield from _all(questions)
            if isinstance(answers, Fault):
                return answers
            if answers is not None:
                cells = tuple(zip(family.planned.source.points, family.rows, strict=True))
                layout = Layout(model, (place.model, place.length), ranges, cells)
                fitted = Picture(layout, without=without).fitted(answers)
                return _Seen(questions, Picture(layout, without=without, fitted=fitted), fitted, allowed, place.address)
        holes = yield from _holes(questions, ranges)
        if isinstance(holes, Fault):
            return holes
        without |= {one.field.at for one in wanted if any(_touches(span, one) for span in holes)}
    return None


def _touches(span: Range, one: Wanted) -> bool:
    return any(field is not None and field.at < sum(span) and span[0] < field.end for field in one)


def _all(questions: Sequence[Question]) -> Generator[Question, Answer | Fault, list[Answer] | Fault | None]:
    """The answers; None when the device refuses one of them."""
    answers: list[Answer] = []
    for question in questions:
        result = yield from asked(question)
        if isinstance(result, Fault):
            return None if is_refusal(result) else result
        answers.append(result)
    return answers


def _holes(questions: Sequence[Question], ranges: Sequence[Range]) -> Generator[Question, Answer | Fault, list[Range] | Fault]:
    """The ranges that the device refuses."""
    refused: list[Range] = []
    for question, span in zip(questions, ranges, strict=True):
        result = yield from asked(question)
        if isinstance(result, Fault):
            if not is_refusal(result):
                return result
            refused.append(span)
    return refused


def _resolved(mind: _Mind, chain: Chain, family: _Family, seen: _Seen | None, absent: Quality) -> PlannedSource:
    """The source as it is read from now on, with the layout that it had; of what is not there the marker is asked, a sign of life."""
    planned = family.planned
    if seen is None:
        marker = mind.ask(chain.function, chain.base, MARKER_REGISTERS)
        return msgspec.structs.replace(planned, questions=(marker,), decode=partial(_nothing, planned.source, absent))
    return msgspec.structs.replace(planned, questions=seen.questions, decode=seen.picture, locate=partial(seen.picture.origins, seen.address))


def _identity(mind: _Mind, chain: Chain, mine: Sequence[Place]) -> Generator[Question, Answer | Fault, Mapping[str, str] | Fault]:
    """What the common model of the thing's own logical device says."""
    wanted = mine[0].device if mine else 1
    place = next((place for place in chain.places if place.model == COMMON and place.device == wanted), None)
    model: Model | None = find_model(COMMON)
    if place is None or model is None:
        return {}
    told: dict[str, str] = {}
    for name, key in (("SN", "serial_number"), ("Mn", "maker"), ("Md", "model"), ("Vr", "firmware")):
        field = model.fields[name]
        if field.end > HEADER + place.length:
            continue
        data = yield from _text(mind.ask, chain.function, place.address, (field.at, field.registers))
        if isinstance(data, Fault):
            return data
        if text_of(data):
            told[key] = text_of(data)
    return told


def _text(ask: Ask, function: int, address: int, span: Range) -> Generator[Question, Answer | Fault, bytes | Fault]:
    """The registers of a text, in halves where the device refuses it whole; nothing of what it refuses."""
    first, count = span
    result = yield from asked(ask(function, address + first, count))
    if isinstance(result, Answer):
        return result.data
    if not is_refusal(result):
        return result
    if count <= 4:
        return b""
    half = count // 2
    head = yield from _text(ask, function, address, (first, half))
    if isinstance(head, Fault):
        return head
    tail = yield from _text(ask, function, address, (first + half, count - half))
    return tail if isinstance(tail, Fault) else head + tail
