"""What of certificates, logins and ports is wrong: each fault has its id, is told once, is tried again, and sends nothing."""

from __future__ import annotations

import asyncio
import shutil
from datetime import timedelta

import pytest

from edgegw.cloud.pki import Authority
from edgegw.model import ClockTrust
from tests.uplink_rig import MemoryOutbox, block, log_of, no_thread_left, place, running, until
from tests.uplink_wrong import other_server, password_file, secret_file, tls

pytestmark = pytest.mark.broker


@pytest.fixture
def here(tmp_path):
    with no_thread_left(), place(tmp_path) as made:
        yield made


def backlog(count: int) -> MemoryOutbox:
    outbox = MemoryOutbox()
    outbox.add(*[block(number, number * 20, 20) for number in range(1, count + 1)])
    return outbox


@pytest.mark.parametrize(
    ("expected", "kind", "trust"),
    [
        ("E-TLS-CA", "foreign", ClockTrust.SYNCHRONISED),
        ("E-TLS-SELF", "self-signed", ClockTrust.SYNCHRONISED),
        ("E-TLS-NAME", "name", ClockTrust.SYNCHRONISED),
        ("E-TLS-EXPIRED", "expired", ClockTrust.SYNCHRONISED),
        ("E-TLS-EXPIRED", "future", ClockTrust.SYNCHRONISED),
        ("E-CLOCK", "expired", ClockTrust.HELD),
        ("E-CLOCK", "future", ClockTrust.HELD),
        # Under the pinned-CA rule, too: only dates of the future are let pass.
        ("E-TLS-CA", "foreign", ClockTrust.UNSET),
        ("E-TLS-SELF", "self-signed", ClockTrust.UNSET),
        ("E-TLS-NAME", "name", ClockTrust.UNSET),
        ("E-TLS-EXPIRED", "expired", ClockTrust.UNSET),
        ("E-TLS-EXPIRED", "ancient", ClockTrust.UNSET),
    ],
)
def test_a_wrong_server_certificate_has_its_id(here, caplog, expected, kind, trust):
    """
    No data goes to a broker with a wrong certificate; its fault has its own id, is told once and tried again.
    """
    here.trusted_ca = str(here.pki.ca)
    here.start_broker(tls=tls(here, **other_server(here, kind)))
    outbox = backlog(1)
    sender = here.sender(outbox, trust=trust, ca_file=here.trusted_ca)

    async def body() -> None:
        await until(lambda: sender.status().error_id == expected)

    asyncio.run(running(sender, body))
    assert 0 == sender.status().batches_sent
    assert 1 == len(log_of(caplog, expected))
    assert [("major", f"uplink cloud {expected}")] == [(notice.level, notice.rule) for notice in sender.notices() if expected in notice.text]
    assert [True] == [expected in notice.text_zh for notice in sender.notices() if expected in notice.text]


@pytest.mark.parametrize(
    ("expected", "login"),
    [
        ("E-TLS-CLIENT-NONE", {"cert_file": "", "cert_key_file": ""}),
        ("E-TLS-CLIENT-CA", {}),
        ("E-TLS-FILES", {"cert_file": "/nowhere/cert.crt"}),
        ("E-TLS-FILES", {"ca_file": "/nowhere/ca.crt"}),
    ],
)
def test_a_wrong_client_certificate_has_its_id(here, expected, login):
    """
    A missing, foreign or unreadable certificate of ours has its own id, though it shows only after the handshake.
    """
    if expected == "E-TLS-CLIENT-CA":
        cert, key = Authority("another CA").issue(here.directory / "stranger", "gateway")
        login = {"cert_file": str(cert), "cert_key_file": str(key)}
    here.start_broker()
    sender = here.sender(backlog(1), **login)

    async def body() -> None:
        await until(lambda: sender.status().error_id == expected)

    asyncio.run(running(sender, body))
    assert (0, 0) == (sender.status().batches_sent, sender.status().connections)


def test_a_refused_login_has_its_id_and_is_tried_again(here):
    """
    A wrong password is told as that; when it is put right at the broker, the sender gets in without a restart.
    """
    here.start_broker(f"password_file {password_file(here, 'gw', 'right')}", tls=tls(here, allow_anonymous="false"))
    sender = here.sender(backlog(1), username="gw", password_file=secret_file(here, "wrong"))

    async def body() -> None:
        await until(lambda: sender.status().error_id == "E-MQTT-AUTH")
        here.stop_broker()
        await asyncio.to_thread(here.start_broker)
        await until(lambda: sender.status().connected)

    asyncio.run(running(sender, body))
    assert 1 == sender.status().connections


def test_a_plain_port_and_no_broker_have_their_ids(here):
    """
    A port that speaks no TLS, a closed port, a name that does not resolve: each is told by its id, and none ends the sender.
    """
    here.start_broker(tls="allow_anonymous true")
    for expected, broker in [
        ("E-TLS-NOT-TLS", f"mqtts://localhost:{here.port}"),
        ("E-NET-REFUSED", "mqtts://localhost:1"),
        ("E-NET-DNS", "mqtts://no-such-broker.invalid"),
    ]:
        sender = here.sender(backlog(1), broker=broker)

        async def body(sender=sender, expected=expected) -> None:
            await until(lambda: sender.status().error_id == expected)
            assert not sender.status().connected

        asyncio.run(running(sender, body))


def test_a_clock_that_was_never_set_lets_a_pinned_authority_pass_and_nothing_else(here, caplog):
    """
    While the clock stands before the day of this program, a certificate of the future is taken from a pinned authority and told; when the clock is
    set, the connection is made anew and judged.
    """
    here.start_broker(tls=tls(here, **other_server(here, "future")))
    outbox = backlog(1)
    sender = here.sender(outbox, trust=ClockTrust.UNSET, ca_file=here.trusted_ca)

    async def body() -> None:
        await until(lambda: sender.status().connected and sender.status().batches_sent)
        assert 1 == len(log_of(caplog, "W-TLS-CLOCK"))
        here.clock.trust = ClockTrust.SYNCHRONISED
        await until(lambda: sender.status().error_id == "E-TLS-EXPIRED")

    asyncio.run(running(sender, body))
    assert 1 == sender.status().connections
    assert 1 == len(log_of(caplog, "W-TLS-CLOCK"))


def test_a_clock_that_is_set_late_costs_one_connection(here):
    """
    A broker that is good by the right time too is connected to again, and its fault is over.
    """
    here.start_broker()
    here.start_receiver()
    sender = here.sender(backlog(1), trust=ClockTrust.UNSET)

    async def body() -> None:
        await until(lambda: sender.status().connected and sender.status().error_id == "W-TLS-CLOCK")
        here.clock.trust = ClockTrust.SYNCHRONISED
        await until(lambda: sender.status().connections == 2)
        await until(lambda: not sender.status().error_id)

    asyncio.run(running(sender, body))
    assert 2 == sender.status().connections


def test_a_renewed_client_certificate_is_taken_up_without_a_gap(here):
    """
    New files in place of the old ones: the broker sees the new certificate within moments, half a set changes nothing, and every reading comes once.
    """
    authority = Authority()
    here.start_broker("use_identity_as_username true", tls=tls(here, cafile=str(here.both_authorities(authority))))
    here.start_receiver()
    outbox = MemoryOutbox()
    old_cert, old_key = (here.directory / "own.crt", here.directory / "own.key")
    old_cert.write_bytes(here.pki.gateway_cert.read_bytes())
    shutil.copy(here.pki.gateway_key, old_key)  # with its mode
    cert, key = authority.issue(here.directory / "renewed", "renewed-gateway", valid_for=timedelta(days=365))
    sender = here.sender(outbox, cert_file=str(old_cert), cert_key_file=str(old_key))
    log = here.directory / "mosquitto.log"

    async def feed(first: int, count: int) -> None:
        for number in range(first, first + count):
            outbox.add(block(number, number * 20, 20))
            sender.wake()
            await asyncio.sleep(0.05)

    async def body() -> None:
        await until(lambda: sender.status().connected)
        await feed(1, 20)
        cert.replace(old_cert)
        await feed(21, 120)  # longer than the look at the files: certificate and key do not fit now
        assert (1, True, "") == (sender.status().connections, sender.status().connected, sender.status().error_id)
        key.replace(old_key)
        feeding = asyncio.create_task(feed(141, 200))
        await until(lambda: sender.status().connections == 2)
        await feeding
        await until(lambda: not outbox.open)

    asyncio.run(running(sender, body))
    assert "u'renewed-gateway'" in log.read_text()
    assert [(340 * 20, 340 * 20)] == here.rows("SELECT count(DISTINCT seq), count(*) / 3 FROM readings")
