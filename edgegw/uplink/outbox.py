"""What an uplink asks of the store. The store fulfils it without knowing the uplink; `app.py` brings them together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from edgegw.model import Batch, Identity


class Outbox(Protocol):
    """All calls run on the writer's thread, one after the other; only what is synced is ever handed out."""

    async def next_batch(self, uplink: str, streams: Sequence[int], after: int, up_to: int | None = None) -> Batch | None:
        """The first batch of these streams in the store's order with `after` < block_id <= `up_to` that the uplink's receipts do not cover wholly."""
        ...

    async def newest_block_id(self, streams: Sequence[int]) -> int:
        """The last block_id of these streams, 0 when there is none: the border between backlog and fresh."""
        ...

    async def receipt(self, uplink: str, intervals: Sequence[Identity]) -> int:
        """The cloud has these. Returns how many sequences were new to the uplink; an interval never handed out (unknown epoch, beyond the last sequence) raises ValueError and changes nothing."""
        ...

    async def resend(self, uplink: str, intervals: Sequence[Identity]) -> Sequence[Identity]:
        """Forgets the receipts of these intervals: what is still stored of them will be handed out again. Returns what is stored no longer."""
        ...

    async def declare_loss(self, intervals: Sequence[Identity], reason: str) -> None:
        """Stores one loss event for each interval; the receiver settles the range with it."""
        ...

    async def schema_document(self, schema: bytes) -> bytes | None:
        """The document that a batch names, None when it is not stored."""
        ...
