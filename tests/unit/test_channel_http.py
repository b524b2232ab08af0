"""SMS by a web interface, to a real HTTP server: templates, secrets, good and bad answers, servers that hang or send elsewhere."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import pytest

from edgegw.cloud.pki import DemoPki, make_demo_pki
from edgegw.config.channel_model import ChannelTable
from edgegw.errors import lookup
from edgegw.rules.notifiers.model import Notice
from edgegw.rules.notifiers.sms_http import SmsHttp
from tests.unit.channel_rig import NOTICE, SECRET, Recorder, outcome, password_file, threads

NUMBER = "+8613800138000"
GOOD = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"code":0,"id":"7781"}'
NASTY = Notice("n-1", "major", "", "", 'He said "stop" \\ {secret} & 50 % = 一半？#1+1\n{number}')


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> DemoPki:
    return make_demo_pki(tmp_path_factory.mktemp("pki"))


class Asked(NamedTuple):
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class Provider:
    """Answers every request with the same bytes, and closes."""

    def __init__(self, answer: bytes | None = GOOD) -> None:
        self.answer = answer
        """None: never."""
        self.asked: list[Asked] = []
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
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._answer(reader, writer)
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

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, target, _ = head.split()
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.asked.append(Asked(method, target, headers, body))
        if self.answer is None:
            await reader.read()
        else:
            writer.write(self.answer)
            await writer.drain()


def table(**settings: Any) -> ChannelTable:
    return ChannelTable(**{"name": "sms", "kind": "sms_http", "body": '{"phone":"{number}","msg":"{text}","ref":"{notice_id}"}', "timeout_s": 20.0, **settings})


async def attempt(channel: ChannelTable, notice: Notice = NOTICE, number: str = NUMBER) -> Any:
    sms = SmsHttp(channel, Recorder().parts)
    try:
        return await outcome(sms.send(notice, number))
    finally:
        await sms.close()


def seen(found: Any) -> tuple[str, bool]:
    """Id and whether another attempt is worth it; the secret stands nowhere."""
    assert SECRET not in f"{found} {found.__cause__} {found.__context__}"
    assert lookup(found.message_id) is not None
    return found.message_id, found.later


def test_a_request_is_as_the_template_says(pki: DemoPki, tmp_path: Path) -> None:
    """Over HTTPS, with the secret in a header, the text as it was in the body; the provider's words are the evidence."""
    provider = Provider()

    async def main() -> Any:
        async with provider.served(pki):
            url = f"https://127.0.0.1:{provider.port}/v1/send?ref={{notice_id}}"
            word = password_file(tmp_path)
            return await attempt(
                table(url=url, ca_file=str(pki.ca), headers=["Authorization: Bearer {secret}"], password_file=word, expect_text='"code":0'), NASTY
            )

    assert '200 {"code":0,"id":"7781"}' == asyncio.run(main())
    (asked,) = provider.asked
    assert ("POST", "/v1/send?ref=n-1", f"Bearer {SECRET}") == (asked.method, asked.target, asked.headers["authorization"])
    assert {"phone": NUMBER, "msg": NASTY.short, "ref": "n-1"} == json.loads(asked.body)
    assert "application/json; charset=utf-8" == asked.headers["content-type"]
    assert [] == threads()


def test_a_form_and_a_query_come_out_as_they_went_in() -> None:
    """Whatever the text holds: nothing of it ends a field, begins another or is filled in again."""
    provider = Provider()

    async def main() -> list[Any]:
        async with provider.served():
            url = f"http://127.0.0.1:{provider.port}/send"
            form = table(url=url, body="to={number}&text={text}&sign=abc", body_format="form")
            query = table(url=url + "?to={number}&text={text}", method="GET", body="")
            return [await attempt(form, NASTY), await attempt(query, NASTY)]

    assert 2 == len(asyncio.run(main()))
    form, query = provider.asked
    assert [("to", NUMBER), ("text", NASTY.short), ("sign", "abc")] == parse_qsl(form.body.decode())
    assert [("to", NUMBER), ("text", NASTY.short)] == parse_qsl(urlsplit(query.target).query)
    assert ("GET", b"") == (query.method, query.body)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b'HTTP/1.1 200 OK\r\n\r\n{"code":160, "msg":"balance"}', ("E-TELL-REFUSED", True)),
        (b"HTTP/1.1 401 Unauthorized\r\n\r\nbad key", ("E-TELL-LOGIN", True)),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", ("E-TELL-LOGIN", True)),
        (b"HTTP/1.1 400 Bad Request\r\n\r\nbad number", ("E-TELL-REFUSED", False)),
        (b"HTTP/1.1 429 Too Many Requests\r\n\r\n", ("E-TELL-REFUSED", True)),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\nlater", ("E-TELL-REFUSED", True)),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/steal\r\n\r\n", ("E-TELL-REFUSED", True)),
        (b"SSH-2.0-OpenSSH\r\n", ("E-TELL-SERVER", True)),
        (b"", ("E-TELL-CUT", True)),
    ],
    ids=["wrong-text", "login", "forbidden", "bad", "too-many", "busy", "elsewhere", "no-http", "cut"],
)
def test_another_answer_is_told(answer: bytes, expected: tuple[str, bool]) -> None:
    """What is for now and what is for good; a redirect is not followed."""
    provider = Provider(answer)

    async def main() -> Any:
        async with provider.served():
            return await attempt(table(url=f"http://127.0.0.1:{provider.port}/", expect_text='"code":0'))

    found = asyncio.run(main())
    assert expected == seen(found)
    assert 1 == len(provider.asked)
    # Whoever said 200 may have sent it; whoever said nothing too.
    assert (answer.startswith(b"HTTP/1.1 200") or not answer.startswith(b"HTTP")) == found.unsure


def test_a_provider_that_repeats_the_secret_does_not_bring_it_into_the_record(tmp_path: Path) -> None:
    """Evidence and refusal show stars instead."""

    async def main(answer: bytes) -> Any:
        provider = Provider(answer)
        async with provider.served():
            url = f"http://127.0.0.1:{provider.port}/?key={{secret}}"
            return await attempt(table(url=url, password_file=password_file(tmp_path)))

    assert "200 key *** is good" == asyncio.run(main(f"HTTP/1.1 200 OK\r\n\r\nkey {SECRET} is good".encode()))
    refused = asyncio.run(main(f"HTTP/1.1 400 Bad\r\n\r\nkey {SECRET} is bad".encode()))
    assert ("E-TELL-REFUSED", False) == seen(refused)
    assert "key *** is bad" in refused.text


def test_a_provider_with_a_foreign_certificate_hears_nothing(pki: DemoPki, tmp_path: Path) -> None:
    """The request, and with it the secret, is not sent."""
    provider, other = Provider(), make_demo_pki(tmp_path / "other")

    async def main() -> Any:
        async with provider.served(other):
            return await attempt(table(url=f"https://127.0.0.1:{provider.port}/", ca_file=str(pki.ca)))

    assert ("E-TELL-TLS", True) == seen(asyncio.run(main()))
    assert [] == provider.asked


def test_a_provider_that_never_answers_ends_the_attempt() -> None:
    """Within its time, and no thread is left behind; the next attempt works."""

    async def main() -> tuple[Any, list[str], Any]:
        provider = Provider(None)
        async with provider.served():
            sms = SmsHttp(table(url=f"http://127.0.0.1:{provider.port}/", timeout_s=1.0), Recorder().parts)
            hung, left = await outcome(sms.send(NOTICE, NUMBER)), threads()
            provider.answer = GOOD
            return hung, left, await outcome(SmsHttp(table(url=f"http://127.0.0.1:{provider.port}/"), Recorder().parts).send(NOTICE, NUMBER))

    hung, left, sent = asyncio.run(main())
    assert seen(hung) in {("E-TELL-TIMEOUT", True), ("E-TELL-SERVER", True)}
    assert ([], '200 {"code":0,"id":"7781"}') == (left, sent)


def test_a_secret_that_no_header_can_carry_is_not_told(tmp_path: Path) -> None:
    """Signs beyond a header's: nothing is sent, and nobody reads it in a message."""
    provider = Provider()

    async def main() -> Any:
        async with provider.served():
            url = f"http://127.0.0.1:{provider.port}/"
            return await attempt(table(url=url, headers=["X-Key: {secret}"], password_file=password_file(tmp_path, SECRET + "密钥")))

    assert ("E-TELL-LOGIN", True) == seen(asyncio.run(main()))
    assert [] == provider.asked


@pytest.mark.parametrize("number", ["", "12", "+86 138", 'x","admin":"1'])
def test_what_is_no_number_is_not_sent(number: str) -> None:
    """It is refused for good before anything is connected."""
    assert ("E-TELL-RECIPIENT", False) == seen(asyncio.run(attempt(table(url="http://127.0.0.1:1/"), number=number)))
