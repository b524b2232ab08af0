"""Samples to files: CSV and JSON lines with the standard library, Parquet where pyarrow is installed (`pip install 'edgegw[parquet]'`).

One line a value: time (RFC 3339, UTC), device, point, value, unit, quality, clock, kind (raw, energy, record or thinned), epoch, seq. Nothing is
rounded, converted or left out; an empty value has its reason in `quality`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import IO, Any

from edgegw.buffer.history import Sample
from edgegw.errors import EXIT_USAGE, EdgegwError
from edgegw.model import Stream

COLUMNS = ("time", "device", "point", "value", "unit", "quality", "clock", "kind", "epoch", "seq")
FORMATS = ("csv", "jsonl", "parquet")
_KINDS = {Stream.ENERGY: "energy", Stream.TELEMETRY: "raw", Stream.RECORD: "record", Stream.THINNED: "thinned"}
# Rows of a Parquet row group: a few megabytes of memory, and groups large enough to compress.
_GROUP_ROWS = 50_000
Progress = Callable[[int], None]


def rfc3339(at_ms: int) -> str:
    """UTC with milliseconds; also for a clock that was years off."""
    seconds, ms = divmod(at_ms, 1000)
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{ms:03}Z"
    except (OverflowError, ValueError, OSError):
        return f"{at_ms} ms"


def fields(sample: Sample) -> dict[str, Any]:
    """One line as names and values."""
    value = sample.value.hex() if isinstance(sample.value, bytes) else sample.value
    return {
        "time": rfc3339(sample.read_at_ms),
        "device": sample.device,
        "point": sample.point,
        "value": value,
        "unit": sample.unit,
        "quality": sample.quality.word,
        "clock": sample.clock.word,
        "kind": _KINDS.get(Stream(sample.stream), "raw"),
        "epoch": f"{sample.epoch:016x}",
        "seq": sample.seq,
    }


def check_format(kind: str) -> None:
    """Before anything is written. Raises EdgegwError E-EXPORT-PARQUET where the extra is missing."""
    if kind == "parquet":
        _pyarrow()


def write(samples: Iterable[Sample], kind: str, out: IO[bytes], progress: Progress) -> int:
    """Writes all samples; returns how many. `progress` is told the count now and then."""
    return {"csv": _write_csv, "jsonl": _write_jsonl, "parquet": _write_parquet}[kind](_counted(samples, progress), out)


def _counted(samples: Iterable[Sample], progress: Progress) -> Iterator[Sample]:
    for number, sample in enumerate(samples, 1):
        if number % 10_000 == 0:
            progress(number)
        yield sample


def _write_csv(samples: Iterator[Sample], out: IO[bytes]) -> int:
    import csv  # noqa: PLC0415 - the daemon knows this module for its names only

    count = 0
    text = _Utf8(out)
    lines = csv.writer(text, lineterminator="\r\n")
    lines.writerow(COLUMNS)
    for count, sample in enumerate(samples, 1):  # noqa: B007 - the number of the last one is the count
        lines.writerow(fields(sample).values())
    return count


def _write_jsonl(samples: Iterator[Sample], out: IO[bytes]) -> int:
    count = 0
    for count, sample in enumerate(samples, 1):  # noqa: B007
        out.write(json.dumps(fields(sample), ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
    return count


def _write_parquet(samples: Iterator[Sample], out: IO[bytes]) -> int:
    pa, parquet = _pyarrow()
    words = {name: pa.string() for name in COLUMNS}
    types = {**words, "time": pa.timestamp("ms", tz="UTC"), "value": pa.float64(), "text": pa.string(), "seq": pa.int64()}
    schema = pa.schema(list(types.items()))
    count = 0
    with parquet.ParquetWriter(out, schema, compression="zstd") as writer:
        while group := list(islice(samples, _GROUP_ROWS)):
            rows = [{**fields(sample), **_parquet_value(sample)} for sample in group]
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))
            count += len(group)
    return count


def _parquet_value(sample: Sample) -> dict[str, Any]:
    """A column has one type: numbers in `value`, everything else in `text`."""
    value = sample.value
    is_number = isinstance(value, (bool, int, float))
    text = None if is_number or value is None else value.hex() if isinstance(value, bytes) else str(value)
    return {"time": sample.read_at_ms, "value": float(value) if isinstance(value, (bool, int, float)) else None, "text": text}


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra that few have
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError as fault:
        step = "pip install 'edgegw[parquet]' into the same environment, or --format csv"
        raise EdgegwError("E-EXPORT-PARQUET", "Parquet needs the extra package pyarrow, which is not installed", step, EXIT_USAGE) from fault
    return pa, parquet


class _Utf8:
    """What csv needs of a text file, on bytes: no second buffer that could be forgotten."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out

    def write(self, text: str) -> int:
        return self._out.write(text.encode())


def open_output(path: Path) -> IO[bytes]:
    """A new file; what is there is not overwritten. Raises EdgegwError E-EXPORT-FILE."""
    try:
        return path.open("xb")
    except OSError as fault:
        raise EdgegwError("E-EXPORT-FILE", f"cannot write {path}: {fault.strerror}", "choose a name with -o that does not exist yet", EXIT_USAGE) from fault
