"""Says a command to a running station: `fault device=M-IN kind=crc` is {"command":"fault","device":"M-IN","kind":"crc"} on its control socket."""

from __future__ import annotations

import json
import shlex
import socket
from pathlib import Path
from typing import Any

from edgegw.errors import EXIT_CHECK_FAILED, EXIT_USAGE, EdgegwError

# The station answers at once; a machine that is busy gets room.
ANSWER_S_MAX = 5.0


def parse_words(text: str) -> dict[str, Any]:
    """A word and `key=value` pairs; a value that is JSON is that, any other is text. Raises EdgegwError for what is neither."""
    try:
        command, *pairs = shlex.split(text)
        fields = dict(pair.split("=", 1) for pair in pairs)
    except ValueError as fault:
        raise EdgegwError("E-SIM-TELL", f"not a command: {text}", "write a word and key=value pairs: fault device=M-IN kind=crc", EXIT_USAGE) from fault
    return {"command": command, **{key: _value(word) for key, word in fields.items()}}


def _value(word: str) -> object:
    try:
        return json.loads(word, parse_constant=str)
    except ValueError:
        return word


def tell(path: Path, command: dict[str, Any]) -> dict[str, Any]:
    """The station's answer. Raises EdgegwError when none answers at this socket."""
    try:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(ANSWER_S_MAX)
            line.connect(str(path))
            line.sendall(json.dumps(command).encode() + b"\n")
            reply = line.makefile("rb").readline()
    except OSError as fault:
        raise EdgegwError("E-SIM-TELL", f"{path}: no station answers ({fault})", "start one: edgegw simulate STATION.toml", EXIT_CHECK_FAILED) from fault
    answer: dict[str, Any] = json.loads(reply)
    return answer
