"""A raw MQTT subscriber for benches: what the broker hands out, with the moment at which it came, so that no receiver's own pace is measured."""

from __future__ import annotations

import time
from types import TracebackType
from typing import NamedTuple, Self

import paho.mqtt.client as paho

from edgegw.cli.rig import IDENTITY, Rig, wait_for


class Heard(NamedTuple):
    """One message."""

    at_s: float
    """Of `time.perf_counter()`."""
    lane: str
    """Last part of the topic: e, n, t, h, m or s."""
    payload_bytes: int


class Subscriber:
    """Hears everything that the gateway of a rig publishes, with the certificate of its receiver."""

    def __init__(self, rig: Rig) -> None:
        pki = rig.directory / "pki"
        self.heard: list[Heard] = []
        self._ready = False
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self._client.tls_set(str(pki / "ca.crt"), str(pki / "receiver.crt"), str(pki / "receiver.key"))
        self._client.on_message = self._on_message
        self._client.on_subscribe = self._on_subscribe
        self._client.connect("localhost", rig.broker_port)
        self._client.subscribe(f"egw/1/{IDENTITY}/+", 1)

    def __enter__(self) -> Self:
        self._client.loop_start()
        wait_for("the subscription", lambda: self._ready)
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def first_s(self, lanes: str, since_s: float) -> float:
        """From `since_s` to the first message of one of these lanes; waits for it."""
        found: Heard = wait_for(f"a message on {lanes}", lambda: next((one for one in self.heard if one.lane in lanes and one.at_s > since_s), None))
        return found.at_s - since_s

    def bytes_of(self, lanes: str, since_s: float, until_s: float) -> int:
        """Payload of the messages of these lanes."""
        return sum(one.payload_bytes for one in self.heard if one.lane in lanes and since_s < one.at_s <= until_s)

    def _on_message(self, _client: object, _userdata: object, message: paho.MQTTMessage) -> None:
        self.heard.append(Heard(time.perf_counter(), message.topic.rpartition("/")[2], len(message.payload)))

    def _on_subscribe(self, *_: object) -> None:
        self._ready = True
