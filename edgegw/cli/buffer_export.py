"""`edgegw buffer export`: stored values of a range as CSV, JSON lines or Parquet, while the service goes on writing."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import IO, Any

import click

from edgegw.cli.buffer_file import locate, moment_ms
from edgegw.cli.output import Result, finish
from edgegw.cli.settings import current
from edgegw.cli.texts_buffer import say
from edgegw.errors import EXIT_OK, EXIT_UNKNOWN, EXIT_WARNINGS

# On a terminal, at most so often: a bad link must carry it.
_PROGRESS_S = 0.25


@click.command("export", help="Stored values of a time range. Exit 4 where there are none, 10 where blocks could not be read.")
@click.option("--from", "since", metavar="TIME", help="2026-11-20, 2026-11-20T12:00 (local), ...Z (UTC), or 24h, 7d ago. Default: everything.")
@click.option("--to", "until", metavar="TIME", help="The same; default: now.")
@click.option("--device", default="", metavar="CODE", help="One device only.")
@click.option("--point", default="", metavar="POINT", help="One point only; its thinned columns belong to it.")
@click.option("--format", "kind", type=click.Choice(["csv", "jsonl", "parquet"]), help="Default: what the name ends in, else csv.")
@click.option("-o", "--output", metavar="FILE", help="A new file; without it: standard output.")
@click.option("--file", default="", metavar="FILE", help="A file of the store instead of the one in use.")
@click.option("--sealed", metavar="FILE", help="Everything that the cloud has not confirmed, sealed for it, to go by hand; alone or with --uplink.")
@click.option("--uplink", "uplink", default="", metavar="NAME", help="With --sealed: whose cloud (default: the only one).")
def export(  # noqa: PLR0913 - its options
    *, since: str | None, until: str | None, device: str, point: str, kind: str | None, output: str | None, file: str, sealed: str | None, uplink: str
) -> None:
    if sealed:
        if any((since, until, device, point, kind, output, file)):
            raise click.UsageError("--sealed goes with --uplink alone: it takes what the cloud has not confirmed, all of it")
        from edgegw.cli.buffer_parcel import write_parcel

        write_parcel(sealed, uplink)
        return
    from edgegw.buffer.export import FORMATS, check_format, write
    from edgegw.buffer.history import Reader, Span

    settings = current()
    ending = (output or "").rpartition(".")[2]
    chosen = kind or (ending if ending in FORMATS else "csv")
    if not output and (settings.json or chosen == "parquet"):
        raise click.UsageError("-o FILE is needed with --json and for Parquet")
    check_format(chosen)
    start, end = (moment_ms(since, "--from") if since else 0), (moment_ms(until, "--to") if until else 2**62)
    path, _, gateway, language = locate(settings, file)
    with Reader(path) as reader, _Output(output) as out:
        count = write(reader.samples(Span(start, end, device, point)), chosen, out, _progress(language))
        damaged = len(reader.damaged)
    if sys.stderr.isatty():
        click.echo("\r\033[K", nl=False, err=True)
    code = EXIT_WARNINGS if damaged else EXIT_OK if count else EXIT_UNKNOWN
    words = [say(language, "export.done", f"{count:,}", output or "-")]
    words += [say(language, "export.damaged", damaged)] if damaged else []
    if not output:
        click.echo("\n".join(words), err=True)
        click.get_current_context().exit(code)
    data = {"file": output, "format": chosen, "values": count, "unreadable_blocks": damaged}
    finish(settings, "buffer-export", Result(data, gateway=gateway, exit_code=code, screen=lambda: words, rows=lambda: [list(data.values())]))


class _Output:
    """The file, or standard output; a file that was not finished does not stay."""

    def __init__(self, name: str | None) -> None:
        self._name = name

    def __enter__(self) -> IO[bytes]:
        if not self._name:
            return sys.stdout.buffer
        from pathlib import Path

        from edgegw.buffer.export import open_output

        self._path = Path(self._name)
        self._file = open_output(self._path)
        return self._file

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if not self._name:
            sys.stdout.buffer.flush()
            return
        self._file.close()
        if kind is not None:
            self._path.unlink()


def _progress(language: str) -> Callable[[int], None]:
    last = [0.0]

    def told(count: int) -> None:
        now: Any = time.monotonic()
        if sys.stderr.isatty() and now - last[0] >= _PROGRESS_S:
            last[0] = now
            click.echo("\r" + say(language, "export.progress", f"{count:,}"), nl=False, err=True)

    return told
