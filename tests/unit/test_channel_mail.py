"""Mails, to a real SMTP server: with TLS, login, Chinese, refusals, and servers that hang or cut."""

from __future__ import annotations

import asyncio
import email
import email.policy
import socket
import ssl
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword

from edgegw.cloud.pki import Authority, DemoPki, make_demo_pki
from edgegw.config.channel_model import ChannelTable
from edgegw.errors import lookup
from edgegw.rules.notifiers.mail import Mail, compose
from tests.unit.channel_rig import NOTICE, SECRET, TEXT, Recorder, outcome, password_file, threads, until

USER, DUTY = "gw1@example.org", "duty@example.org"
Answer = Callable[[str], str | None]


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> DemoPki:
    return make_demo_pki(tmp_path_factory.mktemp("pki"))


class Post:
    """Keeps what it is given; `answers` has other words than 250 for a command."""

    def __init__(self, **answers: str) -> None:
        self.answers = answers
        self.envelopes: list[Envelope] = []
        self.hosts: list[str] = []

    async def handle_EHLO(self, _server: Any, session: Any, _envelope: Any, hostname: str, responses: list[str]) -> list[str]:  # noqa: N802 - aiosmtpd's
        self.hosts.append(hostname)
        session.host_name = hostname
        return responses

    async def handle_MAIL(self, _server: Any, _session: Any, envelope: Envelope, address: str, _options: Any) -> str:  # noqa: N802 - aiosmtpd's
        envelope.mail_from = address
        return self.answers.get("MAIL", "250 OK")

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Envelope, address: str, _options: Any) -> str:  # noqa: N802 - aiosmtpd's
        envelope.rcpt_tos.append(address)
        return self.answers.get("RCPT", "250 OK")

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        self.envelopes.append(envelope)
        return self.answers.get("DATA", "250 2.0.0 OK queued as 4F1C")


def check_login(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
    assert isinstance(data, LoginPassword)
    return AuthResult(success=(data.login.decode(), data.password.decode()) == (USER, SECRET), handled=False)


@asynccontextmanager
async def served(post: Post, pki: DemoPki, security: str, **settings: Any) -> AsyncIterator[int]:
    """The port of a real server that wants TLS, and a login where `auth` says so."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(settings.pop("cert", pki.server_cert), settings.pop("key", pki.server_key))
    rules: dict[str, Any] = {"hostname": "smtp.test", "loop": asyncio.get_running_loop(), **settings}
    if rules.pop("auth", False):
        rules |= {"authenticator": check_login, "auth_required": True, "auth_require_tls": security == "starttls"}
    if security == "starttls":
        rules |= {"tls_context": context, "require_starttls": True}
    made: list[SMTP] = []

    def make() -> SMTP:
        with warnings.catch_warnings(action="ignore"):  # It does not see that its port is encrypted as a whole, and warns of passwords in the clear.
            made.append(SMTP(post, **rules))
        return made[-1]

    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0, ssl=context if security == "tls" else None)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        await until(lambda: all(smtp.transport is None for smtp in made))
        server.close()
        await server.wait_closed()


def table(port: int, pki: DemoPki, **settings: Any) -> ChannelTable:
    return ChannelTable(
        **{"name": "mail", "kind": "mail", "host": "127.0.0.1", "port": port, "sender": USER, "ca_file": str(pki.ca), "timeout_s": 20.0, **settings}
    )


async def attempt(channel: ChannelTable, recipient: str = DUTY) -> Any:
    mail = Mail(channel, Recorder().parts)
    try:
        return await outcome(mail.send(NOTICE, recipient))
    finally:
        await mail.close()


def seen(found: Any) -> tuple[str, bool]:
    """Id and whether another attempt is worth it; the text must not tell the password, and the id must be explained."""
    assert SECRET not in str(found)
    assert lookup(found.message_id) is not None
    return found.message_id, found.later


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_a_chinese_mail_arrives_encrypted_and_logged_in(pki: DemoPki, tmp_path: Path, security: str) -> None:
    """Subject and text come out as they went in, the Message-ID is the notice's, the evidence is the server's answer."""
    post = Post()

    async def main() -> Any:
        async with served(post, pki, security, auth=True) as port:
            return await attempt(table(port, pki, security=security, username=USER, password_file=password_file(tmp_path)))

    assert "250 2.0.0 OK queued as 4F1C" == asyncio.run(main())
    (envelope,) = post.envelopes
    message = email.message_from_bytes(envelope.content, policy=email.policy.default)
    assert (USER, [DUTY]) == (envelope.mail_from, envelope.rcpt_tos)
    assert (NOTICE.subject, TEXT.split("\n")) == (message["Subject"], message.get_content().splitlines())
    assert ("<epoch-17.3@example.org>", "auto-generated") == (message["Message-ID"], message["Auto-Submitted"])
    assert [] == threads()


def test_a_table_arrives_as_a_file(pki: DemoPki) -> None:
    """Beside the text, with its name and every byte of it, in lines that each server takes."""
    post = Post()
    attached = ("\ufeff时间,数值\r\n" + "2026-11-21,229.4\r\n" * 2000).encode()
    notice = msgspec.structs.replace(NOTICE, attached=attached, attached_name="report-7.csv")

    async def main() -> Any:
        async with served(post, pki, "tls") as port:
            return await outcome(Mail(table(port, pki), Recorder().parts).send(notice, DUTY))

    assert "250 2.0.0 OK queued as 4F1C" == asyncio.run(main())
    raw = post.envelopes[0].content
    message = email.message_from_bytes(raw, policy=email.policy.default)
    (found,) = message.iter_attachments()
    assert (TEXT.split("\n"), attached) == (message.get_body().get_content().splitlines(), found.get_payload(decode=True))
    assert ("report-7.csv", "text/csv", "utf-8") == (found.get_filename(), found.get_content_type(), found.get_content_charset())
    assert (NOTICE.subject, "<epoch-17.3@example.org>") == (message["Subject"], message["Message-ID"])
    assert 78 >= max(map(len, raw.splitlines()))


def test_the_longest_id_and_subject_stay_whole() -> None:
    """A Message-ID of 96 signs is not folded or encoded, and a subject has no second line."""
    notice = NOTICE.__class__("n" * 96, "major", "告警" * 60 + "\nBcc: all@example.org", TEXT, "")
    message = email.message_from_bytes(compose(notice, USER, DUTY).as_bytes(), policy=email.policy.default)
    assert (f"<{'n' * 96}@example.org>", "告警" * 60 + " Bcc: all@example.org") == (message["Message-ID"], message["Subject"])
    assert message["Bcc"] is None


@pytest.mark.parametrize(
    "subject",
    [
        "[重大] R10 DI-01 控制柜: 市电中断 (市电失电) - 新告警 #64",
        "[critical] R10 DI-01 控制柜: smoke (烟感 2) - nobody has acknowledged it #1",
        "[TEST] R10: This is a test of the channel mail. There is nothing to do.",
        " ".join(["告警 new"] * 22),
    ],
)
def test_a_subject_keeps_its_spaces(subject: str) -> None:
    """Wherever its lines are folded, as a mail program reads it; none of them is longer than 78 signs."""
    raw = compose(NOTICE.__class__("n-1", "major", subject, TEXT, ""), USER, DUTY).as_bytes()
    assert subject == email.message_from_bytes(raw, policy=email.policy.default)["Subject"]
    assert 78 >= max(map(len, raw.partition(b"Date:")[0].splitlines()))


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({"RCPT": "550 5.1.1 no such user"}, ("E-TELL-RECIPIENT", False)),
        ({"RCPT": "450 4.2.0 greylisted"}, ("E-TELL-RECIPIENT", True)),
        ({"MAIL": "553 5.7.1 not your address"}, ("E-TELL-REFUSED", True)),
        ({"MAIL": "421 4.3.2 too busy"}, ("E-TELL-REFUSED", True)),
        ({"DATA": "554 5.7.1 spam"}, ("E-TELL-REFUSED", False)),
        ({"DATA": "452 4.3.1 mailbox full"}, ("E-TELL-REFUSED", True)),
    ],
)
def test_a_refusal_is_told_with_its_words_and_whether_it_lasts(pki: DemoPki, answers: dict[str, str], expected: tuple[str, bool]) -> None:
    """5xx is for good, 4xx is for now, a refused sender is the configuration's fault; what the server said stands in the text."""

    async def main() -> Any:
        async with served(Post(**answers), pki, "tls") as port:
            return await attempt(table(port, pki))

    found = asyncio.run(main())
    assert expected == seen(found)
    assert next(iter(answers.values())) in found.text


def test_a_long_answer_is_not_cut_through_the_password(pki: DemoPki, tmp_path: Path) -> None:
    """Half of it would be as bad: it is taken out before the answer is shortened."""
    said = "554 " + "x" * 180 + f" {SECRET}"

    async def main() -> Any:
        async with served(Post(DATA=said), pki, "tls", auth=True) as port:
            return await attempt(table(port, pki, username=USER, password_file=password_file(tmp_path)))

    found = asyncio.run(main())
    assert ("E-TELL-REFUSED", False) == seen(found)
    assert SECRET[:5] not in found.text


def test_a_wrong_password_is_told_and_not_repeated(pki: DemoPki, tmp_path: Path) -> None:
    """The login is refused, the password stands nowhere."""

    async def main() -> Any:
        async with served(Post(), pki, "tls", auth=True) as port:
            word = password_file(tmp_path, "wrong-Word")
            return await attempt(table(port, pki, username=USER, password_file=word))

    found = asyncio.run(main())
    assert ("E-TELL-LOGIN", True) == seen(found)
    assert "wrong-Word" not in f"{found} {found.__cause__} {found.__context__}"


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_password_that_others_may_read_is_not_used(pki: DemoPki, tmp_path: Path, mode: int) -> None:
    """Nothing is connected, and the text names the command that repairs it."""
    word = password_file(tmp_path)
    Path(word).chmod(mode)
    found = asyncio.run(attempt(table(1, pki, username=USER, password_file=word)))
    assert ("E-KEY-MODE", True) == seen(found)
    assert "chmod 600" in found.next_step


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_a_foreign_certificate_gets_nothing(pki: DemoPki, tmp_path: Path, security: str) -> None:
    """A server whose authority is not ours, or that has another name, hears neither password nor mail."""
    other = Authority("someone else")
    foreign = other.issue(tmp_path / "foreign", "smtp", ["127.0.0.1"])
    elsewhere = make_demo_pki(tmp_path / "elsewhere", ["smtp.example.org"])
    post = Post()

    async def main() -> list[Any]:
        found = []
        for (cert, key), ca in ((foreign, pki.ca), ((elsewhere.server_cert, elsewhere.server_key), elsewhere.ca)):
            async with served(post, pki, security, cert=cert, key=key) as port:
                found.append(await attempt(table(port, pki, ca_file=str(ca), security=security)))
        return found

    assert [("E-TELL-TLS", True)] * 2 == [seen(found) for found in asyncio.run(main())]
    assert [] == post.envelopes


def test_a_server_without_starttls_gets_nothing(pki: DemoPki) -> None:
    """Who strips STARTTLS from the conversation does not get the mail in the clear."""
    post = Post()

    async def main() -> Any:
        async with served(post, pki, "none") as port:
            return await attempt(table(port, pki, security="starttls"))

    assert ("E-TELL-TLS", True) == seen(asyncio.run(main()))
    assert [] == post.envelopes


def test_tls_on_a_port_that_speaks_plainly_is_told(pki: DemoPki) -> None:
    """The port of STARTTLS with security = "tls" is the usual mistake."""

    async def main() -> Any:
        async with served(Post(), pki, "starttls") as port:
            return await attempt(table(port, pki))

    assert ("E-TELL-TLS", True) == seen(asyncio.run(main()))


@asynccontextmanager
async def raw_server(talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]) -> AsyncIterator[int]:
    tasks: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())  # type: ignore[arg-type]
        with suppress(ConnectionError, asyncio.CancelledError):
            await talk(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        server.close()
        await server.wait_closed()


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Greets, and never answers."""
    writer.write(b"220 smtp.test\r\n")
    while await reader.read(100):
        pass


async def dribble(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One sign at a time: every read is answered in time, and nothing ever comes of it."""
    while True:
        writer.write(b"2")
        await writer.drain()
        await asyncio.sleep(0.05)


async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 smtp.test\r\n")
    await reader.readline()


async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
    await reader.readline()


async def cut_behind_the_message(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes all of it, and is gone before it says so."""
    writer.write(b"220 smtp.test\r\n")
    while (line := await reader.readline()) != b".\r\n":
        command = line[:4].upper()
        if command in (b"EHLO", b"MAIL", b"RCPT"):
            writer.write(b"250 OK\r\n")
        elif command == b"DATA":
            writer.write(b"354 go on\r\n")


async def hang_behind_the_message(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await cut_behind_the_message(reader, writer)
    await reader.read()


@pytest.mark.parametrize(
    ("talk", "timeout_s", "expected"),
    [
        (hang, 1.0, ("E-TELL-TIMEOUT", "E-TELL-SERVER")),
        (dribble, 1.0, ("E-TELL-TIMEOUT", "E-TELL-SERVER")),
        (cut, 20.0, ("E-TELL-CUT",)),
        (babble, 20.0, ("E-TELL-CUT", "E-TELL-REFUSED")),
        (cut_behind_the_message, 20.0, ("E-TELL-CUT",)),
    ],
    ids=["hang", "dribble", "cut", "babble", "cut-behind-the-message"],
)
def test_a_server_that_hangs_or_cuts_ends_the_attempt(pki: DemoPki, talk: Any, timeout_s: float, expected: tuple[str, ...]) -> None:
    """Within its time, worth another try, and without a thread left behind."""

    async def main() -> tuple[Any, list[str]]:
        async with raw_server(talk) as port:
            return await attempt(table(port, pki, security="none", timeout_s=timeout_s)), threads()

    found, left = asyncio.run(main())
    message_id, later = seen(found)
    assert (True, []) == (later, left)
    assert message_id in expected


@pytest.mark.parametrize(
    ("talk", "answers", "expected"),
    [
        (cut_behind_the_message, {}, True),
        (hang_behind_the_message, {}, True),
        (hang, {}, False),
        (None, {"DATA": "452 full"}, False),
        (None, {"RCPT": "450 no"}, False),
    ],
    ids=["cut", "hang", "before", "refused", "recipient-refused"],
)
def test_a_mail_that_may_have_been_taken_is_known_as_such(pki: DemoPki, talk: Any, answers: dict[str, str], expected: bool) -> None:  # noqa: FBT001 - a case
    """Only where the server has all of it and does not say what became of it."""

    async def main() -> Any:
        async with raw_server(talk) if talk else served(Post(**answers), pki, "tls") as port:
            return await attempt(table(port, pki, security="none" if talk else "tls", timeout_s=1.5 if talk else 20.0))

    found = asyncio.run(main())
    assert (True, expected) == (found.later, found.unsure)


def test_an_attempt_that_is_cancelled_leaves_nothing(pki: DemoPki) -> None:
    """The connection is cut and its thread has ended when the cancelling returns."""

    async def main() -> tuple[bool, list[str]]:
        greeted = asyncio.Event()

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 smtp.test\r\n")
            await reader.readline()
            greeted.set()
            await hang(reader, writer)

        async with raw_server(talk) as port:
            mail = Mail(table(port, pki, security="none"), Recorder().parts)
            sending = asyncio.ensure_future(mail.send(NOTICE, DUTY))
            await asyncio.wait_for(greeted.wait(), 20)
            sending.cancel()
            await asyncio.wait((sending,))
            return sending.cancelled(), threads()

    assert (True, []) == asyncio.run(main())


@pytest.mark.parametrize("recipient", ["", "duty", "a b@example.org", "a@example.org, b@example.org", "值班@example.org", "<a@b.c>", "a@b.c\r\nDATA"])
def test_what_is_no_address_is_not_sent(pki: DemoPki, recipient: str) -> None:
    """It is refused for good before anything is connected."""
    assert ("E-TELL-RECIPIENT", False) == seen(asyncio.run(attempt(table(1, pki), recipient)))


def test_a_server_that_never_takes_the_connection_ends_the_attempt(pki: DemoPki) -> None:
    """Behind a firewall that drops everything: in its time, and the thread has ended."""
    with socket.socket() as server, ExitStack() as clients:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(3):  # Its queue is full: the next one is not answered.
            client = clients.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        found = asyncio.run(attempt(table(server.getsockname()[1], pki, timeout_s=1.0)))
    assert seen(found) in {("E-TELL-TIMEOUT", True), ("E-TELL-SERVER", True)}
    assert [] == threads()


def test_a_server_that_refuses_everybody_does_not_blame_the_notice(pki: DemoPki) -> None:
    """554 at the greeting is of another kind than 554 behind the message."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"554 no SMTP service here\r\n")
        await reader.readline()

    async def main() -> Any:
        async with raw_server(refuse) as port:
            return await attempt(table(port, pki, security="none"))

    assert ("E-TELL-REFUSED", True) == seen(asyncio.run(main()))


def test_a_server_that_is_not_there_is_told(pki: DemoPki) -> None:
    """A closed port and a name that nobody has are faults of the server, worth another try."""

    async def main() -> list[Any]:
        return [await attempt(table(1, pki)), await attempt(table(25, pki, host="no-such-host.invalid")), await attempt(table(25, pki, host="a..b"))]

    assert [("E-TELL-SERVER", True)] * 3 == [seen(found) for found in asyncio.run(main())]
