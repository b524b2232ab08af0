"""What is wrong with an uplink right now, whatever the order in which it became known."""

from __future__ import annotations

from edgegw.uplink.condition import Condition
from edgegw.uplink.faults import Fault


def test_a_proven_connection_ends_the_fault_of_the_one_before():
    """
    The fault that ended the last connection is gone when the broker takes something on the next.
    """
    condition = Condition("cloud")
    condition.lost(Fault("E-NET-LOST", "gone", ""))
    condition.connected("broker")
    assert (None, None) == (condition.fault, condition.lost_at_s)


def test_what_is_wrong_with_this_connection_stays():
    """
    A fault that was found before the broker took the first message still holds after it.
    """
    condition = Condition("cloud")
    condition.lost(Fault("E-NET-LOST", "gone", ""))
    fault = Fault("E-MQTT-SIZE", "too large", "")
    condition.limp(fault)
    condition.connected("broker")
    assert (fault, None) == (condition.fault, condition.lost_at_s)
