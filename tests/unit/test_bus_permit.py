"""What may leave on a line: questions that only read, whoever built them; everything else is held back, counted and named."""

from __future__ import annotations

import logging

import msgspec
import pytest
from bus_rig import PtyDevice, TcpDevice, run, serial_bus, tcp_answer, tcp_bus

from edgegw.bus.line import make_line
from edgegw.bus.statistics import BusStatistics
from edgegw.bus.transaction import Transactions
from edgegw.drivers.dlt645_codec import build
from edgegw.drivers.modbus_codec import rtu_question, sealed, tcp_question
from edgegw.drivers.permit import may_leave, may_set_clock
from edgegw.model import Fault

METER = "123456789012"
PREAMBLE = b"\xfe" * 4


def rtu(text):
    return sealed(bytes.fromhex(text))


def tcp(text):
    pdu = bytes.fromhex(text)
    return b"\0\0" + len(pdu).to_bytes(2, "big") + pdu


@pytest.mark.parametrize("function", [1, 2, 3, 4])
def test_reads_of_modbus_leave(function):
    """The four reads, over both framings."""
    assert may_leave("modbus", rtu_question(7, function, 100, 20).payload)
    assert may_leave("modbus-tcp", tcp_question(7, function, 100, 20).payload)


@pytest.mark.parametrize("text", ["01 11", "01 2B 0E 01 00", "F7 2B 0E 04 87"])
def test_questions_for_identity_leave(text):
    """Report server id and read device identification."""
    assert (True, True) == (may_leave("modbus", rtu(text)), may_leave("modbus-tcp", tcp(text)))


@pytest.mark.parametrize(
    "text",
    [
        "01 05 00 00 FF 00",  # write one coil
        "01 06 00 01 00 03",  # write one register
        "01 0F 00 00 00 08 01 FF",  # write coils
        "01 10 00 01 00 01 02 00 01",  # write registers
        "01 16 00 01 00 F2 00 25",  # mask write
        "01 17 00 00 00 01 00 00 00 01 02 00 01",  # read and write
        "01 15 07 06 00 04 00 00 00 01 00 01",  # write file
        "01 08 00 01 00 00",  # restart communications
        "01 2B 0D 00 00",  # CANopen
        "01 2B 0E 05 00",  # no such code
        "01 03 00 00 00 00",  # nothing
        "01 03 00 00 00 7E",  # more than a frame holds
        "01 03 00 00 00 01 00",  # something behind it
        "01 83 02",
        "01",
        "",
    ],
)
def test_nothing_else_of_modbus_leaves(text):
    """Functions that write, and frames that are not whole."""
    assert (False, False) == (may_leave("modbus", rtu(text)), may_leave("modbus-tcp", tcp(text)))


def test_broken_and_joined_frames_of_modbus_do_not_leave():
    """A wrong CRC or length, a broadcast, a write behind a read, the framing of the other line."""
    read, written = rtu("01 03 00 00 00 01"), rtu("01 06 00 01 00 03")
    held = [read[:-1] + b"\0", read + written, rtu("00 03 00 00 00 01"), tcp("01 03 00 00 00 01"), b""]
    assert [] == [frame for frame in held if may_leave("modbus", frame)]
    read, written = tcp("01 03 00 00 00 01"), tcp("01 06 00 01 00 03")
    held = [read + written, b"\0\0\0\x05" + read[4:], b"\0\1" + read[2:], rtu("01 03 00 00 00 01"), b""]
    assert [] == [frame for frame in held if may_leave("modbus-tcp", frame)]


def test_reads_of_dlt645_leave():
    """Read, read what follows and read the address, with any preamble; the codes of 1997 under its own name only."""
    read, follow, address = build(METER, 0x11, bytes(4)), build(METER, 0x12, bytes(4) + b"\1"), build("AAAAAAAAAAAA", 0x13, b"")
    assert [True] * 6 == [may_leave("dlt645", start + frame) for start in (b"", PREAMBLE) for frame in (read, follow, address)]
    old = [PREAMBLE + build(METER, 0x01, bytes(2)), PREAMBLE + build(METER, 0x02, bytes(2))]
    assert [(True, False)] * 2 == [(may_leave("dlt645-1997", frame), may_leave("dlt645", frame)) for frame in old]
    assert [False] * 3 == [may_leave("dlt645-1997", frame) for frame in (read, follow, address)]


@pytest.mark.parametrize("control", [c for c in range(256) if c not in (0x11, 0x12, 0x13)])
def test_no_other_control_of_dlt645_leaves(control):
    """Writes, freezes, new speeds and passwords, clearing, the relay, and answers."""
    sizes = (0, 4, 5, 6, 10, 16)
    assert [] == [size for size in sizes if may_leave("dlt645", PREAMBLE + build(METER, control, bytes(size)))]


def test_broken_and_joined_frames_of_dlt645_do_not_leave():
    """A write behind a read, a wrong check or length, noise before it, data that no read has."""
    read = build(METER, 0x11, bytes(4))
    relay = build(METER, 0x1C, bytes(16))
    held = [read + relay, read[:-2] + b"\0\x16", read[:-1], b"\0" + read, read + b"\xfe", build(METER, 0x11, bytes(12)), b"\xfe" * 9 + read, b""]
    assert [] == [frame for frame in held if may_leave("dlt645", frame)]


def test_the_clock_has_a_door_of_its_own():
    """08H is no read; who is told to set clocks asks the other function, which lets nothing else through."""
    clock = PREAMBLE + build("999999999999", 0x08, bytes(6))
    assert (False, True) == (may_leave("dlt645", clock), may_set_clock(clock))
    assert [] == [control for control in range(256) if control != 0x08 and may_set_clock(build(METER, control, bytes(6)))]


QUERIES = ["Q1", "QS", "D", "F", "I", "FW?", "M", "QPI", "QGS", "QMOD", "QBV", "QWS", "QFS", "QRI", "QMD", "Q6", "WA", "QPIGS"]
COMMANDS = [
    "Q",
    "T",
    "T10",
    "TL",
    "CT",
    "C",
    "S.5",
    "S02R0005",
    "S05",
    "SON",
    "SOFF",
    "PSDV",
    "BZON",
    "BZOFF",
    "SKON1",
    "SKOFF1",
    "",
    "q1",
    "Q1 ",
    "Q1\rC",
    "TPb",
]


@pytest.mark.parametrize("query", QUERIES)
def test_queries_of_ups_leave(query):
    """With their CR, and nothing behind it."""
    assert may_leave("megatec", query.encode() + b"\r")
    assert [] == [end for end in (b"", b"\n", b"\rQ\r", b"\r\r", b"\0\r") if may_leave("megatec", query.encode() + end)]


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_to_ups_do_not_leave(command):
    """The beeper, the battery test, the output, settings: a bare Q is one letter beside a query."""
    assert not may_leave("megatec", command.encode() + b"\r")


def test_a_query_with_a_crc_leaves_and_a_command_with_one_does_not():
    """Inverter-chargers want CRC-16/XMODEM before the CR (QPIGS B7 A9, published)."""
    assert may_leave("megatec", b"QPIGS\xb7\xa9\r")
    assert not may_leave("megatec", b"QPIGS\xb7\xa8\r")
    assert not may_leave("megatec", b"POP02\xe2\x0b\r")


def test_an_unknown_protocol_has_no_door():
    """What nobody thought of does not leave."""
    assert (False, False) == (may_leave("", b"Q1\r"), may_leave("dlt645-tcp", build(METER, 0x11, bytes(4))))


# -- on the line


@pytest.mark.parametrize("payload", [rtu("01 06 00 01 00 03"), build(METER, 0x1C, bytes(16)), b"Q\r"], ids=["modbus", "dlt645", "megatec"])
@pytest.mark.parametrize("protocol", ["modbus", "dlt645", "megatec"])
def test_a_serial_line_holds_a_write_back(caplog, protocol, payload):
    """Whatever a driver builds, whatever it calls it: not a byte of it is on the wire, and it is counted and named."""
    caplog.set_level(logging.ERROR)
    statistics, results = BusStatistics(), []
    question = msgspec.structs.replace(rtu_question(1, 3, 0, 4), payload=payload, protocol=protocol)
    with PtyDevice() as device:

        async def main():
            transactions = Transactions(serial_bus(device.path), make_line(serial_bus(device.path)), statistics)
            await transactions.line.open()
            results.append(await transactions.ask(question, 50, 1))
            results.append(await transactions.ask(rtu_question(1, 3, 0, 4), 1000, 1))
            await transactions.line.close()

        run(main())
    assert isinstance(results[0], Fault)
    assert ("permit", 1, 1) == (results[0].kind, statistics.unit(1).withheld, statistics.unit(1).asked)
    assert [3] == [asked.function for asked in device.asked]
    assert 1 == caplog.text.count("E-BUS-PERMIT")


def test_a_tcp_line_holds_a_write_back(caplog):
    """The same over Modbus TCP."""
    caplog.set_level(logging.ERROR)
    statistics, functions = BusStatistics(), []

    def answer(number, unit, function, _address, count):
        functions.append(function)
        return [(0, tcp_answer(number, unit, function, bytes(2 * count)))]

    async def main():
        async with TcpDevice(answer) as server:
            transactions = Transactions(tcp_bus(server.port), make_line(tcp_bus(server.port)), statistics)
            await transactions.line.open()
            written = msgspec.structs.replace(tcp_question(1, 3, 0, 4), payload=tcp("01 06 00 01 00 03"))
            result = await transactions.ask(written, 50, 1)
            assert ("permit", 1, 0) == (result.kind, statistics.unit(1).withheld, statistics.unit(1).asked)
            await transactions.ask(tcp_question(1, 3, 0, 4), 1000, 1)
            await transactions.line.close()

    run(main())
    assert ([3], 1) == (functions, caplog.text.count("E-BUS-PERMIT"))
