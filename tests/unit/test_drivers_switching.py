"""The frames that switch a relay, as published; and that nothing else of the kind ever leaves."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegw.config.model import Device
from edgegw.drivers.catalogue import available, load_profile, parse_profile
from edgegw.drivers.modbus_codec import sealed
from edgegw.drivers.permit import WRITE, Writable, may_leave, may_write
from edgegw.drivers.switching import Switch, make_switch, state_of, switchable
from edgegw.errors import EdgegwError
from edgegw.model import Answer

DECLARED = frozenset({Writable(1, 5, 0, 0xFF00), Writable(1, 5, 0, 0), Writable(9, 16, 40, 1), Writable(9, 15, 3, 1), Writable(2, 6, 7, 0x0155)})
HEAD = "[profile]\nname = 'test'\nmaker = 'test'\ntitle = 'test'\ntitle_zh = '测试'\nclass = 'relay'\nprotocol = 'modbus'\nsource = 'test'\n[group.g]\nperiod_s = 1\n"


def switch_of(profile: str, point: str, unit: int = 1, *, tcp: bool = False) -> Switch:
    return make_switch(Device(code="SIREN", bus="a", unit=unit, profile=profile), load_profile(profile), point, tcp=tcp)


def own(row: str, unit: int = 9, *, tcp: bool = False) -> Switch:
    """Of a profile with this one point."""
    profile = parse_profile(HEAD + "[[point]]\npoint = 'relay.1'\ngroup = 'g'\n" + row, "test.toml")
    return make_switch(Device(code="SIREN", bus="a", unit=unit, profile="test"), profile, "relay.1", tcp=tcp)


@pytest.mark.parametrize(
    ("switch", "on", "off", "read"),
    [
        # Waveshare wiki, Modbus RTU Relay: relay 0 on, off; LC-Tech boards: 1 counted from 1, on is 0100H. The rest by Modbus V1.1b3, 6.5, 6.6, 6.11, 6.12.
        (switch_of("waveshare.relay8", "relay.1"), "01 05 00 00 FF 00 8C 3A", "01 05 00 00 00 00 CD CA", "01 01 00 00 00 01 FD CA"),
        (switch_of("lc-tech.relay4", "relay.1"), "01 05 00 01 01 00 9D 9A", "01 05 00 01 00 00 9C 0A", "01 01 00 01 00 01 AC 0A"),
        (switch_of("adam.6050", "relay.1", tcp=True), "0000 0006 01 05 0010 FF00", "0000 0006 01 05 0010 0000", "0000 0006 01 01 0010 0001"),
        (own("function = 3\naddress = 40\nwrite = 6", tcp=True), "0000 0006 09 06 0028 0001", "0000 0006 09 06 0028 0000", "0000 0006 09 03 0028 0001"),
        (
            own("function = 1\naddress = 3\ntype = 'bit'\nwrite = 15", tcp=True),
            "0000 0008 09 0F 0003 0001 01 01",
            "0000 0008 09 0F 0003 0001 01 00",
            "0000 0006 09 01 0003 0001",
        ),
        (
            own("function = 3\naddress = 40\nwrite = 16\nwrite_on = 170\nwrite_off = 85", tcp=True),
            "0000 0009 09 10 0028 0001 02 00AA",
            "0000 0009 09 10 0028 0001 02 0055",
            "0000 0006 09 03 0028 0001",
        ),
    ],
    ids=["waveshare", "lc-tech", "adam-tcp", "register", "coils", "registers"],
)
def test_an_order_is_as_published(switch: Switch, on: str, off: str, read: str) -> None:
    """Write and read back, on RTU with CRC, on TCP behind its transaction id; each may leave where it is declared, and nowhere else."""
    asked = [switch.on.write, switch.off.write, switch.read]
    assert [bytes.fromhex(text) for text in (on, off, read)] == [question.payload for question in asked]
    protocols = [question.protocol + ("-tcp" if on.startswith("0000") else "") for question in asked]
    assert [True, True, False] == [may_write(protocol, question.payload, switch.writable) for protocol, question in zip(protocols, asked, strict=True)]
    assert [False, False, True] == [may_leave(protocol, question.payload) for protocol, question in zip(protocols, asked, strict=True)]
    assert [False] * 3 == [may_write(protocol, question.payload, frozenset()) for protocol, question in zip(protocols, asked, strict=True)]


def test_states_are_read_as_the_point_has_them() -> None:
    """A coil is 1 or 0 whatever was written to it; a register is what was written."""
    coil, register = switch_of("lc-tech.relay4", "relay.1"), own("function = 3\naddress = 40\nwrite = 6\nwrite_on = 170\nwrite_off = 85")
    assert [(1, 0), (170, 85)] == [(switch.on.state, switch.off.state) for switch in (coil, register)]
    assert [1, 0, 170] == [state_of(Answer(data, 0)) for data in (b"\x01", b"\xfe", b"\x00\xaa")]


@pytest.mark.parametrize("function", [5, 6, 15, 16])
def test_an_answer_counts_only_from_the_unit_and_function_asked(function: int) -> None:
    """Whole, with its CRC, wherever it stands; what it says is for the caller to compare."""
    row = "function = 1\ntype = 'bit'" if function in (5, 15) else "function = 3"
    order = own(f"{row}\naddress = 3\nwrite = {function}").on
    good = sealed(bytes((9, function)) + order.echo)
    found = order.write.parse(b"\x00\xff" + good)
    assert found is not None
    assert (order.echo, 2, 10) == (found.data, found.noise, found.end)
    other = order.write.parse(sealed(bytes((9, function, 0, 4, 0, 1))))
    assert other is not None
    assert order.echo != other.data
    refused = order.write.parse(sealed(bytes((9, function | 0x80, 2))))
    assert refused is not None
    assert (None, 2) == (refused.data, refused.exception_code)
    wrong = [good[:-1] + b"\0", good[:-1], sealed(bytes((8, function)) + order.echo), sealed(bytes((9, function ^ 3)) + order.echo), b""]
    assert [None] * 5 == [order.write.parse(frame) for frame in wrong]


@pytest.mark.parametrize(
    "text",
    [
        "01 05 00 01 FF 00",  # another coil
        "02 05 00 00 FF 00",  # another unit
        "01 05 00 00 55 00",  # toggle
        "01 06 00 00 FF 00",  # the same as a register
        "00 05 00 00 FF 00",  # everybody
        "09 0F 00 03 00 08 01 01",  # eight coils
        "09 0F 00 03 00 01 01 03",
        "09 10 00 28 00 02 04 00 01 00 01",  # two registers
        "09 10 00 28 00 01 02 00 01 00",  # something behind it
        "02 16 00 07 FF FF 01 55",  # mask write
        "02 06 00 07 01 54",
        "01 05",
        "",
    ],
)
def test_what_is_not_declared_does_not_leave(text: str) -> None:
    """Other places, values, widths and functions, over both framings."""
    pdu = bytes.fromhex(text)
    over_tcp = b"\0\0" + len(pdu).to_bytes(2, "big") + pdu
    assert (False, False) == (may_write(WRITE, sealed(pdu), DECLARED), may_write(WRITE + "-tcp", over_tcp, DECLARED))


@given(st.one_of(st.binary(max_size=12), st.builds(lambda *fields: struct.pack(">BBHH", *fields), *[st.sampled_from((0, 1, 2, 5, 6, 9, 15, 16))] * 4)))
def test_only_the_declared_leaves_of_all_frames(body: bytes) -> None:
    """Whatever is sealed and called a write: what leaves says exactly one of the declared things; and called a read it never leaves."""
    frames = [(WRITE, sealed(body)), (WRITE + "-tcp", b"\0\0" + len(body).to_bytes(2, "big") + body)]
    allowed = {struct.pack(">BBHH", *one) for one in DECLARED if one.function in (5, 6)}
    assert [body in allowed] * 2 == [may_write(protocol, frame, DECLARED) for protocol, frame in frames]
    assert [False] * 2 == [may_leave(protocol, frame) for protocol, frame in frames]


@pytest.mark.parametrize("body", [struct.pack(">BBHH", *one) for one in DECLARED if one.function in (5, 6)])
def test_a_declared_write_has_one_door_only(body: bytes) -> None:
    """It leaves as a write, not as a read, not damaged, and not on the other kind of line."""
    over_rtu, over_tcp = sealed(body), b"\0\0\0\x06" + body
    assert may_write(WRITE, over_rtu, DECLARED)
    assert may_write(WRITE + "-tcp", over_tcp, DECLARED)
    doors = [("modbus", over_rtu), ("modbus-tcp", over_tcp), (WRITE, over_tcp), (WRITE + "-tcp", over_rtu), (WRITE, over_rtu[:-1] + b"\0"), ("", over_rtu)]
    assert [False] * 6 == [may_write(protocol, frame, DECLARED) for protocol, frame in doors]


def test_only_outputs_of_relays_are_declared_in_the_shipped_profiles() -> None:
    """No meter, pile, inverter or UPS has a point that may be written."""
    writable = {name: points for name in available() if (points := switchable(load_profile(name)))}
    assert {point.partition(".")[0] for points in writable.values() for point in points} == {"relay"}
    assert {"relay", "input"} == {load_profile(name).profile.device_class for name in writable}


@pytest.mark.parametrize(
    ("row", "key"),
    [
        ("point = 'input.1'\nfunction = 1\naddress = 0\ntype = 'bit'\nwrite = 5", "only a relay may be written"),
        ("point = 'active_power'\naddress = 0\nwrite = 6", "only a relay may be written"),
        ("point = 'relay.1'\nfunction = 2\naddress = 0\ntype = 'bit'\nwrite = 6", "only a relay may be written"),
        ("point = 'relay.1'\nfunction = 3\naddress = 0\nwrite = 5", "only a relay may be written"),
        ("point = 'relay.1'\nfunction = 3\naddress = 0\ntype = 'u32'\nwrite = 16", "only a relay may be written"),
        ("point = 'relay.1'\nfunction = 1\naddress = 0\ntype = 'bit'\nwrite = 5\nwrite_on = 7\nwrite_off = 7", "are the same"),
        ("point = 'relay.1'\nfunction = 1\naddress = 0\ntype = 'bit'\nwrite_on = 7", "need write"),
        ("point = 'relay.1'\nfunction = 1\naddress = 0\ntype = 'bit'\nwrite = 15\nwrite_on = 256", "function 15 says 1 and 0"),
    ],
)
def test_a_profile_may_declare_nothing_else(row: str, key: str) -> None:
    """Inputs, settings and wide registers are refused with the key that is wrong."""
    with pytest.raises(EdgegwError, match=key) as refused:
        parse_profile(f"{HEAD}[[point]]\ngroup = 'g'\n{row}", "test.toml")
    assert "E-PROFILE-VALUE" == refused.value.message_id


def test_what_is_not_declared_makes_no_switch() -> None:
    """A read-only point, and one that is not there."""
    for point in ("input.1", "relay.99"):
        with pytest.raises(EdgegwError) as refused:
            switch_of("adam.6050", point)
        assert "E-CFG-WRITE" == refused.value.message_id
