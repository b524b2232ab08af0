"""One question, one answer, on real ptys and sockets with peers that do what they should not."""

from __future__ import annotations

import time

import pytest
from bus_rig import Asked, PtyDevice, TcpDevice, honest, run, serial_bus, tcp_answer, tcp_bus
from modbus_rig import answer_frame, exception_frame

from edgegw.bus.line import make_line
from edgegw.bus.port import LineError
from edgegw.bus.statistics import BusStatistics
from edgegw.bus.transaction import Transactions
from edgegw.drivers.modbus_codec import rtu_question, tcp_question
from edgegw.model import Answer, Fault

QUESTION = rtu_question(1, 3, 0, 4)
TCP_QUESTION = tcp_question(1, 3, 0, 4)
DATA = b"\0\0\0\7\0\0\0\7"


def ask(behave, times=1, question=QUESTION, **settings):
    """(results, counters of unit 1, statistics, the device)."""
    results = []
    statistics = BusStatistics()

    async def main(device):
        bus = serial_bus(device.path, **settings)
        line = make_line(bus)
        await line.open()
        try:
            transactions = Transactions(bus, line, statistics)
            results.extend([await transactions.ask(question, bus.answer_timeout_ms, 1) for _ in range(times)])
            await transactions._keep_silence(question, 0, 120)
        finally:
            await line.close()

    with PtyDevice(behave) as device:
        run(main(device))
    return results, statistics.unit(1), statistics, device


def spoiled(frame: bytes) -> bytes:
    return frame[:-1] + bytes((frame[-1] ^ 0x55,))


@pytest.mark.parametrize(
    ("behave", "counter"),
    [
        (honest, None),
        (lambda asked: [(0.0, b"\xff\x00" + asked.answer())], "noise_bytes"),
        (lambda asked: [(0.0, answer_frame(9, 3, b"\0\1") + asked.answer())], "foreign"),
        (lambda asked: [(0.0, answer_frame(1, 3, b"\0\1") + asked.answer())], "late"),
        (lambda asked: [(0.0, QUESTION.payload + asked.answer())], "echo"),
        (lambda asked: [(0.0, asked.answer() + asked.answer())], "doubled"),
        (lambda asked: [(0.0, asked.answer()), (0.02, asked.answer())], "doubled"),
        (lambda asked: [(k / 1000, bytes((byte,))) for k, byte in enumerate(asked.answer())], None),
    ],
    ids=["honest", "noise before", "foreign before", "late before", "echo", "doubled at once", "doubled after", "byte by byte"],
)
def test_an_answer_is_taken_and_what_else_came_is_counted(behave, counter):
    """The true answer comes out, and exactly the one counter moves."""
    results, counters, _, device = ask(behave)
    assert device.asked[0].data() == results[0].data
    names = ("noise_bytes", "foreign", "late", "echo", "doubled", "crc", "short", "timed_out")
    assert [counter] * bool(counter) == [name for name in names if getattr(counters, name)]


@pytest.mark.parametrize(
    ("behave", "kind"),
    [
        (lambda _: [], "timeout"),
        (lambda asked: [(0.0, spoiled(asked.answer()))], "crc"),
        (lambda asked: [(0.0, asked.answer()[:-4])], "short"),
        (lambda asked: [(0.0, answer_frame(2, 3, asked.data()))], "foreign"),
        (lambda asked: [(0.0, answer_frame(1, 4, asked.data()))], "foreign"),
        (lambda asked: [(0.0, answer_frame(1, 3, asked.data() + b"\0\0"))], "foreign"),
        (lambda _: [(0.0, b"\xf8\xff\xfe")], "noise"),
        (lambda _: [(0.001 * k, b"\xf9" * 64) for k in range(20)], "noise"),
        (lambda asked: [(0.0, exception_frame(1, 3, 2))], "exception"),
    ],
    ids=["silence", "crc", "short", "other unit", "other function", "too long", "noise", "babble", "exception"],
)
def test_what_is_no_answer_is_a_fault_of_its_kind(behave, kind):
    """No value, and the fault says what was heard."""
    results, counters, _, _ = ask(behave)
    assert isinstance(results[0], Fault)
    assert (kind, kind != "exception") == (results[0].kind, counters.timed_out == 1)


def test_a_dribbling_device_has_one_deadline():
    """Bytes that trickle in do not make the wait longer."""
    started = time.monotonic()
    results, _, _, _ = ask(lambda asked: [(0.03 * k, bytes((byte,))) for k, byte in enumerate(asked.answer())])
    assert isinstance(results[0], Fault)
    assert time.monotonic() - started < 1.0


@pytest.mark.parametrize(("baudrate", "silence_ms"), [(9600, 35 / 9.6), (115200, 1.75), (1200, 35 / 1.2)])
def test_the_silence_before_a_request_is_kept(baudrate, silence_ms):
    """The device measures at least 3.5 characters, or 1.75 ms above 19200 baud, between its last byte and each request."""
    _, _, _, device = ask(honest, times=8, baudrate=baudrate, answer_timeout_ms=500)
    assert [] == [asked.silence_ns for asked in device.asked[1:] if asked.silence_ns < silence_ms * 1e6]


def test_an_answer_between_two_questions_is_late():
    """What comes after the time-out and before the next question is counted as late and dropped."""
    results, counters, _, _ = ask(lambda asked: [(0.09, asked.answer())])
    assert ("timeout", 1) == (results[0].kind, counters.late)


def test_a_frame_around_an_answer_that_comes_in_pieces_is_seen():
    """A good answer inside a foreign frame that is still coming is not taken."""
    inside = answer_frame(1, 3, DATA)
    around = answer_frame(9, 3, b"\0" + inside + b"\0\0\0")
    results, counters, _, _ = ask(lambda _: [(0.0, around[:20]), (0.005, around[20:])])
    assert ("foreign", 1) == (results[0].kind, counters.foreign)


def test_a_missing_port_and_a_held_port_are_told():
    """Each with its own id and a next step."""

    async def main(device):
        with pytest.raises(LineError) as told:
            await make_line(serial_bus("/dev/no-such-port")).open()
        assert ("E-BUS-PORT", True) == (told.value.message_id, bool(told.value.next_step))
        first = make_line(serial_bus(device.path, parity="E"))
        await first.open()
        with pytest.raises(LineError) as told:
            await make_line(serial_bus(device.path)).open()
        assert ("E-BUS-HELD", True) == (told.value.message_id, device.path in told.value.next_step)
        await first.close()
        again = make_line(serial_bus(device.path, parity="O"))
        await again.open()
        await again.close()

    with PtyDevice() as device:
        run(main(device))
    assert [] == device.asked


# -- Modbus TCP


def ask_tcp(behave, times=1):
    """(results, counters of unit 1)."""
    results = []
    statistics = BusStatistics()

    async def main():
        async with TcpDevice(behave) as server:
            bus = tcp_bus(server.port)
            line = make_line(bus)
            await line.open()
            try:
                transactions = Transactions(bus, line, statistics)
                results.extend([await transactions.ask(TCP_QUESTION, bus.answer_timeout_ms, 1) for _ in range(times)])
            finally:
                await line.close()

    run(main())
    return results, statistics.unit(1)


def frame(number, unit, function, _address, count):
    return tcp_answer(number, unit, function, number.to_bytes(2, "big") * count)


@pytest.mark.parametrize(
    ("behave", "counter"),
    [
        (lambda *asked: [(0, frame(*asked))], None),
        (lambda *asked: [(0, frame(asked[0] - 1, *asked[1:])), (0, frame(*asked))], "late"),
        (lambda *asked: [(0, frame(asked[0], 9, *asked[2:]) + frame(*asked))], "foreign"),
        (lambda *asked: [(0.002, bytes((byte,))) for byte in frame(*asked)], None),
    ],
    ids=["honest", "older transaction first", "other unit first", "byte by byte"],
)
def test_tcp_answers_are_told_apart_by_their_transaction(behave, counter):
    """The answer of this transaction comes out, others are counted."""
    results, counters = ask_tcp(behave, times=3)
    assert [number.to_bytes(2, "big") * 4 for number in (1, 2, 3)] == [result.data for result in results]
    assert [counter] * bool(counter) == [name for name in ("late", "foreign", "timed_out") if getattr(counters, name)]


def test_a_late_tcp_answer_is_never_the_next_ones():
    """An answer after its time-out meets the next, identical question and is not taken."""

    def behave(number, *asked):
        return [(0.2, frame(number, *asked))] if number == 1 else [(0, frame(number, *asked))]

    results, counters = ask_tcp(behave, times=3)
    assert ["timeout", b"\0\2" * 4, b"\0\3" * 4] == [result.data if isinstance(result, Answer) else result.kind for result in results]
    assert 1 == counters.late


@pytest.mark.parametrize(
    "behave",
    [
        lambda *_: [(0, b"HTTP/1.1 400 Bad Request\r\n")],
        lambda *asked: [(0, frame(asked[0] - 1, *asked[1:]) * 60)],
        lambda *asked: [(0, b"\0\1\0\0\xff\xff" + frame(*asked))],
    ],
    ids=["another protocol", "flood", "absurd length"],
)
def test_a_stream_that_makes_no_sense_is_given_up(behave):
    """The connection is closed at once instead of waiting for sense."""
    results, _ = ask_tcp(behave)
    assert "closed" == results[0].kind


def test_a_refused_connection_is_told():
    """No server: one clear line, no traceback."""

    async def main():
        server = TcpDevice(lambda *_: [])
        await server.listen()
        await server.stop()
        with pytest.raises(LineError) as told:
            await make_line(tcp_bus(server.port)).open()
        assert ("E-BUS-CONNECT", True) == (told.value.message_id, "refuses" in told.value.text)

    run(main())


def test_the_rig_names_each_request():
    """The registers of an answer tell which request they answer."""
    assert b"\0\0\0\7\0\0\0\7" == Asked(7, 0, 0, 1, 3, 0, 4).data()
