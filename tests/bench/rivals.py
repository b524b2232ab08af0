"""Other gateways on the same work, where they are installed: poll, (store,) publish with QoS 1 to a broker without TLS. Each as its documents tell to set it up.

    ThingsBoard IoT Gateway   EDGEGW_BENCH_THINGSBOARD   the python of a venv with thingsboard-gateway and pymodbus 3.9.2; range tag, sqlite store
    Node-RED                  EDGEGW_BENCH_NODE_RED      a folder with node_modules/node-red and node-red-contrib-modbus, and bin/node or node on the path; no store
    collectd                  EDGEGW_BENCH_COLLECTD      the program; plugins modbus (one request a register, all it knows) and mqtt; no store

None of them encrypts, signs, has rules or proof of delivery here: what edgegw does beside them is not taken off its figure.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.bench.modbus_server import REGISTERS

REGISTER_NAMES = [f"string.{number + 1}.current" for number in range(REGISTERS)]


class Rival(NamedTuple):
    """One of them, as it is installed here."""

    name: str
    write: Callable[[Path, Sequence[int], int], list[str]]
    """From (its folder, ports of the devices, port of the broker) to its command; writes its configuration."""
    values_of: Callable[[bytes], int]
    """How many values a payload has."""


def installed() -> list[Rival]:
    """Those whose variables are set."""
    return [rival for variable, rival in _RIVALS.items() if os.environ.get(variable)]


# -- ThingsBoard IoT Gateway


def _write_thingsboard(folder: Path, ports: Sequence[int], broker_port: int) -> list[str]:
    settings = {
        "thingsboard": {
            "host": "127.0.0.1",
            "port": broker_port,
            "remoteShell": False,
            "remoteConfiguration": False,
            "statistics": {"enable": False},
            "deviceFiltering": {"enable": False},
            "checkingDeviceActivity": {"checkDeviceInactivity": False},
            "security": {"type": "accessToken", "accessToken": "bench"},
            "qos": 1,
            "reportStrategy": {"type": "ON_RECEIVED"},
            **dict.fromkeys(("rateLimits", "dpRateLimits", "messagesRateLimits", "deviceMessagesRateLimits", "deviceRateLimits", "deviceDpRateLimits"), "0:0,"),
        },
        "storage": {"type": "sqlite", "data_file_path": f"{folder}/data/", "messages_ttl_check_in_hours": 1, "messages_ttl_in_days": 7},
        "grpc": {"enabled": False},
        "connectors": [{"type": "modbus", "name": "modbus", "configuration": "modbus.json"}],
    }
    slaves = [
        {
            "host": "127.0.0.1",
            "port": port,
            "type": "tcp",
            "method": "socket",
            "unitId": 1,
            "deviceName": f"D-{number}",
            "deviceType": "default",
            "timeout": 5,
            "byteOrder": "BIG",
            "wordOrder": "BIG",
            "retries": 1,
            "pollPeriod": 1000,
            "connectAttemptTimeMs": 1000,
            "connectAttemptCount": 5,
            "waitAfterFailedAttemptsMs": 5000,
            "attributes": [],
            "timeseries": [{"tag": "r${address}", "type": "16uint", "functionCode": 3, "objectsCount": 1, "address": f"0-{REGISTERS - 1}"}],
            "attributeUpdates": [],
            "rpc": [],
        }
        for number, port in enumerate(ports, 1)
    ]
    (folder / "data").mkdir()
    (folder / "logs").mkdir()
    (folder / "tb_gateway.json").write_text(json.dumps(settings))
    (folder / "modbus.json").write_text(json.dumps({"master": {"slaves": slaves}}))
    logs = {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"none": {"class": "logging.NullHandler"}},
        "root": {"level": "ERROR", "handlers": ["none"]},
    }
    (folder / "logs.json").write_text(json.dumps(logs))
    return ["/usr/bin/env", f"TB_GW_CONFIG_DIR={folder}/", os.environ["EDGEGW_BENCH_THINGSBOARD"], "-m", "thingsboard_gateway.tb_gateway"]


def platform_answer(topic: str) -> tuple[str, str] | None:
    """(topic, payload) with which its platform answers the first question, without which ThingsBoard's gateway sends nothing: there are no limits."""
    asked = "v1/devices/me/rpc/request/"
    none = {"messages": "", "telemetryMessages": "", "telemetryDataPoints": ""}
    limits = {"maxPayloadSize": 65536, "maxInflightMessages": 100, "rateLimits": none, "gatewayRateLimits": none}
    return (topic.replace("request", "response"), json.dumps(limits)) if topic.startswith(asked) else None


def _thingsboard_values(payload: bytes) -> int:
    told = json.loads(payload)
    return sum(len(row.get("values", row)) for rows in told.values() if isinstance(rows, list) for row in rows)


# -- Node-RED


def _write_node_red(folder: Path, ports: Sequence[int], broker_port: int) -> list[str]:
    base = Path(os.environ["EDGEGW_BENCH_NODE_RED"])
    broker = {
        "id": "broker",
        "type": "mqtt-broker",
        "broker": "127.0.0.1",
        "port": str(broker_port),
        "clientid": "bench",
        "keepalive": "60",
        "protocolVersion": "4",
    }
    code = "const values = {};\nfor (let i = 0; i < msg.payload.length; i++) values['r' + i] = msg.payload[i];\nreturn {topic: msg.topic, payload: {ts: Date.now(), values}};"
    flow: list[dict[str, object]] = [
        {"id": "tab", "type": "tab", "label": "bench"},
        broker,
        {"id": "out", "type": "mqtt out", "z": "tab", "topic": "", "qos": "1", "broker": "broker", "wires": []},
        {"id": "shape", "type": "function", "z": "tab", "func": code, "outputs": 1, "wires": [["out"]]},
    ]
    for number, port in enumerate(ports, 1):
        client = {"id": f"client{number}", "type": "modbus-client", "clienttype": "tcp", "tcpHost": "127.0.0.1", "tcpPort": str(port), "tcpType": "DEFAULT"}
        client |= {"bufferCommands": True, "unit_id": 1, "commandDelay": 1, "clientTimeout": 1000, "reconnectOnTimeout": True, "reconnectTimeout": 2000}
        read = {
            "id": f"read{number}",
            "type": "modbus-read",
            "z": "tab",
            "topic": f"bench/D-{number}",
            "unitid": "1",
            "dataType": "HoldingRegister",
            "adr": "0",
        }
        read |= {"quantity": str(REGISTERS), "rate": "1", "rateUnit": "s", "server": f"client{number}", "showStatusActivities": False, "wires": [["shape"], []]}
        flow += [client | {"parallelUnitIdsAllowed": True, "showLogs": False, "showWarnings": False}, read]
    (folder / "flows.json").write_text(json.dumps(flow))
    (folder / "package.json").write_text('{"name": "bench", "version": "1.0.0"}')
    (folder / "node_modules").symlink_to(base / "node_modules")
    (folder / "settings.js").write_text(
        'module.exports = {uiHost: "127.0.0.1", uiPort: 0, httpAdminRoot: false, httpNodeRoot: false, logging: {console: {level: "off"}}};\n'
    )
    node = str(base / "bin" / "node") if (base / "bin" / "node").exists() else shutil.which("node") or "node"
    return [node, str(base / "node_modules/node-red/red.js"), "--userDir", str(folder), "--settings", str(folder / "settings.js"), str(folder / "flows.json")]


def _node_red_values(payload: bytes) -> int:
    return len(json.loads(payload)["values"])


# -- collectd


def _write_collectd(folder: Path, ports: Sequence[int], broker_port: int) -> list[str]:
    datas = "\n".join(
        f'  <Data "{name}">\n    RegisterBase {i}\n    RegisterType uint16\n    Type gauge\n    Instance "{name}"\n  </Data>'
        for i, name in enumerate(REGISTER_NAMES)
    )
    collects = "\n".join(f'      Collect "{name}"' for name in REGISTER_NAMES)
    hosts = "\n".join(
        f'  <Host "D-{number}">\n    Address "127.0.0.1"\n    Port "{port}"\n    Interval 1\n    <Slave 1>\n      Instance "meter"\n{collects}\n    </Slave>\n  </Host>'
        for number, port in enumerate(ports, 1)
    )
    mqtt = f'  <Publish "bench">\n    Host "127.0.0.1"\n    Port {broker_port}\n    ClientId "bench"\n    QoS 1\n    Prefix "bench"\n  </Publish>'
    head = f'Hostname "bench"\nFQDNLookup false\nInterval 1\nBaseDir "{folder}"\nPIDFile "{folder}/pid"\nTypesDB "/usr/share/collectd/types.db"\n'
    (folder / "collectd.conf").write_text(
        f"{head}LoadPlugin modbus\nLoadPlugin mqtt\n<Plugin modbus>\n{datas}\n{hosts}\n</Plugin>\n<Plugin mqtt>\n{mqtt}\n</Plugin>\n"
    )
    return [os.environ["EDGEGW_BENCH_COLLECTD"], "-f", "-C", str(folder / "collectd.conf")]


def _collectd_values(payload: bytes) -> int:
    return payload.count(b":")


_RIVALS = {
    "EDGEGW_BENCH_THINGSBOARD": Rival("ThingsBoard", _write_thingsboard, _thingsboard_values),
    "EDGEGW_BENCH_NODE_RED": Rival("Node-RED", _write_node_red, _node_red_values),
    "EDGEGW_BENCH_COLLECTD": Rival("collectd", _write_collectd, _collectd_values),
}


def start(rival: Rival, folder: Path, ports: Sequence[int], broker_port: int) -> subprocess.Popen[bytes]:
    """Its process; what it prints goes to `out` in its folder."""
    folder.mkdir()
    command = rival.write(folder, ports, broker_port)
    with (folder / "out").open("wb") as out:
        return subprocess.Popen(command, cwd=folder, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
