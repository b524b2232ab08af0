"""SMS by the web interface of a provider: one request by a template, and an answer that must look as configured.

    POST /sms/send HTTP/1.1            HTTP/1.1 200 OK
    Authorization: Bearer {secret}
    {"phone":"{number}",...}           {"code":0,"id":"7781"}: the evidence

What is filled in is escaped for where it stands: in the url percent-encoded, in a JSON body as within quotes, in a form percent-encoded. Redirects are not
followed: they would take the secret elsewhere.
"""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Callable, Mapping
from urllib.parse import quote, quote_plus, urlsplit

from edgegw.config.channel_model import ChannelTable
from edgegw.rules.notifiers.connection import Connection
from edgegw.rules.notifiers.model import Notice, TellingError
from edgegw.rules.notifiers.parts import Parts, failed, secret
from edgegw.rules.notifiers.worker import Worker, clean

NUMBER = re.compile(r"\+?[0-9]{3,15}")
# A provider's answer is a line; more than this is a web page.
ANSWER_BYTES_MAX = 64 * 1024
_PLACEHOLDER = re.compile(r"\{(number|text|notice_id|secret)\}")
_TYPES = {"json": "application/json; charset=utf-8", "form": "application/x-www-form-urlencoded; charset=utf-8"}
# What the request itself may be to blame for (RFC 9110, 15.5): everything else is the provider's or the configuration's.
_BAD_REQUEST = frozenset({400, 413, 414, 422})
_LOGIN = frozenset({401, 403, 407})


class SmsHttp:
    """One provider."""

    def __init__(self, table: ChannelTable, parts: Parts) -> None:
        self.name = table.name
        self._table = table
        self._parts = parts
        self._address = urlsplit(table.url)
        self._worker: Worker[str] = Worker(table.name)

    async def send(self, notice: Notice, recipient: str) -> str:
        """Code and beginning of the provider's answer."""
        table, host = self._table, self._address.hostname or ""
        where = f'channel "{self.name}", {host}'
        if not NUMBER.fullmatch(recipient):
            raise failed("E-TELL-RECIPIENT", f'{where}: "{recipient}" is no telephone number', "correct the recipient in the configuration", later=False)
        word = secret(table, self._parts)
        request = make_request(table, notice, recipient, word)
        port = self._address.port or (443 if self._address.scheme == "https" else 80)
        connection = Connection(host, port, table.ca_file, table.timeout_s, where, word)
        try:
            return await self._worker.run(lambda: self._run(connection, request, word), connection.abort, table.timeout_s)
        except TellingError as fault:
            fault.unsure = connection.is_unsure
            raise

    async def close(self) -> None:
        await self._worker.close()

    def _run(self, connection: Connection, request: Request, word: str) -> str:
        """In the thread. Raises TellingError."""
        with connection:
            try:
                line = connection.connect()
                client = http.client.HTTPConnection(self._address.hostname or "", self._address.port)
                client.sock = connection.encrypt(line) if self._address.scheme == "https" else line
                client.sock.settimeout(connection.left_s())
                connection.at_end(client.close)
                client.request(self._table.method, request.target, request.body, request.headers)
                connection.is_unsure = True
                answer = client.getresponse()
                connection.at_end(answer.close)
                said = answer.read(ANSWER_BYTES_MAX)
            except http.client.RemoteDisconnected:
                raise connection.failed("E-TELL-CUT", "the server ended the connection before it answered", "look at the provider's page") from None
            except http.client.HTTPException as fault:
                raise connection.failed("E-TELL-SERVER", f"what it says is not HTTP: {type(fault).__name__}", "check url") from None
            except OSError as fault:
                raise connection.broken(fault) from None
            except ValueError:  # Its words would show the secret.
                raise connection.failed("E-TELL-LOGIN", "the secret holds signs that a header or url cannot carry", "look at password_file") from None
        text = said.decode("utf-8", "replace")
        evidence = clean(f"{answer.status} {text}", word)
        if answer.status not in self._table.expect_status:
            connection.is_unsure = False
            raise self._refused(connection, answer.status, evidence)
        if self._table.expect_text not in text:
            raise connection.failed(
                "E-TELL-REFUSED", f'"{self._table.expect_text}" is not in its answer: {evidence}', "the provider's manual explains its answers"
            )
        return evidence

    @staticmethod
    def _refused(connection: Connection, status: int, evidence: str) -> TellingError:
        if status in _LOGIN:
            return connection.failed("E-TELL-LOGIN", f"the login is refused: {evidence}", "check password_file and headers")
        return connection.failed("E-TELL-REFUSED", evidence, "the provider's manual explains its answers", later=status not in _BAD_REQUEST)


class Request:
    """What is sent: path and query, headers, body."""

    def __init__(self, target: str, headers: Mapping[str, str], body: bytes | None) -> None:
        self.target = target
        self.headers = headers
        self.body = body


def make_request(table: ChannelTable, notice: Notice, number: str, word: str) -> Request:
    """The templates with everything filled in."""
    values = {"number": number, "text": notice.short, "notice_id": notice.notice_id, "secret": word}
    address = urlsplit(table.url)
    target = (address.path or "/") + (f"?{address.query}" if address.query else "")
    headers = {name: fill(value.strip(), values, str) for name, _, value in (header.partition(":") for header in table.headers)}
    if table.method == "GET":
        return Request(fill(target, values, _in_url), headers, None)
    escape = _in_json if table.body_format == "json" else quote_plus
    body = fill(table.body, values, escape).encode("utf-8")
    return Request(fill(target, values, _in_url), {"Content-Type": _TYPES[table.body_format], **headers}, body)


def fill(template: str, values: Mapping[str, str], escape: Callable[[str], str]) -> str:
    """In one go: what is filled in is not looked at again."""
    return _PLACEHOLDER.sub(lambda found: escape(values[found[1]]), template)


def _in_url(value: str) -> str:
    return quote(value, safe="")


def _in_json(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)[1:-1]
