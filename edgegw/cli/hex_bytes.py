r"""Bytes as people paste them: out of a trace, a program, a document or a C array.

68129078            6812 9078           68 12 90 78         68:12:90:78         68-12-90-78
0x68, 0x12          {0x68,0x12};        [68 12 90]          \x68\x12            68H 12H
68 1 0 9            bytes printed without their leading zero: the other bytes are apart from each other, too
"""

from __future__ import annotations

import re

from edgegw.errors import EXIT_USAGE, EdgegwError

# What stands before a byte (0x, \x, the b of b"..."), behind it (H), and between bytes; the last four are the commas and colons of Chinese text.
_MARKS = re.compile(r"0[xX]|\\[xX]|\b[bB](?=[\"'])|(?<=[0-9A-Fa-f])[hH]|[\s,;:|_(){}\[\]<>\"'-]|[\uff0c\u3001\uff1b\uff1a]")
_SHOWN = 40


def hex_bytes(text: str, most: int, command: str) -> bytes:
    """The bytes. `most`: of them; `command`: whose help is told. Raises EdgegwError."""
    groups = _MARKS.sub(" ", text).split()
    digits = "".join(_whole(groups))
    try:
        found = bytes.fromhex(digits)
    except ValueError as fault:
        odd = f": {len(digits)} digits, a byte has two" if len(digits) % 2 else ""
        raise EdgegwError("E-USAGE", f'"{text[:_SHOWN]}" is no row of hexadecimal bytes{odd}', f"{command} -h", EXIT_USAGE) from fault
    if len(found) > most:
        raise EdgegwError("E-USAGE", f"{len(found)} bytes are more than {most}", "give less at a time", EXIT_USAGE)
    return found


def _whole(groups: list[str]) -> list[str]:
    """Bytes that stand apart get their leading zero back; but a last half byte is one that was cut off when copying."""
    lengths = {len(group) for group in groups}
    if lengths != {1, 2} or len(groups[-1]) == 1:
        return groups
    return [group.zfill(2) for group in groups]
