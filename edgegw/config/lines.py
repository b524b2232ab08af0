"""Where in a TOML file a key stands. tomllib says what a file means but not on which line.

The index is made only of text that tomllib has accepted, so nothing is validated here: the scanner steps from statement to statement
and from value to value, and notes the line of each key, table and array element under its path, as in `("device", 3, "unit")`.
"""

from __future__ import annotations

import re
import tomllib
from functools import cached_property

Path = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
# A text of several lines may end in up to two quotes of its own before the closing three.
_TEXT = re.compile(r'"""(?:\\[\s\S]|[^\\])*?"""(?:"{0,2})' r"|'''[\s\S]*?'''(?:'{0,2})" r'|"(?:\\.|[^"\\])*"' r"|'[^']*'")
_SCALAR = re.compile(r"[^,\]}#\n]*")


class LineIndex:
    """Lines of one file, counted from 1. Nothing is scanned before somebody asks: a file without mistakes costs nothing."""

    def __init__(self, text: str) -> None:
        self._text = text.replace("\r\n", "\n")

    @cached_property
    def lines(self) -> dict[Path, int]:
        return _Scanner(self._text).scan()

    def line(self, *path: str | int) -> int:
        """The line of `path`, or of the nearest thing around it that stands in the file; 1 when nothing does."""
        for length in range(len(path), 0, -1):
            found = self.lines.get(path[:length])
            if found is not None:
                return found
        return 1


class _Scanner:
    """One pass over the text. `_at` is the position, `_line` its line."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._found: dict[Path, int] = {}
        self._tables: dict[Path, int] = {}
        """Arrays of tables: how many of each there were so far."""

    def scan(self) -> dict[Path, int]:
        table: Path = ()
        self._skip(_BLANK)
        while self._at < len(self._text):
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._skip(_BLANK)
        return self._found

    def _skip(self, pattern: re.Pattern[str]) -> str:
        """Steps over what the pattern finds here and counts its lines."""
        match = pattern.match(self._text, self._at)
        found = match.group() if match else ""
        self._at += len(found)
        if "\n" in found:
            self._line += found.count("\n")
        return found

    def _note(self, path: Path) -> None:
        self._found.setdefault(path, self._line)

    def _header(self) -> Path:
        """`[a.b]` or `[[a.b]]` to its path, with the number of each array of tables on the way."""
        array = self._text.startswith("[[", self._at)
        self._at += 2 if array else 1
        *parents, last = self._key()
        self._at += 2 if array else 1
        path: Path = ()
        for part in parents:
            path = self._enter((*path, part))
        path = (*path, last)
        if not array:
            return self._enter(path)
        self._note(path)
        self._tables[path] = self._tables.get(path, -1) + 1
        return self._enter(path)

    def _enter(self, path: Path) -> Path:
        self._note(path)
        if path in self._tables:
            path = (*path, self._tables[path])
            self._note(path)
        return path

    def _pair(self, table: Path) -> None:
        """`key.key = value`, in a table or an inline table."""
        for part in self._key():
            table = (*table, part)
            self._note(table)
        self._at += 1  # the sign =
        self._skip(_SPACE)
        self._value(table)

    def _key(self) -> list[str]:
        parts: list[str] = []
        while True:
            self._skip(_SPACE)
            if self._text[self._at] in "\"'":
                parts.append(tomllib.loads(f"key = {self._skip(_TEXT)}")["key"])
            else:
                parts.append(self._skip(_BARE_KEY))
            self._skip(_SPACE)
            if self._text[self._at] != ".":
                return parts
            self._at += 1

    def _value(self, path: Path) -> None:
        first = self._text[self._at]
        if first == "[":
            self._items(path, "]")
        elif first == "{":
            self._items(path, "}")
        elif first in "\"'":
            self._skip(_TEXT)
        else:
            self._skip(_SCALAR)

    def _items(self, path: Path, closing: str) -> None:
        """An array or inline table: its elements under their number or key."""
        number = 0
        self._at += 1
        self._skip(_BLANK)
        while self._text[self._at] != closing:
            if closing == "}":
                self._pair(path)
            else:
                self._note((*path, number))
                self._value((*path, number))
            number += 1
            self._skip(_BLANK)
            if self._text[self._at] == ",":
                self._at += 1
                self._skip(_BLANK)
        self._at += 1
