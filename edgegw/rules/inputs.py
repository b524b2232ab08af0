"""Safety inputs that cannot be read: an alarm of each, below that of the module or bus that is to blame.

    module silent       first failed poll ──3 s──► input lost (truth) ► device offline at once, which names what is blind; the inputs hidden below it
    and its bus too     another device failed meanwhile, none answered  ► bus offline instead
    the input alone     the module answers without it                   ► told as itself

The module needs no 15 s to count as offline then, and is told after 1.5 s: who watches for fire must be known to be blind within 5 s. Its level is the
highest that an alarm of its lost inputs could have. Bad quality raises nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from edgegw.config.model import Contact, Device, Rule
from edgegw.rules.episode import INPUT_LOST, Facts, Moment, episode_key
from edgegw.rules.journal import Journal
from edgegw.rules.levels import current_name, rank
from edgegw.rules.links import SEEING, Blind
from edgegw.rules.silence import Silence
from edgegw.rules.text import input_lost_text

# Of an input that no rule judges.
LEVEL: Final = "major"


class Inputs:
    """The fail-safe inputs of a station, over the episodes of a journal."""

    def __init__(self, journal: Journal, silence: Silence, devices: Sequence[Device], judged: Iterable[tuple[str, str, Rule]]) -> None:
        """`judged`: device, point and rule of everything that is judged."""
        self._journal = journal
        self._silence = silence
        self._contacts: dict[tuple[str, str], Contact] = {
            (device.code, f"input.{number}"): contact for device in devices for number, contact in device.input.items() if contact.fail_safe
        }
        self._levels: dict[tuple[str, str], str] = {}
        for device, point, rule in judged:
            before = self._levels.get((device, point))
            if before is None or rank(rule.level) < rank(before):
                self._levels[device, point] = rule.level
        for device in sorted({device for device, _ in self._contacts}):
            silence.recall_blind(device, self._blind(device))

    def keys(self) -> set[str]:
        """Of every episode that there can be."""
        return {_key(device, point) for device, point in self._contacts}

    def take(self, device: str, edges: Mapping[str, str], at: Moment) -> None:
        """What truth says of the inputs of one device: `raised` when one was lost, `cleared` when it was read again, by point."""
        lost = [point for point, edge in edges.items() if edge == "raised" and (device, point) in self._contacts and not self._is_open(device, point)]
        for point, edge in edges.items():
            if edge == "cleared" and self._is_open(device, point):
                self._journal.clear(_key(device, point), at)
        blind = self._blind(device, lost)
        root = self._silence.set_blind(device, blind, at) if lost else None
        for point in lost:
            self._raise(device, point, at, root)
        if not lost and len(edges) > 0:
            self._silence.recall_blind(device, blind)

    def _raise(self, device: str, point: str, at: Moment, root: str | None) -> None:
        text, text_zh = input_lost_text(self._word(device, point))
        self._journal.raise_(Facts(INPUT_LOST, self._level(device, point), device, point=point, text=text, text_zh=text_zh), at, at, suppressed_by=root)

    def _is_open(self, device: str, point: str) -> bool:
        episode = self._journal.open.get(_key(device, point))
        return episode is not None and not episode.held

    def _blind(self, device: str, more: Sequence[str] = ()) -> Blind:
        """What of it cannot be read, by now."""
        points = [point for code, point in self._contacts if code == device and (point in more or self._is_open(device, point))]
        if not points:
            return SEEING
        level = min((self._level(device, point) for point in points), key=rank)
        return Blind(tuple(self._word(device, point) for point in points), level, tuple(_key(device, point) for point in points))

    def _level(self, device: str, point: str) -> str:
        return self._levels.get((device, point)) or current_name(LEVEL)

    def _word(self, device: str, point: str) -> str:
        contact = self._contacts[device, point]
        name = contact.name or contact.role
        return f"{point} {name}" if name else point


def _key(device: str, point: str) -> str:
    return episode_key(INPUT_LOST, device, point)
