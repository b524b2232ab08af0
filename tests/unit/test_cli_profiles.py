"""`edgegw profiles` and `edgegw decode modbus`, as people and programs call them."""

from __future__ import annotations

import json

import pytest

from edgegw.cli.cells import cells
from edgegw.cli.settings import Settings
from edgegw.cli.status import render
from tests.unit.cli_daemon import STATUS, edgegw

GOODWE = ["--profile", "huawei.sun2000", "--tcp", "--request", "00 07 00 00 00 06 01 03 7d 0a 00 01"]
SENSOR = ["--profile", "xy-md02", "--request", "01 04 00 01 00 02 20 0b"]


def data_of(*arguments):
    done = edgegw(*arguments, "--json")
    return done.returncode, json.loads(done.stdout)["data"]


def test_every_product_is_listed_with_its_proof():
    """The list names the class and says which products no captured exchange has shown yet."""
    code, listed = data_of("profiles", "list")
    unproven = {row["name"]: row["unproven"] for row in listed}
    assert 0 == code
    assert (False, True) == (unproven["goodwe.dt"], unproven["acrel.adw300"])
    assert {"meter", "pile", "ups", "inverter", "battery", "wind", "transformer", "switchgear", "sensor", "input", "relay", "camera", "gateway"} <= {
        row["class"] for row in listed
    }


@pytest.mark.parametrize("name", ["acrel.adw300", "huawei.sun2000", "waveshare.io8", "xy-md02"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_profile_is_shown_in_eighty_columns(name, language):
    """No line of the table is wider than a terminal."""
    done = edgegw("--lang", language, "profiles", "show", name)
    assert 0 == done.returncode
    assert [] == [line for line in done.stdout.splitlines() if cells(line) > 80]
    assert ("未验证" if language == "zh" else "unproven") in done.stdout or name != "acrel.adw300"


def test_a_profile_is_shown_to_a_program():
    """Address, type, scale, unit, group and both titles of a point, and the names of fault bits."""
    _, shown = data_of("profiles", "show", "huawei.sun2000")
    rows = {row["point"]: row for row in shown["rows"]}
    wanted = {"address": 32080, "type": "i32", "scale": "0.001", "unit": "kW", "group": "electrical", "title_zh": "有功功率"}
    assert wanted == {key: rows["active_power"][key] for key in wanted}
    assert "2015" == rows["alarms.3"]["faults"]["6"]["id"]


def test_an_unknown_profile_is_answered_with_the_near_one():
    """Exit 4, and what was probably meant."""
    done = edgegw("profiles", "show", "goodwe.td")
    assert 4 == done.returncode
    assert 'did you mean "goodwe.dt"?' in done.stderr


def test_lint_ends_with_one_for_a_wrong_file(tmp_path):
    """Each finding has its file and line; a file that is not there is exit 4."""
    file = tmp_path / "mine.toml"
    file.write_text('[profile]\nprotocol = "modbus"\nname = 3\n', encoding="utf-8")
    code, found = data_of("profiles", "lint", file)
    assert (1, "mine.toml") == (code, found[0]["file"])
    assert 3 in {finding["line"] for finding in found}
    assert 4 == edgegw("profiles", "lint", tmp_path / "none.toml").returncode


def test_a_valid_answer_has_values_units_and_qualities():
    """Exit 0, and each point in the dictionary's unit."""
    code, said = data_of("decode", "modbus", *SENSOR, "01 04 04 01 31 02 22 2a ce")
    assert (0, True, None) == (code, said["valid"], said["reason"])
    assert {"value": 30.5, "unit": "C", "quality": "good"} == {key: said["values"]["temperature"][key] for key in ("value", "unit", "quality")}


def test_a_sentinel_is_bad_with_its_raw_registers():
    """A value that the device does not have is null, and what it sent stands beside it."""
    request = ["--profile", "goodwe.dt", "--request", "7f 03 75 97 00 01 24 3d"]
    from edgegw.drivers.modbus_codec import sealed

    asked = sealed(bytes.fromhex("7f0375970001")).hex()
    _, said = data_of("decode", "modbus", *request[:3], asked, sealed(bytes.fromhex("7f0302ffff")).hex())
    assert {"value": None, "unit": "V", "quality": "bad", "raw": "FF FF", "address": 30103} == said["values"]["mppt.1.voltage"]


def test_a_refused_answer_is_exit_six_with_its_reason():
    """An exception is named, and there are no values."""
    code, said = data_of("decode", "modbus", *GOODWE, "00 07 00 00 00 03 01 83 02")
    assert (6, False, "exception 2: illegal data address", {}) == (code, said["valid"], said["reason"], said["values"])


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_screen_explains_each_byte(language):
    """Unit, function, registers and fault bits in words, in eighty columns."""
    done = edgegw("--lang", language, "decode", "modbus", *GOODWE, "00 07 00 00 00 05 01 03 02 00 40")
    assert [] == [line for line in done.stdout.splitlines() if cells(line) > 80]
    assert ("组串丢失" if language == "zh" else "string loss") in done.stdout
    assert "alarm_word.3" in done.stdout


def test_what_is_no_hexadecimal_is_wrong_usage():
    """Exit 2, and the text that is meant."""
    done = edgegw("decode", "modbus", *SENSOR, "01 0x zz")
    assert 2 == done.returncode
    assert "zz" in done.stderr


def test_the_status_names_devices_with_an_unproven_profile():
    """One line names them; without one there is no such line."""
    said = list(render({**STATUS, "unproven": ["DC-01", "DC-02"]}, "en", Settings(), None))
    assert ["Model  -     unproven profile: DC-01, DC-02"] == [line for line in said if "unproven" in line]
    assert [] == [line for line in render(STATUS, "en", Settings(), None) if "unproven" in line]
