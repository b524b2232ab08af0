"""Certificates as people need them: whose, signed by whom, until when, and when their end is to be told.

Whether a certificate is to be trusted is the business of TLS alone (`login.py`); here it is only read.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from edgegw.uplink.x509_fields import fields_of

# Two months for a certificate that is ordered by post, one for one that is ordered by mail, a week in which somebody must drive there.
WARN_DAYS: Final = (60, 30, 7)
# A certificate made for 90 days is renewed in its last month: told 60 days before its end it would be told for ever. Only those steps count
# that lie in the last quarter of its life.
_LIFE_SHARE: Final = 4
EXPIRED: Final = 0
"""The step after the last warning: its time is over."""
_DAY_S: Final = 86_400
# A bundle of the system's authorities has some 140 certificates.
_FILE_BYTES_MAX: Final = 1024 * 1024
# RFC 7468, section 5.
_PEM: Final = re.compile(rb"-----BEGIN (?:X509 )?CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END (?:X509 )?CERTIFICATE-----")


class Certificate(msgspec.Struct, frozen=True):
    """What is written in one certificate; times in seconds since 1970."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    """The host names and addresses that it is for."""
    not_before_s: float
    not_after_s: float

    @property
    def begins(self) -> str:
        """The day, UTC, as 2026-11-21."""
        return _day(self.not_before_s)

    @property
    def expires(self) -> str:
        return _day(self.not_after_s)

    def days_left(self, now_s: float) -> int:
        """Whole days; negative when it is over."""
        return int((self.not_after_s - now_s) // _DAY_S)

    def step(self, now_s: float) -> int | None:
        """The last of `WARN_DAYS` that has come, `EXPIRED` after the end, None while nothing is to be told."""
        if now_s >= self.not_after_s:
            return EXPIRED
        life_days = (self.not_after_s - self.not_before_s) / _DAY_S
        left_days = (self.not_after_s - now_s) / _DAY_S
        return min((days for days in WARN_DAYS if left_days <= days and days * _LIFE_SHARE <= life_days), default=None)


def of_der(der: bytes) -> Certificate:
    """One certificate as TLS shows it. Raises ValueError."""
    found = fields_of(der)
    return Certificate(found.subject, found.issuer, (*found.host_names, *found.addresses), found.begins.timestamp(), found.ends.timestamp())


def of_file(path: str | Path) -> list[Certificate]:
    """Every certificate of a PEM file, in its order: of a client's file the first is its own. Raises OSError, ValueError."""
    with Path(path).open("rb") as file:
        blocks = _PEM.findall(file.read(_FILE_BYTES_MAX))
    if not blocks:
        raise ValueError("no certificate in PEM")
    return [of_der(base64.b64decode(block)) for block in blocks]


def authority_of(certificate: Certificate | None, known: Sequence[Certificate]) -> Certificate | None:
    """The one of a file of authorities that counts: the issuer of the broker's certificate, else the only one there is."""
    if certificate is not None:
        issuers = [found for found in known if found.subject == certificate.issuer]
        if issuers:
            return max(issuers, key=lambda found: found.not_after_s)
    return known[0] if len(known) == 1 else None


def _day(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d")
