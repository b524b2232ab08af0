"""What a start begins with: the numbers and states that the file holds, and the layout of its sources."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import msgspec

from edgegw.block import encode_schema, schema_hash
from edgegw.model import Source


class Counters(msgspec.Struct):
    """Numbers that go on from what the file holds."""

    tail_id: int
    number: int
    """Last block_id or event number."""
    commits: int


def load_states(connection: sqlite3.Connection) -> dict[str, bytes]:
    return dict(connection.execute("SELECT key, value FROM state"))


def load_counters(connection: sqlite3.Connection) -> Counters:
    def newest(question: str) -> int:
        return int(connection.execute(question).fetchone()[0] or 0)

    number = max(newest(f"SELECT max({column}) FROM {table}") for column, table in (("block_id", "block"), ("number", "event"), ("number", "cursor")))  # noqa: S608
    return Counters(newest("SELECT max(id) FROM tail"), number, newest("SELECT max(commits) FROM synced"))


def schema_of(sources: Sequence[Source]) -> bytes:
    """Hash of the sources' layout. Of two sources with one id a receiver would see one: a mistake of ours."""
    assert len({source.source_id for source in sources}) == len(sources), "two sources have one id"
    return schema_hash(encode_schema(sources))
