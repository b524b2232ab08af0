"""30 days of outage of the reference station on a tmpfs of 64 MB that another program fills for half of them: within the limit, the ledger exact.  [DAYS]

Fed as fast as the writer takes it. Where this machine may not mount a tmpfs, a limit of 32 MiB for the store's file stands in, without the other program.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

DAYS = 30.0
CAP_MIB = 32


def main(arguments: list[str]) -> int:
    from edgegw.buffer import writer
    from tests.fault.full_run import outage, small_disk

    logging.getLogger("edgegw").setLevel(logging.CRITICAL)
    # Days pass in minutes here: so does the time between two tries of a full disk.
    writer.RETRY_S = 0.1
    days = float(arguments[0]) if arguments else DAYS
    with tempfile.TemporaryDirectory(prefix="edgegw-full-") as directory, small_disk(Path(directory) / "disk") as mounted:
        print(f"{'a tmpfs of 64 MB, filled by another program' if mounted else f'no right to mount: a limit of {CAP_MIB} MiB'}", flush=True)
        found = outage(Path(directory) / "disk", days, cap_mib=0 if mounted else CAP_MIB, others=mounted, progress=progress())
    print(found.line())
    good = found.is_exact and found.bytes_seen_max <= found.bytes_max and found.filled == mounted
    print("the ledger is exact" if found.is_exact else "THE LEDGER IS NOT EXACT")
    return 0 if good else 1


def progress() -> Callable[[float], None]:
    last = [0]

    def told(share: float) -> None:
        if int(share * 20) > last[0]:
            last[0] = int(share * 20)
            print(f"soak full: {100 * share:.0f} %", file=sys.stderr, flush=True)

    return told
