"""How a connection to a broker is made: where it is, who we are, what we trust. Reads files, opens nothing.

What is always verified: that the broker's certificate leads to an authority that we trust, and that it is for the broker's name. Its dates are
verified by our clock, with one exception, the pinned-CA rule: while the clock was never set (it stands before the day this program was made),
a broker whose authority is pinned by `ca_file` is let in though its certificate seems of the future. What was over before this program was made
stays refused, and as soon as the clock is set the connection is made anew and judged by it.
"""

from __future__ import annotations

import ipaddress
import ssl
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from edgegw.clock import BUILD_DATE_MS
from edgegw.config.model import Gateway, Uplink
from edgegw.errors import EXIT_USAGE, EdgegwError
from edgegw.uplink.faults import EndedError
from edgegw.uplink.topics import client_id_of

_DEFAULT_PORTS = {"mqtts": 8883, "mqtt": 1883}
# openssl/x509_vfy.h, X509_V_FLAG_NO_CHECK_TIME: neither too early nor too late counts. Python has no name for it.
_NO_CHECK_TIME = 0x200000


class Broker(msgspec.Struct, frozen=True):
    """Where the broker is."""

    host: str
    port: int
    tls: bool

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Login(msgspec.Struct, frozen=True):
    """Everything that one connection needs to know."""

    broker: Broker
    client_id: str
    ca_file: str
    cert_file: str
    cert_key_file: str
    username: str
    password: str | None
    keepalive_s: int
    connect_timeout_s: float
    puback_timeout_s: float
    mqtt5: bool
    will_topic: str = ""
    """Empty: no will."""
    will: bytes = b""
    keeps_session: bool = True
    """The broker keeps receipts for us over a lost link."""
    clock_unset: bool = False
    """Our clock was never set."""

    @property
    def judges_no_dates(self) -> bool:
        """The pinned-CA rule applies."""
        return self.clock_unset and self.broker.tls and bool(self.ca_file)


def make_login(uplink: Uplink, gateway: Gateway, password: str | None, *, mqtt5: bool) -> Login:
    """The login of an uplink, without a will. Raises EdgegwError for a broker that is none."""
    return Login(
        broker=parse_broker(uplink.broker),
        client_id=client_id_of(uplink, gateway),
        ca_file=uplink.ca_file,
        cert_file=uplink.cert_file,
        cert_key_file=uplink.cert_key_file,
        username=uplink.username,
        password=password,
        keepalive_s=uplink.keepalive_s,
        connect_timeout_s=uplink.connect_timeout_s,
        puback_timeout_s=uplink.puback_timeout_s,
        mqtt5=mqtt5,
    )


class TlsFilesError(Exception):
    """Our own certificate files cannot be used: no fault of the broker, though both are SSLError."""


def parse_broker(url: str) -> Broker:
    """`mqtts://host[:port]`; `mqtt://` towards this machine only. Raises EdgegwError."""
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
    except ValueError as fault:
        raise _no_broker(url) from fault
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or not port:
        raise _no_broker(url)
    if parts.scheme == "mqtt" and not is_loopback(parts.hostname):
        raise EdgegwError("E-CFG-BROKER", f'broker "{url}": without TLS only towards this machine itself', "write mqtts://", EXIT_USAGE)
    return Broker(parts.hostname, port, parts.scheme == "mqtts")


def _no_broker(url: str) -> EdgegwError:
    return EdgegwError("E-CFG-BROKER", f'broker "{url}" is no mqtts://host:port', "write it as mqtts://broker.example:8883", EXIT_USAGE)


def is_loopback(host: str) -> bool:
    """The host is this machine itself."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class TlsSocket(ssl.SSLSocket):
    """Keeps the fault of the last read, which the MQTT client turns into "unspecified error", reads what the other side said last, closes after a failed handshake."""

    fault: OSError | None = None
    _has_failed = False
    """A write has; the next one that does ends the connection."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - the signature of ssl
        try:
            super().do_handshake(block)
            if self.context.verify_flags & _NO_CHECK_TIME:
                self._refuse_what_is_over()
        except OSError:
            self.on_failed()
            self.close()
            raise

    def _refuse_what_is_over(self) -> None:
        """Time goes on: it is at least the day this program was made. Raises EndedError."""
        earliest_s = max(BUILD_DATE_MS / 1000, time.time())
        for found in (self.getpeercert() or {}, max(self.context.get_ca_certs(), key=_ends_s, default={})):
            if _ends_s(found) < earliest_s:
                raise EndedError(1, f"a certificate that ended on {found.get('notAfter', '?')}")

    def on_failed(self) -> None:
        """The handshake failed, the socket is about to be closed: for whoever counts what that cost."""

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        try:
            return super().recv(buflen, flags)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except OSError as fault:
            self.fault = fault
            raise

    def send(self, data: Any, flags: int = 0) -> int:
        """A broker that hangs up may have said why: what it said is read before a write that fails tells that it is gone."""
        try:
            return super().send(data, flags)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError, ssl.SSLSyscallError) as fault:
            if self._has_failed:
                raise
            self._has_failed = True
            raise BlockingIOError(fault.errno, str(fault)) from fault


def _ends_s(certificate: Mapping[str, Any]) -> float:
    """Of a certificate as `ssl` decodes it: seconds since 1970."""
    return float(ssl.cert_time_to_seconds(certificate["notAfter"])) if certificate else 0.0


def tls_context(login: Login) -> ssl.SSLContext:
    """Made anew for each connection, so that a renewed certificate is taken up. Verification cannot be switched off. Raises TlsFilesError."""
    try:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=login.ca_file or None)
        if login.cert_file:
            context.load_cert_chain(login.cert_file, login.cert_key_file or None, password=_no_password)
    except (OSError, ValueError) as fault:
        names = ", ".join(filter(None, (login.ca_file, login.cert_file, login.cert_key_file)))
        raise TlsFilesError(f"{names}: {getattr(fault, 'strerror', None) or fault}") from fault
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if login.judges_no_dates:
        context.verify_flags |= _NO_CHECK_TIME
    context.sslsocket_class = TlsSocket
    return context


def _no_password() -> str:
    raise ValueError("the private key of the client certificate is encrypted")
