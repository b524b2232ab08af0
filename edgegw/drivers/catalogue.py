"""The profiles that are here, by name or by file, each read as its protocol says."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import msgspec

from edgegw.drivers.profile_base import ProfileBase, refuse
from edgegw.errors import EXIT_UNKNOWN, EdgegwError


def _modbus(table: Mapping[str, object], file: str) -> ProfileBase:
    from edgegw.drivers.profile_check import from_table  # noqa: PLC0415

    return from_table(table, file)


def _sunspec(table: Mapping[str, object], file: str) -> ProfileBase:
    from edgegw.drivers.sunspec_profile import from_table  # noqa: PLC0415

    return from_table(table, file)


def _megatec(table: Mapping[str, object], file: str) -> ProfileBase:
    from edgegw.drivers.megatec_profile import from_table  # noqa: PLC0415

    return from_table(table, file)


def _dlt645(table: Mapping[str, object], file: str) -> ProfileBase:
    from edgegw.drivers.dlt645_profile import from_table  # noqa: PLC0415

    return from_table(table, file)


# A protocol is loaded with the first profile of it: memory holds its code for years.
_READERS: dict[str, Callable[[Mapping[str, object], str], ProfileBase]] = {
    "dlt645": _dlt645,
    "megatec": _megatec,
    "modbus": _modbus,
    "sunspec": _sunspec,
}


def protocols() -> list[str]:
    """What a profile may say that its product speaks."""
    return sorted(_READERS)


def available() -> list[str]:
    """Names of the profiles that are here."""
    return sorted(item.name.removesuffix(".toml") for item in _directory().iterdir() if item.name.endswith(".toml"))


@cache
def load_profile(name: str) -> ProfileBase:
    """The profile of this name, or of this file when it ends in `.toml`. Raises EdgegwError: E-PROFILE-UNKNOWN, or what is wrong with the file."""
    if name.endswith(".toml"):
        return _load_file(Path(name))
    if name not in available():
        import difflib  # noqa: PLC0415 - only a mistake needs it

        near = difflib.get_close_matches(name, available(), n=1)
        hint = f'did you mean "{near[0]}"?' if near else "edgegw profiles list"
        raise EdgegwError("E-PROFILE-UNKNOWN", f'unknown profile "{name}"', hint, EXIT_UNKNOWN)
    profile = parse_profile(_directory().joinpath(f"{name}.toml").read_text(encoding="utf-8"), f"{name}.toml")
    if profile.profile.name != name:
        raise refuse("E-PROFILE-KEY", f"{name}.toml", f'profile.name is "{profile.profile.name}"', f'write name = "{name}"')
    return profile


def _load_file(path: Path) -> ProfileBase:
    """A station's own profile."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        why = fault.strerror if isinstance(fault, OSError) else "is not UTF-8"
        raise EdgegwError("E-PROFILE-UNKNOWN", f"profile {path}: {why}", "give the full path of a profile that the service can read", EXIT_UNKNOWN) from fault
    return parse_profile(text, str(path))


def parse_profile(text: str, file: str) -> ProfileBase:
    """A profile's text to the checked profile; `file` names it in errors."""
    try:
        table = tomllib.loads(text)
        head = table.get("profile")
        protocol = head.get("protocol") if isinstance(head, dict) else None
        if protocol not in _READERS:
            text = "[profile] protocol is missing" if protocol is None else f'protocol "{protocol}" does not exist'
            raise refuse("E-PROFILE-KEY", file, text, f"write one of {', '.join(sorted(_READERS))}")
        return _READERS[protocol](table, file)
    except tomllib.TOMLDecodeError as fault:
        raise refuse("E-PROFILE-TOML", file, str(fault), "correct the file") from fault
    except msgspec.ValidationError as fault:
        raise refuse("E-PROFILE-KEY", file, str(fault), "docs/profiles.md names the keys") from fault


def _directory() -> Path:
    return Path(__file__).with_name("profiles")
