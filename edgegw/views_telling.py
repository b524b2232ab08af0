"""What the control socket answers about telling people: what waits and what was told, and the test of a channel."""

from __future__ import annotations

import asyncio
import pwd
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from edgegw.buffer.database import FILE_NAME
from edgegw.buffer.happened import Happened, events_of
from edgegw.buffer.history import Reader
from edgegw.clock import Clock
from edgegw.config.model import Config
from edgegw.errors import EXIT_UNKNOWN, EdgegwError
from edgegw.rules.notifiers.job import Job
from edgegw.telling import Telling

# Of one answer: more is for `edgegw buffer export`.
TOLD_MAX: Final = 500
_DAY_S: Final = 86_400


class TellingViews:
    """`handlers` for the control server."""

    def __init__(self, config: Config, clock: Clock, telling: Telling) -> None:
        self._path = Path(config.paths.state_dir) / FILE_NAME
        self._clock = clock
        self._telling = telling

    def handlers(self) -> dict[str, Callable[[dict[str, Any]], Awaitable[object]]]:
        return {"alarm-test": self.test, "alarm-notices": self.notices}

    async def notices(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """What waits, the most severe first; what was told since `since_s` ago, oldest first; both of alarm `number` alone, or of all (0)."""
        number = int(arguments.get("number", 0))
        since_ms = self._clock.wall_ms() - round(1000 * float(arguments.get("since_s", _DAY_S)))
        queue = self._telling.teller.queue
        jobs = sorted((job for job in queue.jobs() if not number or number in _numbers(job)), key=lambda job: job.rank)

        def look() -> list[Happened]:
            with Reader(self._path) as reader:
                return events_of(reader, "notification", since_ms, "", TOLD_MAX)

        found = await asyncio.to_thread(look)
        told = [{"at_ms": one.at_ms, "device": one.device, **one.body} for one in found if not number or number in _list_of(one.body.get("numbers"))]
        return {
            "waiting": [_plain(job, under_way=queue.is_under_way(job)) for job in jobs[:TOLD_MAX]],
            "waiting_count": len(jobs),
            "told": told,
            "counts": queue.counts._asdict(),
            "channels": self._telling.channels,
        }

    async def test(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """A test to everybody whom the channel reaches; `channel` is a name or `all`. Raises EdgegwError E-TELL-CHANNEL."""
        wanted, channels = str(arguments.get("channel", "")), self._telling.channels
        names = channels if wanted == "all" else [wanted]
        if not names or any(name not in channels for name in names):
            there, step = (
                (f"there are: {', '.join(channels)}", "edgegw alarms test all") if channels else ("none is configured", "docs/notifications.md: [[channel]]")
            )
            raise EdgegwError("E-TELL-CHANNEL", f'no channel "{wanted}"; {there}', step, EXIT_UNKNOWN)
        found = await asyncio.gather(*(self._test(name, _user(arguments)) for name in names))
        return {"results": [result for results in found for result in results]}

    async def _test(self, name: str, by: str) -> list[dict[str, Any]]:
        """One after the other: a channel has one port."""
        results = []
        for target in self._telling.reach(name):
            trial = await self._telling.try_channel(target, by)
            results.append({"channel": name, "recipient": target.recipient, **trial._asdict()})
        nobody = {"channel": name, "recipient": "", "outcome": "nobody", "detail": "", "at_ms": self._clock.wall_ms(), "took_s": 0.0}
        return results or [nobody]


def _plain(job: Job, *, under_way: bool) -> dict[str, Any]:
    return {
        "notice_id": job.notice_id,
        "channel": job.target.channel,
        "recipient": job.target.recipient,
        "why": job.told.why.value,
        "level": job.told.episode.facts.level,
        "numbers": _numbers(job),
        "count": job.told.count,
        "at_ms": job.told.at_ms,
        "not_before_ms": job.not_before_ms,
        "attempts": job.attempts,
        "under_way": under_way,
        "detail": job.error,
    }


def _numbers(job: Job) -> list[int]:
    return [episode.number for episode in job.episodes]


def _list_of(found: object) -> list[object]:
    return found if isinstance(found, list) else []


def _user(arguments: dict[str, Any]) -> str:
    """The user at the other end, as the kernel says."""
    uid = int(arguments.get("peer_uid", -1))
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return f"uid {uid}"
