"""The demo's broker in Python, where its library is installed (`./dev test` does that where it can)."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys

import pytest

from edgegw.cli.rig import free_port
from edgegw.cloud.pki import make_demo_pki

pytest.importorskip("amqtt")

# Session expiry, receive maximum, maximum packet size: what the receiver sends.
PROPERTIES = bytes.fromhex("0d 11 00015180 21 00c8 27 00010000")
CLIENT_ID = b"\x00\x08receiver"


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    """(its port, a TLS context with a certificate of its authority)"""
    pki = tmp_path_factory.mktemp("pki")
    make_demo_pki(pki, ["localhost", "127.0.0.1"])
    port = free_port()
    files = [str(pki / name) for name in ("ca.crt", "server.crt", "server.key")]
    context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    context.load_cert_chain(pki / "receiver.crt", pki / "receiver.key")
    with (pki / "log").open("w") as log:
        process = subprocess.Popen([sys.executable, "-m", "edgegw.sim.pure_broker", str(port), *files], stdout=subprocess.PIPE, stderr=log, text=True)
        assert process.stdout is not None
        assert "ready\n" == process.stdout.readline(), (pki / "log").read_text()
        yield port, context
        process.terminate()
        process.communicate(timeout=20)


@pytest.mark.parametrize(
    ("connack", "level", "properties"),
    [
        (b"\x20\x02\x00\x00", 4, b""),
        (b"\x20\x02\x00\x01", 5, b"\x00"),
        (b"\x20\x02\x00\x01", 5, PROPERTIES),
    ],
)
def test_each_version_is_answered_at_once(broker, connack, level, properties):
    """
    3.1.1 is accepted, MQTT 5 is refused as unsupported even with properties in its CONNECT, so that a client falls back.
    """
    port, context = broker
    body = b"\x00\x04MQTT" + bytes([level, 0x02, 0, 30]) + properties + CLIENT_ID
    with socket.create_connection(("127.0.0.1", port), 10) as plain, context.wrap_socket(plain, server_hostname="localhost") as line:
        line.sendall(bytes([0x10, len(body)]) + body)
        assert connack == line.recv(4)
