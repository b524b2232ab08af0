"""Who would be told of an alarm: routes that lead nowhere, names that do not exist, levels that nobody hears of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Final

from edgegw.config.finding import ERROR, WARNING, did_you_mean
from edgegw.config.level_check import level_names
from edgegw.config.level_model import SHIPPED_LEVELS
from edgegw.config.model import Config
from edgegw.config.notify_model import WITHOUT_RECIPIENT, Route
from edgegw.config.site import Doubt

_NUMBER = re.compile(r"\+?[0-9]{3,15}")
# What the address of a recipient looks like, by the kind of its channel.
_FORMS: Final = {"mail": re.compile(r"[^\s@<>,;:\"]+@[^\s@<>,;:\"]+"), "sms_modem": _NUMBER, "sms_http": _NUMBER}

_DAY_MINUTES: Final = 1440
_WEEK_MINUTES: Final = 7 * _DAY_MINUTES

_Path = tuple[str, int]


def check_notify(config: Config) -> Iterator[Doubt]:
    kinds = {channel.name: channel.kind for channel in config.channel}
    yield from _recipients(config, kinds)
    for number, route in enumerate(config.route):
        yield from _route(config, route, ("route", number), kinds)
    if not config.channel:
        return
    if not config.route:
        text = "there are channels but no [[route]]: nobody is told of any alarm"
        yield Doubt(WARNING, "W-CFG-UNTOLD", ("channel", 0), text)
        return
    yield from _channels(config)
    for level in config.level or SHIPPED_LEVELS:
        takers = [route for route in config.route if _takes_all_of(route, {level.name, *level.formerly})]
        if not takers:
            text = f'alarms of level "{level.name}" may be told to nobody: no route takes all of them'
            yield Doubt(WARNING, "W-CFG-UNTOLD", ("route", 0), text)
        people = [route for route in takers if route.recipients]
        if level.acknowledge and people and (shut := _shut(people)):
            text = f'alarms of level "{level.name}" wait where no route to people is open, as at {shut}'
            yield Doubt(WARNING, "W-CFG-UNTOLD", ("route", config.route.index(people[0])), text)


def _channels(config: Config) -> Iterator[Doubt]:
    """Channels that nothing leads to. A name that is wrong in a route or an address is one mistake, told there."""
    named = [*(route.channels for route in config.route), *(recipient.address for recipient in config.recipient)]
    if not all(recipient.address for recipient in config.recipient) or {name for names in named for name in names} - {
        channel.name for channel in config.channel
    }:
        return
    for number, channel in enumerate(config.channel):
        if channel.kind in WITHOUT_RECIPIENT:
            if not any(channel.name in names for names in named):
                text = f'channel "{channel.name}": no route has it in its channels: it is told nothing'
                yield Doubt(WARNING, "W-CFG-UNTOLD", ("channel", number, "name"), text)
        elif config.recipient and not any(channel.name in recipient.address for recipient in config.recipient):
            text = f'channel "{channel.name}": no recipient has an address for it: it reaches nobody'
            yield Doubt(WARNING, "W-CFG-UNTOLD", ("channel", number, "name"), text)


def _recipients(config: Config, kinds: Mapping[str, str]) -> Iterator[Doubt]:
    named = {name for route in config.route for name in (*route.recipients, *route.escalate_to)}
    # A name that is wrong or missing in a route is one mistake, told there.
    is_settled = bool(named) and named <= {recipient.name for recipient in config.recipient}
    seen: set[str] = set()
    for number, recipient in enumerate(config.recipient):
        path = ("recipient", number)
        title = f'recipient "{recipient.name}": '
        if recipient.name in seen:
            yield Doubt(ERROR, "E-CFG-DUP", (*path, "name"), f"{title}the name stands twice")
        seen.add(recipient.name)
        for channel, address in recipient.address.items():
            if channel not in kinds:
                yield Doubt(ERROR, "E-CFG-TOLD", (*path, "address"), f'{title}no channel "{channel}"{did_you_mean(channel, kinds)}')
            elif kinds[channel] in WITHOUT_RECIPIENT:
                yield Doubt(WARNING, "W-CFG-UNUSED", (*path, "address"), f'{title}channel "{channel}" of kind "{kinds[channel]}" needs no address')
            elif not _FORMS[kinds[channel]].fullmatch(address):
                like = "duty@example.cn" if kinds[channel] == "mail" else "+8613800000000"
                yield Doubt(ERROR, "E-CFG-VALUE", (*path, "address"), f'{title}{channel} must be like {like}, found "{address}"')
        if is_settled and recipient.name not in named:
            yield Doubt(WARNING, "W-CFG-UNTOLD", (*path, "name"), f"{title}no route names it: it is told nothing")
        if not recipient.address:
            yield Doubt(ERROR, "E-CFG-MISSING", path, f'{title}no address; address = {{ mail = "duty@example.cn" }}')


def _route(config: Config, route: Route, path: _Path, kinds: Mapping[str, str]) -> Iterator[Doubt]:
    title = f'route "{route.name}": '
    if [other.name for other in config.route].index(route.name) != path[1]:
        yield Doubt(ERROR, "E-CFG-DUP", (*path, "name"), f"{title}the name stands twice")
    known_levels = level_names(config)
    for level in route.levels:
        if level not in known_levels:
            text = f'{title}no level "{level}"{did_you_mean(level, known_levels)}; there are {", ".join(known_levels)}'
            yield Doubt(ERROR, "E-CFG-LEVEL", (*path, "levels"), text)
    for channel in route.channels:
        if channel not in kinds:
            yield Doubt(ERROR, "E-CFG-TOLD", (*path, "channels"), f'{title}no channel "{channel}"{did_you_mean(channel, kinds)}')
    yield from _people(config, route, path, kinds)
    personal = [channel for channel in route.channels if kinds.get(channel, "siren") not in WITHOUT_RECIPIENT]
    if not route.recipients and not any(kinds.get(channel) in WITHOUT_RECIPIENT for channel in route.channels):
        yield Doubt(ERROR, "E-CFG-MISSING", path, f"{title}it leads to nobody; recipients is missing")
    elif not route.recipients and personal:
        yield Doubt(WARNING, "W-CFG-UNTOLD", (*path, "channels"), f"{title}{', '.join(personal)} cannot tell anybody without recipients")
    subjects = [config.gateway.gateway, *(device.code for device in config.device), *(computed.code for computed in config.computed)]
    subjects += [*(bus.name for bus in config.bus), *(uplink.name for uplink in config.uplink)]
    for pattern in route.devices:
        if not any(fnmatchcase(subject, pattern) for subject in subjects):
            text = f'{title}no device or bus has the name "{pattern}"{did_you_mean(pattern, subjects)}'
            yield Doubt(WARNING, "W-CFG-UNTOLD", (*path, "devices"), text)
    yield from _times(route, path, title)


def _people(config: Config, route: Route, path: _Path, kinds: Mapping[str, str]) -> Iterator[Doubt]:
    title, people = f'route "{route.name}": ', {recipient.name: recipient for recipient in config.recipient}
    for key, names in (("recipients", route.recipients), ("escalate_to", route.escalate_to)):
        for name in names:
            if name not in people:
                yield Doubt(ERROR, "E-CFG-TOLD", (*path, key), f'{title}no recipient "{name}"{did_you_mean(name, people)}')
            elif kinds.keys() >= set(route.channels) and route.channels and not any(channel in people[name].address for channel in route.channels):
                yield Doubt(ERROR, "E-CFG-TOLD", (*path, key), f'{title}"{name}" has no address for {", ".join(route.channels)}')


def _times(route: Route, path: _Path, title: str) -> Iterator[Doubt]:
    begin, _, end = route.hours.partition("-")
    if route.hours and begin == end:
        yield Doubt(ERROR, "E-CFG-VALUE", (*path, "hours"), f"{title}hours that end when they begin; leave them out for the whole day")
    if bool(route.escalate_after_min) != bool(route.escalate_to):
        missing = "escalate_to" if route.escalate_after_min else "escalate_after_min"
        yield Doubt(ERROR, "E-CFG-MISSING", path, f"{title}an escalation needs {missing} too")


def _shut(routes: list[Route]) -> str:
    """The first time of the week at which none of the routes is open, as `20:00 of weekday 1`; empty: there is none."""
    if any(not route.hours and not route.weekdays for route in routes):
        return ""
    for at in range(_WEEK_MINUTES):
        if not any(_is_open(route, at) for route in routes):
            return f"{at % _DAY_MINUTES // 60:02}:{at % 60:02} of weekday {at // _DAY_MINUTES + 1}"
    return ""


def _is_open(route: Route, at: int) -> bool:
    """`at` in minutes from Monday 00:00; hours over midnight belong to the day on which they begin."""
    begin, end = (int(text[:2]) * 60 + int(text[3:]) for text in (route.hours or "00:00-00:00").split("-"))
    since_begin = (at - begin) % _DAY_MINUTES
    began_on = (at - since_begin) % _WEEK_MINUTES // _DAY_MINUTES + 1
    return since_begin < ((end - begin) % _DAY_MINUTES or _DAY_MINUTES) and (not route.weekdays or began_on in route.weekdays)


def _takes_all_of(route: Route, names: set[str]) -> bool:
    """Of one level, whatever the device or rule; at other hours it waits for them."""
    return (not route.levels or bool(names & set(route.levels))) and not (route.device_class or route.devices or route.rules)
