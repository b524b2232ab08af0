"""SunSpec devices for the tests: images of registers, built from models or read from golden files, and the talk of an introduction with one."""

from __future__ import annotations

import struct
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from edgegw.config.model import Bus, Device
from edgegw.drivers.base import DevicePlan, Introduction
from edgegw.drivers.catalogue import load_profile
from edgegw.drivers.plan import line_facts
from edgegw.drivers.planning import plan_device
from edgegw.drivers.sunspec_models import find_model
from edgegw.model import Answer, Fault, Quality, Question

GOLDEN = Path(__file__).parents[1] / "golden" / "sunspec"
BUS = Bus(name="lan", kind="tcp", host="127.0.0.1", port=502)
REFUSED = Fault("exception", "illegal data address", 2)
SILENT = Fault("timeout", "no answer")
END = [0xFFFF, 0]
# More than any honest device needs, and far less than a register each.
QUESTIONS_MAX = 400
_NONE = {"float32": (0x7FC0, 0), "string": (0,)}


class Image(NamedTuple):
    """A device's registers from `base` on, and how it refuses."""

    registers: Sequence[int]
    base: int = 40000
    functions: tuple[int, ...] = (3,)
    longest: int = 125
    """Most registers in one read."""
    outside: Fault = REFUSED
    """What comes where it has no registers."""

    def ask(self, function: int, address: int, count: int) -> bytes | None:
        first = address - self.base
        if function not in self.functions or not 0 < count <= self.longest or first < 0 or first + count > len(self.registers):
            return None
        return struct.pack(f">{count}H", *self.registers[first : first + count])

    def answer(self, question: Question) -> Answer | Fault:
        data = self.ask(*request_of(question))
        return self.outside if data is None else Answer(data, 0)


def request_of(question: Question) -> tuple[int, int, int]:
    """Function, address, registers; a TCP frame begins with the protocol, which is 0, an RTU frame with the unit."""
    payload = question.payload
    return struct.unpack(">BHH", payload[5:] if not payload[0] else payload[1:6])


def load_image(name: str) -> tuple[Image, Mapping[str, object]]:
    """A golden file: the image, and all that stands in the file."""
    table = tomllib.loads((GOLDEN / f"{name}.toml").read_text(encoding="utf-8"))
    return Image([int(word, 16) for word in table["registers"].split()], table["base"], tuple(table["functions"])), table


def words(kind: str, value: object, registers: int) -> list[int]:
    """The registers of one value as a type of SunSpec has it, by the type's own definition."""
    if kind == "string":
        return list(struct.unpack(f">{registers}H", str(value).encode("ascii").ljust(2 * registers, b"\0")))
    if kind.startswith("float"):
        return list(struct.unpack(">2H", struct.pack(">f", value)))
    return list(struct.unpack(f">{registers}H", (int(str(value)) & (1 << 16 * registers) - 1).to_bytes(2 * registers, "big")))


def model(model_id: int, values: Mapping[str, object] | None = None, *, length: int | None = None, modules: Sequence[Mapping[str, object]] = ()) -> list[int]:
    """A model's registers, header and all: everything not implemented but what is given; `length` is what its header says."""
    found = find_model(model_id)
    if found is None:
        return [model_id, length or 0, *[0xAAAA] * (length or 0)]
    whole = found.length + 2 + found.module_size * len(modules)
    image = [0] * whole
    named = [(field, (values or {}).get(name)) for name, field in found.fields.items()]
    named += [(found.find(name, number), given.get(name)) for number, given in enumerate(modules, 1) for name in found.modules]
    for field, value in named:
        said = words(field.type, value, field.registers) if value is not None else none_of(field.type, field.registers)
        image[field.at : field.end] = said
    image[:2] = model_id, whole - 2 if length is None else length
    return image


def none_of(kind: str, registers: int) -> list[int]:
    """What says "not implemented", as the specification's table has it."""
    if kind in ("int16", "sunssf"):
        return [0x8000]
    if kind.startswith("acc") or kind == "string":
        return [0] * registers
    return list(_NONE[kind]) if kind in _NONE else [0xFFFF] * registers


def common(serial_number: str = "SN1", length: int = 66, **more: str) -> list[int]:
    image = model(1, {"Mn": "Maker", "Md": "Model", "Vr": "1.0", "SN": serial_number, **more}, length=length)
    return image[: length + 2]


def image(*models: Sequence[int], end: Sequence[int] = END, **how: object) -> Image:
    return Image([0x5375, 0x6E53, *[word for one in models for word in one], *end], **how)


def plan(profile: str = "sunspec.inverter", bus: Bus = BUS, **device: object) -> DevicePlan:
    settings = Device(**{"code": "PV-01", "bus": bus.name, "unit": 1, "profile": profile, **device})
    return plan_device(settings, load_profile(profile), line_facts(bus), 1)


def introduce(planned: DevicePlan, device: Image) -> tuple[Introduction, list[Question]]:
    """The whole talk, and the questions that it took."""
    talk = planned.introduce()
    asked: list[Question] = []
    try:
        question = next(talk)
        while True:
            asked.append(question)
            assert len(asked) <= QUESTIONS_MAX, "the introduction does not end"
            question = talk.send(device.answer(question))
    except StopIteration as end:
        return end.value, asked


def read(introduction: Introduction, device: Image) -> tuple[dict[str, object], dict[str, Quality]]:
    """One poll of every source: values in the points' units, and what is not good."""
    values: dict[str, object] = {}
    doubts: dict[str, Quality] = {}
    for planned in introduction.sources:
        answers = [device.answer(question) for question in planned.questions]
        said, quality = planned.decode([answer for answer in answers if isinstance(answer, Answer)])
        assert not [answer for answer in answers if isinstance(answer, Fault)], "a poll asks what the device refuses"
        for position, (point, value) in enumerate(zip(planned.source.points, said, strict=True)):
            number = isinstance(value, int) and point.decimals
            values[point.name] = round(value / 10**point.decimals, point.decimals) if number else value
            if position in quality:
                doubts[point.name] = quality[position]
    return values, doubts


def met(device: Image, profile: str = "sunspec.inverter") -> tuple[dict[str, object], dict[str, Quality]]:
    """A device introduced and polled once."""
    return read(introduce(plan(profile), device)[0], device)
