"""Replies to the commands of the Megatec and Voltronic families, one reader each. Pure: text of a reply to values; Mismatch where it is none.

Source: networkupstools/nut-website protocols/megatec.txt, voltronic.txt, voltronic-qs.txt; networkupstools/nut drivers/nutdrv_qx_*.c (each reply
stands in a comment there), nut issues 608, 1279, 2219, 2765, 2958, 3103, 3263.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import NamedTuple

from edgegw.drivers.megatec_battery import cells_of, is_per_cell, judge
from edgegw.drivers.megatec_fields import Field, Mismatch, Options, Values, fields, q1_status, qgs_status, read_fields
from edgegw.drivers.megatec_words import FAULTS, MODES, WARNING_STATUS, WARNINGS, in_order

Read = Callable[[str, Options], Values]


class Reply(NamedTuple):
    """What answers a command."""

    shape: str
    """Replies of one shape can be mistaken for each other; those of two shapes cannot."""
    read: Read
    size: int
    """Characters of the usual reply, without CR."""
    closed: bool = False
    """Its last field has a fixed length: whole without a CR once it has its size (nut issue 608)."""


def table(text: str, shape: str, *, more: int = 0, closed: bool = False) -> Reply:
    """A reply of Voltronic fields that need nothing but their names."""
    layout = fields(text)
    return Reply(shape, partial(_read_table, layout, more), _size(layout), closed)


def _read_table(layout: tuple[Field, ...], more: int, text: str, _: Options) -> Values:
    return read_fields(text, "(", layout, padded=True, more=more)[0]


def _size(layout: tuple[Field, ...]) -> int:
    return sum(field.width for field in layout) + len(layout)


# -- Q1 and its brothers QS and D


def q1(frequency: str, *, padded: bool = False) -> Reply:
    """`frequency`: input.frequency, or output.frequency as Voltronic documents it."""
    text = f"input.voltage:5 input.voltage.fault:5 output.voltage:5 ups.load:3 {frequency}:4 battery.voltage:4 ups.temperature:4 bits:8b"
    layout = fields(text)
    return Reply("q1", partial(_read_q1, layout, padded), _size(layout), closed=True)


def _read_q1(layout: tuple[Field, ...], padded: bool, text: str, options: Options) -> Values:  # noqa: FBT001 - bound once
    values, raw = read_fields(text, "(", layout, padded=padded)
    values |= q1_status(raw["bits"], values["input.voltage"], values["output.voltage"], options.ignore_bits)
    volts = values["battery.voltage"]
    per_cell = is_per_cell(raw["battery.voltage"])
    values["battery.voltage.is_per_cell"] = per_cell if isinstance(volts, Decimal) else None
    if options.nominal_v is not None and isinstance(volts, Decimal):
        values |= estimates(volts, options.nominal_v, per_cell=per_cell)
    return values


def estimates(volts: Decimal, nominal_v: Decimal, *, per_cell: bool) -> Values:
    """What the rating adds to a voltage."""
    battery = judge(volts, nominal_v, per_cell=per_cell)
    if battery is None:
        return {"battery.voltage.total": None, "battery.charge.estimated": None}
    cells: Values = {"battery.cells": battery.cells} if battery.cells is not None else {}
    return {**cells, "battery.voltage.total": battery.total_v, "battery.charge.estimated": battery.charge_percent}


# -- ratings and names


def ratings(side: str) -> Reply:
    """F. `side`: input, or output as the Voltronic V protocol means it."""
    layout = fields(f"{side}.voltage.nominal:5 {side}.current.nominal:3 battery.voltage.nominal:5 {side}.frequency.nominal:4")
    return Reply("f", partial(_read_ratings, layout), _size(layout), closed=True)


def _read_ratings(layout: tuple[Field, ...], text: str, _: Options) -> Values:
    values, _raw = read_fields(text, "#", layout)
    nominal = values["battery.voltage.nominal"]
    cells = cells_of(nominal) if isinstance(nominal, Decimal) else None
    return {**values, "battery.cells": cells} if cells is not None else values


# `#` + 15 + blank + 10 + blank + 10; trailing blanks may have been lost. The Megatec IC packs 7 + 8 and 5 + 5 into the first two, 37 in all.
_NAMES_LEAST, _NAMES_IC, _NAMES_MOST = 29, 37, 64


def read_names(text: str, _: Options) -> Values:
    """I, and FW? where it has the same form."""
    if not text.startswith("#"):
        raise Mismatch("foreign_reply", f'it begins with "{text[:1]}" instead of "#"')
    if not _NAMES_LEAST <= len(text) <= _NAMES_MOST:
        raise Mismatch("short_reply" if len(text) < _NAMES_LEAST else "foreign_reply", f"{len(text)} characters instead of 38")
    if len(text) == _NAMES_IC and re.fullmatch(r"\d{5}", text[22:27]) and text[8:16].strip("-# "):
        return {
            "device.mfr": name_of(text[1:8]),
            "device.serial": name_of(text[8:16]),
            "device.model": name_of(text[17:22]),
            "battery.runtime": Decimal(text[22:27]),
            "ups.firmware": name_of(text[28:]),
        }
    parted = text[16] == " " == text[27]
    return {
        "device.mfr": name_of(text[1:16]) if parted else None,
        "device.model": name_of(text[17:27]) if parted else None,
        "ups.firmware": name_of(text[28:]),
    }


def name_of(text: str) -> str | None:
    """A name without its padding; None where only padding stands."""
    return text.strip("# \0") if text.strip("-# \0") else None


def read_firmware(text: str, options: Options) -> Values:
    if text.startswith("#"):
        return read_names(text, options)
    return _match(r"[0-9A-Za-z][0-9A-Za-z.\-_]{2,31}", text, lambda found: {"ups.firmware": found[0]})


_MODEL = re.compile(r"\((.{15}) (.{7}) ([\d# ]{2}|--) (\d|-)/(\d|-) ([\d# ]{3}|---) ([\d# ]{3}|---) ([\d# ]{2}|--) ([\d# .]{4}|--\.-)")


def read_model(text: str, _: Options) -> Values:
    """QMD: fixed columns, padded with `#` or blanks."""
    found = _MODEL.fullmatch(text.rstrip(" ")) or _MODEL.fullmatch(text)
    if found is None:
        raise Mismatch("short_reply" if len(text) < 47 and text.startswith("(") and "/" not in text else "foreign_reply", "it has not the columns of a model")
    model, power, factor, phases_in, phases_out, vin, vout, batteries, each = (group.strip("# ") for group in found.groups())
    factor_percent = _decimal(factor)
    return {
        "device.model": name_of(model),
        "ups.power.nominal": _decimal(power),
        "output.powerfactor": None if factor_percent is None else factor_percent / 100,
        "input.phases": _decimal(phases_in),
        "output.phases": _decimal(phases_out),
        "input.voltage.nominal": _decimal(vin),
        "output.voltage.nominal": _decimal(vout),
        "battery.batteries_per_pack": _decimal(batteries),
        "battery.voltage.nominal.per_battery": _decimal(each),
    }


def _decimal(text: str) -> Decimal | None:
    return Decimal(text) if re.fullmatch(r"\d+(\.\d+)?", text) else None


# -- one word


def word(pattern: str, make: Callable[[re.Match[str]], Values], shape: str, size: int) -> Reply:
    """A reply that a pattern proves."""
    return Reply(shape, lambda text, _: _match(pattern, text, make), size)


def _match(pattern: str, text: str, make: Callable[[re.Match[str]], Values]) -> Values:
    found = re.fullmatch(pattern, text.rstrip(" "))
    if found is None:
        raise Mismatch("short_reply" if text in ("", "(", "#") else "foreign_reply", f'"{printable(text)}" is no such reply')
    return make(found)


def printable(text: str, most: int = 40) -> str:
    """For people: what cannot be shown as a dot."""
    shown = "".join(character if " " <= character <= "~" else "." for character in text)
    return shown if len(shown) <= most else shown[: most - 3] + "..."


def mode(found: re.Match[str]) -> Values:
    """QMOD. An unknown letter says nothing."""
    meaning = MODES.get(found[1])
    if meaning is None:
        return {"mode": None, "ups.alarm": []}
    values: Values = {"mode": meaning[0].code, "ups.alarm": ["mode_fault"] if found[1] == "F" else []}
    return {**values, "ups.status": meaning[1]} if meaning[1] else values


def warnings(found: re.Match[str]) -> Values:
    """QWS: 64 bits, bit 1 leftmost."""
    on = [place for place, bit in enumerate(found[1], 1) if bit == "1"]
    values: Values = {
        "warnings": on,
        "unknown": [place for place in on if place not in WARNINGS],
        "ups.alarm": [WARNINGS[place].code if place in WARNINGS else f"unknown_bit_{place}" for place in on],
    }
    status = in_order({WARNING_STATUS[place] for place in on if place in WARNING_STATUS})
    return {**values, "ups.status": status} if status else values


def inverter_warnings(found: re.Match[str]) -> Values:
    """QPIWS: bit 1 leftmost, `-` where the device does not tell; no public document tells their meaning for every model."""
    on = [place for place, bit in enumerate(found[1], 1) if bit == "1"]
    return {"warnings": on, "ups.alarm": [f"unknown_bit_{place}" for place in on]}


def fault(found: re.Match[str]) -> Values:
    """QFS. The snapshot behind the number is not read: it is of the moment of the fault."""
    if found[1] is None:
        return {"fault": None, "ups.alarm": []}
    if not found[1].isdigit():
        return {"fault": found[1], "ups.alarm": [f"fault_{found[1]}"]}
    known = FAULTS.get(int(found[1]))
    values: Values = {"fault": int(found[1]), "ups.alarm": [known.code if known else f"unknown_fault_{int(found[1])}"]}
    return {**values, "ups.status": "OVER"} if int(found[1]) == 43 else values


def serial_number(found: re.Match[str]) -> Values:
    """QID. All zeros is none."""
    return {"device.serial": found[1] if found[1].strip("0- ") else None}


# -- QGS and the three-phase and inverter replies

_QGS = fields(
    "input.voltage:5 input.frequency:4 output.voltage:5 output.frequency:4 output.current:5 ups.load:3 -:5 -:5 battery.voltage:5 -:5 ups.temperature:5 bits:12b"
)


def read_qgs(text: str, options: Options) -> Values:
    values, raw = read_fields(text, "(", _QGS, padded=True)
    return values | qgs_status(raw["bits"], values["input.voltage"], values["output.voltage"], avr=options.avr)


QGS = Reply("qgs", read_qgs, _size(_QGS), closed=True)

_Q2 = fields(
    "input.L1-N.voltage:5 input.L2-N.voltage:5 input.L3-N.voltage:5 input.voltage.fault:5 output.L1-N.voltage:5 output.L2-N.voltage:5 output.L3-N.voltage:5"
    " output.L1.load:3 output.L2.load:3 output.L3.load:3 input.frequency:4 battery.voltage:5 ups.temperature:4 bits:8b battery.runtime:6*60 battery.charge:3"
    " -:2 -:2 -:2 -:2 -:2 warning_word:8h topology:2h"
)
_Q6 = fields(
    "input.L1-N.voltage:5 input.L2-N.voltage:5 input.L3-N.voltage:5 input.frequency:4 output.L1-N.voltage:5 output.L2-N.voltage:5 output.L3-N.voltage:5"
    " output.frequency:4 output.L1.load:3 output.L2.load:3 output.L3.load:3 battery.voltage:5 battery.voltage.negative:5 ups.temperature:4"
    " battery.runtime:5 battery.charge:3 -:2 fault_word:8h warning_word:8h topology:2h"
)
_TOPOLOGY = {"0": "delta", "1": "star"}


def read_q2(text: str, options: Options) -> Values:
    values, raw = read_fields(text, "(", _Q2)
    return _topology(values) | q1_status(raw["bits"], values["input.L1-N.voltage"], values["output.L1-N.voltage"], options.ignore_bits)


def read_q6(text: str, _: Options) -> Values:
    return _topology(read_fields(text, "(", _Q6)[0])


def _topology(values: Values) -> Values:
    word_ = str(values.pop("topology") or "").ljust(2)
    return {**values, "input.topology": _TOPOLOGY.get(word_[0]), "output.topology": _TOPOLOGY.get(word_[1])}


Q2 = Reply("q2", read_q2, _size(_Q2))
Q6 = Reply("q6", read_q6, _size(_Q6))

_PHASES = (1, 2, 3)
_WA = fields(
    " ".join(f"output.L{n}.realpower:5d*1000" for n in _PHASES)
    + " "
    + " ".join(f"output.L{n}.power:5d*1000" for n in _PHASES)
    + " ups.realpower:5d*1000 ups.power:5d*1000 "
    + " ".join(f"output.L{n}.current:5d" for n in _PHASES)
    + " ups.load:3i bits:8b"
)


def read_wa(text: str, _: Options) -> Values:
    values, raw = read_fields(text, "(", _WA)
    return {**values, "status_bits": raw["bits"]}


WA = Reply("wa", read_wa, _size(_WA), closed=True)

_QPIGS = fields(
    "input.voltage:5 input.frequency:4 output.voltage:5 output.frequency:4 output.power:4 output.realpower:4 ups.load:3 bus.voltage:3 battery.voltage:5"
    " battery.current.charge:3 battery.charge:3 ups.temperature:4 pv1.current:4 pv1.voltage:5 battery.voltage.scc:5 battery.current.discharge:5 bits:8b"
)
# 17 fields on the first models, 21 and 24 on later ones; what follows is of no point here.
_QPIGS_MORE = 12


def read_qpigs(text: str, _: Options) -> Values:
    values, raw = read_fields(text, "(", _QPIGS, more=_QPIGS_MORE)
    bits = raw["bits"]
    return {**values, "status_bits": bits, "load_on": bits[3] == "1", "charging": bits[5] == "1"}


QPIGS = Reply("qpigs", read_qpigs, 106)
