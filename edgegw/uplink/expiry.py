"""When the certificates of an uplink end: our own, the authority that we trust, and the broker's as it was last shown.

Files are read again when they changed, so a renewed one is known at once; the connection takes it up by itself (`renewal.py`).
"""

from __future__ import annotations

import logging
from typing import Literal

import msgspec

from edgegw.config.model import Uplink
from edgegw.uplink.certificates import Certificate, authority_of, of_der, of_file
from edgegw.uplink.renewal import Stamp, stamp_of

logger = logging.getLogger("edgegw.uplink")

Which = Literal["client", "authority", "broker"]


class Expiry(msgspec.Struct, frozen=True):
    """One certificate of an uplink and how long it lives."""

    which: Which
    subject: str
    issuer: str
    expires: str
    """Day, UTC, as 2026-11-21."""
    days_left: int
    step: int | None
    """The last of the days 60, 30, 7 that has come, 0 after its end; None while nothing is to be told."""


class CertificateWatch:
    """The certificates of one uplink."""

    def __init__(self, uplink: Uplink) -> None:
        self._uplink = uplink
        self._read: dict[str, tuple[Stamp | None, list[Certificate]]] = {}
        self._shown: tuple[bytes, Certificate] | None = None

    def look(self, now_s: float, shown_by_broker: bytes | None) -> list[Expiry]:
        """`now_s` wall time, `shown_by_broker` DER. What cannot be read is left out: the connection tells of it (E-TLS-FILES)."""
        broker = self._of_broker(shown_by_broker)
        own = self._of_file(self._uplink.cert_file)
        found: list[tuple[Which, Certificate | None]] = [
            ("client", own[0] if own else None),
            ("authority", authority_of(broker, self._of_file(self._uplink.ca_file))),
            ("broker", broker),
        ]
        return [_expiry(which, certificate, now_s) for which, certificate in found if certificate is not None]

    def _of_broker(self, der: bytes | None) -> Certificate | None:
        if der is not None and (self._shown is None or self._shown[0] != der):
            try:
                self._shown = (der, of_der(der))
            except ValueError as fault:
                logger.debug("uplink %s: the broker's certificate cannot be read: %s", self._uplink.name, fault)
        return self._shown[1] if self._shown else None

    def _of_file(self, name: str) -> list[Certificate]:
        if not name:
            return []
        try:
            stamp = stamp_of(name)
            known = self._read.get(name)
            if known is None or stamp is None or known[0] != stamp:
                known = self._read[name] = (stamp, of_file(name))
        except (OSError, ValueError) as fault:
            logger.debug("uplink %s: %s: %s", self._uplink.name, name, fault)
            return []
        return known[1]


def _expiry(which: Which, certificate: Certificate, now_s: float) -> Expiry:
    days_left, step = certificate.days_left(now_s), certificate.step(now_s)
    return Expiry(which, certificate.subject, certificate.issuer, certificate.expires, days_left, step)
