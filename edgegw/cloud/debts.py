"""What the receiver owes receipts for, and the receipts themselves. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edgegw.intervals import IntervalSet
from edgegw.model import Identity
from edgegw.uplink.envelope import Receipt, sign_receipt

RECEIPT_TOPIC = "egw/1/{operator}/{station}/{gateway}/d/ack"
# 400 intervals are below 10 KiB in their widest form.
INTERVALS_MAX = 400
# One interval in its widest form, and all that is in a receipt beside them, with its packet.
_INTERVAL_BYTES = 34
_FIXED_BYTES = 320


class Debts:
    """{gateway: {(epoch, stream): stored since its last receipt}}"""

    def __init__(self) -> None:
        self._due: dict[str, dict[tuple[int, int], IntervalSet]] = {}
        self.urgent: set[str] = set()
        """Gateways whose receipt must not wait: a person may be waiting for the alarm."""

    def owe(self, gateway: str, interval: Identity) -> None:
        streams = self._due.setdefault(gateway, {})
        streams.setdefault((interval.epoch, interval.stream), IntervalSet()).add(interval.first, interval.last)

    def due(self, *, only_urgent: bool) -> list[str]:
        """Whose receipts go now."""
        gateways = [gateway for gateway in self._due if not only_urgent or gateway in self.urgent]
        self.urgent.clear()
        return gateways

    def pay(self, gateway: str) -> list[Identity]:
        """What the gateway is owed, which is then owed no longer."""
        return [Identity(*stream, *interval) for stream, stored in self._due.pop(gateway, {}).items() for interval in stored]


def receipts(
    gateway: str, intervals: list[Identity], at_ms: int, signer: Ed25519PrivateKey, packet_bytes_max: int | None = None
) -> Iterator[tuple[bytes, tuple[Identity, ...]]]:
    """(message, its ranges), as many as it takes under the broker's packet limit."""
    fitting = INTERVALS_MAX if packet_bytes_max is None else max(1, min(INTERVALS_MAX, (packet_bytes_max - _FIXED_BYTES) // _INTERVAL_BYTES))
    for at in range(0, len(intervals), fitting):
        part = tuple(intervals[at : at + fitting])
        yield sign_receipt(Receipt(gateway, at_ms, part), signer), part


def topic_of(template: str, gateway: str) -> str:
    """Where a gateway listens for its receipts."""
    operator, station, code = gateway.split("/")
    return template.replace("{operator}", operator).replace("{station}", station).replace("{gateway}", code)
