"""The tree that the rules of the house are about: its files, read once, and what a finding looks like."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent

TEXT_SUFFIXES = frozenset({"", ".py", ".md", ".toml", ".cfg", ".in", ".lock", ".service", ".cddl", ".conf", ".rules"})
WALKED = ("edgegw", "tests", "docs", "systemd", ".ci")


class Finding(NamedTuple):
    path: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}"


class Source(NamedTuple):
    """One Python file: where, as what it is imported, its text and its tree."""

    path: str
    module: str
    text: str
    tree: ast.Module

    @property
    def part(self) -> str:
        """The module's name inside edgegw; `__init__` for the package itself."""
        return self.module.partition(".")[2] or "__init__"

    @property
    def in_package(self) -> bool:
        return self.path.startswith("edgegw/")


def text_files(root: Path) -> list[Path]:
    """Every text file that belongs to the project, and nothing that tools leave behind."""
    below = (path for name in WALKED for path in (root / name).rglob("*"))
    files = (path for path in (*root.glob("*"), *below) if path.is_file() and path.suffix in TEXT_SUFFIXES)
    return sorted(path for path in files if "__pycache__" not in path.parts and path.name not in {".git", ".coverage"})


def sources(root: Path) -> list[Source]:
    """The Python files of package and tests."""
    found = []
    for path in text_files(root):
        if path.suffix == ".py":
            relative = path.relative_to(root)
            module = ".".join(relative.with_suffix("").parts).removesuffix(".__init__")
            text = path.read_text(encoding="utf-8")
            found.append(Source(str(relative), module, text, ast.parse(text, str(relative))))
    return found


def called(node: ast.Call) -> str:
    """The last word of what is called: `sleep` of `time.sleep(...)`."""
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""
