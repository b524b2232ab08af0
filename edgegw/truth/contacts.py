"""Connectors of piles and safety inputs: what changes of them is an event, even when it lasts for less than a window."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from edgegw.config.model import Contact as ContactSettings
from edgegw.model import Quality, Source
from edgegw.truth.contact import Contact, Told, Wiring, lose, lost_from_ms, miss, see
from edgegw.truth.work import KEY_PREFIX, Work, encode, recall

# docs/points.md, gun state.
STATE_WORDS = {0: "offline", 1: "idle", 2: "connected", 3: "charging", 4: "reserved", 255: "fault"}


class Connectors:
    """The gun states of one source."""

    def __init__(self, source: Source, restored: Mapping[str, bytes]) -> None:
        self.key = f"{KEY_PREFIX}connector/{source.device}/{source.group}"
        self._device = source.device
        at = {point.name: position for position, point in enumerate(source.points)}
        self.guns = [(name, position, at.get(f"{name}_code")) for name, position in at.items() if name.startswith("gun") and name.endswith(".state")]
        self._states = cast("dict[str, int]", recall(restored, self.key, dict[str, int]) or {})
        self._new = frozenset(self._states)
        """Not yet seen since the start."""

    def __call__(self, work: Work) -> None:
        if work.wrong:
            return
        for name, position, code in self.guns:
            state = work.value(position)
            if type(state) is not int or state == self._states.get(name):
                continue
            before = self._states.get(name)
            self._states[name] = state
            work.states[self.key] = encode(self._states)
            if before is None:
                continue  # the first word of it since it was installed: nothing has changed
            body = {
                "point": name,
                "gun": int(name.removeprefix("gun").removesuffix(".state")),
                "from": before,
                "to": state,
                "from_word": STATE_WORDS.get(before, ""),
                "to_word": STATE_WORDS.get(state, ""),
                "raw": None if code is None else work.value(code),
                "over_restart": name in self._new,
            }
            work.tell("connector", self._device, body)
        if self._new:
            self._new -= {name for name, position, _ in self.guns if work.value(position) is not None}


class Inputs:
    """The inputs of one source that are configured, safety inputs among them."""

    def __init__(self, source: Source, settings: Mapping[str, ContactSettings], restored: Mapping[str, bytes]) -> None:
        self.key = f"{KEY_PREFIX}input/{source.device}/{source.group}"
        self._device = source.device
        self.inputs = [
            (point.name, position, _wiring(settings[point.name.removeprefix("input.")]))
            for position, point in enumerate(source.points)
            if point.name.startswith("input.") and point.name.removeprefix("input.") in settings
        ]
        kept = cast("dict[str, tuple[int | None, bool]]", recall(restored, self.key, dict[str, tuple[int | None, bool]]) or {})
        self._contacts = {name: Contact(kept[name][0], lost=kept[name][1]) if name in kept else Contact() for name, _, _ in self.inputs}
        self.due_ms: int | None = None
        """When an input without a value is lost, should no poll come before."""

    def __call__(self, work: Work) -> None:
        changed = False
        for name, position, wiring in self.inputs:
            raw, contact = work.value(position), self._contacts[name]
            if type(raw) is int:
                if contact.is_settled and raw == contact.accepted and not wiring.inverted:
                    continue
                told = see(wiring, contact, raw, work.now.mono_ms)
                self._contacts[name] = told.contact
                changed |= self._seen(name, position, wiring, contact, told, raw, work)
            elif work.quality(position) is not Quality.MAINTENANCE:
                self._contacts[name] = miss(contact, work.now.mono_ms)
        changed |= self.tick(work)
        if changed:
            work.states[self.key] = encode({name: (contact.accepted, contact.lost) for name, contact in self._contacts.items()})

    def tick(self, work: Work) -> bool:
        """Tells the inputs that are lost by now; true when one is."""
        found = False
        waiting = []
        for name, position, wiring in self.inputs:
            contact = self._contacts[name]
            due_ms = lost_from_ms(contact)
            if due_ms is None or contact.lost or not wiring.fail_safe:
                continue
            lost = lose(wiring, contact, work.now.mono_ms)
            if lost is None:
                waiting.append(due_ms)
                continue
            self._contacts[name] = lost
            found = True
            why = "" if work.reading is None else work.quality(position).word
            work.tell("input_lost", self._device, {"point": name, "name": wiring.name, "edge": "raised", "last": contact.accepted, "reason": why or "offline"})
        self.due_ms = min(waiting, default=None)
        if found:
            work.states[self.key] = encode({name: (contact.accepted, contact.lost) for name, contact in self._contacts.items()})
        return found

    def _seen(self, name: str, position: int, wiring: Wiring, before: Contact, told: Told, raw: int, work: Work) -> bool:  # noqa: PLR0913, PLR0917
        if wiring.inverted and told.value is not None:
            work.turn_round(position, told.value)
        if not told.settled:
            work.suspect(position)
        if told.edge:
            work.tell("input_lost", self._device, {"point": name, "name": wiring.name, "edge": told.edge, "last": before.accepted, "reason": "read again"})
        if told.changed and before.accepted is not None and not work.wrong:
            body = {"point": name, "name": wiring.name, "from": before.accepted, "to": told.value, "raw": raw, "glitches": before.glitches}
            work.tell("input", self._device, body)
        return told.changed or bool(told.edge)


def _wiring(settings: ContactSettings) -> Wiring:
    return Wiring(settings.contact == "nc", settings.fail_safe, settings.debounce_ms, settings.name)
