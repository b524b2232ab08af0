"""The unit and what is installed with it, judged by systemd's own tools where they are there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

SYSTEMD = Path(__file__).parents[1] / "systemd"
UNIT = SYSTEMD / "edgegw.service"
DROP_IN = SYSTEMD / "edgegw-clock.conf"
PROGRAM = "/opt/edgegw/current/bin/edgegw"
# The exposure of systemd-analyze in tenths that may not be exceeded; with the drop-in for chrony, which gives one group of calls back.
THRESHOLD, THRESHOLD_WITH_CLOCK = 15, 20


def needs(tool: str):
    return pytest.mark.skipif(shutil.which(tool) is None, reason=f"{tool} is not installed")


def settings(path: Path) -> list[tuple[str, str]]:
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line and line[0] not in "#["]
    return [(key, value) for key, _, value in (line.partition("=") for line in lines)]


def installed(folder: Path, text: str, drop_in: bool = False) -> Path:  # noqa: FBT001, FBT002 - read once
    """The unit as a file of its own, with a program that is there in place of ours, which is not on this machine."""
    unit = folder / "edgegw.service"
    unit.write_text(text.replace(PROGRAM, "/bin/true"), encoding="utf-8")
    if drop_in:
        (folder / "edgegw.service.d").mkdir()
        shutil.copy(DROP_IN, folder / "edgegw.service.d")
    return unit


def analyze(*arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "SYSTEMD_PAGER": "", "SYSTEMD_COLORS": "0"}
    return subprocess.run(["systemd-analyze", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60, env=environment)


def exposure_passes(unit: Path, threshold: int) -> bool:
    done = analyze("security", "--offline=yes", f"--threshold={threshold}", unit)
    assert "Overall exposure level" in done.stdout, done.stderr
    return done.returncode == 0


@needs("systemd-analyze")
def test_unit_is_hardened(tmp_path):
    """
    systemd's own judgement of the unit's exposure is at most 1.5, with the drop-in for the clock at most 2.0.
    """
    assert exposure_passes(UNIT, THRESHOLD)
    assert exposure_passes(installed(tmp_path, UNIT.read_text(encoding="utf-8"), drop_in=True), THRESHOLD_WITH_CLOCK)


@needs("systemd-analyze")
@pytest.mark.parametrize("weakened", [("CapabilityBoundingSet=",), ("User=edgegw",), ("SystemCallFilter=",), ("ProtectSystem=", "PrivateUsers=")])
def test_weak_unit_is_found(tmp_path, weakened):
    """
    The same judgement fails a unit that lacks one of its strong settings, or two of the others.
    """
    lines = UNIT.read_text(encoding="utf-8").splitlines()
    weak = [line for line in lines if not line.startswith(weakened)]
    assert len(weak) < len(lines)
    assert not exposure_passes(installed(tmp_path, "\n".join(weak)), THRESHOLD)


@needs("systemd-analyze")
@pytest.mark.parametrize(("complaint", "added"), [("", ""), ("'WatchdgSec'", "WatchdgSec=30"), ("'ProtectClok'", "ProtectClok=yes")])
def test_systemd_understands_every_line(tmp_path, complaint, added):
    """
    systemd reads unit and drop-in without a complaint, and complains of a misspelt setting.
    """
    text = UNIT.read_text(encoding="utf-8").replace("[Install]", f"{added}\n[Install]")
    done = analyze("verify", installed(tmp_path, text, drop_in=True))
    ours = [line for line in (done.stdout + done.stderr).splitlines() if "edgegw" in line]
    assert (complaint != "") == bool(ours), ours
    assert complaint in "\n".join(ours)


@pytest.mark.parametrize(
    "expected",
    [
        ("Type", "notify"),
        ("WatchdogSec", "30"),
        ("Restart", "always"),
        ("RestartSec", "2"),
        ("RestartPreventExitStatus", "2 11"),
        ("StartLimitIntervalSec", "0"),
        ("User", "edgegw"),
        ("RuntimeDirectoryMode", "0750"),
        ("StateDirectory", "edgegw"),
        ("DevicePolicy", "closed"),
        ("ExecStart", f"{PROGRAM} run --config /etc/edgegw/config.toml"),
    ],
)
def test_unit_says(expected):
    """
    The unit holds what the daemon relies on: a wrong configuration is not tried again, everything else for ever.
    """
    assert expected in settings(UNIT)


def test_unit_waits_for_no_network_and_no_clock():
    """
    Nothing that may never come stands before the start.
    """
    orders = [value for key, value in settings(UNIT) if key in {"After", "Wants", "Requires", "BindsTo"}]
    assert [] == [value for value in orders if re.search("network|time", value)]


def test_clock_calls_are_given_back_after_they_were_taken():
    """
    The drop-in lifts both of the bars that the unit sets before the state of the clock.
    """
    assert ("ProtectClock", "yes") in settings(UNIT)
    assert [("ProtectClock", "no"), ("SystemCallFilter", "adjtimex clock_adjtime")] == settings(DROP_IN)


@needs("systemd-sysusers")
@needs("systemd-tmpfiles")
@pytest.mark.skipif(os.geteuid() != 0, reason="files for other users can only be made by root")
def test_users_and_directories_are_made(tmp_path):
    """
    The user, its groups and the directories of configuration and state come out as the unit, and the first making of keys, need them.
    """
    (tmp_path / "etc/edgegw").mkdir(parents=True)
    (tmp_path / "etc/edgegw/config.toml").touch()
    for tool, name in (("systemd-sysusers", "edgegw.sysusers.conf"), ("systemd-tmpfiles", "edgegw.tmpfiles.conf")):
        create = ["--create"] if tool == "systemd-tmpfiles" else []
        done = subprocess.run([tool, *create, f"--root={tmp_path}", str(SYSTEMD / name)], capture_output=True, text=True, check=False, timeout=60)
        assert (0, "") == (done.returncode, "" if done.returncode == 0 else done.stderr)
    (user,) = [line.split(":") for line in (tmp_path / "etc/passwd").read_text().splitlines() if line.startswith("edgegw:")]
    groups = {line.split(":")[0]: line.split(":") for line in (tmp_path / "etc/group").read_text().splitlines()}
    assert ("/var/lib/edgegw", "/usr/sbin/nologin") == (user[5], user[6])
    assert "edgegw" in groups["dialout"][3]
    assert "edgegw-tech" in groups
    directory, file = (tmp_path / "etc/edgegw").stat(), (tmp_path / "etc/edgegw/config.toml").stat()
    group = int(groups["edgegw"][2])
    state = (tmp_path / "var/lib/edgegw").stat()
    assert (0o700, int(user[2])) == (state.st_mode & 0o777, state.st_uid)
    assert [(0o750, 0, group), (0o640, 0, group)] == [(facts.st_mode & 0o777, facts.st_uid, facts.st_gid) for facts in (directory, file)]


def test_serial_names_are_well_formed():
    """
    Every line of the example for udev is matches and assignments, and every name it gives lies below /dev/edgegw.
    """
    lines = [line for line in (SYSTEMD / "60-edgegw-serial.rules").read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    item = r'[A-Z]+(\{[A-Za-z_]+\})?(==|!=|\+=|=)"[^"]+"'
    assert [] == [line for line in lines if not re.fullmatch(rf"{item}(, {item})*", line)]
    names = re.findall(r'SYMLINK\+="([^"]+)"', "\n".join(lines))
    assert len(names) == len(set(names)) > 0
    assert [] == [name for name in names if not re.fullmatch("edgegw/[a-z0-9]+", name)]
