"""Real and constructed exchanges: what the drivers read from them, and what pymodbus reads from the same bytes."""

from __future__ import annotations

from decimal import Decimal

import pytest
from modbus_rig import exchanges, modbus_profiles, read_values
from pymodbus.framer import FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU

from edgegw.drivers import modbus_codec
from edgegw.drivers.catalogue import load_profile
from edgegw.points import lookup

EXCHANGES = [pytest.param(name, exchange, id=f"{name}-{number}") for number, (name, exchange) in enumerate(exchanges())]
RTU = [param for param in EXCHANGES if param.values[1].transport == "rtu"]
MODBUS = modbus_profiles()
NEXT_FRAME = bytes.fromhex("01040201317974")


def question_of(exchange):
    make = modbus_codec.rtu_question if exchange.transport == "rtu" else modbus_codec.tcp_question
    return make(*exchange.asked)


def body(exchange):
    """The answer as `parse` gets it: on TCP behind the transaction id."""
    reply = bytes.fromhex(exchange.reply)
    return reply if exchange.transport == "rtu" else reply[2:]


def wanted(exchange):
    return {point: None if value == "none" else value if lookup(point).kind == "text" else Decimal(value) for point, value in exchange.values.items()}


def test_every_profile_has_a_golden_exchange():
    """No profile stands without an exchange that shows what it reads."""
    assert set(MODBUS) == {name for name, _ in exchanges()}


@pytest.mark.parametrize("name", MODBUS)
def test_a_profile_is_proven_or_says_that_it_is_not(name):
    """A profile with only constructed exchanges says unproven, one with a captured or documented exchange does not; every one names its source."""
    kinds = {exchange.kind for owner, exchange in exchanges() if owner == name}
    assert len(load_profile(name).profile.source) > 10
    assert ({"constructed"} == kinds) == load_profile(name).profile.unproven


@pytest.mark.parametrize(("name", "exchange"), EXCHANGES)
def test_a_golden_exchange_is_read(name, exchange):
    """The request is made as captured and the answer gives the documented values."""
    question = question_of(exchange)
    request = bytes.fromhex(exchange.request)
    assert question.payload == (request if exchange.transport == "rtu" else request[2:])
    parsed = question.parse(body(exchange))
    assert parsed is not None
    assert wanted(exchange) == read_values(name, exchange, parsed.data)


@pytest.mark.parametrize(("name", "exchange"), EXCHANGES)
def test_pymodbus_reads_the_same_registers(name, exchange):
    """An independent decoder finds the same registers or bits in the answer."""
    framer = (FramerRTU if exchange.transport == "rtu" else FramerSocket)(DecodePDU(False))
    _, pdu = framer.handleFrame(bytes.fromhex(exchange.reply), exchange.asked[0], 0)
    data = question_of(exchange).parse(body(exchange)).data
    if exchange.asked[1] in (1, 2):
        assert [bool(data[k // 8] >> k % 8 & 1) for k in range(exchange.asked[3])] == list(pdu.bits)[: exchange.asked[3]]
    else:
        assert [int.from_bytes(data[k : k + 2], "big") for k in range(0, len(data), 2)] == pdu.registers


@pytest.mark.parametrize(("name", "exchange"), RTU)
def test_an_answer_cut_anywhere_is_no_answer_yet(name, exchange):
    """Until the last byte has come there is no answer, then there is one."""
    question, reply = question_of(exchange), bytes.fromhex(exchange.reply)
    assert [None] * len(reply) == [question.parse(reply[:cut]) for cut in range(len(reply))]
    assert question.parse(reply) is not None


@pytest.mark.parametrize(("name", "exchange"), RTU)
@pytest.mark.parametrize("noise", [b"\x00", b"\xff\xfe", b"\x01\x03", b"\x01\x04\x02\x01", bytes(range(40))], ids=lambda noise: noise[:4].hex())
def test_an_answer_is_found_behind_noise(name, exchange, noise):
    """Noise before an answer is skipped and counted."""
    question, reply = question_of(exchange), bytes.fromhex(exchange.reply)
    parsed = question.parse(noise + reply)
    assert (len(noise), len(noise) + len(reply)) == (parsed.noise, parsed.end)
    assert question.parse(reply).data == parsed.data


@pytest.mark.parametrize(("name", "exchange"), RTU)
def test_an_answer_is_found_before_the_next_frame(name, exchange):
    """What follows an answer does not change it."""
    question, reply = question_of(exchange), bytes.fromhex(exchange.reply)
    parsed = question.parse(reply + NEXT_FRAME)
    assert (len(reply), 0) == (parsed.end, parsed.noise)


@pytest.mark.parametrize(("name", "exchange"), RTU)
def test_the_own_echo_is_stripped(name, exchange):
    """A two-wire adapter that echoes the request changes nothing."""
    question, reply = question_of(exchange), bytes.fromhex(exchange.reply)
    parsed = question.parse(question.payload + reply)
    assert (1, 0, question.parse(reply).data) == (parsed.echo, parsed.noise, parsed.data)
    assert question.parse(question.payload) is None


@pytest.mark.parametrize(("name", "exchange"), RTU)
def test_a_damaged_answer_is_no_answer(name, exchange):
    """One wrong bit anywhere, and there is no value."""
    question, reply = question_of(exchange), bytes.fromhex(exchange.reply)
    for place in range(len(reply)):
        damaged = bytearray(reply)
        damaged[place] ^= 1 << place % 8
        assert question.parse(bytes(damaged)) is None
