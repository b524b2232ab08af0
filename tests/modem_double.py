"""A modem on a real pty, in a thread of its own: it echoes, has a card with or without a PIN, is in a network or not, and sends what it is given.

Written to 3GPP TS 27.005 and 27.007 and to what modems do beside them: lines that come by themselves, a prompt without a line end, a first AT that is missed.
"""

from __future__ import annotations

import contextlib
import os
import pty
import select
import threading
import tty
from collections.abc import Callable
from typing import Self

Answers = dict[str, list[str] | None]
"""Beginning of a command to its lines instead of the usual ones; None: silence."""


_USUAL = {
    **{key: ["OK"] for key in ("AT", "ATE0", "AT+CMEE", "AT+CMGF")},
    "AT+CREG?": ["+CREG: 0,1", "", "OK"],
    "AT+CEREG?": ["+CEREG: 0,4", "", "OK"],
    "AT+CSQ": ["+CSQ: 21,99", "", "OK"],
}


class Modem:
    """`answers` may be changed at any time; `sent` are the PDUs of the messages that went out."""

    def __init__(self, *, pin: str = "", answers: Answers | None = None, misses: int = 0, by_itself: bytes = b"", begun: str = "") -> None:
        self.pin = pin
        self.answers = answers or {}
        self.misses = misses
        """So many commands are not heard."""
        self.by_itself = by_itself
        """What comes unasked behind every command's echo."""
        self.slow_s = 0.0
        """So late is every answer."""
        self.commands: list[str] = []
        self.sent: list[str] = []
        self.given_up = 0
        self.on_command: Callable[[str], None] = lambda _command: None
        self._echo = True
        self._locked = bool(pin)
        self._prompt = begun
        """The command behind which it waits for a message."""
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)
        self._stop_r, self._stop_w = os.pipe()
        self._thread = threading.Thread(target=self._serve, name="modem")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        for fd in (self._master, self._slave, self._stop_r, self._stop_w):
            with contextlib.suppress(OSError):
                os.close(fd)

    def unplug(self) -> None:
        """The adapter is gone, from the modem's own thread."""
        os.close(self._slave)
        os.close(self._master)
        self._master = self._slave = -1

    def _end(self) -> None:
        if self._thread.is_alive():
            os.write(self._stop_w, b"x")
            self._thread.join()

    def _serve(self) -> None:
        received = b""
        while self._master >= 0:
            readable, _, _ = select.select([self._master, self._stop_r], [], [])
            if self._stop_r in readable:
                return
            try:
                received += os.read(self._master, 4096)
            except OSError:
                return
            while self._master >= 0 and (end := next((at for at, byte in enumerate(received) if byte in self._ends), -1)) >= 0:
                line, last, received = received[:end], received[end], received[end + 1 :]
                self._hear(line.decode("ascii", "replace").strip(), last)

    @property
    def _ends(self) -> bytes:
        return b"\x1a\x1b" if self._prompt else b"\r\x1b"

    def _hear(self, line: str, last: int) -> None:
        if self._prompt:
            self._take_message(line, last)
            return
        if last == 0x1B or not line:
            return
        self.commands.append(line)
        self.on_command(line)
        if self.misses:
            self.misses -= 1
            return
        select.select([self._stop_r], [], [], self.slow_s)
        if self._master >= 0:
            self._say((f"{line}\r".encode() if self._echo else b"") + self.by_itself)
            self._answer(line)

    def _take_message(self, pdu: str, last: int) -> None:
        command, self._prompt = self._prompt, ""
        if last == 0x1B:
            self.given_up += 1
            self._lines(["OK"])
            return
        self.on_command(pdu)
        size = int(command.partition("=")[2])
        raw = bytes.fromhex(pdu)
        if size != len(raw) - 1 - raw[0]:
            self._lines(["+CMS ERROR: 304"])
        elif "PDU" in self.answers:
            if (lines := self.answers["PDU"]) is not None:
                self._lines(lines)
        else:
            self.sent.append(pdu)
            self._lines([f"+CMGS: {11 + len(self.sent)}", "", "OK"])

    def _answer(self, line: str) -> None:
        for beginning, lines in self.answers.items():
            if line.startswith(beginning):
                if lines is not None:
                    self._lines(lines)
                return
        name = line.partition("=")[0]
        if name == "AT+CMGS":
            self._prompt = line
            self._say(b"\r\n> ")
            return
        self._echo = self._echo and line != "ATE0"
        if name == "AT+CPIN":
            self._locked = line != f'AT+CPIN="{self.pin}"'
        usual = {
            "AT+CPIN?": ["+CPIN: SIM PIN" if self._locked else "+CPIN: READY", "", "OK"],
            "AT+CPIN": ["+CME ERROR: 16" if self._locked else "OK"],
            **_USUAL,
        }
        self._lines(usual.get(name, ["ERROR"]))

    def _lines(self, lines: list[str]) -> None:
        self._say("".join(f"\r\n{line}" if line else "" for line in lines).encode() + b"\r\n")

    def _say(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            os.write(self._master, data)
