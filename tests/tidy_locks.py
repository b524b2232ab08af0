"""What a lock file must be: every package pinned and hashed, in step with what asked for it, and silent about the machine that made it."""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-demo.lock")
_PIN = re.compile(r"([A-Za-z0-9._-]+)==([^ ;]+)( ; .+)? \\")
_HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")
# A comment may name a package, a file of this project, or this project's own tool.
_COMMENT = re.compile(r"(# [^/:]*|    # via|    # via [\w.-]+|    # via -[rc] [\w.-]+|    #   [\w.-]+|    #   -[rc] [\w.-]+|# The following packages .*)")


def pins(text: str) -> dict[str, str]:
    """Package, in its canonical name, to version."""
    found = (_PIN.fullmatch(line) for line in text.splitlines())
    return {canonicalize_name(pin[1]): pin[2] for pin in found if pin}


def form_findings(name: str, text: str) -> Iterator[str]:
    """Lines that are neither a pin with a hash behind it, nor a hash, nor a comment without a place or host."""
    lines = text.splitlines()
    for number, line in enumerate(lines, start=1):
        if _PIN.fullmatch(line):
            if number == len(lines) or not _HASH.fullmatch(lines[number]):
                yield f"{name}:{number}: {line.split()[0]} has no hash"
        elif line and not _HASH.fullmatch(line) and not _COMMENT.fullmatch(line):
            yield f"{name}:{number}: neither pin, hash nor plain comment: {line}"


def step_findings(name: str, text: str, wanted: list[str]) -> Iterator[str]:
    """Requirements that the lock does not meet."""
    have = pins(text)
    for requirement in map(Requirement, wanted):
        version = have.get(canonicalize_name(requirement.name))
        if version is None:
            yield f"{name}:1: {requirement.name} is not pinned"
        elif not requirement.specifier.contains(version, prereleases=True):
            yield f"{name}:1: {requirement.name}=={version} is not {requirement.specifier}"


def wanted_by(root: Path) -> dict[str, list[str]]:
    """Lock to the requirements that it was made from."""
    setup = configparser.ConfigParser()
    setup.read(root / "setup.cfg")
    return {
        "requirements.lock": setup["options"]["install_requires"].split("\n")[1:],
        "requirements-dev.lock": _lines(root / "requirements-dev.in"),
        "requirements-demo.lock": _lines(root / "requirements-demo.in"),
    }


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
