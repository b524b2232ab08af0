"""System messages: the journal of this machine, or a log server.

RFC 5424    <PRI>1 2026-11-21T09:30:00.123Z operator.station.gateway edgegw - alarm [edgegw@32473 notice="..." level="major"] BOM text
            PRI = 16 (local0) x 8 + severity; UDP: one datagram (RFC 5426); TCP and TLS: the length in front and a blank (RFC 6587, RFC 5425)
journal     KEY=value, one a line, to /run/systemd/journal/socket (systemd, "Native Journal Protocol"); where there is none the same line to /dev/log

A log server answers nothing. Over TCP and TLS the sending is ended and its end of the connection awaited: a server that is gone is noticed; over UDP nothing is.
"""

from __future__ import annotations

import os
import re
import socket
import time
from contextlib import suppress
from datetime import UTC, datetime

from edgegw.config.channel_model import ChannelTable
from edgegw.rules.notifiers.connection import Connection
from edgegw.rules.notifiers.model import Notice
from edgegw.rules.notifiers.parts import Parts, failed
from edgegw.rules.notifiers.worker import Worker

JOURNAL = "/run/systemd/journal/socket"
LOG_SOCKET = "/dev/log"
# RFC 5426, 3.2: what every receiver should take in one datagram.
DATAGRAM_BYTES_MAX = 2048
# How long the server's end of the connection is awaited: many keep it open.
END_S = 2.0
_FACILITY = 16
_SEVERITIES = {"critical": 2, "major": 3, "minor": 4, "notice": 5}
# A level of the operator's own.
_SEVERITY_ELSE = 4
_NOT_PRINTED = re.compile(r"[^!-~]+")
# RFC 5424, 8: the number that stands for no enterprise.
_ENTERPRISE = 32473
_BOM = b"\xef\xbb\xbf"


class Syslog:
    """One place for logs."""

    def __init__(self, table: ChannelTable, parts: Parts) -> None:
        self.name = table.name
        self._table = table
        self._gateway = parts.gateway
        self._worker: Worker[str] = Worker(table.name)
        self.local_sockets = (JOURNAL, LOG_SOCKET)
        """Of this machine; the first that is there."""

    async def send(self, notice: Notice, recipient: str) -> str:
        """To whom how much was handed over."""
        del recipient
        table = self._table
        if not table.host:
            return self._to_journal(notice)
        connection = Connection(table.host, port_of(table), table.ca_file, table.timeout_s, f'channel "{self.name}", {table.host}:{port_of(table)}')
        message = compose(notice, self._gateway, time.time())
        return await self._worker.run(lambda: self._to_server(connection, message), connection.abort, table.timeout_s)

    async def close(self) -> None:
        await self._worker.close()

    def _to_server(self, connection: Connection, message: bytes) -> str:
        """In the thread."""
        table = self._table
        with connection:
            try:
                if table.security == "none" and table.transport == "udp":
                    return _by_datagram(table, message)
                line = connection.connect()
                if table.security == "tls":
                    line = connection.encrypt(line)
                line.sendall(b"%d %s" % (len(message), message))
                connection.end_sending()
                line.settimeout(min(END_S, connection.left_s()))
                _await_end(line)
            except OSError as fault:
                raise connection.broken(fault) from None
        return f"{len(message)} bytes to {table.host}:{port_of(table)}"

    def _to_journal(self, notice: Notice) -> str:
        """A local socket takes it at once or not at all."""
        path = next((path for path in self.local_sockets if os.path.exists(path)), "")  # noqa: PTH110 - a name, no path to work with
        message = journal_entry(notice) if path == self.local_sockets[0] else b"<%d>edgegw: %s" % (priority(notice.level), one_line(notice).encode())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as line:
                line.sendto(message, path)
        except OSError as fault:
            text = f'channel "{self.name}": the journal takes nothing: {fault.strerror}' if path else f'channel "{self.name}": this machine has no journal'
            raise failed("E-TELL-SERVER", text, "systemctl status systemd-journald", later=True) from None
        return f"{len(message)} bytes to {path}"


def port_of(table: ChannelTable) -> int:
    """As configured, else the usual one."""
    return table.port or (6514 if table.security == "tls" else 514)


def priority(level: str) -> int:
    """Facility local0 and the severity."""
    return _FACILITY * 8 + _SEVERITIES.get(level, _SEVERITY_ELSE)


def one_line(notice: Notice) -> str:
    """Subject and text; a line break would end the message."""
    return " | ".join(line for line in (" ".join(part.split()) for part in f"{notice.subject}\n{notice.text}".splitlines()) if line)


def compose(notice: Notice, gateway: str, at_s: float) -> bytes:
    """One message of RFC 5424, cut between two signs where it is longer than every receiver takes."""
    at = datetime.fromtimestamp(at_s, UTC)
    host = _NOT_PRINTED.sub("_", gateway.replace("/", "."))[:255] or "-"
    data = f'[edgegw@{_ENTERPRISE} notice="{_parameter(notice.notice_id)}" level="{_parameter(notice.level)}"]'
    head = f"<{priority(notice.level)}>1 {at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z {host} edgegw - alarm {data} "
    whole = head.encode() + _BOM + one_line(notice).encode()
    return whole[:DATAGRAM_BYTES_MAX].decode("utf-8", "ignore").encode()


def journal_entry(notice: Notice) -> bytes:
    """No value has a line break, so that none needs its length."""
    fields = {
        "MESSAGE": one_line(notice),
        "PRIORITY": str(priority(notice.level) % 8),
        "SYSLOG_IDENTIFIER": "edgegw",
        "SYSLOG_FACILITY": str(_FACILITY),
        "EDGEGW_NOTICE": notice.notice_id,
        "EDGEGW_LEVEL": notice.level,
    }
    return "".join(f"{key}={' '.join(value.splitlines())}\n" for key, value in fields.items()).encode()


def _parameter(value: str) -> str:
    return re.sub(r'(["\\\]])', r"\\\1", value)


def _by_datagram(table: ChannelTable, message: bytes) -> str:
    family, kind, protocol, _, address = socket.getaddrinfo(table.host, port_of(table), type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as line:
        line.sendto(message, address)
    return f"{len(message)} bytes to {table.host}:{port_of(table)}, which does not confirm"


def _await_end(line: socket.socket) -> None:
    """Until the server closes; one that keeps the connection open has not refused it either."""
    with suppress(TimeoutError):
        while line.recv(1024):
            pass
