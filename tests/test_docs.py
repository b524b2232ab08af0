"""The documentation says what the program is: generated pages are compared, messages are complete."""

from __future__ import annotations

import ast
import re
import runpy
from pathlib import Path

import pytest

from edgegw.cli.texts import TEXTS
from edgegw.errors import lookup, message_ids

ROOT = Path(__file__).parents[1]
_ID = re.compile(r"\b[EW]-[A-Z][A-Z0-9]*(?:-[A-Z0-9]+)*\b")
_PAGES = runpy.run_path(str(ROOT / "docs" / "generate.py"))["PAGES"]


def _texts_of(path: Path) -> list[str]:
    """Every text in a module that is not its documentation."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    described = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in described]


def _used_ids() -> set[str]:
    return {found for path in (ROOT / "edgegw").rglob("*.py") for text in _texts_of(path) for found in _ID.findall(text)}


@pytest.mark.parametrize("name", sorted(_PAGES))
def test_a_generated_page_is_what_the_program_says(name):
    """
    A page differs from the program only until somebody runs docs/generate.py.
    """
    assert _PAGES[name]() == (ROOT / "docs" / name).read_text(encoding="utf-8")


def test_every_message_id_has_a_meaning():
    """
    No id leaves the program that `edgegw explain` does not know.
    """
    assert set() == _used_ids() - set(message_ids()) - _EXAMPLES


def test_no_message_is_explained_that_nobody_says():
    """
    What is in the table is used somewhere in the program.
    """
    assert set() == set(message_ids()) - _used_ids()


# Ids that stand in a help text as an example of one are real ones.
_EXAMPLES: set[str] = set()


@pytest.mark.parametrize("message_id", message_ids())
def test_a_message_is_whole_in_both_languages(message_id):
    """
    Each id has one sentence and a next step in English and in Chinese.
    """
    message = lookup(message_id)
    assert message is not None
    assert message.en.endswith(".")
    assert message.zh.endswith("。")
    assert message.next_en
    assert message.next_zh
    assert re.search(r"[\u4e00-\u9fff]", message.zh)


def test_every_text_of_the_screens_is_used():
    """
    The catalogue holds no text that no screen shows.
    """
    said = " ".join(text for path in (ROOT / "edgegw" / "cli").glob("*.py") if path.name != "texts.py" for text in _texts_of(path))
    families = ("word.", "clock.", "level.", "quality.", "head.", "count.", "hint.", "frame.", "line.", "exception.")
    assert [] == [text_id for text_id in TEXTS if text_id not in said and not text_id.startswith(families)]


@pytest.mark.parametrize("text_id", sorted(TEXTS))
def test_both_languages_of_a_text_take_the_same_values(text_id):
    """
    A translation loses no value.
    """
    english, chinese = TEXTS[text_id]
    assert english.count("{}") == chinese.count("{}")


_PAGE = re.compile(r"\b(?:docs/|decisions/)?[A-Za-z0-9_-]+\.md\b")


def _pages_named(path: Path) -> set[str]:
    return set(_PAGE.findall(path.read_text(encoding="utf-8")))


def test_every_page_that_is_named_exists():
    """
    No comment, message or page points to a document that is not there.
    """
    sources = [*(ROOT / "edgegw").rglob("*.py"), *(ROOT / "edgegw").rglob("*.toml"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md"), ROOT / "dev"]
    here = {path.name for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))}
    missing = {f"{path.relative_to(ROOT)}: {page}" for path in sources for page in _pages_named(path) if page.rpartition("/")[2] not in here}
    assert set() == missing


def _commands() -> set[str]:
    from edgegw.cli.main import BLOCKS

    return {name for block in BLOCKS.values() for name in block}


@pytest.mark.parametrize("message_id", message_ids())
def test_a_next_step_names_only_commands_that_exist(message_id):
    """
    What a message tells a technician to type can be typed.
    """
    message = lookup(message_id)
    named = {name for text in (message.next_en, message.next_zh) for name in re.findall(r"\bedgegw ([a-z]+)", text)}
    assert set() == named - _commands()
