"""A file to a configuration, or to all its mistakes at once, each with its line.

Three stages, each needs the one before: bytes to text (encodings as editors on Windows make them), text to a document (tomllib), document to
structs (`walk.py` finds every mistake, msgspec converts what has none). What only shows across tables is found by `check.py`.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from edgegw.config.finding import ERROR, WARNING, Finding
from edgegw.config.lines import LineIndex
from edgegw.config.model import Config
from edgegw.config.salvage import Rest, salvage
from edgegw.config.walk import find_mistakes
from edgegw.errors import EXIT_CHECK_FAILED, EXIT_OK, EXIT_USAGE, EXIT_WARNINGS

# 5,000 devices take 0.8 MiB; far more is not a configuration but a file taken by mistake.
FILE_BYTES_MAX = 16 * 1024 * 1024

_UNREADABLE = frozenset({"E-CFG-FILE", "E-CFG-ENCODING", "E-CFG-TOML"})
_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")

# What an input method for Chinese leaves behind where TOML wants ASCII.
_FULL_WIDTH = re.compile(
    "[\u201c\u201d\u2018\u2019\uff02\uff07\uff1d\uff0c\uff1a\uff1b\uff3b\uff3d\uff5b\uff5d\uff03\u3010\u3011\u3002\u3001\uff0e\uff10-\uff19]"
)
_LONE_RETURN = re.compile(r"\r(?!\n)")
_ODD_SPACE = re.compile("[\u00a0\u2000-\u200b\u202f\u3000\ufeff]")


class Loaded(msgspec.Struct, frozen=True):
    """What came out of a file. The `config` is None exactly when a finding is an error of reading, type or range."""

    path: Path
    config: Config | None
    findings: tuple[Finding, ...]
    index: LineIndex
    rest: Rest | None = None
    """Of a file with wrong fields: what can still be checked across its tables."""

    @property
    def errors(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity == ERROR]

    @property
    def exit_code(self) -> int:
        """As `config check` ends: 2 not readable as TOML, 1 errors, 10 only warnings, 0 all good."""
        if any(finding.id in _UNREADABLE for finding in self.findings):
            return EXIT_USAGE
        if self.errors:
            return EXIT_CHECK_FAILED
        return EXIT_WARNINGS if self.findings else EXIT_OK


def load(path: Path) -> Loaded:
    """Reads one file. Never raises for what is in it or that it is not there."""
    try:
        raw = _read(path)
    except OSError as fault:
        return _refused(path, "E-CFG-FILE", None, _file_text(path, fault))
    if len(raw) > FILE_BYTES_MAX:
        return _refused(path, "E-CFG-FILE", None, f"{path} is larger than {FILE_BYTES_MAX // 1024**2} MiB: no configuration is")
    return parse(path, raw)


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(FILE_BYTES_MAX + 1)


def parse(path: Path, raw: bytes) -> Loaded:
    """The bytes of a file to a configuration."""
    text = decode(raw)
    if isinstance(text, _Fault):
        return _refused(path, "E-CFG-ENCODING", text.line, text.text)
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as fault:
        line, said = explain_syntax(text, str(fault))
        return _refused(path, "E-CFG-TOML", line, said)
    index = LineIndex(text)
    mistakes = find_mistakes(document)
    findings = [Finding(ERROR, mistake.id, index.line(*mistake.path), mistake.text, path.name) for mistake in mistakes]
    findings.sort(key=lambda finding: finding.line or 0)
    if raw.startswith(_UTF8_MARK):
        findings.insert(0, Finding(WARNING, "W-CFG-BOM", 1, 'begins with a byte order mark (editor: "UTF-8 with BOM"); save as plain UTF-8', path.name))
    if mistakes:
        return Loaded(path, None, tuple(findings), index, salvage(document, mistakes, index))
    return Loaded(path, _convert(document), tuple(findings), index)


def _convert(document: dict[str, Any]) -> Config:
    # The walk has accepted the document; if msgspec refuses it the two disagree, which is our bug and may be seen (a property test looks for it).
    return msgspec.convert(document, Config)


def _refused(path: Path, message_id: str, line: int | None, text: str) -> Loaded:
    return Loaded(path, None, (Finding(ERROR, message_id, line, text, path.name),), LineIndex(""))


def _file_text(path: Path, fault: OSError) -> str:
    match fault:
        case FileNotFoundError():
            return f"no file {path}; begin with a copy of config.example.toml, or name another file with -c"
        case PermissionError():
            return f"no permission to read {path}; run as the service's user (sudo -u edgegw ...)"
        case IsADirectoryError():
            return f"{path} is a directory, not a file"
    return f"cannot read {path}: {fault.strerror}"


# -- bytes to text


class _Fault(msgspec.Struct, frozen=True):
    line: int
    text: str


def decode(raw: bytes) -> str | _Fault:
    """UTF-8, with or without its mark. Everything else is named, because the editor that made it must be told."""
    if raw.startswith(_UTF16_MARKS):
        return _Fault(1, 'the file is UTF-16 (editor: "Unicode"); save it as UTF-8')
    body = raw.removeprefix(_UTF8_MARK)
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as fault:
        line = body.count(b"\n", 0, fault.start) + 1
        return _Fault(line, _foreign(body.split(b"\n")[line - 1]))
    if "\x00" in text:
        return _Fault(text[: text.index("\x00")].count("\n") + 1, "the file holds a zero byte; it is no text file, or was damaged by a power cut")
    if _LONE_RETURN.search(text):
        return _Fault(1, "a line ends with CR alone, as on an old Macintosh; save with LF or CRLF")
    return text


def _foreign(line: bytes) -> str:
    """What a line that is not UTF-8 probably is: on Chinese Windows GBK, which editors call ANSI."""
    try:
        guess = line.decode("gb18030").strip()
    except UnicodeDecodeError:
        return "the line is not UTF-8; save the file as UTF-8"
    return f'the line is GBK (editor: "ANSI"), not UTF-8; it says: {guess[:60]}; save the file as UTF-8'


# -- text to document

_AT = re.compile(r"^(?P<what>.*) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$", re.DOTALL)

_SENTENCES = (
    (r"Cannot declare \((.*?),?\) twice", "the table [{0}] stands twice; join the two"),
    (r"Cannot mutate immutable namespace", "this table was written whole on an earlier line; add the key there"),
    (r"Expected '=' after a key", "a key must be followed by = and a value"),
    (r"Unterminated string|Illegal character '\\n'", "a text is not closed: the quote at its end is missing"),
    (r"Unclosed array", "a list is not closed, or a comma is missing in it"),
    (r"Unclosed inline table", "a table is not closed: }} is missing"),
    (r"Unescaped '\\' in a string|Invalid hex value", "a backslash in \"...\" begins a special sign; write the text in '...' or use /"),
    (r"Illegal character", "a sign that is not allowed in a text (control character)"),
    (r"Expected newline or end of document after a statement", "something stands behind the value; a text needs quotes, a number no leading 0 and no comma"),
    (r"Invalid statement", "neither a key = value, a [table] nor a # comment"),
    (r"Invalid initial character for a key part|Empty key|Unbound bare key", "no key stands where one must stand"),
)


def explain_syntax(text: str, said: str) -> tuple[int, str]:
    """The sentence of tomllib to (line, what a person would say). What the person's line shows is better than what the parser stumbled over."""
    found = _AT.match(said)
    what = found["what"] if found else said
    lines = text.split("\n")
    line = int(found["line"]) if found and found["line"] else max(1, len(text.rstrip().split("\n")))
    source = lines[line - 1] if line <= len(lines) else ""
    single = _single_brackets(what, source)
    if single:
        return _line_of(
            lines, rf"\[\s*{single}\s*\]", line
        ), f"not valid TOML: [{single}] must be written [[{single}]] with double brackets, once for each {single}"
    if what == "Cannot overwrite a value":
        return line, f'not valid TOML: the key "{source.partition("=")[0].strip()}" stands twice in this table'
    return line, f"not valid TOML: {_odd_sign(source) or _invalid_value(what, source) or _sentence(what)}"


def _single_brackets(what: str, source: str) -> str:
    """The table that may stand many times and was begun with [single] brackets: its next header is what the parser stumbles over."""
    header = re.match(r"\s*\[\[?\s*(\w+)\s*\]", source)
    refused = what == "Cannot overwrite a value" or re.match(r"Cannot (declare|mutate)", what)
    many = {field.encode_name for field in msgspec.structs.fields(Config) if getattr(field.type, "__origin__", None) is list}
    return header[1] if header and refused and header[1] in many else ""


def _line_of(lines: list[str], pattern: str, otherwise: int) -> int:
    """The first line that begins with the pattern."""
    return next((number for number, line in enumerate(lines, 1) if re.match(rf"\s*{pattern}", line)), otherwise)


def _odd_sign(source: str) -> str:
    # A closed "text" or a comment may hold any sign; what is left is syntax.
    syntax = re.sub(r'"(?:\\.|[^"\\])*"|\'[^\']*\'|#.*', "", source)
    full = _FULL_WIDTH.search(syntax)
    if full:
        return f"the full-width sign {full.group()} stands where TOML wants an ASCII one; switch the Chinese input method off"
    if _ODD_SPACE.search(syntax):
        return f"an invisible space (U+{ord(_ODD_SPACE.search(syntax).group()):04X}) stands in the line, often copied from a document; type a plain one"  # type: ignore[union-attr]
    return ""


def _invalid_value(what: str, source: str) -> str:
    if not re.search(r"Invalid value|Cannot parse|Invalid date", what):
        return ""
    value = source.partition("=")[2].split("#")[0].strip()
    if not value:
        return "a value is missing behind ="
    if value[0] in "[{":
        return "a list or table is not closed, or a comma is missing in it"
    if value.lower() in {"true", "false", "yes", "no", "on", "off"}:
        return f"{value} is no value; write true or false, in small letters"
    return f'{value} is no value; a text must stand in quotes: "{value}"' if '"' not in value and "'" not in value else f"{value} is no value"


def _sentence(what: str) -> str:
    for pattern, sentence in _SENTENCES:
        found = re.search(pattern, what)
        if found:
            return sentence.format(*(group.replace("'", "").replace(", ", ".") for group in found.groups()))
    return what[:1].lower() + what[1:]
