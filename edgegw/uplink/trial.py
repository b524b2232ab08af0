"""`edgegw cloud test`: an uplink tried stage by stage, as far as the cloud's signed receipt, with the service stopped or beside it.

The last three stages go the way of the daemon (`mqtt.py`), under a client id of their own: a second client of the daemon's name would throw
it out. Only where the broker refuses that name, and no daemon runs, the real one is tried.

What is published is one sealed event of kind `cloud_test` in an epoch that no start of a daemon has; the receiver takes, stores and receipts
it like any other (docs/uplink.md).
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

import msgspec

from edgegw.block import encode_events
from edgegw.config.model import Gateway, Uplink
from edgegw.errors import EdgegwError
from edgegw.model import ClockTrust, Event, Identity, Stream
from edgegw.uplink import faults
from edgegw.uplink.envelope import BATCH, EnvelopeError, Sealer, open_receipt
from edgegw.uplink.faults import CONNECT_INTERVAL_S, Fault
from edgegw.uplink.keys import UplinkKeys
from edgegw.uplink.login import Login, make_login
from edgegw.uplink.mqtt import Link, LinkError, Opened
from edgegw.uplink.receipts import TEST_EPOCH, receipt_id
from edgegw.uplink.staged import STAGES, Approach, Result, Stage, StageError
from edgegw.uplink.topics import make_topics
from edgegw.uplink.traffic import packet_bytes

# The broker lets 64 letters pass everywhere (docs/uplink.md); the end makes room for the suffix.
_CLIENT_ID_MAX: Final = 64
TEST_SUFFIX: Final = "-test"
# A receiver signs every 5 to 30 s, for events at once.
RECEIPT_WAIT_S: Final = 35.0
# Those of a daemon beside us come too: one in 5 s, and one for each batch of events.
_MESSAGES_MAX = 1000
_GOODBYE_S = 1.0
# Sequences of tests are drawn, not counted: nothing is remembered between two of them. 2^52 and a few thousand tests: one in a billion meets another.
_SEQUENCES = 2**52
_MQTT_FAILURE = 0x80
_NOBODY_LISTENS = 0x10


class Trial:
    """One uplink, once. `run` returns every stage; those behind a failed one, or behind `up_to`, are not tried."""

    def __init__(  # noqa: PLR0913 - what a test can be asked for
        self,
        uplink: Uplink,
        gateway: Gateway,
        load_keys: Callable[[], UplinkKeys],
        trust: ClockTrust,
        *,
        daemon_runs: bool = False,
        receipt_wait_s: float = RECEIPT_WAIT_S,
        on_stage: Callable[[Stage], None] = lambda _stage: None,
    ) -> None:
        self._uplink = uplink
        self._gateway = gateway
        self._load_keys = load_keys
        self._trust = trust
        self._daemon_runs = daemon_runs
        self._receipt_wait_s = receipt_wait_s
        self._on_stage = on_stage
        self._topics = make_topics(uplink, gateway)
        self._link: Link | None = None
        self._opened: Opened | None = None
        self._keys: UplinkKeys | None = None
        self._heard = _Heard(self._topics.receipt)
        self._identity = Identity(TEST_EPOCH, Stream.EVENT, 0, 0)

    async def run(self, up_to: int = len(STAGES)) -> list[Stage]:
        """All stages in order. No fault of the world raises."""
        login = make_login(self._uplink, self._gateway, None, mqtt5=True)
        approach = Approach(login, self._trust)
        steps = (approach.clock, approach.route, approach.name, approach.tcp, approach.tls, approach.client)
        stages = [Stage(number, name) for number, name in enumerate(STAGES, 1)]
        try:
            for stage, step in zip(stages[: min(up_to, len(steps))], steps, strict=False):
                self._settle(stage, time.monotonic(), step)
                if stage.state == "fail":
                    return stages
            approach.close()
            # A cloud without receipts has no ninth stage: it stays untried.
            later_steps = (self._log_in, self._use_topics, self._await_receipt)[: 2 + (self._uplink.ack == "receipt")]
            for stage, later in zip(stages[len(steps) : up_to], later_steps, strict=False):
                await self._settle_later(stage, later)
                if stage.state == "fail":
                    return stages
        finally:
            approach.close()
            if self._link is not None:
                await self._link.close(_GOODBYE_S)
        return stages

    # -- one stage

    def _settle(self, stage: Stage, started_s: float, step: Callable[[], Result]) -> None:
        try:
            stage.state, stage.found, stage.fault = step()
        except StageError as failed:
            stage.state, stage.found, stage.fault, stage.cause = "fail", failed.found, failed.fault, failed.cause
        except EdgegwError as refused:
            stage.state, stage.fault = "fail", Fault(refused.message_id, refused.text, refused.next_step)
        stage.ms = round((time.monotonic() - started_s) * 1000, 1)
        self._on_stage(stage)

    async def _settle_later(self, stage: Stage, step: Callable[[], Coroutine[Any, Any, Result]]) -> None:
        started_s = time.monotonic()
        task = asyncio.create_task(step())
        await asyncio.wait((task,))
        self._settle(stage, started_s, task.result)

    # -- 7

    async def _log_in(self) -> Result:
        self._keys = self._load_keys()
        real = make_login(self._uplink, self._gateway, self._keys.password, mqtt5=True)
        own_name = real.client_id[: _CLIENT_ID_MAX - len(TEST_SUFFIX)] + TEST_SUFFIX
        login = msgspec.structs.replace(real, client_id=own_name, keeps_session=False, clock_unset=self._trust is ClockTrust.UNSET)
        fault = await self._open(login)
        if fault is not None and fault.message_id in ("E-MQTT-VERSION", "E-MQTT-HANGUP"):
            older = msgspec.structs.replace(login, mqtt5=False)
            second = await self._open(older, again=True)
            if second is None or fault.message_id == "E-MQTT-VERSION":
                login, fault = older, second
        if fault is not None and fault.message_id == "E-MQTT-AUTH" and not self._daemon_runs:
            login = msgspec.structs.replace(login, client_id=real.client_id)
            fault = await self._open(login, again=True)
        if fault is not None:
            raise StageError(fault, "auth.beside" if fault.message_id == "E-MQTT-AUTH" and self._daemon_runs else "", client_id=login.client_id)
        assert self._opened is not None
        found = {
            "version": "5" if login.mqtt5 else "3.1.1",
            "client_id": login.client_id,
            "receive_maximum": self._opened.receive_maximum,
            "packet_bytes_max": self._opened.maximum_packet_bytes,
        }
        return "ok", found, None

    async def _open(self, login: Login, *, again: bool = False) -> Fault | None:
        if again:
            # Some clouds ban who connects more often.
            await asyncio.sleep(CONNECT_INTERVAL_S)
        if self._link is not None:
            await self._link.close(0.0)
        self._heard = _Heard(self._topics.receipt)
        self._link = Link(login, self._heard, clock_trusted=self._trust in (ClockTrust.SYNCHRONISED, ClockTrust.CORRECTED))
        try:
            self._opened = await self._link.open()
        except LinkError as ended:
            return await self._link.why(ended)
        return None

    # -- 8

    async def _use_topics(self) -> Result:
        assert self._link is not None
        assert self._keys is not None
        read, written = self._topics.receipt, self._topics.of_kind("e")
        try:
            if read:
                self._link.subscribe(read)
                codes = await self._until("suback")
                if not isinstance(codes, list) or any(code >= _MQTT_FAILURE for code in codes):
                    raise StageError(Fault("E-MQTT-ACL", f"{self._uplink.broker} denies {read}", "allow the topic there", "login"))
            message = self._message(self._keys)
            mid = self._link.publish(written, message)
            code = await self._until("puback", mid)
        except LinkError as ended:
            raise StageError(await self._meaning(ended), "acl.hangup") from ended
        if isinstance(code, int) and code >= _MQTT_FAILURE:
            raise StageError(Fault("E-MQTT-ACL", f"{self._uplink.broker} refuses {written} (0x{code:02X})", "allow the topic there", "login"))
        return "ok", {"read": read or "-", "written": written, "bytes": len(message), "heard": code != _NOBODY_LISTENS}, None

    def _message(self, keys: UplinkKeys) -> bytes:
        """A sealed event that says no more than that somebody tested."""
        sequence = 1 + secrets.randbelow(_SEQUENCES)
        self._identity = Identity(TEST_EPOCH, Stream.EVENT, sequence, sequence)
        event = Event("cloud_test", time.time_ns() // 1_000_000, 0, self._trust, None, {"uplink": self._uplink.name})
        message = Sealer(self._gateway.identity, keys.cloud.seal, keys.own.sign).seal(BATCH, self._identity, encode_events([event]))
        maximum = self._opened.maximum_packet_bytes if self._opened else None
        if maximum is not None and packet_bytes(self._topics.of_kind("e"), message) > maximum:
            raise StageError(Fault("E-MQTT-SIZE", f"{self._uplink.broker} takes at most {maximum} bytes", "let it take larger packets"))
        return message

    async def _until(self, what: str, mid: int | None = None) -> object:
        """What the broker said to this. Raises LinkError when it hangs up, StageError when it says nothing."""
        limit_s = self._uplink.puback_timeout_s
        ends_s = time.monotonic() + limit_s
        while True:
            said = self._heard.subacks[:1] if what == "suback" else [code for found, code in self._heard.pubacks if found == mid]
            if said:
                return said[0]
            self._must_stand()
            if time.monotonic() > ends_s:
                raise StageError(Fault("E-MQTT-PUBACK", f"{self._uplink.broker} acknowledges nothing for {limit_s:g} s", "look into the broker's log"))
            await self._heard.wait(ends_s)

    def _must_stand(self) -> None:
        assert self._link is not None
        if self._link.closed:
            raise LinkError(self._link.fault or faults.lost(self._uplink.broker, "closed"))

    async def _meaning(self, ended: LinkError) -> Fault:
        """Some brokers hang up on what they deny (mosquitto 2.0.11)."""
        assert self._link is not None
        fault = await self._link.why(ended)
        if fault.message_id != "E-NET-LOST":
            return fault
        return Fault("E-MQTT-ACL", f"{self._uplink.broker} hangs up when {self._topics.all_up} is used", "allow the topics there", "login")

    # -- 9

    async def _await_receipt(self) -> Result:
        assert self._keys is not None
        started_s = time.monotonic()
        ends_s = started_s + self._receipt_wait_s
        refused: EnvelopeError | None = None
        while True:
            while self._heard.messages:
                try:
                    receipt = open_receipt(self._heard.messages.pop(0), self._gateway.identity, self._keys.cloud.verify)
                except EnvelopeError as fault:
                    refused = fault
                    continue
                if self._identity in receipt.intervals:
                    return "ok", {"after_ms": round((time.monotonic() - started_s) * 1000), "signed_by": self._uplink.recipient_file}, None
            if time.monotonic() > ends_s:
                raise StageError(*self._no_receipt(refused), fingerprint=self._keys.own.fingerprint, gateway=self._gateway.identity)
            try:
                self._must_stand()
            except LinkError as ended:
                raise StageError(await self._meaning(ended)) from ended
            await self._heard.wait(ends_s)

    def _no_receipt(self, refused: EnvelopeError | None) -> tuple[Fault, str]:
        if refused is not None:
            return Fault(receipt_id(refused.reason), f"what comes as a receipt is not our cloud's ({refused})", "check recipient_file"), ""
        text = f"the broker took our message, but no receipt came within {self._receipt_wait_s:g} s"
        nobody = any(code == _NOBODY_LISTENS for _, code in self._heard.pubacks)
        return Fault("E-CLOUD-RECEIVER", text, "look at the receiver and its keys"), "receiver.nobody" if nobody else ""


class _Heard:
    """The link's listener: keeps what came until it is asked for. A test lasts a minute at most, and hears its own receipts and the daemon's."""

    def __init__(self, receipts: str) -> None:
        self._receipts = receipts
        self._news = asyncio.Event()
        self.subacks: list[list[int]] = []
        self.pubacks: list[tuple[int, int]] = []
        self.messages: list[bytes] = []

    def on_suback(self, codes: Sequence[int]) -> None:
        self.subacks.append(list(codes))
        self._news.set()

    def on_puback(self, mid: int, code: int) -> None:
        self.pubacks.append((mid, code))
        self._news.set()

    def on_message(self, topic: str, payload: bytes) -> None:
        if topic == self._receipts and len(self.messages) < _MESSAGES_MAX:
            self.messages.append(payload)
        self._news.set()

    def on_closed(self) -> None:
        self._news.set()

    async def wait(self, until_s: float) -> None:
        """Until something came or `until_s`, and a moment more."""
        try:
            await asyncio.wait_for(self._news.wait(), max(0.0, until_s - time.monotonic()) + 0.01)
        except TimeoutError:
            return
        self._news.clear()
