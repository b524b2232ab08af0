"""`edgegw profiles`: the products that edgegw knows, one of them in full, what is wrong with a file of yours, and whether a device answers it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgegw.cli.cells import table, wrap
from edgegw.cli.output import Result, finish, paint, screen_language, screen_width
from edgegw.cli.settings import Settings, current
from edgegw.cli.texts import say
from edgegw.errors import EXIT_CHECK_FAILED, EXIT_OK, EXIT_UNKNOWN, EdgegwError

if TYPE_CHECKING:
    from edgegw.config.finding import Finding
    from edgegw.drivers.profile_base import ProfileBase, Row

# Under a wrapped finding the text goes on here, as in config check.
_INDENT = 16


@click.group("profiles", help="The products that edgegw knows.")
def command() -> None:
    pass


@command.command("list", help="Name, class, poll groups and title of every product; unproven: no captured exchange has shown it yet.")
def list_() -> None:
    from edgegw.drivers.catalogue import available, load_profile

    profiles = [load_profile(name) for name in available()]
    found = [_summary(profile) for profile in profiles]
    chinese = screen_language(current()) == "zh"
    shown = [
        [str(row["name"]), str(row["class"]), str(row["points"]), "unproven" if row["unproven"] else "", str(row["title_zh" if chinese else "title"])]
        for row in found
    ]
    screen = table(["PROFILE", "CLASS", "POINTS", "", "PRODUCT"], shown, right=frozenset({2}), flexible=4)
    finish(current(), "profiles-list", Result(found, screen=lambda: screen, rows=lambda: shown))


def _summary(profile: ProfileBase) -> dict[str, Any]:
    head = profile.profile
    return {
        "name": head.name,
        "class": head.device_class,
        "protocol": head.protocol,
        "title": head.title,
        "title_zh": head.title_zh,
        "groups": {name: group.period_s for name, group in profile.group.items()},
        "points": len(profile.point),
        "unproven": bool(head.unproven),
        "source": head.source,
    }


@command.command("show", help="Every point of a profile: where it lies, how it is read, its unit and title.")
@click.argument("name", metavar="PROFILE")
def show(name: str) -> None:
    from edgegw.drivers.catalogue import load_profile

    settings = current()
    profile = load_profile(name)
    rows = [_point(profile, row) for row in profile.point] + [{**_point(profile, row), "group": ""} for row in getattr(profile, "also", ())]
    language = screen_language(settings)
    data = {**_summary(profile), "maker": profile.profile.maker, "note": getattr(profile.profile, "note", ""), "rows": rows}
    fields = ("point", "function", "address", "type", "scale", "unit", "group")
    result = Result(data, screen=lambda: _screen(profile, rows, language), rows=lambda: [[row[field] for field in fields] for row in rows])
    finish(settings, "profiles-show", result)


def _point(profile: ProfileBase, row: Row) -> dict[str, Any]:
    """What people and programs want to know of a row; what a protocol has none of is None."""
    from edgegw.drivers.profile_base import entry_of

    entry, point = entry_of(row), profile.row_point(row)
    faults = getattr(row, "fault_bits", {})
    return {
        "point": row.point,
        "group": row.group,
        "unit": point.unit,
        "decimals": point.decimals,
        "title": entry.en,
        "title_zh": entry.zh,
        "function": getattr(row, "function", None),
        "address": getattr(row, "address", None),
        "type": getattr(row, "type", None),
        "scale": str(row.scale) if hasattr(row, "scale") else None,
        "map": {str(raw): meaning for raw, meaning in getattr(row, "codes", {}).items()},
        "faults": {str(bit): {"id": fault.id, "en": fault.en, "zh": fault.zh} for bit, fault in faults.items()},
    }


def _screen(profile: ProfileBase, rows: list[dict[str, Any]], language: str) -> Iterator[str]:
    head, width = profile.profile, screen_width()
    yield from wrap(f"{head.name}  {head.title_zh if language == 'zh' else head.title}", 2, width)
    if head.unproven:
        yield "  " + say(language, "profile.unproven")
    yield from wrap(f"  {say(language, 'profile.source', head.source)}", 4, width)
    if getattr(head, "note", ""):
        yield from wrap(f"  {say(language, 'profile.note', getattr(head, 'note', ''))}", 4, width)
    heads = [say(language, f"head.{name}") for name in ("point", "function", "address", "type", "scale", "unit", "group", "title")]
    cells = [[_cell(row, field, language) for field in ("point", "function", "address", "type", "scale", "unit", "group", "title")] for row in rows]
    kept = [column for column in range(len(heads)) if any(line[column] for line in cells)]
    lines = [[line[column] for column in kept] for line in cells]
    right = frozenset(place for place, column in enumerate(kept) if column in (1, 2))
    yield from table([heads[column] for column in kept], lines, right=right, flexible=len(kept) - 1, width=width)


def _cell(row: dict[str, Any], field: str, language: str) -> str:
    value = row["title_zh" if field == "title" and language == "zh" else field]
    if value is None or (field == "unit" and value == "1") or (field == "scale" and value == "1"):
        return ""
    return str(value)


@command.command("lint", help="Find every mistake in a profile of yours. Exit 0 good, 1 mistakes.")
@click.argument("file", metavar="FILE")
def lint(file: str) -> None:
    from edgegw.config.profile_lint import lint as find

    settings = current()
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        why = fault.strerror if isinstance(fault, OSError) else "is not UTF-8"
        raise EdgegwError("E-PROFILE-UNKNOWN", f"profile {file}: {why}", "check the path", EXIT_UNKNOWN) from fault
    findings = find(text, Path(file).name)
    rows = [(f.file, f.line, f.severity, f.id, f.text) for f in findings]
    result = Result(
        [dict(zip(("file", "line", "severity", "id", "text"), row, strict=True)) for row in rows],
        exit_code=EXIT_CHECK_FAILED if findings else EXIT_OK,
        screen=lambda: _findings(findings, file, settings),
        rows=lambda: rows,
    )
    finish(settings, "profiles-lint", result)


def _findings(findings: list[Finding], file: str, settings: Settings) -> Iterator[str]:
    """One line a finding, as compilers write them; broken at the width of a terminal, whole in a pipe."""
    language = screen_language(settings)
    for finding in findings:
        lines = wrap(str(finding), _INDENT, screen_width()) if sys.stdout.isatty() else [str(finding)]
        yield paint("\n".join(lines), finding.severity, settings)
    yield say(language, "profile.mistakes", len(findings)) if findings else say(language, "profile.right", Path(file).name)


@command.command("try", help="Ask the device with the profile FILE (or a name) on BUS of the configuration: values, raw registers, refused points.")
@click.argument("file", metavar="FILE")
@click.argument("bus")
@click.option("--unit", type=click.IntRange(0, 255), default=1, show_default=True, help="Unit id of the device.")
@click.option("--address", default="", metavar="DIGITS", help="Address of a DL/T 645 meter.")
def try_(file: str, bus: str, unit: int, address: str) -> None:
    from edgegw.cli.profiles_try import run

    run(current(), file, bus, unit, address)
