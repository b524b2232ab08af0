"""Sealed messages and receipts as files: what goes by hand where no link goes.

    parcel  = "edgegw/1 sealed" LF, frames          messages as on topics m, e, n, t and h: the signed header tells which and whose
    answer  = "edgegw/1 receipts" LF, frames        receipts as on topic d/ack
    frames  = { length: 4 bytes, most significant first; message }, 4 bytes of zero

The end is marked, so that a file cut short by a stick that was pulled is told from a whole one. What has come before the cut is good all the same: each
message proves itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Final

from edgegw.errors import EXIT_CHECK_FAILED, EdgegwError

PARCEL: Final = b"edgegw/1 sealed\n"
ANSWER: Final = b"edgegw/1 receipts\n"
# Every message is smaller (envelope.py); a larger length is no length.
MESSAGE_BYTES_MAX: Final = 64 * 1024
_LENGTH_BYTES: Final = 4


class Frames:
    """Writes one file, frame by frame. `end` belongs to it."""

    def __init__(self, out: IO[bytes], kind: bytes) -> None:
        self._out = out
        self.messages = 0
        self.written_bytes = out.write(kind)

    def add(self, message: bytes) -> None:
        self.written_bytes += self._out.write(len(message).to_bytes(_LENGTH_BYTES, "big") + message)
        self.messages += 1

    def end(self) -> None:
        self.written_bytes += self._out.write(bytes(_LENGTH_BYTES))
        self._out.flush()


def read_frames(source: IO[bytes], kind: bytes, name: str) -> Iterator[bytes]:
    """The messages of a file in their order. Raises EdgegwError E-PARCEL-KIND before the first, E-PARCEL-CUT behind the last good one of a file cut short."""
    if source.read(len(kind)) != kind:
        what = kind.decode().strip()
        raise EdgegwError("E-PARCEL-KIND", f'{name} does not begin with "{what}"', "choose the file that the other side wrote", EXIT_CHECK_FAILED)
    while True:
        head = source.read(_LENGTH_BYTES)
        length = int.from_bytes(head, "big")
        if len(head) == _LENGTH_BYTES and length == 0:
            return
        message = source.read(length) if len(head) == _LENGTH_BYTES and length <= MESSAGE_BYTES_MAX else b""
        if not message or len(message) < length:
            raise EdgegwError("E-PARCEL-CUT", f"{name} ends in the middle, or is damaged there", "copy it again; what came before was taken", EXIT_CHECK_FAILED)
        yield message
