"""Written traces, replayed: a device says again what it said then, and the bus must hear the same frames and the same values."""

from __future__ import annotations

import asyncio
import json
import os
import time
import tty
from decimal import Decimal
from pathlib import Path

import pytest
from bus_rig import PtyDevice, TcpDevice, run
from modbus_rig import Exchange, read_values

from edgegw.bus.line import make_line
from edgegw.bus.statistics import BusStatistics
from edgegw.bus.transaction import Transactions
from edgegw.cli.bus_frames import decode, sentence
from edgegw.cli.bus_monitor import Shown
from edgegw.cli.cells import cells
from edgegw.cli.settings import Settings
from edgegw.config.model import Bus, Device
from edgegw.drivers.catalogue import load_profile
from edgegw.drivers.modbus_codec import rtu_question, tcp_question
from edgegw.drivers.modbus_words import describe
from edgegw.drivers.plan import line_facts
from edgegw.drivers.planning import plan_device
from edgegw.model import Answer

TRACES = sorted((Path(__file__).parents[1] / "golden" / "traces").glob("*.jsonl"))
# How a turn ends.
ENDS = {"answer", "exception", "timeout"}
# On these lines Modbus is one protocol among others: what is asked is found among the questions of the profiles.
OTHERS = {"dlt645", "dlt645-disturbed", "ups"}


class Turn:
    """One question of a trace, and all that came until the next."""

    def __init__(self, frame):
        self.at_ns = frame["mono_ns"]
        self.payload = bytes.fromhex(frame["hex"])
        self.unit = frame["unit"]
        self.address = frame.get("address", "")
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


class Played:
    """The other end of a pty: when the question of a turn has come it says what was said then, when it was said then."""

    def __init__(self, turns):
        self._turns = turns
        self._received = b""
        self.heard = []
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)

    def __enter__(self):
        asyncio.get_running_loop().add_reader(self._master, self._read)
        return self

    def __exit__(self, *_):
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)
        os.close(self._slave)

    def _read(self):
        self._received += os.read(self._master, 512)
        turn = self._turns[len(self.heard)]
        if len(self._received) >= len(turn.payload):
            self.heard.append(self._received)
            self._received = b""
            for after_s, data in turn.say():
                asyncio.get_running_loop().call_later(after_s, os.write, self._master, data)


def sources_of(bus, turns):
    """Payload to the source that asks it, of every device on the line: their profiles stand in the trace."""
    found = {}
    for unit, address, profile in {(turn.unit, turn.address, turn.reading["profile"]) for turn in turns if turn.reading}:
        device = Device(code="D", bus=bus.name, unit=0 if address else unit, address=address, profile=profile)
        for planned in plan_device(device, load_profile(profile), line_facts(bus), 1).sources:
            found[planned.questions[0].payload] = planned
    return found


def question_of(turn, *, tcp):
    words = describe(turn.payload, tcp=tcp, question=True)
    return (tcp_question if tcp else rtu_question)(words.unit, words.function, words.address, words.count)


async def replay(bus, settings, turns, questions=None):
    """The results, and the frames as the bus tells them. `questions`: of each turn, where they are not Modbus."""
    tcp = bus.kind == "tcp"
    questions = questions or [question_of(turn, tcp=tcp) for turn in turns]
    statistics = BusStatistics()
    transactions = Transactions(bus, make_line(bus), statistics)
    await transactions.line.open()
    statistics.trace.watch()
    character_ms = 0 if tcp else 10_000 / bus.baudrate
    start_ns = time.monotonic_ns() - turns[0].at_ns
    results = []
    for turn, question in zip(turns, questions, strict=True):
        await asyncio.sleep(max(0.0, (start_ns + turn.at_ns - time.monotonic_ns()) / 1e9))
        results.append(await transactions.ask(question, turn.timeout_ms(settings, character_ms), turn.unit))
    late_s = max((after_s for after_s, _ in turns[-1].say()), default=0.0)
    await asyncio.sleep(late_s)
    await transactions.line.close()
    return results, statistics.trace.since(0, 10_000).frames


def told(kind, data, *, tcp):
    """A frame as it is compared: transaction ids are the line's own."""
    return kind, data[2:] if tcp else data


def check_frames(path, settings, turns, results, frames):
    tcp = settings["kind"] == "tcp"
    recorded = []
    for turn in turns:
        recorded += [told("question", turn.payload, tcp=tcp), *(told(frame["kind"], bytes.fromhex(frame["hex"]), tcp=tcp) for frame in turn.heard)]
    assert recorded == [told(frame.kind, frame.data, tcp=tcp) for frame in frames], path
    kinds = [next((frame["kind"] for frame in turn.heard if frame["kind"] in ENDS), "") for turn in turns]
    assert kinds == ["answer" if isinstance(result, Answer) else "exception" if result.exception_code else "timeout" for result in results]


def check_replay(path, settings, turns, results, frames):
    check_frames(path, settings, turns, results, frames)
    tcp = settings["kind"] == "tcp"
    for turn, result in zip(turns, results, strict=True):
        if isinstance(result, Answer) and turn.reading:  # From a station in the field come frames alone.
            assert sent(turn.reading).items() <= shown(turn, result.data, tcp=tcp).items()  # A profile may have got more points since.


def sent(reading):
    """The values that the device wrote down when it sent the answer."""
    return {point: scaled(value, decimals) for point, (value, decimals) in reading["values"].items()}


def shown(turn, data, *, tcp):
    request = turn.payload.hex()
    exchange = Exchange(transport="tcp" if tcp else "rtu", kind="", source="", request=request, reply="", values={})
    return read_values(turn.reading["profile"], exchange, data)


@pytest.mark.parametrize("path", [path for path in TRACES if path.stem not in OTHERS and not path.stem.startswith("tcp")], ids=lambda path: path.stem)
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


@pytest.mark.parametrize("path", [path for path in TRACES if path.stem in OTHERS], ids=lambda path: path.stem)
def test_a_trace_of_another_protocol_gives_the_same_frames_and_values_again(path):
    """Meters of both editions beside Modbus, and a UPS: each question is one that their profiles ask, and each value the one that the device wrote down."""
    settings, turns = turns_of(path)
    decoded = []

    async def main():
        with Played(turns) as device:
            bus = Bus(name="replay", path=device.path, **settings)
            sources = sources_of(bus, turns)
            asked = [sources[turn.payload] for turn in turns]
            results, frames = await replay(bus, settings, turns, [planned.questions[0] for planned in asked])
        assert [turn.payload for turn in turns] == device.heard
        for turn, planned, result in zip(turns, asked, results, strict=True):
            if isinstance(result, Answer):
                values, _ = planned.decode([result])
                points = {point.name: point for point in planned.source.points}
                told_now = {point.name: scaled(value, point.decimals) for point, value in zip(planned.source.points, values, strict=True)}
                assert {name: value for name, value in sent(turn.reading).items() if name in points}.items() <= told_now.items()
                decoded.append(told_now)
        return results, frames

    check_frames(path, settings, turns, *run_all(main()))
    assert len(decoded) > 3


def scaled(value, decimals):
    return value if isinstance(value, str | None) else Decimal(value).scaleb(-decimals)


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_every_frame_of_a_trace_is_described_as_it_was(path):
    """Questions and answers of all protocols have their words, the same as when they were recorded."""
    start, *events = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    frames = [event for event in events if event["event"] == "frame"]
    assert [frame["words"] for frame in frames] == [json.loads(json.dumps(decode(frame, tcp=start["settings"]["kind"] == "tcp"))) for frame in frames]
    assert [] == [frame for frame in frames if frame["kind"] in {"question", "answer"} and not frame["words"]]
    for language in ("en", "zh"):
        assert all(sentence(frame, language) for frame in frames)


@pytest.mark.parametrize("typed", [{"lang": "en"}, {"lang": "zh"}, {"json": True}, {"plain": True}], ids=["en", "zh", "json", "plain"])
@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_a_trace_is_shown_as_it_would_be_while_it_comes(path, typed, capsys):
    """Every frame and what happened to the line in 80 cells with their bytes, one JSON object a line, or one row of fields."""
    start, *events = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    frames = [event for event in events if event["event"] == "frame"]
    frames.append(
        {
            "number": 9999,
            "time": "2026-11-21T07:00:00.000Z",
            "mono_ns": frames[-1]["mono_ns"],
            "direction": "line",
            "kind": "closed",
            "text": "it went away" * 9,
        }
    )
    settings = Settings()
    settings.typed.update(typed)
    shown = Shown(settings, typed.get("lang", "en"), None, as_hex=True)
    shown.part("g", {"bus": start["bus"], "line": "9600 8E1", "settings": start["settings"], "frames": frames, "lost": 0})
    shown.end()
    lines = capsys.readouterr().out.splitlines()
    if "json" in typed:
        assert [f.get("hex", "") for f in frames] == [event.get("hex", "") for event in map(json.loads, lines[1:-1])]
    elif "plain" in typed:
        assert {7} == {len(line.split("\t")) for line in lines}
        assert len(frames) == len(lines)
    else:
        assert [] == [line for line in lines if cells(line) > 80]
        assert len(frames) == sum(line[22:23] in {">", "<", "|"} for line in lines)


def test_the_traces_hold_every_kind_of_answer():
    """The recorded lines show what a line can show: good, refused, broken, late and missing answers, and noise."""
    turns = [turn for path in TRACES for turn in turns_of(path)[1]]
    assert {"answer", "exception", "timeout", "crc", "noise", "late"} <= {frame["kind"] for turn in turns for frame in turn.heard}
    assert sum(turn.reading is not None for turn in turns) > 100


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
