"""Replies of UPS: read exactly, or refused for the right reason."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import example as given_example
from hypothesis import given, settings
from hypothesis import strategies as st
from megatec_rig import EXCHANGES, IDS

from edgegw.drivers.megatec_battery import cells_of, charge_percent, judge
from edgegw.drivers.megatec_codec import DIALECTS, crc, decode, request
from edgegw.drivers.megatec_dialects import commands, reply_of
from edgegw.drivers.megatec_examples import example, field_names
from edgegw.drivers.megatec_fields import Options, as_json
from edgegw.drivers.megatec_question import question, with_resync

GOOD = "(226.0 195.0 226.0 014 49.0 27.5 30.0 00001000"
QUERIES = [(dialect, command) for dialect in DIALECTS for command in commands(dialect)]


@pytest.mark.parametrize("exchange", EXCHANGES, ids=IDS)
@pytest.mark.parametrize("before", [b"", b"\0\n", b"*\r\xff\x81"], ids=["alone", "behind NUL and LF", "behind noise"])
@pytest.mark.parametrize("behind", [b"", b"\r", b"\r(226.0 1"], ids=["no CR", "CR", "junk behind"])
def test_a_captured_reply_says_what_the_ups_meant(exchange, before, behind):
    """Every exchange, however it was captured."""
    if exchange.body[0] not in b"(#":
        before = before.rstrip(b"\xff\x81")  # Without a start byte nobody can tell where it begins in its line.
    told = decode(exchange.dialect, exchange.command, before + exchange.wire[:-1] + behind)
    assert (None, exchange.values) == (told.reason, as_json(told.values))


@pytest.mark.parametrize("exchange", EXCHANGES, ids=IDS)
def test_a_reply_is_proven_by_its_last_byte_and_not_before(exchange):
    """Byte by byte, an answer is taken when it is whole; one of fixed length without its CR only when the line is silent."""
    asked = question(exchange.dialect, exchange.command)
    early = [(size, parsed) for size in range(len(exchange.wire)) if (parsed := asked.parse(exchange.wire[:size]))]
    assert all(parsed.open and size == len(exchange.wire) - 1 for size, parsed in early)
    whole = asked.parse(exchange.wire)
    assert (len(exchange.wire), False, 0) == (whole.end, whole.open, whole.noise)
    assert exchange.values == as_json(decode(exchange.dialect, exchange.command, whole.data).values)


@pytest.mark.parametrize("exchange", EXCHANGES, ids=IDS)
def test_a_reply_is_found_behind_noise_and_in_front_of_the_next(exchange):
    """What stands before it is counted, what stands behind it is left."""
    asked = question(exchange.dialect, exchange.command)
    parsed = asked.parse(b"\xf0\x81\r" + exchange.wire + b"(22")
    assert (3, 3 + len(exchange.wire)) == (parsed.noise, parsed.end)


@pytest.mark.parametrize(
    ("dialect", "command", "reply", "kind"),
    [
        ("megatec", "Q1", "", "empty_reply"),
        ("megatec", "Q1", "\0\0\r", "empty_reply"),
        ("megatec", "Q1", "(", "short_reply"),
        ("megatec", "Q1", "(226.0 195.0 226.0 014 49", "short_reply"),
        ("megatec", "Q1", GOOD[:-1], "short_reply"),
        ("megatec", "Q1", GOOD + "1", "foreign_reply"),
        ("megatec", "Q1", GOOD[:-1] + "-", "foreign_reply"),
        ("megatec", "Q1", GOOD[1:], "foreign_reply"),
        ("megatec", "Q1", GOOD + " 1", "foreign_reply"),
        ("megatec", "Q1", "#220.0 000 024.0 50.0", "foreign_reply"),
        ("megatec", "Q1", "(ACK", "foreign_reply"),
        ("megatec", "I", "I", "not_supported"),
        ("megatec", "Q1", "(NAK", "not_supported"),
        ("megatec", "F", "NAK\0", "not_supported"),
        ("megatec", "F", "(220.0 000 024.0 50.0", "foreign_reply"),
        ("megatec", "F", "#---.- --- ---.- --.-", "foreign_reply"),
        ("megatec", "I", "#220.0 000 024.0 50.0", "foreign_reply"),
        ("voltronic", "QPI", "(NAK", "not_supported"),
        ("voltronic", "QGS", GOOD, "foreign_reply"),
        ("voltronic", "QMOD", "(PI01", "foreign_reply"),
        ("voltronic", "QRI", "(230.4 000.0 000.0 49.9", "foreign_reply"),
        ("voltronic", "QWS", "(0101", "foreign_reply"),
        ("voltronic", "T", "(ACK", "unknown_command"),
        ("voltronic-qs", "QS", "V", "foreign_reply"),
        ("voltronic-qs-hex", "QS", "N", "not_supported"),
        ("voltronic-qs-hex", "QS", GOOD, "foreign_reply"),
        ("q6", "BPS", "(230.0 004 024.0 50.0", "foreign_reply"),
        ("omron", "PSNR", "NAK     ", "not_supported"),
        # An inverter-charger that is asked in a dialect without check: two bytes stand behind the refusal.
        ("megatec", "Q1", "(NAKss", "not_supported"),
        ("voltronic", "QGS", "(NAKss", "not_supported"),
        ("voltronic-axpert", "QPIGS", "(NAKss", "not_supported"),
        ("voltronic-axpert", "QPIGS", "(NAKst", "short_reply"),
        # One bit of the status word was damaged on the line.
        ("megatec", "Q1", "(204.0 204.0 199.0 000 50.0 13.6 26.0 00\x1f01001", "foreign_reply"),
        ("megatec", "Q1", "(226.0,195.0,226.0,014,49.0,27.5,30.0,00001000", "short_reply"),
        ("megatec", "Q1", "(---.- ---.- ---.- --- --.- --.- --.- --------", "foreign_reply"),
        ("megatec", "Q1", "(226.0 195.0 226.0 014 49.0 27.5 00001000", "short_reply"),
        # Inverters of other protocols: other fields in the same command.
        ("voltronic-axpert", "Q1", "(00000 00000 01 01 00 059 045 053 068 00 00 000 0040 0580 0000 50.00 13", "foreign_reply"),
        (
            "voltronic-axpert",
            "QPIGS",
            "(224.6 000000 49.9 0006.8 232.4 01594 49.9 006.8 029 415.0 415.0 057.9 ---.- 100 00000 00000 ----- 000.0 000.0 ---.- 035.0 D---110001",
            "foreign_reply",
        ),
    ],
)
def test_what_is_no_answer_is_refused_for_its_reason(dialect, command, reply, kind):
    """No values, and the reason is told."""
    told = decode(dialect, command, reply.encode("latin-1"))
    assert (kind, {}, False) == (told.kind, told.values, told.valid)


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("(226.0 195.0 226.0 00A 49.0 27.5 30.0 00001000", "ups.load"),
        ("(226.0 195.0 226.0     49.0 27.5 30.0 00001000", "ups.load"),
        ("(226.0 195.0 226.0 ### 49.0 27.5 30.0 00001000", "ups.load"),
        ("(226.0 195.0 226.0 014 @@.@ 27.5 30.0 00001000", "input.frequency"),
        ("(226.0 195.0 226.0 014 49.0 27.5 --.- 00001000", "ups.temperature"),
        ("(226.0 195.0 226.0 014 49.0 27.5 -5.0 00001000", "ups.temperature"),
        ("(226.0 ---.- 226.0 014 49.0 27.5 30.0 00001000", "input.voltage.fault"),
        ("(226.0 195.0 226.0 014 49.0 27,5 30.0 00001000", "battery.voltage"),
    ],
)
def test_an_unreadable_field_is_none_and_harms_no_other(field, name):
    """It is never 0, and the rest of the reply counts."""
    told = decode("megatec", "Q1", field.encode())
    others = {key: value for key, value in decode("megatec", "Q1", GOOD.encode()).values.items() if key not in (name, "battery.voltage.is_per_cell")}
    assert (True, None) == (told.valid, told.values[name])
    assert others == {key: told.values[key] for key in others}


@pytest.mark.parametrize(
    ("bits", "volts", "status"),
    [
        ("00000000", (230, 230), "OL"),
        ("11100110", (230, 230), "OB LB BYPASS CAL FSD"),
        ("00100000", (230, 218), "OL TRIM"),
        ("00100000", (200, 190), "OL BYPASS"),
        ("00100000", (200, 210), "OL BOOST"),
        ("00100000", (200, 209), "OL BYPASS"),
        ("00100000", (200, 99), "OL"),
        ("00100000", (200, 300), "OL"),
        ("10100000", (0, 230), "OB"),
    ],
)
def test_status_words_stand_in_the_order_of_nut(bits, volts, status):
    """The bypass bit means what the ratio of the voltages says, and nothing where they do not belong together."""
    vin, vout = volts
    assert status == decode("megatec", "Q1", f"({vin:05.1f} 000.0 {vout:05.1f} 014 49.0 27.5 30.0 {bits}".encode()).values["ups.status"]


def test_bits_of_qgs_that_the_device_does_not_tell_are_unknown():
    """PI71 sends dashes for type and bits; the fault bit is an alarm of its own."""
    reply = b"(234.9 50.0 229.8 50.0 000.0 000 369.1 ---.- 026.5 ---.- 018.8 --01-1-0--01"
    values = decode("voltronic", "QGS", reply).values
    names = ("ups.type", "bypass_or_eco_or_avr", "ups.status", "ups.alarm", "ups.beeper.status")
    assert [None, None, "OL LB", ["ups_fault"], None] == [values[name] for name in names]


@pytest.mark.parametrize(
    ("volts", "nominal", "per_cell", "expected"),
    [
        ("22.7", 24, False, (None, "22.7", 37)),
        ("21.2", 24, False, (None, "21.2", 8)),
        ("11.0", 12, False, (None, "11.0", 23)),
        ("21.4", 24, False, (None, "21.4", 12)),
        ("2.28", 72, True, (36, "82.08", 100)),
        ("2.23", 48, True, (24, "53.52", 100)),
        ("2.25", 192, True, (96, "216.00", 100)),
        ("13.7", 24, False, (None, "27.4", 100)),
    ],
)
def test_charge_is_estimated_as_nut_does(volts, nominal, per_cell, expected):
    """Cells, volts of the string and percent, against what NUT printed."""
    cells, total, percent = expected
    assert (cells, Decimal(total), percent) == judge(Decimal(volts), Decimal(nominal), per_cell=per_cell)


def test_a_voltage_that_does_not_fit_its_rating_gives_no_estimate():
    """Neither a rating out of this world nor a battery far below it."""
    assert [None, None, None] == [judge(Decimal(v), Decimal(n), per_cell=c) for v, n, c in ((27, 0, False), ("0.05", 24, False), ("0.5", 24, True))]
    assert (None, 100, 0) == (cells_of(Decimal("13.1")), charge_percent(Decimal(14), Decimal(12)), charge_percent(Decimal(9), Decimal(12)))


def test_a_reply_with_its_rating_carries_the_estimates():
    """They have names of their own, so that nobody takes them for measured."""
    values = decode("megatec", "Q1", b"(228.5 228.5 219.5 030 50.0 2.23 42.1 00000001", Options(nominal_v=Decimal(48))).values
    assert (24, Decimal("53.52"), 100) == (values["battery.cells"], values["battery.voltage.total"], values["battery.charge.estimated"])


def test_an_inverter_charger_is_asked_and_answers_with_its_check():
    """The check of common_voltronic-crc.c: QPIGS B7 A9, QPI BE AC, QMOD 49 C1; a wrong one is refused."""
    assert ["b7a9", "beac", "49c1"] == [crc(text).hex() for text in (b"QPIGS", b"QPI", b"QMOD")]
    assert b"QPI\xbe\xac\r" == request("voltronic-axpert", "qpi")
    assert "PI30" == decode("voltronic-axpert", "QPI\xbe\xac\r", b"(PI30\x9a\x0b\r").values["protocol"]
    asked = question("voltronic-axpert", "QPI")
    assert (None, "crc") == (asked.parse(b"(PI30\x9a\x0c\r"), asked.explain(b"(PI30\x9a\x0c\r").kind)
    assert (None, b"(PI30") == (asked.parse(b"(PI30\r"), asked.parse(b"(PI30\x9a\x0b\r").data)


def test_no_answer_is_proven_for_a_question_of_another_shape():
    """Two replies that can be mistaken for each other have the same `fits`, so that the line keeps them apart."""
    mistaken = []
    for dialect, command in QUERIES:
        body = example(dialect, command).encode("latin-1")
        wire = body + (crc(body) if dialect == "voltronic-axpert" else b"") + b"\r"
        for other in commands(dialect):
            asked = question(dialect, other)
            parsed = asked.parse(wire)
            if parsed is not None and parsed.data is not None and asked.fits != question(dialect, command).fits:
                mistaken.append((dialect, command, other))
    assert [] == mistaken


def test_every_query_has_an_example_that_its_own_reader_takes():
    """The names that a profile may use are the names that answers hold."""
    unread = [(dialect, command) for dialect, command in QUERIES if not decode(dialect, command, example(dialect, command).encode("latin-1")).valid]
    assert ([], True) == (unread, "ups.load" in field_names("voltronic", "QGS"))


def test_a_refusal_is_an_exception_and_an_echo_of_the_line_is_none():
    """The command sent back is a refusal only when nothing follows it."""
    asked = question("megatec", "Q1")
    refused, echoed = asked.parse(b"(NAK\r"), asked.parse(b"Q1\r")
    assert (None, 1, False) == (refused.data, refused.exception_code, refused.open)
    assert (None, 1, True) == (echoed.data, echoed.exception_code, echoed.open)
    answered = asked.parse(b"Q1\r" + GOOD.encode() + b"\r")
    assert (GOOD.encode(), 1) == (answered.data, answered.echo)


def test_a_late_answer_to_another_command_is_stepped_over():
    """The V of an M asked before, then the status (nut issue 3263)."""
    parsed = question("voltronic-qs", "QS").parse(b"V\r(227.5 227.5 226.6 020 50.0 27.0 --.- 00001001\r")
    assert (1, 0, 2 + 47) == (parsed.late, parsed.noise, parsed.end)


@pytest.mark.parametrize(
    ("received", "kind"),
    [(b"", "timeout"), (b"(", "short"), (GOOD.encode()[:20], "short"), (b"#220.0 000 024.0 50.0\r", "foreign"), (b"\xf8\x80\x01\r", "noise")],
)
def test_what_came_in_vain_is_named(received, kind):
    """For the counters, and for the technician's hints."""
    assert kind == question("megatec", "Q1").explain(received).kind


def test_a_question_knows_others_that_clear_the_line():
    """Their replies have another shape, so a late one cannot be theirs."""
    first, *others = with_resync([question("megatec", command) for command in ("Q1", "QS", "F", "I")])
    assert [b"F\r", b"I\r"] == [one.payload for one in first.resync]
    assert all(one.fits != resync.fits for one in (first, *others) for resync in one.resync)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(QUERIES), st.one_of(st.binary(max_size=150), st.text("(#0123456789.- @NAK\r", max_size=130).map(str.encode)))
@given_example(("voltronic-qs-hex", "QS"), b"#(")
def test_any_bytes_are_decoded_or_refused(query, reply):
    """Nothing but a decision comes out of it, and a refusal has no values."""
    told = decode(*query, reply)
    assert (told.valid, bool(told.kind)) in ((True, False), (False, True))
    assert told.valid or told.values == {}


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(QUERIES), st.data())
def test_a_damaged_reply_never_gives_a_value_out_of_nothing(query, data):
    """One byte changed: the reply is refused, or every readable number stands in it."""
    body = bytearray(example(*query).encode("latin-1"))
    body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    asked = question(*query)
    wire = bytes(body) + (crc(bytes(body)) if query[0] == "voltronic-axpert" else b"") + b"\r"
    parsed = asked.parse(wire)
    assert parsed is None or parsed.end <= len(wire)
    if parsed is not None and parsed.data is not None:
        assert reply_of(*query).read(parsed.data.decode("latin-1"), Options()) is not None
    asked.explain(wire)
