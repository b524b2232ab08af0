"""The rules of the house hold, and each check finds what it is there for (tests/tidy.py has the rules)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import tidy, tidy_imports, tidy_locks

FUTURE = "from __future__ import annotations\n"
# A small tree in which nothing is wrong; each planted violation is the only one in it.
CLEAN = {
    "edgegw/__init__.py": '"""A package."""\n\n__version__ = "1"\n',
    "edgegw/model.py": f"{FUTURE}\nimport msgspec\n",
    "edgegw/buffer/__init__.py": '"""Empty."""\n',
    "edgegw/buffer/store.py": f"{FUTURE}\nimport sqlite3\n\nfrom edgegw import model\n",
    "edgegw/uplink/envelope.py": f"{FUTURE}\nimport cryptography\n\nfrom ..model import Reading\n",
    "edgegw/buffer/roll_back.py": f"{FUTURE}\ntry:\n    f()\nexcept BaseException:\n    g()\n    raise\n",
    "edgegw/config/model.py": f"{FUTURE}\nfrom edgegw.model import Value\n",
    "edgegw/cli/read.py": f"{FUTURE}\nimport click\n\n\ndef read():\n    from edgegw.bus import direct\n    print(direct)\n",
    "tests/test_it.py": f'{FUTURE}\n\ndef test_it():\n    """\n    It holds, e.g. at 1.5 V.\n    """\n    assert 1 == len("a")\n',
    "docs/page.md": "# Page\n",
}
TEST = f"{FUTURE}\nimport time\n\n"
LONG_BODY = "    pass\n" * 60

# (file, its text, the line of the finding, what the finding says)
PLANTED = [
    ("edgegw/buffer/bad.py", f"{FUTURE}\nimport edgegw.uplink.envelope\n", 3, "edgegw.buffer.bad may not import edgegw.uplink.envelope"),
    ("edgegw/buffer/bad.py", f"{FUTURE}\nfrom edgegw.uplink import envelope\n", 3, "edgegw.buffer.bad may not import edgegw.uplink.envelope"),
    ("edgegw/buffer/bad.py", f"{FUTURE}\nfrom ..uplink.envelope import seal\n", 3, "edgegw.buffer.bad may not import edgegw.uplink.envelope"),
    ("edgegw/rules/bad.py", f"{FUTURE}\n\ndef f():\n    from edgegw.buffer import store\n", 5, "edgegw.rules.bad may not import edgegw.buffer.store inside"),
    ("edgegw/rules/bad.py", f'{FUTURE}\nstore = importlib.import_module("edgegw.buffer")\n', 3, "edgegw.rules.bad may not import edgegw.buffer"),
    ("edgegw/rules/bad.py", f"{FUTURE}\nmodule = importlib.import_module(name)\n", 3, "edgegw.rules.bad may not import what only its run tells"),
    ("edgegw/bus/bad.py", f"{FUTURE}\nif TYPE_CHECKING:\n    from edgegw.rules import engine\n", 4, "edgegw.bus.bad may not import edgegw.rules"),
    ("edgegw/clock.py", f"{FUTURE}\nfrom edgegw.config.model import Bus\n", 3, "edgegw.clock may not import edgegw.config.model"),
    ("edgegw/config/load.py", f"{FUTURE}\nfrom edgegw.config.check import check\n", 3, "edgegw.config.load may not import edgegw.config.check"),
    ("edgegw/cli/bad.py", f"{FUTURE}\nfrom edgegw.bus import direct\n", 3, "edgegw.cli.bad may not import edgegw.bus"),
    ("edgegw/cloud/bad.py", f"{FUTURE}\nfrom edgegw.uplink.sender import Sender\n", 3, "edgegw.cloud.bad may not import edgegw.uplink.sender"),
    ("edgegw/bus/bad.py", f"{FUTURE}\nfrom edgegw.app import main\n", 3, "edgegw.bus.bad may not import edgegw.app"),
    ("edgegw/newpart.py", f"{FUTURE}\n", 1, "edgegw.newpart has no import rule"),
    ("edgegw/rules/bad.py", f"{FUTURE}\nimport sqlite3\n", 3, "edgegw.rules.bad may not import sqlite3"),
    ("edgegw/bus/bad.py", f"{FUTURE}\nfrom pymodbus.pdu import decoders\n", 3, "edgegw.bus.bad may not import pymodbus"),
    ("edgegw/bus/bad.py", f"{FUTURE}\nimport requests\n", 3, "edgegw.bus.bad may not import requests"),
    ("edgegw/drivers/bad.py", f"{FUTURE}\nimport socket\n", 3, "edgegw.drivers.bad does no I/O and may not import socket"),
    ("edgegw/model.py", "import msgspec\n", 1, "from __future__ import annotations is missing"),
    ("edgegw/bus/bad.py", f"{FUTURE}\ntry:\n    f()\nexcept:\n    pass\n", 5, "catches everything"),
    ("edgegw/bus/bad.py", f"{FUTURE}\ntry:\n    f()\nexcept (OSError, Exception):\n    pass\n", 5, "catches everything"),
    ("edgegw/bus/bad.py", f"{FUTURE}\ntry:\n    f()\nexcept Exception:\n    if g():\n        raise\n", 5, "catches everything"),
    ("edgegw/bus/bad.py", f"{FUTURE}\nwith contextlib.suppress(Exception):\n    f()\n", 3, "catches everything"),
    ("tests/test_bad.py", f'{FUTURE}\ndef test_f():\n    """It holds."""\n    with pytest.raises(Exception):\n        f()\n', 5, "catches everything"),
    ("edgegw/bus/bad.py", FUTURE + "\n" * 350, 351, "351 lines, at most 350"),
    ("edgegw/bus/bad.py", f"{FUTURE}\n\ndef f():\n{LONG_BODY}", 4, "f has 61 lines, at most 60"),
    ("edgegw/bus/bad.py", f"{FUTURE}\nprint(1)\n", 3, "print()"),
    ("tests/test_bad.py", f'{FUTURE}\ndef test_f():\n    """It holds."""\n    len("")\n', 3, "test_f asserts nothing"),
    ("tests/test_bad.py", f'{FUTURE}\ndef test_f():\n    """It holds."""\n    assert True\n', 3, "test_f asserts nothing"),
    ("tests/test_bad.py", f"{FUTURE}\ndef test_f():\n    assert 1 == f()\n", 3, "test_f needs a docstring of one sentence"),
    ("tests/test_bad.py", f'{FUTURE}\ndef test_f():\n    """It holds. Mostly."""\n    assert 1 == f()\n', 3, "test_f needs a docstring of one sentence"),
    ("tests/helper.py", f"{TEST}def f():\n    time.sleep(1)\n", 6, "time.sleep"),
    ("tests/helper.py", f"{FUTURE}\nfrom time import sleep as nap\n\nnap(1)\n", 5, "time.sleep"),
    ("docs/page.md", ("# Page\n\nTO" "DO\n"), 3, "unfinished work"),
    ("edgegw/bus/bad.py", (f"{FUTURE}\nPATH = '/t" "mp/x'\n"), 3, "a path of one machine"),
    ("docs/page.md", ("see /ro" "ot\n"), 1, "a path of one machine"),
    ("docs/page.md", ("from files.python" "hosted.org\n"), 1, "the host of a package index"),
    ("docs/page.md", "# Page\n\nSee [this](page.md#top), [that](https://example.org/x) and [other](../gone.md).\n", 3, "links to ../gone.md"),
    ("docs/page.md", "one\r\n", 1, "a carriage return"),
    ("docs/page.md", "\tone\n", 1, "a tab"),
    ("docs/page.md", "one\ntwo", 2, "no newline at the end"),
]  # fmt: skip


def plant(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(text.encode())
    return root


def test_the_tree_is_tidy():
    """
    Nothing in the project breaks a rule of the house.
    """
    assert "" == "\n".join(map(str, tidy.findings()))


def test_a_clean_tree_has_no_findings(tmp_path):
    """
    What is allowed is not found.
    """
    assert [] == tidy.findings(plant(tmp_path, CLEAN))


@pytest.mark.parametrize(("path", "text", "line", "what"), PLANTED)
def test_a_planted_violation_is_found(tmp_path, path, text, line, what):
    """
    Each rule finds its violation, and only that, with file and line.
    """
    found = tidy.findings(plant(tmp_path, CLEAN | {path: text}))

    assert [(path, line)] == [(finding.path, finding.line) for finding in found]
    assert what in found[0].what
    assert f"{path}:{line}: " == str(found[0])[: len(f"{path}:{line}: ")]


def test_a_wait_with_a_deadline_may_sleep(tmp_path):
    """
    A loop in a function named wait... may sleep between two looks.
    """
    helper = f"{TEST}def wait_for(condition):\n    while not condition():\n        time.sleep(0.01)\n"

    assert [] == tidy.findings(plant(tmp_path, CLEAN | {"tests/helper.py": helper}))


def test_a_test_may_assert_through_a_function_of_its_file(tmp_path):
    """
    An assertion in a function that the test calls counts as the test's own.
    """
    text = f'{FUTURE}\n\ndef same(a):\n    assert 1 == a\n\n\ndef test_f():\n    """It holds."""\n    same(1)\n'

    assert [] == tidy.findings(plant(tmp_path, CLEAN | {"tests/test_helped.py": text}))


def documented(heading: str) -> dict[str, tuple[str, ...]]:
    """The rows of the first table below a heading of docs/architecture.md: first cell to the names of the second, `!` for "not"."""
    text = (tidy.ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = text.partition(f"\n{heading}\n")[2].partition("\n|")[2].partition("\n\n")[0]
    rows = [line.strip("| ").split("|") for line in table.splitlines()[2:]]
    return {name.strip(" `"): tuple("!" * (word[:4] == "not ") + word.split("`")[1] for word in re.findall(r"(?:not )?`[^`]+`", cell)) for name, cell in rows}


def test_the_import_rules_are_documented():
    """
    docs/architecture.md has the table of import rules that is checked.
    """
    assert tidy_imports.IMPORT_RULES == documented("### Who may import whom")


def test_the_third_party_rules_are_documented():
    """
    docs/architecture.md has the table of third-party packages that is checked.
    """
    assert {name: tuple(part or "anywhere" for part in parts) for name, parts in tidy_imports.THIRD_PARTY_RULES.items()} == documented(
        "### Third-party packages"
    )


@pytest.mark.parametrize("name", tidy_locks.LOCKS)
def test_a_lock_pins_and_hashes_everything(name):
    """
    Every line of a lock file is a pin with its hashes or a comment that names neither host nor place.
    """
    assert [] == list(tidy_locks.form_findings(name, (tidy.ROOT / name).read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", tidy_locks.LOCKS)
def test_a_lock_is_in_step(name):
    """
    A lock file pins a fitting version of all that setup.cfg or its .in file asks for.
    """
    text = (tidy.ROOT / name).read_text(encoding="utf-8")

    assert [] == list(tidy_locks.step_findings(name, text, tidy_locks.wanted_by(tidy.ROOT)[name]))


def test_the_locks_agree():
    """
    No package is pinned to two versions.
    """
    pins = [(package, version) for name in tidy_locks.LOCKS for package, version in tidy_locks.pins((tidy.ROOT / name).read_text(encoding="utf-8")).items()]

    assert len(dict(pins)) == len(set(pins))


HASH = "    --hash=sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"one==1.0 \\\n{HASH}\n    # via setup.cfg\n", []),
        (f"one==1.0 ; python_version < '3.12' \\\n{HASH}\n", []),
        ("one==1.0 \\\n    # via two\n", ["lock:1: one==1.0 has no hash"]),
        (f"one>=1.0 \\\n{HASH}\n", ["lock:1: neither pin, hash nor plain comment: one>=1.0 \\"]),
        ("--index-url https://example.org/simple\n", ["lock:1: neither pin, hash nor plain comment: --index-url https://example.org/simple"]),
        ("    # via -r /some/where.in\n", ["lock:1: neither pin, hash nor plain comment:     # via -r /some/where.in"]),
        ("# made on https://example.org\n", ["lock:1: neither pin, hash nor plain comment: # made on https://example.org"]),
    ],
)
def test_a_bad_line_of_a_lock_is_found(text, found):
    """
    What must not stand in a lock file is found with its line.
    """
    assert found == list(tidy_locks.form_findings("lock", text))


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (["one>=1.0", "Two_three"], []),
        (["one>=2"], ["lock:1: one==1.5 is not >=2"]),
        (["four"], ["lock:1: four is not pinned"]),
    ],
)
def test_a_lock_out_of_step_is_found(wanted, found):
    """
    A requirement that the lock does not meet is found.
    """
    assert found == list(tidy_locks.step_findings("lock", f"one==1.5 \\\n{HASH}\ntwo-three==1 \\\n{HASH}\n", wanted))
