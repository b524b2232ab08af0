"""The rules that every station has (`station.toml`), and how a configuration changes them."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from edgegw.config.model import Rule


class ShippedRule(Rule, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A rule with the reason for its figures."""

    basis: Annotated[str, Meta(min_length=1)]


@cache
def shipped_rules() -> tuple[ShippedRule, ...]:
    """In the order of the file."""
    text = Path(__file__).with_name("station.toml").read_text(encoding="utf-8")
    return tuple(msgspec.convert(tomllib.loads(text)["rule"], list[ShippedRule]))


def with_shipped(rules: Sequence[Rule], *, shipped: bool) -> list[Rule]:
    """The station's own first; a shipped one of the same name gives way to it."""
    own = {rule.name for rule in rules}
    return [*rules, *(rule for rule in shipped_rules() if shipped and rule.name not in own)]
