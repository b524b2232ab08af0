"""SMS by a modem on a serial port, in PDU mode: Chinese arrives as it was written.

    > AT CR                     < OK                            until it answers (it may be asleep or learn the speed)
    > ATE0, AT+CMEE=1           < OK                            no echo, faults as numbers
    > AT+CPIN?                  < +CPIN: READY, OK              else the PIN, once
    > AT+CREG?, AT+CSQ          < +CREG: 0,1, OK                in a network; how strong
    > AT+CMGF=0                 < OK
    > AT+CMGS=<bytes> CR        < CR LF > blank
    > <pdu in hexadecimal> ^Z   < +CMGS: <reference>, OK        the evidence; once for each part

3GPP TS 27.005 (SMS), 3GPP TS 27.007 (the rest), ITU-T V.250. Between command and answer anything may come by itself (RING, +CMTI, ^RSSI): only OK,
ERROR, +CMS ERROR and +CME ERROR end an answer. The port is opened for each message and given back: modems hang, and come back under another number.
"""

from __future__ import annotations

import asyncio
import re
import time
import zlib
from contextlib import suppress

from edgegw.config.channel_model import ChannelTable
from edgegw.errors import EdgegwError
from edgegw.rules.notifiers.model import Notice, TellingError
from edgegw.rules.notifiers.modem_words import BUSY, REGISTERED, REGISTRATIONS, Word, registration_of, signal_of, tries_of, word_of
from edgegw.rules.notifiers.parts import ModemLine, Parts, failed, secret, told
from edgegw.rules.notifiers.pdu import submits
from edgegw.rules.notifiers.worker import clean

NUMBER = re.compile(r"\+?[0-9]{3,15}")
# Modems that sleep or measure the speed miss the first command.
HELLO_TRIES = 3
HELLO_S = 1.0
# One that answers later than that answers each of them: until nothing has come for so long, at most until the second time.
HUSH_S = 1.5
HUSH_S_MAX = 6.0
# A card that has just got its PIN takes a moment to be ready.
SETTLE_S = 0.5
COMMAND_S = 5.0
# Modems that just started look for a network for some seconds.
SEARCH_S = 10.0
# The third wrong PIN locks the card. A restart forgets which one was wrong; the card does not.
PIN_TRIES_MIN = 2
# More in one answer than any of these has; then it is no modem.
LINES_MAX = 100
_LINE_BYTES_MAX = 1024
_MS_NS = 1_000_000
_CTRL_Z, _ESC = b"\x1a", b"\x1b"
_PROMPT = b"> "


class SmsModem:
    """One modem with one card."""

    def __init__(self, table: ChannelTable, parts: Parts) -> None:
        self.name = table.name
        self._table = table
        self._parts = parts
        self._line = parts.modem_line(table)
        self._turn = asyncio.Lock()
        self._given: tuple[str, int | None] = ("", None)
        """The PIN that was given and not taken, with the tries that were left before: a wrong one is given once, because the third locks the card."""

    async def send(self, notice: Notice, recipient: str) -> str:
        """The references of all parts, and the strength of the signal."""
        if not NUMBER.fullmatch(recipient):
            text = f'channel "{self.name}": "{recipient}" is no telephone number'
            raise failed("E-TELL-RECIPIENT", text, "correct the recipient in the configuration", later=False)
        # The same at every attempt: a telephone then joins what came twice.
        reference = zlib.crc32(f"{notice.notice_id} {recipient}".encode()) & 0xFF
        messages = submits(notice.short, recipient, reference, self._table.parts_max, self._table.smsc)
        talk = _Talk(self._line)
        try:
            async with asyncio.timeout(self._table.timeout_s), self._turn:
                return await self._converse(talk, [(message.size, message.pdu) for message in messages])
        except TimeoutError:
            failure = self._failed("E-TELL-TIMEOUT", f"not done within {self._table.timeout_s:g} s", "look at the modem's lamps and antenna")
        except TellingError as fault:
            failure = fault
        except EdgegwError as fault:
            failure = told(fault)
        failure.unsure = talk.is_unsure
        raise failure from None

    async def close(self) -> None:
        await self._line.close()

    async def _converse(self, talk: _Talk, messages: list[tuple[int, str]]) -> str:
        """The whole attempt, on the open port."""
        try:
            await self._line.open()
            await self._greet(talk)
            await self._unlock(talk)
            await self._find_network(talk)
            signal = signal_of((await self._ask(talk, "AT+CSQ"))[0])
            self._expect(await self._ask(talk, "AT+CMGF=0"))
            references = [await self._send_part(talk, size, pdu) for size, pdu in messages]
        finally:
            await self._line.close()
        return f"message {'references' if len(references) > 1 else 'reference'} {', '.join(references)}; signal {signal}"

    async def _greet(self, talk: _Talk) -> None:
        talk.give_up()  # Out of a message that somebody has begun and not ended.
        for number in range(HELLO_TRIES):
            if (answer := await talk.ask("AT", HELLO_S)) is not None and answer[1] == "OK":
                if number:
                    await talk.hush()
                break
        else:
            raise self._failed("E-TELL-MODEM", f"nothing that answers like a modem at {self._table.path}", "check path, baudrate and the modem's power")
        self._expect(await self._ask(talk, "ATE0"))
        await self._ask(talk, "AT+CMEE=1")

    async def _unlock(self, talk: _Talk) -> None:
        lines, end = await self._ask(talk, "AT+CPIN?")
        self._expect((lines, end))
        state = next((line.removeprefix("+CPIN:").strip() for line in lines if line.startswith("+CPIN:")), "unknown")
        if state == "READY":
            return
        if state != "SIM PIN":
            raise self._failed("E-TELL-SIM", f"the card wants {state}", "take the card out, unlock it in a telephone")
        pin = secret(self._table, self._parts)
        if not re.fullmatch(r"[0-9]{4,8}", pin):
            raise self._failed("E-TELL-SIM", "the card wants its PIN, and password_file holds none", "write the 4 to 8 digits into password_file")
        tries = tries_of((await self._ask(talk, "AT+CPINR"))[0])
        if pin == self._given[0] and not self._is_unjudged(tries):
            raise self._failed("E-TELL-SIM", "the PIN was refused and is not tried again", "correct the PIN in password_file")
        if tries is not None and tries < PIN_TRIES_MIN:
            raise self._failed("E-TELL-SIM", "one try of the PIN is left, and it is kept for a person", "take the card out, unlock it in a telephone")
        before, self._given = self._given, (pin, tries)
        answer = await self._ask(talk, f'AT+CPIN="{pin}"')
        if answer[1] == BUSY:
            self._given = before
        self._expect(answer, "E-TELL-SIM")
        self._given = ("", None)
        await asyncio.sleep(SETTLE_S)

    def _is_unjudged(self, tries: int | None) -> bool:
        """The card has as many tries left as before the PIN was given: a modem that lost its power in between never asked it."""
        before = self._given[1]
        return tries is not None and before is not None and tries >= before

    async def _find_network(self, talk: _Talk) -> None:
        """The circuit network, or the packet network of modems that know no other."""
        until_s = time.monotonic() + SEARCH_S
        while True:
            state = registration_of((await self._ask(talk, "AT+CREG?"))[0])
            if state not in REGISTERED and (packet := registration_of((await self._ask(talk, "AT+CEREG?"))[0])) in REGISTERED:
                state = packet
            if state in REGISTERED:
                return
            if state != 2 or time.monotonic() >= until_s:
                word = REGISTRATIONS.get(state, REGISTRATIONS[4])
                raise self._failed("E-TELL-NETWORK", word.text, word.next_step)
            await asyncio.sleep(SETTLE_S)

    async def _send_part(self, talk: _Talk, size: int, pdu: str) -> str:
        """The reference that the network gave it."""
        try:
            lines = await self._hand_over(talk, size, pdu)
        except BaseException:
            talk.give_up()
            raise
        reference = next((line.removeprefix("+CMGS:").strip() for line in lines if line.startswith("+CMGS:")), "")
        return clean(reference) or "unknown"

    async def _hand_over(self, talk: _Talk, size: int, pdu: str) -> list[str]:
        refusal = await talk.prompt(f"AT+CMGS={size}", COMMAND_S)
        if refusal:
            self._expect(([], refusal))
            raise self._failed("E-TELL-MODEM", f"it does not take the message: {clean(refusal)}", "switch the modem off and on")
        # The network takes its time: the attempt's own deadline holds.
        before, talk.is_unsure = talk.is_unsure, True
        answer = await talk.exchange(pdu.encode() + _CTRL_Z, self._table.timeout_s)
        if answer is None:
            raise self._failed("E-TELL-MODEM", "it does not say what became of the message", "look at the modem's lamps and antenna")
        # A part that the network has taken is not taken back when the next one is refused.
        talk.is_unsure = before or answer[1] == "OK"
        self._expect(answer)
        return answer[0]

    async def _ask(self, talk: _Talk, command: str) -> tuple[list[str], str]:
        answer = await talk.ask(command, COMMAND_S)
        if answer is None:
            said = command.partition("=")[0]  # What stands behind may be the PIN.
            raise self._failed("E-TELL-MODEM", f"it does not answer {said}", "switch the modem off and on")
        return answer

    def _expect(self, answer: tuple[list[str], str], message_id: str = "") -> None:
        word = word_of(answer[1])
        if word is not None:
            raise self._refused(word, message_id)

    def _refused(self, word: Word, message_id: str) -> TellingError:
        return failed(message_id or "E-TELL-REFUSED", f'channel "{self.name}": {word.text}', word.next_step, later=word.later)

    def _failed(self, message_id: str, text: str, next_step: str) -> TellingError:
        return failed(message_id, f'channel "{self.name}": {text}', next_step, later=True)


class _Talk:
    """Commands and their answers on an open line."""

    def __init__(self, line: ModemLine) -> None:
        self._line = line
        self.is_unsure = False
        """Something of the message has been handed over: it may be on its way, whatever comes of the rest."""

    async def ask(self, command: str, timeout_s: float) -> tuple[list[str], str] | None:
        """(lines, final line); None when no final line came in time. Raises EdgegwError when the line breaks."""
        return await self.exchange(command.encode() + b"\r", timeout_s)

    async def exchange(self, payload: bytes, timeout_s: float) -> tuple[list[str], str] | None:
        """What is sent as it stands. A modem that repeats it adds a line that nobody looks for."""
        self._line.received.clear()
        self._line.write(payload)
        deadline_ns = time.monotonic_ns() + round(timeout_s * 1000) * _MS_NS
        lines: list[str] = []
        while len(lines) <= LINES_MAX:
            line = await self._next_line(deadline_ns)
            if line is None:
                return None
            if line == "OK" or word_of(line) is not None:
                return lines, line
            if line:
                lines.append(line)
        return None

    async def hush(self) -> None:
        """Passes over late answers, so that none of them is taken for that of the next command."""
        until_ns = time.monotonic_ns() + round(HUSH_S_MAX * 1000) * _MS_NS
        while time.monotonic_ns() < until_ns and await self._more(time.monotonic_ns() + round(HUSH_S * 1000) * _MS_NS):
            self._line.received.clear()

    async def prompt(self, command: str, timeout_s: float) -> str:
        """Empty when the modem waits for the message; else its refusal."""
        self._line.received.clear()
        self._line.write(command.encode() + b"\r")
        deadline_ns = time.monotonic_ns() + round(timeout_s * 1000) * _MS_NS
        while True:
            # The prompt ends in no line break; anything may come by itself before it.
            if self._line.received.rsplit(b"\n", 1)[-1].lstrip(b"\r").startswith(_PROMPT.rstrip()):
                self._line.received.clear()
                return ""
            if b"\n" in self._line.received:
                line = self._take_line()
                if word_of(line) is not None:
                    return line
            elif not await self._more(deadline_ns):
                return "no prompt"

    def give_up(self) -> None:
        """Out of the prompt: what was not ended is never sent."""
        if self._line.is_open:
            with suppress(EdgegwError):
                self._line.write(_ESC)

    async def _next_line(self, deadline_ns: int) -> str | None:
        while b"\n" not in self._line.received:
            if len(self._line.received) > _LINE_BYTES_MAX:
                self._line.received.clear()  # No modem has such lines: noise, or another speed.
            if not await self._more(deadline_ns):
                return None
        return self._take_line()

    def _take_line(self) -> str:
        raw, _, rest = bytes(self._line.received).partition(b"\n")
        self._line.received[:] = rest
        return raw.decode("ascii", "replace").strip()

    async def _more(self, deadline_ns: int) -> bool:
        """Raises EdgegwError when the adapter is gone."""
        came = await self._line.wait(deadline_ns)
        if not self._line.is_open:
            raise EdgegwError("E-TELL-MODEM", f"the modem's port is gone: {self._line.fault}", "plug it in again; use its name below /dev/serial/by-id")
        return came
