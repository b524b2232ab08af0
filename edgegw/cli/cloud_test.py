"""`edgegw cloud test`: the way to a cloud stage by stage, each told as soon as it is known."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from edgegw.cli.cells import WIDTH, both_ends, pad, wrap
from edgegw.cli.direct import load_config
from edgegw.cli.output import Result, finish, paint, screen_language
from edgegw.cli.settings import Settings, current
from edgegw.cli.texts import say as say_common
from edgegw.cli.texts import say_word
from edgegw.cli.texts_cloud import CAUSES, COMMANDS, say
from edgegw.control.client import Connection
from edgegw.errors import EXIT_CLOUD, EXIT_OK, EXIT_UNKNOWN, EXIT_WARNINGS, EdgegwError, lookup

if TYPE_CHECKING:
    from edgegw.config.model import Config, Uplink

    # The stages come as objects of uplink.staged; a screen reads their fields alone.
    Stage = Any

STAGES_MAX = 9
# Number, name and state stand before what was found; milliseconds behind it.
_INDENT = 17
_MS_WIDTH = 9
_DAEMON_WAIT_S = 2.0


@click.command(
    "test", help="The way to the cloud, stage by stage, as far as its signed receipt. Exit 8 at a stage that fails. Beside the service or without it."
)
@click.option("--stage", type=click.IntRange(1, STAGES_MAX), default=STAGES_MAX, metavar="N", help="End behind stage N (1 clock ... 5 TLS ... 9 receipt).")
@click.option("--uplink", "name", default="", metavar="NAME", help="This uplink alone (default: all of them).")
def test(stage: int, name: str) -> None:
    settings = current()
    config = load_config(Path(settings.config))
    uplinks = _chosen(config, name, settings.config)
    language = screen_language(settings, config.gateway.language)
    live = not (settings.json or settings.plain or settings.quiet)
    beside = _daemon_runs(settings)
    tried = [_try(config, uplink, stage, _screen(uplink, language, settings) if live else _no_screen, daemon_runs=beside) for uplink in uplinks]
    states = {found["state"] for uplink in tried for found in uplink["stages"]}
    exit_code = EXIT_CLOUD if "fail" in states else EXIT_WARNINGS if "warn" in states else EXIT_OK
    result = Result(
        {"uplinks": tried},
        gateway=config.gateway.identity,
        exit_code=exit_code,
        screen=lambda: [both_ends("", say_common(language, "exit", exit_code))] if exit_code else [],
        rows=lambda: _plain_rows(tried),
    )
    finish(settings, "cloud-test", result)


def _chosen(config: Config, name: str, where: str) -> list[Uplink]:
    found = [uplink for uplink in config.uplink if not name or uplink.name == name]
    if not found:
        names = ", ".join(uplink.name for uplink in config.uplink)
        text = f'{where} has no uplink "{name}"' + (f", only {names}" if names else "") if name else f"{where} has no [[uplink]]"
        raise EdgegwError("E-CLOUD-UPLINK", text, "edgegw config check", EXIT_UNKNOWN)
    return found


def _daemon_runs(settings: Settings) -> bool:
    """Whether somebody else may be logged in as this gateway; who may not ask must take it for so."""
    try:
        with Connection(settings.socket, _DAEMON_WAIT_S):
            return True
    except EdgegwError as fault:
        return fault.message_id != "E-DAEMON-ABSENT"


def _try(config: Config, uplink: Uplink, up_to: int, show: Callable[[Stage], None], *, daemon_runs: bool) -> dict[str, Any]:
    from edgegw.clock import read_clock_trust
    from edgegw.uplink.keys import load_uplink_keys
    from edgegw.uplink.trial import Trial

    trial = Trial(
        uplink,
        config.gateway,
        lambda: load_uplink_keys(uplink, config.paths.state_dir),
        read_clock_trust(),
        daemon_runs=daemon_runs,
        on_stage=show,
    )
    stages = asyncio.run(trial.run(up_to))
    for stage in stages[:up_to]:
        if stage.ms is None:
            show(stage)
    return {"name": uplink.name, "broker": uplink.broker, "stages": [_plain_stage(stage, uplink) for stage in stages]}


# -- forms


def _plain_stage(stage: Stage, uplink: Uplink) -> dict[str, Any]:
    fault = stage.fault
    error = None
    if fault is not None:
        error = {"id": fault.message_id, "text": fault.text, "cause": [cause_of(stage, "en")], "next": [command_of(stage, uplink)]}
    return {"number": stage.number, "name": stage.name, "state": stage.state, "ms": stage.ms, "found": stage.found, "error": error}


def _plain_rows(tried: list[dict[str, Any]]) -> Iterator[tuple[object, ...]]:
    for uplink in tried:
        for stage in uplink["stages"]:
            error = stage["error"] or {}
            yield uplink["name"], stage["number"], stage["name"], stage["state"], stage["ms"], error.get("id"), error.get("text")


def cause_of(stage: Stage, language: str) -> str:
    """The most likely cause of a stage's fault; where none is known, what its id means."""
    words = CAUSES.get(stage.cause) or CAUSES.get(stage.fault.message_id)
    if words is None:
        message = lookup(stage.fault.message_id)
        words = (message.en, message.zh) if message else ("", "")
    return words[language == "zh"].rstrip(".。")


def command_of(stage: Stage, uplink: Uplink) -> str:
    """What to type next."""
    command = COMMANDS.get(stage.cause) or COMMANDS.get(stage.fault.message_id) or f"edgegw explain {stage.fault.message_id}"
    broker = urlsplit(uplink.broker)
    return command.format(host=broker.hostname, ca_file=uplink.ca_file or "/etc/ssl/certs/ca-certificates.crt", cert_file=uplink.cert_file)


def _no_screen(_stage: Stage) -> None:
    pass


def _screen(uplink: Uplink, language: str, settings: Settings) -> Callable[[Stage], None]:
    """Writes each stage as it comes."""

    def show(stage: Stage) -> None:
        sys.stdout.write("".join(f"{line}\n" for line in render(stage, uplink, language, settings)))
        sys.stdout.flush()

    sys.stdout.write(f"{uplink.name}  {uplink.broker}\n")
    return show


def render(stage: Stage, uplink: Uplink, language: str, settings: Settings) -> Iterator[str]:
    """The lines of one stage, at most 80 cells each."""
    word = say_word(language, "word", stage.state)
    head = f"{stage.number} {pad(say(language, f'stage.{stage.name}'), 8)} {pad(word, 5)} "
    first, *more = wrap(head + _sentence(stage, language), _INDENT, WIDTH - _MS_WIDTH)
    ms = "" if stage.ms is None else f"{stage.ms:.0f} ms"
    yield paint(f"{pad(first, WIDTH - _MS_WIDTH)}{ms.rjust(_MS_WIDTH)}".rstrip(), word, settings)
    yield from more
    if stage.fault is not None:
        for line in (*_details(stage, language), say(language, "cause", cause_of(stage, language)), say(language, "next", command_of(stage, uplink))):
            yield from wrap(" " * _INDENT + line, _INDENT + 2, WIDTH)


def _sentence(stage: Stage, language: str) -> str:
    fault = stage.fault
    if fault is not None:
        message = lookup(fault.message_id)
        told = f"{message.zh.rstrip('。')}（{fault.text}）" if language == "zh" and message else fault.text
        return f"{fault.message_id}: {told}"
    if stage.state == "none" and stage.ms is None:
        return say(language, "not_tried")
    return _found(stage.name, stage.found, language)


def _found(name: str, found: dict[str, Any], language: str) -> str:
    """What a good stage found."""
    return say(language, "tls.none") if "plain" in found else _FOUND[name](found, language)


def _clock(found: dict[str, Any], language: str) -> str:
    off = say(language, "clock.error", f"{found['error_ms']:.0f}") if found["error_ms"] is not None else ""
    return say_word(language, "clock", found["trust"]) + off


def _tls(found: dict[str, Any], language: str) -> str:
    version = f"{found['version']} {found['cipher']}".strip()
    return f"{version}; {_certificate(found, language)}" if "subject" in found else version


def _login(found: dict[str, Any], language: str) -> str:
    return say(language, "login.as", found["version"], found["client_id"]) + say(language, "login.limits", found["receive_maximum"])


def _topic(found: dict[str, Any], language: str) -> str:
    return say(language, "topic.may", found["read"], found["written"]) + ("" if found["heard"] else say(language, "topic.unheard"))


_FOUND: dict[str, Callable[[dict[str, Any], str], str]] = {
    "clock": _clock,
    "route": lambda found, _: f"{found['interface']} {found['address']}".strip(),
    "name": lambda found, language: say(language, "name.literal", found["addresses"][0]) if found["literal"] else ", ".join(found["addresses"]),
    "tcp": lambda found, language: say(language, "tcp.port", found["address"], found["port"]),
    "tls": _tls,
    "client": lambda found, language: _certificate(found, language) if "subject" in found else say(language, "client.without"),
    "login": _login,
    "topic": _topic,
    "receipt": lambda found, language: say(language, "receipt.good", found["after_ms"]),
}


def _details(stage: Stage, language: str) -> Iterator[str]:
    """What a person needs to see of a stage that is not good."""
    found = stage.found
    if "subject" in found:
        yield say(language, "ours" if stage.name == "client" else "shown", _certificate(found, language))
    if stage.fault.message_id == "E-TLS-NAME":
        yield say(language, "wanted", found["wanted"], ", ".join(found.get("names", ())) or "-")
    if stage.fault.message_id in ("E-TLS-EXPIRED", "E-CLOCK") and "now" in found:
        yield say(language, "now", found["now"])
    if "fingerprint" in found:
        yield say(language, "fingerprint", found["fingerprint"], found["gateway"])


def _certificate(found: dict[str, Any], language: str) -> str:
    return say(language, "certificate", found["subject"], found["issuer"], found["begins"], found["expires"], found["days_left"])
