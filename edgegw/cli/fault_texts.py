"""What the tokens of a fault word mean, in the technician's language: a device tells `cover_open door_open`, its profile knows the words for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from edgegw.cli.texts import say

# A bit that no document names: `unknown_bit_12`.
_UNKNOWN = re.compile(r"unknown_bit_(\d+)")
_NUMBER = re.compile(r"\d+")


def fault_texts(language: str, profile_name: str, point: str, value: object) -> list[str]:
    """`cover_open  机柜门打开` for each token of the value; none where the point is no fault word of this profile."""
    if not isinstance(value, str) or not value:
        return []
    words = _words(profile_name, point)
    if not words:
        return []
    tokens = value.split()
    return [f"{token}  {_text(language, token, words)}" for token in tokens if token in words or _UNKNOWN.fullmatch(token)]


def _text(language: str, token: str, words: Mapping[str, tuple[str, str]]) -> str:
    unknown = _UNKNOWN.fullmatch(token)
    return say(language, "read.unknown_bit", unknown[1]) if unknown else words[token][language == "zh"]


def _words(profile_name: str, point: str) -> Mapping[str, tuple[str, str]]:
    """Token to its English and Chinese text."""
    from edgegw.drivers.catalogue import load_profile
    from edgegw.errors import EdgegwError

    try:
        profile: Any = load_profile(profile_name)
    except EdgegwError:
        return {}  # The daemon runs with a file of the station that this place does not have: the tokens speak for themselves.
    if profile.profile.protocol == "megatec":
        return _ups_words() if point == "ups.alarm" else {}
    template = _NUMBER.sub("{n}", point)
    rows = [row for row in (*profile.point, *getattr(profile, "also", ())) if row.point in (point, template) and getattr(row, "faults", None)]
    return {fault.id: (fault.en, fault.zh) for row in rows for fault in row.faults.values()}


def _ups_words() -> Mapping[str, tuple[str, str]]:
    from edgegw.drivers.megatec_words import ALARMS, FAULTS, WARNINGS

    return {**ALARMS, **{word.code: (word.en, word.zh) for word in (*WARNINGS.values(), *FAULTS.values())}}
