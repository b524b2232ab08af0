"""System messages: RFC 5424 to real servers over UDP, TCP and TLS, and the journal of this machine by its socket."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from edgegw.cloud.pki import DemoPki, make_demo_pki
from edgegw.config.channel_model import ChannelTable
from edgegw.errors import lookup
from edgegw.rules.notifiers.model import Notice
from edgegw.rules.notifiers.system import DATAGRAM_BYTES_MAX, Syslog, compose
from tests.unit.channel_rig import NOTICE, Recorder, outcome, threads

LINE = "烟感报警 R10 smoke | 站点 R10：消防烟感报警 | 设备 DI-01，一次变压器室 | 第一步：切断电源 & 通知值班"
# RFC 5424, 6: HEADER SP STRUCTURED-DATA SP MSG.
MESSAGE = re.compile(
    rb"<(?P<pri>\d{1,3})>1 (?P<at>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (?P<host>[!-~]{1,255}) (?P<app>[!-~]{1,48}) (?P<proc>[!-~]{1,128}) (?P<id>[!-~]{1,32}) "
    rb"(?P<data>\[[!-~]+(?: [!-~]+=\"(?:[^\"\\\]]|\\.)*\")*\]) \xef\xbb\xbf(?P<text>.*)",
    re.DOTALL,
)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> DemoPki:
    return make_demo_pki(tmp_path_factory.mktemp("pki"))


def channel(**settings: Any) -> Syslog:
    return Syslog(ChannelTable(**{"name": "log", "kind": "syslog", "timeout_s": 20.0, **settings}), Recorder().parts)


async def attempt(syslog: Syslog, notice: Notice = NOTICE) -> Any:
    try:
        return await outcome(syslog.send(notice, ""))
    finally:
        await syslog.close()


def seen(found: Any) -> tuple[str, bool]:
    assert lookup(found.message_id) is not None
    return found.message_id, found.later


def fields(message: bytes) -> dict[str, str]:
    found = MESSAGE.fullmatch(message)
    assert found is not None, message
    return {name: value.decode() for name, value in found.groupdict().items()}


def test_a_message_has_every_field_of_the_standard() -> None:
    """Priority of local0 and the level, UTC with milliseconds, the gateway as host, what the notice is in structured data, UTF-8 behind its mark."""
    at_s = 1_763_717_400.1239
    assert {
        "pri": "130",
        "at": "2025-11-21T09:30:00.123Z",
        "host": "op.R10.gw1",
        "app": "edgegw",
        "proc": "-",
        "id": "alarm",
        "data": '[edgegw@32473 notice="epoch-17.3" level="critical"]',
        "text": LINE,
    } == fields(compose(NOTICE, "op/R10/gw1", at_s))


@pytest.mark.parametrize(("level", "priority"), [("critical", 130), ("major", 131), ("minor", 132), ("notice", 133), ("my own", 132)])
def test_a_level_is_a_severity(level: str, priority: int) -> None:
    """2 critical, 3 error, 4 warning, 5 notice; a level of the operator's own is a warning."""
    assert str(priority) == fields(compose(Notice("n", level, "s", "t", ""), "g", 0))["pri"]


def test_whatever_a_notice_holds_the_message_stays_one() -> None:
    """Quotes and brackets are escaped, line breaks gone, and a long text ends between two signs within what every receiver takes."""
    wild = Notice('n"]\\', 'a]"b', "s\r\n<13>1 forged", "告警" * 1000 + "\n\n\tend", "")
    message = compose(wild, "站点/x y", 0)
    found = fields(message)
    assert (r'[edgegw@32473 notice="n\"\]\\" level="a\]\"b"]', "_.x_y") == (found["data"], found["host"])
    assert b"\n" not in message
    assert DATAGRAM_BYTES_MAX - 2 <= len(message) <= DATAGRAM_BYTES_MAX


def test_udp_sends_one_datagram() -> None:
    """A real receiver gets the message as it was composed; that nobody confirms it stands in the evidence."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(20)
        said = asyncio.run(attempt(channel(host="127.0.0.1", port=receiver.getsockname()[1], security="none", transport="udp")))
        message = receiver.recv(65536)
    assert LINE == fields(message)["text"]
    assert f"{len(message)} bytes to 127.0.0.1:" in said
    assert "does not confirm" in said


class Server:
    """Takes what comes over TCP until its end."""

    def __init__(self, *, keeps_open: bool = False, resets: bool = False) -> None:
        self.received: list[bytes] = []
        self.keeps_open = keeps_open
        self.resets = resets
        self.port = 0

    @asynccontextmanager
    async def served(self, pki: DemoPki | None = None) -> AsyncIterator[None]:
        context = None
        if pki is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(pki.server_cert, pki.server_key)
        tasks: set[asyncio.Task[None]] = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            tasks.add(asyncio.current_task())  # type: ignore[arg-type]
            with suppress(ConnectionError, asyncio.CancelledError):
                if self.resets:
                    writer.transport.abort()
                    return
                self.received.append(await reader.read(4096))
                if self.keeps_open:
                    await asyncio.get_running_loop().create_future()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            server.close()
            await server.wait_closed()


@pytest.mark.parametrize("encrypted", [False, True], ids=["tcp", "tls"])
@pytest.mark.parametrize("keeps_open", [False, True])
def test_a_stream_carries_the_length_in_front(pki: DemoPki, *, encrypted: bool, keeps_open: bool) -> None:
    """Over TCP and TLS (RFC 6587, RFC 5425), whether the server closes at the end or keeps its connection; no thread stays."""
    server = Server(keeps_open=keeps_open)

    async def main() -> Any:
        async with server.served(pki if encrypted else None):
            security = {"security": "tls", "ca_file": str(pki.ca)} if encrypted else {"security": "none"}
            return await attempt(channel(host="127.0.0.1", port=server.port, **security))

    said = asyncio.run(main())
    length, _, message = server.received[0].partition(b" ")
    assert (len(message), LINE) == (int(length), fields(message)["text"])
    assert (f"{len(message)} bytes to 127.0.0.1:{server.port}", []) == (said, threads())


def test_a_server_that_is_gone_or_resets_is_told(pki: DemoPki) -> None:
    """A closed port, a cut connection, a foreign certificate: worth another try."""
    resetting, foreign = Server(resets=True), Server()

    async def main() -> list[Any]:
        found = [await attempt(channel(host="127.0.0.1", port=1, security="none"))]
        async with resetting.served():
            found.append(await attempt(channel(host="127.0.0.1", port=resetting.port, security="none")))
        async with foreign.served(pki):
            found.append(await attempt(channel(host="127.0.0.1", port=foreign.port)))
        return found

    assert [("E-TELL-SERVER", True), ("E-TELL-CUT", True), ("E-TELL-TLS", True)] == [seen(found) for found in asyncio.run(main())]
    assert [] == foreign.received


@pytest.mark.parametrize("is_journal", [True, False], ids=["journal", "dev-log"])
def test_the_journal_of_this_machine_gets_its_fields(tmp_path: Path, *, is_journal: bool) -> None:
    """systemd's socket gets fields, one a line; /dev/log one line with its priority."""
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(path)
        journal.settimeout(20)
        syslog = channel()
        syslog.local_sockets = (path, "/nowhere") if is_journal else ("/nowhere", path)
        said = asyncio.run(attempt(syslog, Notice("n-1", "major", "s", "a\nMESSAGE=forged\n", "")))
        message = journal.recv(65536).decode()
    wanted = {
        "MESSAGE": "s | a | MESSAGE=forged",
        "PRIORITY": "3",
        "SYSLOG_IDENTIFIER": "edgegw",
        "SYSLOG_FACILITY": "16",
        "EDGEGW_NOTICE": "n-1",
        "EDGEGW_LEVEL": "major",
    }
    if is_journal:
        assert wanted == dict(line.split("=", 1) for line in message.splitlines())
    else:
        assert "<131>edgegw: s | a | MESSAGE=forged" == message
    assert f"{len(message)} bytes to {path}" == said


def test_a_machine_without_a_journal_or_with_a_full_one_says_so(tmp_path: Path) -> None:
    """Nothing waits for it: the attempt ends at once and is repeated."""
    full = tmp_path / "socket"
    missing = channel()
    missing.local_sockets = ("/nowhere", "/nowhere either")
    stuffed = channel()
    stuffed.local_sockets = (str(full), "/nowhere")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        journal.bind(str(full))
        other.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                other.sendto(os.urandom(512), str(full))
        found = [asyncio.run(attempt(one)) for one in (missing, stuffed)]
    assert [("E-TELL-SERVER", True)] * 2 == [seen(one) for one in found]
    assert "no journal" in found[0].text
