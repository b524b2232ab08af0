"""What holds for every test: a time limit, a real broker or a loud word, and nothing left running."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator

import pytest

from tests import leftovers

# The longest part of the suite runs 100 s (CONTRIBUTING.md); three times that on a busy machine is a hang.
TEST_LIMIT_S = 300
NO_BROKER = "mosquitto is not installed: sudo apt-get install mosquitto"

_left: list[str] = []


@pytest.fixture
def shanghai(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local time is that of a station in China."""
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "Asia/Shanghai")
        time.tzset()
        yield
    time.tzset()


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("broker") is None or shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin"):
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"{NO_BROKER}; with CI=true no broker test is skipped", pytrace=False)
    pytest.skip(NO_BROKER)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Ends a test that hangs, where it hangs, so that the suite goes on and says which one it was."""

    def expire(_number: int, _frame: object) -> None:
        raise TimeoutError(f"{item.nodeid} did not end within {TEST_LIMIT_S} s")

    before = signal.signal(signal.SIGALRM, expire)
    signal.alarm(TEST_LIMIT_S)
    try:
        return (yield)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    mark = os.environ.get(leftovers.MARK_NAME)
    if mark:
        _left.extend(leftovers.end(mark))
    if _left and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _left:
        terminalreporter.section("left running: this run counts as failed", red=True)
        terminalreporter.write_line("\n".join(_left))
    skipped = [report for report in terminalreporter.stats.get("skipped", []) if NO_BROKER in str(report.longrepr)]
    if skipped:
        terminalreporter.section(f"{len(skipped)} TESTS WITH A REAL BROKER DID NOT RUN", yellow=True)
        terminalreporter.write_line(NO_BROKER)
