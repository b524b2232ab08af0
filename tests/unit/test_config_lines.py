"""The line index against tomllib: every key that a document yields has the line on which it stands."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgegw.config.lines import LineIndex

_KEYS = st.one_of(
    st.from_regex(r"[A-Za-z0-9_-]{1,8}", fullmatch=True),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=6),
)
_TRICKY = ["[table]\nkey = 1\n", "a = 1 # no comment", '"""', "'''", "]", "}", "#", ",", '\\"', "光谷", "{ x = 1 }"]
_SCALARS = st.one_of(
    st.integers(-9999, 9999), st.booleans(), st.sampled_from(_TRICKY), st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=8)
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_KEYS, inner, max_size=3)),
    max_leaves=8,
)
_TABLES = st.dictionaries(_KEYS, st.one_of(_VALUES, st.lists(st.dictionaries(_KEYS, _VALUES, max_size=3), min_size=1, max_size=3)), max_size=4)
_STYLES = st.lists(st.integers(0, 5), min_size=40, max_size=40)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


class _Writer:
    """Writes a document in every style that TOML has; `styles` decides which, in turn."""

    def __init__(self, styles: list[int]) -> None:
        self._styles = styles
        self._turn = 0

    def _style(self, choices: int) -> int:
        self._turn += 1
        return self._styles[self._turn % len(self._styles)] % choices

    def key(self, key: str) -> str:
        if re.fullmatch(r"[A-Za-z0-9_-]+", key) and self._style(2):
            return key
        return f"'{key}'" if "'" not in key and self._style(2) else json.dumps(key, ensure_ascii=False)

    def text(self, text: str) -> str:
        if self._style(3) == 0 and "'''" not in text and not text.endswith("'") and not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text):
            return f"'''\n{text}'''"
        if self._style(2):
            return _quoted(text)
        body = re.sub(r"[\x00-\x08\x0b-\x1f\x7f]", lambda found: f"\\u{ord(found.group()):04x}", text.replace("\\", "\\\\").replace('"""', '""\\"'))
        return f'"""\n{body}\\\n   """' if not body.endswith('"') else _quoted(text)

    def value(self, value: Any, *, inline: bool = False) -> str:
        match value:
            case bool():
                return "true" if value else "false"
            case int():
                return str(value)
            case str():
                return self.text(value) if not inline else _quoted(value)
            case list():
                gap = "" if inline else ["", "\n  ", " # ] comment\n"][self._style(3)]
                items = f",{gap}".join(self.value(item, inline=inline) for item in value)
                return f"[{gap}{items}{gap}{',' if value and self._style(2) else ''}]"
        pairs = ", ".join(f"{self.key(key)} = {self.value(item, inline=True)}" for key, item in value.items())
        return f"{{ {pairs} }}"

    def table(self, table: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[str]:
        later: list[tuple[str, Any]] = []
        for key, value in table.items():
            if isinstance(value, dict) and value and self._style(3) == 0:
                for inner, item in value.items():
                    yield f"{self.key(key)} . {self.key(inner)} = {self.value(item)}"
            elif self._style(2) and (isinstance(value, dict) or (isinstance(value, list) and value and all(isinstance(item, dict) for item in value))):
                later.append((key, value))
            else:
                yield f"  {self.key(key)}={self.value(value)} # = comment"
        for key, value in later:
            name = ".".join(self.key(part) for part in (*path, key))
            for item in [value] if isinstance(value, dict) else value:
                yield f"[{name}]" if isinstance(value, dict) else f"[[ {name} ]]\t# comment"
                yield from self.table(item, (*path, key))
                yield ""


def _paths(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from _paths(item, (*path, key))


def _holds(line: str, key: str) -> bool:
    forms = {key, json.dumps(key, ensure_ascii=False)[1:-1], json.dumps(key)[1:-1]}
    return any(form in line for form in forms)


@settings(max_examples=300, deadline=None)
@given(_TABLES, _STYLES)
def test_every_key_of_a_document_has_a_line_that_holds_it(table, styles):
    """
    Whatever TOML allows, each path that tomllib yields is in the index, on a line that holds its last key.
    """
    text = "\n".join(_Writer(styles).table(table)) + "\n"
    document = tomllib.loads(text)
    assert table == document
    found = LineIndex(text).lines
    lines = text.split("\n")
    for path in _paths(document):
        assert path in found
        if isinstance(path[-1], str):
            assert _holds(lines[found[path] - 1], path[-1]), (path, found[path])


@pytest.mark.parametrize(
    ("line", "path"),
    [
        (2, ("gateway",)),
        (3, ("gateway", "name")),
        (9, ("bus",)),
        (9, ("bus", 0)),
        (10, ("bus", 0, "name")),
        (12, ("bus", 1)),
        (13, ("bus", 1, "name")),
        (14, ("bus", 1, "line", "baud")),
        (15, ("bus", 1, "line", "deep", "x")),
        (18, ("bus", 1, "list", 1)),
        (21, ("bus", 1, "sub", "y")),
        (13, ("bus", 1, "name", "not there")),
        (12, ("bus", 1, "missing")),
        (1, ("nothing",)),
    ],
)
def test_a_path_has_the_line_on_which_it_stands(line, path):
    """
    Tables, arrays of tables, dotted keys, inline tables and texts of several lines are counted; what is missing has the line of what is around it.
    """
    text = (
        "# first\n[gateway]\nname = '''\n[bus]\nname = \"x\"\n'''\n\n\n[[bus]]\nname = \"a\"\n\n"
        '[[bus]]\nname = "b"\nline.baud = 1\nline.deep = { "x" = 1, \'y\' = 2 }\nlist = [ # ]\n  "a",\n  "b",\n]\n[bus.sub]\ny = 1\n'
    )
    for written in (text, text.replace("\n", "\r\n")):
        assert line == LineIndex(written).line(*path)
