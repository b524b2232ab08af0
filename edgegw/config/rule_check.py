"""Rules that name what does not exist, or find no device: such a rule would keep silent for ever."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from math import isnan

from edgegw.config.finding import ERROR, WARNING, did_you_mean
from edgegw.config.model import Computed, Device, Rule
from edgegw.config.site import Doubt, Site
from edgegw.points import LINK_CLASS, lookup, suggest

# Sources that no device of the configuration has.
_OWN_CLASSES = frozenset({"gateway", LINK_CLASS})
_AVERAGED = frozenset({"high", "low"})


def check_rules(site: Site) -> Iterator[Doubt]:
    points = {name: frozenset(row.point for row in profile.point) for name, profile in site.profiles.items()}
    codes: dict[str, list[Device]] = {}
    for device in site.config.device:
        codes.setdefault(device.code, []).append(device)
    for number, rule in enumerate(site.config.rule):
        path = ("rule", number)
        yield from _whole(rule, path, points)
        if "*" not in rule.point and lookup(rule.point) is None:
            yield Doubt(ERROR, "E-CFG-POINT", (*path, "point"), f'rule "{rule.name}": unknown point "{rule.point}"{_near(rule.point, points)}')
            continue
        if not rule.enabled or rule.device_class in _OWN_CLASSES or any(_computes(rule, computed) for computed in site.config.computed):
            continue
        missing = [pattern for pattern in rule.devices if not _named(pattern, codes)]
        for pattern in missing:
            hint = did_you_mean(pattern, codes)
            yield Doubt(WARNING, "W-CFG-RULE", (*path, "devices"), f'rule "{rule.name}": no device has the code "{pattern}"{hint}')
        if not missing and not any(_judged(rule, device, site, points) for device in _candidates(rule, codes)):
            of_class = f' of class "{rule.device_class}"' if rule.device_class else ""
            text = f'rule "{rule.name}": none of its devices{of_class} has the point "{rule.point}"; the rule never acts'
            yield Doubt(WARNING, "W-CFG-RULE", (*path, "point"), text)


def _whole(rule: Rule, path: tuple[str, int], points: dict[str, frozenset[str]]) -> Iterator[Doubt]:
    """What a condition needs beside its name."""
    needs = {"word": ("word", not (rule.word or rule.words)), "deviation": ("reference", not rule.reference)}.get(rule.condition)
    if needs and needs[1]:
        yield Doubt(ERROR, "E-CFG-MISSING", (*path, "condition"), f'rule "{rule.name}": condition "{rule.condition}" needs "{needs[0]}"')
    if isnan(rule.limit) and rule.condition != "word":
        yield Doubt(ERROR, "E-CFG-MISSING", path, f'rule "{rule.name}": condition "{rule.condition}" needs "limit"')
    if rule.average_s and rule.condition not in _AVERAGED:
        yield Doubt(ERROR, "E-CFG-VALUE", (*path, "average_s"), f'rule "{rule.name}": only high and low can judge a mean, not "{rule.condition}"')
    for term in rule.when:
        if "*" not in term.point and lookup(term.point) is None:
            yield Doubt(ERROR, "E-CFG-POINT", (*path, "when"), f'rule "{rule.name}": unknown point "{term.point}"{_near(term.point, points)}')


def _computes(rule: Rule, computed: Computed) -> bool:
    """Whether the rule judges a computed point."""
    of_class = rule.device_class in ("", "computed") and rule.point == computed.point
    return of_class and (not rule.devices or any(fnmatchcase(computed.code, pattern) for pattern in rule.devices))


def _near(point: str, points: dict[str, frozenset[str]]) -> str:
    """First among the points that this station has, else in the dictionary."""
    hint = did_you_mean(point, sorted(set().union(*points.values())))
    near = suggest(point)
    return hint or (f'; did you mean "{near}"?' if near else "")


def _named(pattern: str, codes: dict[str, list[Device]]) -> bool:
    return pattern in codes or any(fnmatchcase(code, pattern) for code in codes)


def _candidates(rule: Rule, codes: dict[str, list[Device]]) -> Iterator[Device]:
    """The devices that a rule names, all when it names none; of a code that stands twice, which is said elsewhere, either."""
    for code, devices in codes.items():
        if not rule.devices or any(code == pattern or fnmatchcase(code, pattern) for pattern in rule.devices):
            yield from devices


def _judged(rule: Rule, device: Device, site: Site, points: dict[str, frozenset[str]]) -> bool:
    """True also for a device whose profile is unknown: that is said at the device, once."""
    profile = site.profiles.get(device.profile)
    if profile is None:
        return True
    known = points[device.profile]
    has_point = any(fnmatchcase(point, rule.point) for point in known) if "*" in rule.point else rule.point in known
    return has_point and rule.device_class in ("", profile.profile.device_class)
