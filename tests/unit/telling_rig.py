"""A station with two people, a duty phone and a boss, for the tests of telling: alarms by the minute, and what became of them in short words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from edgegw.config.channel_model import ChannelTable
from edgegw.config.notify_model import Recipient, Route
from edgegw.model import ClockTrust, Event
from edgegw.rules.episode import Episode, Facts, Moment
from edgegw.rules.limits import LIMITS, Limits
from edgegw.rules.notifiers.job import Job
from edgegw.rules.notifiers.queue import Queue
from edgegw.rules.notifiers.routing import Local, Router
from edgegw.rules.notifiers.teller import Teller
from edgegw.rules.told import Told, Why

# Monday 2027-01-18, 08:00 in UTC.
WALL_MS = 1_800_259_200_000
EPOCH = 0xE1
MINUTE_MS = 60_000
MAIL = ChannelTable(name="mail", kind="mail", host="mx", sender="g@x")
SMS = ChannelTable(name="sms", kind="sms_modem", path="/dev/m")
SIREN = ChannelTable(name="siren", kind="siren", device="R", point="relay.1")
JOURNAL = ChannelTable(name="journal", kind="syslog")
DUTY = Recipient(name="duty", address={"mail": "duty@x", "sms": "+861"}, language="zh")
BOSS = Recipient(name="boss", address={"sms": "+862"})
EVERYTHING = Route(name="all", recipients=["duty"])


def local(at_ms: int) -> Local:
    """Of a station on the meridian, whatever zone the test's machine has."""
    minutes = at_ms // MINUTE_MS
    days, minute = divmod(minutes, 1440)
    return Local((days + 3) % 7 + 1, minute)


def moment(minute: float = 0, trust: ClockTrust = ClockTrust.SYNCHRONISED, wall: float | None = None) -> Moment:
    return Moment(round(minute * MINUTE_MS), WALL_MS + round((minute if wall is None else wall) * MINUTE_MS), trust)


def episode(number: int = 1, level: str = "major", device: str | None = "AC-01", minute: float = 0, **more: object) -> Episode:
    facts = Facts(**{"rule": "device offline", "level": level, "device": device, "text": "no answer for 20 s", "text_zh": "20 秒无应答", **more})
    at_ms = WALL_MS + round(minute * MINUTE_MS)
    return Episode(f"{EPOCH:016x}-{number}", number, facts, at_ms - 20_000, ClockTrust.SYNCHRONISED, at_ms)


def told(number: int = 1, why: Why = Why.RAISED, minute: float = 0, **more: object) -> Told:
    return Told(why, WALL_MS + round(minute * MINUTE_MS), episode(number, minute=minute, **more))


def happened(number: int, edge: str, minute: float = 0, **more: object) -> Event:
    """An event of the journal."""
    at = moment(minute)
    return Event("alarm", at.wall_ms, at.mono_ms, at.clock, "AC-01", {"id": f"{EPOCH:016x}-{number}", "edge": edge, **more})


def router(
    routes: Sequence[Route] = (EVERYTHING,), channels: Sequence[ChannelTable] = (MAIL, SMS, SIREN, JOURNAL), recipients: Sequence[Recipient] = (DUTY, BOSS)
) -> Router:
    return Router(channels, recipients, routes, {"AC-01": "pile", "UPS-01": "ups"}, local)


class Station:
    """A teller with the store that it writes into; `restart` forgets everything else."""

    def __init__(
        self, *routes: Route, channels: Sequence[ChannelTable] = (SMS,), recipients: Sequence[Recipient] = (DUTY, BOSS), limits: Limits = LIMITS
    ) -> None:
        self.limits = limits
        self.router = router(routes or (EVERYTHING,), channels, recipients)
        self.store: dict[str, bytes] = {}
        self.events: list[Event] = []
        self.epoch = EPOCH
        self.restart(moment())

    def restart(self, at: Moment) -> None:
        self.epoch += 1
        self.teller = Teller(self.router, Queue(self.epoch, self.store, self.limits, lambda: 1.0), self.store)
        self.queue = self.teller.queue
        self.teller.begin(at)
        self.keep()

    def keep(self) -> None:
        """What the store does with the states of one transaction."""
        events, states = self.teller.take()
        self.events += events
        for key, data in states.items():
            if data is None:
                self.store.pop(key, None)
            else:
                self.store[key] = data

    def note(self, *what: Told | Event, minute: float = 0) -> None:
        self.teller.note([one for one in what if isinstance(one, Event)], [one for one in what if isinstance(one, Told)], moment(minute))
        self.keep()

    def tick(self, minute: float) -> None:
        self.teller.tick(moment(minute))
        self.keep()

    def pick(self, minute: float = 0, channel: str = "sms") -> Job | None:
        found = self.queue.pick(channel, moment(minute))
        self.keep()
        return found

    def deliver(self, minute: float = 0, channel: str = "sms") -> Job | None:
        job = self.pick(minute, channel)
        if job is not None:
            self.queue.delivered(job, "taken", moment(minute))
            self.keep()
        return job

    def fail(self, minute: float = 0, channel: str = "sms", *, later: bool = True) -> Job | None:
        job = self.pick(minute, channel)
        if job is not None:
            self.queue.failed(job, "no network", moment(minute), later=later)
            self.keep()
        return job

    def deliver_all(self, minute: float = 0, channel: str = "sms") -> list[str]:
        said = []
        while (job := self.deliver(minute, channel)) is not None:
            said.append(words(job))
        return said

    def outcomes(self) -> list[str]:
        return [str(event.body["outcome"]) for event in self.events if event.kind == "notification"]


def words(job: Job) -> str:
    """`#1 raised duty`, with `+ended` where it says both."""
    what = f"{job.told.count} alarms" if job.told.why is Why.SUMMARY else f"#{job.told.episode.number} {job.told.why.value}"
    return f"{what}{'+ended' if job.ended_at_ms is not None else ''} {job.target.recipient}"


def stored_jobs(store: Mapping[str, bytes]) -> list[Job]:
    return [msgspec.json.decode(data, type=Job) for key, data in store.items() if key.startswith("notify/job/")]
