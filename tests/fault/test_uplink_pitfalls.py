"""The traps of the MQTT library that docs/uplink.md lists under "What the client must not do", one by one; what the other tests of the uplink show is not repeated."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
import time
from importlib.metadata import version
from pathlib import Path

import pytest

from edgegw.config.model import Uplink
from edgegw.uplink import faults
from edgegw.uplink.delivery import Delivery
from edgegw.uplink.faults import Fault
from edgegw.uplink.mqtt import Link, LinkError
from edgegw.uplink.takeover import SHORT_LIVES, Takeover
from tests.broker_double import BrokerDouble, Habits
from tests.uplink_rig import MemoryOutbox, Place, block, no_thread_left, place, running, until

PACKAGE = Path(__file__).parent.parent.parent / "edgegw"
# What blocks for ever, what lies, what queues without a bound, what reconnects without jitter, and what drops connections for ever (topic aliases).
FORBIDDEN = r"wait_for_publish|is_published|is_connected\(|loop_start|loop_stop|loop_forever|reconnect_delay_set|TopicAlias|\.reconnect\("


@pytest.fixture
def here(tmp_path):
    with no_thread_left(), place(tmp_path) as made:
        yield made


@pytest.fixture(autouse=True)
def soon(monkeypatch) -> None:
    """Connects anew at once; how long it really takes is shown in test_uplink_faults.py."""
    monkeypatch.setattr(faults, "CONNECT_INTERVAL_S", 0.3)
    monkeypatch.setattr(faults, "EAGER_DELAYS_S", (0.1, 0.3))


def blocks(count: int) -> MemoryOutbox:
    outbox = MemoryOutbox()
    outbox.add(*[block(number, number * 10, 10) for number in range(1, count + 1)])
    return outbox


def against(here: Place, double: BrokerDouble, body, outbox: MemoryOutbox | None = None, **changes: object) -> None:
    async def go() -> None:
        sender = here.sender(outbox or blocks(3), broker=f"mqtt://127.0.0.1:{double.port}", **changes)
        await running(sender, lambda: body(sender))

    asyncio.run(go())


def test_what_cannot_be_trusted_is_not_used():
    """
    Nothing of the library that waits without a deadline, answers wrongly or reconnects by itself is called in uplink or receiver.
    """
    sources = [path for part in ("uplink", "cloud") for path in (PACKAGE / part).glob("*.py")]
    found = [f"{path.name}: {line.strip()}" for path in sources for line in path.read_text(encoding="utf-8").splitlines() if re.search(FORBIDDEN, line)]
    assert len(sources) > 30
    assert [] == found


def test_after_a_reconnect_the_window_holds_too(here):
    """
    With many messages waiting and the link cut again and again, never more are without PUBACK than the broker takes, on no connection.
    """
    with BrokerDouble(Habits(receive_maximum=2, puback_delay_s=0.02)) as double:

        async def body(sender) -> None:
            for connections in (1, 2):
                await until(lambda connections=connections: len(double.seen.connects_at_s) == connections and double.seen.topics.count("h") > 4 * connections)
                double.cut()
            await until(lambda: len(double.seen.connects_at_s) == 3 and sender.status().in_flight == 0 and sender.status().batches_sent >= 30)

        against(here, double, body, blocks(30))
        assert 2 == double.seen.unacked_most


@pytest.mark.broker
@pytest.mark.parametrize("name", ["_on_publish", "_on_message", "_on_connect"])
def test_a_mistake_on_the_librarys_thread_is_told_as_a_lost_link(here, monkeypatch, name):
    """
    An exception in a callback ends the library's thread; the sender hears of it at once, connects anew and delivers.
    """
    mistakes = [RuntimeError("a mistake of ours")]
    original = getattr(Link, name)

    def failing(*arguments: object) -> None:
        if mistakes:
            raise mistakes.pop()
        original(*arguments)

    monkeypatch.setattr(Link, name, failing)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    outbox = blocks(2)
    here.start_broker()
    here.start_receiver()
    sender = here.sender(outbox)

    async def body() -> None:
        await until(lambda: not mistakes and not outbox.open, 60)

    asyncio.run(running(sender, body))
    assert [] == outbox.open


def test_nothing_is_handed_to_a_connection_that_is_gone(here):
    """
    A publish on a link that has ended raises instead of being queued, and callbacks of a link run on the loop, not on its thread.
    """
    heard_on: set[int] = set()
    original = Delivery.on_puback

    def noting(self: Delivery, mid: int, code: int) -> None:
        heard_on.add(threading.get_ident())
        original(self, mid, code)

    with BrokerDouble(Habits()) as double, pytest.MonkeyPatch.context() as patch:
        patch.setattr(Delivery, "on_puback", noting)

        async def body(sender) -> None:
            await until(lambda: sender.status().batches_sent == 3 and sender.status().in_flight == 0)
            link = sender._link
            double.cut()
            await until(lambda: link.closed)
            with pytest.raises(LinkError):
                link.publish("t", b"too late")

        against(here, double, body)
    assert {threading.get_ident()} == heard_on


def test_sockets_send_at_once_and_give_up_in_time(here):
    """
    TCP_NODELAY and TCP_USER_TIMEOUT stand on the socket; connecting has 20 s by default, enough for a mobile link.
    """
    with BrokerDouble(Habits()) as double:

        async def body(sender) -> None:
            await until(lambda: sender.status().connected)
            opened = sender._link._socket
            assert 0 != opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert 7000 == opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)

        against(here, double, body, puback_timeout_s=7.0)
    uplink = Uplink(name="u", broker="mqtts://b", recipient_file="f")
    assert (20.0, 60, True) == (uplink.connect_timeout_s, uplink.keepalive_s, 20.0 <= uplink.puback_timeout_s <= 30.0)


def test_session_and_its_end_are_asked_for_in_words(here):
    """
    Every CONNECT says that a session is to be kept, and for how long: the library's own defaults differ from one connection to the next.
    """
    with BrokerDouble(Habits()) as double:

        async def body(sender) -> None:
            await until(lambda: sender.status().connected)
            double.cut()
            await until(lambda: len(double.seen.connects) == 2)

        against(here, double, body)
    for connect in double.seen.connects:
        flags, properties = connect[7], connect[10:]
        assert 0 == flags & 2  # clean start
        assert properties[1:6] == b"\x11" + (3600).to_bytes(4, "big")


@pytest.mark.broker
def test_a_second_client_of_our_name_is_left_alone(here):
    """
    Thrown out by another client of the same id, again and again and without a word, the sender tells it, waits for a minute or two, and leaves the other alone.
    """
    here.start_broker()
    here.start_receiver()
    outbox = blocks(1)
    sender = here.sender(outbox)
    other = here._client("egw-op-st-gw")
    other.reconnect_delay_set(1, 1)

    async def body() -> None:
        await until(lambda: sender.status().connected and not outbox.open)
        other.connect("localhost", here.port)
        other.loop_start()
        await until(lambda: (sender.status().error_id, sender.status().state) == ("E-MQTT-TAKEOVER", "waiting"), 60)
        assert SHORT_LIVES <= sender.status().connections <= SHORT_LIVES + 1
        assert ["uplink cloud E-MQTT-TAKEOVER"] == [notice.rule for notice in sender.notices()]
        await until(other.is_connected)
        lasts_s = time.monotonic() + 3.0
        await until(lambda: time.monotonic() > lasts_s)
        assert (True, "waiting") == (other.is_connected(), sender.status().state)

    try:
        asyncio.run(running(sender, body))
    finally:
        other.disconnect()
        other.loop_stop()


def test_a_bad_link_is_no_second_client():
    """
    Connections that are never made, or that last, say nothing of another client; once it is known, a life of two minutes does not end it, a longer one does.
    """
    lost = Fault("E-NET-LOST", "closed", "")
    takeover = Takeover()
    lives_s = [5.0, None, *[5.0] * (SHORT_LIVES - 1), 100.0, *[5.0] * SHORT_LIVES, 120.0, 200.0, 5.0]
    told = [takeover.ended(lost, lived_s, "b").message_id for lived_s in lives_s]
    known = [index for index, message_id in enumerate(told) if message_id == "E-MQTT-TAKEOVER"]
    assert [len(lives_s) - 4, len(lives_s) - 3] == known
    assert "E-NET-REFUSED" == takeover.ended(Fault("E-NET-REFUSED", "", ""), 5.0, "b").message_id


@pytest.mark.parametrize("habits", [Habits(puback=None), Habits(disconnect=0x93)])
def test_a_stop_waits_for_nobody(here, habits):
    """
    A stop with messages that nobody acknowledges ends within moments, whatever grace it was given.
    """
    took_s: list[float] = []
    with BrokerDouble(habits) as double:

        async def go() -> None:
            sender = here.sender(blocks(3), broker=f"mqtt://127.0.0.1:{double.port}")
            task = asyncio.create_task(sender.run())
            await until(lambda: double.seen.topics)
            began_s = time.monotonic()
            await sender.stop(0.5)
            await task
            took_s.append(time.monotonic() - began_s)

        asyncio.run(go())
    assert took_s[0] < 4.0


def test_a_version_of_the_library_that_keeps_the_servers_keep_alive():
    """
    Before 2.2 the library ignores the keep-alive that a broker prescribes, and is thrown out.
    """
    assert (2, 2) <= tuple(int(part) for part in version("paho-mqtt").split(".")[:2])
