"""Widths in terminal cells, and the words of the screens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegw.cli.cells import both_ends, cells, cut, folded, pad, table, wrap
from edgegw.cli.texts import age, duration

_TEXT = st.text(st.sampled_from("ab1 光谷二号，。e\u0301"), max_size=30)


@pytest.mark.parametrize(("width", "text"), [(0, ""), (3, "abc"), (4, "光谷"), (5, "光a谷"), (1, "e\u0301"), (2, "，"), (0, "\u200b")])
def test_a_chinese_character_is_two_cells(width, text):
    """
    Wide characters are two cells, combining ones none.
    """
    assert width == cells(text)


@given(_TEXT, st.integers(2, 30), st.booleans())
def test_a_padded_text_has_exactly_its_width(text, width, right):
    """
    Whatever the text, its column stays straight.
    """
    assert width == cells(pad(text, width, right=right))
    assert cells(cut(text, width)) <= width
    assert 80 == cells(both_ends(text, text[:20]))


@given(_TEXT, st.integers(12, 40))
def test_a_wrapped_text_loses_no_word(text, width):
    """
    Breaking a text keeps its characters in order and its lines narrow.
    """
    lines = wrap(text, 4, width)
    assert text.replace(" ", "") == "".join(lines).replace(" ", "")
    assert [] == [line for line in lines if cells(line) > width]


@given(st.lists(st.lists(_TEXT, min_size=3, max_size=3), max_size=5))
def test_the_flexible_column_gives_way(rows):
    """
    A table is never wider than it may be as long as one column can give way.
    """
    assert [] == [line for line in table(["A", "B", "C"], [[row[0][:8], row[1], row[2][:8]] for row in rows], frozenset({0}), 1, width=40) if cells(line) > 40]


@given(st.lists(st.lists(_TEXT, min_size=3, max_size=3), max_size=5), st.integers(1, 3))
def test_a_folded_column_goes_on_below_itself(rows, lines):
    """
    No line is wider than the screen, no row taller than it may be, and what is not cut is whole.
    """
    found = folded(["A", "B", "C"], rows, width=40, least=12, lines=lines, yielding=1)
    assert [] == [line for row in found for line in row if cells(line) > 40]
    assert max(map(len, found)) <= lines + 1
    for cells_of_row, row in zip(rows, found[1:], strict=True):
        whole = "".join("".join(row).split())
        assert whole.endswith(("..", "".join(cells_of_row[2].split())))


@pytest.mark.parametrize(
    ("english", "chinese", "seconds"),
    [
        ("-", "-", None),
        ("0 s", "0 秒", -1),
        ("59 s", "59 秒", 59.9),
        ("7m12s", "7分12秒", 432),
        ("2h03m", "2小时3分", 7380),
        ("12d04h", "12天4小时", 1_051_200),
    ],
)
def test_a_duration_has_two_steps_at_most(english, chinese, seconds):
    """
    Durations are said as on the screens of the documentation.
    """
    assert (english, chinese) == (duration("en", seconds), duration("zh", seconds))


@pytest.mark.parametrize(("text", "seconds"), [("-", None), ("0.4s", 0.42), ("12s", 12.3), ("7m12s", 432)])
def test_an_age_fits_its_column(text, seconds):
    """
    Under ten seconds the tenth counts, later it does not.
    """
    assert text == age(seconds)
