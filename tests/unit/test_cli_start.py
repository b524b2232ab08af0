"""What a command loads before it does anything, and that each one can be loaded."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgegw import __version__
from edgegw.cli.main import BLOCKS
from edgegw.cli.rig import Rig
from tests.unit.cli_daemon import WAIT_S, daemon, edgegw


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with daemon(tmp_path_factory.mktemp("cli") / "control.sock") as found:
        yield found


FORBIDDEN = {"pymodbus", "paho", "sqlite_utils", "apscheduler", "cryptography", "msgspec", "cbor2", "serial", "uvloop", "asyncio", "sqlite3"}


@pytest.mark.parametrize("arguments", [["--version"], ["status"], ["read", "DC-01"], ["status", "--json"], ["-h"]])
def test_a_technician_s_command_imports_click_and_the_standard_library_only(path, arguments):
    """
    What makes a start slow is never imported on the way (decision D10).
    """
    program = "import sys; from edgegw.cli.main import run; run(sys.argv[1:]); print('\\n'.join(sys.modules), file=sys.stderr)"
    command = [sys.executable, "-c", program, "--socket", str(path), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)
    loaded = {name.split(".")[0] for name in done.stderr.split()}
    assert "click" in loaded
    assert done.stdout
    assert set() == loaded & FORBIDDEN
    foreign = loaded - set(sys.stdlib_module_names) - {"click", "edgegw", "__main__", "_distutils_hack", "sitecustomize"}
    assert [] == [name for name in foreign if not name.startswith(("_", "coverage", "a1_"))]


def test_the_daemon_loads_nothing_that_its_steady_state_does_not_need():
    """
    Every start waits for what is imported, and memory holds it for years: no scheduler before there is a job, no protocol before there is a device.
    """
    done = subprocess.run([sys.executable, "-c", "import sys, edgegw.app; print(*sys.modules)"], capture_output=True, text=True, timeout=WAIT_S, check=True)
    loaded = set(done.stdout.split())
    unneeded = {"sqlite_utils", "apscheduler", "numpy", "multiprocessing", "cryptography.x509", "starlette", "uvicorn", "edgegw.sim", "edgegw.cloud"}
    # What paho and the keys would bring along, and what is for mistakes, exports and serial ports only.
    unneeded |= {"http.client", "email", "tempfile", "importlib.resources", "cryptography.hazmat.primitives.serialization", "difflib", "csv", "serial"}
    # Protocols come with the first profile of theirs.
    unneeded |= {f"edgegw.drivers.{protocol}_{part}" for protocol in ("dlt645", "megatec", "sunspec") for part in ("driver", "profile")}
    assert "edgegw.buffer.store" in loaded
    assert set() == loaded & unneeded


PROGRAM = """
import sys
from edgegw.cli.entry import main
try:
    main()
except SystemExit as end:
    print(end.code, "click" in sys.modules, "edgegw.app" in sys.modules)
"""


def test_the_line_of_the_unit_file_needs_no_click(tmp_path):
    """
    The daemon of the service ends with the same code and words as one that was started by any other spelling, and holds no click.
    """
    (tmp_path / "config.toml").write_text("[gateway]\n")
    told = []
    for line in (["run", "--config"], ["run", "--config", "--json"], ["run", "-c"], ["-c", "run"]):
        arguments = [word for name in line for word in ((name, str(tmp_path / "config.toml")) if name in ("-c", "--config") else (name,))]
        done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, timeout=WAIT_S, check=False)
        told.append((done.stdout, done.stderr))
    assert [f"2 {click} True\n" for click in (False, False, True, True)] == [printed for printed, _ in told]
    assert "E-CFG" in told[0][1]
    assert 1 == len({words for _, words in told})


def test_the_line_of_the_unit_file_refuses_as_any_other(tmp_path):
    """
    What a person must mend before the daemon can run is told in the same words, also in JSON.
    """
    config = tmp_path / "config.toml"
    Rig(tmp_path).write_config("")
    lines = config.read_text().replace("mqtts:", "mqtt:").splitlines()
    config.write_text("\n".join(line for line in lines if not line.startswith(("ca_file", "cert"))))
    (tmp_path / "cloud").mkdir()
    (tmp_path / "cloud" / "cloud.pub").write_text("no key")
    told = []
    for words in (["--config", str(config)], ["-c", str(config)], ["--config", str(config), "--json"], ["--json", "-c", str(config)]):
        done = subprocess.run([sys.executable, "-m", "edgegw", "run", *words], capture_output=True, text=True, timeout=WAIT_S, check=False)
        told.append((done.returncode, done.stdout.partition('"gateway"')[2], done.stderr))
    assert told[0][0]
    assert "E-KEY" in told[0][2]
    assert told[0] == told[1]
    assert "E-KEY" in told[2][1]
    assert told[2] == told[3]


def test_what_paho_puts_off_is_whole_when_it_is_used():
    """
    The module that paho imports for web sockets is the real one for whoever uses it, under each way to name it.
    """
    program = """
import sys, edgegw.uplink.mqtt, urllib
assert "http.client" not in sys.modules
from urllib.request import Request
import urllib.request
print(Request.__name__, urllib.request.Request is Request, sys.modules["urllib.request"] is urllib.request, "http.client" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=WAIT_S, check=True)
    assert "Request True True True\n" == done.stdout


def test_every_command_of_the_help_can_be_loaded():
    """
    No command stands in the help that cannot say what it does.
    """
    for command in [name for block in BLOCKS.values() for name in block]:
        done = edgegw(command, "-h")
        assert (0, "") == (done.returncode, done.stderr), command
        assert "Usage: edgegw" in done.stdout


def test_version_is_one_line():
    """
    `edgegw --version` names program and version.
    """
    assert f"edgegw {__version__}\n" == edgegw("--version").stdout
