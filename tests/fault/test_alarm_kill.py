"""SIGKILL around every edge of an alarm's life, of the whole gateway on the simulated station: nothing of it is lost, nothing repeated."""

from __future__ import annotations

import json
import random
import sqlite3
import threading
import time
from collections import Counter
from contextlib import closing, suppress

import pytest

from edgegw.cli.rig import Rig, wait_for
from edgegw.errors import EdgegwError

pytestmark = pytest.mark.broker

RULES = """
[[rule]]
name = "hot"
condition = "high"
point = "temperature"
limit = 70
devices = ["TH-02"]
level = "major"

[[rule]]
name = "stuck"
condition = "high"
point = "temperature"
limit = 70
devices = ["TH-01"]
level = "major"
latched = true
"""
DEVICE = {"hot": "TH-02", "stuck": "TH-01"}
# After the change in the engine, before and behind its commit (at most 50 ms).
DELAYS_S = (0.0, 0.03)
# Of the tell mark: within the settle window of three seconds and behind it.
TOLD_WITHIN_S = 4.0
START_S_MAX = 90.0
SEED = 7


class Killer:
    """Brings an alarm to an edge and kills the gateway there."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.kills = 0
        self.answered: list[tuple[str, int]] = []
        """Deeds whose answer came before the kill."""

    def at(self, edge: str, delay_s: float, act) -> None:
        """Acts, kills the gateway so long after it says that the edge has come, and starts it again."""
        log = self.rig.log_of("gateway")
        seen = log.stat().st_size
        acting = threading.Thread(target=act)
        acting.start()
        end_s, pause = time.monotonic() + START_S_MAX, threading.Event()
        while f" {edge}: ".encode() not in log.read_bytes()[seen:]:
            assert time.monotonic() < end_s, edge
            pause.wait(0.001)  # A kill before the commit needs a quicker look than others do.
        wait_for("the moment", self._after(delay_s))
        self._kill()
        acting.join()

    def within(self, seconds: float) -> None:
        wait_for("the moment", self._after(seconds))
        self._kill()

    def _after(self, seconds: float):
        end_s = time.monotonic() + seconds
        return lambda: time.monotonic() >= end_s

    def _kill(self) -> None:
        self.rig.kill("gateway")
        self.kills += 1
        self.rig.start_gateway()
        wait_for("the service", lambda: alarms(self.rig) is not None, START_S_MAX)

    def do(self, deed: str, number: int, **more) -> None:
        """A deed of a person, whose answer the kill may cut off."""
        with suppress(EdgegwError):
            self.rig.ask_gateway("alarm-do", {"deed": deed, "number": number, "note": "test", **more})
            self.answered.append((deed, number))


def alarms(rig):
    """None while nobody answers."""
    with suppress(EdgegwError):
        return rig.ask_gateway("alarms")["alarms"]
    return None


def the(rig, rule, **wanted):
    """The open alarm of a rule, once it is as wanted."""

    def found():
        return next((a for a in alarms(rig) or () if a["rule"] == rule and all(a[name] == value for name, value in wanted.items())), None)

    return wait_for(f"{rule} {wanted}", found, START_S_MAX)


def life(rig, killer, rule, delay_s, chance):
    """One alarm from raise to close, killed at each edge."""
    heat = {"device": DEVICE[rule], "point": "temperature"}
    killer.at("raised", delay_s, lambda: rig.tell_station("set", **heat, value=80))
    number = the(rig, rule, state="active")["number"]
    killer.within(chance.uniform(0, TOLD_WITHIN_S))
    assert number == the(rig, rule, state="active")["number"]
    killer.at("shelved", delay_s, lambda: killer.do("shelve", number, for_s=3600))
    killer.at("acknowledged", delay_s, lambda: killer.do("ack", number))
    if ("ack", number) in killer.answered:
        assert the(rig, rule)["acknowledged"]
    killer.do("ack", number)
    end = "returned" if rule == "stuck" else "cleared"
    killer.at(end, delay_s, lambda: rig.tell_station("release", **heat))
    if rule == "stuck":
        assert number == the(rig, rule, state="returned")["number"]
        killer.at("reset", delay_s, lambda: killer.do("reset", number))
        killer.do("reset", number)
    wait_for("the end", lambda: alarms(rig) is not None and not any(a["rule"] == rule for a in alarms(rig)), START_S_MAX)


def received(rig, kind):
    with closing(sqlite3.connect(f"file:{rig.sink}?mode=ro", uri=True, timeout=5)) as sink:
        bodies = [json.loads(body) for (body,) in sink.execute("SELECT body FROM events WHERE kind = ?", (kind,))]
    return [body for body in bodies if body.get("rule") in DEVICE]


def stored(rig):
    return [event for event in rig.ask_gateway("alarm-history", {"since_s": 3600})["events"] if event["rule"] in DEVICE]


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """The rig after all kills, with everything delivered."""
    rig = Rig(tmp_path_factory.mktemp("kill"))
    try:
        rig.make_keys()
        rig.start_station()
        rig.start_broker()
        rig.start_receiver()
        rig.write_config()
        rig.config.write_text(rig.config.read_text() + RULES)
        rig.start_gateway()
        wait_for("values at the receiver", rig.values_received, START_S_MAX)
        killer, chance = Killer(rig), random.Random(SEED)
        for delay_s in DELAYS_S:
            for rule in DEVICE:
                life(rig, killer, rule, delay_s, chance)
        wait_for("all of it at the receiver", lambda: len(received(rig, "alarm")) >= len(stored(rig)), START_S_MAX)
        yield killer
    finally:
        rig.close()


def test_each_episode_began_once_and_ended_once(killed):
    """
    The receiver has, of each alarm that a person saw, one BEGIN and one END under one id and one number, and no other.
    """
    bodies = received(killed.rig, "alarm")
    edges = Counter((body["id"], "end" if body.get("closed") else body["edge"]) for body in bodies)
    ids = {body["id"] for body in bodies}
    lives = len(DELAYS_S) * len(DEVICE)
    assert lives == len(ids) == len({body["number"] for body in bodies})
    assert {1} == {edges[alarm_id, "raised"] for alarm_id in ids} == {edges[alarm_id, "end"] for alarm_id in ids}
    assert 5 * lives < killed.kills


def test_no_edge_is_repeated(killed):
    """
    Each acknowledgement, shelf and reset is written down once, and nothing is told twice.
    """
    edges = Counter((body["id"], body["edge"]) for body in received(killed.rig, "alarm"))
    assert {1} == set(edges.values()), edges
    told = Counter((body["id"], body["why"]) for body in received(killed.rig, "told"))
    assert {1} >= set(told.values()), told


def test_nothing_that_was_answered_is_lost(killed):
    """
    Whatever somebody was told is done stands in the journal, at the gateway and at the receiver.
    """
    of_deed = {"ack": "acknowledged", "shelve": "shelved", "reset": "reset"}
    there = {(body["edge"], body["number"]) for body in received(killed.rig, "alarm")}
    assert killed.answered
    assert {(of_deed[deed], number) for deed, number in killed.answered} <= there


def test_the_journal_and_the_receiver_agree(killed):
    """
    What the gateway has stored of these alarms is what the receiver has.
    """
    here = Counter((event["id"], event["edge"]) for event in stored(killed.rig))
    assert here == Counter((body["id"], body["edge"]) for body in received(killed.rig, "alarm"))


def test_a_ups_that_was_on_battery_and_is_silent_behind_a_kill_counts_as_empty(tmp_path):
    """
    The last thing that the killed gateway heard of it was OB; the next one never hears it, and calls for somebody all the same.
    """
    rig = Rig(tmp_path)
    try:
        rig.make_keys()
        rig.start_station()
        rig.start_broker()
        rig.write_config()
        rig.start_gateway()
        rig.tell_station("set", device="UPS-01", point="ups.status", value="OB")
        the(rig, "ups-on-battery", state="active")
        rig.kill("gateway")
        rig.tell_station("silence", device="UPS-01")
        rig.start_gateway()
        assert "critical" == the(rig, "ups-silent-on-battery", state="active")["level"]
    finally:
        rig.close()
