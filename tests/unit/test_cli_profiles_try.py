"""`edgegw profiles try` refuses what cannot be a device of that bus before anything is sent, in the words of `edgegw config check`."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgegw.errors import EXIT_UNKNOWN, EXIT_USAGE
from tests.unit.cli_daemon import edgegw


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two buses on which nobody answers, and which nobody may open."""
    directory = tmp_path_factory.mktemp("try")
    file = directory / "config.toml"
    text = f"""
        gateway = {{ operator = "OP", station = "ST", gateway = "GW" }}
        paths = {{ state_dir = "{directory}" }}
        bus = [
          {{ name = "lan", kind = "tcp", host = "127.0.0.1", port = 9 }},
          {{ name = "rs485a", kind = "serial", path = "{directory}/nothing" }},
        ]
    """
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("words", "exit_code", "told"),
    [
        (
            ["eastron.sdm120", "rs485a", "--unit", "248"],
            EXIT_USAGE,
            'E-CFG-VALUE: unit 248: devices of a serial line have units up to 247; only over kind "tcp"',
        ),
        (["eastron.sdm120", "rs485a", "--unit", "0"], EXIT_USAGE, 'E-CFG-MISSING: eastron.sdm120 needs "unit", its Modbus unit id'),
        (["megatec.q1", "lan"], EXIT_USAGE, 'E-CFG-VALUE: megatec.q1 is not read over kind "tcp"'),
        (["dlt645.2007-3p", "rs485a"], EXIT_USAGE, 'E-CFG-MISSING: dlt645.2007-3p needs "address"'),
        (["dlt645.2007-3p", "rs485a", "--address", "12x"], EXIT_USAGE, 'E-CFG-VALUE: --address "12x": the up to 12 digits'),
        (["dlt645.2007-3p", "rs485a", "--address", "1234567890123"], EXIT_USAGE, "E-CFG-VALUE: --address"),
        (["eastron.sdm120", "rs485b"], EXIT_UNKNOWN, "E-CFG: "),
        (["eastron.sdm12", "rs485a"], EXIT_UNKNOWN, "E-PROFILE-UNKNOWN: "),
    ],
)
def test_what_cannot_be_is_said_before_the_line_is_opened(config, words, exit_code, told):
    """One line says what is wrong; no bus is opened for it."""
    done = edgegw("--config", config, "profiles", "try", *words)
    assert exit_code == done.returncode
    assert done.stderr.startswith(told)
    assert 1 == len(done.stderr.splitlines())


def test_over_tcp_there_are_units_above_247(config):
    """Unit 255 over Modbus TCP is asked: the try gets as far as the line, which nobody serves."""
    done = edgegw("--config", config, "profiles", "try", "keba.p30", "lan", "--unit", "255")
    assert "E-BUS-CONNECT" in done.stderr
