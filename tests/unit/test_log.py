"""The log's three forms, its rate limit, and what it never says."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys

import pytest

from edgegw import log


@pytest.fixture
def quiet_root():
    """The process's logging as it was before, afterwards; edgegw's own is set up in between."""
    root, ours = logging.getLogger(), logging.getLogger("edgegw")
    before = root.handlers[:], root.level, ours.level, logging.raiseExceptions
    root.handlers = []
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers, root.level, ours.level, logging.raiseExceptions = before
    root.setLevel(root.level)
    ours.setLevel(ours.level)


def record(text: str, *args: object, level: int = logging.INFO, name: str = "edgegw.bus", **more: object) -> logging.LogRecord:
    made = logging.LogRecord(name, level, __file__, 1, text, args, None)
    made.__dict__.update(more)
    return made


def failed() -> tuple[object, ...]:
    try:
        int("password=hunter2")
    except ValueError:
        return sys.exc_info()


def test_json_lines_hold_one_object_each(quiet_root):
    """
    With json_lines every message is one object on one line, its traceback and id included, whatever is in the text.
    """
    out = io.StringIO()
    log.configure("info", json_lines=True, stream=out)
    logging.getLogger("edgegw.bus").warning("表-03\n停止 %s", "x", extra={"message_id": "W-BUS-SILENT"})
    logging.getLogger("edgegw.bus").error("broken", exc_info=failed())
    first, second = (json.loads(line) for line in out.getvalue().splitlines())
    assert ("warning", "bus", "表-03\n停止 x", "W-BUS-SILENT") == tuple(first[key] for key in ("level", "part", "text", "id"))
    assert "2" == first["time"][0]
    assert first["time"].endswith("Z")
    assert second["traceback"].endswith("with base 10: 'password=***")


@pytest.mark.parametrize(
    ("expected", "text"), [("E-STORE-DAMAGED", "E-STORE-DAMAGED: set aside"), (None, "e-store: x"), (None, "PV-01 is silent"), (None, "meter E-1: x")]
)
def test_id_in_front_of_a_text_is_its_id(expected, text):
    """
    A message that begins with its id has it under its own key in JSON.
    """
    assert expected == json.loads(log.JsonFormatter().format(record(text))).get("id")


def test_journal_gets_a_priority_on_every_line():
    """
    Each line for the journal begins with the priority of its message, those of a traceback too.
    """
    lines = log.JournalFormatter().format(record("broken", level=logging.ERROR, exc_info=failed())).splitlines()
    assert len(lines) > 3
    assert {"<3>"} == {line[:3] for line in lines}
    assert "<6>bus: up" == log.JournalFormatter().format(record("up"))


def test_terminal_gets_time_level_and_part():
    """
    A person sees local time, level and part in front of the text.
    """
    assert " warning bus: pile-03 is silent" == log.TerminalFormatter().format(record("%s is silent", "pile-03", level=logging.WARNING))[8:]


@pytest.mark.parametrize(("prefix", "inode_off_by"), [("<6>", 0), ("", 1)])
def test_journal_is_known_by_its_device_and_inode(prefix, inode_off_by):
    """
    A real process writes priorities exactly when its standard error is the stream that JOURNAL_STREAM names.
    """
    code = (
        "import os, sys, logging; from edgegw import log\n"
        "facts = os.fstat(2); os.environ['JOURNAL_STREAM'] = f'{facts.st_dev}:{facts.st_ino + int(sys.argv[1])}'\n"
        "log.configure('info'); logging.getLogger('edgegw.app').info('started')\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(inode_off_by)], capture_output=True, text=True, check=True, timeout=30)
    assert done.stderr.startswith(prefix)
    assert (prefix == "<6>") == (done.stderr == "<6>app: started\n")


def test_level_holds_for_our_parts_and_libraries_are_heard_from_warning_upwards(quiet_root):
    """
    The configured level is that of edgegw; a chatty library stays silent below warning even at debug.
    """
    out = io.StringIO()
    log.configure("debug", stream=out)
    for name in ("edgegw.bus", "paho.mqtt.client"):
        for level in (logging.DEBUG, logging.WARNING):
            logging.getLogger(name).log(level, "said")
    assert ["debug   bus: said", "warning bus: said", "warning paho.mqtt.client: said"] == [line[9:] for line in out.getvalue().splitlines()]


def test_configuring_again_replaces_the_first_setting(quiet_root):
    """
    After a second call a message is written once, at the new level.
    """
    first, second = io.StringIO(), io.StringIO()
    log.configure("info", stream=first)
    log.configure("error", stream=second)
    logging.getLogger("edgegw.app").info("small")
    logging.getLogger("edgegw.app").error("big")
    assert ("", 1) == (first.getvalue(), second.getvalue().count("\n"))


class Time:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def limited() -> tuple[Time, io.StringIO, log.Handler]:
    time, out = Time(), io.StringIO()
    return time, out, log.Handler(out, log.RateLimit(time))


def test_repeated_message_is_written_ten_times_a_minute_and_counted():
    """
    Of 68 like messages ten are written at once; when the minute is over one line tells of the other 58 with the last of them.
    """
    time, out, handler = limited()
    for number in range(68):
        handler.handle(record("no answer from %s", f"unit {number}"))
    assert [f"no answer from unit {number}" for number in range(10)] == out.getvalue().splitlines()
    time.now_s += 60
    handler.handle(record("something else"))
    handler.handle(record("no answer from %s", "unit 99"))
    expected = ["no answer from unit 67 (... 58 more like this in the last 60 s)", "something else", "no answer from unit 99"]
    assert expected == out.getvalue().splitlines()[10:]


def test_limit_is_of_each_message_and_not_of_debug():
    """
    A flood of one message hides neither another nor one with its own id, and debug lines are never left out.
    """
    _, out, handler = limited()
    for _ in range(50):
        handler.handle(record("flood"))
    handler.handle(record("flood", name="edgegw.uplink"))
    handler.handle(record("flood", message_id="W-1"))
    for _ in range(50):
        handler.handle(record("trace", level=logging.DEBUG))
    assert (12, 50) == (out.getvalue().count("flood"), out.getvalue().count("trace"))


def test_counts_are_written_at_the_end():
    """
    What was left out is told when the log is closed before its minute is over.
    """
    _, out, handler = limited()
    for _ in range(12):
        handler.handle(record("flood"))
    handler.close()
    assert "flood (... 2 more like this in the last 60 s)" == out.getvalue().splitlines()[-1]


def test_quiet_log_can_be_asked_for_its_counts(quiet_root):
    """
    Counts whose minute is over are written on request when no other message comes.
    """
    time, out, handler = limited()
    logging.getLogger().addHandler(handler)
    for _ in range(12):
        handler.handle(record("flood"))
    log.write_summaries()
    assert 10 == len(out.getvalue().splitlines())
    time.now_s += 61
    log.write_summaries()
    assert 11 == len(out.getvalue().splitlines())


def test_table_of_messages_is_bounded():
    """
    Messages built from data do not grow the table beyond its bound, and are still written.
    """
    _, out, handler = limited()
    for number in range(log.RATE_KEYS_MAX + 500):
        handler.handle(record(f"built {number}"))
    assert log.RATE_KEYS_MAX + 500 == len(out.getvalue().splitlines())
    assert log.RATE_KEYS_MAX == len(handler._limit._runs)


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ("connecting to mqtts://site:***@broker:8883", "connecting to mqtts://site:s3cret@broker:8883"),
        ("password=*** user=a", "password=hunter2 user=a"),
        ("{'password': ***, 'host': 'h'}", "{'password': 'hunter 2', 'host': 'h'}"),
        ("token: ***", 'token: "abc"'),
        ("x *** private key *** y", "x -----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY----- y"),
        ("x *** private key ***", "x -----BEGIN EC PRIVATE KEY-----\nMIIE"),
        ("password_file = /etc/edgegw/broker: mode 0644", "password_file = /etc/edgegw/broker: mode 0644"),
        ("mqtts://broker:8883 refused; station/gw at 10:31", "mqtts://broker:8883 refused; station/gw at 10:31"),
    ],
)
def test_secrets_are_struck_out(expected, text):
    """
    What looks like a secret is struck out, what does not is left as it is.
    """
    assert expected == log.redact(text)


def test_closed_terminal_harms_nothing():
    """
    A process whose log nobody reads any more goes on and ends well.
    """
    code = (
        "import sys, logging; from edgegw import log\n"
        "sys.stdin.readline(); log.configure('info'); logging.getLogger('edgegw.app').info('into the void'); print('alive', flush=True)\n"
    )
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], **pipes, text=True, env=buffered) as process:
        process.stderr.close()
        process.stderr = None
        assert ("alive\n", None) == process.communicate("go\n", timeout=30)
    assert 0 == process.returncode
