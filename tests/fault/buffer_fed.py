"""A process that feeds a buffer and drains it as an uplink would: `python -m tests.fault.buffer_fed DIRECTORY`.

Reading number n holds n in its first value; every twentieth call brings the event n as well. One JSON line for each batch that is handed
out, with the numbers in it and whether it was stored; nothing is confirmed. Ends on a line at stdin.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

from edgegw.block import decode_block, decode_events
from edgegw.buffer import writer
from edgegw.model import Batch, Stream
from tests.unit.buffer_rig import METER, UPLINK, Rig, event, is_stored, reading

PAUSE_S = 0.02


async def main() -> None:
    writer.RETRY_S = 0.3
    rig = Rig(Path(sys.argv[1]), [METER], window_idle_s=0.2)
    accepted: dict[int, float] = {}
    ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    draining = asyncio.create_task(drain(rig, accepted))
    number = 0
    while not ended.done():
        number += 1
        events = [event("tick", number, n=number)] if number % 20 == 0 else []
        if events:
            accepted[number] = time.monotonic()
        rig.buffer.accept([reading(METER, number, (number, 0, 0, 0))], events)
        await asyncio.sleep(PAUSE_S)
    tell({"last": number, "fault": rig.buffer.status().last_error, "dropped": rig.buffer.status().dropped_readings})
    rig.buffer.seal_soon(0)
    await asyncio.sleep(0.5)
    draining.cancel()
    rig.buffer.close()


async def drain(rig: Rig, accepted: dict[int, float]) -> None:
    after = {Stream.EVENT: 0, Stream.TELEMETRY: 0}
    while True:
        for stream, number in after.items():
            batch = await rig.buffer.next_batch(UPLINK, [stream], number)
            if batch is not None:
                after[stream] = batch.block_id
                tell(_told(batch, accepted))
        await asyncio.sleep(PAUSE_S)


def _told(batch: Batch, accepted: dict[int, float]) -> dict[str, object]:
    told: dict[str, object] = {"stream": batch.identity.stream, "first": batch.identity.first, "last": batch.identity.last, "stored": is_stored(batch)}
    if batch.identity.stream == Stream.EVENT:
        numbers = [one.body["n"] for one in decode_events(batch.body) if "n" in one.body]
        told["after_s"] = [time.monotonic() - accepted[number] for number in numbers]
    else:
        numbers = [row.values[0] for row in decode_block(batch.body, batch.identity.first)[1]]
    return {**told, "numbers": numbers}


def tell(line: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
