"""The rules of the house and what breaks them: `python -m tests.tidy` prints `file:line: what`.

The tables of imports are in tidy_imports.py, those of the form of code, tests and text here; test_tidy.py plants a violation of every rule.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.tidy_imports import import_findings
from tests.tidy_tree import ROOT, Finding, Source, called, sources, text_files

# The one place that may catch everything is the supervisor; it says why. A handler that only tidies up and ends in a bare `raise`
# (a roll-back) catches nothing.
BROAD_EXCEPT_ALLOWED = ("edgegw/supervise.py",)
# A command talks to people, on standard output.
PRINT_ALLOWED = ("edgegw/cli/",)
# File of the tests: why it may call time.sleep. Elsewhere it may stand only in the loop of a function named wait...
SLEEP_ALLOWED = {
    "tests/e2e/test_way_of_the_data.py": "how long the station is polled and the broker away is a length of time, not a condition",
    "tests/unit/test_supervise.py": "a blocked loop is what is tested",
    "tests/fault/buffer_child.py": "the pace of a process that is there to be killed",
    "tests/fault/test_buffer_kill.py": "the random life of that process is the test",
    "tests/unit/test_buffer_store.py": "paces readings over the three seconds in which the sync rule is traced",
    "tests/bench/bench_way.py": "a measurement lasts as long as it says",
    "tests/bench/bench_rivals.py": "a measurement lasts as long as it says",
}
FILE_LINES_MAX = 350
FUNCTION_LINES_MAX = 60

# Text that may stand nowhere. Written in pieces, so that this file passes its own test.
FORBIDDEN_TEXT: dict[str, re.Pattern[str]] = {
    "unfinished work": re.compile(r"\b(TO" + r"DO|FIX" + r"ME|X" + r"XX)\b"),
    "a path of one machine": re.compile(r"(?<![\w.$}~-])/(?:tmp|root|home)" + r"/\w|(?<![\w.$}~-])/(?:work|root)" + r"\b(?![.\w-])"),
    "the host of a package index": re.compile(
        r"py" + r"pi\.|python" + r"hosted|(?:deb|security)\.debian" + r"\.org|archive\.ubuntu" + r"\.com|(?:tuna|ustc|aliyun)\w*\.\w"
    ),
    "a carriage return": re.compile("\r"),
    "a tab": re.compile("\t"),
}

Check = Callable[[Source], Iterator[Finding]]


# -- the form of code


def future_findings(source: Source) -> Iterator[Finding]:
    """A file of nothing but a docstring and constants needs no annotations of the future."""
    names = {alias.name for node in source.tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__" for alias in node.names}
    plain = all(isinstance(node, ast.Expr | ast.Assign) for node in source.tree.body)
    if "annotations" not in names and not plain:
        yield Finding(source.path, 1, "from __future__ import annotations is missing")


def except_findings(source: Source) -> Iterator[Finding]:
    if source.path in BROAD_EXCEPT_ALLOWED:
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ExceptHandler) and (node.type is None or _names_everything(node.type)) and not _passes_on(node):
            yield Finding(source.path, node.lineno, "catches everything: name what is expected")
        if isinstance(node, ast.Call) and called(node) in {"suppress", "raises"} and any(map(_names_everything, node.args)):
            yield Finding(source.path, node.lineno, "catches everything: name what is expected")


def _passes_on(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    leaves = any(isinstance(node, ast.Return | ast.Break | ast.Continue) for node in ast.walk(handler))
    return isinstance(last, ast.Raise) and last.exc is None and not leaves


def _names_everything(node: ast.expr) -> bool:
    names = node.elts if isinstance(node, ast.Tuple) else [node]
    return any((name.attr if isinstance(name, ast.Attribute) else getattr(name, "id", "")) in {"Exception", "BaseException"} for name in names)


def length_findings(source: Source) -> Iterator[Finding]:
    lines = source.text.count("\n")
    if source.in_package and lines > FILE_LINES_MAX:
        yield Finding(source.path, FILE_LINES_MAX + 1, f"{lines} lines, at most {FILE_LINES_MAX}: one file is one idea")
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES_MAX:
                yield Finding(source.path, node.lineno, f"{node.name} has {length} lines, at most {FUNCTION_LINES_MAX}")


def print_findings(source: Source) -> Iterator[Finding]:
    if not source.in_package or source.path.startswith(PRINT_ALLOWED):
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield Finding(source.path, node.lineno, "print(): the log is for the daemon, standard output for commands")


# -- the form of tests


def case_findings(source: Source) -> Iterator[Finding]:
    if not source.path.startswith("tests/"):
        return
    yield from _sleep_findings(source)
    if not Path(source.path).name.startswith("test_"):
        return
    asserting = _asserting_functions(source.tree)
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or not node.name.startswith("test_"):
            continue
        if node.name not in asserting:
            yield Finding(source.path, node.lineno, f"{node.name} asserts nothing")
        sentence = " ".join((ast.get_docstring(node) or "").split())
        if not re.fullmatch(r"(?:(?![.!?]\s+[A-Z]).)*[.!?]", sentence):
            yield Finding(source.path, node.lineno, f"{node.name} needs a docstring of one sentence that says what must hold")


def _asserting_functions(tree: ast.Module) -> set[str]:
    """Functions of the file that assert themselves, or call one of the file that does."""
    functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    asserting = {name for name, node in functions.items() if any(map(_asserts, ast.walk(node)))}
    while True:
        more = {name for name, node in functions.items() if name not in asserting and _calls(node) & asserting}
        if not more:
            return asserting
        asserting |= more


def _calls(function: ast.AST) -> set[str]:
    return {called(node) for node in ast.walk(function) if isinstance(node, ast.Call)}


def _asserts(node: ast.AST) -> bool:
    if isinstance(node, ast.Assert):
        return not isinstance(node.test, ast.Constant)
    return isinstance(node, ast.Call) and (called(node) in {"raises", "warns", "fail"} or called(node).startswith(("assert_", "check_", "expect_")))


def _sleep_findings(source: Source) -> Iterator[Finding]:
    if source.path in SLEEP_ALLOWED:
        return
    waits = [
        loop
        for function in ast.walk(source.tree)
        if isinstance(function, ast.FunctionDef) and function.name.lstrip("_").startswith("wait")
        for loop in ast.walk(function)
        if isinstance(loop, ast.While | ast.For)
    ]
    polled = {id(node) for loop in waits for node in ast.walk(loop)}
    bare = {
        alias.asname or alias.name
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ImportFrom) and node.module == "time"
        for alias in node.names
        if alias.name == "sleep"
    }
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and id(node) not in polled and ast.unparse(node.func) in {"time.sleep", *bare}:
            yield Finding(source.path, node.lineno, "time.sleep: wait for a condition with a deadline, in a function named wait...")


# -- text


def text_findings(path: str, text: str) -> Iterator[Finding]:
    for number, line in enumerate(text.split("\n"), start=1):
        for what, pattern in FORBIDDEN_TEXT.items():
            if pattern.search(line):
                yield Finding(path, number, what)
    if text and not text.endswith("\n"):
        yield Finding(path, text.count("\n") + 1, "no newline at the end")


_LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")


def link_findings(root: Path, path: Path) -> Iterator[Finding]:
    """Links of a page to files that are not there."""
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        for target in _LINK.findall(line):
            if not (path.parent / target).exists():
                yield Finding(str(path.relative_to(root)), number, f"links to {target}, which is not there")


CHECKS: tuple[Check, ...] = (future_findings, except_findings, length_findings, print_findings, case_findings)


def findings(root: Path = ROOT) -> list[Finding]:
    """All that breaks a rule, in the order of files and lines."""
    files = sources(root)
    known = frozenset(source.module for source in files)
    found = [finding for source in files for check in CHECKS for finding in check(source)]
    found += [finding for source in files if source.in_package for finding in import_findings(source, known)]
    for path in text_files(root):
        found += text_findings(str(path.relative_to(root)), path.read_bytes().decode("utf-8", "replace"))
        found += link_findings(root, path) if path.suffix == ".md" else ()
    return sorted(set(found))


if __name__ == "__main__":
    lines = findings()
    print("\n".join(map(str, lines)))
    sys.exit(1 if lines else 0)
