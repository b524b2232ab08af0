"""What the control socket answers about alarms, and what people may do with them (forms: docs/cli.md)."""

from __future__ import annotations

import asyncio
import pwd
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from edgegw.buffer.database import FILE_NAME
from edgegw.buffer.happened import Happened, events_of, oldest_event_ms
from edgegw.buffer.history import Reader
from edgegw.clock import Clock
from edgegw.config.model import Config
from edgegw.errors import EXIT_UNKNOWN, EXIT_USAGE, EdgegwError
from edgegw.model import Alarm
from edgegw.rules.engine import Changes, Engine, Moment, Word
from edgegw.rules.levels import current_name, deadlines, in_use, name_zh, overdue, rank
from edgegw.rules.notifiers.steps import Advices
from edgegw.rules.shipped import with_shipped
from edgegw.rules.silence import GOOD_POLLS_MIN
from edgegw.rules.text import with_unit

# Of a person's reason; it goes into an event.
NOTE_MAX = 200
HISTORY_MAX = 5_000
# A device that answers does so within two; who waits at the other end has ten seconds.
ASK_S = 6.0


class AlarmViews:
    """`accept` takes what a deed changed; its answer goes out when that is on the disk, which `kept` waits for. `read` is the request of that name."""

    def __init__(  # noqa: PLR0913, PLR0917 - the parts that it asks
        self,
        config: Config,
        clock: Clock,
        engine: Engine,
        accept: Callable[[Changes], None],
        kept: Callable[[], Awaitable[object]],
        read: Callable[[dict[str, Any]], Awaitable[Any]] | None = None,
    ) -> None:
        self._config = config
        self._clock = clock
        self._engine = engine
        self._accept = accept
        self._kept = kept
        self._read = read
        self._devices = {device.code for device in config.device}
        self._places = {device.code: device.location or device.name for device in config.device}
        self._advices = Advices(with_shipped(config.rule, shipped=config.alarms.shipped_rules, supply=config.supply))
        self._contacts = {(device.code, f"input.{number}"): contact.name for device in config.device for number, contact in device.input.items()}

    def handlers(self) -> dict[str, Callable[[dict[str, Any]], Awaitable[object]]]:
        return {"alarms": self.alarms, "alarm-do": self.act, "alarm-history": self.history}

    async def alarms(self, _arguments: dict[str, Any]) -> dict[str, Any]:
        english = self._engine.all_alarms("en")
        both, numbers = zip(english, self._engine.all_alarms("zh"), strict=True), {alarm.alarm_id: alarm.number for alarm in english}
        out = self._engine.desk.out_of_service()
        return {
            "alarms": [{**self._plain(alarm, chinese.text), "below": numbers.get(alarm.root or "")} for alarm, chinese in both],
            "service_state": service_states(self._engine),
            "levels": [{"name": level.name, "name_zh": level.name_zh} for level in in_use()],
            "out_of_service": [{"device": device, "until_ms": shelf.until_ms, "by": shelf.word.by, "note": shelf.word.note} for device, shelf in out.items()],
        }

    def _plain(self, alarm: Alarm, text_zh: str) -> dict[str, Any]:
        now_ms = self._clock.wall_ms()
        end_ms = now_ms if alarm.cleared_at_ms is None else alarm.cleared_at_ms
        due = deadlines(alarm.level, alarm.raised_at_ms)
        return {
            **msgspec.structs.asdict(alarm),
            "text_zh": text_zh,
            "level_zh": name_zh(alarm.level),
            "rank": rank(alarm.level),
            "unit_text": with_unit("", alarm.unit).strip(),
            "place": self._places.get(alarm.device, ""),
            **self._advices.of(alarm.rule)._asdict(),
            "contact": self._contacts.get((alarm.device, alarm.point), ""),
            "for_s": round(max(0, end_ms - alarm.began_at_ms) / 1000, 1),
            "deadlines": [{"what": deadline.what, "at_ms": deadline.at_ms} for deadline in due],
            "overdue": overdue(due, now_ms, acknowledged=alarm.acknowledged, ended=alarm.cleared_at_ms is not None),
        }

    async def act(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """`deed`: ack, reset, recheck, shelve (`for_s`, 0 ends it), each with `number`; out-of-service with `device` and `for_s`. `note` says why."""
        word = Word(_who(arguments), str(arguments.get("note", ""))[:NOTE_MAX])
        for_s, number = arguments.get("for_s", 0), arguments.get("number", 0)
        if type(number) is not int or type(for_s) not in (int, float) or not 0 <= for_s < 1e9:
            raise EdgegwError("E-CONTROL-ARGS", "number must be a whole number, for_s a time", "", EXIT_USAGE)
        deed = str(arguments.get("deed", ""))
        answered = await self._ask(number) if deed == "recheck" else None
        mono_ms = self._clock.mono_ms()
        at = Moment(mono_ms, self._clock.wall_ms(mono_ms), self._clock.trust)
        result = self._do(deed, arguments, round(for_s * 1000), word, at)
        if answered is not None:
            result["answered"] = answered
        await self._kept()
        return {"by": word.by, **result}

    async def _ask(self, number: int) -> bool | None:
        """
        The device of an alarm, now, so that what is so decides and not what was; whether it answered. None: nobody to be asked. As often as one that was
        silent must answer to be back.
        """
        device = self._engine.desk.find(number).facts.device
        if self._read is None or device not in self._devices:
            return None
        try:
            async with asyncio.timeout(ASK_S):
                found = [await self._read({"device": device, "fresh": True}) for _ in range(GOOD_POLLS_MIN)]
        except (EdgegwError, TimeoutError):
            return False
        return all(one["answered"] for one in found)

    def _do(self, deed: str, arguments: dict[str, Any], for_ms: int, word: Word, at: Moment) -> dict[str, Any]:
        desk, number = self._engine.desk, int(arguments.get("number", 0))
        result: dict[str, Any] = {"number": number}
        match deed:
            case "ack":
                seen = desk.acknowledge(number, word, at)
                result |= {"acknowledged_by": seen.acknowledged_by, "acknowledged_at_ms": seen.acknowledged_at_ms}
            case "reset":
                desk.reset(number, word, at)
            case "shelve":
                result["until_ms"] = desk.shelve(number, for_ms, word, at).until_ms
            case "recheck":
                self._accept(self._engine.recheck(number, at))
                found = [alarm for alarm in self._engine.all_alarms() if alarm.number == number]
                result["ended"] = all(alarm.cleared_at_ms is not None for alarm in found)
                result["waits_for_reset"] = result["ended"] and any(alarm.latched for alarm in found)
            case "out-of-service":
                device = str(arguments.get("device", ""))
                self._must_know(device)
                result = {"device": device, "until_ms": desk.service(device, for_ms, word, at).until_ms}
            case _:
                raise EdgegwError("E-CONTROL-ARGS", f'unknown deed "{deed}"', "", EXIT_USAGE)
        self._accept(self._engine.changed())
        return result

    def _must_know(self, device: str) -> None:
        if device not in self._places:
            raise EdgegwError("E-DEVICE", f'no device "{device}"', f"one of {', '.join(list(self._places)[:12])}", EXIT_UNKNOWN)

    async def history(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Alarm events that are stored, of `device` (empty: all) or of alarm `number` (0: all), since `since_s` ago, oldest first; from when on the answer is
        whole, and the levels.
        """
        now_ms = self._clock.wall_ms()
        since_ms = now_ms - round(1000 * float(arguments.get("since_s", 86_400)))
        device, number = str(arguments.get("device", "")), arguments.get("number", 0)
        path = Path(self._config.paths.state_dir) / FILE_NAME

        def look() -> tuple[list[Happened], int]:
            with Reader(path) as reader:
                return events_of(reader, "alarm", since_ms, device, HISTORY_MAX), oldest_event_ms(reader) or now_ms

        found, oldest_ms = await asyncio.to_thread(look)
        if device and not found:
            self._must_know(device)
        whole = len(found) < HISTORY_MAX
        from_ms = max(since_ms, oldest_ms) if whole else found[0].at_ms
        return {
            "events": [_past(one) for one in found if not number or one.body.get("number") == number],
            "whole": whole,
            "from_ms": min(from_ms, now_ms),
            "to_ms": now_ms,
            "levels": [{"name": level.name, "name_zh": level.name_zh, "acknowledge": level.acknowledge} for level in in_use()],
        }


def service_states(engine: Engine) -> list[dict[str, Any]]:
    """Devices that an alarm keeps out of service."""
    found = engine.consequences.faulty()
    return [{"device": device, "state": "out_of_service", "since_ms": since_ms, "alarms": numbers} for device, (since_ms, numbers) in sorted(found.items())]


def _past(one: Happened) -> dict[str, Any]:
    """An event as it was stored, its level as it is called now."""
    level = str(one.body.get("level", ""))
    return {"at_ms": one.at_ms, "device": one.device, **one.body, "level": current_name(level), "level_zh": name_zh(level)}


def _who(arguments: dict[str, Any]) -> str:
    """The user at the other end, as the kernel says; behind sudo as whom that was called."""
    uid = int(arguments.get("peer_uid", -1))
    try:
        name = pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        name = f"uid {uid}"
    user = str(arguments.get("user", ""))[:32]
    return f"{user} ({name})" if user and uid == 0 and user != name else name
