"""The siren: a relay module on a real pty, switched through its bus and read back, while the bus goes on polling."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from bus_rig import Asked, Polled, PtyDevice, Say, TcpDevice, tcp_answer

from edgegw.app import plan_buses
from edgegw.bus.task import BusTask, Extras
from edgegw.channel_parts import make_parts, writable_of
from edgegw.config.check import check
from edgegw.config.load import parse
from edgegw.config.model import Config
from edgegw.drivers.modbus_codec import sealed
from edgegw.drivers.permit import Writable
from edgegw.errors import EdgegwError, lookup
from edgegw.model import Alarm, Event
from edgegw.rules.notifiers import siren as siren_module
from edgegw.rules.notifiers.factory import make_channels
from edgegw.rules.notifiers.model import Notice
from edgegw.rules.notifiers.siren import Siren
from tests.unit.channel_rig import NOTICE, outcome, until

UNIT, OTHER = 11, 12
CONFIG = """
[gateway]
operator = "op"
station = "R10"
gateway = "gw1"
[[bus]]
name = "rs485d"
kind = "{kind}"
{line}
baudrate = 115200
answer_timeout_ms = 600
late_answer_guard_ms = 300
[[device]]
code = "RELAY-01"
bus = "rs485d"
unit = 11
profile = "{profile}"
period_s = {{ relays = 0.1 }}
[[device]]
code = "RELAY-02"
bus = "rs485d"
unit = 12
profile = "relay.board8"
period_s = {{ relays = 0.1 }}
[[channel]]
name = "siren"
kind = "siren"
device = "RELAY-01"
point = "relay.2"
timeout_s = 10
on_time_s_max = {on_time_s}
{route}
"""


def alarm(level: str = "critical", **facts: Any) -> Alarm:
    plain = {"alarm_id": "a", "number": 1, "rule": "smoke", "level": level, "device": "DI-01", "point": "input.4", "state": "active"}
    return msgspec.convert(
        {**plain, "began_at_ms": 0, "raised_at_ms": 0, "cleared_at_ms": None, "value": 1, "limit": 1, "unit": "1", "text": "smoke", **facts}, Alarm
    )


class Board:
    """A relay module: coils of each unit, switched by function 5. `behave` may answer a write otherwise, or not at all."""

    def __init__(self) -> None:
        self.coils: dict[tuple[int, int], int] = {}
        self.writes: list[tuple[int, int, int]] = []
        self.behave: Callable[[Asked], bytes | None] = self.obey
        self.deaf = False

    def __call__(self, asked: Asked) -> Say:
        if asked.function != 5:
            return [] if self.deaf else [(0.0, sealed(bytes((asked.unit, 1, (asked.count + 7) // 8)) + self.bits(asked)))]
        self.writes.append((asked.unit, asked.address, asked.count))
        answer = self.behave(asked)
        return [] if answer is None else [(0.0, answer)]

    def bits(self, asked: Asked) -> bytes:
        value = sum(self.coils.get((asked.unit, asked.address + n), 0) << n for n in range(asked.count))
        return value.to_bytes((asked.count + 7) // 8, "little")

    def obey(self, asked: Asked) -> bytes:
        self.coils[asked.unit, asked.address] = int(asked.count != 0)
        return sealed(bytes((asked.unit, 5)) + asked.address.to_bytes(2, "big") + asked.count.to_bytes(2, "big"))

    @property
    def sounds(self) -> bool:
        return bool(self.coils.get((UNIT, 1)))


class Station:
    """A bus with two relay modules, one of which has the siren."""

    def __init__(self, line: str, *, kind: str = "serial", profile: str = "relay.board8", on_time_s: float = 600, route: str = "") -> None:
        loaded = parse(Path("config.toml"), CONFIG.format(kind=kind, line=line, profile=profile, on_time_s=on_time_s, route=route).encode())
        assert loaded.config is not None, loaded.findings
        assert [] == [str(finding) for finding in check(loaded.config, loaded.index) if finding.severity == "error"]
        self.config: Config = loaded.config
        self.polled = Polled()
        self.alarms: list[Alarm] = [alarm()]
        self.events: list[Event] = []
        extras = Extras(writable=writable_of(self.config)["rs485d"])
        self.bus = BusTask(self.config.bus[0], plan_buses(self.config)["rs485d"], self.polled.clock, self.polled, extras)
        parts = make_parts(self.config, self.polled.clock, lambda: [self.bus], self._open_alarms, self.events.append)
        channel = make_channels(self.config, parts)["siren"]
        assert isinstance(channel, Siren)
        self.siren = channel

    def _open_alarms(self) -> Iterable[Alarm]:
        return self.alarms

    @property
    def story(self) -> list[tuple[object, ...]]:
        return [tuple(event.body[key] for key in ("state", "reason", "result")) for event in self.events]

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Until the body ends: the siren is closed first, then the bus."""
        task = asyncio.create_task(self.bus.run())
        try:
            await until(lambda: len(self.polled.readings) > 1)
            yield
        finally:
            await self.siren.close()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def on_board(body: Callable[[Station, Board], Any], board: Board | None = None, **settings: Any) -> tuple[Station, Board]:
    """Runs the body with a station whose line is a real pty."""
    board = board or Board()
    with PtyDevice(board) as device:
        station = Station(f'path = "{device.path}"', **settings)

        async def main() -> None:
            async with asyncio.timeout(100), station.running():
                await body(station, board)

        asyncio.run(main())
    return station, board


def seen(found: Any) -> tuple[str, bool]:
    assert lookup(found.message_id) is not None
    return found.message_id, found.later


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A siren that is done within a second; what it waits for is the same."""
    monkeypatch.setattr(siren_module, "RING_S_MIN", 0.1)
    monkeypatch.setattr(siren_module, "LOOK_S", 0.02)
    monkeypatch.setattr(siren_module, "REPEAT_S", 0.05)
    monkeypatch.setattr(siren_module, "SETTLE_S", 0.05)


def test_it_sounds_until_somebody_acknowledges() -> None:
    """On and read back at the raise, off and read back at the acknowledgement; both are events, polling goes on, nothing else is written."""
    said: list[Any] = []

    async def body(station: Station, board: Board) -> None:
        said.append(await outcome(station.siren.send(NOTICE, "")))
        assert board.sounds
        readings = len(station.polled.readings)
        await until(lambda: len(station.polled.readings) > readings + 10)
        assert board.sounds
        station.alarms = [alarm(acknowledged=True)]
        await until(lambda: not station.siren.may_be_on)
        assert not board.sounds

    station, board = on_board(body)
    assert ["relay.2 of RELAY-01 is on, read back 1"] == said
    assert [("on", NOTICE.notice_id, "done"), ("off", "acknowledged or ended", "done")] == station.story
    assert {("switch", "RELAY-01", "relay.2", "siren")} == {(event.kind, event.device, event.body["point"], event.body["channel"]) for event in station.events}
    assert [(UNIT, 1, 0xFF00), (UNIT, 1, 0)] == board.writes
    assert (0, 0) == (station.bus.statistics.unit(UNIT).withheld, station.bus.statistics.unit(UNIT).timed_out)


@pytest.mark.parametrize("left", [[], [alarm(state="returned")], [alarm("notice")], [alarm(visibility="suppressed")], [alarm(visibility="shelved")]])
def test_it_falls_silent_when_nobody_is_to_be_called_any_more(left: list[Alarm]) -> None:
    """The alarm has ended, is hidden or shelved, or another of a lesser level is open."""

    async def body(station: Station, board: Board) -> None:
        await station.siren.send(NOTICE, "")
        assert board.sounds
        station.alarms = left
        await until(lambda: not station.siren.may_be_on)
        assert not board.sounds

    station, _ = on_board(body)
    assert ("off", "acknowledged or ended", "done") == station.story[-1]


def test_it_falls_silent_after_its_time_and_sounds_for_the_next_alarm() -> None:
    """Nobody came: it is over; another notice begins anew, and two at once are one sound."""

    async def body(station: Station, board: Board) -> None:
        await station.siren.send(NOTICE, "")
        await until(lambda: not station.siren.may_be_on)
        assert not board.sounds
        await asyncio.gather(station.siren.send(NOTICE, ""), station.siren.send(Notice("n-2", "major", "", "", ""), ""))
        assert board.sounds
        await until(lambda: not station.siren.may_be_on)
        assert not board.sounds

    station, _ = on_board(body, on_time_s=2)
    assert [("on", "done"), ("off", "done"), ("on", "done"), ("on", "done"), ("off", "done")] == [(state, result) for state, _, result in station.story]
    assert "its time is over" == station.story[1][1]


def test_a_storm_of_alarms_is_one_order() -> None:
    """While it is known to sound nothing more is asked of the bus; each notice has its evidence all the same, and the time is counted from the last."""
    said: list[Any] = []

    async def body(station: Station, board: Board) -> None:
        said.extend([await outcome(station.siren.send(Notice(f"n-{number}", "critical", "", "", ""), "")) for number in range(50)])
        assert board.sounds
        station.alarms = []
        await until(lambda: not station.siren.may_be_on)
        station.alarms = [alarm()]
        said.append(await outcome(station.siren.send(Notice("n-50", "critical", "", "", ""), "")))
        assert board.sounds

    _, board = on_board(body)
    assert [(UNIT, 1, 0xFF00), (UNIT, 1, 0)] * 2 == board.writes
    assert {True} == {"is on already, read back" in one for one in said[1:50]}
    assert said[0] == said[50] == "relay.2 of RELAY-01 is on, read back 1"


def test_a_test_is_heard_though_no_alarm_is_open() -> None:
    """It sounds for its least time and ends by itself."""

    async def body(station: Station, board: Board) -> None:
        station.alarms = []
        await station.siren.send(Notice("t-1", "test", "", "", ""), "")
        await until(lambda: not station.siren.may_be_on)
        assert not board.sounds

    station, board = on_board(body)
    assert ["on", "off"] == [state for state, _, _ in station.story]
    assert 2 == len(board.writes)


def test_it_is_silenced_when_the_daemon_ends() -> None:
    """Nobody would do it later."""

    async def body(station: Station, board: Board) -> None:
        await station.siren.send(NOTICE, "")
        assert board.sounds

    station, board = on_board(body)
    assert (False, ("off", "the daemon ends", "done")) == (board.sounds, station.story[-1])


def test_one_that_was_left_on_is_settled_at_the_start() -> None:
    """A killed daemon: it goes on while somebody is to be called, and no longer."""
    board = Board()
    board.coils[UNIT, 1] = 1

    async def body(station: Station, board: Board) -> None:
        await station.siren.settle()
        readings = len(station.polled.readings)
        await until(lambda: len(station.polled.readings) > readings + 10)
        assert (True, []) == (board.sounds, board.writes)
        station.alarms = []
        await until(lambda: not station.siren.may_be_on)
        assert not board.sounds

    station, _ = on_board(body, board)
    assert [("off", "acknowledged or ended", "done")] == station.story


def test_one_that_was_left_on_is_settled_when_its_module_answers_at_last() -> None:
    """Behind a module that is silent at the start; waiting for it holds up no order to sound."""
    board = Board()
    board.coils[UNIT, 1] = 1

    async def body(station: Station, board: Board) -> None:
        station.alarms = []
        board.deaf = True
        asked = station.bus.statistics.unit(UNIT).asked
        await station.siren.settle()
        await until(lambda: station.bus.statistics.unit(UNIT).asked > asked + 4)
        assert (True, []) == (board.sounds, board.writes)
        board.deaf = False
        await until(lambda: bool(station.story))

    station, _ = on_board(body, board)
    assert [("off", "acknowledged or ended", "done")] == station.story


def test_one_that_was_left_on_goes_on_for_its_own_levels_alone() -> None:
    """A lesser alarm that waits for nobody does not keep it sounding after a start."""
    board = Board()
    board.coils[UNIT, 1] = 1

    async def body(station: Station, board: Board) -> None:
        await station.siren.settle()
        await until(lambda: station.siren.may_be_on)
        readings = len(station.polled.readings)
        await until(lambda: len(station.polled.readings) > readings + 10)
        assert (True, []) == (board.sounds, board.writes)
        station.alarms = [alarm("notice")]
        await until(lambda: not station.siren.may_be_on)

    station, _ = on_board(body, board, route='[[route]]\nname = "noise"\nlevels = ["critical", "major"]\nchannels = ["siren"]')
    assert [("off", "acknowledged or ended", "done")] == station.story


def test_an_alarm_that_comes_while_it_is_being_silenced_sounds_until_it_is_over_too() -> None:
    """The order to be silent that was under way ends nothing of the order behind it."""
    silencing, go_on = threading.Event(), threading.Event()

    async def body(station: Station, board: Board) -> None:
        def slowly(asked: Asked) -> bytes:
            if not asked.count and not silencing.is_set():
                silencing.set()
                go_on.wait(0.3)
            return board.obey(asked)

        board.behave = slowly
        await station.siren.send(NOTICE, "")
        station.alarms = []
        await until(silencing.is_set)
        station.alarms = [alarm(number=2)]
        await station.siren.send(Notice("n-2", "critical", "", "", ""), "")
        assert (True, True) == (board.sounds, station.siren.may_be_on)
        station.alarms = []
        await until(lambda: not station.siren.may_be_on)

    station, board = on_board(body)
    assert ["on", "off", "on", "off"] == [state for state, _, _ in station.story]
    assert not board.sounds


def test_one_that_is_off_at_the_start_is_left_alone() -> None:
    """It is read, not written."""

    async def body(station: Station, _board: Board) -> None:
        asked = station.bus.statistics.unit(UNIT).asked
        await station.siren.settle()
        await until(lambda: station.bus.statistics.unit(UNIT).asked > asked + 4)

    station, board = on_board(body)
    assert ([], []) == (board.writes, station.events)


# -- modules that do not do what they are told


def other_coil(asked: Asked) -> bytes:
    return sealed(bytes((asked.unit, 5, 0, asked.address + 1)) + asked.count.to_bytes(2, "big"))


@pytest.mark.parametrize(
    ("behave", "expected", "tries"),
    [
        (lambda asked: sealed(bytes((asked.unit, 5)) + asked.address.to_bytes(2, "big") + asked.count.to_bytes(2, "big")), "E-SWITCH-STATE", 1),
        (other_coil, "E-SWITCH-ECHO", 1),
        (lambda asked: sealed(bytes((asked.unit, 0x85, 2))), "E-SWITCH-ANSWER", 1),
        (lambda _asked: None, "E-SWITCH-ANSWER", 2),
        (lambda _asked: b"\x00\x55\xaa\x01", "E-SWITCH-ANSWER", 2),
    ],
    ids=["reads-back-off", "another-coil", "refuses", "silent", "noise"],
)
def test_what_is_not_proven_is_an_error(behave: Any, expected: str, tries: int) -> None:
    """An answer that does not repeat the order, a state that is not there, a refusal, silence: told, written down, worth another attempt."""
    found: list[Any] = []
    board = Board()
    board.behave = behave

    async def body(station: Station, board: Board) -> None:
        found.append(await outcome(station.siren.send(NOTICE, "")))
        assert [(UNIT, 1, 0xFF00)] * tries == board.writes[:tries]
        board.behave = board.obey

    station, board = on_board(body, board)
    assert [(expected, True)] == [seen(one) for one in found]
    assert ("on", NOTICE.notice_id, expected) == station.story[0]
    assert "relay.2 of RELAY-01" in found[0].text
    assert ("off", "done") == (station.story[-1][0], station.story[-1][2])


def test_an_order_to_be_silent_is_repeated_until_it_is_proven(caplog: pytest.LogCaptureFixture) -> None:
    """A module that loses its answers for a while does not leave the siren on; that is told once."""

    async def body(station: Station, board: Board) -> None:
        await station.siren.send(NOTICE, "")
        board.behave = lambda _asked: None
        station.alarms = []
        writes = len(board.writes)
        await until(lambda: len(board.writes) > writes + 8)
        assert board.sounds
        board.behave = board.obey
        await until(lambda: not station.siren.may_be_on)
        assert not board.sounds

    station, _ = on_board(body)
    over = "acknowledged or ended"
    assert [("on", NOTICE.notice_id, "done"), ("off", over, "E-SWITCH-ANSWER"), ("off", over, "done")] == station.story
    assert 1 == caplog.text.count("E-TELL-SIREN")


def test_an_echo_of_the_adapter_is_no_proof() -> None:
    """It looks like the answer of the module; reading back tells."""
    board = Board()
    board.behave = lambda asked: sealed(bytes((asked.unit, 5)) + asked.address.to_bytes(2, "big") + asked.count.to_bytes(2, "big"))
    found: list[Any] = []

    async def body(station: Station, board: Board) -> None:
        found.append(await outcome(station.siren.send(NOTICE, "")))
        board.behave = board.obey

    on_board(body, board)
    assert [("E-SWITCH-STATE", True)] == [seen(one) for one in found]


def test_a_silent_module_is_told_within_its_time_and_what_waits_is_not_sent_later() -> None:
    """The line is gone: the attempt ends, and when the line is back the old order is not carried out."""
    board = Board()

    async def body(station: Station, board: Board) -> None:
        board.deaf = True
        board.behave = lambda _asked: None
        await until(lambda: "RELAY-01" in station.bus.silent_devices)
        found = await outcome(station.siren.send(NOTICE, ""))
        assert ("E-SWITCH-ANSWER", True) == seen(found)
        sending = asyncio.ensure_future(station.siren.send(NOTICE, ""))
        await asyncio.sleep(0)
        sending.cancel()
        await asyncio.wait((sending,))
        assert sending.cancelled()
        board.deaf, board.behave = False, board.obey

    _, board = on_board(body, board)
    assert not board.sounds
    assert 0 == board.writes[-1][2]


# -- the door


def test_nothing_else_can_be_switched() -> None:
    """Another output, another module, another value: held back at the port, whoever built the question."""
    station, board = on_board(_try_others)
    assert ([], [0xFF00, 0]) == ([write for write in board.writes if write[:2] != (UNIT, 1)], sorted({write[2] for write in board.writes}, reverse=True))
    assert 3 == station.bus.statistics.unit(UNIT).withheld + station.bus.statistics.unit(OTHER).withheld
    assert {Writable(UNIT, 5, 1, 0xFF00), Writable(UNIT, 5, 1, 0)} == writable_of(station.config)["rs485d"]


async def _try_others(station: Station, _board: Board) -> None:
    switch = station.siren._relay._switch  # type: ignore[attr-defined]
    await station.siren.send(NOTICE, "")
    for unit, coil, value in ((UNIT, 2, 0xFF00), (OTHER, 1, 0xFF00), (UNIT, 1, 0x5500)):
        frame = sealed(bytes((unit, 5, 0, coil)) + value.to_bytes(2, "big"))
        forged = switch.on._replace(write=msgspec.structs.replace(switch.on.write, payload=frame))
        device = "RELAY-01" if unit == UNIT else "RELAY-02"
        with pytest.raises(EdgegwError) as refused:
            await station.bus.switch(switch._replace(device=device, on=forged), on=True)
        assert "E-SWITCH-ANSWER" == refused.value.message_id


def test_without_a_siren_nothing_can_be_written() -> None:
    """A bus of a station without a siren channel has no such door."""
    station, board = on_board(_forget)
    assert (0, 1) == (len(board.writes), station.bus.statistics.unit(UNIT).withheld)


async def _forget(station: Station, _board: Board) -> None:
    station.bus._transactions._writable = frozenset()
    assert {"rs485d": frozenset()} == writable_of(msgspec.structs.replace(station.config, channel=[]))
    found = await outcome(station.siren.send(NOTICE, ""))
    assert ("E-SWITCH-ANSWER", True) == seen(found)
    station.siren.may_be_on = False


def test_an_order_overtakes_polls_and_people() -> None:
    """It is the next question after the one under way, however much is due."""
    order: list[Any] = []

    async def body(station: Station, board: Board) -> None:
        reads = [asyncio.ensure_future(station.bus.ask_now("RELAY-02")) for _ in range(4)]
        board.behave = lambda asked: order.append(sum(read.done() for read in reads)) or board.obey(asked)  # type: ignore[func-returns-value]
        await station.siren.send(NOTICE, "")
        await asyncio.gather(*reads)

    on_board(body)
    assert order[0] <= 1


# -- over TCP


def test_it_works_over_modbus_tcp() -> None:
    """An I/O module in the network: the same orders behind a transaction id, in the middle of a streak of polls."""
    coils: dict[int, int] = {}
    writes: list[tuple[int, int, int]] = []

    def behave(number: int, unit: int, function: int, address: int, count: int) -> Say:
        if function == 5:
            writes.append((unit, address, count))
            coils[address] = int(count != 0)
            body = bytes((unit, 5)) + address.to_bytes(2, "big") + count.to_bytes(2, "big")
            return [(0.0, number.to_bytes(2, "big") + b"\0\0\0\x06" + body)]
        value = sum(coils.get(address + n, 0) << n for n in range(count))
        return [(0.0, tcp_answer(number, unit, function, value.to_bytes((count + 7) // 8, "little")))]

    async def main() -> Station:
        async with TcpDevice(behave) as server:
            station = Station(f'host = "127.0.0.1"\nport = {server.port}', kind="tcp", profile="adam.6050")
            async with station.running():
                assert "relay.2 of RELAY-01 is on, read back 1" == await station.siren.send(NOTICE, "")
                assert 1 == coils[17]
                station.alarms = []
                await until(lambda: not coils[17])
            return station

    station = asyncio.run(main())
    assert [(UNIT, 17, 0xFF00), (UNIT, 17, 0)] == writes
    assert ["done", "done"] == [result for _, _, result in station.story]
