"""`edgegw rules`: what is watched, with which limits and why, and what a rule would have done."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from edgegw.cli.cells import folded, pad, table, wrap
from edgegw.cli.output import Result, finish, screen_language, screen_width
from edgegw.cli.settings import Settings, current
from edgegw.cli.texts import duration
from edgegw.cli.texts_alarms import say, say_level
from edgegw.cli.times import local
from edgegw.errors import EXIT_OK, EXIT_UNKNOWN, EXIT_WARNINGS, EdgegwError

if TYPE_CHECKING:
    from edgegw.config.model import Config, Rule

_LABEL = 10
_EPISODES_SHOWN = 20
# On the list, so that no limit is cut; of thirty words that a device may say the first few are enough.
_CONDITION_MIN = 24
_CONDITION_LINES = 3
_DAY_MS = 86_400_000
_DAYS_MAX = 366


@click.group("rules", help="The rules of the alarms: list, show, and try over stored data.")
def command() -> None:
    pass


@command.command("list", help="Every rule of the configuration and those that every station has.")
def list_() -> None:
    settings = current()
    config = _config(settings)
    rules = [_plain(rule, config) for rule in _rules(config)]
    language = screen_language(settings, config.gateway.language)
    result = Result(
        rules,
        gateway=config.gateway.identity,
        screen=lambda: _list_screen(rules, language),
        rows=lambda: ((rule["name"], rule["level"], rule["origin"], rule["enabled"], rule["condition_text"]) for rule in rules),
    )
    finish(settings, "rules-list", result)


@command.command("show", help="One rule: limits, delays, and the reason for its figures.")
@click.argument("name", metavar="RULE")
def show(name: str) -> None:
    settings = current()
    config = _config(settings)
    rule = _plain(_find(config, name), config)
    language = screen_language(settings, config.gateway.language)
    result = Result(rule, gateway=config.gateway.identity, screen=lambda: _show_screen(rule, language), rows=lambda: ((key, rule[key]) for key in rule))
    finish(settings, "rules-show", result)


@command.command("test", help="What the rule would have done over the data that is stored. Exit 10 where it would have raised an alarm.")
@click.argument("name", metavar="RULE")
@click.option("--days", type=click.FloatRange(0.001, _DAYS_MAX), default=7.0, show_default=True, metavar="N", help="So long back.")
def test(name: str, days: float) -> None:
    settings = current()
    config = _config(settings)
    rule = _find(config, name)
    from pathlib import Path

    from edgegw.buffer.database import FILE_NAME
    from edgegw.buffer.history import Reader
    from edgegw.rule_trial import try_rule

    with Reader(Path(config.paths.state_dir) / FILE_NAME) as reader:
        trial = try_rule(reader, config, rule, round(time.time() * 1000 - days * _DAY_MS))
    data = {"rule": name, "days": days, **trial._asdict()}
    language = screen_language(settings, config.gateway.language)
    result = Result(
        data,
        gateway=config.gateway.identity,
        exit_code=EXIT_WARNINGS if trial.raised else EXIT_OK,
        screen=lambda: _trial_screen(data, language),
        rows=lambda: ((found["from_ms"], found["to_ms"], found["device"], found["value"], found["text"]) for found in trial.episodes),
    )
    finish(settings, "rules-test", result)


def _config(settings: Settings) -> Config:
    """Rules stand in the file: no service is needed. Raises EdgegwError."""
    from pathlib import Path

    from edgegw.cli.direct import load_config

    return load_config(Path(settings.config))


def _rules(config: Config) -> list[Rule]:
    from edgegw.rules.shipped import with_shipped

    return with_shipped(config.rule, shipped=config.alarms.shipped_rules, supply=config.supply)


def _find(config: Config, name: str) -> Rule:
    found = next((rule for rule in _rules(config) if rule.name == name), None)
    if found is None:
        from edgegw.config.finding import did_you_mean
        from edgegw.rules.shipped import shipped_rules

        needs = next((rule.of for rule in shipped_rules() if rule.of and rule.name == name), "")
        if needs and config.alarms.shipped_rules:
            keys = " and ".join(dict.fromkeys(("meter", needs)))
            raise EdgegwError("E-RULE", f'rule "{name}" is not at work: [supply] does not say {keys}', "docs/shipped-rules.md", EXIT_UNKNOWN)
        raise EdgegwError("E-RULE", f'no rule "{name}"{did_you_mean(name, [rule.name for rule in _rules(config)])}', "edgegw rules list", EXIT_UNKNOWN)
    return found


def _plain(rule: Rule, config: Config) -> dict[str, Any]:
    import msgspec

    from edgegw.rules.figures import condition_text, short_text
    from edgegw.rules.levels import current_name, name_zh, use
    from edgegw.rules.notifiers.steps import Advices

    own = rule in config.rule
    use(config.level)
    return {
        **msgspec.to_builtins(rule),
        **Advices([rule]).of(rule.name)._asdict(),
        "level": current_name(rule.level),
        "level_zh": name_zh(rule.level),
        "origin": "configuration" if own else "shipped",
        "condition_text": condition_text(rule),
        "condition_text_zh": condition_text(rule, "zh"),
        "short_text": short_text(rule),
        "short_text_zh": short_text(rule, "zh"),
    }


# -- screens


def _list_screen(rules: list[dict[str, Any]], language: str) -> list[str]:
    heads = [say(language, f"head.{name}") for name in ("rule", "level", "for_whom", "condition")]
    rows = [
        [
            rule["name"] if rule["enabled"] else f"({rule['name']})",
            say_level(language, rule),
            ",".join(rule["devices"]) or rule["device_class"] or rule["role"] or "-",
            _said(rule, "short_text", language),
        ]
        for rule in rules
    ]
    return [line for lines in folded(heads, rows, width=screen_width(), least=_CONDITION_MIN, lines=_CONDITION_LINES, yielding=2) for line in lines]


def _show_screen(rule: dict[str, Any], language: str) -> Iterator[str]:
    yield f"{rule['name']}  {say_level(language, rule)}  {say(language, 'origin.' + rule['origin'])}"
    lines = [
        ("condition", _said(rule, "condition_text", language)),
        ("whom", ", ".join(rule["devices"]) or rule["device_class"] or "-"),
        ("episode", rule["episode"]),
        ("what", _said(rule, "text", language)),
        *((name, _said(rule, name, language)) for name in ("cause", "step")),
        ("explains", ", ".join(rule["explains"])),
        ("basis", _said(rule, "basis", language)),
    ]
    for name, value in lines:
        if value:
            yield from wrap(pad(say(language, f"rule.{name}"), _LABEL) + value, _LABEL, screen_width())
    yield say(language, "next", f"edgegw rules test {rule['name']} --days 7")


def _said(rule: dict[str, Any], name: str, language: str) -> str:
    """A text of the rule in the caller's language, as far as there is one."""
    return str((rule.get(f"{name}_zh") if language == "zh" else "") or rule.get(name, ""))


def _trial_screen(data: dict[str, Any], language: str) -> Iterator[str]:
    yield from wrap(say(language, "trial.count", data["rule"], data["raised"], f"{data['readings']:,}", f"{data['days']:g}"), 4, screen_width())
    if data["episodes"]:
        heads = [say(language, f"head.{name}") for name in ("time", "for", "device", "what")]
        shown = data["episodes"][-_EPISODES_SHOWN:]
        rows = [
            [
                local(found["from_ms"]),
                "-" if found["to_ms"] is None else duration(language, (found["to_ms"] - found["from_ms"]) / 1000),
                str(found["device"]),
                _said(found, "text", language),
            ]
            for found in shown
        ]
        yield from table(heads, rows, right=frozenset(), flexible=3, width=screen_width())
