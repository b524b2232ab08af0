"""One route: names that do not exist, hours that never come, an escalation that reaches nobody new or comes too late.

What a route names and the station does not have yet is a warning: a device may come tomorrow. What no edgegw has (a level, a channel, a person) is an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from functools import cache
from typing import Final, get_args

from edgegw.config.finding import ERROR, WARNING, did_you_mean
from edgegw.config.level_check import level_names
from edgegw.config.level_model import SHIPPED_LEVELS
from edgegw.config.model import Config
from edgegw.config.notify_model import WITHOUT_RECIPIENT, Route
from edgegw.config.site import Doubt, Site
from edgegw.drivers.profile_base import DeviceClass
from edgegw.rules.notifiers.steps import advices
from edgegw.rules.shipped import shipped_rules

_Path = tuple[str, int]
# Sources that no profile has: what is computed, and the gateway itself.
_OWN_CLASSES: Final = ("computed", "gateway")
# Alarms whose name has that of a channel or uplink in it: `channel sms fails`, `quota main 80 %`.
_NAMED_AFTER: Final = ("channel ", "certificate ", "uplink ", "quota ", "too large ")
# So many names are shown where one was not found.
_NEAR_MOST: Final = 3
_WILD: Final = frozenset("*?[")


def check_route(site: Site, number: int) -> Iterator[Doubt]:
    config, path = site.config, ("route", number)
    route, kinds = config.route[number], {channel.name: channel.kind for channel in config.channel}
    title = f'route "{route.name}": '
    if [other.name for other in config.route].index(route.name) != number:
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
    yield from _alarms(site, route, path)
    yield from _times(route, path)
    yield from _escalation(config, route, path)


def _people(config: Config, route: Route, path: _Path, kinds: Mapping[str, str]) -> Iterator[Doubt]:
    title, people = f'route "{route.name}": ', {recipient.name: recipient for recipient in config.recipient}
    for key, names in (("recipients", route.recipients), ("escalate_to", route.escalate_to)):
        for name in names:
            if name not in people:
                yield Doubt(ERROR, "E-CFG-TOLD", (*path, key), f'{title}no recipient "{name}"{did_you_mean(name, people)}')
            elif kinds.keys() >= set(route.channels) and route.channels and not any(channel in people[name].address for channel in route.channels):
                yield Doubt(ERROR, "E-CFG-TOLD", (*path, key), f'{title}"{name}" has no address for {", ".join(route.channels)}')
    personal = [channel for channel in route.channels if kinds.get(channel, "siren") not in WITHOUT_RECIPIENT]
    if not route.recipients and not any(kinds.get(channel) in WITHOUT_RECIPIENT for channel in route.channels):
        yield Doubt(ERROR, "E-CFG-MISSING", path, f"{title}it leads to nobody; recipients is missing")
    elif not route.recipients and personal:
        yield Doubt(WARNING, "W-CFG-UNTOLD", (*path, "channels"), f"{title}{', '.join(personal)} cannot tell anybody without recipients")


def _alarms(site: Site, route: Route, path: _Path) -> Iterator[Doubt]:
    """Devices, classes and rules that are not there: no alarm would ever fit."""
    config, title = site.config, f'route "{route.name}": '
    subjects = [config.gateway.gateway, *(device.code for device in config.device), *(computed.code for computed in config.computed)]
    subjects += [*(bus.name for bus in config.bus), *(uplink.name for uplink in config.uplink)]
    for pattern in route.devices:
        if not any(fnmatchcase(subject, pattern) for subject in subjects):
            text = f'{title}no device or bus has the name "{pattern}"{did_you_mean(pattern, subjects)}'
            yield Doubt(WARNING, "W-CFG-UNTOLD", (*path, "devices"), text)
    classes = sorted({*_OWN_CLASSES, *(profile.profile.device_class for profile in site.profiles.values())})
    every = sorted({*_OWN_CLASSES, *get_args(DeviceClass)})
    is_known = all(device.profile in site.profiles for device in config.device)
    if route.device_class and route.device_class not in (classes if is_known else every):
        hint = did_you_mean(route.device_class, classes if route.device_class in every else [*classes, *every])
        text = f'{title}no device of this station is of class "{route.device_class}"{hint}'
        yield Doubt(WARNING, "W-CFG-UNTOLD", (*path, "device_class"), text)
    for pattern in route.rules:
        if not _is_rule(pattern, config):
            hint = did_you_mean(pattern, _rules(config), _NEAR_MOST)
            text = f'{title}no rule has the name "{pattern}"{hint or "; `edgegw rules list` shows them"}'
            yield Doubt(WARNING, "W-CFG-UNTOLD", (*path, "rules"), text)


def _is_rule(pattern: str, config: Config) -> bool:
    if any(fnmatchcase(name, pattern) for name in _rules(config)):
        return True
    literal = pattern[: next((at for at, sign in enumerate(pattern) if sign in _WILD), len(pattern))]
    return any(literal.startswith(word) or (len(literal) < len(pattern) and word.startswith(literal)) for word in _NAMED_AFTER)


def _rules(config: Config) -> tuple[str, ...]:
    """Every name that an alarm of this station can have, save those of channels and uplinks."""
    shipped = tuple(rule.name for rule in shipped_rules()) if config.alarms.shipped_rules else ()
    return (*(rule.name for rule in config.rule), *shipped, *_found_by_edgegw())


@cache
def _found_by_edgegw() -> tuple[str, ...]:
    """Alarms that are no rule of a configuration; their names have a blank, and each has its first step."""
    return tuple(name for name in advices() if " " in name)


def _times(route: Route, path: _Path) -> Iterator[Doubt]:
    title = f'route "{route.name}": '
    begin, _, end = route.hours.partition("-")
    if route.hours and begin == end:
        yield Doubt(ERROR, "E-CFG-VALUE", (*path, "hours"), f"{title}hours that end when they begin; leave them out for the whole day")
    if bool(route.escalate_after_min) != bool(route.escalate_to):
        missing = "escalate_to" if route.escalate_after_min else "escalate_after_min"
        yield Doubt(ERROR, "E-CFG-MISSING", path, f"{title}an escalation needs {missing} too")


def _escalation(config: Config, route: Route, path: _Path) -> Iterator[Doubt]:
    """Who has been told is not told again; and a promise that is broken by then needs nobody to be called."""
    if not (route.escalate_after_min and route.escalate_to):
        return
    title, told = f'route "{route.name}": ', set(route.recipients)
    for name in route.escalate_to:
        if name in told:
            text = f'{title}"{name}" has been told by then: an escalation tells only who has not'
            yield Doubt(WARNING, "W-CFG-ESCALATION", (*path, "escalate_to"), text)
        told.add(name)
    for level in config.level or SHIPPED_LEVELS:
        first = min(level.deadlines_h, key=lambda name: level.deadlines_h[name], default="")
        is_taken = not route.levels or {level.name, *level.formerly} & set(route.levels)
        if first and level.acknowledge and is_taken and route.escalate_after_min >= 60 * level.deadlines_h[first]:
            text = f'{title}after {route.escalate_after_min} min the first promise of level "{level.name}" ({first} in {level.deadlines_h[first]:g} h) is over'
            yield Doubt(WARNING, "W-CFG-ESCALATION", (*path, "escalate_after_min"), text)
