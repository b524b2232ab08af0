"""SMS through a modem on a real pty: what it sends, what it says of itself, and modems that are locked, lost, silent, busy or unplugged."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from edgegw.channel_parts import modem_line
from edgegw.config.channel_model import ChannelTable
from edgegw.errors import lookup
from edgegw.rules.notifiers.model import Notice
from edgegw.rules.notifiers.modem_words import CME, CMS, word_of
from edgegw.rules.notifiers.sms_modem import SmsModem
from tests.modem_double import Modem
from tests.unit.channel_rig import DEADLINE_S, NOTICE, Recorder, outcome, password_file, until
from tests.unit.test_channel_pdu import read

NUMBER = "+8613800138000"


def channel(modem: Modem | str, **settings: Any) -> SmsModem:
    path = modem if isinstance(modem, str) else modem.path
    return SmsModem(ChannelTable(**{"name": "sms", "kind": "sms_modem", "path": path, "timeout_s": 20.0, **settings}), Recorder(line=modem_line).parts)


def attempt(modem: Modem | str, *notices: Notice, number: str = NUMBER, **settings: Any) -> list[Any]:
    """What came of one notice after the other."""

    async def main() -> list[Any]:
        sms = channel(modem, **settings)
        found = [await outcome(sms.send(notice, number)) for notice in notices or (NOTICE,)]
        await sms.close()
        return found

    return asyncio.run(main())


def seen(found: Any) -> tuple[str, bool]:
    assert lookup(found.message_id) is not None
    return found.message_id, found.later


def test_a_chinese_text_is_sent_and_its_reference_is_the_evidence() -> None:
    """The modem gets the short text as UCS-2 for the number, and the port is free again."""
    with Modem() as modem:
        assert ["message reference 12; signal -71 dBm"] * 1 == attempt(modem)
        sent = [read(pdu) for pdu in modem.sent]
    assert [(NUMBER, 8, NOTICE.short)] == [(message.number, message.coding, message.text) for message in sent]
    assert ["AT", "ATE0", "AT+CMEE=1", "AT+CPIN?", "AT+CREG?", "AT+CSQ", "AT+CMGF=0"] == modem.commands[:7]


def test_a_long_text_is_joined_and_its_repeat_is_the_same() -> None:
    """Each part has its reference; the second attempt of one notice sends the same bytes, another notice other ones."""
    long = Notice("n-1", "major", "", "", "告警" * 60)
    other = Notice("n-2", "major", "", "", "告警" * 60)
    with Modem() as modem:
        found = attempt(modem, long, long, other, smsc="+8613800100500")
        sent = [read(pdu) for pdu in modem.sent]
    assert "message references 12, 13; signal -71 dBm" == found[0]
    assert long.short == "".join(message.text for message in sent[:2])
    assert [(2, 1), (2, 2)] == [(message.parts, message.part) for message in sent[:2]]
    assert modem.sent[:2] == modem.sent[2:4]
    assert sent[0].reference != sent[4].reference
    assert {"+8613800100500"} == {message.smsc for message in sent}


def test_what_comes_by_itself_is_passed_over() -> None:
    """Rings, new messages, registrations and boot lines between command and answer change nothing."""
    chatter = b'\r\nRING\r\n\r\n+CMTI: "SM",3\r\n^RSSI:21\r\n+CREG: 2\r\n\r\n*PSUTTZ: 26,11,21\r\n'
    with Modem(by_itself=chatter, misses=2) as modem:
        assert ["message reference 12; signal -71 dBm"] == attempt(modem)
        assert 1 == len(modem.sent)


def test_the_pin_is_given_once_and_told_to_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A right one opens the card; a wrong one is not given a second time before the file changes, because the third locks the card."""
    caplog.set_level("DEBUG")
    with Modem(pin="4711") as modem:
        assert ["message reference 12; signal -71 dBm"] == attempt(modem, password_file=password_file(tmp_path, "4711"))

    async def main(modem: Modem) -> list[Any]:
        sms = channel(modem, password_file=password_file(tmp_path, "9999"))
        found = [await outcome(sms.send(NOTICE, NUMBER)) for _ in range(3)]
        password_file(tmp_path, "4711")
        return [*found, await outcome(sms.send(NOTICE, NUMBER))]

    with Modem(pin="4711") as modem:
        *refused, sent = asyncio.run(main(modem))
        given = [command for command in modem.commands if command.startswith("AT+CPIN=")]
    assert [("E-TELL-SIM", True)] * 3 == [seen(found) for found in refused]
    assert "message reference 12; signal -71 dBm" == sent
    assert ['AT+CPIN="9999"', 'AT+CPIN="4711"'] == given
    assert "9999" not in caplog.text + "".join(map(str, refused))


@pytest.mark.parametrize(("left", "given"), [("+CPINR: SIM PIN,3,3", 1), ("+CPINR: SIM PIN, 2", 1), ("+CPINR: SIM PIN,1,3", 0), ("+CPINR: SIM PUK,10,10", 1)])
def test_the_last_try_of_the_pin_is_kept_for_a_person(tmp_path: Path, left: str, given: int) -> None:
    """A restart forgets what was refused, the card does not: it is asked how many tries are left."""
    with Modem(pin="4711", answers={"AT+CPINR": [left, "", "OK"]}) as modem:
        (found,) = attempt(modem, password_file=password_file(tmp_path, "9999"))
        assert given == sum(command.startswith("AT+CPIN=") for command in modem.commands)
    assert ("E-TELL-SIM", True) == seen(found)


def test_a_pin_that_the_card_never_saw_is_given_again(tmp_path: Path) -> None:
    """The modem loses its power in the middle of it, or the card is busy: as many tries are left as before, and the next attempt sends."""
    left: Any = {"AT+CPINR": ["+CPINR: SIM PIN,3,3", "", "OK"]}

    async def main(modem: Modem, path: Path) -> list[Any]:
        sms = channel(str(path), password_file=password_file(tmp_path, "4711"))
        found = [await outcome(sms.send(NOTICE, NUMBER))]
        modem.answers = {**left, 'AT+CPIN="': ["+CME ERROR: 14"]}
        modem.on_command = lambda _command: None
        found.append(await outcome(sms.send(NOTICE, NUMBER)))
        modem.answers = left
        return [*found, await outcome(sms.send(NOTICE, NUMBER))]

    with Modem(pin="4711", answers={**left, 'AT+CPIN="': None}) as modem:
        lost, busy, sent = asyncio.run(main(modem, Path(modem.path)))
        assert 3 == sum(command.startswith("AT+CPIN=") for command in modem.commands)
    assert [("E-TELL-MODEM", True), ("E-TELL-SIM", True)] == [seen(lost), seen(busy)]
    assert "message reference 12; signal -71 dBm" == sent


def test_a_modem_that_answers_late_is_not_misunderstood() -> None:
    """Its answer to the first AT comes behind the second one: every further answer would be taken for that of the command behind."""
    with Modem() as modem:
        modem.slow_s = 1.3
        assert ["message reference 12; signal -71 dBm"] == attempt(modem, timeout_s=50.0)
        assert 1 == len(modem.sent)


@pytest.mark.parametrize(
    ("answers", "expected", "words"),
    [
        ({"AT+CPIN?": ["+CME ERROR: 10"]}, ("E-TELL-REFUSED", True), "no SIM card (CME 10)"),
        ({"AT+CPIN?": ["+CPIN: SIM PUK", "", "OK"]}, ("E-TELL-SIM", True), "wants SIM PUK"),
        ({"AT+CPIN?": ["+CPIN: SIM PIN", "", "OK"]}, ("E-TELL-SIM", True), "password_file holds none"),
        ({"AT+CREG?": ["+CREG: 0,3", "", "OK"]}, ("E-TELL-NETWORK", True), "refuses the card"),
        ({"AT+CREG?": ["+CREG: 0,0", "", "OK"]}, ("E-TELL-NETWORK", True), "looks for none"),
        ({"AT+CMGF=0": ["ERROR"]}, ("E-TELL-REFUSED", True), "does not say why"),
        ({"AT+CMGS": ["+CMS ERROR: 330"]}, ("E-TELL-REFUSED", True), "message centre is not known (CMS 330)"),
        ({"PDU": ["+CMS ERROR: 38"]}, ("E-TELL-REFUSED", True), "network is out of order (CMS 38)"),
        ({"PDU": ["+CMS ERROR: 1"]}, ("E-TELL-REFUSED", False), "number does not exist (CMS 1)"),
        ({"PDU": ["+CMS ERROR: 4711"]}, ("E-TELL-REFUSED", True), "(CMS 4711)"),
        ({"PDU": ["+CMS ERROR: SIM failure"]}, ("E-TELL-REFUSED", True), "SIM failure"),
    ],
)
def test_a_refusal_is_told_in_words(answers: Any, expected: tuple[str, bool], words: str) -> None:
    """Of the card, the network, the modem and the message centre; nothing was sent."""
    with Modem(answers=answers) as modem:
        (found,) = attempt(modem)
        assert (expected, []) == (seen(found), modem.sent)
    assert words in found.text


def test_a_modem_that_searches_is_waited_for() -> None:
    """It finds its network a moment after it was asked; so does one that knows the packet network alone."""
    with Modem(answers={"AT+CREG?": ["+CREG: 0,2", "", "OK"]}) as modem:

        def find(command: str) -> None:
            if modem.commands.count("AT+CREG?") > 2:
                modem.answers = {}

        modem.on_command = find
        assert ["message reference 12; signal -71 dBm"] == attempt(modem)
    with Modem(answers={"AT+CREG?": ["+CREG: 0,0", "", "OK"], "AT+CEREG?": ["+CEREG: 0,1", "", "OK"]}) as modem:
        assert ["message reference 12; signal -71 dBm"] == attempt(modem)


def test_an_unknown_signal_and_reference_are_told_as_such() -> None:
    """99 is no strength, and a modem may give no reference."""
    with Modem(answers={"AT+CSQ": ["+CSQ: 99,99", "OK"], "PDU": ["OK"]}) as modem:
        assert ["message reference unknown; signal not known"] == attempt(modem)


@pytest.mark.parametrize(
    ("answers", "timeout_s", "expected"),
    [({"AT": None}, 30.0, "E-TELL-MODEM"), ({"AT+CMGS": None}, 30.0, "E-TELL-MODEM"), ({"PDU": None}, 3.0, "E-TELL-TIMEOUT")],
    ids=["silent", "no-prompt", "no-answer"],
)
def test_a_modem_that_falls_silent_ends_the_attempt(answers: Any, timeout_s: float, expected: str) -> None:
    """Within its time; and the port is free for the next attempt."""
    with Modem(answers=answers) as modem:
        (found,) = attempt(modem, timeout_s=timeout_s)
        assert (expected, True) == seen(found)
        modem.answers = {}
        assert ["message reference 12; signal -71 dBm"] == attempt(modem, timeout_s=20.0)


@pytest.mark.parametrize(
    ("answers", "parts", "expected"),
    [
        ({"PDU": None}, 1, True),
        ({"AT+CMGS": None}, 1, False),
        ({"PDU": ["+CMS ERROR: 38"]}, 1, False),
        ({"AT+CREG?": ["+CREG: 0,3", "", "OK"]}, 1, False),
        ({}, 2, True),
    ],
    ids=["no-answer", "no-prompt", "refused", "no-network", "second-part-refused"],
)
def test_a_message_that_may_be_on_its_way_is_known_as_such(answers: Any, parts: int, expected: bool) -> None:  # noqa: FBT001 - a case
    """Only when a part was handed over and was not refused itself."""
    with Modem(answers=answers) as modem:
        if parts > 1:
            modem.on_command = lambda _command: modem.answers.update({"PDU": ["+CMS ERROR: 38"]} if modem.sent else {})
        (found,) = attempt(modem, Notice("n-1", "major", "", "", "告警" * 34 * parts), timeout_s=8.0)
    assert (True, expected) == (found.later, found.unsure)


def test_an_attempt_that_is_cancelled_in_the_prompt_sends_nothing() -> None:
    """The message that was begun is given up, and the next one goes out whole."""

    async def main(modem: Modem) -> tuple[bool, Any]:
        loop, is_over = asyncio.get_running_loop(), threading.Event()
        sms = channel(modem)
        sending = asyncio.ensure_future(sms.send(NOTICE, NUMBER))

        def interrupt(command: str) -> None:
            if command.startswith("AT+CMGS"):
                loop.call_soon_threadsafe(sending.cancel)
                is_over.wait(DEADLINE_S)

        modem.on_command = interrupt
        await asyncio.wait((sending,))
        modem.on_command = lambda _command: None
        is_over.set()
        await until(lambda: modem.given_up == 1)
        return sending.cancelled(), await outcome(sms.send(NOTICE, NUMBER))

    with Modem() as modem:
        assert (True, "message reference 12; signal -71 dBm") == asyncio.run(main(modem))
        assert 1 == len(modem.sent)


def test_a_message_that_somebody_else_has_begun_is_given_up() -> None:
    """A killed daemon leaves the modem in the prompt: it takes what comes for text, until it is told otherwise."""
    with Modem(begun="AT+CMGS=20") as modem:
        assert ["message reference 12; signal -71 dBm"] == attempt(modem)
        assert (1, [NOTICE.short]) == (modem.given_up, [read(pdu).text for pdu in modem.sent])


def test_a_modem_that_goes_on_echoing_is_understood() -> None:
    """It says OK to ATE0 and repeats every command all the same."""
    with Modem(answers={"ATE0": ["OK"]}) as modem:
        assert ["message reference 12; signal -71 dBm"] == attempt(modem)


def test_a_modem_that_is_unplugged_is_told_and_found_again_under_its_name(tmp_path: Path) -> None:
    """The port goes away in the middle; the name leads to another one afterwards, as udev makes it."""
    name = tmp_path / "modem"

    async def main() -> list[Any]:
        sms = channel(str(name))
        found = []
        with Modem() as modem:
            name.symlink_to(modem.path)
            modem.on_command = lambda command: modem.unplug() if command == "AT+CSQ" else None
            found.append(await outcome(sms.send(NOTICE, NUMBER)))
        name.unlink()
        found.append(await outcome(sms.send(NOTICE, NUMBER)))
        with Modem() as modem:
            name.symlink_to(modem.path)
            found.append(await outcome(sms.send(NOTICE, NUMBER)))
        return found

    gone, missing, sent = asyncio.run(main())
    assert [("E-TELL-MODEM", True)] * 2 == [seen(gone), seen(missing)]
    assert "does not exist" in missing.text
    assert 'channel "sms"' in missing.text
    assert "message reference 12; signal -71 dBm" == sent


def test_two_notices_at_once_take_their_turns() -> None:
    """One port, one conversation: both arrive."""

    async def main(modem: Modem) -> list[Any]:
        sms = channel(modem)
        return await asyncio.gather(outcome(sms.send(NOTICE, NUMBER)), outcome(sms.send(NOTICE, "10086")))

    with Modem() as modem:
        found = asyncio.run(main(modem))
        assert {NUMBER, "10086"} == {read(pdu).number for pdu in modem.sent}
    assert ["message reference 12; signal -71 dBm", "message reference 13; signal -71 dBm"] == sorted(found)


@pytest.mark.parametrize("number", ["", "12", "+86 138", "+", "١٢٣٤", "13800138000; ATD110", "1" * 16])
def test_what_is_no_number_is_not_dialled(number: str) -> None:
    """It is refused for good, without a look at the modem."""
    assert [("E-TELL-RECIPIENT", False)] == [seen(found) for found in attempt("/dev/no-modem", number=number)]


@pytest.mark.parametrize("family", ["CMS", "CME"])
def test_every_known_refusal_has_words_and_a_step(family: str) -> None:
    """The number stays readable beside the words."""
    for number in {"CMS": CMS, "CME": CME}[family]:
        word = word_of(f"+{family} ERROR: {number}")
        assert word is not None
        assert f"({family} {number})" in word.text
        assert word.next_step
