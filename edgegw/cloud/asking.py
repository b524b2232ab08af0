"""What a cloud tells a gateway, signed: `edgegw cloud resend` and `edgegw cloud ack`.

A gateway sends by itself whatever has no receipt. `resend` is for what has one and is gone all the same: a database that was restored from an older
copy, a cloud that takes the broker's word. Ranges are named, or they are the holes in what a sink has settled.
"""

from __future__ import annotations

import re
import struct
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from paho.mqtt import MQTTException
from paho.mqtt.enums import MQTTErrorCode

from edgegw.cloud.broker import BrokerAddress, TlsFiles, describe, make_client, parse_broker, start
from edgegw.cloud.sink import open_sink
from edgegw.errors import EXIT_CLOUD, EXIT_OK, EXIT_UNKNOWN, EXIT_USAGE, EdgegwError
from edgegw.model import Identity
from edgegw.uplink.envelope import Command, grouped, sign_command
from edgegw.uplink.keys import load_cloud_keys, load_gateway_publics

RESEND, ACK = "resend", "ack"
COMMAND_TOPIC = "egw/1/{gateway}/d/cmd"
# A gateway that is away for longer than its session lives never hears of it: it is asked again by a person, who sees its event `command`.
_LIFE_MS = 86_400_000
# 400 ranges are below 10 KiB in their widest form; the rest is asked for when these have come.
RANGES_MAX = 400
_ANSWER_S = 20.0
ALARM_ID = re.compile(r"[0-9a-f]{16}-[0-9]{1,12}")
_RANGE = re.compile(r"([0-9a-f]{16}):([1-5]):(\d{1,18})-(\d{1,18})")


def parse_range(text: str) -> Identity:
    """`EPOCH:STREAM:FIRST-LAST`, the epoch as in the sink. Raises EdgegwError."""
    found = _RANGE.fullmatch(text)
    if found is None or not 0 < int(found[3]) <= int(found[4]):
        raise EdgegwError("E-CLOUD-RANGE", f'"{text}" is no EPOCH:STREAM:FIRST-LAST', "take epoch, stream and sequences from the sink", EXIT_USAGE)
    return Identity(int(found[1], 16), int(found[2]), int(found[3]), int(found[4]))


def holes(sink_url: str, gateway: str) -> list[Identity]:
    """What a sink has not settled between the first and the last sequence of each stream that it knows."""
    sink = open_sink(sink_url)
    try:
        return sink.holes(gateway)
    finally:
        sink.close()


class Way(NamedTuple):
    """To one gateway, and with which keys."""

    broker: str
    keys_dir: str
    gateway: str
    files: TlsFiles
    topic: str = COMMAND_TOPIC

    def check(self) -> None:
        """Raises EdgegwError for a gateway that is not enrolled."""
        if self.gateway not in {known.gateway for known in load_gateway_publics(Path(self.keys_dir)).values()}:
            raise EdgegwError("E-KEY-GATEWAY", f"no key of {self.gateway} in {self.keys_dir}/gateways", "name a gateway that is enrolled", EXIT_UNKNOWN)

    def order(self, name: str, arguments: Sequence[object], *, at_ms: int | None = None) -> str:
        """Signs a command and hands it to the broker; returns what was wrong, empty when nothing. The counter is the time of day in ms."""
        now_ms = time.time_ns() // 1_000_000
        command = Command(self.gateway, now_ms, now_ms if at_ms is None else at_ms, now_ms + _LIFE_MS, name, arguments)
        message = sign_command(command, load_cloud_keys(self.keys_dir).sign)
        return publish(parse_broker(self.broker), self.files, self.topic.replace("{gateway}", self.gateway), message)


def resend(  # noqa: PLR0913 - the command's options, one each
    *, broker: str, keys_dir: str, gateway: str, files: TlsFiles, ranges: Sequence[str] = (), sink: str = "", topic: str = COMMAND_TOPIC
) -> int:
    """The command. Says what it asked for; returns the exit code. Raises EdgegwError."""
    way = Way(broker, keys_dir, gateway, files, topic)
    way.check()
    intervals = [*map(parse_range, ranges), *(holes(sink, gateway) if sink else [])]
    if not intervals:
        sys.stdout.write(f"{sink or gateway} lacks nothing of {gateway}.\n")
        return EXIT_OK
    asked = intervals[:RANGES_MAX]
    fault = way.order(RESEND, grouped(asked))
    if fault:
        sys.stderr.write(f"broker {broker}: {fault}\n")
        return EXIT_CLOUD
    for one in asked:
        sys.stdout.write(f"{one.epoch:016x}:{one.stream}:{one.first}-{one.last}\n")
    more = f"; {len(intervals) - len(asked)} more ranges later" if len(intervals) > len(asked) else ""
    sys.stdout.write(f"Asked {gateway} for {len(asked)} ranges{more}. Its event `command` tells what came of it.\n")
    return EXIT_OK


def acknowledge(way: Way, alarm_id: str, by: str, note: str) -> int:
    """The command: somebody in the control room looks after an alarm. Returns the exit code. Raises EdgegwError."""
    if not ALARM_ID.fullmatch(alarm_id):
        raise EdgegwError("E-CLOUD-ALARM", f'"{alarm_id}" is no id of an alarm', "take it from the event: 16 digits and letters a-f, -, a number", EXIT_USAGE)
    way.check()
    fault = way.order(ACK, (alarm_id, by, note))
    if fault:
        sys.stderr.write(f"broker {way.broker}: {fault}\n")
        return EXIT_CLOUD
    sys.stdout.write(f"Told {way.gateway}: {alarm_id} is acknowledged by {by}. Its event `command` tells what came of it.\n")
    return EXIT_OK


def publish(address: BrokerAddress, files: TlsFiles, topic: str, message: bytes) -> str:
    """One message, QoS 1, acknowledged; returns what was wrong, empty when nothing. MQTT 5, then 3.1.1."""
    fault = ""
    for mqtt5 in (True, False):
        fault = _published(address, files, topic, message, mqtt5=mqtt5)
        if not fault:
            break
    return fault


def _published(address: BrokerAddress, files: TlsFiles, topic: str, message: bytes, *, mqtt5: bool) -> str:
    client = make_client(address, f"egw-asks-{time.time_ns() % 10**9}", files, mqtt5=mqtt5)
    said: dict[str, Any] = {}
    client.on_connect = lambda _client, _data, _flags, code, _properties: said.update(connack=code)
    client.on_publish = lambda _client, _data, _mid, code, _properties: said.update(puback=code)
    ends_s = time.monotonic() + _ANSWER_S
    sent = False
    try:
        start(client, address, mqtt5=mqtt5)
        while "puback" not in said and time.monotonic() < ends_s:
            if client.loop(0.1) != MQTTErrorCode.MQTT_ERR_SUCCESS or ("connack" in said and said["connack"].is_failure):
                break
            if "connack" in said and not sent:
                client.publish(topic, message, qos=1)
                sent = True
        client.disconnect()
    except (OSError, MQTTException, ValueError, LookupError, struct.error) as fault:
        return describe(fault)
    finally:
        client.on_connect = client.on_publish = None
    if "puback" in said:
        return f"refuses {topic}: {said['puback']}" if said["puback"].is_failure else ""
    return f"refuses the login: {said['connack']}" if "connack" in said and said["connack"].is_failure else "no answer in time"
