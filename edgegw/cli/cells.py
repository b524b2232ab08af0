"""Text in terminal cells: a Chinese character is two wide. Whoever counts characters breaks every table."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import chain

WIDTH = 80
_ELLIPSIS = ".."
# Never first on a line, and never last.
_CLOSING = "，。、；：！？）】》,.;:!?)]}%"
_OPENING = "（【《([{#"
# Of a column that gives way: what is left of a place says still which one it is.
_YIELDED_MIN = 8
_BELOW = 4
# A number is not parted from its unit.
_BEFORE_UNIT = re.compile(r"(?<=\d) (?=\S{1,3}(?: |$))")
_HARD_SPACE = "\u00a0"


def cells(text: str) -> int:
    """Cells that a text takes on a terminal."""
    return len(text) if text.isascii() else sum(map(_cells_of, text))


def _cells_of(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Cf", "Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, width: int) -> str:
    """The text, shortened to `width` cells with two dots at its end."""
    if cells(text) <= width:
        return text
    kept = ""
    room = width - len(_ELLIPSIS)
    for character in text:
        room -= _cells_of(character)
        if room < 0:
            break
        kept += character
    return (kept + _ELLIPSIS)[:width] if width > 0 else ""


def pad(text: str, width: int, *, right: bool = False) -> str:
    """The text in exactly `width` cells, cut or filled."""
    text = cut(text, width)
    room = " " * (width - cells(text))
    return room + text if right else text + room


def both_ends(left: str, right: str, width: int = WIDTH) -> str:
    """One line with something at each end; the left gives way."""
    return pad(left, width - cells(right) - 2) + "  " + right


def wrap(text: str, indent: int, width: int) -> list[str]:
    """Lines of at most `width` cells, broken at spaces (Chinese anywhere, a word that no line holds where the line ends); all but the first are indented."""
    lines: list[str] = []
    line, blank = "", ""
    for word in chain.from_iterable(_pieces(whole, max(1, width - indent)) for whole in _words(_BEFORE_UNIT.sub(_HARD_SPACE, text))):
        if cells(line + word.rstrip()) > width:
            lines += [line.rstrip()] if line.strip() else []
            line, blank = " " * indent, ""
            word = word.lstrip()  # noqa: PLW2901 - the space at the break is dropped
        line += blank + word
    return [line.replace(_HARD_SPACE, " ") for line in (*lines, line.rstrip())]


def _pieces(word: str, width: int) -> list[str]:
    """A word as it is, or cut where it is longer than a line."""
    pieces = [word]
    while cells(pieces[-1].rstrip()) > width:
        last = pieces.pop()
        end = next(k for k in range(len(last), 0, -1) if cells(last[:k]) <= width or k == 1)
        pieces += [last[:end], last[end:]]
    return pieces


def _words(text: str) -> list[str]:
    """Pieces that may stand at the end of a line: words with the space behind them, single wide characters with the punctuation beside them."""
    words = [""]
    for character in text:
        last = words[-1][-1:]
        beside_wide = _cells_of(character) == 2 or (last and _cells_of(last) == 2)
        if last and (last == " " or (beside_wide and character not in _CLOSING and character != " " and last not in _OPENING)):
            words.append("")
        words[-1] += character
    return words


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[int], flexible: int, *, width: int = WIDTH, gap: int = 2) -> list[str]:  # noqa: PLR0913 - what a table is
    """Lines of a table with `gap` spaces between its columns. Columns in `right` are flush right; the `flexible` one gives way to `width`."""
    columns = [max(cells(line[column]) for line in (heads, *rows)) for column in range(len(heads))]
    over = sum(columns) + gap * (len(columns) - 1) - width
    if over > 0:
        columns[flexible] = max(columns[flexible] - over, cells(heads[flexible]), len(_ELLIPSIS))
    return [
        (" " * gap).join(pad(cell, room, right=number in right) for number, (cell, room) in enumerate(zip(line, columns, strict=True))).rstrip()
        for line in (heads, *rows)
    ]


def folded(heads: Sequence[str], rows: Sequence[Sequence[str]], *, width: int, least: int, lines: int, yielding: int) -> list[list[str]]:  # noqa: PLR0913 - what a table is
    """A table whose last column goes on below itself, in up to `lines` lines: one list of lines for the heads and for each row.

    The `yielding` column is cut so that the last one has `least` cells. Where that does not do it, the last one begins on a line of its own.
    """
    columns = [max(cells(line[column]) for line in (heads, *rows)) for column in range(len(heads) - 1)]
    over = sum(columns) + 2 * len(columns) + least - width
    if over > 0:
        columns[yielding] = min(columns[yielding], max(columns[yielding] - over, cells(heads[yielding]), _YIELDED_MIN))
    before = sum(columns) + 2 * len(columns)
    indent = before if width - before >= least else _BELOW
    found = []
    for line in (heads, *rows):
        first = "".join([pad(cell, columns[number]) + "  " for number, cell in enumerate(line[:-1])])
        texts = wrap(line[-1], 0, width - indent)
        if len(texts) > lines:
            blank = "" if _cells_of(texts[lines - 1][-1]) == 2 else " "
            texts = [*texts[: lines - 1], cut(texts[lines - 1] + blank + texts[lines], width - indent)]
        head = [first + texts[0], *texts[1:]] if indent == before else [cut(first.rstrip(), width), *texts]
        found.append([head[0].rstrip(), *(" " * indent + text for text in head[1:])])
    return found
