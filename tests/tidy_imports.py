"""Who may import whom, as data, and what breaks it. docs/architecture.md has the same tables; test_tidy.py compares them."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tests.tidy_tree import Finding, Source, called

NOUNS = ("model", "points", "clock", "errors", "block", "intervals")

# Part of edgegw: what it may import at all; the longest name that fits a module counts. A part may always import itself, and all
# may import the nouns. `!` takes a module out again.
IMPORT_RULES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(NOUNS, ()),
    "__init__": ("!nouns",),
    "__main__": ("!nouns", "cli"),
    "config.model": ("!config", "config.channel_model", "config.level_model", "config.rule_model", "config.supply_model", "config.notify_model"),
    "config.rule_model": ("!config",),
    "config.supply_model": ("!config",),
    "config.notify_model": ("!config",),
    "config.level_model": ("!config",),
    "config.channel_model": ("!config",),
    "config.finding": ("!config",),
    "config.lines": ("!config", "config.finding"),
    "config.walk": ("!config", "config.model", "config.notify_model", "config.finding", "config.lines"),
    "config.salvage": ("!config", "config.model", "config.lines", "config.walk"),
    "config.load": ("!config", "config.model", "config.finding", "config.lines", "config.walk", "config.salvage"),
    "config.profile_lint": ("drivers.catalogue", "drivers.profile", "drivers.profile_base", "drivers.profile_check"),
    "config.route_check": ("drivers.profile_base", "rules.shipped", "rules.notifiers.steps"),
    "config": ("drivers.catalogue", "drivers.profile_base", "drivers.planning", "drivers.plan", "drivers.base", "drivers.switching"),
    "drivers": ("config.model",),
    "bus": ("config.model", "drivers.base", "drivers.permit", "drivers.switching"),
    "buffer": ("config.model",),
    "rules": ("config.model", "config.channel_model", "config.supply_model", "config.level_model", "config.notify_model"),
    "truth": ("config.model",),
    "uplink": ("config.model",),
    "uplink.envelope": ("!uplink", "uplink.strict_cbor"),
    "uplink.keys": ("!uplink", "config.model", "uplink.envelope", "uplink.strict_cbor", "uplink.private_file"),
    "uplink.strict_cbor": ("!uplink",),
    "uplink.private_file": ("!uplink",),
    "uplink.parcel": ("!uplink",),
    "uplink.schema_parts": ("!uplink", "uplink.strict_cbor"),
    "cloud": ("uplink.envelope", "uplink.keys", "uplink.parcel", "uplink.schema_parts"),
    "sim": (
        *("config", "drivers.catalogue", "drivers.profile", "drivers.profile_base", "drivers.dlt645_profile", "drivers.megatec_profile"),
        *("drivers.sunspec_models", "drivers.sunspec_profile"),
    ),
    "control": (),
    "control.client": ("!nouns", "errors"),
    "log": ("config.model",),
    "live": (),
    "charging": (),
    "deadband": ("config.model",),
    "window": ("config.model",),
    "views": ("config.model", "buffer", "bus", "rules", "uplink", "live", "views_alarms"),
    "views_bus": ("config.model", "drivers", "bus"),
    "views_buffer": ("config.model", "buffer"),
    "views_cloud": ("uplink",),
    "rule_trial": ("config.model", "buffer", "rules"),
    "level_use": ("config", "buffer", "rules"),
    "views_alarms": ("config.model", "buffer", "rules"),
    "views_telling": ("config.model", "buffer", "rules", "telling"),
    "telling": ("config.model", "buffer", "bus", "rules", "channel_parts", "supervise"),
    "alarm_report": ("buffer", "rules"),
    "alarm_reports": ("config.model", "buffer", "rules", "alarm_report"),
    "alarming": ("config.model", "config.level_model", "buffer", "rules", "uplink", "views_alarms", "alarm_reports"),
    "own_points": (),
    "own_watch": ("config.model", "buffer", "bus", "rules", "uplink", "own_points", "own_uplinks"),
    "own_uplinks": ("buffer", "rules", "uplink"),
    "wiring": ("config.model", "drivers", "bus", "rules", "truth"),
    "channel_parts": ("config.model", "config.channel_model", "drivers", "bus", "rules", "uplink.private_file"),
    "supervise": (),
    "memory": (),
    "housekeeping": ("config.model",),
    "app": (
        "config",
        "drivers",
        "bus",
        "buffer",
        "rules",
        "uplink",
        "control",
        "log",
        "live",
        "views",
        "views_bus",
        "alarming",
        "telling",
        "views_telling",
        "views_buffer",
        "views_cloud",
        "channel_parts",
        "charging",
        "deadband",
        "window",
        "own_watch",
        "wiring",
        "supervise",
        "memory",
        "housekeeping",
    ),
    "cli": ("!nouns", "errors", "control.client"),
}
# What a command that works without the daemon may import, inside its function (decision D10).
CLI_INSIDE_FUNCTIONS = (
    *(*NOUNS, "config", "drivers", "bus", "buffer", "cloud", "sim", "rules", "rule_trial", "level_use", "log", "app"),
    *("uplink.envelope", "uplink.keys", "uplink.parcel", "uplink.schema_parts", "uplink.trial"),
)

# Third-party package (and sqlite3): the parts that may import it. What is not listed may be imported nowhere.
THIRD_PARTY_RULES: dict[str, tuple[str, ...]] = {
    "msgspec": ("",),
    "cbor2": ("block", "uplink", "cloud"),
    "cryptography": ("uplink.envelope", "uplink.keys", "uplink.certificates", "cloud", "buffer.backup"),
    "pymodbus": ("drivers", "sim"),
    "fastcrc": ("drivers", "sim"),
    "serial": ("bus", "sim"),
    "sqlite3": ("buffer", "cloud", "sim.sink", "sim.audit", "cli.version"),
    "sqlite_utils": ("buffer", "cloud"),
    "paho": ("uplink.mqtt", "cloud"),
    "apscheduler": ("housekeeping",),
    "uvloop": ("app",),
    "click": ("cli",),
    "amqtt": ("sim.pure_broker",),
    "pyarrow": ("buffer.export",),
}
# Codecs, plans and decoders are pure (design: no I/O in them); a profile is read from its file.
PURE = ("drivers", "block", "uplink.envelope")
PURE_EXCEPT = ("drivers.catalogue",)
IO_MODULES = frozenset({"asyncio", "socket", "select", "selectors", "threading", "subprocess", "fcntl", "termios", "tty", "pty", "sqlite3", "urllib", "http"})

# File that may import what only a name at run time tells: why.
DYNAMIC_IMPORT_ALLOWED = {"edgegw/cli/main.py": "a command's module is imported when the command is called"}


class Import(NamedTuple):
    line: int
    target: str
    inside_function: bool


def imports(source: Source, known: frozenset[str]) -> list[Import]:
    """Every import of the file, wherever it stands, with the module that it names."""
    found: list[Import] = []

    def visit(node: ast.AST, *, inside: bool) -> None:
        if isinstance(node, ast.Import):
            found.extend(Import(node.lineno, alias.name, inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(source, node)
            found.extend(Import(node.lineno, f"{base}.{alias.name}" if f"{base}.{alias.name}" in known else base, inside) for alias in node.names)
        elif isinstance(node, ast.Call) and called(node) in {"import_module", "__import__"}:
            target = node.args[0] if node.args else None
            if isinstance(target, ast.Constant) and isinstance(target.value, str):
                found.append(Import(node.lineno, target.value, inside))
            elif source.path not in DYNAMIC_IMPORT_ALLOWED:
                found.append(Import(node.lineno, "what only its run tells", inside))
        for child in ast.iter_child_nodes(node):
            visit(child, inside=inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or _is_type_checking(node))

    visit(source.tree, inside=False)
    return found


def _is_type_checking(node: ast.AST) -> bool:
    """`if TYPE_CHECKING:` costs the start of a command as little as an import inside a function."""
    return isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def _absolute(source: Source, node: ast.ImportFrom) -> str:
    """`from ..model import x` in edgegw.bus.line to edgegw.model."""
    if not node.level:
        return node.module or ""
    package = source.module.split(".")
    if not source.path.endswith("__init__.py"):
        package.pop()
    return ".".join([*package[: len(package) - node.level + 1], *([node.module] if node.module else [])])


def _below(part: str, prefix: str) -> bool:
    return not prefix or part == prefix or part.startswith(f"{prefix}.")


def rule_of(part: str) -> str | None:
    """The name of the rule for a part: the longest that fits."""
    return max((name for name in IMPORT_RULES if _below(part, name)), key=len, default=None)


def may_import(part: str, target: str, *, inside_function: bool) -> bool:
    """Whether one part of edgegw may import another."""
    if target == "__init__":
        return True
    rule = rule_of(part) or part
    words = [*IMPORT_RULES.get(rule, ()), *(CLI_INSIDE_FUNCTIONS if rule == "cli" and inside_function else ())]
    barred = {word[1:] for word in words if word.startswith("!")}
    own = {"nouns", part.partition(".")[0]} - barred
    allowed = _expanded([*(word for word in words if not word.startswith("!")), rule, *own])
    return _any_below(target, allowed) and not _any_below(target, barred - set(_expanded(words)) - {"nouns", part.partition(".")[0]})


def _expanded(names: Iterable[str]) -> list[str]:
    return [word for name in names for word in (NOUNS if name == "nouns" else (name,))]


def import_findings(source: Source, known: frozenset[str]) -> Iterator[Finding]:
    if rule_of(source.part) is None:
        yield Finding(source.path, 1, f"{source.module} has no import rule; give it one in tests/tidy_imports.py and docs/architecture.md")
    for found in imports(source, known):
        top = found.target.partition(".")[0]
        if top == "edgegw":
            target = found.target.partition(".")[2] or "__init__"
            if not may_import(source.part, target, inside_function=found.inside_function):
                where = " inside a function" if found.inside_function else ""
                yield Finding(source.path, found.line, f"{source.module} may not import {found.target}{where}")
        elif not _third_party_allowed(source.part, top):
            yield Finding(source.path, found.line, f"{source.module} may not import {top}")
        if top in IO_MODULES and _any_below(source.part, PURE) and not _any_below(source.part, PURE_EXCEPT):
            yield Finding(source.path, found.line, f"{source.module} does no I/O and may not import {top}")


def _third_party_allowed(part: str, top: str) -> bool:
    if top in THIRD_PARTY_RULES:
        return _any_below(part, THIRD_PARTY_RULES[top])
    return top in sys.stdlib_module_names


def _any_below(part: str, prefixes: Iterable[str]) -> bool:
    return any(_below(part, prefix) for prefix in prefixes)
