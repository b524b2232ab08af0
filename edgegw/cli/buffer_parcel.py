"""`edgegw buffer export --sealed` and `edgegw buffer import-receipt`: the backlog as a parcel on a stick, and what the cloud says to it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from edgegw.cli.buffer_file import configured, locate
from edgegw.cli.output import Result, finish, screen_language
from edgegw.cli.settings import Settings, current
from edgegw.cli.texts_buffer import say, size
from edgegw.control.client import Connection
from edgegw.errors import EXIT_OK, EXIT_UNKNOWN, EXIT_USAGE, EXIT_WARNINGS, EdgegwError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edgegw.config.model import Config, Uplink


def write_parcel(output: str, name: str) -> None:
    """All that the cloud of an uplink has not confirmed, sealed for it. Changes nothing in the store."""
    from pathlib import Path

    from edgegw.buffer.export import open_output
    from edgegw.buffer.waiting import waiting
    from edgegw.uplink.envelope import BATCH, NO_IDENTITY, SCHEMA, EnvelopeError, Sealer
    from edgegw.uplink.keys import load_uplink_keys
    from edgegw.uplink.parcel import PARCEL, Frames
    from edgegw.uplink.schema_parts import messages_of

    settings = current()
    config = configured(settings)
    uplink = _chosen(config, name)
    path, _, gateway, language = locate(settings, "")
    keys = load_uplink_keys(uplink, config.paths.state_dir)
    sealer = Sealer(config.gateway.identity, keys.cloud.seal, keys.own.sign)

    def sealed_schema(packed: bytes) -> bytes | None:
        try:
            return sealer.seal(SCHEMA, NO_IDENTITY, packed)
        except EnvelopeError:
            return None

    values = batches = events = 0
    with _finished(Path(output), open_output(Path(output))) as out:
        frames = Frames(out, PARCEL)
        for batch, document in waiting(path, uplink.name, uplink.points):
            if document is not None and batch.schema is not None:
                for message in messages_of(batch.schema, document, sealed_schema) or ():
                    frames.add(message)
            frames.add(sealer.seal(BATCH, batch.identity, batch.body))
            batches += 1
            events += batch.values if batch.schema is None else 0
            values += batch.values if batch.schema is not None else 0
        frames.end()
    data = {"file": output, "uplink": uplink.name, "batches": batches, "values": values, "events": events, "bytes": frames.written_bytes}
    words = [say(language, "parcel.done", f"{values:,}", f"{events:,}", output, size(frames.written_bytes)), say(language, "parcel.next")]
    code = EXIT_OK if batches else EXIT_UNKNOWN
    finish(settings, "buffer-export", Result(data, gateway=gateway, exit_code=code, screen=lambda: words, rows=lambda: [list(data.values())]))


class _finished:  # noqa: N801 - used like a function
    """A file that was not finished does not stay; one that was is on the stick, not in memory."""

    def __init__(self, path: Path, out: Any) -> None:
        self._path = path
        self._out = out

    def __enter__(self) -> Any:
        return self._out

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._out.flush()
            os.fsync(self._out.fileno())
        self._out.close()
        if kind is not None:
            self._path.unlink()


def _chosen(config: Config, name: str) -> Uplink:
    found = [uplink for uplink in config.uplink if name in ("", uplink.name)]
    if not found:
        raise EdgegwError("E-CLOUD-UPLINK", f'there is no uplink "{name}"' if name else "no uplink is configured", "edgegw config check", EXIT_UNKNOWN)
    if len(found) > 1:
        names = ", ".join(uplink.name for uplink in found)
        raise EdgegwError("E-CLOUD-UPLINK", f"several uplinks are configured: {names}", "name one with --uplink", EXIT_USAGE)
    return found[0]


@click.command("import-receipt", help="Takes in the receipts that a cloud wrote for a sealed export. Exit 10 where one of them is refused.")
@click.argument("file")
@click.option("--uplink", "name", default="", metavar="NAME", help="The uplink it is for (default: the one whose cloud has signed).")
def import_receipt(file: str, name: str) -> None:
    settings = current()
    new, receipts, refused, gateway, language = _taken(settings, file, name)
    data = {"file": file, "receipts": receipts, "confirmed": new, "refused": refused}
    words = [say(language, "parcel.taken", receipts, f"{new:,}"), *refused]
    code = EXIT_WARNINGS if refused else EXIT_OK
    result = Result(data, gateway=gateway, exit_code=code, screen=lambda: words, rows=lambda: [(receipts, new, len(refused))])
    finish(settings, "buffer-import-receipt", result)


def _messages(file: str) -> Iterator[bytes]:
    from pathlib import Path

    from edgegw.uplink.parcel import ANSWER, read_frames

    try:
        with Path(file).open("rb") as source:
            yield from read_frames(source, ANSWER, file)
    except OSError as fault:
        raise EdgegwError("E-PARCEL-FILE", f"cannot read {file}: {fault.strerror}", "check the path", EXIT_USAGE) from fault


def _taken(settings: Settings, file: str, name: str) -> tuple[int, int, list[str], str, str]:
    """(sequences newly confirmed, receipts taken, refusals, gateway, language)."""
    if not settings.offline:
        try:
            with Connection(settings.socket, settings.timeout_s) as daemon:
                return *_through_service(daemon, settings, file, name), daemon.gateway, screen_language(settings, daemon.language)
        except EdgegwError as fault:
            if fault.message_id != "E-DAEMON-ABSENT" or not os.access(settings.config, os.R_OK):
                raise
    return _directly(settings, file, name)


def _through_service(daemon: Connection, settings: Settings, file: str, name: str) -> tuple[int, int, list[str]]:
    import base64

    new, taken, refused = 0, 0, []
    for message in _messages(file):
        try:
            found = daemon.ask("buffer-import-receipt", {"receipt": base64.b64encode(message).decode(), "uplink": name}, settings.timeout_s)
        except EdgegwError as fault:
            if fault.message_id != "E-CLOUD-RECEIPT":
                raise
            refused.append(str(fault))
        else:
            new, taken = new + found["new"], taken + 1
    return new, taken, refused


def _directly(settings: Settings, file: str, name: str) -> tuple[int, int, list[str], str, str]:
    """The store opened here, under the lock that keeps a second gateway away."""
    import asyncio
    from pathlib import Path

    from edgegw.buffer.store import Buffer
    from edgegw.clock import Clock, read_clock_trust
    from edgegw.uplink.envelope import EnvelopeError, open_receipt
    from edgegw.uplink.keys import load_uplink_keys

    config = configured(settings)
    language = screen_language(settings, config.gateway.language)
    directory = Path(config.paths.state_dir)
    click.echo(say(language, "absent", directory), err=True)
    uplink = _chosen(config, name)
    keys = load_uplink_keys(uplink, config.paths.state_dir)
    clock = Clock()
    clock.trust = read_clock_trust()

    async def take(buffer: Buffer) -> tuple[int, int, list[str]]:
        new, taken, refused = 0, 0, []
        for message in _messages(file):
            try:
                new += await buffer.receipt(uplink.name, open_receipt(message, config.gateway.identity, keys.cloud.verify).intervals)
                taken += 1
            except (EnvelopeError, ValueError) as fault:
                refused.append(f"E-CLOUD-RECEIPT: {fault}")
        return new, taken, refused

    buffer = Buffer.open(directory, clock, config.store, (), [one.name for one in config.uplink], lambda _: None)
    try:
        return *asyncio.run(take(buffer)), config.gateway.identity, language
    finally:
        buffer.close()
