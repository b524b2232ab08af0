"""What this machine knows of the way to a host, and what a test says where there is none."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import threading
import time

import pytest

from edgegw.errors import EXIT_CLOUD
from edgegw.uplink.ways import interface_of, is_address, own_address, within


@pytest.mark.parametrize(("expected", "host"), [(True, "10.0.0.7"), (True, "::1"), (False, "localhost"), (False, "mq.example"), (False, "10.0.0")])
def test_an_address_needs_no_resolver(expected, host):
    """
    What is written as an address is never asked about.
    """
    assert expected == is_address(host)


def test_this_machine_is_reached_over_its_loopback():
    """
    The way to ourselves is known without a packet, with the interface's name.
    """
    assert "127.0.0.1" == own_address("127.0.0.1")
    assert "lo" == interface_of("127.0.0.1")
    assert not interface_of("192.0.2.77")


def test_a_resolver_that_hangs_is_left_behind():
    """
    A question without an answer ends with its limit; who asked goes on.
    """
    released = threading.Event()

    def hang() -> list[object]:
        released.wait(60)
        return []

    began_s = time.monotonic()
    assert within(0.1, hang) is None
    assert time.monotonic() - began_s < 30
    released.set()


def test_what_a_resolver_refuses_comes_back_as_its_fault():
    """
    An error, and a name that can be none, are answers.
    """

    def refuse() -> list[object]:
        raise socket.gaierror(socket.EAI_AGAIN, "later")

    found = within(10, refuse)
    assert isinstance(found, socket.gaierror)
    assert socket.EAI_AGAIN == found.errno
    too_long = within(10, lambda: list(socket.getaddrinfo("a" * 64 + ".example", 1)))
    assert isinstance(too_long, socket.gaierror)
    assert [1] == within(10, lambda: [1])


def without_network(*command: str) -> subprocess.CompletedProcess[str]:
    """In a network of its own that has no interface up."""
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-rn", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no network namespaces here")
    return subprocess.run([unshare, "-rn", *command], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("broker", "states", "ids"),
    [
        ("mqtts://10.9.8.7", ["fail", "none", "none"], {1: "E-NET-ROUTE"}),
        ("mqtts://mq.example", ["warn", "fail", "none"], {1: "E-NET-ROUTE", 2: "E-NET-DNS"}),
    ],
)
def test_without_a_link_the_route_says_so_before_the_name(tmp_path, broker, states, ids):
    """
    A machine whose link is down hears of the link, not of the broker's name.
    """
    config = tmp_path / "config.toml"
    config.write_text(
        f"""
        gateway = {{ operator = "op", station = "st", gateway = "gw" }}
        paths = {{ state_dir = "{tmp_path}", control_socket = "{tmp_path}/socket" }}
        [[uplink]]
        name = "cloud"
        broker = "{broker}"
        recipient_file = "cloud.pub"
        connect_timeout_s = 3.0
        """
    )
    done = without_network(sys.executable, "-m", "edgegw", "cloud", "test", "-c", str(config), "--json")
    stages = json.loads(done.stdout)["data"]["uplinks"][0]["stages"]
    assert (EXIT_CLOUD, states) == (done.returncode, [stage["state"] for stage in stages[1:4]])
    assert ids == {number: stages[number]["error"]["id"] for number in (1, 2) if stages[number]["error"]}
