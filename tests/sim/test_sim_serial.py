"""The simulated serial line, seen by a raw client on its pty."""

from __future__ import annotations

import os
import select
import statistics
import threading
import time
import tty
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgegw.sim import frames, journal
from edgegw.sim.device import SwitchedFault
from edgegw.sim.simulator import Simulator
from edgegw.sim.station import SimBus, SimDevice, Station
from tests import leftovers

TURNAROUND_MS = 5.0
# Twenty registers of a meter: an answer of 45 characters.
ASK = (1, 3, 0x0164, 20)
SILENCE_CHARACTERS = 3.5


def station(baudrate=9600, parity="N"):
    return Station(
        bus=[SimBus(name="a", kind="serial", baudrate=baudrate, parity=parity)],
        device=[
            SimDevice(code="M-1", bus="a", unit=1, profile="acrel.dtsd1352", role="incoming", turnaround_ms=TURNAROUND_MS),
            SimDevice(code="TH-1", bus="a", unit=2, profile="xy-md02", role="cabinet", turnaround_ms=TURNAROUND_MS),
        ],
    )


class Master:
    """A client that does exactly what it is told, and no more."""

    def __init__(self, simulator):
        self.simulator = simulator
        self.counts = simulator.counts["a"]
        self.line = os.open(simulator.ports["a"].path, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self.line)

    def send(self, unit, function, address, count):
        body = bytes([unit, function]) + address.to_bytes(2, "big") + count.to_bytes(2, "big")
        os.write(self.line, body + frames.crc(body))

    def receive(self, size, timeout_s=2.0):
        """The bytes, as many as come in time, up to `size`."""
        received, deadline = b"", time.monotonic() + timeout_s
        while len(received) < size and (left_s := deadline - time.monotonic()) > 0:
            if select.select([self.line], [], [], left_s)[0]:
                received += os.read(self.line, 512)
        return received

    def ask(self, *question, timeout_s=2.0):
        self.send(*question)
        return self.receive(5 + 2 * question[3], timeout_s)

    def wait_for(self, condition):
        assert leftovers.wait_until(condition, 5)


@contextmanager
def line(tmp_path, speed=1.0, **facts):
    with Simulator(station(**facts), journal=tmp_path / "journal.jsonl", control=tmp_path / "control.sock", speed=speed) as simulator:
        master = Master(simulator)
        try:
            yield master
        finally:
            os.close(master.line)


def pause(characters, character_s):
    """A silence of this length: the legal gap is a time, not a condition."""
    until = time.monotonic() + characters * character_s
    while (left_s := until - time.monotonic()) > 0:
        select.select([], [], [], left_s)


@pytest.mark.parametrize(("baudrate", "parity", "bits", "exchanges"), [(9600, "N", 10, 50), (19200, "E", 11, 20)])
def test_an_exchange_takes_the_time_of_its_characters(tmp_path, baudrate, parity, bits, exchanges):
    """
    Request, turnaround and answer take the time that the line's speed and its 10 or 11 bits a character ask for, never less and within 5 % over many exchanges.
    """
    character_s = bits / baudrate
    true_s = (8 + 45) * character_s + TURNAROUND_MS / 1000
    took_s = []
    with line(tmp_path, baudrate=baudrate, parity=parity) as master:
        for _ in range(exchanges):
            started = time.monotonic()
            assert 45 == len(master.ask(*ASK))
            took_s.append(time.monotonic() - started)
            pause(4.5, character_s)
        master.wait_for(lambda: master.counts.answers == exchanges)
        assert (exchanges, 0, 0, 0) == (master.counts.answers, master.counts.violations, master.counts.overlaps, master.counts.bad_requests)
    assert true_s <= min(took_s)
    assert statistics.median(took_s) < 1.05 * true_s
    # A machine that does something else for 20 ms in between is not the line's doing: the slowest tenth is left out.
    usual = sorted(took_s)[: exchanges * 9 // 10]
    assert statistics.mean(usual) < 1.05 * true_s


def test_the_journal_holds_what_was_on_the_line(tmp_path):
    """
    Answers are numbered from 1 by each device, with the time at which their last byte was there and the values that the bytes say.
    """
    with line(tmp_path) as master:
        answers = []
        for unit, function, address, count in (ASK, (2, 4, 1, 2), ASK):
            answers.append((master.ask(unit, function, address, count), time.monotonic_ns(), time.time_ns() // 1_000_000))
            pause(4.5, 10 / 9600)
    decimals, entries = journal.read(tmp_path / "journal.jsonl")
    assert [("M-1", 1), ("TH-1", 1), ("M-1", 2)] == [(entry.device, entry.n) for entry in entries]
    for entry, (_, seen_ns, seen_ms) in zip(entries, answers, strict=True):
        assert abs(entry.finished_ns - seen_ns) < 20_000_000
        assert abs(entry.finished_ms - seen_ms) < 20
        assert entry.request_ns < entry.finished_ns
        assert (True, None) == (entry.whole, entry.exception)
    climate = answers[1][0]
    assert {"temperature": int.from_bytes(climate[3:5], "big"), "humidity": int.from_bytes(climate[5:7], "big")} == entries[1].values
    assert {"temperature": 1, "humidity": 1} == decimals["TH-1"]
    assert int.from_bytes(answers[0][0][3:7], "big", signed=True) == entries[0].values["active_power.a"]


def test_a_broken_silence_is_counted(tmp_path):
    """
    A request right behind an answer is a violation and is answered all the same; one after 3.5 characters is none.
    """
    with line(tmp_path) as master:
        assert 9 == len(master.ask(2, 4, 1, 2))
        assert 9 == len(master.ask(2, 4, 1, 2))
        assert 1 == master.counts.violations
        pause(SILENCE_CHARACTERS, 10 / 9600)
        assert 9 == len(master.ask(2, 4, 1, 2))
        master.wait_for(lambda: master.counts.answers == 3)
        assert 1 == master.counts.violations


def test_talking_into_an_answer_loses_it(tmp_path):
    """
    A request while another's answer is on the line is a collision: the answer is cut, written down as not whole, and the second request unanswered.
    """
    with line(tmp_path) as master:
        master.send(*ASK)
        assert b"\x01" == master.receive(1)[:1]
        master.send(2, 4, 1, 2)
        assert len(master.receive(60, timeout_s=0.2)) < 45
        master.wait_for(lambda: master.counts.answers == 1)
        assert 1 == master.counts.overlaps
        assert 9 == len(master.ask(2, 4, 1, 2))
    assert [False, True] == [entry.whole for entry in journal.read(tmp_path / "journal.jsonl")[1]]


def test_wrong_and_foreign_requests_stay_unanswered(tmp_path):
    """
    A wrong check, an unfinished frame and an unknown unit get no answer and are counted each under its kind.
    """
    with line(tmp_path) as master:
        os.write(master.line, bytes.fromhex("0204000100020000"))
        master.wait_for(lambda: master.counts.bad_requests == 1)
        os.write(master.line, bytes.fromhex("020400"))
        master.wait_for(lambda: master.counts.bad_requests == 2)
        master.send(9, 4, 1, 2)
        master.wait_for(lambda: master.counts.foreign == 1)
        assert b"" == master.receive(1, timeout_s=0.05)
        assert (1, 0) == (master.counts.requests, master.counts.answers)


@pytest.mark.parametrize(
    ("question", "pdu"), [((2, 3, 1, 2), "8301"), ((2, 4, 0, 2), "8402"), ((2, 4, 1, 126), "8403"), ((2, 4, 1, 3), "8402"), ((1, 3, 0x0067, 1), "8302")]
)
def test_refusals_on_the_line(tmp_path, question, pdu):
    """
    A refused request gets its exception, which the journal has with its code and without values.
    """
    with line(tmp_path) as master:
        master.send(*question)
        assert frames.rtu_frame(question[0], bytes.fromhex(pdu)) == master.receive(5)
    (entry,) = journal.read(tmp_path / "journal.jsonl")[1]
    assert (bytes.fromhex(pdu)[1], {}, True) == (entry.exception, entry.values, entry.whole)


FAULTS = [
    ("delay", 60.0, False, 9),
    ("crc", 0.0, False, 9),
    ("truncate", 0.0, False, 4),
    ("exception", 0.0, True, 5),
]


@pytest.mark.parametrize(("kind", "delay_ms", "whole", "size"), FAULTS)
def test_faults_reach_the_line_and_the_journal(tmp_path, kind, delay_ms, whole, size):
    """
    A fault that is switched on damages the answer as it says, and the journal tells whether the answer was whole.
    """
    with line(tmp_path) as master:
        master.simulator.devices["TH-1"].switch(SwitchedFault(kind, 1.0, delay_ms))
        started = time.monotonic()
        received = master.ask(2, 4, 1, 2, timeout_s=0.2)
        took_s = time.monotonic() - started
        assert size == len(received)
        assert (kind not in {"crc", "truncate"}) == (frames.crc(received[:-2]) == received[-2:])
        assert kind != "delay" or took_s >= 0.06
        master.wait_for(lambda: master.counts.answers == 1)
    (entry,) = journal.read(tmp_path / "journal.jsonl")[1]
    assert (whole, 6 if kind == "exception" else None) == (entry.whole, entry.exception)


def test_noise_stands_before_a_whole_answer(tmp_path):
    """
    Line noise comes before the answer, which itself is whole and journalled so.
    """
    with line(tmp_path) as master:
        master.simulator.devices["TH-1"].switch(SwitchedFault("noise", 1.0))
        received = master.ask(2, 4, 1, 2) + master.receive(100, timeout_s=0.05)
        assert 10 <= len(received) <= 17
        assert frames.crc(received[-9:-2]) == received[-2:]
    assert [True] == [entry.whole for entry in journal.read(tmp_path / "journal.jsonl")[1]]


def test_a_fast_station_is_not_paced(tmp_path):
    """
    At a speed above 1 answers come at once and no silence is judged.
    """
    with line(tmp_path, speed=60.0, baudrate=1200) as master:
        started = time.monotonic()
        for _ in range(20):
            assert 45 == len(master.ask(*ASK))
        assert time.monotonic() - started < 1.0
        master.wait_for(lambda: master.counts.answers == 20)
        assert 0 == master.counts.violations


def test_the_port_may_be_closed_and_opened(tmp_path):
    """
    A pty that the gateway closes and opens again answers as before.
    """
    with line(tmp_path) as master:
        for _ in range(3):
            assert 9 == len(master.ask(2, 4, 1, 2))
            os.close(master.line)
            master.line = os.open(master.simulator.ports["a"].path, os.O_RDWR | os.O_NOCTTY)


def test_a_stopped_station_leaves_nothing(tmp_path):
    """
    After the end there is no thread, no descriptor (so no pty, and no port) and no socket file of the station.
    """

    def held():
        return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()

    before = held()
    with line(tmp_path) as master:
        assert 9 == len(master.ask(2, 4, 1, 2))
        assert (tmp_path / "control.sock").is_socket()
    assert before == held()
    assert not (tmp_path / "control.sock").exists()
