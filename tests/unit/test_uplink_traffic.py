"""Bytes by day and lane: counted, kept over a restart, counted against a quota, told at 80 and 100 %."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from edgegw.buffer.store import Buffer
from edgegw.clock import Clock
from edgegw.config.model import Store
from edgegw.model import ClockTrust
from edgegw.own_uplinks import OwnUplinks
from edgegw.rules.engine import Engine
from edgegw.uplink.notices import of_quota
from edgegw.uplink.traffic import DAYS_MAX, MB, Traffic, Wire, local_day, packet_bytes, wire_of
from tests.unit.buffer_rig import SOURCES
from tests.unit.rules_rig import EPOCH
from tests.uplink_rig import MemoryOutbox, Place

DAY = "2026-11-20"


@pytest.mark.parametrize(
    ("expected", "topic", "payload_bytes"), [(2 + 2 + 1 + 2 + 1 + 10, "t", 10), (1 + 2 + 2 + 1 + 2 + 1 + 200, "t", 200), (16_400, "tt", 16_389)]
)
def test_a_packet_is_counted_as_it_travels(expected, topic, payload_bytes):
    """
    Fixed header with its growing length, topic, packet id, empty properties, payload: MQTT 5, sections 2 and 3.3.
    """
    assert expected == packet_bytes(topic, bytes(payload_bytes))


def test_what_no_lane_accounts_for_is_overhead():
    """
    Lanes and overhead together are what the wire carried, each byte once, however often it is measured.
    """
    traffic = Traffic("a")
    traffic.begin()
    traffic.count(DAY, "fresh", up=600)
    traffic.count(DAY, "receipt", down=100)
    traffic.measured(DAY, Wire(1000, 400))
    traffic.measured(DAY, Wire(1000, 400))
    traffic.count(DAY, "energy", up=50)
    traffic.measured(DAY, Wire(1100, 450))
    assert {"fresh": (600, 0), "receipt": (0, 100), "energy": (50, 0), "overhead": (450, 350)} == traffic.of_day(DAY)
    assert 1100 + 450 == traffic.month_bytes(DAY)
    traffic.begin()
    traffic.measured(DAY, Wire(10, 20))
    assert (460, 370) == traffic.of_day(DAY)["overhead"]


def test_a_packet_that_waits_for_the_wire_is_no_overhead():
    """
    What a lane has counted and the wire has not carried yet never makes the overhead negative.
    """
    traffic = Traffic("a")
    traffic.begin()
    traffic.count(DAY, "fresh", up=5000)
    traffic.measured(DAY, Wire(100, 100))
    assert {"fresh": (5000, 0), "overhead": (0, 100)} == traffic.of_day(DAY)


def test_the_month_begins_anew_and_old_days_go():
    """
    A quota counts one month; two months of days are kept.
    """
    traffic = Traffic("a")
    for number in range(70):
        traffic.count(local_day(1_800_000_000_000 + number * 86_400_000), "fresh", up=1)
    states = traffic.changes()
    assert DAYS_MAX == len(traffic.days)
    assert 70 - DAYS_MAX == sum(state is None for state in states.values())
    newest = max(traffic.days)
    assert int(newest[8:]) == traffic.month_bytes(newest)
    assert {} == traffic.changes()


def test_what_was_counted_before_the_clock_was_set_is_not_lost():
    """
    Bytes without a day go to the first day that is known.
    """
    traffic = Traffic("a")
    traffic.count("", "event", up=7)
    assert {} == traffic.changes()
    traffic.count(DAY, "event", up=1)
    assert [f"traffic/a/{DAY}"] == list(traffic.changes())
    assert {"event": (8, 0)} == traffic.of_day(DAY)


def test_a_state_that_cannot_be_read_counts_as_none():
    """
    Damage in the store costs the count of a day, not the start.
    """
    traffic = Traffic("a", {"traffic/a/2026-11-01": b"{", "traffic/b/2026-11-01": b'{"event":[1,1]}', f"traffic/a/{DAY}": b'{"event":[3,4]}'})
    assert {DAY: {"event": [3, 4]}} == traffic.days


def start(directory: Path) -> Buffer:
    return Buffer.open(directory, Clock(), Store(), SOURCES, ["cloud"], lambda _streams: None, {})


def test_the_counts_outlive_a_restart(tmp_path):
    """
    What was kept before the end stands in the next start's counts, and counting goes on from there.
    """
    here = Place(tmp_path)
    first = here.sender(MemoryOutbox())
    store = start(tmp_path)
    first.traffic.count(DAY, "fresh", up=900, down=5)
    OwnUplinks(here.clock).keep(store, [first])
    store.close()
    second = here.sender(MemoryOutbox())
    again = start(tmp_path)
    own = OwnUplinks(here.clock)
    own.begin(again)
    own.recall([second])
    own.recall([second])
    second.traffic.count(DAY, "fresh", up=100)
    own.keep(again, [second])
    again.close()
    assert {"fresh": (1000, 5)} == second.traffic.of_day(DAY)
    third = start(tmp_path)
    assert {f"traffic/cloud/{DAY}": b'{"fresh":[1000,5]}'} == third.states("traffic/")
    third.close()


@pytest.mark.parametrize(
    ("expected_s", "kept", "after_s", "trust"),
    [
        pytest.param(3600, 3_600_000, 601, ClockTrust.SYNCHRONISED, id="goes on over a start"),
        pytest.param(3600, 3_600_000, 601, ClockTrust.HELD, id="goes on without a time server"),
        pytest.param(None, 3_600_000, 590, ClockTrust.SYNCHRONISED, id="not known before the cloud had its time to answer"),
        pytest.param(None, 3_600_000, 601, ClockTrust.UNSET, id="not known until the clock is set"),
        pytest.param(600, -3_600_000, 601, ClockTrust.SYNCHRONISED, id="a clock that went back: since the start"),
        pytest.param(0, None, 0, ClockTrust.UNSET, id="a cloud that never confirmed anything: since the start"),
    ],
)
def test_the_age_of_the_last_receipt_outlives_a_restart(tmp_path, expected_s, kept, after_s, trust):
    """
    A start alone does not end the alarm of a cloud that confirms nothing.
    """
    here = Place(tmp_path)
    sender = here.sender(MemoryOutbox())
    here.clock.trust = trust
    here.clock._start_ns -= after_s * 10**9
    here.clock.offset_ms -= after_s * 1000
    store = start(tmp_path)
    store.accept((), (), {"receipt/gone": b"1"} | ({} if kept is None else {"receipt/cloud": b"%d" % (here.clock.wall_ms() - kept)}))
    store.close()
    again = start(tmp_path)
    own = OwnUplinks(here.clock)
    own.begin(again)
    age_s = own.receipt_age_s([sender])
    own.keep(again, [sender])
    again.close()
    assert expected_s == (None if age_s is None else round(age_s, -2))
    third = start(tmp_path)
    assert ({"receipt/cloud"} if kept is not None else set()) == third.states("receipt/").keys()
    third.close()


@pytest.mark.parametrize(
    ("expected", "used_mb", "quota_mb"),
    [(None, 79.9, 100), ("minor 80", 80, 100), ("minor 80", 99.9, 100), ("major 100", 100, 100), ("major 100", 500, 100), (None, 10**9, 0)],
)
def test_a_quota_is_told_at_80_and_100_percent(expected, used_mb, quota_mb):
    """
    Two steps, the second worse than the first; without a quota nothing is told.
    """
    notice = of_quota("cloud", round(used_mb * MB), quota_mb)
    assert expected == (notice and f"{notice.level} {notice.rule.split()[-2]}")


def test_the_quota_is_an_alarm_economy_and_at_the_end_a_hold(tmp_path):
    """
    At 80 % the alarm is raised and economy begins, at 100 % the next alarm ends the first and telemetry is held, and a new month ends all of it.
    """
    here = Place(tmp_path)
    sender = here.sender(MemoryOutbox(), quota_mb_month=10, at_quota="hold")
    engine = Engine([], [], [], EPOCH, {})
    own = OwnUplinks(here.clock)
    today = local_day(here.clock.wall_ms())

    def look() -> tuple[list[str], bool, bool]:
        events = [event for changes in own.look(engine, [sender]) for event in changes.events if event.kind == "alarm"]
        edges = [f"{event.body['edge']} {event.body['rule']}" for event in events]
        return [edge for edge in edges if "quota" in edge], own.economy, sender.holds_telemetry

    sender.traffic.count(today, "fresh", up=7_900_000)
    assert ([], False, False) == look()
    sender.traffic.count(today, "fresh", up=100_000)
    assert (["raised quota cloud 80 %"], True, False) == look()
    assert ([], True, False) == look()
    sender.traffic.count(today, "receipt", down=2_000_000)
    assert (["cleared quota cloud 80 %", "raised quota cloud 100 %"], True, True) == look()
    assert {"quota cloud 100 %"} == {rule for rule in own.told if "quota" in rule}
    sender.traffic.days.clear()
    assert (["cleared quota cloud 100 %"], False, False) == look()


def test_without_hold_the_alarm_is_all(tmp_path):
    """
    By default a quota that is used up stops nothing.
    """
    here = Place(tmp_path)
    sender = here.sender(MemoryOutbox(), quota_mb_month=1)
    sender.traffic.count(local_day(here.clock.wall_ms()), "fresh", up=2 * MB)
    assert sender.notices()
    assert (True, False) == (sender.saves, sender.holds_telemetry)


def test_the_kernel_counts_payload_and_headers():
    """
    A connection's bytes are at least its payload, both ways, with a header for every segment; a closed socket says nothing.
    """
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as near:
        far, _ = server.accept()
        with far:
            near.sendall(bytes(5000))
            got = 0
            while got < 5000:
                got += len(far.recv(5000))
            far.sendall(bytes(300))
            assert 300 == len(near.recv(300, socket.MSG_WAITALL))
            wire = wire_of(near)
    assert wire is not None
    assert 5000 + 52 <= wire.up <= 5000 + 20 * 52
    assert 300 + 52 <= wire.down <= 300 + 20 * 52
    assert wire_of(near) is None
