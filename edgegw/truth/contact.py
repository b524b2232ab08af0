"""One safety input: which contact it is, when its value is settled, and when it is lost (pure).

    raw ──normally closed: inverted──► value ──unchanged through debounce_ms──► accepted
                                          └─ until then it is told as it is, and suspect

A value that goes back before it is accepted was a glitch, and is counted. An input without a value for 3 s is lost.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

# A module with safety inputs that is silent must be known within 5 s; one lost answer of a poll of half a second is noise of the line.
LOST_MS = 3000
# One poll alone may have been lost on the line, and the guard against late answers holds the next one back for so long (`late_answer_guard_ms` and the rest of
# the time-out); a module that is silent is still known within 5 s.
LOST_ALONE_MS = 4500


class Wiring(msgspec.Struct, frozen=True):
    """How an input is wired."""

    inverted: bool = False
    """Normally closed: an open circuit is the alarm."""
    fail_safe: bool = False
    debounce_ms: int = 0
    name: str = ""


class Contact(msgspec.Struct, frozen=True):
    """Where an input stands. Times are monotonic."""

    accepted: int | None = None
    candidate: int | None = None
    since_ms: int = 0
    """First read of the candidate."""
    silent_ms: int | None = None
    """First poll without a value since the last with one."""
    misses: int = 0
    """Polls without a value since then."""
    lost: bool = False
    glitches: int = 0
    """Since the last accepted change."""

    @property
    def is_settled(self) -> bool:
        """The accepted value again would change nothing."""
        return self.candidate is None and self.silent_ms is None and not self.lost


class Told(NamedTuple):
    """What one poll of an input means."""

    contact: Contact
    value: int | None
    settled: bool
    changed: bool
    """A new value was accepted."""
    edge: str
    """`raised` when it was lost just now, `cleared` when it came back, else empty."""


def see(wiring: Wiring, contact: Contact, raw: int, at_ms: int) -> Told:
    """A poll with a value."""
    value = 1 - raw if wiring.inverted and raw in (0, 1) else raw
    edge = "cleared" if contact.lost else ""
    glitches = contact.glitches
    if value == contact.accepted:
        glitches += contact.candidate is not None
        return Told(Contact(value, glitches=glitches), value, settled=True, changed=False, edge=edge)
    since_ms = contact.since_ms if value == contact.candidate and contact.silent_ms is None else at_ms
    if at_ms - since_ms >= wiring.debounce_ms:
        return Told(Contact(value), value, settled=True, changed=True, edge=edge)
    glitches += contact.candidate is not None and contact.candidate != value
    return Told(Contact(contact.accepted, value, since_ms, glitches=glitches), value, settled=False, changed=False, edge=edge)


def miss(contact: Contact, at_ms: int) -> Contact:
    """A poll without a value."""
    if contact.misses > 1:
        return contact  # More of them say no more.
    return msgspec.structs.replace(contact, silent_ms=at_ms if contact.silent_ms is None else contact.silent_ms, misses=contact.misses + 1)


def lost_from_ms(contact: Contact) -> int | None:
    """When it is lost, should no value come before; None while it is read."""
    return None if contact.silent_ms is None else contact.silent_ms + (LOST_MS if contact.misses > 1 else LOST_ALONE_MS)


def lose(wiring: Wiring, contact: Contact, now_ms: int) -> Contact | None:
    """The state of an input that is lost from now on; None while it is not, or was already."""
    due_ms = lost_from_ms(contact)
    if not wiring.fail_safe or contact.lost or due_ms is None or now_ms < due_ms:
        return None
    return msgspec.structs.replace(contact, lost=True)
