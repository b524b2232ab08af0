"""`edgegw cloud receive --file`: a parcel that came on a stick into the sink, and the receipts that go back on it.

parcel ─► open, verify ─► deduplicate ─► sink (one transaction for a group) ─► receipts, after the last commit
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO

from edgegw.cloud.debts import Debts, receipts
from edgegw.cloud.intake import Intake
from edgegw.cloud.opening import Keyring
from edgegw.cloud.sink import Sink, SinkError, open_sink
from edgegw.errors import EXIT_OK, EXIT_STORE, EXIT_USAGE, EXIT_WARNINGS, EdgegwError
from edgegw.uplink.keys import CloudKeys, load_cloud_keys
from edgegw.uplink.parcel import ANSWER, PARCEL, Frames, read_frames

GROUP_MAX = 64
RECEIPT_SUFFIX = ".receipt"
# The topic of what came on none: the signed header tells everything.
_NO_TOPIC = "by hand"


def receive_file(*, file: str, keys_dir: str, sink: str, receipt_file: str = "") -> int:
    """The command. Writes receipts for what is stored beside the parcel; returns the exit code. Raises EdgegwError."""
    keys = load_cloud_keys(keys_dir)
    target = Path(receipt_file or file + RECEIPT_SUFFIX)
    opened = open_sink(sink)
    debts, cut = Debts(), None
    try:
        intake = Intake(Keyring(keys, Path(keys_dir)), opened)
        with Path(file).open("rb") as parcel:
            cut = _take(read_frames(parcel, PARCEL, file), intake, opened, debts)
    except OSError as fault:
        raise EdgegwError("E-PARCEL-FILE", f"cannot read {file}: {fault.strerror}", "check the path", EXIT_USAGE) from fault
    except SinkError as fault:
        raise EdgegwError("E-SINK", f"the sink cannot be written: {fault}", "nothing of it is receipted; mend the sink, and again", EXIT_STORE) from fault
    finally:
        opened.close()
    written = _write(target, debts, keys)
    sys.stdout.write(f"{intake.received} messages, {intake.repeated} known already, {intake.refused} refused; {written} receipts in {target}\n")
    if cut is not None:
        sys.stderr.write(f"{cut}\n")
        return cut.exit_code
    return EXIT_WARNINGS if intake.refused else EXIT_OK


def _take(messages: Iterator[bytes], intake: Intake, sink: Sink, debts: Debts) -> EdgegwError | None:
    """Returns what was wrong with the file behind the last good message. What is in no transaction any more is committed and owed."""
    cut: EdgegwError | None = None
    while True:
        group: list[bytes] = []
        try:
            for message in islice(messages, GROUP_MAX):
                group.append(message)  # noqa: PERF402 - what came before a cut stays
        except EdgegwError as fault:
            if fault.message_id != "E-PARCEL-CUT":
                raise
            cut = fault
        if not group:
            return cut
        now_ms = time.time_ns() // 1_000_000
        sink.begin()
        taken = [item for message in group for item in intake.take(_NO_TOPIC, message, now_ms)]
        sink.commit()
        for item in taken:
            debts.owe(item.gateway, item.identity)


def _write(target: Path, debts: Debts, keys: CloudKeys) -> int:
    """All receipts, written whole before they bear the name."""
    half = target.with_name(target.name + ".half")
    try:
        with half.open("wb") as out:
            count = _frames(out, debts, keys)
            os.fsync(out.fileno())
        half.replace(target)
    except OSError as fault:
        raise EdgegwError("E-PARCEL-FILE", f"cannot write {target}: {fault.strerror}", "name another place with --receipt-file", EXIT_USAGE) from fault
    return count


def _frames(out: IO[bytes], debts: Debts, keys: CloudKeys) -> int:
    frames = Frames(out, ANSWER)
    now_ms = time.time_ns() // 1_000_000
    for gateway in debts.due(only_urgent=False):
        for message, _ in receipts(gateway, debts.pay(gateway), now_ms, keys.sign):
            frames.add(message)
    frames.end()
    return frames.messages
