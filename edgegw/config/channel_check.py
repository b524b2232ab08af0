"""What only shows across the keys of a channel, or beside the rest of the configuration: what its kind needs, what may leave, which relay it may switch."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from fnmatch import fnmatchcase
from urllib.parse import SplitResult, urlsplit

import msgspec

from edgegw.config.channel_model import ChannelTable
from edgegw.config.finding import ERROR, WARNING
from edgegw.config.model import Config
from edgegw.config.site import Doubt, Site
from edgegw.config.uplink_check import file_mode, is_loopback
from edgegw.drivers.switching import switchable

# Kind of channel: the keys that it must have, and those that it may have.
_NEEDS: dict[str, tuple[str, ...]] = {
    "mail": ("host", "sender"),
    "sms_modem": ("path",),
    "sms_http": ("url",),
    "siren": ("device", "point"),
    "syslog": (),
}
_MAY: dict[str, tuple[str, ...]] = {
    "mail": ("port", "security", "ca_file", "username", "password_file"),
    "sms_modem": ("baudrate", "smsc", "parts_max", "password_file"),
    "sms_http": ("method", "headers", "body", "body_format", "expect_status", "expect_text", "ca_file", "password_file"),
    "siren": ("on_time_s_max",),
    "syslog": ("host", "port", "security", "transport", "ca_file"),
}
# What a port is used with: RFC 8314 (465 TLS, 587 STARTTLS), RFC 3207 (25), RFC 5425 (6514), RFC 3164 (514).
_SECURITY: dict[str, dict[int, tuple[str, ...]]] = {
    "mail": {465: ("tls",), 587: ("starttls", "none"), 25: ("starttls", "none")},
    "syslog": {6514: ("tls",), 514: ("none",)},
}
_EVERY = ("name", "kind", "timeout_s")
PLACEHOLDERS = ("number", "text", "notice_id", "secret")
"""Of sms_http; each as {word} in url, headers and body."""
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")
_PLACEHOLDER = re.compile(r"\{([A-Za-z_]+)\}")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+: ?\S.*")
_SECRET_HEADER = re.compile(r"(?i)auth|key|token|secret|password|signature")
# A field with a value of its own behind it; what is filled in begins with a brace.
_SECRET_FIELD = re.compile(r"""(?i)([\w-]*(?:secret|passw(?:or)?d|pwd|token|api[_-]?key|app[_-]?key))["']?\s*[=:]\s*["']?[^\s"'&,{}]""")
_ADDRESS = re.compile(r"[^\s@<>,;:\"]+@[^\s@<>,;:\"]+")
_GROUP_OR_OTHERS = 0o077

_Path = tuple[str, int]


def check_channels(site: Site, *, running: bool) -> Iterator[Doubt]:
    names: set[str] = set()
    relays: dict[tuple[str, str], str] = {}
    ports = {os.path.realpath(bus.path): bus.name for bus in site.config.bus if bus.path}
    for number, channel in enumerate(site.config.channel):
        path = ("channel", number)
        if channel.name in names:
            yield Doubt(ERROR, "E-CFG-DUP", (*path, "name"), f'two channels have the name "{channel.name}"')
        names.add(channel.name)
        yield from _keys(channel, path)
        yield from _files(channel, path, running=running)
        match channel.kind:
            case "mail":
                yield from _mail(channel, path)
            case "sms_modem":
                yield from _modem(channel, path, ports)
            case "sms_http":
                doubts = list(_http(channel, path))
                yield from doubts or _answer(channel, path)
            case "siren":
                yield from _siren(site, channel, path, relays)
            case "syslog":
                yield from _syslog(channel, path)


def _keys(channel: ChannelTable, path: _Path) -> Iterator[Doubt]:
    title = _title(channel)
    for key in _NEEDS[channel.kind]:
        if not getattr(channel, key):
            yield Doubt(ERROR, "E-CFG-MISSING", path, f'{title}kind "{channel.kind}" needs "{key}"')
    known = {*_EVERY, *_NEEDS[channel.kind], *_MAY[channel.kind]}
    if channel.host and (not _HOST.fullmatch(channel.host) or ".." in channel.host):
        text = f'{title}host must be a name or an address alone, as in "smtp.example.cn", found "{channel.host}"; the port has its own key'
        yield Doubt(ERROR, "E-CFG-VALUE", (*path, "host"), text)
    for field in msgspec.structs.fields(ChannelTable):
        if field.name not in known and getattr(channel, field.name) != _default(field):
            yield Doubt(WARNING, "W-CFG-UNUSED", (*path, field.name), f'{title}{field.name} has no meaning for kind "{channel.kind}"')


def _default(field: msgspec.structs.FieldInfo) -> object:
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()


def _files(channel: ChannelTable, path: _Path, *, running: bool) -> Iterator[Doubt]:
    """Files that are named but missing, and passwords that others may read. Before the first start they may still be on their way: a warning."""
    severity = ERROR if running else WARNING
    missing, open_to_others = ("E-CFG-KEYFILE", "E-CFG-MODE") if running else ("W-CFG-KEYFILE", "W-CFG-MODE")
    for key in ("ca_file", "password_file"):
        named = getattr(channel, key)
        mode = file_mode(named) if named else None
        if named and mode is None:
            yield Doubt(severity, missing, (*path, key), f"{_title(channel)}{key}: no file {named}")
        elif mode and stat.S_ISDIR(mode):
            yield Doubt(ERROR, "E-CFG-VALUE", (*path, key), f"{_title(channel)}{key}: {named} is a directory, not a file")
        elif mode and key == "password_file" and mode & _GROUP_OR_OTHERS:
            text = f"{_title(channel)}{key}: others may read {named} (mode {stat.S_IMODE(mode):04o}); chmod 600 {named}"
            yield Doubt(severity, open_to_others, (*path, key), text)


def _mail(channel: ChannelTable, path: _Path) -> Iterator[Doubt]:
    title = _title(channel)
    if channel.security == "none" and channel.host and not is_loopback(channel.host):
        text = f'{title}mails and the password would go unencrypted to {channel.host}; use security = "tls" or "starttls"'
        yield Doubt(ERROR, "E-CFG-PLAIN", (*path, "security"), text)
    else:
        yield from _port(channel, path)
    if bool(channel.username) != bool(channel.password_file):
        yield Doubt(ERROR, "E-CFG-MISSING", path, f"{title}a login needs username and password_file")
    if channel.sender and not (_ADDRESS.fullmatch(channel.sender) and channel.sender.isascii()):
        text = f'{title}sender must be an address alone, as in "gateway@example.org", found "{channel.sender}"'
        yield Doubt(ERROR, "E-CFG-VALUE", (*path, "sender"), text)


def _port(channel: ChannelTable, path: _Path) -> Iterator[Doubt]:
    """A port that everybody uses for something else: the first bytes would already be wrong."""
    usual = _SECURITY[channel.kind].get(channel.port)
    if usual and channel.security not in usual:
        text = f'{_title(channel)}port {channel.port} is used with security = "{usual[0]}", not "{channel.security}"'
        yield Doubt(WARNING, "W-CFG-TLS", (*path, "port"), text)


def _modem(channel: ChannelTable, path: _Path, ports: dict[str, str]) -> Iterator[Doubt]:
    if not channel.path:
        return
    place, title = os.path.realpath(channel.path), _title(channel)
    if place in ports:
        yield Doubt(ERROR, "E-CFG-PORT-DUP", (*path, "path"), f'{title}{channel.path} belongs to "{ports[place]}" already; a modem has a port of its own')
    ports[place] = channel.name
    if re.fullmatch(r"/dev/tty(USB|ACM)\d+", channel.path):
        text = f"{title}the name {channel.path} can change when something is plugged in; use its name below /dev/serial/by-id"
        yield Doubt(WARNING, "W-CFG-PORT", (*path, "path"), text)
    mode = file_mode(channel.path)
    if mode is not None and not stat.S_ISCHR(mode):
        text = f"{title}{channel.path} is no serial port; `ls /dev/serial/by-id` shows those that are there"
        yield Doubt(WARNING, "W-CFG-NOPORT", (*path, "path"), text)
    if channel.smsc.startswith(("00", "+0")):
        text = f'{title}smsc must begin with + and the country code, or be the number as the operator tells it, found "{channel.smsc}"'
        yield Doubt(ERROR, "E-CFG-VALUE", (*path, "smsc"), text)


def _http(channel: ChannelTable, path: _Path) -> Iterator[Doubt]:
    title = _title(channel)
    if channel.url:
        yield from _url(channel, path)
    templates = [("url", channel.url), ("body", channel.body), *(("headers", header) for header in channel.headers)]
    used = {(key, word) for key, template in templates for word in _PLACEHOLDER.findall(template)}
    for key, word in sorted(used):
        if word not in PLACEHOLDERS:
            known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
            yield Doubt(ERROR, "E-CFG-VALUE", (*path, key), f"{title}{key}: {{{word}}} is none of {known}")
    for need in ("number", "text"):
        if channel.url and not used & {("url", need), ("body", need)}:
            yield Doubt(ERROR, "E-CFG-MISSING", path, f"{title}{{{need}}} stands neither in url nor in body")
    if bool(channel.password_file) != any(word == "secret" for _, word in used):
        yield Doubt(ERROR, "E-CFG-MISSING", path, f"{title}{{secret}} and password_file belong together")
    if channel.method == "GET" and channel.body:
        yield Doubt(ERROR, "E-CFG-VALUE", (*path, "body"), f'{title}method "GET" sends no body')
    yield from _headers(channel, path)
    for key, template in (("url", urlsplit(channel.url).query if _split(channel.url) else ""), ("body", channel.body)):
        if found := _SECRET_FIELD.search(template):
            text = f"{title}{key}: {found[1]} looks like a secret; put it into password_file and write {{secret}}"
            yield Doubt(WARNING, "W-CFG-SECRET", (*path, key), text)


def _answer(channel: ChannelTable, path: _Path) -> Iterator[Doubt]:
    """A fault that is taken for a delivery is an alarm that nobody hears of."""
    if channel.url and not channel.expect_text and 200 in channel.expect_status:
        text = f"{_title(channel)}every answer 200 counts as sent; many providers tell faults in one: write into expect_text what a good answer holds"
        yield Doubt(WARNING, "W-CFG-EXPECT", path, text)


def _headers(channel: ChannelTable, path: _Path) -> Iterator[Doubt]:
    title = _title(channel)
    for header in channel.headers:
        name = header.partition(":")[0]
        if not _HEADER.fullmatch(header) or not header.isascii():
            yield Doubt(ERROR, "E-CFG-VALUE", (*path, "headers"), f'{title}a header must be written as "Name: value", found "{name}"')
        elif _SECRET_HEADER.search(name) and "{secret}" not in header:
            text = f"{title}the header {name} holds a secret; put it into password_file and write {{secret}}"
            yield Doubt(ERROR, "E-CFG-SECRET", (*path, "headers"), text)


def _url(channel: ChannelTable, path: _Path) -> Iterator[Doubt]:
    title, place = _title(channel), (*path, "url")
    address = _split(channel.url)
    if address is None or address.scheme not in ("https", "http") or not address.hostname or not channel.url.isascii() or " " in channel.url:
        yield Doubt(ERROR, "E-CFG-VALUE", place, f"{title}url must be like https://host/path, in ASCII and without blanks")
    elif "{" in address.netloc:
        yield Doubt(ERROR, "E-CFG-VALUE", place, f"{title}nothing is filled in in the host of url")
    elif "@" in address.netloc:
        yield Doubt(ERROR, "E-CFG-SECRET", place, f"{title}no name or password in url; use password_file and {{secret}}")
    elif address.scheme == "http" and not is_loopback(address.hostname):
        yield Doubt(ERROR, "E-CFG-PLAIN", place, f"{title}http:// to {address.hostname} would go unencrypted over the network; use https://")


def _split(url: str) -> SplitResult | None:
    try:
        address = urlsplit(url)
        _ = address.port
    except ValueError:
        return None
    return address


def _siren(site: Site, channel: ChannelTable, path: _Path, relays: dict[tuple[str, str], str]) -> Iterator[Doubt]:
    """The one thing that the gateway writes: a point that its profile declares writable, of a device that is there, for one channel."""
    title = _title(channel)
    if not channel.device or not channel.point:
        return
    device = next((device for device in site.config.device if device.code == channel.device), None)
    if device is None:
        yield Doubt(ERROR, "E-CFG-WRITE", (*path, "device"), f'{title}there is no device "{channel.device}"')
        return
    profile = site.profiles.get(device.profile)
    if profile is None:
        return  # Said at the device.
    writable = switchable(profile)
    if channel.point not in writable:
        can = f"it can switch {', '.join(writable)}" if writable else "its profile declares no point that may be written"
        yield Doubt(ERROR, "E-CFG-WRITE", (*path, "point"), f'{title}"{channel.point}" of {device.code} cannot be switched; {can}')
    yield from _judged(site.config, channel, profile.profile.device_class)
    other = relays.setdefault((channel.device, channel.point), channel.name)
    if other != channel.name:
        yield Doubt(ERROR, "E-CFG-DUP", (*path, "point"), f'{title}channel "{other}" switches {channel.point} of {channel.device} already')


def _judged(config: Config, channel: ChannelTable, device_class: str) -> Iterator[Doubt]:
    """A rule on the siren's own output: its sound would be an alarm, which sounds it."""
    text = f'{channel.point} of {channel.device} is the output of channel "{channel.name}": the siren would call people for its own sound'
    for number, rule in enumerate(config.rule):
        is_meant = not rule.devices or any(fnmatchcase(channel.device, pattern) for pattern in rule.devices)
        if rule.enabled and is_meant and rule.device_class in ("", device_class) and fnmatchcase(channel.point, rule.point):
            yield Doubt(WARNING, "W-CFG-SIREN", ("rule", number, "point"), f'rule "{rule.name}": {text}')
    for number, device in enumerate(config.device):
        if device.code == channel.device and channel.point in device.roles:
            yield Doubt(WARNING, "W-CFG-SIREN", ("device", number, "roles", channel.point), f'device "{device.code}": {text}')


def _syslog(channel: ChannelTable, path: _Path) -> Iterator[Doubt]:
    title = _title(channel)
    if channel.security == "starttls":
        yield Doubt(ERROR, "E-CFG-VALUE", (*path, "security"), f'{title}a syslog has security "tls" or "none"')
    else:
        yield from _port(channel, path)
    if channel.host and channel.security == "none" and not is_loopback(channel.host):
        text = f"{title}alarms go unencrypted to {channel.host}, and whoever is on the way may read and forge them"
        yield Doubt(WARNING, "W-CFG-PLAIN", (*path, "security"), text)


def _title(channel: ChannelTable) -> str:
    return f'channel "{channel.name}": '
