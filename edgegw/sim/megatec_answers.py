"""What a simulated UPS writes: each answer of each dialect, field by field, and what it says. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal

from edgegw.sim.tongue import Physical

Says = Decimal | str | None
DEFAULTS: dict[str, Physical] = {
    "input.voltage": 231.4,
    "input.voltage.fault": 228.0,
    "output.voltage": 230.1,
    "input.frequency": 50.0,
    "output.frequency": 49.9,
    "output.current": 2.8,
    "output.power": 620.0,
    "output.realpower": 540.0,
    "ups.load": 34.0,
    "ups.temperature": 31.5,
    "ups.status": "OL",
    "ups.alarm": "",
    "ups.mode": "line",
    "battery.voltage": 26.9,
    "battery.charge": 100.0,
    "battery.runtime": 5400.0,
    "battery.packs": 1.0,
    "input.bypass.voltage": 231.0,
    "input.bypass.frequency": 50.0,
    "bus_voltage": 380.0,
    "battery.current.charge": 2.0,
    "battery.current.discharge": 0.0,
    "mppt.1.voltage": 210.5,
    "mppt.1.current": 3.0,
}
_MODES = {"power_on": "P", "standby": "S", "bypass": "Y", "line": "L", "battery": "B", "battery_test": "T", "fault": "F", "eco": "E", "converter": "C"}


def nominal_of(volts: Decimal) -> Decimal:
    """The rated voltage that a battery of so many volts has here."""
    return Decimal(48) if volts > 36 else Decimal(24)


class Pen:
    """Writes an answer field by field and keeps what it says."""

    def __init__(self, values: Mapping[str, Physical], dashes: frozenset[str]) -> None:
        self.values = {**DEFAULTS, **values}
        self.alarm = any(word in str(self.values["ups.alarm"]) for word in ("fault", "failed"))
        self.says: dict[str, Says] = {}
        self._dashes = dashes

    def number(self, name: str, form: str, point: str = "", factor: float = 1.0) -> str:
        """`form` as `05.1f`; `factor`: one unit on the line is worth so much."""
        text = format(max(float(self.values[point or name]), 0.0) / factor, form)
        if (point or name) in self._dashes:
            self.says[name] = None
            return "".join("." if character == "." else "-" for character in text)
        self.says[name] = Decimal(text) * Decimal(str(factor))
        return text

    def text(self, name: str, value: str) -> None:
        self.says[name] = value

    @property
    def status(self) -> set[str]:
        return set(str(self.values["ups.status"]).split())


def _bits8(pen: Pen) -> str:
    """b7 first; what it shows is written down as NUT names it."""
    status, alarm = pen.status, pen.alarm
    regulated = bool(status & {"BYPASS", "TRIM", "BOOST"})
    on = ("OB" in status, "LB" in status, regulated, alarm, True, "CAL" in status, "FSD" in status, False)
    order = ("OL", "OB", "LB", "TRIM", "BOOST", "BYPASS", "CAL", "FSD")
    pen.text("ups.status", " ".join(word for word in order if word in status))
    pen.text("ups.alarm", "ups_failed" if alarm else "")
    pen.text("ups.type", "offline/line-interactive")
    pen.text("ups.beeper.status", "disabled")
    return "".join("01"[bit] for bit in on)


def _volts_of_battery(pen: Pen) -> str:
    if pen.values.get("quirk.per_cell"):
        nominal_v = nominal_of(Decimal(str(pen.values["battery.voltage"])))
        pen.says["battery.voltage.nominal"] = nominal_v
        pen.values["battery.voltage"] = float(pen.values["battery.voltage"]) * 2 / float(nominal_v)
        return pen.number("battery.voltage", "4.2f")
    return pen.number("battery.voltage", "04.1f")


def _status(frequency: str) -> Callable[[Pen], str]:
    def write(pen: Pen) -> str:
        volts = " ".join(pen.number(name, "05.1f") for name in ("input.voltage", "input.voltage.fault", "output.voltage"))
        rest = f"{pen.number('ups.load', '03.0f')} {pen.number(frequency, '04.1f')} {_volts_of_battery(pen)} {pen.number('ups.temperature', '04.1f')}"
        return f"({volts} {rest} {_bits8(pen)}"

    return write


def _qgs(pen: Pen) -> str:
    status, alarm = pen.status, pen.alarm
    volts, hertz = "05.1f", "04.1f"
    supply = f"{pen.number('input.voltage', volts)} {pen.number('input.frequency', hertz)} {pen.number('output.voltage', volts)}"
    load = f"{pen.number('output.frequency', hertz)} {pen.number('output.current', volts)} {pen.number('ups.load', '03.0f')}"
    regulated = bool(status & {"BYPASS", "TRIM", "BOOST"})
    bits = ("OB" in status, "LB" in status, regulated, alarm, False, "CAL" in status, "FSD" in status, True, False, False)
    _bits8(pen)
    pen.text("ups.type", "online")
    pen.text("ups.alarm", "ups_fault" if alarm else "")
    return (
        f"({supply} {load} 369.1 ---.- {pen.number('battery.voltage', volts)} ---.- {pen.number('ups.temperature', volts)} 10{''.join('01'[b] for b in bits)}"
    )


def _mode(pen: Pen) -> str:
    mode = str(pen.values["ups.mode"])
    pen.text("mode", mode)
    return f"({_MODES[mode]}"


def _battery(pen: Pen) -> str:
    runtime = pen.number("battery.runtime", "03.0f", factor=60.0)
    return f"({pen.number('battery.voltage', '05.1f')} 02 {pen.number('battery.packs', '02.0f')} {pen.number('battery.charge', '03.0f')} {runtime}"


def _no_warnings(bits: int) -> Callable[[Pen], str]:
    def write(pen: Pen) -> str:
        pen.text("ups.alarm", "")
        return "(" + bits * "0"

    return write


def _information(pen: Pen) -> str:
    first = f"{pen.number('battery.charge', '03.0f')} {pen.number('battery.runtime', '05.0f')} {pen.number('input.frequency', '04.1f')}"
    return f"({first} {pen.number('output.current', '05.1f')} 177 290 0 0000010000112000"


def _qpigs(pen: Pen) -> str:
    volts, hertz, whole = "05.1f", "04.1f", "04.0f"
    parts = [
        *(pen.number(name, form) for name, form in (("input.voltage", volts), ("input.frequency", hertz), ("output.voltage", volts))),
        *(pen.number(name, form) for name, form in (("output.frequency", hertz), ("output.power", whole), ("output.realpower", whole))),
        pen.number("ups.load", "03.0f"),
        pen.number("bus.voltage", "03.0f", "bus_voltage"),
        pen.number("battery.voltage", "05.2f"),
        pen.number("battery.current.charge", "03.0f"),
        pen.number("battery.charge", "03.0f"),
        pen.number("ups.temperature", whole),
        pen.number("pv1.current", whole, "mppt.1.current"),
        pen.number("pv1.voltage", volts, "mppt.1.voltage"),
        "00.00",
        pen.number("battery.current.discharge", "05.0f"),
    ]
    return f"({' '.join(parts)} 00010101 00 00 00000 110"


def _phases(pen: Pen, name: str, form: str, whole: str) -> str:
    """Three of them; what the station does not tell apart is the same in each."""
    for number in (1, 2, 3):
        pen.values.setdefault(name.format(number), pen.values[whole])
    return " ".join(pen.number(name.format(number), form) for number in (1, 2, 3))


def _q6(pen: Pen) -> str:
    pen.values.setdefault("battery.voltage.negative", 0.0)
    inputs = f"{_phases(pen, 'input.L{}-N.voltage', '05.1f', 'input.voltage')} {pen.number('input.frequency', '04.1f')}"
    outputs = f"{_phases(pen, 'output.L{}-N.voltage', '05.1f', 'output.voltage')} {pen.number('output.frequency', '04.1f')}"
    load = _phases(pen, "output.L{}.load", "03.0f", "ups.load")
    battery = f"{pen.number('battery.voltage', '05.1f')} {pen.number('battery.voltage.negative', '05.1f')} {pen.number('ups.temperature', '04.1f')}"
    left = f"{pen.number('battery.runtime', '05.0f')} {pen.number('battery.charge', '03.0f')}"
    return f"({inputs} {outputs} {load} {battery} {left} 32 00000000 00000000 11"


def _q2(pen: Pen) -> str:
    inputs = f"{_phases(pen, 'input.L{}-N.voltage', '05.1f', 'input.voltage')} {pen.number('input.voltage.fault', '05.1f')}"
    outputs = f"{_phases(pen, 'output.L{}-N.voltage', '05.1f', 'output.voltage')} {_phases(pen, 'output.L{}.load', '03.0f', 'ups.load')}"
    battery = f"{pen.number('input.frequency', '04.1f')} {pen.number('battery.voltage', '05.1f')} {pen.number('ups.temperature', '04.1f')}"
    left = f"{pen.number('battery.runtime', '06.2f', factor=60.0)} {pen.number('battery.charge', '03.0f')}"
    return f"({inputs} {outputs} {battery} {_bits8(pen)} {left} 02 00 00 00 00 00000000 11"


def _wa(pen: Pen) -> str:
    powers = _phases(pen, "output.L{}.realpower", "05.1f", "output.realpower").split()
    kilo = " ".join(_kilowatts(pen, f"output.L{number}.realpower") for number, _ in enumerate(powers, 1))
    pen.values["ups.realpower"], pen.values["ups.power"] = pen.values["output.realpower"], pen.values["output.power"]
    whole = f"{_kilowatts(pen, 'ups.realpower')} {_kilowatts(pen, 'ups.power')}"
    return f"({kilo} 000.2 000.2 000.2 {whole} {_phases(pen, 'output.L{}.current', '05.1f', 'output.current')} {pen.number('ups.load', '03.0f')} 00000000"


def _kilowatts(pen: Pen, name: str) -> str:
    return pen.number(name, "05.1f", factor=1000.0)


def _bypass(pen: Pen) -> str:
    return f"({pen.number('input.bypass.voltage', '05.1f')} 000.0 000.0 {pen.number('input.bypass.frequency', '04.1f')}"


def _raw_status(pen: Pen) -> str:
    """The T protocol: a rating byte behind the status; 24 or 48 V, 50 Hz, 230 V."""
    fields = []
    for name in ("input.voltage", "output.voltage"):
        fields += [int(Decimal(pen.number(name, ".1f")) * 256 + 6).to_bytes(2, "big"), bytes((51,))]
    load, hertz = (Decimal(pen.number(name, form)) for name, form in (("ups.load", ".0f"), ("output.frequency", ".1f")))
    volts = Decimal(str(pen.values["battery.voltage"]))
    ratio, rating = (204, 0b01100011) if nominal_of(volts) > 24 else (102, 0b00100011)
    count = round(volts * 510 / ratio)
    pen.says["battery.voltage"] = Decimal(count * ratio) / 510
    counts = [int(load).to_bytes(1, "big"), (1000).to_bytes(2, "big"), int(hertz * 1000).to_bytes(3, "big")]
    fields += [*counts, bytes((count,)), bytes((ratio,)), bytes((int(_bits8(pen), 2),)), bytes((rating,))]
    return "#" + " ".join("".join(_ESCAPES.get(byte, chr(byte)) for byte in field) for field in fields)


_ESCAPES = {0x0D: "(\0", 0x11: "(\1", 0x13: "(\2", 0x0A: "(\3", 0x20: "(\4"}


def _fixed(text: str) -> Callable[[Pen], str]:
    return lambda _: text


WRITERS: dict[str, Callable[[Pen], str]] = {
    "Q1": _status("input.frequency"),
    "F": lambda pen: f"#230.0 004 {nominal_of(Decimal(str(pen.values['battery.voltage']))):05.1f} 50.0",
    "I": _fixed("#edgegw          SIM-1000   V1.00     "),
}
_VOLTRONIC = {
    "QPI": _fixed("(PI01"),
    "QID": _fixed("(12345679012345"),
    "QVFW": _fixed("(VERFW:00322.02"),
    "QMOD": _mode,
}
OWN: dict[str, dict[str, Callable[[Pen], str]]] = {
    "voltronic": {
        **_VOLTRONIC,
        "QGS": _qgs,
        "QBV": _battery,
        "QWS": _no_warnings(64),
        "QMD": _fixed("(#######SIMUPS1K ###1000 80 1/1 230 230 02 12.0"),
        "QRI": _fixed("(230.0 004 024.0 50.0"),
    },
    "voltronic-qs": {"QS": _status("output.frequency"), "QI": _information, "M": _fixed("V")},
    "voltronic-qs-hex": {"QS": _raw_status, "M": _fixed("T")},
    "voltronic-axpert": {**_VOLTRONIC, "QPIGS": _qpigs, "QPIWS": _no_warnings(32), "QPI": _fixed("(PI30")},
    "q6": {"Q6": _q6, "WA": _wa, "BPS": _bypass, "FW?": _fixed("08477-0307")},
    "q2": {"Q2": _q2, "WA": _wa},
}
