"""From the edges of single rules to episodes: rules of one `episode` share one alarm of a device, and the most severe that holds speaks for it.

battery falling (minor)  ┌───────────────────────────┐
battery low (critical)            ┌────────┐
alarm                    raised   level    level      cleared
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from edgegw.rules.binding import Watch
from edgegw.rules.conditions import Edge
from edgegw.rules.episode import Episode, Facts, Moment
from edgegw.rules.journal import Journal
from edgegw.rules.levels import is_known, rank
from edgegw.rules.text import in_unit, rule_text


class Sharing:
    """Over the episodes of a journal."""

    def __init__(self, journal: Journal, watches: Sequence[Watch]) -> None:
        self._journal = journal
        self._active: dict[str, list[Watch]] = {}
        """Of episodes that several may share: who holds, by key."""
        self.touched: dict[str, tuple[Watch, Moment]] = {}
        """Keys of those that wait for `settle`."""
        self._names: dict[str, set[str]] = {}
        """Of the rules that may share an episode, alone and each with its point, by key."""
        shared = [watch for watch in watches if watch.rule.episode]
        for watch in shared:
            self._names.setdefault(watch.key, set()).update((watch.rule.name, _name(watch)))
        self.stale: list[Watch] = [watch for watch in watches if self._is_stale(watch)]
        """Who speaks for an open alarm, and says another level now than when it was stored."""
        for watch in shared:
            episode = journal.open.get(watch.key)
            held = self._active.setdefault(watch.key, [])
            if episode is not None and self.decides(watch, episode):
                held.append(watch)

    def decides(self, watch: Watch, episode: Episode) -> bool:
        """Whether the watch's condition held when the episode was stored."""
        if episode.cleared_at_ms is not None or episode.held or self.is_orphan(episode):
            return False
        if not watch.rule.episode:
            return True
        return _name(watch) in episode.holders if episode.holders else watch.rule.name == episode.facts.rule

    def _is_stale(self, watch: Watch) -> bool:
        episode, rule = self._journal.open.get(watch.key), watch.rule
        if episode is None or episode.facts.rule != rule.name or not (is_known(episode.facts.level) and self.decides(watch, episode)):
            return False  # a level that nobody knows any more stays, for people to see
        return (rule.level, rule.safety) != (episode.facts.level, episode.facts.safety)

    def renew(self, at: Moment) -> None:
        """An alarm that is open is as severe as its rule says, also when that was changed between two starts."""
        stale, self.stale = self.stale, []
        for watch in stale:
            episode = self._journal.open.get(watch.key)
            if episode is not None and self._is_stale(watch):
                facts = msgspec.structs.replace(episode.facts, level=watch.rule.level, safety=watch.rule.safety)
                self._journal.change_level(watch.key, facts, at)

    def is_orphan(self, episode: Episode) -> bool:
        """The rule that spoke for it, or what held, is gone: nothing could end it, and the others of the episode begin anew."""
        names = self._names.get(episode.facts.key)
        return names is not None and (episode.facts.rule not in names or (bool(episode.holders) and names.isdisjoint(episode.holders)))

    def take(self, watch: Watch, edge: Edge | None, at: Moment) -> None:
        """One rule's edge. Of an episode that several share the alarm follows with `settle`, when all of a reading have been heard."""
        if edge is None:
            return
        held = self._active.get(watch.key)
        if held is not None:
            if edge is Edge.RAISED:
                held.append(watch)
            else:
                held.remove(watch)
            self.touched[watch.key] = (watch, at)
        elif edge is Edge.RAISED:
            self._journal.raise_(facts_of(watch), watch.began or at, at)
        else:
            self._journal.clear(watch.key, at, _value(watch))

    def settle(self) -> None:
        """Raises, ends or changes the level of the episodes whose rules had an edge."""
        touched, self.touched = self.touched, {}
        for key, (watch, at) in touched.items():
            held = self._active[key]
            episode = self._journal.open.get(key)
            is_open = episode is not None and episode.cleared_at_ms is None and not episode.held
            if held and not is_open:
                first = _severest(held)
                self._journal.raise_(facts_of(first), first.began or at, at)
            elif held and episode is not None:
                self._speak(_severest(held), held, episode, at)
            elif is_open:
                self._journal.clear(key, at, _value(watch))
            self._note_holders(key, held)

    def _note_holders(self, key: str, held: Sequence[Watch]) -> None:
        """For the next start."""
        episode = self._journal.open.get(key)
        holders = tuple([_name(watch) for watch in held])
        if episode is not None and episode.holders != holders:
            self._journal.replace(msgspec.structs.replace(episode, holders=holders))

    def _speak(self, severest: Watch, held: Sequence[Watch], episode: Episode, at: Moment) -> None:
        """Who of one level speaks is no news; the words are those of a rule that holds."""
        if severest.rule.level != episode.facts.level:
            self._journal.change_level(episode.facts.key, facts_of(severest), at)
        elif episode.facts.rule not in {watch.rule.name for watch in held}:
            self._journal.replace(msgspec.structs.replace(episode, facts=facts_of(severest)))


def lesser_of(watches: Sequence[Watch]) -> dict[str, frozenset[str]]:
    """By rule, keys of its episodes in which a more severe rule may speak in a moment."""
    most: dict[str, int] = {}
    for watch in watches:
        if watch.rule.episode:
            most[watch.key] = min(rank(watch.rule.level), most.get(watch.key, rank(watch.rule.level)))
    found: dict[str, set[str]] = {}
    for watch in watches:
        if watch.rule.episode and rank(watch.rule.level) > most[watch.key]:
            found.setdefault(watch.rule.name, set()).add(watch.key)
    return {rule: frozenset(keys) for rule, keys in found.items()}


def _name(watch: Watch) -> str:
    return f"{watch.rule.name} {watch.point.name}"


def _value(watch: Watch) -> float | None:
    return None if watch.value is None else in_unit(watch.value, watch.point.decimals)


def _severest(held: Sequence[Watch]) -> Watch:
    """The first of those of one level."""
    return min(held, key=lambda watch: rank(watch.rule.level))


def facts_of(watch: Watch) -> Facts:
    """What the alarm says, as of now."""
    rule, point, value = watch.rule, watch.point, watch.value
    text, text_zh = rule_text(rule, point, value)
    return Facts(
        rule=rule.name,
        level=rule.level,
        device=watch.device,
        point=point.name,
        unit=point.unit,
        value=None if value is None else in_unit(value, point.decimals),
        limit=rule.limit,
        text=text,
        text_zh=text_zh,
        latched=rule.latched,
        safety=rule.safety,
        episode=watch.key,
    )
