"""Who would be told of an alarm: people and channels that no route reaches, addresses that reach nobody, levels that nobody hears of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from edgegw.config.finding import ERROR, WARNING, did_you_mean
from edgegw.config.level_model import SHIPPED_LEVELS
from edgegw.config.model import Config
from edgegw.config.notify_model import WITHOUT_RECIPIENT, Recipient, Route, TellingTable
from edgegw.config.number_check import doubt_of
from edgegw.config.route_check import check_route
from edgegw.config.site import Doubt, Site

_MAIL: Final = re.compile(r"[^\s@<>,;:\"]+@[^\s@<>,;:\"]+")
_DAY_MINUTES: Final = 1440
_WEEK_MINUTES: Final = 7 * _DAY_MINUTES


def check_notify(site: Site) -> Iterator[Doubt]:
    config = site.config
    kinds = {channel.name: channel.kind for channel in config.channel}
    mistakes = [*_recipients(config, kinds), *(doubt for number in range(len(config.route)) for doubt in check_route(site, number))]
    yield from mistakes
    yield from _figures(config.telling)
    if not config.channel:
        return
    if not config.route:
        text = "there are channels but no [[route]]: nobody is told of any alarm"
        yield Doubt(WARNING, "W-CFG-UNTOLD", ("channel", 0), text)
        return
    # A name that is wrong or missing in a route or an address is one mistake, told there.
    if not any(doubt.severity == ERROR for doubt in mistakes):
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


def _figures(telling: TellingTable) -> Iterator[Doubt]:
    """What must not be less than what."""
    if telling.retry_max_s < telling.retry_first_s:
        text = f"[telling]: retry_max_s must be at least retry_first_s, {telling.retry_first_s:g}, found {telling.retry_max_s:g}"
        yield Doubt(ERROR, "E-CFG-RANGE", ("telling", "retry_max_s"), text)
    if telling.storm_notices_severe < telling.storm_notices:
        text = f"[telling]: storm_notices_severe must be at least storm_notices, {telling.storm_notices}, found {telling.storm_notices_severe}"
        yield Doubt(ERROR, "E-CFG-RANGE", ("telling", "storm_notices_severe"), text)


def _channels(config: Config) -> Iterator[Doubt]:
    """Channels that nothing leads to."""
    for number, channel in enumerate(config.channel):
        if channel.kind in WITHOUT_RECIPIENT:
            if not any(channel.name in route.channels for route in config.route):
                text = f'channel "{channel.name}": no route has it in its channels: it is told nothing'
                yield Doubt(WARNING, "W-CFG-UNTOLD", ("channel", number, "name"), text)
        elif not any(channel.name in recipient.address for recipient in config.recipient):
            text = f'channel "{channel.name}": no recipient has an address for it: it reaches nobody'
            yield Doubt(WARNING, "W-CFG-UNTOLD", ("channel", number, "name"), text)
        elif not any(_goes_by(route, channel.name, config) for route in config.route):
            text = f'channel "{channel.name}": no route leads by it to anybody who has an address for it: it is told nothing'
            yield Doubt(WARNING, "W-CFG-UNTOLD", ("channel", number, "name"), text)


def _goes_by(route: Route, channel: str, config: Config) -> bool:
    """Whether the route tells a person by this channel, at once or later."""
    reached = {recipient.name for recipient in config.recipient if channel in recipient.address}
    return (not route.channels or channel in route.channels) and bool(reached & {*route.recipients, *route.escalate_to})


def _recipients(config: Config, kinds: Mapping[str, str]) -> Iterator[Doubt]:
    named = {name for route in config.route for name in (*route.recipients, *route.escalate_to)}
    # A name that is wrong or missing in a route is one mistake, told there.
    is_settled = bool(named) and named <= {recipient.name for recipient in config.recipient}
    seen: set[str] = set()
    owners: dict[tuple[str, str], str] = {}
    for number, recipient in enumerate(config.recipient):
        path = ("recipient", number)
        title = f'recipient "{recipient.name}": '
        if recipient.name in seen:
            yield Doubt(ERROR, "E-CFG-DUP", (*path, "name"), f"{title}the name stands twice")
        seen.add(recipient.name)
        yield from _addresses(recipient, path, kinds, owners)
        if is_settled and recipient.name not in named:
            yield Doubt(WARNING, "W-CFG-UNTOLD", (*path, "name"), f"{title}no route names it: it is told nothing")
        if not recipient.address:
            yield Doubt(ERROR, "E-CFG-MISSING", path, f'{title}no address; address = {{ mail = "duty@example.cn" }}')


def _addresses(recipient: Recipient, path: tuple[str, int], kinds: Mapping[str, str], owners: dict[tuple[str, str], str]) -> Iterator[Doubt]:
    """`owners`: whose an address is, by channel; this recipient's are added."""
    title, place = f'recipient "{recipient.name}": ', (*path, "address")
    for channel, address in recipient.address.items():
        if channel not in kinds:
            yield Doubt(ERROR, "E-CFG-TOLD", place, f'{title}no channel "{channel}"{did_you_mean(channel, kinds)}')
        elif kinds[channel] in WITHOUT_RECIPIENT:
            yield Doubt(WARNING, "W-CFG-UNUSED", place, f'{title}channel "{channel}" of kind "{kinds[channel]}" needs no address')
        elif kinds[channel] == "mail" and not _MAIL.fullmatch(address):
            yield Doubt(ERROR, "E-CFG-VALUE", place, f'{title}{channel} must be like duty@example.cn, found "{address}"')
        elif kinds[channel] != "mail" and (doubt := doubt_of(address, dialled=kinds[channel] == "sms_modem")):
            yield Doubt(doubt.severity, "E-CFG-VALUE" if doubt.severity == ERROR else "W-CFG-NUMBER", place, f"{title}{channel} {doubt.text}")
        owner = owners.setdefault((channel, address), recipient.name)
        if owner != recipient.name and address:
            text = f'{title}{channel} {address} is that of "{owner}": notices come twice, and an escalation reaches nobody new'
            yield Doubt(WARNING, "W-CFG-SAME", place, text)


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
