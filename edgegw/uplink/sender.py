"""One uplink: connects, delivers, connects again, and says goodbye. Everything runs on the event loop, the connection's thread apart.

Deadlines towards the broker are real time, also where a simulated clock runs faster.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import secrets
import time
from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec

from edgegw.clock import Clock
from edgegw.config.model import Gateway, Uplink
from edgegw.model import ClockTrust
from edgegw.uplink import faults
from edgegw.uplink.commands import Commands, Journal, no_journal
from edgegw.uplink.delivery import Delivery
from edgegw.uplink.expiry import CertificateWatch, Expiry
from edgegw.uplink.faults import Fault
from edgegw.uplink.keys import UplinkKeys
from edgegw.uplink.lanes import ALL_STREAMS
from edgegw.uplink.login import Login, make_login
from edgegw.uplink.mqtt import Link, LinkError, Opened
from edgegw.uplink.notices import QUOTA_FULL_LEVEL, Notice, of_expiry, of_fault, of_parked, of_quota
from edgegw.uplink.outbox import Outbox
from edgegw.uplink.renewal import Renewal
from edgegw.uplink.takeover import Takeover
from edgegw.uplink.traffic import Traffic

logger = logging.getLogger("edgegw.uplink")

# The status "offline" may take this long to be acknowledged, and the goodbye as long again.
_GOODBYE_S = 1.0
# Upper bound of any wait of the loop: deadlines are looked at this often.
_LOOK_S_MAX = 1.0
_TRUSTED = (ClockTrust.SYNCHRONISED, ClockTrust.CORRECTED)


class UplinkStatus(msgspec.Struct, frozen=True):
    """What `edgegw status` shows of an uplink."""

    name: str
    state: str
    """connecting, connected, waiting (for the next attempt), stopped"""
    connected: bool
    error_id: str
    error: str
    next_step: str
    last_receipt_s: float | None
    """Age of the last good receipt."""
    in_flight: int
    unreceipted: int
    batches_sent: int
    bytes_sent: int
    receipts: int
    receipts_refused: int
    connections: int
    bytes_today: Mapping[str, tuple[int, int]] = {}
    """{lane: (up, down)} on the wire, of this local day."""
    bytes_month: int = 0
    """Both ways, of this month."""
    quota_mb_month: int = 0
    holds_telemetry: bool = False
    """The quota is used up, and telemetry waits for the next month."""
    certificates: Sequence[Expiry] = ()
    clock_offset_s: float | None = None
    """Of our clock against the cloud's, positive when ours is ahead."""


class Sender:
    """One uplink. `run` until cancelled or stopped; `wake` when something is stored."""

    def __init__(  # noqa: PLR0913, PLR0917 - the parts that it stands between
        self,
        uplink: Uplink,
        gateway: Gateway,
        keys: UplinkKeys,
        outbox: Outbox,
        clock: Clock,
        on_connected: Callable[[], None] = lambda: None,
        journal: Journal = no_journal,
    ) -> None:
        """`on_connected` is called when a connection is up and its border between backlog and fresh is drawn; `journal` stores what the cloud ordered."""
        self._uplink = uplink
        self._on_connected = on_connected
        self._clock = clock
        self._as = make_login(uplink, gateway, keys.password, mqtt5=True)
        self._broker = self._as.broker
        self._certificates = CertificateWatch(uplink)
        self._delivery = Delivery(uplink, gateway, keys, outbox, clock, journal)
        self._condition = self._delivery.condition
        self._state = "connecting"
        self._link: Link | None = None
        self._connect_sent_at_s = -math.inf
        self._connections = 0
        self._opened_at_s: float | None = None
        self._takeover = Takeover()
        self._expiries: Sequence[Expiry] = ()
        self._told_ends: list[Notice | None] = []
        self._shown: bytes | None = None
        self._mqtt5 = True
        self._mqtt5_refused = False
        self._stop_at_s: float | None = None
        self.saves = False
        """Most of the month's quota is used."""
        self._ended = asyncio.Event()

    # -- what others call

    async def run(self) -> None:
        """Connects, sends, connects again; returns after `stop`. No fault of link or broker ends it."""
        self._ended.clear()
        try:
            while self._stop_at_s is None:
                await self._one_connection()
        finally:
            self._state = "stopped"
            if self._link is not None:
                await self._link.close(0.0)
            self._ended.set()

    def wake(self, streams: Collection[int] = ALL_STREAMS) -> None:
        """Something new of these streams is stored. Call on the event loop."""
        self._delivery.lanes.wake(streams)
        self._delivery.news.set()

    async def stop(self, grace_s: float) -> None:
        """Sends what events there are for at most `grace_s`, says offline, disconnects. Returns when `run` has ended."""
        self._stop_at_s = time.monotonic() + grace_s
        self._delivery.news.set()
        if self._state == "connecting" and self._link is not None:
            self._link.abort(faults.lost(str(self._broker), "stopped"))
        await self._ended.wait()

    def status(self) -> UplinkStatus:
        self._measure()
        delivery, fault = self._delivery, self._condition.fault
        heard_at_s = delivery.receipts.last_at_s
        return UplinkStatus(
            name=self._uplink.name,
            state=self._state,
            connected=self._state == "connected",
            error_id=fault.message_id if fault else "",
            error=fault.text if fault else "",
            next_step=fault.next_step if fault else "",
            last_receipt_s=None if heard_at_s is None else time.monotonic() - heard_at_s,
            in_flight=len(delivery.lanes.in_flight),
            unreceipted=len(delivery.lanes.waiting),
            batches_sent=delivery.batches_sent,
            bytes_sent=delivery.bytes_sent,
            receipts=delivery.receipts.taken,
            receipts_refused=delivery.receipts.refused,
            connections=self._connections,
            bytes_today=self.traffic.of_day(delivery.day),
            bytes_month=self.traffic.month_bytes(delivery.day),
            quota_mb_month=self._uplink.quota_mb_month,
            holds_telemetry=self.holds_telemetry,
            certificates=self._expiries,
            clock_offset_s=None if delivery.receipts.clock_offset.offset_ms is None else delivery.receipts.clock_offset.offset_ms / 1000,
        )

    @property
    def traffic(self) -> Traffic:
        """What this uplink costs its SIM card."""
        return self._delivery.traffic

    @property
    def holds_telemetry(self) -> bool:
        """The month's quota is used up, and telemetry waits for the next."""
        return self._delivery.holds_telemetry

    @property
    def name(self) -> str:
        return self._uplink.name

    async def take_receipt(self, message: bytes) -> int:
        """A receipt that came by hand. Returns how many sequences it newly confirms; raises EdgegwError E-CLOUD-RECEIPT when it is none of our cloud's."""
        return await self._delivery.take_receipt(message)

    @property
    def commands(self) -> Commands:
        """What its cloud may order."""
        return self._delivery.commands

    def notices(self) -> list[Notice]:
        """What is to be told before it becomes a fault, looked at anew. Call about once a minute."""
        self._measure()
        name = self._uplink.name
        found = [
            *self._ending(),
            of_fault(name, self._condition.fault, self._condition.in_row),
            self._quota(),
            of_parked(name, len(self._delivery.packets.parked)),
        ]
        return [notice for notice in found if notice is not None]

    def _ending(self) -> list[Notice | None]:
        """Of certificates. A clock that nobody synchronises shows their days and judges none: what was told stays told."""
        expiries = self._certificates.look(self._clock.wall_ms() / 1000, self._shown)
        if self._clock.trust in _TRUSTED:
            self._expiries = expiries
            self._told_ends = [of_expiry(self._uplink.name, expiry) for expiry in expiries]
        else:
            self._expiries = [msgspec.structs.replace(expiry, step=None) for expiry in expiries]
        return self._told_ends

    def _quota(self) -> Notice | None:
        month_bytes = self.traffic.month_bytes(self._delivery.day)
        notice = of_quota(self._uplink.name, month_bytes, self._uplink.quota_mb_month)
        self.saves = notice is not None
        self._delivery.holds_telemetry = self._uplink.at_quota == "hold" and notice is not None and notice.level == QUOTA_FULL_LEVEL
        return notice

    def _measure(self) -> None:
        """Books what the present connection has carried."""
        if self._link is not None:
            self.traffic.measured(self._delivery.day, self._link.wire())
            self._shown = self._link.broker_certificate or self._shown

    # -- one connection after the other

    async def _one_connection(self) -> None:
        session = secrets.token_hex(4)
        self._state, self._opened_at_s = "connecting", None
        self.traffic.begin()
        login = self._login(session)
        link = self._link = Link(login, self._delivery, clock_trusted=self._clock.trust in _TRUSTED)
        try:
            opened = await link.open()
            await self._serve(link, opened, session, Renewal(login))
        except LinkError as ended:
            fault = self._meaning(await link.why(ended))
            self._delivery.thrown_out(fault)
            self._choose_version(fault)
            lived_s = None if self._opened_at_s is None else time.monotonic() - self._opened_at_s
            self._condition.lost(self._takeover.ended(fault, lived_s, str(self._broker)))
        await link.close(0.0 if link.closed else _GOODBYE_S)
        await self._delivery.take_in()
        self._measure()
        self._connect_sent_at_s = link.connect_sent_at_s or self._connect_sent_at_s
        if self._stop_at_s is None:
            self._state = "waiting"
            await self._pause(link)

    async def _serve(self, link: Link, opened: Opened, session: str, renewal: Renewal) -> None:
        """From CONNACK to the end: we stop, or connect anew. Raises LinkError when the connection is lost."""
        await self._delivery.begin(link, opened, f"{self._broker} (MQTT {'5' if self._mqtt5 else '3.1.1'})")
        self._state, self._opened_at_s = "connected", time.monotonic()
        self._connections += 1
        self._on_connected()
        if renewal.is_undated:
            self._condition.limp(faults.undated(str(self._broker)))
        self._delivery.publish_status(link, self._status_message("online", session), retain=opened.retain)
        while not self._is_finished():
            self._delivery.news.clear()
            until_s = await self._delivery.work(link, only_events=self._stop_at_s is not None)
            self._check(link)
            why = renewal.why(self._clock.trust)
            if why:
                logger.info("uplink %s: connects anew: %s", self._uplink.name, why)
                self._condition.healed("W-TLS-CLOCK")
                return
            await self._wait(until_s)
        self._check(link)
        await self._say_offline(link, session, retain=opened.retain)

    async def _say_offline(self, link: Link, session: str, *, retain: bool) -> None:
        """Publishes the status and waits for its PUBACK. Where the window is full of what the broker does not take, the will says it."""
        if not self._delivery.lanes.has_slot:
            link.abort(faults.lost(str(self._broker), "closed by us"))
            return
        mid = self._delivery.publish_status(link, self._status_message("offline", session), retain=retain)
        goodbye_at_s = time.monotonic() + _GOODBYE_S
        while mid is not None and mid in self._delivery.lanes.in_flight and time.monotonic() < goodbye_at_s:
            self._delivery.news.clear()
            self._check(link)
            await self._wait(goodbye_at_s)

    def _meaning(self, fault: Fault) -> Fault:
        """Some brokers hang up on what they deny (mosquitto 2.0.11, sometimes before its PUBACK is read): that is no lost link."""
        if fault.message_id != "E-NET-LOST" or self._state != "connected" or self._delivery.proven:
            return fault
        known = self._condition.fault
        if known is not None and known.message_id == "E-MQTT-ACL":
            return known
        return self._delivery.refusals.fault or Fault(fault.message_id, fault.text, fault.next_step, "login")

    def _check(self, link: Link) -> None:
        if link.closed:
            raise LinkError(link.fault or faults.lost(str(self._broker), "closed"))

    def _is_finished(self) -> bool:
        if self._stop_at_s is None:
            return False
        lanes = self._delivery.lanes
        return time.monotonic() >= self._stop_at_s or (lanes.is_empty("event") and lanes.has_slot)

    def _choose_version(self, fault: Fault) -> None:
        """Some brokers of MQTT 3.1.1 refuse a CONNECT of version 5 with a code, which is remembered; some hang up, then the versions take turns."""
        if fault.message_id == "E-MQTT-VERSION":
            self._mqtt5_refused = self._mqtt5_refused or self._mqtt5
            self._mqtt5 = not self._mqtt5_refused
        elif fault.message_id == "E-MQTT-HANGUP":
            self._mqtt5 = not self._mqtt5 and not self._mqtt5_refused
        elif self._state == "connected":
            self._mqtt5 = not self._mqtt5_refused

    async def _pause(self, link: Link) -> None:
        """Until the next attempt is due and the last one's thread is gone: one that hangs in the resolver is never joined by a second."""
        now_s = time.monotonic()
        pace = "network" if self._condition.fault is None else self._condition.fault.pace
        delay_s = faults.retry_delay_s(pace, self._condition.in_row, self._condition.outage_s, now_s - self._connect_sent_at_s)
        while self._stop_at_s is None and (link.is_alive or time.monotonic() < now_s + delay_s):
            self._delivery.news.clear()
            await self._wait(now_s + delay_s)

    async def _wait(self, until_s: float) -> None:
        """Until something happens, until `until_s`, or until deadlines are due for a look."""
        timeout_s = max(0.0, min(until_s - time.monotonic(), _LOOK_S_MAX))
        try:
            # Not wait_for: on Python 3.11 it loses a cancellation that comes together with the news.
            async with asyncio.timeout(timeout_s or 0.001):
                await self._delivery.news.wait()
        except TimeoutError:
            return

    # -- who we are

    def _login(self, session: str) -> Login:
        will = self._status_message("offline", session)
        return msgspec.structs.replace(
            self._as, mqtt5=self._mqtt5, will_topic=self._delivery.topics.status, will=will, clock_unset=self._clock.trust is ClockTrust.UNSET
        )

    def _status_message(self, state: str, session: str) -> bytes:
        """The same `sid` in the will: a late will of an older connection is known by it."""
        return json.dumps({"state": state, "sid": session, "ts": self._clock.wall_ms()}).encode()
