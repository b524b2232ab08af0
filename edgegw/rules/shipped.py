"""The rules that every station has (`station.toml`), and how a configuration changes them."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edgegw.config.model import Rule
from edgegw.config.supply_model import Supply


class ShippedRule(Rule, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A rule with the reason for its figures."""

    basis: Annotated[str, Meta(min_length=1)]
    basis_zh: Annotated[str, Meta(min_length=1)]
    of: Literal["", "meter", "contracted_kw", "transformer_kva"] = ""
    """It judges the incoming meter of `[supply]`; with the last two limit and deadband are percent of that value. Without it there is no such rule."""


NO_SUPPLY = Supply()


@cache
def shipped_rules() -> tuple[ShippedRule, ...]:
    """In the order of the file."""
    text = Path(__file__).with_name("station.toml").read_text(encoding="utf-8")
    return tuple(msgspec.convert(tomllib.loads(text)["rule"], list[ShippedRule]))


def with_shipped(rules: Sequence[Rule], *, shipped: bool, supply: Supply = NO_SUPPLY) -> list[Rule]:
    """The station's own first; a shipped one of the same name gives way to it."""
    own = {rule.name for rule in rules}
    fitted = (for_supply(rule, supply) for rule in shipped_rules() if shipped and rule.name not in own)
    return [*rules, *(rule for rule in fitted if rule is not None)]


def for_supply(rule: ShippedRule, supply: Supply) -> ShippedRule | None:
    """A rule about the station's connection with the station's figures; None where the configuration does not say them."""
    if not rule.of:
        return rule
    whole = {"meter": 100.0, "contracted_kw": supply.contracted_kw, "transformer_kva": supply.transformer_kva}[rule.of]
    if not supply.meter or not whole:
        return None
    limit, deadband = (rule.limit, rule.deadband) if rule.of == "meter" else (round(share * whole / 100, 3) for share in (rule.limit, rule.deadband))
    return msgspec.structs.replace(rule, devices=[supply.meter], limit=limit, deadband=deadband)
