"""Frames in words, held against the golden exchanges and what made them."""

from __future__ import annotations

import pytest
from modbus_rig import exception_frame, exchanges

from edgegw.drivers.modbus_words import Words, describe, is_request

EXCHANGES = [pytest.param(exchange, id=f"{name}-{number}") for number, (name, exchange) in enumerate(exchanges())]


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_a_golden_exchange_is_described(exchange):
    """Unit, function, address and count of the question, and every register or byte of bits of the answer."""
    tcp = exchange.transport == "tcp"
    unit, function, address, count = exchange.asked
    assert Words(unit, function, address, count) == describe(bytes.fromhex(exchange.request), tcp=tcp, question=True)
    words = describe(bytes.fromhex(exchange.reply), tcp=tcp, question=False)
    width = 1 if function in (1, 2) else 2
    data = b"".join(value.to_bytes(width, "big") for value in words.values)
    assert (unit, function) == (words.unit, words.function)
    assert data in bytes.fromhex(exchange.reply)
    assert len(data) == ((count + 7) // 8 if width == 1 else 2 * count)


def test_an_exception_is_described():
    """The function is the one that was asked."""
    assert Words(9, 3, exception=2) == describe(exception_frame(9, 3, 2), tcp=False, question=False)


@pytest.mark.parametrize("exchange", [param for param in EXCHANGES if param.values[0].transport == "rtu"])
def test_what_is_spoiled_is_not_described(exchange):
    """One wrong bit or a missing byte, and nothing is said."""
    reply = bytes.fromhex(exchange.reply)
    for place in range(len(reply)):
        assert None is describe(reply[:place], tcp=False, question=False)
        assert None is describe(reply[:place] + bytes((reply[place] ^ 1,)) + reply[place + 1 :], tcp=False, question=False)
    assert is_request(bytes.fromhex(exchange.request))
