"""The socket of a connection: what a broker says last is heard, also when it hangs up while we write."""

from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path

import pytest

from edgegw.cloud.pki import DemoPki, make_demo_pki
from edgegw.uplink.login import TlsSocket

# MQTT 5: PUBACK of packet 2, not authorized.
REASON = b"\x40\x03\x00\x02\x87"


def hang_up(listener: socket.socket, pki: DemoPki) -> None:
    """A broker that says why and is gone: what comes then its kernel answers with a reset."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki.server_cert, pki.server_key)
    accepted, _ = listener.accept()
    with context.wrap_socket(accepted, server_side=True) as served:
        served.sendall(REASON)


def test_what_the_broker_said_last_is_read_before_a_failed_write_ends_the_connection(tmp_path: Path) -> None:
    """
    The first write that fails says "later", the reason is there to be read, the second write that fails is the end.
    """
    pki = make_demo_pki(tmp_path)
    listener = socket.create_server(("127.0.0.1", 0))
    broker = threading.Thread(target=hang_up, args=(listener, pki))
    broker.start()
    context = ssl.create_default_context(cafile=str(pki.ca))
    context.sslsocket_class = TlsSocket
    with context.wrap_socket(socket.create_connection(listener.getsockname()), server_hostname="localhost") as ours:
        broker.join(20)
        with pytest.raises(BlockingIOError):
            write_until_it_fails(ours)
        assert REASON == ours.recv(100)
        with pytest.raises(OSError, match=r"EOF|reset|pipe"):
            write_until_it_fails(ours)
    listener.close()


def write_until_it_fails(ours: ssl.SSLSocket) -> None:
    for _ in range(1000):
        ours.send(b"x" * 100)
