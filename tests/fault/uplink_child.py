"""A gateway's store and sender in a process that kills itself at one edge: `python -m tests.fault.uplink_child DIRECTORY PORT FIRST COUNT EDGE`.

Takes COUNT readings of telemetry, COUNT of energy and COUNT alarms, numbered from FIRST, waits until all of it is in the file, and only then begins to send. It
ends when the cloud has confirmed everything, or at its edge by SIGKILL. DIRECTORY is that of the rig (tests/uplink_rig.py), with its keys.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgegw.buffer.store import Buffer
from edgegw.clock import Clock
from edgegw.config.model import Gateway, Store, Uplink
from edgegw.model import ClockTrust, Event, Reading
from edgegw.uplink.delivery import Delivery
from edgegw.uplink.keys import load_uplink_keys
from edgegw.uplink.lanes import Lanes
from edgegw.uplink.mqtt import Link
from edgegw.uplink.receipts import Receipts
from edgegw.uplink.sender import Sender
from tests.unit.buffer_rig import ENERGY, METER, OTHER, source

GATEWAY = Gateway(operator="op", station="st", gateway="gw")


def _any(*_: object) -> bool:
    return True


def _is_batch(delivery: Delivery, mid: int, *_: object) -> bool:
    return delivery.lanes.is_batch(mid)


def _of_lane(*arguments: object) -> bool:
    """Delivery._has_sent of a batch: its last argument is there."""
    return len(arguments) == 6


# Every edge of a batch's way: where it is hooked in, before or behind the call, and which calls count.
EDGES: dict[str, tuple[type, str, bool, Callable[..., bool]]] = {
    "nothing has gone": (Link, "publish", True, _any),
    "with the MQTT client": (Delivery, "_has_sent", False, _of_lane),
    "PUBACK not looked at": (Delivery, "on_puback", True, _is_batch),
    "PUBACK taken": (Delivery, "_free", False, _is_batch),
    "receipt not looked at": (Receipts, "arrive", True, _any),
    "receipt proven": (Receipts, "_tell_store", True, _any),
    "receipt told to the store": (Lanes, "receipted", True, _any),
}
END = "all confirmed"


def _die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hook(edge: str) -> None:
    """From now on the process ends where the edge is."""
    owner, name, before, counts = EDGES[edge]
    original: Callable[..., Any] = getattr(owner, name)

    def hooked(*arguments: Any, **named: Any) -> Any:
        dies = counts(*arguments)
        if dies and before:
            _die()
        found = original(*arguments, **named)
        if dies:
            _die()
        return found

    setattr(owner, name, hooked)


async def run(directory: Path, port: int, numbers: range, edge: str) -> None:
    loop = asyncio.get_running_loop()
    clock = Clock()
    wakers: list[Callable[[frozenset[int]], None]] = []
    # Another source beside them in the second life: the schema of what waits from before is another one.
    layout = (METER, ENERGY) if numbers.start == 1 else (METER, OTHER, source(4), ENERGY)
    store = Buffer.open(
        directory / "store",
        clock,
        Store(window_idle_s=0.05),
        layout,
        ["cloud"],
        lambda streams: [loop.call_soon_threadsafe(waker, streams) for waker in wakers],
    )
    for number in numbers:
        mono_ms = clock.mono_ms()
        readings = [Reading(of, clock.wall_ms(mono_ms), mono_ms, ClockTrust.SYNCHRONISED, (number, 0, number * 31, 4)) for of in (METER, ENERGY)]
        store.accept(readings, [Event("tick", clock.wall_ms(mono_ms), mono_ms, ClockTrust.SYNCHRONISED, None, {"n": number})])
        await asyncio.sleep(0.002)
    while (state := store.status()).queue_readings or state.tail_readings or _waiting(store) < (8 * len(numbers), len(numbers)):  # noqa: ASYNC110 - a file has no event
        await asyncio.sleep(0.02)
    recipient = str(directory / "cloud" / "cloud.pub")
    uplink = Uplink(name="cloud", broker=f"mqtt://127.0.0.1:{port}", recipient_file=recipient, backlog_batches_per_s=0.0, receipt_timeout_s=2.0)
    sender = Sender(uplink, GATEWAY, load_uplink_keys(uplink, str(directory / "state")), store, clock)
    wakers.append(sender.wake)
    if edge in EDGES:
        hook(edge)
    task = asyncio.create_task(sender.run())
    while any(_waiting(store)):  # noqa: ASYNC110 - nor has a cloud
        await asyncio.sleep(0.02)
    if edge == END:
        _die()
    await sender.stop(1.0)
    await task
    store.close()


def _waiting(store: Buffer) -> tuple[int, int]:
    unsent = store.status().unsent["cloud"]
    return unsent.values, unsent.events


if __name__ == "__main__":
    at, port_number, first, count, where = sys.argv[1:]
    asyncio.run(run(Path(at), int(port_number), range(int(first), int(first) + int(count)), where))
