"""One reply to each query, as it stands in the public sources: what a profile's row may name, what a simulated UPS starts from, what tests decode.

Source: networkupstools/nut drivers/nutdrv_qx_*.c (comments and testing tables), networkupstools/nut-website protocols/voltronic-qs.txt.
"""

from __future__ import annotations

from decimal import Decimal
from functools import cache

from edgegw.drivers.megatec_dialects import canonical, reply_of
from edgegw.drivers.megatec_fields import Options

_Q1 = "(226.0 195.0 226.0 014 49.0 27.5 30.0 00001000"
_COMMON = {
    "Q1": _Q1,
    "QS": _Q1,
    "D": _Q1,
    "F": "#220.0 000 024.0 50.0",
    "I": "#MegaTecabcedfhi k130v12345 v3.400000",
    "FW?": "#-------------   ------     VT12046Q  ",
    "M": "V",
    "QPI": "(PI01",
    "QGS": "(234.9 50.0 229.8 50.0 000.0 000 369.1 ---.- 026.5 ---.- 018.8 100000000001",
    "QMOD": "(L",
    "QBV": "(026.5 02 01 068 255",
    "QWS": "(" + 64 * "0",
    "QFS": "(OK",
    "QRI": "(230.0 004 024.0 50.0",
    "QMD": "(#######OLHVT1K0 ###1000 80 1/1 230 230 02 12.0",
    "QMF": "(#######BOH",
    "QVFW": "(VERFW:00322.02",
    "QVFW2": "(VERFW2:00000.31",
    "QID": "(12345679012345",
    "QI": "(100 00979 50.0 000.3 177 290 0 0000010000112000",
    "QLDL": "(021 023",
    "QHE": "(242 218",
    "QBYV": "(264 170",
    "QBYF": "(53.0 47.0",
    "QFRE": "(53.0 47.0",
    "Q3PV": "(230.1 229.4 231.0 398.0 399.1 397.7",
    "Q3OV": "(230.0 230.0 230.0 398.4 398.4 398.4",
    "Q3YV": "(230.1 229.4 231.0 398.0 399.1 397.7",
    "Q3PC": "(002 023 051",
    "Q3OC": "(109 069 023",
    "Q3LD": "(005 033 089",
    "QFLAG": "(EpashcDbroegfl",
    "QPIGS": "(235.2 50.1 235.2 50.1 0446 0382 008 440 54.00 000 100 0034 0000 000.0 00.00 00000 00010101 00 00 00000 110",
    "QPIWS": "(" + 32 * "0",
    "QPIRI": "(230.0 21.7 230.0 50.0 21.7 5000 5000 48.0 46.0 42.0 56.4 54.0 0 30 060 0 0 2 9 01 0 1 54.0 0 1 000",
    "Q2": "(226.6 224.3 228.0 226.6 229.9 000.0 000.0 000 000 000 49.9 327.6 18.0 00000000 999.24 100 02 00 00 00 00 00000000 11",
    "Q6": "(227.0 225.6 230.0 50.0 229.9 000.0 000.0 49.9 007 000 000 327.8 000.0 23.0 06932 100 32 00000000 00000000 11",
    "Q4": "(236.7 243.2 212.1 220.1 230.4 002 001 50.0 371 372 041.3 22.9 IM",
    "WA": "(001.4 000.0 000.0 001.4 000.0 000.0 001.4 001.4 006.5 000.0 000.0 007 00000000",
    "BPS": "(230.4 000.0 000.0 49.9",
    "WH": "(00 10.35 00.00 C1K(G7)                    1/1 6 220 50.00 012 02.00 004.00 011.30 006 00 50 187 264 45.00 55.00",
    "SASV07?": "GASV07DN05K10KB100004      ",
    "BL": "BL100",
    "Bl ?": "100",
    "RTS": "0699",
    "RT": "015",
    "TPb": "+22.5",
    "Lf ?": "49.9",
    "PSNR": "A0Z25110005109G ",
    "FWV": "M:0.17(S:2.00)",
    "BRR": "20260730",
    "UN": "1125W/1125VA/048V/160W/020W",
    "BP?": "02",
    **{f"QSK{number}": "(1" for number in "1234"},
    **{f"QSKT{number}": "(008" for number in "1234"},
}
_OWN = {
    "voltronic-qs-hex": {"QS": bytes.fromhex("23060020682070012069200C2061A820280212D020D5201E2089").decode("latin-1"), "M": "P"},
    "bestups": {"ID": "FOR,750,120,120,20.0,27.6", "M": "0", "SS?": "0"},
    "innovatae": {"I": "#222222222222222222222222222R1.00.48  "},
}


def example(dialect: str, command: str) -> str:
    """The documented reply without its CR, one character a byte."""
    name = canonical(command)
    own = _OWN.get(dialect, {})
    return own[name] if name in own else _COMMON[name]


@cache
def field_names(dialect: str, command: str) -> frozenset[str]:
    """Names that the answer to this command can hold, estimates included. Raises Mismatch for a command that no table knows."""
    rated = Options(nominal_v=Decimal(24))
    return frozenset(reply_of(dialect, command).read(example(dialect, command), rated)) | {"battery.cells"}
