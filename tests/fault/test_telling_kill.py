"""SIGKILL of a real daemon around a notice: it is told once, with a real HTTP server as the provider of short messages."""

from __future__ import annotations

import signal
import time

import pytest

from tests.telling_gateway import Gateway, provider, relays, wait_for

RELAY = """
[[device]]
code = "M-01"
bus = "lan"
unit = 1
profile = "relay.board8"
offline_after_s = 1
"""


@pytest.fixture
def gateway(tmp_path):
    """Its meter never answers: an alarm comes by itself."""
    found = Gateway(tmp_path)
    try:
        yield found
    finally:
        found.kill()


def test_a_notice_that_waits_survives_a_kill_and_is_told_once(gateway):
    """
    Killed between the raise and the telling, the next start tells it once; a further kill repeats nothing, and the end is told when its device is gone.
    """
    gateway.start()
    waiting = wait_for("notice that waits", lambda: gateway.ask("notifications").get("waiting"))
    gateway.kill()
    with provider(gateway) as server:
        gateway.start()
        wait_for("message", lambda: server.answered)
        wait_for("stored result", lambda: gateway.outcomes() == ["delivered"])
        gateway.kill()
        gateway.write("")
        gateway.start()
        wait_for("end", lambda: gateway.outcomes() == ["delivered", "delivered"])
        assert [waiting[0]["notice_id"]] == [message["id"] for message in server.answered][:1]
        assert 2 == len(server.answered) == len({message["id"] for message in server.answered})
        assert ["M-01", "ended"] == [server.answered[0]["text"].split()[1], server.answered[1]["text"].split()[3]]


def test_a_kill_without_the_servers_answer_repeats_the_notice_under_its_id(gateway):
    """
    Killed while the server has the message and has not answered, the daemon tells it again as the same one: the server can know it.
    """
    with provider(gateway, answers=False) as server:
        gateway.start()
        wait_for("message at the server", lambda: server.asked)
        gateway.kill()
        first = server.asked[0]
    with provider(gateway) as server:
        gateway.start()
        wait_for("stored result", lambda: gateway.outcomes() == ["delivered"])
        gateway.kill(signal.SIGTERM)
        assert [first["id"]] == [message["id"] for message in server.answered]


def test_a_kill_at_every_edge_of_an_alarms_life_loses_and_repeats_nothing(gateway):
    """
    Killed at its raise, when it is told, when it is acknowledged and at its end: one message of the alarm and one of its end, and the acknowledgement stays.
    """
    with relays() as board, provider(gateway) as server:
        gateway.ports["device_port"] = board.server_address[1]
        gateway.write(RELAY)
        gateway.start()
        wait_for("gateway", lambda: "alarms" in gateway.ask())
        board.is_silent = True
        raised = wait_for("alarm", lambda: gateway.ask().get("alarms"))
        gateway.kill()
        gateway.start()
        wait_for("message", lambda: server.answered)
        gateway.kill()
        gateway.start()
        wait_for("gateway", lambda: gateway.ask().get("alarms"))
        gateway.ask("ack", str(raised[0]["number"]))
        gateway.kill()
        gateway.start()
        again = wait_for("gateway", lambda: gateway.ask().get("alarms"))
        assert [(raised[0]["alarm_id"], True)] == [(alarm["alarm_id"], alarm["acknowledged"]) for alarm in again]
        board.is_silent = False
        wait_for("end", lambda: gateway.ask().get("alarms") == [])
        gateway.kill()
        gateway.start()
        wait_for("message of the end", lambda: len({message["id"] for message in server.answered}) == 2)
        wait_for("results", lambda: gateway.outcomes() == ["delivered", "delivered"] and gateway.ask("notifications")["waiting"] == [])
        first, second = {message["id"]: message["text"] for message in server.answered}.values()
        assert "ended" not in first
        assert "ended" in second


def test_a_server_that_hangs_does_not_hold_up_the_end(gateway):
    """
    Told to end while a provider has a message and never answers, the daemon ends with 0 within ten seconds, and the next start tells it.
    """
    with provider(gateway, answers=False) as server:
        gateway.start()
        wait_for("message at the server", lambda: server.asked)
        process = gateway.process
        began_s = time.monotonic()
        gateway.kill(signal.SIGTERM)
        assert 0 == process.returncode
        assert time.monotonic() - began_s < 10
    with provider(gateway) as server:
        gateway.start()
        wait_for("stored result", lambda: gateway.outcomes() == ["delivered"])
        assert 1 == len(server.answered)
