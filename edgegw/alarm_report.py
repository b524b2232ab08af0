"""The report of an alarm: what its device and what its rule looks at read in the minute before it and the minute after, for who was not there.

    {id, number, rule, level, point, around_ms, from_ms, to_ms, series: [...], left_out, bus, uplinks}
    series = {device, point, unit, samples: [[dt_ms, value] or [dt_ms, value, quality]], of}

`dt_ms` counts from the raise, before it is negative; values are in `unit`, as they were stored; `quality` is its word, and is left away where it is
good. A value that stays is given at its first and its last reading. What would make the report too large for one message is thinned, most of all
far from the raise and on points that the rule does not name; `of` is the number of readings that there were, `left_out` the points of which
none is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from edgegw.buffer.history import Reader, Sample, Span
from edgegw.model import Quality
from edgegw.rules.consequences import REPORT_SPAN_MS, Order

# An event is stored and sent with at most 8 KiB; the rest is for its labels.
REPORT_BYTES_MAX: Final = 7 * 1024
# Samples of one point that the rule does not name: the report is tried with the first, then with the next smaller one.
_SAMPLES: Final = (60, 40, 24, 12, 6, 3)
# Of those that it names, so many times more.
_NAMED_TIMES: Final = 4
# Of a bus that fell silent the first devices tell as much as all.
DEVICES_MAX: Final = 8

Series = dict[str, Any]


def take_samples(path: Path, order: Order, devices: Sequence[str]) -> list[Sample]:
    """What the store has of these devices and of the points that the rule names. Blocking. Raises EdgegwError E-STORE-OPEN, E-STORE-PAGE."""
    from_ms, to_ms = order.around_ms - REPORT_SPAN_MS, order.around_ms + REPORT_SPAN_MS
    spans = [Span(from_ms, to_ms, device) for device in devices[:DEVICES_MAX]]
    spans += [Span(from_ms, to_ms, device, point) for device, point in order.named if device not in devices]
    with Reader(path) as reader:
        return [sample for span in spans for sample in reader.samples(span) if not sample.is_thinned]


def make_body(order: Order, samples: Iterable[Sample], bus: Mapping[str, object] | None, uplinks: Sequence[Mapping[str, object]]) -> dict[str, object]:
    """The record's body, at most `REPORT_BYTES_MAX` packed."""
    whole = _by_point(samples)
    named = [(order.device or "", order.point), *order.named]
    keys = sorted(whole, key=lambda key: (named.index(key) if key in named else len(named), key))
    head: dict[str, object] = {
        "id": order.alarm_id,
        "number": order.number,
        "rule": order.rule,
        "level": order.level,
        "point": order.point,
        "around_ms": order.around_ms,
        "from_ms": order.around_ms - REPORT_SPAN_MS,
        "to_ms": order.around_ms + REPORT_SPAN_MS,
        "bus": dict(bus) if bus else None,
        "uplinks": [dict(uplink) for uplink in uplinks],
    }
    for most in _SAMPLES:
        series = [_series(whole[key], order.around_ms, _NAMED_TIMES * most if key in named else most) for key in keys]
        body = {**head, "series": series, "left_out": 0}
        if _size(body) <= REPORT_BYTES_MAX:
            return body
    while series and _size({**head, "series": series, "left_out": len(keys)}) > REPORT_BYTES_MAX:
        series.pop()
    return {**head, "series": series, "left_out": len(keys) - len(series)}


def _size(body: dict[str, object]) -> int:
    return len(msgspec.msgpack.encode(body))


def _by_point(samples: Iterable[Sample]) -> dict[tuple[str, str], list[Sample]]:
    """One may come twice while its block is sealed; two polls may read one point."""
    found: dict[tuple[str, str], dict[tuple[int, int, int], Sample]] = {}
    for sample in samples:
        found.setdefault((sample.device, sample.point), {})[sample.read_at_ms, sample.epoch, sample.seq] = sample
    return {key: [by_time[at] for at in sorted(by_time)] for key, by_time in found.items()}


def _series(samples: Sequence[Sample], around_ms: int, most: int) -> Series:
    shown = nearest(changes(samples), around_ms, most)
    return {
        "device": samples[0].device,
        "point": samples[0].point,
        "unit": samples[0].unit,
        "samples": [[s.read_at_ms - around_ms, s.value, *([] if s.quality is Quality.GOOD else [s.quality.word])] for s in shown],
        "of": len(samples),
    }


def changes(samples: Sequence[Sample]) -> list[Sample]:
    """Of values that stay the first and the last."""
    said = [(sample.value, sample.quality) for sample in samples]
    last = len(samples) - 1
    return [sample for k, sample in enumerate(samples) if k in (0, last) or said[k] != said[k - 1] or said[k] != said[k + 1]]


def nearest(samples: Sequence[Sample], around_ms: int, most: int) -> list[Sample]:
    """At most so many: the first, the last, half of the rest beside the raise, the others evenly."""
    if len(samples) <= most:
        return list(samples)
    near = sorted(range(len(samples)), key=lambda k: abs(samples[k].read_at_ms - around_ms))[: most // 2]
    others = most - most // 2
    even = {round(k * (len(samples) - 1) / (others - 1)) for k in range(others)} if others > 1 else {0}
    return [samples[k] for k in sorted({*near, *even})]
