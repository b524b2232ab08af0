"""A disk that stalls, fails its syncs, is unplugged or filled by others: live data goes on, alarms are told, nothing is lost or taken twice."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from edgegw.model import Stream
from tests.unit.buffer_rig import METER, events_of, reading, rows_of, running, source, wait_for

HERE = Path(__file__).parent
needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
needs_mount = pytest.mark.skipif(os.getuid() != 0, reason="only root may mount")


@pytest.fixture(scope="session")
def faults(tmp_path_factory):
    """The library that makes the disk fail."""
    library = tmp_path_factory.mktemp("faults") / "disk_faults.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(HERE / "disk_faults.c"), "-ldl"], check=True)
    return library


class Fed:
    """A buffer in a process of its own, on a disk that fails on command."""

    def __init__(self, directory, library):
        self.fault = directory / "fault"
        self.set("ok")
        environment = {**os.environ, "LD_PRELOAD": str(library), "DISK_FAULT": str(self.fault)}
        command = [sys.executable, "-m", "tests.fault.buffer_fed", str(directory / "state")]
        self.lines = []
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=HERE.parents[1])
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(json.loads(line))

    def set(self, word):
        draft = self.fault.with_suffix(".new")
        draft.write_text(word, encoding="ascii")
        draft.rename(self.fault)

    def told(self, stream, stored, behind=0):
        """Batches told since line `behind`."""
        return [line for line in self.lines[behind:] if line.get("stream") == stream and line["stored"] == stored]

    def end(self):
        self.process.stdin.write("\n")
        self.process.stdin.close()
        code = self.process.wait(20)
        self._reader.join(20)
        self.process.stdout.close()
        return code


@pytest.fixture
def fed(tmp_path, faults):
    made = Fed(tmp_path, faults)
    yield made
    if made.process.poll() is None:
        made.process.kill()
        made.process.wait(10)
        made._reader.join(10)
        made.process.stdin.close()
        made.process.stdout.close()


def everything(directory):
    """What the file hands out after a new start, and its losses."""
    with running(directory / "state", [METER]) as rig:
        rig.settle()
        batches = rig.batches()
        rows = rows_of(batches)
        numbers = sorted(row[3][0] for row in rows.values())
        return numbers, [one for _, one in events_of(batches)]


@needs_compiler
@pytest.mark.parametrize("fault", ["sync-eio", "eio", "erofs", "enospc"])
def test_a_disk_that_fails_is_outlived(fed, tmp_path, fault):
    """
    On failing syncs, failing writes, a disk that turned read-only and one full of what is not ours: readings and alarms go on from memory, marked, and when the disk is back everything is in the file once.
    """
    wait_for("life", lambda: fed.told(Stream.TELEMETRY, stored=True), 20)
    fed.set(fault)
    behind = len(fed.lines)
    wait_for("readings from memory", lambda: len(fed.told(Stream.TELEMETRY, stored=False, behind=behind)) >= 3, 20)
    told = wait_for(
        "alarms from memory", lambda: len(fed.told(Stream.EVENT, stored=False, behind=behind)) >= 3 and fed.told(Stream.EVENT, stored=False, behind=behind), 20
    )
    fed.set("ok")
    behind = len(fed.lines)
    wait_for("readings from the disk", lambda: len(fed.told(Stream.TELEMETRY, stored=True, behind=behind)) >= 2, 20)
    assert 0 == fed.end()
    (last,) = [line for line in fed.lines if "last" in line and "fault" in line]
    assert ("", 0) == (last["fault"], last["dropped"])
    numbers, events = everything(tmp_path)
    assert list(range(1, last["last"] + 1)) == numbers
    assert list(range(20, last["last"] + 1, 20)) == [one.body["n"] for one in events if one.kind == "tick"]
    identities = {}
    for line in fed.lines:
        for rank, number in enumerate(line.get("numbers", []) if line.get("stream") == Stream.TELEMETRY else []):
            assert number == identities.setdefault(line["first"] + rank, number)
    assert max(max(line["after_s"]) for line in told) < 3.0


@needs_compiler
def test_a_disk_that_is_slow_loses_and_delays_nothing(fed, tmp_path):
    """
    Every sync takes half a second: alarms are told within a second, everything is in the file in order.
    """
    wait_for("life", lambda: fed.told(Stream.TELEMETRY, stored=True), 20)
    fed.set("slow 500")
    behind = len(fed.lines)
    wait_for("alarms", lambda: sum(len(line["numbers"]) for line in fed.lines[behind:] if line.get("stream") == Stream.EVENT) >= 6, 30)
    fed.set("ok")
    assert 0 == fed.end()
    first_told = {}
    for line in fed.lines[behind:]:
        if line.get("stream") == Stream.EVENT:
            for number, after_s in zip(line["numbers"], line["after_s"], strict=True):
                first_told.setdefault(number, after_s)
    assert sorted(first_told.values())[len(first_told) // 2] < 1.0
    (last,) = [line for line in fed.lines if "fault" in line]
    assert ("", 0) == (last["fault"], last["dropped"])
    assert list(range(1, last["last"] + 1)) == everything(tmp_path)[0]


@needs_compiler
def test_an_alarm_is_told_while_the_disk_hangs(fed, tmp_path):
    """
    A sync that hangs for four seconds: alarms of that time are told from memory after half a second, marked, and are in the file afterwards.
    """
    wait_for("life", lambda: fed.told(Stream.TELEMETRY, stored=True), 20)
    behind = len(fed.lines)
    fed.set("slow 4000")
    told = wait_for("an alarm from memory", lambda: fed.told(Stream.EVENT, stored=False, behind=behind), 20)
    fed.set("ok")
    assert min(told[0]["after_s"]) < 2.0
    behind = len(fed.lines)
    wait_for("the disk", lambda: fed.told(Stream.TELEMETRY, stored=True, behind=behind), 20)
    assert 0 == fed.end()
    (last,) = [line for line in fed.lines if "fault" in line]
    numbers, events = everything(tmp_path)
    assert list(range(1, last["last"] + 1)) == numbers
    assert list(range(20, last["last"] + 1, 20)) == [one.body["n"] for one in events if one.kind == "tick"]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own, of 16 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m,nr_inodes=40", "tmpfs", str(place)], check=True)
    yield place
    subprocess.run(["mount", "-o", "remount,rw", str(place)], check=False)
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place):
    """Another program takes all that is left."""
    with (place / "other").open("ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(65_536))
        except OSError:
            pass
        try:
            while True:
                file.write(bytes(512))
        except OSError:
            return


@needs_mount
def test_a_disk_filled_by_others_costs_the_oldest_first(small_disk, monkeypatch):
    """
    Another program fills the disk: the reserve is given up, the file stops growing and goes on within itself, and when there is room again the reserve is back.
    """
    monkeypatch.setattr("edgegw.buffer.writer.RETRY_S", 0.05)
    wide = source(1, width=100)
    state = small_disk / "state"
    with running(state, [wide]) as rig:
        number = feed(rig, wide, 0, 40)
        assert (state / "edgegw.reserve").stat().st_blocks * 512 >= 256 * 1024
        rig.confirm(rig.batches())
        number = feed(rig, wide, number, 40)
        fill(small_disk)
        size = rig.path.stat().st_size
        number = feed(rig, wide, number, 120)
        wait_for("a store that writes", lambda: rig.buffer.status().writing)
        assert rig.buffer.status().disk_tight
        assert not (state / "edgegw.reserve").exists()
        assert rig.path.stat().st_size <= size + 512 * 1024
        (small_disk / "other").unlink()
        number = feed(rig, wide, number, 10)
        wait_for("the reserve", lambda: feed(rig, wide, 10**6 + time.monotonic_ns() % 10**9, 1) and (state / "edgegw.reserve").exists())
        wait_for("room again", lambda: not rig.buffer.status().disk_tight)
        batches = rig.batches()
        kept = {seq for _, stream, seq in rows_of(batches) if stream == Stream.TELEMETRY}
        lost = {seq for _, one in events_of(batches) if one.kind == "loss" for seq in range(one.body["first"], one.body["last"] + 1)}
        assert not kept & lost
        assert set(range(401, number + 1)) <= kept | lost


def feed(rig, of, first, blocks):
    """So many blocks of ten readings of a hundred values that do not compress."""
    dice = random.Random(first)
    for _ in range(blocks):
        rig.buffer.accept([reading(of, 1 + first + more, [dice.randrange(2**40) for _ in range(100)]) for more in range(10)])
        first += 10
        rig.buffer.seal_soon(0)
        wait_for("commit", lambda: rig.buffer.status().queue_readings == 0)
    return first


@needs_mount
def test_a_disk_without_inodes_does_not_end_the_store(small_disk):
    """
    No new file can be made: a running store goes on, and a start on an existing file works without its reserve.
    """
    state = small_disk / "state"
    with running(state, [METER]) as rig:
        rig.buffer.accept([reading(METER, 1)])
        rig.settle()
    (state / "edgegw.reserve").unlink(missing_ok=True)
    others = small_disk / "others"
    others.mkdir()
    made = 0
    try:
        while True:
            (others / str(made)).touch()
            made += 1
    except OSError:
        for name in range(2):  # the log and its index
            (others / str(name)).unlink()
    with running(state, [METER]) as rig:
        rig.buffer.accept([reading(METER, 2)])
        rig.settle()
        assert 2 == len(rows_of(rig.batches()))
        assert rig.buffer.status().writing
