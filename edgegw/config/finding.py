"""What is wrong with a configuration, as one line: `config.toml:41: error E-CFG-KEY: bus "rs485a": unknown key "baud"; did you mean "baudrate"?`."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Literal

import msgspec

ERROR: Literal["error"] = "error"
WARNING: Literal["warning"] = "warning"

# Two words are near when this share of their letters agrees in order; at 0.6 "baud" still finds "baudrate" and "kind" does not find "unit".
_NEAR = 0.6


class Finding(msgspec.Struct, frozen=True):
    """One mistake or doubt. The `line` is None where the fault is the file itself."""

    severity: Literal["error", "warning"]
    id: str
    line: int | None
    text: str
    file: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.severity} {self.id}: {self.text}"


def did_you_mean(word: str, choices: Iterable[str], most: int = 1) -> str:
    """`; did you mean "baudrate"?`, up to `most` of them with "or" in between; nothing when nothing is near."""
    near = _nearest(word.lower(), tuple(choices), most)
    quoted = " or ".join(f'"{choice}"' for choice in near)
    return f"; did you mean {quoted}?" if near else ""


def nearest(word: str, choices: Iterable[str]) -> str:
    """The choice that was probably meant, empty when nothing is near."""
    return next(iter(_nearest(word.lower(), tuple(choices), 1)), "")


@lru_cache(maxsize=256)
def _nearest(word: str, choices: tuple[str, ...], most: int) -> tuple[str, ...]:
    """Remembered: one wrong name usually stands at many devices."""
    import difflib  # noqa: PLC0415 - only a mistake needs it

    by_lower = {choice.lower(): choice for choice in choices}
    return tuple(by_lower[near] for near in difflib.get_close_matches(word, by_lower, n=most, cutoff=_NEAR))
