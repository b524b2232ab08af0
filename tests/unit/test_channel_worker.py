"""One attempt in a thread: it ends in its time, one that hangs is the only one, a mistake is heard of, and what a server says is fit for a record."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from edgegw.config.channel_model import ChannelTable
from edgegw.rules.notifiers import worker as worker_module
from edgegw.rules.notifiers.model import TellingError
from edgegw.rules.notifiers.parts import secret
from edgegw.rules.notifiers.worker import EVIDENCE_CHARACTERS_MAX, Worker, clean
from tests.unit.channel_rig import Recorder, outcome, password_file, threads, until

ENCODINGS: dict[str, Callable[[str], str]] = {
    "AUTH LOGIN": lambda word: base64.b64encode(word.encode()).decode(),
    "AUTH PLAIN": lambda word: base64.b64encode(f"\0gw@x\0{word}".encode()).decode(),
    "url": lambda word: quote(word, safe=""),
    "form": quote_plus,
    "json": lambda word: json.dumps(word)[1:-1],
}


def test_a_thread_that_cannot_be_ended_is_the_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that never answers costs one thread: the next attempt says so at once, and the first after its end works."""
    monkeypatch.setattr(worker_module, "END_S", 0.05)
    hanging = threading.Event()

    async def main() -> list[str]:
        worker: Worker[str] = Worker("w")
        said = []
        for _ in range(3):
            found = await outcome(worker.run(lambda: str(hanging.wait()), lambda: None, 0.05))
            assert isinstance(found, TellingError)
            said.append(found.message_id)
        assert ["tell-w"] == threads()
        hanging.set()
        monkeypatch.setattr(worker_module, "END_S", 20)
        await worker.close()
        return [*said, str(await outcome(worker.run(lambda: "done", lambda: None, 20)))]

    assert ["E-TELL-TIMEOUT", "E-TELL-BUSY", "E-TELL-BUSY", "done"] == asyncio.run(main())
    assert [] == threads()


def test_a_mistake_of_ours_ends_the_attempt_and_is_heard_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """The attempt fails at once, to be tried again, and the thread's own end tells what it was."""
    heard: list[type[BaseException]] = []
    monkeypatch.setattr(threading, "excepthook", lambda facts: heard.append(facts.exc_type))

    async def main() -> object:
        worker: Worker[str] = Worker("w")
        found = await outcome(worker.run(lambda: str(1 // 0), lambda: None, 20))
        await worker.close()
        return found

    found = asyncio.run(main())
    assert [ZeroDivisionError] == heard
    assert isinstance(found, TellingError)
    assert ("E-BUG", True) == (found.message_id, found.later)


def test_a_thread_that_outlives_the_loop_harms_nothing() -> None:
    """The daemon has ended before the attempt did."""
    going_on = threading.Event()

    async def main() -> None:
        task = asyncio.ensure_future(Worker[str]("w").run(lambda: str(going_on.wait()), lambda: None, 20))
        await until(lambda: bool(threads()))
        task.cancel()
        going_on.set()
        await asyncio.wait((task,))

    asyncio.run(main())
    assert going_on.is_set()


def test_what_a_server_says_is_one_short_line_without_the_secret() -> None:
    """Control characters, line breaks and what is too long do not reach the record, nor does a password in the form in which it went over the line."""
    assert "250 OK *** x" == clean("250 OK\r\n\t s3cret \x1b[31mx".replace("[31m", ""), "s3cret")
    encoded = {name: encode('s3cret &"Word!') for name, encode in ENCODINGS.items()}
    assert dict.fromkeys(encoded, "bad *** here") == {name: clean(f"bad {word} here", 's3cret &"Word!') for name, word in encoded.items()}
    assert "bad c2VydmVy queued as 4F1CAB12CD34 here" == clean("bad c2VydmVy queued as 4F1CAB12CD34 here", "s3cret")
    assert EVIDENCE_CHARACTERS_MAX == len(clean("告" * 1000))
    assert "a\ufffdb" == clean(b"a\xffb")


def test_a_secret_is_the_first_line_of_its_file(tmp_path: Path) -> None:
    """Line ends and blanks around it do not count, an empty file is no secret, and what is no text is refused without showing it."""
    words = {"word\n": "word", " word \r\nsecond\n": "word", "": "", "\n": "", "密 码": "密 码"}
    found = {text: secret(ChannelTable(name="c", kind="mail", password_file=password_file(tmp_path, text)), Recorder().parts) for text in words}
    assert words == found
    broken = Path(password_file(tmp_path))
    broken.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TellingError) as refused:
        secret(ChannelTable(name="c", kind="mail", password_file=str(broken)), Recorder().parts)
    assert ("E-KEY-BAD", True) == (refused.value.message_id, refused.value.later)
