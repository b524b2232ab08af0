"""What the command line's tests talk to: a real control server with the answers of a station, and the command as a process."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from edgegw.control.server import ControlServer
from edgegw.errors import EdgegwError

WAIT_S = 20.0

STATUS: dict[str, Any] = {
    "gateway": "WHPARK/GG2/GW-4201-0007",
    "name": "光谷二号充电站",
    "version": "1.0.0",
    "uptime_s": 12 * 86400 + 4 * 3600,
    "overall": "warn",
    "clock": {"trust": "synchronised", "offset_ms": 2},
    "uplinks": [
        {"name": "main", "broker": "mqtts://mq.example.cn:8883", "state": "online", "connected": True, "last_receipt_age_s": 3.2, "in_flight": 1, "error": None},
        {
            "name": "second",
            "broker": "mqtts://a-very-long-name-of-a-broker.example.cn:8883",
            "state": "waiting",
            "connected": False,
            "last_receipt_age_s": None,
            "in_flight": 0,
            "error": {"id": "E-NET-DNS", "text": "the name a-very-long-name-of-a-broker.example.cn does not resolve"},
        },
    ],
    "buffer": {"state": "ok", "values_waiting": 142, "oldest_age_s": 4.0, "file_bytes": 3_250_000, "error": None},
    "buses": [
        {"name": "rs485a", "line": "9600 8E1", "devices": 12, "online": 11, "offline": 1, "requests_per_s": 9.8, "error_percent": 1.4, "p95_ms": 61},
        {"name": "lan", "line": "TCP", "devices": 5, "online": 5, "offline": 0, "requests_per_s": 6.0, "error_percent": None, "p95_ms": None},
    ],
    "alarms": [
        {"number": 1042, "id": "a", "for_s": 432, "level": "major", "device": "AC-07", "point": "", "text": "设备离线", "value": None, "unit": "", "limit": None},
        {"number": 1043, "id": "b", "for_s": 8000, "level": "minor", "device": "M-01", "point": "phase_voltage.a", "text": "相电压过高，请检查变压器分接头位置以及三相负荷是否平衡", "value": 241.25, "unit": "V", "limit": 235.4},
    ],
}  # fmt: skip


def value(point: str, number: Any, unit: str, quality: str = "good", age_s: float | None = 0.4, **more: Any) -> dict[str, Any]:
    common = {"device": "DC-01", "time": "2026-11-20T12:41:07.120Z", "time_trusted": True, "raw": None, "address": None, "period_s": 1.0}
    return {**common, "point": point, "value": number, "unit": unit, "quality": quality, "age_s": age_s, **more}


VALUES = [
    value("gun1.state", 3, "1"),
    value("gun1.voltage", 412.3, "V", raw="101B", address=40003),
    value("gun1.current", 118.6, "A", age_s=200.0),
    value("gun2.temp", None, "C", "not fitted"),
    value("meter.with.a.long.name.energy.import", 18234.56, "kWh", "suspect", raw="001B D2E0 " * 5, address=40201),
]


async def _status(_: dict[str, Any]) -> object:
    return STATUS


async def _read(args: dict[str, Any]) -> object:
    if args["device"] == "SILENT":
        values = [value("gun1.voltage", None, "V", "offline")]
    elif args["device"] == "GOOD":
        values = VALUES[:2]
    elif args["device"] == "SLOW":
        await asyncio.Event().wait()
    elif args["device"] != "DC-01":
        raise EdgegwError("E-DEVICE", f'no device "{args["device"]}"', "edgegw status", 4)
    else:
        values = [found for found in VALUES if not args["points"] or found["point"] in args["points"]]
    device = {"code": args["device"], "name": "120 kW 直流桩", "profile": "acme-dc120", "bus": "rs485a", "unit": 1}
    return {"values": values, "device": device, "requests": 4 if args["fresh"] else 0, "milliseconds": 212}


@contextmanager
def daemon(path: Path, **more: Any) -> Iterator[Path]:
    """`more` answers further questions, by their names."""
    with closing(asyncio.new_event_loop()) as loop:
        server = ControlServer(path, {"status": _status, "read": _read, **more}, gateway=STATUS["gateway"], language="zh")
        loop.run_until_complete(server.start())
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        try:
            yield path
        finally:
            asyncio.run_coroutine_threadsafe(server.close(), loop).result(WAIT_S)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(WAIT_S)


def edgegw(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command as a process of its own, in an environment that says nothing of language or colour."""
    kept = {name: found for name, found in os.environ.items() if not name.startswith(("EDGEGW_", "LC_", "LANG", "NO_COLOR"))}
    environment = {**kept, "LC_ALL": "C.UTF-8", "TZ": "Asia/Shanghai", **variables}
    command = [sys.executable, "-m", "edgegw", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, encoding="utf-8", timeout=WAIT_S, check=False)
