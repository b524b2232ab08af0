"""The receiver's connection to its broker: address, TLS, MQTT options."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from typing import Any, Protocol
from urllib.parse import urlsplit

import msgspec
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edgegw.errors import EXIT_USAGE, EdgegwError

CONNECT_TIMEOUT_S = 20.0
KEEPALIVE_S = 30
# The broker keeps what comes while the receiver is away this long; beyond it the gateways send again.
_SESSION_EXPIRY_S = 86_400
# Bounds what waits in memory between two commits, together with the size of a message.
_RECEIVE_MAXIMUM = 200
_PACKET_BYTES_MAX = 64 * 1024
_DEFAULT_PORTS = {"mqtts": 8883, "mqtt": 1883}


class BrokerAddress(msgspec.Struct, frozen=True):
    """Where the broker is."""

    host: str
    port: int
    tls: bool

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class TlsFiles(Protocol):
    """Paths, empty where there is none."""

    @property
    def ca(self) -> str: ...

    @property
    def cert(self) -> str: ...

    @property
    def cert_key(self) -> str: ...


def parse_broker(url: str) -> BrokerAddress:
    """`mqtts://host[:port]`; `mqtt://` towards this machine only. Raises EdgegwError."""
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
    except ValueError as fault:
        raise EdgegwError("E-CFG-BROKER", f'broker "{url}": {fault}', "write it as mqtts://broker.example:8883", EXIT_USAGE) from fault
    if not port or not parts.hostname or parts.scheme not in _DEFAULT_PORTS:
        raise EdgegwError("E-CFG-BROKER", f'broker "{url}" is no mqtts://host:port', "write it as mqtts://broker.example:8883", EXIT_USAGE)
    if parts.scheme == "mqtt" and not _is_loopback(parts.hostname):
        raise EdgegwError("E-CFG-BROKER", f'broker "{url}": without TLS only towards this machine itself', "write mqtts://", EXIT_USAGE)
    return BrokerAddress(parts.hostname, port, parts.scheme == "mqtts")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _TlsSocket(ssl.SSLSocket):
    """Closed after a failed handshake, which paho leaves to the garbage collector."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - the signature of ssl
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def make_client(address: BrokerAddress, client_id: str, files: TlsFiles, *, mqtt5: bool) -> paho.Client:
    """A client for one connection. PUBACKs are given by hand, after the commit. Raises EdgegwError where the certificate files cannot be used."""
    protocol = MQTTProtocolVersion.MQTTv5 if mqtt5 else MQTTProtocolVersion.MQTTv311
    clean = None if mqtt5 else False
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id, clean_session=clean, protocol=protocol, reconnect_on_failure=False, manual_ack=True)
    client.connect_timeout = CONNECT_TIMEOUT_S  # of name, TCP and TLS; the wait for CONNACK is the caller's
    client.on_socket_open = _on_socket_open
    if address.tls:
        client.tls_set_context(_tls_context(files))
    return client


def start(client: paho.Client, address: BrokerAddress, *, mqtt5: bool) -> None:
    """Sends CONNECT. Raises OSError."""
    options: dict[str, Any] = {}
    if mqtt5:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = _SESSION_EXPIRY_S
        properties.ReceiveMaximum = _RECEIVE_MAXIMUM
        properties.MaximumPacketSize = _PACKET_BYTES_MAX
        options = {"clean_start": False, "properties": properties}
    code = client.connect(address.host, address.port, KEEPALIVE_S, **options)
    if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
        raise ConnectionError(paho.error_string(code))


def _tls_context(files: TlsFiles) -> ssl.SSLContext:
    """Verification cannot be switched off."""
    try:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=files.ca or None)
        if files.cert:
            context.load_cert_chain(files.cert, files.cert_key or None, password=_no_password)
    except (OSError, ValueError) as fault:
        names = ", ".join(filter(None, (files.ca, files.cert, files.cert_key)))
        raise EdgegwError("E-TLS-FILES", f"{names}: {getattr(fault, 'strerror', None) or fault}", "check the certificate files", EXIT_USAGE) from fault
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslsocket_class = _TlsSocket
    return context


def describe(fault: BaseException) -> str:
    """What an exception of connect or handshake means, in a few words."""
    if isinstance(fault, ssl.SSLCertVerificationError):
        return f"E-TLS-CA: its certificate is not trusted ({fault.verify_message})"
    if isinstance(fault, socket.gaierror):
        return f"E-NET-DNS: the name does not resolve ({fault.strerror})"
    if isinstance(fault, ConnectionRefusedError):
        return "E-NET-REFUSED: refuses connections"
    if isinstance(fault, TimeoutError):
        return "E-NET-TIMEOUT: no connection in time"
    return f"E-NET-LOST: {fault}"


def _no_password() -> str:
    raise ValueError("the private key is encrypted")


def _on_socket_open(_client: paho.Client, _userdata: object, opened: Any) -> None:
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
