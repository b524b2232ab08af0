"""When a connection that works is made anew: its certificate files were exchanged, or the clock was set that its certificates are judged by.

Nothing is lost between the two: what has no receipt is sent again, and the receiver knows it.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import Final

from edgegw.model import ClockTrust
from edgegw.uplink.login import Login, TlsFilesError, tls_context

logger = logging.getLogger("edgegw.uplink")

# Three calls of stat; a person who exchanged the files looks at the screen a moment later.
LOOK_S: Final = 5.0

Stamp = tuple[int, int, int]


class Renewal:
    """Of one connection, made when it is."""

    def __init__(self, login: Login) -> None:
        self._login = login
        self._stamps = self._now()
        self._refused: tuple[Stamp | None, ...] = ()
        self._look_at_s = time.monotonic() + LOOK_S

    @property
    def is_undated(self) -> bool:
        """The dates of the broker's certificate were not judged."""
        return self._login.judges_no_dates

    def why(self, trust: ClockTrust) -> str:
        """Why the connection is to be made anew, in words; empty while it is good as it is."""
        if self._login.judges_no_dates and trust is not ClockTrust.UNSET:
            return "the clock is set, the certificates are judged by it"
        if not self._login.broker.tls or time.monotonic() < self._look_at_s:
            return ""
        self._look_at_s = time.monotonic() + LOOK_S
        return "the certificate files were exchanged" if self._is_exchanged() else ""

    def _is_exchanged(self) -> bool:
        """Only files that fit together count: between the first and the last of a set that is being copied the connection stays."""
        stamps = self._now()
        if stamps in (self._stamps, self._refused):
            return False
        try:
            tls_context(self._login)
        except TlsFilesError as fault:
            self._refused = stamps
            logger.warning("E-TLS-FILES: the certificate files were exchanged and cannot be used (%s); the connection stays as it is", fault)
            return False
        return True

    def _now(self) -> tuple[Stamp | None, ...]:
        return tuple(map(stamp_of, (self._login.ca_file, self._login.cert_file, self._login.cert_key_file)))


def stamp_of(name: str) -> Stamp | None:
    """What changes with a file's content; None for a file that is not there."""
    try:
        found: os.stat_result = Path(name).stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
