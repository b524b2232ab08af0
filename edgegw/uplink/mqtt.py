"""One MQTT connection: paho as a socket pump (decision D7).

One thread for each connection, from the name's resolution to the last byte; it hands what happens to the event loop and decides nothing.
A connection that ended is never used again. What paho does badly is not asked of it: no queue beyond the caller's window, no
reconnecting, no waiting for a publish, nothing in callbacks but a hand-over (docs/uplink.md, "What the client must not do").
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec
import paho.mqtt.client as paho
from paho.mqtt import MQTTException
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edgegw.uplink import faults
from edgegw.uplink.faults import Fault
from edgegw.uplink.login import Login, TlsFilesError, TlsSocket, tls_context
from edgegw.uplink.traffic import Wire, wire_of

logger = logging.getLogger("edgegw.uplink")

# Largest wait of the pump; a publish or a close wakes it at once.
_SELECT_S = 1.0
# The broker keeps receipts for us over a lost link this long; a longer outage costs one resend.
_SESSION_EXPIRY_S = 3600
# A thread that hangs in the resolver is waited for this long at the end; it is a daemon thread and dies with the process.
_THREAD_END_S = 2.0
# When the socket is closed its thread ends at once; it is not waited for when it does not.
_THREAD_TELLS_S = 0.5
_RECEIVE_MAXIMUM_DEFAULT = 65_535


class Opened(msgspec.Struct, frozen=True):
    """What the broker said to our CONNECT."""

    session_present: bool
    receive_maximum: int
    maximum_packet_bytes: int | None
    retain: bool


class Listener(Protocol):
    """Who is told, on the event loop, what happens."""

    def on_puback(self, mid: int, code: int) -> None: ...

    def on_suback(self, codes: Sequence[int]) -> None: ...

    def on_message(self, topic: str, payload: bytes) -> None: ...

    def on_closed(self) -> None: ...


class LinkError(Exception):
    """There is no connection, or no longer."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault


class Link:
    """One connection. Made, opened and closed on the event loop; in between its thread pumps."""

    def __init__(self, login: Login, listener: Listener, *, clock_trusted: bool) -> None:
        self._login = login
        self._listener = listener
        self._clock_trusted = clock_trusted
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[Opened] = self._loop.create_future()
        self._client: paho.Client | None = self._make_client()
        self._thread = threading.Thread(target=self._pump, name=f"mqtt-{login.client_id}", daemon=True)
        self._stage = "connection (name, TCP, TLS)"
        self._abandoned = False
        self._socket: socket.socket | None = None
        self._connack: ReasonCode | None = None
        self._disconnect: ReasonCode | None = None
        self._wire: Wire | None = None
        self.broker_certificate: bytes | None = None
        """DER, as the broker showed it in a handshake that we accepted."""
        self.connect_sent_at_s: float | None = None
        """`time.monotonic()` of the CONNECT packet."""
        self.fault: Fault | None = None
        """Why the connection ended."""

    # -- on the event loop

    async def open(self) -> Opened:
        """Connects within connect_timeout_s, name, TCP, TLS and CONNACK together. Raises LinkError."""
        self._thread.start()
        try:
            async with asyncio.timeout(self._login.connect_timeout_s):
                return await asyncio.shield(self._opened)
        except TimeoutError:
            fault = self.abort(faults.timed_out(self._where, self._stage))
            raise LinkError(fault) from None

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int:
        """Hands a message to the pump, QoS 1; returns its mid. Raises LinkError when the connection is gone."""
        info = self._living().publish(topic, payload, qos=1, retain=retain)
        self._must_be(info.rc, "publish")
        return info.mid

    def subscribe(self, *topics: str) -> None:
        """One SUBSCRIBE; its SUBACK has a code for each topic, in this order."""
        self._must_be(self._living().subscribe([(topic, 1) for topic in topics])[0], "subscribe")

    def _living(self) -> paho.Client:
        client = self._client
        if client is None:
            raise LinkError(faults.lost(self._where, "closed"))
        return client

    def _must_be(self, code: int, what: str) -> None:
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise LinkError(faults.lost(self._where, f"{what}: {paho.error_string(MQTTErrorCode(code))}"))

    async def why(self, ended: LinkError) -> Fault:
        """Why the connection ended. The thread may know better than who met the closed socket, and tells it in a moment."""
        await self._joined(_THREAD_TELLS_S if self.fault is None else 0.0)
        await asyncio.sleep(0)
        return self.fault or ended.fault

    @property
    def closed(self) -> bool:
        return self.fault is not None or not self._thread.is_alive()

    def abort(self, fault: Fault) -> Fault:
        """Ends the connection at once. The first fault is the one that counts; returns it."""
        self._abandoned = True
        self.fault = self.fault or fault
        if self._socket is not None:
            # The C-level call: SSLSocket's own would pull the TLS object away under the reading thread.
            with contextlib.suppress(OSError):  # closed already
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
        if not self._opened.done():
            self._fail_opening(self.fault)
        return self.fault

    async def close(self, grace_s: float) -> None:
        """Says goodbye (the will is not sent) and waits for the thread; a link that is dead is cut after `grace_s`."""
        client = self._client
        if client is not None and self._thread.is_alive() and not self._abandoned:
            client.disconnect()
            del client  # the thread's end must free it
            await self._joined(grace_s)
        self.abort(faults.lost(self._where, "closed by us"))
        if not await self._joined(_THREAD_END_S):
            logger.warning("the thread of the connection to %s hangs; it is left behind", self._where)

    async def _joined(self, deadline_s: float) -> bool:
        end_s = time.monotonic() + deadline_s
        while self._thread.is_alive() and time.monotonic() < end_s:  # noqa: ASYNC110 - a thread has no awaitable end
            await asyncio.sleep(0.01)
        return not self._thread.is_alive()

    def wire(self) -> Wire | None:
        """What the connection has carried so far; after its end, in all. None when it is not known."""
        opened = self._socket
        if opened is not None and self._thread.is_alive():
            self._measure(opened)
        return self._wire

    @property
    def is_alive(self) -> bool:
        """The thread still runs: it hangs in the resolver or in a connect."""
        return self._thread.is_alive()

    @property
    def _where(self) -> str:
        return str(self._login.broker)

    # -- on the thread

    def _pump(self) -> None:
        fault: Fault | None = None
        client = self._living()
        try:
            self._connect(client)
            while client.loop(_SELECT_S) == MQTTErrorCode.MQTT_ERR_SUCCESS and not self._abandoned:
                pass
            fault = self._why_ended()
        except TlsFilesError as found:
            fault = faults.of_files(str(found))
        except OSError as found:
            fault = faults.of_connecting(found, self._login.broker.host, self._login.broker.port, clock_trusted=self._clock_trusted)
        except (MQTTException, ValueError, LookupError, struct.error) as found:
            # paho raises what its parser meets in a packet that is none.
            fault = faults.lost(self._where, f"not MQTT: {found}")
        finally:
            self._let_go(client)
            self._tell(self._ended, fault or faults.lost(self._where, "closed"))

    def _connect(self, client: paho.Client) -> None:
        login = self._login
        if login.broker.tls:
            context = tls_context(login)
            context.sslsocket_class = _counted(self._measure)
            client.tls_set_context(context)
        client.connect(login.broker.host, login.broker.port, login.keepalive_s, **self._session_options())

    def _session_options(self) -> dict[str, Any]:
        if not self._login.mqtt5:
            return {}
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = _SESSION_EXPIRY_S if self._login.keeps_session else 0
        return {"clean_start": not self._login.keeps_session, "properties": properties}

    def _make_client(self) -> paho.Client:
        login = self._login
        protocol = MQTTProtocolVersion.MQTTv5 if login.mqtt5 else MQTTProtocolVersion.MQTTv311
        client = paho.Client(
            CallbackAPIVersion.VERSION2, login.client_id, clean_session=None if login.mqtt5 else True, protocol=protocol, reconnect_on_failure=False
        )
        client.connect_timeout = login.connect_timeout_s
        if login.username:
            client.username_pw_set(login.username, login.password)
        if login.will_topic:
            client.will_set(login.will_topic, login.will, qos=1, retain=True)
        client.on_socket_open = self._on_socket_open
        client.on_socket_close = self._on_socket_close
        # With this callback set, paho writes to the socket on the pumping thread only.
        client.on_socket_register_write = _nothing
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        return client

    def _on_socket_open(self, _client: paho.Client, _userdata: object, opened: Any) -> None:
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(self._login.puback_timeout_s * 1000))
        self._socket = opened
        if isinstance(opened, TlsSocket):
            self.broker_certificate = opened.getpeercert(binary_form=True)
        self._stage = "CONNACK"
        self.connect_sent_at_s = time.monotonic()
        if self._abandoned:
            socket.socket.shutdown(opened, socket.SHUT_RDWR)

    def _on_socket_close(self, _client: paho.Client, _userdata: object, closing: Any) -> None:
        self._measure(closing)

    def _measure(self, measured: socket.socket) -> None:
        self._wire = wire_of(measured) or self._wire

    def _on_connect(self, _client: paho.Client, _userdata: object, flags: paho.ConnectFlags, code: ReasonCode, properties: Properties | None) -> None:
        self._connack = code
        if not code.is_failure:
            said = properties.json() if properties is not None else {}  # type: ignore[no-untyped-call]
            self._tell(
                self._have_opened,
                Opened(
                    flags.session_present,
                    said.get("ReceiveMaximum", _RECEIVE_MAXIMUM_DEFAULT),
                    said.get("MaximumPacketSize"),
                    said.get("RetainAvailable", 1) != 0,
                ),
            )

    def _on_disconnect(self, _client: paho.Client, _userdata: object, flags: paho.DisconnectFlags, code: ReasonCode, _properties: object) -> None:
        if flags.is_disconnect_packet_from_server:
            self._disconnect = code

    def _on_subscribe(self, _client: paho.Client, _userdata: object, _mid: int, codes: list[ReasonCode], _properties: object) -> None:
        self._tell(self._listener.on_suback, [code.value for code in codes])

    def _on_publish(self, _client: paho.Client, _userdata: object, mid: int, code: ReasonCode, _properties: object) -> None:
        self._tell(self._listener.on_puback, mid, code.value)

    def _on_message(self, _client: paho.Client, _userdata: object, message: paho.MQTTMessage) -> None:
        self._tell(self._listener.on_message, bytes(message._topic).decode("utf-8", "replace"), bytes(message.payload))  # noqa: SLF001 - `topic` raises on bad UTF-8

    def _why_ended(self) -> Fault:
        if self._connack is not None and self._connack.is_failure:
            return faults.of_connack(self._connack.value, str(self._connack), self._where)
        if self._disconnect is not None:
            return faults.of_disconnect(self._disconnect.value, str(self._disconnect), self._where)
        read_fault = getattr(self._socket, "fault", None)
        alert = faults.of_alert(read_fault, self._where)
        if alert is not None:
            return alert
        how = str(read_fault) if read_fault is not None else "closed by the broker or the network"
        return faults.lost(self._where, how) if self._connack is not None else faults.hung_up(self._where, how)

    def _let_go(self, client: paho.Client) -> None:
        """Closes what paho left open after an exception, and lets go of the client: it closes its wake-up pair when it is freed, and only then."""
        if self._socket is not None:
            self._measure(self._socket)
            self._socket.close()
        client.on_socket_open = client.on_socket_close = client.on_connect = client.on_disconnect = client.on_subscribe = client.on_publish = (
            client.on_message
        ) = None
        self._client = None

    def _tell(self, function: Callable[..., None], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            logger.debug("the event loop ended before the connection")

    # -- back on the event loop

    def _have_opened(self, opened: Opened) -> None:
        if not self._opened.done():
            self._opened.set_result(opened)

    def _ended(self, fault: Fault) -> None:
        self.fault = self.fault or fault
        if not self._opened.done():
            self._fail_opening(self.fault)
        self._listener.on_closed()

    def _fail_opening(self, fault: Fault) -> None:
        self._opened.set_exception(LinkError(fault))
        self._opened.exception()  # read here: after a deadline nobody waits for it


def _counted(measure: Callable[[socket.socket], None]) -> type[TlsSocket]:
    """A class of sockets for one connection."""

    class Counted(TlsSocket):
        def on_failed(self) -> None:
            measure(self)

    return Counted


def _nothing(*_: object) -> None:
    pass
