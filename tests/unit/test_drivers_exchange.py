"""One request and its answer with a profile: what it says, and why it is refused."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modbus_rig import GOLDEN, exchanges, profile_of

from edgegw.drivers.catalogue import load_profile
from edgegw.drivers.exchange import explain, uncovered
from edgegw.drivers.modbus_codec import sealed

SENSOR = load_profile("xy-md02")
REQUEST = bytes.fromhex("010400010002200b")
ANSWER = bytes.fromhex("01040401310222 2ace")
TCP_REQUEST = bytes.fromhex("000700000006010400010002")
TCP_ANSWER = bytes.fromhex("00070000000701040401310222")


def values(exchange):
    return {shown.point.name: shown.value for shown in exchange.values}


@pytest.mark.parametrize(("name", "golden"), exchanges())
def test_a_golden_exchange_is_valid(name, golden):
    """Every golden exchange is explained with all of its points."""
    found = explain(load_profile(name), bytes.fromhex(golden.request), bytes.fromhex(golden.reply), tcp=golden.transport == "tcp")
    assert found.reason is None
    assert set(golden.values) == set(values(found))


def test_a_part_of_the_points_is_read():
    """A request for one register gives one point; registers beside the points are counted."""
    one = explain(SENSOR, bytes.fromhex("010400020001900a"), bytes.fromhex("01040202223849"), tcp=False)
    assert {"humidity": 546} == values(one)
    more = explain(SENSOR, sealed(bytes.fromhex("010400000004")), sealed(bytes.fromhex("0104080000013102220007")), tcp=False)
    assert ({"temperature": 305, "humidity": 546}, [(0, b"\0\0"), (3, b"\0\x07")]) == (values(more), uncovered(more))


@pytest.mark.parametrize(
    ("reply", "word"),
    [
        (ANSWER[:-1] + b"\0", "crc"),
        (b"", "short"),
        (ANSWER[:6], "cut"),
        (sealed(b"\x02" + ANSWER[1:-2]), "unit"),
        (sealed(b"\x01\x03" + ANSWER[2:-2]), "function"),
        (sealed(b"\x01\x04\x02\x01\x31"), "bytes"),
        (sealed(b"\x01\x84\x02"), "exception"),
        (sealed(b"\x01\x84"), "form"),
    ],
)
def test_an_answer_that_does_not_fit_is_refused(reply, word):
    """Each way in which an RTU answer can be wrong has its own reason, and none has values."""
    found = explain(SENSOR, REQUEST, reply, tcp=False)
    assert (word, ()) == (found.reason.word, found.values)


@pytest.mark.parametrize(
    ("reply", "word"),
    [
        (b"\0\x08" + TCP_ANSWER[2:], "transaction_"),
        (TCP_ANSWER[:2] + b"\0\1" + TCP_ANSWER[4:], "protocol"),
        (TCP_ANSWER + b"\0", "length"),
        (TCP_ANSWER[:6] + b"\x02" + TCP_ANSWER[7:], "unit"),
        (bytes.fromhex("000700000003018402"), "exception"),
        (bytes.fromhex("00070000000501040201 31"), "bytes"),
        (TCP_ANSWER[:4], "short"),
    ],
)
def test_a_tcp_answer_that_does_not_fit_is_refused(reply, word):
    """The header is part of the proof: transaction, protocol and length must be those of the question."""
    found = explain(SENSOR, TCP_REQUEST, reply, tcp=True)
    assert (word, ()) == (found.reason.word, found.values)
    assert explain(SENSOR, TCP_REQUEST, TCP_ANSWER, tcp=True).reason is None


@pytest.mark.parametrize(
    ("request_bytes", "word"),
    [
        (b"\x01\x04", "request_short"),
        (REQUEST[:-1] + b"\0", "request_crc"),
        (sealed(bytes.fromhex("010400010000")), "request_form"),
        (sealed(bytes.fromhex("010400010080")), "request_form"),
        (sealed(bytes.fromhex("0104ffff0002")), "request_form"),
        (sealed(bytes.fromhex("012b0e0100ff")), "request_function"),
    ],
)
def test_a_request_that_asks_for_nothing_is_refused(request_bytes, word):
    """What is no request has no answer."""
    found = explain(SENSOR, request_bytes, ANSWER, tcp=False)
    assert (None, word) == (found.asked, found.reason.word)


def test_a_write_is_accepted_when_it_is_repeated():
    """The echo of a switched coil says where the relay is; another echo is refused."""
    relays, write = load_profile("waveshare.relay8"), bytes.fromhex("01050000ff008c3a")
    found = explain(relays, write, write, tcp=False)
    assert (True, {"relay.1": 1}) == (found.echo, values(found))
    other = explain(relays, write, bytes.fromhex("010500000000cdca"), tcp=False)
    assert ("repeats", False) == (other.reason.word, other.echo)


def test_an_answer_is_found_behind_noise_and_echo():
    """On RTU the answer counts wherever it stands, as on the line."""
    assert {"temperature": 305, "humidity": 546} == values(explain(SENSOR, REQUEST, b"\xff\xfe" + REQUEST + ANSWER + ANSWER[:3], tcp=False))


def test_a_second_place_of_a_quantity_is_read_where_it_alone_is_there():
    """`[[also]]` is understood in a frame; beside the place that is polled it is left out."""
    profile = load_profile("sungrow")
    hybrid = explain(profile, bytes.fromhex("000200000006010432ca0002"), bytes.fromhex("000200000007010404110f0000"), tcp=True)
    assert ("energy.yield", 4367) == (hybrid.values[0].point.name, hybrid.values[0].value * 10 // 10 ** hybrid.values[0].point.decimals)
    assert 1 == len(hybrid.values)


@given(st.binary(max_size=40), st.booleans())
def test_any_bytes_are_explained_without_an_error(received, tcp):
    """Nothing that comes from a line raises."""
    found = explain(SENSOR, TCP_REQUEST if tcp else REQUEST, received, tcp=tcp)
    assert (found.reason is None) == bool(found.values)
    assert explain(profile_of("frequency, address = 0"), received, received, tcp=tcp).asked is None or len(received) >= 8


@pytest.mark.parametrize(
    ("asked", "answer", "expected"),
    [
        ("01 05 0001 FF00", "01 05 0001 FF00", (True, {})),
        ("01 06 0001 0102", "01 06 0001 0102", (True, {})),
        ("01 0F 0000 0009 02 FF01", "01 0F 0000 0009", (True, {})),
        ("01 10 0101 0002 04 00010002", "01 10 0101 0002", (True, {})),
        ("01 16 0101 FFF0 0001", "01 16 0101 FFF0 0001", (True, {})),
        ("01 17 2000 0002 0101 0001 02 0005", "01 17 04 0902 0901", (False, {"line_voltage.ab": None})),
    ],
)
def test_writes_are_explained_though_they_are_never_sent(asked, answer, expected):
    """Each function that writes: accepted when it is repeated; one that reads as well brings registers."""
    meter = load_profile("chint.dtsu666")
    found = explain(meter, sealed(bytes.fromhex(asked)), sealed(bytes.fromhex(answer)), tcp=False)
    assert (None, expected[0], set(expected[1])) == (found.reason, found.echo, set(values(found)))


@pytest.mark.parametrize(
    ("asked", "answer", "word"),
    [
        ("01 0F 0000 0009 03 FF0101", "01 0F 0000 0009", "request_form"),
        ("01 10 0101 0002 02 0001", "01 10 0101 0002", "request_form"),
        ("01 06 0001 01", "01 06 0001 01", "request_short"),
        ("01 06 0001 0102 03", "01 06 0001 0102 03", "request_form"),
        ("01 17 2000 0002 0101 0001 04 0005", "01 17 04 0902 0901", "request_form"),
        ("01 17 2000 0002 0101 0001 02 0005", "01 17 02 0902", "bytes"),
        ("01 17 2000 0002 0101 0001 02 0005", "01 97 02", "exception"),
        ("01 16 0101 FFF0 0001", "01 16 0101 FFF0 0000", "repeats"),
        ("01 2B 0E 01 00 00", "01 2B 0E 01 00 00", "request_function"),
        ("01 11 00 00 00 00", "01 11 00 00 00 00", "request_function"),
    ],
)
def test_a_write_that_says_two_things_is_refused(asked, answer, word):
    """A count that does not fit the bytes, an answer that repeats something else, and functions that are neither."""
    found = explain(SENSOR, sealed(bytes.fromhex(asked)), sealed(bytes.fromhex(answer)), tcp=False)
    assert (word, ()) == (found.reason.word, found.values)


def test_the_own_frame_is_found_among_others():
    """A capture of a TCP connection holds a late answer, the answer, and the beginning of the next."""
    late = bytes.fromhex("000600000005010402 0131")
    found = explain(SENSOR, TCP_REQUEST, late + TCP_ANSWER + b"\0\x08\0\0", tcp=True)
    assert (None, {"temperature": 305, "humidity": 546}) == (found.reason, values(found))
    assert "transaction_" == explain(SENSOR, TCP_REQUEST, late, tcp=True).reason.word
    assert "length" == explain(SENSOR, TCP_REQUEST, TCP_ANSWER[:-1], tcp=True).reason.word


EXPLAINED = tomllib.loads((GOLDEN.parent / "explained" / "modbus.toml").read_text(encoding="utf-8"))["exchange"]


@pytest.mark.parametrize("captured", EXPLAINED, ids=[f"{one['profile']}-{number}" for number, one in enumerate(EXPLAINED)])
def test_what_brings_no_value_is_explained(captured):
    """Writes, refusals and registers that no profile polls, as other programs exchanged them with devices."""
    request, reply = (bytes.fromhex(captured[key]) for key in ("request", "reply"))
    found = explain(load_profile(captured["profile"]), request, reply, tcp=captured["transport"] == "tcp")
    assert (captured["reason"], captured["echo"]) == (found.reason.word if found.reason else "", found.echo)
