"""The way to a broker one step at a time, as far as TLS: for `edgegw cloud test`. Blocking, for a command of its own.

    1 clock   2 route   3 name   4 tcp   5 tls   6 client certificate        here
    7 login   8 topic   9 receipt                                            trial.py

The MQTT library reports one fault for all of these, and of a client certificate that is refused "unspecified error": in TLS 1.3 the broker
judges it after our side of the handshake is done, so that its alert comes with the first read.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import time
from typing import Any, Final, Literal

import msgspec

from edgegw.clock import read_clock_error_us
from edgegw.model import ClockTrust
from edgegw.uplink import faults
from edgegw.uplink.certificates import EXPIRED, Certificate, of_der, of_file
from edgegw.uplink.faults import Fault
from edgegw.uplink.login import Login, TlsFilesError, is_loopback, tls_context
from edgegw.uplink.ways import ELSEWHERE, interface_of, is_address, own_address, within

STAGES: Final = ("clock", "route", "name", "tcp", "tls", "client", "login", "topic", "receipt")
TRUSTED: Final = (ClockTrust.SYNCHRONISED, ClockTrust.CORRECTED)
State = Literal["ok", "warn", "fail", "none"]

BROKERS: Final = "the broker's certificate"

# A name has seldom more; each silent one costs a share of the time-out.
_ADDRESSES_MAX = 4
# How long the broker may take to object to our certificate: some round trips, as long as the handshake took; a busy broker a moment more.
_OBJECTION_S_MIN = 0.5
_OBJECTION_S_MAX = 5.0
_OBJECTION_HANDSHAKES = 4


class Stage(msgspec.Struct):
    """One step and what was found. `found` holds plain values under names that stay; `cause` tells faults of one id apart."""

    number: int
    name: str
    state: State = "none"
    ms: float | None = None
    found: dict[str, Any] = {}
    fault: Fault | None = None
    cause: str = ""


class StageError(Exception):
    """A stage failed."""

    def __init__(self, fault: Fault, cause: str = "", **found: Any) -> None:
        super().__init__(str(fault))
        self.fault = fault
        self.cause = cause
        self.found = found


Result = tuple[State, dict[str, Any], Fault | None]
"""State, what was found, and why where the state is "warn"."""


class Approach:
    """Stages 1 to 6 of one login. Each is called once, in order; `close` at the end."""

    def __init__(self, login: Login, trust: ClockTrust) -> None:
        self._login = msgspec.structs.replace(login, clock_unset=trust is ClockTrust.UNSET)
        self._trust = trust
        self._where = str(login.broker)
        self._has_route = True
        self._addresses: list[str] = []
        self._plain: socket.socket | None = None
        self._tls: ssl.SSLSocket | None = None
        self._handshake_s = 0.0
        self._files_fault: Fault | None = None
        self._objection: Fault | None = None

    def close(self) -> None:
        for link in (self._tls, self._plain):
            if link is not None:
                link.close()
        self._tls = self._plain = None

    # -- 1 to 4

    def clock(self) -> Result:
        error_us = read_clock_error_us()
        found = {"trust": self._trust.word, "error_ms": None if error_us is None else error_us / 1000, "time": _now()}
        if self._trust in TRUSTED:
            return "ok", found, None
        return "warn", found, Fault("E-CLOCK", f"our clock is not synchronised and says {found['time']}", "timedatectl")

    def route(self) -> Result:
        """Whether there is a way at all, before a name is asked for: without one the resolver's word means nothing."""
        host = self._login.broker.host
        literal = is_address(host) or is_loopback(host)
        targets = (("127.0.0.1" if host == "localhost" else host),) if literal else ELSEWHERE
        own = next(filter(None, map(own_address, targets)), None)
        if own is not None:
            return "ok", {"address": own, "interface": interface_of(own)}, None
        fault = Fault("E-NET-ROUTE", f"no way to {host}" if literal else "no default route: only networks of our own can be reached", "ip route")
        if literal:
            raise StageError(fault)
        self._has_route = False
        return "warn", {"address": None, "interface": None}, fault

    def name(self) -> Result:
        host = self._login.broker.host
        if is_address(host):
            self._addresses = [host]
            return "ok", {"addresses": [host], "literal": True}, None
        found = within(self._login.connect_timeout_s, lambda: socket.getaddrinfo(host, None, type=socket.SOCK_STREAM))
        if found is None:
            fault = Fault("E-NET-DNS", f"no answer about the name {host} for {self._login.connect_timeout_s:g} s", "check resolver and link")
            raise StageError(fault, "dns.silent" if self._has_route else "dns.route")
        if isinstance(found, OSError):
            cause = "dns.unknown" if found.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", -5)) else "dns.silent"
            fault = faults.of_connecting(found, host, self._login.broker.port, clock_trusted=True)
            raise StageError(fault, cause if self._has_route else "dns.route")
        self._addresses = list(dict.fromkeys(str(row[4][0]) for row in found))[:_ADDRESSES_MAX]
        return "ok", {"addresses": self._addresses, "literal": False}, None

    def tcp(self) -> Result:
        broker, ends_s = self._login.broker, time.monotonic() + self._login.connect_timeout_s
        fault: OSError = TimeoutError("no address")
        for rest, address in zip(range(len(self._addresses), 0, -1), self._addresses, strict=True):
            try:
                self._plain = socket.create_connection((address, broker.port), max(0.1, (ends_s - time.monotonic()) / rest))
            except OSError as found:
                fault = found
            else:
                return "ok", {"address": address, "port": broker.port}, None
        if isinstance(fault, TimeoutError):
            raise StageError(faults.timed_out(self._where, "TCP connection"), address=self._addresses[-1])
        raise StageError(faults.of_connecting(fault, broker.host, broker.port, clock_trusted=True), address=self._addresses[-1])

    # -- 5 and 6

    def tls(self) -> Result:
        assert self._plain is not None
        if not self._login.broker.tls:
            return "none", {"plain": True}, None
        context = self._context()
        self._plain.settimeout(self._login.connect_timeout_s)
        link = context.wrap_socket(self._plain, server_hostname=self._login.broker.host, do_handshake_on_connect=False)
        self._plain, self._tls = None, link
        started_s = time.monotonic()
        try:
            link.do_handshake()
        except TimeoutError as found:
            raise StageError(faults.timed_out(self._where, "answer to TLS")) from found
        except OSError as found:
            return self._handshake_failed(found)
        self._handshake_s = time.monotonic() - started_s
        der = link.getpeercert(binary_form=True)
        shown = of_der(der) if der else None
        found_here = {"version": link.version(), "cipher": (link.cipher() or ("",))[0], **_described(shown)}
        return self._judged(found_here, shown, BROKERS)

    def _context(self) -> ssl.SSLContext:
        """Our own files are judged in the stage that they belong to: the authority here, the client certificate in the next."""
        try:
            return tls_context(self._login)
        except TlsFilesError as found:
            self._files_fault = faults.of_files(str(found))
        try:
            return tls_context(msgspec.structs.replace(self._login, cert_file="", cert_key_file=""))
        except TlsFilesError as found:
            raise StageError(faults.of_files(str(found))) from found

    def _handshake_failed(self, found: OSError) -> Result:
        broker = self._login.broker
        fault = faults.of_connecting(found, broker.host, broker.port, clock_trusted=self._trust in TRUSTED)
        if fault.message_id in ("E-TLS-CLIENT-NONE", "E-TLS-CLIENT-CA"):
            # TLS 1.2 judges our certificate within the handshake: TLS itself works.
            self._objection = fault
            return "ok", {"version": "TLSv1.2", "cipher": ""}, None
        shown = self._peek() if isinstance(found, ssl.SSLCertVerificationError) else None
        raise StageError(fault, now=_now(), wanted=broker.host, **_described(shown))

    def _peek(self) -> Certificate | None:
        """The certificate that we refused, from a second handshake: to show it to a person. Nothing is sent on that connection."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        broker = self._login.broker
        try:
            with (
                socket.create_connection((broker.host, broker.port), self._login.connect_timeout_s) as plain,
                context.wrap_socket(plain, server_hostname=broker.host) as link,
            ):
                return of_der(link.getpeercert(binary_form=True) or b"")
        except (OSError, ValueError):
            return None

    def client(self) -> Result:
        """Whether the broker takes our certificate, or wants one."""
        if not self._login.broker.tls:
            return "none", {"plain": True}, None
        own = self._own_certificate()
        fault = self._files_fault or self._objection or self._broker_objects()
        if fault is not None:
            over = own is not None and own.step(time.time()) == EXPIRED
            raise StageError(fault, "client.expired" if over else "", **_described(own))
        if own is None:
            return "ok", {"without": True}, None
        return self._judged(_described(own), own, "our certificate")

    def _own_certificate(self) -> Certificate | None:
        if self._login.cert_file:
            with contextlib.suppress(OSError, ValueError):
                return next(iter(of_file(self._login.cert_file)), None)
        return None

    def _broker_objects(self) -> Fault | None:
        """Waits for an alert. A session ticket, which comes only to whom the broker accepts, ends the wait at once."""
        link = self._tls
        assert link is not None
        if link.version() != "TLSv1.3":
            return None
        ends_s = time.monotonic() + min(_OBJECTION_S_MAX, max(_OBJECTION_S_MIN, _OBJECTION_HANDSHAKES * self._handshake_s))
        link.settimeout(0)
        while (left_s := ends_s - time.monotonic()) > 0:
            if not select.select([link], [], [], left_s)[0]:
                return None
            try:
                if not link.recv(1):
                    return faults.hung_up(self._where, "closed right after the handshake")
            except ssl.SSLWantReadError:
                if link.session is not None and link.session.has_ticket:
                    return None
            except OSError as found:
                return faults.of_alert(found, self._where) or faults.hung_up(self._where, str(found))
        return None

    def _judged(self, found: dict[str, Any], certificate: Certificate | None, whose: str) -> Result:
        """A certificate that works is warned of before it ends, where our clock can say so."""
        if self._login.judges_no_dates and whose == BROKERS:
            return "warn", found, faults.undated(self._where)
        step = certificate.step(time.time()) if certificate is not None and self._trust in TRUSTED else None
        if step is None or certificate is None:
            return "ok", found, None
        if step == EXPIRED:
            return "warn", found, Fault("E-CERT-EXPIRED", f"{whose} ended on {certificate.expires}", "renew it")
        return "warn", found, Fault("W-CERT-EXPIRY", f"{whose} ends on {certificate.expires}", "renew it")


def _described(certificate: Certificate | None) -> dict[str, Any]:
    if certificate is None:
        return {}
    return {
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "names": list(certificate.names),
        "begins": certificate.begins,
        "expires": certificate.expires,
        "days_left": certificate.days_left(time.time()),
    }


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime())
