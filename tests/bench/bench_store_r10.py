"""The store with readings of the reference station under the day's physics: bytes a value in the file, and what a day costs the flash.

Four hours of the day (night, morning, noon, evening), sealed every 10 s, joined and not. Bytes are counted where SQLite writes them, also in its log; the day
is a stretch at the station's own pace (two minutes) and what joining adds to it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.bench.marks import Figure

REPOSITORY = Path(__file__).parent.parent.parent
HOURS = 4.0
LIVE_S = 120.0
DAY_S = 86_400
# 106 values a second.
VALUES_A_DAY = 9_200_000


def measure() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="edgegw-bench-store-") as directory:
        root = Path(directory)
        apart = run(root / "apart", "fill", HOURS, "apart")
        joined = run(root / "joined", "fill", HOURS, "joined")
        yield Figure("P9a", "bytes a value in the file, R10, joined", joined["pages_bytes"] / joined["stored"], "B")
        yield Figure("P9b", "the same, not joined", apart["pages_bytes"] / apart["stored"], "B")
        yield Figure("", "bytes a value in bodies, joined", joined["body_bytes"] / joined["stored"], "B")
        yield Figure("", "the same, not joined (windows of 10 s)", apart["body_bytes"] / apart["stored"], "B")
        live = run(root / "live", "live", LIVE_S, "apart")
        joining_gb = (joined["written_bytes"] - apart["written_bytes"]) / joined["values"] * VALUES_A_DAY / 1e9
        yield Figure("", "values a second at the station's pace", live["values"] / LIVE_S, "1/s")
        yield Figure("", "flash writes a day, R10, joining included (budget 1.5)", live["written_bytes"] / LIVE_S * DAY_S / 1e9 + max(0.0, joining_gb), "GB")
        yield Figure("", "of these by joining", joining_gb, "GB")
        yield Figure("", "syncs a day, R10 (budget 90,000)", live["syncs"] / LIVE_S * DAY_S)


def run(directory: Path, *arguments: object) -> dict[str, Any]:
    directory.mkdir()
    kind, *rest = map(str, arguments)
    command = [sys.executable, "-m", "tests.bench.store_child", kind, str(directory), *rest]
    done = subprocess.run(command, check=True, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found
