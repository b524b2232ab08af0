"""What is wrong between gateway and broker, as a person is told it, and how soon to try again. Pure.

The ids and what each looks like to Python's ssl and to paho: the broker fault table of docs/uplink.md. In TLS 1.3 a fault of the client
certificate shows only at the first read after the handshake.
"""

from __future__ import annotations

import random
import socket
import ssl
from typing import Literal

import msgspec

Pace = Literal["network", "tls", "login", "takeover"]
"""How a fault is retried: a link that comes and goes, a certificate, a refusal, another client of our name."""

# Clouds ban clients that send CONNECT packets more often (Tencent: 1 in 5 s).
CONNECT_INTERVAL_S = 5.0
# A refused or timed-out TCP connect costs nothing: tried about every second while the outage is young, so that its end is noticed at once.
EAGER_OUTAGE_S = 600.0
EAGER_DELAYS_S = (0.5, 1.5)
NETWORK_DELAY_S_MAX = 60.0
TLS_DELAY_S_MAX = 60.0
# A wrong password stays wrong until a person acts; brokers lock out who asks too often.
LOGIN_DELAY_S_FIRST = 10.0
LOGIN_DELAY_S_MAX = 300.0
# Two clients of one name throw each other out at every CONNECT: one of them must wait long enough for a person to see it.
TAKEOVER_DELAYS_S = (60.0, 120.0)

# OpenSSL, x509_vfy.h
_NOT_YET_VALID, _EXPIRED, _SELF_SIGNED, _SELF_SIGNED_IN_CHAIN, _NO_ISSUER, _WRONG_NAME, _WRONG_ADDRESS = 9, 10, 18, 19, 20, 62, 64
# MQTT 5, section 2.4, and return codes 4 and 5 of MQTT 3.1.1 as paho translates them.
_LOGIN_CODES = frozenset({0x85, 0x86, 0x87, 0x8A, 0x8C})
UNSUPPORTED_PROTOCOL = 0x84
SESSION_TAKEN_OVER = 0x8E
PACKET_TOO_LARGE = 0x95
QUOTA_EXCEEDED = 0x97


class Fault(msgspec.Struct, frozen=True):
    """Why there is no working connection."""

    message_id: str
    text: str
    next_step: str
    pace: Pace = "network"

    def __str__(self) -> str:
        return f"{self.message_id}: {self.text}. Next: {self.next_step}"


class EndedError(ssl.SSLCertVerificationError):
    """A certificate that was over before this program was made, whatever our clock says."""


def of_connecting(fault: OSError | ValueError, host: str, port: int, *, clock_trusted: bool) -> Fault:
    """What an exception of connect or handshake means."""
    where = f"{host}:{port}"
    match fault:
        case EndedError():
            return Fault("E-TLS-EXPIRED", f"{where}: {fault.strerror}", "renew the broker's certificate", "tls")
        case ssl.SSLCertVerificationError():
            return _of_certificate(fault, where, clock_trusted=clock_trusted)
        case ssl.SSLError():
            return of_alert(fault, where) or _not_tls(where, f"does not speak TLS ({fault.reason})")
        case ConnectionResetError() | BrokenPipeError():
            return _not_tls(where, "cut the start of TLS")
    return _of_network(fault, host, where)


def _of_network(fault: OSError | ValueError, host: str, where: str) -> Fault:
    match fault:
        case socket.gaierror():
            return Fault("E-NET-DNS", f"the name {host} does not resolve ({fault.strerror})", "check link, APN, resolver and the name of the broker")
        case ConnectionRefusedError():
            return Fault("E-NET-REFUSED", f"{where} refuses connections", "check the port, and whether the broker runs")
        case TimeoutError():
            return timed_out(where, "connection (TCP, TLS)")
    return Fault("E-NET-ROUTE", f"no way to {where} ({getattr(fault, 'strerror', None) or fault})", "check the link and the route to the broker")


def _not_tls(where: str, what: str) -> Fault:
    return Fault("E-TLS-NOT-TLS", f"{where} {what}", "check the port: 8883, not 1883?", "tls")


def _of_certificate(fault: ssl.SSLCertVerificationError, where: str, *, clock_trusted: bool) -> Fault:
    code, message = fault.verify_code, fault.verify_message
    if code in (_NOT_YET_VALID, _EXPIRED) and not clock_trusted:
        return Fault("E-CLOCK", f"{where}: {message} by our clock, and our clock is not synchronised", "set the clock or check NTP", "tls")
    if code in (_NOT_YET_VALID, _EXPIRED):
        return Fault("E-TLS-EXPIRED", f"{where}: {message}", "renew the broker's certificate", "tls")
    if code in (_WRONG_NAME, _WRONG_ADDRESS):
        return Fault("E-TLS-NAME", f"{where}: {message}", "write the broker's name as its certificate has it", "tls")
    if code == _SELF_SIGNED:
        return Fault("E-TLS-SELF", f"{where} shows a self-signed certificate", "name its CA in ca_file, or give the broker a certificate of yours", "tls")
    if code in (_SELF_SIGNED_IN_CHAIN, _NO_ISSUER):
        return Fault("E-TLS-CA", f"{where} shows a certificate of another CA than ours", "check ca_file; someone may stand between", "tls")
    return Fault("E-TLS-CA", f"{where}: {message}", "check the broker's certificate", "tls")


def of_alert(fault: BaseException | None, where: str) -> Fault | None:
    """What an alert of the broker's TLS means; None when it is none that we know."""
    reason = (fault.reason or "") if isinstance(fault, ssl.SSLError) else ""
    if "PROTOCOL_VERSION" in reason or "UNSUPPORTED_PROTOCOL" in reason:
        return Fault("E-TLS-VERSION", f"{where} offers only TLS older than 1.2", "update the broker", "tls")
    if "CERTIFICATE_REQUIRED" in reason or "HANDSHAKE_FAILURE" in reason:
        return Fault("E-TLS-CLIENT-NONE", f"{where} wants a client certificate", "set cert_file and cert_key_file", "tls")
    if "UNKNOWN_CA" in reason:
        return Fault("E-TLS-CLIENT-CA", f"{where} does not know the issuer of our client certificate", "have the certificate signed by the broker's CA", "tls")
    if "ALERT_CERTIFICATE" in reason or "ALERT_BAD_CERTIFICATE" in reason:
        return Fault("E-TLS-CLIENT-CA", f"{where} refuses our client certificate ({reason})", "check its dates and its issuer", "tls")
    return None


def of_files(what: str) -> Fault:
    """What the loading of our own certificates met."""
    return Fault("E-TLS-FILES", f"the certificate files cannot be used ({what})", "check ca_file, cert_file and cert_key_file", "tls")


def undated(where: str) -> Fault:
    """Connected under the pinned-CA rule (login.py): works, and is to be told."""
    return Fault("W-TLS-CLOCK", f"{where}: the dates of its certificate are not judged, our clock is not set", "set the clock or check NTP")


def timed_out(where: str, stage: str) -> Fault:
    return Fault("E-NET-TIMEOUT", f"{where}: no {stage} in time", "check firewall, route and signal")


def of_connack(code: int, text: str, where: str) -> Fault:
    """Why the broker refuses the login. The codes are MQTT 5's; paho translates those of 3.1.1."""
    if code in _LOGIN_CODES:
        return Fault("E-MQTT-AUTH", f"{where} refuses the login: {text}", "check client_id, username, password_file and the client certificate", "login")
    if code == UNSUPPORTED_PROTOCOL:
        return Fault("E-MQTT-VERSION", f"{where} does not speak this version of MQTT", "none: the other version is tried")
    return Fault("E-MQTT-REFUSED", f"{where} refuses the connection: {text}", "look into the broker's log", "login")


def of_puback(code: int, where: str, topics: str) -> Fault:
    """Why the broker did not take a message. Most say "not authorized" (0x87); some with a quota say so (0x97)."""
    if code == QUOTA_EXCEEDED:
        return Fault("E-MQTT-REFUSED", f"{where} takes no more of our messages: its quota is used up (0x{code:02X})", "raise the broker's limit", "login")
    return Fault("E-MQTT-ACL", f"{where} refuses our messages (0x{code:02X})", f"allow {topics} there", "login")


def of_disconnect(code: int, text: str, where: str) -> Fault:
    """Why the broker ended a connection that worked."""
    if code == SESSION_TAKEN_OVER:
        return Fault("E-MQTT-TAKEOVER", f"{where}: another client uses our client id", "give each gateway its own client_id", "takeover")
    if code == PACKET_TOO_LARGE:
        return Fault("E-MQTT-SIZE", f"{where} refuses a packet as too large", "none: smaller ones are sent; raise the broker's packet limit")
    return Fault("E-MQTT-CLOSED", f"{where} ended the connection: {text}", "look into the broker's log")


def hung_up(where: str, how: str) -> Fault:
    return Fault("E-MQTT-HANGUP", f"{where} closes before it answers our CONNECT ({how})", "look into the broker's log; is the port one for MQTT?")


def lost(where: str, how: str) -> Fault:
    return Fault("E-NET-LOST", f"connection to {where} lost ({how})", "none: it is tried again")


def retry_delay_s(pace: Pace, attempt: int, outage_s: float, since_connect_s: float) -> float:
    """How long to wait before the next attempt. `attempt` counts the faults of this pace in a row, `since_connect_s` runs from the last CONNECT packet."""
    return max(_delay_s(pace, attempt, outage_s), CONNECT_INTERVAL_S - since_connect_s if since_connect_s < CONNECT_INTERVAL_S else 0.0)


def _delay_s(pace: Pace, attempt: int, outage_s: float) -> float:
    doubled = float(1 << min(max(attempt - 1, 0), 10))
    if pace == "takeover":
        return _between(*TAKEOVER_DELAYS_S)
    if pace == "login":
        return min(LOGIN_DELAY_S_MAX, LOGIN_DELAY_S_FIRST * doubled) * _between(0.75, 1.0)
    if pace == "tls":
        return min(TLS_DELAY_S_MAX, CONNECT_INTERVAL_S * doubled) * _between(0.75, 1.0)
    if outage_s < EAGER_OUTAGE_S:
        return _between(*EAGER_DELAYS_S)
    growing = EAGER_DELAYS_S[1] * float(1 << min(10, int(outage_s - EAGER_OUTAGE_S) // 60))
    return min(NETWORK_DELAY_S_MAX, growing) * _between(0.5, 1.0)


def _between(low: float, high: float) -> float:
    return random.uniform(low, high)  # noqa: S311 - jitter, no secret
