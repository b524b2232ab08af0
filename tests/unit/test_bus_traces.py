"""Written traces, replayed: a device says again what it said then, and the bus must hear the same frames and the same values."""

from __future__ import annotations

import asyncio
import json
import time
from decimal import Decimal
from pathlib import Path

import pytest
from bus_rig import PtyDevice, TcpDevice, run
from modbus_rig import Exchange, read_values

from edgegw.bus.line import make_line
from edgegw.bus.statistics import BusStatistics
from edgegw.bus.transaction import Transactions
from edgegw.config.model import Bus
from edgegw.drivers.modbus_codec import rtu_question, tcp_question
from edgegw.drivers.modbus_words import describe
from edgegw.model import Answer

TRACES = sorted((Path(__file__).parents[1] / "golden" / "traces").glob("*.jsonl"))
# How a turn ends.
ENDS = {"answer", "exception", "timeout"}


class Turn:
    """One question of a trace, and all that came until the next."""

    def __init__(self, frame):
        self.at_ns = frame["mono_ns"]
        self.payload = bytes.fromhex(frame["hex"])
        self.unit = frame["unit"]
        self.heard = []
        self.reading = None

    def say(self):
        """Seconds after the question, and the bytes; what arrived together is sent together."""
        together = {}
        for frame in self.heard:
            together[frame["mono_ns"]] = together.get(frame["mono_ns"], b"") + bytes.fromhex(frame["hex"])
        return [((at_ns - self.at_ns) / 1e9, data) for at_ns, data in sorted(together.items()) if data]

    def timeout_ms(self, settings, character_ms):
        """The wait that was given up, where it was: it need not be the configured one."""
        given_up = next((frame["mono_ns"] for frame in self.heard if frame["kind"] == "timeout"), None)
        return settings["answer_timeout_ms"] if given_up is None else (given_up - self.at_ns) / 1e6 - character_ms * len(self.payload)


def turns_of(path):
    """Settings of the bus and the turns: from the first question on, without a last one whose answer was not recorded."""
    events = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    turns = []
    for event in events:
        if event["event"] == "frame" and event["kind"] == "question":
            turns.append(Turn(event))
        elif event["event"] == "frame" and turns:
            turns[-1].heard.append(event)
        elif event["event"] == "reading" and turns:
            turns[-1].reading = event
    if not ENDS & {frame["kind"] for frame in turns[-1].heard}:
        turns.pop()
    return events[0]["settings"], turns


def question_of(turn, *, tcp):
    words = describe(turn.payload, tcp=tcp, question=True)
    return (tcp_question if tcp else rtu_question)(words.unit, words.function, words.address, words.count)


async def replay(bus, settings, turns):
    """The results, the frames as the bus tells them, and what was asked in each turn."""
    tcp = bus.kind == "tcp"
    statistics = BusStatistics()
    transactions = Transactions(bus, make_line(bus), statistics)
    await transactions.line.open()
    statistics.trace.watch()
    character_ms = 0 if tcp else 10_000 / bus.baudrate
    start_ns = time.monotonic_ns() - turns[0].at_ns
    results = []
    for turn in turns:
        await asyncio.sleep(max(0.0, (start_ns + turn.at_ns - time.monotonic_ns()) / 1e9))
        results.append(await transactions.ask(question_of(turn, tcp=tcp), turn.timeout_ms(settings, character_ms), turn.unit))
    late_s = max((after_s for after_s, _ in turns[-1].say()), default=0.0)
    await asyncio.sleep(late_s)
    await transactions.line.close()
    return results, statistics.trace.since(0, 10_000).frames


def told(kind, data, *, tcp):
    """A frame as it is compared: transaction ids are the line's own."""
    return kind, data[2:] if tcp else data


def check_replay(path, settings, turns, results, frames):
    tcp = settings["kind"] == "tcp"
    recorded = []
    for turn in turns:
        recorded += [told("question", turn.payload, tcp=tcp), *(told(frame["kind"], bytes.fromhex(frame["hex"]), tcp=tcp) for frame in turn.heard)]
    assert recorded == [told(frame.kind, frame.data, tcp=tcp) for frame in frames], path
    kinds = [next((frame["kind"] for frame in turn.heard if frame["kind"] in ENDS), "") for turn in turns]
    assert kinds == ["answer" if isinstance(result, Answer) else "exception" if result.exception_code else "timeout" for result in results]
    for turn, result in zip(turns, results, strict=True):
        if isinstance(result, Answer):
            assert sent(turn.reading).items() <= shown(turn, result.data, tcp=tcp).items()  # A profile may have got more points since.


def sent(reading):
    """The values that the device wrote down when it sent the answer."""
    return {point: value if isinstance(value, str | None) else Decimal(value).scaleb(-decimals) for point, (value, decimals) in reading["values"].items()}


def shown(turn, data, *, tcp):
    request = turn.payload.hex()
    exchange = Exchange(transport="tcp" if tcp else "rtu", kind="", source="", request=request, reply="", values={})
    return read_values(turn.reading["profile"], exchange, data)


@pytest.mark.parametrize("path", [path for path in TRACES if not path.stem.startswith("tcp")], ids=lambda path: path.stem)
def test_a_serial_trace_gives_the_same_frames_and_values_again(path):
    """Noise, broken, late and refusing answers of a recorded line are told and decoded as they were then."""
    settings, turns = turns_of(path)
    with PtyDevice(lambda asked: turns[asked.number].say()) as device:
        bus = Bus(name="replay", path=device.path, **settings)
        results, frames = run_all(replay(bus, settings, turns))
        assert [turn.payload[:6] for turn in turns] == [
            bytes((asked.unit, asked.function)) + asked.address.to_bytes(2, "big") + asked.count.to_bytes(2, "big") for asked in device.asked
        ]
    check_replay(path, settings, turns, results, frames)


@pytest.mark.parametrize("path", [path for path in TRACES if path.stem.startswith("tcp")], ids=lambda path: path.stem)
def test_a_tcp_trace_gives_the_same_frames_and_values_again(path):
    """Good, refusing and late answers of a recorded Modbus TCP server are told and decoded as they were then."""
    settings, turns = turns_of(path)
    left = iter(turns)

    def behave(number, *_):
        turn = next(left)
        shift = number - int.from_bytes(turn.payload[:2], "big")
        return [(after_s, (int.from_bytes(data[:2], "big") + shift).to_bytes(2, "big") + data[2:]) for after_s, data in turn.say()]

    async def main():
        async with TcpDevice(behave) as device:
            return await replay(Bus(name="replay", host="127.0.0.1", port=device.port, **settings), settings, turns)

    check_replay(path, settings, turns, *run_all(main()))


def test_the_traces_hold_every_kind_of_answer():
    """The recorded lines show what a line can show: good, refused, broken, late and missing answers, and noise."""
    kinds = {frame["kind"] for path in TRACES for turn in turns_of(path)[1] for frame in turn.heard}
    assert {"answer", "exception", "timeout", "crc", "noise", "late"} <= kinds


def run_all(main):
    found = []

    async def keep():
        found.append(await main)

    run(keep())
    return found[0]


def test_what_happened_to_the_line_is_no_frame_of_a_replay(tmp_path):
    """Opened and closed stand in a written trace for people; the device's part is the same with and without them."""
    path = next(path for path in TRACES if path.stem == "clean")
    start, *events = path.read_text(encoding="utf-8").splitlines()
    line = '{"event":"line","number":0,"mono_ns":1,"direction":"line","kind":"closed","text":"why"}'
    (tmp_path / "with.jsonl").write_text("\n".join([start, line, *(part for event in events for part in (event, line))]), encoding="utf-8")
    _, without = turns_of(path)
    _, found = turns_of(tmp_path / "with.jsonl")
    assert len(without) == len(found) > 0
    assert [(turn.payload, turn.heard) for turn in without] == [(turn.payload, turn.heard) for turn in found]
