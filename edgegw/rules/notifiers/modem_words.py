"""What a modem's refusals mean, and whether trying again helps."""

from __future__ import annotations

import re
from typing import NamedTuple


class Word(NamedTuple):
    """Of one number."""

    text: str
    next_step: str
    later: bool = True


_CARD = "put the card in, then switch the modem off and on"
_PIN = "write the PIN into password_file"
_PUK = "take the card out, unlock it in a telephone"
_NETWORK = "look at the antenna; edgegw alarms test tries it again"
_CONTRACT = "ask the operator of the card whether it may send SMS"
_NUMBER = "correct the number in the configuration"

# 3GPP TS 27.005, 3.2.5: 0-127 as 3GPP TS 24.011, E-2; 128-255 as 3GPP TS 23.040, 9.2.3.22; from 300 on the modem itself.
CMS = {
    1: Word("the number does not exist", _NUMBER, later=False),
    8: Word("sending is barred by the operator", _CONTRACT),
    10: Word("the call is barred", _CONTRACT),
    21: Word("the message centre rejects the message", _CONTRACT),
    27: Word("the destination is out of order", "nothing: it is tried again"),
    28: Word("the subscriber is not known", _NUMBER, later=False),
    29: Word("the facility is rejected", _CONTRACT),
    30: Word("the subscriber is not known", _NUMBER, later=False),
    38: Word("the network is out of order", "nothing: it is tried again"),
    41: Word("a temporary failure", "nothing: it is tried again"),
    42: Word("the network is congested", "nothing: it is tried again"),
    47: Word("the network has no resources left", "nothing: it is tried again"),
    50: Word("the card's contract has no SMS", _CONTRACT),
    69: Word("the network does not do this", _CONTRACT),
    300: Word("the modem has failed", "switch the modem off and on"),
    302: Word("the modem does not allow it", "switch the modem off and on"),
    303: Word("the modem does not do this", "use a modem that sends SMS in PDU mode"),
    304: Word("the modem takes the PDU for invalid", "report it with the modem's model", later=False),
    310: Word("no SIM card", _CARD),
    311: Word("the card wants its PIN", _PIN),
    312: Word("the card is tied to another telephone", _CARD),
    313: Word("the card has failed", _CARD),
    314: Word("the card is busy", "nothing: it is tried again"),
    315: Word("wrong card", _CARD),
    316: Word("the card wants its PUK", _PUK),
    320: Word("the modem's memory has failed", "switch the modem off and on"),
    322: Word("the modem's memory is full", "delete its messages: AT+CMGD=1,4"),
    330: Word("the message centre is not known", "write its number into smsc"),
    331: Word("no network", _NETWORK),
    332: Word("the network did not answer in time", _NETWORK),
    500: Word("it does not say why", "switch the modem off and on"),
}
# 3GPP TS 27.007, 9.2.1.
CME = {
    3: Word("the modem does not allow it", "switch the modem off and on"),
    4: Word("the modem does not do this", "use a modem that sends SMS in PDU mode"),
    10: Word("no SIM card", _CARD),
    11: Word("the card wants its PIN", _PIN),
    12: Word("the card wants its PUK", _PUK),
    13: Word("the card has failed", _CARD),
    14: Word("the card is busy", "nothing: it is tried again"),
    15: Word("wrong card", _CARD),
    16: Word("the PIN is wrong", "correct the PIN in password_file; after three wrong ones the card wants its PUK"),
    30: Word("no network", _NETWORK),
    31: Word("the network did not answer in time", _NETWORK),
    32: Word("the network allows emergency calls only", _CONTRACT),
}
_TABLES = {"CMS": CMS, "CME": CME}
_REFUSAL = re.compile(r"\+(CM[SE]) ERROR: *(\d+)")
_UNKNOWN = Word("it does not say why", "switch the modem off and on")


def word_of(line: str) -> Word | None:
    """What a final line says; None for OK, and for what is none."""
    if line == "ERROR":
        return _UNKNOWN
    found = _REFUSAL.fullmatch(line)
    if found is None:
        return Word(line, _UNKNOWN.next_step) if line.startswith(("+CMS ERROR", "+CME ERROR")) else None
    known = _TABLES[found[1]].get(int(found[2]), _UNKNOWN)
    return known._replace(text=f"{known.text} ({found[1]} {found[2]})")


# +CREG: 1 home, 5 roaming; 6 and 7 the same for SMS alone (3GPP TS 27.007, 7.2).
REGISTERED = frozenset({1, 5, 6, 7})
REGISTRATIONS = {
    0: Word("it is in no network and looks for none", _CARD),
    2: Word("it looks for a network", _NETWORK),
    3: Word("the network refuses the card", _CONTRACT),
    4: Word("it does not know whether it is in a network", _NETWORK),
}


def registration_of(lines: list[str]) -> int:
    """The state in the answers to AT+CREG? or AT+CEREG?; a line with one number came by itself and is passed over."""
    for line in lines:
        found = re.fullmatch(r"\+CE?REG: *\d+, *(\d+).*", line)
        if found:
            return int(found[1])
    return 4


def signal_of(lines: list[str]) -> str:
    """Of the answer to AT+CSQ: 0 is -113 dBm or less, each step 2 dB, 99 not known (3GPP TS 27.007, 8.5)."""
    for line in lines:
        found = re.fullmatch(r"\+CSQ: *(\d+),.*", line)
        if found and int(found[1]) <= 31:
            return f"{2 * int(found[1]) - 113} dBm"
    return "not known"


# The card has not looked at what it was given.
BUSY = "+CME ERROR: 14"


def tries_of(lines: list[str]) -> int | None:
    """How often a PIN may still be given, of the answer to AT+CPINR (3GPP TS 27.007, 8.65); None where the modem does not know."""
    for line in lines:
        found = re.fullmatch(r"\+CPINR: *\"?SIM PIN\"?, *(\d+).*", line)
        if found:
            return int(found[1])
    return None
