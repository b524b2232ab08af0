# ruff: noqa: INP001 - a script beside its pages
"""Writes what of the documentation the program itself knows: config.md from the structs, cli.md from the help,
messages.md from the ids, points.md from the dictionary, examples/r10.toml from the simulated station's file.

python docs/generate.py          write the files
tests/test_docs.py               fails when one of them is not what this writes
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator, Sequence
from math import isnan
from pathlib import Path

import click
import msgspec
from msgspec import inspect

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent))

from edgegw import points  # noqa: E402 - the package lies beside this directory
from edgegw.cli.main import BLOCKS, make_group  # noqa: E402
from edgegw.config.model import Config  # noqa: E402
from edgegw.config.walk import PATTERN_WORDS, bare  # noqa: E402
from edgegw.errors import lookup, message_ids  # noqa: E402
from edgegw.rules.figures import beside_text, clear_text, set_text  # noqa: E402
from edgegw.rules.shipped import shipped_rules  # noqa: E402
from edgegw.sim.gateway_config import bus_and_device_tables, fixed_ports  # noqa: E402
from edgegw.sim.station import load_station  # noqa: E402


def config_page() -> str:
    lines = [
        "# Configuration",
        "",
        "One TOML file, `/etc/edgegw/config.toml`. `config.example.toml` is a station to begin with; `edgegw config check` finds every mistake at once.",
        "Without a default a key must be there. Made by `docs/generate.py` from `edgegw/config/model.py`.",
    ]
    root = inspect.type_info(Config)
    assert isinstance(root, inspect.StructType)
    for field in root.fields:
        kind = bare(field.type)
        many = isinstance(kind, inspect.ListType)
        table = kind.item_type if isinstance(kind, inspect.ListType) else kind
        assert isinstance(table, inspect.StructType)
        header = f"[[{field.encode_name}]]" if many else f"[{field.encode_name}]"
        title = (table.cls.__doc__ or "").split("\n")[0]
        often = " Any number of them." if many else ""
        lines += ["", f"## `{header}`", "", f"{title}{often}", "", "| key | value | default | meaning |", "|---|---|---|---|"]
        lines += [_row(key) for key in table.fields]
        for key in table.fields:
            lines += _inner_table(field.encode_name, key)
    return "\n".join(lines) + "\n"


def _inner_table(table: str, field: inspect.Field) -> list[str]:
    """The keys of a table in a table, as in `[device.input.4]`."""
    kind = bare(field.type)
    inner = bare(kind.value_type) if isinstance(kind, inspect.DictType) else bare(kind.item_type) if isinstance(kind, inspect.ListType) else None
    if not isinstance(inner, inspect.StructType):
        return []
    title = (inner.cls.__doc__ or "").split("\n")[0]
    head = ["", f"### `{field.encode_name}` of `[[{table}]]`", "", title, "", "| key | value | default | meaning |", "|---|---|---|---|"]
    return [*head, *(_row(key) for key in inner.fields)]


def _row(field: inspect.Field) -> str:
    assert isinstance(field.type, inspect.Metadata)
    meaning = (field.type.extra_json_schema or {})["description"]
    return f"| `{field.encode_name}` | {_words(bare(field.type))} | {_default(field)} | {meaning} |"


def _words(kind: inspect.Type) -> str:
    match kind:
        case inspect.StrType(pattern=str(pattern)):
            words = PATTERN_WORDS[pattern]
        case inspect.StrType(max_length=most):
            words = "text" if most is None else f"text, at most {most} characters"
        case inspect.LiteralType(values=values):
            words = ", ".join(f"`{value}`" for value in values)
        case inspect.IntType() | inspect.FloatType():
            words = ("whole number" if isinstance(kind, inspect.IntType) else "number") + _bounds(kind)
        case inspect.BoolType():
            words = "`true`, `false`"
        case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item):
            words = (
                "list of tables, see below"
                if isinstance(bare(item), inspect.StructType)
                else "list of whole numbers"
                if isinstance(bare(item), inspect.IntType)
                else "list of texts"
            )
        case inspect.DictType(value_type=value) if isinstance(bare(value), inspect.StructType):
            words = "table by number, see below"
        case inspect.DictType(value_type=value):
            words = f"table: name = {_words(bare(value))}"
        case _:
            raise AssertionError(kind)
    return words


def _bounds(kind: inspect.IntType | inspect.FloatType) -> str:
    parts = [f"from {kind.ge:g}" if kind.ge is not None else "", f"to {kind.le:.0f}" if kind.le is not None else ""]
    return "".join(f" {part}" for part in parts if part)


def _default(field: inspect.Field) -> str:
    if field.required:
        return ""
    value = field.default_factory() if field.default is msgspec.NODEFAULT and callable(field.default_factory) else field.default
    if isinstance(value, float) and isnan(value):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return "empty" if value in ("", [], {}) else f"`{value}`"


def cli_page() -> str:
    json = (
        "With `--json` stdout is one object, of an error too: `schema`, `time`, `gateway`, `ok`, `data`, `warnings`, `error` (`id`, `text`, `cause`, `next`). "
        "`schema` is the words of the command and the version of its form: `edgegw.status/1`, `edgegw.alarms-ack/1`, `edgegw.rules-list/1`. `edgegw alarms` and "
        "`edgegw alarms list` are both `edgegw.alarms/1`, `edgegw alarms show ID --report` is `edgegw.alarms-report/1`. A form may only grow."
    )
    made = "Made by `docs/generate.py` from the program's own help."
    lines = ["# Command line", "", made, "", "```", _help(make_group(), "edgegw"), "```", "", json]
    for block, commands in BLOCKS.items():
        if commands:
            lines += ["", f"## {block}"]
        for name in commands:
            for path, command in _tree(name):
                lines += ["", f"### `{path}`", "", "```", _help(command, path), "```"]
    return "\n".join(lines) + "\n"


def _tree(name: str) -> Iterator[tuple[str, click.Command]]:
    """A command, or the commands of a group."""
    group = make_group()
    command = group.get_command(click.Context(group), name)
    assert command is not None, name
    if isinstance(command, click.Group):
        for child, inner in sorted(command.commands.items()):
            yield f"edgegw {name} {child}", inner
    else:
        yield f"edgegw {name}", command


def _help(command: click.Command, path: str) -> str:
    # The width is fixed, so that the page does not depend on who writes it.
    context = click.Context(command, info_name=path, terminal_width=80, max_content_width=80, help_option_names=["-h", "--help"])
    return command.get_help(context).rstrip()


def messages_page() -> str:
    lines = [
        "# Messages",
        "",
        "Every id that edgegw says, its meaning and what to do. `edgegw explain ID` says the same, offline. Made by `docs/generate.py` from `edgegw/messages.toml`.",
        "",
        "| id | meaning | 含义 | next step | 下一步 |",
        "|---|---|---|---|---|",
    ]
    rows = [(f"`{m.id}`", m.en, m.zh, m.next_en, m.next_zh) for m in filter(None, map(lookup, message_ids()))]
    lines += ["| " + " | ".join(field.replace("|", "\\|") for field in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def points_page() -> str:
    lines = [
        "# Points",
        "",
        "Every name that a profile may use: one name, one unit, one meaning in every class of device. `{x}` is a phase (a, b, c), `{l}` a pair of phases",
        "(ab, bc, ca), `{t}` a tariff (sharp, peak, flat, valley), `{n}` a number from 1. A value outside its range is `bad`.",
        "Made by `docs/generate.py` from `edgegw/points.toml`.",
        "",
        "State of a gun (`gun{n}.state`): 0 offline, 1 idle, 2 connected and not charging, 3 charging, 4 reserved, 255 fault.",
        "",
        "| point | unit | kind | decimals | range | title | 名称 |",
        "|---|---|---|---|---|---|---|",
    ]
    for pattern in points.patterns():
        entry = points.lookup(pattern.replace("{x}", "a").replace("{l}", "ab").replace("{t}", "peak").replace("{n}", "1"))
        assert entry is not None, pattern
        limits = "" if entry.range is None else f"{entry.range[0]:g} to {entry.range[1]:g}"
        lines.append(f"| `{pattern}` | {entry.unit} | {entry.kind} | {entry.decimals} | {limits} | {entry.en} | {entry.zh} |")
    return "\n".join(lines) + "\n"


_EXAMPLE_HEAD = """\
# The gateway's configuration for the simulated reference station (docs/simulator.md). Two terminals:
#
#     edgegw simulate examples/r10-station.toml
#     edgegw run --config examples/r10.toml
#
# and in a third one: edgegw -c examples/r10.toml status. Made by docs/generate.py from examples/r10-station.toml.

[gateway]
operator = "demo"
station = "R10"
gateway = "gw1"
name = "参考站R10"

[paths]
state_dir = "/var/tmp/edgegw-r10/state"
control_socket = "/var/tmp/edgegw-r10/control.sock"

"""


def example_config() -> str:
    station = load_station(DOCS.parent / "examples" / "r10-station.toml")
    return _EXAMPLE_HEAD + bus_and_device_tables(station, fixed_ports(station), None)


_SHIPPED_HEAD = """\
# The rules that every station has

What is watched without a line in the configuration, by device class, by the role of a point (`input`, `roles` of the device), or at the meter of `[supply]`
(with `of`, percent of that value). A `[[rule]]` of the same name takes the place of one. How a rule decides: [alarms.md](alarms.md).
Rules of one `shares` are one alarm of a device: the most severe that holds speaks. Made by `docs/generate.py` from `edgegw/rules/station.toml`.

| rule | judges | set | back at | delays s | level | and | shares | basis |
|---|---|---|---|---|---|---|---|---|
"""

_ELSEWHERE_HEAD = """
## Judged elsewhere

Alarms that need more than a limit on a point, and what is an event and calls nobody. From `edgegw/rules/elsewhere.toml`.

| what | kind | level | when | more |
|---|---|---|---|---|
"""


def shipped_rules_page() -> str:
    rows = [
        (
            f"`{rule.name}`",
            rule.role or rule.device_class or (f"supply ({rule.of})" if rule.of else "any"),
            set_text(rule),
            clear_text(rule) or "set",
            f"{rule.on_delay_s:g} / {rule.off_delay_s:g}",
            rule.level + (", latched" if rule.latched else ""),
            beside_text(rule),
            rule.episode,
            rule.basis,
        )
        for rule in shipped_rules()
    ]
    elsewhere = tomllib.loads((DOCS.parent / "edgegw" / "rules" / "elsewhere.toml").read_text(encoding="utf-8"))["row"]
    others = [tuple(row[key] for key in ("subject", "kind", "level", "figures", "where")) for row in elsewhere]
    return _SHIPPED_HEAD + _table(rows) + _ELSEWHERE_HEAD + _table(others)


def _table(rows: Sequence[Sequence[str]]) -> str:
    return "".join("| " + " | ".join(field.replace("|", "\\|") for field in row) + " |\n" for row in rows)


PAGES = {
    "shipped-rules.md": shipped_rules_page,
    "points.md": points_page,
    "config.md": config_page,
    "cli.md": cli_page,
    "messages.md": messages_page,
    "../examples/r10.toml": example_config,
}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")
