"""What one alarm explains: a mains failure silences meters, piles and inverters, and nobody needs to be told of each.

    root      raised ─────────────────── cleared
    child        ├ hidden below it ┤               began from 10 s before the root until 60 s after its end
    shown                                    └ 60 s later, if it is still open: it has a cause of its own

A rule names in `explains` what it explains, as "class: rule" with `*` for any letters: "pile: *", "*: device offline". Safety alarms and rules
marked `alone` are explained by nothing. Everything is journalled; hidden means that nobody is called for it. What another root explains by then, open
or within its minute, goes on below that one. A root that has ended lies under `rules/ended/<id>` in the store for its minute, which goes on over a start.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from edgegw.config.model import Rule
from edgegw.model import ClockTrust
from edgegw.rules.binding import matches
from edgegw.rules.conditions import FAR
from edgegw.rules.episode import Episode, Facts, Moment

if TYPE_CHECKING:
    from edgegw.rules.journal import Journal

# Polls go round: what fails with its root is noticed up to this long before it.
ATTACH_BEFORE_MS = 10_000
# Devices come back one after the other.
ATTACH_AFTER_MS = 60_000
ENDED_PREFIX: Final = "rules/ended/"
# Of alarms without a device.
BUS_CLASS, GATEWAY_CLASS = "bus", "gateway"


class Ended(msgspec.Struct, frozen=True):
    """A root that has ended, as it is stored: until when it explains what begins; wall time."""

    facts: Facts
    until_ms: int


class Roots:
    """Over the episodes of a journal, which asks it at every raise and end."""

    def __init__(self, journal: Journal, rules: Sequence[Rule], classes: Mapping[str, str], judged: Container[str], restored: Mapping[str, bytes]) -> None:
        """`judged`: names of the rules that judge any point of this station."""
        self._journal = journal
        self._classes = classes
        self._explains = {rule.name: [_pair(text) for text in rule.explains] for rule in rules if rule.explains and rule.enabled}
        self._alone = {rule.name for rule in rules if rule.alone or rule.safety or rule.role}
        self._possible = frozenset(name for name in self._explains if name in judged)
        self._known: dict[tuple[str, str], bool] = {}
        """By class and rule, what `is_possible` has answered."""
        open_ = sorted(journal.open.values(), key=lambda episode: episode.number)
        self._keys = dict.fromkeys(episode.facts.key for episode in open_ if episode.facts.rule in self._explains)
        """Of the roots that are open, the oldest first; some may have ended since they were last looked at."""
        self._began_ms: dict[str, int] = {}
        """By id, monotonic: of what is open and began in this start. Of the others only the wall clock is known."""
        self._ended: dict[str, tuple[Facts, int]] = {}
        """By id: roots that ended, and until when they still explain what begins."""
        self._restored = {key.removeprefix(ENDED_PREFIX): data for key, data in restored.items() if key.startswith(ENDED_PREFIX)}
        self.due_ms = 0 if self._restored else FAR
        """Nothing is to be shown before this."""
        self._adopt_orphans()

    def _adopt_orphans(self) -> None:
        """Of a root of which nothing is known: its children are shown a minute after the start."""
        for root, children in self._journal.below.items():
            if root not in self._journal.keys and root not in self._restored:
                self._ended[root] = (self._journal.open[next(iter(children))].facts, ATTACH_AFTER_MS)
        self._find_due()

    def _restore(self, now: Moment) -> None:
        """Roots that had ended within the last minute; a clock that cannot tell gives them another one."""
        restored, self._restored = self._restored, {}
        for root, data in restored.items():
            try:
                ended = msgspec.json.decode(data, type=Ended)
            except (msgspec.DecodeError, UnicodeDecodeError):
                self._journal.keep_state(ENDED_PREFIX + root, None)
                continue
            left_ms = ATTACH_AFTER_MS if now.clock is ClockTrust.UNSET else min(max(0, ended.until_ms - now.wall_ms), ATTACH_AFTER_MS)
            self._ended[root] = (ended.facts, now.mono_ms + left_ms)

    def is_alone(self, facts: Facts) -> bool:
        """No rule explains it: safety, contacts that were seen active, and what is marked so."""
        return facts.safety or facts.rule in self._alone

    def is_possible(self, facts: Facts) -> bool:
        """Whether a rule of this station could explain such an alarm, now or in a moment."""
        if facts.safety:
            return False
        kind = self._class_of(facts)
        known = self._known.get((kind, facts.rule))
        if known is None:
            others = self._possible - {facts.rule}
            known = not self.is_alone(facts) and any(self._is_named(other, kind, facts.rule) for other in others)
            self._known[kind, facts.rule] = known
        return known

    def root_of(self, facts: Facts, began: Moment) -> str | None:
        """The id of what explains an alarm that is being raised."""
        if not (self._keys or self._ended) or self.is_alone(facts):
            return None
        for root in self._open_roots():
            if root.cleared_at_ms is None and root.facts.key != facts.key and self._does_explain(root.facts, facts) and self._is_after(root, began):
                return root.suppressed_by or root.alarm_id
        for alarm_id, (root_facts, until_ms) in self._ended.items():
            if began.mono_ms <= until_ms and self._does_explain(root_facts, facts):
                return alarm_id
        return None

    def goes_on(self, episode: Episode, at: Moment) -> str | None:
        """It is to be shown; the id of a root that explains it all the same, be it the one above it whose minute is not over."""
        if self.is_alone(episode.facts):
            return None
        for root in self._open_roots():
            is_other = root.facts.key != episode.facts.key and root.suppressed_by != episode.alarm_id
            if root.cleared_at_ms is None and is_other and self._does_explain(root.facts, episode.facts):
                return root.suppressed_by if root.suppressed_by not in (None, episode.suppressed_by) else root.alarm_id
        left = ((alarm_id, facts) for alarm_id, (facts, until_ms) in self._ended.items() if until_ms > at.mono_ms)
        return next((alarm_id for alarm_id, facts in left if self._does_explain(facts, episode.facts)), None)

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
        above = (root.alarm_id, root.suppressed_by)  # of two that explain each other the first stays above
        others = (episode for episode in self._journal.open.values() if episode.alarm_id not in above and episode.suppressed_by is None)
        return [
            episode
            for episode in others
            if not self.is_alone(episode.facts) and self._does_explain(root.facts, episode.facts) and self._lag_ms(root, episode) >= -ATTACH_BEFORE_MS
        ]

    def note(self, episode: Episode, began: Moment) -> None:
        """One that is being raised."""
        self._began_ms[episode.alarm_id] = began.mono_ms

    def again(self, root: Episode, began: Moment) -> None:
        """A latched one has come back: as a root it begins anew, and its minute is off."""
        if root.facts.rule in self._explains:
            self._began_ms[root.alarm_id] = began.mono_ms
        if self._ended.pop(root.alarm_id, None) is not None:
            self._journal.keep_state(ENDED_PREFIX + root.alarm_id, None)
            self._find_due()

    def forget(self, alarm_id: str) -> None:
        """It is not open any more."""
        self._began_ms.pop(alarm_id, None)

    def _is_after(self, root: Episode, began: Moment) -> bool:
        """Of what begins in this start; a root of an earlier one began before it, whatever the clock was set to."""
        root_ms = self._began_ms.get(root.alarm_id)
        return root_ms is None or began.mono_ms - root_ms >= -ATTACH_BEFORE_MS

    def _lag_ms(self, root: Episode, episode: Episode) -> int:
        """How long after the root it began; a step of the wall clock between them does not count where both are known better."""
        root_ms, began_ms = self._began_ms.get(root.alarm_id), self._began_ms.get(episode.alarm_id)
        if root_ms is not None and began_ms is not None:
            return began_ms - root_ms
        lag_ms = episode.began_at_ms - root.began_at_ms
        if root_ms is not None:
            return min(lag_ms, -root_ms)  # it began before this start
        return lag_ms if began_ms is None else max(lag_ms, began_ms)

    def ended(self, root: Episode, at: Moment) -> None:
        """It explains a little longer what is noticed late; then those below it that are still open stand for themselves."""
        if root.alarm_id in self._journal.below or root.facts.rule in self._explains:
            self._ended[root.alarm_id] = (root.facts, at.mono_ms + ATTACH_AFTER_MS)
            self._journal.keep_state(ENDED_PREFIX + root.alarm_id, msgspec.json.encode(Ended(root.facts, at.wall_ms + ATTACH_AFTER_MS)))
            self._find_due()

    def run(self, now: Moment) -> None:
        """Shows what is still open a minute after its root."""
        if self._restored:
            self._restore(now)
        for root in [alarm_id for alarm_id, (_, until_ms) in self._ended.items() if until_ms <= now.mono_ms]:
            del self._ended[root]
            self._journal.keep_state(ENDED_PREFIX + root, None)
            for key in sorted(self._journal.below.get(root, ()), key=lambda key: self._journal.open[key].number):
                self._journal.show(key, now)
        self._find_due()

    def _find_due(self) -> None:
        self.due_ms = 0 if self._restored else min((until_ms for _, until_ms in self._ended.values()), default=FAR)

    def _does_explain(self, root: Facts, facts: Facts) -> bool:
        return self._is_named(root.rule, self._class_of(facts), facts.rule)

    def _class_of(self, facts: Facts) -> str:
        return BUS_CLASS if facts.bus else self._classes.get(facts.device or "", GATEWAY_CLASS)

    def _is_named(self, root: str, kind: str, rule: str) -> bool:
        return any(matches(of_class, kind) and matches(name, rule) for of_class, name in self._explains.get(root, ()))


def _pair(text: str) -> tuple[str, str]:
    """`pile: *` as class and rule."""
    of_class, _, rule = text.partition(":")
    return of_class.strip(), rule.strip() or "*"
