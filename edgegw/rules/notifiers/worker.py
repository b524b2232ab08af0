"""One attempt in a thread of its own, for libraries that block; and the words of a server, fit for a record."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar
from urllib.parse import quote, quote_plus

from edgegw.rules.notifiers.model import TellingError
from edgegw.rules.notifiers.parts import failed

T = TypeVar("T")

# A thread whose connection was cut ends within this; what hangs longer (a name server that never answers) is left behind, one at a time.
END_S = 2.0
# Of what a server says, so much is kept as evidence.
EVIDENCE_CHARACTERS_MAX = 200
_BASE64 = re.compile(r"[A-Za-z0-9+/]{4,}={0,2}")


class Worker(Generic[T]):
    """Of one channel: one thread at a time, and none that outlives the program."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._thread: threading.Thread | None = None

    async def run(self, work: Callable[[], T], abort: Callable[[], None], timeout_s: float) -> T:
        """What `work` returns. `abort` is called from here and makes `work` end at once. Raises TellingError."""
        if self._thread is not None and self._thread.is_alive():
            raise failed("E-TELL-BUSY", f'channel "{self._name}": the last attempt still hangs', "look at the name server and the network", later=True)
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        self._thread = threading.Thread(target=_work, args=(work, loop, done), name=f"tell-{self._name}", daemon=True)
        self._thread.start()
        try:
            await asyncio.wait((done,), timeout=timeout_s)
            if done.done():
                return done.result()
        finally:
            if not done.done():
                done.cancel()
                abort()
                await self._end()
        raise failed("E-TELL-TIMEOUT", f'channel "{self._name}": nothing came of it within {timeout_s:g} s', "look at the network and the server", later=True)

    async def close(self) -> None:
        """Waits a moment for a thread that was told to end."""
        await self._end()

    async def _end(self) -> None:
        thread = self._thread
        if thread is not None:
            ended = asyncio.get_running_loop().run_in_executor(None, thread.join, END_S)
            await asyncio.shield(ended)


def _work(work: Callable[[], T], loop: asyncio.AbstractEventLoop, done: asyncio.Future[T]) -> None:
    """Hands over what came of it. A mistake of ours ends the attempt and is heard of as such."""
    result: list[T] = []
    fault: TellingError = failed("E-BUG", "the attempt broke off", "run the same with -v and report what it prints", later=True)
    try:
        result.append(work())
    except TellingError as told:
        fault = told
    finally:
        _tell(loop, done, result, fault)


def _tell(loop: asyncio.AbstractEventLoop, done: asyncio.Future[T], result: list[T], fault: TellingError) -> None:
    def hand_over() -> None:
        if done.done():
            return  # Nobody waits any more.
        if result:
            done.set_result(result[0])
        else:
            done.set_exception(fault)

    with suppress(RuntimeError):  # The loop is no more: nobody waits.
        loop.call_soon_threadsafe(hand_over)


def clean(text: str | bytes, secret: str = "") -> str:
    """One short line without control characters, and without the secret should the server repeat it, as it is or as it was encoded for the way."""
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    if secret:
        words = _BASE64.sub(lambda found: "***" if _decodes_to(found[0], secret) else found[0], words)
        forms = {secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
        for form in sorted(forms, key=len, reverse=True):
            words = words.replace(form, "***")
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in words).split())
    return line if len(line) <= EVIDENCE_CHARACTERS_MAX else line[: EVIDENCE_CHARACTERS_MAX - 3] + "..."


def _decodes_to(word: str, secret: str) -> bool:
    """A login (RFC 4616, AUTH LOGIN) goes over the line in base64: whoever reads that has the password."""
    try:
        return secret.encode() in base64.b64decode(word + "=" * (-len(word) % 4))
    except binascii.Error:
        return False
