"""What the tests of the channels share: parts that record, notices, and what an attempt came to."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from edgegw.config.channel_model import ChannelTable
from edgegw.rules.notifiers.model import Notice, TellingError
from edgegw.rules.notifiers.parts import ModemLine, Parts, Relay
from edgegw.uplink.private_file import read_private

SECRET = "s3cret-Word!"
DEADLINE_S = 30
TEXT = "站点 R10：消防烟感报警\n设备 DI-01，一次变压器室\n第一步：切断电源 & 通知值班"
NOTICE = Notice("epoch-17.3", "critical", "烟感报警 R10 smoke", TEXT, "R10 DI-01 烟感报警 1/1 先断电")


def password_file(directory: Path, word: str = SECRET) -> str:
    directory.mkdir(mode=0o700, exist_ok=True)
    path = directory / "word"
    path.write_text(word + "\n", encoding="utf-8")
    path.chmod(0o600)
    return str(path)


class Recorder:
    """Parts that write down what they are asked."""

    def __init__(self, *, line: Callable[[ChannelTable], ModemLine] | None = None, relay: Relay | None = None) -> None:
        self.audits: list[tuple[str, Mapping[str, object]]] = []
        self.wanted = True
        self.asked_levels: list[frozenset[str]] = []
        self.parts = Parts(
            "op/R10/gw1", read_private, line or _nothing, lambda _table: relay or _nothing(_table), self._is_wanted, lambda _channel: frozenset(), self._audit
        )

    def _is_wanted(self, levels: frozenset[str]) -> bool:
        self.asked_levels.append(levels)
        return self.wanted

    def _audit(self, device: str, body: Mapping[str, object]) -> None:
        self.audits.append((device, dict(body)))


def _nothing(table: ChannelTable) -> Any:
    raise AssertionError(f"channel {table.name} asked for something that it was not given")


async def outcome(sending: Awaitable[str]) -> str | TellingError:
    """What came of one attempt."""
    try:
        return await asyncio.wait_for(sending, DEADLINE_S)
    except TellingError as fault:
        return fault


def threads() -> list[str]:
    """Names of the threads that channels have started."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("tell-")]


async def until(condition: Callable[[], bool]) -> None:
    """Waits for it, with a deadline."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - what other threads do is awaited
            await asyncio.sleep(0.005)
