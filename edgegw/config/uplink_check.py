"""What may leave the machine and with which files: nothing in the clear, no name or password inside an address."""

from __future__ import annotations

import ipaddress
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from edgegw.config.finding import ERROR, WARNING
from edgegw.config.model import Config, Uplink
from edgegw.config.site import Doubt

_FILES = ("recipient_file", "ca_file", "cert_file", "cert_key_file", "password_file")
_SECRET_FILES = ("cert_key_file", "password_file")
_GROUP_OR_OTHERS = 0o077
_PLACEHOLDERS = frozenset({"operator", "station", "gateway", "client_id"})


def check_uplinks(config: Config, *, running: bool) -> Iterator[Doubt]:
    for number, uplink in enumerate(config.uplink):
        path = ("uplink", number)
        yield from _broker(uplink, path)
        if bool(uplink.cert_file) != bool(uplink.cert_key_file):
            missing = "cert_key_file" if uplink.cert_file else "cert_file"
            yield Doubt(ERROR, "E-CFG-MISSING", path, f'uplink "{uplink.name}": a client certificate needs {missing} too')
        yield from _files(uplink, path, running=running)
        yield from _topics(uplink, path)
        if uplink.ack == "broker":
            text = "what the broker or anyone behind it drops is lost to the cloud, unless it asks for it again while it is stored"
            yield Doubt(WARNING, "W-CFG-ACK", (*path, "ack"), f'uplink "{uplink.name}": ack = "broker": {text}')


def check_deadbands(config: Config) -> Iterator[Doubt]:
    """A band that spares nothing, or that is meant for what is charged for."""
    for number, table in enumerate(config.deadband):
        path = ("deadband", number)
        if not table.absolute and not table.percent:
            yield Doubt(ERROR, "E-CFG-MISSING", path, f'deadband of "{table.point}": absolute or percent is missing')
        if table.point.startswith("energy"):
            yield Doubt(ERROR, "E-CFG-VALUE", (*path, "point"), f'deadband of "{table.point}": energy is never spared')


def _topics(uplink: Uplink, path: tuple[str, int]) -> Iterator[Doubt]:
    """Topics that a broker would refuse, or that would be somebody else's, are found here and not at the first message."""
    topics = {key: getattr(uplink, key) for key in ("topic", "topic_status", "topic_receipt", "topic_command")}
    if uplink.ack == "receipt" and not uplink.topic_receipt:
        yield Doubt(ERROR, "E-CFG-TOPIC", (*path, "topic_receipt"), f'uplink "{uplink.name}": ack = "receipt" needs topic_receipt')
    for key, template in topics.items():
        wrong = _wrong_with(template, _PLACEHOLDERS | {"kind"} if key == "topic" else _PLACEHOLDERS) if template else ""
        if wrong:
            yield Doubt(ERROR, "E-CFG-TOPIC", (*path, key), f'uplink "{uplink.name}": {key}: {wrong}')
    for key in ("topic_receipt", "topic_command"):
        if topics[key] and topics[key] in {template for other, template in topics.items() if other != key}:
            yield Doubt(ERROR, "E-CFG-TOPIC", (*path, key), f'uplink "{uplink.name}": {key}: another topic of this uplink is the same')


def _wrong_with(template: str, placeholders: frozenset[str]) -> str:
    """What a template has that no topic may have; empty when nothing."""
    unknown = [name for name in re.findall(r"\{([^{}]*)\}", template) if name not in placeholders]
    if unknown:
        return f"{{{unknown[0]}}} is none of {', '.join(f'{{{name}}}' for name in sorted(placeholders))}"
    rest = re.sub(r"\{[^{}]*\}", "", template)
    if "{" in rest or "}" in rest:
        return "a brace without its partner"
    if "+" in rest or "#" in rest or not rest.isprintable():
        return "+, # and control characters are for subscribers"
    return ""


def _broker(uplink: Uplink, path: tuple[str, int]) -> Iterator[Doubt]:
    title, place = f'uplink "{uplink.name}": ', (*path, "broker")
    address = urlsplit(uplink.broker)
    if not address.hostname or not _port_is_right(address):
        yield Doubt(ERROR, "E-CFG-VALUE", place, f"{title}broker must be like mqtts://host:8883, with a port from 1 to 65535")
    elif "@" in address.netloc:
        yield Doubt(ERROR, "E-CFG-SECRET", place, f"{title}no name or password in the broker's address; use username and password_file")
    elif address.scheme == "mqtt" and not is_loopback(address.hostname):
        yield Doubt(ERROR, "E-CFG-PLAIN", place, f"{title}mqtt:// to {address.hostname} would go unencrypted over the network; use mqtts://")


def _port_is_right(address: SplitResult) -> bool:
    try:
        return address.port is None or address.port > 0
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself, whatever a resolver says."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _files(uplink: Uplink, path: tuple[str, int], *, running: bool) -> Iterator[Doubt]:
    """Files that are named but missing, and secrets that others may read. Before the first start they may still be on their way: a warning."""
    severity = ERROR if running else WARNING
    missing, open_to_others = ("E-CFG-KEYFILE", "E-CFG-MODE") if running else ("W-CFG-KEYFILE", "W-CFG-MODE")
    for key in _FILES:
        named = getattr(uplink, key)
        mode = file_mode(named) if named else None
        if named and mode is None:
            yield Doubt(severity, missing, (*path, key), f'uplink "{uplink.name}": {key}: no file {named}')
        elif mode and stat.S_ISDIR(mode):
            yield Doubt(ERROR, "E-CFG-VALUE", (*path, key), f'uplink "{uplink.name}": {key}: {named} is a directory, not a file')
        elif mode and key in _SECRET_FILES and mode & _GROUP_OR_OTHERS:
            text = f'uplink "{uplink.name}": {key}: others may read {named} (mode {stat.S_IMODE(mode):04o}); chmod 600 {named}'
            yield Doubt(severity, open_to_others, (*path, key), text)


def file_mode(name: str) -> int | None:
    """Mode of a file, None where there is none, 0 where we may not look: only the service's user can tell then."""
    try:
        return Path(name).stat().st_mode
    except PermissionError:
        return 0
    except OSError:
        return None
