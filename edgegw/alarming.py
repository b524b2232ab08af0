"""The alarms in the daemon: the engine with the station's rules and levels, what is written down of them at a start, and what a cloud may do with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import msgspec

from edgegw.alarm_reports import AlarmReports, Handler
from edgegw.buffer.store import Buffer
from edgegw.clock import Clock
from edgegw.config.level_model import SHIPPED_LEVELS, Level
from edgegw.config.model import Config
from edgegw.model import Event, Source, Stream
from edgegw.rules.engine import Changes, Engine, Moment, Word
from edgegw.rules.levels import in_use, use
from edgegw.rules.limits import windows_of
from edgegw.rules.shipped import with_shipped
from edgegw.uplink.commands import ACK
from edgegw.uplink.envelope import Command
from edgegw.uplink.notices import is_of
from edgegw.uplink.sender import Sender
from edgegw.views_alarms import AlarmViews

LEVELS_KEY: Final = "rules/levels"
# Of a name and a reason; both go into events.
BY_MAX: Final = 48
NOTE_MAX: Final = 200


def make_engine(config: Config, sources: Sequence[Source], buffer: Buffer) -> Engine:
    """With what the store knows of the alarms."""
    use(config.level)
    rules = with_shipped(config.rule, shipped=config.alarms.shipped_rules, supply=config.supply)
    return Engine(rules, config.device, sources, buffer.epoch, buffer.states("rules/"), windows_of(config.telling))


class Alarming:
    """`accept` stores what changed."""

    def __init__(self, config: Config, engine: Engine, clock: Clock, buffer: Buffer, accept: Callable[[Changes], None]) -> None:
        self._config = config
        self._engine = engine
        self._clock = clock
        self._buffer = buffer
        self._accept = accept

    def handlers(self, others: Mapping[str, Handler]) -> dict[str, Handler]:
        """For the control socket; a report has what `others` say of buses and uplinks."""
        self.reports = AlarmReports(self._config, self._engine, self._clock, self._accept, others)
        kept = partial(self._buffer.newest_block_id, (Stream.EVENT,))
        views = AlarmViews(self._config, self._clock, self._engine, self._accept, kept, others.get("read"))
        return {**views.handlers(), **self.reports.handlers()}

    def begin(self, senders: Sequence[Sender]) -> None:
        """Before the first reading: levels that are others than at the last start are an event; the clouds may acknowledge."""
        self._accept(_levels_changed(self._buffer.states(LEVELS_KEY).get(LEVELS_KEY), self._now()))
        self._engine.consequences.begin(self._now())
        self._accept(self._engine.changed())
        names = [sender.status().name for sender in senders]
        for alarm in self._engine.open_alarms(hidden=True):
            if any(is_of(name, alarm.rule) for name in names):  # It stays until its uplink finds that it is over.
                self._accept(self._engine.report(alarm.rule, alarm.level, alarm.text, "", *self._now()))
        for sender in senders:
            sender.commands.handlers[ACK] = partial(self.ordered, sender.status().name)

    async def ordered(self, uplink: str, command: Command) -> str:
        """A signed `ack` of a cloud: alarm id, by, note. What came of it."""
        match list(command.arguments):
            case [str(alarm_id), str(by), *rest] if by.strip() and len(by) <= BY_MAX and len(rest) <= 1:
                note = rest[0] if rest else ""
            case _:
                return "refused: an acknowledgement is [alarm id, by, note]"
        if not isinstance(note, str) or len(note) > NOTE_MAX:
            return f"refused: a note is a text of at most {NOTE_MAX} characters"
        result = self._engine.desk.acknowledge_from_afar(alarm_id[:BY_MAX], Word(f"{by} ({uplink})", note), command.at_ms, self._now())
        self._accept(self._engine.changed())
        return result

    def _now(self) -> Moment:
        mono_ms = self._clock.mono_ms()
        return Moment(mono_ms, self._clock.wall_ms(mono_ms), self._clock.trust)


def _levels_changed(stored: bytes | None, at: Moment) -> Changes:
    """Who changes what an alarm means leaves a trace."""
    before, now = _levels(stored), list(in_use())
    if before == now:
        return Changes()
    body = {"levels": msgspec.to_builtins(now), "before": [level.name for level in before]}
    return Changes((Event("levels", at.wall_ms, at.mono_ms, at.clock, None, body),), {LEVELS_KEY: msgspec.json.encode(now)})


def _levels(stored: bytes | None) -> list[Level]:
    """Those of the last start; what cannot be read counts as the shipped ones."""
    try:
        return msgspec.json.decode(stored, type=list[Level]) if stored else list(SHIPPED_LEVELS)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return list(SHIPPED_LEVELS)
