"""What happens to the station in the course of a day, as data (`scenarios/NAME.toml`), and what of it holds at a moment. Pure.

A step that is shorter than the time between two looks is not lost: `touched` tells it as well as those that hold now. What is shorter than the
mean that a meter takes is seen by nobody but a UPS, which keeps it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edgegw.errors import EXIT_USAGE, EdgegwError

DAY_S = 86_400.0
# Meters and piles show the mean of about a second.
METER_MEAN_S = 1.0


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One thing, from its hour for a while, every day. What it needs beside its kind is checked when it is loaded."""

    at: Annotated[str, Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?$")]
    for_s: Annotated[float, Meta(gt=0, le=DAY_S)]
    kind: Literal["mains", "string", "frozen", "busbar", "uplink", "bus"]
    share: Annotated[float, Meta(ge=0, le=2)] | None = None
    """mains: voltage as a share of the nominal one."""
    number: Annotated[int, Meta(ge=1, le=64)] | None = None
    """string: which; busbar: which joint, 1 to 3 for the phases."""
    pile: str | None = None
    """frozen: whose meter."""
    celsius: float | None = None
    """busbar: how hot."""
    bus: str | None = None
    """bus: which line is dead."""

    @property
    def begin_s(self) -> float:
        """Seconds since midnight."""
        hours, minutes, *seconds = self.at.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + sum(map(int, seconds))

    def holds(self, day_s: float) -> bool:
        """Whether it holds at this second since the first midnight."""
        return (day_s - self.begin_s) % DAY_S < self.for_s


_NEEDS = {"mains": ("share",), "string": ("number",), "frozen": ("pile",), "busbar": ("number", "celsius"), "uplink": (), "bus": ("bus",)}


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    step: tuple[Step, ...] = ()

    def touched(self, before_s: float, now_s: float) -> list[Step]:
        """The steps that hold now or began since `before_s`, in the order of the file."""
        return [step for step in self.step if step.holds(now_s) or (now_s - step.begin_s) % DAY_S < now_s - before_s]


class Conditions(msgspec.Struct, frozen=True):
    """What is out of the ordinary."""

    mains_share: float = 1.0
    """Voltage of the mains as a share of the nominal one."""
    dip_share: float = 1.0
    """The lowest that it was since the last look."""
    strings_down: frozenset[int] = frozenset()
    frozen_piles: frozenset[str] = frozenset()
    busbar_c: tuple[tuple[int, float], ...] = ()
    uplink_away: bool = False
    dead_buses: frozenset[str] = frozenset()


def conditions(scenario: Scenario, before_s: float, now_s: float) -> Conditions:
    """What holds at `now_s`, when the look before was at `before_s`: both in seconds since the first midnight."""
    touched = scenario.touched(before_s, now_s)
    now = [step for step in touched if step.holds(now_s)]
    return Conditions(
        mains_share=_lowest(step for step in now if step.for_s >= METER_MEAN_S),
        dip_share=_lowest(touched),
        strings_down=frozenset(step.number for step in now if step.kind == "string" and step.number),
        frozen_piles=frozenset(step.pile for step in now if step.kind == "frozen" and step.pile),
        busbar_c=tuple((step.number, step.celsius) for step in now if step.number and step.celsius is not None),
        uplink_away=any(step.kind == "uplink" for step in now),
        dead_buses=frozenset(step.bus for step in now if step.bus),
    )


def _lowest(steps: Iterable[Step]) -> float:
    return min((step.share for step in steps if step.share is not None), default=1.0)


def load_scenario(name: str) -> Scenario:
    """The scenario of this name, or of the file of this name when it ends in `.toml`. Raises EdgegwError with what is wrong."""
    try:
        if name.endswith(".toml"):
            text = Path(name).read_text(encoding="utf-8")
        else:
            text = files("edgegw.sim").joinpath("scenarios", f"{name}.toml").read_text(encoding="utf-8")
        scenario = msgspec.convert(tomllib.loads(text), Scenario)
    except OSError as fault:
        raise _refused(name, f"cannot be read: {fault.strerror}") from fault
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, UnicodeDecodeError) as fault:
        raise _refused(name, str(fault)) from fault
    for step in scenario.step:
        missing = [key for key in _NEEDS[step.kind] if getattr(step, key) is None]
        if missing:
            raise _refused(name, f'the step at {step.at} of kind "{step.kind}" needs {", ".join(missing)}')
    return scenario


def _refused(name: str, why: str) -> EdgegwError:
    return EdgegwError("E-SIM-SCENARIO", f"scenario {name}: {why}", 'write "day", or the path of a scenario file', EXIT_USAGE)
