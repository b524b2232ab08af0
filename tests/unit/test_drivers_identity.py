"""A device says who it is: registers to serial number, model and firmware."""

from __future__ import annotations

import pytest
from bus_rig import serial_bus
from modbus_rig import plan_of, profile_of

from edgegw.drivers.catalogue import load_profile
from edgegw.drivers.identity import identity_text
from edgegw.drivers.profile import IdentityRow
from edgegw.model import Answer, Fault

IDENTITY = """[identity]
serial_number = { address = 100, type = "string", length = 4 }
model = { address = 110, type = "u16" }
firmware = { address = 120, type = "hex", length = 2, function = 4 }
"""


def introduction(replies):
    """The questions that were asked, and what came of them."""
    plan = plan_of(profile_of("frequency, address = 0", IDENTITY), serial_bus("/dev/null"))
    talk, asked = plan.introduce(), []
    try:
        question = next(talk)
        for reply in replies:
            asked.append(question.payload[:6].hex())
            question = talk.send(reply)
    except StopIteration as end:
        return asked, end.value
    raise AssertionError("it asks for more")


def test_each_field_is_asked_and_told():
    """Three questions, three texts."""
    asked, told = introduction([Answer(b"SN12345\0", 0), Answer(b"\x00\x07", 0), Answer(b"\x01\x0a\x00\x03", 0)])
    assert ["010300640004", "0103006e0001", "010400780002"] == asked
    assert {"serial_number": "SN12345", "model": "7", "firmware": "010A0003"} == told.identity


def test_what_a_device_refuses_is_left_out():
    """A refused field costs no other one."""
    _, told = introduction([Fault("exception", "illegal address", 2), Answer(b"\x00\x07", 0), Answer(b"\x01\x0a\x00\x03", 0)])
    assert {"model": "7", "firmware": "010A0003"} == told.identity
    assert "serial_number" in told.note


def test_silence_ends_it():
    """A device that falls silent is asked nothing more."""
    asked, told = introduction([Answer(b"SN12345\0", 0), Fault("timeout", "no answer")])
    assert (2, {"serial_number": "SN12345"}) == (len(asked), told.identity)


def test_a_profile_without_identity_introduces_nothing():
    """No place is known, so nothing is asked."""
    assert plan_of(profile_of("frequency, address = 0"), serial_bus("/dev/null")).introduce is None


@pytest.mark.parametrize(
    ("kind", "data", "text"),
    [
        ("string", b"AB12\0\0", "AB12"),
        ("string", b"\0\0AB12", "AB12"),
        ("string", b" AB ", "AB"),
        ("string", bytes(8), ""),
        ("string", b"\xff" * 4, ""),
        ("bcd", b"\x00\x12\x34\x56", "00123456"),
        ("u32", b"\x00\x01\x02\x03", "66051"),
        ("u16", b"\xff\xff", ""),
    ],
)
def test_registers_become_text(kind, data, text):
    """Leading zeros of digits stay, what is blank or unset is no text."""
    assert text == identity_text(IdentityRow(address=0, type=kind, length=len(data) // 2), data)


@pytest.mark.parametrize(
    ("field", "registers", "text"),
    [
        ("serial_number", "01 66 dd e4", "23518692"),
        ("serial_number", "01 a9 d7 bc", "27908028"),
        ("model", "00 04 c3 88", "312200"),
        ("firmware", "03 0a 33 00", "030A3300"),
    ],
)
def test_a_captured_identity_is_told_as_its_owner_saw_it(field, registers, text):
    """Two KEBA wallboxes (evcc-io/evcc issues 15200 and 14228): serial number, product and firmware 3.10.51."""
    assert text == identity_text(getattr(load_profile("keba.p30").identity, field), bytes.fromhex(registers))
