"""A subscriber that only looks: what anyone at the broker can see."""

from __future__ import annotations

import threading

import paho.mqtt.client as paho

SUBSCRIBED_S_MAX = 20.0


class Listened:
    """What one subscriber sees."""

    def __init__(self, client: paho.Client, port: int, topic: str) -> None:
        self._client = client
        self.topics: list[str] = []
        self.payloads: list[bytes] = []
        subscribed = threading.Event()
        client.on_message = self._note
        client.on_subscribe = lambda *_: subscribed.set()
        client.on_connect = lambda *_: client.subscribe(topic, qos=1)
        client.connect("localhost", port)
        client.loop_start()
        assert subscribed.wait(SUBSCRIBED_S_MAX)

    def _note(self, _client: object, _userdata: object, message: paho.MQTTMessage) -> None:
        self.topics.append(message.topic)
        self.payloads.append(bytes(message.payload))

    @property
    def texts(self) -> list[str]:
        return [payload.decode() for payload in self.payloads]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        self._client.on_message = self._client.on_subscribe = self._client.on_connect = None  # freed, and its sockets closed, without a cycle
