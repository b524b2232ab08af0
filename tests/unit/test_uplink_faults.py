"""Each fault between gateway and broker has its own id, and its own pace of trying again."""

from __future__ import annotations

import socket
import ssl

import pytest

from edgegw.errors import EdgegwError
from edgegw.uplink.faults import CONNECT_INTERVAL_S, of_alert, of_connack, of_connecting, of_disconnect, retry_delay_s
from edgegw.uplink.login import Broker, parse_broker


def certificate_fault(code: int) -> ssl.SSLCertVerificationError:
    fault = ssl.SSLCertVerificationError(1, "certificate verify failed")
    fault.verify_code, fault.verify_message = code, "what OpenSSL says"
    return fault


def tls_fault(reason: str) -> ssl.SSLError:
    fault = ssl.SSLError(1, f"[SSL: {reason}]")
    fault.reason = reason
    return fault


@pytest.mark.parametrize(
    ("expected", "fault", "trusted"),
    [
        ("E-NET-DNS", socket.gaierror(-2, "Name or service not known"), True),
        ("E-NET-REFUSED", ConnectionRefusedError(111, "refused"), True),
        ("E-NET-TIMEOUT", TimeoutError("timed out"), True),
        ("E-NET-ROUTE", OSError(101, "Network is unreachable"), True),
        ("E-TLS-NOT-TLS", tls_fault("WRONG_VERSION_NUMBER"), True),
        ("E-TLS-NOT-TLS", ConnectionResetError(104, "reset"), True),
        ("E-TLS-VERSION", tls_fault("TLSV1_ALERT_PROTOCOL_VERSION"), True),
        ("E-TLS-CA", certificate_fault(20), True),
        ("E-TLS-CA", certificate_fault(19), True),
        ("E-TLS-SELF", certificate_fault(18), True),
        ("E-TLS-NAME", certificate_fault(62), True),
        ("E-TLS-NAME", certificate_fault(64), True),
        ("E-TLS-EXPIRED", certificate_fault(10), True),
        ("E-CLOCK", certificate_fault(10), False),
        ("E-CLOCK", certificate_fault(9), False),
        ("E-TLS-CA", certificate_fault(20), False),
    ],
)
def test_faults_of_connecting_have_ids(expected, fault, trusted):
    """
    What an exception of connect or handshake means is told by a stable id, with broker and next step.
    """
    told = of_connecting(fault, "broker.example", 8883, clock_trusted=trusted)
    assert expected == told.message_id
    assert "broker.example" in told.text
    assert told.next_step


@pytest.mark.parametrize(
    ("expected", "reason"),
    [
        ("E-TLS-CLIENT-NONE", "TLSV13_ALERT_CERTIFICATE_REQUIRED"),
        ("E-TLS-CLIENT-CA", "TLSV1_ALERT_UNKNOWN_CA"),
        ("E-TLS-CLIENT-CA", "SSLV3_ALERT_CERTIFICATE_EXPIRED"),
        ("E-TLS-CLIENT-CA", "SSLV3_ALERT_BAD_CERTIFICATE"),
    ],
)
def test_alerts_about_our_certificate_have_ids(expected, reason):
    """
    An alert of the broker says what is wrong with our certificate.
    """
    told = of_alert(tls_fault(reason), "broker.example:8883")
    assert told is not None
    assert expected == told.message_id


def test_other_faults_are_no_alerts():
    """
    A reset is no alert.
    """
    assert of_alert(ConnectionResetError(104, "reset"), "b") is None
    assert of_alert(None, "b") is None


@pytest.mark.parametrize(
    ("expected", "code"), [("E-MQTT-AUTH", 0x87), ("E-MQTT-AUTH", 0x86), ("E-MQTT-AUTH", 0x85), ("E-MQTT-VERSION", 0x84), ("E-MQTT-REFUSED", 0x97)]
)
def test_refused_logins_have_ids(expected, code):
    """
    A refused CONNECT tells a wrong login from a wrong version and from the rest.
    """
    assert expected == of_connack(code, "text", "b").message_id


def test_a_takeover_is_recognised():
    """
    Another client of our name is told as that, and waited out for at least a minute.
    """
    told = of_disconnect(0x8E, "Session taken over", "b")
    assert ("E-MQTT-TAKEOVER", "takeover") == (told.message_id, told.pace)
    assert 60 <= retry_delay_s("takeover", 1, 0.0, 1000.0) <= 120


@pytest.mark.parametrize(
    ("low", "high", "state"),
    [
        (0.5, 1.5, ("network", 1, 0.0, 1e9)),
        (0.5, 1.5, ("network", 500, 599.0, 1e9)),
        (0.75, 1.5, ("network", 501, 601.0, 1e9)),
        (30.0, 60.0, ("network", 2000, 7200.0, 1e9)),
        (4.0, CONNECT_INTERVAL_S, ("network", 1, 0.0, 1.0)),
        (3.75, 5.0, ("tls", 1, 0.0, 1e9)),
        (45.0, 60.0, ("tls", 9, 0.0, 1e9)),
        (7.5, 10.0, ("login", 1, 0.0, 1e9)),
        (225.0, 300.0, ("login", 50, 0.0, 1e9)),
    ],
)
def test_each_pace_keeps_its_bounds(low, high, state):
    """
    A young outage is tried about every second, an old one every minute; certificates and logins ever more slowly; CONNECT never twice in 5 s.
    """
    delays = [retry_delay_s(*state) for _ in range(200)]
    assert low <= min(delays)
    assert max(delays) <= high


@pytest.mark.parametrize(
    ("expected", "url"),
    [
        (Broker("broker.example", 8883, tls=True), "mqtts://broker.example"),
        (Broker("10.0.0.7", 18883, tls=True), "mqtts://10.0.0.7:18883"),
        (Broker("::1", 1883, tls=False), "mqtt://[::1]"),
        (Broker("localhost", 1884, tls=False), "mqtt://localhost:1884"),
        (Broker("127.0.0.9", 1883, tls=False), "mqtt://127.0.0.9"),
    ],
)
def test_addresses_of_brokers_are_read(expected, url):
    """
    A broker is named as scheme, host and port; the port may be left out.
    """
    assert expected == parse_broker(url)


@pytest.mark.parametrize(
    "url", ["mqtt://broker.example", "mqtt://10.0.0.7:1883", "http://localhost", "mqtts://", "mqtts://host:99999", "mqtts://[::1", "broker"]
)
def test_addresses_without_tls_or_sense_are_refused(url):
    """
    Without TLS only this machine itself may be the broker; what is no address is refused.
    """
    with pytest.raises(EdgegwError, match="broker") as refused:
        parse_broker(url)
    assert ("E-CFG-BROKER", 2) == (refused.value.message_id, refused.value.exit_code)
