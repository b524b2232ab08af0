"""Mails by SMTP (RFC 5321), with TLS from the first byte (RFC 8314, port 465) or from STARTTLS on (RFC 3207, port 587).

    S 220 ready     C EHLO     S 250 abilities     C STARTTLS     S 220     - TLS -     C EHLO     S 250
    C AUTH ...      S 235      C MAIL FROM         S 250          C RCPT TO             S 250
    C DATA          S 354      C message, "."      S 250 queued as ...: the evidence    C QUIT

An answer of 4xx is for now, one of 5xx for good. Where the connection is cut behind the message nobody knows whether it was taken: it is sent
again with the same Message-ID.
"""

from __future__ import annotations

import re
import smtplib
import socket
from contextlib import suppress
from email.encoders import encode_base64
from email.header import Header
from email.mime.base import MIMEBase
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.policy import compat32
from email.utils import formatdate

from edgegw.config.channel_model import ChannelTable
from edgegw.rules.notifiers.connection import Connection
from edgegw.rules.notifiers.model import Notice, TellingError
from edgegw.rules.notifiers.parts import Parts, failed, secret
from edgegw.rules.notifiers.worker import Worker, clean

_PORTS = {"tls": 465, "starttls": 587, "none": 25}
_ADDRESS = re.compile(r"[^\s@<>,;:\"]+@[^\s@<>,;:\"]+")
# A line that is folded already stays so, and a Message-ID is never folded (RFC 5322, 2.1.1).
_POLICY = compat32.clone(max_line_length=998, linesep="\r\n")
# RFC 5321, 4.5.3.1.3.
_ADDRESS_CHARACTERS_MAX = 254


class Mail:
    """One server."""

    def __init__(self, table: ChannelTable, parts: Parts) -> None:
        self.name = table.name
        self._table = table
        self._parts = parts
        self._worker: Worker[str] = Worker(table.name)

    async def send(self, notice: Notice, recipient: str) -> str:
        """The server's answer to the message."""
        if not _ADDRESS.fullmatch(recipient) or not recipient.isascii() or len(recipient) > _ADDRESS_CHARACTERS_MAX:
            raise failed("E-TELL-RECIPIENT", f'{self._where}: "{recipient}" is no mail address', "correct the recipient in the configuration", later=False)
        password = secret(self._table, self._parts)
        message = compose(notice, self._table.sender, recipient)
        table = self._table
        connection = Connection(table.host, port_of(table), table.ca_file, table.timeout_s, self._where, password)
        attempt = _Attempt(table, password, connection)
        try:
            return await self._worker.run(lambda: attempt.run(message, recipient), connection.abort, table.timeout_s)
        except TellingError as fault:
            fault.unsure = connection.is_unsure
            raise

    async def close(self) -> None:
        await self._worker.close()

    @property
    def _where(self) -> str:
        return f'channel "{self.name}", {self._table.host}:{port_of(self._table)}'


def port_of(table: ChannelTable) -> int:
    """As configured, else the usual one."""
    return table.port or _PORTS[table.security]


def compose(notice: Notice, sender: str, recipient: str) -> MIMEBase:
    """The mail. Text in base64: every server takes it, whatever the language. A subject that EmailMessage folds loses and gains spaces; Header's does not."""
    text = MIMEText(notice.text, "plain", "utf-8", policy=_POLICY)
    message: MIMEBase = text
    if notice.attached:
        table = MIMEBase("text", "csv", charset="utf-8", policy=_POLICY)
        table.set_payload(notice.attached)
        encode_base64(table)
        table["Content-Disposition"] = f'attachment; filename="{notice.attached_name}"'
        message = MIMEMultipart("mixed", None, (text, table), policy=_POLICY)
    message["From"] = sender
    message["To"] = recipient
    message["Subject"] = Header(" ".join(notice.subject.split()), "utf-8", header_name="Subject").encode()
    message["Date"] = formatdate()
    message["Message-ID"] = f"<{notice.notice_id}@{sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    return message


class _Attempt:
    """One conversation, in a thread."""

    def __init__(self, table: ChannelTable, password: str, connection: Connection) -> None:
        self._table = table
        self._password = password
        self._connection = connection
        self._is_delivering = False
        """What is refused before, the sender too, has nothing to do with the notice."""

    def run(self, message: MIMEBase, recipient: str) -> str:
        """Raises TellingError."""
        with self._connection as connection:
            try:
                smtp = self._greet()
                self._log_in(smtp)
                return self._deliver(smtp, message, recipient)
            except smtplib.SMTPResponseException as fault:
                connection.is_unsure = False
                raise self._refused("E-TELL-REFUSED", fault.smtp_code, fault.smtp_error, "look into the server's log") from None
            except smtplib.SMTPServerDisconnected as fault:
                if isinstance(fault.__context__, OSError):
                    raise connection.broken(fault.__context__) from None
                raise connection.failed("E-TELL-CUT", "the server ended the connection", "look into the server's log") from None
            except smtplib.SMTPException as fault:
                raise connection.failed("E-TELL-SERVER", str(fault), "look into the server's log") from None
            except OSError as fault:
                raise connection.broken(fault) from None

    def _greet(self) -> smtplib.SMTP:
        """Connected, encrypted as configured, and introduced."""
        line = self._connection.connect()
        smtp = self._session(self._connection.encrypt(line) if self._table.security == "tls" else line)
        _expect(220, *smtp.getreply())
        smtp.ehlo_or_helo_if_needed()
        if self._table.security == "starttls":
            if not smtp.has_extn("starttls"):
                raise self._connection.failed("E-TELL-TLS", "the server offers no STARTTLS", "check port and security; nothing was sent unencrypted")
            _expect(220, *smtp.docmd("STARTTLS"))
            # What the server said before it was encrypted is forgotten.
            smtp = self._session(self._connection.encrypt(line))
            smtp.ehlo_or_helo_if_needed()
        return smtp

    def _session(self, line: socket.socket) -> smtplib.SMTP:
        name = socket.gethostname()  # smtplib would ask the name server, which may hang.
        smtp = smtplib.SMTP(local_hostname=name if "." in name else "[127.0.0.1]")
        smtp.sock = line
        self._connection.at_end(smtp.close)
        line.settimeout(self._connection.left_s())
        return smtp

    def _log_in(self, smtp: smtplib.SMTP) -> None:
        if not self._table.username:
            return
        next_step = "check username and password_file"
        try:
            smtp.login(self._table.username, self._password)
        except smtplib.SMTPAuthenticationError as fault:
            raise self._connection.failed("E-TELL-LOGIN", f"the login is refused: {_said(fault.smtp_code, fault.smtp_error)}", next_step) from None
        except smtplib.SMTPNotSupportedError:
            raise self._connection.failed("E-TELL-LOGIN", "the server takes no login here", "check port and security") from None
        except UnicodeEncodeError:
            raise self._connection.failed("E-TELL-LOGIN", "the name or password has signs that SMTP cannot carry", next_step) from None

    def _deliver(self, smtp: smtplib.SMTP, message: MIMEBase, recipient: str) -> str:
        _expect(250, *smtp.mail(self._table.sender))
        self._is_delivering = True
        code, said = smtp.rcpt(recipient)
        if code not in (250, 251):
            raise self._refused("E-TELL-RECIPIENT", code, said, f"check the address {recipient}")
        self._connection.is_unsure = True
        code, said = smtp.data(message.as_bytes())
        _expect(250, code, said)
        with suppress(smtplib.SMTPException, OSError):
            smtp.docmd("QUIT")
        return clean(_said(code, said), self._password)

    def _refused(self, message_id: str, code: int, said: bytes | str, next_step: str) -> TellingError:
        """An answer of the server: 4xx for now, 5xx for good; what is no answer at all is a server at fault."""
        return self._connection.failed(message_id, _said(code, said), next_step, later=code < 500 or not self._is_delivering)


def _expect(good: int, code: int, said: bytes) -> None:
    if code != good:
        raise smtplib.SMTPResponseException(code, said)


def _said(code: int, said: bytes | str) -> str:
    """Not shortened yet: half of a password would no longer be known as one."""
    return f"{code} {said.decode('utf-8', 'replace') if isinstance(said, bytes) else said}"
