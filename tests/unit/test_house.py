"""The tools of the house do what they say: the `dev` script, the sweep after the tests, the look into a package, the marks."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests import leftovers, package_content
from tests.bench.marks import MARKS, Figure
from tests.tidy import ROOT

COMMANDS = ("demo", "test", "lint", "bench", "soak", "package", "lock", "help")
# What `dev` may rely on: nothing here installs a package.
BARE_PROGRAMS = ("bash", "cat", "cut", "dirname", "env", "flock", "id", "rm", "sed", "sha256sum", "tail", "tee", "timeout")


def run_dev(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`dev` alone in a folder, with no program on its path but the bare ones."""
    programs = folder / "programs"
    programs.mkdir()
    for name in BARE_PROGRAMS:
        (programs / name).symlink_to(shutil.which(name) or name)
    for name in ("dev", "setup.cfg", "pyproject.toml", "requirements.lock", "requirements-dev.lock"):
        shutil.copy(ROOT / name, folder / name)
    variables = {"PATH": str(programs)} | environment
    return subprocess.run([folder / "dev", *arguments], env=variables, capture_output=True, text=True, timeout=30, check=False)


def make_python(path: Path, *, venvs: bool, version: str) -> str:
    """A stand-in for an interpreter: answers what `dev` asks of one."""
    path.write_text(f'#!/usr/bin/env bash\ncase "$2" in *ensurepip*) exit {int(not venvs)} ;; *print*) echo {version} ;; esac\n')
    path.chmod(0o755)
    return str(path)


def test_help_names_every_command(tmp_path):
    """
    `./dev help` needs nothing set up and names every command.
    """
    done = run_dev(tmp_path, "help")

    assert 0 == done.returncode
    assert list(COMMANDS) == re.findall(r"^  ([a-z]+) ", done.stdout, re.MULTILINE)


def test_an_unknown_command_is_told(tmp_path):
    """
    A command that does not exist ends with 2 and its name.
    """
    done = run_dev(tmp_path, "tset")

    assert (2, "dev: there is no command 'tset'") == (done.returncode, done.stderr.splitlines()[-1])


def test_the_missing_venv_package_is_named(tmp_path):
    """
    Without rights to install python3-venv, `dev` ends with 1 and the exact command to type, and nothing on standard output.
    """
    python = make_python(tmp_path / "python", venvs=False, version="3.12")
    done = run_dev(tmp_path, "lint", EDGEGW_PYTHON=python)

    assert (1, "") == (done.returncode, done.stdout)
    assert "Next: sudo apt-get update && sudo apt-get install --no-install-recommends python3.12-venv\n" == done.stderr[done.stderr.index("Next:") :]


def test_an_old_python_is_refused(tmp_path):
    """
    An interpreter that is too old is not used, and the next step is told.
    """
    python = tmp_path / "python"
    python.write_text("#!/usr/bin/env bash\nexit 1\n")
    python.chmod(0o755)
    done = run_dev(tmp_path, "lint", EDGEGW_PYTHON=str(python))

    assert 1 == done.returncode
    assert "no Python of 3.11 or later was found. Next: sudo apt-get" in done.stderr


def test_what_a_run_left_is_found_and_ended():
    """
    A process that a run started is found by the run's mark, even in a session of its own, and ended; others are let alone.
    """
    mark = f"test-{os.getpid()}"
    code = "import time; print(flush=True); time.sleep(60)"
    process = subprocess.Popen((sys.executable, "-c", code), env={**os.environ, leftovers.MARK_NAME: mark}, stdout=subprocess.PIPE, start_new_session=True)
    try:
        process.stdout.readline()
        lines = leftovers.end(mark)

        assert [f"still running after the tests, ended: {process.pid} {sys.executable} -c {code}"] == lines
        assert process.wait(5) < 0
        assert [] == leftovers.end(mark)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_wheel_without_its_data_is_found(tmp_path):
    """
    A wheel that lacks a file of the package, or carries one from elsewhere, is not accepted.
    """
    wheel = tmp_path / "edgegw-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("edgegw/__init__.py", "")
        archive.writestr("tests/conftest.py", "")
        archive.writestr("edgegw-1.dist-info/entry_points.txt", f"[console_scripts]\n{package_content.ENTRY_POINT}\n")

    assert [f"{wheel.name}: edgegw/points.toml is missing", f"{wheel.name}: tests/conftest.py does not belong there"] == (
        package_content.wheel_findings(wheel, ["edgegw/__init__.py", "edgegw/points.toml"])
    )


def test_every_mark_is_documented():
    """
    docs/performance.md names every mark of the benches, and no other.
    """
    text = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (P\d+[ab]?) \|[^|]*\| ([^|]*) \|", text, re.MULTILINE)

    assert {name: mark.text() for name, mark in MARKS.items()} == dict(rows)


@pytest.mark.parametrize(
    ("figure", "verdict"),
    [
        (Figure("P17a", "start", 1.4, "x"), "reached"),
        (Figure("P17a", "start", 1.6, "x"), "NOT REACHED"),
        (Figure("P1", "polls", 0.98), "reached"),
        (Figure("P1", "polls", 0.96), "NOT REACHED"),
    ],
)
def test_a_missed_mark_is_told(figure, verdict):
    """
    A figure on the wrong side of its mark says so.
    """
    assert verdict == figure.line().partition(MARKS[figure.mark].text())[2].strip()
