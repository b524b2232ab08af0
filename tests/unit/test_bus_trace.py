"""The ring of the last frames: what it keeps, and what the engine tells it of every kind of frame."""

from __future__ import annotations

import pytest
from bus_rig import FAST, ROWS, Polled, PtyDevice, TcpDevice, good, run, running, serial_bus, tcp_answer, tcp_bus
from modbus_rig import answer_frame, exception_frame, plan_of, profile_of

from edgegw.bus.line import make_line
from edgegw.bus.statistics import BusStatistics
from edgegw.bus.task import BusTask
from edgegw.bus.trace import CLOSED, DATA_BYTES_MAX, KEPT_TCP, KEPT_WATCHED, KINDS, LINE_KINDS, NOT_OPENED, OPENED, Trace, kind_heard
from edgegw.bus.transaction import Transactions
from edgegw.drivers.modbus_codec import rtu_question, sealed
from edgegw.model import Unproven

ANSWER = answer_frame(1, 3, b"\x12\x34")
REQUEST = bytes.fromhex("010300000001840a")


def filled(count, kept=KEPT_TCP):
    trace = Trace(kept)
    for number in range(1, count + 1):
        trace.heard(number, "answer", bytes((number % 256,)))
    return trace


def numbers(part):
    return [frame.number for frame in part.frames]


def test_the_ring_keeps_the_last_frames():
    """Older ones go, and who asks for them learns how many he lost."""
    part = filled(100).since(0, 1000)
    assert (list(range(100 - KEPT_TCP + 1, 101)), 100, 100 - KEPT_TCP) == (numbers(part), part.cursor, part.lost)
    assert [bytes((number,)) for number in numbers(part)] == [frame.data for frame in part.frames]


def test_a_cursor_gives_each_frame_once():
    """Asked again and again with the cursor of the answer before, nothing comes twice and nothing is left out."""
    trace, seen, cursor = filled(10), [], 0
    while (part := trace.since(cursor, 3)).frames:
        seen += numbers(part)
        cursor = part.cursor
    assert (list(range(1, 11)), 0) == (seen, part.lost)
    trace.asked(11, 7, b"x")
    assert [11] == numbers(trace.since(cursor, 3))


def test_a_cursor_of_an_earlier_daemon_sees_all_that_is_kept():
    """After a restart the numbers begin anew, and a reader goes on from what there is."""
    part = filled(5).since(1_000_000, 100)
    assert ([1, 2, 3, 4, 5], 5, 0) == (numbers(part), part.cursor, part.lost)


def test_the_ring_grows_while_somebody_looks():
    """A watched ring keeps more, and gives the room back afterwards."""
    trace = filled(10)
    trace.watch()
    for number in range(11, KEPT_WATCHED + 1):
        trace.heard(number, "answer", b"")
    assert list(range(1, KEPT_WATCHED + 1)) == numbers(trace.since(0, 10_000))
    trace.rest()
    assert KEPT_TCP == len(trace.since(0, 10_000).frames)


def test_babble_is_cut():
    """However much comes, a frame of the ring stays small."""
    trace = Trace()
    trace.heard(1, "noise", bytes(5000))
    assert DATA_BYTES_MAX == len(trace.since(0, 1).frames[0].data)


def test_what_was_heard_has_one_name():
    """Whole frames come before bytes, a spoiled answer before both, and nothing has no name."""
    names = [Unproven("crc", noise=9, foreign=1), Unproven("foreign", noise=3, late=1), Unproven("foreign", foreign=1, echo=1), Unproven("timeout", echo=1)]
    assert ["crc", "late", "foreign", "echo", "noise", ""] == [*map(kind_heard, names), kind_heard(Unproven("noise", noise=1)), kind_heard(Unproven("timeout"))]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (ANSWER, [("answer", ANSWER)]),
        (exception_frame(1, 3, 2), [("exception", exception_frame(1, 3, 2))]),
        (REQUEST + ANSWER, [("echo", REQUEST), ("answer", ANSWER)]),
        (REQUEST + exception_frame(1, 3, 2), [("echo", REQUEST), ("exception", exception_frame(1, 3, 2))]),
        (b"\xff\xfe" + ANSWER, [("noise", b"\xff\xfe"), ("answer", ANSWER)]),
        (answer_frame(2, 3, b"\x00\x00") + ANSWER, [("foreign", answer_frame(2, 3, b"\x00\x00")), ("answer", ANSWER)]),
        (answer_frame(1, 3, bytes(4)) + ANSWER, [("late", answer_frame(1, 3, bytes(4))), ("answer", ANSWER)]),
        (ANSWER + ANSWER, [("answer", ANSWER), ("doubled", ANSWER)]),
        (ANSWER + b"\x00", [("answer", ANSWER), ("noise", b"\x00")]),
        (ANSWER[:-1] + b"\x00", [("crc", ANSWER[:-1] + b"\x00"), ("timeout", b"")]),
        (ANSWER[:-2], [("short", ANSWER[:-2]), ("timeout", b"")]),
        (b"\xff\xff\xff", [("noise", b"\xff\xff\xff"), ("timeout", b"")]),
        (REQUEST, [("echo", REQUEST), ("timeout", b"")]),
        (b"", [("timeout", b"")]),
    ],
)
def test_the_engine_tells_what_each_frame_was(said, told):
    """Question, answer and all that a disturbed line brings stand in the trace under their kinds, byte for byte."""
    statistics = BusStatistics()

    async def main():
        with PtyDevice(lambda _: [(0.0, said)] if said else []) as device:
            transactions = Transactions(serial_bus(device.path), make_line(serial_bus(device.path)), statistics)
            await transactions.line.open()
            await transactions.ask(rtu_question(1, 3, 0, 1), 60, 1)
            await transactions.line.close()

    run(main())
    frames = statistics.trace.since(0, 100).frames
    assert [("question", REQUEST), *told] == [(frame.kind, frame.data) for frame in frames]
    assert {1} == {frame.unit for frame in frames}
    assert sorted(frame.at_ns for frame in frames) == [frame.at_ns for frame in frames]
    assert {frame.kind for frame in frames} <= set(KINDS)


def test_a_late_answer_is_told_before_the_next_question():
    """What came in the silence belongs to the unit that was asked before."""
    statistics = BusStatistics()
    late = sealed(bytes((1, 3, 2, 0, 7)))

    async def main():
        with PtyDevice(lambda asked: [(0.12, late)] if asked.number == 0 else [(0.0, asked.answer())]) as device:
            transactions = Transactions(serial_bus(device.path), make_line(serial_bus(device.path)), statistics)
            await transactions.line.open()
            await transactions.ask(rtu_question(1, 3, 0, 1), 60, 1)
            await Polled.until(lambda: transactions.line.received)
            await transactions.ask(rtu_question(2, 3, 0, 1), 60, 2)
            await transactions.line.close()

    run(main())
    told = [(frame.kind, frame.unit) for frame in statistics.trace.since(0, 100).frames]
    assert [("question", 1), ("timeout", 1), ("late", 1), ("question", 2), ("answer", 2)] == told


def test_the_line_s_opening_and_closing_stand_among_the_frames():
    """Each once with its reason, in the order in which it happened: opened, closed by the other end, not to be opened, opened again."""
    polled = Polled()

    async def main():
        server = TcpDevice(lambda number, unit, function, _address, count: [(0, tcp_answer(number, unit, function, bytes(2 * count)))])
        await server.listen()
        bus = tcp_bus(server.port)
        task = BusTask(bus, [plan_of(profile_of(ROWS, group=FAST), bus)], polled.clock, polled)
        task.statistics.trace.watch()
        async with running(task):
            await polled.until(lambda: good(polled.readings))
            await server.stop()
            await polled.until(lambda: not task.is_up)
            count = len(good(polled.readings))
            async with server:
                await polled.until(lambda: len(good(polled.readings)) > count)
        frames = task.statistics.trace.since(0, 10_000).frames
        told = [(frame.kind, frame.data.decode()) for frame in frames if frame.kind in LINE_KINDS]
        assert [OPENED, CLOSED, NOT_OPENED, OPENED, CLOSED] == [kind for kind, _ in told]
        reasons = [words for _, words in told]
        assert ("", *[f"127.0.0.1:{bus.port} closed the connection"] * 2) == (reasons[0], reasons[1], reasons[4])
        assert "refuses the connection" in reasons[2]
        assert reasons[3].startswith("after ")
        assert {"question", "answer"} <= {frame.kind for frame in frames}

    run(main())
