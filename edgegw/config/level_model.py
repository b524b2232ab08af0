"""`[[level]]`: how severe alarms can be, as data. The order of the tables is the rank."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta


class Level(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One level of alarms, the most severe first. Without any of them: critical, major, minor, notice (docs/alarms.md)."""

    name: Annotated[str, Meta(description="Name of the level, as rules, events and payloads have it.", pattern="^[A-Za-z0-9_.-]{1,32}$")]
    name_zh: Annotated[str, Meta(description="The same in Chinese, for people.", max_length=16)] = ""
    acknowledge: Annotated[bool, Meta(description="One that ended before anybody acknowledged it stays listed until somebody does.")] = False
    deadlines_h: Annotated[
        dict[str, Annotated[float, Meta(ge=0.01, le=8760)]],
        Meta(description="What is promised within how many hours of the raise: { plan = 4, arrive = 8 }. Who acknowledges keeps the first of them."),
    ] = {}
    report: Annotated[bool, Meta(description="The readings around the raise are written down with it and sent (alarm_report).")] = False
    out_of_service: Annotated[
        bool, Meta(description="A device with a fault of this level (device_fault of its rule) is out of service until the alarm is over.")
    ] = False
    formerly: Annotated[
        list[str],
        Meta(description="Levels that are called so now, or have gone into this one: rules and stored alarms of these names are taken as of this level."),
    ] = []


SHIPPED_LEVELS: Final = (
    Level(name="critical", name_zh="重大", acknowledge=True, deadlines_h={"plan": 4, "arrive": 8}, report=True, out_of_service=True),
    Level(name="major", name_zh="较严重", acknowledge=True, deadlines_h={"depart": 2, "arrive": 4}),
    Level(name="minor", name_zh="轻微", deadlines_h={"diagnosis": 1}),
    Level(name="notice", name_zh="提示"),
)
"""Hours: the operator's service commitment (服务承诺 一(四)): minor faults are diagnosed from afar within an hour; for major ones somebody leaves within
2 and arrives within 4 hours; for critical ones there is a plan within 4 hours and whoever carries it out arrives within 8."""
