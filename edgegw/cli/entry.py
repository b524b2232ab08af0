"""Where every command begins, and the one line that needs no more than this.

    edgegw run --config FILE [--json]     the service and the rig: without click, 9 ms of a start and 1.5 MB for years
    everything else                       main.py

main.py understands the first line as well: what else is written into it only costs the time and the memory.
"""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Any

from edgegw.errors import EXIT_OK, EdgegwError

if TYPE_CHECKING:
    from edgegw.clock import Clock


def main() -> None:
    """Entry point of the console script."""
    match sys.argv[1:]:
        case ["run", "--config", file, *rest] if rest in ([], ["--json"]):
            sys.excepthook = _report
            sys.exit(_serve_alone(file, json_log=bool(rest)))
    from edgegw.cli.main import main as any_command

    any_command()


def serve(config: str, *, json_log: bool, verbose: int = 0, clock: Clock | None = None) -> int:
    """The daemon until a signal; returns its exit code. Raises EdgegwError for what a person must mend."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end_before_start)
    from pathlib import Path

    from edgegw.app import run

    return run(Path(config), json_log, verbose, clock)


def _serve_alone(file: str, *, json_log: bool) -> int:
    try:
        return serve(file, json_log=json_log)
    except EdgegwError as fault:
        from edgegw.cli.main import refuse
        from edgegw.cli.settings import Settings

        settings = Settings()
        settings.typed = {"config": file, "json": json_log}
        return refuse(fault, settings, sys.argv[1:])


def _report(kind: type[BaseException], fault: BaseException, trace: Any) -> None:
    from edgegw.cli.main import report_bug

    report_bug(kind, fault, trace)


def _end_before_start(_number: int, _frame: object) -> None:
    """Until the loop runs and hears the signals itself: opening a large store takes seconds, and nothing is accepted yet."""
    sys.exit(EXIT_OK)
