"""What may leave on a line: questions that only read. Pure, and independent of the codecs: whoever builds a frame has no say here.

    modbus          RTU: unit, function, fields, CRC; one whole frame of the functions below
    modbus-tcp      MBAP behind the transaction id: protocol 0, length, unit, function, fields; the same functions
    dlt645          FEH..., 68H, address, 68H, control, length, data, check, 16H; one whole frame that reads (2007: 11H, 12H, 13H)
    dlt645-1997     the same with the controls 01H and 02H, which mean other things in 2007 and so are not allowed there
    megatec         one of a list of queries, its CRC where the device wants one, and CR; `Q` alone switches the beeper, `S`, `C`, `T` the output and the battery test

The bus asks `may_leave` for the bytes of every question before they are written: immediately before, or once for bytes that stay the same and are
asked again and again (bus/streak.py). What is not known to read does not leave.

A write has a second door of its own beside this one, `may_write`; no flag opens the first one for it. It lets out whole frames of the protocol "modbus-write"
that say one of the few things which the configuration declares: this unit, this function, this address, on or off (docs/notifications.md, siren).

    5, 6        unit, function, address (2), value (2)
    15, 16      unit, function, address (2), count 1 (2), bytes (1), value (15: 1 byte, 16: 2)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from fastcrc import crc16

# Modbus V1.1b3, section 6: reads of bits and registers with the most that one question may ask for; report server id; read device identification.
_READS = {1: 2000, 2: 2000, 3: 125, 4: 125}
_REPORT_SERVER_ID = 0x11
_IDENTIFICATION = b"\x2b\x0e"
_IDENTIFICATION_CODES = range(1, 5)
# Modbus over serial line V1.02, 2.2: 0 is a broadcast, which nobody answers.
_UNITS = range(1, 248)
_CRC_BYTES = 2

# Control to the lengths of data that a read may have. 2007: identifier, with the number of blocks, with it and a time; identifier and sequence;
# none. 1997: identifier (and the follow-up the same, or with its sequence).
_DLT645 = {
    "dlt645": {0x11: (4, 5, 10), 0x12: (5,), 0x13: (0,)},
    "dlt645-1997": {0x01: (2,), 0x02: (2, 3)},
}
# Set the clock of everybody: no answer, and no read. Only who says so sends it.
_TIME_SYNC, _TIME_SYNC_BYTES = 0x08, 6
_DLT645_HEAD_BYTES, _DLT645_TAIL_BYTES = 10, 2
# The preamble wakes the receiver; four are usual.
_PREAMBLE_MAX = 8

# Queries of networkupstools/nut-website protocols/megatec.txt, voltronic.txt, voltronic-qs.txt and of the three-phase models. Exact: `Q` is no query.
_MEGATEC_QUERIES = frozenset(
    [
        "Q1",
        "QS",
        "D",
        "F",
        "I",
        "FW?",
        "M",
        "QPI",
        "QGS",
        "QMOD",
        "QBV",
        "QWS",
        "QFS",
        "QRI",
        "QMD",
        "QMF",
        "QVFW",
        "QID",
        "QI",
        "QLDL",
        "Q2",
        "Q4",
        "Q6",
        "WA",
        "BPS",
        "WH",
        "BL",
        "QPIGS",
        "QPIWS",
        "QPIRI",
        "QFLAG",
        "Q3PV",
        "Q3OV",
        "Q3YV",
        "Q3PC",
        "Q3OC",
        "Q3LD",
        "QBYV",
        "QBYF",
        "QHE",
        "QFRE",
        "QSK1",
        "QSK2",
        "QSK3",
        "QSK4",
        "QSKT1",
        "QSKT2",
        "QSKT3",
        "QSKT4",
        "QVFW2",
    ]
)
_CR = b"\r"
# Inverter-chargers want CRC-16/XMODEM behind the query; bytes that mean CR, LF or a start are sent one higher (nut drivers/common_voltronic-crc.c).
_RESERVED = frozenset(b"\n\r(")


def may_leave(protocol: str, payload: bytes) -> bool:
    """Whether these bytes are one whole question that only reads. What is of no known protocol is not."""
    check = _CHECKS.get(protocol)
    return check is not None and check(payload)


def may_set_clock(payload: bytes) -> bool:
    """Whether these bytes are one whole DL/T 645 frame that sets the clock (08H): for who has been told to, in so many words."""
    frame = _dlt645_frame(payload)
    return frame is not None and frame[8] == _TIME_SYNC and frame[9] == _TIME_SYNC_BYTES


class Writable(NamedTuple):
    """One thing that may be written: it is the whole of what a frame may say."""

    unit: int
    function: int
    address: int
    value: int


WRITE = "modbus-write"
"""Protocol of a question that switches a relay; over TCP with `-tcp`, as for all others."""


def may_write(protocol: str, payload: bytes, declared: frozenset[Writable]) -> bool:
    """Whether these bytes are one whole frame that writes exactly one of the declared things."""
    if not declared:
        return False
    if protocol == WRITE:
        return len(payload) > _CRC_BYTES + 1 and payload[0] in _UNITS and not crc16.modbus(payload) and _writes(payload[:-_CRC_BYTES]) in declared
    whole = protocol == WRITE + "-tcp" and payload[:3] == b"\0\0\0" and len(payload) > 4 and payload[3] == len(payload) - 4
    return whole and _writes(payload[4:]) in declared


def _writes(body: bytes) -> Writable | None:
    """Unit, function and the rest; None where it does not write one coil or register."""
    function = body[1] if len(body) > 1 else 0
    if function in (5, 6) and len(body) == 6:
        value = body[4:6]
    elif function in (15, 16) and len(body) == 7 + function - 14 and body[4:7] == bytes((0, 1, function - 14)):
        value = body[7:]
    else:
        return None
    return Writable(body[0], function, body[2] << 8 | body[3], int.from_bytes(value, "big"))


def _reads_pdu(pdu: bytes) -> bool:
    """Function and fields."""
    count_max = _READS.get(pdu[0]) if pdu else None
    if count_max is not None:
        return len(pdu) == 5 and 1 <= pdu[3] << 8 | pdu[4] <= count_max
    if pdu[:2] == _IDENTIFICATION:
        return len(pdu) == 4 and pdu[2] in _IDENTIFICATION_CODES
    return len(pdu) == 1 and pdu[0] == _REPORT_SERVER_ID


def _may_modbus_rtu(frame: bytes) -> bool:
    return len(frame) > _CRC_BYTES + 1 and frame[0] in _UNITS and not crc16.modbus(frame) and _reads_pdu(frame[1:-_CRC_BYTES])


def _may_modbus_tcp(frame: bytes) -> bool:
    """Behind the transaction id. Unit ids are free here: 0 and 255 mean the server itself."""
    return frame[:3] == b"\0\0\0" and len(frame) > 4 and frame[3] == len(frame) - 4 and _reads_pdu(frame[5:])


def _dlt645_frame(payload: bytes) -> bytes | None:
    """The one whole frame behind its preamble; None when it is anything else."""
    frame = payload.lstrip(b"\xfe")
    if len(payload) - len(frame) > _PREAMBLE_MAX or len(frame) < _DLT645_HEAD_BYTES + _DLT645_TAIL_BYTES:
        return None
    whole = len(frame) == _DLT645_HEAD_BYTES + frame[9] + _DLT645_TAIL_BYTES
    framed = frame[0] == 0x68 and frame[7] == 0x68 and frame[-1] == 0x16
    return frame if whole and framed and sum(frame[:-2]) & 0xFF == frame[-2] else None


def _may_dlt645(reads: dict[int, tuple[int, ...]], payload: bytes) -> bool:
    frame = _dlt645_frame(payload)
    return frame is not None and frame[9] in reads.get(frame[8], ())


def _may_megatec(payload: bytes) -> bool:
    if not payload.endswith(_CR):
        return False
    text, check = payload[:-3], payload[-3:-1]
    sealed = len(check) == 2 and check == bytes(byte + (byte in _RESERVED) for byte in crc16.xmodem(text).to_bytes(2, "big"))
    return (text if sealed else payload[:-1]).decode("latin-1") in _MEGATEC_QUERIES


_CHECKS: dict[str, Callable[[bytes], bool]] = {
    "modbus": _may_modbus_rtu,
    "modbus-tcp": _may_modbus_tcp,
    "dlt645": lambda payload: _may_dlt645(_DLT645["dlt645"], payload),
    "dlt645-1997": lambda payload: _may_dlt645(_DLT645["dlt645-1997"], payload),
    "megatec": _may_megatec,
}
