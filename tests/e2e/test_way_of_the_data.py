"""One hundred seconds in the life of a station: an outage of the broker, a killed gateway, an alarm in between, a destroyed database."""

from __future__ import annotations

import json
import sqlite3
import ssl
import threading
import time
from contextlib import closing

import paho.mqtt.client as mqtt
import pytest

from edgegw.cli.rig import GATEWAY, IDENTITY, OPERATOR, STATION, Rig, wait_for
from edgegw.sim.audit import audit

pytestmark = pytest.mark.broker

# The mark is 50 ms from answer to commit; a busy machine gets room.
EXCUSED_BEFORE_KILL_NS = 250_000_000
POLLED_S = 62.0
ALARM_INPUT = ("DI-01", "input.1")


class Spy:
    """Sees what the broker's operator sees: every topic and every payload, in order."""

    def __init__(self, rig: Rig) -> None:
        self.seen: list[tuple[str, bytes]] = []
        self._lock = threading.Lock()
        pki = rig.directory / "pki"
        context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        context.load_cert_chain(pki / "receiver.crt", pki / "receiver.key")
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="spy", protocol=mqtt.MQTTv311)
        self._client.tls_set_context(context)
        self._client.on_connect = lambda client, *_: client.subscribe("#", 1)
        self._client.on_message = self._note
        self._client.connect("localhost", rig.broker_port)
        self._client.loop_start()

    def _note(self, _client: object, _userdata: object, message: mqtt.MQTTMessage) -> None:
        with self._lock:
            self.seen.append((message.topic, message.payload))

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture(scope="module")
def day(tmp_path_factory):
    """The whole course of events, once; the tests look at what it left."""
    rig = Rig(tmp_path_factory.mktemp("station"), period_s=1.0)
    story: dict = {"rig": rig}
    try:
        _live(rig, story)
        yield story
    finally:
        rig.close()


def _live(rig: Rig, story: dict) -> None:
    rig.make_keys()
    rig.start_station()
    rig.start_broker()
    rig.start_receiver()
    rig.write_config()
    rig.start_gateway()
    started = time.monotonic()
    spies = [Spy(rig)]
    wait_for("values at the receiver", lambda: _count(rig, "readings") > 0)
    _until(started + 18)

    rig.stop("broker")
    broker_away = time.monotonic()
    spies[0].close()
    _until(broker_away + 4)
    story["alarm_set_ms"] = time.time_ns() // 1_000_000
    rig.tell_station("set", device=ALARM_INPUT[0], point=ALARM_INPUT[1], value=1)
    _until(broker_away + 8)
    story["kill_ns"] = time.monotonic_ns()
    rig.kill("gateway")
    story["killed_ns"] = time.monotonic_ns()
    rig.start_gateway()
    _until(broker_away + 15)
    rig.start_broker()
    spies.append(Spy(rig))

    _until(started + POLLED_S)
    rig.drain()
    story["status"] = rig.ask_gateway("status")
    story["counts"] = rig.tell_station("counts")
    stopping = time.monotonic()
    story["exit_code"] = rig.stop("gateway")
    story["stop_s"] = time.monotonic() - stopping
    spies[1].close()
    story["seen"] = spies[0].seen + spies[1].seen


def _until(monotonic_s: float) -> None:
    """The course of events is set by the clock: an outage of 15 s lasts 15 s."""
    time.sleep(max(0.0, monotonic_s - time.monotonic()))


def _count(rig: Rig, table: str) -> int:
    if not rig.sink.exists():
        return 0
    with closing(sqlite3.connect(f"file:{rig.sink}?mode=ro", uri=True)) as sink:
        try:
            return sink.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        except sqlite3.OperationalError:
            return 0


def _rows(rig: Rig, question: str, *values: object) -> list[tuple]:
    with closing(sqlite3.connect(f"file:{rig.sink}?mode=ro", uri=True)) as sink:
        return sink.execute(question, values).fetchall()


def test_every_answer_is_at_the_receiver_exactly_once_with_its_value_and_time(day):
    """
    Nothing is lost, doubled or altered by an outage of the broker with a killed gateway in the middle, save what the last 250 ms before the kill gave.
    """
    rig = day["rig"]
    found = audit(rig.journal, rig.sink, IDENTITY, kills=[(day["kill_ns"] - EXCUSED_BEFORE_KILL_NS, day["killed_ns"])])
    assert (0, 0, 0, 0) == (found.lost_count, found.duplicates, found.wrong, found.unexplained), found
    assert found.answers > 600
    assert found.time_error_ms_p99 <= 50
    assert found.time_error_ms_max <= 500


def test_the_alarm_overtook_the_backlog_and_kept_its_time(day):
    """
    The alarm of the outage reached the receiver before any backlog, with the time at which it was raised.
    """
    rig = day["rig"]
    events = [
        (epoch, seq, at_ms)
        for epoch, seq, at_ms, body in _rows(rig, "SELECT epoch, seq, at_ms, body FROM events WHERE kind = 'alarm' AND device = ?", ALARM_INPUT[0])
        if json.loads(body)["edge"] == "raised"
    ]
    assert 1 == len(events)
    epoch, seq, at_ms = events[0]
    assert 0 <= at_ms - day["alarm_set_ms"] <= 3000
    (arrived,) = _rows(rig, "SELECT min(arrival) FROM batches WHERE stream = 1 AND epoch = ? AND first <= ? AND last >= ?", epoch, seq, seq)[0]
    (backlog,) = _rows(rig, "SELECT min(arrival) FROM batches WHERE topic_kind = 'h' AND stream = 3")[0]
    assert backlog is not None
    assert arrived < backlog


def test_the_broker_sees_three_codes_and_nothing_else(day):
    """
    Topics carry operator, station and gateway; no payload holds a point, a device, a value's text or anything but the state of the connection.
    """
    rig = day["rig"]
    words = {row[0].encode() for column in ("point", "device") for row in _rows(rig, f"SELECT DISTINCT {column} FROM readings")}
    words -= {GATEWAY.encode()}  # The gateway is a device of its own; its code is one of the three.
    values = {str(row[0]).encode() for row in _rows(rig, "SELECT DISTINCT value FROM readings WHERE length(value) >= 6 LIMIT 2000")}
    assert len(day["seen"]) > 100
    for topic, payload in day["seen"]:
        assert ["egw", "1", OPERATOR, STATION, GATEWAY] == topic.split("/")[:5]
        assert topic.split("/", 5)[5] in {"e", "n", "t", "h", "m", "s", "d/ack"}
        if topic.endswith("/s"):
            assert {"state", "sid", "ts"} == set(json.loads(payload))
            continue
        assert not [word for word in words | values if word in payload]


def test_no_request_broke_the_silence_of_a_serial_line(day):
    """
    The devices counted no request within 3.5 characters of an answer and none they could not read.
    """
    assert [(0, 0)] * len(day["counts"]["buses"]) == [(bus["violations"], bus["bad_requests"]) for bus in day["counts"]["buses"]]


def test_the_gateway_ends_within_ten_seconds_of_sigterm(day):
    """
    The process ends by itself, in time, with exit code 0.
    """
    assert 0 == day["exit_code"]
    assert day["stop_s"] < 10


def test_a_destroyed_database_is_set_aside_and_polling_goes_on(day):
    """
    Started on a database with a destroyed header, the gateway keeps the file under another name, says so by an alarm, and polls within 10 s.
    """
    rig = day["rig"]
    database = rig.directory / "state" / "edgegw.db"
    with database.open("r+b") as file:
        file.write(b"\xff" * 4096)
    for device in rig.station["devices"]:
        rig.tell_station("speak", device=device["code"])
    before = sum(device["answers"] for device in rig.tell_station("counts")["devices"])
    started = time.monotonic()
    rig.start_gateway()
    wait_for("a poll", lambda: sum(device["answers"] for device in rig.tell_station("counts")["devices"]) > before, 10)
    assert time.monotonic() - started < 10
    assert [database.name] != [file.name for file in database.parent.glob("edgegw.db.damaged-*")]
    assert 1 == len([file for file in database.parent.glob("edgegw.db.damaged-*") if not file.name.endswith(("-wal", "-shm"))])
    wait_for("the alarm", lambda: any("damaged" in body for (body,) in _rows(rig, "SELECT body FROM events")), 20)
    assert 0 == rig.stop("gateway")
