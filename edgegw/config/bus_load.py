"""Whether a bus can carry what is asked of it, and by which periods it could.

Devices of one profile and one set of periods cost the same time, so one plan is made for each kind and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from edgegw.config.finding import ERROR, WARNING
from edgegw.config.model import Bus, Device
from edgegw.drivers.base import DevicePlan, LineFacts
from edgegw.drivers.plan import busy_share, lateness_ms, line_facts, question_ms
from edgegw.drivers.planning import plan_device
from edgegw.drivers.profile_base import ProfileBase

# Above the first share a retry or a technician's question makes polls late; above the second they never catch up.
SHARE_WARNING = 0.6
SHARE_ERROR = 1.0
# Periods that people write.
_PERIODS_S = (1, 2, 3, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600)
# So many groups are named one by one in a proposal.
_GROUPS_NAMED_MAX = 3


_Kind = tuple[str, tuple[tuple[str, float], ...], tuple[str, ...]]
"""Profile, periods, choice of points."""


class _Cost(NamedTuple):
    """One question of a number of equal devices."""

    group: str
    period_ms: int
    question_ms: float
    number: int


class Forecast(NamedTuple):
    """What the plan says of a bus before anybody has polled it."""

    bus: str
    devices: int
    requests: int
    """Of one round: every question once."""
    busy_share: float
    lateness_ms: float
    """Longest time from due to asked, when everything is due at once."""


def forecast(bus: Bus, devices: Sequence[tuple[Device, ProfileBase]]) -> Forecast:
    """Raises EdgegwError for a poll group that does not exist."""
    line = line_facts(bus)
    plans = [plan for plan, number in kinds(devices, line) for _ in range(number)]
    requests = sum(len(source.questions or source.usual) for plan in plans for source in plan.sources)
    return Forecast(bus.name, len(devices), requests, busy_share(plans, line), lateness_ms(plans, line))


def judge_load(bus: Bus, devices: Sequence[tuple[Device, ProfileBase]]) -> tuple[Literal["error", "warning"], str] | None:
    """Severity and sentence for a bus that is too busy. Raises EdgegwError for a poll group that does not exist."""
    line = line_facts(bus)
    costs = [cost for plan, number in kinds(devices, line) for cost in _costs(plan, number, line)]
    share = _share(costs, 0)
    if share <= SHARE_WARNING:
        return None
    calm_s = next((period_s for period_s in _PERIODS_S if _share(costs, period_s * 1000) <= SHARE_WARNING), None)
    # The round that is too long is that of the groups which would have to be slower.
    fast = [cost for cost in costs if calm_s is None or cost.period_ms < calm_s * 1000]
    requests = sum(cost.number for cost in fast)
    total_ms = sum(cost.number * cost.question_ms for cost in fast)
    period_s = min(cost.period_ms for cost in fast) / 1000
    text = (
        f'bus "{bus.name}": {requests} requests x {total_ms / requests:.0f} ms = {total_ms / 1000:.1f} s per round, period is {period_s:g} s. '
        f"Proposal: {_proposal(fast, calm_s)} (the bus is {share:.0%} busy)"
    )
    return (ERROR if share > SHARE_ERROR else WARNING), text


def kinds(devices: Sequence[tuple[Device, ProfileBase]], line: LineFacts) -> Iterator[tuple[DevicePlan, int]]:
    """A plan for each kind of device, and how many there are of it."""
    first: dict[_Kind, tuple[Device, ProfileBase]] = {}
    numbers: Counter[_Kind] = Counter()
    for device, profile in devices:
        key = device.profile, tuple(sorted(device.period_s.items())), tuple(device.points)
        first.setdefault(key, (device, profile))
        numbers[key] += 1
    for key, (device, profile) in first.items():
        yield plan_device(device, profile, line, 1), numbers[key]


def _costs(plan: DevicePlan, number: int, line: LineFacts) -> Iterator[_Cost]:
    for source in plan.sources:
        for question in source.questions or source.usual:
            yield _Cost(source.source.group, source.source.period_ms, question_ms(question, line, plan.gap_ms), number)


def _share(costs: Sequence[_Cost], least_period_ms: int) -> float:
    """Busy share of the bus when no group is asked more often than every `least_period_ms`."""
    return sum(cost.number * cost.question_ms / max(cost.period_ms, least_period_ms) for cost in costs)


def _proposal(fast: Sequence[_Cost], period_s: int | None) -> str:
    if period_s is None:
        return "share its devices among several lines"
    groups = sorted({cost.group.partition(".")[0] for cost in fast})
    if len(groups) > _GROUPS_NAMED_MAX:
        return f"period_s = {period_s} for each group that is faster"
    return f"period_s = {{ {', '.join(f'{group} = {period_s}' for group in groups)} }}"
