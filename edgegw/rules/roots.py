"""What one alarm explains: a mains failure silences meters, piles and inverters, and nobody needs to be told of each.

    root      raised ─────────────────── cleared
    child        ├ hidden below it ┤               began from 10 s before the root until 60 s after its end
    shown                                    └ 60 s later, if it is still open: it has a cause of its own

A rule names in `explains` what it explains, as "class: rule" with `*` for any letters: "pile: *", "*: device offline". Safety alarms and rules
marked `alone` are explained by nothing. Everything is journalled; hidden means that nobody is called for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from edgegw.config.model import Rule
from edgegw.rules.binding import matches
from edgegw.rules.conditions import FAR
from edgegw.rules.episode import Episode, Facts, Moment

if TYPE_CHECKING:
    from edgegw.rules.journal import Journal

# Polls go round: what fails with its root is noticed up to this long before it.
ATTACH_BEFORE_MS = 10_000
# Devices come back one after the other.
ATTACH_AFTER_MS = 60_000
# Of alarms without a device.
BUS_CLASS, GATEWAY_CLASS = "bus", "gateway"


class Roots:
    """Over the episodes of a journal, which asks it at every raise and end."""

    def __init__(self, journal: Journal, rules: Sequence[Rule], classes: Mapping[str, str]) -> None:
        self._journal = journal
        self._classes = classes
        self._explains = {rule.name: [_pair(text) for text in rule.explains] for rule in rules if rule.explains and rule.enabled}
        self._alone = {rule.name for rule in rules if rule.alone or rule.safety}
        self._keys = dict.fromkeys(key for key, episode in journal.open.items() if episode.facts.rule in self._explains)
        """Of the roots that are open; some may have ended since they were last looked at."""
        self._ended: dict[str, tuple[Facts, int]] = {}
        """By id: roots that ended, and until when they still explain what begins."""
        self.due_ms = FAR
        """Nothing is to be shown before this."""
        self._adopt_orphans()

    def _adopt_orphans(self) -> None:
        """Of a root that is not open any more, since before this start: its children are shown a minute after it."""
        for root, children in self._journal.below.items():
            if root not in self._journal.keys:
                self._ended[root] = (self._journal.open[next(iter(children))].facts, ATTACH_AFTER_MS)
        self._find_due()

    def root_of(self, facts: Facts, began: Moment) -> str | None:
        """The id of what explains an alarm that is being raised."""
        if facts.rule in self._alone:
            return None
        for root in self._open_roots():
            if root.cleared_at_ms is None and root.facts.key != facts.key and self._does_explain(root.facts, facts) and _is_after(root, began):
                return root.suppressed_by or root.alarm_id
        for alarm_id, (root_facts, until_ms) in self._ended.items():
            if began.mono_ms <= until_ms and self._does_explain(root_facts, facts):
                return alarm_id
        return None

    def _open_roots(self) -> Iterator[Episode]:
        """There are few of them, and thousands of alarms in a storm."""
        gone = [key for key in self._keys if key not in self._journal.open or self._journal.open[key].facts.rule not in self._explains]
        for key in gone:
            del self._keys[key]
        return (self._journal.open[key] for key in self._keys)

    def children_of(self, root: Episode) -> list[Episode]:
        """Open alarms that a root explains which has just been raised, or has just become one by a change of level."""
        if root.facts.rule not in self._explains:
            return []
        self._keys[root.facts.key] = None
        since_ms = root.began_at_ms - ATTACH_BEFORE_MS
        others = (episode for episode in self._journal.open.values() if episode.alarm_id != root.alarm_id and episode.suppressed_by is None)
        return [
            episode
            for episode in others
            if episode.began_at_ms >= since_ms and episode.facts.rule not in self._alone and self._does_explain(root.facts, episode.facts)
        ]

    def ended(self, root: Episode, at: Moment) -> None:
        """It explains a little longer what is noticed late; then those below it that are still open stand for themselves."""
        if root.alarm_id in self._journal.below or root.facts.rule in self._explains:
            self._ended[root.alarm_id] = (root.facts, at.mono_ms + ATTACH_AFTER_MS)
            self._find_due()

    def jobs(self, now_ms: int) -> list[tuple[int, Callable[[Moment], None]]]:
        """What is due at `now_ms`: its time and the deed."""
        return [(until_ms, partial(self._show, alarm_id)) for alarm_id, (_, until_ms) in self._ended.items() if until_ms <= now_ms]

    def _show(self, root: str, at: Moment) -> None:
        self._ended.pop(root, None)
        for key in sorted(self._journal.below.get(root, ()), key=lambda key: self._journal.open[key].number):
            self._journal.show(key, at)
        self._find_due()

    def _find_due(self) -> None:
        self.due_ms = min((until_ms for _, until_ms in self._ended.values()), default=FAR)

    def _does_explain(self, root: Facts, facts: Facts) -> bool:
        kind = BUS_CLASS if facts.bus else self._classes.get(facts.device or "", GATEWAY_CLASS)
        return any(matches(of_class, kind) and matches(rule, facts.rule) for of_class, rule in self._explains.get(root.rule, ()))


def _is_after(root: Episode, began: Moment) -> bool:
    return began.wall_ms >= root.began_at_ms - ATTACH_BEFORE_MS


def _pair(text: str) -> tuple[str, str]:
    """`pile: *` as class and rule."""
    of_class, _, rule = text.partition(":")
    return of_class.strip(), rule.strip() or "*"
