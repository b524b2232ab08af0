"""The receiver: takes batches from the broker, stores each reading once, answers with signed receipts. Needs none of the daemon.

    broker ─► open, verify ─► deduplicate ─► sink (one transaction for a group) ─► PUBACK ─► receipt

One thread. The broker gets its PUBACK after the commit and keeps the session while the receiver is away; what is lost all the same is
sent again by its gateway, which waits for the receipt.
"""

from __future__ import annotations

import logging
import signal
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import paho.mqtt.client as paho
from paho.mqtt import MQTTException
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edgegw.cloud.broker import BrokerAddress, describe, make_client, parse_broker, start
from edgegw.cloud.debts import RECEIPT_TOPIC, Debts, receipts, topic_of
from edgegw.cloud.intake import Intake, Taken
from edgegw.cloud.opening import Keyring
from edgegw.cloud.sink import Sink, SinkError, open_sink
from edgegw.errors import EXIT_OK, EdgegwError
from edgegw.model import Identity
from edgegw.uplink.envelope import key_id
from edgegw.uplink.keys import load_cloud_keys

logger = logging.getLogger("edgegw.cloud")

DEFAULT_RECEIPT_INTERVAL_S = 5.0
# A commit costs a sync of the disk: messages that came together share one.
GROUP_MAX = 64
GROUP_WAIT_S = 0.002
# Longest wait for the network: a stop is seen this soon.
_SELECT_S = 0.1
_RETRY_S = 1.0
# A refused login or topic, or a sink that fails, stays so until a person acts.
_REFUSED_RETRY_S = 10.0
# A broker that takes the connection and says nothing.
CONNACK_TIMEOUT_S = 20.0
_TOPIC_KINDS = "enthm"
_UNSUPPORTED_PROTOCOL = 0x84


class ReceiverOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a receiver is started with."""

    broker: str
    keys_dir: str
    sink: str
    ca: str = ""
    cert: str = ""
    cert_key: str = ""
    receipt_interval_s: float = DEFAULT_RECEIPT_INTERVAL_S
    share: str = ""
    """Name of a shared subscription, where several receivers divide the work on one sink; each needs its own client_id."""
    client_id: str = ""
    topic: str = ""
    """A further topic filter, for gateways with topics of another layout."""
    receipt_topic: str = RECEIPT_TOPIC
    connack_timeout_s: float = CONNACK_TIMEOUT_S


class Receiver:
    """Runs until `stop`, which may be called from anywhere. Raises EdgegwError at once where keys, sink or address cannot be used."""

    def __init__(self, options: ReceiverOptions, on_ready: Callable[[], None] | None = None) -> None:
        self._options = options
        self._on_ready = on_ready
        self._address: BrokerAddress = parse_broker(options.broker)
        self._keys = load_cloud_keys(options.keys_dir)
        keyring = Keyring(self._keys, Path(options.keys_dir))
        self._sink: Sink = open_sink(options.sink)
        self.intake = Intake(keyring, self._sink)
        self._client_id = options.client_id or f"egw-receiver-{key_id(self._keys.open.public_key().public_bytes_raw()).hex()}"
        self._inbox: list[paho.MQTTMessage] = []
        self._debts = Debts()
        self._under_way: dict[int, tuple[str, tuple[Identity, ...]]] = {}
        """Receipts without PUBACK."""
        self._receipts_at_s = 0.0
        self._stopping = False
        self._mqtt5 = True
        self._mqtt5_refused = False
        self._answered = False
        """The broker has answered our CONNECT."""
        self._packet_bytes_max: int | None = None
        self._said = ""
        self._retry_s = _RETRY_S
        self.receipts = 0

    def stop(self) -> None:
        self._stopping = True

    def run(self) -> None:
        try:
            while not self._stopping:
                self._one_connection()
                self._rest()
        finally:
            self._sink.close()

    # -- one connection

    def _one_connection(self) -> None:
        self._retry_s = _RETRY_S
        self._answered = False
        client = make_client(self._address, self._client_id, self._options, mqtt5=self._mqtt5)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        try:
            start(client, self._address, mqtt5=self._mqtt5)
            self._pump(client)
        except (OSError, MQTTException, ValueError, LookupError, struct.error) as fault:
            # paho raises what its parser meets in a packet that is none.
            self._say(f"broker {self._address}: {describe(fault)}")
        except SinkError as fault:
            self._say(f"E-SINK: the sink cannot be written: {fault}; nothing is receipted, nothing is lost")
            self._sink.rollback()
            self._retry_s = _REFUSED_RETRY_S
        finally:
            client.on_connect = client.on_subscribe = client.on_message = client.on_publish = None
            self._forget_connection()

    def _pump(self, client: paho.Client) -> None:
        """Until the connection ends or `stop`."""
        connack_by_s = time.monotonic() + self._options.connack_timeout_s
        while client.loop(GROUP_WAIT_S if self._inbox else _SELECT_S) == MQTTErrorCode.MQTT_ERR_SUCCESS:
            waiting = len(self._inbox)
            while waiting < GROUP_MAX and client.loop(GROUP_WAIT_S) == MQTTErrorCode.MQTT_ERR_SUCCESS and len(self._inbox) > waiting:
                waiting = len(self._inbox)
            self._take_inbox(client)
            self._send_receipts(client)
            if self._stopping:
                self._say_goodbye(client)
                return
            if not self._answered and time.monotonic() > connack_by_s:
                self._say(f"broker {self._address}: E-NET-TIMEOUT: no CONNACK in time")
                client.disconnect()
                return
        if not self._stopping and self._answered:
            self._say(f"broker {self._address}: connection lost")
        elif not self._stopping:
            self._say(f"broker {self._address}: E-MQTT-HANGUP: closes before it answers our CONNECT")
            self._mqtt5 = not self._mqtt5 and not self._mqtt5_refused

    def _say_goodbye(self, client: paho.Client) -> None:
        """What is committed is receipted now; what is not stays with broker and gateway."""
        self._receipts_at_s = 0.0
        self._send_receipts(client)
        client.disconnect()
        while client.loop(_SELECT_S) == MQTTErrorCode.MQTT_ERR_SUCCESS:
            pass

    def _forget_connection(self) -> None:
        self._inbox.clear()
        for gateway, intervals in self._under_way.values():
            for interval in intervals:
                self._debts.owe(gateway, interval)
        self._under_way.clear()

    def _rest(self) -> None:
        end_s = time.monotonic() + self._retry_s
        while not self._stopping and time.monotonic() < end_s:
            time.sleep(_SELECT_S)

    def _say(self, what: str) -> None:
        """One line for each change, not for each attempt."""
        if what != self._said:
            logger.warning("%s", what)
        self._said = what

    # -- batches

    def _take_inbox(self, client: paho.Client) -> None:
        if not self._inbox:
            return
        group, self._inbox = self._inbox, []
        now_ms = time.time_ns() // 1_000_000
        self._sink.begin()
        taken = [item for message in group for item in self.intake.take(message.topic, bytes(message.payload), now_ms)]
        self._sink.commit()
        for message in group:
            client.ack(message.mid, message.qos)
        for item in taken:
            self._debts.owe(item.gateway, item.identity)
        self._debts.urgent |= _urgent(taken)

    # -- receipts

    def _send_receipts(self, client: paho.Client) -> None:
        now_s = time.monotonic()
        all_due = now_s >= self._receipts_at_s
        if all_due:
            self._receipts_at_s = now_s + self._options.receipt_interval_s
        for gateway in self._debts.due(only_urgent=not all_due):
            self._send_receipt(client, gateway)

    def _send_receipt(self, client: paho.Client, gateway: str) -> None:
        now_ms = time.time_ns() // 1_000_000
        for message, part in receipts(gateway, self._debts.pay(gateway), now_ms, self._keys.sign, self._packet_bytes_max):
            sent = client.publish(topic_of(self._options.receipt_topic, gateway), message, qos=1)
            self._under_way[sent.mid] = (gateway, part)
            self.receipts += 1

    # -- what paho tells, on this thread

    def _on_connect(self, client: paho.Client, _userdata: object, _flags: object, code: ReasonCode, properties: Properties | None) -> None:
        self._answered = True
        if code.is_failure:
            self._mqtt5_refused = self._mqtt5_refused or code.value == _UNSUPPORTED_PROTOCOL
            self._mqtt5 = self._mqtt5 and not self._mqtt5_refused
            self._retry_s = _RETRY_S if code.value == _UNSUPPORTED_PROTOCOL else _REFUSED_RETRY_S
            self._say(f"broker {self._address} refuses the login: {code}")
            return
        prefix = f"$share/{self._options.share}/" if self._options.share else ""
        said = properties.json() if properties is not None else {}  # type: ignore[no-untyped-call]
        self._packet_bytes_max = said.get("MaximumPacketSize")
        filters = [*(f"egw/1/+/+/+/{kind}" for kind in _TOPIC_KINDS), *filter(None, (self._options.topic,))]
        client.subscribe([(prefix + one, 1) for one in filters])

    def _on_subscribe(self, client: paho.Client, _userdata: object, _mid: int, codes: list[ReasonCode], _properties: object) -> None:
        if any(code.is_failure for code in codes):
            self._say(f"E-MQTT-ACL: broker {self._address} denies our topics: {', '.join(str(code) for code in codes)}")
            self._retry_s = _REFUSED_RETRY_S
            client.disconnect()
            return
        self._said = ""
        logger.info("receives from %s (MQTT %s)", self._address, "5" if self._mqtt5 else "3.1.1")
        if self._on_ready is not None:
            self._on_ready()
            self._on_ready = None

    def _on_message(self, _client: paho.Client, _userdata: object, message: paho.MQTTMessage) -> None:
        self._inbox.append(message)

    def _on_publish(self, _client: paho.Client, _userdata: object, mid: int, code: ReasonCode, _properties: object) -> None:
        gateway, intervals = self._under_way.pop(mid, ("", ()))
        if code.is_failure:
            self._say(f"E-MQTT-ACL: broker {self._address} refuses receipts for {gateway}: {code}")
            for interval in intervals:
                self._debts.owe(gateway, interval)


def _urgent(taken: list[Taken]) -> set[str]:
    return {item.gateway for item in taken if item.urgent}


def run_receiver(options: ReceiverOptions, on_ready: Callable[[], None] | None = None) -> None:
    """Runs until SIGTERM or SIGINT; call on the main thread. Raises EdgegwError."""
    receiver = Receiver(options, on_ready)

    def stop(_number: int, _frame: object) -> None:
        receiver.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        receiver.run()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def main(  # noqa: PLR0913 - the command's options, one each
    *,
    broker: str,
    keys_dir: str,
    sink: str,
    ca: str = "",
    cert: str = "",
    cert_key: str = "",
    receipt_interval_s: float = DEFAULT_RECEIPT_INTERVAL_S,
    share: str = "",
    client_id: str = "",
    topic: str = "",
    receipt_topic: str = RECEIPT_TOPIC,
    as_json: bool = False,
) -> int:
    """`edgegw cloud receive`. Says when it is ready; returns the exit code."""
    options = ReceiverOptions(
        broker=broker,
        keys_dir=keys_dir,
        sink=sink,
        ca=ca,
        cert=cert,
        cert_key=cert_key,
        receipt_interval_s=receipt_interval_s,
        share=share,
        client_id=client_id,
        topic=topic,
        receipt_topic=receipt_topic,
    )

    def ready() -> None:
        sys.stdout.write('{"event":"ready"}\n' if as_json else f"Receives from {broker} into {sink}.\n")
        sys.stdout.flush()

    try:
        run_receiver(options, ready)
    except EdgegwError as fault:
        sys.stderr.write(f"{fault}\n")
        return fault.exit_code
    return EXIT_OK
