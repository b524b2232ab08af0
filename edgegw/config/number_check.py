"""Telephone numbers as people write them, and what a message to them would come to. Pure.

+8613800000000    right everywhere: country code and number (E.164, 6.2: at most 15 digits)
13800000000       right for a card and a provider in China: a mobile number there has 11 digits, from 13 to 19
008613800000000   a modem sends the digits as they stand, as a number of no known kind (pdu.py); providers have words of their own for it
057188880000      of a fixed line; only in the card's own country, if at all
"""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple

from edgegw.config.finding import ERROR, WARNING

_NUMBER = re.compile(r"\+?[0-9]{3,15}")
LIKE: Final = "+8613800000000"
_CHINA: Final = "86"
_MOBILE = re.compile(r"1[3-9][0-9]*")
_MOBILE_DIGITS: Final = 11
# Numbers that somebody has typed with a digit too few or too many, or with two.
_NEARLY_MOBILE: Final = range(_MOBILE_DIGITS - 2, _MOBILE_DIGITS + 3)
# Niue and Saint Helena: three digits of country code and four of number are the least that there is.
_INTERNATIONAL_DIGITS_MIN: Final = 7
# Below it a number is one of a service or of a company's own plan.
_LOCAL_DIGITS_MIN: Final = 7


class NumberDoubt(NamedTuple):
    """An error could reach nobody, a warning may."""

    severity: Literal["error", "warning"]
    text: str


def doubt_of(number: str, *, dialled: bool) -> NumberDoubt | None:
    """What is wrong with a number, as the end of a sentence; `dialled`: a modem of ours sends it as it stands, no provider mends it. None: nothing."""
    if not _NUMBER.fullmatch(number):
        return NumberDoubt(ERROR, f'must be like {LIKE}, found "{number}"')
    if number.startswith("+"):
        return _international(number)
    if _MOBILE.fullmatch(number) and len(number) in _NEARLY_MOBILE:
        return _mobile(number, number)
    return _dialled(number) if dialled else None


def _dialled(number: str) -> NumberDoubt:
    """Sent as it stands, without a country code."""
    if number.startswith("00"):
        return NumberDoubt(ERROR, f"must be +{number[2:]}, not {number}: a modem does not turn 00 into a country code")
    if number.startswith(_CHINA) and _MOBILE.fullmatch(number[2:]) and len(number) == len(_CHINA) + _MOBILE_DIGITS:
        return NumberDoubt(WARNING, f"should be +{number}, not {number}: without + not every network takes 86 for a country code")
    if len(number) < _LOCAL_DIGITS_MIN:
        return NumberDoubt(WARNING, f"{number} is a short number: it is reached only in the network or plan that it belongs to")
    return NumberDoubt(WARNING, f"{number} has no country code: it is reached only in the country of the card, if it is a mobile; write it like {LIKE}")


def _international(number: str) -> NumberDoubt | None:
    digits = number[1:]
    if digits.startswith("0"):
        return NumberDoubt(ERROR, f"{number}: no country code begins with 0; write it like {LIKE}")
    if len(digits) < _INTERNATIONAL_DIGITS_MIN:
        return NumberDoubt(ERROR, f"{number} is too short for a number with country code; write it like {LIKE}")
    if not digits.startswith(_CHINA):
        return None
    national = digits.removeprefix(_CHINA)
    if _MOBILE.fullmatch(national):
        return _mobile(national, number)
    return NumberDoubt(WARNING, f"{number} is no mobile number: only a mobile surely takes an SMS")


def _mobile(digits: str, number: str) -> NumberDoubt | None:
    if len(digits) == _MOBILE_DIGITS:
        return None
    return NumberDoubt(ERROR, f"{number}: a Chinese mobile number has {_MOBILE_DIGITS} digits, here are {len(digits)}")
