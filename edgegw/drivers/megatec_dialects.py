"""Dialects of the Megatec family: which command has which reply. Pure data.

    megatec             Q1, F, I: what nearly every small UPS understands
    voltronic           QGS, QMOD, QBV, QWS, ...: Voltronic P00 to P99 (BOH, Powerwalker, Santak offshoots)
    voltronic-qs        QS, QI, F of the Voltronic V and H protocols
    voltronic-qs-hex    QS in raw bytes: the Voltronic P and T protocols
    voltronic-axpert    inverter-chargers: QPIGS; every frame ends in a CRC
    q2, q6              three-phase UPS (Santak Castle, Ippon Innova)
    omron, bestups, innovatae   Q1 with some commands of their own

The same command reads alike in all of them, unless it stands in the dialect's own table. Source: networkupstools/nut drivers/nutdrv_qx_*.c.
"""

from __future__ import annotations

import re
from decimal import Decimal

from edgegw.drivers.megatec_binary import QS_HEX
from edgegw.drivers.megatec_fields import Mismatch, Options, Values, fields, read_fields
from edgegw.drivers.megatec_replies import (
    Q2,
    Q6,
    QGS,
    QPIGS,
    WA,
    Reply,
    fault,
    inverter_warnings,
    mode,
    name_of,
    q1,
    ratings,
    read_firmware,
    read_model,
    read_names,
    serial_number,
    table,
    warnings,
    word,
)

MEGATEC = "megatec"
AXPERT = "voltronic-axpert"
QS_HEX_DIALECT = "voltronic-qs-hex"
DIALECTS = (MEGATEC, "voltronic", "voltronic-qs", QS_HEX_DIALECT, AXPERT, "q2", "q6", "omron", "bestups", "innovatae")

# Names, and whatever begins with `(` and is no number: one shape, for a late one passes for another.
_NAME = "name"
# Without a start byte, or either with one or without, as FW?: one shape.
_BARE = "bare"
LOOSE_SHAPES = (_NAME, _BARE)


def _digits(found: re.Match[str], name: str, factor: int = 1) -> Values:
    return {name: Decimal(found[1]) * factor}


def _percent(found: re.Match[str]) -> Values:
    return {"battery.charge": Decimal(found[1]) if int(found[1]) <= 100 else None}


def _outlet(number: str) -> dict[str, Reply]:
    switch = word(r"\(([01])", lambda found: {f"outlet.{number}.switchable": "yes", f"outlet.{number}.status": "on" if found[1] == "1" else "off"}, "outlet", 2)
    delay = word(r"\((\d{3})", lambda found: _digits(found, f"outlet.{number}.delay.shutdown", 60), "minutes", 4)
    return {f"QSK{number}": switch, f"QSKT{number}": delay}


def _volts(side: str) -> str:
    """Q3PV, Q3OV, Q3YV."""
    return " ".join(f"{side}.{pair}.voltage:5d" for pair in ("L1-N", "L2-N", "L3-N", "L1-L2", "L2-L3", "L1-L3"))


def _phases(text: str) -> str:
    return " ".join(text.format(n) for n in (1, 2, 3))


_BYPASS_TWO = fields("output.bypass.L1-N.voltage:5d output.bypass.L2-N.voltage:5d -:5")
_BYPASS_SIX = fields(_volts("output.bypass"))


def _read_q3yv(text: str, _: Options) -> Values:
    """Six voltages; three on the two-phase P09."""
    short = len(text.split()) == 3
    return read_fields(text, "(", _BYPASS_TWO if short else _BYPASS_SIX, padded=True)[0]


def _read_bps(text: str, _: Options) -> Values:
    values, _raw = read_fields(text, "(", _BPS)
    return {**values, "input.bypass.voltage": values["input.bypass.L1-N.voltage"]}


_WH = fields(
    "-:2 -:5 -:5 device.model:24s -:1 phases:3s -:1 output.voltage.nominal:3i output.frequency.nominal:5d -:3 -:5 -:6 -:6 -:3 -:2 -:2"
    " input.transfer.low:3i input.transfer.high:3i input.frequency.low:5d input.frequency.high:5d"
)


def _read_wh(text: str, _: Options) -> Values:
    """Model and ratings of a Santak Castle, which knows neither F nor I (nut pull 3662)."""
    values, _raw = read_fields(text, "(", _WH)
    inputs, _slash, outputs = str(values.pop("phases") or "").partition("/")
    phases = {f"{side}.phases": Decimal(count) if count.isdecimal() else None for side, count in (("input", inputs), ("output", outputs))}
    return {**values, **phases}


_BPS = fields(_phases("input.bypass.L{}-N.voltage:5d") + " input.bypass.frequency:4d")


def _flags(found: re.Match[str]) -> Values:
    values: Values = {"enabled": found[1], "disabled": found[2]}
    return {**values, "ups.beeper.status": "enabled" if "a" in found[1] else "disabled"} if "a" in found[1] + found[2] else values


# 32 and 36 bits are usual; 64 are those of QWS. What the device does not tell is a dash (nutdrv_qx_voltronic-axpert.c).
_INVERTER_BITS = "[01-]{25,63}|[01-]{65,160}"
_Q1 = q1("input.frequency")
_COMMON: dict[str, Reply] = {
    "Q1": _Q1,
    "QS": _Q1,
    "D": _Q1,
    "F": ratings("input"),
    "I": Reply(_BARE, read_names, 38, closed=True),
    "FW?": Reply(_BARE, read_firmware, 38),
    "M": word(r"([PTVHptvh])", lambda found: {"protocol": found[1].upper()}, _BARE, 1),
    "QPI": word(r"\((PI\d{2,3})", lambda found: {"protocol": found[1]}, "protocol", 5),
    "QGS": QGS,
    "QMOD": word(r"\(([A-Z])", mode, "mode", 2),
    "QBV": table("battery.voltage:5d battery.batteries_per_pack:2i battery.packs:2i battery.charge:3i battery.runtime:3i*60", "qbv"),
    "QWS": word(r"\(([01]{64})", warnings, "qws", 65),
    "QFS": word(r"\((?:OK|(\d\d|1[ABC])(?: [-0-9.# ]{8,} [01]{8})?)", fault, "qfs", 72),
    "QRI": table("output.voltage.nominal:5 output.current.nominal:3i battery.voltage.nominal:5 output.frequency.nominal:4", "qri", closed=True),
    "QMD": Reply("qmd", read_model, 47),
    "QMF": word(r"\(((?!PI\d|VERFW|NAK|ACK)[# ]*[A-Za-z][0-9A-Za-z ._/+-]{2,23})", lambda found: {"device.mfr": name_of(found[1])}, _NAME, 11),
    "QVFW": word(r"\(VERFW:([0-9A-Za-z.]+)", lambda found: {"ups.firmware": found[1]}, "firmware", 15),
    "QVFW2": word(r"\(VERFW2:([0-9A-Za-z.]+)", lambda found: {"ups.firmware.aux": found[1]}, "firmware2", 16),
    "QID": word(r"\((?!PI\d|VERFW)#*([0-9A-Za-z\-]{5,24})", serial_number, _NAME, 15),
    "QI": table(
        "battery.charge:3i battery.runtime:5i input.frequency:4d output.current:5d input.transfer.low:3i input.transfer.high:3i -:1 status_bits:16s", "qi"
    ),
    "QLDL": table("output.power.minimum.percent:3i output.power.maximum.percent:3i", "two_integers"),
    "QHE": table("input.transfer.high:3i input.transfer.low:3i", "two_integers"),
    "QBYV": table("max_bypass_volt:3 min_bypass_volt:3", "two_integers"),
    "QBYF": table("max_bypass_freq:4d min_bypass_freq:4d", "two_integers"),
    "QFRE": table("input.frequency.high:4d input.frequency.low:4d", "two_integers"),
    "Q3PV": table(_volts("input"), "voltages"),
    "Q3OV": table(_volts("output"), "voltages"),
    "Q3YV": Reply("voltages", _read_q3yv, 36),
    "Q3PC": table(_phases("input.L{}.current:3i"), "three_integers"),
    "Q3OC": table(_phases("output.L{}.current:3i"), "three_integers"),
    "Q3LD": table(_phases("output.L{}.power.percent:3i"), "three_integers"),
    "QFLAG": word(r"\(E([a-z]*)D([a-z]*)", _flags, _NAME, 15),
    **_outlet("1"),
    **_outlet("2"),
    **_outlet("3"),
    **_outlet("4"),
    "QPIGS": QPIGS,
    "QPIWS": word(rf"\((?=-*[01])({_INVERTER_BITS})", inverter_warnings, "qpiws", 33),
    "QPIRI": table(
        "input.voltage.nominal:5d input.current.nominal:4d output.voltage.nominal:5d output.frequency.nominal:4d output.current.nominal:4d"
        " output.power.nominal:4i output.realpower.nominal:4i battery.voltage.nominal:4d battery.voltage.recharge:4d battery.voltage.under:4d"
        " battery.voltage.bulk:4d battery.voltage.float:4d -:1",
        "qpiri",
        more=20,
    ),
    "Q2": Q2,
    "Q6": Q6,
    "Q4": table(
        "input.voltage:5d -:5 -:5 input.voltage.fault:5d output.voltage:5d -:3 ups.load:3i input.frequency:4d -:3 -:3 battery.voltage:5d ups.temperature:4d"
        " status_letters:2s",
        "q4",
    ),
    "WA": WA,
    "BPS": Reply("bps", _read_bps, 23, closed=True),
    "WH": Reply("wh", _read_wh, 112, closed=True),
    "SASV07?": word(r"GASV07D([0-9A-Za-z\-]{4,24})", serial_number, _BARE, 27),
    "BL": word(r"BL(\d{1,3})", _percent, _BARE, 5),
    "Bl ?": word(r"(\d{1,3})", _percent, _BARE, 3),
    "RTS": word(r"(\d{1,5})", lambda found: _digits(found, "battery.runtime", 60), _BARE, 4),
    "RT": word(r"(\d{1,5})", lambda found: _digits(found, "battery.runtime", 60), _BARE, 3),
    "TPb": word(r"([+-]?\d{1,3}(?:\.\d)?)", lambda found: _digits(found, "battery.temperature"), _BARE, 5),
    "Lf ?": word(r"(\d{1,3}(?:\.\d{1,2})?)", lambda found: _digits(found, "output.frequency"), _BARE, 4),
    "PSNR": word(r"[# ]*([0-9A-Za-z\-]{6,32})[# ]*", lambda found: {"device.serial": found[1] if found[1].strip("0-") else None}, _BARE, 16),
    "FWV": word(r"M:(\d+\.\d+)\(S:(\d+\.\d+)\)", lambda found: {"ups.firmware": found[1], "ups.firmware.aux": found[2]}, "fwv", 14),
    "BRR": word(r"((?:19|20)\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])", lambda found: {"battery.date": f"{found[1]}-{found[2]}-{found[3]}"}, _BARE, 8),
    "UN": word(
        r"(\d{4})W/(\d{4})VA/(\d{3})V/(\d{3})W/(\d{3})W",
        lambda found: {
            "ups.realpower.nominal": Decimal(found[1]),
            "ups.power.nominal": Decimal(found[2]),
            "battery.voltage.nominal": Decimal(found[3]),
        },
        "un",
        27,
    ),
    "BP?": word(r"(\d{1,2})", lambda found: _digits(found, "battery.packs"), _BARE, 2),
}

_BEST_MAKERS = {"AX1": "Best Power", "FOR": "Best Power", "FTC": "Best Power", "PR2": "Best Power", "PRO": "Best Power"}
_BEST_MAKERS |= dict.fromkeys(("325", "520", "620"), "Sola Australia")
_BEST_MODELS = {"AX1": "Axxium Rackmount", "FOR": "Fortress", "FTC": "Fortress Telecom", "PR2": "Patriot Pro II", "PRO": "Patriot Pro"}
_BEST_MODELS |= {number: f"Sola {number}" for number in ("320", "325", "520", "525", "620")}
_BEST_ID = r"([0-9A-Z]{3}), ?(\d{2,5}),(\d{3}),(\d{3}),(\d{1,3}\.\d), ?(\d{1,3}\.\d)"


def _best_id(found: re.Match[str]) -> Values:
    names = ("ups.power.nominal", "input.voltage.nominal", "output.voltage.nominal", "battery.voltage.low", "battery.voltage.high")
    numbers = {name: Decimal(found[place]) for place, name in enumerate(names, 2)}
    return {"device.mfr": _BEST_MAKERS.get(found[1]), "device.model": _BEST_MODELS.get(found[1]), **numbers}


def _innovatae_names(text: str, options: Options) -> Values:
    """Only the firmware stands at its place; before it come fillers (nutdrv_qx_innovatae.c)."""
    return {"ups.firmware": read_names(text, options)["ups.firmware"]}


_VOLTRONIC_Q1 = q1("output.frequency", padded=True)
_VOLTRONIC = {"Q1": _VOLTRONIC_Q1, "QS": _VOLTRONIC_Q1, "D": _VOLTRONIC_Q1}
_OWN: dict[str, dict[str, Reply]] = {
    "voltronic": _VOLTRONIC,
    "voltronic-qs": {**_VOLTRONIC, "F": ratings("output")},
    QS_HEX_DIALECT: {**_VOLTRONIC, "F": ratings("output"), "QS": QS_HEX},
    "bestups": {
        "ID": word(_BEST_ID, _best_id, "id", 25),
        "M": word(r"(\d)", lambda found: {"voltage_setting": int(found[1])}, _BARE, 1),
        "SS?": word(r"(\d)", lambda found: {"pins_shutdown_mode": int(found[1])}, _BARE, 1),
    },
    "innovatae": {"I": Reply(_BARE, _innovatae_names, 38, closed=True)},
}
_FOLDED = {name.casefold(): name for name in (*_COMMON, *(name for own in _OWN.values() for name in own))}
# Order of the shapes is their number in `Question.fits`.
SHAPES = tuple(sorted({reply.shape for own in (_COMMON, *_OWN.values()) for reply in own.values()}))


def canonical(command: str) -> str:
    """A command as the tables write it: without its CR, in the case that the UPS wants."""
    plain = command.strip("\r\n\0 ")
    return plain if plain in _FOLDED.values() else _FOLDED.get(plain.casefold(), plain)


def reply_of(dialect: str, command: str) -> Reply:
    """What answers this command. Raises Mismatch where no table knows it."""
    name = canonical(command)
    reply = _OWN.get(dialect, {}).get(name) or _COMMON.get(name)
    if reply is None:
        raise Mismatch("unknown_command", f'"{name[:16]}" is no query that is known')
    return reply


def commands(dialect: str) -> list[str]:
    """Every query whose reply can be read in this dialect."""
    return sorted({*_COMMON, *_OWN.get(dialect, {})})
