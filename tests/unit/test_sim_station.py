"""The station's file, and the gateway's configuration that belongs to it."""

from __future__ import annotations

import tomllib

import msgspec
import pytest

from edgegw.config.model import Config
from edgegw.drivers.catalogue import load_profile
from edgegw.drivers.plan import busy_share, line_facts
from edgegw.drivers.planning import plan_device
from edgegw.errors import EdgegwError
from edgegw.sim.gateway_config import bus_and_device_tables
from edgegw.sim.station import SimBus, load_station

HEAD = '[gateway]\noperator = "a"\nstation = "b"\ngateway = "c"\n'


def made_ports(station):
    """What a running station would say of its ports."""
    return {
        "buses": [
            {"name": bus.name, "kind": "tcp", "host": "127.0.0.1", "port": 1502 + station.bus.index(bus)}
            if bus.kind == "tcp"
            else {"name": bus.name, "kind": "serial", "path": f"/dev/{bus.name}", "baudrate": bus.baudrate, "parity": bus.parity, "stop_bits": bus.stop_bits}
            for bus in station.bus
        ]
    }


def config_of(period_s):
    station = load_station(None)
    return msgspec.convert(tomllib.loads(HEAD + bus_and_device_tables(station, made_ports(station), period_s)), Config)


def test_the_tables_are_a_configuration_of_every_device():
    """
    The text is strict TOML of the gateway's own types, with each device at the wished period and no rules: the shipped ones are enough.
    """
    config = config_of(1.0)
    assert [device.code for device in load_station(None).device] == [device.code for device in config.device]
    for device in config.device:
        assert dict.fromkeys(load_profile(device.profile).group, 1.0) == device.period_s
    assert {} == config_of(None).device[0].period_s
    assert [] == config.rule


def test_the_contacts_have_their_roles():
    """
    Each input of the module says what it is wired to, so that the shipped rules watch it; what protects people is missed when it cannot be read.
    """
    wired = {device.code: device.input for device in config_of(None).device if device.input}
    assert ["DI-01"] == list(wired)
    roles = {number: contact.role for number, contact in wired["DI-01"].items()}
    assert {"1": "mains", "2": "spd", "3": "water", "4": "smoke", "5": "door", "6": "door", "7": "emergency_stop", "8": "breaker_trip"} == roles
    assert {"3", "4", "7", "8"} == {number for number, contact in wired["DI-01"].items() if contact.fail_safe}


def test_a_period_of_one_second_fits_on_every_line():
    """
    With every group read each second no bus of the default station is predicted to be busy for more than 60 % of its time.
    """
    config = config_of(1.0)
    for bus in config.bus:
        line = line_facts(bus)
        plans = [plan_device(device, load_profile(device.profile), line, 1) for device in config.device if device.bus == bus.name]
        assert 0 < busy_share(plans, line) < 0.6, bus.name


def test_characters_of_a_line():
    """
    A character has 10 bits at 8N1, 11 with parity or two stop bits, and takes no time on TCP.
    """
    rows = [("serial", "N", 1, 10), ("serial", "E", 1, 11), ("serial", "N", 2, 11), ("tcp", "N", 1, 0)]
    for kind, parity, stop_bits, bits in rows:
        assert bits * 1e9 / 9600 == SimBus(name="x", kind=kind, parity=parity, stop_bits=stop_bits).character_ns


BUS = '[[bus]]\nname = "a"\nkind = "serial"\n'
DEVICE = '[[device]]\ncode = "x"\nbus = "a"\nunit = 1\nprofile = "xy-md02"\nrole = "cabinet"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("bus = 3", "bus"),
        ("[[bus]", "line 1"),
        (BUS + 'baud = 1\n[[device]]\ncode = "x"', "baud"),
        (BUS + BUS + DEVICE, 'bus "a" is there twice'),
        (BUS + DEVICE + DEVICE, 'device "x" is there twice; bus "a": unit 1 is there twice'),
        (BUS + DEVICE.replace('"a"', '"b"'), 'device "x": no bus "b"'),
    ],
)
def test_a_wrong_station_is_refused(tmp_path, text, said):
    """
    A station file that cannot work is refused with the file's name and what is wrong.
    """
    file = tmp_path / "wrong.toml"
    file.write_text(text)
    with pytest.raises(EdgegwError) as refused:
        load_station(file)
    assert said in str(refused.value)
    assert "wrong.toml" in str(refused.value)


def test_a_missing_station_is_refused(tmp_path):
    """
    A station file that is not there is named.
    """
    with pytest.raises(EdgegwError, match=r"absent\.toml: cannot be read"):
        load_station(tmp_path / "absent.toml")
