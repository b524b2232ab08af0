"""What of certificates, logins and ports is wrong: each fault has its id, is told once, is tried again, and sends nothing."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from edgegw.cloud.pki import Authority
from tests.uplink_rig import MemoryOutbox, Place, block, log_of, no_thread_left, place, running, until

pytestmark = pytest.mark.broker


@pytest.fixture
def here(tmp_path):
    with no_thread_left(), place(tmp_path) as made:
        yield made


def backlog(count: int) -> MemoryOutbox:
    outbox = MemoryOutbox()
    outbox.add(*[block(number, number * 20, 20) for number in range(1, count + 1)])
    return outbox


def tls(here: Place, **changes: str) -> str:
    """Broker settings: the right ones, with some exchanged."""
    pki = here.pki
    settings = {
        "cafile": str(pki.ca),
        "certfile": str(pki.server_cert),
        "keyfile": str(pki.server_key),
        "require_certificate": "true",
        "allow_anonymous": "true",
    }
    return "\n".join(f"{key} {value}" for key, value in (settings | changes).items() if value)


def other_server(here: Place, kind: str) -> dict[str, str]:
    """A server certificate that is wrong in one way."""
    name = here.directory / f"server-{kind}"
    if kind == "self-signed":
        key, cert = f"{name}.key", f"{name}.crt"
        subprocess.run(
            [
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-subj",
                "/CN=localhost",
                "-addext",
                "subjectAltName=DNS:localhost",
                "-days",
                "1",
                "-keyout",
                key,
                "-out",
                cert,
            ],
            check=True,
            capture_output=True,
        )
        return {"certfile": cert, "keyfile": key}
    authority = Authority(now=datetime.now(UTC) - timedelta(days=20)) if kind == "expired" else Authority()
    hosts = ["other.example"] if kind == "name" else ["localhost"]
    valid_for = timedelta(days=1) if kind == "expired" else timedelta(days=30)
    cert, key = authority.issue(name, "server", hosts, valid_for)
    if kind != "foreign":
        here.trusted_ca = str(authority.write(here.directory / f"ca-{kind}.crt"))
    return {"certfile": str(cert), "keyfile": str(key)}


@pytest.mark.parametrize(
    ("expected", "kind", "trusted"),
    [
        ("E-TLS-CA", "foreign", True),
        ("E-TLS-SELF", "self-signed", True),
        ("E-TLS-NAME", "name", True),
        ("E-TLS-EXPIRED", "expired", True),
        ("E-CLOCK", "expired", False),
    ],
)
def test_a_wrong_server_certificate_has_its_id(here, caplog, expected, kind, trusted):
    """
    No data goes to a broker with a wrong certificate; its fault has its own id, is told once and tried again.
    """
    here.trusted_ca = str(here.pki.ca)
    here.start_broker(tls=tls(here, **other_server(here, kind)))
    outbox = backlog(1)
    sender = here.sender(outbox, trusted=trusted, ca_file=here.trusted_ca)

    async def body() -> None:
        await until(lambda: sender.status().error_id == expected)

    asyncio.run(running(sender, body))
    assert 0 == sender.status().batches_sent
    assert 1 == len(log_of(caplog, expected))


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
    passwords = here.directory / "passwords"
    program = shutil.which("mosquitto_passwd")
    if program is None:
        pytest.skip("mosquitto_passwd is not installed")
    subprocess.run([program, "-b", "-c", str(passwords), "gw", "right"], check=True)
    here.start_broker(f"password_file {passwords}", tls=tls(here, allow_anonymous="false"))
    secret = here.directory / "password"
    secret.write_text("wrong")
    secret.chmod(0o600)
    sender = here.sender(backlog(1), username="gw", password_file=str(secret))

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
