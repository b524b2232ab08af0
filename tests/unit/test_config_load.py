"""A configuration file to a configuration, or to every mistake in it at once."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import inspect

from edgegw.config.load import FILE_BYTES_MAX, load, parse
from edgegw.config.model import Config
from edgegw.config.walk import PATTERN_WORDS, bare, find_mistakes

GATEWAY = '[gateway]\noperator = "OP"\nstation = "ST"\ngateway = "GW"\n'
BUS = '[[bus]]\nname = "rs485a"\nkind = "serial"\npath = "/dev/edgegw/rs485a"\n'
DEVICE = '[[device]]\ncode = "AC-07"\nbus = "rs485a"\nunit = 7\nprofile = "xy-md02"\n'


def _lines(text: str | bytes) -> list[str]:
    loaded = parse(Path("config.toml"), text.encode() if isinstance(text, str) else text)
    assert (loaded.config is None) == bool(loaded.errors)
    return [str(finding) for finding in loaded.findings]


MISTAKES = [
    (BUS + "baud = 9600\n", 'config.toml:9: error E-CFG-KEY: bus "rs485a": unknown key "baud"; did you mean "baudrate"?'),
    (BUS + "unit = 9600\n", 'config.toml:9: error E-CFG-KEY: bus "rs485a": unknown key "unit"; it belongs into [[device]]'),
    ("colour = 1\n", 'config.toml:5: error E-CFG-KEY: [gateway]: unknown key "colour"'),
    ("[[devices]]\n", 'config.toml:5: error E-CFG-KEY: unknown table "devices"; did you mean "device"?'),
    ("[mqtt]\nx = 1\n", 'config.toml:5: error E-CFG-KEY: unknown table "mqtt"'),
    ("[bus]\nname = 1\n", "config.toml:5: error E-CFG-TYPE: [[bus]] must be written with double brackets, once for each bus; found a table"),
    ("[[log]]\n", "config.toml:5: error E-CFG-TYPE: [log] must be one table, written [log] with single brackets; found a list"),
    (
        BUS + 'baudrate = "9600"\n',
        'config.toml:9: error E-CFG-TYPE: bus "rs485a": baudrate must be one of 1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200, found "9600"; write it without quotes',
    ),
    (
        BUS + "baudrate = 9601\n",
        'config.toml:9: error E-CFG-VALUE: bus "rs485a": baudrate must be one of 1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200, found 9601',
    ),
    (BUS + 'parity = "e"\n', 'config.toml:9: error E-CFG-VALUE: bus "rs485a": parity must be one of "E", "N", "O", found "e"; did you mean "E"?'),
    (BUS + "stop_bits = true\n", 'config.toml:9: error E-CFG-VALUE: bus "rs485a": stop_bits must be one of 1, 2, found true'),
    (BUS + "port = 70000\n", 'config.toml:9: error E-CFG-RANGE: bus "rs485a": port must be from 1 to 65535, found 70000'),
    (BUS + "port = 502.0\n", 'config.toml:9: error E-CFG-TYPE: bus "rs485a": port must be a whole number, found 502.0'),
    (
        BUS + 'answer_timeout_ms = "500"\n',
        'config.toml:9: error E-CFG-TYPE: bus "rs485a": answer_timeout_ms must be a whole number, found "500"; write it without quotes',
    ),
    ("name = 2026-11-20\n", "config.toml:5: error E-CFG-TYPE: [gateway]: name must be a text, found a date or time, 2026-11-20"),
    ("name = 7\n", "config.toml:5: error E-CFG-TYPE: [gateway]: name must be a text, found 7; write it in quotes"),
    ('name = """a\nb"""\n', 'config.toml:5: error E-CFG-VALUE: [gateway]: name must not hold a tab or line break, found "a\\nb"'),
    ('name = "a\tb"\n', 'config.toml:5: error E-CFG-VALUE: [gateway]: name must not hold a tab or line break, found "a\\tb"'),
    (f'name = "{"x" * 65}"\n', f'config.toml:5: error E-CFG-VALUE: [gateway]: name must have at most 64 characters, found "{"x" * 40}..." (65 characters)'),
    ('[[bus]]\nkind = "tcp"\n', 'config.toml:5: error E-CFG-MISSING: bus number 1: key "name" is missing'),
    ('[[deadband]]\npoint = ""\nabsolute = 1\n', 'config.toml:6: error E-CFG-VALUE: deadband number 1: point must not be empty, found ""'),
    (DEVICE + "period_s = 2\n", 'config.toml:10: error E-CFG-TYPE: device "AC-07": period_s must be a table of groups, as in { electrical = 2 }, found 2'),
    (
        DEVICE + 'period_s = { electrical = "5s" }\n',
        'config.toml:10: error E-CFG-TYPE: device "AC-07": period_s.electrical must be a number, found "5s"; write the number alone: 5',
    ),
    (
        '[[rule]]\nname = "r"\ncondition = "high"\npoint = "voltage"\nlimit = "235,4"\n',
        'config.toml:9: error E-CFG-TYPE: rule "r": limit must be a number, found "235,4"; write the number alone: 235.4',
    ),
    (DEVICE + "period_s = { electrical = 0 }\n", 'config.toml:10: error E-CFG-RANGE: device "AC-07": period_s.electrical must be from 0.02 to 86400, found 0'),
    (
        DEVICE.replace("AC-07", "AC 07"),
        'config.toml:6: error E-CFG-VALUE: device "AC 07": code must be 1 to 32 letters A-Z a-z, digits, _, . or -, found "AC 07"',
    ),
    (DEVICE.replace("7\n", "300\n"), 'config.toml:8: error E-CFG-RANGE: device "AC-07": unit must be from 0 to 255, found 300'),
    (
        '[[rule]]\nname = "r"\ncondition = "high"\npoint = "voltage"\nlimit = inf\n',
        'config.toml:9: error E-CFG-RANGE: rule "r": limit must be a finite number, found inf',
    ),
    (
        '[[rule]]\nname = "r"\ncondition = "high"\npoint = "voltage"\nlimit = "5"\n',
        'config.toml:9: error E-CFG-TYPE: rule "r": limit must be a number, found "5"; write it without quotes',
    ),
    (
        '[[rule]]\nname = "r"\ncondition = "high"\npoint = "voltage"\nlimit = 5\ndevices = "AC-*"\n',
        'config.toml:10: error E-CFG-TYPE: rule "r": devices must be a list, as in ["AC-01", "AC-02"], found "AC-*"',
    ),
    (
        '[[rule]]\nname = "r"\ncondition = "high"\npoint = "voltage"\nlimit = 5\ndevices = [\n "a",\n 7]\n',
        'config.toml:12: error E-CFG-TYPE: rule "r": devices: element 2 must be a text, found 7; write it in quotes',
    ),
    (
        '[[uplink]]\nname = "u"\nbroker = "https://a:b@host"\nrecipient_file = "x"\n',
        'config.toml:7: error E-CFG-VALUE: uplink "u": broker must be like mqtts://host:8883, found "https://...@host"',
    ),
]


@pytest.mark.parametrize(("added", "line"), MISTAKES)
def test_a_mistake_is_said_in_one_exact_line(added, line):
    """
    Each mistake that people make comes out with file, line, id, thing, what it must be and what was found.
    """
    assert line in _lines(GATEWAY + added)


SYNTAX = [
    (
        "name = “光谷”\n",
        "config.toml:5: error E-CFG-TOML: not valid TOML: the full-width sign “ stands where TOML wants an ASCII one; switch the Chinese input method off",
    ),
    (
        'name＝"光谷"\n',
        "config.toml:5: error E-CFG-TOML: not valid TOML: the full-width sign ＝ stands where TOML wants an ASCII one; switch the Chinese input method off",
    ),
    (
        'name = "光谷”\n',
        "config.toml:5: error E-CFG-TOML: not valid TOML: the full-width sign ” stands where TOML wants an ASCII one; switch the Chinese input method off",
    ),
    (
        'name = "a"\u3000# x\n',
        "config.toml:5: error E-CFG-TOML: not valid TOML: an invisible space (U+3000) stands in the line, often copied from a document; type a plain one",
    ),
    ("name = 光谷\n", 'config.toml:5: error E-CFG-TOML: not valid TOML: 光谷 is no value; a text must stand in quotes: "光谷"'),
    ("name = True\n", "config.toml:5: error E-CFG-TOML: not valid TOML: True is no value; write true or false, in small letters"),
    ("name =\n", "config.toml:5: error E-CFG-TOML: not valid TOML: a value is missing behind ="),
    ('name: "a"\n', "config.toml:5: error E-CFG-TOML: not valid TOML: a key must be followed by = and a value"),
    ('station = "b"\n', 'config.toml:5: error E-CFG-TOML: not valid TOML: the key "station" stands twice in this table'),
    ("[gateway]\n", "config.toml:5: error E-CFG-TOML: not valid TOML: the table [gateway] stands twice; join the two"),
    (
        '[bus]\nname = "a"\n[bus]\nname = "b"\n',
        "config.toml:5: error E-CFG-TOML: not valid TOML: [bus] must be written [[bus]] with double brackets, once for each bus",
    ),
    (
        '[bus]\nname = "a"\n[[bus]]\nname = "b"\n',
        "config.toml:5: error E-CFG-TOML: not valid TOML: [bus] must be written [[bus]] with double brackets, once for each bus",
    ),
    (
        '[[bus]]\nname = "a"\n[bus]\nname = "b"\n',
        "config.toml:7: error E-CFG-TOML: not valid TOML: [bus] must be written [[bus]] with double brackets, once for each bus",
    ),
    ('name = "a\n', "config.toml:5: error E-CFG-TOML: not valid TOML: a text is not closed: the quote at its end is missing"),
    ('path = "C:\\Users"\n', "config.toml:5: error E-CFG-TOML: not valid TOML: a backslash in \"...\" begins a special sign; write the text in '...' or use /"),
    ('path = "C:\\data"\n', "config.toml:5: error E-CFG-TOML: not valid TOML: a backslash in \"...\" begins a special sign; write the text in '...' or use /"),
    (
        "x = 012\n",
        "config.toml:5: error E-CFG-TOML: not valid TOML: something stands behind the value; a text needs quotes, a number no leading 0 and no comma",
    ),
    (
        "x = 12,5\n",
        "config.toml:5: error E-CFG-TOML: not valid TOML: something stands behind the value; a text needs quotes, a number no leading 0 and no comma",
    ),
    ("x = [1,\n", "config.toml:5: error E-CFG-TOML: not valid TOML: a list or table is not closed, or a comma is missing in it"),
    ("= 1\n", "config.toml:5: error E-CFG-TOML: not valid TOML: neither a key = value, a [table] nor a # comment"),
]


@pytest.mark.parametrize(("added", "line"), SYNTAX)
def test_broken_toml_is_explained_in_plain_words(added, line):
    """
    What is no TOML has exactly one finding, in words that an electrician can act on, and exit code 2.
    """
    assert [line] == _lines(GATEWAY + added)
    assert 2 == parse(Path("config.toml"), (GATEWAY + added).encode()).exit_code


def test_a_misspelt_key_that_must_be_there_is_one_mistake():
    """
    What is unknown but near a missing key is said once, as unknown with what was meant.
    """
    found = _lines(GATEWAY.replace("operator", "Operator"))
    assert ['config.toml:2: error E-CFG-KEY: [gateway]: unknown key "Operator"; did you mean "operator"?'] == found
    assert ['config.toml:1: error E-CFG-KEY: unknown table "Gateway"; did you mean "gateway"?'] == _lines(GATEWAY.replace("gateway]", "Gateway]"))


ENCODINGS = [
    (
        (GATEWAY + 'name = "光谷"\n').encode("gbk"),
        ['config.toml:5: error E-CFG-ENCODING: the line is GBK (editor: "ANSI"), not UTF-8; it says: name = "光谷"; save the file as UTF-8'],
        2,
    ),
    (GATEWAY.encode() + b'name = "\xff"\n', ["config.toml:5: error E-CFG-ENCODING: the line is not UTF-8; save the file as UTF-8"], 2),
    (GATEWAY.encode("utf-16"), ['config.toml:1: error E-CFG-ENCODING: the file is UTF-16 (editor: "Unicode"); save it as UTF-8'], 2),
    (GATEWAY.encode() + b"\x00\x00", ["config.toml:5: error E-CFG-ENCODING: the file holds a zero byte; it is no text file, or was damaged by a power cut"], 2),
    (GATEWAY.replace("\n", "\r").encode(), ["config.toml:1: error E-CFG-ENCODING: a line ends with CR alone, as on an old Macintosh; save with LF or CRLF"], 2),
    (GATEWAY.encode("utf-8-sig"), ['config.toml:1: warning W-CFG-BOM: begins with a byte order mark (editor: "UTF-8 with BOM"); save as plain UTF-8'], 10),
    (GATEWAY.replace("\n", "\r\n").encode(), [], 0),
    (GATEWAY.replace(" = ", "\t=\t").encode(), [], 0),
]


@pytest.mark.parametrize(("raw", "lines", "exit_code"), ENCODINGS)
def test_what_editors_make_of_a_file_is_named_or_read(raw, lines, exit_code):
    """
    GBK, UTF-16, zero bytes and lone CR are named with the way to repair them; a byte order mark, CRLF and tabs are read.
    """
    assert lines == _lines(raw)
    assert exit_code == parse(Path("config.toml"), raw).exit_code


def test_all_mistakes_come_at_once_in_the_order_of_their_lines():
    """
    A file with many mistakes is corrected in one go, not one mistake a run.
    """
    found = _lines('[[bus]]\nname = "a b"\nbaud = 1\nport = 0\n[log]\nlevel = "loud"\n[extra]\n')
    assert [1, 1, 2, 3, 4, 6, 7] == [int(line.split(":")[1]) for line in found]
    assert "config.toml:1: error E-CFG-MISSING: table [gateway] is missing" in found
    assert 'config.toml:1: error E-CFG-MISSING: bus "a b": key "kind" is missing' in found


def test_a_line_behind_windows_line_ends_is_counted_right():
    """
    CRLF moves no line number.
    """
    assert [line for line in _lines((GATEWAY + BUS + "baud = 1\n").replace("\n", "\r\n")) if "config.toml:9:" in line]


@pytest.mark.parametrize(
    ("name", "text"),
    [("missing.toml", "no file "), (".", "is a directory"), ("huge.toml", "is larger than 16 MiB")],
)
def test_a_file_that_cannot_be_had_is_one_finding(tmp_path, name, text):
    """
    A missing file, a directory and a file far too large are said in one line without a line number, with exit code 2.
    """
    if name == "huge.toml":
        with (tmp_path / name).open("wb") as file:
            file.truncate(FILE_BYTES_MAX + 1)
    loaded = load(tmp_path / name)
    assert (2, None, 1) == (loaded.exit_code, loaded.config, len(loaded.findings))
    assert "E-CFG-FILE" == loaded.findings[0].id
    assert text in str(loaded.findings[0])


def test_a_good_file_gives_the_configuration(tmp_path):
    """
    What stands in the file stands in the structs, the rest is default.
    """
    (tmp_path / "config.toml").write_text(GATEWAY + BUS + DEVICE)
    loaded = load(tmp_path / "config.toml")
    assert loaded.config is not None
    assert ("OP/ST/GW", 9600, 7, ()) == (loaded.config.gateway.identity, loaded.config.bus[0].baudrate, loaded.config.device[0].unit, loaded.findings)


def test_every_pattern_of_the_model_has_words():
    """
    A person is never shown a regular expression.
    """
    kinds = [bare(field.type) for table in bare_tables() for field in table.fields]
    assert {kind.pattern for kind in kinds if isinstance(kind, inspect.StrType) and kind.pattern} == set(PATTERN_WORDS)


def bare_tables() -> list[inspect.StructType]:
    root = inspect.type_info(Config)
    assert isinstance(root, inspect.StructType)
    kinds = [bare(field.type) for field in root.fields]
    return [kind.item_type if isinstance(kind, inspect.ListType) else kind for kind in kinds]  # type: ignore[misc]


_ANY = st.one_of(
    st.integers(-5, 10**6),
    st.floats(-10, 10**7, allow_nan=False),
    st.booleans(),
    st.sampled_from(["", "N", "tcp", "high", "x", "mqtts://h"]),
    st.just([]),
    st.just({}),
    st.just(["a"]),
    st.sampled_from([{"4": {"contact": "nc"}}, {"4": {"contact": "x"}}, {"4": {"odd": 1}}, {"4": 1}]),
)


def _some_table(kind: inspect.StructType) -> st.SearchStrategy[dict[str, object]]:
    return st.dictionaries(st.sampled_from([field.encode_name for field in kind.fields] + ["odd"]), _ANY, max_size=9)


_DOCUMENTS = st.fixed_dictionaries(
    {"gateway": st.just({"operator": "O", "station": "S", "gateway": "G"})},
    optional={
        name: st.lists(_some_table(kind), max_size=2)
        for name, kind in zip(("bus", "device", "rule", "computed", "balance", "uplink"), bare_tables()[-6:], strict=True)
    },
)


@settings(max_examples=300, deadline=None)
@given(_DOCUMENTS)
def test_the_walk_refuses_exactly_what_msgspec_refuses(document):
    """
    The walk and msgspec never disagree whether a document is right.
    """
    try:
        msgspec.convert(document, Config)
        right = True
    except msgspec.ValidationError:
        right = False
    assert right == (not find_mistakes(document))
