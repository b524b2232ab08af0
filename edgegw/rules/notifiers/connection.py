"""A connection for libraries that block: cut from another thread at any time, encrypted with verification, its faults in words."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Self

from edgegw.rules.notifiers.model import TellingError
from edgegw.rules.notifiers.parts import failed
from edgegw.rules.notifiers.worker import clean

# The least that a step is given, so that the deadline is noticed by the owner of the thread and not as "do not wait at all".
_STEP_S_MIN = 0.1


class Connection:
    """Of one attempt, which has `timeout_s` for everything."""

    def __init__(self, host: str, port: int, ca_file: str, timeout_s: float, where: str, secret: str = "") -> None:  # noqa: PLR0913, PLR0917 - a place and what to trust
        self.where = where
        self._host, self._port, self._ca_file, self._secret = host, port, ca_file, secret
        self._deadline_s = time.monotonic() + timeout_s
        self._open_ends = ExitStack()
        self._handle: socket.socket | None = None
        """The connection once more: TLS may be spoken on the other one meanwhile."""
        self._is_aborted = False
        self.is_unsure = False
        """The notice has been handed over, and nothing says what became of it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open_ends.close()

    def connect(self) -> socket.socket:
        """To the first of its addresses that answers; each gets its share of the time. Raises OSError, TellingError."""
        try:
            addresses = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except UnicodeError:
            raise self.broken(socket.gaierror()) from None
        for left in range(len(addresses), 0, -1):
            family, kind, protocol, _, address = addresses[-left]
            line = self._open_ends.enter_context(socket.socket(family, kind, protocol))
            self._handle = self._open_ends.enter_context(socket.socket(fileno=os.dup(line.fileno())))
            if self._is_aborted:
                break
            line.settimeout(max(_STEP_S_MIN, self.left_s() / left))
            try:
                line.connect(address)
            except OSError:
                if left == 1:
                    raise
                continue
            line.settimeout(self.left_s())
            return line
        raise TimeoutError

    def encrypt(self, line: socket.socket) -> ssl.SSLSocket:
        """The server's certificate is verified, always. Raises OSError, TellingError."""
        try:
            context = ssl.create_default_context(cafile=self._ca_file or None)
        except OSError:
            raise self.failed("E-TELL-TLS", f"ca_file {self._ca_file} cannot be read as certificates", "put the authority there as PEM") from None
        line.settimeout(self.left_s())
        return self._open_ends.enter_context(context.wrap_socket(line, server_hostname=self._host))

    def at_end(self, close: Callable[[], None]) -> None:
        """What a library has opened on it."""
        self._open_ends.callback(close)

    def end_sending(self) -> None:
        """Tells the peer that nothing more comes."""
        if self._handle is not None:
            self._handle.shutdown(socket.SHUT_WR)

    def abort(self) -> None:
        """Cuts it, from any thread: whoever waits on it goes on at once."""
        self._is_aborted = True
        if self._handle is not None:
            with suppress(OSError):
                self._handle.shutdown(socket.SHUT_RDWR)

    def left_s(self) -> float:
        """Of the attempt's time."""
        return max(_STEP_S_MIN, self._deadline_s - time.monotonic())

    def failed(self, message_id: str, text: str, next_step: str, *, later: bool = True) -> TellingError:
        """In the words of this connection, and never with the secret in it."""
        return failed(message_id, f"{self.where}: {clean(text, self._secret)}", next_step, later=later)

    def broken(self, fault: OSError) -> TellingError:
        """Why it could not be made or broke. The notice is not to blame."""
        match fault:
            case ssl.SSLCertVerificationError():
                text, next_step = f"its certificate is refused: {fault.verify_message}", "check ca_file, the name of the host and the clock"
                return self.failed("E-TELL-TLS", text, next_step)
            case ssl.SSLError():
                return self.failed("E-TELL-TLS", f"TLS broke: {fault.reason or 'the connection was cut'}", "check port and security")
            case socket.gaierror():
                return self.failed("E-TELL-SERVER", "its name cannot be resolved", "check the name and the name server")
            case TimeoutError():
                return self.failed("E-TELL-SERVER", "no answer", "check host, port and the network")
            case OSError(errno=errno.ECONNRESET | errno.EPIPE | errno.ENOTCONN | errno.ECONNABORTED):
                return self.failed("E-TELL-CUT", "the server ended the connection", "look into the server's log")
        return self.failed("E-TELL-SERVER", fault.strerror or "the connection broke", "check host, port and the network")
