"""Who would be told of an alarm: routes that lead nowhere, names that do not exist, levels that nobody hears of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
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
    for level in config.level or SHIPPED_LEVELS:
        if not any(_takes_all_of(route, {level.name, *level.formerly}) for route in config.route):
            text = f'alarms of level "{level.name}" may be told to nobody: no route takes all of them'
            yield Doubt(WARNING, "W-CFG-UNTOLD", ("route", 0), text)


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
    if not route.recipients and not any(kinds.get(channel) in WITHOUT_RECIPIENT for channel in route.channels):
        yield Doubt(ERROR, "E-CFG-MISSING", path, f"{title}it leads to nobody; recipients is missing")
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


def _takes_all_of(route: Route, names: set[str]) -> bool:
    """Of one level, whatever the device or rule; at other hours it waits for them."""
    return (not route.levels or bool(names & set(route.levels))) and not (route.device_class or route.devices or route.rules)
