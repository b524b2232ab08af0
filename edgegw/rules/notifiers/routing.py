"""Who is to hear of what: the routes of the configuration, asked with one decision and the time of day. Pure."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

import msgspec

from edgegw.config.channel_model import ChannelTable
from edgegw.config.notify_model import WITHOUT_RECIPIENT, Recipient, Route
from edgegw.rules.episode import Episode
from edgegw.rules.levels import current_name
from edgegw.rules.told import Told, Why

# A siren tells that something is wrong; that it has ended it tells by being silent.
WITHOUT_END: Final = frozenset({"siren"})
_MINUTE_MS: Final = 60_000
_DAY_MINUTES: Final = 1440
# Every time of a week is looked at once: an opening that is not among them never comes.
_WEEK_DAYS: Final = 8
# Of a summary by name; the rest is counted.
SUMMARY_EPISODES_MAX: Final = 20


class Target(msgspec.Struct, frozen=True, omit_defaults=True):
    """One recipient by one channel; the recipient is empty where the channel needs none."""

    channel: str
    recipient: str = ""
    route: str = ""
    """By which it was chosen; whose hours hold for what comes later."""

    @property
    def who(self) -> tuple[str, str]:
        return self.channel, self.recipient


class Step(msgspec.Struct, frozen=True):
    """Who is told next when nobody has acknowledged."""

    after_min: int
    targets: tuple[Target, ...]
    delay_ms: int = 0
    """Until the hours of its route begin: nobody is waited for before."""


class Choice(NamedTuple):
    """`later`: a target to the wall time at which its hours begin."""

    now: tuple[Target, ...]
    later: Mapping[Target, int]
    steps: tuple[Step, ...]


class Local(NamedTuple):
    """What of a time the routes look at."""

    weekday: int
    """1 is Monday."""
    minute: int
    """Of the day."""


def local_of(at_ms: int) -> Local:
    """In this machine's zone."""
    found = time.localtime(at_ms / 1000)
    return Local(found.tm_wday + 1, 60 * found.tm_hour + found.tm_min)


class Router:
    """`classes`: device to its class."""

    def __init__(
        self,
        channels: Sequence[ChannelTable],
        recipients: Sequence[Recipient],
        routes: Sequence[Route],
        classes: Mapping[str, str],
        local: Callable[[int], Local] = local_of,
    ) -> None:
        self.kinds = {channel.name: channel.kind for channel in channels}
        self.recipients = {recipient.name: recipient for recipient in recipients}
        self.routes = {route.name: route for route in routes}
        self._classes = classes
        self._local = local

    def choose(self, told: Told, at_ms: int, *, clock_is_set: bool) -> Choice:
        """Of something new. Where no route to people is open at this hour, the first one to open takes it; without a clock all hours are open."""
        fitting = [route for route in self.routes.values() if any(self._fits(route, episode) for episode in _episodes(told))]
        opens = {route.name: (self.opens_ms(route, at_ms) if clock_is_set else None) or at_ms for route in fitting}
        now = list(_once(target for route in fitting if opens[route.name] == at_ms for target in self._targets(route, route.recipients)))
        later: list[Target] = []
        if not any(target.recipient for target in now):
            to_people = [target for route in fitting for target in self._targets(route, route.recipients) if target.recipient]
            first_ms = min((opens[target.route] for target in to_people), default=at_ms)
            later = list(_once(target for target in to_people if opens[target.route] == first_ms))
        asked = {target.route for target in (*now, *later)}
        steps = [step for route in fitting if route.name in asked for step in self._steps(route, opens[route.name] - at_ms)]
        return Choice(tuple(now), {target: opens[target.route] for target in later}, tuple(steps) if told.why is not Why.SUMMARY else ())

    def share(self, told: Told, target: Target) -> Told:
        """Of a summary what the routes to this recipient are for, as many as it names; all of it is counted."""
        if told.why is not Why.SUMMARY or not told.others:
            return told
        routes = [route for route in self.routes.values() if target.who in {one.who for one in self._targets(route, route.recipients)}]
        mine = [episode for episode in told.others if any(self._fits(route, episode) for route in routes)]
        count = len(mine) + told.count - len(told.others)
        return msgspec.structs.replace(told, episode=mine[0], others=tuple(mine[:SUMMARY_EPISODES_MAX]), count=count)

    def address(self, target: Target) -> str | None:
        """Where the channel reaches the recipient by now; None where it cannot."""
        if target.channel not in self.kinds:
            return None
        if self.kinds[target.channel] in WITHOUT_RECIPIENT:
            return ""
        recipient = self.recipients.get(target.recipient)
        return recipient.address.get(target.channel) if recipient else None

    def language(self, target: Target, default: str) -> str:
        recipient = self.recipients.get(target.recipient)
        return (recipient.language if recipient else "") or default

    def hears_the_end(self, target: Target) -> bool:
        """Where the recipient is still reached; a route that is gone from the configuration told of ends, as by default."""
        route = self.routes.get(target.route)
        return self.address(target) is not None and (route is None or route.tell_cleared) and self.kinds.get(target.channel) not in WITHOUT_END

    def is_needless(self, target: Target, episode: Episode, *, is_over: bool) -> bool:
        """Whether nobody has to be called by it any more."""
        return self.kinds.get(target.channel) in WITHOUT_END and (is_over or episode.acknowledged)

    def opens_again_ms(self, target: Target, at_ms: int) -> int | None:
        """Wall time at which the hours of the target's route begin; None while they last."""
        route = self.routes.get(target.route)
        return self.opens_ms(route, at_ms) if route is not None else None

    def reach(self, channel: str) -> list[Target]:
        """Everybody whom a channel reaches, for its test."""
        if self.kinds[channel] in WITHOUT_RECIPIENT:
            return [Target(channel)]
        return [Target(channel, recipient.name) for recipient in self.recipients.values() if channel in recipient.address]

    def opens_ms(self, route: Route, at_ms: int) -> int | None:
        """The next time at which the route's hours begin; None while they last, and where they never begin."""
        if self._is_open(route, self._local(at_ms)):
            return None
        start = at_ms - at_ms % _MINUTE_MS
        begin, _ = _span(route)
        for days in range(_WEEK_DAYS):
            at = _at_minute(start, days, begin)
            if at > at_ms and self._is_open(route, self._local(at)):
                return at
        return None

    def _is_open(self, route: Route, now: Local) -> bool:
        begin, end = _span(route)
        over_midnight = end <= begin
        today = not route.weekdays or now.weekday in route.weekdays
        yesterday = not route.weekdays or (now.weekday - 2) % 7 + 1 in route.weekdays
        if over_midnight:
            return (today and now.minute >= begin) or (yesterday and now.minute < end)
        return today and begin <= now.minute < end

    def _fits(self, route: Route, episode: Episode) -> bool:
        facts = episode.facts
        return (
            (not route.levels or current_name(facts.level) in {current_name(level) for level in route.levels})
            and (not route.device_class or self._classes.get(facts.device or "") == route.device_class)
            and (not route.devices or any(fnmatchcase(facts.subject, pattern) for pattern in route.devices))
            and (not route.rules or any(fnmatchcase(facts.rule, pattern) for pattern in route.rules))
        )

    def _targets(self, route: Route, names: Iterable[str]) -> Iterator[Target]:
        found = [self.recipients[name] for name in names if name in self.recipients]
        for channel, kind in self.kinds.items():
            if route.channels and channel not in route.channels:
                continue
            if kind not in WITHOUT_RECIPIENT:
                yield from (Target(channel, recipient.name, route.name) for recipient in found if channel in recipient.address)
            elif channel in route.channels:
                yield Target(channel, "", route.name)

    def _steps(self, route: Route, delay_ms: int) -> Iterator[Step]:
        for number, name in enumerate(route.escalate_to if route.escalate_after_min else ()):
            targets = tuple(target for target in self._targets(route, [name]) if target.recipient)
            if targets:
                yield Step((number + 1) * route.escalate_after_min, targets, delay_ms)


def _episodes(told: Told) -> Sequence[Episode]:
    return told.others or (told.episode,)


def _once(targets: Iterable[Target]) -> Iterator[Target]:
    """Nobody hears one thing twice by one channel."""
    seen: set[tuple[str, str]] = set()
    for target in targets:
        if target.who not in seen:
            seen.add(target.who)
            yield target


def _span(route: Route) -> tuple[int, int]:
    """Minutes of the day; without hours the whole day."""
    if not route.hours:
        return 0, _DAY_MINUTES
    begin, _, end = route.hours.partition("-")
    return _minutes(begin), _minutes(end)


def _minutes(text: str) -> int:
    hours, _, minutes = text.partition(":")
    return 60 * int(hours) + int(minutes)


def _at_minute(at_ms: int, days: int, minute: int) -> int:
    """That minute of the day, so many days later, in this machine's zone."""
    day = datetime.fromtimestamp(at_ms / 1000, tz=UTC).astimezone() + timedelta(days=days)
    at = day.replace(tzinfo=None, hour=0, minute=0, second=0, microsecond=0) + timedelta(minutes=minute)
    return round(at.astimezone().timestamp() * 1000)
