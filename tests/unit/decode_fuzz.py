"""Any bytes into every codec, its driver and its command: nothing but what they promise comes out. For hypothesis, for atheris and for a blind mutator.

The first byte of the data chooses what is asked (profile, command, edition); the rest is what came over the line.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

from dlt645_rig import golden as golden_frames
from megatec_rig import EXCHANGES
from modbus_rig import exchanges
from sunspec_rig import Image, introduce, load_image, plan, request_of

from edgegw.cli import decode_dlt645, decode_megatec, decode_modbus
from edgegw.cli.cells import WIDTH, cells
from edgegw.cli.hex_bytes import hex_bytes
from edgegw.config.model import Bus, Device
from edgegw.drivers import dlt645_explain, exchange, megatec_codec, modbus_codec
from edgegw.drivers.base import DevicePlan
from edgegw.drivers.catalogue import load_profile
from edgegw.drivers.dlt645_codec import build, check
from edgegw.drivers.megatec_question import question as megatec_question
from edgegw.drivers.plan import line_facts
from edgegw.drivers.planning import plan_device
from edgegw.errors import EdgegwError
from edgegw.model import Answer, Fault

METER = "240118000017"
SERIAL = Bus(name="rs485", kind="serial", path="/dev/null")
DLT_PROFILES = ("dlt645.2007-3p", "dlt645.2007-dc", "dlt645.1997")
SUNSPEC_PROFILES = ("sunspec.inverter", "sunspec.meter", "solaredge.meter")
# A register image of more is of no device.
REGISTERS_MAX = 2000


class Target(NamedTuple):
    run: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    mend: Callable[[bytes], bytes]
    """Puts the checks right, so that what is behind them is reached."""


def mutated(target: Target, seed: int, rounds: int) -> int:
    """So many damaged seeds, put right again half of the time; how many ran. Blind: what a round reached does not steer the next."""
    dice, seeds = random.Random(seed), target.seeds()
    for _ in range(rounds):
        data = bytearray(dice.choice(seeds))
        for _ in range(dice.choice((0, 1, 1, 2, 4, 16))):
            damage(dice, data, seeds)
        target.run(target.mend(bytes(data)) if dice.random() < 0.5 else bytes(data))
    return rounds


def damage(dice: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    """One change: a byte, a bit, a hole, a doubled stretch, a piece of another seed."""
    at = dice.randrange(len(data) + 1)
    end = min(len(data), at + dice.choice((1, 1, 2, 4, 9)))
    kind = dice.randrange(6)
    if kind == 0:
        data[at:end] = dice.randbytes(end - at)
    elif kind == 1 and at < len(data):
        data[at] ^= 1 << dice.randrange(8)
    elif kind == 2:
        del data[at:end]
    elif kind == 3:
        data[at:at] = data[at:end] * dice.choice((1, 2, 20))
    elif kind == 4:
        other = dice.choice(seeds)
        first = dice.randrange(len(other) + 1)
        data[at:at] = other[first : first + 24]
    else:
        data[at:end] = bytes((dice.choice((0, 0xFF, 0x68, 0x16, 0x7F, 0x80, 0xAA, 0xFE, 0x28, 0x0D)),)) * (end - at)


def narrow(lines: Sequence[str]) -> None:
    wide = [line for line in lines if cells(line) > WIDTH]
    assert [] == wide, wide


def asked_and_decoded(planned: DevicePlan, received: bytes) -> None:
    """What the bus does with bytes: proof, follow-up, values; or why there is no answer."""
    for source in planned.sources:
        for question in source.questions:
            parsed = question.parse(received)
            if parsed is None:
                assert question.explain is None or question.explain(received).kind
            elif parsed.data is not None and len(source.questions) == 1:
                answer = Answer(parsed.data, 0)
                if question.follow is not None:
                    question.follow(answer)
                values, quality = source.decode([answer])
                assert len(source.source.points) == len(values)
                assert all(value is not None or position in quality for position, value in enumerate(values))


@cache
def planned_meter(profile: str) -> DevicePlan:
    device = Device(code="M-01", bus=SERIAL.name, address=METER, profile=profile)
    return plan_device(device, load_profile(profile), line_facts(SERIAL), 1)


@cache
def planned_modbus(profile: str) -> DevicePlan:
    device = Device(code="M-01", bus=SERIAL.name, unit=1, profile=profile)
    return plan_device(device, load_profile(profile), line_facts(SERIAL), 1)


# -- DL/T 645


def run_dlt645(data: bytes) -> None:
    choice, received = data[:1] or b"\0", data[1:]
    year = 1997 if choice[0] & 1 else 2007
    told = dlt645_explain.explain(received, year)
    for one in told:
        assert one.valid or not one.values
        assert one.valid == (not one.frame.fault)
        assert one.reason is None or decode_dlt645.reason("zh", one)
    narrow(decode_dlt645.screen("zh" if choice[0] & 2 else "en", received, told))
    asked_and_decoded(planned_meter(DLT_PROFILES[choice[0] % len(DLT_PROFILES)]), received)


def seeds_dlt645() -> list[bytes]:
    found = [bytes((number % 256,)) + one.raw for number, one in enumerate(golden_frames())]
    for number, profile in enumerate(DLT_PROFILES):
        for source in planned_meter(profile).sources:
            request = source.questions[0].payload.lstrip(b"\xfe")
            control, begin = request[8], bytes(byte - 0x33 & 0xFF for byte in request[10:-2])
            found.append(bytes((number,)) + build(METER, control | 0x80, begin + bytes.fromhex("123456") * 8))
    return found


def mend_dlt645(data: bytes) -> bytes:
    """Check sum and end of the first frame whose length fits."""
    mended = bytearray(data)
    for at in range(1, len(data) - 11):
        if data[at] == data[at + 7] == 0x68 and at + 12 + data[at + 9] <= len(data):
            end = at + 12 + data[at + 9]
            mended[end - 2 : end] = bytes((check(bytes(mended[at : end - 2])), 0x16))
            break
    return bytes(mended)


# -- Megatec


@cache
def queries() -> tuple[tuple[str, str], ...]:
    return tuple(sorted({(one.dialect, one.command) for one in EXCHANGES}))


def run_megatec(data: bytes) -> None:
    choice, received = data[:1] or b"\0", data[1:]
    dialect, command = queries()[choice[0] % len(queries())]
    told = megatec_codec.decode(dialect, command, received)
    assert told.valid or (told.values == {} and told.reason)
    narrow(list(decode_megatec.screen("en", dialect, command, received, told)))
    question = megatec_question(dialect, command)
    parsed = question.parse(received)
    if parsed is None:
        assert question.explain(received).kind
    elif parsed.data is not None:
        assert 0 < parsed.end <= len(received)


def seeds_megatec() -> list[bytes]:
    places = {query: number for number, query in enumerate(queries())}
    return [bytes((places[one.dialect, one.command] % 256,)) + one.wire for one in EXCHANGES]


def mend_megatec(data: bytes) -> bytes:
    """The check of the inverter-chargers."""
    dialect, _ = queries()[data[0] % len(queries())] if data else ("", "")
    body = data[1:].split(b"\r")[0]
    return data[:1] + body[:-2] + megatec_codec.crc(body[:-2]) + b"\r" if dialect == megatec_codec.AXPERT and len(body) > 2 else data


# -- Modbus


@cache
def captured() -> tuple[tuple[str, bool, bytes, bytes], ...]:
    return tuple((name, one.transport == "tcp", bytes.fromhex(one.request), bytes.fromhex(one.reply)) for name, one in exchanges())


def run_modbus(data: bytes) -> None:
    choice, received = data[:2].ljust(2, b"\0"), data[2:]
    name, tcp, request, reply = captured()[int.from_bytes(choice, "big") % len(captured())]
    profile = load_profile(name)
    for asked, answer in ((request, received), (received, reply), (received, received)):
        found = exchange.explain(profile, asked, answer, tcp=tcp)
        assert found.reason is None or (found.values == () and decode_modbus.reason("zh", found.reason))
        narrow(list(decode_modbus.screen("en", found, asked, answer, tcp=tcp)))
    asked_and_decoded(planned_modbus(name), received)


def seeds_modbus() -> list[bytes]:
    writes = [
        bytes.fromhex(text) for text in ("0105000100ff", "010f0000000902ff01", "011001010002040001 0002", "01160101fff00001", "011720000002010100010200 05")
    ]
    found = [number.to_bytes(2, "big") + one[3] for number, one in enumerate(captured())]
    return found + [number.to_bytes(2, "big") + one[2] for number, one in enumerate(captured())] + [b"\0\0" + modbus_codec.sealed(body) for body in writes]


def mend_modbus(data: bytes) -> bytes:
    """CRC, or the length of the header."""
    tcp = captured()[int.from_bytes(data[:2].ljust(2, b"\0"), "big") % len(captured())][1]
    if tcp and len(data) > 8:
        return data[:6] + (len(data) - 8).to_bytes(2, "big") + data[8:]
    return data if tcp or len(data) < 5 else data[:2] + modbus_codec.sealed(data[2:-2])


# -- SunSpec


def run_sunspec(data: bytes) -> None:
    choice, words = data[:1] or b"\0", data[1 : 1 + 2 * REGISTERS_MAX]
    registers = [int.from_bytes(words[at : at + 2], "big") for at in range(0, len(words) - 1, 2)]
    device = Image(registers, longest=(125, 40, 7)[choice[0] // 3 % 3])
    introduction, _ = introduce(plan(SUNSPEC_PROFILES[choice[0] % 3]), device)
    for planned in introduction.sources or ():
        answers = [device.answer(question) for question in planned.questions]
        if not any(isinstance(answer, Fault) for answer in answers):
            values, quality = planned.decode(answers)
            assert len(planned.source.points) == len(values)
            assert all(value is not None or position in quality for position, value in enumerate(values))
        assert all(request_of(question)[2] <= 125 for question in planned.questions)


def seeds_sunspec() -> list[bytes]:
    images = [load_image(name)[0] for name in ("solaredge-3ph-with-meter", "constructed-103-120-160-124")]
    return [bytes((choice,)) + b"".join(word.to_bytes(2, "big") for word in image.registers) for image in images for choice in range(9)]


# -- what people type


def run_hex(data: bytes) -> None:
    try:
        assert isinstance(hex_bytes(data.decode("utf-8", "surrogateescape"), 64, "edgegw decode"), bytes)
    except EdgegwError as fault:
        assert str(fault).startswith("E-USAGE")


def seeds_hex() -> list[bytes]:
    return [b"68 AA 16", b"0x68, 0xaa", b"\\x68\\xaa", b"68H AAH", "68，AA".encode(), b"b'6816'", b"68:aa:1", b"6 8 0 1"]


def as_it_is(data: bytes) -> bytes:
    return data


TARGETS = {
    "dlt645": Target(run_dlt645, seeds_dlt645, mend_dlt645),
    "megatec": Target(run_megatec, seeds_megatec, mend_megatec),
    "modbus": Target(run_modbus, seeds_modbus, mend_modbus),
    "sunspec": Target(run_sunspec, seeds_sunspec, as_it_is),
    "hex": Target(run_hex, seeds_hex, as_it_is),
}
