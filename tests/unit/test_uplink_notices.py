"""Which faults of an uplink are told to people as an alarm."""

from __future__ import annotations

import pytest

from edgegw.uplink.faults import Fault
from edgegw.uplink.notices import IN_ROW_MIN, of_fault


@pytest.mark.parametrize(
    ("message_id", "pace", "in_row", "rule"),
    [
        ("E-NET-REFUSED", "network", 50, None),
        ("E-TLS-CA", "tls", 1, "uplink main E-TLS-CA"),
        ("E-MQTT-AUTH", "login", 1, "uplink main E-MQTT-AUTH"),
        ("E-TLS-NOT-TLS", "tls", 1, None),
        ("E-TLS-NOT-TLS", "tls", IN_ROW_MIN - 1, None),
        ("E-TLS-NOT-TLS", "tls", IN_ROW_MIN, "uplink main E-TLS-NOT-TLS"),
    ],
)
def test_what_waits_for_a_person_is_told_and_a_link_that_broke_once_is_not(message_id, pace, in_row, rule):
    """
    A certificate or a login at once; a port that does not speak TLS when it has said so several times in a row; what the network does never.
    """
    notice = of_fault("main", Fault(message_id, "broker said so", "look", pace), in_row)
    assert rule == (notice and notice.rule)
