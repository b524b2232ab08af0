"""What this machine knows of the way to a host: routes, interfaces, names. No packet leaves, save the resolver's."""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Addresses for documentation (RFC 5737, RFC 3849): only the routing table is asked about them, no packet leaves.
ELSEWHERE = ("192.0.2.1", "2001:db8::1")
# ioctl(2), netdevice(7): the address of an interface.
_SIOCGIFADDR = 0x8915
_INTERFACES_V6 = Path("/proc/net/if_inet6")


def is_address(host: str) -> bool:
    """Whether the host is written as an address and needs no resolver."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def own_address(target: str) -> str | None:
    """Our address on the way to `target`, None without a way. A datagram socket that is connected sends nothing."""
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((target, 9))
            return str(probe.getsockname()[0])
    except OSError:
        return None


def interface_of(address: str) -> str:
    """The interface that has this address of ours, empty when none is found."""
    if ":" in address:
        plain = ipaddress.IPv6Address(address.partition("%")[0]).exploded.replace(":", "")
        rows = [line.split() for line in _INTERFACES_V6.read_text(encoding="ascii").splitlines()] if _INTERFACES_V6.exists() else []
        return next((row[5] for row in rows if row and row[0] == plain), "")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        for _, name in socket.if_nameindex():
            with contextlib.suppress(OSError):
                told = fcntl.ioctl(asker, _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
                if socket.inet_ntoa(told[20:24]) == address:
                    return name
    return ""


def within(limit_s: float, question: Callable[[], list[Any]]) -> list[Any] | OSError | None:
    """The answer of a call that cannot be given a deadline, its OSError, or None after `limit_s`; then its thread is left to die with the command."""
    answers: list[list[Any] | OSError] = []

    def ask() -> None:
        try:
            answers.append(question())
        except OSError as fault:
            answers.append(fault)
        except UnicodeError as fault:  # a label of the name is too long for a name
            answers.append(socket.gaierror(socket.EAI_NONAME, str(fault)))

    asker = threading.Thread(target=ask, name="resolver", daemon=True)
    asker.start()
    asker.join(limit_s)
    return answers[0] if answers else None
