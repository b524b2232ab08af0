"""`edgegw cloud status`: each uplink with its certificates and the bytes that it has put on the wire."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from edgegw.cli.cells import WIDTH, both_ends, pad, table, wrap
from edgegw.cli.output import Result, finish, screen_language
from edgegw.cli.settings import current
from edgegw.cli.texts import duration, say_word
from edgegw.cli.texts import say as say_common
from edgegw.cli.texts_cloud import TEXTS, say
from edgegw.control.client import Connection
from edgegw.errors import EXIT_NO_DAEMON, EXIT_OK, EXIT_WARNINGS, EdgegwError

_MB = 1_000_000
# From here on the gateway saves (docs/link.md).
_QUOTA_SHARE_WARN = 0.8


@click.command("status", help="Each uplink: connection, receipts, certificates, bytes on the wire. Exit 10 where something is wrong.")
def status() -> None:
    settings = current()
    if settings.offline:
        raise EdgegwError("E-OFFLINE", "what was sent is known to the running service alone", "leave out --offline; or: edgegw cloud test", EXIT_NO_DAEMON)
    with Connection(settings.socket, settings.timeout_s) as daemon:
        data = daemon.ask("status", {}, settings.timeout_s)
        gateway = daemon.gateway or data["gateway"]
        language = screen_language(settings, daemon.language)
    uplinks: list[dict[str, Any]] = data["uplinks"]
    exit_code = EXIT_WARNINGS if any(map(_is_wrong, uplinks)) else EXIT_OK
    result = Result(
        uplinks,
        gateway=gateway,
        exit_code=exit_code,
        screen=lambda: _screens(uplinks, language, exit_code),
        rows=lambda: _plain_rows(uplinks),
    )
    finish(settings, "cloud-status", result)


def _is_wrong(uplink: dict[str, Any]) -> bool:
    ends = any(found["step"] is not None for found in uplink.get("certificates", ()))
    return not uplink["connected"] or bool(uplink["error"]) or ends or _is_near_quota(uplink) or bool(uplink.get("receipts_refused"))


def _is_near_quota(uplink: dict[str, Any]) -> bool:
    quota_mb = uplink.get("quota_mb_month", 0)
    return bool(quota_mb) and uplink.get("bytes_month", 0) >= _QUOTA_SHARE_WARN * quota_mb * _MB


def _plain_rows(uplinks: list[dict[str, Any]]) -> Iterator[tuple[object, ...]]:
    for uplink in uplinks:
        name = uplink["name"]
        yield "uplink", name, uplink["state"], uplink["connected"], uplink["last_receipt_age_s"], (uplink["error"] or {}).get("id")
        yield "month", name, uplink.get("bytes_month", 0), uplink.get("quota_mb_month", 0)
        for found in uplink.get("certificates", ()):
            yield "certificate", name, found["which"], found["subject"], found["expires"], found["days_left"]
        for lane, counts in uplink.get("bytes_today", {}).items():
            yield "today", name, lane, counts["up"], counts["down"]


def _screens(uplinks: list[dict[str, Any]], language: str, exit_code: int) -> Iterator[str]:
    if not uplinks:
        yield say_common(language, "status.no_uplink")
    for number, uplink in enumerate(uplinks):
        if number:
            yield ""
        yield from render(uplink, language)
    if exit_code:
        yield both_ends(say_common(language, "next", _next_step(uplinks)), say_common(language, "exit", exit_code))


def _next_step(uplinks: list[dict[str, Any]]) -> str:
    """A link that fails is tried stage by stage; what else there is to warn of has its explanation."""
    if any(uplink["error"] or not uplink["connected"] for uplink in uplinks):
        return "edgegw cloud test"
    if any(uplink.get("receipts_refused") for uplink in uplinks):
        return "edgegw explain E-CLOUD-RECEIPT"
    steps = [found["step"] for uplink in uplinks for found in uplink.get("certificates", ()) if found["step"] is not None]
    return "edgegw explain W-CERT-EXPIRY" if steps else "edgegw explain W-CLOUD-QUOTA"


def render(uplink: dict[str, Any], language: str) -> Iterator[str]:
    """One uplink, at most 80 cells a line."""
    yield f"{uplink['name']}  {uplink['broker']}"
    for name, word, text in _lines(uplink, language):
        yield from wrap(f"{pad(name, 6)} {pad(say_word(language, 'word', word), 5)} {text}", 13, WIDTH)
    today = uplink.get("bytes_today", {})
    if today:
        yield ""
        yield from _lane_table(today, language)


def _lines(uplink: dict[str, Any], language: str) -> Iterator[tuple[str, str, str]]:
    error = uplink["error"]
    yield say(language, "status.link"), "ok" if uplink["connected"] and not error else "warn", _link(uplink, language)
    if uplink.get("receipts_refused"):
        yield say(language, "lane.receipt"), "warn", say(language, "status.refused", uplink["receipts_refused"])
    for found in uplink.get("certificates", ()):
        text = say(language, "status.ends", found["subject"], found["expires"], found["days_left"])
        yield say(language, f"certificate.{found['which']}"), "ok" if found["step"] is None else "warn", text
    used, quota = uplink.get("bytes_month", 0) / _MB, uplink.get("quota_mb_month", 0)
    if quota:
        text = say(language, "status.month.of", f"{used:.1f}", quota, f"{100 * used / quota:.0f}")
        if _is_near_quota(uplink):
            text = say(language, "status.holds" if uplink.get("holds_telemetry") else "status.economy", text)
        yield say(language, "status.month"), "warn" if _is_near_quota(uplink) else "ok", text
    else:
        yield say(language, "status.month"), "ok", say(language, "status.month.is", f"{used:.1f}")


def _link(uplink: dict[str, Any], language: str) -> str:
    if uplink["error"]:
        return f"{uplink['error']['id']}: {uplink['error']['text']}"
    age_s = uplink["last_receipt_age_s"]
    receipt = say(language, "status.never") if age_s is None else say(language, "status.ago", duration(language, age_s))
    return say(language, "status.receipts", uplink.get("batches_sent", 0), receipt, uplink["in_flight"])


def _lane_table(today: dict[str, dict[str, int]], language: str) -> list[str]:
    heads = [f"{say(language, 'status.today')}: {say(language, 'head.lane')}", say(language, "head.up"), say(language, "head.down")]
    shown = [(lane, today[lane]) for lane in today if any(today[lane].values())]
    whole = {way: sum(counts[way] for counts in today.values()) for way in ("up", "down")}
    rows = [[_lane_name(lane, language), *(f"{counts[way] / 1000:.1f}" for way in ("up", "down"))] for lane, counts in (*shown, ("all", whole))]
    return table(heads, rows, right=frozenset({1, 2}), flexible=0)


def _lane_name(lane: str, language: str) -> str:
    """A lane that this version does not know is shown as it came."""
    return say(language, f"lane.{lane}") if f"lane.{lane}" in TEXTS else lane
