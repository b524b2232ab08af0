"""Bytes as people paste them."""

from __future__ import annotations

import pytest

from edgegw.cli.hex_bytes import hex_bytes
from edgegw.errors import EdgegwError

PASTED = [
    "68D1013509",
    "68d1 0135 09",
    " 68,D1,01,35,09, ",
    "68:D1:01:35:09",
    "68-D1-01-35-09",
    "0x68, 0xD1, 0x01, 0x35, 0x09",
    "0X68 0Xd1 0X01 0X35 0X09",
    "{0x68,0xd1,0x1,0x35,0x09};",
    "[68 D1 01 35 09]",
    "\\x68\\xD1\\x01\\x35\\x09",
    "b'\\x68\\xd1\\x01\\x35\\x09'",
    'b"68D1013509"',
    "68H D1H 01H 35H 09H",
    "<68 d1 01 35 09>",
    "68\uff0cD1\uff0c01\u300135\u300109",
    "68|D1|01|35|09",
    "68D10\n13509",
]
HALF = ["6", "686", "68 D1 0", "68 D1 01 3", "0x68 0xD10"]


@pytest.mark.parametrize("text", PASTED)
def test_bytes_are_read_in_every_form(text):
    """A trace, a program, a document or a C array: the same bytes."""
    assert bytes.fromhex("68D1013509") == hex_bytes(text, 5, "edgegw decode dlt645")


def test_bytes_without_their_leading_zero_are_read_where_they_stand_apart():
    """As %x prints them; `68 32 0 0` is four bytes and not three."""
    assert bytes.fromhex("6832000000000068D101350916") == hex_bytes("68 32 0 0 0 0 0 68 d1 1 35 9 16", 13, "edgegw decode dlt645")


@pytest.mark.parametrize("text", HALF)
def test_a_half_byte_is_refused(text):
    """One that was cut off when copying is no byte, and the digits are counted."""
    with pytest.raises(EdgegwError, match="digits, a byte has two"):
        hex_bytes(text, 99, "edgegw decode dlt645")
    assert len(text.replace(" ", "").replace("0x", "")) % 2


@pytest.mark.parametrize("text", ["zz", "68 g1", "68.D1", "\uff16\uff18", "six eight"])
def test_what_is_no_byte_is_refused(text):
    """Other letters are wrong usage, whatever stands around them."""
    with pytest.raises(EdgegwError) as refused:
        hex_bytes(text, 99, "edgegw decode dlt645")
    assert ("E-USAGE", 2) == (refused.value.message_id, refused.value.exit_code)


def test_too_many_bytes_are_refused():
    """The number is bounded by the command."""
    with pytest.raises(EdgegwError, match="6 bytes are more than 5"):
        hex_bytes("00" * 6, 5, "edgegw decode dlt645")
    assert 5 == len(hex_bytes("00" * 5, 5, "edgegw decode dlt645"))
