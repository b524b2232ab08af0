"""The log: lines for people on a terminal, lines with a priority for the journal, one JSON object a line for programs.

    12:31:05 warning bus: pile-03-meter stopped answering                                    terminal
    <4>bus: pile-03-meter stopped answering                                                  journal (sd-daemon(3) priorities)
    {"time":"2026-11-20T04:31:05.123Z","level":"warning","part":"bus","text":"..."}          JSON

A message that repeats is written at most RATE_LINES times in RATE_WINDOW_S, then counted, and the count is written. Secrets that slip
into a text (passwords in URLs, `password=...`, private keys) are struck out.
"""

from __future__ import annotations

import errno
import io
import json
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TextIO

# One fault in a part may say a few things about several devices; more than this a minute of one message is a flood.
RATE_LINES = 10
RATE_WINDOW_S = 60.0
# Messages are few and written down in the code; a caller that builds them from data must not grow the table.
RATE_KEYS_MAX = 1000

# Keys of a JSON line. They may only grow.
KEY_TIME, KEY_LEVEL, KEY_PART, KEY_TEXT, KEY_ID, KEY_TRACEBACK = "time", "level", "part", "text", "id", "traceback"

_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
_ID = re.compile(r"([A-Z]-[A-Z0-9]+(?:-[A-Z0-9]+)*): ")
_SECRETS = (
    (re.compile(r"(\w://[^/\s:@]+:)[^/\s@]+@"), r"\1***@"),
    (re.compile(r"(?i)\b(pass(?:word|wd|phrase)?|secret|token)(['\"]?\s*[=:]\s*)(?!file\b)(?:'[^']*'|\"[^\"]*\"|[^\s,;)}]+)"), r"\1\2***"),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), "*** private key ***"),
)


def configure(
    level: str,
    json_lines: bool = False,  # noqa: FBT001, FBT002 - the caller hands its own option through
    stream: TextIO | None = None,
    environment: Mapping[str, str] = os.environ,
) -> None:
    """Sets up all logging of the process; may be called again. Libraries are heard from warning upwards, whatever `level` says."""
    out = sys.stderr if stream is None else stream
    text_formatter = JournalFormatter() if is_journal(out, environment) else TerminalFormatter()
    formatter = JsonFormatter() if json_lines else text_formatter
    handler = Handler(out)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("edgegw").setLevel(level.upper())
    logging.raiseExceptions = False  # a closed terminal must not end in tracebacks


def is_journal(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether this stream is the one that systemd connected to the journal: JOURNAL_STREAM holds its device and inode."""
    try:
        facts = os.fstat(stream.fileno())
    except (OSError, io.UnsupportedOperation, ValueError):
        return False
    return environment.get("JOURNAL_STREAM") == f"{facts.st_dev}:{facts.st_ino}"


def redact(text: str) -> str:
    """The text with everything struck out that looks like a secret."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


class TerminalFormatter(logging.Formatter):
    """For people who watch."""

    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        return "\n".join([f"{clock} {record.levelname.lower():7} {_part(record)}: {_text(record)}", *_traceback(record)])


class JournalFormatter(logging.Formatter):
    """Every line carries its priority, also those of a traceback: the journal makes an entry of each."""

    def format(self, record: logging.LogRecord) -> str:
        priority = f"<{_PRIORITIES.get(record.levelno, 6)}>"
        lines = [f"{_part(record)}: {_text(record)}", *_traceback(record)]
        return "\n".join(priority + line for text in lines for line in text.splitlines())


class JsonFormatter(logging.Formatter):
    """One object a line."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC)
        line = {
            KEY_TIME: f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z",
            KEY_LEVEL: record.levelname.lower(),
            KEY_PART: _part(record),
            KEY_TEXT: _text(record),
        }
        if message_id := _message_id(record):
            line[KEY_ID] = message_id
        if traceback := "\n".join(_traceback(record)):
            line[KEY_TRACEBACK] = traceback
        return json.dumps(line, ensure_ascii=False)


@dataclass(slots=True)
class _Run:
    """One message in one window."""

    until_s: float
    written: int = 0
    dropped: int = 0
    last: logging.LogRecord | None = None


class RateLimit:
    """Counts each message by its logger and its id, or the format string where it has none."""

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._monotonic_s = monotonic_s
        self._runs: dict[tuple[str, str], _Run] = {}

    def admit(self, record: logging.LogRecord) -> bool:
        """Whether this one is to be written. Debug lines always are: who asks for them wants them all."""
        if record.levelno <= logging.DEBUG:
            return True
        key = (record.name, _message_id(record) or str(record.msg))
        run = self._runs.get(key)
        if run is None:
            if len(self._runs) >= RATE_KEYS_MAX:
                return True
            run = self._runs[key] = _Run(self._monotonic_s() + RATE_WINDOW_S)
        if run.written < RATE_LINES:
            run.written += 1
            return True
        run.dropped += 1
        run.last = record
        return False

    def summaries(self, *, everything: bool = False) -> list[logging.LogRecord]:
        """For each window that has ended (or for all) with lines left out: the last of them with their number."""
        now_s = self._monotonic_s()
        ended = [key for key, run in self._runs.items() if everything or run.until_s <= now_s]
        runs = [self._runs.pop(key) for key in ended]
        return [_summary(run.last, run.dropped) for run in runs if run.last is not None]


# A pipe without a reader, a terminal that was hung up. A full disk may come back.
_READER_GONE = frozenset({errno.EPIPE, errno.EIO})


class Handler(logging.StreamHandler[TextIO]):
    """Writes what the rate limit admits, and the counts of what it did not."""

    def __init__(self, stream: TextIO, limit: RateLimit | None = None) -> None:
        super().__init__(stream)
        self._limit = limit or RateLimit()

    def emit(self, record: logging.LogRecord) -> None:
        self.write_summaries()
        if self._limit.admit(record):
            super().emit(record)

    def write_summaries(self, *, everything: bool = False) -> None:
        for summary in self._limit.summaries(everything=everything):
            super().emit(summary)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        """A reader that has gone for good gets nothing more: what is left in the stream's buffer would turn the end of the process into a failure (exit 120)."""
        fault = sys.exc_info()[1]
        if isinstance(fault, OSError) and fault.errno in _READER_GONE:
            _send_to_nowhere(self.stream)
        super().handleError(record)

    def close(self) -> None:
        self.write_summaries(everything=True)
        super().close()


def _send_to_nowhere(stream: TextIO) -> None:
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except (OSError, io.UnsupportedOperation, ValueError):
        return  # no descriptor, no buffer of its own


def write_summaries() -> None:
    """Writes the counts whose window has ended; for a log that has gone quiet, call it about once a minute."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, Handler):
            handler.acquire()
            try:
                handler.write_summaries()
            finally:
                handler.release()


def _summary(last: logging.LogRecord, dropped: int) -> logging.LogRecord:
    text = f"{last.getMessage()} (... {dropped} more like this in the last {RATE_WINDOW_S:.0f} s)"
    summary = logging.makeLogRecord({**last.__dict__, "msg": text, "args": None, "exc_info": None, "exc_text": None})
    summary.created = time.time()
    return summary


def _part(record: logging.LogRecord) -> str:
    return record.name.removeprefix("edgegw.")


def _message_id(record: logging.LogRecord) -> str:
    """Given as `extra={"message_id": ...}` or in front of the text, as in `E-STORE-DAMAGED: the database ...`."""
    found = _ID.match(str(record.msg))
    return str(getattr(record, "message_id", "") or (found[1] if found else ""))


def _text(record: logging.LogRecord) -> str:
    return redact(record.getMessage())


def _traceback(record: logging.LogRecord) -> list[str]:
    if not record.exc_info:
        return []
    return [redact(logging.Formatter().formatException(record.exc_info))]
