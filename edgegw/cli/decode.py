"""`edgegw decode`: bytes explained, offline. One module for each protocol."""

from __future__ import annotations

import click

from edgegw.cli import decode_dlt645, decode_megatec, decode_modbus


@click.group("decode", help="Bytes explained, without any device: what each of them is, and why a frame is refused.")
def command() -> None:
    pass


command.add_command(decode_dlt645.command)
command.add_command(decode_megatec.command)
command.add_command(decode_modbus.command)
