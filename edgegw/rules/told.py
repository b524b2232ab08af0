"""What the engine wants people to hear: the decision, not the telling.

Everything is journalled; this is what is left after roots, settle window, chatter guard, flood and shelves. It belongs into the same
transaction as the change that caused it, so that a killed gateway neither forgets nor repeats it.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from edgegw.rules.episode import Episode


class Why(StrEnum):
    """What there is to tell of an episode."""

    RAISED = "raised"
    LEVEL = "level"
    """It has become more severe."""
    SHOWN = "shown"
    """The alarm above it has ended and this one has not."""
    AGAIN = "again"
    """A latched alarm came back before its reset."""
    CLEARED = "cleared"
    """One that was told singly has ended, whatever hides it by then."""
    SUMMARY = "summary"
    """Of a flood: what was not told singly."""
    REPORT = "report"
    """What was read around its raise, a minute after it."""


class Told(msgspec.Struct, frozen=True):
    """One thing to tell."""

    why: Why
    at_ms: int
    """Wall time of the decision."""
    episode: Episode
    """As it is now; of a summary the most severe of its episodes."""
    children: int = 0
    """Episodes hidden below it by now."""
    first_out: bool = False
    """The first of a group that fell together."""
    chattering: bool = False
    """It comes and goes: told once until it is quiet."""
    others: tuple[Episode, ...] = ()
    """Of a summary: its episodes, the most severe first; a notice keeps as many as it names."""
    count: int = 1
    """Of a summary: how many episodes it stands for."""
