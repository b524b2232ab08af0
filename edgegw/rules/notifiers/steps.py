"""Likely cause and first step of an alarm, by its rule (`../steps.toml`)."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from edgegw.config.model import Rule


class Advice(NamedTuple):
    """Empty where nothing is known."""

    cause: str
    cause_zh: str
    step: str
    step_zh: str

    def words(self, language: str) -> tuple[str, str]:
        """Cause and first step; what is there in one language alone stands for both."""
        if language == "zh":
            return self.cause_zh or self.cause, self.step_zh or self.step
        return self.cause or self.cause_zh, self.step or self.step_zh


# Of the alarm that a channel reaches nobody; its name stands between.
CHANNEL_FAILS: Final = ("channel ", " fails")
NONE = Advice("", "", "", "")


@cache
def advices() -> Mapping[str, Advice]:
    """By the name of a rule, and as `condition.<name>` by condition."""
    text = Path(__file__).parent.with_name("steps.toml").read_text(encoding="utf-8")
    return {name: Advice(*row) for name, row in tomllib.loads(text).items()}


class Advices:
    """Knows which condition a rule of the station has."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._conditions = {rule.name: rule.condition for rule in rules}
        own = {rule.name: Advice(rule.cause, rule.cause_zh, rule.step, rule.step_zh) for rule in rules}
        self._own = {name: advice for name, advice in own.items() if any(advice)}

    def of(self, rule: str) -> Advice:
        """What the station says of its rule, else what is known of it, else of its condition."""
        found = advices()
        if rule in self._own:
            return self._own[rule]
        if rule.startswith(CHANNEL_FAILS[0]) and rule.endswith(CHANNEL_FAILS[1]):
            return found["channel fails"]
        return found.get(rule) or found.get(f"condition.{self._conditions.get(rule, '')}", NONE)
