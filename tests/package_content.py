"""What a release must carry: `python tests/package_content.py dist` opens the wheel and the sdist that `./dev package` built."""

from __future__ import annotations

import sys
import tarfile
import zipfile
from pathlib import Path

ENTRY_POINT = "edgegw = edgegw.cli.entry:main"
SDIST_FILES = ("LICENSE", "README.md", "CHANGELOG.md", "dev", "requirements.lock", "requirements-dev.lock", "setup.cfg", "tests/conftest.py")


def expected_in_wheel(root: Path) -> list[str]:
    """Every module and every data file of the package: without its data a wheel installs well and fails at the station."""
    files = (path for path in (root / "edgegw").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return sorted(str(path.relative_to(root)) for path in files)


def wheel_findings(wheel: Path, expected: list[str]) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        entry_points = "".join(archive.read(name).decode() for name in names if name.endswith(".dist-info/entry_points.txt"))
    findings = [f"{wheel.name}: {name} is missing" for name in expected if name not in names]
    findings += [f"{wheel.name}: {name} does not belong there" for name in sorted(names) if not name.startswith(("edgegw/", "edgegw-"))]
    if ENTRY_POINT not in entry_points:
        findings.append(f"{wheel.name}: the command edgegw is missing")
    return findings


def sdist_findings(sdist: Path, expected: list[str]) -> list[str]:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    return [f"{sdist.name}: {name} is missing" for name in (*expected, *SDIST_FILES) if name not in names]


def main(folder: Path) -> int:
    root = Path(__file__).parent.parent
    expected = expected_in_wheel(root)
    wheels, sdists = list(folder.glob("*.whl")), list(folder.glob("*.tar.gz"))
    if len(wheels) != 1 or len(sdists) != 1:
        print(f"{folder}: one wheel and one sdist expected, found {len(wheels)} and {len(sdists)}")
        return 1
    findings = wheel_findings(wheels[0], expected) + sdist_findings(sdists[0], expected)
    print("\n".join(findings) if findings else f"{wheels[0]} and {sdists[0]}: complete, {len(expected)} files of the package")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
